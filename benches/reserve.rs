//! How long a bid takes to reserve from one hot campaign: alone, and while another core does the same.

use std::hint::black_box;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use criterion::{Criterion, criterion_group, criterion_main};
use gavel::clock::{Day, UnixMs};
use gavel::event::{CampaignSet, Event, Offset, Promise, Slot, Stamped};
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
    let mut hot = Hot::new(Books::default(), NodeId(1), grids.clone(), Promise::default());
    let amount = Nanos(i64::MAX / 4);
    let lease = LeaseId { epoch: Epoch(1), seq: 1 };
    let (id, currency) = ("c-1".to_owned(), Currency::USD);
    let set = CampaignSet { campaign: NO, id, currency, total: amount, daily: None, day: None, json: None };
    let events = [
        hot.started(),
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
    two_threads(c, &bid, time);
}

/// Two cores, each with a thread that does nothing but reserve from the same campaign, for the whole bench. The figure is
/// the wall time of one thread's reserve; as the other makes as many, the campaign is reserved from twice as often, which
/// is printed. A machine with other work takes the other core away at times: such stretches do not count.
fn two_threads(c: &mut Criterion, bid: &(impl Fn() -> bool + Sync), time: impl Fn(u64) -> Duration) {
    if !pin(0) || !pin(1) {
        return println!("reserve/two_threads: left out, it needs two cores");
    }
    let (other, stop) = (Alone(AtomicU64::new(0)), AtomicBool::new(false));
    let (mut stretches, mut contended, mut both) = (0_u64, 0_u64, (0.0, 0.0));
    thread::scope(|scope| {
        scope.spawn(|| {
            pin(0);
            while !stop.load(Ordering::Relaxed) {
                for _ in 0..50 {
                    assert!(bid());
                }
                other.0.fetch_add(50, Ordering::Relaxed);
            }
        });
        c.bench_function("reserve/two_threads", |b| {
            b.iter_custom(|n| {
                let (mut made, mut took) = (0, Duration::ZERO);
                while made < n {
                    let before = other.0.load(Ordering::Relaxed);
                    let stretch = time(STRETCH);
                    let others = other.0.load(Ordering::Relaxed) - before;
                    stretches += 1;
                    assert!(stretches < 10_000 || contended > 0, "the other core is never free");
                    if (STRETCH / 2..=STRETCH * 2).contains(&others) {
                        contended += 1;
                        (made, took) = (made + STRETCH, took + stretch);
                        both.0 += (STRETCH + others) as f64;
                        both.1 += stretch.as_secs_f64();
                    }
                }
                took.mul_f64(n as f64 / made as f64)
            });
        });
        stop.store(true, Ordering::Relaxed);
    });
    println!(
        "both cores together: a reserve each {:.1} ns ({contended} of {stretches} stretches had both at work)",
        both.1 * 1e9 / both.0
    );
}

/// Reserves between two looks at the other thread: tens of microseconds, much less than a time slice.
const STRETCH: u64 = 2_000;

#[repr(align(128))]
struct Alone<T>(T);

/// Binds the calling thread to one core: else a busy machine runs both threads on the same one, by turns.
fn pin(core: usize) -> bool {
    // SAFETY: the set is plain bits, and the call only reads it.
    unsafe {
        let mut set: libc::cpu_set_t = std::mem::zeroed();
        libc::CPU_SET(core, &mut set);
        libc::sched_setaffinity(0, size_of::<libc::cpu_set_t>(), &raw const set) == 0
    }
}

criterion_group!(benches, reserve);
criterion_main!(benches);
