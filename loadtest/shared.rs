//! What the generator threads and the main thread tell one another while a run goes on.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};

/// A thread's progress, stored by it a few times a second.
#[derive(Default)]
pub struct Gauge {
    pub planned: AtomicU64,
    pub answered: AtomicU64,
    pub notices: AtomicU64,
    pub errors: AtomicU64,
    pub backlog: AtomicU64,
    pub pending_notices: AtomicU64,
}

pub struct Shared {
    stop: AtomicBool,
    bids: AtomicU64,
    bids_limit: u64,
    /// Bids with an acknowledged bill so far.
    pub billed: AtomicU64,
    pub gauges: Vec<Gauge>,
}

impl Shared {
    pub fn new(threads: u32, bids_limit: u64) -> Shared {
        Shared {
            stop: AtomicBool::new(false),
            bids: AtomicU64::new(0),
            bids_limit,
            billed: AtomicU64::new(0),
            gauges: (0..threads).map(|_| Gauge::default()).collect(),
        }
    }

    /// Ends the run: nothing more is planned, and notices that are not due yet are dropped.
    pub fn stop(&self) {
        self.stop.store(true, Relaxed);
    }

    pub fn stopped(&self) -> bool {
        self.stop.load(Relaxed)
    }

    pub fn add_bids(&self, count: u64) {
        self.bids.fetch_add(count, Relaxed);
    }

    pub fn bids(&self) -> u64 {
        self.bids.load(Relaxed)
    }

    pub fn enough_bids(&self) -> bool {
        self.bids() >= self.bids_limit
    }

    pub fn sum(&self, field: impl Fn(&Gauge) -> &AtomicU64) -> u64 {
        self.gauges.iter().map(|gauge| field(gauge).load(Relaxed)).sum()
    }
}
