//! Notices that are odd, forged or expired: one outcome each, and never money that was not owed.

use std::path::Path;
use std::sync::Arc;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use gavel::event::{Event, NoticeKind, Offset};
use gavel::eventlog::{DirStorage, ReadOnlyLog};
use gavel::openrtb::notice::Macro;
use serde_json::{Value, json};

use crate::make::{campaign, request, substitute, with, with_creative};
use crate::server::Server;

const BID: i64 = 2_500_000;

fn server() -> Server {
    Server::start("", &[campaign("a")])
}

/// The token of a bid.
fn token(bid: &Value) -> String {
    let url = bid["burl"].as_str().unwrap();
    url.strip_prefix("https://localhost/n/bill/").unwrap().split('?').next().unwrap().to_owned()
}

#[test]
fn a_bill_above_the_bid_is_booked_at_the_bid() {
    let server = server();
    for price in ["2.500001", "2.51", "1000000", "1e9", "99999999999999999999"] {
        let before = server.account("a").spent;
        let bid = server.bid(&request()).unwrap();
        server.bill(&bid, price);
        assert_eq!(server.account("a").spent - before, BID, "{price}");
    }
    assert_eq!(server.is_sound("a").reserved, 0);
    assert_eq!(server.metric("gavel_odd_notices_total{kind=\"bill\",fault=\"above_bid\"}"), 5.0);
}

#[test]
fn zero_books_zero_and_ends_the_reservation() {
    let server = server();
    for price in ["0", "0.00", "0e5"] {
        let bid = server.bid(&request()).unwrap();
        server.bill(&bid, price);
        server.bill(&bid, "2.50");
    }
    let a = server.is_sound("a");
    assert_eq!((a.reserved, a.spent, a.billed), (0, 0, 3));
}

#[test]
fn a_price_that_says_nothing_books_nothing_and_leaves_the_reservation() {
    let server = server();
    let bid = server.bid(&request()).unwrap();
    let before = server.settled("a", 1);
    let odd = [
        "",
        "AUDIT",
        "audit",
        "${AUCTION_PRICE}",
        "%24%7BAUCTION_PRICE%7D",
        "${AUCTION_PRICE:B64}",
        "-1",
        "-0.01",
        "-0",
        "abc",
        "NaN",
        "inf",
        "1.2.3",
        "1,50",
        "0x10",
        "%00",
        "%FF",
        "%",
        "1%20",
        "+2",
        "2.",
        ".5",
        "1e",
        "null",
        "\u{1}x",
    ];
    for price in odd.iter().filter(|p| !p.contains('\u{1}')) {
        for which in ["nurl", "burl"] {
            server.tell(&bid, which, price);
            assert_eq!((price, server.account("a")), (price, before.clone()));
        }
    }
    for query in ["", "?", "?p", "?p=", "?q=1", "?c=USD", "?p=;p=1", "?p=&p=2.00"] {
        server.call("GET", &format!("/n/bill/{}{query}", token(&bid)), b"").is_empty(204);
        assert_eq!((query, server.account("a")), (query, before.clone()));
    }
    // It can still be billed, at what is said then; of two prices the first counts.
    server.call("GET", &format!("/n/bill/{}?p=2.00&p=1.00&x=9", token(&bid)), b"").is_empty(204);
    let a = server.is_sound("a");
    assert_eq!((a.reserved, a.spent, a.late, a.billed), (0, 2_000_000, 0, 1));
    assert_eq!(server.metric("gavel_odd_notices_total{kind=\"bill\",fault=\"audit\"}"), 2.0);
}

#[test]
fn a_currency_left_open_is_the_bids() {
    let server = server();
    for currency in ["", "USD", "usd", "${AUCTION_CURRENCY}", "AUDIT"] {
        let before = server.account("a").spent;
        let bid = server.bid(&request()).unwrap();
        server.call("GET", &format!("/n/bill/{}?p=2.00&c={currency}", token(&bid)), b"").is_empty(204);
        assert_eq!(server.account("a").spent - before, 2_000_000, "{currency}");
    }
    // One without a rate in the token: booked at the bid, and counted.
    let bid = server.bid(&request()).unwrap();
    server.call("GET", &format!("/n/bill/{}?p=0.01&c=JPY", token(&bid)), b"").is_empty(204);
    let a = server.is_sound("a");
    assert_eq!((a.reserved, a.spent), (0, 5 * 2_000_000 + BID));
    assert_eq!(server.metric("gavel_odd_notices_total{kind=\"bill\",fault=\"no_rate\"}"), 1.0);
}

#[test]
fn a_forged_altered_or_foreign_token_changes_nothing() {
    let server = server();
    let foreign = Server::start("", &[campaign("a")]);
    let bid = server.bid(&request()).unwrap();
    let before = server.settled("a", 1);
    let good = token(&bid);
    let strange = token(&foreign.bid(&request()).unwrap());
    let mut forged =
        vec![strange, good[1..].to_owned(), good[..good.len() - 1].to_owned(), format!("{good}A"), "x".into()];
    // An exchange that sends nothing in its place.
    forged.push(String::new());
    forged.extend((0..good.len()).map(|i| {
        let mut bytes = good.clone().into_bytes();
        bytes[i] = if bytes[i] == b'A' { b'B' } else { b'A' };
        String::from_utf8(bytes).unwrap()
    }));
    forged.extend(["%00".into(), "..%2f..".into(), "a".repeat(8_000), format!("{good}/"), good.to_lowercase()]);
    for token in &forged {
        for kind in ["win", "bill", "loss"] {
            server.call("GET", &format!("/n/{kind}/{token}?p=2.00"), b"").is_empty(204);
        }
    }
    assert_eq!(server.is_sound("a"), before);
    let counted: f64 = ["forged", "malformed", "bad_token", "unknown_key", "expired"]
        .iter()
        .map(|fault| server.metric(&format!("gavel_odd_notices_total{{kind=\"bill\",fault=\"{fault}\"}}")))
        .sum();
    assert_eq!(counted, forged.len() as f64);
    server.bill(&bid, "2.00");
    assert_eq!(server.is_sound("a").spent, 2_000_000);
}

#[test]
fn a_loss_says_why_and_is_counted_and_kept() {
    let mut server = server();
    let odd = ["x", "", "-5", "99999999999", "AUDIT", "${AUCTION_LOSS}"];
    let known = [("0", "0"), ("1", "1"), ("102", "102"), ("999", "999"), ("1000", "1000+"), ("65535", "1000+")];
    for (reason, label) in known.into_iter().chain(odd.map(|reason| (reason, "none"))) {
        let bid = server.bid(&request()).unwrap();
        let name = format!("gavel_losses_total{{reason=\"{label}\"}}");
        let before = server.metric(&name);
        let values = [("AUCTION_LOSS", reason), ("AUCTION_MIN_TO_WIN", "3.10"), ("AUCTION_PRICE", "2.9")];
        server.notice(&substitute(bid["lurl"].as_str().unwrap(), &values)).is_empty(204);
        assert_eq!(server.metric(&name), before + 1.0, "{reason}");
    }
    for min_to_win in ["", "AUDIT", "${AUCTION_MIN_TO_WIN}", "-1", "dear"] {
        let bid = server.bid(&request()).unwrap();
        let values = [("AUCTION_LOSS", "102"), ("AUCTION_MIN_TO_WIN", min_to_win)];
        server.notice(&substitute(bid["lurl"].as_str().unwrap(), &values)).is_empty(204);
    }
    let a = server.is_sound("a");
    assert_eq!((a.reserved, a.spent, a.wins), (0, 0, 0));
    server.stop();
    // The log has each with the least price that would have won, per impression; -1 where none was said.
    let kept = losses(&server.dir.path().join("data/log"));
    let reasons = [0, 1, 102, 999, 1_000, 65_535, 0, 0, 0, 0, 0, 0].map(|reason| (reason, 3_100_000));
    assert_eq!(kept, [&reasons[..], &[(102, -1); 5]].concat());
}

/// Reason and least winning price of every loss in a log.
fn losses(dir: &Path) -> Vec<(u16, i64)> {
    let log = ReadOnlyLog::open(Arc::new(DirStorage::new(dir).unwrap()), &mut |_, _| {}).unwrap();
    let mut events = log.read(Offset(0)).unwrap();
    let next = || events.next_event().unwrap();
    std::iter::from_fn(next)
        .filter_map(|stamped| match stamped.event {
            Event::Notice(notice) if notice.kind == NoticeKind::Loss => Some((notice.loss_reason, notice.min_to_win.0)),
            _ => None,
        })
        .collect()
}

#[test]
fn no_macro_left_in_a_notice_spends() {
    let server = server();
    let bid = server.bid(&request()).unwrap();
    let before = server.settled("a", 1);
    for found in Macro::ALL {
        let name = found.name();
        for value in [format!("${{{name}}}"), format!("${{{name}:B64}}"), format!("%24%7B{name}%7D")] {
            for kind in ["win", "bill"] {
                let path = format!("/n/{kind}/{}?p={value}&c={value}&x={value}&l={value}&m={value}", token(&bid));
                server.call("GET", &path, b"").is_empty(204);
            }
        }
    }
    assert_eq!(server.account("a"), before);
    // Beside a price that is one they say nothing, wherever they stand.
    let others =
        "c=${AUCTION_CURRENCY}&x=${AUCTION_MULTIPLIER}&l=${AUCTION_LOSS}&m=${AUCTION_MIN_TO_WIN}&y=${AUCTION_ID}";
    server.call("GET", &format!("/n/bill/{}?p=2.00&{others}", token(&bid)), b"").is_empty(204);
    assert_eq!(server.is_sound("a").spent, 2_000_000);
}

#[test]
fn where_the_win_is_paid_the_bill_books_nothing() {
    let server = Server::start("[exchanges.w]\nspend_on = \"win\"\n", &[campaign("a")]);
    let bid = server.bid_of("w", &request()).unwrap();
    // A bill first: nothing, and the money stays set aside.
    server.bill(&bid, "1.00");
    let a = server.is_sound("a");
    assert_eq!((a.reserved, a.spent, a.billed), (BID, 0, 0));
    server.win(&bid, "2.00");
    server.win(&bid, "1.00");
    server.bill(&bid, "2.00");
    server.lose(&bid);
    let a = server.is_sound("a");
    assert_eq!((a.reserved, a.spent, a.wins, a.billed), (0, 2_000_000, 1, 1));
    let bid = server.bid_of("w", &request()).unwrap();
    server.lose(&bid);
    server.win(&bid, "2.00");
    let a = server.is_sound("a");
    assert_eq!((a.spent, a.late), (4_000_000, 2_000_000));
}

#[test]
fn googles_encrypted_prices_are_read_and_forged_ones_spend_nothing() {
    let config = "[exchanges.g]\nprice = \"google\"\n\
        google_encryption_key = \"sIxwz7yw62yrfoLGt12lIHKuYrK_S5kLuApI2BQe7Ac=\"\n\
        google_integrity_key = \"v3fsVcMBMMHYzRhi7SpM0sdqwzvAxM6KPTu9OtVod5I\"\n";
    let server = Server::start(config, &[campaign("a")]);
    let bid = server.bid_of("g", &request()).unwrap();
    let reserved = server.settled("a", 1);
    // The published price with any one bit flipped, cut, a plain number.
    let published = URL_SAFE_NO_PAD.decode("OG46wAAMCggBI0VniavN7-mNy0VTKPbB3o5CMQ").unwrap();
    assert_eq!(published.len(), 28);
    for bit in 0..28 * 8 {
        let mut flipped = published.clone();
        flipped[bit / 8] ^= 1 << (bit % 8);
        server.bill(&bid, &URL_SAFE_NO_PAD.encode(flipped));
    }
    assert_eq!(server.metric("gavel_odd_notices_total{kind=\"bill\",fault=\"forged_price\"}"), 224.0);
    for price in ["OG46wAAMCggBI0VniavN7-mNy0VTKPbB3o5CM", "2.00", "", "AUDIT", "${AUCTION_PRICE}"] {
        server.bill(&bid, price);
    }
    assert_eq!(server.account("a"), reserved);
    // 1,200,000 micros are a CPM of 1.20.
    server.bill(&bid, "OG46wAAMCggBI0VniavN7-mNy0VTKPbB3o5CMQ==");
    assert_eq!(server.is_sound("a").spent, 1_200_000);
    let bid = server.bid_of("g", &request()).unwrap();
    server.bill(&bid, "OG46wAAMCggBI0VniavN7-mNy0VTKPbB3o5CMQ");
    assert_eq!(server.is_sound("a").spent, 2_400_000);
}

#[test]
fn a_notice_names_a_campaign_that_is_gone_and_is_still_booked() {
    let server = server();
    let bid = server.bid(&request()).unwrap();
    server.delete("a");
    assert!(server.bid(&request()).is_none());
    server.bill(&bid, "2.00");
    let a = server.is_sound("a");
    assert_eq!((a.reserved, a.spent, a.late), (0, 2_000_000, 0));
    server.put(&with(campaign("a"), json!({"budget": {"total": "2000.00"}})));
    assert_eq!(server.is_sound("a").available, 2_000_000_000_000 - 2_000_000);
}

#[test]
fn whoever_sees_the_ad_can_track_it_and_book_nothing() {
    let adm = "<img src=\"https://localhost/t/i/${GAVEL_TOKEN}\">";
    let server = Server::start("", &[with_creative(campaign("a"), json!({"adm": adm}))]);
    let bid = server.bid(&request()).unwrap();
    let seen = bid["adm"].as_str().unwrap().split("/t/i/").nth(1).unwrap().split('"').next().unwrap();
    for path in ["/n/bill/", "/n/loss/", "/n/win/"] {
        server.notice(&format!("https://localhost{path}{seen}?p=0&c=USD&l=102")).is_empty(204);
    }
    assert_eq!((server.account("a").spent, server.account("a").reserved), (0, 2_500_000));
    assert_eq!(server.metric("gavel_odd_notices_total{kind=\"bill\",fault=\"forged\"}"), 1.0);
    assert_eq!(server.call("GET", &format!("/t/i/{seen}"), b"").status, 200);
    assert_eq!(server.metric("gavel_tracks_total{kind=\"impression\"}"), 1.0);
    server.bill(&bid, "2.00");
    assert_eq!(server.account("a").spent, 2_000_000);
}
