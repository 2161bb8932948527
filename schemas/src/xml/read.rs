//! A tree to evidence: each function takes the children of one element in the order of the schema,
//! and refuses what is left over.

use std::str::FromStr;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use super::BadXml;
use super::tree::{Element, Space};
use crate::digest::Digest;
use crate::evidence::{
    AssuranceLevelDetails, AssuranceLevelsDetails, Attribute, AuthenticationDetails, EntityDetails,
    EventReason, EventReasons, Evidence, Extension, Extensions, Identifier, Identity, PartInfo,
    PartsInfo, PolicyIds, UserContentInfo, UserDetails,
};
use crate::time::Timestamp;

type Read<T> = Result<T, BadXml>;

/// XSD `EvidenceType` and group `Components`.
pub(super) fn evidence(root: &Element) -> Read<Evidence> {
    if (root.space, root.name.as_str()) != (Space::Etsi, "Evidence") {
        return Err(BadXml::Missing {
            at: root.at,
            parent: "the document".to_owned(),
            name: "Evidence",
        });
    }
    let mut c = Children::of(root);
    let evidence = Evidence {
        version: c.attribute("version")?,
        evidence_identifier: value(c.need(Space::Etsi, "EvidenceIdentifier")?, "a UUID")?,
        erds_event_id: text(c.need(Space::Etsi, "ERDSEventId")?)?,
        event_reasons: c.take(Space::Etsi, "EventReasons").map(event_reasons).transpose()?,
        event_time: time(c.need(Space::Local, "EventTime")?)?,
        evidence_issuer_policy_id: policies(c.need(Space::Etsi, "EvidenceIssuerPolicyID")?)?,
        evidence_issuer_details: entity(c.need(Space::Etsi, "EvidenceIssuerDetails")?)?,
        sender_details: user(c.need(Space::Etsi, "SenderDetails")?)?,
        recipient_details: c.some(Space::Etsi, "RecipientDetails", user)?,
        submission_time: c.take(Space::Etsi, "SubmissionTime").map(time).transpose()?,
        evidence_refers_to_recipient: c
            .take(Space::Local, "EvidenceRefersToRecipient")
            .map(|e| value(e, "a position from 1"))
            .transpose()?,
        message_identifier: value(c.need(Space::Etsi, "MessageIdentifier")?, "a UUID")?,
        user_content_info: content(c.need(Space::Etsi, "UserContentInfo")?)?,
        external_erds_details: c
            .take(Space::Etsi, "ExternalERDSDetails")
            .map(entity)
            .transpose()?,
        forwarded_to_external_system: c
            .take(Space::Local, "ForwardedToExternalSystem")
            .map(text)
            .transpose()?,
        extensions: extensions(c.need(Space::Etsi, "Extensions")?)?,
    };
    c.end()?;
    Ok(evidence)
}

fn event_reasons(element: &Element) -> Read<EventReasons> {
    let mut c = Children::of(element);
    let event_reason = c.some(Space::Etsi, "EventReason", |element| {
        let mut c = Children::of(element);
        let code = text(c.need(Space::Local, "Code")?)?;
        let details = c.many(Space::Local, "Details", text)?;
        c.end()?;
        Ok(EventReason { code, details })
    })?;
    c.end()?;
    Ok(EventReasons { event_reason })
}

fn policies(element: &Element) -> Read<PolicyIds> {
    let mut c = Children::of(element);
    let policy_id = c.some(Space::Local, "PolicyID", text)?;
    c.end()?;
    Ok(PolicyIds { policy_id })
}

fn entity(element: &Element) -> Read<EntityDetails> {
    let mut c = Children::of(element);
    let identity = identity(c.need(Space::Etsi, "Identity")?)?;
    c.end()?;
    Ok(EntityDetails { identity })
}

fn identity(element: &Element) -> Read<Identity> {
    let mut c = Children::of(element);
    let attribute = c.some(Space::Saml, "Attribute", |element| {
        let mut c = Children::of(element);
        let name = c.attribute("Name")?;
        let attribute_value = c.many(Space::Saml, "AttributeValue", text)?;
        c.end()?;
        Ok(Attribute { name, attribute_value })
    })?;
    c.end()?;
    Ok(Identity { attribute })
}

fn user(element: &Element) -> Read<UserDetails> {
    let mut c = Children::of(element);
    let details = UserDetails {
        identity: c.take(Space::Etsi, "Identity").map(identity).transpose()?,
        identifier: identifier(c.need(Space::Local, "Identifier")?)?,
        assurance_levels_details: c
            .take(Space::Local, "AssuranceLevelsDetails")
            .map(assurance)
            .transpose()?,
    };
    c.end()?;
    Ok(details)
}

fn identifier(element: &Element) -> Read<Identifier> {
    let mut c = Children::of(element);
    let scheme = c.attribute("IdentifierSchemeName")?;
    c.end()?;
    Ok(Identifier { value: element.text.clone(), scheme })
}

fn assurance(element: &Element) -> Read<AssuranceLevelsDetails> {
    let mut c = Children::of(element);
    let mut level = Children::of(c.need(Space::Local, "GlobalAssuranceLevel")?);
    let assurance_level = text(level.need(Space::Local, "AssuranceLevel")?)?;
    level.end()?;
    let mut how = Children::of(c.need(Space::Etsi, "AuthenticationDetails")?);
    let authentication_details = AuthenticationDetails {
        authentication_time: time(how.need(Space::Local, "AuthenticationTime")?)?,
        authentication_method: text(how.need(Space::Local, "AuthenticationMethod")?)?,
    };
    how.end()?;
    c.end()?;
    Ok(AssuranceLevelsDetails {
        global_assurance_level: AssuranceLevelDetails { assurance_level },
        authentication_details,
    })
}

fn content(element: &Element) -> Read<UserContentInfo> {
    let mut c = Children::of(element);
    let composing_parts = value(c.need(Space::Local, "ComposingParts")?, "a number")?;
    let mut parts = Children::of(c.need(Space::Etsi, "PartsInfo")?);
    let part_info = parts.some(Space::Etsi, "PartInfo", part)?;
    parts.end()?;
    c.end()?;
    Ok(UserContentInfo { composing_parts, parts_info: PartsInfo { part_info } })
}

fn part(element: &Element) -> Read<PartInfo> {
    let mut c = Children::of(element);
    let identifier = text(c.need(Space::Local, "Identifier")?)?;
    let content_type = text(c.need(Space::Local, "ContentType")?)?;
    let mut method = Children::of(c.need(Space::Ds, "DigestMethod")?);
    let digest_method = method.attribute("Algorithm")?;
    method.end()?;
    let digest = c.need(Space::Ds, "DigestValue")?;
    // xs:base64Binary may be broken into lines.
    let compact: String = text(digest)?.split_ascii_whitespace().collect();
    let octets = STANDARD.decode(compact).ok();
    let digest_value = octets
        .and_then(|o| Digest::from_slice(&o))
        .ok_or_else(|| wrong(digest, "a SHA-256 digest in base64"))?;
    c.end()?;
    Ok(PartInfo { identifier, content_type, digest_method, digest_value })
}

fn extensions(element: &Element) -> Read<Extensions> {
    let mut c = Children::of(element);
    let extension = c.some(Space::Etsi, "Extension", |element| {
        let mut c = Children::of(element);
        // xs:boolean (XML Schema part 2 §3.2.2).
        let is_critical = match c.attribute("isCritical")?.as_str() {
            "true" | "1" => true,
            "false" | "0" => false,
            _ => return Err(wrong(element, "marked by true or false")),
        };
        let extension = Extension {
            is_critical,
            delivery_identifier: c
                .take(Space::Pli, "DeliveryIdentifier")
                .map(|e| value(e, "a UUID"))
                .transpose()?,
            previous_evidence_digest: c
                .take(Space::Pli, "PreviousEvidenceDigest")
                .map(|e| value(e, "a SHA-256 digest in hexadecimal"))
                .transpose()?,
            hop: value(c.need(Space::Pli, "Hop")?, "a hop count")?,
            state: text(c.need(Space::Pli, "State")?)?,
        };
        c.end()?;
        Ok(extension)
    })?;
    c.end()?;
    Ok(Extensions { extension })
}

/// The children and attributes of one element, taken one after the other.
struct Children<'a> {
    parent: &'a Element,
    rest: &'a [Element],
    attributes_taken: usize,
}

impl<'a> Children<'a> {
    fn of(parent: &'a Element) -> Self {
        Self { parent, rest: &parent.children, attributes_taken: 0 }
    }

    fn attribute(&mut self, name: &'static str) -> Read<String> {
        match self.parent.attributes.iter().find(|(key, _)| key == name) {
            Some((_, value)) => {
                self.attributes_taken += 1;
                Ok(value.clone())
            }
            None => Err(self.missing(name)),
        }
    }

    fn take(&mut self, space: Space, name: &'static str) -> Option<&'a Element> {
        let (first, rest) = self.rest.split_first()?;
        if first.space != space || first.name != name {
            return None;
        }
        self.rest = rest;
        Some(first)
    }

    fn need(&mut self, space: Space, name: &'static str) -> Read<&'a Element> {
        self.take(space, name).ok_or_else(|| self.missing(name))
    }

    fn many<T>(
        &mut self,
        space: Space,
        name: &'static str,
        read: impl Fn(&'a Element) -> Read<T>,
    ) -> Read<Vec<T>> {
        let mut out = Vec::new();
        while let Some(element) = self.take(space, name) {
            out.push(read(element)?);
        }
        Ok(out)
    }

    fn some<T>(
        &mut self,
        space: Space,
        name: &'static str,
        read: impl Fn(&'a Element) -> Read<T>,
    ) -> Read<Vec<T>> {
        let out = self.many(space, name, read)?;
        if out.is_empty() { Err(self.missing(name)) } else { Ok(out) }
    }

    /// Nothing may be left over.
    fn end(&self) -> Read<()> {
        let unexpected = |at, name: &str| BadXml::Unexpected {
            at,
            parent: self.parent.name.clone(),
            name: name.chars().take(80).collect(),
        };
        if let Some(extra) = self.rest.first() {
            return Err(unexpected(extra.at, &extra.name));
        }
        if self.attributes_taken != self.parent.attributes.len() {
            return Err(unexpected(self.parent.at, "another attribute"));
        }
        Ok(())
    }

    fn missing(&self, name: &'static str) -> BadXml {
        let at = self.rest.first().map_or(self.parent.at, |e| e.at);
        BadXml::Missing { at, parent: self.parent.name.clone(), name }
    }
}

/// Character data of an element without children and attributes.
fn text(element: &Element) -> Read<String> {
    Children::of(element).end()?;
    Ok(element.text.clone())
}

/// A value that the schema trims (`xs:dateTime`, `xs:int`) or that cannot hold white space.
fn value<T: FromStr>(element: &Element, wanted: &'static str) -> Read<T> {
    text(element)?.trim().parse().map_err(|_| wrong(element, wanted))
}

fn time(element: &Element) -> Read<Timestamp> {
    value(element, "a time with its zone")
}

fn wrong(element: &Element, wanted: &'static str) -> BadXml {
    BadXml::Value { at: element.at, name: element.name.clone(), wanted }
}
