//! Controllers that must not pass: otherwise these tests would say nothing.

use gavel::bidding::pacing::pace::{ONE, Order};
use gavel::money::Nanos;

use crate::market::{Prices, Traffic};
use crate::world::{Tamper, World};
use crate::{AT_ONCE, START, market, over, run};

fn fails(hours: i64, excused: std::ops::Range<i64>, tamper: Tamper) -> bool {
    [Prices::LogNormal(3e6, 0.6), Prices::Equal(4e6)].into_iter().any(|prices| {
        let mut world =
            World::new(51, START, &over(hours, 5.75 * hours as f64), market(prices, Traffic::Flat, AT_ONCE));
        world.tamper = tamper;
        let run = run(&mut world, hours as f64, excused.clone());
        run.worst.abs() > 0.02 || run.delivered < 0.99
    })
}

fn without_limit(order: &mut Order) {
    order.room = Nanos::MAX;
}

#[test]
fn a_multiplier_that_is_always_one_fails() {
    assert!(fails(2, 0..0, |order| {
        without_limit(order);
        order.multiplier = ONE;
    }));
}

#[test]
fn a_multiplier_that_moves_the_wrong_way_fails() {
    assert!(fails(2, 0..0, |order| {
        without_limit(order);
        order.multiplier = (u64::from(ONE / 4).pow(2) / u64::from(order.multiplier)).min(u64::from(ONE)) as u32;
    }));
}

#[test]
fn a_multiplier_that_stands_still_too_low_fails() {
    assert!(fails(2, 0..0, |order| order.multiplier = ONE / 8));
}

#[test]
fn the_multiplier_alone_keeps_to_the_plan() {
    // But for the first hour: in a market that it knows nothing of, only the limit holds it.
    assert!(!fails(6, 0..60, without_limit), "the limit is a safety net, not what paces");
}

#[test]
fn the_limit_alone_never_lets_spend_run_ahead() {
    let mut world = World::new(52, START, &over(2, 11.5), market(Prices::Equal(4e6), Traffic::Flat, AT_ONCE));
    world.tamper = |order| order.multiplier = ONE;
    for _ in 0..3_600 {
        world.second();
        let order = world.last.unwrap();
        assert!((world.won - order.planned.0) as f64 <= 0.01 * order.amount.0 as f64);
    }
}
