use std::collections::HashMap;
use std::sync::atomic::Ordering::{Acquire, Release};

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

fn reached(store: &ImpressionStore, campaign: CampaignNo, user: u64, now: UnixMs, per_ms: i64, n: u32) -> bool {
    store.seen(campaign, user, now, per_ms, n) == Seen::Reached
}

#[test]
fn it_takes_the_memory_it_was_given() {
    for bytes in [100_000, 1_000_000, 64 << 20] {
        let store = ImpressionStore::new(bytes);
        assert!((bytes - 6_144..=bytes).contains(&store.bytes()) && store.bytes() <= 26 * store.capacity());
    }
    assert_eq!(ImpressionStore::new(0).capacity(), SLOTS);
}

#[test]
fn hardly_anyone_is_forgotten_at_32_bytes_a_user() {
    let store = ImpressionStore::new(1 << 20);
    let users = store.bytes() as u64 / 32;
    let at = |i: u64| NOW.plus((i * DAY as u64 / users) as i64);
    for day in 0..3 {
        let before = store.stats().evicted_live;
        (day * users..(day + 1) * users).for_each(|i| store.record(A, i, at(i), 3, DAY));
        let lost = store.stats().evicted_live - before;
        assert!(lost * 1_000 < users, "day {day}: {lost} of {users}");
    }
}

#[test]
fn every_bit_of_a_key_tells_it_from_others() {
    let key = 0x0123_4567_89ab_cdef;
    let mut group = Group::new();
    group.record(key, NOW.0, 1, DAY);
    let seen = |key| group.seen(key, NOW.0, DAY, 1) == Seen::Reached;
    assert!(seen(key) && (0..56).all(|bit| !seen(key ^ 1 << bit)));
    // The upper bits are the group's.
    let store = ImpressionStore::new(256 * size_of::<Mutex<Group>>());
    for low in [0, 1 << 55, u64::MAX >> 8] {
        let groups: Vec<*const Group> = (0..256).map(|high| &raw const *store.group(high << 56 | low)).collect();
        assert!(groups.is_sorted_by(|a, b| a < b));
    }
}

#[test]
fn a_window_slides_by_the_millisecond() {
    let store = roomy();
    assert_eq!(store.seen(A, 7, NOW, HOUR, 1), Seen::Below);
    store.record(A, 7, NOW, 3, DAY);
    assert!(reached(&store, A, 7, NOW, HOUR, 1));
    assert!(reached(&store, A, 7, NOW.plus(HOUR - 1), HOUR, 1));
    assert!(!reached(&store, A, 7, NOW.plus(HOUR), HOUR, 1), "the window is open at its old end");
    assert!(reached(&store, A, 7, NOW.plus(HOUR), DAY, 1));
    assert!(!reached(&store, A, 7, NOW, DAY, 2));
    assert!(!reached(&store, A, 8, NOW, DAY, 1) && !reached(&store, CampaignNo(2), 7, NOW, DAY, 1));
    assert!(reached(&store, A, 8, NOW, DAY, 0));
    assert!(reached(&store, A, 7, NOW.plus(-1), HOUR, 1), "a clock that lags sees it too");
}

#[test]
fn late_events_find_their_place() {
    let store = roomy();
    for at in [50, 10, 40, 20, 30] {
        store.record(A, 7, NOW.plus(at), 3, DAY);
    }
    // The newest three are 50, 40 and 30.
    for (n, oldest) in [(1, 50), (2, 40), (3, 30)] {
        assert!(reached(&store, A, 7, NOW.plus(50), 51 - oldest, n));
        assert!(!reached(&store, A, 7, NOW.plus(50), 50 - oldest, n));
    }
    assert!(!reached(&store, A, 7, NOW.plus(50), DAY, 4));
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
        assert!(reached(&store, A, 7, end, i64::from(keep), keep));
        assert!(!reached(&store, A, 7, end, i64::from(keep) - 1, keep));
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
    assert_eq!(store.seen(A, 0, later, HOUR, 1), Seen::Below);

    for user in 1_001..1_004 {
        store.record(A, user, later, 3, DAY);
    }
    // One too many: the quietest goes, and whoever the group does not know may be it.
    assert_eq!(store.stats(), Stats { entries: SLOTS as u64, evicted_live: 1, evicted_expired: 3 });
    assert_eq!(store.seen(A, 3, later, DAY, 1), Seen::Unknown);
    assert_eq!(store.seen(A, 9_999, later, DAY, 1), Seen::Unknown);
    assert_eq!(store.seen(A, 9_999, later, HOUR, 1), Seen::Below, "what was lost lies before this window");
    assert_eq!(store.seen(A, 4, later, DAY, 1), Seen::Reached);
    assert_eq!(store.seen(A, 4, later, DAY, 2), Seen::Below, "an entry that stayed is complete");

    // The lost one comes back incomplete, until its loss no longer counts.
    store.record(A, 3, later, 3, DAY);
    assert_eq!(store.seen(A, 3, later, DAY, 1), Seen::Reached);
    assert_eq!(store.seen(A, 3, later, DAY, 2), Seen::Unknown);
    assert_eq!(store.seen(A, 3, later.plus(DAY), DAY, 1), Seen::Below);
}

#[test]
fn extreme_times_do_no_harm() {
    let store = ImpressionStore::new(0);
    for at in [0, 1, -1, i64::MAX, i64::MIN, 1 << 40, (1 << 40) - 1] {
        for keep_ms in [i64::MIN, 0, 1, i64::MAX] {
            store.record(A, at as u64, UnixMs(at), u32::MAX, keep_ms);
            store.seen(A, at as u64, UnixMs(at), keep_ms, u32::MAX);
        }
        assert!(reached(&store, A, at as u64, UnixMs(at), 1, 1) || at == i64::MIN);
    }
}

#[test]
fn readers_get_true_answers_while_a_full_store_is_written() {
    // Each user is seen 6 times, and so takes a second slot at the fourth.
    const TIMES: u64 = 6;
    const APART: u64 = 10;
    let store = ImpressionStore::new(6 * size_of::<Mutex<Group>>());
    let users = store.capacity() as u64 / 2;
    let at = |step: u64| NOW.plus((step * DAY as u64 / users) as i64);
    let times = |user: u64, steps: u64| (steps - user).div_ceil(APART).min(TIMES) as u32;
    let write = |step: u64| {
        for user in (0..TIMES).filter_map(|n| step.checked_sub(n * APART)) {
            store.record(A, user, at(step), 10, DAY);
        }
    };
    let steps = AtomicU64::new(5 * users);
    (0..5 * users).for_each(write);
    let stats = store.stats();
    assert!(stats.evicted_live > 0 && stats.evicted_expired > 0, "{stats:?}");

    let read = |mut random: u64| {
        let mut sure = 0;
        while sure < 10_000 {
            random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            let done = steps.load(Acquire);
            let user = done - 1 - (random >> 33) % (users / 2);
            let n = times(user, done);
            let answers = [n, n + 1].map(|n| store.seen(A, user, at(done), DAY, n));
            let later = steps.load(Acquire) + 1;
            // For one who slept meanwhile, the user's time may be over.
            if later < user + users {
                assert_ne!(answers[0], Seen::Below, "{user} was seen {n} times after {done} steps");
                assert!(answers[1] != Seen::Reached || times(user, later) > n, "{user}: {n} times after {done} steps");
                sure += u64::from(answers[0] == Seen::Reached);
            }
        }
    };
    std::thread::scope(|scope| {
        let readers = [1, 2, 3].map(|seed| scope.spawn(move || read(seed)));
        while !readers.iter().all(|reader| reader.is_finished()) {
            let step = steps.load(Acquire);
            write(step);
            steps.store(step + 1, Release);
        }
    });
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

/// Of so many users, mostly within `apart_ms` of one another.
fn steps(users: u64, apart_ms: i64, count: usize) -> impl Strategy<Value = Vec<Step>> {
    let on = prop_oneof![4 => 0..1_000i64, 4 => 0..apart_ms, 1 => 0..48 * apart_ms];
    let late = prop_oneof![5 => Just(0), 1 => 0..10_000i64];
    let step = (0..4u32, 0..users, on, late).prop_map(|(campaign, user, on_ms, late_ms)| Step {
        campaign,
        user,
        on_ms,
        late_ms,
    });
    prop::collection::vec(step, 1..=count)
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
            // Whatever is asked within what is kept.
            for (n, per_ms) in caps(campaign).iter().flat_map(|&(n, per_ms)| [1, n.div_ceil(2), n].map(|n| (n, per_ms)))
            {
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
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]
    #[test]
    fn equals_the_model_while_nothing_is_evicted(steps in steps(20, HOUR, 800), start in prop_oneof![Just(0), Just(NOW.0), Just((1 << 40) - 5)]) {
        let store = roomy();
        prop_assert!(!run(&store, &steps, start, 20));
        prop_assert_eq!(store.stats().evicted_live + store.stats().evicted_expired, 0);
    }

    #[test]
    fn is_never_wrong_when_it_evicts(steps in steps(150, HOUR / 12, 1_600), bytes in 0..13_000usize) {
        let store = ImpressionStore::new(bytes);
        let bytes = store.bytes();
        let unsure = run(&store, &steps, NOW.0, 150);
        let stats = store.stats();
        prop_assert!(!unsure || stats.evicted_live > 0);
        prop_assert!(stats.entries <= store.capacity() as u64 && store.bytes() == bytes);
    }
}
