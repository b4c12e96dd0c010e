//! How long a frequency cap takes to look up and to record, with more entries than the caches hold.

use std::hint::black_box;

use criterion::{Criterion, criterion_group, criterion_main};
use gavel::clock::UnixMs;
use gavel::ids::CampaignNo;
use gavel::window::impressions::ImpressionStore;

const NOW: UnixMs = UnixMs(1_795_000_000_000);
const DAY: i64 = 86_400_000;

fn impressions(c: &mut Criterion) {
    let campaign = CampaignNo(5);
    for (name, users) in [("1k_users", 1_000u64), ("1m_users", 1_000_000)] {
        let store = ImpressionStore::new(users as usize * 45);
        for user in 0..users {
            store.record(campaign, user, NOW, 3, DAY);
        }
        let mut group = c.benchmark_group(format!("window/impressions/{name}"));
        let mut user = 0u64;
        let mut next = move || {
            user = user.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            (user >> 33) % users
        };
        group.bench_function("seen_known", |b| {
            b.iter(|| store.count_at_least(campaign, black_box(next()), NOW, DAY, 2));
        });
        group.bench_function("seen_unknown", |b| {
            b.iter(|| store.count_at_least(campaign, black_box(users + next()), NOW, DAY, 2));
        });
        group.bench_function("record", |b| b.iter(|| store.record(campaign, black_box(next()), NOW, 3, DAY)));
        let full = ImpressionStore::new(users as usize * 8);
        group.bench_function("record_evicting", |b| {
            b.iter(|| full.record(campaign, black_box(next()), NOW, 3, DAY));
        });
        group.finish();
    }
}

criterion_group!(benches, impressions);
criterion_main!(benches);
