//! Which way categories go: one bit for each category split, set where its feature's category goes right.

use super::tree::{CategorySplit, Negative};
use crate::scoring::fault::Fault;

/// Bound of the tables of all category splits of a model. Ten thousand categories in five thousand splits take 7 MB.
pub const MAX_TABLE_BYTES: usize = 256 << 20;
/// Bits of a word; f64 lanes leave the upper half empty.
pub const WORD: usize = 32;

const MISSING: usize = 0;
const OTHER: usize = 1;

/// The category splits of one feature.
#[derive(Debug)]
pub struct Table {
    pub feature: u32,
    pub words: usize,
    /// Row of the table by category; categories beyond it are row [`OTHER`].
    row_of: Vec<u32>,
    /// Rows of `words` words: missing, other, and each listed category.
    table: Vec<u32>,
}

impl Table {
    /// Of splits and the numbers of their bits, which are below `words` words; `bytes` counts what all tables take.
    pub fn new(
        feature: u32,
        splits: &[(usize, &CategorySplit)],
        words: usize,
        categories: &[u32],
        bytes: &mut usize,
    ) -> Result<Table, Fault> {
        let listed = |split: &CategorySplit| categories[split.listed.clone()].iter();
        let most = splits.iter().flat_map(|(_, split)| listed(split)).max().map_or(0, |&most| most as usize + 1);
        let mut take = |more: usize| {
            *bytes = bytes.saturating_add(more);
            let fits = *bytes <= MAX_TABLE_BYTES;
            if fits {
                Ok(())
            } else {
                let place = format!("the category splits of feature {feature}");
                Err(Fault::new(place, format!("their tables take more than {MAX_TABLE_BYTES} bytes")))
            }
        };
        take(most.saturating_mul(4))?;
        let mut row_of = vec![OTHER as u32; most];
        let mut rows = 2;
        for &category in splits.iter().flat_map(|(_, split)| listed(split)) {
            let row = &mut row_of[category as usize];
            if *row == OTHER as u32 {
                *row = rows;
                rows += 1;
            }
        }
        take((rows as usize).saturating_mul(words.saturating_mul(4)))?;
        let mut table = vec![0u32; rows as usize * words];
        for &(number, split) in splits {
            let (word, bit) = (number / WORD, 1u32 << (number % WORD));
            table[MISSING * words + word] |= if split.missing_left { 0 } else { bit };
            table[OTHER * words + word] |= if split.listed_left { bit } else { 0 };
        }
        let (other, listed_rows) = table[words..].split_at_mut(words);
        listed_rows.chunks_exact_mut(words).for_each(|row| row.copy_from_slice(other));
        for &(number, split) in splits {
            let (word, bit) = (number / WORD, 1u32 << (number % WORD));
            for &category in listed(split) {
                let word = &mut table[row_of[category as usize] as usize * words + word];
                *word = if split.listed_left { *word & !bit } else { *word | bit };
            }
        }
        Ok(Table { feature, words, row_of, table })
    }

    /// The words of a value.
    pub fn row(&self, value: f64, negative: Negative) -> &[u32] {
        let row = self.row_number(value, negative) * self.words;
        &self.table[row..row + self.words]
    }

    fn row_number(&self, value: f64, negative: Negative) -> usize {
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
