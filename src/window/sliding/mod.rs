//! Exact sliding windows over the events of an entity, by the time at which they happened.
//!
//! A window covers `(t - delay - length, t - delay]` of one key (a card, a customer and a device, ...). Every event is
//! kept, once for each key, for as long as a window can ask for it, so a window is exact whatever order the events come
//! in, and an event that is labelled later is seen as labelled from then on. Nothing is approximated: where memory was
//! not enough the answer is [`Value::Lost`].
//!
//! Events stand in the order of their times, in chunks of up to 64. What windows count and add up moves along with their
//! ends (`moving`), and of a long series the least and the largest value (`extreme`) and how often each value stands in a
//! window (`distinct`) are remembered. All other windows
//! of a key, and those of keys with few events, are worked out in one pass over its chunks, from the newest back; full
//! chunks between two ends of windows are passed over by what they add up to.

mod acc;
mod checkpoint;
mod chunk;
mod distinct;
mod ends;
mod extreme;
mod moving;
mod plan;
mod series;
mod store;
#[cfg(test)]
mod tests;

pub use plan::{Aggregate, Field, KeyPlan, Measure, Plan, PlanError, Spec};
pub use store::{Limits, Scratch, Stats, Windows};

use crate::clock::UnixMs;

/// What is known of an event: a set of the outcomes below. Every event is in the total.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Outcome(pub(self) u8);

impl Outcome {
    /// In no outcome yet; as a window's `where`, every event.
    pub const TOTAL: Outcome = Outcome(0);
    pub const AUTHORIZED: Outcome = Outcome(1);
    pub const DECLINED: Outcome = Outcome(2);
    pub const BLOCKED: Outcome = Outcome(4);
    pub const FRAUD: Outcome = Outcome(8);

    #[must_use]
    pub fn and(self, other: Outcome) -> Outcome {
        Outcome(self.0 | other.0)
    }

    /// The same once something more is known.
    #[must_use]
    pub fn after(self, change: Change) -> Outcome {
        Outcome(change.of(self.0))
    }

    /// As one byte, which [`Outcome::from_byte`] reads.
    pub fn byte(self) -> u8 {
        self.0
    }

    pub fn from_byte(byte: u8) -> Outcome {
        Outcome(byte & 0xf)
    }

    /// Whether a window that selects this takes an event with `outcome`.
    #[inline]
    fn selects(self, outcome: u8) -> bool {
        outcome & self.0 == self.0
    }
}

/// What becomes known of an event later.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Change {
    pub add: Outcome,
    pub remove: Outcome,
}

impl Change {
    fn of(self, outcome: u8) -> u8 {
        (outcome | self.add.0) & !self.remove.0
    }
}

/// One event, as the windows see it.
#[derive(Clone, Copy, Debug)]
pub struct Event<'a> {
    pub at: UnixMs,
    /// A hash of each key's fields, in the order of [`Plan::keys`]; `None` where a field is missing: then it is in no
    /// window of that key.
    pub keys: &'a [Option<u64>],
    /// The event's fields, in the order of [`Plan::fields`].
    pub fields: &'a [Option<i64>],
    /// Any number for the currency that sums are in: sums never mix them.
    pub currency: u8,
    pub outcome: Outcome,
}

/// What a window shows.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Value {
    Int(i64),
    /// An average, a share, or seconds.
    Real(f64),
    /// Nothing to show: an empty window's average, or a key that the event has not.
    Null,
    /// Events that count may have been evicted.
    Lost,
}

impl Value {
    /// NaN where there is no value.
    pub fn as_f64(self) -> f64 {
        match self {
            Value::Int(value) => value as f64,
            Value::Real(value) => value,
            Value::Null | Value::Lost => f64::NAN,
        }
    }
}
