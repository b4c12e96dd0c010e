//! How long a start takes with a long log: checking every byte of it, folding it into the books or loading those that were
//! saved, and making the hot accounts. A plain harness: one long run.
//!
//! `cargo bench --bench recover [-- --events N] [-- --keep DIR]` writes 10 million events, or N, of about 130 B below the
//! system's temporary directory; or into DIR, which stays: `gavel` starts on it as the `log` of a data directory.

#[path = "support/money.rs"]
mod money;

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use gavel::bookstore::{BookStore, SqliteBooks};
use gavel::clock::{SystemClock, UnixMs};
use gavel::event::{Event, Offset, Stamped};
use gavel::eventlog::{AppendError, DirStorage, EventLog, Follower, LogConfig, SegmentLog};
use gavel::ids::{Epoch, NodeId};
use gavel::ledger::bucket::{Grids, Lifetimes};
use gavel::ledger::{Books, Hot, fold};
use money::PROMISE;

const LIFE: Lifetimes = Lifetimes { auction_ms: 120_000, bill_ms: 3_600_000, sends_win: true };

struct Idle;

impl Follower for Idle {
    fn apply(&mut self, _: &Stamped, _: &mut Vec<Event>) {}
    fn tick(&mut self, _: UnixMs, _: &mut Vec<Event>) {}
}

fn write(dir: &Path, events: u64) {
    let storage = Arc::new(DirStorage::new(dir).expect("a directory"));
    let clock = SystemClock::start();
    let bid_at = clock.now();
    let opened = SegmentLog::open(storage, LogConfig::default(), &mut |_, _| {}).expect("the log opens");
    let log = opened.start(Box::new(move || clock.now()), Box::new(Idle), Box::new(|why| panic!("{why}")));
    let log = log.expect("it starts");
    for event in money::opening().chain(money::market(u32::MAX, bid_at)).take(events as usize) {
        while let Err(why) = log.append(0, &event) {
            assert_eq!(why, AppendError::Busy);
            std::thread::sleep(Duration::from_micros(50));
        }
    }
    log.close().expect("it closes");
}

fn recover(dir: &Path) {
    let storage = Arc::new(DirStorage::new(dir).expect("a directory"));
    let started = Instant::now();
    let opened = SegmentLog::open(storage, LogConfig::default(), &mut |_, _| {}).expect("the log opens");
    let checked = started.elapsed();
    let started = Instant::now();
    let stored = tempfile::tempdir().expect("a directory");
    let mut store = SqliteBooks::open(&stored.path().join("books.sqlite")).expect("new books");
    let mut books = Books::default();
    let mut reader = opened.read(Offset(0)).expect("a reader");
    while let Some(stamped) = reader.next_event().expect("a whole log") {
        fold(&mut books, &stamped);
        // As often as a start saves them.
        if books.next.0 % 1_000_000 == 0 {
            let dirty = books.take_dirty();
            store.save(&books, &dirty).expect("they are saved");
        }
    }
    let dirty = books.take_dirty();
    store.save(&books, &dirty).expect("they are saved");
    let folded = started.elapsed();
    let started = Instant::now();
    assert_eq!(store.load().expect("they can be read"), books);
    let loaded = started.elapsed();
    let (events, billed) = (books.next.0, books.campaigns.values().map(|c| c.billed).sum::<u64>());
    let bits = books.bits.bytes();
    let started = Instant::now();
    let hot = Hot::new(books, NodeId(1), Arc::new(Grids::new(&[LIFE])), PROMISE);
    let made = started.elapsed();
    assert_eq!(hot.epoch(), Epoch(2));
    println!(
        "{events} events ({billed} billed, {bits} B of bits): checked in {:.2} s, folded and saved in {:.2} s, accounts in \
         {:.3} s, together {:.2} s; or, instead of folding, the saved books verified and loaded in {:.3} s",
        checked.as_secs_f64(),
        folded.as_secs_f64(),
        made.as_secs_f64(),
        (checked + folded + made).as_secs_f64(),
        loaded.as_secs_f64(),
    );
}

fn main() {
    let flag = |name: &str| std::env::args().skip_while(|arg| arg != name).nth(1);
    let events = flag("--events").map_or(10_000_000, |n| n.parse().expect("a number of events"));
    let dir = tempfile::tempdir().expect("a directory");
    let kept = flag("--keep").map(PathBuf::from);
    let dir = kept.as_deref().unwrap_or(dir.path());
    write(dir, events);
    for _ in 0..2 {
        recover(dir);
    }
}
