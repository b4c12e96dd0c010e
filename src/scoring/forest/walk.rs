//! Nodes as they lie in memory, and the steps through them.

use super::slots::Slots;
use super::tree::{Linear, Node, Trees};
use super::{Precision, Sum, Threshold};
use crate::scoring::fault::Fault;

/// Trees of one row, or rows of one tree, that are walked side by side: their steps do not wait for one another.
const SIDE: usize = 16;
/// Steps between two looks at whether all have arrived: trees that are grown leaf by leaf have few deep branches.
const STRIDE: usize = 4;

/// An f32 counts leaves exactly up to here.
pub const MAX_NARROW_NODES: usize = 1 << 24;

/// The type of slots and thresholds.
pub trait Lane: Copy + PartialOrd + Default + std::fmt::Debug {
    /// Whether it holds every f64.
    const EXACT: bool;
    fn of(value: f64) -> Self;
    fn wide(self) -> f64;
    /// A word of category bits, and back.
    fn of_bits(bits: u32) -> Self;
    fn bits(self) -> u32;
}

impl Lane for f32 {
    const EXACT: bool = false;
    fn of(value: f64) -> f32 {
        value as f32
    }
    fn wide(self) -> f64 {
        f64::from(self)
    }
    fn of_bits(bits: u32) -> f32 {
        f32::from_bits(bits)
    }
    fn bits(self) -> u32 {
        self.to_bits()
    }
}

impl Lane for f64 {
    const EXACT: bool = true;
    fn of(value: f64) -> f64 {
        value
    }
    fn wide(self) -> f64 {
        self
    }
    fn of_bits(bits: u32) -> f64 {
        f64::from_bits(u64::from(bits))
    }
    fn bits(self) -> u32 {
        self.to_bits() as u32
    }
}

/// Counts slots, and nodes within a tree.
pub trait Index: Copy + std::fmt::Debug {
    /// Only of what [`super::Forest::new`] found to fit.
    fn of(value: usize) -> Self;
    fn get(self) -> usize;
}

impl Index for u16 {
    fn of(value: usize) -> u16 {
        value as u16
    }
    fn get(self) -> usize {
        usize::from(self)
    }
}

impl Index for u32 {
    fn of(value: usize) -> u32 {
        value as u32
    }
    fn get(self) -> usize {
        self as usize
    }
}

/// A split: `step` further lies the left child, beside it the right one. A leaf: `step` is 0, `slot` is 0 (-inf), and
/// `at`, which is not below it, is the leaf's value or, where values are f64 or formulas, its number.
#[derive(Clone, Copy, Debug)]
#[repr(C)]
struct Split<L, I> {
    at: L,
    slot: I,
    step: I,
}

#[derive(Debug)]
pub struct Walk<L, I> {
    nodes: Vec<Split<L, I>>,
    slots: Slots,
    /// Root and depth of each tree, shallow trees first: those walked side by side are then of like depth.
    walks: Vec<(u32, u32)>,
    /// For each tree, in the order of the sum: its place among `walks`, and its class.
    sums: Vec<(u32, u32)>,
    sum: Sum,
    classes: usize,
    leaves: Leaves,
    has_categories: bool,
}

/// What a leaf's `at` stands for.
#[derive(Debug)]
enum Leaves {
    Value,
    Number(Vec<f64>),
    Formula(Vec<Formula>),
}

#[derive(Debug)]
enum Formula {
    Constant(f64),
    Linear(Linear),
}

#[derive(Debug, Default)]
pub struct Room<L> {
    slots: Vec<L>,
    /// Where each tree, or each row, has arrived.
    at: Vec<u32>,
}

impl<L: Threshold, I: Index> Walk<L, I> {
    pub fn new(trees: &Trees, orders: &[Vec<u32>], slots: Slots) -> Result<Walk<L, I>, Fault> {
        let total: usize = orders.iter().map(Vec::len).sum();
        if u32::try_from(total).is_err() {
            return Err(Fault::new("", format!("{total} nodes")));
        }
        let mut bits = slots.bits();
        let mut nodes: Vec<Split<L, I>> = Vec::with_capacity(total);
        let direct = trees.linear.is_empty() && (matches!(trees.sum, Sum::F32(_)) || L::EXACT);
        let mut leaves = if direct {
            Leaves::Value
        } else if trees.linear.is_empty() {
            Leaves::Number(Vec::new())
        } else {
            Leaves::Formula(Vec::new())
        };
        let mut walks = Vec::with_capacity(trees.trees.len());
        for (tree, order) in trees.trees.iter().zip(orders) {
            let root = nodes.len();
            let mut next_child = 1;
            let mut depths = vec![0u32; order.len()];
            for (place, &at) in order.iter().enumerate() {
                let step = I::of(next_child - place);
                let node = match &tree.nodes[at as usize] {
                    Node::AtMost { feature, at, missing, .. } => {
                        Split { at: L::not_above(*at), slot: I::of(slots.numeric(*missing, *feature) as usize), step }
                    }
                    Node::Category(split) => {
                        let bit = bits.next(split.feature);
                        Split { at: L::of_bits(bit.mask), slot: I::of(bit.slot), step }
                    }
                    leaf => {
                        nodes.push(Split { at: leaves.add(leaf, trees), slot: I::of(0), step: I::of(0) });
                        continue;
                    }
                };
                nodes.push(node);
                for child in [next_child, next_child + 1] {
                    depths[child] = depths[place] + 1;
                }
                next_child += 2;
            }
            walks.push((root as u32, depths.into_iter().max().unwrap_or(0)));
        }
        let mut by_depth: Vec<u32> = (0..walks.len() as u32).collect();
        by_depth.sort_by_key(|&tree| walks[tree as usize].1);
        let mut sums: Vec<(u32, u32)> = trees.trees.iter().map(|tree| (0, tree.class)).collect();
        for (place, &tree) in by_depth.iter().enumerate() {
            sums[tree as usize].0 = place as u32;
        }
        let walks = by_depth.iter().map(|&tree| walks[tree as usize]).collect();
        let has_categories = slots.first_word() < slots.len();
        let (sum, classes) = (trees.sum.clone(), trees.classes);
        Ok(Walk { nodes, slots, walks, sums, sum, classes, leaves, has_categories })
    }

    pub fn score(&self, rows: &[f64], features: usize, raw: &mut [f64], precision: Precision, room: &mut Room<L>) {
        let narrow = precision == Precision::F32;
        let width = self.slots.len();
        room.slots.resize(width * SIDE, L::default());
        room.at.resize(self.walks.len().max(SIDE), 0);
        // A model without features has rows without values: how many there are, the room for sums says.
        let count = raw.len() / self.classes;
        let row_of = |row: usize| &rows[row * features..(row + 1) * features];
        let mut from = 0;
        while from < count {
            let batch = if count - from >= SIDE { SIDE } else { 1 };
            for row in 0..batch {
                self.slots.fill(row_of(from + row), narrow, &mut room.slots[row * width..(row + 1) * width]);
            }
            let raw = &mut raw[from * self.classes..(from + batch) * self.classes];
            let value = |row: usize, at: u32| self.leaf(at, row_of(from + row), narrow);
            if batch == SIDE {
                self.start(raw);
                for &(place, class) in &self.sums {
                    let (root, depth) = self.walks[place as usize];
                    let mut at = [root; SIDE];
                    self.walk_rows(&mut at, depth, &room.slots, width);
                    for (row, &at) in at.iter().enumerate() {
                        self.add(&mut raw[row * self.classes + class as usize], value(row, at));
                    }
                }
            } else {
                self.walk_trees(&room.slots[..width], &mut room.at);
                self.start(raw);
                for &(place, class) in &self.sums {
                    self.add(&mut raw[class as usize], value(0, room.at[place as usize]));
                }
            }
            from += batch;
        }
    }

    fn start(&self, raw: &mut [f64]) {
        match &self.sum {
            Sum::F32(start) => {
                raw.chunks_exact_mut(self.classes).for_each(|raw| {
                    raw.iter_mut().zip(start).for_each(|(raw, &start)| *raw = f64::from(start));
                });
            }
            Sum::F64 => raw.fill(0.0),
        }
    }

    fn add(&self, sum: &mut f64, value: f64) {
        match &self.sum {
            Sum::F32(_) => *sum = f64::from(*sum as f32 + value as f32),
            Sum::F64 => *sum += value,
        }
    }

    fn leaf(&self, at: u32, row: &[f64], narrow: bool) -> f64 {
        let value = self.nodes[at as usize].at.wide();
        match &self.leaves {
            Leaves::Value => value,
            Leaves::Number(values) => values[value as usize],
            Leaves::Formula(formulas) => match &formulas[value as usize] {
                Formula::Constant(value) => *value,
                Formula::Linear(linear) if narrow => linear.value(|feature| f64::from(row[feature] as f32)),
                Formula::Linear(linear) => linear.value(|feature| row[feature]),
            },
        }
    }

    /// One row through all trees.
    fn walk_trees(&self, slots: &[L], arrived: &mut [u32]) {
        let mut groups = self.walks.chunks_exact(SIDE);
        let mut from = 0;
        for group in &mut groups {
            let mut at: [u32; SIDE] = std::array::from_fn(|lane| group[lane].0);
            self.walk(&mut at, group[SIDE - 1].1, |_| slots);
            arrived[from..from + SIDE].copy_from_slice(&at);
            from += SIDE;
        }
        for &(root, depth) in groups.remainder() {
            let mut at = [root];
            self.walk(&mut at, depth, |_| slots);
            arrived[from] = at[0];
            from += 1;
        }
    }

    /// One tree for several rows, whose slots lie one row after another.
    fn walk_rows(&self, at: &mut [u32; SIDE], depth: u32, slots: &[L], width: usize) {
        self.walk(at, depth, |lane| &slots[lane * width..(lane + 1) * width]);
    }

    fn walk<'s, const N: usize>(&self, at: &mut [u32; N], depth: u32, slots: impl Fn(usize) -> &'s [L])
    where
        L: 's,
    {
        if self.has_categories {
            self.steps::<N, true>(at, depth, slots);
        } else {
            self.steps::<N, false>(at, depth, slots);
        }
    }

    #[inline(always)]
    fn steps<'s, const N: usize, const CATEGORIES: bool>(
        &self,
        at: &mut [u32; N],
        depth: u32,
        slots: impl Fn(usize) -> &'s [L],
    ) where
        L: 's,
    {
        let first_word = self.slots.first_word();
        let mut left = depth as usize;
        while left > 0 {
            let stride = left.min(STRIDE);
            for _ in 0..stride {
                for (lane, at) in at.iter_mut().enumerate() {
                    let node = &self.nodes[*at as usize];
                    let slot = node.slot.get();
                    let value = slots(lane)[slot];
                    // A NaN goes right.
                    let mut right = !(value <= node.at);
                    if CATEGORIES {
                        let listed = value.bits() & node.at.bits() != 0;
                        right = if slot >= first_word { listed } else { right };
                    }
                    *at += node.step.get() as u32 + u32::from(right);
                }
            }
            left -= stride;
            if left > 0 && at.iter().all(|&at| self.nodes[at as usize].step.get() == 0) {
                break;
            }
        }
    }
}

impl Leaves {
    /// What the leaf's `at` is.
    fn add<L: Threshold>(&mut self, leaf: &Node, trees: &Trees) -> L {
        let constant = match leaf {
            Node::Leaf { value } => *value,
            _ => 0.0,
        };
        match self {
            Leaves::Value => L::of(constant),
            Leaves::Number(values) => {
                values.push(constant);
                L::of((values.len() - 1) as f64)
            }
            Leaves::Formula(formulas) => {
                formulas.push(match leaf {
                    Node::LinearLeaf { linear } => Formula::Linear(trees.linear[*linear as usize].clone()),
                    _ => Formula::Constant(constant),
                });
                L::of((formulas.len() - 1) as f64)
            }
        }
    }
}
