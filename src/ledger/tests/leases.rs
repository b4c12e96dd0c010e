//! Leases follow what bids cost, and no budget is leased for what it could not pay.

use super::*;

#[test]
fn an_impression_worth_many_finds_a_lease_large_enough() {
    let mut world = World::new(1_000_000, None);
    // A screen that counts a thousand: 25 times what eight of the highest bids come to.
    let cost = Nanos(8_000);
    world.bid(cost);
    assert_eq!(world.bids.len(), 0, "the first one finds too little");
    world.settle();
    world.bid(cost);
    world.bid(cost);
    assert_eq!(world.bids.len(), 2);
    let leased = world.hot.books().campaigns[&NO].outstanding();
    assert!(leased <= Nanos(2 * 8_000 + 8 * 40), "{leased}: only what two of them need");
    // Hours later such a one is news again.
    for _ in 0..600 {
        world.step(&Step::Wait { ms: 1_000 });
    }
    let mut out = Vec::new();
    world.hot.return_all(&mut out);
    world.queue.extend(out);
    world.settle();
    assert!(world.hot.books().campaigns[&NO].outstanding() <= Nanos(1_000), "0.1 %");
}

#[test]
fn what_the_budget_could_not_pay_is_not_leased_for() {
    let mut world = World::new(100_000, Some(5_000));
    world.bid(Nanos(5_001));
    world.settle();
    assert!(world.hot.books().campaigns[&NO].outstanding() <= Nanos(8 * 40));
    world.bid(Nanos(5_000));
    world.settle();
    world.bid(Nanos(5_000));
    assert_eq!(world.bids.len(), 1, "all of the day in one");
}

#[test]
fn in_a_large_catalog_nothing_waits_for_the_sweep() {
    let mut world = World::new(1_000, None);
    // The sweep comes to the one that bids last.
    (2..40_000).for_each(|no| drop(world.hot.account(CampaignNo(no))));
    (0..2).for_each(|_| world.settle());
    let outstanding = |world: &World| world.hot.books().campaigns[&NO].outstanding();
    world.bid(Nanos(100));
    world.settle();
    assert_eq!(outstanding(&world), Nanos(8 * 40));
    world.hot.set_plan(NO, Plan { zone: Zone::utc(), active: false, highest_bid: Nanos(40) });
    world.settle();
    assert_eq!(outstanding(&world), Nanos(100), "what is set aside");
    world.step(&Step::Wait { ms: LIFE.auction_ms + 2_000 });
    assert_eq!(outstanding(&world), Nanos::ZERO, "the bid's bucket ended");
}
