//! Up to 64 events of one key in the order of their times, in one piece of memory.
//!
//! Column after column: seconds (4 bytes), milliseconds and outcome (2), currency (1, where a column is money), then the
//! values: marks take 8 bytes, numbers 4 as long as all of the chunk's fit and 8 from then on.

use std::ops::Range;

use super::Change;
use super::acc::{Acc, NONE};
use super::plan::{Field, KeyPlan, Measure};

pub(super) const MAX_LEN: usize = 64;
const OUTCOME_SHIFT: u32 = 10;
/// A narrow column's missing value.
const NARROW_NONE: u32 = u32::MAX;

/// One event of a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Record<'a> {
    pub at_ms: i64,
    pub outcome: u8,
    pub currency: u8,
    /// [`NONE`] where the event has none.
    pub values: &'a [i64],
}

#[derive(Clone, Debug)]
pub(super) struct Chunk {
    data: Box<[u8]>,
    /// Of its first and last event: who only asks whether something is to be done here need not fetch `data`.
    oldest_ms: i64,
    newest_ms: i64,
    len: u8,
    room: u8,
    wide: bool,
    /// Not all of its events are in the currency of the first, or some have no value in a narrow column.
    mixed: bool,
    /// What the whole of it adds up to, for each measure; worked out when a long series is looked at.
    whole: Option<Box<Whole>>,
}

#[derive(Clone, Debug)]
struct Whole {
    /// Of all its events.
    currency: u8,
    accs: Vec<Acc>,
}

impl Default for Chunk {
    fn default() -> Chunk {
        let (data, oldest_ms, newest_ms) = (Box::default(), NONE, NONE);
        Chunk { data, oldest_ms, newest_ms, len: 0, room: 0, wide: false, mixed: false, whole: None }
    }
}

/// Where a column begins, and how wide its values are.
type Place = (usize, usize);

/// Puts a value into a column of `len`, in front of what stands there.
#[inline]
fn put<const WIDTH: usize>(data: &mut [u8], begin: usize, at: usize, len: usize, value: [u8; WIDTH]) {
    let from = begin + WIDTH * at;
    if at < len {
        data.copy_within(from..begin + WIDTH * len, from + WIDTH);
    }
    data[from..from + WIDTH].copy_from_slice(&value);
}

fn fits(value: i64) -> bool {
    value == NONE || (0..i64::from(NARROW_NONE)).contains(&value)
}

impl Chunk {
    pub fn len(&self) -> usize {
        usize::from(self.len)
    }

    pub fn is_full(&self) -> bool {
        self.len() == MAX_LEN
    }

    /// All memory that it takes but itself.
    pub fn bytes(&self) -> usize {
        self.data.len() + self.whole.as_ref().map_or(0, |w| size_of::<Whole>() + w.accs.len() * size_of::<Acc>())
    }

    fn size(plan: &KeyPlan, room: usize, wide: bool) -> usize {
        room * plan.begins.last().map_or(0, |end| end[usize::from(wide)])
    }

    #[inline]
    fn place(plan: &KeyPlan, room: usize, wide: bool, column: usize) -> Place {
        (room * plan.begins[column][usize::from(wide)], plan.columns[column].1.width(wide))
    }

    fn room(&self) -> usize {
        usize::from(self.room)
    }

    #[inline]
    fn secs(&self, at: usize) -> u32 {
        let bytes = self.data[4 * at..].first_chunk();
        bytes.map_or(0, |b| u32::from_le_bytes(*b))
    }

    #[inline]
    fn bits(&self, at: usize) -> u16 {
        let bytes = self.data[4 * self.room() + 2 * at..].first_chunk();
        bytes.map_or(0, |b| u16::from_le_bytes(*b))
    }

    #[inline(always)]
    pub fn at_ms(&self, at: usize) -> i64 {
        i64::from(self.secs(at)) * 1_000 + i64::from(self.bits(at) & ((1 << OUTCOME_SHIFT) - 1))
    }

    #[inline(always)]
    pub fn outcome(&self, at: usize) -> u8 {
        (self.bits(at) >> OUTCOME_SHIFT) as u8
    }

    pub fn currency(&self, plan: &KeyPlan, at: usize) -> u8 {
        if plan.has_money { self.data[6 * self.room() + at] } else { 0 }
    }

    fn value(&self, (begin, width): Place, at: usize) -> i64 {
        let bytes = &self.data[begin + width * at..];
        if width == 8 {
            return bytes.first_chunk().map_or(NONE, |b| i64::from_le_bytes(*b));
        }
        match bytes.first_chunk().map_or(NARROW_NONE, |b| u32::from_le_bytes(*b)) {
            NARROW_NONE => NONE,
            value => i64::from(value),
        }
    }

    /// An event's number of the column that begins there, if it has one, where all of the chunk's are narrow.
    #[inline]
    pub fn narrow(&self, begin: usize, at: usize) -> Option<u32> {
        let value = u32::from_le_bytes(*self.data.get(self.room() * begin + 4 * at..)?.first_chunk()?);
        (value != NARROW_NONE).then_some(value)
    }

    /// Whether some number in it takes 8 bytes.
    pub fn is_wide(&self) -> bool {
        self.wide
    }

    pub fn newest_ms(&self) -> i64 {
        self.newest_ms
    }

    pub fn oldest_ms(&self) -> i64 {
        self.oldest_ms
    }

    /// How many of its events are not later than this.
    pub fn until(&self, ms: i64) -> usize {
        if self.newest_ms() <= ms {
            return self.len();
        }
        // All of a second before this one, and of this one what its milliseconds say. Counting them all takes less than
        // a search of which every step is a surprise.
        let Ok(this) = u32::try_from(ms.div_euclid(1_000)) else { return 0 };
        let secs: &[[u8; 4]] = self.data[..4 * self.len()].as_chunks().0;
        let before: u32 = secs.iter().map(|secs| u32::from(u32::from_le_bytes(*secs) < this)).sum();
        let mut at = before as usize;
        while at < self.len() && self.at_ms(at) <= ms {
            at += 1;
        }
        at
    }

    /// Puts an event behind all that are not later, and says where. There must be room for one more than it has.
    pub fn insert(&mut self, plan: &KeyPlan, record: &Record) -> usize {
        debug_assert!(!self.is_full());
        self.whole = None;
        let must_widen = !self.wide
            && plan.columns.iter().zip(record.values).any(|((_, field), value)| *field != Field::Mark && !fits(*value));
        if self.len == self.room || must_widen {
            let room = if self.len < self.room { self.room() } else { (self.len() * 5 / 4 + 2).min(MAX_LEN) };
            *self = self.copy(plan, 0..self.len(), room, self.wide || must_widen);
        }
        let other = plan.has_money && self.len > 0 && self.currency(plan, 0) != record.currency;
        self.mixed |= other || record.values.contains(&NONE);
        let at = self.until(record.at_ms);
        let (len, room) = (self.len(), self.room());
        let data = &mut *self.data;
        put(data, 0, at, len, ((record.at_ms / 1_000) as u32).to_le_bytes());
        let bits = (record.at_ms % 1_000) as u16 | u16::from(record.outcome) << OUTCOME_SHIFT;
        put(data, 4 * room, at, len, bits.to_le_bytes());
        if plan.has_money {
            put(data, 6 * room, at, len, [record.currency]);
        }
        for (column, value) in record.values.iter().enumerate() {
            match Chunk::place(plan, room, self.wide, column) {
                (begin, 8) => put(data, begin, at, len, value.to_le_bytes()),
                (begin, _) => put(data, begin, at, len, u32::try_from(*value).unwrap_or(NARROW_NONE).to_le_bytes()),
            }
        }
        self.len += 1;
        if at == len {
            self.newest_ms = record.at_ms;
        }
        if at == 0 {
            self.oldest_ms = record.at_ms;
        }
        at
    }

    /// Some of its events, with room for so many.
    fn copy(&self, plan: &KeyPlan, of: Range<usize>, room: usize, wide: bool) -> Chunk {
        let mut data = vec![0; Chunk::size(plan, room, wide)].into_boxed_slice();
        let copy = |data: &mut [u8], from: usize, to: usize, width: usize| {
            let source = &self.data[from + width * of.start..from + width * of.end];
            data[to..to + source.len()].copy_from_slice(source);
        };
        copy(&mut data, 0, 0, 4);
        copy(&mut data, 4 * self.room(), 4 * room, 2);
        if plan.has_money {
            copy(&mut data, 6 * self.room(), 6 * room, 1);
        }
        for column in 0..plan.columns.len() {
            let (from, was) = Chunk::place(plan, self.room(), self.wide, column);
            let (to, width) = Chunk::place(plan, room, wide, column);
            if was == width {
                copy(&mut data, from, to, width);
                continue;
            }
            for (i, at) in of.clone().enumerate() {
                let value = self.value((from, was), at);
                data[to + width * i..][..width].copy_from_slice(&value.to_le_bytes()[..width]);
            }
        }
        let end = |at: Option<usize>| at.map_or(NONE, |at| self.at_ms(at));
        let (oldest_ms, newest_ms) = (end(of.clone().next()), end(of.clone().next_back()));
        Chunk {
            data,
            oldest_ms,
            newest_ms,
            len: of.len() as u8,
            room: room as u8,
            wide,
            mixed: self.mixed,
            whole: None,
        }
    }

    /// Cuts a full chunk in two; the later half is returned.
    pub fn split(&mut self, plan: &KeyPlan) -> Chunk {
        let (half, len) = (self.len() / 2, self.len());
        let later = self.copy(plan, half..len, len - half + 1, self.wide);
        *self = self.copy(plan, 0..half, half + 1, self.wide);
        later
    }

    /// The place of an event like this that such a change is news of, the outcome that it has until then included. Two
    /// events that are alike in all of this count alike in every window, so it does not matter which.
    pub fn find(&self, plan: &KeyPlan, record: &Record, change: Change) -> Option<usize> {
        let is_it = |at: &usize| {
            let before = self.outcome(*at);
            before == record.outcome
                && before != change.of(before)
                && (!plan.has_money || self.currency(plan, *at) == record.currency)
                && record.values.iter().enumerate().all(|(column, value)| {
                    self.value(Chunk::place(plan, self.room(), self.wide, column), *at) == *value
                })
        };
        (0..self.until(record.at_ms)).rev().take_while(|at| self.at_ms(*at) == record.at_ms).find(is_it)
    }

    /// Changes the outcome of one event.
    pub fn mark(&mut self, at: usize, change: Change) {
        let after = change.of(self.outcome(at));
        let bits = self.bits(at) & ((1 << OUTCOME_SHIFT) - 1) | u16::from(after) << OUTCOME_SHIFT;
        let from = 4 * self.room() + 2 * at;
        self.data[from..from + 2].copy_from_slice(&bits.to_le_bytes());
        self.whole = None;
    }

    /// Adds some of its events to what the measures have that are `wanted`.
    pub fn add(
        &self,
        plan: &KeyPlan,
        of: Range<usize>,
        currency: u8,
        accs: &mut [Acc],
        wanted: impl Fn(&Measure) -> bool,
    ) {
        for (number, acc) in accs.iter_mut().enumerate().filter(|(number, _)| wanted(&plan.measures[*number])) {
            self.add_measure(plan, of.clone(), number, currency, acc);
        }
    }

    /// Adds some of its events to what a measure has, at once where all of them are added up already.
    pub fn add_measure(&self, plan: &KeyPlan, of: Range<usize>, measure: usize, currency: u8, acc: &mut Acc) {
        let is_it = |whole: &&Whole| of.len() == self.len() && (whole.currency == currency || !plan.has_money);
        match self.whole.as_deref().filter(is_it) {
            Some(whole) => acc.merge(&whole.accs[measure]),
            None => self.add_one(plan, of, &plan.measures[measure], currency, acc),
        }
    }

    /// Adds some of its events to what a measure has.
    pub fn add_one(&self, plan: &KeyPlan, of: Range<usize>, measure: &Measure, currency: u8, acc: &mut Acc) {
        match measure.column {
            None => self.tally(&of, measure, acc),
            Some(column) if self.wide || plan.columns[column].1 == Field::Mark => {
                self.each(plan, of, measure, currency, |at_ms, value| acc.add(at_ms, value));
            }
            Some(column) => self.total(plan, &of, (measure, column), currency, acc),
        }
    }

    fn all_bits(&self, of: &Range<usize>) -> &[[u8; 2]] {
        self.data[4 * self.room() + 2 * of.start..][..2 * of.len()].as_chunks().0
    }

    /// Adds events of which only the number counts, and the newest times where they are asked for.
    fn tally(&self, of: &Range<usize>, measure: &Measure, acc: &mut Acc) {
        let wanted = u16::from(measure.selects.0) << OUTCOME_SHIFT;
        acc.count += match wanted {
            0 => of.len() as u64,
            // At most 64, so that the narrowest sums will do: as many as possible are added at once.
            _ => {
                let counts = self.all_bits(of).iter().map(|b| u16::from(u16::from_le_bytes(*b) & wanted == wanted));
                u64::from(counts.sum::<u16>())
            }
        };
        if measure.newest {
            let mut back = of.clone().rev().filter(|at| measure.selects.selects(self.outcome(*at)));
            while let Some(at) = if acc.before_ms == NONE { back.next() } else { None } {
                acc.saw(self.at_ms(at), NONE);
            }
        }
    }

    /// Adds values of a narrow column. Without branches: what does not count is added as nothing.
    fn total(&self, plan: &KeyPlan, of: &Range<usize>, of_what: (&Measure, usize), currency: u8, acc: &mut Acc) {
        let (measure, column) = of_what;
        let (begin, _) = Chunk::place(plan, self.room(), false, column);
        let values: &[[u8; 4]] = self.data[begin + 4 * of.start..][..4 * of.len()].as_chunks().0;
        let wanted = u16::from(measure.selects.0) << OUTCOME_SHIFT;
        let selected = self.all_bits(of).iter().map(|b| u16::from_le_bytes(*b) & wanted == wanted);
        let values = values.iter().map(|v| u32::from_le_bytes(*v));
        let mut sum = Narrow::default();
        let money = plan.columns[column].1 == Field::Money;
        if !self.mixed && wanted == 0 && !measure.extremes {
            // All count, or none.
            if !money || self.currency(plan, 0) == currency {
                sum.count = of.len() as u64;
                sum.sum = values.map(u64::from).sum();
            }
        } else if money {
            let currencies = &self.data[6 * self.room() + of.start..][..of.len()];
            let counts = selected.zip(currencies).map(|(selected, c)| selected & (*c == currency));
            sum.add(values.zip(counts), measure.extremes);
        } else {
            sum.add(values.zip(selected), measure.extremes);
        }
        acc.count += sum.count;
        acc.sum += i128::from(sum.sum);
        if measure.extremes && sum.count > 0 {
            (acc.min, acc.max) = (acc.min.min(sum.min.into()), acc.max.max(sum.max.into()));
        }
        if measure.newest && sum.count > 0 {
            self.each(plan, of.clone(), measure, currency, |at_ms, value| acc.saw(at_ms, value));
        }
    }

    /// Calls `each` with time and value of every event that counts in a measure of a column, newest first.
    pub fn each(
        &self,
        plan: &KeyPlan,
        of: Range<usize>,
        measure: &Measure,
        currency: u8,
        mut each: impl FnMut(i64, i64),
    ) {
        for at in of.rev() {
            if let Some(value) = self.counted(plan, measure, currency, at) {
                each(self.at_ms(at), value);
            }
        }
    }

    /// An event's value of a measure's column, if it counts there.
    #[inline]
    pub fn counted(&self, plan: &KeyPlan, measure: &Measure, currency: u8, at: usize) -> Option<i64> {
        let column = measure.column.filter(|_| measure.selects.selects(self.outcome(at)))?;
        let value = self.value(Chunk::place(plan, self.room(), self.wide, column), at);
        let money = plan.columns[column].1 == Field::Money;
        (value != NONE && (!money || self.currency(plan, at) == currency)).then_some(value)
    }

    /// Works out what the whole of it adds up to, if it is full and all in one currency.
    pub fn sum_up(&mut self, plan: &KeyPlan) {
        let currency = self.currency(plan, 0);
        if self.whole.is_some() || !self.is_full() || (1..self.len()).any(|at| self.currency(plan, at) != currency) {
            return;
        }
        let mut accs = vec![Acc::default(); plan.measures.len()];
        self.add(plan, 0..self.len(), currency, &mut accs, |_| true);
        self.whole = Some(Box::new(Whole { currency, accs }));
    }

    /// Calls `each` with every event, oldest first.
    pub fn for_each(&self, plan: &KeyPlan, mut each: impl FnMut(Record)) {
        let mut values = vec![NONE; plan.columns.len()];
        for at in 0..self.len() {
            for (column, value) in values.iter_mut().enumerate() {
                *value = self.value(Chunk::place(plan, self.room(), self.wide, column), at);
            }
            let (outcome, currency) = (self.outcome(at), self.currency(plan, at));
            each(Record { at_ms: self.at_ms(at), outcome, currency, values: &values });
        }
    }
}

/// What up to 64 values of a narrow column come to.
struct Narrow {
    count: u64,
    sum: u64,
    min: u32,
    max: u32,
}

impl Default for Narrow {
    fn default() -> Narrow {
        Narrow { count: 0, sum: 0, min: u32::MAX, max: 0 }
    }
}

impl Narrow {
    #[inline(always)]
    fn add(&mut self, values: impl Iterator<Item = (u32, bool)> + Clone, extremes: bool) {
        let counting = values.map(|(value, selected)| (value, selected & (value != NARROW_NONE)));
        for (value, counts) in counting.clone() {
            self.count += u64::from(counts);
            self.sum += if counts { u64::from(value) } else { 0 };
        }
        if extremes {
            for (value, counts) in counting {
                self.min = self.min.min(if counts { value } else { u32::MAX });
                self.max = self.max.max(if counts { value } else { 0 });
            }
        }
    }
}
