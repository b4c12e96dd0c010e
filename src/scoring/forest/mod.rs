//! One evaluator for all tree models.
//!
//! A loader gives [`Tree`](tree::Tree)s as it read them. [`Forest::new`] proves them (every node reached once, children and
//! features in range, no NaN) and lays them out, in one of two ways; scores are the same to the last bit.
//!
//! Trees of at most 64 leaves, on processors with AVX-512 VBMI, decide all their splits at once (`bytes`), by the ranks of the
//! features among the thresholds (`ranks`). All others are walked: 8-byte nodes in breadth-first order, the right child
//! beside the left one, a leaf that leads to itself. A step is "compare, add", without a branch on the data, and the steps
//! of 16 trees (one row) or 16 rows (one tree) are taken side by side.
//!
//! - [`tree`]: what a loader gives. `order`: the proof and the breadth-first order.
//! - `bytes`, `ranks`: all splits of a tree at once.
//! - `slots`: a row as the nodes of a walk see it. A feature has one slot for each way its missing values go, so that a step
//!   never asks for them. `steps`: the hot loop. `walk`: rows through the trees, and the sums.
//! - `categories`: one bit for each category split, by category.
//! - `paths`: what each feature added to a score.
//!
//! Where a walk needs f64 comparisons, or has more features or larger trees than 16 bits can count, nodes take 16 bytes.

#[cfg(target_arch = "x86_64")]
mod bytes;
mod categories;
mod order;
mod paths;
#[cfg(target_arch = "x86_64")]
mod ranks;
mod slots;
mod steps;
pub mod tree;
mod walk;

#[cfg(test)]
mod tests;

use super::fault::Fault;
use order::Order;
use paths::Paths;
use slots::Slots;
use tree::{Node, Trees};
use walk::Walk;

/// Bounds of what a model may take, far above what any good one does.
pub const MAX_TREES: usize = 100_000;
pub const MAX_FEATURES: usize = 100_000;
pub const MAX_CLASSES: usize = 1_000;

/// How the leaves are added up: strictly in tree order, in the library's type.
#[derive(Clone, Debug)]
pub enum Sum {
    /// XGBoost: f32, from the margin of each class.
    F32(Vec<f32>),
    /// LightGBM: f64, from zero.
    F64,
}

/// How wide the values are that nodes compare.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Precision {
    /// Features are rounded to f32 first.
    F32,
    F64,
}

#[derive(Debug)]
pub struct Forest {
    /// Features of a row.
    pub features: usize,
    /// Sums per row.
    pub classes: usize,
    pub trees: usize,
    pub leaves: usize,
    precision: Precision,
    layout: Layout,
    /// Where a score is one sum of leaves' values.
    paths: Option<Paths>,
}

#[derive(Debug)]
enum Layout {
    #[cfg(target_arch = "x86_64")]
    Bytes(Box<bytes::Bytes>),
    Narrow(Walk<f32, u16>),
    /// f64 comparisons, or f32 ones whose indices need 32 bits.
    Wide(Walk<f64, u32>),
}

/// Room for one batch; grows to what a model needs when it first scores.
#[derive(Debug, Default)]
pub struct Scratch {
    #[cfg(target_arch = "x86_64")]
    bytes: bytes::Room,
    narrow: walk::Room<f32>,
    wide: walk::Room<f64>,
}

impl Forest {
    /// Proves the trees and lays them out. `precision` says what features are; thresholds are f64 either way.
    pub fn new(trees: &Trees, precision: Precision) -> Result<Forest, Fault> {
        Forest::laid_out(trees, precision, Layout::new)
    }

    fn laid_out(
        trees: &Trees,
        precision: Precision,
        layout: impl Fn(&Trees, &[Order], Precision) -> Result<Layout, Fault>,
    ) -> Result<Forest, Fault> {
        let counts = [("trees", trees.trees.len(), MAX_TREES), ("features", trees.features, MAX_FEATURES)];
        for (what, count, most) in counts.into_iter().chain([("classes", trees.classes, MAX_CLASSES)]) {
            if count > most {
                return Err(Fault::new("", format!("{count} {what}, at most {most} are supported")));
            }
        }
        let ordered = order::prove(trees)?;
        let layout = layout(trees, &ordered, precision)?;
        let leaves = ordered.iter().zip(&trees.trees).map(|(order, tree)| {
            let is_leaf = |node: u32| matches!(tree.nodes[node as usize], Node::Leaf { .. } | Node::LinearLeaf { .. });
            order.iter().filter(|&&node| is_leaf(node)).count()
        });
        Ok(Forest {
            features: trees.features,
            classes: trees.classes,
            trees: trees.trees.len(),
            leaves: leaves.sum(),
            precision,
            layout,
            paths: Paths::new(trees, &ordered),
        })
    }

    /// Adds up the leaves of `rows` (features of one row after another) into `raw` (classes of one row after another).
    pub fn score(&self, rows: &[f64], raw: &mut [f64], scratch: &mut Scratch) {
        match &self.layout {
            #[cfg(target_arch = "x86_64")]
            Layout::Bytes(bytes) => bytes.score(rows, self.features, raw, self.precision, &mut scratch.bytes),
            Layout::Narrow(walk) => walk.score(rows, self.features, raw, self.precision, &mut scratch.narrow),
            Layout::Wide(walk) => walk.score(rows, self.features, raw, self.precision, &mut scratch.wide),
        }
    }

    /// What each feature added to the raw score of the one row that was scored last, and what every score begins with:
    /// together they are the score. `None` where leaves have formulas or there are several classes.
    pub fn explain(&self, scratch: &Scratch, out: &mut [f64]) -> Option<f64> {
        let paths = self.paths.as_ref()?;
        match &self.layout {
            #[cfg(target_arch = "x86_64")]
            Layout::Bytes(bytes) => paths.explain(bytes.arrived(&scratch.bytes), out),
            Layout::Narrow(walk) => paths.explain(walk.arrived(&scratch.narrow), out),
            Layout::Wide(walk) => paths.explain(walk.arrived(&scratch.wide), out),
        }
        Some(paths.base())
    }

    /// What a row's features are to the model: rounded to f32 where that is what it compares.
    pub fn rounded(&self, value: f64) -> f64 {
        if self.precision == Precision::F32 { f64::from(value as f32) } else { value }
    }

    pub fn layout(&self) -> &'static str {
        match &self.layout {
            #[cfg(target_arch = "x86_64")]
            Layout::Bytes(_) => "bytes (all splits of a tree at once)",
            Layout::Narrow(_) => "narrow (8-byte nodes)",
            Layout::Wide(_) => "wide (16-byte nodes)",
        }
    }
}

impl Layout {
    fn new(trees: &Trees, orders: &[Order], precision: Precision) -> Result<Layout, Fault> {
        #[cfg(target_arch = "x86_64")]
        if let Some(bytes) = bytes::Bytes::new(trees, orders) {
            return Ok(Layout::Bytes(Box::new(bytes)));
        }
        Layout::walk(trees, orders, precision)
    }

    /// For every model and processor.
    fn walk(trees: &Trees, orders: &[Order], precision: Precision) -> Result<Layout, Fault> {
        let slots = Slots::plan(trees, orders)?;
        let total: usize = orders.iter().map(Vec::len).sum();
        let narrow = precision == Precision::F32
            && slots.len() <= usize::from(u16::MAX)
            && orders.iter().all(|order| order.len() <= usize::from(u16::MAX))
            && total <= walk::MAX_NARROW_NODES;
        Ok(if narrow {
            Layout::Narrow(Walk::new(trees, orders, slots)?)
        } else {
            Layout::Wide(Walk::new(trees, orders, slots)?)
        })
    }
}
