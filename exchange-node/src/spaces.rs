//! How much may wait for a member: row 14 of the life cycle (D.2, RD04).
//!
//! ```text
//! below 80 %   consigned
//! from 80 %    consigned; the log names the member, `inboxes` in /health/ready counts it
//! full         it waits at this node until something is collected, or the time to consign is over
//! ```
//! What waits is what the inbox of the member lists. It is counted in memory and taken from the
//! database when a member is first seen, now and then, and before anything is kept waiting: what
//! was collected and what other processes of the node have consigned is known by then. Who has much
//! room is looked at less often: to count what waits takes a second for 250,000 deliveries. Between
//! two looks, several processes together may pass a limit by what they consign at the same moment.

use std::collections::{HashMap, HashSet};
use std::sync::{Mutex, PoisonError};

use exchange_core::state::{Phase, Role};
use exchange_store::rows::Loaded;
use exchange_store::{Store, StoreError};
use schemas::envelope::Envelope;
use schemas::ids::{DeliveryId, NodeId};
use schemas::time::{MINUTE, SECOND, Timestamp};

use crate::config::{SpaceOfMember, SpaceSection};
use crate::directory::Snapshot;
use crate::engine::item::{Fact, Item, Kind};

/// Hundredths from which on the operator is warned.
const EARLY: u128 = 80;
/// How long a count is added to before it is taken from the database again.
const FRESH: i64 = 30 * SECOND;
/// The same for a member that uses less than half of its space, while this process has not filled
/// an eighth of what was left: of eight processes, the others have not filled it either.
const CALM: i64 = 5 * MINUTE;
/// How long a member whose space is full is not looked at again: many deliveries may wait.
const FULL: i64 = SECOND;

/// The spaces of the members of one node.
#[derive(Debug)]
pub struct Spaces {
    section: SpaceSection,
    known: Mutex<HashMap<String, Space>>,
}

/// What waits for one member.
#[derive(Clone, Copy, Debug)]
struct Space {
    items: u64,
    octets: u64,
    limit: SpaceOfMember,
    looked: Timestamp,
    /// Items and octets that the database counted then.
    counted: (u64, u64),
    warned: bool,
}

/// A delivery that may enter the space of a member.
#[derive(Debug)]
struct Wanted {
    delivery: DeliveryId,
    member: String,
    limit: SpaceOfMember,
    octets: u64,
}

impl Spaces {
    /// As the configuration says.
    #[must_use]
    pub fn new(section: &SpaceSection) -> Self {
        Self { section: section.clone(), known: Mutex::default() }
    }

    /// The deliveries of a batch for which there is no room.
    ///
    /// # Errors
    /// The database is away.
    pub(crate) async fn full(
        &self,
        store: &dyn Store,
        (batch, loaded): (&[Item], &Loaded),
        (node, snapshot): (&NodeId, &Snapshot),
        now: Timestamp,
    ) -> Result<HashSet<DeliveryId>, StoreError> {
        let wanted: Vec<Wanted> = batch
            .iter()
            .filter_map(|item| candidate(item, loaded, (node, snapshot)))
            .filter_map(|(delivery, envelope, index)| self.wanted(delivery, envelope, index))
            .collect();
        if wanted.is_empty() {
            return Ok(HashSet::new());
        }
        self.look(store, self.stale(&wanted, now), now).await?;
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        let mut full = HashSet::new();
        for one in wanted {
            let Some(space) = known.get_mut(&one.member) else { continue };
            if space.takes(one.octets) {
                space.items = space.items.saturating_add(1);
                space.octets = space.octets.saturating_add(one.octets);
                space.warn(&one.member);
            } else {
                full.insert(one.delivery);
            }
        }
        Ok(full)
    }

    fn wanted(&self, delivery: DeliveryId, envelope: &Envelope, index: u32) -> Option<Wanted> {
        let recipient = envelope.recipients.get(usize::try_from(index).ok()?)?;
        let SpaceSection { items, bytes, members } = &self.section;
        let of_all = SpaceOfMember { items: *items, bytes: *bytes };
        let limit = members.get(&recipient.id).copied().unwrap_or(of_all);
        if limit.items == 0 && limit.bytes == 0 {
            return None;
        }
        let sizes = envelope.documents.iter().filter(|d| d.is_for(index)).map(|d| d.size);
        let octets = sizes.fold(0_u64, u64::saturating_add);
        Some(Wanted { delivery, member: recipient.organisation().key(), limit, octets })
    }

    /// Members whose count is not known, is old, or leaves no room, each with its limit.
    fn stale(&self, wanted: &[Wanted], now: Timestamp) -> HashMap<String, SpaceOfMember> {
        let known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        let mut more: HashMap<&str, (u64, u64)> = HashMap::new();
        for one in wanted {
            let (items, octets) = more.entry(&one.member).or_default();
            *items = items.saturating_add(1);
            *octets = octets.saturating_add(one.octets);
        }
        let old = |one: &&Wanted| {
            let Some(space) = known.get(&one.member) else { return true };
            let age = now.since(space.looked);
            let (items, octets) = more.get(one.member.as_str()).copied().unwrap_or_default();
            age >= space.fresh() || (age >= FULL && !space.holds(items, octets))
        };
        wanted.iter().filter(old).map(|one| (one.member.clone(), one.limit)).collect()
    }

    async fn look(
        &self,
        store: &dyn Store,
        members: HashMap<String, SpaceOfMember>,
        now: Timestamp,
    ) -> Result<(), StoreError> {
        if members.is_empty() {
            return Ok(());
        }
        let keys: Vec<String> = members.keys().cloned().collect();
        let mut counted: HashMap<String, (u64, u64)> =
            store.inboxes(&keys).await?.into_iter().map(|(m, i, o)| (m, (i, o))).collect();
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        for (member, limit) in members {
            let (items, octets) = counted.remove(&member).unwrap_or_default();
            let warned = known.get(&member).is_some_and(|space| space.warned);
            let counted = (items, octets);
            let mut space = Space { items, octets, limit, looked: now, counted, warned };
            space.warned = warned && space.is_near();
            space.warn(&member);
            known.insert(member, space);
        }
        Ok(())
    }

    /// How many members are near their limit, and how many have reached it, by the database.
    ///
    /// # Errors
    /// The database is away.
    pub async fn strained(
        &self,
        store: &dyn Store,
        now: Timestamp,
    ) -> Result<(usize, usize), StoreError> {
        let near: HashMap<String, SpaceOfMember> = {
            let known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
            let near = known.iter().filter(|(_, s)| s.is_near() && now.since(s.looked) >= FULL);
            near.map(|(member, space)| (member.clone(), space.limit)).collect()
        };
        self.look(store, near, now).await?;
        let known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        let near = known.values().filter(|space| space.is_near()).count();
        let full = known.values().filter(|space| space.is_full()).count();
        Ok((near - full, full))
    }
}

impl Space {
    fn shares(&self) -> [(u64, u64); 2] {
        [(self.items, self.limit.items), (self.octets, self.limit.bytes)]
    }

    /// How long its count is good for.
    fn fresh(&self) -> i64 {
        let before = [self.counted.0, self.counted.1];
        let calm = |((used, most), before): ((u64, u64), u64)| {
            let added = u128::from(used.saturating_sub(before));
            let left = u128::from(most.saturating_sub(before));
            most == 0 || (u128::from(used) * 2 < u128::from(most) && added * 8 < left)
        };
        if self.shares().into_iter().zip(before).all(calm) { CALM } else { FRESH }
    }

    fn holds(&self, items: u64, octets: u64) -> bool {
        let with = [self.items.saturating_add(items), self.octets.saturating_add(octets)];
        self.shares().iter().zip(with).all(|((_, most), with)| *most == 0 || with <= *most)
    }

    fn takes(&self, octets: u64) -> bool {
        self.holds(1, octets)
    }

    fn is_full(&self) -> bool {
        self.shares().iter().any(|(used, most)| *most > 0 && used >= most)
    }

    fn is_near(&self) -> bool {
        let near = |used: u64, most: u64| u128::from(used) * 100 >= u128::from(most) * EARLY;
        self.shares().iter().any(|(used, most)| *most > 0 && near(*used, *most))
    }

    fn warn(&mut self, member: &str) {
        if self.is_near() && !self.warned {
            self.warned = true;
            let Self { items, octets, limit, .. } = self;
            tracing::warn!(
                member,
                items,
                octets,
                most_items = limit.items,
                most_octets = limit.bytes,
                "much waits for a member; at its limit nothing more is consigned"
            );
        }
    }
}

/// The delivery of an item that may consign something here, with its envelope and its addressee.
fn candidate<'a>(
    item: &'a Item,
    loaded: &'a Loaded,
    (node, snapshot): (&NodeId, &Snapshot),
) -> Option<(DeliveryId, &'a Envelope, u32)> {
    let Kind::Deliver(work) = &item.kind else { return None };
    let id = work.delivery;
    match (&work.fact, loaded.deliveries.get(&id)) {
        (Fact::Dispatched(arrived), None) => {
            let index = arrived.recipient_index;
            let recipient = arrived.envelope.recipients.get(usize::try_from(index).ok()?)?;
            let here = snapshot.directory.member(recipient).is_some_and(|m| m.node == node);
            here.then_some((id, arrived.envelope.as_ref(), index))
        }
        (Fact::Due | Fact::Continue, Some((delivery, _))) => {
            let here = matches!(delivery.role, Role::Recipient | Role::Local);
            let waits = matches!(delivery.phase, Phase::Accepted | Phase::Relayed);
            let envelope = loaded.envelopes.get(&delivery.message)?;
            (here && waits).then_some((id, envelope.as_ref(), delivery.recipient_index))
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn space(items: u64, octets: u64) -> Space {
        let limit = SpaceOfMember { items: 10, bytes: 1_000 };
        let counted = (items, octets);
        Space { items, octets, limit, looked: Timestamp::from_millis(0), counted, warned: false }
    }

    #[test]
    fn eighty_in_a_hundred_is_near_and_a_hundred_is_full() {
        assert!(!space(7, 799).is_near() && space(8, 0).is_near() && space(0, 800).is_near());
        assert!(space(9, 0).takes(1_000) && !space(9, 0).takes(1_001));
        assert!(!space(10, 0).takes(0) && space(10, 0).is_full() && !space(9, 999).is_full());
        let free = SpaceOfMember { items: 0, bytes: 5 };
        assert!(Space { limit: free, ..space(u64::MAX, 4) }.takes(1));
    }

    #[test]
    fn a_member_is_looked_at_again_when_its_count_is_old_or_leaves_no_room() {
        let spaces = Spaces::new(&SpaceSection::default());
        let wanted = |octets| Wanted {
            delivery: DeliveryId(uuid::Uuid::from_u128(1)),
            member: "m".to_owned(),
            limit: space(0, 0).limit,
            octets,
        };
        let at = Timestamp::from_millis;
        assert_eq!(spaces.stale(&[wanted(1)], at(0)).len(), 1, "nothing is known");
        spaces.known.lock().unwrap().insert("m".to_owned(), space(5, 0));
        assert!(spaces.stale(&[wanted(1)], at(FRESH - 1)).is_empty());
        assert_eq!(spaces.stale(&[wanted(1)], at(FRESH)).len(), 1, "old");
        assert_eq!(spaces.stale(&[wanted(1_001)], at(FULL)).len(), 1, "no room");
        assert!(spaces.stale(&[wanted(1_001)], at(FULL - 1)).is_empty(), "looked at just now");
        let many: Vec<_> = (0..6).map(|_| wanted(0)).collect();
        assert_eq!(spaces.stale(&many, at(FULL)).len(), 1, "none for all of a batch");
    }

    #[test]
    fn who_has_much_room_is_looked_at_less_often() {
        assert_eq!((space(4, 499).fresh(), space(5, 0).fresh()), (CALM, FRESH));
        assert_eq!(space(0, 500).fresh(), FRESH);
        let filled = |octets| Space { octets, ..space(0, 100) }.fresh();
        assert_eq!((filled(212), filled(213)), (CALM, FRESH), "an eighth of what was left");
        let no_limit = SpaceOfMember { items: 0, bytes: 0 };
        assert_eq!(Space { limit: no_limit, ..space(u64::MAX, 1) }.fresh(), CALM);
    }

    #[test]
    fn a_member_has_its_own_limit_or_that_of_all() {
        let envelope = schemas::sample::envelope();
        let id = DeliveryId(uuid::Uuid::from_u128(1));
        let mut section = SpaceSection { items: 3, bytes: 0, ..SpaceSection::default() };
        let own = SpaceOfMember { items: 0, bytes: 9 };
        let limit =
            |section: &SpaceSection| Spaces::new(section).wanted(id, &envelope, 0).map(|w| w.limit);
        assert_eq!(limit(&section), Some(SpaceOfMember { items: 3, bytes: 0 }));
        let recipient = envelope.recipients[0].id.clone();
        section.members.insert(recipient.clone(), own);
        assert_eq!(limit(&section), Some(own));
        section.members.insert(recipient, SpaceOfMember::default());
        assert_eq!(limit(&section), None, "no limit");
    }
}
