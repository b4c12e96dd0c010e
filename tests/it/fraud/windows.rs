//! Windows over what comes late, out of order, or twice.

use gavel::clock::UnixMs;
use serde_json::json;

use super::desk::{check, decide, features, start};

fn now() -> UnixMs {
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap();
    UnixMs(since.as_millis() as i64)
}

#[test]
fn late_checks_land_where_they_belong() {
    let server = start("");
    let client = &mut server.connect();
    let now = now();
    let mut at = |minutes_ago: i64, amount: i64| {
        let mut check = check(&format!("t-{minutes_ago}-{amount}"), "card-a", amount);
        check["occurred_at"] = json!(now.plus(-60_000 * minutes_ago).to_string());
        let answer = decide(client, &check);
        let shown = features(client, &answer["id"]);
        (shown["card_count_1h"].as_i64().unwrap(), shown["card_sum_1d"].as_i64().unwrap())
    };
    assert_eq!(at(0, 1), (1, 1));
    // It sees only what was before it.
    assert_eq!(at(30, 10), (1, 10));
    assert_eq!(at(90, 100), (1, 100));
    assert_eq!(at(45, 1_000), (2, 1_100));
    assert_eq!(at(23 * 60, 10_000), (1, 10_000));
    // (t - 1h, t]: what happened an hour ago to the millisecond is out.
    assert_eq!(at(-1, 5), (4, 11_116));
    let mut other = check("t-usd", "card-a", 7);
    other["amount"]["currency"] = json!("USD");
    let answer = decide(client, &other);
    assert_eq!(features(client, &answer["id"])["card_sum_1d"], 7, "sums never mix currencies");
}

#[test]
fn what_was_evicted_is_null_and_said() {
    let server = start("max_events_per_key = 64");
    let client = &mut server.connect();
    let mut last = json!(null);
    for i in 0..200 {
        last = decide(client, &check(&format!("t-{i}"), "hot", 1));
        assert_eq!(last["degraded"], i >= 64, "check {i}");
    }
    assert_eq!(features(client, &last["id"])["card_count_1h"], json!(null));
    let other = decide(client, &check("t-other", "cold", 1));
    assert_eq!((&other["degraded"], &features(client, &other["id"])["card_count_1h"]), (&json!(false), &json!(1)));
}
