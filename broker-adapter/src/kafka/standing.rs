//! Whether a member stands in its group.
//!
//! librdkafka joins again by itself, with one exception: when the cluster names no broker for an
//! instant, as the only one does that has just come back, it drops what it knows of that broker, and
//! with it the question for the coordinator that was under way. Then it waits for the answer for
//! ever, and says nothing. What it reports of itself every [`REPORT_MS`] shows that.
//!
//! Another takes its place (`subscription.rs`). The lost one never ends, either: its threads stay
//! until the process does, a few for each lane and hang of the broker.

use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use rdkafka::statistics::ConsumerGroup;

/// `statistics.interval.ms` of a member.
pub(super) const REPORT_MS: &str = "5000";

/// Since when a member has been out of its group, and what it waits for.
#[derive(Debug, Default)]
pub(super) struct Standing(Mutex<Option<Out>>);

#[derive(Debug)]
struct Out {
    since: Instant,
    state: String,
}

impl Standing {
    /// What librdkafka reports.
    pub(super) fn note(&self, group: &ConsumerGroup, now: Instant) {
        let mut out = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if group.state == "up" && group.join_state == "steady" {
            *out = None;
            return;
        }
        let since = out.as_ref().map_or(now, |out| out.since);
        *out = Some(Out { since, state: format!("{}, {}", group.state, group.join_state) });
    }

    /// What it waits for, when it has been out for longer than `patience`.
    pub(super) fn is_lost(&self, patience: Duration, now: Instant) -> Option<String> {
        let out = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let lost = out.as_ref().filter(|out| now.duration_since(out.since) > patience)?;
        Some(lost.state.clone())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn group(state: &str, join_state: &str) -> ConsumerGroup {
        let (state, join_state) = (state.to_owned(), join_state.to_owned());
        ConsumerGroup { state, join_state, ..ConsumerGroup::default() }
    }

    #[test]
    fn a_member_is_lost_that_has_been_out_for_long_whatever_it_tried_meanwhile() {
        let start = Instant::now();
        let at = |seconds| start + Duration::from_secs(seconds);
        let patience = Duration::from_secs(20);
        let standing = Standing::default();
        assert_eq!(standing.is_lost(patience, at(60)), None, "nothing was reported yet");
        standing.note(&group("query-coord", "steady"), at(60));
        standing.note(&group("wait-coord", "init"), at(70));
        assert_eq!(standing.is_lost(patience, at(80)), None);
        assert_eq!(standing.is_lost(patience, at(81)).as_deref(), Some("wait-coord, init"));
        standing.note(&group("up", "steady"), at(82));
        assert_eq!(standing.is_lost(patience, at(200)), None);
        standing.note(&group("up", "wait-sync"), at(201));
        assert_eq!(standing.is_lost(patience, at(210)), None, "its time begins anew");
    }
}
