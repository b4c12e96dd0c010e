//! Booked impressions per campaign and user: what frequency caps count.
//!
//! Each entry holds the times of the newest `keep` impressions of one user of one campaign, to the millisecond.
//! A cap of `n` asks whether the n-th newest lies within its window, which is exact for any `n` up to `keep`.
//!
//! Memory is taken once, at the start, and never grows. It is cut into groups of [`SLOTS`] slots, each group with its
//! own lock, held for the time of one lookup. An entry lives in the group its key hashes to: one slot of 25 bytes for
//! up to 3 times, one more for every 4 further times. A full group evicts: entries whose last impression has left its
//! window, or else the entry that has been quiet for longest. Groups fill unevenly: at 32 bytes an entry, with a fifth of
//! all slots free, less than one living entry in 10,000 has to go (`benches/window.rs`).
//!
//! What was evicted while it still counted is never taken for "not seen": until the lost impressions have left their
//! window, the answer for a user whom the group does not know is [`Seen::Unknown`].

mod group;

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Mutex, MutexGuard, PoisonError};

use self::group::{Group, SLOTS};
use crate::clock::UnixMs;
use crate::ids::CampaignNo;

/// Most times kept for one entry: the highest cap that a campaign can have.
pub const MAX_KEEP: u32 = 64;

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

/// What an entry is found by. No two users of a campaign have the same one, and those of two campaigns only by as small a
/// chance as two ids have the same `user`, which is a hash of 64 bits too. Every bit depends on all.
fn key(campaign: CampaignNo, user: u64) -> u64 {
    let mixed = user ^ (u64::from(campaign.0) + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    // The last steps of MurmurHash3.
    let mixed = (mixed ^ mixed >> 33).wrapping_mul(0xff51_afd7_ed55_8ccd);
    let mixed = (mixed ^ mixed >> 33).wrapping_mul(0xc4ce_b9fe_1a85_ec53);
    mixed ^ mixed >> 33
}

impl ImpressionStore {
    /// A store of at most `max_bytes`, and of at least one group (about 6 KiB).
    pub fn new(max_bytes: usize) -> ImpressionStore {
        let groups = (max_bytes / size_of::<Mutex<Group>>()).max(1);
        ImpressionStore {
            groups: (0..groups).map(|_| Mutex::new(Group::new())).collect(),
            entries: AtomicU64::new(0),
            evicted_live: AtomicU64::new(0),
            evicted_expired: AtomicU64::new(0),
        }
    }

    /// Whether at least `n` impressions lie in (`now` - `per_ms`, `now`]. Impressions later than `now` count too: a
    /// clock that lags must not make room for one more. Exact for `n` up to the `keep` they were recorded with.
    pub fn seen(&self, campaign: CampaignNo, user: u64, now: UnixMs, per_ms: i64, n: u32) -> Seen {
        if n == 0 {
            return Seen::Reached;
        }
        let key = key(campaign, user);
        self.group(key).seen(key, now.0, per_ms, n)
    }

    /// Notes an impression. `keep` is the campaign's largest cap and `keep_ms` its longest window; where they grow,
    /// what was forgotten before stays forgotten. Times may come in any order; a time that comes twice counts twice.
    pub fn record(&self, campaign: CampaignNo, user: u64, at: UnixMs, keep: u32, keep_ms: i64) {
        let keep = keep.min(MAX_KEEP);
        if keep == 0 || keep_ms <= 0 {
            return;
        }
        let key = key(campaign, user);
        let outcome = self.group(key).record(key, at.0, keep as usize, keep_ms);
        if outcome.evicted() > 0 {
            self.evicted_live.fetch_add(outcome.evicted_live, Relaxed);
            self.evicted_expired.fetch_add(outcome.evicted_expired, Relaxed);
        }
        // Modular: may be a subtraction.
        self.entries.fetch_add(u64::from(outcome.inserted).wrapping_sub(outcome.evicted()), Relaxed);
    }

    /// The bytes of one group after the other: two stores that were asked to record the same have the same.
    pub fn each_group(&self, each: &mut dyn FnMut(&[u8])) {
        for group in &self.groups {
            group.lock().unwrap_or_else(PoisonError::into_inner).each_part(each);
        }
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

    fn group(&self, key: u64) -> MutexGuard<'_, Group> {
        let index = ((u128::from(key) * self.groups.len() as u128) >> 64) as usize;
        // Nothing panics while it holds a group, so a poisoned lock cannot guard a half-written one.
        self.groups[index].lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests;
