//! The binary hash tree under one time-stamp (RFC 4998 §4.2).
//!
//! Leaves are hashes of objects, in the order given. An inner node is the hash of its two children,
//! concatenated in ascending binary order; a node without a sibling rises unchanged. All levels are
//! kept, 64 octets a leaf in all: a million leaves take 64 MB.

use aws_lc_rs::digest::{SHA256, digest};
use rayon::prelude::*;
use schemas::digest::Digest;

use super::RecordError;

/// Below this many pairs, handing work to other cores costs more than it saves.
const WORTH_SHARING: usize = 2048;

/// A tree over at least one leaf.
#[derive(Debug)]
pub struct Tree {
    /// Leaves first, the root alone last.
    levels: Vec<Vec<Digest>>,
}

impl Tree {
    /// Builds the tree over `leaves`.
    ///
    /// # Errors
    /// [`RecordError::NoLeaves`] when there are none: there would be nothing to stamp.
    pub fn build(leaves: Vec<Digest>) -> Result<Self, RecordError> {
        if leaves.is_empty() {
            return Err(RecordError::NoLeaves);
        }
        let mut levels = vec![leaves];
        while let Some(below) = levels.last().filter(|level| level.len() > 1) {
            let above = parents(below);
            levels.push(above);
        }
        Ok(Self { levels })
    }

    /// The hash to be stamped.
    #[must_use]
    pub fn root(&self) -> Digest {
        self.levels.last().and_then(|top| top.first()).copied().unwrap_or_default()
    }

    /// Number of leaves, at least 1.
    #[must_use]
    pub fn len(&self) -> usize {
        self.levels.first().map_or(0, Vec::len)
    }

    /// Never true: a tree has a leaf.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The siblings on the way from leaf `index` to the root, lowest first; empty for the only
    /// leaf. Where the node has no sibling it rises, and the path holds nothing for that level.
    /// An index beyond the leaves gives `None`.
    #[must_use]
    pub fn path(&self, index: usize) -> Option<Vec<Digest>> {
        self.levels.first()?.get(index)?;
        let below_root = self.levels.iter().enumerate();
        Some(
            below_root
                .filter_map(|(height, level)| level.get((index >> height) ^ 1))
                .copied()
                .collect(),
        )
    }
}

/// The root that `path` leads to from `object`: what the token must have stamped.
#[must_use]
pub fn root_from_path(object: &Digest, path: &[Digest]) -> Digest {
    path.iter().fold(*object, |node, sibling| join(&node, sibling))
}

fn parents(below: &[Digest]) -> Vec<Digest> {
    let parent = |pair: &[Digest]| match pair {
        [left, right] => join(left, right),
        [alone, ..] => *alone,
        [] => Digest::default(),
    };
    if below.len() < 2 * WORTH_SHARING {
        below.chunks(2).map(parent).collect()
    } else {
        below.par_chunks(2).with_min_len(WORTH_SHARING).map(parent).collect()
    }
}

/// H(lesser || greater) (RFC 4998 §4.2, step 3).
fn join(a: &Digest, b: &Digest) -> Digest {
    let (first, second) = if a <= b { (a, b) } else { (b, a) };
    let mut both = [0; 64];
    let (left, right) = both.split_at_mut(32);
    left.copy_from_slice(first.as_bytes());
    right.copy_from_slice(second.as_bytes());
    Digest::from_slice(digest(&SHA256, &both).as_ref()).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn leaf(n: u32) -> Digest {
        Digest::from_slice(digest(&SHA256, &n.to_be_bytes()).as_ref()).unwrap()
    }

    fn tree(n: u32) -> Tree {
        Tree::build((0..n).map(leaf).collect()).unwrap()
    }

    #[test]
    fn no_leaves_no_tree() {
        assert!(matches!(Tree::build(vec![]), Err(RecordError::NoLeaves)));
    }

    #[test]
    fn one_leaf_is_its_own_root() {
        let t = tree(1);
        assert_eq!((t.root(), t.path(0), t.len()), (leaf(0), Some(vec![]), 1));
    }

    #[test]
    fn three_leaves_by_hand() {
        let t = tree(3);
        let pair = join(&leaf(0), &leaf(1));
        assert_eq!(t.root(), join(&pair, &leaf(2)));
        assert_eq!(t.path(2), Some(vec![pair]), "the odd leaf rises");
        assert_eq!(t.path(3), None);
    }

    #[test]
    fn children_are_sorted_not_placed() {
        assert_eq!(join(&leaf(0), &leaf(1)), join(&leaf(1), &leaf(0)));
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(24))]
        #[test]
        fn every_path_leads_to_the_root(n in 1_u32..6000, pick in any::<u32>()) {
            let t = tree(n);
            let i = pick % n;
            prop_assert_eq!(root_from_path(&leaf(i), &t.path(i as usize).unwrap()), t.root());
            prop_assert_ne!(root_from_path(&leaf(n), &t.path(i as usize).unwrap()), t.root());
        }
    }

    #[test]
    fn a_million_leaves_fit_in_memory() {
        let t = tree(1_000_000);
        let held: usize = t.levels.iter().map(|l| l.capacity() * size_of::<Digest>()).sum();
        assert!(held < 70_000_000, "{held} octets");
        assert_eq!(root_from_path(&leaf(777_777), &t.path(777_777).unwrap()), t.root());
    }
}
