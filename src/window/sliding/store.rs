//! All keys' series, in shards of their own locks, within a bound of memory.

use std::hash::BuildHasher;
use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use foldhash::fast::RandomState;
use hashbrown::HashTable;

use super::acc::NONE;
use super::chunk::Record;
use super::distinct::Budget;
use super::plan::{KeyPlan, Plan};
use super::series::{Question, Room, Series};
use super::{Change, Event, Outcome, Value};
use crate::clock::UnixMs;

pub(super) const SHARDS: usize = 256;

/// Bounds, so that no client can take the machine's memory.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// For all series. Above it keys go that were quiet for long. Where a window is of different values, a quarter of it is
    /// for how often each stands in one.
    pub max_bytes: usize,
    /// For one key: the oldest 64 go first.
    pub max_events_per_key: usize,
    /// How late an event may come and still find its windows whole.
    pub late_ms: i64,
}

/// What is held, and what had to be dropped.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Stats {
    pub keys: u64,
    pub events: u64,
    pub bytes: u64,
    /// Keys dropped while their events still counted.
    pub evicted_keys: u64,
}

/// A worker's buffers.
#[derive(Debug, Default)]
pub struct Scratch {
    room: Room,
    values: Vec<i64>,
}

pub struct Windows {
    pub(super) plan: Plan,
    limits: Limits,
    shards: Box<[Mutex<Shard>]>,
    pub(super) budget: Arc<Budget>,
    /// The watermark, in milliseconds.
    closed_ms: AtomicI64,
}

#[derive(Debug)]
struct Slot {
    key: (u32, u64),
    series: Series,
    /// The shard's count of uses when it was used last.
    used: u64,
    /// It holds a key.
    taken: bool,
}

/// Keys that hash alike.
#[derive(Debug)]
pub(super) struct Shard {
    slots: Vec<Slot>,
    free: Vec<u32>,
    /// Where each key's slot is. Its key stands there alone: the index of many keys stays in the caches.
    index: HashTable<u32>,
    hasher: RandomState,
    /// Goes round the slots to find what to evict: a use of a key is noted in its own slot alone.
    hand: usize,
    uses: u64,
    bytes: usize,
    evicted_keys: u64,
    /// For each key plan: the newest event that was evicted with its key.
    pub(super) lost_ms: Vec<i64>,
}

/// Keys among which the one to be evicted is chosen.
const LOOKED_AT: usize = 32;

/// What a key costs besides its events: its slot and its place in the index.
const KEY_BYTES: usize = size_of::<Slot>() + 2 * (size_of::<u32>() + 1);

impl Shard {
    fn new(plan: &Plan) -> Shard {
        Shard {
            slots: Vec::new(),
            free: Vec::new(),
            index: HashTable::new(),
            hasher: RandomState::default(),
            hand: 0,
            uses: 0,
            bytes: 0,
            evicted_keys: 0,
            lost_ms: vec![NONE; plan.keys.len()],
        }
    }

    fn find(&self, key: (u32, u64)) -> Option<u32> {
        self.index.find(self.hasher.hash_one(key), |at| self.slots[*at as usize].key == key).copied()
    }

    /// The key's series, made if there is none.
    pub(super) fn series(&mut self, key: (u32, u64)) -> u32 {
        self.uses += 1;
        if let Some(at) = self.find(key) {
            self.slots[at as usize].used = self.uses;
            return at;
        }
        let series = Series::new(self.lost_ms[key.0 as usize]);
        let slot = Slot { key, series, used: self.uses, taken: true };
        let at = match self.free.pop() {
            Some(at) => {
                self.slots[at as usize] = slot;
                at
            }
            None => {
                self.slots.push(slot);
                (self.slots.len() - 1) as u32
            }
        };
        self.bytes += KEY_BYTES;
        let (slots, hasher) = (&self.slots, &self.hasher);
        self.index.insert_unique(hasher.hash_one(key), at, |at| hasher.hash_one(slots[*at as usize].key));
        at
    }

    /// Does something to a series and keeps count of its memory.
    pub(super) fn change<T>(&mut self, at: u32, change: impl FnOnce(&mut Series) -> T) -> T {
        let series = &mut self.slots[at as usize].series;
        let before = series.bytes();
        let done = change(series);
        self.bytes = self.bytes + series.bytes() - before;
        done
    }

    fn drop_key(&mut self, at: u32) {
        let slot = &mut self.slots[at as usize];
        slot.taken = false;
        let (key, series) = (slot.key, std::mem::replace(&mut slot.series, Series::new(NONE)));
        if let Ok(found) = self.index.find_entry(self.hasher.hash_one(key), |other| *other == at) {
            found.remove();
        }
        self.free.push(at);
        self.bytes -= KEY_BYTES + series.bytes();
        let lost_ms = series.newest_ms().max(series.complete_since_ms);
        let lost = &mut self.lost_ms[key.0 as usize];
        *lost = lost_ms.max(*lost);
    }

    /// Evicts what was quiet for longest of the next few keys, but never this one.
    pub(super) fn keep_below(&mut self, max_bytes: usize, kept: u32) {
        while self.bytes > max_bytes && self.index.len() > 1 {
            let (mut looked_at, mut quietest) = (0, (u64::MAX, 0));
            // There is another key than this one, so this ends.
            while looked_at < LOOKED_AT.min(self.index.len() - 1) {
                self.hand = (self.hand + 1) % self.slots.len();
                let slot = &self.slots[self.hand];
                if slot.taken && self.hand != kept as usize {
                    looked_at += 1;
                    quietest = quietest.min((slot.used, self.hand));
                }
            }
            self.evicted_keys += 1;
            self.drop_key(quietest.1 as u32);
        }
    }

    fn taken(&self) -> impl Iterator<Item = &Slot> {
        self.slots.iter().filter(|slot| slot.taken)
    }

    /// All keys, those first that were quiet for longest.
    pub(super) fn by_use(&self) -> impl Iterator<Item = ((u32, u64), &Series)> {
        let mut slots: Vec<&Slot> = self.taken().collect();
        slots.sort_unstable_by_key(|slot| slot.used);
        slots.into_iter().map(|slot| (slot.key, &slot.series))
    }
}

impl Windows {
    pub fn new(plan: Plan, limits: Limits) -> Windows {
        let shards = (0..SHARDS).map(|_| Mutex::new(Shard::new(&plan))).collect();
        let has_distinct = plan.keys.iter().any(|key| key.distincts > 0);
        let budget = Budget::new(if has_distinct { limits.max_bytes / 4 } else { 0 });
        let closed_ms = AtomicI64::new(i64::MIN);
        Windows { plan, limits, shards, budget, closed_ms }
    }

    pub fn plan(&self) -> &Plan {
        &self.plan
    }

    pub(super) fn lock(&self, shard: usize) -> MutexGuard<'_, Shard> {
        // A panic under the lock is a bug that a test would have shown; what is behind it stays within its bounds.
        self.shards[shard].lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The shard of a key.
    fn lock_of(&self, key: u64) -> MutexGuard<'_, Shard> {
        self.lock((key.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 56) as usize % SHARDS)
    }

    pub(super) fn max_shard_bytes(&self) -> usize {
        (self.limits.max_bytes - self.budget.most) / SHARDS
    }

    /// Puts the event into the series of its keys, and gives what each window shows it: itself is among what counts.
    /// `out` has a place for each window. An event is to be observed once.
    pub fn observe(&self, event: &Event, scratch: &mut Scratch, out: &mut [Value]) {
        out.fill(Value::Null);
        for (number, plan, key) in self.keys(event) {
            let record = record(plan, event, &mut scratch.values);
            let mut shard = self.lock_of(key);
            let at = shard.series((number, key));
            let question = self.question(event, Some(event.outcome));
            let room = &mut scratch.room;
            shard.change(at, |series| {
                series.insert(plan, &record);
                self.trim(plan, series);
                series.look(plan, question, room, out);
            });
            shard.keep_below(self.max_shard_bytes(), at);
        }
    }

    /// What each window would show an event that is not to be remembered.
    pub fn look(&self, event: &Event, scratch: &mut Scratch, out: &mut [Value]) {
        out.fill(Value::Null);
        for (number, plan, key) in self.keys(event) {
            let question = self.question(event, None);
            let room = &mut scratch.room;
            let mut shard = self.lock_of(key);
            match shard.find((number, key)) {
                Some(at) => shard.change(at, |series| series.look(plan, question, room, out)),
                None => Series::new(shard.lost_ms[number as usize]).look(plan, question, room, out),
            }
        }
    }

    fn question(&self, event: &Event, itself: Option<Outcome>) -> Question<'_> {
        Question { at: event.at, currency: event.currency, itself, budget: &self.budget }
    }

    /// Changes what is known of an event that was observed; in how many of its keys it was still found.
    pub fn mark(&self, event: &Event, change: Change, scratch: &mut Scratch) -> usize {
        let mut found = 0;
        for (number, plan, key) in self.keys(event) {
            let record = record(plan, event, &mut scratch.values);
            let mut shard = self.lock_of(key);
            if let Some(at) = shard.find((number, key)) {
                found += usize::from(shard.change(at, |series| series.mark(plan, &record, change)));
            }
        }
        found
    }

    /// No event of before can come any more, so that windows that end there are closed: the latest time that was told to
    /// [`sweep`](Self::sweep), less how late events may come. It never goes back.
    pub fn watermark(&self) -> UnixMs {
        UnixMs(self.closed_ms.load(Ordering::Relaxed))
    }

    /// Drops what no window can ask for any more, in one shard: keys that stay quiet are only found so.
    pub fn sweep(&self, shard: usize, now: UnixMs) {
        let closed_ms = now.0.saturating_sub(self.limits.late_ms);
        let closed_ms = self.closed_ms.fetch_max(closed_ms, Ordering::Relaxed).max(closed_ms);
        let mut shard = self.lock(shard % SHARDS);
        for at in 0..shard.slots.len() as u32 {
            let slot = &shard.slots[at as usize];
            if !slot.taken {
                continue;
            }
            let plan = &self.plan.keys[slot.key.0 as usize];
            let until_ms = closed_ms.saturating_sub(plan.reach_ms());
            shard.change(at, |series| {
                series.forget(plan, until_ms);
                series.distincts.let_go_quiet(now.0);
            });
            if shard.slots[at as usize].series.events() == 0 {
                let lost_ms = shard.lost_ms.clone();
                shard.drop_key(at);
                // Nothing was lost that an event could still ask for.
                shard.lost_ms = lost_ms;
            }
        }
    }

    pub fn limits(&self) -> Limits {
        self.limits
    }

    pub fn shards(&self) -> usize {
        SHARDS
    }

    pub fn stats(&self) -> Stats {
        let mut stats = Stats { bytes: self.budget.taken() as u64, ..Stats::default() };
        for shard in 0..SHARDS {
            let shard = self.lock(shard);
            stats.keys += shard.index.len() as u64;
            stats.bytes += shard.bytes as u64;
            stats.evicted_keys += shard.evicted_keys;
            stats.events += shard.taken().map(|slot| slot.series.events() as u64).sum::<u64>();
        }
        stats
    }

    fn keys<'a>(&'a self, event: &Event<'a>) -> impl Iterator<Item = (u32, &'a KeyPlan, u64)> + use<'a> {
        let keys = self.plan.keys.iter().zip(event.keys).enumerate();
        keys.filter(|(_, (plan, _))| !plan.asked.is_empty())
            .filter_map(|(number, (plan, key))| Some((number as u32, plan, (*key)?)))
    }

    fn trim(&self, plan: &KeyPlan, series: &mut Series) {
        series.forget(plan, series.newest_ms().saturating_sub(plan.reach_ms() + self.limits.late_ms));
        while series.events() > self.limits.max_events_per_key {
            series.drop_oldest(plan);
        }
    }
}

/// The event as a key keeps it.
fn record<'v>(plan: &KeyPlan, event: &Event, values: &'v mut Vec<i64>) -> Record<'v> {
    values.clear();
    values.extend(plan.columns.iter().map(|(field, _)| event.fields[*field].unwrap_or(NONE)));
    let at_ms = event.at.0.clamp(0, i64::from(u32::MAX) * 1_000);
    Record { at_ms, outcome: event.outcome.0, currency: event.currency, values }
}
