//! Counts and sums that move along with the ends of windows, so that a look costs what came and went since the last one
//! and not all that there is.
//!
//! For each end of a key's windows: its place among the events, and what the events before it come to, from the series'
//! first on. A window is the difference of its two ends. What comes late, or is marked later, is put right in the ends
//! that are behind it.

use std::collections::VecDeque;
use std::ops::Range;

use super::Value;
use super::acc::{Acc, summed};
use super::chunk::Chunk;
use super::ends::{self, place};
use super::plan::{Aggregate, Asked, KeyPlan};

/// At most so many bytes for each event: series of fewer are added up event by event.
const BYTES_AN_EVENT: usize = 4;
#[derive(Clone, Debug, Default)]
pub(super) struct Moving {
    /// A row for each end: its place, which is that of the first event behind it, and the cells of [`KeyPlan::sums`].
    cells: Box<[i64]>,
    /// The time of the last question: after it no end goes back.
    asked_ms: i64,
}

impl Moving {
    pub fn bytes(&self) -> usize {
        size_of_val(&*self.cells)
    }

    pub fn is_on(&self) -> bool {
        !self.cells.is_empty()
    }

    /// Begins when there are enough events for what it takes, and ends when there are far too few.
    pub fn keep_small(&mut self, plan: &KeyPlan, events: usize) {
        let bytes = plan.ends_ms.len() * plan.row_cells * size_of::<i64>();
        if self.is_on() && bytes > 2 * BYTES_AN_EVENT * events {
            *self = Moving::default();
        } else if !self.is_on() && !plan.sums.is_empty() && bytes <= BYTES_AN_EVENT * events {
            *self = Moving { cells: vec![0; bytes / size_of::<i64>()].into_boxed_slice(), asked_ms: 0 };
        }
    }

    fn rows(&mut self, plan: &KeyPlan) -> impl Iterator<Item = &mut [i64]> {
        self.cells.chunks_exact_mut(plan.row_cells)
    }

    /// Moves every end to where it is for a question about this time; false where one would have to go back too far.
    /// `odd` says that columns are not added up.
    pub fn go_to(&mut self, plan: &KeyPlan, chunks: &VecDeque<Chunk>, at_ms: i64, odd: bool) -> bool {
        let goes_back = at_ms < self.asked_ms;
        self.asked_ms = at_ms;
        let (mut arrived, mut rest) = (true, &mut *self.cells);
        for end_ms in &plan.ends_ms {
            let row;
            (row, rest) = rest.split_at_mut(plan.row_cells);
            let until_ms = at_ms.saturating_sub(*end_ms);
            let mut end = row[0];
            ends::go_on(chunks, &mut end, until_ms, |chunk, passed| chunk.count_range(plan, passed, odd, row));
            arrived &= !goes_back
                || ends::go_back(chunks, &mut end, until_ms, |chunk, at| chunk.count(plan, at, -1, odd, row));
            row[0] = end;
        }
        if !arrived {
            // None is further on than for the question before.
            self.asked_ms = i64::MAX;
        }
        arrived
    }

    /// An event was put here, in front of what stood there: not behind all.
    pub fn inserted(&mut self, plan: &KeyPlan, number: usize, chunk: &Chunk, at: usize, odd: bool) {
        for row in self.rows(plan) {
            if ends::inserted(&mut row[0], number, at, chunk.len()) {
                chunk.count(plan, at, 1, odd, row);
            }
        }
    }

    /// Counts an event with this sign in the ends that are behind it.
    pub fn count(&mut self, plan: &KeyPlan, number: usize, chunk: &Chunk, at: usize, sign: i64, odd: bool) {
        for row in self.rows(plan).filter(|row| row[0] > place(number, at)) {
            chunk.count(plan, at, sign, odd, row);
        }
    }

    /// What stood in this chunk from `half` on is a chunk of its own behind it.
    pub fn split(&mut self, plan: &KeyPlan, number: usize, half: usize) {
        self.rows(plan).for_each(|row| ends::split(&mut row[0], number, half));
    }

    /// The first chunk goes. What an end has not passed of it counts as passed: no window that begins in it is shown.
    pub fn dropped_first(&mut self, plan: &KeyPlan, first: &Chunk, odd: bool) {
        for row in self.rows(plan) {
            for at in ends::dropped_first(&mut row[0], first) {
                first.count(plan, at, 1, odd, row);
            }
        }
    }

    /// What a window shows that is made of counts and sums.
    #[inline(always)]
    pub fn shows(&self, asked: &Asked) -> Value {
        let between = |[up_to, from]: [usize; 2]| self.cells[up_to].wrapping_sub(self.cells[from]);
        let count = between(asked.cells) as u64;
        match asked.aggregate {
            Aggregate::Sum | Aggregate::Avg => {
                let sum = between(asked.cells.map(|cell| cell + 1));
                summed(asked.aggregate, count, sum.into(), 0)
            }
            Aggregate::Share => summed(asked.aggregate, count, 0, between(asked.of_cells) as u64),
            _ => Value::Int(count as i64),
        }
    }
}

impl Chunk {
    /// Counts one of its events with this sign.
    #[inline(always)]
    fn count(&self, plan: &KeyPlan, at: usize, sign: i64, odd: bool, row: &mut [i64]) {
        let outcome = self.outcome(at);
        for sum in plan.sums.iter().filter(|sum| sum.selects.selects(outcome)) {
            match sum.column {
                None => row[sum.cell] += sign,
                Some(_) if odd => {}
                Some(column) => {
                    if let Some(value) = self.narrow(column, at) {
                        row[sum.cell] += sign;
                        row[sum.cell + 1] = row[sum.cell + 1].wrapping_add(sign * i64::from(value));
                    }
                }
            }
        }
    }

    /// Counts some of its events.
    #[inline]
    fn count_range(&self, plan: &KeyPlan, of: Range<usize>, odd: bool, row: &mut [i64]) {
        if of.len() == self.len() {
            self.count_all(plan, odd, row);
        } else {
            of.for_each(|at| self.count(plan, at, 1, odd, row));
        }
    }

    /// Counts all of its events.
    fn count_all(&self, plan: &KeyPlan, odd: bool, row: &mut [i64]) {
        for sum in plan.sums.iter().filter(|sum| sum.column.is_none() || !odd) {
            let mut acc = Acc::default();
            self.add_one(plan, 0..self.len(), &plan.measures[sum.measure], self.currency(plan, 0), &mut acc);
            row[sum.cell] += acc.count as i64;
            if sum.column.is_some() {
                row[sum.cell + 1] = row[sum.cell + 1].wrapping_add(acc.sum as i64);
            }
        }
    }
}
