//! A row as the nodes see it.
//!
//! Slot 0 is -inf, which no leaf's value is below: it sends a leaf to itself. Then comes one slot for each pair of a
//! numerically split feature and a way its missing values go. The last ones are words of bits: each category split has one
//! bit, set where its feature's category goes right, and copied from a table by category.

use std::collections::HashMap;

use super::steps::Lane;
use super::tree::{Missing, NEAR_ZERO, Negative, Node, Trees};
use super::walk::Rows;
use crate::scoring::fault::Fault;

/// Bound of the tables of all category splits of a model. Ten thousand categories in five thousand splits take 7 MB.
pub const MAX_TABLE_BYTES: usize = 256 << 20;
/// Bits of a word that nodes test; f64 lanes leave the upper half empty.
const WORD: usize = 32;

#[derive(Debug)]
pub struct Slots {
    /// Sorted by way, so that each way is one loop: the slot of `numeric[i]` is `i + 1`.
    numeric: Vec<(Missing, u32)>,
    numeric_slot: HashMap<(Missing, u32), u32>,
    categories: Vec<Feature>,
    negative: Negative,
    len: usize,
}

/// The category splits of one feature.
#[derive(Debug)]
struct Feature {
    feature: u32,
    first_slot: usize,
    words: usize,
    /// Row of the table by category; categories beyond it are row [`OTHER`].
    row_of: Vec<u32>,
    /// Rows of `words` words: missing, other, and each listed category.
    table: Vec<u32>,
}

const MISSING: usize = 0;
const OTHER: usize = 1;

/// Where a category split finds its bit.
#[derive(Clone, Copy, Debug)]
pub struct Bit {
    pub slot: usize,
    pub mask: u32,
}

impl Slots {
    pub fn plan(trees: &Trees, orders: &[Vec<u32>]) -> Result<Slots, Fault> {
        let mut numeric = Vec::new();
        let mut by_feature: HashMap<u32, Vec<&super::tree::CategorySplit>> = HashMap::new();
        for (tree, order) in trees.trees.iter().zip(orders) {
            for &at in order {
                match &tree.nodes[at as usize] {
                    Node::AtMost { feature, missing, .. } => numeric.push((*missing, *feature)),
                    Node::Category(split) => by_feature.entry(split.feature).or_default().push(split),
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
        let mut by_feature: Vec<_> = by_feature.into_iter().collect();
        by_feature.sort_unstable_by_key(|(feature, _)| *feature);
        for (feature, splits) in by_feature {
            let table = Feature::new(feature, &splits, len, &trees.categories, &mut bytes)
                .map_err(|fault| fault.within(format!("the category splits of feature {feature}")))?;
            len += table.words;
            categories.push(table);
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
        for feature in &self.categories {
            let words = &mut words[feature.first_slot - base..][..feature.words];
            for row in 0..N {
                let value = rows.value(first + row, feature.feature as usize);
                let from = feature.row(value, self.negative) * feature.words;
                for (slot, &word) in words.iter_mut().zip(&feature.table[from..from + feature.words]) {
                    slot[row] = L::of_bits(word);
                }
            }
        }
    }
}

fn absent(x: f64) -> bool {
    x.is_nan() || x.abs() <= f64::from(NEAR_ZERO)
}

/// See [`Slots::bits`].
pub struct Bits<'s> {
    slots: &'s Slots,
    next: Vec<usize>,
}

impl Bits<'_> {
    pub fn next(&mut self, feature: u32) -> Bit {
        // Every feature of a category split was planned.
        let at = self.slots.categories.partition_point(|other| other.feature < feature);
        let number = self.next[at];
        self.next[at] += 1;
        Bit { slot: self.slots.categories[at].first_slot + number / WORD, mask: 1 << (number % WORD) }
    }
}

impl Feature {
    fn new(
        feature: u32,
        splits: &[&super::tree::CategorySplit],
        first_slot: usize,
        categories: &[u32],
        bytes: &mut usize,
    ) -> Result<Feature, Fault> {
        let words = splits.len().div_ceil(WORD);
        let listed = |split: &super::tree::CategorySplit| categories[split.listed.clone()].iter();
        let most = splits.iter().flat_map(|split| listed(split)).max().map_or(0, |&most| most as usize + 1);
        let mut take = |more: usize| {
            *bytes = bytes.saturating_add(more);
            let fits = *bytes <= MAX_TABLE_BYTES;
            if fits {
                Ok(())
            } else {
                Err(Fault::new("", format!("their tables take more than {MAX_TABLE_BYTES} bytes")))
            }
        };
        take(most.saturating_mul(4))?;
        let mut row_of = vec![OTHER as u32; most];
        let mut rows = 2;
        for &category in splits.iter().flat_map(|split| listed(split)) {
            let row = &mut row_of[category as usize];
            if *row == OTHER as u32 {
                *row = rows;
                rows += 1;
            }
        }
        take((rows as usize).saturating_mul(words * 4))?;
        let mut table = vec![0u32; rows as usize * words];
        for (number, split) in splits.iter().enumerate() {
            let (word, bit) = (number / WORD, 1u32 << (number % WORD));
            table[MISSING * words + word] |= if split.missing_left { 0 } else { bit };
            table[OTHER * words + word] |= if split.listed_left { bit } else { 0 };
        }
        let (other, listed_rows) = table[words..].split_at_mut(words);
        listed_rows.chunks_exact_mut(words).for_each(|row| row.copy_from_slice(other));
        for (number, split) in splits.iter().enumerate() {
            let (word, bit) = (number / WORD, 1u32 << (number % WORD));
            for &category in listed(split) {
                let word = &mut table[row_of[category as usize] as usize * words + word];
                *word = if split.listed_left { *word & !bit } else { *word | bit };
            }
        }
        Ok(Feature { feature, first_slot, words, row_of, table })
    }

    fn row(&self, value: f64, negative: Negative) -> usize {
        if value.is_nan() {
            return MISSING;
        }
        if value < 0.0 && (negative == Negative::Unknown || value <= -1.0) {
            return OTHER;
        }
        // Saturates: what is too large is beyond the table.
        self.row_of.get(value as usize).map_or(OTHER, |&row| row as usize)
    }
}
