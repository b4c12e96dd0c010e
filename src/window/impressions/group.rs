//! One group of slots: a small table with its own memory, searched by one-byte tags.
//!
//! A slot is 24 bytes and a tag. The first slot of an entry holds its key and its 3 newest times, the slots that
//! follow 4 more each. Times are the low 40 bits of their milliseconds, read back relative to the present: exact for
//! anything within 17 years of it.
//!
//! A key is a hash of 64 bits. Its lowest 8 are the tag (less the two values that are no tags), the next 48 stand in the
//! slot, and the upper ones chose the group: of 256 groups or more, keys that agree in all else are in different ones.

use super::{MAX_KEEP, Seen};

/// Slots of one group: the more, the more evenly groups fill. A link must fit into a byte, and tags are searched by 16.
pub const SLOTS: usize = 240;
const SLOT_BYTES: usize = 24;
const TIME_BYTES: usize = 5;

/// Tags: a free slot, a slot that continues an entry, and from here on the first slot of an entry.
const FREE: u8 = 0;
const MORE: u8 = 1;
const FIRST_TAG: u8 = 2;

// Every slot: link, and times up to its end. Before them the first one has how long the entry counts and whether it is
// complete, and its key.
const LINK: usize = 0;
const MEMORY: usize = 1;
const KEY: usize = 3;
const HEAD_TIMES: usize = 9;
const MORE_TIMES: usize = 4;

/// A link below [`SLOTS`] is the next slot, and this one is full; from [`SLOTS`] on it is the number of times in it.
const LAST: u8 = SLOTS as u8;
/// Set in an entry's memory when it began while the group had lost impressions that still counted.
const INCOMPLETE: u16 = 1 << 15;
/// How long an entry counts is kept in whole units of this, rounded up: it may stay that much longer than needed.
const MEMORY_UNIT_MS: i64 = 256_000;
/// Longest window that fits beside the flag: 97 days.
const MAX_MEMORY_UNITS: i64 = (1 << 15) - 1;

pub struct Group {
    tags: [u8; SLOTS],
    slots: [[u8; SLOT_BYTES]; SLOTS],
    /// The newest impression that was evicted while it counted, and when the last such one stops counting.
    lost_newest: i64,
    lost_until: i64,
}

#[derive(Clone, Copy, Debug, Default)]
pub struct Outcome {
    pub inserted: bool,
    pub evicted_live: u64,
    pub evicted_expired: u64,
}

impl Outcome {
    pub fn evicted(&self) -> u64 {
        self.evicted_live + self.evicted_expired
    }
}

/// All times of an entry, newest first.
struct Times {
    list: [i64; MAX_KEEP as usize + 1],
    len: usize,
}

impl Group {
    pub fn new() -> Group {
        Group { tags: [FREE; SLOTS], slots: [[0; SLOT_BYTES]; SLOTS], lost_newest: i64::MIN, lost_until: i64::MIN }
    }

    /// All that it is made of; of its slots those that are taken.
    pub fn each_part(&self, each: &mut dyn FnMut(&[u8])) {
        each(&self.tags);
        each(&self.lost_newest.to_le_bytes());
        each(&self.lost_until.to_le_bytes());
        self.tags.iter().zip(&self.slots).filter(|(tag, _)| **tag != FREE).for_each(|(_, slot)| each(slot));
    }

    pub fn seen(&self, key: u64, now: i64, per_ms: i64, n: u32) -> Seen {
        let from = now.saturating_sub(per_ms);
        if let Some(head) = self.find(key) {
            if self.nth(head, n as usize - 1, now).is_some_and(|time| time > from) {
                return Seen::Reached;
            }
            if self.memory(head) & INCOMPLETE == 0 {
                return Seen::Below;
            }
        }
        if now < self.lost_until && from < self.lost_newest { Seen::Unknown } else { Seen::Below }
    }

    pub fn record(&mut self, key: u64, at: i64, keep: usize, keep_ms: i64) -> Outcome {
        let mut outcome = Outcome::default();
        let mut times = Times { list: [0; MAX_KEEP as usize + 1], len: 0 };
        let units = keep_ms / MEMORY_UNIT_MS + i64::from(keep_ms % MEMORY_UNIT_MS != 0);
        let units = units.clamp(1, MAX_MEMORY_UNITS) as u16;
        // A loss whose window has ended takes nothing from any count any more.
        let lossy = at < self.lost_until;
        let (head, incomplete) = match self.find(key) {
            Some(head) => {
                self.read(head, at, &mut times);
                (head, lossy && self.memory(head) & INCOMPLETE != 0)
            }
            None => {
                outcome.inserted = true;
                let head = self.take(SLOTS, at, &mut outcome);
                // What the slot's last owner left there is no chain of this entry.
                self.slots[head][LINK] = LAST;
                (head, lossy)
            }
        };
        times.insert(at, keep);
        self.tags[head] = tag(key);
        let slot = &mut self.slots[head];
        slot[MEMORY..KEY].copy_from_slice(&(units | if incomplete { INCOMPLETE } else { 0 }).to_le_bytes());
        slot[KEY..HEAD_TIMES].copy_from_slice(&stored(key));
        self.write(head, &times.list[..times.len], at, &mut outcome);
        outcome
    }

    /// The first slot of a key's entry.
    fn find(&self, key: u64) -> Option<usize> {
        let wanted = tag(key);
        for (part, tags) in self.tags.as_chunks::<16>().0.iter().enumerate() {
            // Without a branch, so that all are compared at once.
            if tags.iter().fold(0, |equal, &tag| equal | u8::from(tag == wanted)) == 0 {
                continue;
            }
            for (index, &tag) in (part * 16..).zip(tags) {
                if tag == wanted && self.slots[index][KEY..HEAD_TIMES] == stored(key) {
                    return Some(index);
                }
            }
        }
        None
    }

    fn memory(&self, head: usize) -> u16 {
        let slot = &self.slots[head];
        u16::from_le_bytes([slot[MEMORY], slot[MEMORY + 1]])
    }

    /// The times of one slot and the slot that follows.
    fn part(&self, index: usize, is_head: bool) -> (&[[u8; TIME_BYTES]], Option<usize>) {
        let slot = &self.slots[index];
        let (times, _) = slot[times_start(is_head)..].as_chunks();
        match slot[LINK] {
            next if next < LAST => (times, Some(next.into())),
            link => (&times[..usize::from(link - LAST)], None),
        }
    }

    fn nth(&self, head: usize, mut n: usize, now: i64) -> Option<i64> {
        let (mut times, mut next) = self.part(head, true);
        while n >= times.len() {
            n -= times.len();
            (times, next) = self.part(next?, false);
        }
        Some(unpack(times[n], now))
    }

    fn read(&self, head: usize, now: i64, out: &mut Times) {
        let (mut times, mut next) = self.part(head, true);
        loop {
            for &time in times {
                out.list[out.len] = unpack(time, now);
                out.len += 1;
            }
            let Some(index) = next else { return };
            (times, next) = self.part(index, false);
        }
    }

    /// Writes an entry's times, taking slots and giving them back as needed.
    fn write(&mut self, head: usize, times: &[i64], at: i64, outcome: &mut Outcome) {
        let mut spare = self.part(head, true).1;
        let (mut index, mut is_head, mut rest) = (head, true, times);
        loop {
            let room = self.slots[index][times_start(is_head)..].as_chunks_mut().0;
            let (here, after) = rest.split_at(room.len().min(rest.len()));
            for (place, time) in room.iter_mut().zip(here) {
                *place = pack(*time);
            }
            // Until the chain is whole again, this slot is its end: evicting walks it.
            self.slots[index][LINK] = LAST + here.len() as u8;
            if after.is_empty() {
                break;
            }
            let next = match spare {
                Some(next) => {
                    spare = self.part(next, false).1;
                    next
                }
                None => {
                    let next = self.take(head, at, outcome);
                    self.tags[next] = MORE;
                    self.slots[next][LINK] = LAST;
                    next
                }
            };
            self.slots[index][LINK] = next as u8;
            (index, is_head, rest) = (next, false, after);
        }
        while let Some(index) = spare {
            spare = self.part(index, false).1;
            self.tags[index] = FREE;
        }
    }

    /// A free slot, made by evicting where there is none; never at the cost of the entry `not`.
    fn take(&mut self, not: usize, at: i64, outcome: &mut Outcome) -> usize {
        loop {
            if let Some(free) = self.tags.iter().position(|&tag| tag == FREE) {
                return free;
            }
            self.evict(not, at, outcome);
        }
    }

    /// Drops every entry that no longer counts; where there is none, the one that has been quiet for longest.
    fn evict(&mut self, not: usize, at: i64, outcome: &mut Outcome) {
        let mut quietest: Option<(i64, usize)> = None;
        let expired_before = outcome.evicted_expired;
        for head in 0..SLOTS {
            if self.tags[head] < FIRST_TAG || head == not {
                continue;
            }
            // An entry without times is not written yet and is the one that must stay.
            let Some(newest) = self.nth(head, 0, at) else { continue };
            if newest.saturating_add(self.memory_ms(head)) <= at {
                self.free(head);
                outcome.evicted_expired += 1;
            } else if quietest.is_none_or(|(time, _)| newest < time) {
                quietest = Some((newest, head));
            }
        }
        if outcome.evicted_expired == expired_before
            && let Some((newest, head)) = quietest
        {
            self.lost_newest = self.lost_newest.max(newest);
            self.lost_until = self.lost_until.max(newest.saturating_add(self.memory_ms(head)));
            outcome.evicted_live += 1;
            self.free(head);
        }
    }

    fn memory_ms(&self, head: usize) -> i64 {
        i64::from(self.memory(head) & !INCOMPLETE) * MEMORY_UNIT_MS
    }

    fn free(&mut self, head: usize) {
        self.tags[head] = FREE;
        let mut next = self.part(head, true).1;
        while let Some(index) = next {
            next = self.part(index, false).1;
            self.tags[index] = FREE;
        }
    }
}

impl Times {
    fn insert(&mut self, time: i64, keep: usize) {
        let at = self.list[..self.len].partition_point(|&t| t > time);
        self.list.copy_within(at..self.len, at + 1);
        self.list[at] = time;
        self.len = (self.len + 1).min(keep);
    }
}

fn tag(key: u64) -> u8 {
    (key as u8).max(FIRST_TAG)
}

/// What of a key stands in its slot.
fn stored(key: u64) -> [u8; HEAD_TIMES - KEY] {
    let [_, a, b, c, d, e, f, _] = key.to_le_bytes();
    [a, b, c, d, e, f]
}

fn times_start(is_head: bool) -> usize {
    if is_head { HEAD_TIMES } else { MORE_TIMES }
}

fn pack(time: i64) -> [u8; TIME_BYTES] {
    let [a, b, c, d, e, ..] = time.to_le_bytes();
    [a, b, c, d, e]
}

/// The time nearest to `now` that has these low bits.
fn unpack([a, b, c, d, e]: [u8; TIME_BYTES], now: i64) -> i64 {
    let low = i64::from_le_bytes([a, b, c, d, e, 0, 0, 0]);
    // Shifting up and down again extends the sign of the 40-bit difference.
    now.wrapping_sub(now.wrapping_sub(low) << 24 >> 24)
}
