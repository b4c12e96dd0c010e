//! Lets segments of the log go that nobody needs any more: they are old, folded into the stored books, behind what a start
//! reads back, and in the archive. What the log does not begin with any more is had from there, whoever asks.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;

use super::follower::CapMemory;
use super::{OnFailed, Running, Stop};
use crate::batch::archive::Archive;
use crate::bookstore::SqliteBooks;
use crate::clock::SystemClock;
use crate::event::Offset;
use crate::eventlog::EventLog;
use crate::telemetry::metrics::Gauges;

/// Between two looks.
const INTERVAL: Duration = Duration::from_secs(60);

pub struct Retention {
    pub log: Arc<dyn EventLog>,
    pub archive: PathBuf,
    pub books: PathBuf,
    pub clock: SystemClock,
    /// Events are kept for so long.
    pub keep_ms: i64,
    /// How far back a start looks for the impressions of frequency caps, beyond the caps themselves.
    pub token_lifetime_ms: i64,
    pub caps: Arc<CapMemory>,
    /// How far back a start looks for fraud checks that no checkpoint has.
    pub fraud_ms: i64,
    pub gauges: Arc<Gauges>,
}

/// What a look came to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Looked {
    /// All that the log has is needed.
    AllNeeded,
    /// So many segments are gone; the log begins here.
    Removed { segments: usize, begin: Offset },
    /// The log could begin here, but the archive, or the books, have only come this far.
    Waiting { wanted: Offset, archived: Offset, booked: Offset },
}

impl Retention {
    pub fn start(self, on_failed: OnFailed) -> std::io::Result<Running> {
        Running::start("retention", on_failed, move |stop| self.run(stop))
    }

    fn run(self, stop: &Stop) {
        let mut told = Ok(Looked::AllNeeded);
        while !stop.is_told() {
            let looked = self.look();
            let still_waits = matches!((&told, &looked), (Ok(Looked::Waiting { .. }), Ok(Looked::Waiting { .. })));
            if told != looked && !still_waits {
                match &looked {
                    Ok(Looked::AllNeeded) => {}
                    Ok(Looked::Removed { segments, begin }) => {
                        tracing::info!(segments, begin = begin.0, "old segments of the log were removed");
                    }
                    Ok(Looked::Waiting { wanted, archived, booked }) => tracing::warn!(
                        archived = archived.0,
                        booked = booked.0,
                        "the log is kept for longer than keep_days: its events before {} can go once `gavel export` has written \
                         them to the archive in the data directory, and some more",
                        wanted.0
                    ),
                    Err(error) => tracing::error!(%error, "the log is kept for longer than keep_days"),
                }
                told = looked;
            }
            stop.wait(INTERVAL);
        }
    }

    /// Removes what can go.
    pub fn look(&self) -> Result<Looked, String> {
        let (log, now) = (&*self.log, self.clock.now());
        let longest_cap_ms =
            self.caps.iter().map(|cap| cap.1.saturating_add(self.token_lifetime_ms)).max().unwrap_or(0);
        let old = log.offset_at_or_before(now.plus(-self.keep_ms.max(longest_cap_ms)));
        // The event before it is what tells that checkpoint and log belong together.
        let checkpoint = Offset(self.gauges.fraud_checkpoint.load(Relaxed).saturating_sub(1));
        let checked = log.offset_at_or_before(now.plus(-self.fraud_ms)).max(checkpoint);
        let wanted = log.could_begin(old.min(checked));
        if wanted <= log.begin() {
            return Ok(Looked::AllNeeded);
        }
        // As they are on the disk. A start looks at the event before the next one, to know that the two belong together.
        let books = SqliteBooks::open_read_only(&self.books).and_then(|books| books.next());
        let booked = books.map_err(|e| e.to_string())?.unwrap_or(Offset(0));
        let archive = Archive::open(&self.archive).map_err(|e| e.to_string())?;
        let archived = archive.vouches_for(log, wanted).map_err(|e| e.to_string())?;
        let begin = log.could_begin(wanted.min(archived).min(Offset(booked.0.saturating_sub(1))));
        if begin <= log.begin() {
            return Ok(Looked::Waiting { wanted, archived: archive.end(), booked });
        }
        let segments = log.remove_before(begin).map_err(|e| format!("old segments could not be removed: {e}"))?;
        Ok(Looked::Removed { segments, begin })
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;
    use std::sync::atomic::{AtomicI64, Ordering};

    use super::*;
    use crate::batch::archive::export;
    use crate::bookstore::BookStore;
    use crate::clock::UnixMs;
    use crate::event::{Event, Recorded, Stamped};
    use crate::eventlog::{DirStorage, Follower, LogConfig, ReadOnlyLog, SegmentLog};
    use crate::ids::CampaignNo;
    use crate::ledger::fold;

    const DAY_MS: i64 = 86_400_000;

    struct Nobody;

    impl Follower for Nobody {
        fn apply(&mut self, _: &Stamped, _: &mut Vec<Event>) {}
        fn tick(&mut self, _: UnixMs, _: &mut Vec<Event>) {}
    }

    fn storage(dir: &Path) -> Arc<DirStorage> {
        Arc::new(DirStorage::new(dir.join("log")).unwrap())
    }

    /// An event a day for thirty days up to now, each in a segment of its own.
    fn month(dir: &Path) -> Retention {
        let clock = SystemClock::start();
        let now = Arc::new(AtomicI64::new(clock.now().0 - 30 * DAY_MS));
        let config = LogConfig { segment_bytes: 4_096, ..LogConfig::default() };
        let opened = SegmentLog::open(storage(dir), config, &mut |_, _| {}).unwrap();
        let at = now.clone();
        let at = Box::new(move || UnixMs(at.load(Ordering::Relaxed)));
        let log = opened.start(at, Box::new(Nobody), Box::new(|why| panic!("{why}"))).unwrap();
        for _ in 0..30 {
            let body = "x".repeat(3_000);
            let request = Recorded { personal: false, exchange: 0, decided_at: UnixMs(0), body, bids: Vec::new() };
            log.append_durable(0, &[Event::Request(request)]).wait().unwrap();
            now.fetch_add(DAY_MS, Ordering::Relaxed);
        }
        Retention {
            log: Arc::new(log),
            archive: dir.join("archive"),
            books: dir.join("books.sqlite"),
            clock,
            keep_ms: 5 * DAY_MS,
            token_lifetime_ms: 2 * DAY_MS,
            caps: Arc::default(),
            fraud_ms: 0,
            gauges: Arc::default(),
        }
    }

    /// Folds the stored books on to there.
    fn book(retention: &Retention, end: u64) {
        let mut store = SqliteBooks::open(&retention.books).unwrap();
        let mut books = store.load().unwrap();
        let mut reader = retention.log.read(books.next).unwrap();
        while books.next.0 < end {
            fold(&mut books, &reader.next_event().unwrap().unwrap());
        }
        let dirty = books.take_dirty();
        store.save(&books, &dirty).unwrap();
    }

    fn export_to(dir: &Path, archive: &Path) {
        let log = ReadOnlyLog::open(storage(dir), &mut |_, _| {}).unwrap();
        export(&log, archive, &mut |_, _| {}).unwrap();
    }

    fn begin(looked: Result<Looked, String>) -> u64 {
        let Ok(Looked::Removed { begin, .. }) = looked else { panic!("{looked:?}") };
        begin.0
    }

    fn waits(archived: u64, booked: u64) -> Result<Looked, String> {
        let (wanted, archived, booked) = (Offset(25), Offset(archived), Offset(booked));
        Ok(Looked::Waiting { wanted, archived, booked })
    }

    #[test]
    fn nothing_goes_that_is_not_in_the_archive_and_in_the_books() {
        let (dir, other) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let mut retention = month(dir.path());
        assert!(retention.look().unwrap_err().contains("books.sqlite"), "there are none");
        book(&retention, 8);
        assert_eq!(retention.look(), waits(0, 8));
        export_to(dir.path(), &retention.archive);

        // An archive of another log, or one that was altered, vouches for nothing.
        let of_other = month(other.path());
        export_to(other.path(), &of_other.archive);
        let own = std::mem::replace(&mut retention.archive, of_other.archive.clone());
        assert!(retention.look().unwrap_err().contains("is not of this log"));
        retention.archive = own;
        let parts = retention.archive.join("*/request/*/*/part.parquet");
        let part = glob::glob(parts.to_str().unwrap()).unwrap().next().unwrap().unwrap();
        let bytes = std::fs::read(&part).unwrap();
        std::fs::write(&part, &bytes[1..]).unwrap();
        assert!(retention.look().unwrap_err().contains("cut short or altered"));
        std::fs::write(&part, &bytes).unwrap();
        assert_eq!(retention.log.begin(), Offset(0));

        assert_eq!((begin(retention.look()), retention.look()), (7, waits(30, 8)));
        book(&retention, 30);
        assert_eq!((begin(retention.look()), retention.look()), (25, Ok(Looked::AllNeeded)));
        let left = ReadOnlyLog::open(storage(dir.path()), &mut |_, _| {}).unwrap();
        assert_eq!((left.begin(), left.end()), (Offset(25), Offset(30)));
    }

    #[test]
    fn what_a_start_reads_back_stays() {
        let dir = tempfile::tempdir().unwrap();
        let mut retention = month(dir.path());
        book(&retention, 30);
        export_to(dir.path(), &retention.archive);
        retention.caps.insert(CampaignNo(1), (1, 18 * DAY_MS));
        assert_eq!((begin(retention.look()), retention.look()), (10, Ok(Looked::AllNeeded)));
        retention.caps.clear();
        retention.fraud_ms = 15 * DAY_MS;
        assert_eq!((begin(retention.look()), retention.look()), (15, Ok(Looked::AllNeeded)));
        // As far as a checkpoint has it.
        retention.gauges.fraud_checkpoint.store(22, Relaxed);
        assert_eq!((begin(retention.look()), retention.look()), (21, Ok(Looked::AllNeeded)));
        retention.gauges.fraud_checkpoint.store(30, Relaxed);
        assert_eq!((begin(retention.look()), retention.look()), (25, Ok(Looked::AllNeeded)));
    }
}
