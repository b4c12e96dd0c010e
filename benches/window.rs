//! How long a frequency cap takes to look up and to record, with more entries than the caches hold; and how many users are
//! forgotten at so many bytes for each.

use std::hint::black_box;

use criterion::{Criterion, criterion_group, criterion_main};
use gavel::clock::UnixMs;
use gavel::ids::CampaignNo;
use gavel::window::impressions::{ImpressionStore, Seen};

const NOW: UnixMs = UnixMs(1_795_000_000_000);
const DAY: i64 = 86_400_000;

/// Stores that have run for two days: one with room to spare, and one as full as it may be.
fn lookups(c: &mut Criterion) {
    let campaign = CampaignNo(5);
    for (name, users, bytes) in
        [("1k_users_45B", 1_000, 45), ("1m_users_45B", 1_000_000, 45), ("1m_users_32B", 1_000_000, 32)]
    {
        let store = ImpressionStore::new((users * bytes) as usize);
        let at = |user: u64| NOW.plus((user * DAY as u64 / users) as i64);
        (0..2 * users).for_each(|user| store.record(campaign, user, at(user), 3, DAY));
        let now = at(2 * users);
        let mut group = c.benchmark_group(format!("window/impressions/{name}"));
        let mut user = 0u64;
        let mut next = move || {
            user = user.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            (user >> 33) % users
        };
        group.bench_function("seen_known", |b| b.iter(|| store.seen(campaign, black_box(users + next()), now, DAY, 2)));
        group.bench_function("seen_unknown", |b| {
            b.iter(|| store.seen(campaign, black_box(2 * users + next()), now, DAY, 2));
        });
        group.bench_function("record", |b| b.iter(|| store.record(campaign, black_box(users + next()), now, 3, DAY)));
        let mut user = 2 * users;
        group.bench_function("record_new", |b| {
            b.iter(|| {
                store.record(campaign, user, at(user), 3, DAY);
                user += 1;
            });
        });
        group.finish();
    }
}

/// What a store forgets at so many bytes for each user of a campaign with a cap of up to 3 who counts at a time: when it is
/// filled; when each day's users take the place of the day before's, so that whoever goes early goes shortly before the
/// end of the window; for how many strangers it then cannot say that they were not seen; and when every fourth user has a
/// cap of 10 and 6 impressions instead, in two slots.
fn forgotten(_: &mut Criterion) {
    for bytes in [26, 28, 30, 31, 32, 34, 36, 40] {
        let store = ImpressionStore::new(16 << 20);
        let users = (store.bytes() / bytes) as u64;
        let at = |i: u64| NOW.plus((i * DAY as u64 / users) as i64);
        let percent = |part: u64, of: u64| part as f64 / of as f64 * 100.0;
        let day = |i: u64| {
            let before = store.stats().evicted_live;
            (i * users..(i + 1) * users).for_each(|user| store.record(CampaignNo(5), user, at(user), 3, DAY));
            percent(store.stats().evicted_live - before, users)
        };
        let (filled, _, daily) = (day(0), day(1), day(2));
        let unknown = |&user: &u64| store.seen(CampaignNo(6), user, at(3 * users), DAY, 1) == Seen::Unknown;
        let strangers = percent((0..20_000).filter(unknown).count() as u64, 20_000);

        let store = ImpressionStore::new(16 << 20);
        let mixed = users * 4 / 5;
        for i in 0..6 * mixed {
            let user = i % mixed;
            match user % 4 {
                0 => store.record(CampaignNo(7), user, at(i / 6), 10, DAY),
                _ if user % 6 == i / mixed => store.record(CampaignNo(5), user, at(i / 6), 3, DAY),
                _ => {}
            }
        }
        println!(
            "window/impressions: {bytes} B a user ({users} users): forgotten while they counted {filled:.4} % when filled, \
             {daily:.4} % day by day (strangers unknown: {strangers:.3} %), {:.4} % with mixed caps",
            percent(store.stats().evicted_live, mixed)
        );
    }
}

criterion_group!(benches, forgotten, lookups);
criterion_main!(benches);
