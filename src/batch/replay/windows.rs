//! What the windows of today's config show for the checks of the log, counted in its order.

use std::collections::VecDeque;

use super::overlap::{Other, explains};
use crate::clock::UnixMs;
use crate::config::Config;
use crate::event::fraud::{Checked, FraudEvent};
use crate::fraud::decide::BLOCK;
use crate::fraud::engine::{merchant_number, unpack};
use crate::fraud::store::{Bounds, Store};
use crate::fraud::velocity::{Facts, Scratch};
use crate::fraud::{Decision, Request, Velocity, answer, fields};
use crate::window::sliding::{Outcome, Value};

/// What comes into the log within this of a check may have been under way with it.
const MOMENT_MS: i64 = 2_000;
/// How long a report may take from the log to the windows: as long as a disk may take to sync.
const REPORT_MS: i64 = 1_000;
/// Events after which one shard is swept, as a server does by time.
const SWEEP_EVENTS: u64 = 1_000;

/// Something that counted, and when it may have done so: which of two that overlap was first is not in the log.
struct Counted {
    from: UnixMs,
    to: UnixMs,
    facts: Facts,
    /// It is a check; otherwise a report of one.
    is_check: bool,
    /// It changed what is known of a check: a report, or that it was denied.
    marked: bool,
    /// Tells it from others.
    number: u64,
}

/// A value that differs, until what came a moment later is known too.
struct Differs {
    from: UnixMs,
    to: UnixMs,
    number: u64,
    facts: Facts,
    window: usize,
    values: (Value, Value),
    line: String,
}

pub struct Recount {
    velocity: Option<Velocity>,
    store: Store,
    fingerprint: u64,
    request: Request,
    scratch: Scratch,
    /// Who was counted lately.
    recent: VecDeque<Counted>,
    differ: VecDeque<Differs>,
    events: u64,
    pub values: u64,
    pub lost: u64,
    pub of_one_moment: u64,
    pub of_other_windows: u64,
}

impl Recount {
    pub fn new(config: &Config) -> Recount {
        let velocity = Velocity::new(config.fraud.windows.clone(), config.fraud.limits()).ok();
        let fingerprint = velocity.as_ref().map_or(0, answer::fingerprint);
        let bounds = Bounds { max_checks: config.fraud.max_checks, max_answer_bytes: 0 };
        Recount {
            velocity,
            store: Store::new(bounds),
            fingerprint,
            request: Request::default(),
            scratch: Scratch::default(),
            recent: VecDeque::new(),
            differ: VecDeque::new(),
            events: 0,
            values: 0,
            lost: 0,
            of_one_moment: 0,
            of_other_windows: 0,
        }
    }

    /// What each window shows for the check that was counted last.
    pub fn shown(&self) -> &[Value] {
        &self.scratch.shown
    }

    /// Counts a check, and compares what is to be compared.
    pub fn check(
        &mut self,
        checked: &Checked,
        offset: u64,
        at: UnixMs,
        is_compared: bool,
        tell: &mut dyn FnMut(String),
    ) {
        let Some(facts) = self.count(checked, offset, at) else { return };
        if !is_compared {
            // It may still explain what is.
        } else if checked.windows != self.fingerprint {
            self.of_other_windows += 1;
        } else if let Some(velocity) = &self.velocity {
            let declared = velocity.declared().iter();
            for (window, ((declared, now), was)) in declared.zip(&self.scratch.shown).zip(&checked.shown).enumerate() {
                let was = unpack(*was);
                match (was, *now) {
                    (Value::Lost, _) | (_, Value::Lost) => self.lost += 1,
                    (was, now) => {
                        self.values += 1;
                        if !is_same(was, now) {
                            let (id, name) = (answer::id_text(checked.check), &declared.name);
                            let line = format!("{id} at {offset}: {name} was {was:?}, is {now:?}");
                            let (from, number, facts) = (checked.arrived, self.events, facts.clone());
                            let values = (was, now);
                            self.differ.push_back(Differs { from, to: at, number, facts, window, values, line });
                        }
                    }
                }
            }
        }
        let marked = checked.decision == Decision::Deny.number();
        let (from, number) = (checked.arrived, self.events);
        self.passed(at, Some(Counted { from, to: at, facts, is_check: true, marked, number }), tell);
    }

    /// Counts a check, once.
    pub fn count(&mut self, checked: &Checked, offset: u64, at: UnixMs) -> Option<Facts> {
        let velocity = self.velocity.as_ref()?;
        self.events += 1;
        if self.events.is_multiple_of(SWEEP_EVENTS) {
            velocity.sweep((self.events / SWEEP_EVENTS) as usize, at);
        }
        let merchant = Some(checked.merchant.as_str()).filter(|merchant| !merchant.is_empty());
        let is_known = self.store.contains(checked.check);
        if is_known || self.request.parse(&checked.body, false, merchant, checked.arrived).is_err() {
            return None;
        }
        let facts = velocity.observe(&self.request, Outcome::TOTAL, &mut self.scratch);
        if checked.decision == Decision::Deny.number() {
            // What it showed is the check's before it was denied.
            let shown = self.scratch.shown.clone();
            velocity.mark(&facts, Outcome::TOTAL, BLOCK, &mut self.scratch);
            self.scratch.shown = shown;
        }
        let merchant = merchant_number(self.request.text(fields::MERCHANT));
        self.store.restore(checked.clone().into(), merchant, facts.clone(), offset, at);
        Some(facts)
    }

    /// Marks what outcomes and labels say.
    pub fn report(&mut self, event: &FraudEvent, at: UnixMs, tell: &mut dyn FnMut(String)) {
        let marked = match event {
            FraudEvent::Outcome(outcome) => self.store.note_status(outcome.check, outcome.status),
            FraudEvent::Label(label) => self.store.note_label(label.check, label.label),
            _ => return,
        };
        let facts = marked.and_then(|(facts, was, change)| {
            self.velocity.as_ref()?.mark(&facts, was, change, &mut self.scratch);
            Some(facts)
        });
        let (from, to, number) = (at, at.plus(REPORT_MS), 0);
        let counted = facts.map(|facts| Counted { from, to, facts, is_check: false, marked: true, number });
        self.passed(at, counted, tell);
    }

    /// Tells what differs and what no other check of the moment explains.
    fn passed(&mut self, at: UnixMs, counted: Option<Counted>, tell: &mut dyn FnMut(String)) {
        self.recent.extend(counted);
        while self.differ.front().is_some_and(|differs| differs.to.plus(MOMENT_MS) < at) {
            self.settle(tell);
        }
        let oldest = self.differ.front().map_or(at, |differs| differs.from).plus(-MOMENT_MS);
        while self.recent.front().is_some_and(|counted| counted.to < oldest) {
            self.recent.pop_front();
        }
    }

    fn settle(&mut self, tell: &mut dyn FnMut(String)) {
        let Some(Differs { from, to, number, facts, window, values, line }) = self.differ.pop_front() else { return };
        let overlaps = |other: &&Counted| other.from <= to && from <= other.to && other.number != number;
        let others = self.recent.iter().filter(overlaps);
        let others = others.map(|c| Other { facts: &c.facts, counted: c.is_check, marked: c.marked });
        let explained = self.velocity.as_ref().is_some_and(|v| explains(v, window, &facts, others, values));
        if explained { self.of_one_moment += 1 } else { tell(line) }
    }

    pub fn end(&mut self, tell: &mut dyn FnMut(String)) {
        while !self.differ.is_empty() {
            self.settle(tell);
        }
    }
}

fn is_same(was: Value, now: Value) -> bool {
    match (was, now) {
        (Value::Int(a), Value::Int(b)) => a == b,
        (Value::Real(a), Value::Real(b)) => a.to_bits() == b.to_bits(),
        (Value::Null, Value::Null) => true,
        _ => false,
    }
}
