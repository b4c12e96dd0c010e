//! What one serving thread counts. Each has its own, so counting never contends.

use std::sync::atomic::{AtomicU64, Ordering};

use super::latency::Latency;
use super::models::ModelStats;
use crate::bidding::Reason;

/// A counter with one writing thread.
#[derive(Debug, Default)]
pub struct Count(AtomicU64);

impl Count {
    /// Only the owning thread adds, so a plain load and store will do.
    pub fn add(&self, n: u64) {
        self.0.store(self.0.load(Ordering::Relaxed) + n, Ordering::Relaxed);
    }

    pub fn get(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

#[derive(Debug)]
#[repr(align(128))]
pub struct WorkerStats {
    pub connections_opened: Count,
    pub connections_closed: Count,
    pub connections_refused: Count,
    /// TLS handshakes that were no good or took too long.
    pub handshakes_failed: Count,
    pub bid_requests: Count,
    /// Requests answered with at least one bid.
    pub bid_responses: Count,
    pub bids: Count,
    pub no_bids: [Count; Reason::COUNT],
    pub campaigns_lost: [Count; Reason::COUNT],
    pub bid_latency: Latency,
    pub notice_latency: Latency,
    pub fraud_latency: Latency,
    pub models: ModelStats,
}

impl Default for WorkerStats {
    fn default() -> WorkerStats {
        WorkerStats {
            connections_opened: Count::default(),
            connections_closed: Count::default(),
            connections_refused: Count::default(),
            handshakes_failed: Count::default(),
            bid_requests: Count::default(),
            bid_responses: Count::default(),
            bids: Count::default(),
            no_bids: std::array::from_fn(|_| Count::default()),
            campaigns_lost: std::array::from_fn(|_| Count::default()),
            bid_latency: Latency::default(),
            notice_latency: Latency::default(),
            fraud_latency: Latency::default(),
            models: ModelStats::default(),
        }
    }
}
