//! The proof bundle: an ASiC-E container with CAdES (EN 319 162-1).
//!
//! - [`zip`]: a zip archive in one canonical form, and a bounded reader of that form and of others.
//! - [`manifest`]: `ASiCManifest`, which ties a signature or a record to the files it covers.
//! - [`build`]: the container with its records, their manifests and the node's signature.
//!
//! The canonical form: `mimetype` first; then the data files, in the order of the manifest; then
//! for each record its manifest and itself; then `META-INF/ASiCManifest001.xml` and
//! `META-INF/signature001.p7s`. Every entry stored, dated 1980-01-01, flags 0x0800 (names in UTF-8),
//! no extra field, no comment. A reader writes the form again from the entries and compares, so a
//! change in the archive's own bookkeeping is found too.

pub mod build;
pub mod manifest;
pub mod zip;

pub use build::{BundleFile, BundleInput, BundleRecord, Draft, build_bundle};
pub use manifest::{Manifest, Reference};

/// The media type, and the exact content of the first entry.
pub const MEDIA_TYPE: &str = "application/vnd.etsi.asic-e+zip";
/// The first entry.
pub const MIMETYPE: &str = "mimetype";
/// The manifest that the node's signature is over.
pub const SIGNED_MANIFEST: &str = "META-INF/ASiCManifest001.xml";
/// The node's signature: `.p7s` under a name that holds `signature`, else DSS does not see it.
pub const SIGNATURE: &str = "META-INF/signature001.p7s";
/// What every name in the container's own folder begins with.
pub const META_INF: &str = "META-INF/";

/// Name of the record with this number, counted from 1.
#[must_use]
pub fn record_name(number: usize) -> String {
    format!("META-INF/evidencerecord{number:03}.ers")
}

/// Name of that record's manifest.
#[must_use]
pub fn record_manifest_name(number: usize) -> String {
    format!("META-INF/ASiCEvidenceRecordManifest{number:03}.xml")
}

/// What is wrong with a container, or with what was to be put into one.
#[derive(Debug, thiserror::Error)]
pub enum ContainerError {
    /// The bytes are no zip archive that can be read.
    #[error("not a readable zip archive: {0}")]
    Zip(&'static str),
    /// A bound of the reader is exceeded.
    #[error("the archive exceeds the bounds of a reader: {0}")]
    TooLarge(&'static str),
    /// A name that is absolute, climbs out of the archive, is empty or holds control characters.
    #[error("a name that no container may hold: {0:?}")]
    BadName(String),
    /// Two entries of one name.
    #[error("two entries are named {0:?}")]
    Duplicate(String),
    /// A manifest is not what EN 319 162-1 describes.
    #[error("not a manifest of EN 319 162-1: {0}")]
    Manifest(String),
    /// A record is given for a file that is not in the bundle.
    #[error("the bundle holds no file {0:?} for its record")]
    NoObject(String),
    /// A bundle without files proves nothing.
    #[error("a bundle holds at least one file")]
    Empty,
    /// The node's signature could not be made.
    #[error("the container could not be signed: {0}")]
    Sign(#[from] crate::signer::SignError),
    /// A time-stamp could not be put on the signature.
    #[error("the signature could not be time-stamped: {0}")]
    Stamp(#[from] crate::seal::SealError),
}

impl ContainerError {
    /// A stable word for what is wrong.
    #[must_use]
    pub const fn code(&self) -> &'static str {
        match self {
            Self::Zip(_) => "unreadable",
            Self::TooLarge(_) => "too-large",
            Self::BadName(_) => "bad-name",
            Self::Duplicate(_) => "duplicate-name",
            Self::Manifest(_) => "manifest-malformed",
            Self::NoObject(_) | Self::Empty => "missing",
            Self::Sign(_) | Self::Stamp(_) => "not-signed",
        }
    }
}
