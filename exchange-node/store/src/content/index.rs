//! Where each digest lies, and how much of each pack is still needed.

use std::collections::{HashMap, HashSet};
use std::path::PathBuf;

use schemas::digest::Digest;
use uuid::Uuid;

use super::record::HEADER_LEN;

/// A pack, by a number of this process.
pub(super) type Slot = u32;

/// Where a record begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Location {
    pub(super) slot: Slot,
    /// Packs stay far below 4 GiB.
    pub(super) offset: u32,
    pub(super) length: u32,
}

impl Location {
    const fn total(self) -> u64 {
        HEADER_LEN + self.length as u64
    }
}

/// A pack file.
#[derive(Debug)]
pub(super) struct Pack {
    pub(super) id: Uuid,
    pub(super) path: PathBuf,
    /// Whether this process appends to it, cuts its tail and compacts it.
    pub(super) own: bool,
    /// Octets read or written so far.
    pub(super) size: u64,
    /// Octets of records that nobody needs any more.
    pub(super) dead: u64,
}

/// The index of all packs.
#[derive(Debug, Default)]
pub(super) struct Index {
    contents: HashMap<Digest, Location>,
    /// Further copies: two processes stored the same, or a compaction was cut short.
    copies: HashMap<Digest, Vec<Location>>,
    packs: HashMap<Slot, Pack>,
    slots: HashMap<Uuid, Slot>,
    next: Slot,
    /// Octets of tombstones, by the pack of what they remove and the pack that they lie in.
    tombstones: HashMap<(Slot, Slot), u64>,
}

impl Index {
    /// Makes room for contents that are about to be added.
    pub(super) fn reserve(&mut self, contents: usize) {
        self.contents.reserve(contents);
    }

    /// Makes a pack known.
    pub(super) fn add_pack(&mut self, id: Uuid, path: PathBuf, own: bool) -> Slot {
        if let Some(slot) = self.slots.get(&id) {
            return *slot;
        }
        let slot = self.next;
        self.next += 1;
        self.slots.insert(id, slot);
        self.packs.insert(slot, Pack { id, path, own, size: 0, dead: 0 });
        slot
    }

    pub(super) fn pack(&self, slot: Slot) -> Option<&Pack> {
        self.packs.get(&slot)
    }

    pub(super) fn slot(&self, id: &Uuid) -> Option<Slot> {
        self.slots.get(id).copied()
    }

    pub(super) fn packs(&self) -> impl Iterator<Item = (Slot, &Pack)> {
        self.packs.iter().map(|(slot, pack)| (*slot, pack))
    }

    /// Sets how much of a pack is known.
    pub(super) fn set_size(&mut self, slot: Slot, size: u64) {
        if let Some(pack) = self.packs.get_mut(&slot) {
            pack.size = size;
        }
    }

    pub(super) fn find(&self, digest: &Digest) -> Option<Location> {
        self.contents.get(digest).copied()
    }

    /// All copies of a content.
    pub(super) fn all(&self, digest: &Digest) -> Vec<Location> {
        let copies = self.copies.get(digest).into_iter().flatten();
        self.contents.get(digest).into_iter().chain(copies).copied().collect()
    }

    /// Adds a content.
    pub(super) fn add(&mut self, digest: Digest, location: Location) {
        let first = *self.contents.entry(digest).or_insert(location);
        if first != location {
            let copies = self.copies.entry(digest).or_default();
            if !copies.contains(&location) {
                copies.push(location);
            }
        }
    }

    /// Removes one copy of a content; whether it was there.
    pub(super) fn remove(&mut self, digest: &Digest, location: Location) -> bool {
        let copy = self.copies.get_mut(digest).and_then(|copies| {
            let at = copies.iter().position(|l| *l == location);
            match at {
                Some(at) => Some(copies.swap_remove(at)),
                None if self.contents.get(digest) == Some(&location) => {
                    let heir = copies.pop();
                    if let Some(heir) = heir {
                        self.contents.insert(*digest, heir);
                    }
                    heir
                }
                None => None,
            }
        });
        let found = copy.is_some()
            || (self.contents.get(digest) == Some(&location)
                && self.contents.remove(digest).is_some());
        if self.copies.get(digest).is_some_and(Vec::is_empty) {
            self.copies.remove(digest);
        }
        if found && let Some(pack) = self.packs.get_mut(&location.slot) {
            pack.dead += location.total();
        }
        found
    }

    /// Counts a tombstone in pack `holder` for a record in pack `target`; without a target it is
    /// dead at once.
    pub(super) fn add_tombstone(&mut self, holder: Slot, target: Option<Slot>, octets: u64) {
        match target {
            Some(target) => *self.tombstones.entry((target, holder)).or_default() += octets,
            None => {
                if let Some(pack) = self.packs.get_mut(&holder) {
                    pack.dead += octets;
                }
            }
        }
    }

    /// Forgets a pack whose file is gone, with everything that still points into it.
    pub(super) fn drop_pack(&mut self, slot: Slot) {
        let inside: HashSet<Digest> = self
            .contents
            .iter()
            .chain(self.copies.iter().flat_map(|(d, all)| all.iter().map(move |l| (d, l))))
            .filter(|(_, location)| location.slot == slot)
            .map(|(digest, _)| *digest)
            .collect();
        for digest in inside {
            for location in self.all(&digest).into_iter().filter(|l| l.slot == slot) {
                self.remove(&digest, location);
            }
        }
        self.forget_pack(slot);
    }

    /// Forgets a pack that nothing points into any more.
    pub(super) fn forget_pack(&mut self, slot: Slot) {
        if let Some(pack) = self.packs.remove(&slot) {
            self.slots.remove(&pack.id);
        }
        let freed: Vec<((Slot, Slot), u64)> = self
            .tombstones
            .iter()
            .filter(|((target, holder), _)| *target == slot || *holder == slot)
            .map(|(key, octets)| (*key, *octets))
            .collect();
        for (key, octets) in freed {
            self.tombstones.remove(&key);
            if let Some(holder) = self.packs.get_mut(&key.1) {
                holder.dead += octets;
            }
        }
    }

    /// A pack of ours, other than `current`, that is more than half dead.
    pub(super) fn wasteful(&self, current: Option<Slot>) -> Option<Slot> {
        self.packs()
            .filter(|(slot, pack)| pack.own && Some(*slot) != current && pack.dead * 2 > pack.size)
            .map(|(slot, _)| slot)
            .min()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn at(slot: Slot, offset: u32) -> Location {
        Location { slot, offset, length: 36 }
    }

    #[test]
    fn copies_take_the_place_of_what_is_removed() {
        let mut index = Index::default();
        let a = index.add_pack(Uuid::from_u128(1), PathBuf::new(), true);
        let b = index.add_pack(Uuid::from_u128(2), PathBuf::new(), true);
        let digest = Digest([1; 32]);
        for location in [at(a, 0), at(b, 0), at(b, 100), at(b, 100)] {
            index.add(digest, location);
        }
        assert_eq!(index.all(&digest).len(), 3);
        assert!(index.remove(&digest, at(a, 0)));
        assert!(!index.remove(&digest, at(a, 0)), "removed once");
        assert_eq!(index.all(&digest).len(), 2);
        assert!(index.remove(&digest, at(b, 100)));
        assert_eq!(index.find(&digest), Some(at(b, 0)));
        assert!(index.remove(&digest, at(b, 0)));
        assert_eq!(index.find(&digest), None);
        assert_eq!(index.pack(a).map(|p| p.dead), Some(100));
        assert_eq!(index.pack(b).map(|p| p.dead), Some(200));
    }

    #[test]
    fn tombstones_die_with_the_pack_of_what_they_remove() {
        let mut index = Index::default();
        let a = index.add_pack(Uuid::from_u128(1), PathBuf::new(), true);
        let b = index.add_pack(Uuid::from_u128(2), PathBuf::new(), true);
        index.set_size(b, 150);
        index.add(Digest([1; 32]), at(a, 0));
        index.add_tombstone(b, Some(a), 88);
        assert_eq!(index.wasteful(None), None);
        index.drop_pack(a);
        assert_eq!(index.find(&Digest([1; 32])), None);
        assert_eq!(index.wasteful(None), Some(b));
        assert_eq!(index.wasteful(Some(b)), None, "never the current one");
    }
}
