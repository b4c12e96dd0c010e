//! What interrupts a plan again and again: no edit, pause or start grants anew what spend may be ahead by.

use serde_json::json;

use crate::market::{Prices, Traffic};
use crate::world::World;
use crate::{A_MINUTE, AT_ONCE, PRICE, SECONDS, START, campaign, market, over};

const TOTAL: f64 = 10.0;
/// Half a percent of the total.
const ALLOWANCE: i64 = 50_000_000;

/// What is won in 46 seconds when `interrupt` happens every `every` seconds, `times` times, after `before` seconds.
fn won(every: i64, times: i64, before: i64, mut interrupt: impl FnMut(&mut World, i64)) -> Vec<i64> {
    let mut sums = Vec::new();
    for (seed, bills) in [(71, AT_ONCE), (72, SECONDS), (73, A_MINUTE)] {
        let market = crate::world::Market {
            requests_per_second: 50.0,
            ..market(Prices::LogNormal(3e6, 0.6), Traffic::Flat, bills)
        };
        let mut world = World::new(seed, START, &over(2, TOTAL), market);
        (0..before).for_each(|_| world.second());
        let won = world.won;
        for second in 0..46 {
            if second % every == 0 && second / every < times {
                interrupt(&mut world, second / every);
            }
            world.second();
        }
        sums.push(world.won - won);
    }
    sums
}

fn no_more(name: &str, every: i64, times: i64, interrupt: impl Fn(&mut World, i64)) {
    // From its start, and in the midst of its plan.
    for before in [0, 600] {
        let without = won(every, 0, before, |_, _| ());
        let with = won(every, times, before, &interrupt);
        println!("{name}, after {before} s: {with:?}, and {without:?} without");
        for (with, without) in with.iter().zip(&without) {
            assert!(*with <= without + ALLOWANCE, "{name}, after {before} s: {with} where it was {without}");
        }
    }
}

#[test]
fn twelve_edits_of_the_budget() {
    no_more("totals", 2, 12, |world, i| world.put(&over(2, [TOTAL + 0.01, TOTAL][i as usize % 2])));
}

#[test]
fn twelve_daily_budgets_given_and_taken() {
    let daily = campaign(json!({"total": "10.00", "daily": "10.00"}), json!({"ends_at": "2026-11-23T02:00:00Z"}));
    no_more("daily budgets", 2, 12, |world, i| world.put(&if i % 2 == 0 { daily.clone() } else { over(2, TOTAL) }));
}

#[test]
fn twelve_pauses() {
    no_more("pauses", 2, 24, |world, i| world.present.live.set_active(i % 2 == 1));
}

#[test]
fn twelve_times_out_of_its_dates() {
    let later = || {
        let mut later = over(2, TOTAL);
        later["starts_at"] = json!("2026-11-23T01:00:00Z");
        later
    };
    no_more("dates", 2, 24, |world, i| world.put(&if i % 2 == 0 { later() } else { over(2, TOTAL) }));
}

#[test]
fn sixteen_starts() {
    no_more("starts", 2, 16, |world, _| world.restart(&over(2, TOTAL)));
    no_more("starts, a little longer", 5, 9, |world, _| world.restart(&over(2, TOTAL)));
}

#[test]
fn a_campaign_that_starts_anew_now_and_then_still_spends_its_money() {
    let mut world = World::new(75, START, &over(6, 34.0), market(Prices::LogNormal(3e6, 0.6), Traffic::Flat, SECONDS));
    for second in 1..=6 * 3_600 {
        if second % 1_800 == 0 {
            world.restart(&over(6, 34.0));
        }
        world.second();
        let ahead = world.won - world.last.unwrap().planned.0;
        assert!(ahead <= 34_000_000_000 / 50 + PRICE, "{ahead} ahead after {second} s");
    }
    world.settle();
    assert!(world.spent() as f64 >= 0.99 * world.total() as f64, "{}", world.spent());
}

/// What is won in five minutes after a campaign of a daily budget is put as `edited` makes it; the market would give it
/// a hundred times as much.
fn won_after(edited: serde_json::Value) -> i64 {
    let daily = |patch| campaign(json!({"total": "1000.00", "daily": "34.00"}), patch);
    let market = crate::world::Market {
        requests_per_second: 50.0,
        ..market(Prices::LogNormal(3e6, 0.6), Traffic::Flat, SECONDS)
    };
    let mut world = World::new(76, START, &daily(json!({"targeting": {"hours_of_week": [100]}})), market);
    (0..30).for_each(|_| world.second());
    assert_eq!(world.won, 0);
    world.put(&daily(edited));
    (0..300).for_each(|_| world.second());
    world.won
}

#[test]
fn another_time_zone_is_another_day_at_once() {
    let same = won_after(json!({}));
    let planned = 34_000_000_000 * 300 / 86_400;
    assert!(same > planned / 2, "{same} won: its hours are in force at once");
    for zone in ["Etc/GMT+12", "Etc/GMT-14", "Asia/Kolkata"] {
        let other = won_after(json!({"time_zone": zone}));
        assert!(other > 0 && other < 4 * same, "{other} won in {zone}, {same} in UTC");
    }
}
