//! Booked impressions per campaign and user: what frequency caps count.
//!
//! Each entry holds the times of the newest `keep` impressions of one user of one campaign, to the millisecond.
//! A cap of `n` asks whether the n-th newest lies within its window, which is exact for any `n` up to `keep`.
//!
//! Memory is taken once, at the start, and never grows. It is cut into groups of [`SLOTS`] slots, each group with its
//! own lock, held for the time of one lookup. An entry lives in the group its key hashes to: one slot of 31 bytes for
//! up to 3 times, one more for every 5 further times. A full group evicts: entries whose last impression has left its
//! window, or else the entry that has been quiet for longest. Groups fill unevenly, so the first living entry goes at
//! about three quarters of the whole.
//!
//! What was evicted while it still counted is never taken for "not seen": until the lost impressions have left their
//! window, the answer for a user whom the group does not know is [`Seen::Unknown`].

mod group;

use std::sync::atomic::{AtomicI64, AtomicU64, Ordering::Relaxed};
use std::sync::{Mutex, MutexGuard, PoisonError};

use self::group::Group;
pub use self::group::SLOTS;
use crate::clock::UnixMs;
use crate::ids::CampaignNo;

/// Most times kept for one entry: the highest cap that a campaign can have.
pub const MAX_KEEP: u32 = 64;
/// Bytes of one entry of up to 3 times, all overhead included.
pub const BYTES_PER_ENTRY: usize = size_of::<Mutex<Group>>().div_ceil(SLOTS);

/// How a user stands to a cap.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Seen {
    /// Fewer impressions than the cap.
    Below,
    /// As many or more.
    Reached,
    /// Impressions of this user may have been evicted that still count.
    Unknown,
}

pub struct ImpressionStore {
    groups: Box<[Mutex<Group>]>,
    entries: AtomicU64,
    evicted_live: AtomicU64,
    evicted_expired: AtomicU64,
    /// The latest end of a window that an evicted impression still counts in.
    lost_until: AtomicI64,
}

/// What the store holds and has had to drop.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Stats {
    pub entries: u64,
    /// Entries dropped while they still counted.
    pub evicted_live: u64,
    /// Entries dropped because nothing in them counted any more.
    pub evicted_expired: u64,
}

/// An entry's key: campaign and user.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Key {
    campaign: u32,
    user: u64,
}

impl Key {
    /// Spreads keys over groups (high bits) and tags (low bits), whatever the users' hashes look like.
    fn hash(self) -> u64 {
        let folded = |a: u64, b: u64| {
            let wide = u128::from(a) * u128::from(b);
            wide as u64 ^ (wide >> 64) as u64
        };
        let campaign = u64::from(self.campaign).wrapping_mul(0x9e37_79b9_7f4a_7c15) ^ 0xa076_1d64_78bd_642f;
        folded(folded(self.user ^ 0xe703_7ed1_a0b4_28db, campaign), 0x8ebc_6af0_9c88_c6e3)
    }
}

impl ImpressionStore {
    /// A store of at most `max_bytes`, and of at least one group (about 4 KiB).
    pub fn new(max_bytes: usize) -> ImpressionStore {
        let groups = (max_bytes / size_of::<Mutex<Group>>()).max(1);
        ImpressionStore {
            groups: (0..groups).map(|_| Mutex::new(Group::new())).collect(),
            entries: AtomicU64::new(0),
            evicted_live: AtomicU64::new(0),
            evicted_expired: AtomicU64::new(0),
            lost_until: AtomicI64::new(i64::MIN),
        }
    }

    /// Whether at least `n` impressions lie in (`now` - `per_ms`, `now`]. Impressions later than `now` count too: a
    /// clock that lags must not make room for one more. Exact for `n` up to the `keep` they were recorded with.
    pub fn seen(&self, campaign: CampaignNo, user: u64, now: UnixMs, per_ms: i64, n: u32) -> Seen {
        if n == 0 {
            return Seen::Reached;
        }
        let key = Key { campaign: campaign.0, user };
        let hash = key.hash();
        self.group(hash).seen(key, hash, now.0, per_ms, n)
    }

    /// As [`ImpressionStore::seen`], with unknown counted as not reached.
    pub fn count_at_least(&self, campaign: CampaignNo, user: u64, now: UnixMs, per_ms: i64, n: u32) -> bool {
        self.seen(campaign, user, now, per_ms, n) == Seen::Reached
    }

    /// Notes an impression. `keep` is the campaign's largest cap and `keep_ms` its longest window; where they grow,
    /// what was forgotten before stays forgotten. Times may come in any order; a time that comes twice counts twice.
    pub fn record(&self, campaign: CampaignNo, user: u64, at: UnixMs, keep: u32, keep_ms: i64) {
        let keep = keep.min(MAX_KEEP);
        if keep == 0 || keep_ms <= 0 {
            return;
        }
        let key = Key { campaign: campaign.0, user };
        let hash = key.hash();
        let outcome = self.group(hash).record(key, hash, at.0, keep as usize, keep_ms);
        if outcome.evicted() > 0 {
            self.evicted_live.fetch_add(outcome.evicted_live, Relaxed);
            self.evicted_expired.fetch_add(outcome.evicted_expired, Relaxed);
            self.lost_until.fetch_max(outcome.lost_until, Relaxed);
        }
        // Modular: may be a subtraction.
        self.entries.fetch_add(u64::from(outcome.inserted).wrapping_sub(outcome.evicted()), Relaxed);
    }

    /// Whether some impression that still counts at `now` had to be evicted.
    pub fn is_saturated(&self, now: UnixMs) -> bool {
        now.0 < self.lost_until.load(Relaxed)
    }

    pub fn stats(&self) -> Stats {
        Stats {
            entries: self.entries.load(Relaxed),
            evicted_live: self.evicted_live.load(Relaxed),
            evicted_expired: self.evicted_expired.load(Relaxed),
        }
    }

    /// The memory it takes, full or empty.
    pub fn bytes(&self) -> usize {
        self.groups.len() * size_of::<Mutex<Group>>()
    }

    /// Entries of up to 3 times that fit in all.
    pub fn capacity(&self) -> usize {
        self.groups.len() * SLOTS
    }

    fn group(&self, hash: u64) -> MutexGuard<'_, Group> {
        let index = ((u128::from(hash) * self.groups.len() as u128) >> 64) as usize;
        // Nothing panics while it holds a group, so a poisoned lock cannot guard a half-written one.
        self.groups[index].lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests;
