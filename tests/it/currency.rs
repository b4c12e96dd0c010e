//! Two currencies: bids round down, bookings round up, and never above what was reserved.

use serde_json::{Value, json};

use crate::make::{campaign, request, substitute, with, with_imp};
use crate::server::Server;

const RATES: &str = "[rates]\nEUR = \"1.085\"\nJPY = \"0.0067\"\n";

fn euros() -> serde_json::Value {
    with(request(), json!({"cur": ["EUR"]}))
}

fn tell(server: &Server, bid: &serde_json::Value, price: &str, currency: &str) {
    let values = [("AUCTION_PRICE", price), ("AUCTION_CURRENCY", currency)];
    server.notice(&substitute(bid["burl"].as_str().unwrap(), &values)).is_empty(204);
}

#[test]
fn a_usd_campaign_bids_in_euros_rounded_down_and_books_rounded_up() {
    let server = Server::start(RATES, &[campaign("a")]);
    // 2.50 / 1.085 is 2.30414746...
    for (price, currency, spent) in [
        ("2.304147", "EUR", 2_500_000), // 2.499999495 up
        ("2.304147", "", 2_500_000),
        ("1.50", "EUR", 1_627_500),
        ("1.000001", "EUR", 1_085_002), // 1.085001085 up
        ("0.000001", "EUR", 2),         // 1.085 nanos up
        ("0", "EUR", 0),
        ("2.304148", "EUR", 2_500_000), // above the bid
        ("9.99", "EUR", 2_500_000),
        ("2.00", "USD", 2_000_000), // the campaign's own
        ("2.60", "USD", 2_500_000),
        ("100", "JPY", 2_500_000), // not in the token: the whole bid
    ] {
        let before = server.account("a").spent;
        let answer = server.response(&euros()).unwrap();
        assert_eq!(answer["cur"], "EUR");
        let bid = &answer["seatbid"][0]["bid"][0];
        assert_eq!(bid["price"].as_f64(), Some(2.304147));
        assert_eq!(server.account("a").reserved, 2_500_000, "{price} {currency}");
        tell(&server, bid, price, currency);
        assert_eq!(server.account("a").spent - before, spent, "{price} {currency}");
    }
    assert_eq!(server.is_sound("a").reserved, 0);
}

#[test]
fn a_euro_campaign_bids_in_dollars_and_its_account_is_in_euros() {
    let server = Server::start(RATES, &[with(campaign("a"), json!({"currency": "EUR", "bid": {"price": "2.00"}}))]);
    for (price, spent) in [("2.17", 2_000_000), ("1.00", 921_659), ("2.169999", 2_000_000), ("0.000001", 1)] {
        let before = server.account("a");
        let bid = server.bid(&request()).unwrap();
        assert_eq!(bid["price"].as_f64(), Some(2.17));
        tell(&server, &bid, price, "USD");
        let after = server.account("a");
        assert_eq!((after.currency.as_str(), after.spent - before.spent), ("EUR", spent), "{price}");
    }
    let bid = server.bid(&euros()).unwrap();
    assert_eq!(bid["price"].as_f64(), Some(2.0));
    tell(&server, &bid, "1.999999", "EUR");
    assert_eq!(server.is_sound("a").reserved, 0);
}

#[test]
fn the_first_currency_with_a_rate_is_bid_in() {
    let server = Server::start(RATES, &[campaign("a")]);
    for (cur, want) in [
        (json!(["XXX", "EUR", "USD"]), Some("EUR")),
        (json!(["USD", "EUR"]), Some("USD")),
        (json!(["GBP"]), None),
        (json!([]), Some("USD")),
        (json!(["eur"]), Some("EUR")),
    ] {
        let response = server.response(&with(request(), json!({"cur": cur})));
        let seen = response.as_ref().map(|r| r["cur"].as_str().unwrap());
        assert!(seen == want || cur == json!(["eur"]) && seen.is_none(), "{cur}: {seen:?}");
    }
}

#[test]
fn an_exchanges_own_currency_counts_where_the_request_names_none() {
    let server = Server::start(&format!("{RATES}[exchanges.e]\ncurrency = \"EUR\"\n"), &[campaign("a")]);
    assert_eq!(server.response_of("e", &request()).unwrap()["cur"], "EUR");
}

#[test]
fn floors_in_another_currency_are_met_exactly() {
    let server = Server::start(RATES, &[campaign("a")]);
    // In dollars, against a bid of 2.50: the floor is converted and rounded up.
    for (floor, currency, bids) in [
        (2.5, "USD", true),
        (2.500001, "USD", false),
        (2.304147, "EUR", true),
        (2.304148, "EUR", false),
        (373.13, "JPY", true),
        (373.14, "JPY", false),
        (0.01, "GBP", false), // no rate: it cannot be known
    ] {
        let asked = with_imp(request(), json!({"bidfloor": floor, "bidfloorcur": currency}));
        assert_eq!(server.bid(&asked).is_some(), bids, "{floor} {currency}");
    }
    // In euros, against a bid of 2.304147.
    for (floor, currency, bids) in
        [(2.304147, "EUR", true), (2.304148, "EUR", false), (2.5, "USD", false), (2.499, "USD", true)]
    {
        let asked = with_imp(euros(), json!({"bidfloor": floor, "bidfloorcur": currency}));
        assert_eq!(server.bid(&asked).is_some(), bids, "{floor} {currency} for euros");
    }
}

#[test]
fn campaigns_of_different_currencies_are_compared_by_worth() {
    let euro = with(campaign("euro"), json!({"currency": "EUR", "bid": {"price": "2.31"}}));
    let dollar = campaign("dollar");
    let server = Server::start(RATES, &[euro.clone(), dollar]);
    // 2.31 EUR are 2.50635 USD.
    assert_eq!(server.bid(&request()).unwrap()["cid"], "euro");
    server.put(&with(euro, json!({"bid": {"price": "2.30"}})));
    assert_eq!(server.bid(&request()).unwrap()["cid"], "dollar");
}

#[test]
fn a_floor_in_a_currency_without_a_rate_bars_what_it_is_of() {
    let dealt = with(campaign("dealt"), json!({"targeting": {"deals": ["d"]}, "bid": {"price": "5.00"}}));
    let server = Server::start(RATES, &[campaign("a"), dealt]);
    let deal =
        |deal: Value| json!({"bidfloor": 1, "bidfloorcur": "XXX", "pmp": {"private_auction": 1, "deals": [deal]}});
    for (imp, bids) in [
        (json!({"bidfloor": 1, "bidfloorcur": "XXX"}), false),
        // No floor is none in any currency.
        (json!({"bidfloorcur": "XXX"}), true),
        (json!({"bidfloor": 0, "bidfloorcur": "XXX"}), true),
        (json!({"bidfloor": 1, "bidfloorcur": ""}), true),
        (json!({"bidfloor": 2.30, "bidfloorcur": "eur"}), true),
        (json!({"bidfloor": 2.31, "bidfloorcur": "eur"}), false),
        (deal(json!({"id": "d", "bidfloor": 3})), true),
        (deal(json!({"id": "d", "bidfloor": 3, "bidfloorcur": "XXX"})), false),
        (deal(json!({"id": "d", "bidfloor": 1e300})), false),
    ] {
        assert_eq!(server.bid(&with_imp(request(), imp.clone())).is_some(), bids, "{imp}");
    }
    let lost = |reason: &str| server.metric(&format!("gavel_no_bids_total{{reason=\"{reason}\"}}"));
    let before = (lost("unknown_currency"), lost("floor"));
    server.bid(&with_imp(request(), json!({"bidfloor": 1, "bidfloorcur": "XXX"})));
    server.bid(&with_imp(request(), json!({"bidfloor": 1e300})));
    assert_eq!((lost("unknown_currency"), lost("floor")), (before.0 + 1.0, before.1 + 1.0));
}
