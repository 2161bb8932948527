//! Identifiers: SIRET, SIREN, COG, node ids, and the UUIDs of messages and evidence.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};
use uuid::Uuid;

/// Why a text is not the identifier it claims to be.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BadId {
    /// Wrong length, or a character that may not stand there.
    #[error("{0} is not written as {1}")]
    Shape(String, &'static str),
    /// The check digit does not agree (Luhn, or the La Poste rule).
    #[error("the check digit of {0} is wrong")]
    CheckDigit(String),
}

/// Most characters of a foreign text that an error repeats.
const CLIP: usize = 80;

/// A foreign text as an error repeats it: cut after [`CLIP`] characters.
pub(crate) fn clip(text: &str) -> String {
    match text.char_indices().nth(CLIP) {
        Some((end, _)) => format!("{}…", text.get(..end).unwrap_or_default()),
        None => text.to_owned(),
    }
}

impl BadId {
    /// `text` is not written as `what`; a long text is cut.
    pub(crate) fn shape(text: &str, what: &'static str) -> Self {
        Self::Shape(clip(text), what)
    }

    pub(crate) fn check_digit(text: &str) -> Self {
        Self::CheckDigit(clip(text))
    }

    /// The French sentence.
    #[must_use]
    pub fn fr(&self) -> String {
        match self {
            Self::Shape(text, what) => {
                format!("« {text} » n'a pas la forme attendue : {}", fr(what))
            }
            Self::CheckDigit(text) => format!("la clé de contrôle de {text} est fausse"),
        }
    }
}

/// The French of what an identifier should have been.
fn fr(what: &'static str) -> &'static str {
    match what {
        "a SIREN (9 digits)" => "un SIREN (9 chiffres)",
        "a SIRET (14 digits)" => "un SIRET (14 chiffres)",
        "a COG code (5 characters)" => "un code commune COG (5 caractères)",
        "a node id (DNS label)" => "un nom de nœud (étiquette DNS)",
        "a process code" => "un code de démarche",
        "a conversation id" => "un identifiant de conversation",
        "a UUID" => "un UUID",
        "a known party scheme" => "un schéma d'identification connu",
        "a service or desk (1 to 100 characters, no colon)" => {
            "un service ou un guichet (1 à 100 caractères, sans deux-points)"
        }
        "a party (SIRET, SIREN or scheme:id)" => "un SIRET, un SIREN ou schéma:numéro",
        other => other,
    }
}

/// SIREN of La Poste, whose establishments need not pass Luhn.
const LA_POSTE: &str = "356000000";

fn luhn(digits: &str) -> bool {
    let sum: u32 = digits
        .bytes()
        .rev()
        .enumerate()
        .map(|(i, b)| {
            let d = u32::from(b - b'0');
            match (i % 2, d) {
                (0, d) => d,
                (_, d) if d > 4 => 2 * d - 9,
                (_, d) => 2 * d,
            }
        })
        .sum();
    sum.is_multiple_of(10)
}

fn all_digits(text: &str, len: usize) -> bool {
    text.len() == len && text.bytes().all(|b| b.is_ascii_digit())
}

macro_rules! text_id {
    ($(#[$doc:meta])* $name:ident, $check:expr) => {
        $(#[$doc])*
        #[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(try_from = "String", into = "String")]
        pub struct $name(String);

        impl $name {
            /// The identifier as it is written.
            #[must_use]
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }
        impl FromStr for $name {
            type Err = BadId;
            fn from_str(text: &str) -> Result<Self, BadId> {
                let check: fn(&str) -> Result<(), BadId> = $check;
                check(text).map(|()| Self(text.to_owned()))
            }
        }
        impl TryFrom<String> for $name {
            type Error = BadId;
            fn try_from(text: String) -> Result<Self, BadId> {
                text.parse()
            }
        }
        impl From<$name> for String {
            fn from(id: $name) -> Self {
                id.0
            }
        }
        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }
    };
}

text_id!(
    /// SIREN: nine digits, Luhn (ISO 6523 ICD 0002).
    Siren,
    |text| {
        if !all_digits(text, 9) {
            return Err(BadId::shape(text, "a SIREN (9 digits)"));
        }
        if luhn(text) { Ok(()) } else { Err(BadId::check_digit(text)) }
    }
);

text_id!(
    /// SIRET: fourteen digits (ISO 6523 ICD 0009). Luhn, except that an establishment of La Poste
    /// (SIREN 356000000) is also valid when the sum of its digits is a multiple of five.
    Siret,
    |text| {
        if !all_digits(text, 14) {
            return Err(BadId::shape(text, "a SIRET (14 digits)"));
        }
        let sum: u32 = text.bytes().map(|b| u32::from(b - b'0')).sum();
        let la_poste = text.starts_with(LA_POSTE) && sum.is_multiple_of(5);
        if luhn(text) || la_poste { Ok(()) } else { Err(BadId::check_digit(text)) }
    }
);

text_id!(
    /// INSEE COG code of a commune: `34172`, `2A004`, `97105`, or an arrondissement `75108`.
    Cog,
    |text| {
        let ok = text.len() == 5
            && text.bytes().enumerate().all(|(i, b)| {
                b.is_ascii_digit() || (i == 1 && matches!(b, b'A' | b'B') && text.starts_with('2'))
            });
        if ok { Ok(()) } else { Err(BadId::shape(text, "a COG code (5 characters)")) }
    }
);

text_id!(
    /// Node: a DNS label in lower case, 1 to 63 characters, such as `dila` or `cd-34`.
    NodeId,
    |text| {
        let edge = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit();
        let bytes = text.as_bytes();
        let ok = (1..=63).contains(&bytes.len())
            && bytes.iter().all(|b| edge(*b) || *b == b'-')
            && bytes.first().is_some_and(|b| edge(*b))
            && bytes.last().is_some_and(|b| edge(*b));
        if ok { Ok(()) } else { Err(BadId::shape(text, "a node id (DNS label)")) }
    }
);

text_id!(
    /// Code of a démarche in the catalogue: 1 to 64 of `A-Z a-z 0-9 . _ -`.
    ProcessCode,
    |text| {
        let ok = (1..=64).contains(&text.len())
            && text.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'_' | b'-'));
        if ok { Ok(()) } else { Err(BadId::shape(text, "a process code")) }
    }
);

text_id!(
    /// Conversation: 1 to 100 printable ASCII characters without space; the order key on a backbone.
    ConversationId,
    |text| {
        let ok = (1..=100).contains(&text.len()) && text.bytes().all(|b| b.is_ascii_graphic());
        if ok { Ok(()) } else { Err(BadId::shape(text, "a conversation id")) }
    }
);

impl ConversationId {
    /// A conversation named by a UUID, which is always well formed.
    #[must_use]
    pub fn of(id: Uuid) -> Self {
        Self(id.to_string())
    }
}

macro_rules! uuid_id {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(transparent)]
        pub struct $name(pub Uuid);

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Display::fmt(&self.0, f)
            }
        }
        impl FromStr for $name {
            type Err = BadId;
            fn from_str(text: &str) -> Result<Self, BadId> {
                Uuid::try_parse(text)
                    .map(Self)
                    .map_err(|_| BadId::shape(text, "a UUID"))
            }
        }
    };
}

uuid_id!(
    /// Message (UUIDv7, minted by the sender's node).
    MessageId
);
uuid_id!(
    /// One delivery: one message for one recipient. The same at every node.
    DeliveryId
);
uuid_id!(
    /// Evidence (UUIDv5, see [`EvidenceId::derive`]).
    EvidenceId
);
uuid_id!(
    /// A document, minted when its upload begins.
    DocumentId
);

/// Namespace of every UUIDv5 that Pli derives: UUIDv5(URL namespace, `urn:pli:v1`).
#[must_use]
pub fn namespace() -> Uuid {
    Uuid::new_v5(&Uuid::NAMESPACE_URL, b"urn:pli:v1")
}

impl DeliveryId {
    /// UUIDv5 over (message, recipient index): every node derives the same.
    #[must_use]
    pub fn derive(message: MessageId, recipient_index: u32) -> Self {
        Self(Uuid::new_v5(&namespace(), format!("delivery/{message}/{recipient_index}").as_bytes()))
    }
}

impl EvidenceId {
    /// UUIDv5 over (issuer, message, recipient index, event, hop): a replay cannot mint another.
    /// `recipient_index` is `None` for evidence about the whole submission (A.1, A.2).
    #[must_use]
    pub fn derive(
        issuer: &NodeId,
        message: MessageId,
        recipient_index: Option<u32>,
        event: &str,
        hop: u8,
    ) -> Self {
        let recipient = recipient_index.map_or_else(|| "-".to_owned(), |i| i.to_string());
        let name = format!("evidence/{issuer}/{message}/{recipient}/{event}/{hop}");
        Self(Uuid::new_v5(&namespace(), name.as_bytes()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn siret_by_luhn_and_by_the_la_poste_rule() {
        for good in ["73282932000074", "35600000000048", "35600000000014"] {
            assert!(good.parse::<Siret>().is_ok(), "{good}");
        }
        for bad in ["73282932000075", "35600000000013", "7328293200007", "7328293200007x"] {
            assert!(bad.parse::<Siret>().is_err(), "{bad}");
        }
        assert!("732829320".parse::<Siren>().is_ok());
        assert!("732829321".parse::<Siren>().is_err());
    }

    #[test]
    fn cog_codes_of_corsica_overseas_and_arrondissements() {
        for good in ["34172", "2A004", "2B033", "97105", "75108"] {
            assert!(good.parse::<Cog>().is_ok(), "{good}");
        }
        for bad in ["3A004", "2C004", "3417", "341722", "A2004", "é172"] {
            assert!(bad.parse::<Cog>().is_err(), "{bad}");
        }
    }

    #[test]
    fn every_shape_has_its_french_and_long_texts_are_cut() {
        let long = "é".repeat(10_000);
        let errors = [
            long.parse::<Siren>().unwrap_err(),
            long.parse::<Siret>().unwrap_err(),
            long.parse::<Cog>().unwrap_err(),
            long.parse::<NodeId>().unwrap_err(),
            long.parse::<ProcessCode>().unwrap_err(),
            long.parse::<ConversationId>().unwrap_err(),
            long.parse::<MessageId>().unwrap_err(),
            long.parse::<crate::party::Party>().unwrap_err(),
        ];
        for error in errors {
            let BadId::Shape(text, what) = &error else { panic!("{error}") };
            assert_eq!(text.chars().count(), CLIP + 1);
            assert_ne!(fr(what), *what);
        }
    }

    #[test]
    fn node_ids_are_dns_labels() {
        assert!("cd-34".parse::<NodeId>().is_ok());
        for bad in ["", "-a", "a-", "CD34", "a.b", "é"] {
            assert!(bad.parse::<NodeId>().is_err(), "{bad}");
        }
    }
}
