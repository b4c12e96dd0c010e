//! Trees as they lie in memory, rows through them, and the sums.

use super::slots::Slots;
use super::steps::{Index, Lane, Nodes, SIDE, Split};
use super::tree::{Linear, Node, Trees};
use super::{Precision, Sum};
use crate::scoring::fault::Fault;

/// An f32 counts leaves exactly up to here.
pub const MAX_NARROW_NODES: usize = 1 << 24;

#[derive(Debug)]
pub struct Walk<L, I> {
    nodes: Nodes<L, I>,
    slots: Slots,
    /// Root and depth of each tree, shallow trees first: those walked side by side are then of like depth.
    walks: Vec<(u32, u32)>,
    /// For each tree, in the order of the sum: its place among `walks`, and its class.
    sums: Vec<(u32, u32)>,
    sum: Sum,
    classes: usize,
    leaves: Leaves,
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

impl<L: Lane, I: Index> Walk<L, I> {
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
        let nodes = Nodes::new(nodes, slots.len(), slots.first_word());
        let (sum, classes) = (trees.sum.clone(), trees.classes);
        Ok(Walk { nodes, slots, walks, sums, sum, classes, leaves })
    }

    pub fn score(&self, rows: &[f64], features: usize, raw: &mut [f64], precision: Precision, room: &mut Room<L>) {
        let narrow = precision == Precision::F32;
        room.slots.resize(self.slots.len() * SIDE, L::default());
        room.at.resize(self.walks.len(), 0);
        let rows = Rows { rows, features, narrow };
        // One loop for each way to make a leaf's value of its node: what differs stands outside of it.
        match (&self.leaves, &self.sum) {
            (Leaves::Value, Sum::F32(start)) => {
                self.batches(rows, raw, room, |class| start[class], |sum, at, _| sum + at.wide() as f32);
            }
            (Leaves::Value, Sum::F64) => self.batches(rows, raw, room, |_| 0.0f64, |sum, at, _| sum + at.wide()),
            (Leaves::Number(values), _) => {
                self.batches(rows, raw, room, |_| 0.0f64, |sum, at, _| sum + values[at.wide() as usize]);
            }
            (Leaves::Formula(formulas), _) => self.batches(
                rows,
                raw,
                room,
                |_| 0.0f64,
                |sum, at, row| {
                    sum + match &formulas[at.wide() as usize] {
                        Formula::Constant(value) => *value,
                        Formula::Linear(linear) => linear.value(|feature| rows.value(row, feature)),
                    }
                },
            ),
        }
    }

    /// The nodes at which the row arrived that was scored last, alone: in the order of the trees, as all layouts have it.
    pub fn arrived<'r>(&'r self, room: &'r Room<L>) -> impl Iterator<Item = u32> + 'r {
        self.sums.iter().filter_map(|&(place, _)| room.at.get(place as usize).copied())
    }

    fn batches<S: Copy + Into<f64>>(
        &self,
        rows: Rows,
        raw: &mut [f64],
        room: &mut Room<L>,
        start: impl Fn(usize) -> S,
        add: impl Fn(S, L, usize) -> S,
    ) {
        // A model without features has rows without values: how many there are, the room for sums says.
        let count = raw.len() / self.classes;
        let mut from = 0;
        while count - from >= SIDE {
            self.slots.fill::<L, SIDE>(&rows, from, &mut room.slots);
            for class in 0..self.classes {
                let mut sums = [start(class); SIDE];
                for &(place, _) in self.sums.iter().filter(|(_, of)| *of as usize == class) {
                    let (root, depth) = self.walks[place as usize];
                    let mut at = [root; SIDE];
                    self.nodes.walk(&mut at, depth, &room.slots, false);
                    for (row, (sum, at)) in sums.iter_mut().zip(at).enumerate() {
                        *sum = add(*sum, self.nodes.at(at), from + row);
                    }
                }
                for (row, sum) in sums.into_iter().enumerate() {
                    raw[(from + row) * self.classes + class] = sum.into();
                }
            }
            from += SIDE;
        }
        for row in from..count {
            self.slots.fill::<L, 1>(&rows, row, &mut room.slots);
            self.walk_trees(&room.slots, &mut room.at);
            for class in 0..self.classes {
                let trees = self.sums.iter().filter(|(_, of)| *of as usize == class);
                let sum =
                    trees.fold(start(class), |sum, (place, _)| add(sum, self.nodes.at(room.at[*place as usize]), row));
                raw[row * self.classes + class] = sum.into();
            }
        }
    }

    /// One row through all trees.
    fn walk_trees(&self, slots: &[L], arrived: &mut [u32]) {
        let mut from = 0;
        while from < self.walks.len() {
            if let Some(group) = self.walks[from..].first_chunk::<SIDE>() {
                self.walk_group(group, slots, &mut arrived[from..]);
            } else if let Some(group) = self.walks.last_chunk::<SIDE>() {
                // The last trees side by side with some that were walked before: sooner than one by one.
                let from = self.walks.len() - SIDE;
                self.walk_group(group, slots, &mut arrived[from..]);
            } else {
                for (&(root, depth), arrived) in self.walks.iter().zip(arrived.iter_mut()) {
                    let mut at = [root];
                    self.nodes.walk(&mut at, depth, slots, true);
                    *arrived = at[0];
                }
            }
            from += SIDE;
        }
    }

    fn walk_group(&self, group: &[(u32, u32); SIDE], slots: &[L], arrived: &mut [u32]) {
        let mut at = group.map(|(root, _)| root);
        let depth = group[SIDE - 1].1;
        self.nodes.walk(&mut at, depth, slots, true);
        arrived[..SIDE].copy_from_slice(&at);
    }
}

/// Rows of features, one after another.
#[derive(Clone, Copy)]
pub struct Rows<'r> {
    pub rows: &'r [f64],
    pub features: usize,
    /// Whether features are rounded to f32.
    pub narrow: bool,
}

impl Rows<'_> {
    pub fn value(&self, row: usize, feature: usize) -> f64 {
        let value = self.rows[row * self.features + feature];
        if self.narrow { f64::from(value as f32) } else { value }
    }
}

impl Leaves {
    /// What the leaf's `at` is.
    fn add<L: Lane>(&mut self, leaf: &Node, trees: &Trees) -> L {
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
