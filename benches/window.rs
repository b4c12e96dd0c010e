//! How long a frequency cap takes to look up and to record, with more entries than the caches hold; and what a capped
//! user takes of memory.

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

/// Fills a store of 16 MiB with users of caps of up to 3, one impression each, and tells at which number of bytes a user
/// how many had to be forgotten while they counted. Groups fill unevenly, so the first go before the store is full.
fn bytes_per_user(_: &mut Criterion) {
    for bytes in [31, 32, 34, 36, 40, 44] {
        let store = ImpressionStore::new(16 << 20);
        let users = (store.bytes() / bytes) as u64;
        for user in 0..users {
            store.record(CampaignNo(5), user, NOW, 3, DAY);
        }
        let lost = store.stats().evicted_live as f64 / users as f64 * 100.0;
        println!("window/impressions: {bytes} B a user ({users} users): {lost:.3} % forgotten while they counted");
    }
}

criterion_group!(benches, bytes_per_user, impressions);
criterion_main!(benches);
