//! What may stand in a directory: the newest list of each node, within its delegated scope.

use std::collections::HashMap;
use std::collections::hash_map::Entry;

use schemas::directory::{MemberEntry, MembersList, Scope, Standing};
use schemas::ids::{Cog, NodeId};
use schemas::party::Party;

use super::{Directory, Place};

/// Something that was left out of a directory.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rejected {
    /// The node that listed it.
    pub node: NodeId,
    /// The member; none when the whole list was left out.
    pub party: Option<Party>,
    /// Why.
    pub why: Why,
}

/// Why something was left out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Why {
    /// The root list does not name this node.
    UnknownNode,
    /// A newer list of the same node is there.
    Superseded,
    /// The root list does not delegate this member to this node.
    OutOfScope,
    /// Another node lists the same organisation with a better right.
    Elsewhere,
    /// Another member holds the same COG code with a better right; this one stays reachable by
    /// its number.
    CommuneElsewhere,
}

/// How a scope covers a member. The smaller, the better the right when two nodes list the same
/// organisation: a SIREN named by the central authority, then a node trusted with everything,
/// then a department, where the node itself claims the COG code.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Title {
    Siren,
    Any,
    Department,
}

/// Smaller is better: title, then in service or not; the newer list wins a draw.
type Right = (Title, bool, std::cmp::Reverse<schemas::time::Timestamp>);

fn title(scope: &Scope, member: &MemberEntry) -> Option<Title> {
    let siren = member.party.id.get(..9);
    if siren.is_some_and(|s| scope.sirens.iter().any(|known| known.as_str() == s)) {
        return Some(Title::Siren);
    }
    if scope.any {
        return Some(Title::Any);
    }
    let department = member.cog.as_ref().map(department)?;
    scope.departments.iter().any(|d| d == department).then_some(Title::Department)
}

/// Department of a commune: two characters, or three overseas (`971`, `987`).
pub(crate) fn department(cog: &Cog) -> &str {
    let cog = cog.as_str();
    let len = if cog.starts_with("97") || cog.starts_with("98") { 3 } else { 2 };
    cog.get(..len).unwrap_or(cog)
}

impl Directory {
    /// The newest list of each node that the root list names.
    pub(super) fn take_lists(&mut self, mut members: Vec<MembersList>) {
        members.sort_by(|a, b| a.node.cmp(&b.node).then(b.sequence.cmp(&a.sequence)));
        for list in members {
            let why = match self.listed.contains_key(&list.node) {
                _ if !self.nodes.contains_key(&list.node) => Why::UnknownNode,
                true => Why::Superseded,
                false => {
                    self.listed.insert(list.node.clone(), self.lists.len());
                    self.lists.push(list);
                    continue;
                }
            };
            self.rejected.push(Rejected { node: list.node, party: None, why });
        }
    }

    /// The members of those lists that lie within the scope of their node.
    pub(super) fn take_members(&mut self) {
        let mut rejected = Vec::new();
        let mut members: HashMap<Party, (Right, Place)> = HashMap::new();
        let mut communes: HashMap<Cog, (Right, Place)> = HashMap::new();
        for (list, l) in self.lists.iter().enumerate() {
            let Some(scope) = self.node(&l.node).map(|n| &n.scope) else { continue };
            for (entry, m) in l.members.iter().enumerate() {
                let place = Place { list, entry };
                let Some(title) = title(scope, m) else {
                    rejected.push(reject(&l.node, m, Why::OutOfScope));
                    continue;
                };
                let active = m.standing == Standing::Active;
                let right = (title, !active, std::cmp::Reverse(l.issued_at));
                claim(&mut members, m.party.organisation(), right, place);
                if let Some(cog) = &m.cog {
                    claim(&mut communes, cog.clone(), right, place);
                }
            }
        }
        let held = |map: &HashMap<Party, (Right, Place)>, m: &MemberEntry, place| {
            map.get(&m.party.organisation()).is_none_or(|(_, p)| *p == place)
        };
        for (list, l) in self.lists.iter().enumerate() {
            for (entry, m) in l.members.iter().enumerate() {
                let place = Place { list, entry };
                let commune = m.cog.as_ref().and_then(|c| communes.get(c));
                if !held(&members, m, place) {
                    rejected.push(reject(&l.node, m, Why::Elsewhere));
                } else if commune.is_some_and(|(_, p)| *p != place) {
                    rejected.push(reject(&l.node, m, Why::CommuneElsewhere));
                }
            }
        }
        self.members = members.into_iter().map(|(k, (_, place))| (k, place)).collect();
        self.communes = communes.into_iter().map(|(k, (_, place))| (k, place)).collect();
        self.rejected.extend(rejected);
    }
}

fn claim<K: Eq + std::hash::Hash>(
    map: &mut HashMap<K, (Right, Place)>,
    key: K,
    right: Right,
    place: Place,
) {
    match map.entry(key) {
        Entry::Vacant(free) => {
            free.insert((right, place));
        }
        Entry::Occupied(mut held) if right < held.get().0 => {
            held.insert((right, place));
        }
        Entry::Occupied(_) => {}
    }
}

fn reject(node: &NodeId, member: &MemberEntry, why: Why) -> Rejected {
    Rejected { node: node.clone(), party: Some(member.party.clone()), why }
}
