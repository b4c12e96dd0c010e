//! How fast is the event log: events per second flat out, time from append to durable at a given rate, and the scan at
//! open. A plain harness: each question is one long run, not many short ones.
//!
//! `cargo bench --bench log [-- DIR]` writes about 2 GiB below DIR (default: the system's temporary directory).

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use gavel::clock::{Day, SystemClock, UnixMs};
use gavel::event::{Event, Facts, Offset, Stamped};
use gavel::eventlog::{AppendError, DirStorage, EventLog, Follower, LogConfig, SegmentLog};
use gavel::ids::{CampaignNo, Currency, Epoch, NodeId, ReservationId};
use gavel::money::{Nanos, Quantity, Rate};
use hdrhistogram::Histogram;

struct Idle;

impl Follower for Idle {
    fn apply(&mut self, _: &Stamped, _: &mut Vec<Event>) {}
    fn tick(&mut self, _: UnixMs, _: &mut Vec<Event>) {}
}

fn bid(seq: u32) -> Event {
    Event::Bid(Facts {
        reservation: ReservationId { node: NodeId(1), epoch: Epoch(2), bucket: 29_000_000, seq },
        campaign: CampaignNo(seq % 1000),
        lease_seq: seq / 1000,
        day: Day(20_000),
        daily: true,
        creative: 1,
        exchange: 0x1234_5678,
        bid_at: UnixMs(1_700_000_000_000),
        auction_ms: 120_000,
        bill_ms: 3_600_000,
        reserved: Nanos(2_500_000),
        price: Nanos(2_304_147),
        currency: Currency::USD,
        campaign_currency: Currency::USD,
        rate: Rate::USD,
        campaign_rate: Rate::USD,
        quantity: Quantity::ONE,
        user: 99,
        spend_on_win: false,
        test: false,
        model: 0,
    })
}

fn open(dir: &Path, lanes: usize) -> SegmentLog {
    let storage = Arc::new(DirStorage::new(dir).expect("a directory"));
    let clock = SystemClock::start();
    let config = LogConfig { lanes, ..LogConfig::default() };
    let opened = SegmentLog::open(storage, config, &mut |_, _| {}).expect("the log opens");
    opened.start(Box::new(move || clock.now()), Box::new(Idle), Box::new(|why| panic!("{why}"))).expect("it starts")
}

fn flat_out(dir: &Path, events: u32) {
    let log = open(dir, 1);
    let started = Instant::now();
    for n in 0..events {
        while let Err(why) = log.append(0, &bid(n)) {
            assert_eq!(why, AppendError::Busy);
            thread::sleep(Duration::from_micros(50));
        }
    }
    log.close().expect("it closes");
    let took = started.elapsed().as_secs_f64();
    let stats = log.stats();
    let (bytes, syncs) = (stats.bytes.load(Ordering::Relaxed), stats.syncs.load(Ordering::Relaxed));
    println!(
        "flat out: {:.2} million events/s, {:.0} MB/s, {} B an event, {syncs} syncs of {} us",
        f64::from(events) / took / 1e6,
        bytes as f64 / took / 1e6,
        bytes / u64::from(events),
        stats.sync_sum_us.load(Ordering::Relaxed) / syncs.max(1),
    );
}

fn scan(dir: &Path) {
    for run in ["first", "second"] {
        let started = Instant::now();
        let storage = Arc::new(DirStorage::new(dir).expect("a directory"));
        let opened = SegmentLog::open(storage, LogConfig::default(), &mut |_, _| {}).expect("the log opens");
        let scanned = started.elapsed();
        let mut reader = opened.read(Offset(0)).expect("a reader");
        let started = Instant::now();
        let mut events = 0_u64;
        while reader.next_event().expect("a whole log").is_some() {
            events += 1;
        }
        let (scanned, read) = (scanned.as_secs_f64(), started.elapsed().as_secs_f64());
        let rate = |seconds: f64| events as f64 / seconds / 1e6;
        println!(
            "{run} scan of {events} events: {scanned:.2} s ({:.1} million/s); reading them all: {read:.2} s ({:.1} million/s)",
            rate(scanned),
            rate(read)
        );
    }
}

/// What the disk itself takes: write 512 bytes into a file of zeros, sync, again.
fn bare_sync(dir: &Path) {
    use std::os::unix::fs::FileExt;
    let file = std::fs::File::create(dir.join("bare")).expect("a file");
    let mut histogram = Histogram::<u64>::new(3).expect("three digits");
    file.write_all_at(&vec![0; 16 << 20], 0).and_then(|()| file.sync_all()).expect("space");
    for n in 0..5_000 {
        let started = Instant::now();
        file.write_all_at(&[7; 512], n * 512).and_then(|()| file.sync_data()).expect("a sync");
        histogram.record(started.elapsed().as_micros() as u64).expect("it grows");
    }
    let at = |q: f64| histogram.value_at_quantile(q);
    println!("bare write and sync: p50 {} us, p90 {}, p99 {}, p99.9 {}", at(0.5), at(0.9), at(0.99), at(0.999));
}

/// `rate` events a second that nobody waits for, and beside them one after the other that is waited for and measured.
fn paced(dir: &Path, rate: u32, seconds: u32) {
    let log = Arc::new(open(dir, 2));
    // The next segment is prepared at the start: the steady state is what counts.
    thread::sleep(Duration::from_millis(500));
    let stop = Arc::new(AtomicBool::new(false));
    let background = {
        let (log, stop) = (log.clone(), stop.clone());
        thread::spawn(move || {
            let (started, mut n) = (Instant::now(), 0_u32);
            while !stop.load(Ordering::Relaxed) {
                let due = (started.elapsed().as_secs_f64() * f64::from(rate)) as u32;
                while n < due {
                    log.append(0, &bid(n)).expect("room");
                    n += 1;
                }
                thread::sleep(Duration::from_micros(50));
            }
        })
    };
    let mut histogram = Histogram::<u64>::new(3).expect("three digits");
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().expect("a runtime");
    let started = Instant::now();
    while started.elapsed() < Duration::from_secs(u64::from(seconds)) {
        let appended = Instant::now();
        runtime.block_on(log.append_durable(1, &[bid(0)])).expect("durable");
        histogram.record(appended.elapsed().as_micros() as u64).expect("it grows");
        thread::sleep(Duration::from_micros(300));
    }
    stop.store(true, Ordering::Relaxed);
    background.join().expect("the producer ends");
    log.close().expect("it closes");
    let at = |q: f64| histogram.value_at_quantile(q);
    println!(
        "append to durable beside {rate} events/s: p50 {} us, p90 {}, p99 {}, p99.9 {}, max {} ({} measured, {} syncs)",
        at(0.5),
        at(0.9),
        at(0.99),
        at(0.999),
        histogram.max(),
        histogram.len(),
        log.stats().syncs.load(Ordering::Relaxed),
    );
}

fn main() {
    // Cargo passes flags of its own.
    let below = std::env::args().skip(1).find(|a| !a.starts_with('-'));
    let base = below.map_or_else(std::env::temp_dir, Into::into);
    let dir = tempfile::tempdir_in(base).expect("a directory");
    bare_sync(dir.path());
    flat_out(&dir.path().join("flat"), 5_000_000);
    scan(&dir.path().join("flat"));
    for rate in [20_000, 50_000] {
        paced(&dir.path().join(rate.to_string()), rate, 10);
    }
}
