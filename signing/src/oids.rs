//! Object identifiers of CMS, CAdES and X.509 that this crate writes or reads.

use der::asn1::ObjectIdentifier as Oid;

macro_rules! oids {
    ($($(#[$doc:meta])* $name:ident = $text:literal;)*) => {
        $($(#[$doc])* pub(crate) const $name: Oid = Oid::new_unwrap($text);)*
    };
}

oids! {
    /// id-data, RFC 5652 §4.
    DATA = "1.2.840.113549.1.7.1";
    /// id-signedData.
    SIGNED_DATA = "1.2.840.113549.1.7.2";
    /// id-ct-TSTInfo, RFC 3161 §2.4.2.
    TST_INFO = "1.2.840.113549.1.9.16.1.4";
    /// id-ct-authEnvelopedData, RFC 5083.
    AUTH_ENVELOPED_DATA = "1.2.840.113549.1.9.16.1.23";

    /// content-type, RFC 5652 §11.1.
    CONTENT_TYPE = "1.2.840.113549.1.9.3";
    /// message-digest, RFC 5652 §11.2.
    MESSAGE_DIGEST = "1.2.840.113549.1.9.4";
    /// signing-time, RFC 5652 §11.3.
    SIGNING_TIME = "1.2.840.113549.1.9.5";
    /// signing-certificate (SHA-1), RFC 2634 §5.4.
    SIGNING_CERTIFICATE = "1.2.840.113549.1.9.16.2.12";
    /// signature-time-stamp, RFC 3161 appendix A.
    SIGNATURE_TIME_STAMP = "1.2.840.113549.1.9.16.2.14";
    /// commitment-type-indication, RFC 5126 §5.11.1.
    COMMITMENT_TYPE = "1.2.840.113549.1.9.16.2.16";
    /// signing-certificate-v2, RFC 5035 §3.
    SIGNING_CERTIFICATE_V2 = "1.2.840.113549.1.9.16.2.47";
    /// id-cti-ets-proofOfOrigin.
    PROOF_OF_ORIGIN = "1.2.840.113549.1.9.16.6.1";
    /// id-cti-ets-proofOfReceipt.
    PROOF_OF_RECEIPT = "1.2.840.113549.1.9.16.6.2";
    /// id-cti-ets-proofOfDelivery.
    PROOF_OF_DELIVERY = "1.2.840.113549.1.9.16.6.3";
    /// id-cti-ets-proofOfSender.
    PROOF_OF_SENDER = "1.2.840.113549.1.9.16.6.4";
    /// id-cti-ets-proofOfApproval.
    PROOF_OF_APPROVAL = "1.2.840.113549.1.9.16.6.5";
    /// id-cti-ets-proofOfCreation.
    PROOF_OF_CREATION = "1.2.840.113549.1.9.16.6.6";

    /// id-sha256.
    SHA256 = "2.16.840.1.101.3.4.2.1";
    /// id-sha384.
    SHA384 = "2.16.840.1.101.3.4.2.2";
    /// id-sha512.
    SHA512 = "2.16.840.1.101.3.4.2.3";
    /// ecdsa-with-SHA256.
    ECDSA_SHA256 = "1.2.840.10045.4.3.2";
    /// ecdsa-with-SHA384.
    ECDSA_SHA384 = "1.2.840.10045.4.3.3";
    /// ecdsa-with-SHA512.
    ECDSA_SHA512 = "1.2.840.10045.4.3.4";
    /// rsaEncryption.
    RSA = "1.2.840.113549.1.1.1";
    /// id-RSAES-OAEP.
    RSA_OAEP = "1.2.840.113549.1.1.7";
    /// id-mgf1.
    MGF1 = "1.2.840.113549.1.1.8";
    /// id-RSASSA-PSS.
    RSA_PSS = "1.2.840.113549.1.1.10";
    /// sha256WithRSAEncryption.
    RSA_SHA256 = "1.2.840.113549.1.1.11";
    /// sha384WithRSAEncryption.
    RSA_SHA384 = "1.2.840.113549.1.1.12";
    /// sha512WithRSAEncryption.
    RSA_SHA512 = "1.2.840.113549.1.1.13";
    /// id-ecPublicKey.
    EC = "1.2.840.10045.2.1";
    /// secp256r1.
    P256 = "1.2.840.10045.3.1.7";
    /// secp384r1.
    P384 = "1.3.132.0.34";

    /// aes256-GCM, RFC 5084.
    AES256_GCM = "2.16.840.1.101.3.4.1.46";
    /// id-aes256-wrap, RFC 3394.
    AES256_WRAP = "2.16.840.1.101.3.4.1.45";
    /// dhSinglePass-stdDH-sha256kdf-scheme, RFC 5753.
    ECDH_SHA256_KDF = "1.3.132.1.11.1";

    /// id-at-commonName.
    COMMON_NAME = "2.5.4.3";
    /// id-at-countryName.
    COUNTRY = "2.5.4.6";
    /// id-at-organizationName.
    ORGANIZATION = "2.5.4.10";
    /// organizationIdentifier, EN 319 412-1 §5.1.4.
    ORGANIZATION_IDENTIFIER = "2.5.4.97";

    /// id-ce-subjectKeyIdentifier.
    SUBJECT_KEY_ID = "2.5.29.14";
    /// id-ce-keyUsage.
    KEY_USAGE = "2.5.29.15";
    /// id-ce-subjectAltName.
    SUBJECT_ALT_NAME = "2.5.29.17";
    /// id-ce-basicConstraints.
    BASIC_CONSTRAINTS = "2.5.29.19";
    /// id-ce-cRLNumber.
    CRL_NUMBER = "2.5.29.20";
    /// id-ce-cRLReasons.
    CRL_REASON = "2.5.29.21";
    /// id-ce-invalidityDate.
    INVALIDITY_DATE = "2.5.29.24";
    /// id-ce-cRLDistributionPoints.
    CRL_DISTRIBUTION_POINTS = "2.5.29.31";
    /// id-ce-authorityKeyIdentifier.
    AUTHORITY_KEY_ID = "2.5.29.35";
    /// id-ce-extKeyUsage.
    EXTENDED_KEY_USAGE = "2.5.29.37";
    /// id-ce-expiredCertsOnCRL, X.509 §9.5.2.8.
    EXPIRED_CERTS_ON_CRL = "2.5.29.60";
    /// id-pe-authorityInfoAccess.
    AUTHORITY_INFO_ACCESS = "1.3.6.1.5.5.7.1.1";
    /// id-ad-caIssuers.
    CA_ISSUERS = "1.3.6.1.5.5.7.48.2";
    /// id-kp-serverAuth.
    SERVER_AUTH = "1.3.6.1.5.5.7.3.1";
    /// id-kp-clientAuth.
    CLIENT_AUTH = "1.3.6.1.5.5.7.3.2";
    /// id-kp-timeStamping.
    TIME_STAMPING = "1.3.6.1.5.5.7.3.8";
    /// id-pkix-ocsp-nocheck, RFC 6960 §4.2.2.2.1.
    OCSP_NOCHECK = "1.3.6.1.5.5.7.48.1.5";
}
