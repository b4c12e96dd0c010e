//! Even pacing in virtual time: the production ledger, `decide()` and pacing against markets that make it hard.
//!
//! What is asserted: when there is demand, at least 99 % of the plan is delivered and |spend - plan| is at most 2 % of
//! the period's amount at every minute after the first ten, or one impression where that is more; never above budget.

mod again;
mod broken;
mod budgets;
mod market;
mod plans;
mod world;

use std::ops::Range;

use market::{Prices, Traffic};
use serde_json::{Value, json};
use world::{Market, World};

pub const START: &str = "2026-11-23T00:00:00Z";
/// Nanos per impression: the whole price.
pub const PRICE: i64 = 10_000_000;

pub const AT_ONCE: Range<i64> = 0..1;
pub const SECONDS: Range<i64> = 3_000..7_000;
pub const A_MINUTE: Range<i64> = 50_000..70_000;

const LOG_NORMAL: Prices = Prices::LogNormal(3e6, 0.6);
/// Who bids less than this wins nothing, who bids more wins all.
const EQUAL: Prices = Prices::Equal(4e6);
const LOW: Prices = Prices::Equal(1e6);

pub fn campaign(budget: Value, patch: Value) -> Value {
    let mut campaign = json!({
        "id": "c", "currency": "USD", "budget": budget, "pacing": "even", "bid": {"type": "cpm", "price": "10.00"},
        "creatives": [{"id": "cr", "type": "banner", "w": 300, "h": 250, "adm": "<a>", "adomain": ["a.example"]}],
    });
    for (key, value) in patch.as_object().unwrap() {
        campaign[key] = value.clone();
    }
    campaign
}

/// A campaign with one total budget, from [`START`] for so many hours.
pub fn over(hours: i64, total: f64) -> Value {
    let ends_at = world::instant(START).plus(hours * 3_600_000).to_string();
    campaign(json!({"total": format!("{total:.6}")}), json!({"ends_at": ends_at}))
}

pub fn market(prices: Prices, traffic: Traffic, bill_after_ms: Range<i64>) -> Market {
    Market {
        requests_per_second: 2.0,
        prices,
        traffic,
        second_price: false,
        bill_after_ms,
        tells_wins: false,
        tells_losses: false,
    }
}

/// How a run went, in parts of the plan's amount.
#[derive(Debug)]
pub struct Run {
    pub worst: f64,
    pub worst_minute: i64,
    pub delivered: f64,
}

/// Runs for so many hours and the notices that still come. Minutes of `excused` are not measured.
pub fn run(world: &mut World, hours: f64, excused: Range<i64>) -> Run {
    let mut run = Run { worst: 0.0, worst_minute: 0, delivered: 0.0 };
    let mut amount = 0.0;
    for second in 1..=(hours * 3_600.0) as i64 {
        world.second();
        assert!(world.spent() <= world.total(), "above the budget after {second} s");
        let order = world.last.unwrap();
        if second % 60 == 0 && second > 600 && !excused.contains(&(second / 60)) {
            amount = order.amount.0 as f64;
            let off = (world.spent_in_period() - order.planned.0) as f64 / amount;
            if off.abs() > run.worst.abs() {
                (run.worst, run.worst_minute) = (off, second / 60);
            }
        }
    }
    world.settle();
    run.delivered = world.spent() as f64 / amount;
    run
}

pub fn follows(run: &Run, name: &str) {
    assert!(run.worst.abs() <= 0.02, "{name}: {run:?}");
    assert!(run.delivered >= 0.99, "{name}: {run:?}");
    println!("{name}: {run:?}");
}

/// A budget that a fifth of what the market sells at 4 USD a thousand spends within six hours.
fn six_hours(seed: u64, market: Market, excused: Range<i64>) -> Run {
    let budget = market.requests_per_second * 6.0 * 3_600.0 * 0.004 / 5.0;
    run(&mut World::new(seed, START, &over(6, budget), market), 6.0, excused)
}

fn every_traffic(name: &str, seed: u64, prices: Prices) {
    let second_price = |market: Market| Market { second_price: true, ..market };
    let flat = market(prices, Traffic::Flat, AT_ONCE);
    follows(&six_hours(seed, flat, 0..0), &format!("{name}, flat"));
    let sine = second_price(market(prices, Traffic::Sine(0.5), SECONDS));
    follows(&six_hours(seed + 1, sine, 0..0), &format!("{name}, by the hour, second price"));
    let burst = market(prices, Traffic::Burst(5.0, 7_200, 9_000), A_MINUTE);
    follows(&six_hours(seed + 2, burst, 0..0), &format!("{name}, a burst, notices after a minute"));
    // Without demand for an hour: the plan gives up on it, so not even that hour needs an excuse.
    let lost = market(prices, Traffic::Lost(7_200, 10_800), SECONDS);
    follows(&six_hours(seed + 3, lost, 0..0), &format!("{name}, an hour lost"));
}

/// `PACING_SEEDS=20 cargo test --test pacing` tries more than the one seed.
fn seeds() -> impl Iterator<Item = u64> {
    let count = std::env::var("PACING_SEEDS").map_or(1, |count| count.parse().unwrap());
    (0..count).map(|i| i * 100)
}

#[test]
fn competitors_of_all_prices() {
    seeds().for_each(|seed| every_traffic("lognormal", seed + 1, LOG_NORMAL));
}

#[test]
fn competitors_of_one_price() {
    seeds().for_each(|seed| every_traffic("equal", seed + 11, EQUAL));
}

#[test]
fn competitors_of_one_low_price() {
    // At second price this market sells for a quarter of what it does at 4 USD: more requests make up for it.
    for (seed, traffic, delay) in [(21, Traffic::Flat, SECONDS), (22, Traffic::Lost(7_200, 10_800), A_MINUTE)] {
        let market = Market { second_price: true, ..market(LOW, traffic, delay) };
        let budget = market.requests_per_second * 6.0 * 3_600.0 * 0.001 / 3.0;
        let run = run(&mut World::new(seed, START, &over(6, budget), market), 6.0, 0..0);
        follows(&run, "low");
    }
}

#[test]
fn wins_are_told_at_once_and_bills_come_after_an_hour() {
    let market =
        Market { tells_wins: true, tells_losses: true, ..market(LOG_NORMAL, Traffic::Flat, 1_800_000..3_500_000) };
    let mut world = World::new(31, START, &over(6, 30.0), market);
    let mut worst = 0.0f64;
    for second in 1..=6 * 3_600 {
        world.second();
        let order = world.last.unwrap();
        if second % 60 == 0 && second > 600 {
            // Spend that was not billed yet counts when it was won.
            worst = worst.max((world.won - order.planned.0).abs() as f64 / order.amount.0 as f64);
        }
    }
    assert!(worst <= 0.02, "{worst}");
    world.settle();
    assert!(world.spent() as f64 >= 0.99 * world.total() as f64, "{} of {}", world.spent(), world.total());
}

#[test]
fn demand_that_was_lost_does_not_wind_the_multiplier_up() {
    for (prices, delay) in [(EQUAL, A_MINUTE), (LOG_NORMAL, AT_ONCE)] {
        let mut world = World::new(41, START, &over(6, 34.0), market(prices, Traffic::Lost(7_200, 10_800), delay));
        (0..7_200).for_each(|_| world.second());
        let before = world.multiplier();
        (0..3_600).for_each(|_| world.second());
        let after = world.multiplier();
        assert!((after / before - 1.0).abs() < 0.25, "{before} before, {after} after an hour without demand");
        let (spent, planned) = (world.won, world.last.unwrap().planned.0);
        (0..900).for_each(|_| world.second());
        // No burst: in the quarter of an hour after that it spends what the plan says, and little of what it missed.
        let (spent, planned) = (world.won - spent, world.last.unwrap().planned.0 - planned);
        let extra = (spent - planned) as f64 / world.total() as f64;
        assert!((-0.02..0.015).contains(&extra), "{extra} of the budget more than planned");
    }
}

/// Notices that come a minute late are a sixtieth of such a period late: it follows the plan less closely, and still
/// comes to its end.
#[test]
fn an_hour_whose_notices_are_a_minute_late() {
    let steady = (Traffic::Flat, 0.07);
    let lost = (Traffic::Lost(1_200, 1_800), 0.08);
    let burst = (Traffic::Burst(5.0, 1_200, 1_500), 0.13);
    for (seed, (traffic, bound)) in [steady, lost, burst].into_iter().enumerate() {
        for (prices, second_price) in [(LOG_NORMAL, false), (LOG_NORMAL, true), (EQUAL, false), (EQUAL, true)] {
            let market = Market { second_price, ..market(prices, traffic, A_MINUTE) };
            let budget = market.requests_per_second * 3_600.0 * 0.004 / 5.0;
            let run = run(&mut World::new(51 + seed as u64, START, &over(1, budget), market), 1.0, 0..0);
            // Where all bid the same, a share of the market is won by chance.
            let least = if matches!(prices, Prices::Equal(_)) { 0.98 } else { 0.99 };
            let holds = run.delivered >= least && run.worst.abs() <= bound;
            assert!(holds, "{traffic:?}, {prices:?}, {second_price}: {run:?}");
        }
    }
}
