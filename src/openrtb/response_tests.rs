//! Responses: always JSON, and what was put in comes out.

use proptest::prelude::*;
use serde_json::{Value, json};

use super::codes::{MarkupType, NoBidReason, Protocol};
use super::fragment::{CreativeParts, Fragment, TOKEN_MACRO};
use super::notice::{Macros, NoticeUrls};
use super::request::parse;
use super::response::{BidParts, SeatBid, write_cpm, write_no_bid, write_response};
use crate::ids::Currency;
use crate::money::{Nanos, Quantity};

fn creative(adm: &str) -> CreativeParts<'_> {
    CreativeParts {
        adm: Some(adm),
        adomain: &[],
        bundle: None,
        cat: &[],
        cattax: None,
        attr: &[],
        crid: "cr-1",
        cid: "c-42",
        size: Some((300, 250)),
        mtype: MarkupType::Banner,
        dur: None,
        apis: &[],
        language: None,
    }
}

#[test]
fn a_bid_holds_what_the_exchange_needs() {
    let body = br#"{"id":"r\u00e9\/q","imp":[{"id":7,"pmp":{"deals":[{"id":"d\"1"}]}}]}"#;
    let request = parse(body).unwrap();
    let imp = &request.imp[0];
    let urls = NoticeUrls::new("https://rtb.example", &Macros::default());
    let (adomain, cat) = ([Box::from("acme.com")], [Box::from("IAB1")]);
    let adm = format!(
        "<a href=\"https://t.example/t/c/{TOKEN_MACRO}\">\n</a><img src='https://t.example/t/i/{TOKEN_MACRO}'>"
    );
    let fragment = Fragment::render(&CreativeParts {
        adomain: &adomain,
        cat: &cat,
        cattax: Some(7),
        attr: &[1, 6],
        size: None,
        dur: Some(15),
        apis: &[7],
        language: Some("en"),
        ..creative(&adm)
    });
    let bid = BidParts {
        id: "b-1",
        impid: &imp.id,
        price: Nanos(2_500_001),
        token: b"t0k_en-",
        quantity: Quantity(2_000_000),
        urls: &urls,
        fragment: &fragment.bytes,
        token_slots: &fragment.token_slots,
        markup_token: b"M",
        dealid: Some(&imp.pmp.as_ref().unwrap().deals[0].id),
        exp: Some(120),
        size: Some((300, 250)),
        protocol: Some(Protocol::Vast42.code().into()),
    };
    let mut out = b"before".to_vec();
    let seats = [SeatBid { seat: "empty", bids: &[] }, SeatBid { seat: "gavel", bids: &[bid, bid] }];
    assert!(write_response(&mut out, &request.id, &seats, "decision-1", Currency::USD));
    let text = std::str::from_utf8(&out).unwrap().strip_prefix("before").unwrap();
    assert!(text.starts_with(
        r#"{"id":"r\u00e9\/q","seatbid":[{"seat":"gavel","bid":[{"id":"b-1","impid":"7","price":2.500001,"#
    ));
    let response: Value = serde_json::from_str(text).unwrap();
    let want = json!({
        "id": "b-1", "impid": "7", "price": 2.500001, "dealid": "d\"1", "exp": 120, "w": 300, "h": 250,
        "nurl": "https://rtb.example/n/win/t0k_en-?p=${AUCTION_PRICE}&c=${AUCTION_CURRENCY}",
        "burl": "https://rtb.example/n/bill/t0k_en-?p=${AUCTION_PRICE}&c=${AUCTION_CURRENCY}&x=${AUCTION_MULTIPLIER}",
        "lurl": "https://rtb.example/n/loss/t0k_en-?l=${AUCTION_LOSS}&m=${AUCTION_MIN_TO_WIN}&p=${AUCTION_PRICE}&c=${AUCTION_CURRENCY}",
        "adm": adm.replace(TOKEN_MACRO, "t0k_en-"),
        "adomain": ["acme.com"], "cat": ["IAB1"], "cattax": 7, "attr": [1, 6], "crid": "cr-1", "cid": "c-42",
        "mtype": 1, "dur": 15, "apis": [7], "protocol": 13, "language": "en",
    });
    assert_eq!(
        response,
        json!({"id": "ré/q", "bidid": "decision-1", "cur": "USD", "seatbid": [{"seat": "gavel", "bid": [want, want]}]})
    );
}

#[test]
fn no_bids_are_no_response() {
    let request = parse(br#"{"id":"r","imp":[{"id":"1"}]}"#).unwrap();
    let mut out = b"before".to_vec();
    assert!(!write_response(&mut out, &request.id, &[], "d", Currency::USD));
    assert!(!write_response(&mut out, &request.id, &[SeatBid { seat: "s", bids: &[] }], "d", Currency::USD));
    assert_eq!(out, b"before");
    out.clear();
    write_no_bid(&mut out, &request.id, NoBidReason::UnmatchedUser.code());
    assert_eq!(out, br#"{"id":"r","nbr":8}"#);
}

proptest! {
    #[test]
    fn any_response_reads_back(
        id in "\\PC{1,20}", imp in "\\PC{1,20}", seats in prop::collection::vec(("\\PC{0,9}", 0usize..4), 0..4),
        price in 0i64..1_000_000_000_000_000, adm in "(\\PC|\\$\\{GAVEL_TOKEN\\}|[\\x00-\\x7f]){0,60}", crid in "\\PC{1,20}",
        exp in any::<Option<u32>>(), size in any::<Option<(u32, u32)>>(), url in "https://[a-z\"\\\\]{1,9}/{0,2}",
    ) {
        let body = json!({"id": id, "imp": [{"id": imp}]}).to_string();
        let request = parse(body.as_bytes()).unwrap();
        let urls = NoticeUrls::new(&url, &Macros::default());
        let fragment = Fragment::render(&CreativeParts { crid: &crid, size: None, ..creative(&adm) });
        let bid = BidParts {
            id: "b", impid: &request.imp[0].id, price: Nanos(price), token: b"T", quantity: Quantity::ONE, urls: &urls,
            fragment: &fragment.bytes, token_slots: &fragment.token_slots, markup_token: b"M", dealid: None, exp, size, protocol: None,
        };
        let bids: Vec<Vec<BidParts>> = seats.iter().map(|(_, count)| vec![bid; *count]).collect();
        let seats: Vec<SeatBid> = seats.iter().zip(&bids).map(|((seat, _), bids)| SeatBid { seat, bids }).collect();
        let mut out = Vec::new();
        let has_bids = seats.iter().any(|seat| !seat.bids.is_empty());
        prop_assert_eq!(write_response(&mut out, &request.id, &seats, "d", Currency::USD), has_bids);
        if !has_bids {
            prop_assert!(out.is_empty());
            return Ok(());
        }
        let response: Value = serde_json::from_slice(&out).unwrap();
        prop_assert_eq!(&response["id"], &json!(id));
        let written = response["seatbid"].as_array().unwrap();
        let with_bids: Vec<_> = seats.iter().filter(|seat| !seat.bids.is_empty()).collect();
        prop_assert_eq!(written.len(), with_bids.len());
        for (seat, want) in written.iter().zip(with_bids) {
            prop_assert_eq!(&seat["seat"], &json!(want.seat));
            prop_assert_eq!(seat["bid"].as_array().unwrap().len(), want.bids.len());
            let bid = &seat["bid"][0];
            prop_assert_eq!(&bid["impid"], &json!(imp));
            prop_assert_eq!(&bid["adm"], &json!(adm.replace(TOKEN_MACRO, "T")));
            prop_assert_eq!(&bid["crid"], &json!(crid));
            prop_assert_eq!(bid["exp"].as_u64(), exp.map(u64::from));
            prop_assert_eq!(bid["w"].as_u64(), size.map(|(w, _)| w.into()));
            let base = format!("{}/n/win/T?", url.trim_end_matches('/'));
            prop_assert!(bid["nurl"].as_str().unwrap().starts_with(&base));
        }
    }

    #[test]
    fn prices_are_plain_decimals(price in prop_oneof![any::<i64>(), 0i64..20_000_000]) {
        let mut out = Vec::new();
        write_cpm(Nanos(price), &mut out);
        prop_assert_eq!(String::from_utf8(out).unwrap(), Nanos(price).as_cpm().to_string());
    }
}
