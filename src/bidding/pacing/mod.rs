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
use super::campaign::Campaign;
use super::key::key;
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
    pub fn new(campaign: &Campaign, now: UnixMs) -> Pacing {
        let zone = key(&campaign.zone_name);
        Pacing { control: Control::default(), plan: None, local: campaign.zone.local_hour(now), zone, at: now }
    }

    /// The campaign-local day of the next look.
    pub fn today(&mut self, campaign: &Campaign, now: UnixMs) -> Day {
        let zone = key(&campaign.zone_name);
        if now >= self.local.until || now < self.at || zone != self.zone {
            self.local = campaign.zone.local_hour(now);
            self.zone = zone;
        }
        self.local.day
    }

    /// One look, about a second after the last one.
    pub fn look(&mut self, campaign: &Campaign, look: &Look, now: UnixMs, curve: &Curve, curve_version: u64) -> Order {
        self.today(campaign, now);
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
        let is_planned = self.follow(campaign, &look.budget, &seen, when);
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
    fn follow(&mut self, campaign: &Campaign, budget: &Budget, seen: &Seen, when: When) -> bool {
        if self.plan.as_ref().is_some_and(|plan| plan.is_over(when)) {
            self.control.forget_open();
            self.plan = None;
        }
        let mut from = self.control.counted_or(seen);
        if let Some(plan) = &mut self.plan {
            if plan.holds(campaign, budget, when) {
                plan.advance(campaign, budget, when);
                return true;
            }
            let before = self.control.counted_or(&Seen { spent: plan.spent(budget), ..*seen });
            from = plan.carried(from, before, when.now);
        }
        let new = Plan::new(campaign, budget, from, when);
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
