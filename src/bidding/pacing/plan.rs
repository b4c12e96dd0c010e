//! The plan: what a campaign should have spent by now.
//!
//! A period is a campaign-local day where there is a daily budget, and otherwise the time from `starts_at` to
//! `ends_at`. Its amount is what may be spent in it:
//!
//! - a day: the lesser of the daily budget and, with an end, of this day's share of what remains of the total budget
//!   (by the traffic curve); without an end, of all that remains;
//! - the whole time: the total budget.
//!
//! The plan starts at an anchor, an instant and what was spent of the period by then, and goes from there to the
//! amount shortly before the period's end ([`DONE_EARLY_MS`]): in each instant as steep as the traffic curve says, and
//! flat in hours in which the campaign does not bid. It is anchored anew, at what was spent by then, but within a
//! period never above where it stands ([`Plan::carried`]): who is ahead of the plan stays ahead of it by as much, or
//! each edit and each pause would grant anew what spend may be ahead by. That is
//!
//! - when gavel starts, when a period starts, and when the budget or the dates change: nothing is caught up on, and
//!   nothing is lost, for what remains is planned over the time that remains;
//! - while the campaign cannot bid (paused, or without a lease);
//! - when it is behind by more than [`GIVE_UP`] of the amount although it bids its whole price: there was no demand.
//!
//! A changed traffic curve bends the plan from where it stands.

use super::curve::{Ahead, Curve};
use crate::bidding::campaign::{Campaign, HoursOfWeek, Schedule};
use crate::clock::{Day, LocalHour, UnixMs};
use crate::money::Nanos;

/// The part of a period's amount by which a campaign without demand may be behind before the plan is anchored anew.
pub const GIVE_UP: f64 = 0.01;

/// The plan comes to its amount this long before its period ends, at most a twelfth of it: what is set aside for bids
/// that lose comes back and can still be spent. With less, an hour whose notices are a minute late ends at 96 to 98 %.
const DONE_EARLY_MS: i64 = 300_000;

const HOUR_MS: i64 = 3_600_000;

/// What the books say of a campaign's budget.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Budget {
    pub total: Nanos,
    pub daily: Option<Nanos>,
    pub spent: Nanos,
    /// On the campaign-local day.
    pub spent_today: Nanos,
}

impl Budget {
    /// What was spent of the period.
    fn spent_in_period(&self) -> Nanos {
        if self.daily.is_some() { self.spent_today } else { self.spent }
    }

    /// What may be spent in the period at most, by the counters.
    fn most(&self) -> Nanos {
        let left = (self.total - self.spent).max(Nanos::ZERO);
        match self.daily {
            Some(daily) => daily.min(self.spent_today + left),
            None => self.spent + left,
        }
    }
}

/// Whether a campaign has a plan at all: without a daily budget and an end there is nothing to spread money over.
pub fn has_plan(campaign: &Campaign) -> bool {
    campaign.budget.daily.is_some() || campaign.schedule.ends_at.is_some()
}

/// Which plan it is. Any difference needs a new one.
#[derive(Clone, Debug, PartialEq)]
struct Key {
    total: Nanos,
    daily: Option<Nanos>,
    day: Option<Day>,
    starts_at: Option<UnixMs>,
    ends_at: Option<UnixMs>,
    hours: HoursOfWeek,
    /// Of its name.
    zone: u64,
}

#[derive(Clone, Debug)]
pub struct Plan {
    key: Key,
    end: UnixMs,
    early_ms: i64,
    /// In nanos; a float, for it is multiplied by shares of weights. What is spent is never counted in one.
    pub amount: f64,
    pub planned: f64,
    at: UnixMs,
    ahead: Ahead,
    curve: u64,
}

/// The time that a plan is made in.
#[derive(Clone, Copy)]
pub struct When<'a> {
    pub now: UnixMs,
    /// At `now`, in the campaign's zone.
    pub local: LocalHour,
    pub curve: &'a Curve,
    /// Changes with the curve.
    pub curve_version: u64,
}

impl Plan {
    /// The plan from now on, from `counted` spent in the period. `None` outside its dates.
    pub fn new(schedule: &Schedule, budget: &Budget, counted: f64, when: When) -> Option<Plan> {
        let now = when.now;
        if !schedule.has_begun_and_not_ended(now) {
            return None;
        }
        let key = key(schedule, budget, when);
        let end = end(schedule, budget, when)?;
        let ahead = |to| Ahead::of(when.curve, &schedule.hours, when.local, now, to);
        let mut amount = budget.most().0 as f64;
        let early_ms = DONE_EARLY_MS.min(end.since(now) / 12);
        let here = ahead(end);
        if let (Some(_), Some(ends_at)) = (budget.daily, schedule.ends_at) {
            let left = (budget.total - budget.spent).max(Nanos::ZERO).0 as f64;
            let share = here.from(now) / ahead(ends_at).from(now).max(f64::MIN_POSITIVE);
            amount = amount.min(budget.spent_today.0 as f64 + left * share.min(1.0));
        }
        let ahead = ahead(end.plus(-early_ms));
        Some(Plan { key, end, early_ms, amount, planned: counted, at: now, ahead, curve: when.curve_version })
    }

    /// Whether this is still the plan.
    pub fn holds(&self, schedule: &Schedule, budget: &Budget, when: When) -> bool {
        let most = budget.most().0 as f64;
        // Less may be left than was planned with when bills came late for earlier days.
        when.now < self.end && self.key == key(schedule, budget, when) && self.amount <= most
    }

    /// Whether its day is over. A total has no days: its period goes on whatever is edited.
    pub fn is_over(&self, when: When) -> bool {
        self.key.day.is_some_and(|day| day != when.local.day)
    }

    /// Brings `planned` up to now.
    pub fn advance(&mut self, schedule: &Schedule, budget: &Budget, when: When) {
        let now = when.now.min(self.end);
        // Hours and curves change at hours; a step over one in between is split there.
        let until = self.ahead.until.min(now);
        self.step(until);
        if self.at >= self.ahead.until || self.curve != when.curve_version {
            self.end = end(schedule, budget, when).unwrap_or(self.end);
            let from = When { now: self.at, ..when };
            self.ahead = Ahead::of(from.curve, &schedule.hours, from.local, from.now, self.end.plus(-self.early_ms));
            self.curve = when.curve_version;
            self.step(now.min(self.ahead.until));
        }
    }

    fn step(&mut self, to: UnixMs) {
        let left = self.ahead.from(self.at);
        let passed = self.ahead.weight * to.since(self.at).max(0) as f64;
        if left > 0.0 {
            self.planned += (self.amount - self.planned).max(0.0) * (passed / left).min(1.0);
        }
        self.at = self.at.max(to);
    }

    /// Starts anew from what is spent, `counted`, now, unless that is more than planned.
    pub fn anchor(&mut self, counted: f64) {
        self.planned = self.planned.min(counted);
    }

    /// Where a plan starts that replaces this one after an edit, with `counted` spent in its period and `before` in
    /// this one's: who gives a campaign a daily budget changes what counts as spent, not by how much that is ahead.
    pub fn carried(&mut self, counted: f64, before: f64, now: UnixMs) -> f64 {
        self.step(now.min(self.end));
        counted - (before - self.planned).max(0.0)
    }

    /// What was spent in this plan's period, in nanos.
    pub fn spent(&self, budget: &Budget) -> f64 {
        if self.key.day.is_some() { budget.spent_today.0 as f64 } else { budget.spent.0 as f64 }
    }

    /// What it spends now, in nanos per second.
    pub fn speed(&self) -> f64 {
        let left = self.ahead.from(self.at);
        if left > 0.0 { (self.amount - self.planned).max(0.0) * self.ahead.weight * 1_000.0 / left } else { 0.0 }
    }

    pub fn seconds_left(&self) -> f64 {
        self.end.plus(-self.early_ms).since(self.at).max(0) as f64 / 1_000.0
    }
}

fn key(schedule: &Schedule, budget: &Budget, when: When) -> Key {
    let day = budget.daily.map(|_| when.local.day);
    Key {
        total: budget.total,
        daily: budget.daily,
        day,
        starts_at: schedule.starts_at,
        ends_at: schedule.ends_at,
        hours: schedule.hours,
        zone: schedule.zone_key,
    }
}

/// The end of the period. A day of 23 or 25 hours is known as such once its clock change has come.
fn end(schedule: &Schedule, budget: &Budget, when: When) -> Option<UnixMs> {
    let last = schedule.ends_at.map(|t| t.plus(1));
    if budget.daily.is_none() {
        return last;
    }
    let hours_left = 23 - i64::from(when.local.hour_of_week % 24);
    let midnight = when.local.until.plus(hours_left * HOUR_MS);
    Some(last.map_or(midnight, |last| last.min(midnight)))
}

/// What was spent in the plan's period, in nanos.
pub fn spent(budget: &Budget) -> f64 {
    budget.spent_in_period().0 as f64
}
