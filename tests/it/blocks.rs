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
            // As exchanges write them, too.
            (json!({"badv": ["https://acme.example/"]}), false),
            (json!({"badv": [" acme.example"]}), false),
            (json!({"bcat": ["iab25"]}), false),
            // Names are those of content taxonomy 1.0, whatever `cattax` says.
            (json!({"bcat": ["IAB22"], "cattax": 2}), true),
            (json!({"bcat": ["IAB25"], "cattax": 2}), false),
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

/// (cid, dealid) of each bid, as they come.
fn bought(server: &Server, pmp: Value) -> Vec<(String, Option<String>)> {
    let Some(response) = server.response(&with_imp(request(), json!({"pmp": pmp}))) else { return Vec::new() };
    let bids = response["seatbid"][0]["bid"].as_array().unwrap().iter();
    bids.map(|bid| (bid["cid"].as_str().unwrap().to_owned(), bid["dealid"].as_str().map(str::to_owned))).collect()
}

fn of(cid: &str, deal: Option<&str>) -> (String, Option<String>) {
    (cid.to_owned(), deal.map(str::to_owned))
}

#[test]
fn each_deal_gets_its_best_bid_beside_the_open_one() {
    let dealt = with(campaign("dealt"), json!({"targeting": {"deals": ["d1", "d2"]}}));
    let better = with(campaign("better"), json!({"targeting": {"deals": ["d2"]}, "bid": {"price": "3.00"}}));
    let server = Server::start(
        "",
        &[dealt, better, with(campaign("open"), json!({"bid": {"price": "1.00"}})), campaign("best")],
    );
    let deals = |list: Value| bought(&server, json!({"deals": list}));
    let open = of("best", None);
    assert_eq!(deals(json!([{"id": "d1"}])), [of("dealt", Some("d1")), open.clone()]);
    assert_eq!(
        deals(json!([{"id": "d1", "bidfloor": 1}, {"id": "d2", "bidfloor": 2.5}, {"id": "d3"}])),
        [of("dealt", Some("d1")), of("better", Some("d2")), open.clone()]
    );
    // Above the deal's floor, for another seat, or for other advertisers there is only the open bid.
    for list in [
        json!([{"id": "d1", "bidfloor": 2.6}]),
        json!([{"id": "d2", "bidfloor": 3.1}]),
        json!([{"id": "other"}]),
        json!([{"id": "d1", "wseat": ["other"]}]),
        json!([{"id": "d1", "wadomain": ["other.example"]}]),
        json!([]),
    ] {
        assert_eq!(deals(list.clone()), std::slice::from_ref(&open), "{list}");
    }
    let named = json!([{"id": "d1", "wseat": ["gavel"], "wadomain": ["acme.example"]}]);
    assert_eq!(deals(named)[0], of("dealt", Some("d1")));
    // A deal's floor counts instead of the impression's.
    let asked = with_imp(request(), json!({"bidfloor": 9, "pmp": {"deals": [{"id": "d1", "bidfloor": 2}]}}));
    assert_eq!(server.bid(&asked).unwrap()["dealid"], "d1");
}

#[test]
fn every_bid_of_an_impression_is_a_reservation_of_its_own() {
    let dealt = with(campaign("dealt"), json!({"targeting": {"deals": ["d1", "d2"]}}));
    let server = Server::start("[exchanges.demo]\nopen_bids = 3\n", &[dealt, campaign("x"), campaign("y")]);
    let asked = with_imp(request(), json!({"pmp": {"deals": [{"id": "d1"}, {"id": "d2"}]}}));
    let response = server.response(&asked).unwrap();
    let bids = response["seatbid"][0]["bid"].as_array().unwrap();
    assert_eq!(bids.len(), 4);
    let reserved = |id: &str| server.account(id).reserved;
    assert_eq!((reserved("dealt"), reserved("x"), reserved("y")), (5_000_000, 2_500_000, 2_500_000));
    server.bill(&bids[0], "2.00");
    bids[1..].iter().for_each(|bid| server.lose(bid));
    let a = server.is_sound("dealt");
    assert_eq!((a.reserved, a.spent, a.billed, a.bids), (0, 2_000_000, 1, 2));
    assert_eq!((reserved("x"), reserved("y")), (0, 0));
}

#[test]
fn a_fixed_price_is_bid_and_set_aside() {
    let dealt = with(campaign("dealt"), json!({"targeting": {"deals": ["d1"]}}));
    let server = Server::start("", &[dealt]);
    let fixed = |floor: f64| {
        let deal = json!({"id": "d1", "at": 3, "bidfloor": floor});
        server.bid(&with_imp(request(), json!({"pmp": {"private_auction": 1, "deals": [deal]}})))
    };
    assert_eq!(fixed(1.5).unwrap()["price"].as_f64(), Some(1.5));
    assert_eq!(server.account("dealt").reserved, 1_500_000);
    assert_eq!(fixed(2.5).unwrap()["price"].as_f64(), Some(2.5));
    assert!(fixed(2.51).is_none());
    // Where no price is agreed upon, the campaign's is bid.
    assert_eq!(fixed(0.0).unwrap()["price"].as_f64(), Some(2.5));
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
