//! The directory in memory: who is where, and the next node on the way to it.
//!
//! Built from the root list of the central authority and the members lists of the nodes, whose
//! seals the caller has verified. What the seals cannot say is checked here: a node may only list
//! members within the scope that its root entry delegates; a list never goes back to an older
//! version; a list past its expiry serves for [`GRACE_DAYS`] more days, so that nodes go on while
//! the central authority is down.
//!
//! - [`Directory::member`], [`Directory::commune`]: an organisation, and the node it is reached at.
//! - [`Directory::next_hop`]: the next node towards another one.
//! - [`Directory::search`]: by name, commune and démarche, for people.
//!
//! Look-ups hash once; a new directory is built for every change, and shared read-only.

mod scope;
mod search;

use std::collections::HashMap;

use schemas::directory::{GRACE_DAYS, MemberEntry, MembersList, NodeEntry, RootList, Standing};
use schemas::ids::{Cog, NodeId};
use schemas::party::Party;
use schemas::time::{DAY, Timestamp};

pub(crate) use scope::department;
pub use scope::{Rejected, Why};
pub use search::Search;

/// Most successions that are followed, and most nodes on a way.
const MAX_STEPS: usize = 8;

/// All nodes and all members. See the module.
#[derive(Debug, Default)]
pub struct Directory {
    root: Option<RootList>,
    lists: Vec<MembersList>,
    nodes: HashMap<NodeId, usize>,
    listed: HashMap<NodeId, usize>,
    members: HashMap<Party, Place>,
    communes: HashMap<Cog, Place>,
    by_name: Vec<(String, Place)>,
    rejected: Vec<Rejected>,
}

/// Where an entry stands: list, then position in it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Place {
    list: usize,
    entry: usize,
}

/// A member and the node it is reached at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Member<'a> {
    /// Its entry.
    pub entry: &'a MemberEntry,
    /// Its node.
    pub node: &'a NodeId,
}

/// How current a list is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Freshness {
    /// Before its expiry.
    Fresh,
    /// Expired, within the days of grace.
    Grace,
    /// Not to be relied upon any more.
    Expired,
}

impl Freshness {
    /// Of a list that ends at `expires_at`.
    #[must_use]
    pub fn at(expires_at: Timestamp, now: Timestamp) -> Self {
        match () {
            () if now < expires_at => Self::Fresh,
            () if now < expires_at.plus(GRACE_DAYS * DAY) => Self::Grace,
            () => Self::Expired,
        }
    }
}

impl Directory {
    /// Builds a directory. Without a root list nobody has delegated anything: it is empty. Of two
    /// lists of one node the newer counts. What may not stand is left out, see
    /// [`Directory::rejected`].
    #[must_use]
    pub fn new(root: Option<RootList>, members: Vec<MembersList>) -> Self {
        let nodes: HashMap<_, _> = root
            .iter()
            .flat_map(|r| r.nodes.iter().enumerate().map(|(i, n)| (n.id.clone(), i)))
            .collect();
        let mut this = Self { root, nodes, ..Self::default() };
        this.take_lists(members);
        this.take_members();
        this.by_name = search::by_name(&this.lists, &this.members);
        this
    }

    /// What was left out, and why.
    #[must_use]
    pub fn rejected(&self) -> &[Rejected] {
        &self.rejected
    }

    /// The root list.
    #[must_use]
    pub fn root(&self) -> Option<&RootList> {
        self.root.as_ref()
    }

    /// The members lists in force, by node.
    #[must_use]
    pub fn lists(&self) -> &[MembersList] {
        &self.lists
    }

    /// Whether `root` may replace the present root list: versions never go back.
    #[must_use]
    pub fn accepts(&self, root: &RootList) -> bool {
        self.root.as_ref().is_none_or(|held| root.sequence > held.sequence)
    }

    /// Whether `list` may replace the present list of its node, which the root list must name.
    #[must_use]
    pub fn accepts_members(&self, list: &MembersList) -> bool {
        self.nodes.contains_key(&list.node)
            && self.list_of(&list.node).is_none_or(|held| list.sequence > held.sequence)
    }

    /// This directory with newer lists; those that [`Directory::accepts`] or
    /// [`Directory::accepts_members`] refuses are ignored.
    #[must_use]
    pub fn renewed(&self, root: Option<RootList>, members: Vec<MembersList>) -> Self {
        let root = root.filter(|r| self.accepts(r)).or_else(|| self.root.clone());
        // A root list that comes along may name the node of a members list for the first time.
        let newer =
            |l: &MembersList| self.list_of(&l.node).is_none_or(|held| l.sequence > held.sequence);
        let mut lists = self.lists.clone();
        lists.extend(members.into_iter().filter(newer));
        Self::new(root, lists)
    }

    /// How current the root list is.
    #[must_use]
    pub fn freshness(&self, now: Timestamp) -> Freshness {
        self.root.as_ref().map_or(Freshness::Expired, |root| Freshness::at(root.expires_at, now))
    }

    /// How current what is known about the members of `node` is: the older of root and list.
    #[must_use]
    pub fn freshness_of(&self, node: &NodeId, now: Timestamp) -> Freshness {
        let ends = self.root.as_ref().zip(self.list_of(node));
        ends.map_or(Freshness::Expired, |(root, list)| {
            Freshness::at(root.expires_at.min(list.expires_at), now)
        })
    }

    /// A node of the root list, whatever its standing.
    #[must_use]
    pub fn node(&self, id: &NodeId) -> Option<&NodeEntry> {
        let at = *self.nodes.get(id)?;
        self.root.as_ref()?.nodes.get(at)
    }

    /// The member that answers for an organisation today: itself or, once it is closed, its
    /// successor (commune nouvelle). Service and desk are ignored.
    #[must_use]
    pub fn member(&self, party: &Party) -> Option<Member<'_>> {
        let mut found = self.listed(party)?;
        for _ in 0..MAX_STEPS {
            let closed = found.entry.standing == Standing::Closed;
            let heir = found.entry.successor.as_ref().filter(|_| closed);
            match heir.and_then(|party| self.listed(party)) {
                Some(next) => found = next,
                None => break,
            }
        }
        Some(found)
    }

    /// The entry of an organisation itself, not that of a successor.
    #[must_use]
    pub fn listed(&self, party: &Party) -> Option<Member<'_>> {
        self.members.get(&party.organisation()).and_then(|place| self.at(*place))
    }

    /// The member that answers for a commune, by its COG code; follows successors.
    #[must_use]
    pub fn commune(&self, cog: &Cog) -> Option<Member<'_>> {
        let listed = self.at(*self.communes.get(cog)?)?;
        self.member(&listed.entry.party)
    }

    /// The next node on the way from one to another: itself when both share a backbone or nothing
    /// is known about backbones; else through the node that the directory names. None when there
    /// is no way, or a node on it is not in service.
    #[must_use]
    pub fn next_hop(&self, from: &NodeId, to: &NodeId) -> Option<NodeId> {
        (from != to).then(|| self.towards(from, to, MAX_STEPS)).flatten()
    }

    /// All members whose name holds the words asked for, in the order of their names. See
    /// [`Search`].
    #[must_use]
    pub fn search(&self, search: &Search<'_>) -> Vec<Member<'_>> {
        search.run(self)
    }

    /// How many members are listed.
    #[must_use]
    pub fn len(&self) -> usize {
        self.members.len()
    }

    /// Whether nobody is listed.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.members.is_empty()
    }

    fn towards(&self, from: &NodeId, to: &NodeId, steps: usize) -> Option<NodeId> {
        let target = self.in_service(to)?;
        let Some(source) = self.node(from) else { return Some(to.clone()) };
        let unknown = source.backbones.is_empty() || target.backbones.is_empty();
        if unknown || source.backbones.iter().any(|b| target.backbones.contains(b)) {
            return Some(to.clone());
        }
        let steps = steps.checked_sub(1)?;
        // From the far end backwards first; a node on a backbone of its own leaves by its own door.
        let doors = [target.via.as_ref(), source.via.as_ref()].into_iter().flatten();
        doors.filter(|door| *door != from && *door != to).find_map(|door| {
            let hop = self.towards(from, door, steps)?;
            // Through one's own door only where the way goes on behind it.
            let goes_on = target.via.as_ref() == Some(door)
                || self.towards(door, to, steps).is_some_and(|next| next != *from);
            goes_on.then_some(hop)
        })
    }

    fn in_service(&self, id: &NodeId) -> Option<&NodeEntry> {
        self.node(id).filter(|n| n.standing == Standing::Active)
    }

    fn at(&self, place: Place) -> Option<Member<'_>> {
        let list = self.lists.get(place.list)?;
        Some(Member { entry: list.members.get(place.entry)?, node: &list.node })
    }

    fn list_of(&self, node: &NodeId) -> Option<&MembersList> {
        self.lists.get(*self.listed.get(node)?)
    }
}

#[cfg(test)]
mod tests;
