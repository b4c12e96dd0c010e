//! What the threads of a log in segment files and its readers share.

use std::collections::BTreeMap;
use std::ops::Deref;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, RwLock};

use super::format::SegmentHeader;
use super::intake::Intake;
use super::lanes::LaneLimits;
use super::spares::Spares;
use super::{LogConfig, OnFailed, Storage};
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

pub struct Shared {
    pub config: LogConfig,
    pub intake: Arc<Intake>,
    pub index: Arc<Index>,
    pub spares: Mutex<Spares>,
}

impl Shared {
    pub fn new(
        config: LogConfig,
        limits: LaneLimits,
        index: Arc<Index>,
        spares: Spares,
        on_failed: OnFailed,
    ) -> Shared {
        let intake = Arc::new(Intake::new(config.lanes, limits, on_failed));
        Shared { config, intake, index, spares: Mutex::new(spares) }
    }
}

impl Deref for Shared {
    type Target = Intake;

    fn deref(&self) -> &Intake {
        &self.intake
    }
}
