//! Which offsets may be committed.
//!
//! Kafka knows one number for each partition: everything before it is done. So a committed offset
//! never passes a record that was handed out and not acknowledged, in whatever order the
//! acknowledgements come. Gaps between offsets (retention, transaction markers) do not matter: only
//! what was handed out counts.

use std::collections::{BTreeSet, HashMap};
use std::sync::Mutex;

use crate::Receipt;

/// The partitions that a member has, or had.
#[derive(Debug, Default)]
pub(super) struct Offsets(Mutex<HashMap<i32, Partition>>);

#[derive(Debug, Default)]
struct Partition {
    /// How often it was assigned: receipts of an earlier time are void.
    term: u32,
    outstanding: BTreeSet<i64>,
    /// One past the last that was handed out.
    end: i64,
    /// What was last reported by [`Offsets::done`].
    told: i64,
}

impl Offsets {
    /// The partitions begin anew.
    pub(super) fn begin(&self, partitions: impl Iterator<Item = i32>) {
        let Ok(mut all) = self.0.lock() else { return };
        for number in partitions {
            let term = all.get(&number).map_or(0, |partition| partition.term) + 1;
            all.insert(number, Partition { term, ..Partition::default() });
        }
    }

    /// A record goes to the caller.
    pub(super) fn hand_out(&self, number: i32, offset: i64) -> Receipt {
        let mut term = 0;
        if let Ok(mut all) = self.0.lock() {
            let partition = all.entry(number).or_default();
            partition.outstanding.insert(offset);
            partition.end = partition.end.max(offset + 1);
            term = partition.term;
        }
        let lot = u64::from(term) << 32 | u64::from(number.unsigned_abs());
        Receipt { lot, position: offset.unsigned_abs() }
    }

    /// Records are done with; says which partitions may now be committed up to which offset.
    pub(super) fn done(&self, receipts: &[Receipt]) -> Vec<(i32, i64)> {
        let Ok(mut all) = self.0.lock() else { return Vec::new() };
        let mut touched = BTreeSet::new();
        for receipt in receipts {
            let number = i32::try_from(receipt.lot & u64::from(u32::MAX)).unwrap_or(-1);
            let Some(partition) = all.get_mut(&number) else { continue };
            let offset = i64::try_from(receipt.position).unwrap_or(-1);
            if receipt.lot >> 32 == u64::from(partition.term)
                && partition.outstanding.remove(&offset)
            {
                touched.insert(number);
            }
        }
        let advanced = |number: i32| {
            let partition = all.get_mut(&number)?;
            let floor = partition.outstanding.first().copied().unwrap_or(partition.end);
            (floor > partition.told).then(|| {
                partition.told = floor;
                (number, floor)
            })
        };
        touched.into_iter().filter_map(advanced).collect()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_gap_holds_the_offset_back() {
        let offsets = Offsets::default();
        offsets.begin([0].into_iter());
        let receipts: Vec<Receipt> = (5..9).map(|o| offsets.hand_out(0, o)).collect();
        assert_eq!(offsets.done(&receipts[1..3]), vec![(0, 5)]);
        assert_eq!(offsets.done(&receipts[3..4]), vec![]);
        assert_eq!(offsets.done(&receipts[0..1]), vec![(0, 9)]);
        assert_eq!(offsets.done(&receipts), vec![]);
    }

    #[test]
    fn receipts_of_an_earlier_assignment_are_void() {
        let offsets = Offsets::default();
        offsets.begin([3].into_iter());
        let old = offsets.hand_out(3, 0);
        offsets.begin([3].into_iter());
        let new = offsets.hand_out(3, 0);
        assert_eq!(offsets.done(&[old]), vec![]);
        assert_eq!(offsets.done(&[new]), vec![(3, 1)]);
    }

    proptest! {
        /// Whatever the order of acknowledgements, what is committed covers only acknowledged
        /// records, and covers all of them in the end.
        #[test]
        fn never_past_what_is_not_acknowledged(
            order in Just((0..40_i64).collect::<Vec<_>>()).prop_shuffle(),
            chunk in 1..7_usize,
        ) {
            let offsets = Offsets::default();
            offsets.begin([0].into_iter());
            let receipts: Vec<Receipt> = (0..40).map(|o| offsets.hand_out(0, o * 2)).collect();
            let (mut acknowledged, mut committed) = (BTreeSet::new(), 0);
            for some in order.chunks(chunk) {
                let batch: Vec<Receipt> =
                    some.iter().map(|i| receipts[usize::try_from(*i).unwrap()]).collect();
                acknowledged.extend(some.iter().map(|i| i * 2));
                for (_, offset) in offsets.done(&batch) {
                    prop_assert!(offset >= committed);
                    committed = offset;
                }
                prop_assert!((0..40).map(|i| i * 2).filter(|o| *o < committed)
                    .all(|o| acknowledged.contains(&o)));
            }
            prop_assert_eq!(committed, 79);
        }
    }
}
