//! What a response holds: CONFORMANCE's fields, each with its value.

use serde_json::{Value, json};

use crate::make::{campaign, request, with, with_creative, with_imp};
use crate::server::Server;

/// No null, no float that JSON cannot say, no exponent in a price, no empty list of seats.
#[track_caller]
fn is_clean(text: &str) {
    let seen: Value = serde_json::from_str(text).unwrap();
    fn walk(value: &Value) -> bool {
        match value {
            Value::Null => false,
            Value::Array(list) => !list.is_empty() && list.iter().all(walk),
            Value::Object(map) => map.values().all(walk),
            _ => true,
        }
    }
    assert!(walk(&seen), "{text}");
    let price = text.split("\"price\":").nth(1).unwrap().split([',', '}']).next().unwrap();
    assert!(price.bytes().all(|b| b.is_ascii_digit() || b == b'.'), "{price}");
}

#[test]
fn a_banner_bid_has_every_field() {
    let extra = json!({"attr": [1, 3], "cat": ["IAB1", "IAB22-1"], "adomain": ["acme.example", "www.shop.example"]});
    let server = Server::start("", &[with_creative(campaign("a"), extra)]);
    let asked = with_imp(request(), json!({"exp": 45, "secure": 1}));
    let answer = server.call("POST", "/openrtb2/demo", asked.to_string().as_bytes());
    is_clean(answer.text());
    let response = answer.json();
    assert_eq!(response["id"], "r-1");
    assert_eq!(response["cur"], "USD");
    assert!(!response["bidid"].as_str().unwrap().is_empty());
    assert_eq!(response["seatbid"].as_array().unwrap().len(), 1);
    assert_eq!(response["seatbid"][0]["seat"], "gavel");
    let bid = &response["seatbid"][0]["bid"][0];
    assert!(!bid["id"].as_str().unwrap().is_empty());
    assert_eq!(bid["impid"], "1");
    assert_eq!(bid["price"].as_f64(), Some(2.5));
    assert_eq!(bid["crid"], "a-banner");
    assert_eq!(bid["cid"], "a");
    assert_eq!(bid["adomain"], json!(["acme.example", "shop.example"]));
    assert_eq!(bid["cat"], json!(["IAB1", "IAB22-1"]));
    assert_eq!(bid["attr"], json!([1, 3]));
    assert_eq!((bid["w"].as_u64(), bid["h"].as_u64(), bid["mtype"].as_u64()), (Some(300), Some(250), Some(1)));
    assert_eq!(bid["exp"], 45);
    assert!(bid["adm"].as_str().unwrap().contains("https://acme.example/"));
    assert_eq!(bid.get("dealid"), None);
    for (name, kind) in [("nurl", "win"), ("burl", "bill"), ("lurl", "loss")] {
        let url = bid[name].as_str().unwrap();
        assert!(url.starts_with(&format!("https://localhost/n/{kind}/")), "{url}");
        assert!(url.contains("p=${AUCTION_PRICE}") && url.contains("c=${AUCTION_CURRENCY}"), "{url}");
        assert!(
            kind != "loss" || url.contains("l=${AUCTION_LOSS}") && url.contains("m=${AUCTION_MIN_TO_WIN}"),
            "{url}"
        );
    }
}

#[test]
fn request_ids_come_back_byte_for_byte() {
    let server = Server::start("", &[campaign("a")]);
    for id in [r#""a\"b\\c""#, r#""\u00e9\ud83d\ude00""#, "\"é😀\"", r#""\/x\t""#, "\"<&'>\"", "\" \""] {
        let body = request().to_string().replace("\"r-1\"", id).replace("\"id\":\"1\"", &format!("\"id\":{id}"));
        let answer = server.call("POST", "/openrtb2/demo", body.as_bytes());
        assert_eq!(answer.status, 200, "{id}");
        assert!(answer.text().starts_with(&format!("{{\"id\":{id},")), "{id} became {}", answer.text());
        assert!(answer.text().contains(&format!("\"impid\":{id}")), "{id} became {}", answer.text());
    }
}

#[test]
fn every_bid_has_its_own_id_and_tokens() {
    let server = Server::start("", &[campaign("a")]);
    let mut seen = std::collections::HashSet::new();
    for _ in 0..200 {
        let bid = server.bid(&request()).unwrap();
        for field in ["id", "nurl", "burl", "lurl"] {
            assert!(seen.insert(bid[field].to_string()), "{field} twice: {bid}");
        }
    }
}

#[test]
fn every_impression_gets_its_best_bid_in_one_seat() {
    let wide = with_creative(
        with(campaign("wide"), json!({"bid": {"price": "7"}})),
        json!({"w": 728, "h": 90, "id": "wide-banner"}),
    );
    let server = Server::start("", &[campaign("a"), wide]);
    let imps = json!([
        {"id": "x", "banner": {"w": 300, "h": 250}},
        {"id": "y", "banner": {"w": 1, "h": 1}},
        {"id": "z", "banner": {"format": [{"w": 300, "h": 250}, {"w": 728, "h": 90}]}},
    ]);
    let answer = server.call("POST", "/openrtb2/demo", with(request(), json!({"imp": imps})).to_string().as_bytes());
    is_clean(answer.text());
    let response = answer.json();
    let bids: Vec<_> = response["seatbid"][0]["bid"].as_array().unwrap().iter().collect();
    let seen: Vec<_> = bids
        .iter()
        .map(|b| (b["impid"].as_str().unwrap(), b["crid"].as_str().unwrap(), b["w"].as_u64().unwrap()))
        .collect();
    assert_eq!(seen, [("x", "a-banner", 300), ("z", "wide-banner", 728)]);
    assert_eq!((server.account("a").reserved, server.account("wide").reserved), (2_500_000, 7_000_000));
}

#[test]
fn a_thousand_impressions_are_answered_and_reserved_one_by_one() {
    let server = Server::start("", &[with(campaign("a"), json!({"budget": {"total": "1.00"}}))]);
    let imps: Vec<Value> = (0..1_000).map(|i| json!({"id": i.to_string(), "banner": {"w": 300, "h": 250}})).collect();
    let request = with(request(), json!({"imp": imps, "tmax": 10_000}));
    let mut bids = 0;
    for _ in 0..200 {
        let Some(response) = server.response(&request) else {
            if server.account("a").available < 2_500_000 {
                break;
            }
            std::thread::sleep(std::time::Duration::from_millis(10));
            continue;
        };
        bids += response["seatbid"][0]["bid"].as_array().unwrap().len() as i64;
        let a = server.account("a");
        assert_eq!(a.reserved, bids * 2_500_000);
    }
    assert_eq!(bids, 400);
}

#[test]
fn the_configured_seat_url_and_body_no_bid_are_used() {
    let config =
        "public_url = \"https://bids.example.com/rtb/\"\n[exchanges.x]\nseat = \"s \\\"1\\\"\"\nbody_no_bid = true\n";
    let server = Server::start(config, &[campaign("a")]);
    let response = server.response_of("x", &request()).unwrap();
    assert_eq!(response["seatbid"][0]["seat"], "s \"1\"");
    let burl = response["seatbid"][0]["bid"][0]["burl"].as_str().unwrap();
    assert!(burl.starts_with("https://bids.example.com/rtb/n/bill/"), "{burl}");
    let none = server.call("POST", "/openrtb2/x", with_imp(request(), json!({"bidfloor": 99})).to_string().as_bytes());
    assert_eq!((none.status, none.header("content-type")), (200, Some("application/json")));
    let none = none.json();
    assert_eq!(none["id"], "r-1");
    assert!(none["nbr"].is_u64() && none.get("seatbid").is_none(), "{none}");
    server.call("POST", "/openrtb2/x", b"{").is_empty(400);
    server.call("POST", "/openrtb2/demo", request().to_string().as_bytes()).is_empty(404);
}

#[test]
fn tracking_urls_answer_and_never_cost() {
    let server = Server::start("", &[campaign("a")]);
    let bid = server.bid(&request()).unwrap();
    let token = bid["nurl"].as_str().unwrap().split('/').nth(5).unwrap().split('?').next().unwrap();
    let pixel = server.call("GET", &format!("/t/i/{token}"), b"");
    assert_eq!((pixel.status, pixel.header("content-type")), (200, Some("image/gif")));
    let click = server.call("GET", &format!("/t/c/{token}"), b"");
    assert_eq!((click.status, click.header("location")), (302, Some("https://acme.example/")));
    let open = server.call("GET", &format!("/t/c/{token}?url=https://evil.example/"), b"");
    assert_eq!(open.header("location"), Some("https://acme.example/"));
    server.call("GET", &format!("/t/v/{token}"), b"").is_empty(204);
    server.call("POST", &format!("/t/v/{token}"), b"").is_empty(204);
    server.call("GET", "/t/c/forged", b"").is_empty(404);
    assert_eq!(server.call("GET", "/t/i/forged", b"").status, 200);
    let a = server.is_sound("a");
    assert_eq!((a.reserved, a.spent), (2_500_000, 0));
}

#[test]
fn a_pixel_that_is_called_again_and_again_is_logged_once() {
    let server = Server::start("[limits]\nworkers = 1\n", &[campaign("a")]);
    let bid = server.bid(&request()).unwrap();
    let token = bid["nurl"].as_str().unwrap().split('/').nth(5).unwrap().split('?').next().unwrap();
    server.settled("a", 1);
    let before = server.metric("gavel_log_bytes_total");
    for _ in 0..200 {
        assert_eq!(server.call("GET", &format!("/t/i/{token}"), b"").header("content-type"), Some("image/gif"));
        assert_eq!(server.call("GET", &format!("/t/c/{token}"), b"").status, 302);
        server.call("POST", &format!("/t/v/{token}"), b"").is_empty(204);
    }
    let tracks = |kind: &str| server.metric(&format!("gavel_tracks_total{{kind=\"{kind}\"}}"));
    let counts = ["impression", "click", "conversion", "repeated", "not_logged"].map(tracks);
    assert_eq!(counts, [1.0, 16.0, 16.0, 600.0 - 33.0, 0.0]);
    let written = server.metric("gavel_log_bytes_total") - before;
    assert!(written < 33.0 * 512.0, "{written} bytes");
}

#[test]
fn an_exchange_gets_its_own_macros_and_headers() {
    let config = "[exchanges.demo.macros]\nprice = \"%%WINNING_PRICE%%\"\nloss = \"{loss}\"\n\
                  [exchanges.demo.headers]\nx-bidder = \"gavel 1\"\n[exchanges.other]\n";
    let server = Server::start(config, &[campaign("a")]);
    let answer = server.call("POST", "/openrtb2/demo", request().to_string().as_bytes());
    assert_eq!(answer.header("x-bidder"), Some("gavel 1"));
    let bid = &answer.json()["seatbid"][0]["bid"][0];
    assert!(bid["burl"].as_str().unwrap().ends_with("?p=%%WINNING_PRICE%%&c=${AUCTION_CURRENCY}"), "{bid}");
    assert!(bid["lurl"].as_str().unwrap().contains("?l={loss}&m=${AUCTION_MIN_TO_WIN}&p=%%WINNING_PRICE%%"), "{bid}");
    // What is left unfilled books nothing; what is filled in books.
    server.notice(bid["burl"].as_str().unwrap()).is_empty(204);
    assert_eq!(server.account("a").spent, 0);
    server.notice(&bid["burl"].as_str().unwrap().replace("%%WINNING_PRICE%%", "1.50")).is_empty(204);
    assert_eq!(server.account("a").spent, 1_500_000);
    // No-bids carry the headers too, and other exchanges have nothing of it.
    let no_bid = server.call("POST", "/openrtb2/demo", br#"{"id":"r","imp":[{"id":"1"}],"site":{"id":"s"}}"#);
    assert_eq!((no_bid.status, no_bid.header("x-bidder")), (204, Some("gavel 1")));
    let other = server.call("POST", "/openrtb2/other", request().to_string().as_bytes());
    assert_eq!(other.header("x-bidder"), None);
    assert!(other.json()["seatbid"][0]["bid"][0]["burl"].as_str().unwrap().contains("p=${AUCTION_PRICE}"));
}
