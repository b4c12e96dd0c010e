//! `check()`: what a check comes to.

use std::sync::atomic::Ordering;

use smallvec::SmallVec;

use super::Decision;
use super::policy::{Origin, Policy, Scorer};
use super::request::{Request, Value};
use super::rules::{Rule, View};
use super::velocity::{self, Facts, Velocity};
use crate::clock::UnixMs;
use crate::scoring;
use crate::window::sliding::{Change, Outcome, Value as Shown};

/// Risk scores from which on a level begins.
const ELEVATED: i64 = 65;
const HIGHEST: i64 = 75;
/// What a risk score is at most.
pub const MAX_SCORE: i64 = 99;

/// A worker's buffers.
#[derive(Default)]
pub struct Scratch {
    pub velocity: velocity::Scratch,
    model: scoring::Scratch,
    row: Vec<f64>,
}

/// A decision and what it is made of.
#[derive(Clone, Debug, PartialEq)]
pub struct Decided {
    pub decision: Decision,
    pub risk_score: i64,
    /// Positions of live rules that matched, and of those in shadow mode.
    pub matched: SmallVec<[u32; 8]>,
    pub shadow: SmallVec<[u32; 4]>,
    pub model_score: Option<f64>,
    /// A window was evicted, or the model could not say anything.
    pub degraded: bool,
    pub facts: Facts,
}

impl Decided {
    pub fn risk_level(&self) -> &'static str {
        match self.risk_score {
            HIGHEST.. => "highest",
            ELEVATED.. => "elevated",
            _ => "normal",
        }
    }
}

/// Counts the check in its windows and decides. `now` is when it came in. What each window showed is left in `scratch`.
pub fn check(policy: &Policy, velocity: &Velocity, request: &Request, now: UnixMs, scratch: &mut Scratch) -> Decided {
    let facts = velocity.observe(request, Outcome::TOTAL, &mut scratch.velocity);
    let decided = decide(policy, request, now, scratch, facts);
    if decided.decision == Decision::Deny {
        velocity.mark(&decided.facts, BLOCK, &mut scratch.velocity);
    }
    decided
}

/// What a denied check becomes.
const BLOCK: Change = Change { add: Outcome::BLOCKED, remove: Outcome::TOTAL };

/// Decides over what the windows show.
fn decide(policy: &Policy, request: &Request, now: UnixMs, scratch: &mut Scratch, facts: Facts) -> Decided {
    let model_score = policy.model.as_ref().and_then(|model| score(model, request, scratch));
    let windows = &scratch.velocity.shown;
    let mut view = View {
        request,
        windows,
        model_score: model_score.unwrap_or(f64::NAN),
        risk_score: model_score.map_or(0, |score| ((score * 100.0) as i64).clamp(0, MAX_SCORE)),
        lists: &policy.bound,
        now,
    };
    let rules = &policy.rules.rules;
    let (mut matched, mut shadow) = (SmallVec::new(), SmallVec::new());
    let mut ask = |view: &View, rule: &Rule, at: usize| {
        let matches = rule.matches(view);
        if matches {
            if rule.shadow { shadow.push(at as u32) } else { matched.push(at as u32) }
        }
        matches && !rule.shadow
    };
    let mut risk_score = view.risk_score;
    for (at, rule) in rules.iter().enumerate().filter(|(_, rule)| !rule.asks_score) {
        if ask(&view, rule, at) {
            risk_score = risk_score.max(rule.score.unwrap_or(0));
        }
    }
    view.risk_score = risk_score;
    for (at, rule) in rules.iter().enumerate().filter(|(_, rule)| rule.asks_score) {
        ask(&view, rule, at);
    }
    let asked = |decision: &Decision| matched.iter().any(|at| rules[*at as usize].action == *decision);
    let decision = Decision::BY_STRENGTH.into_iter().find(asked).unwrap_or(Decision::Allow);
    let degraded = windows.contains(&Shown::Lost) || policy.model.is_some() && model_score.is_none();
    Decided { decision, risk_score, matched, shadow, model_score, degraded, facts }
}

/// The model's first prediction.
fn score(model: &Scorer, request: &Request, scratch: &mut Scratch) -> Option<f64> {
    let artifact = &*model.artifact;
    let Scratch { velocity, model: buffers, row } = scratch;
    row.clear();
    for column in artifact.features.columns() {
        let value = match model.origins.get(column.source)? {
            Origin::Window(window) => match velocity.shown.get(*window)?.as_f64() {
                value if value.is_nan() => scoring::Value::Missing,
                value => scoring::Value::Number(value),
            },
            Origin::Field(field) => match request.get(*field) {
                Value::Null => scoring::Value::Missing,
                Value::Int(value) => scoring::Value::Number(value as f64),
                Value::Text(text) => scoring::Value::Text(text),
            },
        };
        row.push(column.transform.apply(value));
    }
    let prediction = *artifact.model.score(row, 1, 0, buffers).predictions.first()?;
    prediction.is_finite().then_some(prediction)
}

/// How often each rule matched since it came in force.
pub fn hits(policy: &Policy) -> impl Iterator<Item = (&Rule, u64)> {
    policy.rules.rules.iter().map(|rule| (rule, rule.hits.load(Ordering::Relaxed)))
}
