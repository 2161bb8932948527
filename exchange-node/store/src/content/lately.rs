//! Small ciphertexts that were stored just now: most are published within a second, and need not be
//! read again for that. Reading one is a trip to another thread, and under load the way there is what
//! everybody queues for.

use std::collections::{HashMap, VecDeque};
use std::sync::{Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use schemas::digest::Digest;

/// Octets of all of them.
const ROOM: usize = 4 << 20;
/// How many.
const MOST: usize = 4_096;
/// Octets of one.
const LARGEST: usize = 64 << 10;

/// The youngest, as many as there is room for.
#[derive(Debug, Default)]
pub(super) struct Lately(Mutex<Kept>);

#[derive(Debug, Default)]
struct Kept {
    all: HashMap<Digest, Bytes>,
    /// The oldest first. A digest that is not in `all` any more counts for nothing.
    order: VecDeque<Digest>,
    octets: usize,
}

impl Lately {
    pub(super) fn keep(&self, items: &[(Digest, Bytes)]) {
        let mut kept = self.kept();
        for (digest, bytes) in items.iter().filter(|(_, bytes)| bytes.len() <= LARGEST) {
            // A copy: the octets may be a small part of a buffer that would stay as long as they do.
            if kept.all.insert(*digest, Bytes::copy_from_slice(bytes)).is_none() {
                kept.order.push_back(*digest);
                kept.octets += bytes.len();
            }
        }
        while (kept.octets > ROOM || kept.order.len() > MOST)
            && let Some(oldest) = kept.order.pop_front()
        {
            kept.forget(&oldest);
        }
    }

    pub(super) fn find(&self, digest: &Digest) -> Option<Bytes> {
        self.kept().all.get(digest).cloned()
    }

    pub(super) fn forget(&self, digests: &[Digest]) {
        let mut kept = self.kept();
        digests.iter().for_each(|digest| kept.forget(digest));
    }

    /// No code that holds the lock panics; a poisoned lock is taken as it is.
    fn kept(&self) -> MutexGuard<'_, Kept> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Kept {
    fn forget(&mut self, digest: &Digest) {
        if let Some(bytes) = self.all.remove(digest) {
            self.octets -= bytes.len();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn item(n: u32, length: usize) -> (Digest, Bytes) {
        let mut digest = [0; 32];
        digest[..4].copy_from_slice(&n.to_be_bytes());
        (Digest(digest), Bytes::from(vec![7; length]))
    }

    #[test]
    fn the_youngest_are_there_and_what_is_forgotten_is_not() {
        let lately = Lately::default();
        let count = 2 * (ROOM / LARGEST) as u32;
        for n in 0..count {
            // Twice: counted once.
            lately.keep(&[item(n, LARGEST), item(n, LARGEST)]);
        }
        let there: Vec<_> = (0..count).filter(|n| lately.find(&item(*n, 0).0).is_some()).collect();
        assert_eq!(there, (count / 2..count).collect::<Vec<_>>());
        lately.forget(&[item(count - 1, 0).0]);
        assert_eq!(lately.find(&item(count - 1, 0).0), None);
        assert_eq!(lately.find(&item(count - 2, 0).0), Some(item(count - 2, LARGEST).1));
        assert_eq!(lately.kept().octets, ROOM - LARGEST);
    }

    #[test]
    fn what_comes_and_goes_leaves_nothing() {
        let lately = Lately::default();
        for n in 0..2 * MOST as u32 {
            lately.keep(&[item(n, 1)]);
            lately.forget(&[item(n, 1).0]);
        }
        let kept = lately.kept();
        assert!((kept.octets, kept.all.len()) == (0, 0) && kept.order.len() <= MOST);
    }

    #[test]
    fn what_is_large_is_not_kept() {
        let lately = Lately::default();
        lately.keep(&[item(1, LARGEST + 1), item(2, 1)]);
        assert_eq!(lately.find(&item(1, 0).0), None);
        assert!(lately.find(&item(2, 0).0).is_some());
    }
}
