//! What each feature added to a score, along the paths that a row took.
//!
//! A node's value is the mean of the leaves below it. A step from a node to a child adds the difference of their values to
//! the feature that the node asks for. Along a path the differences sum to the leaf's value less the root's, so a row's
//! contributions and the roots' values sum to its score.

use std::collections::BTreeMap;

use super::Sum;
use super::tree::{Node, Tree, Trees};

/// No such node, no such feature.
const NONE: u32 = u32::MAX;

/// The nodes of all trees, as they are laid out.
#[derive(Debug, Default)]
pub struct Paths {
    nodes: Vec<Step>,
    /// What the roots and the margin come to.
    base: f64,
}

/// How a node is reached.
#[derive(Clone, Copy, Debug)]
struct Step {
    /// The node above, [`NONE`] where that is the root: to it leads no step.
    parent: u32,
    /// What the node above asks for; [`NONE`] of a root.
    feature: u32,
    /// The node's value less that of the one above.
    added: f64,
}

impl Paths {
    /// `None` where a score is not one sum of leaves' values.
    pub fn new(trees: &Trees, orders: &[Vec<u32>]) -> Option<Paths> {
        let mut paths = (trees.classes == 1 && trees.linear.is_empty()).then(Paths::default)?;
        let narrow = matches!(trees.sum, Sum::F32(_));
        let rounded = |value: f64| if narrow { f64::from(value as f32) } else { value };
        trees.trees.iter().zip(orders).for_each(|(tree, order)| paths.add(tree, order, rounded));
        if let Sum::F32(start) = &trees.sum {
            paths.base += start.first().copied().map_or(0.0, f64::from);
        }
        Some(paths)
    }

    /// Adds a tree whose nodes are laid out in this order, a node's children beside each other behind all that come
    /// before them. `rounded` is what a leaf's value is to the sum.
    fn add(&mut self, tree: &Tree, order: &[u32], rounded: impl Fn(f64) -> f64) {
        let root = self.nodes.len();
        let mut steps = vec![Step { parent: NONE, feature: NONE, added: 0.0 }; order.len()];
        let mut values = vec![0.0; order.len()];
        let mut children: BTreeMap<usize, usize> = BTreeMap::new();
        let mut next_child = 1;
        for (place, &at) in order.iter().enumerate() {
            match &tree.nodes[at as usize] {
                Node::Leaf { value } => values[place] = rounded(*value),
                Node::LinearLeaf { .. } => {}
                split => {
                    for child in [next_child, next_child + 1] {
                        steps[child].parent = if place == 0 { NONE } else { (root + place) as u32 };
                        steps[child].feature = split.feature().unwrap_or(NONE);
                    }
                    children.insert(place, next_child);
                    next_child += 2;
                }
            }
        }
        let mut leaves = vec![1.0; order.len()];
        for (&place, &first) in children.iter().rev() {
            let (a, b) = (first, first + 1);
            leaves[place] = leaves[a] + leaves[b];
            values[place] = (values[a] * leaves[a] + values[b] * leaves[b]) / leaves[place];
        }
        for (&place, &first) in &children {
            [first, first + 1].into_iter().for_each(|child| steps[child].added = values[child] - values[place]);
        }
        self.base += values.first().copied().unwrap_or(0.0);
        self.nodes.extend(steps);
    }

    /// What the scores of all rows begin with.
    pub fn base(&self) -> f64 {
        self.base
    }

    /// Adds what led to these leaves to what each feature has.
    pub fn explain(&self, arrived: impl Iterator<Item = u32>, out: &mut [f64]) {
        for leaf in arrived {
            let mut at = leaf;
            while let Some(step) = self.nodes.get(at as usize) {
                if let Some(sum) = out.get_mut(step.feature as usize) {
                    *sum += step.added;
                }
                at = step.parent;
            }
        }
    }
}
