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
    rows: Rows,
    /// Rows of `words` words: missing, other, and each listed category.
    table: Vec<u32>,
}

/// Row of the table by category; what is in none of them is row [`OTHER`].
#[derive(Debug)]
enum Rows {
    /// At the place of each category.
    Dense(Vec<u32>),
    /// Few and far ones: the first has the row after [`OTHER`].
    Sorted(Vec<u32>),
}

/// Places that [`Rows::Dense`] may have for each category listed, and in any case.
const PLACES_EACH: usize = 8;
const PLACES: usize = 1_024;

impl Rows {
    fn of(&self, category: usize) -> usize {
        match self {
            Rows::Dense(rows) => rows.get(category).map_or(OTHER, |&row| row as usize),
            Rows::Sorted(known) => {
                let place = u32::try_from(category).ok().and_then(|category| known.binary_search(&category).ok());
                place.map_or(OTHER, |at| at + OTHER + 1)
            }
        }
    }
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
        let all = || splits.iter().flat_map(|(_, split)| listed(split)).copied();
        let total = all().count();
        let (rows, count) = if most <= total.saturating_mul(PLACES_EACH).max(PLACES) {
            take(most * 4)?;
            let mut row_of = vec![OTHER as u32; most];
            let mut count = OTHER + 1;
            for category in all() {
                let row = &mut row_of[category as usize];
                if *row == OTHER as u32 {
                    *row = count as u32;
                    count += 1;
                }
            }
            (Rows::Dense(row_of), count)
        } else {
            take(total.saturating_mul(4))?;
            let mut known: Vec<u32> = all().collect();
            known.sort_unstable();
            known.dedup();
            let count = OTHER + 1 + known.len();
            (Rows::Sorted(known), count)
        };
        take(count.saturating_mul(words.saturating_mul(4)))?;
        let mut table = vec![0u32; count * words];
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
                let word = &mut table[rows.of(category as usize) * words + word];
                *word = if split.listed_left { *word & !bit } else { *word | bit };
            }
        }
        Ok(Table { feature, words, rows, table })
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
        self.rows.of(value as usize)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A file of a few bytes may name the highest category there is.
    #[test]
    fn far_categories_take_no_more_than_near_ones() {
        let split =
            |listed| CategorySplit { feature: 0, listed, listed_left: false, missing_left: true, left: 1, right: 2 };
        for far in [1_023, 1_024, 16_777_215, u32::MAX] {
            let (splits, mut bytes) = ([split(0..2), split(2..3)], 0);
            let splits: Vec<_> = splits.iter().enumerate().collect();
            let table = Table::new(0, &splits, 1, &[far, 5, 5], &mut bytes).unwrap();
            assert!(bytes <= PLACES * 4 + 100, "{far}: {bytes} bytes");
            // Those that are listed go right.
            for (value, word) in
                [(f64::from(far), 0b01), (5.0, 0b11), (4.0, 0), (6.0, 0), (f64::from(far) + 1.0, 0), (1e300, 0)]
            {
                assert_eq!(table.row(value, Negative::Unknown), [word], "{far}: {value}");
            }
        }
    }
}
