//! What an event costs in the windows: twelve windows over two keys (count and sum of a customer's last 1, 7 and 30 days;
//! count and frauds of a terminal's, with a delay of 7 days), at as many customers and terminals as the Fraud Detection
//! Handbook simulates; and one hot key, also of different values.

use std::hint::black_box;
use std::time::{Duration, Instant};

use criterion::{Criterion, criterion_group, criterion_main};
use gavel::clock::UnixMs;
use gavel::window::sliding::{Aggregate, Event, Field, Limits, Outcome, Plan, Scratch, Spec, Value, Windows};
use rustix::time::{ClockId, clock_gettime};

const DAY_MS: i64 = 86_400_000;
const NOW: i64 = 1_795_000_000_000;
const LIMITS: Limits = Limits { max_bytes: 1 << 30, max_events_per_key: 1 << 20, late_ms: 0 };
/// About 9,600 transactions a day.
const EVERY_MS: i64 = 9_000;

const COUNTED: i64 = 300_000;

fn cpu_ns() -> i64 {
    let now = clock_gettime(ClockId::ThreadCPUTime);
    now.tv_sec * 1_000_000_000 + now.tv_nsec
}

fn handbook() -> Plan {
    let spec = |key, days: i64, aggregate, field, delay_ms, selects| Spec {
        key,
        aggregate,
        field,
        length_ms: days * DAY_MS,
        delay_ms,
        selects,
    };
    let of = |days| {
        [
            spec(0, days, Aggregate::Count, None, 0, Outcome::TOTAL),
            spec(0, days, Aggregate::Avg, Some(0), 0, Outcome::TOTAL),
            spec(1, days, Aggregate::Count, None, 7 * DAY_MS, Outcome::TOTAL),
            spec(1, days, Aggregate::Share, None, 7 * DAY_MS, Outcome::FRAUD),
        ]
    };
    let specs: Vec<Spec> = [1, 7, 30].into_iter().flat_map(of).collect();
    Plan::new(2, &[Field::Money], &specs).expect("these make sense")
}

fn twelve_windows(c: &mut Criterion) {
    let windows = Windows::new(handbook(), LIMITS);
    let (mut scratch, mut out) = (Scratch::default(), [Value::Null; 12]);
    let (mut seed, mut at) = (1u64, NOW);
    let mut observe = |customers: u64| {
        seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        at += EVERY_MS;
        let outcome = if seed % 119 == 0 { Outcome::FRAUD } else { Outcome::TOTAL };
        let keys = [Some((seed >> 40) % customers), Some((seed >> 20) % 10_000)];
        let fields = [Some((seed >> 33) as i64 % 20_000)];
        windows.observe(
            &Event { at: UnixMs(at), keys: &keys, fields: &fields, currency: 0, outcome },
            &mut scratch,
            &mut out,
        );
        black_box(out[11]);
    };
    (0..500_000).for_each(|_| observe(4_990));
    let started_ns = cpu_ns();
    (0..COUNTED).for_each(|_| observe(4_990));
    // Of this thread alone: says more than a clock on a machine that does something else too.
    println!("sliding: {} ns of processor time an event, twelve windows", (cpu_ns() - started_ns) / COUNTED);
    c.bench_function("sliding/twelve_windows", |b| b.iter(|| observe(4_990)));
    let stats = windows.stats();
    let each = stats.bytes as f64 / stats.events as f64;
    println!("sliding: {} keys, {} events, {each:.1} bytes an event, keys included", stats.keys, stats.events);
}

fn hot_key(c: &mut Criterion) {
    let specs = [1, 24, 24 * 30].map(|hours: i64| Spec {
        key: 0,
        aggregate: Aggregate::Sum,
        field: Some(0),
        length_ms: hours * 3_600_000,
        delay_ms: 0,
        selects: Outcome::TOTAL,
    });
    let windows = Windows::new(Plan::new(1, &[Field::Money], &specs).expect("these make sense"), LIMITS);
    let (mut scratch, mut out) = (Scratch::default(), [Value::Null; 3]);
    let mut at = NOW;
    let mut observe = || {
        at += 40_000;
        let event =
            Event { at: UnixMs(at), keys: &[Some(1)], fields: &[Some(100)], currency: 0, outcome: Outcome::TOTAL };
        windows.observe(&event, &mut scratch, &mut out);
    };
    (0..65_000).for_each(|_| observe());
    c.bench_function("sliding/hot_key_of_65k_events", |b| {
        b.iter_custom(|n| {
            let started = Instant::now();
            (0..n).for_each(|_| observe());
            started.elapsed().max(Duration::from_nanos(1))
        });
    });
}

/// How many cards a merchant saw on a day: 24,000 events, nearly all of other cards.
fn distinct_of_a_hot_key(c: &mut Criterion) {
    let spec = Spec {
        key: 0,
        aggregate: Aggregate::Distinct,
        field: Some(0),
        length_ms: DAY_MS,
        delay_ms: 0,
        selects: Outcome::TOTAL,
    };
    let windows = Windows::new(Plan::new(1, &[Field::Mark], &[spec]).expect("this makes sense"), LIMITS);
    let (mut scratch, mut out) = (Scratch::default(), [Value::Null; 1]);
    let (mut seed, mut at) = (1u64, NOW);
    let mut observe = |key: u64| {
        seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        at += DAY_MS / 24_000;
        let (keys, fields) = ([Some(key)], [Some((seed >> 44) as i64)]);
        let event = Event { at: UnixMs(at), keys: &keys, fields: &fields, currency: 0, outcome: Outcome::TOTAL };
        windows.observe(&event, &mut scratch, &mut out);
        out[0]
    };
    (0..25_000).for_each(|_| _ = observe(1));
    println!("sliding: {:?} different values, {} bytes", observe(1), windows.stats().bytes);
    let (started_ns, counted) = (cpu_ns(), 2_000);
    (0..counted).for_each(|_| _ = black_box(observe(1)));
    println!("sliding: {} ns of processor time an event, distinct of 24k", (cpu_ns() - started_ns) / counted);
    c.bench_function("sliding/distinct_of_24k_events", |b| b.iter(|| observe(1)));
}

criterion_group!(benches, twelve_windows, hot_key, distinct_of_a_hot_key);
criterion_main!(benches);
