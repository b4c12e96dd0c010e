//! What each objective makes of a base score and of a raw score.

use crate::scoring::fault::Fault;
use crate::scoring::link::Link;

#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Objective {
    /// Raw scores are predictions.
    Plain,
    Logistic,
    /// A logistic base score, raw predictions.
    LogisticRaw,
    /// exp, with a base score that is not a logarithm.
    Exp,
    Softmax,
    Softprob,
    Hinge,
}

impl Objective {
    pub fn find(name: &str) -> Result<Objective, Fault> {
        Ok(match name {
            "reg:squarederror"
            | "reg:linear"
            | "reg:squaredlogerror"
            | "reg:pseudohubererror"
            | "reg:absoluteerror"
            | "reg:quantileerror"
            | "rank:pairwise"
            | "rank:ndcg"
            | "rank:map" => Objective::Plain,
            "binary:logistic" | "reg:logistic" => Objective::Logistic,
            "binary:logitraw" => Objective::LogisticRaw,
            "count:poisson" | "reg:gamma" | "reg:tweedie" | "survival:cox" | "survival:aft" => Objective::Exp,
            "multi:softmax" => Objective::Softmax,
            "multi:softprob" => Objective::Softprob,
            "binary:hinge" => Objective::Hinge,
            _ => return Err(Fault::new("objective", format!("`{name:.60}` is not supported"))),
        })
    }

    /// The raw score that stands for this base score.
    pub fn margin(self, base_score: f32) -> f32 {
        match self {
            Objective::Logistic => -(1.0 / base_score - 1.0).ln(),
            Objective::Exp => base_score.ln(),
            _ => base_score,
        }
    }

    /// What the library predicts, and what a probability is, if there is one.
    pub fn links(self) -> (Link, Option<Link>) {
        match self {
            Objective::Plain | Objective::LogisticRaw => (Link::Identity, None),
            Objective::Logistic => (Link::Sigmoid32, Some(Link::Sigmoid32)),
            Objective::Exp => (Link::Exp32, None),
            Objective::Softmax => (Link::Class, Some(Link::Softmax32)),
            Objective::Softprob => (Link::Softmax32, Some(Link::Softmax32)),
            Objective::Hinge => (Link::Step, None),
        }
    }
}
