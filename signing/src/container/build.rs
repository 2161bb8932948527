//! Building a proof bundle: files, records, manifests, and the node's signature over all of them.
//!
//! [`build_bundle`] does it at once. A [`Draft`] stops before the end, so that a time-stamp can be
//! put on the signature (CAdES B-T): then the container itself outlives the node's certificate.

use std::borrow::Cow;
use std::collections::HashSet;

use schemas::digest::Digest;
use schemas::time::Timestamp;

use super::zip::{self, Entry};
use super::{
    ContainerError, MEDIA_TYPE, META_INF, MIMETYPE, Manifest, Reference, SIGNATURE,
    SIGNED_MANIFEST, record_manifest_name, record_name,
};
use crate::seal::{Sealer, attach_timestamp, signature_imprint};

/// Media type of the signature.
const SIGNATURE_TYPE: &str = "application/pkcs7-signature";

/// One file of a bundle.
#[derive(Clone, Debug)]
pub struct BundleFile<'a> {
    /// Path inside the container, such as `evidence/001-SubmissionAcceptance.p7m`. Sealed objects
    /// end in `.p7m`; what the evidence names by digest lies under `documents/`.
    pub name: String,
    /// Media type.
    pub media_type: String,
    /// Content.
    pub bytes: Cow<'a, [u8]>,
}

/// The evidence record of one file.
#[derive(Clone, Debug)]
pub struct BundleRecord {
    /// The name of the file whose bytes it covers.
    pub object: String,
    /// The record in DER.
    pub der: Vec<u8>,
}

/// What goes into a bundle. Files stand in it in the order given; evidence in the order of events.
#[derive(Clone, Debug)]
pub struct BundleInput<'a> {
    /// The files, at least one.
    pub files: Vec<BundleFile<'a>>,
    /// Records, each of one of the files.
    pub records: Vec<BundleRecord>,
    /// Revocation lists that the signature carries; those of the sealer when empty. Lists of a
    /// time-stamp authority belong here only if its tokens carry none.
    pub crls: Vec<Vec<u8>>,
    /// When the bundle is made.
    pub at: Timestamp,
}

/// A bundle that is signed but not yet written.
#[derive(Debug)]
pub struct Draft<'a> {
    entries: Vec<Entry<'a>>,
    signature: Vec<u8>,
}

/// Builds the container in its canonical form.
///
/// # Errors
/// [`ContainerError`]: names that no container may hold, a record without its file, a key that does
/// not sign, or more than 4 GiB.
pub fn build_bundle(input: BundleInput<'_>, sealer: &Sealer) -> Result<Vec<u8>, ContainerError> {
    Draft::new(input, sealer)?.into_bytes()
}

impl<'a> Draft<'a> {
    /// Lays out and signs everything.
    ///
    /// # Errors
    /// As [`build_bundle`].
    pub fn new(input: BundleInput<'a>, sealer: &Sealer) -> Result<Self, ContainerError> {
        check_names(&input)?;
        let mut records = Vec::with_capacity(2 * input.records.len());
        for (number, record) in (1..).zip(&input.records) {
            records.extend(record_entries(number, record, &input.files)?);
        }
        let mut references: Vec<_> = input
            .files
            .iter()
            .map(|f| Reference::to(&f.name, Some(&f.media_type), &f.bytes))
            .collect();
        references.extend(records.iter().map(|e| Reference::to(&e.name, None, &e.data)));
        let mut entries = vec![entry(MIMETYPE, MEDIA_TYPE.as_bytes().to_vec())];
        entries.extend(input.files.into_iter().map(|f| Entry { name: f.name, data: f.bytes }));
        entries.extend(records);
        let manifest = Manifest {
            signature: SIGNATURE.to_owned(),
            media_type: Some(SIGNATURE_TYPE.to_owned()),
            objects: references,
        };
        let manifest = manifest.to_xml().into_bytes();
        let signature = if input.crls.is_empty() {
            sealer.seal_detached(&manifest, input.at)?
        } else {
            sealer.with_crls(&input.crls)?.seal_detached(&manifest, input.at)?
        };
        entries.push(entry(SIGNED_MANIFEST, manifest));
        Ok(Self { entries, signature: signature.der })
    }

    /// What a time-stamp over the signature must cover: the SHA-256 of the signature value.
    ///
    /// # Errors
    /// Never for a draft that was made; the reader of the signature demands it.
    pub fn imprint(&self) -> Result<Digest, ContainerError> {
        Ok(signature_imprint(&self.signature)?)
    }

    /// Puts the DER of a token over [`Draft::imprint`] on the signature.
    ///
    /// # Errors
    /// When `token` is not one DER value.
    pub fn stamp(self, token: &[u8]) -> Result<Self, ContainerError> {
        Ok(Self { signature: attach_timestamp(&self.signature, token)?, ..self })
    }

    /// The container's bytes.
    ///
    /// # Errors
    /// [`ContainerError::TooLarge`] from 4 GiB on.
    pub fn into_bytes(mut self) -> Result<Vec<u8>, ContainerError> {
        self.entries.push(entry(SIGNATURE, self.signature));
        zip::write(&self.entries)
    }
}

/// A record's manifest and the record (EN 319 162-1 §4.4.3.3): one object each.
fn record_entries<'a>(
    number: usize,
    record: &BundleRecord,
    files: &[BundleFile<'_>],
) -> Result<[Entry<'a>; 2], ContainerError> {
    let file = files.iter().find(|f| f.name == record.object);
    let file = file.ok_or_else(|| ContainerError::NoObject(record.object.clone()))?;
    let manifest = Manifest {
        signature: record_name(number),
        media_type: None,
        objects: vec![Reference::to(&file.name, Some(&file.media_type), &file.bytes)],
    };
    let xml = manifest.to_xml().into_bytes();
    Ok([entry(&record_manifest_name(number), xml), entry(&record_name(number), record.der.clone())])
}

fn check_names(input: &BundleInput<'_>) -> Result<(), ContainerError> {
    if input.files.is_empty() {
        return Err(ContainerError::Empty);
    }
    let reserved = |name: &str| {
        let start = name.get(..META_INF.len());
        name == MIMETYPE || start.is_some_and(|s| s.eq_ignore_ascii_case(META_INF))
    };
    if let Some(file) = input.files.iter().find(|f| reserved(&f.name) || !zip::is_safe(&f.name)) {
        return Err(ContainerError::BadName(file.name.clone()));
    }
    let mut seen = HashSet::new();
    match input.files.iter().find(|f| !seen.insert(f.name.as_str())) {
        Some(twice) => Err(ContainerError::Duplicate(twice.name.clone())),
        None => Ok(()),
    }
}

fn entry<'a>(name: &str, data: Vec<u8>) -> Entry<'a> {
    Entry { name: name.to_owned(), data: Cow::Owned(data) }
}
