//! Dispatches: seal, acceptance, manifest, ciphertexts and keys, all compared with each other
//! before the core is asked.

use std::sync::Arc;

use bytes::Bytes;
use exchange_core::input::{EvidenceFact, Finding};
use exchange_store::rows::DeliveryKey;
use schemas::bytes::Octets;
use schemas::digest::Digest;
use schemas::dispatch::{ContentKeys, ContentRef, Dispatch};
use schemas::event::Event;
use schemas::evidence::UserContentInfo;
use schemas::frame::DispatchFrame;
use schemas::ids::{DeliveryId, NodeId};
use schemas::problem::Code;
use signing::digest::sha256;
use signing::encrypt::{DocumentKey, open_all, unwrap};
use signing::path::PathError;
use signing::seal::{Opened, SealError};

use crate::engine::item::{Arrived, Fact, Received, SealedBytes, Work};
use crate::inbound::Unbelieved;
use crate::inbound::check::Checker;

/// A dispatch with its content.
#[derive(Debug)]
pub struct Found {
    /// The delivery.
    pub delivery: DeliveryId,
    /// The facts.
    pub arrived: Arrived,
    /// Ciphertexts that travelled inside the frame.
    pub inline: Vec<(Digest, Bytes)>,
    /// Ciphertexts that travel by themselves.
    pub apart: Vec<ContentRef>,
    /// Keys of all documents, in the order of the dispatch; empty at a relay.
    pub keys: Vec<DocumentKey>,
}

impl Found {
    /// The work for the engine.
    #[must_use]
    pub fn into_work(self) -> Work {
        Work::new(self.delivery, Fact::Dispatched(Box::new(self.arrived)))
    }
}

impl Checker {
    /// Opens a dispatch. Faults that the sender's node must hear of become findings; the rest is
    /// set aside.
    pub(super) fn dispatch(&self, frame: DispatchFrame) -> Result<Found, Unbelieved> {
        let DispatchFrame { dispatch: p7m, inline, relays } = frame;
        let mut findings = Vec::new();
        let (opened, by, bytes) = self.open_dispatch(p7m.0, &mut findings)?;
        let dispatch: Dispatch = serde_json::from_slice(&opened.content)
            .map_err(|e| Unbelieved::new(Code::FrameMalformed, format!("not a dispatch: {e}")))?;
        if by.as_ref().is_some_and(|by| *by != dispatch.relay.from) {
            let detail = format!("from {}, sealed by another node", dispatch.relay.from);
            return Err(Unbelieved::new(Code::SealInvalid, detail));
        }
        let index = dispatch.relay.recipient_index;
        let delivery = DeliveryId::derive(dispatch.envelope.message_id, index);
        if delivery != dispatch.relay.delivery_id {
            return Err(Unbelieved::new(Code::FrameMalformed, "the delivery id is not its own"));
        }
        if let Err(e) = dispatch.envelope.check() {
            findings.push(finding(Code::EnvelopeInvalid, &e.to_string()));
        }
        self.check_time(&dispatch, &opened, &mut findings);
        let acceptance = self.acceptance(&dispatch, &mut findings);
        check_manifest(&dispatch, &mut findings);
        let relays = self.way(&dispatch, delivery, relays)?;
        let from = relays.last().map_or(&dispatch.relay.from, |last| &last.fact.issuer).clone();
        let mine = dispatch.relay.to == self.node;
        let keys =
            if mine && findings.is_empty() { self.keys(&dispatch, &mut findings) } else { vec![] };
        let inline = check_inline(&dispatch, inline, &keys, &mut findings)?;
        let apart = if inline.is_empty() { dispatch.content.clone() } else { Vec::new() };
        let wrapped = self.wrap_keys(&dispatch, delivery, &keys)?;
        Ok(Found {
            delivery,
            arrived: Arrived {
                recipient_index: index,
                origin: dispatch.relay.from,
                from,
                hop: dispatch.relay.hop.saturating_add(hops(&relays)),
                relays,
                sealed: bytes,
                acceptance,
                findings,
                keys: wrapped,
                envelope: Arc::new(dispatch.envelope),
            },
            inline,
            apart,
            keys,
        })
    }

    /// Opens the seal. A fault of a known node's certificate becomes a finding (B.2 RB05).
    fn open_dispatch(
        &self,
        p7m: Vec<u8>,
        findings: &mut Vec<Finding>,
    ) -> Result<(Opened, Option<NodeId>, SealedBytes), Unbelieved> {
        let fault = match self.open(p7m.clone()) {
            Ok(sealed) => return Ok((sealed.opened, Some(sealed.by), sealed.bytes)),
            Err(fault) => fault,
        };
        let opened = signing::seal::open(&p7m).map_err(|_| fault.clone())?;
        let dispatch: Dispatch =
            serde_json::from_slice(&opened.content).map_err(|_| fault.clone())?;
        // No evidence for a stranger: it would tell an attacker what a node thinks.
        if self.snapshot.directory.node(&dispatch.relay.from).is_none() {
            return Err(fault);
        }
        if self.was_spoiled(&p7m, &opened, &dispatch.relay.from) {
            return Err(fault);
        }
        let code = match fault.code {
            Code::PeerUnknown => Code::SealInvalid,
            code => code,
        };
        findings.push(finding(code, &fault.detail));
        let sha256 = sha256(&p7m);
        let bytes = SealedBytes { p7m: Arc::new(p7m), sha256, sealed_at: opened.signing_time };
        Ok((opened, None, bytes))
    }

    /// Whether a seal of a certificate that the directory has fails for what stands beside it:
    /// certificates of authorities and revocation lists are in the file, and the signature does not
    /// cover them. Whoever carries the file can spoil them, and could end a delivery so. What the
    /// certificate itself is to blame for (its time, its usage, its revocation) is the node's fault.
    fn was_spoiled(&self, p7m: &[u8], opened: &Opened, from: &NodeId) -> bool {
        let entry = self.snapshot.directory.node(from);
        let known =
            entry.is_some_and(|e| e.seal_certificates.iter().any(|c| c.0 == opened.signer.der));
        let to_blame = matches!(
            self.verifier.verify(p7m, self.now),
            Err(SealError::Path(
                PathError::Expired
                    | PathError::NotYetValid
                    | PathError::WrongUsage(_)
                    | PathError::Revoked { .. }
            ))
        );
        known && !to_blame
    }

    fn check_time(&self, dispatch: &Dispatch, opened: &Opened, findings: &mut Vec<Finding>) {
        let times =
            [dispatch.relay.relay_time, dispatch.envelope.submitted_at, opened.signing_time];
        let ahead = times.into_iter().map(|t| t.since(self.now)).max().unwrap_or(0);
        if ahead > self.max_skew {
            let detail = format!("{ahead} ms ahead of the clock of {}", self.node);
            findings.push(finding(Code::TimestampOutOfRange, &detail));
        }
    }

    fn acceptance(
        &self,
        dispatch: &Dispatch,
        findings: &mut Vec<Finding>,
    ) -> Option<Received<EvidenceFact>> {
        let claim = match self.evidence(dispatch.submission_acceptance.0.clone()) {
            Ok(claim) => claim,
            Err(e) => {
                findings.push(finding(Code::SealInvalid, &format!("the acceptance: {e}")));
                return None;
            }
        };
        let fits = claim.received.fact.event == Event::SubmissionAcceptance
            && claim.received.fact.issuer == dispatch.relay.from
            && claim.message == dispatch.envelope.message_id
            && claim.content == UserContentInfo::of(&dispatch.envelope.documents);
        if !fits {
            findings.push(finding(Code::EnvelopeInvalid, "the acceptance is about something else"));
            return None;
        }
        let mut received = claim.received;
        received.fact.same_content = true;
        Some(received)
    }

    /// The way that a dispatch came: each relay's B.1 names the node that it has it from, back to
    /// the sender's node. Nobody seals a frame, so a chain with a gap, or one that does not lead
    /// here, is the broker's doing and no node's fault: it is set aside, and the true frame counts.
    fn way(
        &self,
        dispatch: &Dispatch,
        delivery: DeliveryId,
        relays: Vec<Octets>,
    ) -> Result<Vec<Received<EvidenceFact>>, Unbelieved> {
        let gap = |what: &str| Unbelieved::new(Code::EvidenceMismatch, format!("its way: {what}"));
        if relays.len() > MAX_RELAYS {
            return Err(gap("too many relays"));
        }
        let content = UserContentInfo::of(&dispatch.envelope.documents);
        let mut passed = vec![dispatch.relay.from.clone()];
        let mut way = Vec::with_capacity(relays.len());
        for p7m in relays {
            let claim = self.evidence(p7m.0)?;
            let mut received = claim.received;
            let fact = &mut received.fact;
            let about_this = claim.message == dispatch.envelope.message_id
                && claim.delivery == delivery
                && claim.content == content;
            if fact.event != Event::RelayAcceptance || !about_this {
                return Err(gap("it holds evidence of something else"));
            }
            if fact.external.as_ref() != passed.last() {
                return Err(gap("a relay is missing"));
            }
            if fact.issuer == self.node || passed.contains(&fact.issuer) {
                return Err(gap("it goes round in a circle"));
            }
            fact.same_content = true;
            passed.push(fact.issuer.clone());
            way.push(received);
        }
        let from = passed.last().filter(|from| **from != self.node);
        let here = from.and_then(|from| self.snapshot.directory.next_hop(from, &self.node));
        if from.is_some_and(|from| self.snapshot.directory.node(from).is_some())
            && here.as_ref() != Some(&self.node)
        {
            return Err(gap("the last relay is missing: the node before has no road to here"));
        }
        Ok(way)
    }

    fn keys(&self, dispatch: &Dispatch, findings: &mut Vec<Finding>) -> Vec<DocumentKey> {
        let keys = unwrap(&dispatch.keys.0, &self.encryption)
            .ok()
            .and_then(|json| serde_json::from_slice::<ContentKeys>(&json).ok())
            .map(|keys| keys.keys)
            .filter(|keys| keys.len() == dispatch.content.len());
        let Some(keys) = keys else {
            findings.push(finding(Code::DocumentCorrupted, "the content keys cannot be opened"));
            return Vec::new();
        };
        let parsed: Option<Vec<_>> = keys.iter().map(|k| DocumentKey::from_slice(&k.0)).collect();
        parsed.unwrap_or_else(|| {
            findings.push(finding(Code::DocumentCorrupted, "a content key has not 256 bits"));
            Vec::new()
        })
    }

    fn wrap_keys(
        &self,
        dispatch: &Dispatch,
        delivery: DeliveryId,
        keys: &[DocumentKey],
    ) -> Result<Vec<DeliveryKey>, Unbelieved> {
        let pairs = dispatch.content.iter().zip(keys);
        pairs
            .map(|(content, key)| {
                let wrapped_key = self
                    .storage
                    .wrap(key, content.document_id.0.as_bytes())
                    .map_err(|e| Unbelieved::new(Code::Internal, e.to_string()))?;
                Ok(DeliveryKey {
                    delivery,
                    document: content.document_id,
                    cipher_sha256: content.cipher_sha256,
                    cipher_size: content.cipher_size,
                    wrapped_key,
                })
            })
            .collect()
    }
}

/// Most nodes that a dispatch may have passed, before the policy is asked.
const MAX_RELAYS: usize = 8;

fn hops(relays: &[Received<EvidenceFact>]) -> u8 {
    u8::try_from(relays.len()).unwrap_or(u8::MAX)
}

/// A finding whose details stay technical; the sentences of the code are for people.
#[must_use]
pub fn finding(code: Code, detail: &str) -> Finding {
    Finding { code, detail: detail.to_owned(), detail_fr: detail.to_owned() }
}

/// The content that travels must be what the manifest has for this recipient.
fn check_manifest(dispatch: &Dispatch, findings: &mut Vec<Finding>) {
    let index = dispatch.relay.recipient_index;
    let wanted = dispatch.envelope.documents.iter().filter(|d| d.is_for(index));
    let same = wanted.clone().count() == dispatch.content.len()
        && wanted.zip(&dispatch.content).all(|(document, content)| {
            document.id == content.document_id
                && document.cipher_sha256 == content.cipher_sha256
                && signing::encrypt::ciphertext_len(document.size) == content.cipher_size
        });
    if !same {
        findings.push(finding(Code::EnvelopeInvalid, "content and manifest differ"));
    }
}

/// Compares inline ciphertexts with their digests and, where the keys are ours, the plaintexts
/// with theirs.
///
/// Nobody seals a frame: a ciphertext that is not the sealed one, or is missing, is the doing of
/// whoever carried it and no node's fault. It is set aside, and the true frame counts
/// (`ops/adr/0017-unsealed-dispatches-are-set-aside.md`). A ciphertext as it was sealed that does
/// not open to what the manifest says is a finding: its sender's node has sealed both.
fn check_inline(
    dispatch: &Dispatch,
    inline: Vec<Octets>,
    keys: &[DocumentKey],
    findings: &mut Vec<Finding>,
) -> Result<Vec<(Digest, Bytes)>, Unbelieved> {
    if inline.is_empty() {
        return Ok(Vec::new());
    }
    let spoiled = |detail: String| Err(Unbelieved::new(Code::DocumentCorrupted, detail));
    if inline.len() != dispatch.content.len() {
        return spoiled("the frame has not the ciphertexts that were sealed".to_owned());
    }
    let index = dispatch.relay.recipient_index;
    let documents = dispatch.envelope.documents.iter().filter(|d| d.is_for(index));
    let mut documents = documents.map(Some).chain(std::iter::repeat(None));
    let mut out = Vec::with_capacity(inline.len());
    for (i, (cipher, content)) in inline.into_iter().zip(&dispatch.content).enumerate() {
        let (id, document) = (content.document_id, documents.next().flatten());
        if sha256(&cipher.0) != content.cipher_sha256 {
            return spoiled(format!("the ciphertext of document {id} is not the sealed one"));
        }
        let plain = keys.get(i).zip(document).is_none_or(|(key, document)| {
            open_all(key, &cipher.0).is_ok_and(|plain| sha256(&plain) == document.sha256)
        });
        if plain {
            out.push((content.cipher_sha256, Bytes::from(cipher.0)));
        } else {
            let detail = format!("document {id} does not match its digest");
            findings.push(finding(Code::DocumentCorrupted, &detail));
        }
    }
    Ok(out)
}
