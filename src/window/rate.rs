//! How much somebody does: a bucket for each key that every request fills by one and that empties evenly, in a table of
//! fixed size without a lock.
//!
//! An empty bucket says nothing, so its place is free for any other key: a table holds as many keys as did something
//! lately, not as many as there are. Where a set of places has only full ones the emptiest goes, which is counted; what
//! went is let off, never held against another.

use std::sync::atomic::{AtomicU64, Ordering};

use crate::clock::UnixMs;

/// Places that a key may be in: one line of the processor's cache.
const WAYS: usize = 8;
/// The rest of a place tells keys apart: 27 bits.
const TIME_BITS: u32 = 37;
const TIME: u64 = (1 << TIME_BITS) - 1;

const MINUTE_MS: u64 = 60_000;

/// Buckets of one size for many keys.
#[derive(Debug)]
pub struct Rates {
    /// In each: what tells the key, and when its bucket is empty, in ticks after `since`. 0 is nobody's.
    places: Box<[AtomicU64]>,
    since: UnixMs,
    /// Ticks that a bucket takes to lose one. A whole number of them, so that the rate is what was asked for: a tick is between
    /// half a millisecond and a whole one.
    each_ticks: u64,
    /// How long one takes that is as full as it may be, which is a minute.
    full_ticks: u64,
    evicted: AtomicU64,
}

impl Rates {
    /// `per_minute` at once, and as many in every minute. `bytes` are taken at once; at least a set of places.
    pub fn new(per_minute: u32, bytes: usize, since: UnixMs) -> Rates {
        let sets = (bytes / (WAYS * size_of::<AtomicU64>())).max(1);
        let sets = if sets.is_power_of_two() { sets } else { sets.next_power_of_two() / 2 };
        let per_minute = u64::from(per_minute.max(1));
        let each_ticks = MINUTE_MS.div_ceil(per_minute);
        Rates {
            places: (0..sets * WAYS).map(|_| AtomicU64::new(0)).collect(),
            since,
            each_ticks,
            full_ticks: each_ticks * per_minute,
            evicted: AtomicU64::new(0),
        }
    }

    /// Counts a request of `key`, which is a hash; whether its bucket holds it. One that is full stays so until requests
    /// come more slowly than it empties.
    pub fn admit(&self, key: u64, now: UnixMs) -> bool {
        let now_ticks = u64::try_from(now.since(self.since)).unwrap_or(0) * self.full_ticks / MINUTE_MS + 1;
        let sets = self.places.len() / WAYS;
        let first = (key as usize & (sets - 1)) * WAYS;
        let tag = key >> TIME_BITS << TIME_BITS;
        let places = &self.places[first..first + WAYS];
        loop {
            let (mut found, mut emptiest, mut until_ticks) = (None, (0, u64::MAX, 0), 0);
            for (at, place) in places.iter().enumerate() {
                let seen = place.load(Ordering::Relaxed);
                let time = seen & TIME;
                if seen != 0 && seen & !TIME == tag {
                    (found, until_ticks) = (Some((at, seen)), time);
                    break;
                }
                if time < emptiest.1 {
                    emptiest = (at, time, seen);
                }
            }
            let (at, seen) = found.unwrap_or((emptiest.0, emptiest.2));
            let fuller_ticks = until_ticks.max(now_ticks) + self.each_ticks;
            let holds = fuller_ticks - now_ticks <= self.full_ticks;
            let until_ticks = fuller_ticks.min(now_ticks + self.full_ticks + self.each_ticks).min(TIME);
            let taken = places[at].compare_exchange_weak(seen, tag | until_ticks, Ordering::Relaxed, Ordering::Relaxed);
            if taken.is_ok() {
                if found.is_none() && emptiest.1 > now_ticks {
                    self.evicted.fetch_add(1, Ordering::Relaxed);
                }
                return holds;
            }
        }
    }

    /// Buckets that had to make room before they were empty.
    pub fn evicted(&self) -> u64 {
        self.evicted.load(Ordering::Relaxed)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use fastrand::Rng;

    use super::*;

    const START: UnixMs = UnixMs(1_795_000_000_000);

    #[test]
    fn a_minutes_worth_passes_and_then_the_rate() {
        let rates = Rates::new(6, 1 << 12, START);
        assert!((0..6).all(|_| rates.admit(7, START)));
        assert!(!rates.admit(7, START));
        assert!(rates.admit(8 << 40, START), "another's is another");
        // As long as they come faster than it empties none passes, and then they do.
        assert!((1..10).all(|i| !rates.admit(7, START.plus(i * 9_999))));
        let later = START.plus(9 * 9_999 + 20_000);
        assert!(rates.admit(7, later) && !rates.admit(7, later));
        assert!((0..6).all(|_| rates.admit(7, later.plus(200_000))));
    }

    #[test]
    fn every_key_is_judged_as_if_it_were_alone() {
        let mut rng = Rng::with_seed(5);
        for per_minute in [1, 7, 60, 6_000, 45_000] {
            let rates = Rates::new(per_minute, 1 << 16, START);
            let most = i64::from(per_minute);
            // So many of the unit in which it empties, and the time in it.
            let each = (60_000 + most - 1) / most;
            let ticks = |now: UnixMs| now.since(START) * each * most / 60_000;
            // By key: how full its bucket is, and when that was.
            let mut slow: HashMap<u64, (i64, UnixMs)> = HashMap::new();
            let keys: Vec<u64> = (0..50).map(|_| rng.u64(..)).collect();
            let mut now = START;
            for _ in 0..20_000 {
                now = now.plus(rng.i64(0..=2 * each.max(5) / 10));
                let key = keys[rng.usize(..keys.len())];
                let (level, at) = slow.get(&key).copied().unwrap_or((0, now));
                let level = (level - (ticks(now) - ticks(at))).max(0) + each;
                slow.insert(key, (level.min(most * each + each), now));
                assert_eq!(rates.admit(key, now), level <= most * each, "{per_minute} a minute, at {now}");
            }
            assert_eq!(rates.evicted(), 0);
        }
    }

    #[test]
    fn a_rate_is_what_was_asked_for() {
        for per_minute in [29_000, 30_001, 45_000, 59_999, 60_000] {
            let rates = Rates::new(per_minute, 1 << 12, START);
            // Two at every millisecond fill a bucket of `per_minute` that empties at that rate, and then none passes.
            let passed = |minute: i64| {
                (0..120_000).filter(|i| rates.admit(7, START.plus(minute * 60_000 + i / 2))).count() as i64
            };
            let most = i64::from(per_minute);
            assert!((passed(0) - 120_000 * most / (120_000 - most)).abs() <= 2, "{per_minute}");
            assert!(passed(1) <= 2, "{per_minute}");
            // And who asks as quickly as he may is not.
            let rates = Rates::new(per_minute, 1 << 12, START);
            assert!((0..3 * most).all(|i| rates.admit(7, START.plus((i + most - 1) * 60_000 / most))), "{per_minute}");
        }
    }

    #[test]
    fn what_has_no_room_is_let_off_and_counted() {
        let rates = Rates::new(1, 1, START);
        // One set of places for more keys than it has.
        let keys: Vec<u64> = (1..=20).map(|key| key << TIME_BITS).collect();
        assert!(keys.iter().all(|key| rates.admit(*key, START)));
        assert_eq!(rates.evicted(), 12);
        assert!(rates.admit(keys[0], START.plus(10)), "it made room, and nobody's bucket is held against it");
        // When all are empty, they are free.
        let later = START.plus(200_000);
        let evicted = rates.evicted();
        assert!(keys[..8].iter().all(|key| rates.admit(*key, later)));
        assert_eq!(rates.evicted(), evicted);
    }

    #[test]
    fn threads_count_every_request() {
        let rates = Rates::new(3_000, 1 << 12, START);
        let one = || (0..2_000).filter(|_| rates.admit(9, START)).count();
        let passed: usize = std::thread::scope(|scope| {
            let threads: Vec<_> = (0..4).map(|_| scope.spawn(one)).collect();
            threads.into_iter().map(|thread| thread.join().unwrap()).sum()
        });
        assert_eq!(passed, 3_000);
    }
}
