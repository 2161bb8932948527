//! Certificate revocation lists (RFC 5280 §5 and §6.3), complete ones signed by the issuer itself.
//!
//! A list speaks for an instant if the instant lies between its thisUpdate and nextUpdate, or if it
//! was made later and still had to list the certificate: within the certificate's validity, or with
//! expiredCertsOnCRL reaching back to it. Revocation counts from its date on: a list made years
//! later does not break what was sealed before. Delta and indirect lists are not supported, and a
//! critical extension that says so refuses the list.

use schemas::time::{MINUTE, Timestamp};

use crate::asn1::{self, Malformed, Reader};
use crate::certificate::{Certificate, Extensions, KeyUsage, Signed};
use crate::path::{Material, Path, PathError, Policy, Revocation};
use crate::{asn1_time, oids};

/// How far a peer's clock may be ahead of ours.
const SKEW: i64 = 5 * MINUTE;
/// keyCompromise, cACompromise and aACompromise: what the key did before it was noticed is void.
const COMPROMISE: [u8; 3] = [1, 2, 10];
/// certificateHold: the one revocation that a later list may take back.
const HOLD: u8 = 6;

/// A list, borrowed from its bytes.
#[derive(Clone, Debug)]
pub(crate) struct Crl<'a> {
    signed: Signed<'a>,
    issuer: &'a [u8],
    this_update: Timestamp,
    next_update: Option<Timestamp>,
    entries: Reader<'a>,
    expired_since: Option<Timestamp>,
    /// The key of the issuer, where the list tells it.
    pub(crate) key_id: Option<&'a [u8]>,
}

/// One revoked certificate.
struct Entry<'a> {
    serial: &'a [u8],
    revoked: Timestamp,
    reason: u8,
}

/// nextUpdate of a list; none when it has none or is not one.
#[must_use]
pub fn crl_next_update(der: &[u8]) -> Option<Timestamp> {
    Crl::parse(der).ok()?.next_update
}

impl<'a> Crl<'a> {
    pub(crate) fn parse(der: &'a [u8]) -> Result<Self, PathError> {
        let signed = Signed::parse(der)?;
        let mut tbs = signed.tbs.inside();
        // RFC 5280 §5.1.2.1: version 2.
        if tbs.expect(asn1::INTEGER)?.value != [1] {
            return Err(PathError::CrlInvalid("not version 2"));
        }
        if tbs.expect(asn1::SEQUENCE)?.raw != signed.algorithm {
            return Err(PathError::CrlInvalid("two different algorithms"));
        }
        let issuer = tbs.expect(asn1::SEQUENCE)?.raw;
        let this_update = asn1_time::decode(&tbs.next()?)?;
        let next_update = match tbs.optional(asn1::UTC_TIME)? {
            None => tbs.optional(asn1::GENERALIZED_TIME)?,
            some => some,
        };
        let next_update = next_update.map(|t| asn1_time::decode(&t)).transpose()?;
        let entries = tbs.optional(asn1::SEQUENCE)?.map_or(Reader::new(&[]), |e| e.inside());
        let extensions = Extensions::parse(tbs.optional(asn1::context(0))?)?;
        tbs.end()?;
        if extensions.unknown_critical(&[]).is_some() {
            return Err(PathError::CrlInvalid("a critical extension is not known here"));
        }
        let expired_since = match extensions.find(oids::EXPIRED_CERTS_ON_CRL) {
            None => None,
            Some(extension) => Some(asn1_time::decode_any(&Reader::new(extension.value).next()?)?),
        };
        let key_id = extensions.authority_key_id()?;
        Ok(Self { signed, issuer, this_update, next_update, entries, expired_since, key_id })
    }

    /// Reads and checks the lists that may speak for this path.
    pub(crate) fn gather(
        material: &Material<'a>,
        path: &[Certificate<'_>],
        anchor: &Certificate<'_>,
        policy: &Policy,
        at: Timestamp,
    ) -> Result<Vec<Self>, PathError> {
        let now = policy.now.unwrap_or(at).max(at);
        let mut out = Vec::new();
        for der in material.crls {
            let crl = Self::parse(der).map_err(unreadable)?;
            match crl.check(path, anchor, now)? {
                true => out.push(crl),
                false if policy.refuse_strays => return Err(PathError::StrayCrl),
                false => {}
            }
        }
        for der in material.known_crls {
            // What we hold ourselves serves where it can; what cannot serve is no peer's fault.
            if let Ok(crl) = Self::parse(der)
                && crl.check(path, anchor, now) == Ok(true)
            {
                out.push(crl);
            }
        }
        Ok(out)
    }

    /// Is it of an issuer on the path? If so, it must be properly signed and not from the future.
    fn check(
        &self,
        path: &[Certificate<'_>],
        anchor: &Certificate<'_>,
        now: Timestamp,
    ) -> Result<bool, PathError> {
        let mut issuers = path.iter().skip(1).chain([anchor]);
        let Some(issuer) = issuers.find(|c| self.is_of(c)) else { return Ok(false) };
        // RFC 5280 §6.3.3 (f).
        if issuer.key_usage()?.is_some_and(|usage| !usage.has(KeyUsage::CRL_SIGN)) {
            return Err(PathError::CrlInvalid("its issuer has no keyUsage cRLSign"));
        }
        let scheme = self.signed.scheme(issuer.spki)?;
        if !scheme.is_some_and(|scheme| scheme.accepted_at(self.this_update)) {
            return Err(PathError::Algorithm);
        }
        if !self.signed.verify(issuer.spki)? {
            return Err(PathError::CrlInvalid("its signature does not verify"));
        }
        if self.this_update > now.plus(SKEW) {
            return Err(PathError::CrlFuture);
        }
        Ok(true)
    }

    /// Is `issuer` the one that it names? Two keys of one name are told apart by identifier.
    fn is_of(&self, issuer: &Certificate<'_>) -> bool {
        let other_key = match (self.key_id, issuer.subject_key_id()) {
            (Some(named), Some(own)) => named != own,
            _ => false,
        };
        self.issuer == issuer.subject && !other_key
    }

    /// Does it speak for `certificate` at `at`?
    fn covers(&self, certificate: &Certificate<'_>, at: Timestamp) -> bool {
        // A list from before the certificate cannot know of it.
        if self.this_update < certificate.not_before {
            return false;
        }
        if self.this_update > at.plus(SKEW) {
            let kept = self.expired_since.is_some_and(|since| since <= certificate.not_after);
            return self.this_update <= certificate.not_after || kept;
        }
        self.next_update.is_some_and(|next| at <= next)
    }

    fn entry(&self, serial: &[u8]) -> Result<Option<Entry<'a>>, PathError> {
        let mut entries = self.entries;
        while !entries.is_empty() {
            let fields = entries.expect(asn1::SEQUENCE).map_err(|e| unreadable(e.into()))?;
            let entry = Entry::parse(fields.inside())?;
            if entry.serial == serial {
                return Ok(Some(entry));
            }
        }
        Ok(None)
    }
}

impl<'a> Entry<'a> {
    fn parse(mut fields: Reader<'a>) -> Result<Self, PathError> {
        let serial = fields.expect(asn1::INTEGER)?.value;
        let mut revoked = asn1_time::decode(&fields.next()?)?;
        let extensions = match fields.optional(asn1::SEQUENCE)? {
            None => Extensions::default(),
            Some(list) => Extensions::of(list.inside())?,
        };
        fields.end()?;
        if extensions.unknown_critical(&[oids::CRL_REASON]).is_some() {
            return Err(PathError::CrlInvalid("an entry has an unknown critical extension"));
        }
        let reason = match extensions.find(oids::CRL_REASON) {
            None => 0,
            Some(e) => reason_code(e.value)?,
        };
        // RFC 5280 §5.3.2: the key may have been abused before it was revoked.
        if let Some(e) =
            extensions.find(oids::INVALIDITY_DATE).filter(|_| COMPROMISE.contains(&reason))
        {
            revoked = revoked.min(asn1_time::decode_any(&Reader::new(e.value).next()?)?);
        }
        Ok(Self { serial, revoked, reason })
    }
}

/// Checks every certificate below the anchor.
pub(crate) fn check(
    certificates: &[Certificate<'_>],
    anchor: &Certificate<'_>,
    crls: &[Crl<'_>],
    at: Timestamp,
    policy: &Policy,
    path: &mut Path,
) -> Result<(), PathError> {
    for (position, certificate) in certificates.iter().enumerate() {
        let issuer = certificates.get(position + 1).unwrap_or(anchor);
        let of_issuer = |crl: &&Crl<'_>| crl.is_of(issuer);
        let mut lists: Vec<&Crl<'_>> = crls.iter().filter(of_issuer).collect();
        lists.sort_by_key(|crl| std::cmp::Reverse(crl.this_update));
        check_one(certificate, &lists, at, policy, path)?;
    }
    Ok(())
}

fn check_one(
    certificate: &Certificate<'_>,
    lists: &[&Crl<'_>],
    at: Timestamp,
    policy: &Policy,
    path: &mut Path,
) -> Result<(), PathError> {
    let serial = || hex::encode(certificate.serial);
    for (age, crl) in lists.iter().enumerate() {
        let Some(entry) = crl.entry(certificate.serial)? else { continue };
        // Only the newest list tells whether a hold still stands.
        if entry.reason == HOLD && age > 0 {
            continue;
        }
        if entry.revoked <= at {
            return Err(PathError::Revoked { serial: serial(), at: entry.revoked });
        }
        path.narrow(path.holds.0, entry.revoked.plus(-1));
    }
    match lists.iter().find(|crl| crl.covers(certificate, at)) {
        Some(crl) => {
            let end = if crl.this_update > at { at } else { crl.next_update.unwrap_or(at) };
            path.narrow(crl.this_update.min(at), end);
            Ok(())
        }
        None if policy.revocation == Revocation::IfPresent => Ok(()),
        None if lists.is_empty() => Err(PathError::CrlMissing { serial: serial() }),
        None => Err(PathError::CrlStale { serial: serial() }),
    }
}

fn reason_code(value: &[u8]) -> Result<u8, Malformed> {
    /// ENUMERATED.
    const ENUMERATED: u8 = 0x0a;
    match asn1::only(value, ENUMERATED)?.value {
        [reason @ 0..=10] => Ok(*reason),
        _ => Err(Malformed),
    }
}

fn unreadable(error: PathError) -> PathError {
    if error == PathError::Malformed { PathError::CrlInvalid("not readable") } else { error }
}
