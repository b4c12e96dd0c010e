//! `check()`: what a check comes to.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use smallvec::SmallVec;

use super::Decision;
use super::policy::{Origin, Policy, Scorer};
use super::request::{Request, Value};
use super::rules::{Rule, View};
use super::velocity::{self, Facts, Velocity};
use crate::clock::UnixMs;
use crate::scoring::registry::ModelSet;
use crate::scoring::{self, Artifact};
use crate::window::sliding::{Change, Outcome, Value as Shown};

/// Risk scores from which on a level begins.
const ELEVATED: i64 = 65;
const HIGHEST: i64 = 75;
/// Columns of a model that stand among the reasons.
const REASONS: usize = 3;
/// What a risk score is at most.
pub const MAX_SCORE: i64 = 99;

/// A worker's buffers.
#[derive(Default)]
pub struct Scratch {
    pub velocity: velocity::Scratch,
    active: Scoring,
    shadow: Scoring,
    /// Tells how long scoring took, in nanoseconds: the time is not read here.
    timer: Option<fn() -> u64>,
}

impl Scratch {
    pub fn with_timer(timer: fn() -> u64) -> Scratch {
        Scratch { timer: Some(timer), ..Scratch::default() }
    }
}

/// What the model that a worker scored with last asks for, and its buffers.
#[derive(Default)]
struct Scoring {
    scorer: Option<Scorer>,
    buffers: scoring::Scratch,
    row: Vec<f64>,
    added: Vec<f64>,
}

/// What a model said.
#[derive(Clone, Debug)]
pub struct Scored {
    pub artifact: Arc<Artifact>,
    /// None where it could not say anything.
    pub score: Option<f64>,
    pub took_ns: u64,
    /// The columns that raised the raw score most, each with where its value came from and what it added; the greatest first.
    pub raised_by: SmallVec<[(u32, Option<Origin>, f64); REASONS]>,
}

/// A decision and what it is made of.
#[derive(Clone, Debug)]
pub struct Decided {
    pub decision: Decision,
    pub risk_score: i64,
    /// Positions of live rules that matched, and of those in shadow mode.
    pub matched: SmallVec<[u32; 8]>,
    pub shadow: SmallVec<[u32; 4]>,
    /// What the model in force said, and the one that is tried out.
    pub model: Option<Scored>,
    pub shadow_model: Option<Scored>,
    /// A window was evicted, the model could not say anything, or rules are left out.
    pub degraded: bool,
    /// When it came in.
    pub now: UnixMs,
    pub facts: Facts,
}

impl Decided {
    /// NaN where no model said anything.
    pub fn model_score(&self) -> f64 {
        self.model.as_ref().and_then(|model| model.score).unwrap_or(f64::NAN)
    }

    pub fn risk_level(&self) -> &'static str {
        match self.risk_score {
            HIGHEST.. => "highest",
            ELEVATED.. => "elevated",
            _ => "normal",
        }
    }
}

/// What a check is decided by.
#[derive(Clone, Copy)]
pub struct Snapshot<'a> {
    pub policy: &'a Policy,
    pub models: Option<&'a ModelSet>,
    pub velocity: &'a Velocity,
}

/// Counts the check in its windows and decides. `now` is when it came in. What each window showed is left in `scratch`.
pub fn check(snapshot: &Snapshot, request: &Request, now: UnixMs, scratch: &mut Scratch) -> Decided {
    let velocity = snapshot.velocity;
    let facts = velocity.observe(request, Outcome::TOTAL, &mut scratch.velocity);
    let decided = decide(snapshot, request, now, scratch, facts);
    if decided.decision == Decision::Deny {
        velocity.mark(&decided.facts, Outcome::TOTAL, BLOCK, &mut scratch.velocity);
    }
    decided
}

/// Decides a check again over what its windows showed then. Nothing is counted.
pub fn again(
    snapshot: &Snapshot,
    request: &Request,
    shown: impl Iterator<Item = Shown>,
    now: UnixMs,
    scratch: &mut Scratch,
) -> Decided {
    scratch.velocity.shown.clear();
    scratch.velocity.shown.extend(shown);
    decide(snapshot, request, now, scratch, Facts::default())
}

/// What a denied check becomes.
pub const BLOCK: Change = Change { add: Outcome::BLOCKED, remove: Outcome::TOTAL };

/// Decides over what the windows show.
fn decide(snapshot: &Snapshot, request: &Request, now: UnixMs, scratch: &mut Scratch, facts: Facts) -> Decided {
    let policy = snapshot.policy;
    let windows = &scratch.velocity.shown;
    let model = |of: fn(&ModelSet) -> &Option<Arc<Artifact>>| snapshot.models.and_then(|models| of(models).as_ref());
    let timer = scratch.timer.unwrap_or(|| 0);
    let score = |artifact, scoring: &mut Scoring| {
        let began_ns = timer();
        let scored = scoring.score(artifact, snapshot.velocity, request, windows);
        Scored { took_ns: timer() - began_ns, ..scored }
    };
    let shadow_model = model(|models| &models.shadow).map(|artifact| score(artifact, &mut scratch.shadow));
    let model = model(|models| &models.active).map(|artifact| score(artifact, &mut scratch.active));
    let model_score = model.as_ref().and_then(|model| model.score);
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
        if rule.may_match(&view) && ask(&view, rule, at) {
            risk_score = risk_score.max(rule.score.unwrap_or(0));
        }
    }
    view.risk_score = risk_score;
    for (at, rule) in rules.iter().enumerate().filter(|(_, rule)| rule.asks_score && rule.may_match(&view)) {
        ask(&view, rule, at);
    }
    let asked = |decision: &Decision| matched.iter().any(|at| rules[*at as usize].action == *decision);
    let decision = Decision::BY_STRENGTH.into_iter().find(asked).unwrap_or(Decision::Allow);
    let degraded =
        windows.contains(&Shown::Lost) || model.is_some() && model_score.is_none() || !policy.rules.left_out.is_empty();
    Decided { decision, risk_score, matched, shadow, model, shadow_model, degraded, now, facts }
}

impl Scoring {
    /// The model's first prediction.
    fn score(&mut self, artifact: &Arc<Artifact>, velocity: &Velocity, request: &Request, windows: &[Shown]) -> Scored {
        let scorer = match &mut self.scorer {
            Some(scorer) if scorer.is_of(artifact) => scorer,
            other => other.insert(Scorer::new(artifact, velocity)),
        };
        self.row.clear();
        for (column, origin) in artifact.features.columns().iter().zip(&scorer.origins) {
            let value = match origin {
                None => scoring::Value::Missing,
                Some(Origin::Window(window)) => number(windows.get(*window).map_or(f64::NAN, |shown| shown.as_f64())),
                Some(Origin::Field(field)) => match request.get(*field) {
                    Value::Null => scoring::Value::Missing,
                    Value::Int(value) => number(value as f64),
                    Value::Text(text) => scoring::Value::Text(text),
                },
            };
            self.row.push(column.transform.apply(value));
        }
        let prediction = artifact.model.score(&self.row, 1, 0, &mut self.buffers).predictions.first().copied();
        let score = prediction.filter(|score| score.is_finite());
        Scored { artifact: artifact.clone(), score, took_ns: 0, raised_by: self.raised_by(artifact) }
    }

    fn raised_by(&mut self, artifact: &Artifact) -> SmallVec<[(u32, Option<Origin>, f64); REASONS]> {
        let mut most = SmallVec::new();
        if artifact.model.explain(&self.row, &self.buffers, &mut self.added).is_none() {
            return most;
        }
        let origins = self.scorer.iter().flat_map(|scorer| scorer.origins.iter());
        for (column, (origin, added)) in origins.zip(&self.added).enumerate().filter(|(_, (_, a))| **a > 0.0) {
            let at = most.partition_point(|(_, _, other): &(u32, Option<Origin>, f64)| other >= added);
            if at < REASONS {
                most.truncate(REASONS - 1);
                most.insert(at, (column as u32, *origin, *added));
            }
        }
        most
    }
}

fn number(value: f64) -> scoring::Value<'static> {
    if value.is_nan() { scoring::Value::Missing } else { scoring::Value::Number(value) }
}

/// How often each rule matched since its ruleset was put.
pub fn hits(policy: &Policy) -> impl Iterator<Item = (&Rule, u64)> {
    policy.rules.rules.iter().map(|rule| (rule, rule.hits.load(Ordering::Relaxed)))
}
