//! What producers, the two threads and readers share.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, AtomicU8, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, OnceLock, RwLock};
use std::thread::{self, Thread};

use super::format::SegmentHeader;
use super::lanes::{Lane, LaneLimits, lock};
use super::spares::Spares;
use super::stats::{LogState, LogStats};
use super::{AppendError, LogConfig, OnFailed, Storage};
use crate::event::Offset;

/// What is durable and where it stands.
pub struct Index {
    pub storage: Arc<dyn Storage>,
    /// In order, without gaps; a segment is here before its first group is written.
    pub segments: RwLock<Vec<SegmentHeader>>,
    durable_end: AtomicU64,
    /// Where groups begin, here and there: what readers came by. 16 bytes or so for every [`MARK_BYTES`] of log.
    marks: RwLock<BTreeMap<Offset, Mark>>,
}

/// A group that was whole and in its place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Mark {
    /// Index of the segment.
    pub segment: usize,
    pub position: u64,
    pub first: Offset,
}

/// Between two marks of a segment: what is read to find one event.
pub const MARK_BYTES: u64 = 128 << 10;

impl Index {
    pub fn new(storage: Arc<dyn Storage>, segments: Vec<SegmentHeader>, durable_end: Offset) -> Index {
        let durable_end = AtomicU64::new(durable_end.0);
        Index { storage, segments: RwLock::new(segments), durable_end, marks: RwLock::default() }
    }

    pub fn mark(&self, mark: Mark) {
        self.marks.write().unwrap_or_else(|e| e.into_inner()).insert(mark.first, mark);
    }

    /// The last mark at or before an event.
    pub fn mark_before(&self, offset: Offset) -> Option<Mark> {
        let marks = self.marks.read().unwrap_or_else(|e| e.into_inner());
        marks.range(..=offset).next_back().map(|(_, mark)| *mark)
    }

    pub fn durable_end(&self) -> Offset {
        Offset(self.durable_end.load(Ordering::Acquire))
    }

    pub fn set_durable_end(&self, end: Offset) {
        self.durable_end.store(end.0, Ordering::Release);
    }

    /// Runs `f` over the segments.
    pub fn with_segments<T>(&self, f: impl FnOnce(&mut Vec<SegmentHeader>) -> T) -> T {
        // A panic cannot leave a list that only ever grows by a push half changed.
        f(&mut self.segments.write().unwrap_or_else(|e| e.into_inner()))
    }

    /// The segment whose number is `i + 1`.
    pub fn segment(&self, i: usize) -> Option<SegmentHeader> {
        self.segments.read().unwrap_or_else(|e| e.into_inner()).get(i).copied()
    }

    /// How many segments match `before`, which holds for a first part of them.
    pub fn count_while(&self, before: impl FnMut(&SegmentHeader) -> bool) -> usize {
        self.segments.read().unwrap_or_else(|e| e.into_inner()).partition_point(before)
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[repr(u8)]
pub enum Stop {
    No = 0,
    /// Write what was accepted, then stop.
    WhenWritten = 1,
    Now = 2,
}

pub struct Shared {
    pub config: LogConfig,
    pub limits: LaneLimits,
    pub index: Arc<Index>,
    pub lanes: Box<[Mutex<Lane>]>,
    pub stats: LogStats,
    pub spares: Mutex<Spares>,
    /// Not even a reserve is left: nothing is accepted.
    pub exhausted: AtomicBool,
    /// Accepted events could not be written before the end.
    pub unwritten: AtomicBool,
    stop: AtomicU8,
    failure: OnceLock<Arc<str>>,
    on_failed: OnFailed,
    pub writer: OnceLock<Thread>,
    pub preparer: OnceLock<Thread>,
}

impl Shared {
    pub fn new(
        config: LogConfig,
        limits: LaneLimits,
        index: Arc<Index>,
        spares: Spares,
        on_failed: OnFailed,
    ) -> Shared {
        let lanes = (0..config.lanes).map(|_| Mutex::default()).collect();
        Shared {
            config,
            limits,
            index,
            lanes,
            stats: LogStats::default(),
            spares: Mutex::new(spares),
            exhausted: AtomicBool::new(false),
            unwritten: AtomicBool::new(false),
            stop: AtomicU8::new(Stop::No as u8),
            failure: OnceLock::new(),
            on_failed,
            writer: OnceLock::new(),
            preparer: OnceLock::new(),
        }
    }

    pub fn stop(&self) -> Stop {
        match self.stop.load(Ordering::Acquire) {
            0 => Stop::No,
            1 => Stop::WhenWritten,
            _ => Stop::Now,
        }
    }

    /// A stop is never taken back.
    pub fn request_stop(&self, stop: Stop) {
        self.stop.fetch_max(stop as u8, Ordering::AcqRel);
        self.wake_writer();
        self.wake_preparer();
    }

    /// Unparking a running thread costs one atomic operation and makes its next park return at once.
    pub fn wake_writer(&self) {
        if let Some(thread) = self.writer.get() {
            thread.unpark();
        }
    }

    pub fn wake_preparer(&self) {
        if let Some(thread) = self.preparer.get() {
            thread.unpark();
        }
    }

    pub fn failure(&self) -> Option<AppendError> {
        self.failure.get().map(|text| AppendError::Failed(text.clone()))
    }

    pub fn fail(&self, text: &str) {
        if self.failure.set(text.into()).is_ok() {
            self.stats.set_state(LogState::Failed);
            (self.on_failed)(text);
            self.wake_writer();
            self.wake_preparer();
        }
    }

    /// Why nothing can be appended now. Asked with the lane locked: the writer, after it has set one of these, locks
    /// every lane once more, so no event slips in that nobody would look at.
    pub fn refusal(&self, must_not_be_lost: bool) -> Option<AppendError> {
        let state = self.stats.state();
        if state == LogState::Failed {
            return self.failure();
        }
        if self.stop() != Stop::No {
            return Some(AppendError::Closed);
        }
        let full = (state == LogState::Full && !must_not_be_lost) || self.exhausted.load(Ordering::Acquire);
        full.then_some(AppendError::Full)
    }

    /// As [`Lane::refuse_waiting`], for all lanes.
    pub fn refuse_waiting(&self, error: &AppendError) {
        for lane in &self.lanes {
            lock(lane).refuse_waiting(0, error);
        }
    }

    /// Tells everyone who waits that their events will not be written.
    pub fn answer_lanes(&self, error: &AppendError) {
        for lane in &self.lanes {
            lock(lane).answer_all(error);
        }
    }
}

/// A thread that panics must not leave a log that looks alive.
pub struct PanicGuard(pub Arc<Shared>, pub &'static str);

impl Drop for PanicGuard {
    fn drop(&mut self) {
        if thread::panicking() {
            self.0.fail(self.1);
            if let Some(error) = self.0.failure() {
                self.0.answer_lanes(&error);
            }
        }
    }
}
