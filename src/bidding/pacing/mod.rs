//! Even pacing: a plan, a controller, and what bids read of it. Pure: time is passed in.
//!
//! | file | what |
//! |---|---|
//! | `curve` | how traffic is spread over the hours of the day |
//! | `plan` | what should have been spent by now |
//! | `control` | from spend and plan to a multiplier and a limit |
//! | `pace` | the atomics between the pacer and the bids |

pub mod control;
pub mod curve;
pub mod pace;
pub mod plan;

use self::control::{Control, Seen};
use self::curve::Curve;
use self::pace::{ONE, Order};
use self::plan::{Budget, GIVE_UP, Plan, When};
use super::campaign::Schedule;
use crate::clock::{Day, LocalHour, UnixMs};
use crate::money::Nanos;

/// The pacer's state of one campaign.
#[derive(Debug)]
pub struct Pacing {
    control: Control,
    /// The last one there was. Kept where there is none, for what is ahead of it stays ahead.
    plan: Option<Plan>,
    local: LocalHour,
    /// The zone that `local` is of, as a key.
    zone: u64,
    at: UnixMs,
}

/// What is seen of a campaign in one look.
#[derive(Clone, Copy, Debug)]
pub struct Look {
    pub budget: Budget,
    /// See [`Seen`].
    pub unbilled: Nanos,
    pub promised: Nanos,
    pub told: Nanos,
    /// In nanos times milliseconds.
    pub waited: i128,
    pub price: Nanos,
    /// What bids may still set aside.
    pub room: Nanos,
    /// Neither paused nor without a lease.
    pub can_bid: bool,
    pub asked: bool,
    pub held: bool,
}

/// What bids of a campaign that was never there before may set aside until its first look. Any other waits for that look,
/// up to a second: starts and edits would grant it again and again.
pub fn first_room(amount: Nanos, price: Nanos) -> Nanos {
    Nanos(amount.0 / 1_000).max(Nanos(price.0.saturating_mul(4)))
}

impl Pacing {
    pub fn new(schedule: &Schedule, now: UnixMs) -> Pacing {
        let (local, zone) = (schedule.zone.local_hour(now), schedule.zone_key);
        Pacing { control: Control::default(), plan: None, local, zone, at: now }
    }

    /// The campaign-local day of the next look.
    pub fn today(&mut self, schedule: &Schedule, now: UnixMs) -> Day {
        if now >= self.local.until || now < self.at || schedule.zone_key != self.zone {
            self.local = schedule.zone.local_hour(now);
            self.zone = schedule.zone_key;
        }
        self.local.day
    }

    /// One look, about a second after the last one.
    pub fn look(&mut self, schedule: &Schedule, look: &Look, now: UnixMs, curve: &Curve, curve_version: u64) -> Order {
        self.today(schedule, now);
        let when = When { now, local: self.local, curve, curve_version };
        let seconds = (now.since(self.at) as f64 / 1_000.0).clamp(0.001, 5.0);
        self.at = now;
        let mut seen = Seen {
            seconds,
            planned: 0.0,
            speed: 0.0,
            amount: 0.0,
            seconds_left: 0.0,
            spent: plan::spent(&look.budget),
            unbilled: look.unbilled.0 as f64,
            promised: look.promised.0 as f64,
            told: look.told.0 as f64,
            waited: look.waited as f64 / 1_000.0,
            price: look.price.0 as f64,
            room: look.room.0 as f64,
            can_bid: look.can_bid,
            asked: look.asked,
            held: look.held,
        };
        let is_planned = self.follow(schedule, &look.budget, &seen, when);
        let Some(plan) = self.plan.as_mut().filter(|_| is_planned) else {
            // Nothing before its first look within its dates.
            return order(&self.control, 0.0, &seen, 0.0);
        };
        fill(&mut seen, plan);
        self.control.observe(&seen);
        let counted = self.control.counted(&seen);
        let give_up = (GIVE_UP * plan.amount).max(2.0 * seen.price);
        if !look.can_bid || (self.control.lacks_demand() && plan.planned - counted > give_up) {
            plan.anchor(counted);
            fill(&mut seen, plan);
        }
        self.control.step(&seen);
        order(&self.control, self.control.room(&seen), &seen, counted)
    }

    /// Brings the plan up to now, or makes a new one where the last holds no more. False outside the campaign's dates.
    fn follow(&mut self, schedule: &Schedule, budget: &Budget, seen: &Seen, when: When) -> bool {
        if self.plan.as_ref().is_some_and(|plan| plan.is_over(when)) {
            self.control.forget_open();
            self.plan = None;
        }
        let mut from = self.control.counted_or(seen);
        if let Some(plan) = &mut self.plan {
            if plan.holds(schedule, budget, when) {
                plan.advance(schedule, budget, when);
                return true;
            }
            let before = self.control.counted_or(&Seen { spent: plan.spent(budget), ..*seen });
            from = plan.carried(from, before, when.now);
        }
        let new = Plan::new(schedule, budget, from, when);
        let is_planned = new.is_some();
        self.plan = new.or(self.plan.take());
        is_planned
    }
}

fn fill(seen: &mut Seen, plan: &Plan) {
    (seen.planned, seen.speed) = (plan.planned, plan.speed());
    (seen.amount, seen.seconds_left) = (plan.amount, plan.seconds_left());
}

fn order(control: &Control, room: f64, seen: &Seen, counted: f64) -> Order {
    Order {
        multiplier: ((control.multiplier() * f64::from(ONE)) as u32).clamp(1, ONE),
        room: Nanos(room as i64),
        planned: Nanos(seen.planned as i64),
        counted: Nanos(counted as i64),
        amount: Nanos(seen.amount as i64),
    }
}
