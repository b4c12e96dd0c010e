//! What a loader makes of a model file: everything but the manifest's part.

use super::categories::Categories;
use super::forest::{Forest, Precision};
use super::linear::{Dense, Hashed};
use super::link::Link;

#[derive(Debug)]
pub struct Loaded {
    /// Such as `XGBoost 3.2.0`.
    pub library: String,
    pub objective: String,
    pub booster: String,
    pub core: Core,
    /// Columns of a row.
    pub features: usize,
    /// Raw scores of a row.
    pub classes: usize,
    /// Names of the columns, where the file gives them.
    pub names: Option<Vec<String>>,
    pub categories: Categories,
    /// What the library itself predicts.
    pub link: Link,
    /// What makes a probability of a raw score, if the objective has one.
    pub probability: Option<Link>,
    /// Where training stopped early and the file has what came after: the trees up to the best iteration.
    pub best_trees: Option<usize>,
    /// A random forest's predictions are made of the raw score divided by this.
    pub average: Option<f64>,
    /// What raw scores and predictions are rounded to in the library.
    pub precision: Precision,
}

#[derive(Debug)]
pub enum Core {
    Forest(Box<Forest>),
    Dense(Dense),
    Hashed(Hashed),
}
