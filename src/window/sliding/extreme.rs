//! The least and the largest value of a window, remembered from one look to the next: as long as the event that has it
//! is in the window, only what came since can beat it. When it has left, the window is looked through once.

use super::Value;
use super::acc::{Acc, NONE};
use super::chunk::Chunk;
use super::plan::{Aggregate, Asked, KeyPlan};
use super::series::{Question, Series};

/// Series of fewer chunks are looked through: that costs less than what is remembered would take.
const LONG: usize = 8;

#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Extreme {
    /// [`NONE`] where the window had no value.
    value: i64,
    /// When the newest event of that value happened.
    at_ms: i64,
    /// Everything up to here is known.
    until_ms: i64,
    currency: u8,
    known: bool,
}

impl Extreme {
    pub fn forget(&mut self) {
        self.known = false;
    }
}

fn of(asked: &Asked, acc: &Acc) -> i64 {
    if acc.count == 0 {
        NONE
    } else if asked.aggregate == Aggregate::Min {
        acc.min
    } else {
        acc.max
    }
}

/// Whether a value comes before another; nothing comes after any.
fn beats(asked: &Asked, value: i64, other: i64) -> bool {
    value != NONE && (other == NONE || if asked.aggregate == Aggregate::Min { value < other } else { value > other })
}

impl Series {
    /// Whether the extremes are remembered; makes room for them or lets them go.
    pub fn keeps_extremes(&mut self, plan: &KeyPlan) -> bool {
        let wanted = if self.chunks.len() < LONG { 0 } else { plan.extremes };
        if self.extremes.len() != wanted && (wanted > 0 || 2 * self.chunks.len() < LONG) {
            self.extremes = vec![Extreme::default(); wanted].into_boxed_slice();
        }
        !self.extremes.is_empty()
    }

    /// What a window of the least or the largest value shows.
    pub fn extreme(&mut self, plan: &KeyPlan, question: Question, asked: &Asked, number: usize) -> Value {
        let was = self.extremes[number];
        let until_ms = question.at.0.saturating_sub(asked.delay_ms);
        let begins_ms = until_ms.saturating_sub(asked.length_ms);
        let currency = question.currency;
        let holds = was.known
            && until_ms >= was.until_ms
            && (!plan.has_money || currency == was.currency)
            && (was.value == NONE || was.at_ms > begins_ms);
        // Others of the very time up to which it was known may have come since.
        let from_ms = if holds { begins_ms.max(was.until_ms - 1) } else { begins_ms };
        let mut best = if holds { (was.value, was.at_ms) } else { (NONE, NONE) };
        let measure = &plan.measures[asked.measure];
        for at in (0..self.chunks.len()).rev() {
            if self.chunks[at].newest_ms() <= from_ms {
                break;
            }
            if self.chunks[at].oldest_ms() > until_ms {
                continue;
            }
            let range = self.chunks[at].until(from_ms)..self.chunks[at].until(until_ms);
            if range.len() == self.chunks[at].len() && self.chunks[at].is_full() {
                self.change(at, |chunk| chunk.sum_up(plan));
            }
            let mut accs = Acc::default();
            let chunk: &Chunk = &self.chunks[at];
            chunk.add_measure(plan, range.clone(), asked.measure, currency, &mut accs);
            let value = of(asked, &accs);
            // Of what was known, one of the same value that is newer stays longer.
            if beats(asked, value, best.0) || holds && value == best.0 && value != NONE {
                let mut newest_ms = NONE;
                chunk.each(plan, range, measure, currency, |at_ms, other| {
                    if other == value && newest_ms == NONE {
                        newest_ms = at_ms;
                    }
                });
                best = (value, newest_ms.max(if value == best.0 { best.1 } else { NONE }));
            }
        }
        let (value, at_ms) = best;
        self.extremes[number] = Extreme { value, at_ms, until_ms, currency, known: true };
        if value == NONE { Value::Null } else { Value::Int(value) }
    }
}
