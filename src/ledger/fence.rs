//! Until when a node of a fleet may bid. Its start ends in the log when nothing was heard of it for [`SILENCE_MS`], and
//! who cannot reach the log does not see that: so a node only bids for half of that after it sent what came back last.
//!
//! [`SILENCE_MS`]: super::starts::SILENCE_MS

use super::starts::SILENCE_MS;
use super::sync::{AtomicI64, Ordering};
use crate::clock::UnixMs;

/// By the node's own clock.
#[derive(Debug)]
pub struct Fence(AtomicI64);

impl Default for Fence {
    /// Of a node that has the log to itself: nobody ends its start.
    fn default() -> Fence {
        Fence(AtomicI64::new(i64::MAX))
    }
}

impl Fence {
    pub fn is_open(&self, now: UnixMs) -> bool {
        now.0 < self.0.load(Ordering::Relaxed)
    }

    /// No bids until something comes back.
    pub fn shut(&self) {
        self.0.store(i64::MIN, Ordering::Relaxed);
    }

    /// What was sent at `sent_at` has come back: the log took it while the start lived.
    pub fn came_back(&self, sent_at: UnixMs) {
        self.0.fetch_max(sent_at.plus(SILENCE_MS / 2).0, Ordering::Relaxed);
    }
}

#[cfg(all(test, not(feature = "loom")))]
mod tests {
    use super::*;

    #[test]
    fn a_node_bids_for_half_the_silence_after_what_came_back_was_sent() {
        let (fence, sent) = (Fence::default(), UnixMs(1_700_000_000_000));
        assert!(fence.is_open(sent.plus(1 << 50)));
        fence.shut();
        assert!(!fence.is_open(sent));
        fence.came_back(sent);
        fence.came_back(sent.plus(-5_000));
        assert!(fence.is_open(sent.plus(SILENCE_MS / 2 - 1)) && !fence.is_open(sent.plus(SILENCE_MS / 2)));
        fence.shut();
        assert!(!fence.is_open(sent));
    }
}
