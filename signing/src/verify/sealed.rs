//! One seal: its form and mathematics, then the trust in its signer as of the time that is proved.

use schemas::time::{MINUTE, Timestamp};

use super::records::Proved;
use super::session::Session;
use crate::algorithm::Hash;
use crate::path::PathError;
use crate::report::{Element, Kind, Verdict};
use crate::seal::{Opened, SealError};
use crate::tsp::{Token, TspError};

/// How far the clock of a signer may be ahead of that of an authority or of ours.
const SKEW: i64 = 5 * MINUTE;

/// When a seal must be trustworthy.
#[derive(Clone, Copy)]
pub(super) enum Proof {
    /// No proof of time beside what the seal itself carries.
    None,
    /// An evidence record or token proves that the file existed then.
    At {
        /// By its authority's clock.
        time: Timestamp,
        /// With the accuracy that the authority claims.
        latest: Timestamp,
    },
    /// None is needed: the signer vouches for a container whose evidence is proved by itself. Then
    /// the signing time will do where now does not, because of what has ended since.
    Unneeded,
}

impl From<Option<&Proved>> for Proof {
    fn from(proved: Option<&Proved>) -> Self {
        proved.map_or(Self::None, |p| Self::At { time: p.time, latest: p.latest })
    }
}

/// Judges an opened seal: its time-stamp, if it has one, and its signer.
pub(super) fn judge(
    session: &mut Session<'_>,
    path: &str,
    opened: &Opened,
    proof: Proof,
) -> Vec<Element> {
    let seal = Element::ok(path, Kind::Seal, sealed(opened)).by(&opened.signer.subject);
    let mut out = vec![seal.at(opened.signing_time)];
    let (stamp, stamped) = time_stamp(session, path, opened);
    out.extend(stamp);
    let proved = match proof {
        Proof::At { time, latest } => {
            Some(stamped.map_or((time, latest), |s| s.min((time, latest))))
        }
        Proof::None | Proof::Unneeded => stamped,
    };
    let (known, latest) = (proved.map(|(time, _)| time), proved.map(|(_, latest)| latest));
    if opened.signing_time > latest.unwrap_or(session.now).plus(SKEW) {
        let detail = "it claims a signing time later than the time that is proved";
        out.push(Element::new(
            path,
            Kind::Chain,
            Verdict::Invalid,
            "signing-time-too-late",
            detail,
        ));
        return out;
    }
    out.push(chain(session, path, opened, proof, known));
    out
}

/// A seal that does not open.
pub(super) fn broken(path: &str, error: &SealError) -> Element {
    Element::new(path, Kind::Seal, Verdict::Invalid, error.code(), error.to_string())
}

/// What the lack of a path says: a contradiction, or only that something is missing.
pub(super) fn path_verdict(error: &PathError) -> Verdict {
    match error {
        PathError::Expired
        | PathError::UnknownAuthority
        | PathError::CrlMissing { .. }
        | PathError::CrlStale { .. } => Verdict::Indeterminate,
        _ => Verdict::Invalid,
    }
}

/// The same for a token.
pub(super) fn token_verdict(error: &TspError) -> Verdict {
    match error {
        TspError::Ended(_) => Verdict::Indeterminate,
        TspError::Path(error) => path_verdict(error),
        _ => Verdict::Invalid,
    }
}

fn sealed(opened: &Opened) -> String {
    let form = if opened.canonical { "" } else { " (not in the form that Pli writes)" };
    format!("sealed by {}{form}", opened.signer.subject)
}

/// The signature time-stamp of CAdES B-T and the time that it proves: by the authority's clock, and
/// with its accuracy.
fn time_stamp(
    session: &mut Session<'_>,
    path: &str,
    opened: &Opened,
) -> (Option<Element>, Option<(Timestamp, Timestamp)>) {
    let Some(stamp) = &opened.timestamp else { return (None, None) };
    let judged = Token::parse(&stamp.token).and_then(|token| {
        if !token.covers(Hash::Sha256, stamp.imprint.as_bytes()) {
            return Err(TspError::OtherImprint);
        }
        session.token(&token, session.now).map(|()| token)
    });
    match judged {
        Ok(token) => {
            let time = token.gen_time();
            let element = Element::ok(path, Kind::Timestamp, "the signature is time-stamped");
            (Some(element.by(token.authority()).at(time)), Some((time, token.latest())))
        }
        Err(error) => {
            let verdict = token_verdict(&error);
            let detail = error.to_string();
            (Some(Element::new(path, Kind::Timestamp, verdict, error.code(), detail)), None)
        }
    }
}

fn chain(
    session: &mut Session<'_>,
    path: &str,
    opened: &Opened,
    proof: Proof,
    known: Option<Timestamp>,
) -> Element {
    let at = known.unwrap_or(session.now);
    let error = match session.signer(opened, at) {
        Ok(()) => {
            let detail = format!("{} was trusted at {at}", opened.signer.subject);
            return Element::ok(path, Kind::Chain, detail).by(&opened.signer.subject).at(at);
        }
        Err(error) => error,
    };
    let ended = matches!(error, PathError::Expired | PathError::CrlStale { .. });
    if ended
        && matches!(proof, Proof::Unneeded)
        && session.signer(opened, opened.signing_time).is_ok()
    {
        let detail = "the signer was trusted at the claimed signing time; all evidence inside is proved by itself";
        return Element::ok(path, Kind::Chain, detail)
            .by(&opened.signer.subject)
            .at(opened.signing_time);
    }
    let forged = error == PathError::UnknownAuthority && session.claims_anchor(opened);
    let verdict = if forged { Verdict::Invalid } else { path_verdict(&error) };
    let code = if forged { "path-broken" } else { error.code() };
    let remedy = match error {
        PathError::Expired | PathError::CrlStale { .. } if known.is_none() => {
            "; no evidence record proves that the seal is older"
        }
        _ => "",
    };
    Element::new(path, Kind::Chain, verdict, code, format!("{error}{remedy}"))
        .by(&opened.signer.subject)
}
