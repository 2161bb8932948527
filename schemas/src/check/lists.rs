//! Directory lists, catalogue and business status.

use super::envelope::{MAX_CODE, MAX_PROSE, address, option};
use super::{Invalid, MAX_SAFE_INTEGER, Rule, count, line, prose, unique, version_one};
use crate::catalogue::{Catalogue, Process, Span};
use crate::directory::{MemberEntry, MembersList, NodeEntry, RootList, Scope};
use crate::envelope::MAX_DOCUMENTS;
use crate::status::StatusUpdate;
use crate::time::Timestamp;

/// Most nodes of a root list.
pub const MAX_NODES: usize = 10_000;
/// Most members of one node.
pub const MAX_MEMBERS: usize = 100_000;
/// Most démarches of a catalogue.
pub const MAX_PROCESSES: usize = 10_000;
/// Most entries of the lists inside an entry.
const MAX_INNER: usize = 1_000;
/// Longest name of an organisation or a démarche, in characters.
const MAX_NAME: usize = 255;
/// Most years, in days, of a span or a retention.
const MAX_DAYS: u64 = 36_525;

impl RootList {
    /// Checks version, dates, and that every node stands once and is reached through another one.
    ///
    /// # Errors
    /// The first broken rule.
    pub fn check(&self) -> Result<(), Invalid> {
        version_one(self.version)?;
        dates(self.issued_at, self.expires_at)?;
        count(self.nodes.len(), 0, MAX_NODES).map_err(|r| r.at("/nodes"))?;
        for (i, node) in self.nodes.iter().enumerate() {
            node.check().map_err(|e| e.under(&format!("/nodes/{i}")))?;
        }
        unique("/nodes", self.nodes.iter().map(|n| &n.id))
    }
}

impl NodeEntry {
    fn check(&self) -> Result<(), Invalid> {
        line(&self.operator, MAX_NAME).map_err(|r| r.at("/operator"))?;
        count(self.seal_certificates.len(), 1, 8).map_err(|r| r.at("/seal_certificates"))?;
        count(self.encryption_certificates.len(), 1, 8)
            .map_err(|r| r.at("/encryption_certificates"))?;
        count(self.backbones.len(), 1, 16).map_err(|r| r.at("/backbones"))?;
        for (i, backbone) in self.backbones.iter().enumerate() {
            line(backbone, MAX_CODE).map_err(|r| r.at(format!("/backbones/{i}")))?;
        }
        unique("/backbones", &self.backbones)?;
        if self.via.as_ref() == Some(&self.id) {
            return Err(Rule::SameAs("id").at("/via"));
        }
        self.scope.check()
    }
}

impl Scope {
    fn check(&self) -> Result<(), Invalid> {
        count(self.departments.len(), 0, MAX_INNER).map_err(|r| r.at("/scope/departments"))?;
        for (i, department) in self.departments.iter().enumerate() {
            if !is_department(department) {
                return Err(Rule::Character.at(format!("/scope/departments/{i}")));
            }
        }
        Ok(())
    }
}

impl MembersList {
    /// Checks version, dates, and that every member stands once.
    ///
    /// # Errors
    /// The first broken rule.
    pub fn check(&self) -> Result<(), Invalid> {
        version_one(self.version)?;
        dates(self.issued_at, self.expires_at)?;
        count(self.members.len(), 0, MAX_MEMBERS).map_err(|r| r.at("/members"))?;
        for (i, member) in self.members.iter().enumerate() {
            member.check().map_err(|e| e.under(&format!("/members/{i}")))?;
        }
        unique("/members", self.members.iter().map(|m| &m.party))
    }
}

impl MemberEntry {
    fn check(&self) -> Result<(), Invalid> {
        address(&self.party, "/party")?;
        line(&self.name, MAX_NAME).map_err(|r| r.at("/name"))?;
        count(self.processes.len(), 0, MAX_INNER).map_err(|r| r.at("/processes"))?;
        unique("/processes", &self.processes)?;
        let Some(successor) = &self.successor else { return Ok(()) };
        address(successor, "/successor")?;
        if *successor == self.party {
            return Err(Rule::SameAs("party").at("/successor"));
        }
        Ok(())
    }
}

impl Catalogue {
    /// Checks version, dates, and that every démarche stands once with usable limits.
    ///
    /// # Errors
    /// The first broken rule.
    pub fn check(&self) -> Result<(), Invalid> {
        version_one(self.version)?;
        dates(self.issued_at, self.expires_at)?;
        count(self.processes.len(), 0, MAX_PROCESSES).map_err(|r| r.at("/processes"))?;
        for (i, process) in self.processes.iter().enumerate() {
            process.check().map_err(|e| e.under(&format!("/processes/{i}")))?;
        }
        unique("/processes", self.processes.iter().map(|p| &p.code))
    }
}

impl Process {
    fn check(&self) -> Result<(), Invalid> {
        line(&self.name, MAX_NAME).map_err(|r| r.at("/name"))?;
        line(&self.name_en, MAX_NAME).map_err(|r| r.at("/name_en"))?;
        line(&self.owner, MAX_NAME).map_err(|r| r.at("/owner"))?;
        for (list, path) in [(&self.senders, "/senders"), (&self.recipients, "/recipients")] {
            for (i, party) in list.iter().flatten().enumerate() {
                address(party, &format!("{path}/{i}"))?;
            }
        }
        count(self.media_types.len(), 1, MAX_INNER).map_err(|r| r.at("/media_types"))?;
        for (i, range) in self.media_types.iter().enumerate() {
            if !is_media_range(range) {
                return Err(Rule::MediaType.at(format!("/media_types/{i}")));
            }
        }
        within(self.max_message_size, MAX_SAFE_INTEGER, "/max_message_size")?;
        within(self.max_document_size, self.max_message_size, "/max_document_size")?;
        within(self.retention_days.into(), MAX_DAYS, "/retention_days")?;
        let d = &self.deadlines;
        for (span, path) in [
            (d.relay_send, "/deadlines/relay_send"),
            (d.relay_ack, "/deadlines/relay_ack"),
            (d.consign, "/deadlines/consign"),
            (d.consign_warning, "/deadlines/consign_warning"),
            (d.handover, "/deadlines/handover"),
            (d.acceptance, "/deadlines/acceptance"),
        ] {
            let days = match span {
                Span::Hours(h) => u64::from(h).div_ceil(24),
                Span::Days(d) | Span::WorkingDays(d) => u64::from(d),
            };
            within(days, MAX_DAYS, path)?;
        }
        Ok(())
    }
}

impl StatusUpdate {
    /// Checks version, author and lengths. Whether the author may set this status after the
    /// present one is [`crate::status::BusinessStatus::check_step`]'s question.
    ///
    /// # Errors
    /// The first broken rule.
    pub fn check(&self) -> Result<(), Invalid> {
        version_one(self.version)?;
        address(&self.author, "/author")?;
        option(self.reason.as_deref(), "/reason", |t| line(t, MAX_CODE))?;
        option(self.message.as_deref(), "/message", |t| prose(t, MAX_PROSE))?;
        count(self.documents.len(), 0, MAX_DOCUMENTS).map_err(|r| r.at("/documents"))?;
        unique("/documents", &self.documents)
    }
}

fn dates(issued: Timestamp, expires: Timestamp) -> Result<(), Invalid> {
    if expires > issued { Ok(()) } else { Err(Rule::NotAfter("issued_at").at("/expires_at")) }
}

fn within(found: u64, most: u64, path: &str) -> Result<(), Invalid> {
    if (1..=most).contains(&found) {
        Ok(())
    } else {
        Err(Rule::Range { least: 1, most, found }.at(path))
    }
}

/// `34`, `2A`, `971`.
fn is_department(text: &str) -> bool {
    matches!(text, "2A" | "2B")
        || ((2..=3).contains(&text.len()) && text.bytes().all(|b| b.is_ascii_digit()))
}

/// A media type, `image/*` or `*/*`.
fn is_media_range(text: &str) -> bool {
    text == "*/*"
        || super::is_media_type(text)
        || text.strip_suffix("/*").is_some_and(|kind| super::is_media_type(&format!("{kind}/x")))
}

#[cfg(test)]
mod tests {
    use crate::sample;

    #[test]
    fn the_samples_pass() {
        assert_eq!(sample::root_list().check(), Ok(()));
        assert_eq!(sample::members_list().check(), Ok(()));
        assert_eq!(sample::catalogue().check(), Ok(()));
        assert_eq!(sample::status_update().check(), Ok(()));
    }

    #[test]
    fn lists_name_the_broken_entry() {
        let mut list = sample::root_list();
        list.nodes.push(list.nodes[0].clone());
        assert!(list.check().unwrap_err().path.starts_with("/nodes/"));
        let mut list = sample::root_list();
        list.nodes[0].scope.departments = vec!["3A".into()];
        assert_eq!(list.check().unwrap_err().path, "/nodes/0/scope/departments/0");
        let mut list = sample::members_list();
        list.expires_at = list.issued_at;
        assert_eq!(list.check().unwrap_err().path, "/expires_at");
        let mut list = sample::members_list();
        list.members[0].successor = Some(list.members[0].party.clone());
        assert_eq!(list.check().unwrap_err().path, "/members/0/successor");
        let mut catalogue = sample::catalogue();
        catalogue.processes[0].media_types = vec!["pdf".into()];
        assert_eq!(catalogue.check().unwrap_err().path, "/processes/0/media_types/0");
        let mut catalogue = sample::catalogue();
        catalogue.processes[0].max_document_size = u64::MAX;
        assert_eq!(catalogue.check().unwrap_err().path, "/processes/0/max_document_size");
    }

    #[test]
    fn a_status_message_may_have_lines_but_no_controls() {
        let mut update = sample::status_update();
        update.message = Some("Un\nDeux".into());
        assert_eq!(update.check(), Ok(()));
        update.message = Some("Un\u{7}".into());
        assert_eq!(update.check().unwrap_err().path, "/message");
    }
}
