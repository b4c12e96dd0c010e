//! A row as ranks: which of a model's thresholds a feature lies between is all that its splits ask.
//!
//! A value's rank is the number of thresholds below it, so that `x <= thresholds[i]` is `rank <= i`, whatever the type that is
//! compared. A rank is a byte: a feature with more than 255 thresholds has several columns of them. What is missing has the
//! rank that goes its way at every split: 0 left, 255 right.

use std::arch::x86_64::{
    __m512d, __m512i, _CMP_LT_OQ, _mm512_cmp_pd_mask, _mm512_mask_blend_epi8, _mm512_permutex2var_epi8,
    _mm512_set_epi64, _mm512_set_pd, _mm512_set1_pd, _mm512_test_epi8_mask,
};
use std::collections::BTreeMap;

use super::tree::{Missing, Node, Trees, absent};
use super::walk::Rows;

/// Bytes of a row.
pub const WIDTH: usize = 128;
/// A rank above all of them is still a byte.
const MOST: usize = 255;
const BLOCK: usize = 16;

/// A byte for each of 64 splits, or slots.
pub type Plane = [u8; WIDTH / 2];

type Block = [f64; BLOCK];

#[derive(Debug)]
pub struct Ranks {
    columns: Vec<Column>,
    /// The thresholds of all columns, in order, the rest of a column's last block +inf.
    blocks: Vec<Block>,
    /// What a byte of the row is: a column, as those of its splits see it that send what is missing one way.
    slots: Vec<(usize, Missing)>,
    halves: [Half; 2],
}

#[derive(Debug)]
struct Column {
    feature: u32,
    first_block: usize,
    /// The last threshold of each block.
    last: Block,
    thresholds: Vec<f64>,
}

/// 64 slots: the column of each, what is missing to it ([`NAN`], [`NEAR`]), and the rank of that.
#[derive(Debug)]
#[repr(C, align(64))]
struct Half {
    column: Plane,
    missing: Plane,
    missing_rank: Plane,
}

const NAN: u8 = 1;
const NEAR: u8 = 2;

impl Ranks {
    /// `None` where a row takes more than [`WIDTH`] bytes.
    pub fn plan(trees: &Trees, orders: &[Vec<u32>]) -> Option<Ranks> {
        let mut by_feature: BTreeMap<u32, Vec<(f64, Missing)>> = BTreeMap::new();
        for (tree, order) in trees.trees.iter().zip(orders) {
            for &node in order {
                if let Node::AtMost { feature, at, missing, .. } = tree.nodes[node as usize] {
                    by_feature.entry(feature).or_default().push((at, missing));
                }
            }
        }
        let half = || Half { column: [0; 64], missing: [0; 64], missing_rank: [0; 64] };
        let mut ranks = Ranks { columns: Vec::new(), blocks: Vec::new(), slots: Vec::new(), halves: [half(), half()] };
        for (feature, mut splits) in by_feature {
            splits.sort_unstable_by(|(a, _), (b, _)| a.total_cmp(b));
            let mut thresholds: Vec<f64> = splits.iter().map(|(at, _)| *at).collect();
            thresholds.dedup();
            for thresholds in thresholds.chunks(MOST) {
                let (least, most) = (thresholds[0], thresholds[thresholds.len() - 1]);
                let mut ways: Vec<Missing> =
                    splits.iter().filter(|(at, _)| (least..=most).contains(at)).map(|(_, way)| *way).collect();
                ways.sort_unstable();
                ways.dedup();
                if ranks.slots.len() + ways.len() > WIDTH {
                    return None;
                }
                ranks.add(feature, thresholds, &ways);
            }
        }
        Some(ranks)
    }

    /// Bytes of a row that are used.
    pub fn len(&self) -> usize {
        self.slots.len()
    }

    fn add(&mut self, feature: u32, thresholds: &[f64], ways: &[Missing]) {
        let first_block = self.blocks.len();
        // Never full: what is above all thresholds finds a block too.
        let block =
            |at: usize| std::array::from_fn(|i| thresholds.get(at * BLOCK + i).copied().unwrap_or(f64::INFINITY));
        self.blocks.extend((0..=thresholds.len() / BLOCK).map(block));
        let last = std::array::from_fn(|i| thresholds.get(i * BLOCK + BLOCK - 1).copied().unwrap_or(f64::INFINITY));
        let rank_of_zero = thresholds.partition_point(|&at| at < 0.0) as u8;
        for &way in ways {
            let (half, at) = (self.slots.len() / 64, self.slots.len() % 64);
            let half = &mut self.halves[half];
            half.column[at] = self.columns.len() as u8;
            half.missing[at] = if matches!(way, Missing::ZeroLeft | Missing::ZeroRight) { NAN | NEAR } else { NAN };
            half.missing_rank[at] = match way {
                Missing::Left | Missing::ZeroLeft => 0,
                Missing::Right | Missing::ZeroRight => u8::MAX,
                Missing::Zero => rank_of_zero,
            };
            self.slots.push((self.columns.len(), way));
        }
        self.columns.push(Column { feature, first_block, last, thresholds: thresholds.to_vec() });
    }

    /// Which byte of a row a split asks for, and the highest that goes left. Only of a split of the trees planned for.
    pub fn place(&self, feature: u32, at: f64, missing: Missing) -> (u8, u8) {
        let has =
            |column: &Column| column.feature == feature && column.thresholds.last().is_some_and(|&last| at <= last);
        // cannot fail: the split was planned for
        let number = self.columns.iter().position(has).expect("its column");
        // cannot fail: as above
        let slot = self.slots.iter().position(|slot| *slot == (number, missing)).expect("its slot");
        (slot as u8, self.columns[number].thresholds.partition_point(|&other| other < at) as u8)
    }

    /// A row's ranks.
    #[target_feature(enable = "avx512f,avx512bw,avx512vbmi,popcnt")]
    pub fn of(&self, rows: &Rows, row: usize) -> [__m512i; 2] {
        let (mut ranks, mut missing) = ([0; WIDTH], [0; WIDTH]);
        for ((column, rank), missing) in self.columns.iter().zip(&mut ranks).zip(&mut missing) {
            let value = rows.value(row, column.feature as usize);
            let x = _mm512_set1_pd(value);
            let block = below(&column.last, x);
            *rank = (block * BLOCK + below(&self.blocks[column.first_block + block], x)) as u8;
            *missing = (u8::from(value.is_nan()) * NAN) | (u8::from(absent(value)) * NEAR);
        }
        let (ranks, missing) = (both(&ranks), both(&missing));
        let slots = |half: &Half| {
            let column = load(&half.column);
            let rank = _mm512_permutex2var_epi8(ranks[0], column, ranks[1]);
            let missing = _mm512_permutex2var_epi8(missing[0], column, missing[1]);
            let is_missing = _mm512_test_epi8_mask(missing, load(&half.missing));
            _mm512_mask_blend_epi8(is_missing, rank, load(&half.missing_rank))
        };
        [slots(&self.halves[0]), slots(&self.halves[1])]
    }
}

#[target_feature(enable = "avx512f")]
fn both(bytes: &[u8; WIDTH]) -> [__m512i; 2] {
    let (halves, _) = bytes.as_chunks();
    [load(&halves[0]), load(&halves[1])]
}

#[target_feature(enable = "avx512f")]
pub fn load(plane: &Plane) -> __m512i {
    let (words, _) = plane.as_chunks::<8>();
    let word = |at: usize| i64::from_le_bytes(words[at]);
    _mm512_set_epi64(word(7), word(6), word(5), word(4), word(3), word(2), word(1), word(0))
}

/// How many of them are below `x`.
#[target_feature(enable = "avx512f,popcnt")]
fn below(thresholds: &Block, x: __m512d) -> usize {
    let [a, b, c, d, e, f, g, h, rest @ ..] = *thresholds;
    let low = _mm512_cmp_pd_mask::<_CMP_LT_OQ>(_mm512_set_pd(h, g, f, e, d, c, b, a), x);
    let [a, b, c, d, e, f, g, h] = rest;
    let high = _mm512_cmp_pd_mask::<_CMP_LT_OQ>(_mm512_set_pd(h, g, f, e, d, c, b, a), x);
    (u16::from(low) | u16::from(high) << 8).count_ones() as usize
}
