//! The declared windows: names, keys and values by field, over the engine of exact sliding windows.

use super::fields::{self, FIELDS, Kind};
use super::request::{Request, Value};
use std::sync::atomic::{AtomicI64, Ordering};

use crate::clock::UnixMs;
use crate::scoring::hash::hash64;
use crate::window::sliding::{
    Aggregate, Change, Event, Field, Limits, Outcome, Plan, Spec, Stats, Value as Shown, Windows,
};
use crate::wire::{Put, Take};

/// A window as it is declared in the configuration.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Window {
    pub name: String,
    /// Fields of the check; together they are the key.
    pub key: Vec<String>,
    pub aggregate: Aggregate,
    pub value: Option<String>,
    pub length_ms: i64,
    pub delay_ms: i64,
    pub selects: Outcome,
}

/// More windows than this are a mistake.
pub const MAX_WINDOWS: usize = 500;
/// Seed of the keys' hashes.
const KEYS: u64 = 0x6b65_7973;
const MARKS: u64 = 0x6d61_726b;

/// The windows and what they are made of.
pub struct Velocity {
    declared: Vec<Window>,
    /// For each key of the engine its fields.
    keys: Vec<Vec<usize>>,
    /// For each field of the engine the check's.
    values: Vec<(usize, Field)>,
    /// For each window its key and its field among them.
    parts: Vec<(usize, Option<usize>)>,
    windows: Windows,
    /// Of checks up to this time somebody was labelled who is not known any more: what windows of fraud show of them may be
    /// wrong. `i64::MIN` where nobody was.
    unsure_to_ms: AtomicI64,
}

/// What one window takes of a check.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Part {
    pub at: UnixMs,
    pub key: i64,
    pub value: Option<i64>,
    /// Where the window tells currencies apart.
    pub currency: Option<i64>,
}

/// A worker's buffers.
#[derive(Debug, Default)]
pub struct Scratch {
    inner: crate::window::sliding::Scratch,
    keys: Vec<Option<u64>>,
    values: Vec<Option<i64>>,
    /// What each window showed.
    pub shown: Vec<Shown>,
}

/// What the windows need to know of a check, to find it again when something becomes known of it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Facts(Box<[i64]>);

const NONE: i64 = i64::MIN;

impl Facts {
    /// When the check was.
    pub(super) fn at_ms(&self) -> i64 {
        self.0.first().copied().unwrap_or(i64::MIN)
    }

    pub(super) fn put(&self, out: &mut Vec<u8>) {
        out.put_u32(self.0.len() as u32);
        self.0.iter().for_each(|fact| out.put_i64(*fact));
    }

    pub(super) fn take(fields: &mut Take) -> Option<Facts> {
        (0..fields.u32()?).map(|_| fields.i64()).collect::<Option<_>>().map(Facts)
    }
}

impl Velocity {
    /// The fault says which window it is of, and which of its keys.
    pub fn new(declared: Vec<Window>, limits: Limits) -> Result<Velocity, Vec<(usize, &'static str, String)>> {
        let (mut keys, mut values, mut specs, mut faults) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
        for (number, window) in declared.iter().enumerate() {
            let mut fault = |key, message: String| faults.push((number, key, message));
            if declared[..number].iter().any(|other| other.name == window.name) {
                fault("name", format!("{:?} is declared twice", window.name));
            }
            if fields::find(&window.name).is_some() || ["risk_score", "true", "false", "null"].contains(&&*window.name)
            {
                fault("name", format!("{:?} means something else", window.name));
            }
            let mut key = Vec::new();
            for path in &window.key {
                match fields::find(path) {
                    Some(field) => key.push(field),
                    None => fault("key", format!("{path:?} is not a field of a check")),
                }
            }
            if window.key.is_empty() {
                fault("key", "must name a field".to_owned());
            }
            let value = match &window.value {
                Some(path) => match fields::find(path) {
                    Some(field) => Some(field),
                    None => {
                        fault("value", format!("{path:?} is not a field of a check"));
                        continue;
                    }
                },
                None => None,
            };
            let field = value.map(|field| {
                let kind = match FIELDS[field].1 {
                    _ if field == fields::AMOUNT => Field::Money,
                    kind if kind.is_text() => Field::Mark,
                    _ => Field::Number,
                };
                place(&mut values, (field, kind))
            });
            specs.push(Spec {
                key: place(&mut keys, key),
                aggregate: window.aggregate,
                field,
                length_ms: window.length_ms,
                delay_ms: window.delay_ms,
                selects: window.selects,
            });
        }
        if !faults.is_empty() {
            return Err(faults);
        }
        let kinds: Vec<Field> = values.iter().map(|(_, kind)| *kind).collect();
        let plan = Plan::new(keys.len(), &kinds, &specs).map_err(|(window, fault)| {
            let key = if fault == crate::window::sliding::PlanError::NoLength { "length" } else { "value" };
            vec![(window, key, fault.to_string())]
        })?;
        let parts = specs.iter().map(|spec| (spec.key, spec.field)).collect();
        Ok(Velocity {
            declared,
            keys,
            values,
            parts,
            windows: Windows::new(plan, limits),
            unsure_to_ms: AtomicI64::new(i64::MIN),
        })
    }

    /// Windows of these names and nothing else known of them: for rules and models that ask what was shown, not for counting.
    pub fn of_names(names: &[String]) -> Result<Velocity, Vec<(usize, &'static str, String)>> {
        let window = |name: &String| Window {
            name: name.clone(),
            key: vec![FIELDS[fields::MERCHANT].0.to_owned()],
            // Of these any number is taken to be possible.
            aggregate: Aggregate::Avg,
            value: Some(FIELDS[fields::AGE_SECONDS].0.to_owned()),
            length_ms: 1,
            delay_ms: 0,
            selects: Outcome::TOTAL,
        };
        let limits = Limits { max_bytes: 0, max_events_per_key: 1, late_ms: 0 };
        Velocity::new(names.iter().map(window).collect(), limits)
    }

    pub fn declared(&self) -> &[Window] {
        &self.declared
    }

    pub fn find(&self, name: &str) -> Option<usize> {
        self.declared.iter().position(|window| window.name == name)
    }

    /// How far back a check may still count, in milliseconds.
    pub fn reach_ms(&self) -> i64 {
        self.declared.iter().map(|w| w.length_ms + w.delay_ms).max().unwrap_or(0)
    }

    pub fn limits(&self) -> Limits {
        self.windows.limits()
    }

    pub fn shards(&self) -> usize {
        self.windows.shards()
    }

    /// What a shard holds that a check after this time can still ask for.
    pub fn shard_part(&self, number: usize, at: UnixMs) -> Vec<u8> {
        self.windows.shard_part(number, at)
    }

    /// Puts a shard back into windows that have observed nothing yet.
    pub fn restore(&self, shard: usize, bytes: &[u8]) -> Option<()> {
        self.windows.restore(shard, bytes).ok()
    }

    pub fn stats(&self) -> Stats {
        self.windows.stats()
    }

    /// No check of before can come any more: its windows are closed. Nothing is said before the first sweep.
    pub fn watermark(&self) -> Option<UnixMs> {
        Some(self.windows.watermark()).filter(|at| *at > UnixMs(i64::MIN))
    }

    /// Lets go of what no window can ask for any more, in one shard of any number.
    pub fn sweep(&self, shard: usize, now: UnixMs) {
        self.windows.sweep(shard, now);
    }

    /// Counts a check, once, and shows each window in `scratch.shown`.
    pub fn observe(&self, request: &Request, outcome: Outcome, scratch: &mut Scratch) -> Facts {
        self.fill(request, scratch);
        scratch.shown.resize(self.declared.len(), Shown::Null);
        let Scratch { inner, keys, values, shown } = scratch;
        let event = Event { at: request.at(), keys, fields: values, currency: request.currency, outcome };
        self.windows.observe(&event, inner, shown);
        let unsure_to_ms = self.unsure_to_ms();
        if unsure_to_ms > i64::MIN {
            let reaches = |window: &Window| event.at.0 - window.delay_ms - window.length_ms < unsure_to_ms;
            let unsure = |window: &Window| window.selects == Outcome::FRAUD && reaches(window);
            let of_fraud = self.declared.iter().zip(shown.iter_mut()).filter(|(window, _)| unsure(window));
            of_fraud.for_each(|(_, shown)| *shown = Shown::Lost);
        }
        Facts(
            [request.at().0, i64::from(request.currency)]
                .into_iter()
                .chain(keys.iter().map(|key| key.map_or(0, u64::cast_signed)))
                .chain(values.iter().map(|value| value.unwrap_or(NONE)))
                .collect(),
        )
    }

    /// Changes what is known of a check that was observed, and of which `was` was known; in how many of its keys it was
    /// still found.
    pub fn mark(&self, facts: &Facts, was: Outcome, change: Change, scratch: &mut Scratch) -> usize {
        let Some(([at, currency], rest)) = facts.0.split_first_chunk::<2>() else { return 0 };
        let Some((keys, values)) = rest.split_at_checked(self.keys.len()) else { return 0 };
        scratch.keys.clear();
        scratch.keys.extend(keys.iter().map(|key| (*key != 0).then_some(key.cast_unsigned())));
        scratch.values.clear();
        scratch.values.extend(values.iter().map(|value| (*value != NONE).then_some(*value)));
        let Scratch { inner, keys, values, .. } = scratch;
        let event = Event { at: UnixMs(*at), keys, fields: values, currency: *currency as u8, outcome: was };
        self.windows.mark(&event, change, inner)
    }

    /// What a window takes of a check; none if it is in no window of that key.
    pub fn part(&self, window: usize, facts: &Facts) -> Option<Part> {
        let (key, field) = *self.parts.get(window)?;
        let ([at, currency], rest) = facts.0.split_first_chunk::<2>()?;
        let (keys, values) = rest.split_at_checked(self.keys.len())?;
        let is_money = field.is_some_and(|field| self.values[field].1 == Field::Money);
        Some(Part {
            at: UnixMs(*at),
            key: keys.get(key).copied().filter(|key| *key != 0)?,
            value: field.and_then(|field| values.get(field).copied()).filter(|value| *value != NONE),
            currency: is_money.then_some(*currency),
        })
    }

    /// A check was labelled that is not known any more; all that are not are at most so old.
    pub fn note_unknown_label(&self, forgotten_to_ms: i64) {
        self.unsure_to_ms.fetch_max(forgotten_to_ms, Ordering::Relaxed);
    }

    pub fn unsure_to_ms(&self) -> i64 {
        self.unsure_to_ms.load(Ordering::Relaxed)
    }

    fn fill(&self, request: &Request, scratch: &mut Scratch) {
        scratch.keys.clear();
        scratch.keys.extend(self.keys.iter().map(|fields| key(request, fields)));
        scratch.values.clear();
        scratch.values.extend(self.values.iter().map(|(field, _)| match request.get(*field) {
            Value::Null => None,
            Value::Int(value) => Some(value),
            Value::Text(text) => Some(hash64(MARKS, text.as_bytes()).cast_signed()).filter(|mark| *mark != NONE),
        }));
    }
}

/// A hash of the fields' values; none where one is missing.
fn key(request: &Request, fields: &[usize]) -> Option<u64> {
    let mut hash = KEYS;
    for field in fields {
        hash = match request.get(*field) {
            Value::Null => return None,
            Value::Int(value) => hash64(hash, &value.to_le_bytes()),
            Value::Text(text) => hash64(hash, text.as_bytes()),
        };
    }
    // 0 is no key.
    Some(hash.max(1))
}

fn place<T: PartialEq>(items: &mut Vec<T>, item: T) -> usize {
    items.iter().position(|other| *other == item).unwrap_or_else(|| {
        items.push(item);
        items.len() - 1
    })
}

/// Whether a number can be said of a field: what rules and models compare as one.
pub fn is_number(kind: Kind) -> bool {
    !kind.is_text()
}
