//! Lanes that somebody here wants to read and cannot: a broker may answer every other question and
//! still hand out nothing, when a queue has lost its leader, or a permission was taken away.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use crate::{BackboneError, Destination, Unread};

/// What is known of the lanes of one backbone. Who reads notes what it meets.
#[derive(Debug)]
pub(crate) struct Readers {
    /// A trouble that has not come again for so long is over: who had it may be gone.
    holds: Duration,
    troubles: Mutex<HashMap<Destination, Trouble>>,
}

#[derive(Debug)]
struct Trouble {
    since: Instant,
    last: Instant,
    why: String,
}

impl Readers {
    /// For readers that try again at least once in `holds`.
    pub(crate) fn new(holds: Duration) -> Self {
        Self { holds, troubles: Mutex::default() }
    }

    /// It cannot be read.
    pub(crate) fn failed(&self, lane: &Destination, error: &BackboneError) {
        let now = Instant::now();
        let mut troubles = self.troubles.lock().unwrap_or_else(PoisonError::into_inner);
        let known = troubles.remove(lane).filter(|t| now.duration_since(t.last) < self.holds);
        let since = known.map_or(now, |known| known.since);
        troubles.insert(lane.clone(), Trouble { since, last: now, why: error.to_string() });
    }

    /// It is read.
    pub(crate) fn reads(&self, lane: &Destination) {
        self.troubles.lock().unwrap_or_else(PoisonError::into_inner).remove(lane);
    }

    /// Those that cannot be read, the longest first.
    pub(crate) fn unread(&self) -> Vec<Unread> {
        let now = Instant::now();
        let mut troubles = self.troubles.lock().unwrap_or_else(PoisonError::into_inner);
        troubles.retain(|_, trouble| now.duration_since(trouble.last) < self.holds);
        let told = troubles.iter().map(|(lane, trouble)| Unread {
            lane: lane.clone(),
            away: now.duration_since(trouble.since),
            why: trouble.why.clone(),
        });
        let mut all: Vec<Unread> = told.collect();
        all.sort_by_key(|one| std::cmp::Reverse(one.away));
        all
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Lane;

    fn lane(lane: Lane) -> Destination {
        Destination { node: "cd-34".parse().unwrap(), lane }
    }

    #[test]
    fn a_trouble_lasts_from_its_first_sign_until_the_lane_is_read_or_nobody_tries_any_more() {
        let refused = |why: &str| BackboneError::Refused(why.to_owned());
        let readers = Readers::new(Duration::from_secs(60));
        assert_eq!(readers.unread(), []);
        let (message, evidence) = (lane(Lane::Message), lane(Lane::Evidence));
        readers.failed(&message, &refused("no leader"));
        readers.failed(&evidence, &refused("no permission"));
        let first = readers.unread();
        assert_eq!(first.len(), 2);
        assert_eq!(first[0].lane, message, "the longest first");
        readers.failed(&message, &refused("still none"));
        let second = readers.unread();
        assert!(second[0].away >= first[0].away);
        assert_eq!(second[0].why, "the broker refuses: still none");
        readers.reads(&message);
        assert_eq!(readers.unread().len(), 1);
        let forgetful = Readers::new(Duration::ZERO);
        forgetful.failed(&message, &refused("no leader"));
        assert_eq!(forgetful.unread(), []);
    }
}
