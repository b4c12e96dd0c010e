//! What a run of events adds up to.

use super::plan::{Aggregate, Asked};
use super::{UnixMs, Value};

/// No time, and no value.
pub(super) const NONE: i64 = i64::MIN;

/// What one measure takes of a run of events. Runs are added from the newest back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Acc {
    pub count: u64,
    pub sum: i128,
    pub min: i64,
    pub max: i64,
    /// The newest event's time and value, and the time of the one before.
    pub newest_ms: i64,
    pub newest: i64,
    pub before_ms: i64,
}

impl Default for Acc {
    fn default() -> Acc {
        Acc { count: 0, sum: 0, min: i64::MAX, max: NONE, newest_ms: NONE, newest: NONE, before_ms: NONE }
    }
}

impl Acc {
    /// Adds one event that is not newer than any before.
    #[inline]
    pub fn add(&mut self, at_ms: i64, value: i64) {
        self.count += 1;
        self.sum += i128::from(value);
        (self.min, self.max) = (self.min.min(value), self.max.max(value));
        self.saw(at_ms, value);
    }

    /// An event that is not newer than any before: its time and value, where those of the newest are asked for.
    #[inline]
    pub fn saw(&mut self, at_ms: i64, value: i64) {
        if self.newest_ms == NONE {
            (self.newest_ms, self.newest) = (at_ms, value);
        } else if self.before_ms == NONE {
            self.before_ms = at_ms;
        }
    }

    /// Adds a run of events that are not newer than any before.
    pub fn merge(&mut self, older: &Acc) {
        self.count += older.count;
        self.sum += older.sum;
        (self.min, self.max) = (self.min.min(older.min), self.max.max(older.max));
        if older.newest_ms != NONE {
            self.saw(older.newest_ms, older.newest);
        }
        if older.before_ms != NONE {
            self.saw(older.before_ms, NONE);
        }
    }

    /// What the window shows. `of` is of all events of the window; `counts_itself` says that the event at `at` is among
    /// what was added up here.
    pub fn shows(&self, asked: &Asked, of: &Acc, at: UnixMs, counts_itself: bool) -> Value {
        let number = |value: i64| if value == NONE { Value::Null } else { Value::Int(value) };
        match asked.aggregate {
            aggregate if aggregate.is_summed() => summed(aggregate, self.count, self.sum, of.count),
            Aggregate::TimeSince => {
                let previous_ms = if counts_itself { self.before_ms } else { self.newest_ms };
                if previous_ms == NONE { Value::Null } else { Value::Real((at.0 - previous_ms) as f64 / 1e3) }
            }
            _ if self.count == 0 => Value::Null,
            Aggregate::Min => number(self.min),
            Aggregate::Max => number(self.max),
            Aggregate::Last => number(self.newest),
            // Counted apart, from the values themselves.
            _ => Value::Null,
        }
    }
}

/// What a window shows of how many events there are, and what their values come to. `of` is how many there are of any
/// outcome.
#[inline]
pub(super) fn summed(aggregate: Aggregate, count: u64, sum: i128, of: u64) -> Value {
    match aggregate {
        Aggregate::Sum => i64::try_from(sum).map_or_else(|_| Value::Real(sum as f64), Value::Int),
        Aggregate::Avg if count == 0 => Value::Null,
        Aggregate::Avg => Value::Real(i64::try_from(sum).map_or_else(|_| sum as f64, |sum| sum as f64) / count as f64),
        Aggregate::Share if of == 0 => Value::Real(0.0),
        Aggregate::Share => Value::Real(count as f64 / of as f64),
        _ => Value::Int(count as i64),
    }
}
