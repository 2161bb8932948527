//! The signature of a container: which of manifest and signature was changed, and its lists.

use super::sealed::{self, Proof};
use super::session::Session;
use crate::algorithm::Verifier;
use crate::report::{Element, Kind, Verdict};
use crate::seal::{Opened, SealError, open_detached};
use crate::signed_data::View;

/// What is wrong with signature and manifest together.
pub(super) enum Fault {
    /// The signature is whole, over something else.
    Manifest,
    /// The signature itself: code and sentence.
    Signature(&'static str, String),
}

/// Opens the signature over the manifest. A container's signature is covered by nothing else, so it
/// must be the one canonical encoding: no byte of it can be changed and mean the same.
pub(super) fn open(signature: &[u8], manifest: &[u8]) -> Result<Opened, Fault> {
    match open_detached(signature, manifest) {
        Ok(opened) if opened.canonical => Ok(opened),
        Ok(_) => {
            let detail = "it is not in the one canonical encoding".to_owned();
            Err(Fault::Signature("not-canonical", detail))
        }
        Err(SealError::ContentChanged) if signature_holds(signature) => Err(Fault::Manifest),
        Err(SealError::ContentChanged) => {
            let detail = SealError::Signature.to_string();
            Err(Fault::Signature(SealError::Signature.code(), detail))
        }
        Err(error) => Err(Fault::Signature(error.code(), error.to_string())),
    }
}

/// Judges the signer. Lists of a time-stamp authority may come along for tokens that carry none; one
/// that serves neither signer nor token is refused, because nothing would notice its change.
pub(super) fn judge(
    session: &mut Session<'_>,
    path: &str,
    opened: &Opened,
    proof: Proof,
) -> Vec<Element> {
    let (own, others): (Vec<_>, Vec<_>) =
        opened.crls.iter().cloned().partition(|crl| session.is_of_signer(opened, crl));
    let mut elements = sealed::judge(session, path, &Opened { crls: own, ..opened.clone() }, proof);
    if others.iter().any(|crl| !session.serves_a_token(crl)) {
        let detail = "a revocation list came along that serves nothing in the container";
        elements.push(Element::new(path, Kind::Chain, Verdict::Invalid, "stray-crl", detail));
    }
    elements
}

/// Whether the signature holds over its own signed attributes, whatever the content.
fn signature_holds(signature: &[u8]) -> bool {
    let verify = || {
        let view = View::parse(signature).ok()?;
        let key = view.signer.public_key().ok()??;
        let scheme = key.scheme(view.signature_algorithm, Some(view.digest)).ok()??;
        let verifier = Verifier::new(&key, scheme).ok()?;
        Some(verifier.verify(&view.signed_attributes, view.signature))
    };
    verify() == Some(true)
}
