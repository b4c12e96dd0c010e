//! One bid after the other, and what each notice does to the money: exact to the nano.

use serde_json::json;

use crate::make::{campaign, request, substitute, with};
use crate::server::{Server, wait_until};

const BID: i64 = 2_500_000;

fn server() -> Server {
    Server::start("", &[campaign("a")])
}

#[test]
fn a_bid_that_is_won_and_billed_is_spent_to_the_nano() {
    let server = server();
    let bid = server.bid(&request()).unwrap();
    assert_eq!(bid["price"].as_f64(), Some(2.5));
    let a = server.is_sound("a");
    assert_eq!((a.currency.as_str(), a.budget), ("USD", 1_000_000_000_000));
    assert_eq!((a.reserved, a.spent, a.wins, a.billed), (BID, 0, 0, 0));
    server.win(&bid, "2.123456");
    let a = server.is_sound("a");
    assert_eq!((a.reserved, a.spent, a.wins, a.billed), (BID, 0, 1, 0));
    server.bill(&bid, "2.123456");
    let a = server.is_sound("a");
    assert_eq!((a.reserved, a.spent, a.late, a.wins, a.billed), (0, 2_123_456, 0, 1, 1));
    assert_eq!(a.available, 1_000_000_000_000 - 2_123_456);
    wait_until("the bid is counted", || server.account("a").bids == 1);
    let books = server.books();
    assert_eq!((books.len(), books[0].spent, books[0].billed), (1, 2_123_456, 1));
    assert_eq!(books[0].day, jiff::Timestamp::now().to_zoned(jiff::tz::TimeZone::UTC).date().to_string());
}

#[test]
fn a_price_beyond_a_nano_is_booked_rounded_up() {
    let server = server();
    for (price, spent) in [("0.0000001", 1), ("1.0000001", 1_000_001), ("1e-3", 1_000), ("2.4999999", BID)] {
        let before = server.account("a").spent;
        let bid = server.bid(&request()).unwrap();
        server.bill(&bid, price);
        assert_eq!(server.account("a").spent - before, spent, "{price}");
    }
    assert_eq!(server.is_sound("a").reserved, 0);
}

#[test]
fn duplicates_change_nothing_one_after_the_other_or_at_once() {
    let server = server();
    let bid = server.bid(&request()).unwrap();
    (0..3).for_each(|_| server.win(&bid, "2.00"));
    (0..3).for_each(|_| server.bill(&bid, "2.00"));
    // A duplicate with another price is a duplicate.
    server.bill(&bid, "1.00");
    let a = server.is_sound("a");
    assert_eq!((a.reserved, a.spent, a.wins, a.billed), (0, 2_000_000, 1, 1));

    let bid = server.bid(&request()).unwrap();
    let url = substitute(bid["burl"].as_str().unwrap(), &[("AUCTION_PRICE", "1.50"), ("AUCTION_CURRENCY", "USD")]);
    let path = url.strip_prefix("https://localhost").unwrap();
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                let mut client = server.connect();
                (0..10).for_each(|_| client.get(path).is_empty(204));
            });
        }
    });
    let a = server.is_sound("a");
    assert_eq!((a.reserved, a.spent, a.wins, a.billed), (0, 3_500_000, 2, 2));
    assert_eq!(server.metric("gavel_notices_total{kind=\"bill\",outcome=\"duplicate\"}"), 3.0 + 39.0);
}

#[test]
fn post_does_as_get_does() {
    let server = server();
    let bid = server.bid(&request()).unwrap();
    for (which, spent) in [("nurl", 0), ("burl", 1_000_000)] {
        let values = [("AUCTION_PRICE", "1"), ("AUCTION_CURRENCY", "USD")];
        let url = substitute(bid[which].as_str().unwrap(), &values);
        server.call("POST", url.strip_prefix("https://localhost").unwrap(), b"ignored").is_empty(204);
        assert_eq!(server.account("a").spent, spent);
    }
    let bid = server.bid(&request()).unwrap();
    server.call("POST", bid["lurl"].as_str().unwrap().strip_prefix("https://localhost").unwrap(), b"").is_empty(204);
    assert_eq!(server.is_sound("a").reserved, 0);
}

#[test]
fn a_loss_returns_the_money_and_a_bill_after_it_is_late() {
    let server = server();
    let bid = server.bid(&request()).unwrap();
    server.lose(&bid);
    let a = server.is_sound("a");
    assert_eq!((a.reserved, a.spent, a.available), (0, 0, a.budget));
    server.lose(&bid);
    server.bill(&bid, "2.00");
    server.bill(&bid, "2.00");
    let a = server.is_sound("a");
    assert_eq!((a.reserved, a.spent, a.late, a.overspend, a.billed), (0, 2_000_000, 2_000_000, 0, 1));
    assert_eq!(server.books()[0].late, 2_000_000);
}

#[test]
fn a_bill_without_a_win_books_normally() {
    let server = server();
    let bid = server.bid(&request()).unwrap();
    server.bill(&bid, "2.00");
    let a = server.settled("a", 1);
    assert_eq!((a.reserved, a.spent, a.late, a.billed), (0, 2_000_000, 0, 1));
    // The win that comes behind it changes nothing.
    server.win(&bid, "2.00");
    assert_eq!(server.account("a"), a);
}

#[test]
fn a_win_after_a_loss_leaves_the_money_free_and_its_bill_is_late() {
    let server = server();
    let bid = server.bid(&request()).unwrap();
    server.lose(&bid);
    server.win(&bid, "2.00");
    let a = server.is_sound("a");
    assert_eq!((a.reserved, a.spent), (0, 0));
    server.bill(&bid, "2.00");
    let a = server.is_sound("a");
    assert_eq!((a.spent, a.late, a.billed), (2_000_000, 2_000_000, 1));
}

#[test]
fn a_loss_after_a_win_or_a_bill_has_no_effect() {
    let server = server();
    let bid = server.bid(&request()).unwrap();
    server.win(&bid, "2.00");
    let won = server.settled("a", 1);
    server.lose(&bid);
    assert_eq!(server.account("a"), won);
    server.bill(&bid, "2.00");
    let billed = server.is_sound("a");
    server.lose(&bid);
    assert_eq!(server.is_sound("a"), billed);
    assert_eq!(server.metric("gavel_notices_total{kind=\"loss\",outcome=\"loss_after_win\"}"), 2.0);
}

#[test]
fn test_bids_reserve_and_spend_nothing() {
    let server = server();
    let bid = server.bid(&with(request(), json!({"test": 1}))).unwrap();
    server.win(&bid, "2.00");
    server.bill(&bid, "2.00");
    server.lose(&bid);
    let a = server.is_sound("a");
    assert_eq!((a.reserved, a.spent, a.bids, a.wins, a.billed), (0, 0, 0, 0, 0));
    assert_eq!(server.books(), []);
}

#[test]
fn a_campaign_that_bids_for_a_whole_lease_over_and_over_spends_exactly_what_is_billed() {
    let server = Server::start("", &[with(campaign("a"), json!({"budget": {"total": "0.25"}}))]);
    let mut spent = 0;
    for i in 0..60 {
        let bid = server.bid_soon(&request());
        let price = 1_000_000 + i * 7;
        server.win(&bid, "1");
        server.bill(&bid, &format!("{}.{:06}", price / 1_000_000, price % 1_000_000));
        spent += price;
    }
    let a = server.is_sound("a");
    assert_eq!((a.spent, a.reserved, a.billed, a.late), (spent, 0, 60, 0));
}
