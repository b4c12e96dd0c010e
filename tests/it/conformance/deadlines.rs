//! Lines 18 to 21: answers in time. A slow machine must not fail a test, so the best of several rounds counts.

use std::time::{Duration, Instant};

use serde_json::json;

use super::Check;
use super::bodies::{post, unwanted};
use super::limits::setting;
use super::target::{Target, response};
use crate::http::Client;
use crate::make::{request, with};

/// What exchanges give; an unoptimized server on a busy machine gets more.
const TMAX_MS: u64 = if cfg!(debug_assertions) { 1_000 } else { 100 };
const ROUNDS: usize = 3;

/// One request; how long its answer took.
fn timed(client: &mut Client, body: &str) -> Result<(u16, Duration), String> {
    let started = Instant::now();
    let answer = post(client, &[], body.as_bytes())?;
    Ok((answer.status, started.elapsed()))
}

/// Section 3.2.1: `tmax` includes the network.
pub fn tmax(t: &Target) -> Check {
    t.any_bid(&request())?;
    let mut client = t.connect();
    for (tmax, status) in [
        (json!(null), 200),
        (json!(0), 200),
        (json!(-5), 200),
        (json!(i64::MAX), 200),
        (json!(i64::MIN), 200),
        (json!(1e300), 200),
        (json!(100), 200),
        (json!(10), 204),
        (json!(1), 204),
    ] {
        let body = with(request(), json!({"tmax": tmax})).to_string();
        let (mut quickest, mut as_wanted) = (Duration::MAX, 0);
        for _ in 0..30 {
            let (seen, took) = timed(&mut client, &body)?;
            // Bids may be faster than leases.
            ensure!(seen == status || seen == 204, "tmax {tmax} is {seen}");
            as_wanted += usize::from(seen == status);
            quickest = quickest.min(took);
        }
        ensure!(as_wanted > 10, "tmax {tmax} is {status} only {as_wanted} of 30 times");
        ensure!(quickest < Duration::from_millis(10), "tmax {tmax} takes {quickest:?}");
    }
    // Absent: the exchange's default, which is over when the body comes late.
    for (tmax, status) in [(json!(null), 204), (json!(100), 204), (json!(5_000), 200)] {
        let body = with(request(), json!({"tmax": tmax})).to_string();
        let mut client = t.connect();
        let head = format!("POST /openrtb2/demo HTTP/1.1\r\nhost: a\r\ncontent-length: {}\r\n\r\n", body.len());
        client.send(head.as_bytes());
        std::thread::sleep(Duration::from_millis(150));
        client.send(body.as_bytes());
        let answer = client.try_answer(true).map_err(|e| e.to_string())?;
        let fine = answer.status == status || (t.own().is_none() && answer.status == 204);
        ensure!(fine, "a late body of tmax {tmax} is {}", answer.status);
    }
    Ok(())
}

/// What came of a round of requests.
#[derive(Debug, Default)]
struct Tally {
    bids: usize,
    none: usize,
    late: usize,
}

/// `connections` clients that each send `each` requests, one after the other.
fn play(t: &Target, connections: usize, each: usize) -> Result<Tally, String> {
    let (bid, none) = (with(request(), json!({"tmax": TMAX_MS})), with(unwanted(), json!({"tmax": TMAX_MS})));
    let address = t.address();
    let client = |_| {
        let (bid, none) = (bid.clone(), none.clone());
        move || -> Result<Tally, String> {
            let mut client = Client::connect(address);
            let (mut tally, bodies) = (Tally::default(), [bid.to_string(), none.to_string()]);
            for i in 0..each {
                let started = Instant::now();
                let answer = post(&mut client, &[], bodies[i % 2].as_bytes())?;
                tally.late += usize::from(started.elapsed() > Duration::from_millis(TMAX_MS));
                match response(&answer, &bid)? {
                    Some(_) => tally.bids += 1,
                    None => tally.none += 1,
                }
            }
            Ok(tally)
        }
    };
    std::thread::scope(|scope| {
        let clients: Vec<_> = (0..connections).map(client).map(|run| scope.spawn(run)).collect();
        let mut all = Tally::default();
        for client in clients {
            let one = client.join().map_err(|_| "a client panicked")??;
            all = Tally { bids: all.bids + one.bids, none: all.none + one.none, late: all.late + one.late };
        }
        Ok(all)
    })
}

/// The best of some rounds has at most one answer in `one_in` late. Anything else than 200 and 204 fails each of them.
fn in_time_but(t: &Target, connections: usize, each: usize, one_in: usize) -> Check {
    t.any_bid(&request())?;
    let mut best = usize::MAX;
    for _ in 0..ROUNDS {
        let tally = play(t, connections, each)?;
        ensure!(tally.bids > 0 && tally.none > 0, "{tally:?}");
        best = best.min(tally.late);
        if best <= connections * each / one_in {
            return Ok(());
        }
    }
    Err(format!("{best} of {} answers after more than {TMAX_MS} ms", connections * each))
}

/// Google throttles a bidder below 85 %. `GAVEL_CONFORMANCE_REQUESTS` says how many requests to look at.
pub fn in_time(t: &Target) -> Check {
    let count = setting("GAVEL_CONFORMANCE_REQUESTS", if cfg!(debug_assertions) { 10_000 } else { 100_000 });
    in_time_but(t, 2, count as usize / 2, 10_000)
}

/// Twice as many connections as processors keep a server busy; this is twice that, and none of them waits between two
/// requests. Google throttles a bidder above 15 % of errors.
pub fn twice_the_load(t: &Target) -> Check {
    let busy = 2 * std::thread::available_parallelism().map_or(2, usize::from);
    in_time_but(t, 2 * busy, if cfg!(debug_assertions) { 1_000 } else { 10_000 }, 1_000)
}

pub fn first_request(t: &Target) -> Check {
    t.any_bid(&request())?;
    let body = with(request(), json!({"tmax": 100})).to_string();
    let mut quickest = Duration::MAX;
    for _ in 0..50 {
        let started = Instant::now();
        let mut client = t.connect();
        let (status, _) = timed(&mut client, &body)?;
        ensure!(matches!(status, 200 | 204), "the first request is {status}");
        if status == 200 {
            quickest = quickest.min(started.elapsed());
        }
    }
    ensure!(quickest < Duration::from_millis(100), "the first request takes {quickest:?}");
    Ok(())
}
