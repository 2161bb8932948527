//! Parties: who sends and who receives, by ISO 6523 scheme and number.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::ids::{BadId, Cog, Siren, Siret};

/// ISO 6523 ICD 0009, SIRET.
pub const SIRET: &str = "iso6523:0009";
/// ISO 6523 ICD 0002, SIREN.
pub const SIREN: &str = "iso6523:0002";

/// An address: `{ scheme, id, service?, desk? }`. `desk` holds the INSEE COG code where a
/// démarche routes by it. Used in stored state.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Party {
    /// `iso6523:0009` (SIRET) or `iso6523:0002` (SIREN).
    pub scheme: String,
    /// The number.
    pub id: String,
    /// Service inside the organisation, at most 100 characters.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub service: Option<String>,
    /// Desk (guichet), often a COG code.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub desk: Option<String>,
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
            other => return Err(BadId::Shape(other.to_owned(), "a known party scheme")),
        }
        for part in [&self.service, &self.desk].into_iter().flatten() {
            if part.is_empty() || part.len() > 100 || part.chars().any(char::is_control) {
                return Err(BadId::Shape(part.clone(), "a service or desk (1 to 100 characters)"));
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
