//! How many events a second are folded and written to the books in SQLite, as the reconciler does: read back from the log, folded,
//! and what they touched saved in one transaction with the offset. A plain harness: one run for each size of a batch.
//!
//! `cargo bench --bench books [-- --events N]` writes 2 million events, or N, below the system's temporary directory. Without
//! `--bench` there are few, as a test that the bench works.

#[path = "support/money.rs"]
mod money;

use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use gavel::bookstore::{BookStore, SqliteBooks};
use gavel::clock::{SystemClock, UnixMs};
use gavel::event::{Event, Offset, Stamped};
use gavel::eventlog::{AppendError, DirStorage, EventLog, Follower, LogConfig, Opened, SegmentLog};
use gavel::ledger::{Books, fold_on};

/// Events of a transaction: the most that the reconciler takes at once, and what comes to it in a tenth of a second at 50,000 and
/// at 10,000 events a second.
const BATCHES: [usize; 3] = [20_000, 5_000, 1_000];

struct Idle;

impl Follower for Idle {
    fn apply(&mut self, _: &Stamped, _: &mut Vec<Event>) {}
    fn tick(&mut self, _: UnixMs, _: &mut Vec<Event>) {}
}

fn open(dir: &Path) -> Opened {
    let storage = Arc::new(DirStorage::new(dir).expect("a directory"));
    SegmentLog::open(storage, LogConfig::default(), &mut |_, _| {}).expect("the log opens")
}

fn write(dir: &Path, events: usize) {
    let clock = SystemClock::start();
    let log = open(dir).start(Box::new(move || clock.now()), Box::new(Idle), Box::new(|why| panic!("{why}")));
    let log = log.expect("it starts");
    for event in money::opening().chain(money::market(u32::MAX, clock.now())).take(events) {
        while let Err(why) = log.append(0, &event) {
            assert_eq!(why, AppendError::Busy);
            std::thread::sleep(Duration::from_micros(50));
        }
    }
    log.close().expect("it closes");
}

fn book(log: &Opened, events: usize, batch: usize) {
    let dir = tempfile::tempdir().expect("a directory");
    let mut store = SqliteBooks::open(&dir.path().join("books.sqlite")).expect("new books");
    let mut books = Books::default();
    let mut reader = log.read(Offset(0)).expect("a reader");
    let (started, mut writing, mut slowest) = (Instant::now(), Duration::ZERO, Duration::ZERO);
    while books.next.0 < events as u64 {
        for stamped in std::iter::from_fn(|| reader.next_event().expect("a whole log")).take(batch) {
            fold_on(&mut books, &stamped).expect("no gap");
        }
        let began = Instant::now();
        let dirty = books.take_dirty();
        store.save(&books.part(&dirty), &dirty).expect("they are saved");
        (writing, slowest) = (writing + began.elapsed(), slowest.max(began.elapsed()));
    }
    let took = started.elapsed();
    println!(
        "{batch:>6} events a transaction: {:>9.0} events/s; of {:.2} s {:.2} s were writing, at most {:.1} ms at once",
        events as f64 / took.as_secs_f64(),
        took.as_secs_f64(),
        writing.as_secs_f64(),
        slowest.as_secs_f64() * 1e3,
    );
    assert_eq!(store.load().expect("they can be read"), books);
}

fn main() {
    let usual = if std::env::args().any(|arg| arg == "--bench") { 2_000_000 } else { 20_000 };
    let flag = std::env::args().skip_while(|arg| arg != "--events").nth(1);
    let events = flag.map_or(usual, |n| n.parse().expect("a number of events"));
    let dir = tempfile::tempdir().expect("a directory");
    write(dir.path(), events);
    let log = open(dir.path());
    for batch in BATCHES {
        book(&log, events, batch);
    }
}
