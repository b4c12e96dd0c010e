//! The commit thread: takes what is in the lanes, writes it as groups, syncs each, applies it, tells who waits.
//!
//! The next commit starts as soon as the last sync has returned if anyone waits, and within [`TICK`] otherwise. Each
//! group is synced before the next one is written: recovery depends on at most one being incomplete.

use std::io;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::thread;
use std::time::{Duration, Instant};

use super::format::SegmentHeader;
use super::group::GroupBuilder;
use super::intake::{PanicGuard, Stop};
use super::lanes::{Cut, Lane, LaneLimits};
use super::segment_file::SegmentFile;
use super::shared::Shared;
use super::spares::{self, Next};
use super::{AppendError, Clock, Follower};
use crate::clock::UnixMs;
use crate::event::{Event, Offset, Stamped};

/// The longest pause between two commits, and so the longest that an event nobody waits for stays in memory only.
const TICK: Duration = Duration::from_millis(5);

/// What a step of the [`Writer`] came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// There is more to write.
    Again,
    /// Nothing to do, or nothing that can be done yet.
    Idle,
    Done,
}

pub struct Writer {
    shared: Arc<Shared>,
    clock: Clock,
    follower: Box<dyn Follower>,
    /// `None` when the last segment is sealed.
    segment: Option<SegmentFile>,
    next: Offset,
    last_at: UnixMs,
    cut: Cut,
    builder: GroupBuilder,
    /// Events of the follower itself.
    own: Lane,
    out: Vec<Event>,
}

impl Writer {
    pub fn new(
        shared: Arc<Shared>,
        clock: Clock,
        follower: Box<dyn Follower>,
        segment: Option<SegmentFile>,
        next: Offset,
        last_at: UnixMs,
    ) -> Writer {
        let cut = Cut::new(shared.lanes.len());
        let builder = GroupBuilder::new();
        Writer { shared, clock, follower, segment, next, last_at, cut, builder, own: Lane::default(), out: Vec::new() }
    }

    /// Runs until the log stops or fails.
    pub fn run(mut self) {
        let _guard = PanicGuard(self.shared.intake.clone(), "the commit thread panicked");
        loop {
            match self.step() {
                Step::Again => {}
                Step::Idle => thread::park_timeout(TICK),
                Step::Done => return,
            }
        }
    }

    /// One tick and one commit of everything that is in the lanes.
    pub fn step(&mut self) -> Step {
        if let Some(error) = self.shared.failure() {
            return self.give_up(&error);
        }
        let stop = self.shared.stop();
        if stop == Stop::Now {
            return self.give_up(&AppendError::Closed);
        }
        match self.tick_and_commit(stop) {
            Ok(step) => step,
            Err(e) => {
                self.shared.fail(&format!("cannot write the log: {e}"));
                let error = self.shared.failure().unwrap_or(AppendError::Closed);
                self.give_up(&error)
            }
        }
    }

    fn tick_and_commit(&mut self, stop: Stop) -> io::Result<Step> {
        // Only on top of all that was taken before: what the follower asks for then comes before anything it has not seen.
        if stop == Stop::No && self.cut.is_written() {
            let now = self.now();
            self.follower.tick(now, &mut self.out);
            self.keep_own()?;
        }
        if self.cut.is_written() {
            self.cut.take(&mut self.own, &self.shared.lanes);
        }
        let all_written = self.write_cut()?;
        if !all_written {
            if self.shared.exhausted.load(Ordering::Acquire) {
                // Nobody knows when there will be space: who waits is told now, and nothing of theirs is kept.
                self.cut.refuse_waiting(&AppendError::Full);
                self.shared.refuse_waiting(&AppendError::Full);
                if self.cut.is_written() {
                    return Ok(Step::Again);
                }
                if stop == Stop::WhenWritten {
                    self.shared.unwritten.store(true, Ordering::Release);
                    return Ok(self.give_up(&AppendError::Full));
                }
            }
            return Ok(Step::Idle);
        }
        match (self.own.is_empty(), stop) {
            (false, _) => Ok(Step::Again),
            (true, Stop::No) => Ok(Step::Idle),
            // Appends have been refused since before the cut was taken: the lanes are empty for good.
            (true, _) => Ok(Step::Done),
        }
    }

    /// The log's time: the clock's, but never back.
    fn now(&mut self) -> UnixMs {
        self.last_at = self.last_at.max((self.clock)());
        self.last_at
    }

    /// Writes the cut as one group or several; `false` when there is no segment for the rest of it yet.
    fn write_cut(&mut self) -> io::Result<bool> {
        let mut fresh = false;
        while let Some(unit) = self.cut.peek() {
            self.builder.clear();
            let needed = self.builder.bytes_with(unit.record_bytes);
            let Some(segment) = self.segment.as_ref().filter(|s| needed <= s.room()) else {
                if fresh {
                    return Err(io::Error::other(format!("events of {needed} bytes do not fit into a segment")));
                }
                if !self.next_segment()? {
                    return Ok(false);
                }
                fresh = true;
                continue;
            };
            fresh = false;
            let (room, sum) = (segment.room(), segment.sum);
            let at = self.now();
            while let Some(unit) = self.cut.peek().filter(|u| self.builder.bytes_with(u.record_bytes) <= room) {
                let offset = Offset(self.next.0 + u64::from(self.builder.records()));
                unit.events().for_each(|event| self.builder.push(sum, at, event));
                let taken = unit.buffer_bytes();
                self.cut.advance(taken, offset);
            }
            self.commit(at)?;
        }
        Ok(true)
    }

    /// Writes and syncs the group in the builder, all stamped `at`, then applies it and tells who waits.
    fn commit(&mut self, at: UnixMs) -> io::Result<()> {
        let Some(segment) = &mut self.segment else { return Err(io::Error::other("no segment to write to")) };
        let first = self.next;
        segment.write(&mut self.builder, first)?;
        self.cut.tell_placed();
        let started = Instant::now();
        segment.sync()?;
        self.shared.stats.count_sync(started.elapsed());
        let records = u64::from(self.builder.records());
        self.shared.stats.count_group(records, self.builder.group_bytes() as u64);
        self.next = Offset(first.0 + records);
        self.shared.index.set_durable_end(self.next);
        for (offset, bytes) in (first.0..).map(Offset).zip(self.builder.events()) {
            let unreadable =
                || io::Error::other(format!("event {} was encoded so that it cannot be decoded", offset.0));
            let event = Event::decode(bytes).ok_or_else(unreadable)?;
            self.follower.apply(&Stamped { offset, at, event }, &mut self.out);
        }
        self.keep_own()?;
        self.cut.answer_written();
        Ok(())
    }

    /// Encodes what the follower wants appended.
    fn keep_own(&mut self) -> io::Result<()> {
        let limits = LaneLimits { lane_bytes: usize::MAX, ..self.shared.limits };
        for event in self.out.drain(..) {
            let pushed = self.own.push(std::slice::from_ref(&event), limits);
            pushed.map_err(|e| io::Error::other(format!("the follower's event cannot be appended: {e}")))?;
        }
        Ok(())
    }

    /// Seals the segment and starts the next one; `false` when there is none yet.
    fn next_segment(&mut self) -> io::Result<bool> {
        let Next::Spare { name, file } = spares::take(&self.shared) else { return Ok(false) };
        if let Some(full) = self.segment.take() {
            full.seal(&mut self.builder, self.next)?;
        }
        let storage = self.shared.index.storage.clone();
        let header = SegmentHeader {
            number: self.shared.index.with_segments(|s| s.last().map_or(0, |last| last.number)) + 1,
            first: self.next,
            salt: storage.random()?,
            created: self.now(),
            bytes: file.len()?,
        };
        self.segment = Some(SegmentFile::start(&*storage, name, file, &header)?);
        self.shared.index.with_segments(|s| s.push(header));
        self.shared.stats.segments.fetch_add(1, Ordering::Relaxed);
        spares::release(&self.shared, name);
        Ok(true)
    }

    fn give_up(&mut self, error: &AppendError) -> Step {
        self.cut.answer_all(error);
        self.shared.answer_lanes(error);
        Step::Done
    }
}
