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
use crate::clock::UnixMs;
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
    /// Number of the segment.
    pub segment: u64,
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

    /// What is durable now, for who is to hold up nobody.
    pub fn copied(&self) -> Index {
        // Its end first: whatever is durable by then is in a segment that was there.
        let end = self.durable_end();
        Index::new(self.storage.clone(), self.read_segments(<[SegmentHeader]>::to_vec), end)
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
        // A panic cannot leave a list half changed that only ever grows by a push and loses a first part at once.
        f(&mut self.segments.write().unwrap_or_else(|e| e.into_inner()))
    }

    fn read_segments<T>(&self, f: impl FnOnce(&[SegmentHeader]) -> T) -> T {
        f(&self.segments.read().unwrap_or_else(|e| e.into_inner()))
    }

    /// The first event that the log has.
    pub fn begin(&self) -> Offset {
        self.read_segments(|segments| segments.first().map_or(Offset(0), |first| first.first))
    }

    /// The segment of that number.
    pub fn segment(&self, number: u64) -> Option<SegmentHeader> {
        self.read_segments(|segments| {
            let i = number.checked_sub(segments.first()?.number)?;
            segments.get(usize::try_from(i).ok()?).copied()
        })
    }

    /// The segment that an event stands in; none for those before the first.
    pub fn holding(&self, offset: Offset) -> Option<SegmentHeader> {
        self.read_segments(|segments| {
            let after = segments.partition_point(|segment| segment.first <= offset);
            segments.get(after.checked_sub(1)?).copied()
        })
    }

    /// The last segment that was created before `at`.
    pub fn last_before(&self, at: UnixMs) -> Option<SegmentHeader> {
        self.read_segments(|segments| {
            let after = segments.partition_point(|segment| segment.created < at);
            segments.get(after.checked_sub(1)?).copied()
        })
    }

    /// Segments that hold only events before `offset`, and the first one after them.
    pub fn wholly_before(&self, offset: Offset) -> (Vec<SegmentHeader>, Option<SegmentHeader>) {
        self.read_segments(|segments| {
            let before = segments.partition_point(|segment| segment.first <= offset).saturating_sub(1);
            (segments[..before].to_vec(), segments.get(before).copied())
        })
    }

    /// Forgets all segments before this one, which is there.
    pub fn forget_before(&self, first: &SegmentHeader) {
        self.with_segments(|segments| segments.retain(|segment| segment.number >= first.number));
        let mut marks = self.marks.write().unwrap_or_else(|e| e.into_inner());
        *marks = marks.split_off(&first.first);
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
