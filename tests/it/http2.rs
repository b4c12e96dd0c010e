//! HTTP/2 with prior knowledge on the plain listener: as HTTP/1.1, with the same bounds.

use serde_json::json;

use crate::caller::Caller;
use crate::make::{campaign, filled, patient, with, with_imp};
use crate::server::Server;

fn server() -> Server {
    Server::start("", &[campaign("a")])
}

#[test]
fn bids_and_no_bids() {
    let server = server();
    let mut caller = Caller::http2(server.traffic());
    let no_bid = with_imp(patient(), json!({"bidfloor": 99})).to_string();
    for _ in 0..3 {
        let bid = caller.post("/openrtb2/demo", &[], patient().to_string().as_bytes());
        assert_eq!((bid.status, bid.json()["id"].as_str()), (200, Some("r-1")));
        assert_eq!(bid.header("content-length"), Some(bid.body.len().to_string().as_str()));
        let none = caller.post("/openrtb2/demo", &[], no_bid.as_bytes());
        none.is_empty(204);
        for answer in [bid, none] {
            assert_eq!(answer.header("x-openrtb-version"), Some("2.6"));
        }
    }
    caller.post("/openrtb2/demo", &[], b"{").is_empty(400);
    caller.post("/openrtb2/nobody", &[], b"{}").is_empty(404);
    let encoded = caller.post("/openrtb2/demo", &[("accept-encoding", "gzip")], patient().to_string().as_bytes());
    assert_eq!((encoded.status, encoded.header("content-encoding")), (200, Some("gzip")));
    let late = with(patient(), json!({"tmax": 10})).to_string();
    caller.post("/openrtb2/demo", &[], late.as_bytes()).is_empty(204);
}

#[test]
fn many_requests_at_once_are_each_answered() {
    let server = server();
    let mut caller = Caller::http2(server.traffic());
    let bodies: Vec<String> = (0..300).map(|i| with(patient(), json!({"id": format!("r-{i}")})).to_string()).collect();
    for (i, answer) in caller.post_all("/openrtb2/demo", &bodies).iter().enumerate() {
        assert_eq!((answer.status, answer.json()["id"].as_str()), (200, Some(format!("r-{i}").as_str())));
    }
    server.settled("a", 300);
}

#[test]
fn bounds_of_body_and_head_hold() {
    let server = server();
    let mut caller = Caller::http2(server.traffic());
    let body = patient().to_string();
    assert_eq!(caller.post("/openrtb2/demo", &[], filled(1 << 20).as_bytes()).status, 200);
    caller.post("/openrtb2/demo", &[], filled((1 << 20) + 1).as_bytes()).is_empty(413);
    caller.post("/openrtb2/demo", &[], filled(3 << 20).as_bytes()).is_empty(413);
    for (bytes, status) in [((16 << 10) - 200, 200), (16 << 10, 431), (20_000, 431), (60_000, 431)] {
        let filler = "x".repeat(bytes);
        let answer = caller.post("/openrtb2/demo", &[("x-a", &filler)], body.as_bytes());
        assert_eq!(answer.status, status, "{bytes}");
    }
    let names: Vec<String> = (0..2_300).map(|i| format!("{i}")).collect();
    for (count, status) in [(1_900, 200), (2_300, 431)] {
        let many: Vec<(&str, &str)> = names[..count].iter().map(|name| (name.as_str(), "")).collect();
        assert_eq!(caller.post("/openrtb2/demo", &many, body.as_bytes()).status, status, "{count}");
    }
    // All of that on one connection, which goes on.
    assert_eq!(caller.post("/openrtb2/demo", &[], body.as_bytes()).status, 200);
    server.settled("a", 4);
}

#[test]
fn a_preface_that_comes_in_pieces_is_one() {
    let server = server();
    let mut client = server.connect();
    for piece in b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".chunks(5) {
        client.send(piece);
        std::thread::sleep(std::time::Duration::from_millis(5));
    }
    // An empty SETTINGS frame, which the server answers with its own: length 3, type 4.
    client.send(&[0, 0, 0, 4, 0, 0, 0, 0, 0]);
    let head = client.bytes(9);
    assert_eq!(head[3], 4, "{head:?}");
}
