//! Asks time-stamp authorities over HTTP (RFC 3161 §3.4), one after another: in the order of
//! preference, but those that were not reached a moment ago after the others. One that hangs keeps
//! one stamp in a minute waiting, not all.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use aws_lc_rs::rand;
use const_oid::ObjectIdentifier;
use schemas::digest::Digest;
use schemas::time::{MINUTE, SECOND, Timestamp};

use super::request::MOST_OCTETS;
use super::{Request, Token, Trust, TspError};
use crate::algorithm::Hash;
use crate::path::Revocation;
use crate::trust::Anchors;

/// An authority that takes longer, from the connection to the last octet, is passed over.
const PATIENCE: Duration = Duration::from_secs(10);
/// How far an authority's clock may be from ours, transport included.
const SKEW: i64 = MINUTE;

/// How long an authority that was not reached is asked after the others.
const SHUNNED: i64 = MINUTE;

/// A list of authorities. Cheap to clone, keeps its connections.
#[derive(Clone, Debug)]
pub struct TsaClient {
    urls: Vec<String>,
    way: Way,
    policy: Option<ObjectIdentifier>,
    anchors: Option<Anchors>,
    /// When those that were not reached, by their place in `urls`, were asked. Shared by clones.
    missed: Arc<Mutex<BTreeMap<usize, Timestamp>>>,
}

/// An authority in this process: DER of a `TimeStampReq` in, DER of a `TimeStampResp` out.
pub type Answer = dyn Fn(&[u8]) -> Result<Vec<u8>, AskError> + Send + Sync;

/// How requests get there.
#[derive(Clone)]
enum Way {
    Http(reqwest::Client),
    Beside(Arc<Answer>),
}

impl Way {
    fn within(patience: Duration) -> Self {
        // Building fails only where the platform has no TLS at all; the default then says so when used
        Self::Http(reqwest::Client::builder().timeout(patience).build().unwrap_or_default())
    }
}

impl fmt::Debug for Way {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Http(_) => "Http",
            Self::Beside(_) => "Beside",
        })
    }
}

/// No authority gave a token: what each of them did.
#[derive(Debug, thiserror::Error)]
#[error("no time-stamp authority gave a token: {}", failures.iter().map(|(url, why)| format!("{url}: {why}")).collect::<Vec<_>>().join("; "))]
pub struct NoToken {
    /// Each authority's address and what went wrong with it, in the order asked.
    pub failures: Vec<(String, AskError)>,
}

impl NoToken {
    /// Whether an authority is ahead of our clock, which is why it was not believed.
    #[must_use]
    pub fn is_ahead_of_us(&self) -> bool {
        let ahead = |why: &AskError| matches!(why, AskError::Answer(TspError::Clock { theirs, ours }) if theirs > ours);
        self.failures.iter().any(|(_, why)| ahead(why))
    }

    /// What is wrong with our clock, if that is why an authority was not believed.
    #[must_use]
    pub fn clock(&self) -> Option<String> {
        self.failures.iter().find_map(|(url, why)| match why {
            AskError::Answer(TspError::Clock { theirs, ours }) => {
                let off = ours.since(*theirs);
                let way = if off > 0 { "ahead of" } else { "behind" };
                Some(format!("{} s {way} {url}, which says {theirs}", off.abs() / SECOND))
            }
            _ => None,
        })
    }
}

/// What went wrong with one authority.
#[derive(Debug, thiserror::Error)]
pub enum AskError {
    /// No answer came, or none that is a time-stamp answer.
    #[error("not reached: {0}")]
    Http(String),
    /// An answer came and was not accepted.
    #[error(transparent)]
    Answer(#[from] TspError),
}

impl TsaClient {
    /// Authorities in the order of preference.
    #[must_use]
    pub fn new(urls: Vec<String>) -> Self {
        Self::by(Way::within(PATIENCE), urls)
    }

    /// Gives each authority this long to answer, instead of ten seconds.
    #[must_use]
    pub fn patient(self, patience: Duration) -> Self {
        match self.way {
            Way::Http(_) => Self { way: Way::within(patience), ..self },
            Way::Beside(_) => self,
        }
    }

    /// One authority in this process, asked without HTTP.
    #[must_use]
    pub fn beside(answer: Arc<Answer>) -> Self {
        let urls = vec!["in this process".to_owned()];
        Self::by(Way::Beside(answer), urls)
    }

    fn by(way: Way, urls: Vec<String>) -> Self {
        Self { urls, way, policy: None, anchors: None, missed: Arc::default() }
    }

    /// Accepts only tokens whose authority has a path to one of these and is not known as revoked.
    #[must_use]
    pub fn trusting(self, anchors: Anchors) -> Self {
        Self { anchors: Some(anchors), ..self }
    }

    /// Asks for this policy and accepts no other.
    #[must_use]
    pub fn under(self, policy: ObjectIdentifier) -> Self {
        Self { policy: Some(policy), ..self }
    }

    /// A token over this SHA-256, from the first authority whose answer is accepted (those that were
    /// not reached within the last minute are asked after the others): granted, our
    /// imprint, nonce and policy, a signature that holds, a time within a minute of `now`, and a
    /// trusted authority where [`TsaClient::trusting`] was set. Does not retry.
    ///
    /// # Errors
    /// [`NoToken`] with what each authority did.
    pub async fn stamp(&self, imprint: &Digest, now: Timestamp) -> Result<Token, NoToken> {
        self.stamp_hash(Hash::Sha256, imprint.as_bytes(), now).await
    }

    /// As [`TsaClient::stamp`], over a hash of another function: for hash-tree renewal.
    ///
    /// # Errors
    /// As [`TsaClient::stamp`].
    pub async fn stamp_hash(
        &self,
        hash: Hash,
        imprint: &[u8],
        now: Timestamp,
    ) -> Result<Token, NoToken> {
        let mut failures = Vec::new();
        for place in self.order(now) {
            let Some(url) = self.urls.get(place) else { continue };
            let asked = self.ask(url, hash, imprint, now).await;
            self.note(place, !matches!(asked, Err(AskError::Http(_))), now);
            match asked {
                Ok(token) => return Ok(token),
                Err(why) => {
                    tracing::warn!(url, %why, "no time-stamp from this authority");
                    failures.push((url.clone(), why));
                }
            }
        }
        Err(NoToken { failures })
    }

    /// Places in `urls`, those that were missed just now at the end.
    fn order(&self, now: Timestamp) -> Vec<usize> {
        let missed = self.missed.lock().unwrap_or_else(PoisonError::into_inner);
        let shunned = |at: &Timestamp| (0..SHUNNED).contains(&now.since(*at));
        let mut places: Vec<usize> = (0..self.urls.len()).collect();
        places.sort_by_key(|place| missed.get(place).is_some_and(shunned));
        places
    }

    fn note(&self, place: usize, reached: bool, now: Timestamp) {
        let mut missed = self.missed.lock().unwrap_or_else(PoisonError::into_inner);
        if reached {
            missed.remove(&place)
        } else {
            missed.insert(place, now)
        };
    }

    async fn ask(
        &self,
        url: &str,
        hash: Hash,
        imprint: &[u8],
        now: Timestamp,
    ) -> Result<Token, AskError> {
        let mut nonce = [0; 8];
        rand::fill(&mut nonce)
            .map_err(|_| AskError::Http("no randomness for a nonce".to_owned()))?;
        let request = Request::over(hash, imprint, nonce)?;
        let request =
            self.policy.map_or_else(|| request.clone(), |policy| request.clone().under(policy));
        let response = self.post(url, request.to_der()?).await?;
        let token = request.answer(&response, now, SKEW)?;
        if let Some(anchors) = &self.anchors {
            // Few authorities put a revocation list into the token, and none is at hand here
            let revocation = Revocation::IfPresent;
            token.check(
                &Trust { revocation, ..Trust::new(anchors, now) },
                now.max(token.gen_time()),
            )?;
        }
        Ok(token)
    }

    async fn post(&self, url: &str, body: Vec<u8>) -> Result<Vec<u8>, AskError> {
        let http = match &self.way {
            Way::Http(http) => http,
            Way::Beside(answer) => return answer(&body),
        };
        let fault = |e: reqwest::Error| AskError::Http(e.without_url().to_string());
        let request = http.post(url).header("Content-Type", "application/timestamp-query");
        let mut response = request.body(body).send().await.map_err(fault)?;
        if !response.status().is_success() {
            return Err(AskError::Http(format!("HTTP {}", response.status().as_u16())));
        }
        let mut out = Vec::new();
        while let Some(chunk) = response.chunk().await.map_err(fault)? {
            out.extend_from_slice(&chunk);
            if out.len() > MOST_OCTETS {
                return Err(AskError::Http("an answer larger than any token".to_owned()));
            }
        }
        Ok(out)
    }
}
