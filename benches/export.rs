//! How fast is the log exported to Parquet, how many bytes does a bid take there, and how fast is it read back and
//! folded. A plain harness: one long run.
//!
//! `cargo bench --bench export [-- EVENTS [DIR]]` exports 3 million events by default, of which 7 in 10 are bids; the log
//! takes about 150 B an event. With DIR it leaves a data directory there, for `gavel --data-dir DIR` and `tests/duckdb/run DIR`.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use gavel::batch::archive::{Archive, export};
use gavel::clock::{Day, UnixMs};
use gavel::event::{CampaignSet, Event, Facts, Notice, NoticeKind, PriceClaim, Process, Promise, Slot, Stamped};
use gavel::eventlog::{AppendError, DirStorage, EventLog, Follower, LogConfig, ReadOnlyLog, SegmentLog};
use gavel::ids::{CampaignNo, Currency, Epoch, LeaseId, NodeId, ReservationId};
use gavel::ledger::{Books, fold};
use gavel::money::{Nanos, Quantity, Rate};

struct Idle;

impl Follower for Idle {
    fn apply(&mut self, _: &Stamped, _: &mut Vec<Event>) {}
    fn tick(&mut self, _: UnixMs, _: &mut Vec<Event>) {}
}

const CAMPAIGNS: u32 = 200;
/// Seven minutes before an hour ends.
const START: i64 = 1_795_002_800_000;
const EVENTS_A_SECOND: u64 = 5_000;

fn day_of(at: UnixMs) -> Day {
    Day((at.0 / 86_400_000) as i32)
}

/// A bid as they come: one of 200 campaigns with 5 creatives each, three exchanges, prices of six decimals, a user of a
/// million in two of three requests.
fn bid(rng: &mut fastrand::Rng, seq: u32, at: UnixMs) -> Facts {
    let campaign = rng.u32(..CAMPAIGNS).min(rng.u32(..CAMPAIGNS));
    let price = Nanos(i64::from(rng.u32(500_000..4_000_000)));
    let user = u64::from(rng.u32(1..1_000_000)).wrapping_mul(0x9E37_79B9_7F4A_7C15);
    Facts {
        reservation: ReservationId { node: NodeId(1), epoch: Epoch(2), bucket: at.minutes(), seq },
        campaign: CampaignNo(campaign),
        lease_seq: campaign + (at.0 / 4_000 % 1_000_000) as u32,
        day: day_of(at),
        daily: campaign.is_multiple_of(2),
        creative: (campaign * 5 + rng.u32(..5)).wrapping_mul(0x0100_0193),
        exchange: rng.u32(1..4).wrapping_mul(0x9E37_79B9),
        bid_at: at,
        auction_ms: 120_000,
        bill_ms: 3_600_000,
        reserved: price,
        price,
        currency: Currency::USD,
        campaign_currency: Currency::USD,
        rate: Rate::USD,
        campaign_rate: Rate::USD,
        quantity: Quantity::ONE,
        user: if rng.u8(..3) == 0 { 0 } else { user },
        spend_on_win: false,
        test: false,
        model: if campaign.is_multiple_of(4) { 0x1234_5678 } else { 0 },
    }
}

fn write(dir: &Path, events: u64) {
    let now = Arc::new(AtomicI64::new(START));
    let clock = now.clone();
    let storage = Arc::new(DirStorage::new(dir).expect("a directory"));
    let opened = SegmentLog::open(storage, LogConfig::default(), &mut |_, _| {}).expect("the log opens");
    let clock = Box::new(move || UnixMs(clock.load(Ordering::Relaxed)));
    let log = opened.start(clock, Box::new(Idle), Box::new(|why| panic!("{why}"))).expect("it starts");
    let append = |event: &Event| {
        while let Err(why) = log.append(0, event) {
            assert_eq!(why, AppendError::Busy);
            thread::sleep(Duration::from_micros(50));
        }
    };
    for no in 0..CAMPAIGNS {
        append(&Event::CampaignSet(CampaignSet {
            campaign: CampaignNo(no),
            id: format!("c-{no}"),
            currency: Currency::USD,
            total: Nanos(i64::MAX / 4),
            daily: None,
            day: None,
            json: None,
        }));
    }
    append(&Event::EpochStarted {
        node: NodeId(1),
        epoch: Epoch(2),
        promise: Promise { billable_ms: 7_200_000 },
        process: Process::ALONE,
    });
    for no in 0..2 * CAMPAIGNS {
        let (campaign, lease) = (CampaignNo(no / 2), LeaseId { epoch: Epoch(2), seq: no });
        let slot = if no % 2 == 0 { Slot::Whole } else { Slot::Day(day_of(UnixMs(START))) };
        append(&Event::LeaseGranted { campaign, lease, slot, amount: Nanos(i64::MAX / 16) });
    }
    let mut rng = fastrand::Rng::with_seed(7);
    let mut won: Vec<Facts> = Vec::new();
    for n in 0..events {
        let at = UnixMs(START + (n * 1_000 / EVENTS_A_SECOND) as i64);
        now.store(at.0, Ordering::Relaxed);
        let ends = if n % 10 < 7 { None } else { won.pop() };
        match ends {
            None => {
                let facts = bid(&mut rng, (n % (60 * EVENTS_A_SECOND)) as u32, at);
                append(&Event::Bid(facts));
                if rng.u8(..5) == 0 {
                    won.push(facts);
                    won.push(facts);
                }
            }
            Some(facts) => {
                let kind = if n % 2 == 0 { NoticeKind::Win } else { NoticeKind::Bill };
                let amount = Nanos(facts.price.0 - i64::from(rng.u32(..500_000)));
                let price = PriceClaim::Amount { amount, excess: Nanos::ZERO };
                append(&Event::Notice(Notice { kind, facts, price, loss_reason: 0, min_to_win: Nanos(-1) }));
            }
        }
    }
    log.close().expect("it closes");
}

fn main() {
    // Cargo passes flags of its own.
    let mut args = std::env::args().skip(1).filter(|a| !a.starts_with('-'));
    let events = args.next().map_or(3_000_000, |events| events.parse().expect("a number of events"));
    let (passing, left) = (tempfile::tempdir().expect("a directory"), args.next().map(PathBuf::from));
    let dir = left.as_deref().unwrap_or(passing.path());
    let (log, archive) = (dir.join("log"), dir.join("archive"));
    write(&log, events);

    let storage = Arc::new(DirStorage::new(&log).expect("a directory"));
    let log = ReadOnlyLog::open(storage, &mut |_, _| {}).expect("the log opens");
    let started = Instant::now();
    let exported = export(&log, &archive, &mut |_, _| {}).expect("an export");
    let took = started.elapsed().as_secs_f64();
    let events = exported.end.0;
    println!(
        "export: {events} events in {took:.2} s, {:.2} million/s, {} ranges",
        events as f64 / took / 1e6,
        exported.ranges
    );

    let archive = Archive::open(&archive).expect("an archive");
    for table in ["bid", "notice"] {
        let parts = || archive.ranges.iter().flat_map(|range| &range.manifest.parts).filter(|part| part.table == table);
        let (rows, bytes) = (parts().map(|p| p.rows).sum::<u64>(), parts().map(|p| p.bytes).sum::<u64>());
        println!("{table}: {rows} rows, {:.1} B each", bytes as f64 / rows as f64);
    }

    let started = Instant::now();
    let mut books = Books::default();
    let mut fold = |stamped| {
        fold(&mut books, &stamped);
    };
    archive.events(&mut fold, &mut |_, _| {}).expect("a whole archive");
    let took = started.elapsed().as_secs_f64();
    assert_eq!(books.next.0, events);
    println!("read and folded: {:.2} s, {:.2} million/s", took, events as f64 / took / 1e6);
}
