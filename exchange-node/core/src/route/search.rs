//! Searching members by name, commune and démarche.

use std::collections::HashMap;

use schemas::directory::MembersList;
use schemas::ids::{Cog, ProcessCode};
use schemas::party::Party;

use super::{Directory, Member, Place};

/// What is searched for; everything that is given must hold.
#[derive(Clone, Copy, Debug, Default)]
pub struct Search<'a> {
    /// Words of the name, whatever case and accents; or the beginning of the number.
    pub q: Option<&'a str>,
    /// The commune.
    pub cog: Option<&'a Cog>,
    /// A démarche that the member receives.
    pub process: Option<&'a ProcessCode>,
    /// Only members that come after this one in the order of names.
    pub after: Option<&'a Party>,
    /// At most so many.
    pub limit: usize,
}

impl Search<'_> {
    pub(super) fn run<'d>(&self, directory: &'d Directory) -> Vec<Member<'d>> {
        let q = self.q.map(fold).unwrap_or_default();
        let words: Vec<&str> = q.split_whitespace().collect();
        let start = self.after.map_or(0, |party| self.start(directory, party));
        let tail = directory.by_name.get(start..).unwrap_or_default();
        tail.iter()
            .filter_map(|(name, place)| Some((name, directory.at(*place)?)))
            .filter(|(name, member)| self.fits(name, member, &words))
            .map(|(_, member)| member)
            .take(self.limit)
            .collect()
    }

    /// Position behind `party`; everything when it is not listed any more.
    fn start(&self, directory: &Directory, party: &Party) -> usize {
        directory.listed(party).map_or(0, |last| {
            let last = (fold(&last.entry.name), &last.entry.party);
            directory.by_name.partition_point(|(name, place)| {
                directory.at(*place).is_some_and(|m| (name, &m.entry.party) <= (&last.0, last.1))
            })
        })
    }

    fn fits(&self, name: &str, member: &Member<'_>, words: &[&str]) -> bool {
        let entry = member.entry;
        let named = |w: &&str| name.contains(*w) || entry.party.id.starts_with(*w);
        words.iter().all(named)
            && self.cog.is_none_or(|c| entry.cog.as_ref() == Some(c))
            && self.process.is_none_or(|p| entry.processes.contains(p))
    }
}

/// The members in the order of their folded names, then of their numbers.
pub(super) fn by_name(
    lists: &[MembersList],
    members: &HashMap<Party, Place>,
) -> Vec<(String, Place)> {
    let entry = |place: &Place| lists.get(place.list)?.members.get(place.entry);
    let mut all: Vec<_> =
        members.values().filter_map(|p| Some((fold(&entry(p)?.name), *p))).collect();
    all.sort_by(|(a, p), (b, q)| {
        a.cmp(b).then_with(|| entry(p).map(|e| &e.party).cmp(&entry(q).map(|e| &e.party)))
    });
    all
}

/// Lower case without the accents and ligatures of French, apostrophes and hyphens as spaces:
/// `Saint-Étienne` is found as `saint etienne`.
fn fold(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars().flat_map(char::to_lowercase) {
        match c {
            'à' | 'â' | 'ä' | 'á' | 'ã' => out.push('a'),
            'ç' => out.push('c'),
            'é' | 'è' | 'ê' | 'ë' => out.push('e'),
            'î' | 'ï' | 'í' | 'ì' => out.push('i'),
            'ñ' => out.push('n'),
            'ô' | 'ö' | 'ó' | 'ò' | 'õ' => out.push('o'),
            'ù' | 'û' | 'ü' | 'ú' => out.push('u'),
            'ÿ' => out.push('y'),
            'œ' => out.push_str("oe"),
            'æ' => out.push_str("ae"),
            '\'' | '’' | '-' | '‐' => out.push(' '),
            other => out.push(other),
        }
    }
    out
}
