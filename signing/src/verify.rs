//! The offline verifier: files in, a verdict for each element out. No node, network or clock.
//!
//! [`verify`] takes any mixture of
//! - proof bundles (`.asice`), see `bundle`;
//! - sealed objects (`.p7m`), and detached signatures beside what they sign;
//! - evidence records (`.ers`) and time-stamp tokens (`.tst`, or whole answers `.tsr`) beside what
//!   they cover;
//! - revocation lists (`.crl`, DER or PEM), which help judge the others;
//!
//! and tells them apart by content. What the verdicts mean is said at [`Verdict`]. It is stricter
//! than the validator of the EU Commission: stale and future revocation lists, a
//! signing-certificate attribute that names another certificate, a time-stamping usage that is not
//! critical, files twice or unlisted, and renewals older than what they renew are not accepted.
//!
//! What is deliberately absent: trust in anything but the anchors given, and any access to the
//! addresses that certificates name.

mod bundle;
mod envelope;
mod loose;
mod records;
mod sealed;
mod sequence;
mod session;

use schemas::time::Timestamp;

use crate::container::MIMETYPE;
use crate::report::Element;
pub use crate::report::{Kind, Report, Verdict};
use crate::trust::Anchors;
use session::Session;

/// How to verify.
#[derive(Clone, Debug, Default)]
pub struct Options {
    /// Accept a container that another tool packed again, when all its elements are whole.
    pub allow_repacked: bool,
    /// Revocation lists beside those that the files carry.
    pub crls: Vec<Vec<u8>>,
}

/// Verifies files, given by name and content, as of `now`.
///
/// The time that counts for a seal is the earliest that a record or token proves for it, and `now`
/// where there is none: a seal whose certificate has ended since stays valid thanks to its record.
#[must_use]
pub fn verify(
    files: &[(String, Vec<u8>)],
    trust: &Anchors,
    now: Timestamp,
    options: &Options,
) -> Report {
    let mut session = Session::new(trust, options.crls.clone(), now);
    let (bundles, others): (Vec<_>, Vec<_>) =
        files.iter().partition(|(name, b)| is_container(name, b));
    let (mut causes, mut rest) = (Vec::new(), Vec::new());
    // Lists from one container must not serve another
    let several = files.len() > 1;
    for (name, bytes) in bundles {
        let mut session = Session::new(trust, options.crls.clone(), now);
        let (broken, other) = bundle::check(&mut session, bytes, options.allow_repacked);
        causes.extend(broken.into_iter().map(|e| inside(name, e, several)));
        rest.extend(other.into_iter().map(|e| inside(name, e, several)));
    }
    rest.extend(loose::check(&mut session, &others));
    Report::of(now, causes, rest)
}

/// Among several files, a path inside a bundle begins with the bundle's name.
fn inside(name: &str, element: Element, several: bool) -> Element {
    if several { Element { path: format!("{name}!{}", element.path), ..element } } else { element }
}

/// By name, or by the signature of zip with `mimetype` as the first entry.
fn is_container(name: &str, bytes: &[u8]) -> bool {
    let named = [".asice", ".sce"].iter().any(|end| name.to_ascii_lowercase().ends_with(end));
    let zip = bytes.starts_with(b"PK\x03\x04");
    named || (zip && bytes.get(30..38) == Some(MIMETYPE.as_bytes()))
}
