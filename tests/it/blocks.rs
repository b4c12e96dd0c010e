//! What a request forbids, and what deals ask for.

use serde_json::{Value, json};

use crate::make::{campaign, request, with, with_creative, with_imp};
use crate::server::Server;

fn bids(server: &Server, cases: &[(Value, bool)]) {
    for (patch, want) in cases {
        assert_eq!(server.bid(&with(request(), patch.clone())).is_some(), *want, "{patch}");
    }
}

#[test]
fn blocked_categories_advertisers_and_attributes() {
    let creative = json!({"cat": ["IAB25-3", "IAB1"], "adomain": ["ads.acme.example"], "attr": [3]});
    let server = Server::start("", &[with_creative(campaign("a"), creative)]);
    let banner = |battr: Value| json!({"imp": [{"id": "1", "banner": {"w": 300, "h": 250, "battr": battr}}]});
    let many: Vec<String> = (0..10_000).map(|i| format!("IAB30-{i}")).collect();
    let many_and_ours: Vec<String> = many.iter().cloned().chain(["IAB25-3".to_owned()]).collect();
    bids(
        &server,
        &[
            (json!({"bcat": ["IAB25-3"]}), false),
            (json!({"bcat": ["IAB25"]}), false), // the parent blocks the child
            (json!({"bcat": ["IAB25-2"]}), true),
            (json!({"bcat": ["IAB1"]}), false),
            (json!({"bcat": ["IAB1-1"]}), true), // a child does not block its parent
            (json!({"bcat": ["IAB2"], "cattax": 1}), true),
            (json!({"bcat": ["IAB25"], "cattax": 1}), false),
            (json!({"bcat": many}), true),
            (json!({"bcat": many_and_ours}), false),
            (json!({"badv": ["ads.acme.example"]}), false),
            (json!({"badv": ["acme.example"]}), false), // subdomains included
            (json!({"badv": ["ACME.example"]}), false),
            (json!({"badv": ["other.ads.acme.example"]}), true),
            (json!({"badv": ["cme.example", "example.com"]}), true),
            (banner(json!([3])), false),
            (banner(json!([1, 2, 4])), true),
        ],
    );
}

#[test]
fn seats() {
    let server = Server::start("[exchanges.demo]\nseat = \"s1\"\n", &[campaign("a")]);
    bids(
        &server,
        &[
            (json!({"wseat": ["s1"]}), true),
            (json!({"wseat": ["s2", "s1"]}), true),
            (json!({"wseat": ["s2"]}), false),
            (json!({"wseat": []}), true),
            (json!({"bseat": ["s1"]}), false),
            (json!({"bseat": ["s2"]}), true),
        ],
    );
}

#[test]
fn insecure_markup_is_not_shown_in_a_secure_place() {
    let plain = with_creative(campaign("plain"), json!({"adm": "<img src=\"http://cdn.acme.example/x.png\">"}));
    let server = Server::start("", &[plain]);
    assert!(server.bid(&with_imp(request(), json!({"secure": 1}))).is_none());
    assert!(server.bid(&with_imp(request(), json!({"secure": 0}))).is_some());
    assert!(server.bid(&request()).is_some());
    server.put(&campaign("a"));
    for _ in 0..10 {
        let bid = server.bid_soon(&with_imp(request(), json!({"secure": 1})));
        assert!(bid["cid"] == "a" && !bid["adm"].as_str().unwrap().contains("http:"), "{bid}");
    }
}

#[test]
fn floors() {
    let server = Server::start("", &[campaign("a")]);
    for (floor, want) in [(0.0, true), (2.5, true), (2.499999, true), (2.500001, false), (1e12, false)] {
        assert_eq!(server.bid(&with_imp(request(), json!({"bidfloor": floor}))).is_some(), want, "{floor}");
    }
}

#[test]
fn deals_are_bid_with_their_id_at_their_floor() {
    let dealt = with(campaign("dealt"), json!({"targeting": {"deals": ["d1", "d2"]}}));
    let server = Server::start("", &[dealt, with(campaign("open"), json!({"bid": {"price": "1.00"}}))]);
    let ask = |pmp: Value| server.bid(&with_imp(request(), json!({"pmp": pmp})));
    let deals = |list: Value| ask(json!({"deals": list}));
    let bid = deals(json!([{"id": "d1"}])).unwrap();
    assert_eq!((&bid["cid"], &bid["dealid"]), (&json!("dealt"), &json!("d1")));
    let bid = deals(json!([{"id": "d1", "bidfloor": 1}, {"id": "d2", "bidfloor": 2.5}, {"id": "d3"}])).unwrap();
    assert_eq!(bid["dealid"], "d2");
    // Above the deal's floor, for another seat, or for other advertisers there is only the open bid.
    for list in [
        json!([{"id": "d1", "bidfloor": 2.6}]),
        json!([{"id": "other"}]),
        json!([{"id": "d1", "wseat": ["other"]}]),
        json!([{"id": "d1", "wadomain": ["other.example"]}]),
        json!([]),
    ] {
        let bid = deals(list.clone()).unwrap();
        assert!(bid["cid"] == "open" && bid.get("dealid").is_none(), "{list}: {bid}");
    }
    let bid = deals(json!([{"id": "d1", "wseat": ["gavel"], "wadomain": ["acme.example"]}])).unwrap();
    assert_eq!(bid["dealid"], "d1");
    // A deal's floor counts instead of the impression's.
    let asked = with_imp(request(), json!({"bidfloor": 9, "pmp": {"deals": [{"id": "d1", "bidfloor": 2}]}}));
    assert_eq!(server.bid(&asked).unwrap()["dealid"], "d1");
}

#[test]
fn a_private_auction_gets_deal_bids_only() {
    let dealt = with(campaign("dealt"), json!({"targeting": {"deals": ["d1"]}, "bid": {"price": "0.50"}}));
    let server = Server::start("", &[dealt, campaign("open")]);
    let private = |list: Value| server.bid(&with_imp(request(), json!({"pmp": {"private_auction": 1, "deals": list}})));
    assert_eq!(private(json!([{"id": "d1"}])).unwrap()["dealid"], "d1");
    assert!(private(json!([{"id": "d2"}])).is_none());
    assert!(private(json!([{"id": "d1", "bidfloor": 0.51}])).is_none());
    assert!(private(json!([])).is_none());
    assert_eq!(server.bid(&request()).unwrap()["cid"], "open");
}

#[test]
fn the_highest_price_wins_and_ties_are_fair() {
    let server =
        Server::start("", &[campaign("a"), campaign("b"), with(campaign("low"), json!({"bid": {"price": "2.49"}}))]);
    let mut counts = std::collections::HashMap::new();
    for _ in 0..400 {
        let bid = server.bid(&request()).unwrap();
        *counts.entry(bid["cid"].as_str().unwrap().to_owned()).or_insert(0) += 1;
        server.lose(&bid);
    }
    assert_eq!(counts.get("low"), None);
    assert!(counts["a"] >= 120 && counts["b"] >= 120, "{counts:?}");
    server.put(&with(campaign("low"), json!({"bid": {"price": "2.500001"}})));
    for _ in 0..20 {
        assert_eq!(server.bid_soon(&request())["cid"], "low");
    }
}
