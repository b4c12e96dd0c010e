//! Lines 6 to 10, 16 and 17: connections, their bounds, and what happens at them.

use std::time::{Duration, Instant};

use serde_json::{Value, json};

use super::Check;
use super::bodies::{bid, lives, post, unwanted};
use super::target::{Target, response};
use crate::http;
use crate::make::{request, with};
use crate::server::wait_until;

/// A number that the environment may set.
pub fn setting(name: &str, default: u64) -> u64 {
    std::env::var(name).map_or(default, |text| text.parse().unwrap_or_else(|_| panic!("{name} must be a number")))
}

/// What bids write goes into lanes of 64 KiB here: more at once than the disk takes is overload. Google throttles a bidder
/// that closes connections further.
pub fn overload_is_204(t: &Target) -> Check {
    t.put_one(json!({"budget": {"total": "1000000.00"}}))?;
    t.bid(&t.request())?;
    let mut imps = Vec::new();
    let mut clients: Vec<_> = (0..8).map(|_| t.connect()).collect();
    let started = Instant::now();
    let (mut bids, mut none) = (0, 0);
    let reached = loop {
        // More and more: where the disk is quick, until the bids of a single response are more than a lane takes.
        let more = imps.len()..(imps.len() + 50).clamp(600, 1_900);
        imps.extend(more.map(|i| json!({"id": format!("{i}"), "banner": {"w": 300, "h": 250}})));
        let asked = with(t.request(), json!({"imp": imps}));
        let bytes = http::request("POST", "/openrtb2/demo", &[], asked.to_string().as_bytes());
        clients.iter_mut().for_each(|client| client.send(&bytes.repeat(4)));
        for client in &mut clients {
            for _ in 0..4 {
                let answer = client.try_answer(true).map_err(|e| format!("closed under load: {e}"))?;
                ensure!(answer.header("connection").is_none(), "told to close under load");
                match response(&answer, &asked)? {
                    Some(_) => bids += 1,
                    None => none += 1,
                }
            }
        }
        let busy = t.own().map(|server| server.metric("gavel_no_bids_total{reason=\"log_busy\"}") > 0.0);
        if busy.unwrap_or(true) {
            break true;
        }
        if started.elapsed() > Duration::from_secs(20) {
            break false;
        }
    };
    ensure!(reached, "no overload after {bids} bids and {none} no-bids");
    for client in &mut clients {
        let body = t.request().to_string();
        let answer = post(client, &[], body.as_bytes())?;
        ensure!(matches!(answer.status, 200 | 204), "after the overload: {}", answer.status);
    }
    // It is over.
    t.bid(&t.request()).map(drop)
}

/// `GAVEL_CONFORMANCE_REQUESTS` requests: 100,000 with an optimized server, 20,000 otherwise.
pub fn keep_alive(t: &Target) -> Check {
    const AT_ONCE: u64 = 100;
    t.any_bid(&request())?;
    let count = setting("GAVEL_CONFORMANCE_REQUESTS", if cfg!(debug_assertions) { 20_000 } else { 100_000 });
    let mut client = t.connect();
    let (mut bids, mut none) = (0, 0);
    for round in 0..count.div_ceil(AT_ONCE) {
        let asked = |i: u64| if i.is_multiple_of(4) { request() } else { unwanted() };
        let mut bytes = Vec::new();
        for i in 0..AT_ONCE {
            let body = with(asked(i), json!({"id": format!("{}", round * AT_ONCE + i)})).to_string();
            bytes.extend(http::request("POST", "/openrtb2/demo", &[], body.as_bytes()));
        }
        client.send(&bytes);
        for i in 0..AT_ONCE {
            let number = round * AT_ONCE + i;
            let answer = client.try_answer(true).map_err(|e| format!("closed after {number} requests: {e}"))?;
            ensure!(answer.header("connection").is_none(), "told to close after {number} requests");
            match answer.status {
                200 => {
                    let start = format!("{{\"id\":\"{number}\",");
                    ensure!(answer.body.starts_with(start.as_bytes()), "answer {number} is another's");
                    bids += 1;
                }
                204 => none += 1,
                other => return Err(format!("request {number} is {other}")),
            }
        }
    }
    ensure!(bids > 0 && none > 0, "{bids} bids, {none} no-bids");
    lives(&mut client)
}

/// Google keeps connections at least 150 s. `GAVEL_CONFORMANCE_IDLE_S` says for how long to wait; a server of its own is
/// also asked what it is configured to do, since nobody waits that long at each run.
pub fn idle_connections(t: &Target) -> Check {
    t.any_bid(&request())?;
    let (mut fresh, mut used, mut refused) = (t.connect(), t.connect(), t.connect());
    lives(&mut used)?;
    post(&mut refused, &[], b"{")?;
    std::thread::sleep(Duration::from_secs(setting("GAVEL_CONFORMANCE_IDLE_S", 2)));
    for client in [&mut fresh, &mut used, &mut refused] {
        lives(client)?;
    }
    if t.own().is_some() {
        let config = gavel::config::Config::default_for_demo().map_err(|faults| format!("{faults:?}"))?;
        ensure!(config.limits.idle_timeout_ms >= 150_000, "idle for {} ms at most", config.limits.idle_timeout_ms);
    }
    Ok(())
}

/// Index Exchange takes no chunks.
pub fn content_length(t: &Target) -> Check {
    t.any_bid(&request())?;
    let mut client = t.connect();
    for count in [1, 2, 10, 100] {
        let imps: Vec<Value> =
            (0..count).map(|i| json!({"id": format!("{i}"), "banner": {"w": 300, "h": 250}})).collect();
        let asked = with(request(), json!({"imp": imps}));
        let answer = bid(&mut client, &[], asked.to_string().as_bytes())?;
        ensure!(answer.status == 200, "{count} impressions are {}", answer.status);
        let length = answer.header("content-length").and_then(|l| l.parse().ok());
        ensure!(length == Some(answer.body.len()), "a length of {length:?} for {} bytes", answer.body.len());
        ensure!(answer.header("transfer-encoding").is_none(), "{:?}", answer.headers);
        lives(&mut client)?;
    }
    Ok(())
}

/// RFC 9112 section 9.3.2, with the bytes of requests cut anywhere.
pub fn pipelining(t: &Target) -> Check {
    t.any_bid(&request())?;
    for cut in [usize::MAX, 1_000, 97, 7] {
        let mut client = t.connect();
        let mut bytes = Vec::new();
        for i in 0..50 {
            let asked = if i % 3 == 0 { unwanted() } else { request() };
            let filler = "x".repeat(i * 37 % 500);
            let asked = with(asked, json!({"id": format!("r-{i}"), "ext": {"x": filler}}));
            bytes.extend(http::request("POST", "/openrtb2/demo", &[], asked.to_string().as_bytes()));
        }
        bytes.chunks(cut.min(bytes.len())).for_each(|piece| client.send(piece));
        let mut bids = 0;
        for i in 0..50 {
            let answer = client.try_answer(true).map_err(|e| format!("answer {i}: {e}"))?;
            let wanted = i % 3 > 0;
            ensure!(answer.status == 204 || (wanted && answer.status == 200), "answer {i} is {}", answer.status);
            bids += usize::from(answer.status == 200);
            let start = format!("{{\"id\":\"r-{i}\",");
            ensure!(answer.status == 204 || answer.body.starts_with(start.as_bytes()), "answer {i} is another's");
        }
        ensure!(bids > 10, "{bids} of 33 bids");
    }
    Ok(())
}

/// RFC 9110 section 15.5.14, RFC 6585 section 5.
pub fn bounds(t: &Target) -> Check {
    t.any_bid(&request())?;
    let filled = |bytes: usize| {
        // A mebibyte takes its time on a busy machine.
        let asked = with(request(), json!({"tmax": 10_000}));
        let empty = with(asked.clone(), json!({"ext": {"x": ""}})).to_string();
        with(asked, json!({"ext": {"x": "x".repeat(bytes - empty.len())}})).to_string()
    };
    let most = filled(1 << 20);
    ensure!(most.len() == 1 << 20, "the test is wrong");
    let mut client = t.connect();
    let answer = bid(&mut client, &[], most.as_bytes())?;
    ensure!(answer.status == 200, "1 MiB is {}", answer.status);
    lives(&mut client)?;
    // Told by its length, or while it comes.
    let mut client = t.connect();
    client.send(b"POST /openrtb2/demo HTTP/1.1\r\nHost: x\r\nContent-Length: 1048577\r\n\r\n");
    let told = client.try_answer(true).map_err(|e| e.to_string())?;
    ensure!(told.status == 413 && told.body.is_empty(), "a length above 1 MiB is {}", told.status);
    let mut client = t.connect();
    client.send(b"POST /openrtb2/demo HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n");
    let chunk = format!("10000\r\n{}\r\n", "x".repeat(0x10000));
    let _cut_off = (0..17).try_for_each(|_| client.try_send(chunk.as_bytes()));
    let told = client.try_answer(true).map_err(|e| e.to_string())?;
    ensure!(told.status == 413 && told.body.is_empty(), "chunks above 1 MiB are {}", told.status);
    let head = |bytes: usize| {
        let mut client = t.connect();
        let filler = "x".repeat(bytes);
        let sent = http::request("POST", "/openrtb2/demo", &[("X-A", &filler)], request().to_string().as_bytes());
        // The rest of what is sent may meet a closed connection.
        let _sent = client.try_send(&sent);
        client.try_answer(true).map_err(|e| e.to_string())
    };
    let taken = head((16 << 10) - 100)?;
    ensure!(matches!(taken.status, 200 | 204), "16 KiB of headers are {}", taken.status);
    let many = |count: usize| {
        let fields: Vec<String> = (0..count).map(|i| format!("x{i:04}")).collect();
        let fields: Vec<(&str, &str)> = fields.iter().map(|name| (name.as_str(), "1")).collect();
        bid(&mut t.connect(), &fields, request().to_string().as_bytes())
    };
    for (count, wanted) in [(101, 200), (240, 200), (1_700, 431)] {
        let told = many(count)?;
        let fine = told.status == wanted || (wanted == 200 && told.status == 204);
        ensure!(fine, "{count} headers of 10 bytes are {}", told.status);
    }
    for bytes in [16 << 10, 20_000, 33_000, 300_000] {
        let told = head(bytes)?;
        ensure!(told.status == 431 && told.body.is_empty(), "{bytes} bytes of headers are {}", told.status);
    }
    lives(&mut t.connect())
}

/// Xandr looks for a `1`.
pub fn ready_probe(t: &Target) -> Check {
    let answer = t.get("/ready")?;
    ensure!(answer.status == 200 && answer.body == b"1", "ready is {answer:?}");
    let Some(server) = t.own() else { return Ok(()) };
    // Its head is not complete, so the shutdown waits for it, once it has been accepted.
    let opened = || server.metric("gavel_connections_opened_total");
    let before = opened();
    let mut client = t.connect();
    client.send(b"GET /ready HTTP/1.1\r\nHost: x\r\n");
    wait_until("the connection is accepted", || opened() > before);
    std::thread::scope(|scope| {
        let stopping = scope.spawn(|| server.stop_at_once());
        let asked = (|| {
            // Until the listener is gone, it may not have heard yet.
            let started = Instant::now();
            while std::net::TcpStream::connect(t.address()).is_ok() && started.elapsed() < Duration::from_secs(5) {
                std::thread::sleep(Duration::from_millis(5));
            }
            client.send(b"\r\n");
            let answer = client.try_answer(true).map_err(|e| format!("while it stops: {e}"))?;
            ensure!(!answer.body.contains(&b'1'), "ready while it stops: {answer:?}");
            Ok(())
        })();
        drop(client);
        stopping.join().map_err(|_| "the shutdown panicked".to_owned())?;
        asked
    })
}
