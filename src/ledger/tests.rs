//! The ledger against a reference model: random bids, notices, time, budget edits and crashes.

mod fleet;
mod leases;
mod reference;
mod starts;

use std::collections::{HashMap, HashSet, VecDeque};
use std::sync::Arc;

use proptest::prelude::*;

use self::reference::Reference;
use super::bucket::{Grids, Lifetimes};
use super::fold::tests::{START, facts, notice, set};
use super::invariants;
use super::{Books, Hot, fold};
use crate::clock::{Day, UnixMs, Zone};
use crate::event::{Event, Facts, Notice, NoticeKind, Offset, PriceClaim, Promise, Slot, Stamped};
use crate::ids::{CampaignNo, Epoch, LeaseId, NodeId, ReservationId};
use crate::ledger::hot::{AccountView, Plan};
use crate::money::Nanos;

const NO: CampaignNo = CampaignNo(1);
const LIFE: Lifetimes = Lifetimes { auction_ms: 2_000, bill_ms: 10_000, sends_win: true };
const PROMISE: Promise = Promise { billable_ms: 15_000 };

#[derive(Clone, Debug)]
enum Step {
    Bid {
        cost: i64,
    },
    Notice {
        kind: NoticeKind,
        which: prop::sample::Index,
        part: u8,
    },
    Wait {
        ms: i64,
    },
    Budget {
        total: i64,
        daily: Option<i64>,
    },
    /// Events that were not durable yet are lost, and the node starts again from what its log says.
    Crash,
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let kind = prop_oneof![Just(NoticeKind::Win), Just(NoticeKind::Bill), Just(NoticeKind::Loss)];
    let budget = (100i64..5_000, proptest::option::of(50i64..3_000));
    let step = prop_oneof![
        8 => (1i64..40).prop_map(|cost| Step::Bid { cost }),
        8 => (kind, any::<prop::sample::Index>(), 0u8..=10).prop_map(|(kind, which, part)| Step::Notice { kind, which, part }),
        4 => (1i64..4_000).prop_map(|ms| Step::Wait { ms }),
        1 => (8_000i64..40_000).prop_map(|ms| Step::Wait { ms }),
        1 => Just(Step::Wait { ms: 86_400_000 }),
        1 => budget.prop_map(|(total, daily)| Step::Budget { total, daily }),
        1 => Just(Step::Crash),
    ];
    proptest::collection::vec(step, 1..150)
}

/// One node, its log, and what the world outside knows.
struct World {
    /// Of the next start.
    life: Lifetimes,
    promise: Promise,
    hot: Hot,
    grids: Arc<Grids>,
    books: Books,
    now: UnixMs,
    queue: VecDeque<Event>,
    next: u64,
    seq: u32,
    bids: Vec<Facts>,
    leases: HashSet<LeaseId>,
    reference: Reference,
    /// The most that the budget ever was.
    highest: Nanos,
}

impl World {
    fn new(total: i64, daily: Option<i64>) -> World {
        let mut world = World {
            life: LIFE,
            promise: PROMISE,
            hot: Hot::new(Books::default(), NodeId(1), Arc::new(Grids::new(&[LIFE])), PROMISE),
            grids: Arc::new(Grids::new(&[LIFE])),
            books: Books::default(),
            now: START,
            queue: VecDeque::new(),
            next: 0,
            seq: 0,
            bids: Vec::new(),
            leases: HashSet::new(),
            reference: Reference::default(),
            highest: Nanos::ZERO,
        };
        world.queue.push_back(set(total, daily));
        world.start();
        world
    }

    fn start(&mut self) {
        self.grids = Arc::new(Grids::new(&[self.life]));
        self.hot = Hot::new(self.books.clone(), NodeId(1), self.grids.clone(), self.promise);
        self.hot.set_plan(NO, Plan { zone: Zone::utc(), active: true, highest_bid: Nanos(40) });
        self.queue.push_front(self.hot.started());
        self.settle();
    }

    /// Makes everything queued durable and applies it, as the log's thread would.
    fn settle(&mut self) {
        for _ in 0..8 {
            // Two ticks before their events are durable: what the first asked for is still on its way at the second.
            let mut out = Vec::new();
            for _ in 0..2 {
                self.hot.tick(self.now, &mut out);
                self.now = self.now.plus(10);
            }
            // As the log promises its follower: before anything that was not applied by then.
            out.into_iter().rev().for_each(|event| self.queue.push_front(event));
            while let Some(event) = self.queue.pop_front() {
                let stamped = Stamped { offset: Offset(self.next), at: self.now, event };
                self.next += 1;
                let mut out = Vec::new();
                let mine = self.hot.apply(&stamped, &mut out);
                assert_eq!(fold(&mut self.books, &stamped), mine);
                self.queue.extend(out);
                self.check(&stamped);
            }
        }
    }

    fn check(&mut self, stamped: &Stamped) {
        if let Event::LeaseGranted { lease, .. } = &stamped.event {
            assert!(self.leases.insert(*lease), "{lease:?} twice");
        }
        self.reference.apply(stamped);
        let Some(book) = self.hot.books().campaigns.get(&NO) else { return };
        invariants::book(book).unwrap();
        self.highest = self.highest.max(book.total);
        assert!(book.over_at_set <= self.highest - book.total, "{book:?}");
        self.reference.agrees(&self.hot.view(NO).unwrap(), self.hot.epoch());
    }

    fn bid(&mut self, cost: Nanos) {
        let day = Zone::utc().local_hour(self.now).day;
        let account = self.hot.account(NO);
        let Some(open) = account.open(day) else { return };
        let Some(slot) = open.as_deref() else { return };
        let (auction_ms, bill_ms) = self.grids.lifetimes(self.now, self.life);
        let reservation =
            ReservationId { epoch: self.hot.epoch(), bucket: self.now.minutes(), seq: self.seq, node: NodeId(1) };
        self.seq += 1;
        let daily = slot.slot != Slot::Whole;
        let facts =
            Facts { reservation, day, daily, bid_at: self.now, auction_ms, bill_ms, reserved: cost, ..facts(0) };
        if account.try_reserve(slot, &self.grids, Grids::first_ring(&facts), facts.auction_until(), cost) {
            let view = self.hot.view(NO).unwrap();
            // Whatever came late or was cut: the bid is covered by what the budget is now.
            assert!(view.spent + view.reserved + view.withheld <= view.budget, "{view:?}");
            self.reference.bid(facts);
            self.bids.push(facts);
            self.queue.push_back(Event::Bid(facts));
        }
    }

    fn step(&mut self, step: &Step) {
        match step {
            Step::Bid { cost } => self.bid(Nanos(*cost)),
            Step::Notice { kind, which, part } if !self.bids.is_empty() => {
                let facts = self.bids[which.index(self.bids.len())];
                self.queue.push_back(notice(*kind, facts, facts.reserved.0 * i64::from(*part) / 10));
            }
            Step::Notice { .. } => {}
            Step::Wait { ms } => self.now = self.now.plus(*ms),
            Step::Budget { total, daily } => {
                self.queue.push_back(set(*total, *daily));
            }
            Step::Crash => {
                self.queue.clear();
                return self.start();
            }
        }
        self.settle();
    }

    /// Lets every lifetime pass: then nothing is set aside or withheld any more.
    fn end(&mut self) {
        for _ in 0..4 {
            self.now = self.now.plus(PROMISE.billable_ms);
            self.settle();
        }
        let view = self.hot.view(NO).unwrap();
        assert_eq!((view.reserved, view.withheld), (Nanos::ZERO, Nanos::ZERO));
        assert_eq!(self.hot.books(), &{
            let mut same = self.books.clone();
            same.dirty = self.hot.books().dirty.clone();
            same
        });
        let mut out = Vec::new();
        self.hot.return_all(&mut out);
        self.queue.extend(out);
        self.settle();
        assert_eq!(self.hot.books().campaigns[&NO].outstanding(), Nanos::ZERO);
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, failure_persistence: None, ..ProptestConfig::default() })]
    #[test]
    fn money_is_exact_whatever_happens(total in 100i64..5_000, daily in proptest::option::of(50i64..3_000), steps in steps()) {
        plays(total, daily, &steps);
    }
}

fn plays(total: i64, daily: Option<i64>, steps: &[Step]) {
    let mut world = World::new(total, daily);
    steps.iter().for_each(|step| world.step(step));
    world.end();
}

#[test]
fn one_bid_of_which_nothing_is_heard_leaves_nothing_behind() {
    plays(100, None, &[Step::Bid { cost: 1 }]);
}

#[test]
fn a_budget_is_spent_to_its_end_and_not_beyond() {
    let mut world = World::new(100, None);
    for _ in 0..20 {
        world.bid(Nanos(7));
    }
    world.settle();
    assert_eq!(world.bids.len(), 14);
    for facts in world.bids.clone() {
        world.queue.push_back(notice(NoticeKind::Bill, facts, 7));
    }
    world.settle();
    let view = world.hot.view(NO).unwrap();
    assert_eq!((view.spent, view.late, view.reserved, view.available), (Nanos(98), Nanos(0), Nanos(0), Nanos(2)));
}

#[test]
fn a_lowered_budget_stops_at_once_and_a_raised_one_resumes() {
    let mut world = World::new(1_000, None);
    world.bid(Nanos(100));
    world.settle();
    let bids = world.bids.len();
    assert_eq!(bids, 1);
    world.step(&Step::Budget { total: 50, daily: None });
    world.bid(Nanos(1));
    assert_eq!(world.bids.len(), bids);
    world.step(&Step::Budget { total: 1_000, daily: None });
    world.bid(Nanos(1));
    assert_eq!(world.bids.len(), bids + 1);
}

#[test]
fn money_that_comes_back_above_a_cut_budget_is_not_bid_again() {
    let mut world = World::new(100, None);
    (0..10).for_each(|_| world.bid(Nanos(10)));
    world.settle();
    assert_eq!(world.bids.len(), 10);
    world.step(&Step::Budget { total: 50, daily: None });
    // Lost, billed below the bid, and expired: three ways back.
    world.queue.push_back(notice(NoticeKind::Loss, world.bids[0], 0));
    world.queue.push_back(notice(NoticeKind::Bill, world.bids[1], 4));
    world.settle();
    assert_eq!(world.hot.books().campaigns[&NO].outstanding(), Nanos(80));
    world.bid(Nanos(1));
    assert_eq!(world.bids.len(), 10);
    world.step(&Step::Wait { ms: 5_000 });
    let view = world.hot.view(NO).unwrap();
    assert_eq!((view.spent, view.reserved, view.available), (Nanos(4), Nanos(0), Nanos(46)));
    (0..60).for_each(|_| world.bid(Nanos(1)));
    assert_eq!(world.bids.len(), 10 + 46);
}

#[test]
fn what_comes_back_after_a_budget_was_lowered_below_what_is_spent_is_not_bid_again() {
    let mut world = World::new(1_000, None);
    (0..4).for_each(|_| world.bid(Nanos(50)));
    world.queue.push_back(notice(NoticeKind::Bill, world.bids[0], 40));
    world.settle();
    world.step(&Step::Budget { total: 30, daily: None });
    world.queue.push_back(notice(NoticeKind::Loss, world.bids[1], 0));
    world.queue.push_back(notice(NoticeKind::Bill, world.bids[2], 20));
    world.step(&Step::Wait { ms: 5_000 });
    let bids = world.bids.len();
    world.bid(Nanos(1));
    assert_eq!(world.bids.len(), bids);
    assert_eq!(world.hot.books().campaigns[&NO].outstanding(), Nanos::ZERO, "all of it is returned");
}

#[test]
fn a_daily_cap_set_while_bids_are_open_counts_them() {
    let mut world = World::new(1_000, None);
    (0..5).for_each(|_| world.bid(Nanos(10)));
    world.settle();
    assert_eq!(world.bids.len(), 5);
    world.step(&Step::Budget { total: 1_000, daily: Some(70) });
    world.step(&Step::Wait { ms: 200 });
    (0..20).for_each(|_| world.bid(Nanos(10)));
    assert_eq!(world.bids.len(), 7, "what is left of the day");
    // Taken away and set again, it is still the same day.
    world.step(&Step::Budget { total: 1_000, daily: None });
    world.step(&Step::Wait { ms: 200 });
    world.bid(Nanos(10));
    world.step(&Step::Budget { total: 1_000, daily: Some(80) });
    world.step(&Step::Wait { ms: 200 });
    (0..20).for_each(|_| world.bid(Nanos(10)));
    assert_eq!(world.bids.len(), 8);
}

#[test]
fn a_lease_is_a_small_part_of_the_day_it_is_for() {
    let mut world = World::new(1_000_000, Some(5_000));
    world.bid(Nanos(1));
    world.settle();
    assert_eq!(world.bids.len(), 1);
    let leased = world.hot.books().campaigns[&NO].outstanding();
    assert!(leased <= Nanos(8 * 40), "{leased}: eight of the highest bids");
}

#[test]
fn after_a_crash_the_lease_is_withheld_until_no_bill_can_come() {
    let mut world = World::new(1_000, None);
    world.bid(Nanos(10));
    world.settle();
    let facts = world.bids[0];
    world.step(&Step::Crash);
    let withheld = world.hot.view(NO).unwrap().withheld;
    assert!(withheld >= Nanos(10));
    // A bill for a bid of the earlier start is drawn from what is withheld.
    world.queue.push_back(notice(NoticeKind::Bill, facts, 10));
    world.settle();
    let view = world.hot.view(NO).unwrap();
    assert_eq!((view.spent, view.late, view.withheld), (Nanos(10), Nanos(0), withheld - Nanos(10)));
    world.step(&Step::Wait { ms: PROMISE.billable_ms - 2_000 });
    assert_eq!(world.hot.view(NO).unwrap().withheld, withheld - Nanos(10));
    world.step(&Step::Wait { ms: 2_000 });
    assert_eq!(world.hot.view(NO).unwrap().withheld, Nanos::ZERO);
}

#[test]
fn nothing_is_leased_before_the_start_is_in_the_log() {
    let mut books = Books::default();
    fold(&mut books, &Stamped { offset: Offset(0), at: START, event: set(1_000, None) });
    let mut hot = Hot::new(books, NodeId(1), Arc::new(Grids::new(&[LIFE])), PROMISE);
    hot.set_plan(NO, Plan { zone: Zone::utc(), active: true, highest_bid: Nanos(40) });
    let mut out = Vec::new();
    // After a crash at this point the next start would have the same number, and take these leases for its own.
    hot.tick(START, &mut out);
    hot.look_after_lease_now(NO, &mut out);
    assert_eq!(out, []);
    let event = hot.started();
    hot.apply(&Stamped { offset: Offset(1), at: START, event }, &mut out);
    hot.tick(START.plus(10), &mut out);
    assert!(matches!(out[..], [Event::LeaseGranted { .. }]), "{out:?}");
}

#[test]
fn bids_reserve_from_the_slot_that_the_budget_is_for() {
    let slot_of = |world: &mut World| {
        let day = Zone::utc().local_hour(world.now).day;
        let account = world.hot.account(NO);
        account.open(day).and_then(|open| open.as_deref().map(|slot| slot.slot))
    };
    let today = Slot::Day(Zone::utc().local_hour(START).day);
    let mut world = World::new(200, None);
    (0..8).for_each(|_| world.bid(Nanos(10)));
    world.settle();
    // A daily cap with nothing left: money that comes back to the whole budget's lease must not be bid again.
    world.step(&Step::Budget { total: 200, daily: Some(0) });
    assert_eq!(slot_of(&mut world), None);
    world.step(&Step::Budget { total: 200, daily: Some(200) });
    assert_eq!(slot_of(&mut world), Some(today));
    (0..12).for_each(|_| world.bid(Nanos(10)));
    world.settle();
    assert_eq!(world.bids.len(), 20);
    // The cap is gone while everything is set aside: what comes back to the whole budget's lease can be bid.
    world.step(&Step::Budget { total: 200, daily: None });
    assert_eq!(slot_of(&mut world), Some(Slot::Whole));
}

#[test]
fn a_lease_that_the_log_refused_is_asked_for_again() {
    let mut world = World::new(1_000, None);
    let ask = |world: &mut World| {
        let mut out = Vec::new();
        world.hot.look_after_lease_now(NO, &mut out);
        out
    };
    let plan = |active| Plan { zone: Zone::utc(), active, highest_bid: Nanos(40) };
    world.hot.set_plan(NO, plan(false));
    let returned = ask(&mut world);
    assert!(matches!(returned[..], [Event::LeaseReturned { .. }]), "{returned:?}");
    world.hot.refused(&returned);
    assert_eq!(ask(&mut world), returned);
    world.queue.extend(returned);
    world.settle();
    world.hot.set_plan(NO, plan(true));
    let granted = ask(&mut world);
    assert!(matches!(granted[..], [Event::LeaseGranted { .. }]), "{granted:?}");
    assert_eq!(ask(&mut world), []);
    world.hot.refused(&granted);
    assert_eq!(ask(&mut world).len(), 1);
}
