//! What the log counts about itself, and its state.

use std::sync::atomic::{AtomicU8, AtomicU64, Ordering};
use std::time::Duration;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum LogState {
    Open = 0,
    /// No further segment can be made: only what must not be lost is still taken, while there is room.
    Full = 1,
    /// A write or sync failed: nothing is taken any more and the process must exit.
    Failed = 2,
    /// Kafka does not answer: nothing is taken until it does.
    Away = 3,
}

/// Counters since the log was opened; all loads may be relaxed.
#[derive(Debug, Default)]
pub struct LogStats {
    /// Events made durable.
    pub events: AtomicU64,
    /// Bytes of groups made durable.
    pub bytes: AtomicU64,
    pub groups: AtomicU64,
    /// Syncs of group data.
    pub syncs: AtomicU64,
    /// Time of group syncs, in microseconds.
    pub sync_last_us: AtomicU64,
    pub sync_max_us: AtomicU64,
    pub sync_sum_us: AtomicU64,
    /// Segment files with a number, including the one being written.
    pub segments: AtomicU64,
    state: AtomicU8,
}

impl LogStats {
    pub fn state(&self) -> LogState {
        match self.state.load(Ordering::Acquire) {
            0 => LogState::Open,
            1 => LogState::Full,
            3 => LogState::Away,
            _ => LogState::Failed,
        }
    }

    /// `Failed` is for good.
    pub(super) fn set_state(&self, state: LogState) {
        let keep = |now| (now != LogState::Failed as u8).then_some(state as u8);
        let _ = self.state.fetch_update(Ordering::AcqRel, Ordering::Acquire, keep);
    }

    pub(super) fn count_sync(&self, took: Duration) {
        let us = took.as_micros() as u64;
        self.syncs.fetch_add(1, Ordering::Relaxed);
        self.sync_last_us.store(us, Ordering::Relaxed);
        self.sync_max_us.fetch_max(us, Ordering::Relaxed);
        self.sync_sum_us.fetch_add(us, Ordering::Relaxed);
    }

    pub(super) fn count_group(&self, events: u64, bytes: u64) {
        self.events.fetch_add(events, Ordering::Relaxed);
        self.bytes.fetch_add(bytes, Ordering::Relaxed);
        self.groups.fetch_add(1, Ordering::Relaxed);
    }
}
