use std::collections::HashMap;

use proptest::prelude::*;

use super::*;

const HOUR: i64 = 3_600_000;
const DAY: i64 = 24 * HOUR;
const NOW: UnixMs = UnixMs(1_795_000_000_000);
const A: CampaignNo = CampaignNo(1);

/// Room for so many that nothing is ever evicted here.
fn roomy() -> ImpressionStore {
    ImpressionStore::new(1 << 20)
}

#[test]
fn an_entry_takes_at_most_32_bytes() {
    const { assert!(BYTES_PER_ENTRY <= 32) };
    let store = ImpressionStore::new(1_000_000);
    assert!(store.bytes() <= 1_000_000 && store.capacity() >= 1_000_000 / 33, "{}", store.capacity());
    assert_eq!(ImpressionStore::new(0).capacity(), SLOTS);
}

#[test]
fn a_window_slides_by_the_millisecond() {
    let store = roomy();
    assert_eq!(store.seen(A, 7, NOW, HOUR, 1), Seen::Below);
    store.record(A, 7, NOW, 3, DAY);
    assert!(store.count_at_least(A, 7, NOW, HOUR, 1));
    assert!(store.count_at_least(A, 7, NOW.plus(HOUR - 1), HOUR, 1));
    assert!(!store.count_at_least(A, 7, NOW.plus(HOUR), HOUR, 1), "the window is open at its old end");
    assert!(store.count_at_least(A, 7, NOW.plus(HOUR), DAY, 1));
    assert!(!store.count_at_least(A, 7, NOW, DAY, 2));
    assert!(!store.count_at_least(A, 8, NOW, DAY, 1) && !store.count_at_least(CampaignNo(2), 7, NOW, DAY, 1));
    assert!(store.count_at_least(A, 8, NOW, DAY, 0));
    assert!(store.count_at_least(A, 7, NOW.plus(-1), HOUR, 1), "a clock that lags sees it too");
}

#[test]
fn late_events_find_their_place() {
    let store = roomy();
    for at in [50, 10, 40, 20, 30] {
        store.record(A, 7, NOW.plus(at), 3, DAY);
    }
    // The newest three are 50, 40 and 30.
    for (n, oldest) in [(1, 50), (2, 40), (3, 30)] {
        assert!(store.count_at_least(A, 7, NOW.plus(50), 51 - oldest, n));
        assert!(!store.count_at_least(A, 7, NOW.plus(50), 50 - oldest, n));
    }
    assert!(!store.count_at_least(A, 7, NOW.plus(50), DAY, 4));
}

#[test]
fn chains_grow_shrink_and_give_their_slots_back() {
    let store = ImpressionStore::new(0);
    for round in 0..200 {
        let keep = [64, 1, 9, 3][round as usize % 4];
        for i in 0..64 {
            store.record(A, 7, NOW.plus(round * 1_000 + i), keep, DAY);
        }
        let end = NOW.plus(round * 1_000 + 63);
        assert!(store.count_at_least(A, 7, end, i64::from(keep), keep));
        assert!(!store.count_at_least(A, 7, end, i64::from(keep) - 1, keep));
    }
    assert_eq!(store.stats(), Stats { entries: 1, ..Stats::default() });
    store.record(A, 7, NOW.plus(DAY), 1, DAY);
    // All slots but one are free again.
    for user in 100..100 + SLOTS as u64 - 1 {
        store.record(A, user, NOW.plus(DAY), 3, DAY);
    }
    assert_eq!(store.stats(), Stats { entries: SLOTS as u64, ..Stats::default() });
}

#[test]
fn expired_entries_go_before_living_ones() {
    let store = ImpressionStore::new(0);
    for user in 0..SLOTS as u64 {
        let keep_ms = if user < 3 { HOUR } else { DAY };
        store.record(A, user, NOW.plus(user as i64), 3, keep_ms);
    }
    let later = NOW.plus(2 * HOUR);
    store.record(A, 1_000, later, 3, DAY);
    assert_eq!(store.stats(), Stats { entries: SLOTS as u64 - 2, evicted_live: 0, evicted_expired: 3 });
    assert!(!store.is_saturated(later));
    assert_eq!(store.seen(A, 0, later, HOUR, 1), Seen::Below);

    for user in 1_001..1_004 {
        store.record(A, user, later, 3, DAY);
    }
    // One too many: the quietest goes, and whoever the group does not know may be it.
    assert_eq!(store.stats(), Stats { entries: SLOTS as u64, evicted_live: 1, evicted_expired: 3 });
    assert!(store.is_saturated(later));
    assert_eq!(store.seen(A, 3, later, DAY, 1), Seen::Unknown);
    assert_eq!(store.seen(A, 9_999, later, DAY, 1), Seen::Unknown);
    assert_eq!(store.seen(A, 9_999, later, HOUR, 1), Seen::Below, "what was lost lies before this window");
    assert_eq!(store.seen(A, 4, later, DAY, 1), Seen::Reached);
    assert_eq!(store.seen(A, 4, later, DAY, 2), Seen::Below, "an entry that stayed is complete");

    // The lost one comes back incomplete, until its loss no longer counts.
    store.record(A, 3, later, 3, DAY);
    assert_eq!(store.seen(A, 3, later, DAY, 1), Seen::Reached);
    assert_eq!(store.seen(A, 3, later, DAY, 2), Seen::Unknown);
    let after = later.plus(DAY);
    assert!(!store.is_saturated(after));
    assert_eq!(store.seen(A, 3, after, DAY, 1), Seen::Below);
}

#[test]
fn extreme_times_do_no_harm() {
    let store = ImpressionStore::new(0);
    for at in [0, 1, -1, i64::MAX, i64::MIN, 1 << 40, (1 << 40) - 1] {
        for keep_ms in [i64::MIN, 0, 1, i64::MAX] {
            store.record(A, at as u64, UnixMs(at), u32::MAX, keep_ms);
            store.seen(A, at as u64, UnixMs(at), keep_ms, u32::MAX);
        }
        assert!(store.count_at_least(A, at as u64, UnixMs(at), 1, 1) || at == i64::MIN);
    }
}

#[test]
fn readers_and_the_writer_share() {
    let store = ImpressionStore::new(64 << 10);
    std::thread::scope(|scope| {
        for _ in 0..3 {
            scope.spawn(|| {
                for i in 0..20_000 {
                    // A user is recorded once or not at all: two is never a true answer.
                    assert_ne!(store.seen(A, i % 500, NOW.plus(20_000), DAY, 2), Seen::Reached);
                }
            });
        }
        scope.spawn(|| (0..500).for_each(|user| store.record(A, user, NOW, 3, DAY)));
    });
    assert!((0..500).all(|user| store.count_at_least(A, user, NOW, DAY, 1)));
}

/// All impressions of all users, with no bound.
#[derive(Default)]
struct Model(HashMap<(u32, u64), Vec<i64>>);

impl Model {
    fn at_least(&self, campaign: u32, user: u64, now: i64, per_ms: i64, n: u32) -> bool {
        let times = self.0.get(&(campaign, user)).map_or(&[][..], |v| v);
        times.iter().filter(|&&t| now - per_ms < t && t <= now).count() >= n as usize
    }
}

#[derive(Clone, Debug)]
struct Step {
    campaign: u32,
    user: u64,
    /// How far time moves on, and how late the event comes.
    on_ms: i64,
    late_ms: i64,
}

/// The caps of a campaign, by its number: count and window.
fn caps(campaign: u32) -> &'static [(u32, i64)] {
    match campaign % 4 {
        0 => &[(1, HOUR)],
        1 => &[(3, DAY), (2, HOUR)],
        2 => &[(10, 7 * DAY), (4, DAY)],
        _ => &[(64, 90 * DAY), (7, HOUR), (1, 60_000)],
    }
}

fn steps(users: u64) -> impl Strategy<Value = Vec<Step>> {
    let on = prop_oneof![4 => 0..1_000i64, 4 => 0..HOUR, 1 => 0..2 * DAY];
    let late = prop_oneof![5 => Just(0), 1 => 0..10_000i64];
    let step = (0..4u32, 0..users, on, late).prop_map(|(campaign, user, on_ms, late_ms)| Step {
        campaign,
        user,
        on_ms,
        late_ms,
    });
    prop::collection::vec(step, 1..800)
}

/// Runs the steps against the model. What the store is sure of must be true; returns whether it was ever unsure.
fn run(store: &ImpressionStore, steps: &[Step], start: i64, users: u64) -> bool {
    let (mut model, mut now, mut unsure) = (Model::default(), start, false);
    for (i, step) in steps.iter().enumerate() {
        now += step.on_ms;
        let at = now - step.late_ms;
        let keep = caps(step.campaign).iter().map(|c| c.0).max().unwrap();
        let keep_ms = caps(step.campaign).iter().map(|c| c.1).max().unwrap();
        store.record(CampaignNo(step.campaign), step.user, UnixMs(at), keep, keep_ms);
        model.0.entry((step.campaign, step.user)).or_default().push(at);
        for (campaign, user) in [(step.campaign, step.user), (i as u32 % 4, i as u64 % users)] {
            for &(n, per_ms) in caps(campaign) {
                let want = model.at_least(campaign, user, now, per_ms, n);
                match store.seen(CampaignNo(campaign), user, UnixMs(now), per_ms, n) {
                    Seen::Unknown => unsure = true,
                    seen => assert_eq!(seen == Seen::Reached, want, "{step:?} {campaign} {user} {n} {per_ms}"),
                }
            }
        }
    }
    unsure
}

proptest! {
    #[test]
    fn equals_the_model_while_nothing_is_evicted(steps in steps(20), start in prop_oneof![Just(0), Just(NOW.0), Just((1 << 40) - 5)]) {
        let store = roomy();
        prop_assert!(!run(&store, &steps, start, 20));
        prop_assert_eq!(store.stats().evicted_live + store.stats().evicted_expired, 0);
    }

    #[test]
    fn is_never_wrong_when_it_evicts(steps in steps(300)) {
        let store = ImpressionStore::new(0);
        let bytes = store.bytes();
        let unsure = run(&store, &steps, NOW.0, 300);
        let stats = store.stats();
        prop_assert!(!unsure || stats.evicted_live > 0);
        prop_assert!(stats.entries <= store.capacity() as u64 && store.bytes() == bytes);
    }
}
