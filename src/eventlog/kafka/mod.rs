//! [`KafkaLog`]: the log in a topic of Apache Kafka, shared by all gavels that use the topic.
//!
//! One partition is the log: its order is the same for every node, so that each comes to the same books by itself and no
//! node has to ask another. A record is one event, its offset the event's, the time of its append the event's.
//!
//! | file | idea |
//! |---|---|
//! | `client` | how gavel speaks to Kafka |
//! | `topic` | the topic as it has to be |
//! | `records` | the topic's records as events with the log's time |
//! | `key` | records' keys |
//! | `writer` | the thread: send, read back, apply, answer |
//!
//! What differs from segment files:
//! - Events of one `append_durable` call keep their order, but other processes' may stand between them, and a crash may
//!   leave only the first of them.
//! - What was handed to Kafka cannot be taken back: who waits for it waits until Kafka answers. While it does not
//!   ([`LogState::Away`]) nothing more is accepted.
//! - A quiet log gets an [`Event::StillRunning`](crate::event::Event::StillRunning) twice a second: its time is that of its records.

mod client;
mod key;
mod records;
mod topic;
mod writer;

use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use self::records::{PATIENCE, Records, Topic};
use self::topic::NoTopic;
use self::writer::Writer;
use super::group::MAX_GROUP_BYTES;
use super::intake::{Intake, Stop};
use super::lanes::LaneLimits;
use super::recovery::io_error;
use super::storage::{DirStorage, LockGuard, Storage};
use super::{
    AppendError, Clock, Durable, EventLog, Follower, LogReader, LogState, LogStats, OnFailed, OpenError, ReadError,
    Unstarted, Written,
};
use crate::clock::UnixMs;
use crate::config::Kafka;
use crate::event::{Event, Offset, Stamped};

/// Every fault of the topic; `Err` when Kafka does not answer. A topic that is not there is made by a start.
pub fn faults(config: &Kafka) -> Result<Vec<String>, String> {
    match topic::look(config) {
        Ok(()) | Err(NoTopic::Missing) => Ok(Vec::new()),
        Err(NoTopic::Faults(faults)) => Ok(faults),
        Err(NoTopic::Away(why)) => Err(format!("Kafka at {} does not answer: {why}", config.brokers.join(", "))),
    }
}

/// The events that were in the topic when it was opened.
pub struct KafkaTopic {
    config: Kafka,
    end: Offset,
    last_at: UnixMs,
}

impl KafkaTopic {
    pub fn open(config: &Kafka) -> Result<KafkaTopic, OpenError> {
        let opened = || {
            let (first, end) = Topic::new(config)?.ends()?;
            if first > Offset(0) {
                let place = format!("topic {}", config.topic);
                let what = format!("the events before {} are gone: gavel's topic must keep all of them", first.0);
                return Err(ReadError::Record { place, what });
            }
            let last_at = Topic::new(config)?.read(end)?.at;
            Ok(KafkaTopic { config: config.clone(), end, last_at })
        };
        opened().map_err(OpenError::Topic)
    }

    pub fn end(&self) -> Offset {
        self.end
    }

    pub fn read(&self, from: Offset) -> Result<Box<dyn LogReader>, ReadError> {
        Reader::open(&self.config, from, Arc::new(AtomicU64::new(self.end.0)), Spare::default())
    }
}

/// A topic that was looked at and can be read, but is not followed yet.
pub struct Opened {
    topic: KafkaTopic,
    lanes: usize,
    lane_bytes: usize,
    lock: Box<dyn LockGuard>,
}

impl Opened {
    /// Takes the data directory, whose books are this process's own; makes the topic where there is none.
    /// [`OpenError::Away`] is worth trying again.
    pub fn open(config: &Kafka, data_dir: &Path, lanes: usize, lane_bytes: usize) -> Result<Opened, OpenError> {
        let storage = DirStorage::new(data_dir).map_err(io_error("make the data directory"))?;
        let lock = storage.lock().map_err(|source| match source.kind() {
            std::io::ErrorKind::WouldBlock => OpenError::Locked { dir: storage.locate("") },
            _ => OpenError::Io { doing: format!("lock {}", storage.locate("")), source },
        })?;
        let away = |why| OpenError::Away { brokers: config.brokers.join(", "), why };
        topic::make_and_look(config).map_err(|why| match why {
            NoTopic::Away(why) => away(why),
            NoTopic::Missing => away("no topic yet".into()),
            NoTopic::Faults(faults) => OpenError::Config(faults.join("; ")),
        })?;
        let topic = KafkaTopic::open(config).map_err(|error| match error {
            OpenError::Topic(ReadError::Unanswered { why, .. }) => away(why),
            error => error,
        })?;
        Ok(Opened { topic, lanes, lane_bytes, lock })
    }

    pub fn start(self, follower: Box<dyn Follower>, on_failed: OnFailed) -> Result<KafkaLog, OpenError> {
        let limits = LaneLimits { lane_bytes: self.lane_bytes, unit_bytes: MAX_GROUP_BYTES };
        let intake = Arc::new(Intake::new(self.lanes, limits, on_failed));
        let KafkaTopic { config, end, .. } = self.topic;
        let durable_end = Arc::new(AtomicU64::new(end.0));
        let records: Records = Topic::new(&config).and_then(|topic| topic.read(end)).map_err(OpenError::Topic)?;
        let writer = Writer::new(&config, intake.clone(), durable_end.clone(), records, follower);
        let writer = writer.map_err(|e| OpenError::Config(e.to_string()))?;
        let thread = thread::Builder::new().name("log-writer".into()).spawn(|| writer.run());
        let thread = thread.map_err(io_error("start a thread of the log"))?;
        // Set before anyone can append; only this function sets it.
        let _ = intake.writer.set(thread.thread().clone());
        let running = Mutex::new(Some(Running { thread, _lock: self.lock }));
        Ok(KafkaLog { config, intake, durable_end, running, spare: Spare::default() })
    }
}

impl Unstarted for Opened {
    fn durable_end(&self) -> Offset {
        self.topic.end
    }

    fn last_at(&self) -> Option<UnixMs> {
        (self.topic.end > Offset(0)).then_some(self.topic.last_at)
    }

    fn read(&self, from: Offset) -> Result<Box<dyn LogReader>, ReadError> {
        self.topic.read(from)
    }

    fn offset_at_or_before(&self, at: UnixMs) -> Offset {
        offset_at_or_before(&self.topic.config, at, self.topic.end)
    }

    /// The log's time is the brokers': the clock is not asked.
    fn start(
        self: Box<Self>,
        _: Clock,
        follower: Box<dyn Follower>,
        on_failed: OnFailed,
    ) -> Result<Arc<dyn EventLog>, OpenError> {
        Ok(Arc::new(Opened::start(*self, follower, on_failed)?))
    }
}

/// Exact: all before it are older. The log's start where Kafka does not answer.
fn offset_at_or_before(config: &Kafka, at: UnixMs, end: Offset) -> Offset {
    let first = Topic::new(config).and_then(|topic| topic.first_since(at));
    first.map_or(Offset(0), |first| first.unwrap_or(end).min(end))
}

/// The log in a topic.
pub struct KafkaLog {
    config: Kafka,
    intake: Arc<Intake>,
    /// One past the last event that was applied.
    durable_end: Arc<AtomicU64>,
    running: Mutex<Option<Running>>,
    spare: Spare,
}

/// The log's thread, and the data directory that is taken as long as it runs.
struct Running {
    thread: JoinHandle<()>,
    _lock: Box<dyn LockGuard>,
}

impl KafkaLog {
    fn join(&self, stop: Stop) {
        self.intake.request_stop(stop);
        let running = self.running.lock().unwrap_or_else(|e| e.into_inner()).take();
        // A panic in there was reported as a failure of the log.
        let _ = running.map(|running| running.thread.join());
    }
}

impl EventLog for KafkaLog {
    fn append_all(&self, lane: usize, events: &[Event]) -> Result<(), AppendError> {
        self.intake.append_all(lane, events)
    }

    fn append_durable(&self, lane: usize, events: &[Event]) -> Durable {
        self.intake.append_durable(lane, events)
    }

    fn append_written(&self, lane: usize, event: &Event, synced: bool) -> Written {
        self.intake.append_written(lane, event, synced)
    }

    fn state(&self) -> LogState {
        self.intake.stats.state()
    }

    fn durable_end(&self) -> Offset {
        Offset(self.durable_end.load(Ordering::Acquire))
    }

    fn read(&self, from: Offset) -> Result<Box<dyn LogReader>, ReadError> {
        Reader::open(&self.config, from, self.durable_end.clone(), self.spare.clone())
    }

    fn read_apart(&self, from: Offset) -> Result<Box<dyn LogReader>, ReadError> {
        Reader::open(&self.config, from, Arc::new(AtomicU64::new(self.durable_end().0)), Spare::default())
    }

    fn offset_at_or_before(&self, at: UnixMs) -> Offset {
        offset_at_or_before(&self.config, at, self.durable_end())
    }

    fn stats(&self) -> &LogStats {
        &self.intake.stats
    }

    fn close(&self) -> Result<(), AppendError> {
        self.join(Stop::WhenWritten);
        match self.intake.failure() {
            Some(error) => Err(error),
            None if self.intake.unwritten.load(Ordering::Acquire) => Err(AppendError::Away),
            None => Ok(()),
        }
    }
}

impl Drop for KafkaLog {
    /// As a crash would leave it.
    fn drop(&mut self) {
        self.join(Stop::Now);
    }
}

/// A client that nobody reads with now: making one takes longer than reading an event.
type Spare = Arc<Mutex<Option<Topic>>>;

/// Reads the topic up to an end that may move on.
struct Reader {
    /// Until it is dropped.
    records: Option<Records>,
    end: Arc<AtomicU64>,
    spare: Spare,
}

impl Reader {
    fn open(config: &Kafka, from: Offset, end: Arc<AtomicU64>, spare: Spare) -> Result<Box<dyn LogReader>, ReadError> {
        let now = Offset(end.load(Ordering::Acquire));
        if from > now {
            return Err(ReadError::PastEnd { from, end: now });
        }
        let topic = spare.lock().unwrap_or_else(|e| e.into_inner()).take();
        let topic = topic.map_or_else(|| Topic::new(config), Ok)?;
        Ok(Box::new(Reader { records: Some(topic.read(from)?), end, spare }))
    }
}

impl LogReader for Reader {
    fn next_event(&mut self) -> Result<Option<Stamped>, ReadError> {
        let end = self.end.load(Ordering::Acquire);
        let Some(records) = self.records.as_mut().filter(|records| records.next.0 < end) else { return Ok(None) };
        let asked = Instant::now();
        loop {
            if let Some(stamped) = records.next(Duration::from_millis(100))? {
                return Ok(Some(stamped));
            }
            if asked.elapsed() >= PATIENCE {
                let why = format!("event {} has not come", records.next.0);
                return Err(ReadError::Unanswered { place: "the log's topic".to_owned(), why });
            }
        }
    }
}

impl Drop for Reader {
    fn drop(&mut self) {
        let topic = self.records.take().and_then(Records::end);
        let before = topic.map(|topic| self.spare.lock().unwrap_or_else(|e| e.into_inner()).replace(topic));
        // Ending a client takes a moment: not under the lock.
        drop(before);
    }
}
