//! Segments of the log go once they are exported, and nobody sees a difference: not a start, not an audit, not a replay.

use std::fs;
use std::path::Path;
use std::time::Duration;

use gavel::clock::UnixMs;
use gavel::event::{Event, Recorded};
use gavel::eventlog::EventLog;
use gavel::fraud::answer::id_text;
use gavel::fraud::store::check_id;
use serde_json::{Value, json};

use crate::archive::says;
use crate::audit::{books, open_log};
use crate::http::Answer;
use crate::make::{campaign, request, with};
use crate::server::{Server, wait_for, write_files};

const DAY_MS: i64 = 86_400_000;
const FRAUD: &str = "[fraud]\nmax_age_days = 0\n[[fraud.windows]]\nname = \"seen\"\nkey = [\"customer.id\"]\naggregate = \"count\"\nlength = \"90d\"\n";
const KEPT: &str = "[log]\nsegment_bytes = 1048576\nkeep_days = 2\n";
const RULE: &[u8] = b"[[rules]]\nid = \"again\"\nwhen = \"seen > 2\"\naction = \"review\"\nmode = \"live\"\nscore = 70\nmessage = \"Again\"\n";

fn capped(seconds: u32) -> Value {
    with(campaign("a"), json!({"frequency_caps": [{"impressions": 1, "per_seconds": seconds}]}))
}

fn user(ifa: &str) -> Value {
    with(request(), json!({"device": {"ifa": ifa}}))
}

fn check(server: &Server, transaction: &str) -> Answer {
    let body = json!({"merchant_id": "m", "transaction_id": transaction, "amount": {"value": 100, "currency": "EUR"},
        "customer": {"id": "c-1"}});
    server.connect().request(
        "POST",
        "/v1/fraud/checks",
        &[("Idempotency-Key", transaction)],
        body.to_string().as_bytes(),
    )
}

fn known(server: &Server, transaction: &str) -> Answer {
    server.call("GET", &format!("/v1/fraud/checks/{}", id_text(check_id("m", transaction))), b"")
}

fn decision(answer: &Answer) -> Value {
    assert_eq!(answer.status, 200, "{}", answer.text());
    answer.json()["decision"].clone()
}

/// Some megabytes in the log of a stopped server, so much later.
fn fill(dir: &Path, after_ms: i64) {
    let log = open_log(dir, after_ms, None);
    for _ in 0..5 {
        let body = format!("{{\"x\":\"{}\"}}", "x".repeat(900_000));
        let recorded = Recorded { personal: false, exchange: 0, decided_at: UnixMs(0), body, bids: Vec::new() };
        log.append_durable(0, &[Event::Request(recorded)]).wait().unwrap();
    }
    log.close().unwrap();
}

/// A stopped server that has lived ten days ago and now; with so many segments between that the first ones can go.
fn lived() -> Server {
    let mut server = Server::start(&format!("{KEPT}{FRAUD}"), &[campaign("b"), capped(1)]);
    let bids: Vec<Value> = (0..4).map(|_| server.bid_soon(&request())).collect();
    server.bill(&bids[0], "2.00");
    server.win(&bids[1], "2.00");
    server.lose(&bids[2]);
    server.put(&with(campaign("put"), json!({"bid": {"price": "0.01"}, "advertiser": "acme"})));
    server.delete("put");
    // Only the capped one bids for people that it knows.
    server.delete("b");
    let seen = server.bid_soon(&user("u1"));
    server.bill(&seen, "2.00");
    assert_eq!(server.ask("PUT", "/v1/fraud/rules", RULE).status, 200);
    for transaction in ["t-1", "t-2"] {
        assert_eq!(decision(&check(&server, transaction)), "allow");
    }
    server.settled("a", 1);
    server.stop();
    fill(server.dir.path(), 0);
    fill(server.dir.path(), 10 * DAY_MS);
    server.run();
    let bid = server.bid_soon(&user("u2"));
    server.bill(&bid, "1.00");
    assert_eq!(decision(&check(&server, "t-3")), "review", "the window has ninety days");
    server.stop();
    server
}

fn hashes(dir: &Path, arguments: &[&str]) -> Vec<String> {
    let said = says(dir, arguments, 0, &["\nevents  "]);
    let rows = ["events ", "books ", "fraud ", "caps "];
    said.lines().filter(|line| rows.iter().any(|row| line.starts_with(row))).map(str::to_owned).collect()
}

fn begin(server: &Server) -> f64 {
    server.metric("gavel_log_begin")
}

#[test]
fn what_is_exported_and_old_goes_and_nobody_sees_a_difference() {
    let mut server = lived();
    let dir = server.dir.path().to_path_buf();
    let between = gavel::clock::SystemClock::start().now().plus(5 * DAY_MS).to_string();
    let whole = hashes(&dir, &["replay", "--to", &between]);
    let segments = || {
        fs::read_dir(dir.join("data/log"))
            .unwrap()
            .filter(|e| e.as_ref().unwrap().path().extension().is_some_and(|e| e == "seg"))
            .count()
    };
    let before = segments();
    says(&dir, &["export"], 0, &[" events, from 0 to "]);
    server.run();
    wait_for(Duration::from_secs(10), "old segments are gone", || segments() < before - 3);
    let first = begin(&server) as u64;

    // What is not in the log any more is said so. The answer is not made up, nor the check forgotten.
    let said = known(&server, "t-1");
    assert_eq!((said.status, said.json()["code"].clone()), (410, json!("archived")), "{}", said.text());
    assert!(said.text().contains(&format!("begins at event {first}")), "{}", said.text());
    assert_eq!(decision(&check(&server, "t-4")), "review");
    let a = server.is_sound("a");
    assert_eq!((a.spent, a.billed), (3_000_000, 2));
    server.stop();

    // Who reads the log from its first event on begins in the archive, and says so.
    let from = format!("the log begins at event {first}: what was before is read from data/archive");
    says(&dir, &["audit"], 0, &[&from, "0 differences over "]);
    says(&dir, &["audit", "--archive"], 0, &["0 differences over "]);
    says(&dir, &["replay", "--fraud"], 0, &[&from, "0 differences over 4 decisions"]);
    says(&dir, &["replay"], 0, &[&from, "the same as rebuilt"]);
    says(&dir, &["export"], 0, &[" events, from "]);
    assert_eq!(hashes(&dir, &["replay"]), hashes(&dir, &["replay", "--archive"]));
    let today = gavel::clock::Zone::utc().local_hour(gavel::clock::SystemClock::start().now()).day.to_string();
    says(&dir, &["report", "--month", &today[..7], "--draft"], 0, &[",a,USD,"]);
    says(&dir, &["export", "--to", "other"], 0, &[" events, from 0 to "]);
    assert_eq!(hashes(&dir, &["replay"]), hashes(&dir, &["replay", "--archive", "other"]));

    // A start without checkpoint and books, and with a cap that reaches back to before the log's beginning.
    fs::remove_file(dir.join("data/fraud-checkpoint")).unwrap();
    for file in ["books.sqlite", "books.sqlite-wal", "books.sqlite-shm"] {
        let _none_is_fine = fs::remove_file(dir.join("data").join(file));
    }
    write_files(&dir, &format!("{KEPT}{FRAUD}"), &[capped(30 * 86_400)]);
    server.run();
    assert_eq!(server.is_sound("a").spent, 3_000_000);
    assert!(server.bid(&user("u1")).is_none() && server.bid(&user("u2")).is_none());
    server.bid_soon(&user("u3"));
    assert_eq!(server.ask("GET", "/v1/fraud/rules", b"").text().as_bytes(), RULE);
    // Its answer was read back.
    assert_eq!((decision(&known(&server, "t-1")), decision(&check(&server, "t-4"))), (json!("allow"), json!("review")));
    assert_eq!(begin(&server) as u64, first, "nothing more was old");
    server.stop();
    says(&dir, &["audit"], 0, &["0 differences over "]);
    // Caps are another matter: they are those of today's files.
    let again = hashes(&dir, &["replay", "--to", &between]);
    assert_eq!(again[..3], whole[..3], "as before anything was gone");

    // Without the archive a start goes on, from what is stored; nothing else makes up what is gone.
    fs::rename(dir.join("data/archive"), dir.join("away")).unwrap();
    write_files(&dir, &format!("{KEPT}{FRAUD}"), &[capped(1)]);
    server.run();
    assert_eq!(server.is_sound("a").spent, 3_000_000);
    server.stop();
    let place = "it is not in the log any more, and the archive in data/archive";
    says(&dir, &["audit"], 2, &["event 0: ", place]);
    says(&dir, &["replay"], 2, &[place]);
    says(&dir, &["replay", "--fraud"], 2, &[place]);
    says(&dir, &["export"], 1, &[place]);
    fs::remove_file(dir.join("data/fraud-checkpoint")).unwrap();
    let refused = server.try_run().unwrap_err();
    assert!(refused.contains("event 0: ") && refused.contains("data/archive"), "{refused}");
    // One of another log is none.
    let other = lived();
    fs::remove_dir_all(dir.join("data/archive")).unwrap();
    says(other.dir.path(), &["export"], 0, &[" events, from 0 to "]);
    fs::rename(other.dir.path().join("data/archive"), dir.join("data/archive")).unwrap();
    says(&dir, &["audit"], 2, &["is of another log"]);
    fs::remove_dir_all(dir.join("data/archive")).unwrap();
    fs::rename(dir.join("away"), dir.join("data/archive")).unwrap();
    server.run();
    assert_eq!(decision(&check(&server, "t-3")), "review");
    server.stop();
    assert!(books(&dir).exists());
}
