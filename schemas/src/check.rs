//! Validation: the rules that the types alone do not hold.
//!
//! Every object of the paper has a `check()`. It answers the first broken rule as [`Invalid`]: the
//! place as a JSON Pointer (RFC 6901) into the object's own JSON, and a sentence in English and in
//! French. `check/envelope.rs` holds what a sender says, `check/evidence.rs` the components of
//! EN 319 522-2 clause 8, `check/lists.rs` directory, catalogue and business status.
//!
//! Deliberately absent: rules that need the directory, the catalogue or a clock; they are
//! decisions, and live in `exchange-core`.

use std::collections::HashMap;
use std::fmt;
use std::hash::Hash;

use crate::event::{Event, Reason};
use crate::ids::BadId;
use crate::problem::{Code, Problem};
use crate::status::{BusinessStatus, Role};

mod envelope;
mod evidence;
mod lists;

pub use envelope::{MAX_CODE, MAX_HOPS, MAX_PROSE, MAX_SUBJECT_KEY};
pub use lists::{MAX_MEMBERS, MAX_NODES, MAX_PROCESSES};

/// An object that breaks a rule, and where.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Invalid {
    /// JSON Pointer (RFC 6901); empty for the object as a whole.
    pub path: String,
    /// What is broken there.
    pub rule: Rule,
}

/// The rules. Lengths are in characters (Unicode scalar values) unless said otherwise.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Rule {
    /// The version text or number is another one.
    Version {
        /// What this edition reads.
        expected: &'static str,
        /// What stood there.
        found: String,
    },
    /// Too few or too many entries.
    Count {
        /// Fewest.
        least: usize,
        /// Most.
        most: usize,
        /// Present.
        found: usize,
    },
    /// Empty or too long.
    Length {
        /// Most.
        most: usize,
        /// Present.
        found: usize,
    },
    /// A control character, a bidirectional override, or a character that XML cannot hold.
    Character,
    /// A party that is not well formed.
    Address(BadId),
    /// Not the name of a document (`protocol.md` section 2).
    Name,
    /// Not a media type in lower case without parameters (RFC 6838 §4.2).
    MediaType,
    /// Not an absolute URI (RFC 3986).
    Uri,
    /// A number out of its bounds.
    Range {
        /// Smallest.
        least: u64,
        /// Largest.
        most: u64,
        /// Present.
        found: u64,
    },
    /// Stands already elsewhere.
    Duplicate {
        /// Position of the first.
        first: usize,
    },
    /// A time that does not lie after another one.
    NotAfter(&'static str),
    /// The same as another member, from which it must differ.
    SameAs(&'static str),
    /// Does not agree with another member.
    Disagrees(&'static str),
    /// A document for nobody.
    ForNobody,
    /// A recipient who gets no document.
    GetsNothing,
    /// An event that the standard does not know.
    UnknownEvent(String),
    /// A reason with the prefix of the standard that the standard does not know.
    UnknownReason(String),
    /// A reason that does not belong to the event (EN 319 522-2 clause 8.3.3).
    ForeignReason(Event, Reason),
    /// A component that this event needs.
    Needed(&'static str, Event),
    /// A component that this event may not have.
    Unwanted(&'static str, Event),
    /// A business status set by the wrong side.
    Setter(BusinessStatus, Role),
    /// A business status that may not follow the present one.
    Follows(Option<BusinessStatus>, BusinessStatus),
}

impl Rule {
    /// This rule, broken at `path`.
    pub(crate) fn at(self, path: impl Into<String>) -> Invalid {
        Invalid { path: path.into(), rule: self }
    }

    /// The English sentence, without the place.
    #[must_use]
    pub fn en(&self) -> String {
        match self {
            Self::Version { expected, found } => format!("must be {expected}, not {found}"),
            Self::Count { least, most, found } => {
                format!("must have {least} to {most} entries, not {found}")
            }
            Self::Length { most, found } => {
                format!("must have 1 to {most} characters, not {found}")
            }
            Self::Character => "holds a control character or one that is not allowed here".into(),
            Self::Address(why) => why.to_string(),
            Self::Name => "is not a document name: 1 to 255 bytes of UTF-8, no path separator, \
                           no control character, no space at either end"
                .into(),
            Self::MediaType => {
                "is not a media type such as application/pdf (lower case, no parameters)".into()
            }
            Self::Uri => "is not an absolute URI".into(),
            Self::Range { least, most, found } => {
                format!("must lie between {least} and {most}, and is {found}")
            }
            Self::Duplicate { first } => format!("repeats entry {first}"),
            Self::NotAfter(other) => format!("must be later than {other}"),
            Self::SameAs(other) => format!("must differ from {other}"),
            Self::Disagrees(other) => format!("does not agree with {other}"),
            Self::ForNobody => "is for none of the recipients".into(),
            Self::GetsNothing => "gets none of the documents".into(),
            Self::UnknownEvent(uri) => format!("{uri} is not an event of EN 319 522"),
            Self::UnknownReason(uri) => format!("{uri} is not a reason of EN 319 522"),
            Self::ForeignReason(event, reason) => format!(
                "{} ({}) is not a reason of {} ({})",
                reason.code(),
                reason.suffix(),
                event.clause(),
                event.name()
            ),
            Self::Needed(component, event) => {
                format!(
                    "{component} is needed in evidence of {} ({})",
                    event.clause(),
                    event.name()
                )
            }
            Self::Unwanted(component, event) => format!(
                "{component} may not stand in evidence of {} ({})",
                event.clause(),
                event.name()
            ),
            Self::Setter(status, role) => {
                format!("{} is not for the {} to set", status.name(), role.en())
            }
            Self::Follows(None, status) => format!("{} cannot come first", status.name()),
            Self::Follows(Some(now), status) => {
                format!("{} cannot follow {}", status.name(), now.name())
            }
        }
    }

    /// The French sentence, without the place.
    #[must_use]
    pub fn fr(&self) -> String {
        match self {
            Self::Version { expected, found } => format!("doit valoir {expected}, et non {found}"),
            Self::Count { least, most, found } => {
                format!("doit compter de {least} à {most} éléments, et non {found}")
            }
            Self::Length { most, found } => {
                format!("doit compter de 1 à {most} caractères, et non {found}")
            }
            Self::Character => {
                "contient un caractère de contrôle ou un caractère interdit ici".into()
            }
            Self::Address(why) => why.fr(),
            Self::Name => "n'est pas un nom de document : 1 à 255 octets en UTF-8, sans \
                           séparateur de chemin, ni caractère de contrôle, ni espace aux bouts"
                .into(),
            Self::MediaType => "n'est pas un type de média comme application/pdf (en minuscules, \
                                sans paramètre)"
                .into(),
            Self::Uri => "n'est pas une URI absolue".into(),
            Self::Range { least, most, found } => {
                format!("doit être compris entre {least} et {most}, et vaut {found}")
            }
            Self::Duplicate { first } => format!("répète l'élément {first}"),
            Self::NotAfter(other) => format!("doit être postérieur à {other}"),
            Self::SameAs(other) => format!("doit différer de {other}"),
            Self::Disagrees(other) => format!("ne concorde pas avec {other}"),
            Self::ForNobody => "ne s'adresse à aucun destinataire".into(),
            Self::GetsNothing => "ne reçoit aucun document".into(),
            Self::UnknownEvent(uri) => {
                format!("{uri} n'est pas un événement de la norme EN 319 522")
            }
            Self::UnknownReason(uri) => format!("{uri} n'est pas un motif de la norme EN 319 522"),
            Self::ForeignReason(event, reason) => format!(
                "{} ({}) n'est pas un motif de {} ({})",
                reason.code(),
                reason.suffix(),
                event.clause(),
                event.name()
            ),
            Self::Needed(component, event) => format!(
                "{component} est nécessaire dans une preuve {} ({})",
                event.clause(),
                event.name()
            ),
            Self::Unwanted(component, event) => format!(
                "{component} ne peut figurer dans une preuve {} ({})",
                event.clause(),
                event.name()
            ),
            Self::Setter(status, role) => {
                format!("le statut {} ne relève pas {}", status.name(), role.fr())
            }
            Self::Follows(None, status) => {
                format!("le statut {} ne peut pas venir en premier", status.name())
            }
            Self::Follows(Some(now), status) => {
                format!("le statut {} ne peut pas suivre {}", status.name(), now.name())
            }
        }
    }
}

impl Invalid {
    /// The English sentence, with the place.
    #[must_use]
    pub fn en(&self) -> String {
        match self.path.as_str() {
            "" => format!("the whole {}", self.rule.en()),
            path => format!("{path} {}", self.rule.en()),
        }
    }

    /// The French sentence, with the place.
    #[must_use]
    pub fn fr(&self) -> String {
        match self.path.as_str() {
            "" => format!("l'ensemble {}", self.rule.fr()),
            path => format!("{path} {}", self.rule.fr()),
        }
    }

    /// The same, inside a larger object: `prefix` is a JSON Pointer.
    #[must_use]
    pub fn under(self, prefix: &str) -> Self {
        Self { path: format!("{prefix}{}", self.path), rule: self.rule }
    }

    /// A problem whose details are the two sentences.
    #[must_use]
    pub fn problem(&self, code: Code) -> Problem {
        Problem::new(code, self.en(), self.fr())
    }
}

impl fmt::Display for Invalid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.en())
    }
}

impl std::error::Error for Invalid {}

/// Largest integer that every JSON reader keeps exactly (RFC 7493 §2.2).
pub const MAX_SAFE_INTEGER: u64 = (1 << 53) - 1;

/// What [`is_media_type`] accepts, as a regular expression.
pub const MEDIA_TYPE: &str = "^[a-z0-9][a-z0-9!#$&^_.+-]{0,126}/[a-z0-9][a-z0-9!#$&^_.+-]{0,126}$";

/// Whether `text` is a media type in lower case without parameters (RFC 6838 §4.2).
#[must_use]
pub fn is_media_type(text: &str) -> bool {
    let name = |part: &str| {
        (1..=127).contains(&part.len())
            && part.starts_with(|c: char| c.is_ascii_lowercase() || c.is_ascii_digit())
            && part
                .bytes()
                .all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b"!#$&-^_.+".contains(&b))
    };
    text.split_once('/').is_some_and(|(kind, subtype)| name(kind) && name(subtype))
}

/// Whether `text` is an absolute URI of at most 2,000 characters (RFC 3986 §4.3, with a fragment,
/// without the IP literals of §3.2.2: names stand here, not places).
#[must_use]
pub fn is_uri(text: &str) -> bool {
    let Some((scheme, rest)) = text.split_once(':') else { return false };
    let head = scheme.starts_with(|c: char| c.is_ascii_alphabetic())
        && scheme.bytes().all(|b| b.is_ascii_alphanumeric() || b"+-.".contains(&b));
    let (rest, fragment) = rest.split_once('#').unwrap_or((rest, ""));
    let (authority, path) = match rest.strip_prefix("//") {
        Some(rest) => rest.split_at(rest.find(['/', '?']).unwrap_or(rest.len())),
        None => ("", rest),
    };
    // §3.2: at most one `@`, and after the host nothing but digits.
    let (user, place) = authority.split_once('@').unwrap_or(("", authority));
    let (host, port) = place.split_once(':').unwrap_or((place, ""));
    head && !rest.is_empty()
        && text.len() <= 2_000
        && is_made_of(user, b":")
        && is_made_of(host, b"")
        && port.bytes().all(|b| b.is_ascii_digit())
        && is_made_of(path, b":@/?")
        && is_made_of(fragment, b":@/?")
}

/// RFC 3986 §2: unreserved characters, sub-delimiters, whole percent-encodings, and `more`.
fn is_made_of(part: &str, more: &[u8]) -> bool {
    let mut pieces = part.split('%');
    let plain = |piece: &str| {
        piece.bytes().all(|b| {
            b.is_ascii_alphanumeric() || b"-._~!$&'()*+,;=".contains(&b) || more.contains(&b)
        })
    };
    pieces.next().is_none_or(plain)
        && pieces.all(|piece| {
            let digits = piece.bytes().take(2).filter(u8::is_ascii_hexdigit).count();
            digits == 2 && plain(piece)
        })
}

/// Whether a character may stand in a line that people read: no control character, no
/// bidirectional override, nothing that XML 1.0 cannot hold (§2.2).
fn is_plain(c: char) -> bool {
    !c.is_control()
        && !matches!(c, '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}' | '\u{fffe}' | '\u{ffff}')
}

/// A line of 1 to `most` characters.
fn line(text: &str, most: usize) -> Result<(), Rule> {
    length(text, most)?;
    if text.chars().all(is_plain) { Ok(()) } else { Err(Rule::Character) }
}

/// A text of 1 to `most` characters that may have several lines.
fn prose(text: &str, most: usize) -> Result<(), Rule> {
    length(text, most)?;
    let plain = |c| is_plain(c) || matches!(c, '\n' | '\r' | '\t');
    if text.chars().all(plain) { Ok(()) } else { Err(Rule::Character) }
}

fn length(text: &str, most: usize) -> Result<(), Rule> {
    let found = text.chars().count();
    if (1..=most).contains(&found) { Ok(()) } else { Err(Rule::Length { most, found }) }
}

fn count(found: usize, least: usize, most: usize) -> Result<(), Rule> {
    if (least..=most).contains(&found) { Ok(()) } else { Err(Rule::Count { least, most, found }) }
}

fn version_one(found: u8) -> Result<(), Invalid> {
    if found == 1 {
        return Ok(());
    }
    Err(Rule::Version { expected: "1", found: found.to_string() }.at("/version"))
}

/// Positions of the first repeated item and of its first appearance.
fn repeated<T: Eq + Hash>(items: impl IntoIterator<Item = T>) -> Option<(usize, usize)> {
    let mut seen = HashMap::new();
    items.into_iter().enumerate().find_map(|(i, item)| seen.insert(item, i).map(|first| (i, first)))
}

/// Refuses a list in which something stands twice.
fn unique<T: Eq + Hash>(path: &str, items: impl IntoIterator<Item = T>) -> Result<(), Invalid> {
    match repeated(items) {
        Some((i, first)) => Err(Rule::Duplicate { first }.at(format!("{path}/{i}"))),
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn media_types() {
        for good in ["application/pdf", "image/svg+xml", "application/vnd.etsi.asic-e+zip"] {
            assert!(is_media_type(good), "{good}");
        }
        for bad in ["", "pdf", "a/", "/b", "a/b/c", "Text/plain", "text/plain; q=1", "a /b", "é/b"]
        {
            assert!(!is_media_type(bad), "{bad}");
        }
    }

    #[test]
    fn uris() {
        for good in [
            "urn:pli:x",
            "http://uri.etsi.org/19522/Event/SubmissionAcceptance",
            "https://a:b@c.example:8443/d?e=%C3%A9&f=/?#g",
            "file:///a",
        ] {
            assert!(is_uri(good), "{good}");
        }
        for bad in [
            "",
            "pli",
            ":x",
            "urn:",
            "1a:b",
            "urn:a b",
            "urn:<",
            "urn:é",
            "urn:a#b#c",
            "urn:%4",
            "urn:%zz",
            "urn:%éa",
            "http://Z[uri.etsi.org/",
            "http://a@b@c/",
            "http://a:b/",
        ] {
            assert!(!is_uri(bad), "{bad}");
        }
    }

    #[test]
    fn the_sentences_name_the_place() {
        let e = Rule::Count { least: 1, most: 3, found: 9 }.at("/recipients");
        assert_eq!(e.en(), "/recipients must have 1 to 3 entries, not 9");
        assert_eq!(e.fr(), "/recipients doit compter de 1 à 3 éléments, et non 9");
        let problem = e.under("/envelope").problem(Code::EnvelopeInvalid);
        assert!(problem.detail_fr.starts_with("/envelope/recipients "));
    }
}
