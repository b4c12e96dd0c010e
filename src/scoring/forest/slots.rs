//! A row as the nodes see it.
//!
//! Slot 0 is -inf, which no leaf's value is below: it sends a leaf to itself. Then comes one slot for each pair of a
//! numerically split feature and a way its missing values go. The last ones are words of bits: each category split has one
//! bit, set where its feature's category goes right, and copied from a table by category.

use std::collections::{BTreeMap, HashMap};

use super::categories::{Table, WORD};
use super::steps::Lane;
use super::tree::{CategorySplit, Missing, Negative, Node, Trees, absent};
use super::walk::Rows;
use crate::scoring::fault::Fault;

#[derive(Debug)]
pub struct Slots {
    /// Sorted by way, so that each way is one loop: the slot of `numeric[i]` is `i + 1`.
    numeric: Vec<(Missing, u32)>,
    numeric_slot: HashMap<(Missing, u32), u32>,
    categories: Vec<Feature>,
    negative: Negative,
    len: usize,
}

/// The category splits of one feature, and the slot of their first word.
#[derive(Debug)]
struct Feature {
    first_slot: usize,
    table: Table,
}

/// Where a category split finds its bit.
#[derive(Clone, Copy, Debug)]
pub struct Bit {
    pub slot: usize,
    pub mask: u32,
}

impl Slots {
    pub fn plan(trees: &Trees, orders: &[Vec<u32>]) -> Result<Slots, Fault> {
        let mut numeric = Vec::new();
        let mut by_feature: BTreeMap<u32, Vec<(usize, &CategorySplit)>> = BTreeMap::new();
        for (tree, order) in trees.trees.iter().zip(orders) {
            for &at in order {
                match &tree.nodes[at as usize] {
                    Node::AtMost { feature, missing, .. } => numeric.push((*missing, *feature)),
                    Node::Category(split) => {
                        let splits = by_feature.entry(split.feature).or_default();
                        splits.push((splits.len(), split));
                    }
                    Node::Leaf { .. } | Node::LinearLeaf { .. } => {}
                }
            }
        }
        numeric.sort_unstable();
        numeric.dedup();
        let numeric_slot = numeric.iter().enumerate().map(|(i, &pair)| (pair, i as u32 + 1)).collect();
        let mut len = numeric.len() + 1;
        let mut bytes = 0;
        let mut categories = Vec::new();
        for (feature, splits) in by_feature {
            let table = Table::new(feature, &splits, splits.len().div_ceil(WORD), &trees.categories, &mut bytes)?;
            let first_slot = len;
            len += table.words;
            categories.push(Feature { first_slot, table });
        }
        Ok(Slots { numeric, numeric_slot, categories, negative: trees.negative, len })
    }

    pub fn len(&self) -> usize {
        self.len
    }

    /// Slots from here on are words of bits.
    pub fn first_word(&self) -> usize {
        self.numeric.len() + 1
    }

    pub fn numeric(&self, missing: Missing, feature: u32) -> u32 {
        self.numeric_slot[&(missing, feature)]
    }

    /// Hands out the bits of a feature's splits in the order in which [`Slots::plan`] met them.
    pub fn bits(&self) -> Bits<'_> {
        Bits { slots: self, next: vec![0; self.categories.len()] }
    }

    /// Writes `N` rows from `first` on into `slots`, row beside row.
    pub fn fill<L: Lane, const N: usize>(&self, rows: &Rows, first: usize, slots: &mut [L]) {
        let (slots, _) = slots.as_chunks_mut::<N>();
        slots[0] = [L::of(f64::NEG_INFINITY); N];
        let (numeric, words) = slots[1..].split_at_mut(self.numeric.len());
        for (slot, &(missing, feature)) in numeric.iter_mut().zip(&self.numeric) {
            let value = |row: usize| rows.value(first + row, feature as usize);
            let fill = |slot: &mut [L; N], f: fn(f64) -> f64| *slot = std::array::from_fn(|row| L::of(f(value(row))));
            match missing {
                Missing::Right => fill(slot, |x| x),
                Missing::Left => fill(slot, |x| if x.is_nan() { f64::NEG_INFINITY } else { x }),
                Missing::Zero => fill(slot, |x| if x.is_nan() { 0.0 } else { x }),
                Missing::ZeroRight => fill(slot, |x| if absent(x) { f64::NAN } else { x }),
                Missing::ZeroLeft => fill(slot, |x| if absent(x) { f64::NEG_INFINITY } else { x }),
            }
        }
        let base = self.first_word();
        for Feature { first_slot, table } in &self.categories {
            let words = &mut words[first_slot - base..][..table.words];
            for row in 0..N {
                let value = rows.value(first + row, table.feature as usize);
                for (slot, &word) in words.iter_mut().zip(table.row(value, self.negative)) {
                    slot[row] = L::of_bits(word);
                }
            }
        }
    }
}

/// See [`Slots::bits`].
pub struct Bits<'s> {
    slots: &'s Slots,
    next: Vec<usize>,
}

impl Bits<'_> {
    pub fn next(&mut self, feature: u32) -> Bit {
        // Every feature of a category split was planned.
        let at = self.slots.categories.partition_point(|other| other.table.feature < feature);
        let number = self.next[at];
        self.next[at] += 1;
        Bit { slot: self.slots.categories[at].first_slot + number / WORD, mask: 1 << (number % WORD) }
    }
}
