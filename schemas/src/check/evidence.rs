//! Evidence: which components stand in which event (EN 319 522-2 tables 6 and 13).

use super::{Invalid, Rule, count, is_uri, line, prose, unique};
use crate::envelope::{MAX_DOCUMENTS, MAX_RECIPIENTS};
use crate::event::{Event, REASON_URI, Reason};
use crate::evidence::{
    EntityDetails, EventReasons, Evidence, Extension, Identity, SHA256_URI, UserContentInfo,
    UserDetails, VERSION,
};

/// Most reasons of one evidence, and most details of one reason.
const MAX_REASONS: usize = 10;
/// Longest detail of a reason, in characters.
const MAX_DETAIL: usize = 2_000;
/// Most attributes of an identity, and most values of an attribute.
const MAX_ATTRIBUTES: usize = 50;
/// Longest text of other members, in characters.
const MAX_TEXT: usize = 500;
/// Reason that the standard leaves open (`RAXX` to `RFXX`).
const OTHER: &str = "Other";

impl Evidence {
    /// Checks that the evidence has the components of its event, and no other.
    ///
    /// # Errors
    /// The first broken rule.
    pub fn check(&self) -> Result<(), Invalid> {
        if self.version != VERSION {
            let found = self.version.clone();
            return Err(Rule::Version { expected: VERSION, found }.at("/version"));
        }
        let event = self.event().filter(|e| self.erds_event_id == e.uri()).ok_or_else(|| {
            Rule::UnknownEvent(self.erds_event_id.chars().take(MAX_TEXT).collect())
                .at("/ERDSEventId")
        })?;
        check_reasons(event, self.event_reasons.as_ref())?;
        self.check_issuer()?;
        self.check_users(event)?;
        self.check_message(event)?;
        self.check_neighbours(event)?;
        self.check_extensions(event)
    }

    /// R01 and R02.
    fn check_issuer(&self) -> Result<(), Invalid> {
        let policies = &self.evidence_issuer_policy_id.policy_id;
        let path = "/EvidenceIssuerPolicyID/PolicyID";
        count(policies.len(), 1, MAX_REASONS).map_err(|r| r.at(path))?;
        for (i, policy) in policies.iter().enumerate() {
            uri(policy, || format!("{path}/{i}"))?;
        }
        self.evidence_issuer_details.check("/EvidenceIssuerDetails")
    }

    /// I01 to I13.
    fn check_users(&self, event: Event) -> Result<(), Invalid> {
        self.sender_details.check("/SenderDetails")?;
        // I10 or I11, save in F.3 where the sender is outside of any registered delivery.
        if event != Event::ReceivedFromNonERDS
            && self.sender_details.assurance_levels_details.is_none()
        {
            return Err(Rule::Needed("I10 (AssuranceLevelsDetails)", event).at("/SenderDetails"));
        }
        let recipients = &self.recipient_details;
        count(recipients.len(), 1, MAX_RECIPIENTS).map_err(|r| r.at("/RecipientDetails"))?;
        for (i, recipient) in recipients.iter().enumerate() {
            recipient.check(&format!("/RecipientDetails/{i}"))?;
        }
        let about = self.check_recipient_index(event)?;
        let assured = about
            .and_then(|i| recipients.get(i))
            .is_some_and(|r| r.assurance_levels_details.is_some());
        if event.needs_recipient_assurance() && !assured {
            let path = format!("/RecipientDetails/{}", about.unwrap_or_default());
            return Err(Rule::Needed("I12 (AssuranceLevelsDetails)", event).at(path));
        }
        Ok(())
    }

    /// I09: in families C, D and E alone, counted from 1. Answers the position counted from 0.
    fn check_recipient_index(&self, event: Event) -> Result<Option<usize>, Invalid> {
        let path = "/EvidenceRefersToRecipient";
        let most = self.recipient_details.len() as u64;
        match (self.evidence_refers_to_recipient, event.has_recipient()) {
            (None, false) => Ok(None),
            (None, true) => Err(Rule::Needed("I09", event).at(path)),
            (Some(_), false) => Err(Rule::Unwanted("I09", event).at(path)),
            (Some(n), true) if n == 0 || u64::from(n) > most => {
                Err(Rule::Range { least: 1, most, found: n.into() }.at(path))
            }
            (Some(n), true) => Ok(usize::try_from(n - 1).ok()),
        }
    }

    /// M02 and M03.
    fn check_message(&self, event: Event) -> Result<(), Invalid> {
        if event.family() == 'A' && self.submission_time.is_none() {
            return Err(Rule::Needed("M03", event).at("/SubmissionTime"));
        }
        self.user_content_info.check()
    }

    /// M04 and M05.
    fn check_neighbours(&self, event: Event) -> Result<(), Invalid> {
        let path = "/ExternalERDSDetails";
        match (&self.external_erds_details, event.family() == 'B') {
            (Some(details), true) => details.check(path)?,
            (None, false) => {}
            (None, true) => return Err(Rule::Needed("M05", event).at(path)),
            (Some(_), false) => return Err(Rule::Unwanted("M05", event).at(path)),
        }
        let path = "/ForwardedToExternalSystem";
        match (&self.forwarded_to_external_system, event.family() == 'F') {
            (Some(system), true) => line(system, MAX_TEXT).map_err(|r| r.at(path)),
            (None, false) => Ok(()),
            (None, true) => Err(Rule::Needed("M04", event).at(path)),
            (Some(_), false) => Err(Rule::Unwanted("M04", event).at(path)),
        }
    }

    /// E01: exactly one extension, ours.
    fn check_extensions(&self, event: Event) -> Result<(), Invalid> {
        let list = &self.extensions.extension;
        count(list.len(), 1, 1).map_err(|r| r.at("/Extensions/Extension"))?;
        list.iter().try_for_each(|e| e.check(event))
    }
}

impl Extension {
    fn check(&self, event: Event) -> Result<(), Invalid> {
        let path = "/Extensions/Extension/0";
        let name = |b: u8| b.is_ascii_lowercase() || b == b'_';
        line(&self.state, 40).map_err(|r| r.at(format!("{path}/State")))?;
        if !self.state.bytes().all(name) {
            return Err(Rule::Character.at(format!("{path}/State")));
        }
        // Evidence of family A is about the submission as a whole.
        let delivery = || format!("{path}/DeliveryIdentifier");
        match (self.delivery_identifier, event.family() == 'A') {
            (Some(_), true) => Err(Rule::Unwanted("DeliveryIdentifier", event).at(delivery())),
            (None, false) => Err(Rule::Needed("DeliveryIdentifier", event).at(delivery())),
            _ => Ok(()),
        }
    }
}

impl EntityDetails {
    fn check(&self, path: &str) -> Result<(), Invalid> {
        check_identity(&self.identity, path)
    }
}

impl UserDetails {
    fn check(&self, path: &str) -> Result<(), Invalid> {
        if let Some(identity) = &self.identity {
            check_identity(identity, path)?;
        }
        line(&self.identifier.value, MAX_TEXT)
            .map_err(|r| r.at(format!("{path}/Identifier/value")))?;
        line(&self.identifier.scheme, MAX_TEXT)
            .map_err(|r| r.at(format!("{path}/Identifier/IdentifierSchemeName")))?;
        let Some(levels) = &self.assurance_levels_details else { return Ok(()) };
        let path = format!("{path}/AssuranceLevelsDetails");
        uri(&levels.global_assurance_level.assurance_level, || {
            format!("{path}/GlobalAssuranceLevel/AssuranceLevel")
        })?;
        uri(&levels.authentication_details.authentication_method, || {
            format!("{path}/AuthenticationDetails/AuthenticationMethod")
        })
    }
}

impl UserContentInfo {
    /// M02: at least one part, each with an identifier of its own and a SHA-256 digest.
    fn check(&self) -> Result<(), Invalid> {
        let parts = &self.parts_info.part_info;
        let path = "/UserContentInfo/PartsInfo/PartInfo";
        // One part for the plaintext and one for the ciphertext of each document.
        count(parts.len(), 1, 2 * MAX_DOCUMENTS).map_err(|r| r.at(path))?;
        if usize::try_from(self.composing_parts) != Ok(parts.len()) {
            return Err(Rule::Disagrees("PartsInfo").at("/UserContentInfo/ComposingParts"));
        }
        for (i, part) in parts.iter().enumerate() {
            line(&part.identifier, MAX_TEXT).map_err(|r| r.at(format!("{path}/{i}/Identifier")))?;
            line(&part.content_type, MAX_TEXT)
                .map_err(|r| r.at(format!("{path}/{i}/ContentType")))?;
            if part.digest_method != SHA256_URI {
                let found = part.digest_method.chars().take(MAX_TEXT).collect();
                let rule = Rule::Version { expected: SHA256_URI, found };
                return Err(rule.at(format!("{path}/{i}/DigestMethod")));
            }
        }
        unique(path, parts.iter().map(|p| &p.identifier))
    }
}

/// G04: mandatory on negative events; a reason of the standard belongs to its event; a reason
/// outside the namespace of the standard is free (EN 319 522-2 clause 8.3.3: "other values").
fn check_reasons(event: Event, reasons: Option<&EventReasons>) -> Result<(), Invalid> {
    let Some(reasons) = reasons else {
        if event.is_negative() {
            return Err(Rule::Needed("G04", event).at("/EventReasons"));
        }
        return Ok(());
    };
    let path = "/EventReasons/EventReason";
    count(reasons.event_reason.len(), 1, MAX_REASONS).map_err(|r| r.at(path))?;
    for (i, reason) in reasons.event_reason.iter().enumerate() {
        let code = || format!("{path}/{i}/Code");
        uri(&reason.code, code)?;
        match reason.code.strip_prefix(REASON_URI) {
            None | Some(OTHER) => {}
            Some(suffix) => {
                let known = Reason::ALL.into_iter().find(|r| r.suffix() == suffix);
                let known =
                    known.ok_or_else(|| Rule::UnknownReason(reason.code.clone()).at(code()))?;
                if !event.reasons().contains(&known) {
                    return Err(Rule::ForeignReason(event, known).at(code()));
                }
            }
        }
        count(reason.details.len(), 0, MAX_REASONS)
            .map_err(|r| r.at(format!("{path}/{i}/Details")))?;
        for (j, detail) in reason.details.iter().enumerate() {
            prose(detail, MAX_DETAIL).map_err(|r| r.at(format!("{path}/{i}/Details/{j}")))?;
        }
    }
    Ok(())
}

fn check_identity(identity: &Identity, path: &str) -> Result<(), Invalid> {
    let path = format!("{path}/Identity/Attribute");
    count(identity.attribute.len(), 1, MAX_ATTRIBUTES).map_err(|r| r.at(path.as_str()))?;
    for (i, attribute) in identity.attribute.iter().enumerate() {
        line(&attribute.name, MAX_TEXT).map_err(|r| r.at(format!("{path}/{i}/Name")))?;
        let values = format!("{path}/{i}/AttributeValue");
        count(attribute.attribute_value.len(), 0, MAX_ATTRIBUTES)
            .map_err(|r| r.at(values.as_str()))?;
        for (j, value) in attribute.attribute_value.iter().enumerate() {
            prose(value, MAX_TEXT).map_err(|r| r.at(format!("{values}/{j}")))?;
        }
    }
    Ok(())
}

fn uri(text: &str, path: impl Fn() -> String) -> Result<(), Invalid> {
    if is_uri(text) { Ok(()) } else { Err(Rule::Uri.at(path())) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ids::NodeId;
    use crate::sample;

    fn broken(event: Event, change: impl FnOnce(&mut Evidence)) -> (String, Rule) {
        let mut evidence = sample::evidence(event);
        change(&mut evidence);
        let e = evidence.check().expect_err("must be refused");
        (e.path, e.rule)
    }

    #[test]
    fn each_event_passes_with_each_of_its_reasons() {
        for event in Event::ALL {
            assert_eq!(sample::evidence(event).check(), Ok(()), "{event:?}");
            for reason in event.reasons() {
                let evidence = sample::evidence_for(event, Some(*reason));
                assert_eq!(evidence.check(), Ok(()), "{event:?} {reason:?}");
            }
        }
    }

    #[test]
    fn a_reason_of_another_event_is_refused() {
        for event in Event::ALL {
            for reason in Reason::ALL.into_iter().filter(|r| !event.reasons().contains(r)) {
                let e = sample::evidence_for(event, Some(reason)).check().unwrap_err();
                assert_eq!(e.rule, Rule::ForeignReason(event, reason));
            }
        }
    }

    #[test]
    fn a_negative_event_needs_a_reason() {
        for event in Event::ALL {
            let mut evidence = sample::evidence(event);
            evidence.event_reasons = None;
            assert_eq!(evidence.check().is_err(), event.is_negative(), "{event:?}");
        }
    }

    #[test]
    fn reasons_outside_the_standard_are_free_and_misspelt_ones_are_not() {
        let mut evidence = sample::evidence(Event::ContentConsignmentFailure);
        let code = |e: &mut Evidence, text: String| {
            e.event_reasons.as_mut().unwrap().event_reason[0].code = text;
        };
        code(&mut evidence, "urn:pli:reason:held".into());
        assert_eq!(evidence.check(), Ok(()));
        code(&mut evidence, format!("{REASON_URI}Other"));
        assert_eq!(evidence.check(), Ok(()));
        code(&mut evidence, format!("{REASON_URI}MessageNotConsigned"));
        assert!(matches!(evidence.check().unwrap_err().rule, Rule::UnknownReason(_)));
        // A code is no URI: only the URI may stand in `Code`.
        code(&mut evidence, "RD04".into());
        assert_eq!(evidence.check().unwrap_err().rule, Rule::Uri);
    }

    #[test]
    fn i09_m04_and_m05_stand_where_the_standard_wants_them_and_nowhere_else() {
        for event in Event::ALL {
            let family = event.family();
            let mut e = sample::evidence(event);
            e.evidence_refers_to_recipient = if event.has_recipient() { None } else { Some(1) };
            assert_eq!(e.check().unwrap_err().path, "/EvidenceRefersToRecipient", "{event:?}");
            let mut e = sample::evidence(event);
            let other: NodeId = "x".parse().unwrap();
            e.external_erds_details = (family != 'B').then(|| EntityDetails::node(&other));
            assert_eq!(e.check().unwrap_err().path, "/ExternalERDSDetails", "{event:?}");
            let mut e = sample::evidence(event);
            e.forwarded_to_external_system = (family != 'F').then(|| "mail".to_owned());
            assert_eq!(e.check().unwrap_err().path, "/ForwardedToExternalSystem", "{event:?}");
            let mut e = sample::evidence(event);
            let delivery = &mut e.extensions.extension[0].delivery_identifier;
            *delivery = (family == 'A').then(|| sample::dispatch().relay.delivery_id);
            assert!(e.check().unwrap_err().path.ends_with("/DeliveryIdentifier"), "{event:?}");
        }
    }

    #[test]
    fn other_components() {
        let a1 = Event::SubmissionAcceptance;
        assert_eq!(broken(a1, |e| e.version = "EN319522v1.2.1".into()).0, "/version");
        assert_eq!(
            broken(a1, |e| e.erds_event_id = "SubmissionAcceptance".into()).0,
            "/ERDSEventId"
        );
        assert_eq!(broken(a1, |e| e.submission_time = None).0, "/SubmissionTime");
        assert_eq!(broken(a1, |e| e.recipient_details.clear()).0, "/RecipientDetails");
        let none = |e: &mut Evidence| e.sender_details.assurance_levels_details = None;
        assert_eq!(broken(a1, none).0, "/SenderDetails");
        let mut f3 = sample::evidence(Event::ReceivedFromNonERDS);
        none(&mut f3);
        assert_eq!(f3.check(), Ok(()));
        let e1 = Event::ContentHandover;
        let (path, _) = broken(e1, |e| e.recipient_details[0].assurance_levels_details = None);
        assert_eq!(path, "/RecipientDetails/0");
        assert_eq!(
            broken(e1, |e| e.evidence_refers_to_recipient = Some(3)).1,
            Rule::Range { least: 1, most: 2, found: 3 }
        );
        assert_eq!(
            broken(a1, |e| e.user_content_info.composing_parts = 1).0,
            "/UserContentInfo/ComposingParts"
        );
        let (path, _) = broken(a1, |e| e.extensions.extension.clear());
        assert_eq!(path, "/Extensions/Extension");
    }
}
