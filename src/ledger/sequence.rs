//! Numbers for leases; and for reservations: dense within a minute, so that their bits are, and shared without a shared write per bid.

use super::sync::{AtomicU64, Ordering};
use crate::clock::UnixMs;
use crate::ids::{Epoch, NodeId, ReservationId};

/// Numbers a worker takes at a time. A page of bits holds four such ranges.
const RANGE: u32 = 1_024;

/// Numbers of leases, unique within a start. When they are used up there are none: a number that comes again would be
/// another lease's.
#[derive(Debug, Default)]
pub struct LeaseSeq(u32);

impl LeaseSeq {
    pub fn take(&mut self) -> Option<u32> {
        self.0 = self.0.checked_add(1)?;
        Some(self.0)
    }

    pub fn is_used_up(&self) -> bool {
        self.0 == u32::MAX
    }
}

/// Gives out ranges; one per node and start.
#[derive(Debug)]
pub struct Sequencer {
    node: NodeId,
    epoch: Epoch,
    /// Minute in the upper half, next number in the lower.
    next: AtomicU64,
}

/// What a worker has left of its range.
#[derive(Clone, Copy, Debug, Default)]
pub struct SeqRange {
    bucket: u32,
    next: u32,
    end: u32,
}

impl Sequencer {
    pub fn new(node: NodeId, epoch: Epoch) -> Sequencer {
        Sequencer { node, epoch, next: AtomicU64::new(0) }
    }

    /// The id of a bid made at `now`; `None` when a minute's numbers are used up.
    pub fn next(&self, range: &mut SeqRange, now: UnixMs) -> Option<ReservationId> {
        if range.next == range.end || range.bucket != now.minutes() {
            *range = self.take(now.minutes())?;
        }
        let seq = range.next;
        range.next += 1;
        Some(ReservationId { node: self.node, epoch: self.epoch, bucket: range.bucket, seq })
    }

    fn take(&self, minute: u32) -> Option<SeqRange> {
        let mut taken = SeqRange::default();
        let step = |current: u64| {
            // A worker whose clock reads a little behind goes on in the newer minute: ids stay unique.
            let (bucket, next) = ((current >> 32) as u32, current as u32);
            let (bucket, next) = if bucket < minute { (minute, 0) } else { (bucket, next) };
            let end = next.checked_add(RANGE)?;
            taken = SeqRange { bucket, next, end };
            Some(u64::from(bucket) << 32 | u64::from(end))
        };
        self.next.fetch_update(Ordering::Relaxed, Ordering::Relaxed, step).ok()?;
        Some(taken)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashSet;

    #[test]
    fn a_lease_is_never_numbered_like_another() {
        let mut leases = LeaseSeq(u32::MAX - 2);
        assert!(!leases.is_used_up());
        assert_eq!(
            [leases.take(), leases.take(), leases.take(), leases.take()],
            [Some(u32::MAX - 1), Some(u32::MAX), None, None]
        );
        assert!(leases.is_used_up());
    }

    #[test]
    fn ids_are_unique_across_threads_and_minutes() {
        let sequencer = Sequencer::new(NodeId(1), Epoch(1));
        let run = |offset: i64| {
            let mut range = SeqRange::default();
            let at = |i: i64| UnixMs(1_700_000_000_000 + offset + i * 30);
            (0..5_000).map(|i| sequencer.next(&mut range, at(i)).unwrap()).collect::<Vec<_>>()
        };
        let (mut ids, other) = std::thread::scope(|s| {
            let other = s.spawn(|| run(7));
            (run(0), other.join().unwrap())
        });
        ids.extend(other);
        assert_eq!(ids.iter().collect::<HashSet<_>>().len(), 10_000);
    }
}
