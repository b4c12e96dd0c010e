//! The events of one key, in chunks.

use std::collections::VecDeque;
use std::sync::Arc;

use super::acc::{Acc, NONE};
use super::chunk::{Chunk, Record};
use super::distinct::{Budget, Distincts};
use super::extreme::Extreme;
use super::moving::Moving;
use super::plan::{Aggregate, KeyPlan, Measure};
use super::{Change, Outcome, UnixMs, Value};

/// Series of fewer chunks are added up event by event.
const LONG: usize = 4;

#[derive(Debug)]
pub(super) struct Series {
    /// By time, none of them empty.
    pub(super) chunks: VecDeque<Chunk>,
    events: usize,
    bytes: usize,
    /// All events later than this are here.
    pub complete_since_ms: i64,
    moving: Moving,
    /// Of each window of the least or the largest value, where the series is long.
    pub(super) extremes: Box<[Extreme]>,
    /// The same of windows of different values.
    pub(super) distincts: Distincts,
    /// Of the first event.
    pub(super) currency: u8,
    /// There was an event in another currency, or with a number that takes 8 bytes: columns do not move along any more.
    odd: bool,
}

/// Buffers for a look at a series.
#[derive(Debug, Default)]
pub(super) struct Room {
    /// For each stretch between two ends of windows, what each measure has.
    accs: Vec<Acc>,
    values: Vec<i64>,
}

/// What is asked of a series.
#[derive(Clone, Copy)]
pub(super) struct Question<'a> {
    pub at: UnixMs,
    pub currency: u8,
    /// Of the event itself, where it is in the series already.
    pub itself: Option<Outcome>,
    /// For what is remembered of different values.
    pub budget: &'a Arc<Budget>,
}

impl Series {
    pub fn new(complete_since_ms: i64) -> Series {
        let (chunks, moving) = (VecDeque::new(), Moving::default());
        let (extremes, distincts) = (Box::default(), Distincts::default());
        Series { chunks, events: 0, bytes: 0, complete_since_ms, moving, extremes, distincts, currency: 0, odd: false }
    }

    pub fn events(&self) -> usize {
        self.events
    }

    /// Whether its counts and sums move along with the ends of windows, and those of columns too.
    #[cfg(test)]
    pub fn moves(&self) -> (bool, bool) {
        (self.moving.is_on(), self.moving.is_on() && !self.odd)
    }

    /// All memory that it takes but itself, and but what it has of the budget.
    pub fn bytes(&self) -> usize {
        let remembered = self.moving.bytes() + size_of_val(&*self.extremes) + self.distincts.bytes();
        self.bytes + self.chunks.capacity() * size_of::<Chunk>() + remembered
    }

    pub fn newest_ms(&self) -> i64 {
        self.chunks.back().map_or(NONE, Chunk::newest_ms)
    }

    /// Does something to a chunk and keeps count of its memory.
    pub(super) fn change<T>(&mut self, at: usize, change: impl FnOnce(&mut Chunk) -> T) -> T {
        let chunk = &mut self.chunks[at];
        let before = chunk.bytes();
        let done = change(chunk);
        self.bytes = self.bytes + chunk.bytes() - before;
        done
    }

    pub fn insert(&mut self, plan: &KeyPlan, record: &Record) {
        // The last chunk that begins no later; the first one if none does.
        let mut at = self.chunks.len().saturating_sub(1);
        while at > 0 && self.chunks[at].oldest_ms() > record.at_ms {
            at -= 1;
        }
        if self.chunks.get(at).is_none_or(Chunk::is_full) {
            let is_last = at + 1 >= self.chunks.len();
            if is_last && self.newest_ms() <= record.at_ms {
                self.chunks.push_back(Chunk::default());
                at = self.chunks.len() - 1;
            } else {
                let later = self.change(at, |chunk| chunk.split(plan));
                self.moving.split(plan, at, self.chunks[at].len());
                self.distincts.split(plan, at, self.chunks[at].len());
                self.bytes += later.bytes();
                let begins_ms = later.oldest_ms();
                self.chunks.insert(at + 1, later);
                at += usize::from(begins_ms <= record.at_ms);
            }
        }
        let place = self.change(at, |chunk| chunk.insert(plan, record));
        self.events += 1;
        if self.events == 1 {
            self.currency = record.currency;
        }
        let chunk = &self.chunks[at];
        self.odd |= chunk.is_wide() || plan.has_money && record.currency != self.currency;
        if place + 1 < chunk.len() || at + 1 < self.chunks.len() {
            self.moving.inserted(plan, at, chunk, place, self.odd);
            self.distincts.inserted(plan, at, chunk, place);
            self.extremes.iter_mut().for_each(Extreme::forget);
        }
    }

    pub fn mark(&mut self, plan: &KeyPlan, record: &Record, change: Change) -> bool {
        for at in (0..self.chunks.len()).rev() {
            if self.chunks[at].newest_ms() < record.at_ms {
                return false;
            }
            let Some(place) = self.chunks[at].find(plan, record, change) else { continue };
            self.moving.count(plan, at, &self.chunks[at], place, -1, self.odd);
            self.distincts.count(plan, at, &self.chunks[at], place, -1);
            self.change(at, |chunk| chunk.mark(place, change));
            self.moving.count(plan, at, &self.chunks[at], place, 1, self.odd);
            self.distincts.count(plan, at, &self.chunks[at], place, 1);
            self.extremes.iter_mut().for_each(Extreme::forget);
            return true;
        }
        false
    }

    /// Drops chunks that nothing can ask for any more.
    pub fn forget(&mut self, plan: &KeyPlan, until_ms: i64) {
        while self.chunks.front().is_some_and(|chunk| chunk.newest_ms() <= until_ms) {
            self.drop_oldest(plan);
        }
    }

    /// Drops the oldest chunk.
    pub fn drop_oldest(&mut self, plan: &KeyPlan) {
        if let Some(chunk) = self.chunks.pop_front() {
            self.moving.dropped_first(plan, &chunk, self.odd);
            self.distincts.dropped_first(plan, &chunk);
            self.events -= chunk.len();
            self.bytes -= chunk.bytes();
            self.complete_since_ms = self.complete_since_ms.max(chunk.newest_ms());
        }
        if self.chunks.capacity() > 8 + 2 * self.chunks.len() {
            self.chunks.shrink_to(self.chunks.len() + 4);
        }
    }

    /// What all windows of the key show. `out` is by the position among all windows.
    pub fn look(&mut self, plan: &KeyPlan, question: Question, room: &mut Room, out: &mut [Value]) {
        let (at, measures) = (question.at, plan.measures.len());
        self.moving.keep_small(plan, self.events);
        let moves = self.moving.is_on() && self.moving.go_to(plan, &self.chunks, at.0, self.odd);
        let columns_move = moves && !self.odd && (!plan.has_money || question.currency == self.currency);
        if columns_move && plan.all_sums && at.0.saturating_sub(plan.reach_ms()) >= self.complete_since_ms {
            for asked in &plan.asked {
                out[asked.window] = self.moving.shows(asked);
            }
            return;
        }
        let moves = |measure: &Measure| if measure.column.is_some() { columns_move } else { moves };
        let keeps_extremes = self.keeps_extremes(plan);
        self.keep_distincts(plan);
        let is_added = |m: &Measure| m.extremes && !keeps_extremes || m.newest || m.summed && !moves(m);
        if plan.measures.iter().any(is_added) {
            self.add_up(plan, question, &mut room.accs, is_added);
        }
        let accs = &room.accs;
        let mut mine = Running::default();
        let mut whole = Running::default();
        for asked in &plan.asked {
            let begins_ms = at.0.saturating_sub(asked.delay_ms + asked.length_ms);
            let measure = &plan.measures[asked.measure];
            out[asked.window] = if begins_ms < self.complete_since_ms {
                Value::Lost
            } else if asked.aggregate.is_summed() && moves(measure) {
                self.moving.shows(asked)
            } else if let Some(number) = asked.extreme.filter(|_| keeps_extremes) {
                self.extreme(plan, question, asked, number)
            } else if asked.aggregate == Aggregate::Distinct {
                self.distinct(plan, question, asked, &mut room.values)
            } else {
                let counts_itself =
                    asked.delay_ms == 0 && question.itself.is_some_and(|o| measure.selects.selects(o.0));
                let mine = mine.up_to(accs, measures, asked.measure, asked.from, asked.to);
                if asked.of == asked.measure {
                    mine.shows(asked, mine, at, counts_itself)
                } else {
                    let of = whole.up_to(accs, measures, asked.of, asked.from, asked.to);
                    mine.shows(asked, of, at, counts_itself)
                }
            };
        }
    }

    /// One pass from the newest back: what each measure that is `wanted` has between each two ends.
    fn add_up(
        &mut self,
        plan: &KeyPlan,
        question: Question,
        accs: &mut Vec<Acc>,
        wanted: impl Fn(&Measure) -> bool + Copy,
    ) {
        let measures = plan.measures.len();
        accs.clear();
        accs.resize(plan.ends_ms.len() * measures, Acc::default());
        let Some((first, begins)) = plan.ends_ms.split_first() else { return };
        let is_long = self.chunks.len() >= LONG;
        let newest_ms = question.at.0.saturating_sub(*first);
        // Behind the last event of all that is not later than the first end.
        let mut at = self.chunks.partition_point(|chunk| chunk.oldest_ms() <= newest_ms);
        let Some(last) = at.checked_sub(1) else { return };
        let mut end = self.chunks[last].until(newest_ms);
        for (segment, begin_ms) in begins.iter().enumerate() {
            let begin_ms = question.at.0.saturating_sub(*begin_ms);
            let accs = &mut accs[segment * measures..][..measures];
            while at > 0 {
                let chunk = &self.chunks[at - 1];
                let from = if chunk.oldest_ms() > begin_ms { 0 } else { chunk.until(begin_ms) };
                let is_whole = from == 0 && end == chunk.len();
                if from < end {
                    if is_long && is_whole && chunk.is_full() {
                        self.change(at - 1, |chunk| chunk.sum_up(plan));
                    }
                    self.chunks[at - 1].add(plan, from..end, question.currency, accs, wanted);
                }
                end = end.min(from);
                if from > 0 {
                    break;
                }
                at -= 1;
                end = at.checked_sub(1).map_or(0, |before| self.chunks[before].len());
            }
        }
    }

    /// Calls `each` with every event, oldest first.
    pub fn for_each(&self, plan: &KeyPlan, mut each: impl FnMut(Record)) {
        self.chunks.iter().for_each(|chunk| chunk.for_each(plan, &mut each));
    }
}

/// Sums of segments that go on where the last window's ended.
#[derive(Default)]
struct Running {
    /// Measure, first segment, and the one after the last.
    of: (usize, usize, usize),
    sum: Acc,
}

impl Running {
    fn up_to(&mut self, accs: &[Acc], measures: usize, measure: usize, from: usize, to: usize) -> &Acc {
        if (self.of.0, self.of.1) != (measure, from) || self.of.2 > to {
            *self = Running { of: (measure, from, from), sum: Acc::default() };
        }
        for segment in self.of.2..to {
            self.sum.merge(&accs[segment * measures + measure]);
        }
        self.of.2 = to;
        &self.sum
    }
}
