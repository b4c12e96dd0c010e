//! Windows against the plainest of references: a list of all events, looked through for every answer.

mod distinct;
mod extreme;
mod moving;

use fastrand::Rng;

use super::*;

const DAY_MS: i64 = 86_400_000;
const LIMITS: Limits = Limits { max_bytes: 1 << 30, max_events_per_key: 1 << 20, late_ms: 7 * DAY_MS };

struct Past {
    at: i64,
    keys: Vec<Option<u64>>,
    fields: Vec<Option<i64>>,
    currency: u8,
    outcome: u8,
}

impl Past {
    fn event(&self) -> Event<'_> {
        let outcome = Outcome(self.outcome);
        Event { at: UnixMs(self.at), keys: &self.keys, fields: &self.fields, currency: self.currency, outcome }
    }
}

/// What a window shows, worked out of all events from the definition alone. `this` is the position of the asking event.
fn reference(past: &[Past], this: usize, spec: &Spec, kinds: &[Field]) -> Value {
    let now = &past[this];
    let Some(key) = now.keys[spec.key] else { return Value::Null };
    let (begin, end) = (now.at - spec.delay_ms - spec.length_ms, now.at - spec.delay_ms);
    let mut inside: Vec<(usize, &Past)> =
        past.iter().enumerate().filter(|(_, p)| p.keys[spec.key] == Some(key) && p.at > begin && p.at <= end).collect();
    inside.sort_by_key(|(i, p)| (p.at, *i));
    let all = inside.len();
    inside.retain(|(_, p)| p.outcome & spec.selects.0 == spec.selects.0);
    let values: Vec<i64> = inside
        .iter()
        .filter_map(|(_, p)| {
            let field = spec.field?;
            (kinds[field] != Field::Money || p.currency == now.currency).then_some(p.fields[field]?)
        })
        .collect();
    let sum = values.iter().fold(0i64, |sum, value| sum.wrapping_add(*value));
    let or_null = |value: Option<i64>| value.map_or(Value::Null, Value::Int);
    match spec.aggregate {
        Aggregate::Count => Value::Int(inside.len() as i64),
        Aggregate::Sum => Value::Int(sum),
        Aggregate::Avg if values.is_empty() => Value::Null,
        Aggregate::Avg => Value::Real(sum as f64 / values.len() as f64),
        Aggregate::Min => or_null(values.iter().min().copied()),
        Aggregate::Max => or_null(values.iter().max().copied()),
        Aggregate::Last => or_null(values.last().copied()),
        Aggregate::Distinct => Value::Int(values.iter().collect::<std::collections::BTreeSet<_>>().len() as i64),
        Aggregate::Share if all == 0 => Value::Real(0.0),
        Aggregate::Share => Value::Real(inside.len() as f64 / all as f64),
        Aggregate::TimeSince => {
            let before = inside.iter().filter(|(i, _)| *i != this).map(|(_, p)| p.at).max();
            before.map_or(Value::Null, |at| Value::Real((now.at - at) as f64 / 1e3))
        }
    }
}

/// Holds what windows show against what they should; how many are lost, which nothing is held against.
fn compare(specs: &[Spec], shown: &[Value], reference: impl Fn(&Spec) -> Value, place: &dyn std::fmt::Debug) -> usize {
    let known: Vec<_> = specs.iter().zip(shown).filter(|(_, shown)| **shown != Value::Lost).collect();
    known.iter().for_each(|(spec, shown)| assert_eq!(**shown, reference(spec), "{place:?} {spec:?}"));
    shown.len() - known.len()
}

/// Marks one of the events if it is the only one of its time.
fn mark_one(windows: &Windows, all: &mut [Past], change: Change, rng: &mut Rng) {
    let marked = rng.usize(..all.len());
    if all.iter().filter(|p| p.at == all[marked].at).count() == 1 {
        windows.mark(&all[marked].event(), change, &mut Scratch::default());
        all[marked].outcome = change.of(all[marked].outcome);
    }
}

/// Windows that know what a checkpoint of others says.
fn restored(windows: &Windows, new: Windows) -> Windows {
    (0..windows.shards()).for_each(|shard| new.restore(shard, &windows.shard_part(shard, UnixMs(0))).unwrap());
    new
}

const AGGREGATES: [Aggregate; 9] = [
    Aggregate::Count,
    Aggregate::Sum,
    Aggregate::Avg,
    Aggregate::Min,
    Aggregate::Max,
    Aggregate::Last,
    Aggregate::Distinct,
    Aggregate::TimeSince,
    Aggregate::Share,
];
const FIELDS: [Field; 3] = [Field::Money, Field::Number, Field::Mark];
const OUTCOMES: [Outcome; 5] =
    [Outcome::TOTAL, Outcome::AUTHORIZED, Outcome::DECLINED, Outcome::BLOCKED, Outcome::FRAUD];

fn specs(rng: &mut Rng) -> Vec<Spec> {
    let spec = |rng: &mut Rng| {
        let aggregate = AGGREGATES[rng.usize(..AGGREGATES.len())];
        let fields = if aggregate == Aggregate::Distinct { 3 } else { 2 };
        Spec {
            key: rng.usize(..3),
            aggregate,
            field: aggregate.needs_field().then(|| rng.usize(..fields)),
            length_ms: [1, 1_000, 3_600_000, DAY_MS, 7 * DAY_MS, 90 * DAY_MS][rng.usize(..6)],
            delay_ms: [0, 0, 500, DAY_MS][rng.usize(..4)],
            selects: OUTCOMES[rng.usize(..5)],
        }
    };
    (0..24).map(|_| spec(rng)).collect()
}

fn past(rng: &mut Rng, now: i64) -> Past {
    let key = |rng: &mut Rng, of: u64| (rng.u8(..10) > 0).then(|| rng.u64(..of));
    let number = |rng: &mut Rng| match rng.u8(..8) {
        0 => None,
        1 => Some(-rng.i64(0..1 << 40)),
        2 => Some(rng.i64((1 << 32) - 3..(1 << 32) + 3)),
        _ => Some(rng.i64(0..100_000)),
    };
    // Mostly in order; some late, some of the very same time.
    let late = [0, 0, 0, 1, 1_000, 60_000, DAY_MS, 6 * DAY_MS][rng.usize(..8)];
    Past {
        at: now - late,
        keys: vec![key(rng, 2), key(rng, 20), key(rng, 300)],
        fields: vec![number(rng), number(rng), (rng.u8(..10) > 0).then(|| rng.i64(0..9).wrapping_mul(i64::MAX / 7))],
        currency: rng.u8(..2),
        outcome: if rng.bool() { 0 } else { rng.u8(..16) },
    }
}

#[test]
fn every_window_shows_what_a_look_through_all_events_finds() {
    for seed in 0..8 {
        let rng = &mut Rng::with_seed(seed);
        let specs = specs(rng);
        let windows = Windows::new(Plan::new(3, &FIELDS, &specs).unwrap(), LIMITS);
        let (mut scratch, mut out) = (Scratch::default(), vec![Value::Null; specs.len()]);
        let (mut all, mut now) = (Vec::new(), 1_600_000_000_000);
        for step in 0..700 {
            now += [0, 1, 700, 40_000, DAY_MS / 8][rng.usize(..5)];
            all.push(past(rng, now));
            windows.observe(&all[step].event(), &mut scratch, &mut out);
            for (spec, shown) in specs.iter().zip(&out) {
                assert_eq!(*shown, reference(&all, step, spec, &FIELDS), "seed {seed} step {step} {spec:?}");
            }
            if rng.u8(..3) == 0 {
                // Of events that are alike any may be the one that is marked: all that is asked later is the same.
                let marked = rng.usize(..all.len());
                let change = if rng.bool() {
                    Change { add: Outcome::FRAUD, remove: Outcome::TOTAL }
                } else {
                    Change { add: Outcome::AUTHORIZED, remove: Outcome::FRAUD }
                };
                let before = all[marked].outcome;
                if change.of(before) != before && all.iter().filter(|p| p.at == all[marked].at).count() == 1 {
                    let keys = all[marked].keys.iter().flatten().count();
                    if now - all[marked].at < 80 * DAY_MS
                        && windows.plan.keys.iter().all(|k| k.reach_ms() > 80 * DAY_MS)
                    {
                        assert_eq!(windows.mark(&all[marked].event(), change, &mut scratch), keys);
                    } else {
                        windows.mark(&all[marked].event(), change, &mut scratch);
                    }
                    all[marked].outcome = change.of(before);
                }
            }
        }
    }
}

fn count(key: usize, length_ms: i64) -> Spec {
    Spec { key, aggregate: Aggregate::Count, field: None, length_ms, delay_ms: 0, selects: Outcome::TOTAL }
}

fn sum(key: usize, length_ms: i64) -> Spec {
    Spec { aggregate: Aggregate::Sum, field: Some(0), ..count(key, length_ms) }
}

#[test]
fn what_was_evicted_is_lost_and_never_a_wrong_number() {
    let rng = &mut Rng::with_seed(7);
    let specs = [count(0, DAY_MS), sum(0, 7 * DAY_MS), count(0, 60_000)];
    let limits = Limits { max_bytes: 256 * 6_000, max_events_per_key: 200, late_ms: DAY_MS };
    let windows = Windows::new(Plan::new(1, &[Field::Money], &specs).unwrap(), limits);
    let (mut scratch, mut out) = (Scratch::default(), vec![Value::Null; specs.len()]);
    let (mut all, mut now) = (Vec::new(), 1_600_000_000_000);
    let (mut lost, mut told) = ([0; 3], [0; 3]);
    for step in 0..40_000 {
        now += 200;
        // One hot key, some warm ones, and a long tail that will not fit.
        let key = match rng.u8(..10) {
            0..2 => 0,
            2..5 => rng.u64(1..50),
            _ => rng.u64(50..40_000),
        };
        all.push(Past { at: now, keys: vec![Some(key)], fields: vec![Some(5)], currency: 0, outcome: 0 });
        windows.observe(&all[step].event(), &mut scratch, &mut out);
        for (i, (spec, shown)) in specs.iter().zip(&out).enumerate() {
            if *shown == Value::Lost {
                lost[i] += 1;
            } else if step % 97 == 0 || key == 0 && step % 7 == 0 {
                told[i] += 1;
                assert_eq!(*shown, reference(&all, step, spec, &[Field::Money]), "step {step} key {key}");
            }
        }
    }
    let stats = windows.stats();
    assert!(stats.bytes <= limits.max_bytes as u64 && stats.evicted_keys > 1_000, "{stats:?}");
    assert!(lost[0] > 1_000 && lost[1] > 1_000 && told[0] > 100 && told[2] > 400, "lost {lost:?} told {told:?}");
    assert_eq!(lost[2], 0, "what fits is never lost");
}

/// All that windows hold that an event after `now` can ask for.
fn parts(windows: &Windows, now: i64) -> Vec<Vec<u8>> {
    (0..windows.shards()).map(|shard| windows.shard_part(shard, UnixMs(now))).collect()
}

#[test]
fn windows_that_were_restored_in_between_have_the_same_bytes() {
    let rng = &mut Rng::with_seed(3);
    let specs = specs(rng);
    let limits = Limits { late_ms: 2 * DAY_MS, ..LIMITS };
    let make = || Windows::new(Plan::new(3, &FIELDS, &specs).unwrap(), limits);
    let (whole, mut again) = (make(), make());
    let (mut scratch, mut out) = (Scratch::default(), vec![Value::Null; specs.len()]);
    let (mut now, mut all) = (1_600_000_000_000, Vec::<Past>::new());
    let (mut moved, mut shrunk) = (0, 0);
    for step in 0..6_000 {
        // Now and then so long that nothing of before counts any more, in windows of any length.
        now += if step % 1_500 == 1_499 { 400 * DAY_MS } else { rng.i64(0..100_000) };
        all.push(Past { at: now - [0, 0, 0, 1, 3_000_000][rng.usize(..5)], ..past(rng, now) });
        let shown = [&whole, &again].map(|windows| {
            windows.observe(&all[step].event(), &mut scratch, &mut out);
            out.clone()
        });
        assert_eq!(shown[0], shown[1], "step {step}");
        if rng.u8(..4) == 0 {
            let marked = &all[rng.usize(step.saturating_sub(200)..=step)];
            let change = Change { add: Outcome::FRAUD, remove: Outcome::TOTAL };
            for windows in [&whole, &again] {
                windows.mark(&marked.event(), change, &mut scratch);
            }
        }
        // What is swept when, and what was restored, is nothing that shows.
        whole.sweep(step, UnixMs(now));
        if step % 250 == 249 {
            let bytes = parts(&whole, now);
            assert_eq!(parts(&again, now), bytes, "step {step}");
            let length = |parts: &[Vec<u8>]| parts.iter().map(Vec::len).sum::<usize>();
            shrunk += usize::from(length(&parts(&whole, 0)) > length(&bytes));
            again = make();
            bytes.iter().enumerate().for_each(|(shard, bytes)| again.restore(shard, bytes).unwrap());
            moved += again.stats().events;
        }
    }
    assert!(moved > 1_000 && shrunk > 3, "{moved} {shrunk}");
}

#[test]
fn bytes_that_are_no_checkpoint_are_refused() {
    let plan = || Plan::new(1, &[Field::Money], &[sum(0, DAY_MS)]).unwrap();
    let windows = Windows::new(plan(), LIMITS);
    let (mut scratch, mut out) = (Scratch::default(), vec![Value::Null; 1]);
    let past = Past { at: 1_600_000_000_000, keys: vec![Some(9)], fields: vec![Some(5)], currency: 0, outcome: 0 };
    windows.observe(&past.event(), &mut scratch, &mut out);
    let shards = parts(&windows, 0);
    let full = shards.iter().max_by_key(|bytes| bytes.len()).unwrap();
    let other = Windows::new(Plan::new(1, &[Field::Money], &[sum(0, 2 * DAY_MS)]).unwrap(), LIMITS);
    assert_eq!(other.restore(0, full), Err(checkpoint::RestoreError::OtherPlan));
    for cut in 0..full.len() {
        let whole = [0, 16].contains(&cut) && cut == 16;
        assert_eq!(Windows::new(plan(), LIMITS).restore(0, &full[..cut]).is_ok(), whole, "cut at {cut}");
    }
    let rng = &mut Rng::with_seed(1);
    for _ in 0..2_000 {
        let mut bytes = full.clone();
        let at = rng.usize(..bytes.len());
        bytes[at] = rng.u8(..);
        // Whatever it says, it is taken or refused, within the bounds.
        let _any = Windows::new(plan(), LIMITS).restore(0, &bytes);
    }
}

#[test]
fn a_long_series_costs_little_and_stays_exact_when_its_past_changes() {
    let specs = [sum(0, 90 * DAY_MS), count(0, 3_600_000), Spec { selects: Outcome::FRAUD, ..count(0, 90 * DAY_MS) }];
    let windows = Windows::new(Plan::new(1, &[Field::Money], &specs).unwrap(), LIMITS);
    let (mut scratch, mut out) = (Scratch::default(), vec![Value::Null; specs.len()]);
    let mut all = Vec::new();
    for step in 0..5_000 {
        let at = 1_600_000_000_000 + step as i64 * 60_000 - if step % 50 == 49 { 3 * 3_600_000 } else { 0 };
        all.push(Past { at, keys: vec![Some(1)], fields: vec![Some(step as i64)], currency: 0, outcome: 0 });
        windows.observe(&all[step].event(), &mut scratch, &mut out);
        if step % 101 == 0 {
            for (spec, shown) in specs.iter().zip(&out) {
                assert_eq!(*shown, reference(&all, step, spec, &[Field::Money]), "step {step}");
            }
        }
        if step % 40 == 39 {
            let marked = step / 2;
            let change = Change { add: Outcome::FRAUD, remove: Outcome::TOTAL };
            windows.mark(&all[marked].event(), change, &mut scratch);
            all[marked].outcome = Outcome::FRAUD.0;
        }
    }
    let stats = windows.stats();
    let fixed = 400 + 5_000 / 64 * 700;
    assert!(stats.bytes < 5_000 * 13 + fixed, "{stats:?}");
}

#[test]
fn of_two_events_of_one_moment_each_keeps_what_became_of_it() {
    let specs = [Outcome::DECLINED, Outcome::AUTHORIZED].map(|selects| Spec { selects, ..count(0, DAY_MS) });
    let windows = Windows::new(Plan::new(1, &[Field::Money], &specs).unwrap(), LIMITS);
    let (mut scratch, mut out) = (Scratch::default(), vec![Value::Null; 2]);
    let past = |at| Past { at, keys: vec![Some(1)], fields: vec![Some(5)], currency: 0, outcome: 0 };
    let at = 1_600_000_000_000;
    (0..2).for_each(|_| windows.observe(&past(at).event(), &mut scratch, &mut out));
    // One was declined; the other, of which nothing was known, was authorized.
    for (add, remove) in [(Outcome::DECLINED, Outcome::AUTHORIZED), (Outcome::AUTHORIZED, Outcome::DECLINED)] {
        assert_eq!(windows.mark(&past(at).event(), Change { add, remove }, &mut scratch), 1);
    }
    windows.observe(&past(at + 1).event(), &mut scratch, &mut out);
    assert_eq!(out, [Value::Int(1), Value::Int(1)]);
}

#[test]
fn windows_that_make_no_sense_are_refused() {
    let refused = |spec: Spec| Plan::new(1, &FIELDS, &[count(0, 1), spec]).unwrap_err();
    assert_eq!(refused(count(0, 0)), (1, PlanError::NoLength));
    assert_eq!(refused(count(0, i64::MAX)), (1, PlanError::TooLong));
    assert_eq!(refused(Spec { delay_ms: i64::MAX, ..count(0, 5) }), (1, PlanError::TooLong));
    assert_eq!(refused(Spec { field: None, ..sum(0, 5) }), (1, PlanError::NoField));
    assert_eq!(refused(Spec { field: Some(2), ..sum(0, 5) }), (1, PlanError::NotANumber));
}

#[test]
fn windows_close_at_the_watermark_and_it_never_goes_back() {
    let keys = [Some(7)];
    let windows = Windows::new(Plan::new(1, &[Field::Money], &[count(0, DAY_MS)]).unwrap(), LIMITS);
    let event =
        |day: i64| Event { at: UnixMs(day * DAY_MS), keys: &keys, fields: &[None], currency: 0, outcome: Outcome(0) };
    let (mut scratch, mut out) = (Scratch::default(), [Value::Null]);
    windows.observe(&event(100), &mut scratch, &mut out);
    let sweep = |day: i64| (0..256).for_each(|shard| windows.sweep(shard, UnixMs(day * DAY_MS)));
    // Seven days late is in time: the event is needed for a window of one day that ends then.
    sweep(107);
    assert_eq!((windows.watermark(), windows.stats().events), (UnixMs(100 * DAY_MS), 1));
    sweep(20);
    assert_eq!(windows.watermark(), UnixMs(100 * DAY_MS), "not by a clock that was set back");
    sweep(109);
    assert_eq!((windows.watermark(), windows.stats().events), (UnixMs(102 * DAY_MS), 0));
}
