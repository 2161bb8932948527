//! Parties: who sends and who receives, by ISO 6523 scheme and number.

use std::fmt;
use std::str::FromStr;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::ids::{BadId, Cog, Siren, Siret};

/// ISO 6523 ICD 0009, SIRET.
pub const SIRET: &str = "iso6523:0009";
/// ISO 6523 ICD 0002, SIREN.
pub const SIREN: &str = "iso6523:0002";
/// A commune by its COG code: what remains of an addressee that the directory does not know.
pub const COG: &str = "insee:cog";

/// An address: `{ scheme, id, service?, desk? }`. `desk` holds the INSEE COG code where a
/// démarche routes by it. Used in stored state.
#[derive(
    Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema,
)]
#[serde(deny_unknown_fields)]
#[schemars(extend("if" = written(SIRET), "then" = number(SIRET_DIGITS), "else" = {
    "if": written(SIREN), "then": number(SIREN_DIGITS), "else": number(COG_CODE),
}))]
pub struct Party {
    /// `iso6523:0009` (SIRET), `iso6523:0002` (SIREN), or `insee:cog` (COG code of a commune, where
    /// the directory knows no number).
    #[schemars(extend("enum" = [SIRET, SIREN, COG]))]
    pub scheme: String,
    /// The number, with the check digit of its scheme.
    pub id: String,
    /// Service inside the organisation, 1 to 100 characters without colon or control character.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 100), regex(pattern = PART))]
    pub service: Option<String>,
    /// Desk (guichet), often a COG code; 1 to 100 characters without colon or control character.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 100), regex(pattern = PART))]
    pub desk: Option<String>,
}

const SIRET_DIGITS: &str = "^[0-9]{14}$";
const SIREN_DIGITS: &str = "^[0-9]{9}$";
/// How a COG code is written, as a regular expression.
pub(crate) const COG_CODE: &str = "^([0-9]{2}|2[AB])[0-9]{3}$";
/// What service and desk are made of: neither colons nor control characters.
const PART: &str = r"^[^:\u0000-\u001f\u007f-\u009f]*$";

/// JSON Schema: the party is of this scheme.
fn written(scheme: &str) -> Value {
    json!({ "properties": { "scheme": { "const": scheme } } })
}

/// JSON Schema: the number matches `pattern`.
fn number(pattern: &str) -> Value {
    json!({ "properties": { "id": { "pattern": pattern } } })
}

impl Party {
    /// A party by its SIRET.
    #[must_use]
    pub fn siret(id: &Siret) -> Self {
        Self { scheme: SIRET.to_owned(), id: id.to_string(), service: None, desk: None }
    }

    /// Checks scheme, number and lengths.
    ///
    /// # Errors
    /// [`BadId`] naming what is not well formed.
    pub fn check(&self) -> Result<(), BadId> {
        match self.scheme.as_str() {
            SIRET => self.id.parse::<Siret>().map(drop)?,
            SIREN => self.id.parse::<Siren>().map(drop)?,
            COG => self.id.parse::<Cog>().map(drop)?,
            other => return Err(BadId::shape(other, "a known party scheme")),
        }
        // A colon would let two parties share one key.
        let bad = |c: char| c.is_control() || c == ':';
        for part in [&self.service, &self.desk].into_iter().flatten() {
            if !(1..=100).contains(&part.chars().count()) || part.chars().any(bad) {
                return Err(BadId::shape(
                    part,
                    "a service or desk (1 to 100 characters, no colon)",
                ));
            }
        }
        Ok(())
    }

    /// The organisation alone, without service and desk: what a member is known by.
    #[must_use]
    pub fn organisation(&self) -> Self {
        Self { scheme: self.scheme.clone(), id: self.id.clone(), service: None, desk: None }
    }

    /// `scheme:id[:service[:desk]]`, the identifier used as a key and in evidence (I02, I06).
    #[must_use]
    pub fn key(&self) -> String {
        self.to_string()
    }

    /// The desk as a COG code, when it is one.
    #[must_use]
    pub fn cog(&self) -> Option<Cog> {
        self.desk.as_deref().and_then(|d| d.parse().ok())
    }
}

impl fmt::Display for Party {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.scheme, self.id)?;
        match (&self.service, &self.desk) {
            (Some(s), Some(d)) => write!(f, ":{s}:{d}"),
            (Some(s), None) => write!(f, ":{s}"),
            (None, Some(d)) => write!(f, "::{d}"),
            (None, None) => Ok(()),
        }
    }
}

impl FromStr for Party {
    type Err = BadId;

    /// Reads `scheme:id[:service[:desk]]`, or a bare SIRET or SIREN in place of `scheme:id`.
    /// An empty service stands for none (`732829320:` is refused, `732829320::34172` has a desk).
    fn from_str(text: &str) -> Result<Self, BadId> {
        let scheme = [SIRET, SIREN].into_iter().find_map(|scheme| {
            let rest = text.strip_prefix(scheme)?.strip_prefix(':')?;
            Some((scheme, rest))
        });
        let (id_len, rest) = (text.find(':').unwrap_or(text.len()), text);
        let (scheme, rest) = match (scheme, id_len) {
            (Some(found), _) => found,
            (None, 14) => (SIRET, rest),
            (None, 9) => (SIREN, rest),
            _ => return Err(BadId::shape(text, "a party (SIRET, SIREN or scheme:id)")),
        };
        let mut parts = rest.splitn(3, ':').map(ToOwned::to_owned);
        let (id, service, desk) = (parts.next().unwrap_or_default(), parts.next(), parts.next());
        // An empty service is a place holder, and only in front of a desk.
        let service = service.filter(|s| !s.is_empty() || desk.is_none());
        let party = Self { scheme: scheme.to_owned(), id, service, desk };
        party.check().map(|()| party)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn read_back_as_written() {
        for text in [
            "iso6523:0009:73282932000074",
            "iso6523:0009:73282932000074:etat-civil",
            "iso6523:0009:73282932000074:etat-civil:34172",
            "iso6523:0002:732829320::2A004",
        ] {
            assert_eq!(text.parse::<Party>().unwrap().key(), text);
        }
    }

    #[test]
    fn bare_numbers() {
        let siret: Party = "73282932000074".parse().unwrap();
        assert_eq!(siret.key(), "iso6523:0009:73282932000074");
        let siren: Party = "732829320:etat-civil".parse().unwrap();
        assert_eq!(siren.key(), "iso6523:0002:732829320:etat-civil");
    }

    #[test]
    fn refused() {
        for bad in [
            "",
            "7328293",
            "73282932000075",
            "732829320:",
            "732829320:a:",
            "732829320::",
            "732829320:a:b:c",
            "iso6523:0009:732829320",
            "iso6523:0060:732829320",
            "iso6523:0009",
            "ééééééééé",
        ] {
            assert!(bad.parse::<Party>().is_err(), "{bad}");
        }
    }

    #[test]
    fn no_two_parties_share_a_key() {
        let mut party: Party = "732829320".parse().unwrap();
        party.service = Some("a:b".into());
        assert!(party.check().is_err());
        party.service = None;
        party.desk = Some("a:b".into());
        assert!(party.check().is_err());
    }
}
