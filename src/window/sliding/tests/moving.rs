//! Counts and sums that move along with the ends of windows: late events, events out of order, marks, evictions and
//! restored windows against the reference.

use super::*;

/// How a run differs from the usual.
#[derive(Clone, Copy, Debug, Default)]
struct Run {
    /// Windows that are not made of counts and sums, too.
    others: bool,
    /// Events of one key that are kept.
    most: Option<usize>,
    /// From the middle on there are other currencies, and numbers that take 8 bytes.
    odd: bool,
    /// Some events have no value.
    gaps: bool,
}

fn specs(rng: &mut Rng, run: Run) -> Vec<Spec> {
    let lengths = [1_000, 20_000, 300_000, 3_600_000];
    let aggregates = [Aggregate::Count, Aggregate::Sum, Aggregate::Avg, Aggregate::Share];
    let mut specs: Vec<Spec> = (0..rng.usize(2..6))
        .map(|i| Spec {
            key: 0,
            aggregate: aggregates[(i + rng.usize(..2)) % 4],
            field: Some(0),
            length_ms: lengths[rng.usize(..4)],
            delay_ms: [0, 0, 40_000][rng.usize(..3)],
            selects: [Outcome::TOTAL, Outcome::FRAUD, Outcome::DECLINED][rng.usize(..3)],
        })
        .collect();
    if run.others {
        let other = |aggregate| Spec { aggregate, field: Some(0), ..count(0, 300_000) };
        specs.extend([Aggregate::Max, Aggregate::TimeSince, Aggregate::Last, Aggregate::Distinct].map(other));
    }
    specs
}

/// What the run had: values compared, values lost, looks at series that moved along, and at those whose columns did not.
#[derive(Debug, Default)]
struct Had {
    compared: usize,
    lost: usize,
    moved: usize,
    odd: usize,
}

fn run(seed: u64, run: Run) -> Had {
    let rng = &mut Rng::with_seed(seed);
    let specs = specs(rng, run);
    let kinds = [Field::Money];
    let limits = Limits { max_events_per_key: run.most.unwrap_or(LIMITS.max_events_per_key), ..LIMITS };
    let make = || Windows::new(Plan::new(1, &kinds, &specs).unwrap(), limits);
    let mut windows = make();
    let (mut scratch, mut out) = (Scratch::default(), vec![Value::Null; specs.len()]);
    let (mut all, mut now, mut had) = (Vec::new(), 1_600_000_000_000, Had::default());
    for step in 0..1_000 {
        now += [0, 0, 1, 900, 3_000][rng.usize(..5)];
        // Mostly in order; some a little late, some by more places than an end goes back, some ahead.
        let late = [0, 0, 0, 0, 0, 500, 5_000, 1_000_000, -4_000][rng.usize(..9)];
        let is_odd = run.odd && step > 500;
        all.push(Past {
            at: now - late,
            keys: vec![Some(rng.u64(..2))],
            fields: vec![match rng.u8(..10) {
                0 if run.gaps => None,
                1 if is_odd => Some(-rng.i64(0..1 << 40)),
                2 => Some(i64::from(u32::MAX) - 1),
                _ => Some(rng.i64(0..100_000)),
            }],
            currency: if is_odd { rng.u8(..2) } else { 1 },
            outcome: if rng.bool() { 0 } else { rng.u8(..16) },
        });
        windows.observe(&all[step].event(), &mut scratch, &mut out);
        let lost = compare(&specs, &out, |spec| reference(&all, step, spec, &kinds), &(seed, run, step));
        (had.lost, had.compared) = (had.lost + lost, had.compared + out.len() - lost);
        let change = Change { add: OUTCOMES[rng.usize(..5)], remove: OUTCOMES[rng.usize(..5)] };
        mark_one(&windows, &mut all, change, rng);
        for shard in 0..windows.shards() {
            windows.lock(shard).by_use().for_each(|(_, series)| {
                had.moved += usize::from(series.moves().0);
                had.odd += usize::from(series.moves().0 && !series.moves().1);
            });
        }
        if step == 700 {
            windows = restored(&windows, make());
        }
    }
    had
}

#[test]
fn sums_that_move_along_are_what_a_look_through_all_events_finds() {
    for seed in 0..6 {
        let usual = Run::default();
        for (run, had) in [
            usual,
            Run { others: true, gaps: true, ..usual },
            Run { most: Some(200), ..usual },
            Run { most: Some(130), others: true, odd: true, ..usual },
            Run { odd: true, gaps: true, ..usual },
        ]
        .map(|r| (r, run(seed, r)))
        {
            assert!(had.compared > 900 && had.moved > 800, "seed {seed} {run:?} {had:?}");
            assert_eq!((had.lost > 0, had.odd > 0), (run.most.is_some(), run.odd), "seed {seed} {run:?} {had:?}");
        }
    }
}

#[test]
fn an_end_that_is_far_behind_passes_whole_chunks() {
    let specs = [sum(0, 3_600_000), Spec { selects: Outcome::FRAUD, ..count(0, 3_600_000) }];
    let windows = Windows::new(Plan::new(1, &[Field::Money], &specs).unwrap(), LIMITS);
    let (mut scratch, mut out) = (Scratch::default(), vec![Value::Null; 2]);
    let past = |at, n: i64| Past {
        at: 1_600_000_000_000 + at,
        keys: vec![Some(1)],
        fields: vec![Some(n)],
        currency: 0,
        outcome: if n % 3 == 0 { Outcome::FRAUD.0 } else { 0 },
    };
    let mut all: Vec<Past> = (0..1_000).map(|n| past(n * 1_000, n)).collect();
    // Two hours of nothing, and then an event by which the end of an hour passes most of them at once.
    all.extend((0..3).map(|n| past(4_200_000 + n * 100_000, n)));
    for step in 0..all.len() {
        windows.observe(&all[step].event(), &mut scratch, &mut out);
        for (spec, shown) in specs.iter().zip(&out) {
            assert_eq!(*shown, reference(&all, step, spec, &[Field::Money]), "step {step}");
        }
    }
    assert!(all.len() > 1_000 && matches!(out[0], Value::Int(sum) if sum > 100_000), "{out:?}");
}
