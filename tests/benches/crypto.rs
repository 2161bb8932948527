//! Seals, verifications and whole bundles on one core, against raw P-256 of the same engine.

use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_ASN1, ECDSA_P256_SHA256_ASN1_SIGNING, EcdsaKeyPair, KeyPair as _,
    ParsedPublicKey,
};
use exchange_node::clock::Clock as _;
use schemas::time::{DAY, Timestamp};
use signing::authority::{Authority, AuthorityName, Profile, Subject};
use signing::report::Element;
use signing::seal::{Commitment, Sealer};
use signing::signer::Algorithm;
use signing::trust::{Anchors, SealVerifier};
use signing::verify::{Kind, Options, Verdict};
use tests::net::{Net, text_at};

use crate::report::Run;

/// About what an evidence has.
const CONTENT: usize = 2_048;

/// A key with its certificate, and who trusts it.
struct Ground {
    at: Timestamp,
    sealer: Sealer,
    verifier: SealVerifier,
    content: Vec<u8>,
}

impl Ground {
    fn new() -> Result<Self> {
        let at: Timestamp = "2026-11-23T12:00:00Z".parse()?;
        let name = AuthorityName {
            subject: Subject::named("bench"),
            base_url: "http://pki.invalid".into(),
        };
        let mut authority = Authority::create(name, at)?;
        let mut subject = Subject::named("node");
        subject.organization_identifier = Some("NTRFR-130025265".to_owned());
        let algorithm = Algorithm::EcdsaP256Sha256;
        let end = at.plus(365 * DAY);
        let node = authority.enrol(&Profile::Seal, &subject, algorithm, at, end)?;
        let anchors = Anchors::from_pem(authority.root_pem()?.as_bytes())?;
        Ok(Self {
            at,
            sealer: Sealer::new(node.key, node.chain, authority.crl(at)?)?,
            verifier: SealVerifier::new(anchors),
            content: vec![b'x'; CONTENT],
        })
    }
}

/// CAdES seals per second.
pub(crate) fn seal() -> Result<Vec<Run>> {
    let ground = Ground::new()?;
    let (raw, _) = raw_rates(&ground.content)?;
    let commitment = Some(Commitment::ProofOfReceipt);
    let made = rate(|| ground.sealer.seal(&ground.content, ground.at, commitment).is_ok())
        .context("seal")?;
    Ok(vec![Run::new("seal", "/s per core", made).over(raw)])
}

/// Verifications per second, path and revocation included.
pub(crate) fn verify() -> Result<Vec<Run>> {
    let ground = Ground::new()?;
    let (_, raw) = raw_rates(&ground.content)?;
    let sealed =
        ground.sealer.seal(&ground.content, ground.at, Some(Commitment::ProofOfReceipt))?.der;
    let checked = rate(|| ground.verifier.verify(&sealed, ground.at).is_ok()).context("verify")?;
    Ok(vec![Run::new("verify", "/s per core", checked).over(raw)])
}

/// Bundles verified per second; the floor is the raw verification of as many signatures.
pub(crate) async fn proof() -> Result<Vec<Run>> {
    let net = Net::up()?;
    let (sender, recipient) = (net.state().await?, net.town().await?);
    let message = text_at(&sender.send_pdf("34172", "banc").await?, "/message_id");
    let item = recipient.wait_for(&message).await?;
    let path = format!("/v1/inbox/{}/acknowledge", text_at(&item, "/delivery_id"));
    ensure!(recipient.post(&path, &serde_json::json!({})).await?.0.is_success(), "{path}");
    sender
        .until(&message, |m| {
            let steps = m.pointer("/deliveries/0/evidence").and_then(|v| v.as_array());
            steps.is_some_and(|s| s.len() == 4 && s.iter().all(|s| s["anchored"].is_string()))
        })
        .await?;
    let bundle = sender.bytes(&format!("/v1/messages/{message}/proof")).await?;
    let mut anchors = Anchors::from_pem(&std::fs::read(net.root())?)?;
    anchors.extend(&Anchors::from_pem(&std::fs::read(net.dir().join("trust/tsa.pem"))?)?);
    drop(net);
    let files = vec![("preuve.asice".to_owned(), bundle)];
    let now = exchange_node::clock::system().now();
    let report = signing::verify::verify(&files, &anchors, now, &Options::default());
    ensure!(report.verdict == Verdict::Valid, "the bundle is not valid: {report:?}");
    // A seal has one signature, and so has the token of a record.
    let signed = |e: &&Element| matches!(e.kind, Kind::Seal | Kind::EvidenceRecord);
    let seals = report.elements.iter().filter(signed).count().max(1) as f64;
    let (_, raw) = raw_rates(&[0; CONTENT])?;
    let verified = rate(|| {
        let report = signing::verify::verify(&files, &anchors, now, &Options::default());
        report.verdict == Verdict::Valid
    });
    let run = Run::new("proof", "bundles/s per core", verified.context("proof")?);
    Ok(vec![run.over(raw / seals).with("signatures", seals)])
}

/// Signatures and verifications a second with a parsed key and nothing around them.
fn raw_rates(message: &[u8]) -> Result<(f64, f64)> {
    let rng = SystemRandom::new();
    let pair = EcdsaKeyPair::generate(&ECDSA_P256_SHA256_ASN1_SIGNING)?;
    let key = ParsedPublicKey::new(&ECDSA_P256_SHA256_ASN1, pair.public_key().as_ref())?;
    let signature = pair.sign(&rng, message)?;
    let sign = rate(|| pair.sign(&rng, message).is_ok()).context("sign")?;
    let check = rate(|| key.verify_sig(message, signature.as_ref()).is_ok()).context("check")?;
    Ok((sign, check))
}

/// The best of five half-seconds; none when the work fails.
fn rate(mut work: impl FnMut() -> bool) -> Option<f64> {
    let mut best = 0.0_f64;
    for _ in 0..5 {
        let (start, mut done) = (Instant::now(), 0_u32);
        while start.elapsed() < Duration::from_millis(500) {
            if !work() {
                return None;
            }
            done += 1;
        }
        best = best.max(f64::from(done) / start.elapsed().as_secs_f64());
    }
    Some(best)
}
