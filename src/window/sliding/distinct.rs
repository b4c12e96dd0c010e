//! How many different values a window has: how often each stands in it, kept from one look to the next, so that a look
//! costs what came and went since the last one.
//!
//! That takes memory for each value, so all of it together has a bound of its own ([`Budget`]). A window for which there
//! is no room, or which is asked about too long ago, is looked through.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};

use foldhash::fast::RandomState;
use hashbrown::HashMap;

use super::Value;
use super::chunk::Chunk;
use super::ends::{self, place};
use super::plan::{Asked, Field, KeyPlan, Measure};
use super::series::{Question, Series};

/// Series of fewer chunks are looked through.
const LONG: usize = 8;
/// What nobody asked about for so long makes room for others.
const QUIET_MS: i64 = 3_600_000;

/// What all windows' values may take, in bytes.
#[derive(Debug)]
pub(super) struct Budget {
    pub most: usize,
    taken: AtomicUsize,
}

impl Budget {
    pub fn new(most: usize) -> Arc<Budget> {
        Arc::new(Budget { most, taken: AtomicUsize::new(0) })
    }

    pub fn taken(&self) -> usize {
        self.taken.load(Relaxed)
    }
}

/// A part of the budget, given back when it is dropped.
#[derive(Debug)]
struct Share {
    budget: Arc<Budget>,
    bytes: usize,
}

impl Share {
    /// Whether there was so much, where that is more than before.
    fn resize(&mut self, bytes: usize) -> bool {
        let (was, most) = (self.bytes, self.budget.most);
        let fits = |taken: usize| Some(taken - was + bytes).filter(|taken| bytes <= was || *taken <= most);
        let done = self.budget.taken.fetch_update(Relaxed, Relaxed, fits).is_ok();
        if done {
            self.bytes = bytes;
        }
        done
    }
}

impl Drop for Share {
    fn drop(&mut self) {
        self.budget.taken.fetch_sub(self.bytes, Relaxed);
    }
}

/// The values of one window.
#[derive(Debug)]
struct Kept {
    /// How often each value stands between the ends.
    times: HashMap<i64, u32, RandomState>,
    share: Share,
    /// The window's two ends.
    from: i64,
    to: i64,
    /// The time of the last question: after it no end goes back, where both were moved there.
    asked_ms: i64,
    arrived: bool,
    /// There was no room for some value.
    failed: bool,
}

/// At most what a table of so many values takes.
fn table_bytes(values: usize) -> usize {
    (values * 8 / 7 + 2).next_power_of_two().max(4) * (size_of::<(i64, u32)>() + 1) + 64 + size_of::<Kept>()
}

impl Kept {
    /// From all values of a window in their order; none where there is no room for them.
    fn new(values: &[i64], budget: &Arc<Budget>) -> Option<Kept> {
        let distinct = values.chunk_by(|a, b| a == b).count();
        let mut share = Share { budget: budget.clone(), bytes: 0 };
        if !share.resize(table_bytes(distinct)) {
            return None;
        }
        let mut times = HashMap::with_capacity_and_hasher(distinct, RandomState::default());
        times.extend(values.chunk_by(|a, b| a == b).map(|same| (same[0], same.len() as u32)));
        Some(Kept { times, share, from: 0, to: 0, asked_ms: 0, arrived: true, failed: false })
    }

    fn count(&mut self, value: Option<i64>, sign: i64) {
        let Some(value) = value else { return };
        if sign > 0 {
            let is_full = self.times.len() == self.times.capacity();
            if is_full && !self.share.resize(table_bytes(2 * self.times.len() + 4)) {
                self.failed = true;
                return;
            }
            *self.times.entry(value).or_insert(0) += 1;
            return;
        }
        let Some(times) = self.times.get_mut(&value) else { return };
        *times -= 1;
        if *times > 0 {
            return;
        }
        self.times.remove(&value);
        let (len, capacity) = (self.times.len(), self.times.capacity());
        if capacity > 64 && len * 8 < capacity {
            self.times.shrink_to(2 * len);
            self.share.resize(table_bytes(self.times.capacity()));
        }
    }

    /// Moves the window to where it is for a question; false where an end would have to go back too far.
    fn go_to(&mut self, of: &Of, chunks: &VecDeque<Chunk>, at_ms: i64, begins_ms: i64, until_ms: i64) -> bool {
        let goes_back = at_ms < self.asked_ms || !self.arrived;
        self.asked_ms = at_ms;
        // The end before the beginning, and back the other way round: nothing leaves that has not come.
        let (mut from, mut to) = (self.from, self.to);
        ends::go_on(chunks, &mut to, until_ms, |chunk, passed| {
            passed.for_each(|at| self.count(of.value(chunk, at), 1));
        });
        ends::go_on(chunks, &mut from, begins_ms, |chunk, passed| {
            passed.for_each(|at| self.count(of.value(chunk, at), -1));
        });
        self.arrived = !goes_back
            || ends::go_back(chunks, &mut from, begins_ms, |chunk, at| self.count(of.value(chunk, at), 1))
                & ends::go_back(chunks, &mut to, until_ms, |chunk, at| self.count(of.value(chunk, at), -1));
        (self.from, self.to) = (from, to);
        self.arrived
    }
}

/// What is counted of an event.
struct Of<'a> {
    plan: &'a KeyPlan,
    measure: &'a Measure,
    currency: u8,
}

impl Of<'_> {
    fn value(&self, chunk: &Chunk, at: usize) -> Option<i64> {
        chunk.counted(self.plan, self.measure, self.currency, at)
    }
}

/// The values of a key's windows of this kind, where its series is long.
#[derive(Debug, Default)]
pub(super) struct Distincts {
    kept: Box<[Option<Box<Kept>>]>,
    /// Of the values that are kept, where they are money.
    currency: u8,
}

impl Distincts {
    /// What it takes besides the budget.
    pub fn bytes(&self) -> usize {
        size_of_val(&*self.kept)
    }

    #[cfg(test)]
    pub fn are_kept(&self) -> bool {
        !self.kept.is_empty() && self.kept.iter().all(Option::is_some)
    }

    /// Lets go of what nobody asked about for long.
    pub fn let_go_quiet(&mut self, now_ms: i64) {
        for kept in &mut self.kept {
            kept.take_if(|kept| kept.asked_ms < now_ms - QUIET_MS);
        }
    }

    /// Each window's values, with what is counted in them. What found no room is let go after it.
    fn each(&mut self, plan: &KeyPlan, mut change: impl FnMut(&Of, &mut Kept)) {
        if self.kept.is_empty() {
            return;
        }
        for asked in &plan.asked {
            let Some(kept) = asked.distinct.and_then(|number| self.kept.get_mut(number)) else { continue };
            if let Some(kept) = kept {
                let measure = &plan.measures[asked.measure];
                change(&Of { plan, measure, currency: self.currency }, kept);
            }
            kept.take_if(|kept| kept.failed);
        }
    }

    /// An event was put here, in front of what stood there: not behind all.
    pub fn inserted(&mut self, plan: &KeyPlan, number: usize, chunk: &Chunk, at: usize) {
        self.each(plan, |of, kept| {
            let is_out = ends::inserted(&mut kept.from, number, at, chunk.len());
            let is_in = ends::inserted(&mut kept.to, number, at, chunk.len()) && !is_out;
            kept.count(of.value(chunk, at).filter(|_| is_in), 1);
        });
    }

    /// Counts an event with this sign in the windows that it is in.
    pub fn count(&mut self, plan: &KeyPlan, number: usize, chunk: &Chunk, at: usize, sign: i64) {
        self.each(plan, |of, kept| {
            let is_in = (kept.from..kept.to).contains(&place(number, at));
            kept.count(of.value(chunk, at).filter(|_| is_in), sign);
        });
    }

    /// What stood in this chunk from `half` on is a chunk of its own behind it.
    pub fn split(&mut self, plan: &KeyPlan, number: usize, half: usize) {
        self.each(plan, |_, kept| {
            [&mut kept.from, &mut kept.to].into_iter().for_each(|e| ends::split(e, number, half))
        });
    }

    /// The first chunk goes.
    pub fn dropped_first(&mut self, plan: &KeyPlan, first: &Chunk) {
        self.each(plan, |of, kept| {
            let (not_out, not_in) =
                (ends::dropped_first(&mut kept.from, first), ends::dropped_first(&mut kept.to, first));
            let inside = not_out.start..if not_in.is_empty() { first.len() } else { not_in.start };
            inside.filter(|at| not_out.contains(at)).for_each(|at| kept.count(of.value(first, at), -1));
        });
    }
}

impl Series {
    /// Makes room for windows' values, or lets them go.
    pub fn keep_distincts(&mut self, plan: &KeyPlan) {
        let wanted = if self.chunks.len() < LONG { 0 } else { plan.distincts };
        if self.distincts.kept.len() != wanted && (wanted > 0 || 2 * self.chunks.len() < LONG) {
            self.distincts = Distincts { kept: (0..wanted).map(|_| None).collect(), currency: self.currency };
        }
    }

    /// How many different values a window shows.
    pub fn distinct(&mut self, plan: &KeyPlan, question: Question, asked: &Asked, values: &mut Vec<i64>) -> Value {
        let until_ms = question.at.0.saturating_sub(asked.delay_ms);
        let begins_ms = until_ms.saturating_sub(asked.length_ms);
        let (measure, mut currency) = (&plan.measures[asked.measure], question.currency);
        if measure.column.is_none_or(|column| plan.columns[column].1 != Field::Money) {
            currency = self.distincts.currency;
        }
        let keeps = currency == self.distincts.currency;
        let mut place = asked.distinct.and_then(|number| self.distincts.kept.get_mut(number)).filter(|_| keeps);
        if let Some(Some(kept)) = &mut place {
            let of = Of { plan, measure, currency };
            if kept.go_to(&of, &self.chunks, question.at.0, begins_ms, until_ms) && !kept.failed {
                return Value::Int(kept.times.len() as i64);
            }
        }
        values.clear();
        for chunk in self.chunks.iter().rev() {
            if chunk.newest_ms() <= begins_ms {
                break;
            }
            let of = chunk.until(begins_ms)..chunk.until(until_ms);
            chunk.each(plan, of, measure, currency, |_, value| values.push(value));
        }
        values.sort_unstable();
        if let Some(place) = place {
            place.take_if(|kept| kept.failed);
            if place.is_none() {
                *place = Kept::new(values, question.budget).map(|kept| {
                    let end = |ms| ends::at_time(&self.chunks, ms);
                    Box::new(Kept { from: end(begins_ms), to: end(until_ms), asked_ms: question.at.0, ..kept })
                });
            }
        }
        values.dedup();
        Value::Int(values.len() as i64)
    }
}
