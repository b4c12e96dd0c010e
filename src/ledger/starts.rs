//! Starts: what each promised, and how long gavel has run since it ended. A part of the books.
//!
//! A clock on the wall may be set, and a monotonic one does not outlive the machine. But within one start the times of
//! events are monotonic, so the sum over the starts since is a lower bound of the time that has passed: how long an
//! earlier start's leases must wait does not begin anew with each start, and how old a bid is does not go by what a clock
//! was set to in between.

use std::collections::BTreeMap;

use crate::clock::UnixMs;
use crate::event::Promise;
use crate::ids::Epoch;

/// One start.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Start {
    pub promise: Promise,
    pub began_at: UnixMs,
    /// How long gavel had run in all when it began.
    pub began_ran_ms: i64,
    /// How long gavel had run in all when the next one began; `None` of the newest.
    pub ended_ran_ms: Option<i64>,
}

impl Start {
    /// What its clock showed when gavel had run for so long.
    fn at(&self, ran_ms: i64) -> UnixMs {
        self.began_at.plus(ran_ms.saturating_sub(self.began_ran_ms))
    }
}

/// Starts without leases that are kept. Bids of those before them are forgotten later than they might be, and are as old as the
/// clock says.
const MAX_REMEMBERED: usize = 1_000;

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Starts {
    /// Time of the last event.
    pub at: UnixMs,
    /// When the newest start began.
    pub began_at: UnixMs,
    /// How long all starts before it ran.
    pub ran_before_ms: i64,
    /// The newest, and those before it that still had leases, or bids not yet forgotten, when it began.
    pub known: BTreeMap<Epoch, Start>,
}

impl Starts {
    /// A start begins, after one whose last event was at `ended_at`. Of the earlier ones only those that are still
    /// `leased`, or whose bids of minutes from `remembered` on are, count on.
    pub fn begin(
        &mut self,
        epoch: Epoch,
        promise: Promise,
        ended_at: UnixMs,
        leased: impl Fn(Epoch) -> bool,
        remembered: u32,
    ) {
        // Less what rounding to milliseconds may have added.
        let ran_ms = ended_at.since(self.began_at).saturating_sub(1).max(0);
        self.ran_before_ms = self.ran_before_ms.saturating_add(ran_ms);
        for start in self.known.values_mut().filter(|start| start.ended_ran_ms.is_none()) {
            start.ended_ran_ms = Some(self.ran_before_ms);
        }
        let mut too_many = self.known.len().saturating_sub(MAX_REMEMBERED);
        self.known.retain(|epoch, start| {
            let forgotten = start.at(start.ended_ran_ms.unwrap_or_default()).minutes() < remembered || too_many > 0;
            too_many = too_many.saturating_sub(1);
            leased(*epoch) || !forgotten
        });
        self.began_at = self.at;
        let (began_at, began_ran_ms) = (self.began_at, self.ran_before_ms);
        self.known.insert(epoch, Start { promise, began_at, began_ran_ms, ended_ran_ms: None });
    }

    /// All bids from before this instant are at least `age_ms` old: so long gavel has run since.
    pub fn older_than(&self, age_ms: i64, now: UnixMs) -> UnixMs {
        let ran_ms = self.ran_before_ms.saturating_add(now.since(self.began_at)).saturating_sub(age_ms);
        let start = self.known.values().rev().find(|start| start.began_ran_ms <= ran_ms);
        start.map_or(UnixMs(0), |start| start.at(ran_ms))
    }

    /// How much further the clock has come since each start than gavel has run: it was not running, or the clock was set.
    pub fn skipped_ms(&self) -> BTreeMap<Epoch, i64> {
        let now = self.began_at.plus(-self.ran_before_ms);
        self.known.iter().map(|(epoch, start)| (*epoch, now.since(start.at(0)).max(0))).collect()
    }

    /// When the leases of `epoch` come back: no bill can come in time for them any more, and the newest start would have
    /// waited for `least_ms`. If it ends before that, the next one goes on.
    pub fn reclaim_at(&self, epoch: Epoch, least_ms: i64) -> UnixMs {
        let start = self.known.get(&epoch);
        let promise = start.map_or(Promise::UNKNOWN, |start| start.promise);
        let ended = start.and_then(|start| start.ended_ran_ms);
        let passed_ms = ended.map_or(0, |ended| self.ran_before_ms.saturating_sub(ended));
        let wait_ms = promise.billable_ms.max(least_ms).saturating_sub(passed_ms);
        self.began_at.plus(wait_ms.max(0)).plus(1)
    }
}
