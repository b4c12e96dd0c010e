//! Starts: what each promised, and how long gavel has run since it ended. A part of the books.
//!
//! A clock on the wall may be set, and a monotonic one does not outlive the machine. But within one start the times of
//! events are monotonic, so the sum over the starts since is a lower bound of the time that has passed: how long an
//! earlier start's leases must wait does not begin anew with each start.

use std::collections::BTreeMap;

use crate::clock::UnixMs;
use crate::event::Promise;
use crate::ids::Epoch;

/// One start.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Start {
    pub promise: Promise,
    /// How long gavel had run in all when the next one began; `None` of the newest.
    pub ended_ran_ms: Option<i64>,
}

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Starts {
    /// Time of the last event.
    pub at: UnixMs,
    /// When the newest start began.
    pub began_at: UnixMs,
    /// How long all starts before it ran.
    pub ran_before_ms: i64,
    /// The newest, and those before it that still had leases when it began.
    pub known: BTreeMap<Epoch, Start>,
}

impl Starts {
    /// A start begins, after one whose last event was at `ended_at`. Of the earlier ones only those that are still
    /// `leased` count on.
    pub fn begin(&mut self, epoch: Epoch, promise: Promise, ended_at: UnixMs, leased: impl Fn(Epoch) -> bool) {
        // Less what rounding to milliseconds may have added.
        let ran_ms = ended_at.since(self.began_at).saturating_sub(1).max(0);
        self.ran_before_ms = self.ran_before_ms.saturating_add(ran_ms);
        for start in self.known.values_mut().filter(|start| start.ended_ran_ms.is_none()) {
            start.ended_ran_ms = Some(self.ran_before_ms);
        }
        self.known.retain(|epoch, _| leased(*epoch));
        self.known.insert(epoch, Start { promise, ended_ran_ms: None });
        self.began_at = self.at;
    }

    /// When the leases of `epoch` come back: no bill can come in time for them any more, and the newest start would have
    /// waited for `least_ms`. If it ends before that, the next one goes on.
    pub fn reclaim_at(&self, epoch: Epoch, least_ms: i64) -> UnixMs {
        let unknown = Start { promise: Promise::UNKNOWN, ended_ran_ms: None };
        let start = self.known.get(&epoch).unwrap_or(&unknown);
        let passed_ms = start.ended_ran_ms.map_or(0, |ended| self.ran_before_ms.saturating_sub(ended));
        let wait_ms = start.promise.billable_ms.max(least_ms).saturating_sub(passed_ms);
        self.began_at.plus(wait_ms.max(0)).plus(1)
    }
}
