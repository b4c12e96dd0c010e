//! What is asked, worked out once: windows by key, the times at which they begin and end, and what to add up between.

use super::Outcome;

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Aggregate {
    Count,
    Sum,
    Avg,
    Min,
    Max,
    /// The newest event's value.
    Last,
    /// How many different values.
    Distinct,
    /// Seconds since the key's previous event.
    TimeSince,
    /// The part of the window's events that `selects` takes; 0 of an empty window.
    Share,
}

impl Aggregate {
    /// Whether it is of a field's values.
    pub fn needs_field(self) -> bool {
        !matches!(self, Aggregate::Count | Aggregate::TimeSince | Aggregate::Share)
    }

    /// Whether it is made of how many events there are and what their values come to.
    pub(super) fn is_summed(self) -> bool {
        matches!(self, Aggregate::Count | Aggregate::Sum | Aggregate::Avg | Aggregate::Share)
    }
}

/// How a field's values are kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Field {
    /// A number.
    Number,
    /// Minor units of the event's currency: only events of the asking one's currency count.
    Money,
    /// 64 bits of a hash of whatever it is: only told apart.
    Mark,
}

impl Field {
    /// Bytes of a value in a chunk.
    #[inline]
    pub(super) fn width(self, wide: bool) -> usize {
        if wide || self == Field::Mark { 8 } else { 4 }
    }
}

/// What an event takes in a chunk besides its currency and values: seconds, and milliseconds with the outcome.
const FIXED_BYTES: usize = 6;

/// A window as it was declared.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Spec {
    /// Position among the keys.
    pub key: usize,
    pub aggregate: Aggregate,
    /// Position among the fields, where the aggregate is of one.
    pub field: Option<usize>,
    pub length_ms: i64,
    pub delay_ms: i64,
    pub selects: Outcome,
}

/// The longest that a window may reach back: 90 days and as much delay again.
pub const MAX_REACH_MS: i64 = 2 * 90 * 86_400_000;

#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PlanError {
    #[error("its length must be above 0")]
    NoLength,
    #[error("it reaches further back than 180 days")]
    TooLong,
    #[error("it needs a value")]
    NoField,
    #[error("its value is not a number")]
    NotANumber,
}

/// What is added up: of the events that `selects` takes, the values of a column, or none.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Measure {
    pub selects: Outcome,
    /// Position among the key's columns.
    pub column: Option<usize>,
    /// Whether the least and the largest value are asked for.
    pub extremes: bool,
    /// Whether the newest events are asked for.
    pub newest: bool,
    /// Whether it is asked how many events there are, or what their values come to.
    pub summed: bool,
}

/// Where the ends of windows keep what a measure counts and adds up.
#[derive(Clone, Copy, Debug)]
pub(super) struct Sum {
    pub selects: Outcome,
    /// Where the column begins in a chunk with narrow numbers, as in [`KeyPlan::begins`].
    pub column: Option<usize>,
    /// Position among the measures.
    pub measure: usize,
    /// The cell of the count in a row; that of the sum follows where there is a column.
    pub cell: usize,
}

/// A window of one key.
#[derive(Clone, Debug)]
pub(super) struct Asked {
    /// Position among all windows.
    pub window: usize,
    pub aggregate: Aggregate,
    /// Position among the measures; of a distinct or last, what it looks at.
    pub measure: usize,
    /// Position of the measure of all events, for a share.
    pub of: usize,
    /// Where it finds its count in the ends' cells: those of the end that it is up to, and of the one that it begins at.
    /// With a column the sum follows.
    pub cells: [usize; 2],
    /// The same of all events, for a share.
    pub of_cells: [usize; 2],
    /// Positions among the ends: it covers the segments from one to before the other.
    pub from: usize,
    pub to: usize,
    /// Position among the windows of the least or the largest value, where it is one.
    pub extreme: Option<usize>,
    /// The same among those of different values.
    pub distinct: Option<usize>,
    pub length_ms: i64,
    pub delay_ms: i64,
}

/// The windows of one key.
#[derive(Clone, Debug, Default)]
pub struct KeyPlan {
    /// Fields whose values are kept, by their position among all fields.
    pub(super) columns: Vec<(usize, Field)>,
    /// Where each column begins in a chunk with narrow numbers and in one with wide ones, in bytes for each event that it
    /// has room for; and where the last one ends.
    pub(super) begins: Vec<[usize; 2]>,
    /// Whether some column is money.
    pub(super) has_money: bool,
    pub(super) measures: Vec<Measure>,
    /// Measures that move along with the ends of windows, and how many cells an end takes with its place.
    pub(super) sums: Vec<Sum>,
    pub(super) row_cells: usize,
    /// Whether all windows do with those.
    pub(super) all_sums: bool,
    /// Distances from the event at which windows end or begin, ascending.
    pub(super) ends_ms: Vec<i64>,
    pub(super) asked: Vec<Asked>,
    /// How many of them are of the least or the largest value.
    pub(super) extremes: usize,
    /// And of how many different values there are.
    pub(super) distincts: usize,
}

impl KeyPlan {
    /// How far back its windows reach.
    pub(super) fn reach_ms(&self) -> i64 {
        self.ends_ms.last().copied().unwrap_or(0)
    }

    fn column(&mut self, field: usize, kind: Field) -> usize {
        place(&mut self.columns, (field, kind))
    }

    fn measure(&mut self, selects: Outcome, column: Option<usize>, aggregate: Aggregate) -> usize {
        let found = self.measures.iter().position(|m| m.selects == selects && m.column == column);
        let at = found.unwrap_or(self.measures.len());
        if found.is_none() {
            self.measures.push(Measure { selects, column, extremes: false, newest: false, summed: false });
        }
        self.measures[at].extremes |= matches!(aggregate, Aggregate::Min | Aggregate::Max);
        self.measures[at].newest |= matches!(aggregate, Aggregate::Last | Aggregate::TimeSince);
        self.measures[at].summed |= aggregate.is_summed();
        at
    }

    /// Gives columns and what moves along with the ends their places.
    fn lay_out(&mut self) {
        self.has_money = self.columns.iter().any(|(_, kind)| *kind == Field::Money);
        let mut begin = [FIXED_BYTES + usize::from(self.has_money); 2];
        for (_, kind) in &self.columns {
            self.begins.push(begin);
            begin = [begin[0] + kind.width(false), begin[1] + kind.width(true)];
        }
        self.begins.push(begin);
        // The first is the place.
        self.row_cells = 1;
        let mut cells = vec![0; self.measures.len()];
        for (number, measure) in self.measures.iter().enumerate().filter(|(_, measure)| measure.summed) {
            let column = measure.column.map(|column| self.begins[column][0]);
            let (selects, cell) = (measure.selects, self.row_cells);
            cells[number] = cell;
            self.sums.push(Sum { selects, column, measure: number, cell });
            self.row_cells += 1 + usize::from(column.is_some());
        }
        self.all_sums = self.asked.iter().all(|asked| asked.aggregate.is_summed());
        for asked in &mut self.asked {
            let of = |measure: usize| [asked.from, asked.to].map(|end| end * self.row_cells + cells[measure]);
            (asked.cells, asked.of_cells) = (of(asked.measure), of(asked.of));
        }
    }
}

/// Where `item` stands, put at the end if it is new.
fn place<T: PartialEq>(items: &mut Vec<T>, item: T) -> usize {
    items.iter().position(|other| *other == item).unwrap_or_else(|| {
        items.push(item);
        items.len() - 1
    })
}

/// All windows.
#[derive(Clone, Debug, Default)]
pub struct Plan {
    pub(super) keys: Vec<KeyPlan>,
    pub(super) windows: usize,
    pub(super) fields: usize,
    /// Tells plans apart: a checkpoint is of no use to another.
    pub(super) fingerprint: u64,
}

impl Plan {
    /// From `keys` keys, the kinds of all fields, and the windows. The fault says which window it is of.
    pub fn new(keys: usize, fields: &[Field], specs: &[Spec]) -> Result<Plan, (usize, PlanError)> {
        let mut plan = Plan { keys: vec![KeyPlan::default(); keys], ..Plan::default() };
        (plan.windows, plan.fields) = (specs.len(), fields.len());
        for (window, spec) in specs.iter().enumerate() {
            let fault = |fault| (window, fault);
            let reach_ms = spec.delay_ms.checked_add(spec.length_ms).filter(|_| spec.delay_ms >= 0);
            if spec.length_ms <= 0 {
                return Err(fault(PlanError::NoLength));
            }
            if reach_ms.is_none_or(|ms| ms > MAX_REACH_MS) {
                return Err(fault(PlanError::TooLong));
            }
            let key = &mut plan.keys[spec.key];
            let column = match spec.field.filter(|_| spec.aggregate.needs_field()) {
                None if spec.aggregate.needs_field() => return Err(fault(PlanError::NoField)),
                None => None,
                Some(field) => {
                    let kind = fields[field];
                    if kind == Field::Mark && spec.aggregate != Aggregate::Distinct {
                        return Err(fault(PlanError::NotANumber));
                    }
                    Some(key.column(field, kind))
                }
            };
            let measure = key.measure(spec.selects, column, spec.aggregate);
            let of = match spec.aggregate {
                Aggregate::Share => key.measure(Outcome::TOTAL, None, Aggregate::Count),
                _ => measure,
            };
            let (aggregate, length_ms, delay_ms) = (spec.aggregate, spec.length_ms, spec.delay_ms);
            key.asked.push(Asked {
                window,
                aggregate,
                measure,
                of,
                cells: [0; 2],
                of_cells: [0; 2],
                from: 0,
                to: 0,
                extreme: None,
                distinct: None,
                length_ms,
                delay_ms,
            });
        }
        for key in &mut plan.keys {
            key.ends_ms = key.asked.iter().flat_map(|a| [a.delay_ms, a.delay_ms + a.length_ms]).collect();
            key.ends_ms.sort_unstable();
            key.ends_ms.dedup();
            let ends = &key.ends_ms;
            for asked in &mut key.asked {
                asked.from = ends.partition_point(|end| *end < asked.delay_ms);
                asked.to = ends.partition_point(|end| *end < asked.delay_ms + asked.length_ms);
            }
            key.lay_out();
            // What begins at the same end and measures the same goes on from one another's sums.
            key.asked.sort_by_key(|asked| (asked.measure, asked.from, asked.to));
            let extremes = key.asked.iter_mut().filter(|a| matches!(a.aggregate, Aggregate::Min | Aggregate::Max));
            key.extremes = extremes.enumerate().map(|(number, asked)| asked.extreme = Some(number)).count();
            let distincts = key.asked.iter_mut().filter(|a| a.aggregate == Aggregate::Distinct);
            key.distincts = distincts.enumerate().map(|(number, asked)| asked.distinct = Some(number)).count();
        }
        plan.fingerprint = fingerprint(keys, fields, specs);
        Ok(plan)
    }

    pub fn windows(&self) -> usize {
        self.windows
    }
}

/// FNV-1a of all that a plan is made of.
fn fingerprint(keys: usize, fields: &[Field], specs: &[Spec]) -> u64 {
    let text = format!("{keys} {fields:?} {specs:?}");
    text.bytes().fold(0xcbf2_9ce4_8422_2325, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3))
}
