//! What producers and the thread that writes share, whatever the log is kept in.

use std::sync::atomic::{AtomicBool, AtomicU8, Ordering};
use std::sync::{Arc, Mutex, OnceLock};
use std::thread::{self, Thread};

use super::lanes::{Lane, LaneLimits, lock};
use super::stats::{LogState, LogStats};
use super::{AppendError, Durable, OnFailed, Written};
use crate::event::Event;

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[repr(u8)]
pub enum Stop {
    No = 0,
    /// Write what was accepted, then stop.
    WhenWritten = 1,
    Now = 2,
}

/// Where producers leave events, and what tells them whether they may.
pub struct Intake {
    pub limits: LaneLimits,
    pub lanes: Box<[Mutex<Lane>]>,
    pub stats: LogStats,
    /// Not even a reserve is left: nothing is accepted.
    pub exhausted: AtomicBool,
    /// Accepted events could not be written before the end.
    pub unwritten: AtomicBool,
    stop: AtomicU8,
    failure: OnceLock<Arc<str>>,
    on_failed: OnFailed,
    pub writer: OnceLock<Thread>,
    /// A thread that helps the writer, where there is one.
    pub helper: OnceLock<Thread>,
}

impl Intake {
    pub fn new(lanes: usize, limits: LaneLimits, on_failed: OnFailed) -> Intake {
        Intake {
            limits,
            lanes: (0..lanes).map(|_| Mutex::default()).collect(),
            stats: LogStats::default(),
            exhausted: AtomicBool::new(false),
            unwritten: AtomicBool::new(false),
            stop: AtomicU8::new(Stop::No as u8),
            failure: OnceLock::new(),
            on_failed,
            writer: OnceLock::new(),
            helper: OnceLock::new(),
        }
    }

    /// As [`EventLog::append_all`](super::EventLog::append_all).
    pub fn append_all(&self, lane: usize, events: &[Event]) -> Result<(), AppendError> {
        if events.is_empty() {
            return Ok(());
        }
        let mut lane = lock(&self.lanes[lane % self.lanes.len()]);
        if let Some(why) = self.refusal(false) {
            return Err(why);
        }
        let half_full = lane.push(events, self.limits)?;
        drop(lane);
        if half_full {
            self.wake_writer();
        }
        Ok(())
    }

    /// As [`EventLog::append_durable`](super::EventLog::append_durable).
    pub fn append_durable(&self, lane: usize, events: &[Event]) -> Durable {
        if events.is_empty() {
            return Durable::known(Ok(()));
        }
        let mut lane = lock(&self.lanes[lane % self.lanes.len()]);
        let refused = self.refusal(true).or_else(|| lane.push(events, self.limits).err());
        if let Some(why) = refused {
            return Durable::known(Err(why));
        }
        let (done, durable) = Durable::waiting();
        lane.wait_for_last(done);
        drop(lane);
        self.wake_writer();
        durable
    }

    /// As [`EventLog::append_written`](super::EventLog::append_written).
    pub fn append_written(&self, lane: usize, event: &Event, synced: bool) -> Written {
        let mut lane = lock(&self.lanes[lane % self.lanes.len()]);
        let refused = self.refusal(false).or_else(|| lane.push(std::slice::from_ref(event), self.limits).err());
        if let Some(why) = refused {
            return Written::refused(why);
        }
        let (done, written) = Written::waiting();
        lane.place_of_last(done, !synced);
        drop(lane);
        self.wake_writer();
        written
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
        self.wake_helper();
    }

    /// Unparking a running thread costs one atomic operation and makes its next park return at once.
    pub fn wake_writer(&self) {
        if let Some(thread) = self.writer.get() {
            thread.unpark();
        }
    }

    pub fn wake_helper(&self) {
        if let Some(thread) = self.helper.get() {
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
            self.wake_helper();
        }
    }

    /// Why nothing can be appended now. Asked with the lane locked: the writer, after it has set one of these, locks
    /// every lane once more, so no event slips in that nobody would look at.
    pub fn refusal(&self, must_not_be_lost: bool) -> Option<AppendError> {
        let state = self.stats.state();
        if state == LogState::Failed {
            return self.failure();
        }
        if state == LogState::Away {
            return Some(AppendError::Away);
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

    /// How many events are in the lanes.
    #[cfg(feature = "kafka")]
    pub fn events(&self) -> usize {
        self.lanes.iter().map(|lane| lock(lane).events()).sum()
    }

    /// Tells everyone who waits that their events will not be written.
    pub fn answer_lanes(&self, error: &AppendError) {
        for lane in &self.lanes {
            lock(lane).answer_all(error);
        }
    }
}

/// A thread that panics must not leave a log that looks alive.
pub struct PanicGuard(pub Arc<Intake>, pub &'static str);

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
