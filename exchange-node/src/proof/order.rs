//! The order of the objects of a bundle: nothing stands before what it cites.
//!
//! An archive holds objects as they came, and on a backbone that repeats and loses frames a handover
//! may come before the consignment that it cites. Times do not tell the order either, since each
//! node has a clock of its own; the digests that evidence cites do.

use std::collections::HashMap;

use exchange_store::rows::{EvidenceRow, Kind};
use schemas::digest::Digest;
use schemas::evidence::Evidence;

/// Objects as they came, but each after the one that it cites.
pub(super) fn as_cited(objects: Vec<EvidenceRow>) -> Vec<EvidenceRow> {
    let links: Vec<_> = objects.iter().map(|o| (o.evidence.sha256, cited(o))).collect();
    let mut rows: Vec<Option<EvidenceRow>> = objects.into_iter().map(Some).collect();
    order(&links).into_iter().filter_map(|place| rows.get_mut(place)?.take()).collect()
}

/// What an evidence cites (`PreviousEvidenceDigest`); what cannot be read cites nothing.
fn cited(row: &EvidenceRow) -> Option<Digest> {
    if row.evidence.kind != Kind::Evidence {
        return None;
    }
    let opened = signing::seal::open(&row.evidence.p7m).ok()?;
    let evidence: Evidence = serde_json::from_slice(&opened.content).ok()?;
    evidence.extension()?.previous_evidence_digest
}

/// The places of objects, given the digest of each and the one that it cites: as they are, but
/// before each the chain of those it rests on that were not yet named.
fn order(links: &[(Digest, Option<Digest>)]) -> Vec<usize> {
    let places: HashMap<Digest, usize> =
        links.iter().enumerate().map(|(place, (digest, _))| (*digest, place)).collect();
    let mut named = vec![false; links.len()];
    let mut out = Vec::with_capacity(links.len());
    for start in 0..links.len() {
        let (mut chain, mut next) = (Vec::new(), Some(start));
        while let Some(place) = next
            && let Some(seen) = named.get_mut(place)
            && !std::mem::replace(seen, true)
        {
            chain.push(place);
            next = links.get(place).and_then(|(_, cites)| places.get(cites.as_ref()?).copied());
        }
        out.extend(chain.into_iter().rev());
    }
    out
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn digest(n: u8) -> Digest {
        Digest([n; 32])
    }

    fn link(n: u8, cites: Option<u8>) -> (Digest, Option<Digest>) {
        (digest(n), cites.map(digest))
    }

    #[test]
    fn what_came_late_stands_before_what_cites_it() {
        // A.1, B.1, E.1, D.1: the consignment was lost on its way, and came again.
        let came = [link(1, None), link(2, Some(1)), link(5, Some(4)), link(4, Some(2))];
        assert_eq!(order(&came), [0, 1, 3, 2]);
        let rightly = [link(1, None), link(2, Some(1)), link(4, Some(2)), link(5, Some(4))];
        assert_eq!(order(&rightly), [0, 1, 2, 3]);
    }

    #[test]
    fn what_cites_something_that_is_not_here_keeps_its_place() {
        assert_eq!(order(&[link(1, Some(9)), link(2, None), link(3, Some(2))]), [0, 1, 2]);
    }

    proptest! {
        /// Trees of any shape, which came in any order.
        #[test]
        fn everything_is_there_once_and_after_what_it_cites(
            parents in prop::collection::vec(any::<prop::sample::Index>(), 1..40),
            keys in prop::collection::vec(any::<u32>(), 40),
        ) {
            let mut links: Vec<_> = parents
                .iter()
                .enumerate()
                .map(|(n, parent)| {
                    let cites = (n > 0).then(|| parent.index(n) as u8);
                    (keys[n], link(n as u8, cites))
                })
                .collect();
            links.sort();
            let links: Vec<_> = links.into_iter().map(|(_, link)| link).collect();
            let order = order(&links);
            let mut sorted = order.clone();
            sorted.sort_unstable();
            prop_assert_eq!(sorted, (0..links.len()).collect::<Vec<_>>());
            let mut seen = std::collections::HashSet::new();
            for place in order {
                let (digest, cites) = links[place];
                prop_assert!(cites.is_none_or(|cited| seen.contains(&cited)));
                seen.insert(digest);
            }
        }
    }
}
