//! Evidence to XML. Elements come in the order of the schema.

use std::fmt::{Display, Write as _};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use super::{BadXml, DS, ETSI, PLI, SAML, is_char};
use crate::evidence::{
    AssuranceLevelsDetails, EntityDetails, EventReasons, Evidence, Extension, Identity,
    UserContentInfo, UserDetails,
};

/// The whole document.
pub(super) fn document(evidence: &Evidence) -> Result<String, BadXml> {
    let mut out = Writer { text: String::with_capacity(8 * 1024), depth: 0, bad: None };
    out.text.push_str("<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n");
    let namespaces =
        [("xmlns:erds", ETSI), ("xmlns:saml", SAML), ("xmlns:ds", DS), ("xmlns:pli", PLI)];
    let version = [("version", evidence.version.as_str())];
    let attributes: Vec<_> = namespaces.into_iter().chain(version).collect();
    out.element("erds:Evidence", &attributes, |out| components(out, evidence));
    match out.bad {
        Some(c) => Err(BadXml::Character(c.into())),
        None => Ok(out.text),
    }
}

/// XSD `EvidenceType` and group `Components`.
fn components(out: &mut Writer, e: &Evidence) {
    out.leaf("erds:EvidenceIdentifier", e.evidence_identifier);
    out.leaf("erds:ERDSEventId", &e.erds_event_id);
    if let Some(reasons) = &e.event_reasons {
        out.element("erds:EventReasons", &[], |out| event_reasons(out, reasons));
    }
    out.leaf("EventTime", e.event_time);
    out.element("erds:EvidenceIssuerPolicyID", &[], |out| {
        e.evidence_issuer_policy_id.policy_id.iter().for_each(|p| out.leaf("PolicyID", p));
    });
    entity(out, "erds:EvidenceIssuerDetails", &e.evidence_issuer_details);
    user(out, "erds:SenderDetails", &e.sender_details);
    e.recipient_details.iter().for_each(|r| user(out, "erds:RecipientDetails", r));
    out.option("erds:SubmissionTime", e.submission_time.as_ref());
    out.option("EvidenceRefersToRecipient", e.evidence_refers_to_recipient.as_ref());
    out.leaf("erds:MessageIdentifier", e.message_identifier);
    content(out, &e.user_content_info);
    if let Some(details) = &e.external_erds_details {
        entity(out, "erds:ExternalERDSDetails", details);
    }
    out.option("ForwardedToExternalSystem", e.forwarded_to_external_system.as_ref());
    out.element("erds:Extensions", &[], |out| {
        e.extensions.extension.iter().for_each(|x| extension(out, x));
    });
}

fn event_reasons(out: &mut Writer, reasons: &EventReasons) {
    for reason in &reasons.event_reason {
        out.element("erds:EventReason", &[], |out| {
            out.leaf("Code", &reason.code);
            reason.details.iter().for_each(|d| out.leaf("Details", d));
        });
    }
}

fn entity(out: &mut Writer, name: &str, details: &EntityDetails) {
    out.element(name, &[], |out| identity(out, &details.identity));
}

fn identity(out: &mut Writer, identity: &Identity) {
    out.element("erds:Identity", &[], |out| {
        for attribute in &identity.attribute {
            out.element("saml:Attribute", &[("Name", &attribute.name)], |out| {
                attribute.attribute_value.iter().for_each(|v| out.leaf("saml:AttributeValue", v));
            });
        }
    });
}

fn user(out: &mut Writer, name: &str, details: &UserDetails) {
    out.element(name, &[], |out| {
        if let Some(i) = &details.identity {
            identity(out, i);
        }
        let scheme = [("IdentifierSchemeName", details.identifier.scheme.as_str())];
        out.leaf_with("Identifier", &scheme, &details.identifier.value);
        if let Some(levels) = &details.assurance_levels_details {
            assurance(out, levels);
        }
    });
}

fn assurance(out: &mut Writer, levels: &AssuranceLevelsDetails) {
    out.element("AssuranceLevelsDetails", &[], |out| {
        out.element("GlobalAssuranceLevel", &[], |out| {
            out.leaf("AssuranceLevel", &levels.global_assurance_level.assurance_level);
        });
        out.element("erds:AuthenticationDetails", &[], |out| {
            let details = &levels.authentication_details;
            out.leaf("AuthenticationTime", details.authentication_time);
            out.leaf("AuthenticationMethod", &details.authentication_method);
        });
    });
}

fn content(out: &mut Writer, info: &UserContentInfo) {
    out.element("erds:UserContentInfo", &[], |out| {
        out.leaf("ComposingParts", info.composing_parts);
        out.element("erds:PartsInfo", &[], |out| {
            for part in &info.parts_info.part_info {
                out.element("erds:PartInfo", &[], |out| {
                    out.leaf("Identifier", &part.identifier);
                    out.leaf("ContentType", &part.content_type);
                    out.empty("ds:DigestMethod", &[("Algorithm", &part.digest_method)]);
                    let digest = STANDARD.encode(part.digest_value.as_bytes());
                    out.leaf("ds:DigestValue", digest);
                });
            }
        });
    });
}

fn extension(out: &mut Writer, extension: &Extension) {
    let critical = if extension.is_critical { "true" } else { "false" };
    out.element("erds:Extension", &[("isCritical", critical)], |out| {
        out.option("pli:DeliveryIdentifier", extension.delivery_identifier.as_ref());
        out.option("pli:PreviousEvidenceDigest", extension.previous_evidence_digest.as_ref());
        out.leaf("pli:Hop", extension.hop);
        out.leaf("pli:State", &extension.state);
    });
}

/// Writes indented XML and remembers the first character that XML cannot hold.
struct Writer {
    text: String,
    depth: usize,
    bad: Option<char>,
}

impl Writer {
    fn element(&mut self, name: &str, attributes: &[(&str, &str)], inner: impl FnOnce(&mut Self)) {
        self.open(name, attributes, ">\n");
        self.depth += 1;
        inner(self);
        self.depth -= 1;
        self.indent();
        self.close(name);
    }

    fn leaf(&mut self, name: &str, value: impl Display) {
        self.leaf_with(name, &[], value);
    }

    fn leaf_with(&mut self, name: &str, attributes: &[(&str, &str)], value: impl Display) {
        self.open(name, attributes, ">");
        self.escaped(&value.to_string());
        self.close(name);
    }

    fn option(&mut self, name: &str, value: Option<&impl Display>) {
        if let Some(value) = value {
            self.leaf(name, value);
        }
    }

    fn empty(&mut self, name: &str, attributes: &[(&str, &str)]) {
        self.open(name, attributes, "/>\n");
    }

    fn open(&mut self, name: &str, attributes: &[(&str, &str)], end: &str) {
        self.indent();
        self.text.push('<');
        self.text.push_str(name);
        for (key, value) in attributes {
            let _ = write!(self.text, " {key}=\"");
            self.escaped(value);
            self.text.push('"');
        }
        self.text.push_str(end);
    }

    fn close(&mut self, name: &str) {
        let _ = writeln!(self.text, "</{name}>");
    }

    fn indent(&mut self) {
        (0..self.depth).for_each(|_| self.text.push_str("  "));
    }

    /// Escapes markup, and white space that a reader would change: line ends are normalised in
    /// text (XML §2.11), all white space in attributes (§3.3.3).
    fn escaped(&mut self, value: &str) {
        for c in value.chars() {
            match c {
                '&' => self.text.push_str("&amp;"),
                '<' => self.text.push_str("&lt;"),
                '>' => self.text.push_str("&gt;"),
                '"' => self.text.push_str("&quot;"),
                '\t' | '\n' | '\r' => {
                    let _ = write!(self.text, "&#{};", u32::from(c));
                }
                c if is_char(c) => self.text.push(c),
                c => self.bad = self.bad.or(Some(c)),
            }
        }
    }
}
