//! What a start reads back: the log, the books beyond what is stored, and what is only in memory.

use std::net::TcpListener;
use std::sync::Arc;
use std::time::{Duration, Instant};

#[cfg(feature = "kafka")]
use super::waiting::Waiting;
use super::{AppError, because};
use crate::admin::campaigns::CapMemory;
use crate::batch::archive::Archived;
use crate::bookstore::{BookStore, SqliteBooks};
use crate::clock::{SystemClock, UnixMs};
use crate::config::Config;
use crate::event::{Event, Offset, Stamped};
#[cfg(feature = "kafka")]
use crate::eventlog::OpenError;
use crate::eventlog::{
    AppendError, DirStorage, LogConfig, LogReader, Opened, ReadError, SegmentLog, Storage, Unstarted,
};
use crate::fraud::edits::Edits;
use crate::fraud::engine::{Engine, Following};
use crate::fraud::policy::{Lists, first_lists};
use crate::fraud::store::Bounds;
use crate::fraud::{self, Policy, Velocity};
use crate::ledger::reservation::{Bits, step};
use crate::ledger::{Books, fold_on};
use crate::tasks::checkpoint::{self, Found};
use crate::tasks::follower::note_impression;
use crate::window::impressions::ImpressionStore;

/// Answers of fraud checks that are kept besides the log.
const MAX_ANSWER_BYTES: usize = 64 << 20;
/// Events folded at a start before the books are saved: what a start that is broken off need not fold again.
const SAVE_EVENTS: u64 = 1_000_000;

/// Opens the log that the config names. Where it has to be waited for, that is said to who asks on `sockets`.
pub(super) fn open_log<'a, S: Iterator<Item = &'a TcpListener>>(
    config: &Config,
    sockets: impl Fn() -> S,
) -> Result<Box<dyn Unstarted>, AppError> {
    match &config.log.kafka {
        None => Ok(Box::new(open_files(config)?)),
        #[cfg(feature = "kafka")]
        Some(kafka) => Ok(Box::new(open_topic(config, kafka, sockets)?)),
        #[cfg(not(feature = "kafka"))]
        Some(_) => {
            drop(sockets);
            Err(AppError("the log on Kafka needs a gavel that was built with the feature kafka".to_owned()))
        }
    }
}

/// Looks at the topic, until Kafka answers.
#[cfg(feature = "kafka")]
fn open_topic<'a, S: Iterator<Item = &'a TcpListener>>(
    config: &Config,
    kafka: &crate::config::Kafka,
    sockets: impl Fn() -> S,
) -> Result<crate::eventlog::kafka::Opened, AppError> {
    let mut waiting = None;
    let opened = loop {
        let lanes = config.limits.workers;
        match crate::eventlog::kafka::Opened::open(kafka, &config.data_dir, lanes, config.log.lane_bytes) {
            Err(error @ OpenError::Away { .. }) if waiting.is_none() => {
                tracing::error!("{error}; gavel is not ready, and tries again every second");
                waiting = Some(Waiting::start(sockets()).map_err(because("listeners"))?);
            }
            Err(OpenError::Away { .. }) => {}
            done => break done,
        }
        std::thread::sleep(Duration::from_secs(1));
    };
    if let Some(waiting) = waiting {
        tracing::info!("Kafka answers: gavel starts");
        waiting.end();
    }
    opened.map_err(|e| AppError(e.to_string()))
}

/// Opens the log in segment files and checks every byte of it; says how far it is when that takes long.
fn open_files(config: &Config) -> Result<Opened, AppError> {
    let dir = config.data_dir.join("log");
    let storage = DirStorage::new(&dir).map_err(because("log directory"))?;
    let log = LogConfig {
        lanes: config.limits.workers,
        lane_bytes: config.log.lane_bytes,
        segment_bytes: config.log.segment_bytes,
        max_bytes: (config.log.max_bytes > 0).then_some(config.log.max_bytes),
    };
    let mut progress = Progress::new("checking the log");
    let opened = SegmentLog::open(Arc::new(storage), log, &mut |done, total| progress.tell(done, total))
        .map_err(|e| AppError(e.to_string()))?;
    opened.put_right().iter().for_each(|line| tracing::warn!("{line}"));
    Ok(opened.with_older(Arc::new(Archived(config.archive()))))
}

/// Time never goes back in the log. If the machine's clock shows less than the log's last event, for it was set back or
/// had been far ahead, gavel's goes on from there: with the log's time standing still no lease would be taken and no money
/// come back.
pub(super) fn go_on_from(clock: SystemClock, last_at: UnixMs) -> SystemClock {
    let ahead_ms = last_at.since(clock.now());
    if ahead_ms > 0 {
        tracing::warn!(
            ahead_ms,
            "the log's last event is ahead of the machine's clock: gavel's time goes on from it, and with it days, \
             lifetimes and start and end dates; a start after the clock has caught up goes by the clock again"
        );
    }
    clock.not_before(last_at)
}

/// Why the first events of a start could not be written.
pub(super) fn not_begun(error: AppendError) -> AppError {
    match error {
        AppendError::Full => AppError(
            "the log is full, and a start must be written to it: free disk space, or raise log.max_bytes if that is set"
                .to_owned(),
        ),
        error => because("log")(error),
    }
}

/// Folds what the log has beyond the stored books, if these are as they were written and belong to this log.
pub(super) fn catch_up(store: &mut SqliteBooks, opened: &dyn Unstarted) -> Result<Books, AppError> {
    let mut books = store.load().map_err(because("books"))?;
    let (from, end) = (books.next, opened.durable_end());
    of_this_log(&books, end, |from| opened.read(from)).map_err(AppError)?;
    let mut progress = Progress::new("folding the log into the books");
    let mut reader = opened.read(from).map_err(because("log"))?;
    while let Some(stamped) = reader.next_event().map_err(because("log"))? {
        fold_on(&mut books, &stamped).map_err(because("books"))?;
        if books.next.0 % 100_000 == 0 {
            progress.tell(books.next.0 - from.0, end.0 - from.0);
        }
        if books.next.0 % SAVE_EVENTS == 0 {
            let dirty = books.take_dirty();
            store.save(&books, &dirty).map_err(because("books"))?;
        }
    }
    let dirty = books.take_dirty();
    store.save(&books, &dirty).map_err(because("books"))?;
    Ok(books)
}

/// Whether stored books are those of the log that ends there and is read so.
pub fn of_this_log(
    books: &Books,
    end: Offset,
    read: impl FnOnce(Offset) -> Result<Box<dyn LogReader>, ReadError>,
) -> Result<(), String> {
    let from = books.next;
    if from > end {
        return Err(format!(
            "the books have come to event {}, but the log ends at {}: log segments are missing. Put them back; or, if \
             the log was deleted on purpose, delete books.sqlite too",
            from.0, end.0
        ));
    }
    if from > Offset(0) {
        let last = read(Offset(from.0 - 1)).and_then(|mut log| log.next_event()).map_err(|e| format!("log: {e}"))?;
        if last.is_none_or(|last| last.at != books.starts.at) {
            return Err(
                "books.sqlite belongs to another log. Put its own back; or delete it (and its -wal and -shm): it \
                        is rebuilt from the log"
                    .to_owned(),
            );
        }
    }
    Ok(())
}

/// Fraud checks with what REST changed, and frequency caps.
pub(super) struct Remembered {
    pub engine: Engine,
    /// The config's rules, if they are in force and the log does not have them.
    pub file_rules: Option<String>,
    /// Where the log goes on from the checkpoint of fraud checks.
    pub checkpoint: Offset,
}

/// An engine that knows no check, and keeps so many bytes of answers besides the log.
pub(super) fn empty_engine(config: &Config, max_answer_bytes: usize) -> Result<Engine, AppError> {
    let velocity = Velocity::new(config.fraud.windows.clone(), config.fraud.limits());
    let velocity = velocity.map_err(|faults| AppError(format!("the fraud windows have faults: {faults:?}")))?;
    let bounds = Bounds { max_checks: config.fraud.max_checks, max_answer_bytes };
    let rules = Policy::new("", &velocity, Lists::default()).map_err(told)?;
    Ok(Engine::new(velocity, rules, bounds))
}

/// Reads back in one pass what is only in memory: fraud checks, and the impressions that still count for a frequency cap.
pub(super) fn remember(
    config: &Config,
    opened: &dyn Unstarted,
    storage: &dyn Storage,
    impressions: &ImpressionStore,
    caps: &CapMemory,
    now: UnixMs,
) -> Result<Remembered, AppError> {
    let read = |from| opened.read(from);
    let (engine, found) = checkpoint::recall(storage, &|| empty_engine(config, MAX_ANSWER_BYTES), &read)?;
    if found == Found::Useless {
        tracing::info!(
            "the checkpoint of fraud checks is of another log or config, or damaged: the log is read instead"
        );
    }
    let fraud_from = if let Found::UpTo(next) = found { next } else { Offset(0) };
    let (mut following, end) = (Following::default(), opened.durable_end());
    let mut capped = Capped { impressions, caps, bits: Bits::default() };
    let caps_from = capped.from(opened, now, config.token_lifetime_ms());
    let mut progress = Progress::new("reading back fraud checks and frequency caps");
    let from = fraud_from.min(caps_from);
    let mut reader = opened.read(from).map_err(because("log"))?;
    while let Some(stamped) = reader.next_event().map_err(because("log"))? {
        if let Event::Fraud(event) = &stamped.event {
            if stamped.offset >= fraud_from {
                engine.fold(event, stamped.offset.0, stamped.at, &mut following);
            }
        } else if stamped.offset >= caps_from {
            capped.note(&stamped);
        }
        if stamped.offset.0 % 10_000 == 0 {
            progress.tell(stamped.offset.0 - from.0, end.0 - from.0);
        }
    }
    let checkpoint = match found {
        Found::UpTo(next) => next,
        // What the whole log was read for is there for the next start, and for the checkpoints of this one.
        Found::None | Found::Useless => match checkpoint::write_at_end(storage, &engine, end, &read) {
            Ok(is_written) => {
                if is_written {
                    end
                } else {
                    Offset(0)
                }
            }
            Err(error) => {
                tracing::warn!(%error, "no checkpoint of fraud checks: a start reads all of them");
                Offset(0)
            }
        },
    };
    let edits = engine.edits().clone();
    let file_rules = put_in_force(config, &engine, edits)?;
    Ok(Remembered { engine, file_rules, checkpoint })
}

/// Puts rules and lists in force as REST left them, or else as the config has them.
fn put_in_force(config: &Config, engine: &Engine, edits: Edits) -> Result<Option<String>, AppError> {
    let of_file = &config.fraud.rules_text;
    let is_news = edits.rules.is_none() && edits.file_rules.as_ref() != Some(of_file);
    let is_put = edits.rules.is_some();
    let toml = edits.rules.unwrap_or_else(|| of_file.clone());
    let lists = first_lists(edits.lists, &toml);
    // Those of REST were right when they were put. Without the windows that some of them name the others still decide:
    // neither none of them nor no server at all would be safer.
    let make = if is_put { Policy::again } else { Policy::new };
    let policy = make(&toml, &engine.velocity, lists).map_err(told)?;
    let left_out = &policy.rules.left_out;
    if !left_out.is_empty() {
        tracing::error!(
            "{} of the fraud rules that were put by REST are left out, and every answer says degraded, for they do not go \
             with the config's windows: declare again what they name and start, or put rules that do without it:\n{}",
            left_out.len(),
            lines(left_out)
        );
    }
    engine.policy.store(Arc::new(policy));
    Ok(is_news.then_some(toml))
}

fn lines(faults: &[fraud::Fault]) -> String {
    let lines: Vec<String> = faults.iter().map(|f| format!("  {}: {}", f.pointer, f.message)).collect();
    lines.join("\n")
}

fn told(faults: Vec<fraud::Fault>) -> AppError {
    AppError(format!("the fraud rules have faults:\n{}", lines(&faults)))
}

/// Reads frequency caps alone back from the log.
pub fn remember_impressions(
    opened: &dyn Unstarted,
    impressions: &ImpressionStore,
    caps: &CapMemory,
    now: UnixMs,
    token_lifetime_ms: i64,
) -> Result<(), AppError> {
    let mut capped = Capped { impressions, caps, bits: Bits::default() };
    let from = capped.from(opened, now, token_lifetime_ms);
    let mut reader = opened.read(from).map_err(because("log"))?;
    while let Some(stamped) = reader.next_event().map_err(because("log"))? {
        capped.note(&stamped);
    }
    Ok(())
}

/// The impressions that still count for a frequency cap.
struct Capped<'a> {
    impressions: &'a ImpressionStore,
    caps: &'a CapMemory,
    bits: Bits,
}

impl Capped<'_> {
    /// Where the log begins to say something of caps.
    fn from(&self, opened: &dyn Unstarted, now: UnixMs, token_lifetime_ms: i64) -> Offset {
        let (longest, end) = (self.caps.iter().map(|cap| cap.1).max(), opened.durable_end());
        // A bill is told from its duplicate by having seen the first, which is at most a token's lifetime older.
        let from = |longest: i64| opened.offset_at_or_before(now.plus(-longest).plus(-token_lifetime_ms));
        longest.map_or(end, from).min(end)
    }

    fn note(&mut self, stamped: &Stamped) {
        match &stamped.event {
            Event::Notice(notice) => {
                let Some(state) = self.bits.get(notice.facts.reservation) else { return };
                let (state, outcome) = step(state, notice, stamped.at);
                self.bits.set(notice.facts.reservation, state);
                note_impression(self.impressions, self.caps, stamped, outcome);
            }
            Event::ReservationsForgotten { before } => self.bits.forget_before(*before),
            _ => {}
        }
    }
}

/// A line a second about long work.
pub struct Progress {
    what: &'static str,
    last: Instant,
}

impl Progress {
    pub fn new(what: &'static str) -> Progress {
        Progress { what, last: Instant::now() }
    }

    pub fn tell(&mut self, done: u64, total: u64) {
        if self.last.elapsed() >= Duration::from_secs(1) {
            self.last = Instant::now();
            tracing::info!("{}: {} %", self.what, done * 100 / total.max(1));
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicI64, Ordering};

    use super::*;
    use crate::event::{CampaignSet, Facts, NoticeKind};
    use crate::eventlog::mem::MemStorage;
    use crate::eventlog::{EventLog, Follower};
    use crate::ids::{CampaignNo, Currency};
    use crate::ledger::fold::tests::{facts, notice};
    use crate::money::Nanos;
    use crate::window::impressions::Seen;

    const DAY_MS: i64 = 86_400_000;
    const TOKEN_MS: i64 = 2 * DAY_MS;
    /// The longest cap: one impression in ten days.
    const CAP_MS: i64 = 10 * DAY_MS;
    const USER: u64 = 1;

    struct Nobody;
    impl Follower for Nobody {
        fn apply(&mut self, _: &Stamped, _: &mut Vec<Event>) {}
        fn tick(&mut self, _: UnixMs, _: &mut Vec<Event>) {}
    }

    fn open(disk: &MemStorage) -> Opened {
        let config = LogConfig { lanes: 1, lane_bytes: 8_192, segment_bytes: 4_096, max_bytes: None };
        SegmentLog::open(Arc::new(disk.clone()), config, &mut |_, _| {}).unwrap()
    }

    /// As many bytes as make the next event begin a segment.
    fn filler() -> Event {
        let json = Some("x".repeat(3_000));
        let (campaign, id, currency) = (CampaignNo(9), String::new(), Currency::USD);
        Event::CampaignSet(CampaignSet { campaign, id, currency, total: Nanos(0), daily: None, day: None, json })
    }

    /// What a cap knows of the user after a start `later_ms` after the last of `events`, each of which comes
    /// so many milliseconds after the start of the log and is followed by new segments.
    fn seen(events: &[(i64, Event)], later_ms: i64) -> Seen {
        let (disk, now) = (MemStorage::default(), Arc::new(AtomicI64::new(0)));
        let began = facts(0).bid_at;
        let clock = now.clone();
        let clock = Box::new(move || began.plus(clock.load(Ordering::Relaxed)));
        let log = open(&disk).start(clock, Box::new(Nobody), Box::new(|why| panic!("{why}"))).unwrap();
        for (after_ms, event) in events {
            now.store(*after_ms, Ordering::Relaxed);
            log.append_durable(0, std::slice::from_ref(event)).wait().unwrap();
            (0..3).for_each(|_| log.append_durable(0, &[filler()]).wait().unwrap());
        }
        let then = began.plus(now.load(Ordering::Relaxed) + later_ms);
        log.close().unwrap();
        let (impressions, caps) = (ImpressionStore::new(1 << 20), CapMemory::default());
        caps.insert(facts(0).campaign, (1, CAP_MS));
        remember_impressions(&open(&disk), &impressions, &caps, then, TOKEN_MS).unwrap();
        impressions.seen(facts(0).campaign, USER, then, CAP_MS, 1)
    }

    fn bill() -> Event {
        notice(NoticeKind::Bill, Facts { user: USER, ..facts(0) }, 7)
    }

    #[test]
    fn what_a_cap_counts_is_read_back_from_wherever_in_the_log_it_is() {
        let events = [(0, filler()), (1_000, bill()), (2_000, filler()), (3_000, filler())];
        assert_eq!(seen(&events, CAP_MS - 3_000), Seen::Reached);
        assert_eq!(seen(&events, CAP_MS), Seen::Below);
        // The impression no longer counts, and its duplicate never did: for that the first bill must be read.
        let events = [(0, filler()), (1_000, bill()), (DAY_MS, filler()), (DAY_MS + 1, bill()), (DAY_MS + 2, filler())];
        assert_eq!(seen(&events, CAP_MS - 1_000), Seen::Below);
    }
}
