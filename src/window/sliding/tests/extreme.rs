//! The least and the largest value of long series: whatever comes late, is marked, leaves or is evicted.

use super::*;

fn run(seed: u64, most: usize) -> (usize, usize) {
    let rng = &mut Rng::with_seed(seed);
    let aggregates = [Aggregate::Min, Aggregate::Max];
    let specs: Vec<Spec> = (0..8)
        .map(|i| Spec {
            aggregate: aggregates[i % 2],
            delay_ms: [0, 0, 20_000][rng.usize(..3)],
            selects: [Outcome::TOTAL, Outcome::TOTAL, Outcome::FRAUD][rng.usize(..3)],
            ..sum(0, [3_000, 100_000, 1_000_000, DAY_MS][rng.usize(..4)])
        })
        .collect();
    let kinds = [if rng.bool() { Field::Money } else { Field::Number }];
    let limits = Limits { max_events_per_key: most, ..LIMITS };
    let windows = Windows::new(Plan::new(1, &kinds, &specs).unwrap(), limits);
    let (mut scratch, mut out) = (Scratch::default(), vec![Value::Null; specs.len()]);
    let (mut all, mut now, mut kept, mut told) = (Vec::new(), 1_600_000_000_000, 0, 0);
    for step in 0..1_500 {
        now += [0, 0, 1, 900, 3_000][rng.usize(..5)];
        let late = if rng.u8(..40) == 0 { rng.i64(-4_000..400_000) } else { 0 };
        // Rising and falling, so that now the newest and now the oldest is the largest; some alike, some wide, some missing.
        let slope = if step / 250 % 2 == 0 { step as i64 } else { 1_500 - step as i64 };
        all.push(Past {
            at: now - late,
            keys: vec![Some(1)],
            fields: vec![match rng.u8(..30) {
                0 => None,
                1 if seed.is_multiple_of(2) => Some(-rng.i64(0..1 << 40)),
                _ => Some(slope * 10 + rng.i64(0..60)),
            }],
            currency: u8::from(rng.u8(..20) == 0),
            outcome: if rng.u8(..4) == 0 { Outcome::FRAUD.0 } else { 0 },
        });
        windows.observe(&all[step].event(), &mut scratch, &mut out);
        for (spec, shown) in specs.iter().zip(&out).filter(|(_, shown)| **shown != Value::Lost) {
            told += 1;
            assert_eq!(*shown, reference(&all, step, spec, &kinds), "seed {seed} step {step} {spec:?}");
        }
        if rng.u8(..20) == 0 {
            mark_one(&windows, &mut all, Change { add: Outcome::FRAUD, remove: Outcome::DECLINED }, rng);
        }
        for shard in 0..windows.shards() {
            windows.lock(shard).by_use().for_each(|(_, series)| kept += usize::from(!series.extremes.is_empty()));
        }
    }
    (kept, told)
}

#[test]
fn extremes_that_are_remembered_are_what_a_look_through_all_events_finds() {
    for seed in 0..4 {
        for most in [1 << 20, 700] {
            let (kept, told) = run(seed, most);
            assert!(kept > 700 && told > 4_000, "seed {seed} most {most}: {kept} {told}");
        }
    }
}
