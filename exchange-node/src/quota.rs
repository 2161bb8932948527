//! What a member may send in a day, and the early word about it.
//!
//! ```text
//! below 80 %   201, RateLimit fields
//! from 80 %    201, Pli-Quota-Warning as well; the operator sees pli_members_near_quota
//! at 100 %     429 quota-exceeded, Retry-After: until midnight (UTC); an A.2 (RA05) is sealed
//! ```
//! The count lies in memory, and is taken from the database when a member is first seen, and again
//! before anything is refused: what other processes of the node have accepted is known then. Calls
//! that are under way at that moment are not counted, so that a quota may be passed by as many.
//! A call that repeats an accepted one is answered as the first was, whatever the quota.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};

use axum::http::{HeaderMap, HeaderName, HeaderValue};
use exchange_core::input::Finding;
use exchange_store::{Store, StoreError};
use schemas::party::Party;
use schemas::problem::{Code, Problem};
use schemas::time::{DAY, SECOND, Timestamp};

use crate::config::{QuotaOfMember, QuotaSection};

/// Hundredths from which on a member is warned.
const EARLY: u64 = 80;
/// Newest messages that are looked at where there is no limit on their number.
const MOST: u32 = 100_000;

// draft-ietf-httpapi-ratelimit-headers-10
const POLICY: HeaderName = HeaderName::from_static("ratelimit-policy");
const LEFT: HeaderName = HeaderName::from_static("ratelimit");
const WARNING: HeaderName = HeaderName::from_static("pli-quota-warning");

/// The quotas of one node.
#[derive(Debug)]
pub struct Quotas {
    section: QuotaSection,
    used: Mutex<HashMap<String, Used>>,
}

/// Of one member, on one day.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Used {
    day: i64,
    messages: u64,
    octets: u64,
    limit: QuotaOfMember,
    warned: bool,
}

/// Where a member stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Standing {
    messages: u64,
    octets: u64,
    limit: QuotaOfMember,
    /// Seconds until the day is over.
    rest: u32,
}

impl Quotas {
    /// As the configuration says.
    #[must_use]
    pub fn new(section: &QuotaSection) -> Self {
        Self { section: section.clone(), used: Mutex::default() }
    }

    fn limit(&self, member: &Party) -> Option<QuotaOfMember> {
        let QuotaSection { messages_per_day, bytes_per_day, members } = &self.section;
        let of_all =
            QuotaOfMember { messages_per_day: *messages_per_day, bytes_per_day: *bytes_per_day };
        let limit = members.get(&member.id).copied().unwrap_or(of_all);
        Some(limit).filter(|limit| *limit != QuotaOfMember::default())
    }

    /// Where a member stands that wants to send so many octets in so many messages; none when it
    /// has no quota.
    ///
    /// # Errors
    /// The database is away.
    pub async fn standing(
        &self,
        store: &dyn Store,
        member: &Party,
        more: (u64, u64),
        now: Timestamp,
    ) -> Result<Option<Standing>, StoreError> {
        let Some(limit) = self.limit(member) else { return Ok(None) };
        let key = member.organisation().key();
        let day = now.millis().div_euclid(DAY);
        let known = {
            let used = self.used.lock().unwrap_or_else(PoisonError::into_inner);
            used.get(&key).filter(|used| used.day == day).copied()
        };
        let standing = |messages, octets| Standing { messages, octets, limit, rest: rest(now) };
        if let Some(used) = known {
            let standing = standing(used.messages, used.octets);
            if standing.allows(more) {
                return Ok(Some(standing));
            }
        }
        let most = match limit.messages_per_day {
            0 => MOST,
            // Refused messages stand among them.
            n => u32::try_from(n.saturating_mul(2)).unwrap_or(u32::MAX).saturating_add(1_000),
        };
        let midnight = Timestamp::from_millis(day.saturating_mul(DAY));
        let (messages, octets) = store.usage(&key, midnight, most).await?;
        let mut used = self.used.lock().unwrap_or_else(PoisonError::into_inner);
        used.retain(|_, used| used.day == day);
        let warned = used.get(&key).is_some_and(|used| used.warned);
        used.insert(key, Used { day, messages, octets, limit, warned });
        Ok(Some(standing(messages, octets)))
    }

    /// Counts what was accepted; gives where the member stands now.
    pub fn count(&self, member: &Party, more: (u64, u64), now: Timestamp) -> Option<Standing> {
        let mut all = self.used.lock().unwrap_or_else(PoisonError::into_inner);
        let used = all.get_mut(&member.organisation().key())?;
        used.messages = used.messages.saturating_add(more.0);
        used.octets = used.octets.saturating_add(more.1);
        let (messages, octets, limit) = (used.messages, used.octets, used.limit);
        let standing = Standing { messages, octets, limit, rest: rest(now) };
        if standing.is_near() && !used.warned {
            used.warned = true;
            tracing::warn!(member = member.id, "{}", standing.words());
        }
        Some(standing)
    }

    /// Members that are near their quota, and members that have used it up, today.
    #[must_use]
    pub fn strained(&self, now: Timestamp) -> (usize, usize) {
        let day = now.millis().div_euclid(DAY);
        let all = self.used.lock().unwrap_or_else(PoisonError::into_inner);
        let today = all.values().filter(|used| used.day == day).map(|used| Standing {
            messages: used.messages,
            octets: used.octets,
            limit: used.limit,
            rest: 0,
        });
        let near: Vec<Standing> = today.filter(Standing::is_near).collect();
        let over = near.iter().filter(|standing| standing.is_over()).count();
        (near.len() - over, over)
    }
}

impl Standing {
    fn shares(&self) -> [(u64, u64); 2] {
        [(self.messages, self.limit.messages_per_day), (self.octets, self.limit.bytes_per_day)]
    }

    /// Whether so much more is within the quota.
    #[must_use]
    pub fn allows(&self, (messages, octets): (u64, u64)) -> bool {
        let with = [self.messages.saturating_add(messages), self.octets.saturating_add(octets)];
        self.shares().iter().zip(with).all(|((_, most), with)| *most == 0 || with <= *most)
    }

    /// Whether nothing more is.
    #[must_use]
    pub fn is_over(&self) -> bool {
        self.shares().iter().any(|(used, most)| *most > 0 && used >= most)
    }

    fn is_near(&self) -> bool {
        let near =
            |used: u64, most: u64| u128::from(used) * 100 >= u128::from(most) * u128::from(EARLY);
        self.shares().iter().any(|(used, most)| *most > 0 && near(*used, *most))
    }

    fn words(&self) -> String {
        let said = |name: &str, (used, most): (u64, u64)| {
            (most > 0).then(|| format!("{name} {used} of {most} today"))
        };
        let [messages, octets] = self.shares();
        let words = [said("messages", messages), said("bytes", octets)];
        words.into_iter().flatten().collect::<Vec<_>>().join(", ")
    }

    /// Says it in the fields of an answer.
    pub fn tell(&self, headers: &mut HeaderMap) {
        let [messages, octets] = self.shares();
        let items = [("messages", messages), ("bytes", octets)];
        let items: Vec<_> = items.into_iter().filter(|(_, (_, most))| *most > 0).collect();
        let policy = items.iter().map(|(name, (_, most))| format!("\"{name}\";q={most};w=86400"));
        let left = items.iter().map(|(name, (used, most))| {
            format!("\"{name}\";r={};t={}", most.saturating_sub(*used), self.rest)
        });
        put(headers, POLICY, &policy.collect::<Vec<_>>().join(", "));
        put(headers, LEFT, &left.collect::<Vec<_>>().join(", "));
        if self.is_near() {
            put(headers, WARNING, &self.words());
        }
    }

    /// Why nothing more is taken, for the sealed A.2.
    #[must_use]
    pub fn finding(&self) -> Finding {
        let words = self.words();
        Finding {
            code: Code::QuotaExceeded,
            detail: format!("The quota is used up: {words}."),
            detail_fr: format!("Le quota est épuisé : {words}."),
        }
    }

    /// The same as it is answered where nothing is sealed.
    #[must_use]
    pub fn problem(&self) -> Problem {
        let finding = self.finding();
        let problem = Problem::new(finding.code, finding.detail, finding.detail_fr);
        Problem { retry_after: Some(self.rest), ..problem }
    }

    /// Seconds after which there is a new quota.
    #[must_use]
    pub const fn rest(&self) -> u32 {
        self.rest
    }
}

fn put(headers: &mut HeaderMap, name: HeaderName, value: &str) {
    if let Ok(value) = HeaderValue::from_str(value) {
        headers.insert(name, value);
    }
}

/// Seconds until midnight (UTC).
fn rest(now: Timestamp) -> u32 {
    let left = DAY - now.millis().rem_euclid(DAY);
    u32::try_from(left / SECOND).unwrap_or(u32::MAX).saturating_add(1)
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOON: Timestamp = Timestamp::from_millis(20_000 * DAY + DAY / 2);

    fn standing(messages: u64, octets: u64) -> Standing {
        let limit = QuotaOfMember { messages_per_day: 10, bytes_per_day: 1_000 };
        Standing { messages, octets, limit, rest: rest(NOON) }
    }

    #[test]
    fn eighty_in_a_hundred_is_near_and_a_hundred_is_over() {
        assert!(!standing(7, 799).is_near());
        assert!(standing(8, 0).is_near() && standing(0, 800).is_near());
        assert!(standing(9, 0).allows((1, 1_000)) && !standing(9, 0).allows((1, 1_001)));
        assert!(!standing(10, 0).allows((1, 0)) && standing(10, 0).is_over());
        let free = QuotaOfMember { messages_per_day: 0, bytes_per_day: 5 };
        assert!(Standing { limit: free, ..standing(u64::MAX, 4) }.allows((1, 1)));
    }

    #[test]
    fn fields_say_what_is_left_and_until_when() {
        let mut headers = HeaderMap::new();
        standing(8, 10).tell(&mut headers);
        assert_eq!(headers["ratelimit"], r#""messages";r=2;t=43201, "bytes";r=990;t=43201"#);
        let policy = r#""messages";q=10;w=86400, "bytes";q=1000;w=86400"#;
        assert_eq!(headers["ratelimit-policy"], policy);
        let words = "messages 8 of 10 today, bytes 10 of 1000 today";
        assert_eq!(headers["pli-quota-warning"], words);
        let mut calm = HeaderMap::new();
        standing(7, 10).tell(&mut calm);
        assert!(!calm.contains_key("pli-quota-warning") && calm.contains_key("ratelimit"));
    }

    #[test]
    fn a_member_has_its_own_quota_or_that_of_all() {
        let own = QuotaOfMember { messages_per_day: 3, bytes_per_day: 0 };
        let section = QuotaSection {
            messages_per_day: 10,
            bytes_per_day: 0,
            members: [("12345678200010".to_owned(), own)].into(),
        };
        let party = |id: &str| Party {
            scheme: "iso6523:0009".to_owned(),
            id: id.to_owned(),
            service: None,
            desk: None,
        };
        let quotas = Quotas::new(&section);
        assert_eq!(quotas.limit(&party("12345678200010")), Some(own));
        assert_eq!(quotas.limit(&party("1")).map(|q| q.messages_per_day), Some(10));
        assert_eq!(Quotas::new(&QuotaSection::default()).limit(&party("1")), None);
    }
}
