//! How many different values there are in windows of long series, against the reference: whatever comes late, is marked,
//! leaves, is evicted or restored, and whether or not there is room for what is remembered.

use super::super::distinct::Budget;
use super::*;

/// What the run had: values compared and lost, looks at series whose values were all kept, and at long ones where not.
#[derive(Debug, Default)]
struct Had {
    compared: usize,
    lost: usize,
    kept: usize,
    walked: usize,
}

/// `room` is for all values that are remembered; without it, as much as the limits say.
fn run(seed: u64, limits: Limits, room: Option<usize>) -> Had {
    let rng = &mut Rng::with_seed(seed);
    let lengths = [3_000, 100_000, 1_000_000, DAY_MS];
    let mut specs: Vec<Spec> = (0..4)
        .map(|i| Spec {
            aggregate: Aggregate::Distinct,
            field: Some((i + rng.usize(..2)) % 3),
            delay_ms: [0, 0, 20_000][rng.usize(..3)],
            selects: [Outcome::TOTAL, Outcome::TOTAL, Outcome::FRAUD][rng.usize(..3)],
            ..count(0, lengths[rng.usize(..4)])
        })
        .collect();
    if rng.bool() {
        specs.push(sum(0, 100_000));
    }
    let make = || {
        let mut windows = Windows::new(Plan::new(1, &FIELDS, &specs).unwrap(), limits);
        if let Some(room) = room {
            windows.budget = Budget::new(room);
        }
        windows
    };
    let mut windows = make();
    let (mut scratch, mut out) = (Scratch::default(), vec![Value::Null; specs.len()]);
    let (mut all, mut now, mut had) = (Vec::new(), 1_600_000_000_000, Had::default());
    for step in 0..1_100 {
        now += [0, 0, 1, 900, 3_000][rng.usize(..5)];
        // Mostly in order; some a little late, some by more places than an end goes back, some ahead.
        let late = [0, 0, 0, 0, 0, 0, 0, 500, 5_000, 400_000, -4_000][rng.usize(..11)];
        // Now few different values and now many.
        let of = if step / 300 % 2 == 0 { 20 } else { 400 };
        let number = |rng: &mut Rng| match rng.u8(..30) {
            0 => None,
            1 if seed.is_multiple_of(2) => Some(-rng.i64(0..1 << 40)),
            _ => Some(rng.i64(0..of)),
        };
        all.push(Past {
            at: now - late,
            keys: vec![Some(1)],
            fields: vec![number(rng), number(rng), number(rng).map(|n| n.wrapping_mul(i64::MAX / 7))],
            currency: u8::from(rng.u8(..20) == 0),
            outcome: if rng.u8(..4) == 0 { Outcome::FRAUD.0 } else { 0 },
        });
        windows.observe(&all[step].event(), &mut scratch, &mut out);
        let lost = compare(&specs, &out, |spec| reference(&all, step, spec, &FIELDS), &(seed, step));
        (had.lost, had.compared) = (had.lost + lost, had.compared + out.len() - lost);
        let fraud = rng.bool();
        let (add, remove) =
            if fraud { (Outcome::FRAUD, Outcome::DECLINED) } else { (Outcome::DECLINED, Outcome::FRAUD) };
        mark_one(&windows, &mut all, Change { add, remove }, rng);
        for shard in 0..windows.shards() {
            windows.lock(shard).by_use().for_each(|(_, series)| {
                had.kept += usize::from(series.distincts.are_kept());
                had.walked += usize::from(series.chunks.len() >= 8 && !series.distincts.are_kept());
            });
        }
        assert!(windows.budget.taken() <= windows.budget.most);
        if step == 700 {
            windows = restored(&windows, make());
        }
    }
    (0..windows.shards()).for_each(|shard| windows.sweep(shard, UnixMs(now + 3_700_000)));
    assert_eq!(windows.budget.taken(), 0, "what nobody asks about any more makes room");
    had
}

#[test]
fn different_values_that_are_remembered_are_what_a_look_through_all_events_finds() {
    for seed in 0..4 {
        let had = run(seed, LIMITS, None);
        // Where the first one of a long series that asks is in another currency, nothing is remembered yet.
        assert!(had.compared > 4_000 && had.kept > 500 && had.walked < 10 && had.lost == 0, "seed {seed} {had:?}");
        let had = run(seed, Limits { max_events_per_key: 600, ..LIMITS }, None);
        assert!(had.compared > 2_000 && had.kept > 100 && had.lost > 0, "seed {seed} {had:?}");
    }
}

#[test]
fn what_finds_no_room_is_looked_through() {
    for seed in 0..3 {
        // For few values of few windows.
        let had = run(seed, LIMITS, Some(2_000));
        assert!(had.compared > 4_000 && had.walked > 60, "seed {seed} {had:?}");
    }
}

#[test]
fn who_only_asks_leaves_the_ends_of_windows_where_late_events_find_them() {
    let distinct = Spec { aggregate: Aggregate::Distinct, field: Some(0), ..count(0, 10_000) };
    let specs = [distinct, count(0, 10_000)];
    let windows = Windows::new(Plan::new(1, &[Field::Number], &specs).unwrap(), LIMITS);
    let (mut scratch, mut out) = (Scratch::default(), [Value::Null; 2]);
    let past = |at: i64| Past {
        at: 1_600_000_000_000 + at,
        keys: vec![Some(1)],
        fields: vec![Some(at)],
        currency: 0,
        outcome: 0,
    };
    // Chunks with room, and nothing for a while at the end of one of them.
    let mut all: Vec<Past> = (0..1_200).map(|n| past(n * 1_000)).collect();
    all.extend((0..600).map(|n| past(n * 2_000 + 500)));
    all.retain(|p| !(1_600_000_700_500..1_600_000_740_000).contains(&p.at));
    all.sort_by_key(|p| (p.at % 7, p.at));
    for p in &all {
        windows.observe(&p.event(), &mut scratch, &mut out);
    }
    for (asked, came) in (700_000..745_000).step_by(500).flat_map(|at| [(at, at + 10_000), (at, at + 3_500)]) {
        windows.look(&past(asked).event(), &mut scratch, &mut out);
        all.push(past(came));
        windows.observe(&all[all.len() - 1].event(), &mut scratch, &mut out);
        for (spec, shown) in specs.iter().zip(&out) {
            let shown_is = reference(&all, all.len() - 1, spec, &[Field::Number]);
            assert_eq!(*shown, shown_is, "asked {asked} came {came} {spec:?}");
        }
    }
}
