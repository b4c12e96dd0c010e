//! HTTP on the bid path: what is refused, how, and that the connection and the process live on.

use std::time::Duration;

use serde_json::json;

use crate::http::{self, Client};
use crate::make::{campaign, filled, patient, request, with, with_imp};
use crate::server::Server;

fn server() -> Server {
    Server::start("", &[campaign("a")])
}

/// Still takes bids, on this very connection.
#[track_caller]
fn lives(client: &mut Client) {
    assert_eq!(client.post("/openrtb2/demo", request().to_string().as_bytes()).status, 200);
}

#[test]
fn a_bid_and_a_no_bid_leave_the_connection_open() {
    let server = server();
    let mut client = server.connect();
    let no_bid = with_imp(request(), json!({"bidfloor": 99}));
    for _ in 0..3 {
        let bid = client.post("/openrtb2/demo", request().to_string().as_bytes());
        assert_eq!((bid.status, bid.header("content-type")), (200, Some("application/json")));
        assert_eq!(bid.header("content-length"), Some(bid.body.len().to_string().as_str()));
        let none = client.post("/openrtb2/demo", no_bid.to_string().as_bytes());
        none.is_empty(204);
        for answer in [bid, none] {
            assert_eq!(answer.header("x-openrtb-version"), Some("2.6"));
            assert_eq!(answer.header("connection"), None);
            assert_eq!(answer.header("content-encoding"), None);
        }
    }
}

#[test]
fn other_methods_and_paths_are_told_so() {
    let server = server();
    let mut client = server.connect();
    for method in ["GET", "PUT", "DELETE", "OPTIONS", "HEAD"] {
        let answer = client.request(method, "/openrtb2/demo", &[], b"");
        assert_eq!((answer.status, answer.header("allow")), (405, Some("POST")), "{method}");
        assert_eq!(answer.header("x-openrtb-version"), Some("2.6"));
        assert_eq!(answer.text(), "");
    }
    let answer = client.request("DELETE", "/n/win/x", &[], b"");
    assert_eq!((answer.status, answer.header("allow")), (405, Some("GET, POST")));
    assert_eq!(client.request("HEAD", "/n/bill/x", &[], b"").status, 405);
    assert_eq!(client.request("POST", "/ready", &[], b"").header("allow"), Some("GET"));
    let body = request().to_string();
    for path in
        ["/openrtb2/other", "/openrtb2/", "/openrtb2", "/openrtb2/demo/", "/openrtb2/demo%20", "/", "/n/win", "/x"]
    {
        client.post(path, body.as_bytes()).is_empty(404);
    }
    assert_eq!(client.post("/openrtb2/demo?a=b", body.as_bytes()).status, 200);
    lives(&mut client);
}

#[test]
fn pipelined_requests_are_answered_in_order() {
    let server = server();
    let mut client = server.connect();
    let mut bytes = Vec::new();
    for i in 0..50 {
        let floor = if i % 3 == 0 { 99 } else { 0 };
        let request = with_imp(with(patient(), json!({"id": format!("r-{i}")})), json!({"bidfloor": floor}));
        bytes.extend(http::request("POST", "/openrtb2/demo", &[], request.to_string().as_bytes()));
    }
    client.send(&bytes);
    for i in 0..50 {
        let answer = client.answer();
        match i % 3 {
            0 => answer.is_empty(204),
            _ => assert_eq!(answer.json()["id"], format!("r-{i}")),
        }
    }
}

#[test]
fn malformed_bodies_are_400_and_change_nothing() {
    let server = server();
    let mut client = server.connect();
    let good = request().to_string();
    let broken: Vec<Vec<u8>> = vec![
        b"".to_vec(),
        b"{".to_vec(),
        b"null".to_vec(),
        b"[]".to_vec(),
        b"7".to_vec(),
        b"\"x\"".to_vec(),
        b"{}".to_vec(),
        b"\0\0\0".to_vec(),
        b"\xff\xfe{}".to_vec(),
        good.as_bytes()[..good.len() - 1].to_vec(),
        format!("{good}{good}").into_bytes(),
        format!("{good}x").into_bytes(),
        good.replace("r-1", "r\u{0}").into_bytes(),
        [b"{\"id\":\"\xc3\x28\",", &good.as_bytes()[1..]].concat(),
        format!("{}{}", "[".repeat(100_000), "]".repeat(100_000)).into_bytes(),
        format!("{{\"a\":{}", "{\"a\":".repeat(100_000)).into_bytes(),
    ];
    for body in &broken {
        client.post("/openrtb2/demo", body).is_empty(400);
    }
    lives(&mut client);
    let rules = [
        json!({"id": null}),
        json!({"id": ""}),
        json!({"imp": null}),
        json!({"imp": []}),
        json!({"imp": {}}),
        json!({"imp": [{"banner": {"w": 300, "h": 250}}]}),
        json!({"imp": [{"id": "1"}, {"id": "1"}]}),
        json!({"app": {"bundle": "com.example"}}),
        json!({"dooh": {"id": "d"}}),
        json!({"site": "example.com"}),
        json!({"regs": {"gdpr": 2}}),
    ];
    for patch in rules {
        let body = with(request(), patch.clone()).to_string();
        let answer = client.post("/openrtb2/demo", body.as_bytes());
        assert_eq!((answer.status, answer.text()), (400, ""), "{patch}");
        assert_eq!(answer.header("x-openrtb-version"), Some("2.6"));
    }
    lives(&mut client);
    let a = server.account("a");
    assert_eq!((a.reserved, a.spent), (2 * 2_500_000, 0));
}

#[test]
fn integers_as_floats_and_ids_as_numbers_never_hurt() {
    let server = server();
    let mut client = server.connect();
    for patch in [
        json!({"imp": [{"id": 1, "banner": {"w": 300.0, "h": 250.0}}]}),
        json!({"id": 12}),
        json!({"tmax": "100"}),
        json!({"tmax": 1e300}),
        json!({"at": 1.0, "test": 0.0}),
        json!({"ext": {"a": [[[[{"b": null}]]]]}, "unknown": [1, "x", {}]}),
        json!({"imp": [{"id": "1", "banner": {"w": -300, "h": 250}}]}),
        json!({"imp": [{"id": "1", "banner": {"w": 1e99, "h": 250}, "bidfloor": -1}]}),
    ] {
        let answer = client.post("/openrtb2/demo", with(request(), patch.clone()).to_string().as_bytes());
        assert!(matches!(answer.status, 200 | 204 | 400), "{patch}: {answer:?}");
    }
    lives(&mut client);
}

#[test]
fn bounds_of_body_and_head_hold() {
    let server = server();
    let mut client = server.connect();
    let most = filled(1 << 20);
    assert_eq!(most.len(), 1 << 20);
    assert_eq!(client.post("/openrtb2/demo", most.as_bytes()).status, 200);
    // Told by its length, before it is sent.
    let mut client = server.connect();
    client.send(b"POST /openrtb2/demo HTTP/1.1\r\nHost: x\r\nContent-Length: 1048577\r\n\r\n");
    client.answer().is_empty(413);
    // Told while it comes.
    let mut client = server.connect();
    client.send(b"POST /openrtb2/demo HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n");
    let chunk = format!("10000\r\n{}\r\n", "x".repeat(0x10000));
    for _ in 0..17 {
        if client.try_send(chunk.as_bytes()).is_err() {
            break;
        }
    }
    client.answer().is_empty(413);

    lives(&mut server.connect());
    assert_eq!(server.account("a").reserved, 2 * 2_500_000);
}

#[test]
fn sixteen_kibibytes_of_headers_are_taken_and_more_is_431() {
    let server = server();
    let body = request().to_string();
    let post = |bytes: usize| {
        let mut client = server.connect();
        let filler = "x".repeat(bytes);
        // The rest of what is sent may meet a closed connection.
        let _sent = client.try_send(&http::request("POST", "/openrtb2/demo", &[("X-A", &filler)], body.as_bytes()));
        client.answer()
    };
    assert_eq!(post((16 << 10) - 100).status, 200);
    for bytes in [16 << 10, 20_000, 33_000, 300_000] {
        post(bytes).is_empty(431);
    }
    let mut client = server.connect();
    let many = |count| vec![("X-A", "x"); count];
    assert_eq!(client.request("POST", "/openrtb2/demo", &many(250), body.as_bytes()).status, 200);
    client.request("POST", "/openrtb2/demo", &many(260), body.as_bytes()).is_empty(431);
    lives(&mut server.connect());
    assert_eq!(server.account("a").reserved, 3 * 2_500_000);
}

#[test]
fn media_types_and_encodings() {
    let server = server();
    let mut client = server.connect();
    let body = request().to_string();
    for kind in ["application/json", "application/json; charset=utf-8", "text/plain", "application/octet-stream"] {
        let answer = client.request("POST", "/openrtb2/demo", &[("Content-Type", kind)], body.as_bytes());
        assert_eq!(answer.status, 200, "{kind}");
    }
    // What can be read is answered whatever it says; what cannot is told apart.
    for version in ["2.5", "2.6", "3.0", "x"] {
        let answer = client.request("POST", "/openrtb2/demo", &[("x-openrtb-version", version)], body.as_bytes());
        assert_eq!((answer.status, answer.header("x-openrtb-version")), (200, Some("2.6")));
        client.request("POST", "/openrtb2/demo", &[("x-openrtb-version", version)], b"{\"openrtb\":{}}").is_empty(400);
    }
    assert_eq!(server.metric("gavel_bad_requests_total{rule=\"version\"}"), 1.0);
    assert_eq!(server.metric("gavel_bad_requests_total{rule=\"no_id\"}"), 3.0);
    assert_eq!(
        client.request("POST", "/openrtb2/demo", &[("Content-Encoding", "identity")], body.as_bytes()).status,
        200
    );
    let answer = client.request("POST", "/openrtb2/demo", &[("Content-Encoding", "compress")], body.as_bytes());
    answer.is_empty(415);
    // What cannot be decoded is not an answer of 200, and the connection is either closed cleanly or goes on.
    lives(&mut server.connect());
}

#[test]
fn chunked_and_slowly_sent_bodies_are_read_whole() {
    let server = server();
    let mut client = server.connect();
    let body = request().to_string();
    let mut chunked = b"POST /openrtb2/demo HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n".to_vec();
    for piece in body.as_bytes().chunks(7) {
        chunked.extend(format!("{:x}\r\n", piece.len()).bytes());
        chunked.extend_from_slice(piece);
        chunked.extend(b"\r\n");
    }
    chunked.extend(b"0\r\n\r\n");
    client.send(&chunked);
    assert_eq!(client.answer().status, 200);
    for piece in http::request("POST", "/openrtb2/demo", &[], body.as_bytes()).chunks(40) {
        client.send(piece);
        std::thread::sleep(std::time::Duration::from_millis(1));
    }
    assert_eq!(client.answer().status, 200);
    // A body that breaks off is nothing.
    let mut client = server.connect();
    client.send(b"POST /openrtb2/demo HTTP/1.1\r\nHost: x\r\nContent-Length: 999\r\n\r\n{\"id\"");
    client.finish_sending();
    assert!(client.try_answer(true).is_ok_and(|a| a.status == 400) || client.try_answer(true).is_err());
    lives(&mut server.connect());
    assert_eq!(server.account("a").reserved, 3 * 2_500_000);
}

#[test]
fn expect_100_continue_is_answered() {
    let server = server();
    let mut client = server.connect();
    let body = request().to_string();
    let head = format!(
        "POST /openrtb2/demo HTTP/1.1\r\nHost: x\r\nExpect: 100-continue\r\nContent-Length: {}\r\n\r\n",
        body.len()
    );
    client.send(head.as_bytes());
    assert_eq!(client.answer().status, 100);
    client.send(body.as_bytes());
    assert_eq!(client.answer().status, 200);
    lives(&mut client);
}

#[test]
fn garbage_on_the_wire_is_400_or_a_close() {
    let server = server();
    for garbage in
        [&b"\r\n\r\n\r\n"[..], b"GET\r\n\r\n", b"\x16\x03\x01\x02\x00\x01\x00", b"POST /openrtb2/demo HTTP/9.9\r\n\r\n"]
    {
        let mut client = server.connect();
        client.send(garbage);
        client.finish_sending();
        if let Ok(answer) = client.try_answer(true) {
            assert_eq!(answer.status, 400, "{garbage:?}");
        }
    }
    lives(&mut server.connect());
}

#[test]
fn where_nobody_says_what_is_shown_where_there_is_no_bid() {
    let server = server();
    for patch in
        [json!({"site": null}), json!({"site": {"domain": ""}}), json!({"site": null, "app": {"cat": ["IAB1"]}})]
    {
        assert!(server.bid(&with(request(), patch.clone())).is_none(), "{patch}");
    }
    assert_eq!(server.metric("gavel_no_bids_total{reason=\"invalid_request\"}"), 3.0);
    for patch in [json!({"site": {"domain": null, "id": "s"}}), json!({"site": null, "dooh": {"venuetype": ["1"]}})] {
        assert!(server.bid(&with(request(), patch.clone())).is_some(), "{patch}");
    }
}

#[test]
fn deadlines_that_leave_no_time_are_no_bids() {
    let server = server();
    for (tmax, bids) in [(json!(10), false), (json!(1), false), (json!(11), true), (json!(0), true), (json!(-5), true)]
    {
        let asked = with(request(), json!({"tmax": tmax}));
        match bids {
            // A busy machine may be too late.
            true => drop(server.bid_soon(&asked)),
            false => assert!(server.bid(&asked).is_none(), "{tmax}"),
        }
    }
    assert!(server.bid(&with(request(), json!({"tmax": i64::MAX}))).is_some());
    assert!(server.metric("gavel_no_bids_total{reason=\"insufficient_time\"}") >= 2.0);
}

#[test]
fn a_body_that_comes_after_its_time_gets_no_bid() {
    let server = Server::start("", &[campaign("a")]);
    let answer = |tmax: i64| {
        let body = with(request(), json!({"tmax": tmax})).to_string();
        let mut client = server.connect();
        let head = format!("POST /openrtb2/demo HTTP/1.1\r\nhost: a\r\ncontent-length: {}\r\n\r\n", body.len());
        client.send(head.as_bytes());
        std::thread::sleep(Duration::from_millis(150));
        client.send(body.as_bytes());
        client.answer().status
    };
    assert_eq!((answer(100), answer(5_000)), (204, 200));
    assert_eq!(server.metric("gavel_no_bids_total{reason=\"insufficient_time\"}"), 1.0);
    server.settled("a", 1);
}

#[test]
fn a_connection_outlives_a_body_that_nobody_reads() {
    let server = Server::start("", &[]);
    let mut client = server.connect();
    for path in ["/n/win/token?p=1", "/t/v/token", "/openrtb2/nobody", "/ready", "/nothing"] {
        // The head and its body come apart.
        client.send(format!("POST {path} HTTP/1.1\r\nhost: a\r\ncontent-length: 5\r\n\r\n").as_bytes());
        std::thread::sleep(std::time::Duration::from_millis(20));
        client.send(b"12345");
        let answer = client.answer();
        assert!(answer.status >= 200 && answer.status < 500, "{path}: {}", answer.status);
        assert_eq!(client.get("/ready").text(), "1", "{path}");
    }
}
