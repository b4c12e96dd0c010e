//! How long a bid takes to reserve from one hot campaign: alone, and with a second thread on the same counters.

use std::hint::black_box;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use criterion::{Criterion, criterion_group, criterion_main};
use gavel::clock::{Day, UnixMs};
use gavel::event::{CampaignSet, Event, Offset, Slot, Stamped};
use gavel::ids::{CampaignNo, Currency, Epoch, LeaseId, NodeId};
use gavel::ledger::bucket::{Grids, Lifetimes, Ring};
use gavel::ledger::{Account, Books, Hot};
use gavel::money::Nanos;

const NO: CampaignNo = CampaignNo(1);
const NOW: UnixMs = UnixMs(1_795_000_000_000);
const LIFE: Lifetimes = Lifetimes { auction_ms: 120_000, bill_ms: 3_600_000, sends_win: true };

/// A campaign with more leased than a bench can reserve, and the end of its bids' bucket.
fn hot() -> (Arc<Account>, Arc<Grids>, UnixMs) {
    let grids = Arc::new(Grids::new(&[LIFE]));
    let mut hot = Hot::new(Books::default(), NodeId(1), grids.clone(), 600_000);
    let amount = Nanos(i64::MAX / 4);
    let lease = LeaseId { epoch: Epoch(1), seq: 1 };
    let (id, currency) = ("c-1".to_owned(), Currency::USD);
    let set = CampaignSet { campaign: NO, id, currency, total: amount, daily: None, json: None };
    let events = [
        Event::EpochStarted { node: NodeId(1), epoch: Epoch(1) },
        Event::CampaignSet(set),
        Event::LeaseGranted { campaign: NO, lease, slot: Slot::Whole, amount },
    ];
    for (n, event) in events.into_iter().enumerate() {
        hot.apply(&Stamped { offset: Offset(n as u64), at: NOW, event }, &mut Vec::new());
    }
    let until = NOW.plus(i64::from(grids.lifetimes(NOW, LIFE).0));
    (hot.account(NO), grids, until)
}

fn reserve(c: &mut Criterion) {
    let (account, grids, until) = hot();
    let bid = || {
        let open = account.open(Day(20_000));
        let slot = open.as_ref().and_then(|open| open.as_deref());
        slot.is_some_and(|slot| account.try_reserve(slot, &grids, Ring::Auction, black_box(until), black_box(Nanos(7))))
    };
    let time = |n: u64| {
        let started = Instant::now();
        for _ in 0..n {
            assert!(bid());
        }
        started.elapsed()
    };
    c.bench_function("reserve/one_thread", |b| b.iter_custom(time));
    // The time of a reserve while another core does nothing else: with both, twice as many are made.
    c.bench_function("reserve/two_threads", |b| {
        b.iter_custom(|n| {
            let (ready, stop) = (AtomicBool::new(false), AtomicBool::new(false));
            thread::scope(|scope| {
                scope.spawn(|| {
                    while !stop.load(Ordering::Relaxed) {
                        assert!(bid());
                        ready.store(true, Ordering::Relaxed);
                    }
                });
                while !ready.load(Ordering::Relaxed) {
                    std::hint::spin_loop();
                }
                let took: Duration = time(n);
                stop.store(true, Ordering::Relaxed);
                took
            })
        });
    });
}

criterion_group!(benches, reserve);
criterion_main!(benches);
