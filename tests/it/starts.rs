//! What a start takes over from the one before it, under another config; and books it must not take over.

use std::path::Path;
use std::time::Duration;

use gavel::event::{Event, Process, Promise};
use gavel::eventlog::EventLog;
use gavel::ids::{CampaignNo, Epoch, NodeId};
use gavel::money::Nanos;
use rusqlite::Connection;
use serde_json::{Value, json};

use crate::audit::open_log;
use crate::make::{campaign, request, with};
use crate::process::run;
use crate::server::{Server, write_files};

const BID: i64 = 2_500_000;
/// Money of this config comes back within a second.
const SHORT: &str =
    "[exchanges.demo]\nauction_lifetime_s = 0.1\nbill_lifetime_s = 0.1\n[ledger]\nlease_grace_s = 0.05\n";

/// Stops, writes another config, and starts.
fn restart_with(server: &mut Server, config: &str, campaigns: &[Value]) {
    server.stop();
    write_files(server.dir.path(), config, campaigns);
    server.run();
}

#[test]
fn a_bill_is_booked_although_the_clock_is_days_ahead_since() {
    let mut server = Server::start("", &[campaign("a")]);
    let bid = server.bid_soon(&request());
    server.stop();
    // A start with such a clock, which did nothing else.
    let log = open_log(server.dir.path(), 3 * 86_400_000, None);
    let (node, promise) = (NodeId(0), Promise { billable_ms: 4_000_000 });
    log.append_durable(0, &[Event::EpochStarted { node, epoch: Epoch(2), promise, process: Process::ALONE }])
        .wait()
        .unwrap();
    log.close().unwrap();
    server.run();
    for _ in 0..2 {
        server.bill(&bid, "2.00");
    }
    let account = server.is_sound("a");
    assert_eq!((account.spent, account.billed), (2_000_000, 1));
    server.restart();
    assert_eq!(server.account("a").spent, 2_000_000);
}

#[test]
fn money_of_bids_with_longer_lifetimes_is_withheld_for_those() {
    let long = format!("{SHORT}[exchanges.slow]\nauction_lifetime_s = 60\nbill_lifetime_s = 60\n");
    let campaigns = [with(campaign("a"), json!({"budget": {"total": "0.02"}}))];
    let mut server = Server::start(&long, &campaigns);
    let bids: Vec<Value> = (0..8).map(|_| server.bid_of("slow", &request()).unwrap()).collect();
    // The exchange is gone, and whatever is left is quicker.
    restart_with(&mut server, SHORT, &campaigns);
    std::thread::sleep(Duration::from_millis(800));
    assert!(server.bid(&request()).is_none());
    let a = server.is_sound("a");
    assert_eq!((a.withheld, a.available), (8 * BID, 0));
    let answer = server.ask("GET", "/v1/campaigns/a/account", b"").json();
    let waits_s = answer["withheld_for_s"].as_i64().unwrap();
    assert!((100..=130).contains(&waits_s), "{waits_s}");
    bids.iter().for_each(|bid| server.bill(bid, "2.50"));
    let a = server.is_sound("a");
    assert_eq!((a.spent, a.late, a.withheld, a.overspend), (8 * BID, 0, 0, 0));
}

#[test]
fn bills_of_an_exchange_that_is_gone_are_booked_whatever_it_writes_prices_in() {
    let config = "[exchanges.demo]\n[exchanges.g]\nprice = \"google\"\n\
        google_encryption_key = \"sIxwz7yw62yrfoLGt12lIHKuYrK_S5kLuApI2BQe7Ac=\"\n\
        google_integrity_key = \"v3fsVcMBMMHYzRhi7SpM0sdqwzvAxM6KPTu9OtVod5I\"\n";
    let campaigns = [campaign("a")];
    let mut server = Server::start(config, &campaigns);
    let bids: Vec<Value> = (0..2).map(|_| server.bid_of("g", &request()).unwrap()).collect();
    restart_with(&mut server, "[exchanges.demo]\n", &campaigns);
    for nothing in ["", "AUDIT", "${AUCTION_PRICE}"] {
        server.bill(&bids[0], nothing);
    }
    assert_eq!(server.account("a").spent, 0);
    // What it charged cannot be read any more; it is at most the bid.
    server.bill(&bids[0], "OG46wAAMCggBI0VniavN7-mNy0VTKPbB3o5CMQ");
    server.bill(&bids[1], "1.00");
    assert_eq!(server.is_sound("a").spent, BID + 1_000_000);
}

#[test]
fn withheld_money_comes_back_over_starts_that_are_shorter_than_its_wait() {
    let config = "[exchanges.demo]\nauction_lifetime_s = 0.5\nbill_lifetime_s = 1.5\n[ledger]\nlease_grace_s = 0.5\n";
    let mut server = Server::start(config, &[campaign("a")]);
    server.bid_soon(&request());
    let mut starts = 0;
    loop {
        server.restart();
        if server.account("a").withheld == 0 {
            break;
        }
        starts += 1;
        assert!(starts < 10, "withheld for ever: {:?}", server.account("a"));
        std::thread::sleep(Duration::from_millis(900));
    }
    assert!(starts >= 2, "it came back before anything was over");
}

const EXPIRED: &str = "gavel_odd_notices_total{kind=\"bill\",fault=\"expired\"}";

#[test]
fn a_token_lives_as_long_as_the_newest_start_says_and_is_billed_once() {
    let config = |token_s: &str| format!("[exchanges.demo]\ntoken_lifetime_s = {token_s}\n");
    let campaigns = [campaign("a")];
    let mut server = Server::start(&config("3600"), &campaigns);
    let (billed, open) = (server.bid_soon(&request()), server.bid_soon(&request()));
    server.bill(&billed, "2.00");
    restart_with(&mut server, &config("0.3"), &campaigns);
    std::thread::sleep(Duration::from_millis(400));
    server.bill(&open, "2.00");
    assert_eq!((server.is_sound("a").billed, server.metric(EXPIRED)), (1, 1.0));
    restart_with(&mut server, &config("3600"), &campaigns);
    let new = server.bid_soon(&request());
    [&billed, &open, &new].into_iter().for_each(|bid| server.bill(bid, "2.00"));
    let a = server.is_sound("a");
    assert_eq!((a.spent, a.billed), (6_000_000, 3));
}

fn books(dir: &Path) -> std::path::PathBuf {
    dir.join("data/books.sqlite")
}

/// The start must be refused, with these words.
#[track_caller]
fn is_refused(server: &mut Server, words: &[&str]) {
    let error = server.try_run().unwrap_err();
    assert!(words.iter().all(|word| error.contains(word)), "{error}");
}

#[test]
fn books_that_were_edited_are_refused_named_and_rebuilt() {
    let mut server = Server::start("", &[campaign("a")]);
    for _ in 0..3 {
        let bid = server.bid_soon(&request());
        server.bill(&bid, "2.00");
    }
    let before = server.is_sound("a");
    server.stop();
    let file = books(server.dir.path());
    Connection::open(&file).unwrap().execute("UPDATE campaigns SET spent = spent - 1", []).unwrap();
    is_refused(&mut server, &["edited", "gavel audit", "books.sqlite"]);
    let audit = run(server.dir.path(), &["audit"]);
    let told = String::from_utf8(audit.stdout).unwrap();
    assert_eq!(audit.status.code(), Some(1), "{told}");
    assert!(told.contains("a: spent: 0.006 by the log, 0.005999999 in the books"), "{told}");
    std::fs::remove_file(file).unwrap();
    server.run();
    let after = server.is_sound("a");
    assert_eq!((after.spent, after.billed), (before.spent, before.billed));
}

#[test]
fn books_of_another_log_are_refused() {
    let mut servers = [Server::start("", &[campaign("a")]), Server::start("", &[campaign("a")])];
    for server in &mut servers {
        let bid = server.bid_soon(&request());
        server.bill(&bid, "2.00");
        server.stop();
    }
    // The longer log, so that the books are not ahead of it.
    let [mut own, other] = servers;
    own.run();
    own.stop();
    std::fs::copy(books(other.dir.path()), books(own.dir.path())).unwrap();
    is_refused(&mut own, &["another log", "books.sqlite"]);
}

#[test]
fn books_of_an_earlier_version_are_folded_anew() {
    let mut server = Server::start("", &[campaign("a")]);
    let bid = server.bid_soon(&request());
    server.bill(&bid, "2.00");
    server.stop();
    let db = Connection::open(books(server.dir.path())).unwrap();
    db.execute_batch("PRAGMA user_version = 0; DROP TABLE starts; UPDATE campaigns SET spent = 1").unwrap();
    db.close().unwrap();
    server.run();
    assert_eq!(server.is_sound("a").spent, 2_000_000);
}

#[test]
fn a_start_on_a_full_log_says_so_and_what_to_do() {
    const MAX_BYTES: u64 = 3 << 20;
    let config = format!("[log]\nsegment_bytes = 1048576\nmax_bytes = {MAX_BYTES}\n");
    let mut server = Server::start(&config, &[campaign("a")]);
    server.stop();
    let nothing = Event::Correction { campaign: CampaignNo(0), drift: Nanos(0) };
    // In ever smaller pieces. What was refused once is refused until the log is opened again.
    for count in [1_000, 30, 1] {
        let log = open_log(server.dir.path(), 0, Some(MAX_BYTES));
        let piece = vec![nothing.clone(); count];
        while log.append_durable(0, &piece).wait().is_ok() {}
        log.close().unwrap();
    }
    is_refused(&mut server, &["the log is full", "log.max_bytes"]);
    write_files(server.dir.path(), &config.replace("3145728", "33554432"), &[campaign("a")]);
    server.run();
    server.bid_soon(&request());
}
