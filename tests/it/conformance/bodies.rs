//! Lines 1 to 5, 13 and 14: methods, statuses, bodies and what is refused.

use std::time::{Duration, Instant};

use serde_json::{Value, json};

use super::Check;
use super::encodings::{gzip, zstd};
use super::target::{Target, lossy, parse, response};
use crate::http::{Answer, Client};
use crate::make::{request, with, with_imp};

/// A request that nobody can bid for.
pub fn unwanted() -> Value {
    with_imp(request(), json!({"bidfloor": 1e6}))
}

pub fn post(client: &mut Client, headers: &[(&str, &str)], body: &[u8]) -> Result<Answer, String> {
    client.try_request("POST", "/openrtb2/demo", headers, body).map_err(|e| format!("the connection is gone: {e}"))
}

/// An answer of 200; bids may be faster than leases, so that a few are 204.
pub fn bid(client: &mut Client, headers: &[(&str, &str)], body: &[u8]) -> Result<Answer, String> {
    let started = Instant::now();
    loop {
        let answer = post(client, headers, body)?;
        if answer.status != 204 || started.elapsed() > Duration::from_secs(2) {
            return Ok(answer);
        }
        std::thread::sleep(Duration::from_millis(5));
    }
}

/// Still takes bids, on this very connection.
pub fn lives(client: &mut Client) -> Check {
    let answer = bid(client, &[], request().to_string().as_bytes())?;
    ensure!(answer.status == 200, "the connection only gives {}", answer.status);
    ensure!(answer.header("connection").is_none(), "the connection is to be closed");
    Ok(())
}

/// A status and not a byte more.
fn empty(answer: &Answer, status: u16, what: &str) -> Check {
    ensure!(answer.status == status, "{what}: {} instead of {status}", answer.status);
    ensure!(answer.body.is_empty(), "{what}: a body of {} bytes", answer.body.len());
    ensure!(answer.header("content-encoding").is_none(), "{what}: an encoding of nothing");
    Ok(())
}

/// Section 2.1.
pub fn post_and_get(t: &Target) -> Check {
    t.any_bid(&request())?;
    let answer = bid(&mut t.connect(), &[], request().to_string().as_bytes())?;
    ensure!(answer.status == 200 && answer.header("content-type") == Some("application/json"), "a bid is {answer:?}");
    empty(&t.post(unwanted().to_string())?, 204, "a no-bid")?;
    for method in ["GET", "PUT", "DELETE", "OPTIONS", "PATCH"] {
        let answer = t.send(method, "/openrtb2/demo", b"")?;
        empty(&answer, 405, method)?;
        ensure!(answer.header("allow") == Some("POST"), "{method} is not told to POST");
    }
    Ok(())
}

/// Section 2.1; Google, Xandr and Index Exchange say the same. That nothing follows the head shows in the answer after it.
pub fn no_bid_is_empty(t: &Target) -> Check {
    t.any_bid(&request())?;
    let mut client = t.connect();
    for accepted in [None, Some("gzip"), Some("zstd, gzip;q=0.5")] {
        let headers: Vec<(&str, &str)> = accepted.iter().map(|a| ("Accept-Encoding", *a)).collect();
        for _ in 0..3 {
            let answer = post(&mut client, &headers, unwanted().to_string().as_bytes())?;
            empty(&answer, 204, "a no-bid")?;
            ensure!(answer.header("content-length").is_none_or(|l| l == "0"), "a no-bid with a length");
            ensure!(answer.header("transfer-encoding").is_none(), "a chunked no-bid");
            lives(&mut client)?;
        }
    }
    Ok(())
}

/// Prebid's adapters reject an empty `seatbid`.
pub fn one_json_object(t: &Target) -> Check {
    t.any_bid(&request())?;
    let imps = |count: usize| (0..count).map(|i| json!({"id": format!("{i}"), "banner": {"w": 300, "h": 250}}));
    let mut asked = vec![request(), unwanted(), with(request(), json!({"imp": imps(50).collect::<Vec<_>>()}))];
    for patch in [
        json!({"video": {"mimes": ["video/mp4"]}}),
        json!({"banner": null}),
        json!({"banner": {"w": 1, "h": 1}}),
        json!({"native": {"request": "{"}}),
        json!({"pmp": {"private_auction": 1, "deals": []}}),
        json!({"pmp": {"deals": [{"id": "x"}]}}),
    ] {
        asked.push(with_imp(request(), patch));
    }
    for patch in [json!({"cur": ["XXX"]}), json!({"tmax": 1}), json!({"bseat": ["gavel"]}), json!({"test": 1})] {
        asked.push(with(request(), patch));
    }
    let (mut bids, mut none) = (0, 0);
    for request in &asked {
        // It parses whole or not at all: nothing may follow the object.
        match response(&t.post(request.to_string())?, request)? {
            Some(_) => bids += 1,
            None => none += 1,
        }
    }
    ensure!(bids >= 3 && none >= 3, "{bids} bids and {none} no-bids");
    Ok(())
}

/// Section 2.1.
pub fn malformed_is_400(t: &Target) -> Check {
    t.any_bid(&request())?;
    let good = request().to_string();
    let broken: Vec<Vec<u8>> = vec![
        b"".to_vec(),
        b"{".to_vec(),
        b"null".to_vec(),
        b"[]".to_vec(),
        b"7".to_vec(),
        b"\"x\"".to_vec(),
        b"\0\0\0".to_vec(),
        b"\xff\xfe{}".to_vec(),
        good.as_bytes()[..good.len() - 1].to_vec(),
        good.as_bytes()[..good.len() / 2].to_vec(),
        format!("[{good}]").into_bytes(),
        format!("{good}{good}").into_bytes(),
        format!("{good}\0").into_bytes(),
        good.replace("r-1", "r\u{0}").into_bytes(),
        good.replace("\"at\":1", "\"at\":01").into_bytes(),
        good.replace("\"at\":1", "\"at\":NaN").into_bytes(),
        good.replace("\"at\":1", "'at':1").into_bytes(),
        good.replace("\"at\":1", "\"at\":1e999").into_bytes(),
        [b"{\"id\":\"\xc3\x28\",", &good.as_bytes()[1..]].concat(),
        format!("{}{}", "[".repeat(100_000), "]".repeat(100_000)).into_bytes(),
        "{\"a\":".repeat(100_000).into_bytes(),
    ];
    let mut client = t.connect();
    for body in &broken {
        let what = String::from_utf8_lossy(&body[..body.len().min(60)]).into_owned();
        empty(&post(&mut client, &[], body)?, 400, &what)?;
        lives(&mut client)?;
    }
    let whole = gzip(good.as_bytes());
    let mut spoilt = whole.clone();
    let at = spoilt.len() - 8;
    spoilt[at] ^= 1;
    let zipped = [
        ("gzip", good.clone().into_bytes()),
        ("gzip", b"".to_vec()),
        ("gzip", whole[..whole.len() - 12].to_vec()),
        ("gzip", spoilt),
        ("gzip", gzip(b"{")),
        ("zstd", good.into_bytes()),
        ("zstd", zstd(b"[]")),
        ("zstd", zstd(&[b'x'; 100])[..10].to_vec()),
    ];
    for (encoding, body) in &zipped {
        let answer = post(&mut client, &[("Content-Encoding", encoding)], body)?;
        empty(&answer, 400, &format!("bad {encoding}, {} bytes", body.len()))?;
        lives(&mut client)?;
    }
    Ok(())
}

/// Sections 3.2.1, 3.2.4, 3.2.13.
pub fn broken_rules_are_400(t: &Target) -> Check {
    t.any_bid(&request())?;
    let mut client = t.connect();
    for (patch, rule) in [
        (json!({"id": null}), "no_id"),
        (json!({"id": ""}), "no_id"),
        (json!({"imp": null}), "no_imp"),
        (json!({"imp": []}), "no_imp"),
        (json!({"imp": [{"banner": {"w": 300, "h": 250}}]}), "imp_without_id"),
        (json!({"imp": [{"id": "1"}, {"id": "2"}, {"id": "1"}]}), "duplicate_imp_id"),
        (json!({"app": {"bundle": "com.example"}}), "many_channels"),
        (json!({"dooh": {"id": "d"}}), "many_channels"),
        (json!({"site": "example.com"}), "wrong_type"),
    ] {
        let name = format!("gavel_bad_requests_total{{rule=\"{rule}\"}}");
        let before = t.metric(&name)?;
        let answer = post(&mut client, &[], with(request(), patch.clone()).to_string().as_bytes())?;
        empty(&answer, 400, &patch.to_string())?;
        if let (Some(before), Some(after)) = (before, t.metric(&name)?) {
            let counted = after >= before + 1.0;
            ensure!(counted, "{patch} is not counted as {rule}");
        }
    }
    lives(&mut client)
}

/// Section 2.3.
pub fn content_type(t: &Target) -> Check {
    t.any_bid(&request())?;
    let mut client = t.connect();
    for kind in [None, Some("application/json"), Some("application/json; charset=utf-8"), Some("text/plain")] {
        let headers: Vec<(&str, &str)> = kind.iter().map(|k| ("Content-Type", *k)).collect();
        let answer = bid(&mut client, &headers, request().to_string().as_bytes())?;
        ensure!(answer.status == 200, "{kind:?} is {}: {}", answer.status, lossy(&answer));
        parse(&answer)?;
    }
    Ok(())
}

/// Section 2.5.
pub fn version_header(t: &Target) -> Check {
    t.any_bid(&request())?;
    let mut client = t.connect();
    let (wanted, none) = (request().to_string(), unwanted().to_string());
    for version in [None, Some("2.6"), Some("2.5"), Some("2.0"), Some("3.0"), Some("x")] {
        let headers: Vec<(&str, &str)> = version.iter().map(|v| ("x-openrtb-version", *v)).collect();
        for (body, status) in [(wanted.as_str(), 200), (none.as_str(), 204), ("{", 400)] {
            let send = if status == 200 { bid } else { post };
            let answer = send(&mut client, &headers, body.as_bytes())?;
            ensure!(answer.status == status, "version {version:?} makes {status} into {}", answer.status);
            ensure!(answer.header("x-openrtb-version") == Some("2.6"), "{status} names no version");
        }
    }
    Ok(())
}
