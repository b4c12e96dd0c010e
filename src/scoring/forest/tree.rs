//! Trees as a loader read them: indices not yet proven, unreachable nodes still among them.

use std::ops::Range;

use super::Sum;

/// All trees of a model, in the order in which their leaves are added.
#[derive(Debug)]
pub struct Trees {
    pub trees: Vec<Tree>,
    pub features: usize,
    pub classes: usize,
    pub sum: Sum,
    /// What a category split does with a value that is negative and above -1.
    pub negative: Negative,
    /// The categories of all category splits.
    pub categories: Vec<u32>,
    /// The linear leaves, if there are any.
    pub linear: Vec<Linear>,
}

/// Values such as -0.5 as a category.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Negative {
    /// No category (XGBoost).
    Unknown,
    /// Category 0: cut towards zero (LightGBM).
    Cut,
}

#[derive(Debug)]
pub struct Tree {
    /// Which sum it adds to.
    pub class: u32,
    /// The root is the first.
    pub nodes: Vec<Node>,
}

#[derive(Clone, Debug)]
pub enum Node {
    Leaf {
        value: f64,
    },
    /// Index into [`Trees::linear`].
    LinearLeaf {
        linear: u32,
    },
    /// Left when the feature is at most `at`.
    AtMost {
        feature: u32,
        at: f64,
        missing: Missing,
        left: i32,
        right: i32,
    },
    Category(Box<CategorySplit>),
}

/// Where a numeric split sends what is missing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Missing {
    Right,
    Left,
    /// A NaN is compared as 0.
    Zero,
    /// NaN and zero are both missing.
    ZeroRight,
    ZeroLeft,
}

#[derive(Clone, Debug)]
pub struct CategorySplit {
    pub feature: u32,
    /// Into [`Trees::categories`].
    pub listed: Range<usize>,
    /// Where listed categories go; others go the other way.
    pub listed_left: bool,
    pub missing_left: bool,
    pub left: i32,
    pub right: i32,
}

/// A leaf with a formula: `constant` and the terms in order, or `fallback` where a feature of it is NaN.
#[derive(Clone, Debug)]
pub struct Linear {
    pub constant: f64,
    pub fallback: f64,
    pub terms: Vec<(u32, f64)>,
}

/// LightGBM takes values this near to zero for zero.
pub const NEAR_ZERO: f32 = 1e-35;

/// Whether missing type zero takes it for missing.
pub fn absent(x: f64) -> bool {
    x.is_nan() || x.abs() <= f64::from(NEAR_ZERO)
}

impl Node {
    pub fn children(&self) -> Option<(i32, i32)> {
        match self {
            Node::Leaf { .. } | Node::LinearLeaf { .. } => None,
            Node::AtMost { left, right, .. } => Some((*left, *right)),
            Node::Category(split) => Some((split.left, split.right)),
        }
    }

    pub fn feature(&self) -> Option<u32> {
        match self {
            Node::Leaf { .. } | Node::LinearLeaf { .. } => None,
            Node::AtMost { feature, .. } => Some(*feature),
            Node::Category(split) => Some(split.feature),
        }
    }
}

impl Linear {
    /// Its value for the features of one row.
    pub fn value(&self, row: impl Fn(usize) -> f64) -> f64 {
        let mut sum = self.constant;
        for &(feature, factor) in &self.terms {
            let value = row(feature as usize);
            if value.is_nan() {
                return self.fallback;
            }
            // What is next to zero is zero before a model sees it.
            let value = if value.abs() <= f64::from(NEAR_ZERO) { 0.0 } else { value };
            sum += factor * value;
        }
        sum
    }
}
