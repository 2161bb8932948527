//! Sealed objects that were written just now, for whoever publishes them next: most frames go out
//! without reading back what this process has sealed itself.
//!
//! It is a hint of bounded size. Whoever does not find an object here reads the archive.

use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Mutex, PoisonError};

use exchange_store::rows::Change;
use schemas::ids::EvidenceId;

/// Most octets kept.
const MOST: usize = 64 << 20;

/// The sealed objects of the last commits of this process.
#[derive(Clone, Debug, Default)]
pub struct Recent(Arc<Mutex<Kept>>);

#[derive(Debug, Default)]
struct Kept {
    objects: HashMap<EvidenceId, Arc<Vec<u8>>>,
    order: VecDeque<EvidenceId>,
    size: usize,
}

impl Recent {
    /// Takes the sealed objects of a committed change, when something of it is to be published.
    pub fn keep(&self, change: &mut Change) {
        if change.effects.is_empty() {
            return;
        }
        let mut kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        for evidence in &mut change.evidence {
            kept.add(evidence.id, std::mem::take(&mut evidence.p7m));
        }
    }

    /// An object, if it is still here.
    #[must_use]
    pub fn find(&self, id: &EvidenceId) -> Option<Arc<Vec<u8>>> {
        let kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        kept.objects.get(id).cloned()
    }
}

impl Kept {
    fn add(&mut self, id: EvidenceId, bytes: Vec<u8>) {
        let size = bytes.len();
        if self.objects.insert(id, Arc::new(bytes)).is_none() {
            self.order.push_back(id);
            self.size += size;
        }
        while self.size > MOST
            && let Some(oldest) = self.order.pop_front()
        {
            let gone = self.objects.remove(&oldest).map_or(0, |bytes| bytes.len());
            self.size = self.size.saturating_sub(gone);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_oldest_make_room() {
        let mut kept = Kept::default();
        let id = |n: u128| EvidenceId(uuid::Uuid::from_u128(n));
        for n in 0..100 {
            kept.add(id(n), vec![0; MOST / 10]);
        }
        assert!(kept.size <= MOST && kept.objects.len() == kept.order.len());
        assert!(kept.objects.contains_key(&id(99)) && !kept.objects.contains_key(&id(80)));
        // The same id again has the same bytes: nothing is counted twice.
        let before = kept.size;
        kept.add(id(99), vec![0; MOST / 10]);
        assert_eq!(kept.size, before);
    }
}
