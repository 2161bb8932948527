//! Client secrets: minted once, kept only as salted hashes.
//!
//! The stored form is a PHC string, `$pbkdf2-sha256$i=600000$<salt>$<hash>`, both in base64 without
//! padding. Checking one takes a fifth of a second of one core, on purpose: whoever checks secrets
//! often remembers what has verified (see `access`).

use std::num::NonZeroU32;

use aws_lc_rs::pbkdf2::{self, PBKDF2_HMAC_SHA256};
use aws_lc_rs::rand;
use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD_NO_PAD, URL_SAFE_NO_PAD};

/// Rounds for new hashes (OWASP, 2023: PBKDF2 with HMAC-SHA-256).
const ROUNDS: NonZeroU32 = NonZeroU32::MIN.saturating_add(599_999);
/// A stored hash that asks for more rounds than this is not computed: it would block the node.
const MOST_ROUNDS: u32 = 10_000_000;
/// Octets of salt and of hash.
const SALT: usize = 16;
const HASH: usize = 32;

/// The operating system gave no randomness.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the operating system gave no randomness")]
pub struct NoRandomness;

/// A new secret of 256 bits in base64url, 43 characters.
///
/// # Errors
/// [`NoRandomness`].
pub fn mint() -> Result<String, NoRandomness> {
    random::<32>().map(|bytes| URL_SAFE_NO_PAD.encode(bytes))
}

/// `N` octets from the operating system.
///
/// # Errors
/// [`NoRandomness`].
pub fn random<const N: usize>() -> Result<[u8; N], NoRandomness> {
    let mut bytes = [0; N];
    rand::fill(&mut bytes).map_err(|_| NoRandomness)?;
    Ok(bytes)
}

/// The PHC string of `secret` under a fresh salt.
///
/// # Errors
/// [`NoRandomness`].
pub fn hash(secret: &str) -> Result<String, NoRandomness> {
    let salt = random::<SALT>()?;
    let mut out = [0; HASH];
    pbkdf2::derive(PBKDF2_HMAC_SHA256, ROUNDS, &salt, secret.as_bytes(), &mut out);
    Ok(format!(
        "$pbkdf2-sha256$i={ROUNDS}${}${}",
        STANDARD_NO_PAD.encode(salt),
        STANDARD_NO_PAD.encode(out)
    ))
}

/// Whether `secret` is the one behind `phc`; false for a string that is not of our form.
#[must_use]
pub fn verify(secret: &str, phc: &str) -> bool {
    let Some((rounds, salt, expected)) = parts(phc) else { return false };
    pbkdf2::verify(PBKDF2_HMAC_SHA256, rounds, &salt, secret.as_bytes(), &expected).is_ok()
}

fn parts(phc: &str) -> Option<(NonZeroU32, Vec<u8>, Vec<u8>)> {
    let mut fields = phc.strip_prefix("$pbkdf2-sha256$i=")?.split('$');
    let rounds: u32 = fields.next()?.parse().ok()?;
    let salt = STANDARD_NO_PAD.decode(fields.next()?).ok()?;
    let expected = STANDARD_NO_PAD.decode(fields.next()?).ok()?;
    let sound = rounds <= MOST_ROUNDS && expected.len() == HASH && fields.next().is_none();
    NonZeroU32::new(rounds).filter(|_| sound).map(|rounds| (rounds, salt, expected))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_right_secret_verifies() {
        let secret = mint().unwrap();
        let phc = hash(&secret).unwrap();
        assert!(phc.starts_with("$pbkdf2-sha256$i=600000$"), "{phc}");
        assert!(verify(&secret, &phc));
        assert!(!verify("another", &phc));
        assert_ne!(phc, hash(&secret).unwrap(), "the salt is fresh");
    }

    // Python: hashlib.pbkdf2_hmac('sha256', b'geheim', b'0123456789abcdef', 1000)
    #[test]
    fn agrees_with_a_foreign_implementation() {
        let phc = "$pbkdf2-sha256$i=1000$MDEyMzQ1Njc4OWFiY2RlZg$11xbkACVYILYvJxn1Cg4qC5GQCsmWpw8EaFE2NVzWRQ";
        assert!(verify("geheim", phc));
    }

    #[test]
    fn what_is_not_of_our_form_never_verifies() {
        for bad in ["", "$argon2id$v=19$x", "$pbkdf2-sha256$i=0$AA$AA", "$pbkdf2-sha256$i=1$AA$AA"]
        {
            assert!(!verify("", bad), "{bad}");
        }
        assert!(!verify("", "$pbkdf2-sha256$i=4000000000$AA$AA"), "bounded work");
    }
}
