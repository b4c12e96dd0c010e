//! Budgets while they are spent: daily, total, lowered, raised, small; and `asap`.

use serde_json::json;

use crate::market::{Prices, Traffic};
use crate::world::{Market, World};
use crate::{AT_ONCE, PRICE, SECONDS, START, campaign, follows, market, over, run};

const LOG_NORMAL: Prices = Prices::LogNormal(3e6, 0.6);

#[test]
fn a_daily_budget_from_the_afternoon_on_is_spread_over_what_remains_of_the_day() {
    let daily = campaign(json!({"total": "1000.00", "daily": "20.00"}), json!({"time_zone": "America/New_York"}));
    // 15:00 in New York.
    let mut world = World::new(61, "2026-11-23T20:00:00Z", &daily, market(LOG_NORMAL, Traffic::Flat, SECONDS));
    let mut halfway = 0;
    let to_midnight = run_noting(&mut world, 9, &mut halfway);
    follows(&to_midnight, "the rest of a day");
    assert!((0.45..0.55).contains(&(halfway as f64 / 20e9)), "{halfway} after half of what remained");
    // The next day has a plan of its own.
    (0..1_800).for_each(|_| world.second());
    let order = world.last.unwrap();
    assert_eq!(order.amount.0, 20_000_000_000);
    assert!((0.01..0.03).contains(&(order.planned.0 as f64 / 20e9)), "{order:?}");
}

fn run_noting(world: &mut World, hours: i64, halfway: &mut i64) -> crate::Run {
    let first = run(world, hours as f64 / 2.0, 0..0);
    *halfway = world.spent();
    let second = run(world, hours as f64 / 2.0, 0..0);
    if first.worst.abs() > second.worst.abs() { crate::Run { delivered: second.delivered, ..first } } else { second }
}

#[test]
fn a_budget_lowered_below_what_is_spent_stops_at_once_and_a_raised_one_resumes() {
    let mut world = World::new(62, START, &over(6, 34.0), market(LOG_NORMAL, Traffic::Flat, AT_ONCE));
    (0..7_200).for_each(|_| world.second());
    let spent = world.spent();
    assert!(spent > 10_000_000_000);
    world.put(&over(6, 5.0));
    let bids = world.bids;
    (0..600).for_each(|_| world.second());
    assert_eq!(world.bids, bids, "not one more bid");
    world.put(&over(6, 30.0));
    let rest = run(&mut world, 4.0 - 1.0 / 6.0, 0..0);
    follows(&rest, "raised again");
    assert!(world.bids > bids);
}

#[test]
fn a_pause_is_planned_around() {
    let mut world = World::new(63, START, &over(6, 34.0), market(LOG_NORMAL, Traffic::Flat, AT_ONCE));
    (0..3_600).for_each(|_| world.second());
    let before = world.multiplier();
    world.present.live.set_active(false);
    (0..3_600).for_each(|_| world.second());
    assert_eq!(world.multiplier(), before);
    world.present.live.set_active(true);
    follows(&run(&mut world, 4.0, 0..0), "after a pause");
}

#[test]
fn one_impression_is_the_bound_where_it_is_more_than_two_percent() {
    // Ten impressions at the whole price, over an hour in which the market sells 7,000.
    let mut world = World::new(64, START, &over(1, 0.1), market(LOG_NORMAL, Traffic::Flat, AT_ONCE));
    for second in 1..=3_600 {
        world.second();
        let order = world.last.unwrap();
        let ahead = world.won - order.planned.0;
        assert!(ahead <= 3 * PRICE, "{ahead} ahead after {second} s");
    }
    assert!(world.spent() <= 100_000_000 && world.spent() >= 90_000_000, "{}", world.spent());
}

#[test]
fn a_tiny_budget_in_a_huge_market_does_not_go_in_the_first_second() {
    let market = Market { requests_per_second: 200.0, ..market(LOG_NORMAL, Traffic::Flat, SECONDS) };
    let mut world = World::new(65, START, &over(24, 20.0), market);
    for second in 1..=900 {
        world.second();
        let share = world.won as f64 / 20e9;
        assert!(share < 0.02, "{share} of the day's money went in {second} s");
    }
}

#[test]
fn an_asap_campaign_bids_exactly_its_price_and_is_not_paced() {
    let mut asap = over(6, 1.0);
    asap["pacing"] = json!("asap");
    let mut world = World::new(66, START, &asap, market(Prices::LogNormal(3e6, 0.6), Traffic::Flat, AT_ONCE));
    (0..600).for_each(|_| world.second());
    assert!(world.last.is_none() && world.prices == [PRICE].into(), "{:?}", world.prices);
    assert!(world.spent() as f64 > 0.99e9, "it spends as fast as it can: {}", world.spent());
    // Even, then asap again: the next bid is the price.
    let mut world = World::new(67, START, &over(6, 34.0), market(LOG_NORMAL, Traffic::Flat, AT_ONCE));
    (0..600).for_each(|_| world.second());
    assert!(world.prices.len() > 100 && world.prices.last() == Some(&PRICE), "from the price down");
    let mut asap = over(6, 34.0);
    asap["pacing"] = json!("asap");
    world.put(&asap);
    world.prices.clear();
    (0..10).for_each(|_| world.second());
    assert_eq!(world.prices, [PRICE].into());
}
