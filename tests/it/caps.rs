//! Frequency caps count booked impressions of a user who may be known, and nothing else.

use std::time::Duration;

use serde_json::{Value, json};

use crate::make::{campaign, request, with};
use crate::server::{Server, wait_until};

fn capped(impressions: u32, seconds: u32) -> Value {
    with(campaign("a"), json!({"frequency_caps": [{"impressions": impressions, "per_seconds": seconds}]}))
}

fn user(ifa: &str) -> Value {
    with(request(), json!({"device": {"ifa": ifa}}))
}

#[test]
fn only_booked_impressions_count() {
    let mut server = Server::start("", &[capped(2, 3_600)]);
    let bids: Vec<Value> = (0..5).map(|_| server.bid_soon(&user("u1"))).collect();
    server.win(&bids[0], "2.00");
    server.lose(&bids[1]);
    server.bill(&bids[2], "");
    assert!(server.bid(&user("u1")).is_some());
    server.bill(&bids[0], "2.00");
    server.bill(&bids[0], "2.00");
    assert!(server.bid(&user("u1")).is_some(), "a duplicate counts");
    server.bill(&bids[3], "2.00");
    assert!(server.bid(&user("u1")).is_none());
    assert!(server.bid(&user("u2")).is_some());
    // What was seen outlives a restart.
    server.restart();
    server.bid_soon(&user("u2"));
    assert!(server.bid(&user("u1")).is_none());
    // A late bill counts too.
    server.put(&capped(3, 3_600));
    assert!(server.bid(&user("u1")).is_some());
    server.bill(&bids[1], "2.00");
    assert!(server.bid(&user("u1")).is_none());
}

#[test]
fn a_cap_ends_with_its_window() {
    let server = Server::start("", &[capped(1, 1)]);
    let bid = server.bid(&user("u1")).unwrap();
    server.bill(&bid, "2.00");
    assert!(server.bid(&user("u1")).is_none());
    std::thread::sleep(Duration::from_millis(900));
    wait_until("the window has passed", || server.bid(&user("u1")).is_some());
}

#[test]
fn an_unknown_user_gets_no_capped_bid() {
    let server = Server::start("", &[capped(9, 3_600)]);
    for (patch, bids) in [
        (json!({}), false),
        (json!({"device": {"ifa": "u1"}}), true),
        (json!({"user": {"id": "u1"}}), true),
        (json!({"device": {"ifa": ""}}), false),
        (json!({"device": {"ifa": "00000000-0000-0000-0000-000000000000"}}), false),
        (json!({"device": {"ifa": "00000000-0000-0000-0000-000000000000"}, "user": {"id": "u1"}}), true),
        (json!({"device": {"ifa": "u1", "lmt": 1}}), false),
        (json!({"device": {"ifa": "u1", "dnt": 1}}), false),
        (json!({"device": {"ifa": "u1"}, "regs": {"coppa": 1}}), false),
        (json!({"device": {"ifa": "u1"}, "regs": {"gdpr": 1}}), false),
        (json!({"device": {"ifa": "u1", "lmt": 0}, "regs": {"coppa": 0}}), true),
    ] {
        assert_eq!(server.bid(&with(request(), patch.clone())).is_some(), bids, "{patch}");
    }
    // The device's id comes before the user's.
    let bid = server.bid(&with(request(), json!({"device": {"ifa": "u7"}, "user": {"id": "u8"}}))).unwrap();
    server.put(&capped(1, 3_600));
    server.bill(&bid, "2.00");
    assert!(server.bid(&user("u7")).is_none());
    assert!(server.bid(&user("u8")).is_some());
}

#[test]
fn one_who_cannot_be_told_is_bid_for_where_the_config_says_so() {
    let config = "[frequency]\nmax_bytes = 1048576\nbid_for_unknown = true\n";
    let server = Server::start(config, &[capped(1, 3_600)]);
    for _ in 0..2 {
        let bid = server.bid(&request()).unwrap();
        server.bill(&bid, "2.00");
    }
}

#[test]
fn all_caps_of_a_campaign_hold() {
    let caps =
        json!({"frequency_caps": [{"impressions": 1, "per_seconds": 1}, {"impressions": 2, "per_seconds": 3600}]});
    let server = Server::start("", &[with(campaign("a"), caps)]);
    for _ in 0..2 {
        let mut bid = None;
        wait_until("the short cap has passed", || {
            bid = server.bid(&user("u1"));
            bid.is_some()
        });
        server.bill(&bid.unwrap(), "2.00");
        assert!(server.bid(&user("u1")).is_none());
    }
    std::thread::sleep(Duration::from_millis(1_050));
    assert!(server.bid(&user("u1")).is_none(), "the long cap does not hold");
}
