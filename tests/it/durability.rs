//! The log on a disk that is damaged, shared, or full.

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::make::{campaign, patient, request, substitute, with};
use crate::process::{errors_of, run};
use crate::server::{Server, wait_for, write_files};

fn segments(data: &Path) -> Vec<PathBuf> {
    let files = std::fs::read_dir(data.join("log")).unwrap().map(|e| e.unwrap().path());
    let number = |p: &PathBuf| p.file_stem().is_some_and(|s| s.to_string_lossy().bytes().all(|b| b.is_ascii_digit()));
    let mut segments: Vec<_> = files.filter(|p| p.extension().is_some_and(|e| e == "seg") && number(p)).collect();
    segments.sort();
    segments
}

#[test]
fn a_flipped_byte_in_the_middle_of_the_log_stops_the_start_and_is_named() {
    let mut server = Server::start("", &[campaign("a")]);
    for _ in 0..20 {
        let bid = server.bid_soon(&request());
        server.bill(&bid, "2.00");
    }
    server.stop();
    let dir = server.dir.path();
    let segment = segments(&dir.join("data")).remove(0);
    let bytes = std::fs::read(&segment).unwrap();
    let used = bytes.iter().rposition(|b| *b != 0).unwrap();
    let at = 512 + (used - 512) / 2;
    let mut damaged = bytes.clone();
    damaged[at] ^= 0x10;
    std::fs::write(&segment, &damaged).unwrap();
    let output = run(dir, &[]);
    let errors = errors_of(&output);
    assert_eq!(output.status.code(), Some(1), "{errors}");
    assert!(errors.contains(segment.file_name().unwrap().to_str().unwrap()), "{errors}");
    let named = errors.split("damaged at byte ").nth(1).and_then(|rest| rest.split(':').next()).unwrap();
    let named: usize = named.parse().unwrap();
    assert!(named <= at && at - named < 4_096, "byte {at} was flipped: {errors}");
    assert_eq!(output.stdout, b"", "it printed addresses");
    assert_eq!(std::fs::read(&segment).unwrap(), damaged, "the file was changed");
    // Put back, everything is there.
    std::fs::write(&segment, &bytes).unwrap();
    server.run();
    assert_eq!(server.is_sound("a").spent, 20 * 2_000_000);
}

#[test]
fn a_second_process_on_the_same_data_is_refused() {
    let server = Server::start("", &[campaign("a")]);
    let output = run(server.dir.path(), &[]);
    assert_eq!(output.status.code(), Some(1));
    assert!(errors_of(&output).contains("in use by another gavel"), "{}", errors_of(&output));
    assert!(server.bid(&request()).is_some());
}

#[test]
fn a_port_that_is_taken_is_named_before_the_data_is_touched() {
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let dir = tempfile::tempdir().unwrap();
    for flags in [
        ["--listen", &address, "--admin-listen", "127.0.0.1:0"],
        ["--listen", "127.0.0.1:0", "--admin-listen", &address],
    ] {
        let output = run(dir.path(), &flags);
        assert_eq!(output.status.code(), Some(1));
        assert!(errors_of(&output).contains(&address), "{}", errors_of(&output));
    }
    assert!(!dir.path().join("data").exists());
}

#[test]
fn books_that_are_lost_are_folded_again_from_the_log() {
    let mut server = Server::start("", &[campaign("a")]);
    let bids: Vec<Value> = (0..8).map(|_| server.bid_soon(&request())).collect();
    bids[..5].iter().for_each(|bid| server.bill(bid, "1.234567"));
    let before = server.settled("a", 8);
    let books = server.books();
    server.stop();
    for file in ["books.sqlite", "books.sqlite-wal", "books.sqlite-shm"] {
        let _may_be_missing = std::fs::remove_file(server.dir.path().join("data").join(file));
    }
    server.run();
    let after = server.is_sound("a");
    assert_eq!((after.spent, after.bids, after.billed), (before.spent, before.bids, before.billed));
    assert_eq!(server.books(), books);
    bids.iter().for_each(|bid| server.bill(bid, "1.00"));
    assert_eq!(server.is_sound("a").spent, 5 * 1_234_567 + 3 * 1_000_000);
}

#[test]
fn on_a_full_disk_bids_stop_notices_go_on_and_then_ask_to_be_sent_again() {
    let config = "[log]\nsegment_bytes = 1048576\nmax_bytes = 3145728\n[exchanges.demo]\nauction_lifetime_s = 600\n";
    let mut server = Server::start(config, &[with(campaign("a"), json!({"budget": {"total": "100000.00"}}))]);
    let mut client = server.connect();
    // Many bids in one request fill the log quickly.
    let imps: Vec<Value> = (0..200).map(|i| json!({"id": i.to_string(), "banner": {"w": 300, "h": 250}})).collect();
    let body = with(request(), json!({"imp": imps, "tmax": 10_000})).to_string();
    let started = Instant::now();
    let mut paths = Vec::new();
    while server.metric("gavel_log_state") == 0.0 {
        assert!(started.elapsed() < Duration::from_secs(20), "the log is never full");
        let answer = client.post("/openrtb2/demo", body.as_bytes());
        if answer.status == 200 && paths.len() < 40_000 {
            for bid in answer.json()["seatbid"][0]["bid"].as_array().unwrap() {
                for which in ["nurl", "burl"] {
                    let values = [("AUCTION_PRICE", "1.000007"), ("AUCTION_CURRENCY", "USD")];
                    let url = substitute(bid[which].as_str().unwrap(), &values);
                    paths.push(url.strip_prefix("https://localhost").unwrap().to_owned());
                }
            }
        }
    }
    for _ in 0..20 {
        client.post("/openrtb2/demo", request().to_string().as_bytes()).is_empty(204);
    }
    assert!(server.metric("gavel_no_bids_total{reason=\"log_full\"}") >= 20.0);
    // The reserve is for notices alone: no edit takes of it, not even one that would cost nothing.
    let paused = with(campaign("a"), json!({"status": "paused"}));
    for (method, path, body) in [
        ("PUT", "/v1/campaigns/b", campaign("b").to_string()),
        ("PUT", "/v1/campaigns/a", paused.to_string()),
        ("DELETE", "/v1/campaigns/a", String::new()),
    ] {
        let answer = server.ask(method, path, body.as_bytes());
        assert_eq!(
            (answer.status, answer.header("content-type")),
            (503, Some("application/problem+json")),
            "{method} {path}"
        );
        assert!(answer.header("retry-after").is_some());
        let problem = answer.json();
        let detail = problem["detail"].as_str().unwrap();
        assert!(problem["status"] == 503 && detail.contains("nothing was changed: the log is full"), "{problem}");
    }
    assert_eq!(server.ask("GET", "/v1/campaigns/b", b"").status, 404);
    assert_eq!(server.ask("GET", "/v1/campaigns/a", b"").json().get("status"), None);
    // Notices, until the reserve is full: 64 at a time, so that it goes quickly.
    let mut next = paths.iter();
    let (mut booked, mut refused) = (0, Vec::new());
    while refused.is_empty() {
        let batch: Vec<&String> = next.by_ref().take(64).collect();
        assert!(!batch.is_empty(), "the reserve is never full: {booked} bills");
        let bytes: Vec<u8> = batch.iter().flat_map(|path| crate::http::request("GET", path, &[], b"")).collect();
        client.send(&bytes);
        for path in batch {
            let answer = client.answer();
            match answer.status {
                204 => booked += i64::from(path.starts_with("/n/bill/")),
                _ => {
                    answer.is_empty(503);
                    assert!(answer.header("retry-after").unwrap().parse::<u32>().unwrap() >= 1);
                    refused.push(path.clone());
                }
            }
        }
    }
    println!("{booked} bills on a full disk before the first 503");
    assert!(booked > 1_000, "the reserve took only {booked}");
    let a = server.is_sound("a");
    assert_eq!((a.spent, a.billed, a.late), (booked * 1_000_007, booked as u64, 0));
    client.post("/openrtb2/demo", request().to_string().as_bytes()).is_empty(204);

    // With more room it goes on, and what was refused is booked when it is sent again.
    drop(client);
    server.stop();
    write_files(server.dir.path(), &config.replace("3145728", "33554432"), &[campaign("a")]);
    server.run();
    for path in refused.iter().chain(&paths[..2]) {
        server.call("GET", path, b"").is_empty(204);
    }
    let all = booked + refused.iter().filter(|path| path.starts_with("/n/bill/")).count() as i64;
    wait_for(Duration::from_secs(2), "all are booked", || server.account("a").billed == all as u64);
    assert_eq!(server.is_sound("a").spent, all * 1_000_007);
    server.bid_soon(&request());
    server.put(&paused);
}

#[test]
fn of_a_response_that_the_log_refuses_no_bid_is_made() {
    let config = "[exchanges.demo]\nauction_lifetime_s = 0.5\nbill_lifetime_s = 0.5\n[log]\nlane_bytes = 65536\n";
    let mut server = Server::start(config, &[with(campaign("a"), json!({"budget": {"total": "1000000"}}))]);
    // More than the log takes at once, as soon as enough is leased for them.
    let imps: Vec<Value> =
        (0..1_500).map(|n| with(request()["imp"][0].clone(), json!({"id": n.to_string()}))).collect();
    let many = with(patient(), json!({"imp": imps}));
    let refused = |server: &Server| server.metric("gavel_no_bids_total{reason=\"log_busy\"}");
    let mut sent = 0;
    wait_for(Duration::from_secs(20), "a response is refused", || {
        let response = server.response(&many);
        sent += response.map_or(0, |r| r["seatbid"][0]["bid"].as_array().unwrap().len());
        refused(&server) >= 3.0
    });
    // What is in the log is what was sent, and the money of the others comes back.
    let a = server.settled("a", sent as u64);
    wait_for(Duration::from_secs(5), "all expires", || server.account("a").reserved == 0);
    assert_eq!((server.account("a").bids, a.spent), (sent as u64, 0));
    server.restart();
    assert_eq!(server.is_sound("a").bids, sent as u64);
}
