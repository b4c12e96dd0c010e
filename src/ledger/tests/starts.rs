//! Leases of earlier starts: what those promised holds, whatever the next ones are told and however often they come.

use super::*;
use crate::event::Process;
use crate::ledger::starts::{Starting, Starts};

/// Starts anew after a crash, with a shorter life for bids than any test here waits.
fn crash_into_short_lifetimes(world: &mut World) {
    world.life = Lifetimes { auction_ms: 100, bill_ms: 100, sends_win: true };
    world.promise = Promise { billable_ms: 300 };
    world.step(&Step::Crash);
}

/// What is left of the leases of one start.
fn leased(world: &World, epoch: u32) -> Nanos {
    let leases = world.hot.books().campaigns[&NO].leases.iter();
    leases.filter(|((e, _), _)| *e == Epoch(epoch)).map(|(_, left)| *left).sum()
}

#[test]
fn shorter_lifetimes_do_not_bring_an_earlier_starts_leases_back_sooner() {
    let mut world = World::new(400, None);
    for _ in 0..2 {
        (0..5).for_each(|_| world.bid(Nanos(40)));
        world.settle();
    }
    assert_eq!(world.bids.len(), 10, "all of the budget");
    (0..10).for_each(|i| world.queue.push_back(notice(NoticeKind::Win, world.bids[i], 40)));
    world.settle();
    crash_into_short_lifetimes(&mut world);
    world.step(&Step::Wait { ms: 5_000 });
    // What the old lifetimes still allow to be billed must not be bid again.
    world.bid(Nanos(1));
    assert_eq!((world.bids.len(), world.hot.view(NO).unwrap().withheld), (10, Nanos(400)));
    (0..10).for_each(|i| world.queue.push_back(notice(NoticeKind::Bill, world.bids[i], 40)));
    world.settle();
    let view = world.hot.view(NO).unwrap();
    assert_eq!((view.spent, view.late, view.overspend), (Nanos(400), Nanos::ZERO, Nanos::ZERO));
}

#[test]
fn a_longer_grace_holds_for_earlier_starts_too() {
    let mut world = World::new(1_000, None);
    world.bid(Nanos(10));
    world.settle();
    world.promise.billable_ms = 4 * PROMISE.billable_ms;
    world.step(&Step::Crash);
    world.step(&Step::Wait { ms: 3 * PROMISE.billable_ms });
    assert!(world.hot.view(NO).unwrap().withheld >= Nanos(10));
    world.step(&Step::Wait { ms: PROMISE.billable_ms });
    assert_eq!(world.hot.view(NO).unwrap().withheld, Nanos::ZERO);
}

#[test]
fn a_start_goes_on_waiting_where_the_one_before_ended() {
    let mut world = World::new(100_000, None);
    world.bid(Nanos(10));
    world.settle();
    for start in 2..=4 {
        world.step(&Step::Crash);
        assert_eq!(world.hot.epoch(), Epoch(start));
        assert!(leased(&world, 1) >= Nanos(10), "start {start}");
        // A third of the interval each; and in between the wall clock is put forward by an hour, which counts for nothing.
        world.step(&Step::Wait { ms: PROMISE.billable_ms / 3 });
        world.bid(Nanos(1));
        world.settle();
        world.now = world.now.plus(if start < 4 { 3_600_000 } else { 0 });
    }
    assert_eq!(leased(&world, 1), Nanos::ZERO);
    assert!((2..=3).all(|start| leased(&world, start) > Nanos::ZERO), "their interval is not over");
    let view = world.hot.view(NO).unwrap();
    assert!(view.withheld_ms > 0 && view.withheld_ms <= PROMISE.billable_ms, "{view:?}");
    world.step(&Step::Wait { ms: view.withheld_ms - 1_000 });
    assert!(world.hot.view(NO).unwrap().withheld > Nanos::ZERO);
    world.step(&Step::Wait { ms: 1_000 });
    let view = world.hot.view(NO).unwrap();
    assert_eq!((view.withheld, view.withheld_ms), (Nanos::ZERO, 0));
}

#[test]
fn the_log_shows_that_a_start_still_runs_only_while_something_waits_for_it() {
    let running = |world: &mut World| {
        let from = world.next;
        for _ in 0..40 {
            world.step(&Step::Wait { ms: 1_000 });
        }
        world.next - from
    };
    let mut world = World::new(1_000, None);
    assert_eq!(running(&mut world), 0);
    world.bid(Nanos(10));
    world.settle();
    world.step(&Step::Crash);
    // 15 seconds at one event in 5, and what comes back.
    let events = running(&mut world);
    assert!((3..=6).contains(&events), "{events}");
    assert_eq!(world.hot.view(NO).unwrap().withheld, Nanos::ZERO);
}

const DAY_MS: i64 = 86_400_000;
const TOKEN_MS: i64 = 600_000;

impl World {
    /// What is forgotten now, as a minute before which all is.
    fn forget(&mut self) -> Option<u32> {
        let mut out = Vec::new();
        assert!(self.hot.forget_older(TOKEN_MS, &mut out));
        self.queue.extend(out.clone());
        self.settle();
        match out[..] {
            [] => None,
            [Event::ReservationsForgotten { before }] => Some(before),
            _ => panic!("{out:?}"),
        }
    }
}

#[test]
fn a_clock_that_is_days_ahead_makes_no_bid_old() {
    let mut world = World::new(1_000, None);
    (0..2).for_each(|_| world.bid(Nanos(10)));
    world.settle();
    let bids = world.bids.clone();
    world.now = world.now.plus(3 * DAY_MS);
    world.step(&Step::Crash);
    assert_eq!(world.forget(), None, "seconds ago, for all that anybody knows");
    let skipped_ms = world.hot.books().starts.skipped_ms();
    assert!((3 * DAY_MS..3 * DAY_MS + 1_000).contains(&skipped_ms[&Epoch(1)]), "{skipped_ms:?}");
    assert_eq!(skipped_ms[&Epoch(2)], 0);
    for _ in 0..2 {
        world.queue.push_back(notice(NoticeKind::Bill, bids[0], 10));
        world.settle();
        assert_eq!(world.hot.view(NO).unwrap().spent, Nanos(10), "booked, and once");
    }
    // The first half of a token's life in this start, the second in the next, a day later by the clock.
    world.step(&Step::Wait { ms: TOKEN_MS / 2 });
    world.bid(Nanos(10));
    world.settle();
    let of_second = world.bids.last().unwrap().bid_at;
    world.now = world.now.plus(DAY_MS);
    world.step(&Step::Crash);
    assert!(world.hot.books().starts.skipped_ms()[&Epoch(1)] > 4 * DAY_MS - 1_000);
    world.step(&Step::Wait { ms: TOKEN_MS / 2 });
    let before = world.forget().expect("the first start's bids are that old");
    assert!(bids[1].bid_at.minutes() < before && before <= of_second.minutes(), "{before}");
    world.queue.push_back(notice(NoticeKind::Bill, bids[1], 10));
    world.settle();
    assert_eq!(world.hot.view(NO).unwrap().spent, Nanos(10), "forgotten");
    world.step(&Step::Wait { ms: TOKEN_MS });
    assert!(world.forget().unwrap() > of_second.minutes());
    world.step(&Step::Crash);
    assert_eq!(world.hot.books().starts.known.len(), 2, "starts whose bids are forgotten are too");
}

#[test]
fn a_start_that_the_books_do_not_know_may_have_promised_the_longest() {
    let mut starts = Starts { at: START, ..Starts::default() };
    let (epoch, node, process, promise) = (Epoch(2), NodeId(1), Process::ALONE, PROMISE);
    starts.begin(Starting { epoch, node, process, promise }, START.0, |_| true, 0);
    let until = starts.reclaim_at(Epoch(1), PROMISE.billable_ms);
    assert_eq!(until.since(START), Promise::UNKNOWN.billable_ms + 1);
}
