//! Trees of at most 64 leaves, all splits of a tree in one step: the layout for processors that can look up 64 bytes at once.
//!
//! Features are ranks ([`super::ranks`]), bytes. A tree is four planes of a byte for each split: whose rank it asks for, the
//! highest that goes left, and where left and right lead to: to a split by its number, to a leaf by 64 and its number. One
//! lookup, one comparison and one choice decide all splits. Looking up each split's goal at its goal then makes two steps of
//! one, four of two: trees of a depth of 16 take four such doublings, and no step depends on where the row goes.

use std::arch::x86_64::{
    __m512i, _mm_cvtsi128_si32, _mm512_castsi512_si128, _mm512_cmpgt_epu8_mask, _mm512_mask_blend_epi8,
    _mm512_permutex2var_epi8, _mm512_permutexvar_epi8, _mm512_setzero_si512,
};
use std::collections::BTreeMap;
use std::ops::Range;

use super::categories::{MAX_TABLE_BYTES, Table, WORD};
use super::ranks::{Plane, Ranks, load};
use super::tree::{CategorySplit, Negative, Node, Trees};
use super::walk::Rows;
use super::{Precision, Sum};

/// Splits of a tree: with them a byte counts splits and leaves.
const SPLITS: usize = 64;
const MOST_NODES: usize = 2 * SPLITS - 1;
/// Of category bits, a word for each tree and category: beyond what caches hold they cost more than they save.
const MOST_TABLE_BYTES: usize = 32 << 20;
/// Rows that are scored side by side: a tree is loaded once for them.
const SIDE: usize = 16;
/// Doublings of a tree of a depth of 16, and how many more it takes to a depth of 64.
const DOUBLINGS: u32 = 4;
const MORE_DOUBLINGS: u32 = 2;

#[derive(Debug)]
pub struct Bytes {
    processor: Processor,
    ranks: Ranks,
    /// By class, those of a class in the order of its sum.
    trees: Vec<Tree>,
    of_class: Vec<Range<usize>>,
    /// Whether any tree is deeper than 16.
    is_deep: bool,
    leaves: Vec<f64>,
    /// The node that each leaf is among the nodes of all trees in breadth-first order.
    nodes: Vec<u32>,
    /// Two words of bits for each tree: which of its category splits go right.
    categories: Vec<Table>,
    negative: Negative,
    sum: Sum,
}

#[derive(Debug)]
#[repr(C, align(64))]
struct Tree {
    slot: Plane,
    at: Plane,
    left: Plane,
    right: Plane,
    first_leaf: u32,
}

/// Says that the processor has what the functions here are compiled for.
#[derive(Clone, Copy, Debug)]
struct Processor(());

impl Processor {
    fn find() -> Option<Processor> {
        let has = is_x86_feature_detected!("avx512f")
            && is_x86_feature_detected!("avx512bw")
            && is_x86_feature_detected!("avx512vbmi")
            && is_x86_feature_detected!("popcnt");
        has.then_some(Processor(()))
    }
}

#[derive(Debug, Default)]
pub struct Room {
    /// The trees' category bits, row after row.
    bits: Vec<u32>,
    /// Where the one row arrived that was scored last, alone.
    arrived: Vec<u32>,
}

/// What leaves are added up in.
trait Total: Copy + Into<f64> {
    fn add(self, leaf: f64) -> Self;
}

impl Total for f32 {
    fn add(self, leaf: f64) -> f32 {
        self + leaf as f32
    }
}

impl Total for f64 {
    fn add(self, leaf: f64) -> f64 {
        self + leaf
    }
}

impl Bytes {
    /// `None` where the processor cannot, or the model does not fit.
    pub fn new(trees: &Trees, orders: &[Vec<u32>]) -> Option<Bytes> {
        let processor = Processor::find()?;
        if !trees.linear.is_empty() || orders.iter().any(|order| order.len() > MOST_NODES) {
            return None;
        }
        let ranks = Ranks::plan(trees, orders)?;
        let mut laid_out = Bytes {
            processor,
            ranks,
            trees: Vec::with_capacity(orders.len()),
            of_class: Vec::with_capacity(trees.classes),
            is_deep: false,
            leaves: Vec::new(),
            nodes: Vec::new(),
            categories: Vec::new(),
            negative: trees.negative,
            sum: trees.sum.clone(),
        };
        let firsts = orders.iter().scan(0, |next, order| Some(std::mem::replace(next, *next + order.len())));
        let firsts: Vec<usize> = firsts.collect();
        let mut by_feature: BTreeMap<u32, Vec<(usize, &CategorySplit)>> = BTreeMap::new();
        for class in 0..trees.classes {
            let from = laid_out.trees.len();
            for (number, tree) in trees.trees.iter().enumerate().filter(|(_, tree)| tree.class as usize == class) {
                let first_bit = laid_out.trees.len() * SPLITS;
                let (order, first_node) = (&orders[number], firsts[number]);
                for (split, category) in laid_out.add(&tree.nodes, order, u32::try_from(first_node).ok()?) {
                    by_feature.entry(category.feature).or_default().push((first_bit + split, category));
                }
            }
            laid_out.of_class.push(from..laid_out.trees.len());
        }
        let words = laid_out.trees.len() * SPLITS / WORD;
        let mut bytes = MAX_TABLE_BYTES - MOST_TABLE_BYTES;
        for (feature, splits) in by_feature {
            laid_out.categories.push(Table::new(feature, &splits, words, &trees.categories, &mut bytes).ok()?);
        }
        Some(laid_out)
    }

    /// Lays out a tree; its category splits and their numbers.
    fn add<'t>(&mut self, nodes: &'t [Node], order: &[u32], first_node: u32) -> Vec<(usize, &'t CategorySplit)> {
        let mut tree = Tree {
            slot: [0; SPLITS],
            at: [u8::MAX; SPLITS],
            left: [SPLITS as u8; SPLITS],
            right: [SPLITS as u8; SPLITS],
            first_leaf: self.leaves.len() as u32,
        };
        // Numbers by place in the order: of splits, and 64 and more of leaves.
        let (mut splits, mut leaves) = (0, SPLITS as u8);
        let is_leaf = |node: u32| nodes[node as usize].children().is_none();
        let numbers = order.iter().map(|&node| {
            let next = if is_leaf(node) { &mut leaves } else { &mut splits };
            std::mem::replace(next, *next + 1)
        });
        let numbers: Vec<u8> = numbers.collect();
        let mut depths = vec![0u32; order.len()];
        let (mut categories, mut next_child) = (Vec::new(), 1);
        for (place, &node) in order.iter().enumerate() {
            let split = usize::from(numbers[place]);
            match &nodes[node as usize] {
                Node::Leaf { value } => {
                    self.leaves.push(*value);
                    self.nodes.push(first_node + place as u32);
                    continue;
                }
                Node::LinearLeaf { .. } => continue,
                Node::AtMost { feature, at, missing, .. } => {
                    (tree.slot[split], tree.at[split]) = self.ranks.place(*feature, *at, *missing);
                }
                Node::Category(category) => categories.push((split, &**category)),
            }
            (tree.left[split], tree.right[split]) = (numbers[next_child], numbers[next_child + 1]);
            for child in [next_child, next_child + 1] {
                depths[child] = depths[place] + 1;
            }
            next_child += 2;
        }
        self.is_deep |= depths.into_iter().any(|depth| depth > 1 << DOUBLINGS);
        self.trees.push(tree);
        categories
    }

    pub fn score(&self, rows: &[f64], features: usize, raw: &mut [f64], precision: Precision, room: &mut Room) {
        let rows = Rows { rows, features, narrow: precision == Precision::F32 };
        let Processor(()) = self.processor;
        // SAFETY: who has a `Processor` has found that it can.
        unsafe {
            match &self.sum {
                Sum::F32(start) => self.batches(&rows, raw, room, |class| start[class]),
                Sum::F64 => self.batches(&rows, raw, room, |_| 0.0f64),
            }
        }
    }

    /// The nodes at which the row arrived that was scored last, alone.
    pub fn arrived<'r>(&'r self, room: &'r Room) -> impl Iterator<Item = u32> + 'r {
        room.arrived.iter().map(|&leaf| self.nodes[leaf as usize])
    }

    #[target_feature(enable = "avx512f,avx512bw,avx512vbmi,popcnt")]
    fn batches<T: Total>(&self, rows: &Rows, raw: &mut [f64], room: &mut Room, start: impl Fn(usize) -> T) {
        room.arrived.resize(self.trees.len(), 0);
        for (batch, raw) in raw.chunks_mut(SIDE * self.of_class.len()).enumerate() {
            let first = batch * SIDE;
            if raw.len() == SIDE * self.of_class.len() {
                self.batch::<T, SIDE>(rows, first, raw, room, &start);
            } else {
                for (row, raw) in raw.chunks_mut(self.of_class.len()).enumerate() {
                    self.batch::<T, 1>(rows, first + row, raw, room, &start);
                }
            }
        }
    }

    #[target_feature(enable = "avx512f,avx512bw,avx512vbmi,popcnt")]
    fn batch<T: Total, const N: usize>(
        &self,
        rows: &Rows,
        first: usize,
        raw: &mut [f64],
        room: &mut Room,
        start: &impl Fn(usize) -> T,
    ) {
        let Room { bits, arrived } = room;
        let mut ranks = [[_mm512_setzero_si512(); 2]; N];
        for (row, ranks) in ranks.iter_mut().enumerate() {
            *ranks = self.ranks.of(rows, first + row);
        }
        let ranks = &ranks;
        if !self.categories.is_empty() {
            self.bits(rows, first, N, bits);
        }
        for (class, trees) in self.of_class.iter().enumerate() {
            let start = [start(class); N];
            let sums = match (self.ranks.len() > SPLITS, self.categories.is_empty()) {
                (false, true) => self.sums::<T, N, false, false>(trees.clone(), start, ranks, bits, arrived),
                (false, false) => self.sums::<T, N, false, true>(trees.clone(), start, ranks, bits, arrived),
                (true, true) => self.sums::<T, N, true, false>(trees.clone(), start, ranks, bits, arrived),
                (true, false) => self.sums::<T, N, true, true>(trees.clone(), start, ranks, bits, arrived),
            };
            for (row, sum) in sums.into_iter().enumerate() {
                raw[row * self.of_class.len() + class] = sum.into();
            }
        }
    }

    /// The category bits of rows: each feature's splits have bits of their own.
    fn bits(&self, rows: &Rows, first: usize, count: usize, bits: &mut Vec<u32>) {
        let words = self.trees.len() * SPLITS / WORD;
        bits.clear();
        bits.resize(words * count, 0);
        for (row, bits) in bits.chunks_exact_mut(words.max(1)).enumerate() {
            for table in &self.categories {
                let value = rows.value(first + row, table.feature as usize);
                bits.iter_mut().zip(table.row(value, self.negative)).for_each(|(bits, &more)| *bits |= more);
            }
        }
    }

    #[target_feature(enable = "avx512f,avx512bw,avx512vbmi,popcnt")]
    fn sums<T: Total, const N: usize, const TWO: bool, const CATEGORIES: bool>(
        &self,
        trees: Range<usize>,
        mut sums: [T; N],
        ranks: &[[__m512i; 2]; N],
        bits: &[u32],
        arrived: &mut [u32],
    ) -> [T; N] {
        let words = self.trees.len() * SPLITS / WORD;
        let stay = load(&std::array::from_fn(|i| (SPLITS + i) as u8));
        let first = trees.start;
        for (number, (tree, arrived)) in self.trees[trees.clone()].iter().zip(&mut arrived[trees]).enumerate() {
            let (slot, at, left, right) = (load(&tree.slot), load(&tree.at), load(&tree.left), load(&tree.right));
            let leaves = &self.leaves[tree.first_leaf as usize..];
            for (row, sum) in sums.iter_mut().enumerate() {
                let [low, high] = ranks[row];
                let ranks =
                    if TWO { _mm512_permutex2var_epi8(low, slot, high) } else { _mm512_permutexvar_epi8(slot, low) };
                let mut goes_right = _mm512_cmpgt_epu8_mask(ranks, at);
                if CATEGORIES {
                    let at = row * words + (first + number) * 2;
                    goes_right |= u64::from(bits[at]) | u64::from(bits[at + 1]) << WORD;
                }
                let mut goal = _mm512_mask_blend_epi8(goes_right, left, right);
                for _ in 0..DOUBLINGS {
                    goal = _mm512_permutex2var_epi8(goal, goal, stay);
                }
                if self.is_deep {
                    for _ in 0..MORE_DOUBLINGS {
                        goal = _mm512_permutex2var_epi8(goal, goal, stay);
                    }
                }
                let leaf = _mm_cvtsi128_si32(_mm512_castsi512_si128(goal)) as usize % SPLITS;
                *sum = sum.add(leaves[leaf]);
                if N == 1 {
                    *arrived = tree.first_leaf + leaf as u32;
                }
            }
        }
        sums
    }
}
