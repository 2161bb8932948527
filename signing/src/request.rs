//! Certification requests (RFC 2986, PKCS#10): a node asks for a certificate and shows that it
//! holds the private key.

use crate::asn1::{self, Malformed, context, sequence, tlv};
use crate::authority::{AuthorityError, Subject};
use crate::certificate::Signed;
use crate::signer::Signer;

const REQUEST: &str = "CERTIFICATE REQUEST";
const PUBLIC_KEY: &str = "PUBLIC KEY";

/// Why a request is not certified: whoever wrote it is to mend it.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RequestError {
    /// Neither a PEM request nor a PEM public key.
    #[error("not a PEM certification request (PKCS#10) or public key")]
    NotPem,
    /// The DER inside is not a request.
    #[error("the certification request cannot be read")]
    Malformed(#[from] Malformed),
    /// The request is not signed by the key that it names.
    #[error("the certification request is not signed by its own key")]
    NotPossessed,
}

/// Writes a request for `signer`'s key, as PEM.
///
/// # Errors
/// The subject cannot be certified, or the key does not sign.
pub fn write(signer: &dyn Signer, subject: &Subject) -> Result<String, AuthorityError> {
    let body = sequence(&[
        &asn1::unsigned(&[0]),
        &subject.encode()?,
        signer.public_key_der(),
        // No attributes: an empty set must still be there (RFC 2986 §4.1).
        &tlv(context(0), &[]),
    ]);
    let signature = asn1::bit_string(&signer.sign(&body)?);
    let der = sequence(&[&body, &signer.algorithm().scheme().identifier(), &signature]);
    der::pem::encode_string(REQUEST, der::pem::LineEnding::LF, &der)
        .map_err(|_| AuthorityError::State("a certification request"))
}

/// The `SubjectPublicKeyInfo` of a PEM request whose signature holds, or of a bare PEM public key,
/// which shows no possession: take that only from somebody who generated it before your eyes.
///
/// The subject of a request is ignored: the authority knows better.
///
/// # Errors
/// [`RequestError`].
pub fn public_key(pem: &[u8]) -> Result<Vec<u8>, RequestError> {
    let (label, der) = der::pem::decode_vec(pem).map_err(|_| RequestError::NotPem)?;
    match label {
        PUBLIC_KEY => Ok(der),
        REQUEST => {
            let signed = Signed::parse(&der)?;
            let mut body = signed.tbs.inside();
            body.expect(asn1::INTEGER)?;
            body.expect(asn1::SEQUENCE)?;
            let spki = body.expect(asn1::SEQUENCE)?.raw;
            let held = signed.verify(spki)?;
            if held { Ok(spki.to_vec()) } else { Err(RequestError::NotPossessed) }
        }
        _ => Err(RequestError::NotPem),
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;
    use std::process::{Command, Stdio};

    use super::*;
    use crate::signer::Algorithm;
    use crate::software::SoftwareKey;

    #[test]
    fn openssl_believes_our_request() {
        let key = SoftwareKey::generate(Algorithm::EcdsaP256Sha256).unwrap();
        let pem = write(&key, &Subject::named("cd-34")).unwrap();
        assert_eq!(public_key(pem.as_bytes()).unwrap(), key.public_key_der());
        let child = Command::new("openssl")
            .args(["req", "-verify", "-noout", "-subject"])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn();
        let Ok(mut child) = child else {
            eprintln!("skipped: no openssl here");
            return;
        };
        child.stdin.take().unwrap().write_all(pem.as_bytes()).unwrap();
        let output = child.wait_with_output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        assert!(String::from_utf8_lossy(&output.stdout).contains("cd-34"));
    }

    #[test]
    fn a_request_for_a_foreign_key_is_refused() {
        let [ours, theirs] =
            [0; 2].map(|_| SoftwareKey::generate(Algorithm::EcdsaP256Sha256).unwrap());
        let pem = write(&ours, &Subject::named("a")).unwrap();
        let (_, mut der) = der::pem::decode_vec(pem.as_bytes()).unwrap();
        let at = der
            .windows(ours.public_key_der().len())
            .position(|w| w == ours.public_key_der())
            .unwrap();
        der[at..at + theirs.public_key_der().len()].copy_from_slice(theirs.public_key_der());
        let forged = der::pem::encode_string(REQUEST, der::pem::LineEnding::LF, &der).unwrap();
        assert_eq!(public_key(forged.as_bytes()), Err(RequestError::NotPossessed));
        for bad in [
            &b""[..],
            b"-----BEGIN CERTIFICATE REQUEST-----\nMAA=\n-----END CERTIFICATE REQUEST-----\n",
        ] {
            assert!(public_key(bad).is_err());
        }
    }
}
