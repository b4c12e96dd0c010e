//! The event log: the one immutable record of everything that changed state.
//!
//! [`EventLog`] is what the rest of gavel knows. [`SegmentLog`] keeps it in segment files on one disk:
//!
//! | file | idea |
//! |---|---|
//! | `storage` | the disk as a trait, and the real one |
//! | `mem` | the simulated disk |
//! | `format`, `group` | bytes of segments, groups and records; pure |
//! | `recovery` | checks every byte at open; cuts an incomplete last group, refuses anything else |
//! | `intake`, `lanes` | where producers leave encoded events |
//! | `writer` | the commit thread: cut the lanes, write a group, sync, apply, answer |
//! | `segment_file` | the segment being written: room, seal, next |
//! | `spares` | the helper thread that prepares segments ahead, and what happens when the disk is full |
//! | `read_only` | reads a log that another process may be writing |
//! | `reader` | reads events back, up to the durable end |
//! | `begin` | where a log begins whose first segments were removed |
//! | `older` | reads on from before that, from where they were kept |
//! | `segments` | puts them together |
//!
//! `kafka` keeps it in a topic of Apache Kafka instead (feature `kafka`): see there for what differs.
//!
//! What holds, always:
//! - An event whose [`Durable`] came back `Ok` is in the log after any crash, and was given to the [`Follower`].
//! - An event whose [`Written`] came back `Ok` is in the log after a crash of the process, at that offset.
//! - Events of one `append_durable` call stand next to each other in one group: after a crash all or none are there.
//! - Events of one lane keep their order. Events of different lanes that were not waited for may be swapped.
//! - `at` never decreases along the log, and never lies before a `tick` the follower has seen.
//! - After a failed write or sync nothing is written any more.

mod begin;
mod durable;
mod format;
mod group;
mod intake;
#[cfg(feature = "kafka")]
pub mod kafka;
mod lanes;
pub mod mem;
mod older;
mod read_only;
mod reader;
mod recovery;
mod segment_file;
mod segments;
mod shared;
mod spares;
mod stats;
mod storage;
#[cfg(test)]
mod tests;
mod writer;

use std::sync::Arc;

pub use durable::{Durable, Written};
pub use group::MAX_GROUP_BYTES;
pub use older::Older;
pub use read_only::ReadOnlyLog;
pub use segments::{Opened, SegmentLog};
pub use spares::{Prepared, Preparer};
pub use stats::{LogState, LogStats};
pub use storage::{DirStorage, DiskFile, LockGuard, Storage};
pub use writer::{Step, Writer};

use crate::clock::UnixMs;
use crate::event::{Event, Offset, Stamped};

/// An append-only log of events, shared by all threads.
pub trait EventLog: Send + Sync {
    /// Leaves events for the next commit, all or none of them, and returns at once; a crash within the next 5 ms may
    /// lose them. `lane` is the caller's worker index (taken modulo the number of lanes). Refused while
    /// [`LogState::Full`]; no events are `Ok`.
    fn append_all(&self, lane: usize, events: &[Event]) -> Result<(), AppendError>;

    /// As [`append_all`](Self::append_all), for one.
    fn append(&self, lane: usize, event: &Event) -> Result<(), AppendError> {
        self.append_all(lane, std::slice::from_ref(event))
    }

    /// Appends events that must not be lost, all or none of them. The result comes once they are durable and the
    /// follower has applied them; an error means that they are not known to be durable. Goes on in
    /// [`LogState::Full`] as long as there is any room; after that who waits is refused too. No events is `Ok` at once.
    fn append_durable(&self, lane: usize, events: &[Event]) -> Durable;

    /// Appends an event that must outlive this process. The result comes once it is written, with its offset; it is
    /// synced right after, within 5 ms unless the disk stalls. Refused while [`LogState::Full`]. The follower applies it
    /// later. With `synced` the result comes only when it is durable and applied.
    fn append_written(&self, lane: usize, event: &Event, synced: bool) -> Written;

    fn state(&self) -> LogState;

    /// One past the last durable event.
    fn durable_end(&self) -> Offset;

    /// Reads from `from` on, which must not lie beyond [`durable_end`](Self::durable_end).
    fn read(&self, from: Offset) -> Result<Box<dyn LogReader>, ReadError>;

    /// As [`read`](Self::read), up to what is durable now, by a reader that shares no lock with the log: for threads of the lowest
    /// priority, which others would wait for.
    fn read_apart(&self, from: Offset) -> Result<Box<dyn LogReader>, ReadError>;

    /// An offset before which all events are older than `at`; near to the first one that is not, but not exactly.
    fn offset_at_or_before(&self, at: UnixMs) -> Offset;

    /// The first event that it has: earlier ones were removed.
    fn begin(&self) -> Offset {
        Offset(0)
    }

    /// Where it would begin if all was removed that can be of what lies before `offset`: with the file that this is in.
    fn could_begin(&self, _: Offset) -> Offset {
        self.begin()
    }

    /// Removes the files that hold only events before `offset`, the oldest first; how many those were. Whatever a crash
    /// leaves of it, the log is whole from [`begin`](Self::begin) on.
    fn remove_before(&self, _: Offset) -> std::io::Result<usize> {
        Ok(0)
    }

    fn stats(&self) -> &LogStats;

    /// Makes everything accepted durable, then stops. Later appends get [`AppendError::Closed`].
    /// Must be called from a thread that may block.
    fn close(&self) -> Result<(), AppendError>;
}

/// A log that was opened and is not written yet: what follows it catches up first.
pub trait Unstarted {
    /// One past the last durable event.
    fn durable_end(&self) -> Offset;

    /// Time of the last event; `None` in an empty log.
    fn last_at(&self) -> Option<UnixMs>;

    /// As [`EventLog::read`].
    fn read(&self, from: Offset) -> Result<Box<dyn LogReader>, ReadError>;

    /// As [`EventLog::offset_at_or_before`].
    fn offset_at_or_before(&self, at: UnixMs) -> Offset;

    /// Starts the threads of the log; from here on the follower gets what is appended.
    fn start(
        self: Box<Self>,
        clock: Clock,
        follower: Box<dyn Follower>,
        on_failed: OnFailed,
    ) -> Result<Arc<dyn EventLog>, OpenError>;
}

/// A place in the log that moves forward.
pub trait LogReader: Send {
    /// The next durable event; `Ok(None)` at the durable end, where it may be asked again later.
    /// After an error the reader stays where it is.
    fn next_event(&mut self) -> Result<Option<Stamped>, ReadError>;
}

/// What follows the log on its own commit thread: hot state.
///
/// Events pushed to `out` are appended in the next group; a follower must push only boundedly many per call.
pub trait Follower: Send {
    /// Called for each event once it is durable, in log order.
    fn apply(&mut self, stamped: &Stamped, out: &mut Vec<Event>);
    /// Called before each commit, at least about every 5 ms, with the log's own time; no event applied later is
    /// stamped earlier. What it pushes to `out` is written before anything that was not applied by then. Pauses while
    /// a full disk keeps earlier events from being written.
    fn tick(&mut self, now: UnixMs, out: &mut Vec<Event>);
}

/// The log's clock. May jump back: the log takes the latest time it has seen.
pub type Clock = Box<dyn FnMut() -> UnixMs + Send>;

/// Called once, with the reason, when the log fails: the process must stop answering and exit. Runs on a thread of
/// the log: it must not close or drop it.
pub type OnFailed = Box<dyn Fn(&str) + Send + Sync>;

#[derive(Clone, Debug)]
pub struct LogConfig {
    /// Number of producer lanes, one per worker thread; default 1.
    pub lanes: usize,
    /// Bytes of encoded events a lane may hold before it is [`AppendError::Busy`]; default 4 MiB. A stalled disk
    /// must not grow memory: at most twice this per lane is held.
    pub lane_bytes: usize,
    /// Length of new segment files; a multiple of 512 from 2 KiB to 1 GiB, default 64 MiB.
    pub segment_bytes: u64,
    /// The log is full when its files would take more than this; at least three segments. Default none: the disk.
    pub max_bytes: Option<u64>,
}

impl Default for LogConfig {
    fn default() -> LogConfig {
        LogConfig { lanes: 1, lane_bytes: 4 << 20, segment_bytes: 64 << 20, max_bytes: None }
    }
}

#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum AppendError {
    /// The lane is full: the disk is slower than what comes in. Worth trying again.
    #[error("the log is behind: its queue is full")]
    Busy,
    #[error("the log is full: it takes no more events until there is space on its disk, or below log.max_bytes")]
    Full,
    #[error("the log takes no events: Kafka does not answer")]
    Away,
    #[error("events of {bytes} bytes are too large for one commit (at most {max})")]
    TooLarge { bytes: usize, max: usize },
    /// Nothing is written any more; whether the events are on the disk shows after a restart.
    #[error("the log has failed: {0}")]
    Failed(Arc<str>),
    #[error("the log is closed")]
    Closed,
}

#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    #[error("{dir} is in use by another gavel process: stop that one first, or choose another data directory")]
    Locked { dir: String },
    /// Something other than an incomplete last group is wrong. Nothing was changed on the disk.
    #[error(
        "log segment {segment} is damaged at byte {offset}: {what}. Acknowledged events may be lost, so the log \
         stays closed and nothing was changed. Do not edit or delete the file: check the disk, put back this file \
         from a backup or a replica, and start again"
    )]
    Corrupt { segment: String, offset: u64, what: String },
    #[error("no space on the disk to open the log: it needs {needed_bytes} bytes more")]
    NoSpace { needed_bytes: u64 },
    #[error("log config: {0}")]
    Config(String),
    /// Worth trying again.
    #[error("Kafka at {brokers} does not answer: {why}")]
    Away { brokers: String, why: String },
    #[error("{0}")]
    Topic(ReadError),
    #[error("cannot {doing}: {source}")]
    Io { doing: String, source: std::io::Error },
}

#[derive(Debug, thiserror::Error)]
pub enum ReadError {
    #[error("offset {from} lies beyond the end of the log at {end}", from = from.0, end = end.0)]
    PastEnd { from: Offset, end: Offset },
    /// It was exported and removed.
    #[error("event {from} is not in the log any more, which begins at event {begin}: it is in the archive", from = from.0, begin = begin.0)]
    Gone { from: Offset, begin: Offset },
    /// What was kept of removed events cannot be read from there on, or does not go with the log.
    #[error("event {at}: {what}", at = at.0)]
    Older { at: Offset, what: String },
    #[error("the log is damaged in {segment} at byte {position}: {what}")]
    Corrupt { segment: String, position: u64, what: String },
    /// The bytes are whole, but this build cannot decode them.
    #[error(
        "event {offset} in {segment} at byte {position} has kind {kind} version {version}, which this build does not \
         know: the log was written by a newer one", offset = offset.0
    )]
    UnknownEvent { segment: String, position: u64, offset: Offset, kind: u8, version: u8 },
    #[error("cannot read {segment}: {source}")]
    Io { segment: String, source: std::io::Error },
    /// Of a log on Kafka.
    #[error("{place}: {what}")]
    Record { place: String, what: String },
    /// Worth trying again.
    #[error("{place}: Kafka does not answer: {why}")]
    Unanswered { place: String, why: String },
}
