//! The reconciler: folds the log as it stands on disk, writes the books, compares them with hot state, corrects it.

use std::collections::HashSet;
use std::error::Error;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use super::follower::lock;
use super::{OnFailed, Running, Stop};
use crate::bookstore::BookStore;
use crate::event::Event;
use crate::eventlog::{EventLog, LogReader, LogState};
use crate::ids::CampaignNo;
use crate::ledger::reconcile::{correct, reconcile, reconcile_some};
use crate::ledger::{Books, Hot, fold_on};
use crate::telemetry::metrics::Gauges;

/// Between two rounds. A round runs in one go, and who bids on the same core waits for its end: rounds are short. An
/// acknowledged notice is in the books within a second.
const INTERVAL: Duration = Duration::from_millis(20);
/// Events folded before they are written: bounds a transaction and the time a reader of the books waits.
const BATCH: usize = 20_000;
/// Between two comparisons of every campaign.
const COMPARE_ALL_INTERVAL: Duration = Duration::from_secs(60);

/// The books, shared with the admin API.
pub type SharedBooks = Arc<Mutex<Books>>;

/// The books, also after a panic elsewhere: the fold leaves them whole between events.
pub fn lock_books(books: &Mutex<Books>) -> MutexGuard<'_, Books> {
    books.lock().unwrap_or_else(PoisonError::into_inner)
}

pub struct Reconciler {
    pub log: Arc<dyn EventLog>,
    pub store: Box<dyn BookStore>,
    pub books: SharedBooks,
    pub hot: Arc<Mutex<Hot>>,
    pub gauges: Arc<Gauges>,
    /// Campaigns that changed since they were last compared.
    pub changed: HashSet<CampaignNo>,
}

impl Reconciler {
    pub fn start(self, on_failed: OnFailed) -> std::io::Result<Running> {
        Running::start("reconciler", on_failed, move |stop| self.run(stop))
    }

    fn run(mut self, stop: &Stop) {
        let mut reader = None;
        let mut level_at = Instant::now();
        let mut compared_all_at = Instant::now();
        let mut was_full = false;
        loop {
            let last_round = stop.is_told();
            let full = self.log.state() == LogState::Full;
            match (was_full, full) {
                (false, true) => tracing::error!(
                    "the log is full: no bids are made and only notices are taken, until there is room for another \
                     segment on its disk and below log.max_bytes"
                ),
                (true, false) => tracing::info!("the log has room again: bids are made"),
                _ => {}
            }
            was_full = full;
            match self.round(&mut reader) {
                Ok(()) => {}
                Err(error) => {
                    self.gauges.book_errors.fetch_add(1, Ordering::Relaxed);
                    tracing::error!(%error, "the books are behind; trying again");
                    reader = None;
                }
            }
            let (next, forgotten) = {
                let books = lock_books(&self.books);
                (books.next.0, books.bits.forgotten_before())
            };
            let behind = self.log.durable_end().0.saturating_sub(next);
            self.gauges.notices_watermark_s.store(i64::from(forgotten) * 60, Ordering::Relaxed);
            if behind == 0 {
                level_at = Instant::now();
                let all = compared_all_at.elapsed() >= COMPARE_ALL_INTERVAL || last_round;
                if self.compare(all) && all {
                    compared_all_at = Instant::now();
                }
            }
            self.gauges.lag_events.store(behind, Ordering::Relaxed);
            self.gauges.lag_ms.store(level_at.elapsed().as_millis() as i64, Ordering::Relaxed);
            if last_round {
                return;
            }
            stop.wait(INTERVAL);
        }
    }

    /// Folds and writes everything that is durable by now.
    fn round(&mut self, reader: &mut Option<Box<dyn LogReader>>) -> Result<(), Box<dyn Error>> {
        loop {
            let (folded, result) = {
                let books = &mut *lock_books(&self.books);
                let reader = match reader {
                    Some(reader) => reader,
                    None => reader.insert(self.log.read(books.next)?),
                };
                fold_batch(books, &mut **reader)
            };
            self.save()?;
            result?;
            if folded < BATCH {
                return Ok(());
            }
        }
    }

    /// Writes what is dirty; what could not be written stays dirty. Who reads the books waits for the copy of it, not
    /// for the disk.
    fn save(&mut self) -> Result<(), crate::bookstore::BookError> {
        let (part, dirty) = {
            let mut books = lock_books(&self.books);
            let dirty = books.take_dirty();
            if dirty.is_empty() {
                return Ok(());
            }
            // Together with the offset that it belongs to: both are written in one transaction.
            (books.part(&dirty), dirty)
        };
        let saved = self.store.save(&part, &dirty);
        match &saved {
            Ok(()) => self.changed.extend(dirty.campaigns),
            Err(_) => lock_books(&self.books).put_back(dirty),
        }
        saved
    }

    /// Compares hot state with the books where both have come to the same event, and corrects it. Usually only the
    /// campaigns that changed: comparing all of many holds up the log's thread. False when they are not at the same one.
    fn compare(&mut self, all: bool) -> bool {
        let books = lock_books(&self.books);
        let mut hot = lock(&self.hot);
        if hot.books().next != books.next {
            return false;
        }
        let changed = std::mem::take(&mut self.changed);
        let corrections =
            if all { reconcile(&mut hot, &books) } else { reconcile_some(&hot, &books, changed.into_iter()) };
        let drift = corrections.iter().fold(0_i64, |sum, c| sum.saturating_add(c.size()));
        self.gauges.drift_nanos.store(drift, Ordering::Relaxed);
        if corrections.is_empty() {
            return true;
        }
        correct(&mut hot, &books, &corrections);
        drop((hot, books));
        self.gauges.corrections.fetch_add(corrections.len() as u64, Ordering::Relaxed);
        tracing::error!(campaigns = corrections.len(), drift_nanos = drift, "hot accounts differed from the books");
        let events: Vec<Event> = corrections.iter().map(|c| c.event()).collect();
        if let Err(error) = self.log.append_durable(0, &events).wait() {
            tracing::error!(%error, "the corrections are not in the log");
        }
        true
    }
}

/// Folds up to [`BATCH`] events; returns how many, and what stopped it.
fn fold_batch(books: &mut Books, reader: &mut dyn LogReader) -> (usize, Result<(), Box<dyn Error>>) {
    for folded in 0..BATCH {
        match reader.next_event() {
            Ok(Some(stamped)) => match fold_on(books, &stamped) {
                Ok(()) => {}
                // A reader that begins where the books are gets them.
                Err(gap) => return (folded, Err(gap.into())),
            },
            Ok(None) => return (folded, Ok(())),
            Err(error) => return (folded, Err(error.into())),
        }
    }
    (BATCH, Ok(()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bookstore::BookError;
    use crate::clock::UnixMs;
    use crate::event::{NoticeKind, Offset, Promise, Stamped};
    use crate::eventlog::ReadError;
    use crate::eventlog::mem::MemStorage;
    use crate::eventlog::{Follower, LogConfig, SegmentLog};
    use crate::ids::NodeId;
    use crate::ledger::bucket::Grids;
    use crate::ledger::fold;
    use crate::ledger::fold::Dirty;
    use crate::ledger::fold::tests::{START, facts, notice, set};

    struct Nobody;

    impl Follower for Nobody {
        fn apply(&mut self, _: &Stamped, _: &mut Vec<Event>) {}
        fn tick(&mut self, _: UnixMs, _: &mut Vec<Event>) {}
    }

    /// Fails once, and looks whether the books can be read meanwhile.
    struct Watching {
        books: SharedBooks,
        fails: bool,
        saved: Arc<Mutex<Books>>,
    }

    impl BookStore for Watching {
        fn load(&mut self) -> Result<Books, BookError> {
            Ok(Books::default())
        }

        fn save(&mut self, part: &Books, dirty: &Dirty) -> Result<(), BookError> {
            assert!(self.books.try_lock().is_ok(), "who reads the books waits for the disk");
            if std::mem::take(&mut self.fails) {
                // The log goes on meanwhile.
                lock_books(&self.books).next.0 += 1;
                return Err(BookError::Damaged("once".into()));
            }
            assert_eq!(part.campaigns.len(), dirty.campaigns.len());
            *self.saved.lock().unwrap() = part.clone();
            Ok(())
        }
    }

    /// Loses the event at 1.
    struct Skipping(u64);

    impl LogReader for Skipping {
        fn next_event(&mut self) -> Result<Option<Stamped>, ReadError> {
            let event = notice(NoticeKind::Bill, facts(0), 7);
            let stamped = Stamped { offset: Offset(self.0), at: START, event };
            self.0 += 2;
            Ok(Some(stamped))
        }
    }

    #[test]
    fn books_that_would_miss_events_are_not_folded_on() {
        let mut books = Books::default();
        let (folded, result) = fold_batch(&mut books, &mut Skipping(0));
        assert_eq!((folded, books.next), (1, Offset(1)));
        assert!(result.unwrap_err().to_string().contains("event 2 came where 1 should"));
    }

    #[test]
    fn the_books_are_not_held_while_they_are_written_and_a_failed_write_is_made_up_for() {
        let opened = SegmentLog::open(Arc::new(MemStorage::default()), LogConfig::default(), &mut |_, _| {}).unwrap();
        let clock = Box::new(|| UnixMs(1_700_000_000_000));
        let (log, ..) = opened.start_stepped(clock, Box::new(Nobody), Box::new(|_| {})).unwrap();
        let mut books = Books::default();
        for (n, event) in [set(1_000, None), notice(NoticeKind::Bill, facts(0), 7)].into_iter().enumerate() {
            fold(&mut books, &Stamped { offset: Offset(n as u64), at: START, event });
        }
        let (books, saved) = (Arc::new(Mutex::new(books)), Arc::new(Mutex::new(Books::default())));
        let mut reconciler = Reconciler {
            log: Arc::new(log),
            store: Box::new(Watching { books: books.clone(), fails: true, saved: saved.clone() }),
            books: books.clone(),
            hot: Arc::new(Mutex::new(Hot::new(
                Books::default(),
                NodeId(1),
                Arc::new(Grids::new(&[])),
                Promise::default(),
            ))),
            gauges: Arc::default(),
            changed: HashSet::new(),
        };
        assert!(reconciler.save().is_err() && !lock_books(&books).dirty.is_empty() && reconciler.changed.is_empty());
        reconciler.save().unwrap();
        assert_eq!(reconciler.changed, HashSet::from([CampaignNo(1)]));
        let (books, saved) = (lock_books(&books), saved.lock().unwrap());
        assert!(books.dirty.is_empty());
        assert_eq!(*saved, *books, "all that changed, with the offset it belongs to");
    }
}
