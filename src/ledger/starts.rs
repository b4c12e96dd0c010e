//! Starts: what each promised, which of them live, and how long gavel has run since the others ended. A part of the books.
//!
//! A clock on the wall may be set, and a monotonic one does not outlive the machine. But within one start the times of
//! events are monotonic, so the sum over the starts since is a lower bound of the time that has passed: how long an
//! earlier start's leases must wait does not begin anew with each start, and how old a bid is does not go by what a clock
//! was set to in between.
//!
//! The starts of a fleet overlap. Each says every second that it still runs, so what gavel has run is the log's time, of
//! which no pause between two events counts for more than [`MAX_PAUSE_MS`]: however many nodes run, time passes once, and
//! where all were down, or the log's clock was set, it does not pass.

use std::collections::BTreeMap;

use crate::clock::UnixMs;
use crate::event::{Process, Promise};
use crate::ids::{Epoch, NodeId};

/// A fleet's start of which nothing was heard for so long, while gavel ran, has ended. Its node makes no bids after half
/// of that, by its own clock.
pub const SILENCE_MS: i64 = 60_000;
/// Each start of a fleet tells so often that it still runs.
pub const TELL_MS: i64 = 1_000;
/// Of a longer pause between two events of a fleet's log nobody knows that it passed.
const MAX_PAUSE_MS: i64 = 5 * TELL_MS;

/// One start.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Start {
    pub node: NodeId,
    pub process: Process,
    pub promise: Promise,
    pub began_at: UnixMs,
    /// How long gavel had run in all when it began.
    pub began_ran_ms: i64,
    /// The same, when it was last heard of.
    pub heard_ran_ms: i64,
    /// The same, when it ended; `None` of those that live.
    pub ended_ran_ms: Option<i64>,
}

impl Start {
    pub fn lives(&self) -> bool {
        self.ended_ran_ms.is_none()
    }

    fn is_alone(&self) -> bool {
        self.process == Process::ALONE
    }

    /// What the log's clock showed when gavel had run for so long; where a fleet's clock was set since, something earlier.
    fn at(&self, ran_ms: i64) -> UnixMs {
        self.began_at.plus(ran_ms.saturating_sub(self.began_ran_ms))
    }
}

/// Starts without leases that are kept. Bids of those before them are forgotten later than they might be, and are as old as the
/// clock says.
const MAX_REMEMBERED: usize = 1_000;

/// Who starts, as its event says.
#[derive(Clone, Copy, Debug)]
pub struct Starting {
    pub epoch: Epoch,
    pub node: NodeId,
    pub process: Process,
    pub promise: Promise,
}

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Starts {
    /// Time of the last event.
    pub at: UnixMs,
    /// Since when gavel has run without a pause that does not count: when the newest start began, or, in a fleet, somewhat
    /// later than the first of those did that run one beside the other.
    pub began_at: UnixMs,
    /// How long it had run before that.
    pub ran_before_ms: i64,
    /// Those that live, and those before them that still had leases, or bids not yet forgotten, at the newest start.
    pub known: BTreeMap<Epoch, Start>,
}

impl Starts {
    /// The log's time goes on to `at`. Returns how long gavel had run at the event before.
    pub fn pass(&mut self, at: UnixMs) -> i64 {
        let ran_ms = self.ran_before_ms.saturating_add(self.at.since(self.began_at));
        let pause_ms = at.since(self.at);
        if pause_ms > MAX_PAUSE_MS && self.is_fleet() {
            self.began_at = self.began_at.plus(pause_ms - MAX_PAUSE_MS);
        }
        self.at = at;
        ran_ms
    }

    /// The newest start lets others live beside it.
    fn is_fleet(&self) -> bool {
        self.known.last_key_value().is_some_and(|(_, start)| !start.is_alone())
    }

    /// How long gavel has run in all.
    fn ran_ms(&self, now: UnixMs) -> i64 {
        let now = if self.is_fleet() { now.min(self.at.plus(MAX_PAUSE_MS)) } else { now };
        self.ran_before_ms.saturating_add(now.since(self.began_at))
    }

    /// A start begins, after an event at which gavel had run for `ran_ms`. It ends all others, or in a fleet those of its own
    /// node. Of those that have ended only the ones that are still `leased`, or whose bids of minutes from `remembered` on
    /// are, count on.
    pub fn begin(&mut self, new: Starting, ran_ms: i64, leased: impl Fn(Epoch) -> bool, remembered: u32) {
        let goes_on = |start: &Start| {
            let beside = new.process != Process::ALONE && !start.is_alone();
            start.lives() && beside && start.node != new.node
        };
        let others_run = self.known.values().any(goes_on);
        if !others_run {
            // Less what rounding to milliseconds may have added.
            self.ran_before_ms = self.ran_before_ms.max(ran_ms.saturating_sub(1));
            self.began_at = self.at;
        }
        let ran_ms = self.ran_ms(self.at);
        for start in self.known.values_mut().filter(|start| start.lives() && !goes_on(start)) {
            start.ended_ran_ms = Some(ran_ms);
        }
        let mut too_many = self.known.len().saturating_sub(MAX_REMEMBERED);
        self.known.retain(|epoch, start| {
            let Some(ended_ran_ms) = start.ended_ran_ms else { return true };
            let forgotten = start.at(ended_ran_ms).minutes() < remembered || too_many > 0;
            too_many = too_many.saturating_sub(1);
            leased(*epoch) || !forgotten
        });
        let Starting { epoch, node, process, promise } = new;
        let (began_at, began_ran_ms, heard_ran_ms) = (self.at, ran_ms, ran_ms);
        let start = Start { node, process, promise, began_at, began_ran_ms, heard_ran_ms, ended_ran_ms: None };
        self.known.insert(epoch, start);
    }

    /// A start of a fleet tells that it still runs; those end of which nothing was heard for too long. False if it has ended
    /// itself: what it tells came too late.
    pub fn hear(&mut self, epoch: Epoch) -> bool {
        let ran_ms = self.ran_ms(self.at);
        match self.known.get_mut(&epoch) {
            Some(start) if start.lives() && !start.is_alone() => start.heard_ran_ms = ran_ms,
            _ => return false,
        }
        let is_silent = |start: &Start| ran_ms.saturating_sub(start.heard_ran_ms) > SILENCE_MS;
        for start in self.known.values_mut().filter(|start| start.lives() && is_silent(start)) {
            start.ended_ran_ms = Some(ran_ms);
        }
        true
    }

    pub fn lives(&self, epoch: Epoch) -> bool {
        self.known.get(&epoch).is_some_and(Start::lives)
    }

    /// All bids from before this instant are at least `age_ms` old: so long gavel has run since.
    pub fn older_than(&self, age_ms: i64, now: UnixMs) -> UnixMs {
        let ran_ms = self.ran_ms(now).saturating_sub(age_ms);
        let start = self.known.values().rev().find(|start| start.began_ran_ms <= ran_ms);
        start.map_or(UnixMs(0), |start| start.at(ran_ms))
    }

    /// How much further the clock has come since each start than gavel has run: it was not running, or the clock was set.
    pub fn skipped_ms(&self) -> BTreeMap<Epoch, i64> {
        let now = self.began_at.plus(-self.ran_before_ms);
        self.known.iter().map(|(epoch, start)| (*epoch, now.since(start.at(0)).max(0))).collect()
    }

    /// When the leases of `epoch` come back: no bill can come in time for them any more, and the newest start would have
    /// waited for `least_ms`. If all end before that, the next one goes on; a pause that does not count makes it later.
    pub fn reclaim_at(&self, epoch: Epoch, least_ms: i64) -> UnixMs {
        let start = self.known.get(&epoch);
        let promise = start.map_or(Promise::UNKNOWN, |start| start.promise);
        // A process that does not know yet that its start has ended goes on for so long at most.
        let unaware_ms = start.filter(|start| !start.is_alone()).map_or(0, |_| SILENCE_MS / 2);
        let ended = start.and_then(|start| start.ended_ran_ms);
        let passed_ms = ended.map_or(0, |ended| self.ran_before_ms.saturating_sub(ended));
        let wait_ms = promise.billable_ms.max(least_ms).saturating_add(unaware_ms).saturating_sub(passed_ms);
        self.began_at.plus(wait_ms.max(0)).plus(1)
    }
}
