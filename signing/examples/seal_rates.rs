//! Rates on one core: raw P-256 signatures against whole seals.
//!
//! `cargo run --release -p signing --example seal_rates`
//!
//! Each line is the best of five runs of half a second. The aim: sealing and verifying reach at
//! least 60 % of the raw signature rate.
#![allow(clippy::print_stdout)]

use std::error::Error;
use std::time::{Duration, Instant};

use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_ASN1, ECDSA_P256_SHA256_ASN1_SIGNING, EcdsaKeyPair, KeyPair as _,
    ParsedPublicKey,
};
use schemas::time::{DAY, Timestamp};
use signing::authority::{Authority, AuthorityName, Profile, Subject};
use signing::encrypt::{DocumentKey, open_all, seal_all};
use signing::seal::{Commitment, Sealer, open};
use signing::signer::Algorithm;
use signing::trust::{Anchors, SealVerifier};

fn main() -> Result<(), Box<dyn Error>> {
    let at: Timestamp = "2026-11-23T12:00:00Z".parse()?;
    let mut authority = Authority::create(
        AuthorityName { subject: Subject::named("rates"), base_url: "http://pki.invalid".into() },
        at,
    )?;
    let mut subject = Subject::named("node");
    subject.organization_identifier = Some("NTRFR-130025265".to_owned());
    let node = authority.enrol(
        &Profile::Seal,
        &subject,
        Algorithm::EcdsaP256Sha256,
        at,
        at.plus(365 * DAY),
    )?;
    let sealer = Sealer::new(node.key, node.chain, authority.crl(at)?)?;
    let verifier = SealVerifier::new(Anchors::from_pem(authority.root_pem()?.as_bytes())?);
    let content = vec![b'x'; 2_048];
    let sealed = sealer.seal(&content, at, Some(Commitment::ProofOfReceipt))?.der;
    println!("content {} octets, seal {} octets", content.len(), sealed.len());

    let (sign, check) = raw_rates(&content)?;
    line("raw P-256 sign", sign, sign);
    let made = rate(|| sealer.seal(&content, at, Some(Commitment::ProofOfReceipt)).is_ok());
    line("seal", made, sign);
    line("raw P-256 verify", check, check);
    line("SealVerifier::verify", rate(|| verifier.verify(&sealed, at).is_ok()), check);
    line("open, no trust", rate(|| open(&sealed).is_ok()), check);
    bulk()?;
    Ok(())
}

/// Signatures and verifications a second with a parsed key and nothing around them.
fn raw_rates(message: &[u8]) -> Result<(f64, f64), Box<dyn Error>> {
    let rng = SystemRandom::new();
    let pair = EcdsaKeyPair::generate(&ECDSA_P256_SHA256_ASN1_SIGNING)?;
    let key = ParsedPublicKey::new(&ECDSA_P256_SHA256_ASN1, pair.public_key().as_ref())
        .map_err(|_| "key")?;
    let signature = pair.sign(&rng, message).map_err(|_| "sign")?;
    let sign = rate(|| pair.sign(&rng, message).is_ok());
    let check = rate(|| key.verify_sig(message, signature.as_ref()).is_ok());
    Ok((sign, check))
}

/// Content encryption, in octets a second.
fn bulk() -> Result<(), Box<dyn Error>> {
    let key = DocumentKey::generate()?;
    let content = vec![7; 16 * 1024 * 1024];
    let ciphertext = seal_all(&key, &content)?;
    let gigabytes = content.len() as f64 / 1e9;
    println!(
        "seal_all 16 MiB    {:>6.2} GB/s",
        gigabytes * rate(|| seal_all(&key, &content).is_ok())
    );
    println!(
        "open_all 16 MiB    {:>6.2} GB/s",
        gigabytes * rate(|| open_all(&key, &ciphertext).is_ok())
    );
    Ok(())
}

fn line(name: &str, rate: f64, raw: f64) {
    println!("{name:<22} {rate:>9.0} /s {:>5.0} % of raw", 100.0 * rate / raw);
}

/// The best of five half-seconds.
fn rate(mut work: impl FnMut() -> bool) -> f64 {
    let mut best = 0.0_f64;
    for _ in 0..5 {
        let (start, mut done) = (Instant::now(), 0u32);
        while start.elapsed() < Duration::from_millis(500) {
            assert!(work(), "the work failed");
            done += 1;
        }
        best = best.max(f64::from(done) / start.elapsed().as_secs_f64());
    }
    best
}
