//! Every interleaving, and every value that a relaxed load may see, of bids with the thread that applies the log.
//!
//! loom runs each model again and again, each time in another order, on the ledger's own code: bids go through
//! `Account`, the log's thread through `Hot`. It takes the place of the atomics only; the pointer to the open slot and
//! the making of rings and marks stay the standard library's and are done before the threads start.
//!
//! `cargo test --features loom --test loom -- --nocapture` prints how many interleavings there were. A model with a
//! bound on preemptions says so; `LOOM_MAX_PREEMPTIONS` overrides it.

mod world;

use std::collections::HashSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use gavel::clock::UnixMs;
use gavel::event::NoticeKind;
use gavel::ids::{CampaignNo, Epoch, NodeId};
use gavel::ledger::marks::Marks;
use gavel::ledger::sequence::{SeqRange, Sequencer};
use loom::sync::mpsc;
use loom::thread;
use world::{START, World, until};

/// Runs `model` in every order with at most `preemptions` switches away from a thread that could go on.
fn explore(name: &str, preemptions: Option<usize>, model: fn()) {
    let mut builder = loom::model::Builder::new();
    builder.preemption_bound = builder.preemption_bound.or(preemptions);
    builder.max_branches = 10_000;
    let bound = builder.preemption_bound.map_or("all".to_owned(), |n| format!("at most {n} preemptions"));
    let count = Arc::new(AtomicUsize::new(0));
    let counted = count.clone();
    let started = std::time::Instant::now();
    builder.check(move || {
        counted.fetch_add(1, Ordering::Relaxed);
        model();
    });
    println!("{name}: {} interleavings ({bound}) in {:.1?}", count.load(Ordering::Relaxed), started.elapsed());
}

#[test]
fn two_bidders_and_an_expiry() {
    explore("two bidders and an expiry", Some(3), || {
        let mut world = World::new(10);
        assert!(world.bidder().bid(4));
        // Both aim at the bucket that is given back meanwhile.
        let (a, b) = (world.bid_in_thread(6), world.bid_in_thread(4));
        world.idle_until(until());
        let reserved = [(a, 6), (b, 4)].map(|(bid, cost)| if bid.join().unwrap() { cost } else { 0 });
        let (available, still, _) = world.check();
        assert_eq!(available + still, 10);
        // A bid that was overtaken by the expiry stays set aside: its bucket's cell comes round again.
        assert!(still <= reserved.iter().sum(), "{still} of {reserved:?}");
        world.end(0);
    });
}

#[test]
fn bidders_while_a_win_moves_to_the_bill_ring_and_is_billed() {
    explore("two bidders, a win and its bill", None, || {
        let mut world = World::new(10);
        assert!(world.bidder().bid(4));
        let (a, b) = (world.bid_in_thread(6), world.bid_in_thread(1));
        world.notice(NoticeKind::Win, 0, 4, START);
        world.notice(NoticeKind::Bill, 0, 3, START);
        // What the bill did not take is worth one bid more.
        let reserved = [(a, 6), (b, 1)].map(|(bid, cost)| if bid.join().unwrap() { cost } else { 0 });
        assert_eq!(world.check(), (7 - reserved.iter().sum::<i64>(), reserved.iter().sum(), 3));
        world.end(3);
    });
}

#[test]
fn a_won_bid_expires_beside_a_bidder() {
    explore("a bidder, a win and the end of its bill bucket", None, || {
        let mut world = World::new(10);
        assert!(world.bidder().bid(4));
        let bid = world.bid_in_thread(7);
        world.notice(NoticeKind::Win, 0, 4, START);
        world.idle_until(world::bill_until());
        bid.join().unwrap();
        world.check();
        // Too late: comes out of what is not leased.
        world.notice(NoticeKind::Bill, 0, 4, world::bill_until());
        world.end(0);
    });
}

#[test]
fn bidders_and_a_void() {
    explore("two bidders and the void of what one of them bid", None, || {
        let mut world = World::new(10);
        let (bidder, (sent, notices)) = (world.bidder(), mpsc::channel());
        let a = thread::spawn(move || {
            let won = bidder.bid(6);
            sent.send(won).unwrap();
        });
        let b = world.bid_in_thread(6);
        if notices.recv().unwrap() {
            world.notice(NoticeKind::Loss, 0, 6, START);
            world.notice(NoticeKind::Loss, 0, 6, START);
        }
        a.join().unwrap();
        let reserved = if b.join().unwrap() { 6 } else { 0 };
        assert_eq!(world.check(), (10 - reserved, reserved, 0));
        world.end(0);
    });
}

#[test]
fn two_bidders_a_grant_and_a_take_back() {
    explore("two bidders, a grant and a take-back", Some(3), || {
        let mut world = World::new(10);
        world.set_budget(15);
        let (a, b) = (world.bid_in_thread(6), world.bid_in_thread(6));
        world.grant(5);
        // What is promised above the new budget is taken out of what is available.
        world.set_budget(8);
        let reserved = [a, b].map(|bid| if bid.join().unwrap() { 6 } else { 0 }).iter().sum();
        let (available, still, _) = world.check();
        assert_eq!((available + still, still), (world.outstanding(), reserved));
        assert!(reserved <= 15 && (8..=15).contains(&world.outstanding()));
        world.end(0);
    });
}

#[test]
fn a_grant_above_the_budget_is_never_there_to_bid_from() {
    explore("a bidder and a grant that comes after a cut", None, || {
        let mut world = World::new(10);
        assert!(world.bidder().bid(7));
        world.set_budget(9);
        let bid = world.bid_in_thread(3);
        world.grant(5);
        assert!(!bid.join().unwrap());
        assert_eq!(world.check(), (2, 7, 0));
        world.end(0);
    });
}

#[test]
fn a_look_at_the_lease_never_sees_too_much() {
    // It reads every bucket: debug assertions in `Hot` compare what it sees with what was leased.
    explore("two bidders and a look at the lease", Some(3), || {
        let mut world = World::new(10);
        let (a, b) = (world.bid_in_thread(3), world.bid_in_thread(4));
        world.look_after_lease();
        assert!(a.join().unwrap() && b.join().unwrap());
        assert_eq!(world.check(), (3, 7, 0));
        world.end(0);
    });
}

#[test]
fn a_campaign_that_bids_asked_for_is_taken() {
    explore("two that ask and one that takes", None, || {
        let wanted = Arc::new(Marks::default());
        let mut taken = Vec::new();
        wanted.put(CampaignNo(0));
        wanted.take(1, &mut taken);
        let ask = |no| {
            let wanted = wanted.clone();
            thread::spawn(move || wanted.put(CampaignNo(no)))
        };
        let asking = [ask(3), ask(70)];
        wanted.take(10, &mut taken);
        asking.into_iter().for_each(|a| a.join().unwrap());
        wanted.take(10, &mut taken);
        taken.sort_unstable();
        assert_eq!(taken, [0, 3, 70].map(CampaignNo));
    });
}

#[test]
fn numbers_are_unique_over_the_turn_of_a_minute() {
    explore("three workers and the turn of a minute", Some(3), || {
        let sequencer = Arc::new(Sequencer::new(NodeId(1), Epoch(1)));
        let worker = |minutes: [i64; 2]| {
            let sequencer = sequencer.clone();
            move || {
                let mut range = SeqRange::default();
                minutes.map(|minute| sequencer.next(&mut range, UnixMs(minute * 60_000)).unwrap())
            }
        };
        let others = [thread::spawn(worker([7, 8])), thread::spawn(worker([8, 7]))];
        let mut ids = worker([7, 7])().to_vec();
        ids.extend(others.into_iter().flat_map(|o| o.join().unwrap()));
        assert_eq!(ids.iter().collect::<HashSet<_>>().len(), 6);
    });
}
