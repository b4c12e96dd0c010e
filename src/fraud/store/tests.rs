use super::*;

const NOW: UnixMs = UnixMs(1_795_000_000_000);

fn store(max_checks: usize, max_answer_bytes: usize) -> Store {
    Store::new(Bounds { max_checks, max_answer_bytes })
}

fn checked(check: u128, key: u128) -> Arc<Checked> {
    Arc::new(Checked {
        check,
        key,
        arrived: NOW,
        merchant: String::new(),
        decision: 0,
        windows: 0,
        shown: Vec::new(),
        body: b"body".to_vec(),
        answer: vec![0; 1_000],
    })
}

fn facts() -> Facts {
    Facts::default()
}

fn answered(offset: u64, checked: Arc<Checked>) -> Begun {
    Begun::Answered(Found { offset, checked: Some(checked), late: None })
}

#[test]
fn a_key_has_one_answer() {
    let store = store(1 << 20, 1 << 30);
    let body = body_id(b"body");
    let begin = |key, check, body| store.begin(key, check, 1, body, NOW);
    assert_eq!(begin(1, 10, body), Begun::New);
    assert_eq!(begin(1, 10, body), Begun::InFlight);
    assert_eq!(begin(1, 10, body + 1), Begun::OtherBody);
    assert_eq!(begin(2, 10, body), Begun::OtherKey(10));
    assert_eq!(store.find(10, None), None);
    store.decided(facts(), checked(10, 1));
    store.unwritten(10);
    assert_eq!(begin(1, 10, body), Begun::Unwritten(checked(10, 1), None));
    assert_eq!(begin(1, 10, body), Begun::InFlight);
    assert!(store.written(10, 77));
    // Too late to have failed.
    store.unwritten(10);
    let found = |late| Begun::Answered(Found { offset: 77, checked: Some(checked(10, 1)), late });
    assert_eq!(begin(1, 10, body), found(None));
    store.answered_late(10, Decision::Review);
    assert_eq!(begin(1, 10, body), found(Some(Decision::Review)));
    assert!(store.find(10, Some(1)).is_some() && store.find(10, Some(2)).is_none());
    // The next day the key is new, the transaction is not: that it was this one's is still known.
    let next_day = NOW.plus(KEY_LIFETIME_MS);
    assert_eq!(store.begin(1, 10, 1, body, next_day), found(Some(Decision::Review)));
    assert_eq!(store.begin(1, 11, 1, body, next_day), Begun::New);
}

#[test]
fn what_had_to_make_room_is_not_taken_for_something_else() {
    // Four of each in a shard, by the lowest bits.
    let store = store(4 * SHARDS, 1 << 20);
    let body = body_id(b"body");
    let id = |n: u128| n * SHARDS as u128;
    let answered = |key, check, offset| {
        assert_eq!(store.begin(key, check, 1, body, NOW), Begun::New);
        store.decided(facts(), checked(check, key));
        store.written(check, offset);
    };
    // Keys and checks meet in shards of their own: here all checks in one, and keys in two.
    (1..=5).for_each(|n| answered(id(n) + n % 2, id(n), n as u64));
    assert_eq!(store.begin(id(1) + 1, id(1), 1, body, NOW), Begun::Forgotten, "the check had to go before its key");
    // A sixth and more keys beside the second's, for checks elsewhere: the key goes, the check stays.
    (6..=9).for_each(|n| answered(id(n), id(n) + 1, n as u64));
    let again = store.begin(id(2), id(2), 1, body, NOW);
    assert!(matches!(again, Begun::Answered(Found { offset: 2, .. })), "{again:?}");
    assert_eq!(store.begin(id(2), id(2), 1, body + 1, NOW), Begun::OtherBody);
    assert_eq!(store.begin(id(77), id(2), 1, body, NOW), Begun::OtherKey(id(2)));
}

#[test]
fn an_answer_that_was_read_back_stays() {
    let store = store(1 << 10, 10_000 * SHARDS);
    let body = body_id(b"body");
    assert_eq!(store.begin(1, 10, 1, body, NOW), Begun::New);
    store.written(10, 77);
    assert_eq!(store.find(10, None).unwrap().checked, None);
    store.keep(checked(10, 1));
    assert_eq!(store.find(10, None).unwrap().checked, Some(checked(10, 1)));
    store.keep(checked(11, 1));
    assert!(!store.contains(11), "what is not known is not kept");
}

#[test]
fn what_the_log_has_comes_back_once() {
    let store = store(1 << 20, 1 << 30);
    assert!(store.restore(checked(10, 1), 1, facts(), 5, NOW));
    assert!(!store.restore(checked(10, 1), 1, facts(), 5, NOW));
    assert_eq!(store.begin(1, 10, 1, body_id(b"body"), NOW), answered(5, checked(10, 1)));
    let (_, _, change) = store.note_label(10, Label::Fraud).unwrap();
    assert_eq!(change.add, Outcome::FRAUD);
    assert_eq!(store.note_label(10, Label::Fraud), None);
    assert!(store.note_status(10, Status::Declined).is_some());
    assert_eq!(store.note_status(10, Status::Refunded), None);
    assert!(store.note_status(10, Status::Captured).is_some());
    assert_eq!(store.note_status(10, Status::Authorized), None);
    assert!(store.note_label(10, Label::Legitimate).is_some());
    assert_eq!(store.note_label(99, Label::Fraud), None);
}

#[test]
fn what_was_not_in_the_log_in_time_is_let_go_when_it_is() {
    let store = store(64 * 1_000, 64 * 2_500);
    let of_one_shard = |i: u128| 64 * i;
    for i in 0..100 {
        assert_eq!(store.begin(of_one_shard(i), of_one_shard(i), 1, 0, NOW), Begun::New);
        store.decided(facts(), checked(of_one_shard(i), of_one_shard(i)));
    }
    assert!((0..100).all(|i| store.written(of_one_shard(i), i as u64)));
    assert_eq!(store.begin(of_one_shard(100), of_one_shard(100), 1, 0, NOW), Begun::New);
    store.decided(facts(), checked(of_one_shard(100), of_one_shard(100)));
    let kept = (0..100).filter(|i| store.find(of_one_shard(*i), None).unwrap().checked.is_some()).count();
    assert!(kept < 5, "{kept}");
}

#[test]
fn nothing_grows_beyond_its_bound() {
    let store = store(64 * 4, 64 * 2_500);
    for check in 0..64 * 100 {
        assert_eq!(store.begin(check, check, 1, 0, NOW), Begun::New);
        store.decided(facts(), checked(check, check));
        store.written(check, check as u64);
    }
    assert_eq!(store.len(), 64 * 4);
    assert_eq!(store.find(0, None), None);
    let last = 64 * 99;
    assert!(store.find(last, None).unwrap().checked.is_some());
    let older = store.find(last - 3 * 64, None).unwrap();
    assert_eq!((older.offset, older.checked), ((last - 3 * 64) as u64, None));
    assert_eq!(store.keys.iter().map(|keys| lock(keys).checks.len()).max(), Some(5));
}
