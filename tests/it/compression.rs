//! Content codings: encoded requests, encoded answers, and what is refused.

use std::io::{Read, Write};

use flate2::Compression;
use flate2::read::GzDecoder;
use flate2::write::GzEncoder;
use serde_json::{Value, json};

use crate::http::{Answer, Client};
use crate::make::{campaign, filled, patient, with, with_imp};
use crate::server::Server;

const CODINGS: [&str; 2] = ["gzip", "zstd"];

fn encode(coding: &str, body: &[u8]) -> Vec<u8> {
    match coding {
        "gzip" => {
            let mut encoder = GzEncoder::new(Vec::new(), Compression::default());
            encoder.write_all(body).unwrap();
            encoder.finish().unwrap()
        }
        _ => zstd::encode_all(body, 3).unwrap(),
    }
}

fn decode(coding: &str, body: &[u8]) -> Value {
    let mut text = Vec::new();
    match coding {
        "gzip" => drop(GzDecoder::new(body).read_to_end(&mut text).unwrap()),
        _ => text = zstd::decode_all(body).unwrap(),
    }
    serde_json::from_slice(&text).unwrap()
}

fn post(client: &mut Client, headers: &[(&str, &str)], body: &[u8]) -> Answer {
    client.request("POST", "/openrtb2/demo", headers, body)
}

#[test]
fn encoded_requests_are_answered_like_plain_ones() {
    let server = Server::start("", &[campaign("a")]);
    let mut client = server.connect();
    let body = patient().to_string();
    let (one, other) = body.as_bytes().split_at(20);
    for (header, coding) in [("gzip", "gzip"), ("GZip", "gzip"), ("x-gzip", "gzip"), ("zstd", "zstd")] {
        let whole = encode(coding, body.as_bytes());
        let parts = [encode(coding, one), encode(coding, other)].concat();
        for encoded in [whole, parts, encode(coding, filled(1 << 20).as_bytes())] {
            let answer = post(&mut client, &[("Content-Encoding", header)], &encoded);
            assert_eq!((answer.status, answer.header("content-encoding")), (200, None), "{header}");
            assert_eq!(answer.json()["id"], "r-1");
        }
    }
    server.settled("a", 12);
}

#[test]
fn bombs_are_refused_within_the_bound() {
    let server = Server::start("", &[campaign("a")]);
    let mut client = server.connect();
    for coding in CODINGS {
        for bomb in [filled((1 << 20) + 1).into_bytes(), vec![b' '; 64 << 20]] {
            let bomb = encode(coding, &bomb);
            assert!(bomb.len() < 1 << 20);
            post(&mut client, &[("Content-Encoding", coding)], &bomb).is_empty(413);
        }
        // What inflates is bounded, and so is what comes.
        let noise: Vec<u8> = std::iter::repeat_with(|| fastrand::u8(..)).take((1 << 20) + 100).collect();
        post(&mut client, &[("Content-Encoding", coding)], &encode(coding, &noise)).is_empty(413);
        let answer =
            post(&mut client, &[("Content-Encoding", coding)], &encode(coding, patient().to_string().as_bytes()));
        assert_eq!(answer.status, 200);
    }
    assert_eq!(server.metric("gavel_bad_requests_total{rule=\"too_large\"}"), 6.0);
    server.settled("a", 2);
}

#[test]
fn what_is_not_what_it_says_is_400() {
    let server = Server::start("", &[campaign("a")]);
    let mut client = server.connect();
    let body = patient().to_string();
    for coding in CODINGS {
        let good = encode(coding, body.as_bytes());
        let other = encode(if coding == "gzip" { "zstd" } else { "gzip" }, body.as_bytes());
        let broken = [
            Vec::new(),
            body.clone().into_bytes(),
            other,
            good[..good.len() - 1].to_vec(),
            good[..good.len() / 2].to_vec(),
            good[..3].to_vec(),
            [&good[..], b"trailing"].concat(),
            [&good[..], &[0; 8]].concat(),
        ];
        for body in &broken {
            let answer = post(&mut client, &[("Content-Encoding", coding)], body);
            assert_eq!((answer.status, answer.text()), (400, ""), "{coding} {body:?}");
            assert_eq!(answer.header("x-openrtb-version"), Some("2.6"));
        }
        let metric = format!("gavel_bad_requests_total{{rule=\"{coding}\"}}");
        assert_eq!(server.metric(&metric), broken.len() as f64);
        // What it holds is no request.
        post(&mut client, &[("Content-Encoding", coding)], &encode(coding, b"{}")).is_empty(400);
    }
    assert_eq!(post(&mut client, &[], body.as_bytes()).status, 200);
    server.settled("a", 1);
}

#[test]
fn other_codings_are_415_and_the_connection_goes_on() {
    let server = Server::start("", &[campaign("a")]);
    let mut client = server.connect();
    for coding in ["br", "deflate", "compress", "gzip, gzip", "gzip, br", "nonsense"] {
        for body in [patient().to_string().into_bytes(), filled(500_000).into_bytes()] {
            let answer = post(&mut client, &[("Content-Encoding", coding)], &body);
            answer.is_empty(415);
            assert_eq!(answer.header("accept-encoding"), Some("gzip, zstd"));
        }
    }
    for coding in ["identity", "Identity", ""] {
        let answer = post(&mut client, &[("Content-Encoding", coding)], patient().to_string().as_bytes());
        assert_eq!(answer.status, 200, "{coding:?}");
    }
}

#[test]
fn answers_are_encoded_as_the_client_accepts() {
    let config = "[exchanges.demo]\n[exchanges.told]\nbody_no_bid = true\n";
    let server = Server::start(config, &[campaign("a")]);
    let mut client = server.connect();
    let body = patient().to_string();
    let no_bid = with_imp(patient(), json!({"bidfloor": 99})).to_string();
    for (accept, coding) in [
        ("gzip", Some("gzip")),
        ("zstd", Some("zstd")),
        ("gzip, deflate, br", Some("gzip")),
        ("br;q=1, gzip;q=0.2, zstd;q=0.1", Some("gzip")),
        ("*", Some("gzip")),
        ("gzip;q=0", None),
        ("identity", None),
        ("br", None),
        ("", None),
    ] {
        for path in ["/openrtb2/demo", "/openrtb2/told"] {
            let answer = client.request("POST", path, &[("Accept-Encoding", accept)], body.as_bytes());
            assert_eq!((answer.status, answer.header("content-encoding")), (200, coding), "{accept}");
            assert_eq!(answer.header("content-length"), Some(answer.body.len().to_string().as_str()));
            assert_eq!(answer.header("content-type"), Some("application/json"));
            let value = coding.map_or_else(|| answer.json(), |coding| decode(coding, &answer.body));
            assert_eq!((&value["id"], &value["seatbid"][0]["bid"][0]["impid"]), (&json!("r-1"), &json!("1")));
        }
        // A no-bid has nothing to encode, unless it says something.
        client.request("POST", "/openrtb2/demo", &[("Accept-Encoding", accept)], no_bid.as_bytes()).is_empty(204);
        let told = client.request("POST", "/openrtb2/told", &[("Accept-Encoding", accept)], no_bid.as_bytes());
        assert_eq!((told.status, told.header("content-encoding")), (200, coding), "{accept}");
        let value = coding.map_or_else(|| told.json(), |coding| decode(coding, &told.body));
        assert_eq!(value["id"], "r-1");
        client.request("POST", "/openrtb2/demo", &[("Accept-Encoding", accept)], b"{").is_empty(400);
    }
    // The probe's body is what it is.
    let ready = client.request("GET", "/ready", &[("Accept-Encoding", "gzip")], b"");
    assert_eq!((ready.text(), ready.header("content-encoding")), ("1", None));
}

#[test]
fn both_ways_at_once() {
    let server = Server::start("", &[campaign("a")]);
    let mut client = server.connect();
    for coding in CODINGS {
        for id in ["x", "y", "\u{1F642}\n"] {
            let body = encode(coding, with(patient(), json!({"id": id})).to_string().as_bytes());
            let answer = post(&mut client, &[("Content-Encoding", coding), ("Accept-Encoding", coding)], &body);
            assert_eq!(decode(coding, &answer.body)["id"], id);
        }
    }
}
