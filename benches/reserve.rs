//! How long a bid takes to reserve from one hot campaign: alone, and while another core does the same. And how long the
//! log's thread takes for the end of a bucket and a round of leases, in a catalog of which few campaigns bid.

use std::hint::black_box;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use criterion::{Criterion, criterion_group, criterion_main};
use gavel::clock::{Day, UnixMs, Zone};
use gavel::event::{CampaignSet, Event, Promise, Slot, Stamped};
use gavel::ids::{CampaignNo, Currency, Epoch, LeaseId, NodeId};
use gavel::ledger::bucket::{Grids, Lifetimes, Ring};
use gavel::ledger::hot::Plan;
use gavel::ledger::{Account, Books, Hot};
use gavel::money::Nanos;

const NOW: UnixMs = UnixMs(1_795_000_000_000);
const LIFE: Lifetimes = Lifetimes { auction_ms: 120_000, bill_ms: 3_600_000, sends_win: true };

/// Campaigns with more leased than a bench can reserve.
fn leased(campaigns: u32) -> (Hot, Arc<Grids>) {
    let grids = Arc::new(Grids::new(&[LIFE]));
    let mut hot = Hot::new(Books::default(), NodeId(1), grids.clone(), Promise::default());
    let started = hot.started();
    apply(&mut hot, NOW, started);
    for no in 1..=campaigns {
        let (campaign, amount, lease) = (CampaignNo(no), Nanos(i64::MAX / 4), LeaseId { epoch: Epoch(1), seq: no });
        let (id, currency) = (format!("c-{no}"), Currency::USD);
        let set = CampaignSet { campaign, id, currency, total: amount, daily: None, day: None, json: None };
        apply(&mut hot, NOW, Event::CampaignSet(set));
        apply(&mut hot, NOW, Event::LeaseGranted { campaign, lease, slot: Slot::Whole, amount });
        hot.set_plan(campaign, Plan { zone: Zone::utc(), active: true, highest_bid: Nanos(1) });
    }
    (hot, grids)
}

fn apply(hot: &mut Hot, at: UnixMs, event: Event) {
    let offset = hot.books().next;
    hot.apply(&Stamped { offset, at, event }, &mut Vec::new());
}

/// The end of the bucket of a bid made then.
fn until(grids: &Grids, at: UnixMs) -> UnixMs {
    at.plus(i64::from(grids.lifetimes(at, LIFE).0))
}

fn reserve_from(account: &Account, grids: &Grids, until: UnixMs) -> bool {
    let open = account.open(Day(20_000));
    let slot = open.as_ref().and_then(|open| open.as_deref());
    slot.is_some_and(|slot| account.try_reserve(slot, grids, Ring::Auction, black_box(until), black_box(Nanos(7))))
}

/// A second of the log's thread: a bucket ends to which 100 campaigns of all have bid; and the ticks of a second.
fn second(c: &mut Criterion) {
    for campaigns in [10_000_u32, 100_000, 1_000_000] {
        let (mut hot, grids) = leased(campaigns);
        let bidders: Vec<_> = (1..=100).map(|n| hot.account(CampaignNo(n * (campaigns / 100)))).collect();
        let mut now = NOW;
        // The looks that all ask for at first.
        (0..2_000).for_each(|round| hot.tick(NOW.plus(round * 5), &mut Vec::new()));
        now = now.plus(10_000);
        let mut time = |bucket: bool, n: u64| {
            let mut took = Duration::ZERO;
            for _ in 0..n {
                for bidder in &bidders {
                    assert!(reserve_from(bidder, &grids, until(&grids, now)));
                }
                now = now.plus(1_000);
                let started = Instant::now();
                apply(&mut hot, now, Event::StillRunning);
                let ended = started.elapsed();
                for tick in 0..200 {
                    hot.tick(now.plus(tick * 5), &mut Vec::new());
                }
                took += if bucket { ended } else { started.elapsed() - ended };
            }
            took
        };
        // Until buckets end in which something is.
        time(true, 130);
        c.bench_function(&format!("bucket_ends/{campaigns}"), |b| b.iter_custom(|n| time(true, n)));
        c.bench_function(&format!("ticks_of_a_second/{campaigns}"), |b| b.iter_custom(|n| time(false, n)));
    }
}

fn reserve(c: &mut Criterion) {
    let (mut hot, grids) = leased(1);
    let (account, until) = (hot.account(CampaignNo(1)), until(&grids, NOW));
    let bid = || reserve_from(&account, &grids, until);
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

criterion_group!(benches, reserve, second);
criterion_main!(benches);
