//! Stops and kills: nothing acknowledged is lost, and nothing is promised twice.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use gavel::clock::{SystemClock, UnixMs};
use gavel::event::{Event, Stamped};
use gavel::eventlog::{DirStorage, EventLog, Follower, LogConfig, SegmentLog};
use gavel::ids::CampaignNo;
use gavel::money::Nanos;
use serde_json::{Value, json};

use crate::http::Client;
use crate::make::{campaign, request, with};
use crate::process::Process;
use crate::server::{Account, Server, account, rows, sum, wait_for, write_files};

const BID: i64 = 2_500_000;
/// Short enough to see withheld money come back.
const SHORT: &str =
    "[exchanges.demo]\nauction_lifetime_s = 0.5\nbill_lifetime_s = 0.5\n[ledger]\nlease_grace_s = 0.2\n";

#[test]
fn a_restart_keeps_what_is_spent_and_withholds_what_was_reserved_until_it_cannot_be_billed() {
    let mut server = Server::start(SHORT, &[campaign("a")]);
    let bids: Vec<Value> = (0..4).map(|_| server.bid_soon(&request())).collect();
    server.bill(&bids[0], "2.00");
    server.win(&bids[1], "2.00");
    let before = server.settled("a", 4);
    assert_eq!((before.reserved, before.spent), (3 * BID, 2_000_000));
    server.restart();
    let a = server.is_sound("a");
    // A graceful stop returns all but what is reserved.
    assert_eq!((a.reserved, a.withheld, a.spent, a.late), (0, 3 * BID, 2_000_000, 0));
    assert_eq!((a.bids, a.wins, a.billed), (4, 2, 1));
    // In time: out of what is withheld.
    server.bill(&bids[1], "2.00");
    server.bill(&bids[0], "2.00");
    let a = server.is_sound("a");
    assert_eq!((a.spent, a.late, a.withheld), (4_000_000, 0, 3 * BID - 2_000_000));
    server.lose(&bids[2]);
    wait_for(Duration::from_secs(3), "it comes back", || server.account("a").withheld == 0);
    let a = server.is_sound("a");
    assert_eq!((a.reserved, a.available), (0, a.budget - 4_000_000));
    // After that: late.
    server.bill(&bids[3], "2.00");
    let a = server.is_sound("a");
    assert_eq!((a.spent, a.late, a.withheld, a.billed), (6_000_000, 2_000_000, 0, 3));
    // And all of it again: once is once, over restarts too.
    server.restart();
    bids.iter().for_each(|bid| server.bill(bid, "2.00"));
    let a = server.is_sound("a");
    assert_eq!((a.spent, a.billed, a.late), (8_000_000, 4, 4_000_000));
}

#[test]
fn what_is_withheld_is_not_bid() {
    let config = "[exchanges.demo]\nauction_lifetime_s = 60\n";
    let mut server = Server::start(config, &[with(campaign("a"), json!({"budget": {"total": "0.02"}}))]);
    let bids: Vec<Value> = (0..5).map(|_| server.bid_soon(&request())).collect();
    server.restart();
    (0..3).for_each(|_| drop(server.bid_soon(&request())));
    std::thread::sleep(Duration::from_millis(30));
    assert!(server.bid(&request()).is_none());
    let a = server.is_sound("a");
    assert_eq!((a.reserved, a.withheld, a.available), (3 * BID, 5 * BID, 0));
    bids.iter().for_each(|bid| server.bill(bid, "2.50"));
    let a = server.is_sound("a");
    assert_eq!((a.spent, a.late, a.withheld, a.overspend), (5 * BID, 0, 0, 0));
}

#[test]
fn notices_sent_before_a_restart_are_not_booked_again_after_it() {
    let mut server = Server::start("", &[campaign("a")]);
    let bid = server.bid(&request()).unwrap();
    server.bill(&bid, "1.25");
    for _ in 0..3 {
        server.restart();
        server.bill(&bid, "1.25");
        let a = server.is_sound("a");
        assert_eq!((a.spent, a.billed, a.wins, a.late), (1_250_000, 1, 1, 0));
    }
}

struct Told {
    path: String,
    nanos: i64,
    acknowledged: bool,
}

/// Bids and bills until the process is gone; every bill it sent, and whether it was answered.
fn traffic(process: &Process, told: &Mutex<Vec<Told>>) {
    let mut client = process.connect();
    let body = request().to_string();
    for i in 0.. {
        let Ok(answer) = client.try_request("POST", "/openrtb2/demo", &[], body.as_bytes()) else { return };
        if answer.status != 200 {
            continue;
        }
        let bid = &answer.json()["seatbid"][0]["bid"][0];
        let nanos = 1_000_000 + i % 1_000_000;
        let path = |which: &str| {
            let price = format!("{}.{:06}", nanos / 1_000_000, nanos % 1_000_000);
            let url = bid[which].as_str().unwrap().replace("${AUCTION_PRICE}", &price);
            url.strip_prefix("https://localhost").unwrap().to_owned()
        };
        if i % 3 == 0 && client.try_request("GET", &path("nurl"), &[], b"").is_err() {
            return;
        }
        if i % 10 == 9 {
            continue;
        }
        let answer = client.try_request("GET", &path("burl"), &[], b"");
        let acknowledged = answer.as_ref().is_ok_and(|a| a.status == 204);
        told.lock().unwrap().push(Told { path: path("burl"), nanos, acknowledged });
        if answer.is_err() {
            return;
        }
    }
}

fn account_of(admin: &mut Client) -> Account {
    let a = account(&admin.get("/v1/campaigns/a/account").json());
    assert!(a.spent + a.reserved + a.withheld <= a.budget, "{a:?}");
    wait_for(Duration::from_secs(1), "books equal the account", || {
        sum(&rows(&admin.get("/v1/books").json()), "a") == (a.spent, a.late, a.billed)
    });
    a
}

#[test]
fn kill_9_under_traffic_loses_no_acknowledged_notice_and_promises_nothing_twice() {
    let dir = tempfile::tempdir().unwrap();
    write_files(dir.path(), "", &[with(campaign("a"), json!({"budget": {"total": "20.00"}}))]);
    let told = Mutex::new(Vec::new());
    for round in 0..3 {
        let mut process = Process::start(dir.path(), &[], "admin");
        let a = account_of(&mut process.ask());
        let (sure, possible) = told.lock().unwrap().iter().fold((0, 0), |(sure, possible), t: &Told| {
            (sure + if t.acknowledged { t.nanos } else { 0 }, possible + t.nanos)
        });
        assert!((sure..=possible).contains(&a.spent), "round {round}: {sure} to {possible}, {a:?}");
        assert_eq!(a.late, 0);
        std::thread::scope(|scope| {
            (0..3).for_each(|_| drop(scope.spawn(|| traffic(&process, &told))));
            std::thread::sleep(Duration::from_millis(400));
            let mut admin = process.ask();
            let a = account(&admin.get("/v1/campaigns/a/account").json());
            assert!(a.spent + a.reserved + a.withheld <= a.budget, "{a:?}");
            process.signal(libc::SIGKILL);
        });
        process.wait(Duration::from_secs(5));
    }
    // Exchanges send what was not answered again; some send everything again. Each is booked once.
    let told = told.into_inner().unwrap();
    assert!(told.iter().filter(|t| t.acknowledged).count() > 50, "hardly any traffic: {}", told.len());
    let process = Process::start(dir.path(), &[], "admin");
    let mut client = process.connect();
    for t in &told {
        client.get(&t.path).is_empty(204);
    }
    let a = account_of(&mut process.ask());
    assert_eq!((a.spent, a.billed), (told.iter().map(|t| t.nanos).sum(), told.len() as u64));
    assert_eq!((a.late, a.overspend), (0, 0));
    assert!(!process.errors().contains("ERROR"), "{}", process.errors());
}

#[test]
fn sigterm_ends_it_promptly_with_0_and_the_next_start_recovers_nothing() {
    let dir = tempfile::tempdir().unwrap();
    write_files(dir.path(), "", &[campaign("a")]);
    let mut process = Process::start(dir.path(), &[], "admin");
    let mut client = process.connect();
    let answer = client.post("/openrtb2/demo", request().to_string().as_bytes());
    let burl = answer.json()["seatbid"][0]["bid"][0]["burl"].as_str().unwrap().replace("${AUCTION_PRICE}", "2.00");
    client.get(burl.strip_prefix("https://localhost").unwrap()).is_empty(204);
    // An open, idle connection does not hold it up.
    process.signal(libc::SIGTERM);
    assert_eq!(process.wait(Duration::from_secs(3)).code(), Some(0));
    assert!(client.try_request("GET", "/ready", &[], b"").is_err());
    let process = Process::start(dir.path(), &[], "admin");
    let a = account_of(&mut process.ask());
    assert_eq!((a.spent, a.withheld, a.bids), (2_000_000, 0, 1));
    assert_eq!(process.errors(), "");
}

#[test]
fn tokens_that_live_shorter_than_bills_may_take_are_warned_of() {
    let dir = tempfile::tempdir().unwrap();
    let config =
        "[exchanges.short]\ntoken_lifetime_s = 60\n[exchanges.other]\nbill_lifetime_s = 60\ntoken_lifetime_s = 60\n";
    write_files(dir.path(), config, &[campaign("a")]);
    let errors = Process::start(dir.path(), &[], "admin").errors();
    assert!(errors.contains("token_lifetime_s is shorter") && errors.contains("short"), "{errors}");
    assert_eq!(errors.lines().count(), 1, "{errors}");
}

#[test]
fn a_shorter_token_lifetime_holds_for_older_tokens_too() {
    let mut server = Server::start("[exchanges.demo]\ntoken_lifetime_s = 3600\n", &[campaign("a")]);
    let (billed, open) = (server.bid_soon(&request()), server.bid_soon(&request()));
    server.bill(&billed, "2.00");
    server.stop();
    // Reservations are remembered as long as tokens live: one that is not must not be booked again.
    write_files(server.dir.path(), "[exchanges.demo]\ntoken_lifetime_s = 0.5\n", &[campaign("a")]);
    server.run();
    std::thread::sleep(Duration::from_millis(600));
    server.bill(&billed, "2.00");
    server.bill(&open, "2.00");
    let a = server.is_sound("a");
    assert_eq!((a.spent, a.billed), (2_000_000, 1));
    assert_eq!(server.metric("gavel_odd_notices_total{kind=\"bill\",fault=\"expired\"}"), 2.0);
}

#[test]
fn notices_of_a_log_that_was_deleted_change_nothing() {
    let mut server = Server::start("", &[campaign("a")]);
    let bids = [server.bid_soon(&request()), server.bid_soon(&request())];
    server.stop();
    std::fs::remove_dir_all(server.dir.path().join("data/log")).unwrap();
    std::fs::remove_file(server.dir.path().join("data/books.sqlite")).unwrap();
    server.run();
    // Campaigns and starts are numbered anew: these would be booked to whoever has the number now, and give money
    // back that was never set aside.
    server.bill(&bids[0], "2.00");
    server.lose(&bids[1]);
    let a = server.is_sound("a");
    assert_eq!((a.spent, a.reserved, a.billed), (0, 0, 0));
}

struct Nobody;

impl Follower for Nobody {
    fn apply(&mut self, _: &Stamped, _: &mut Vec<Event>) {}
    fn tick(&mut self, _: UnixMs, _: &mut Vec<Event>) {}
}

#[test]
fn bids_go_on_after_the_clock_was_set_back() {
    let mut server = Server::start("", &[campaign("a")]);
    server.bid_soon(&request());
    server.stop();
    // The last event of the log is from an hour ahead.
    let storage = Arc::new(DirStorage::new(server.dir.path().join("data/log")).unwrap());
    let config = LogConfig { segment_bytes: 1 << 20, ..LogConfig::default() };
    let ahead = SystemClock::start().now().plus(3_600_000);
    let opened = SegmentLog::open(storage, config, &mut |_, _| {}).unwrap();
    let log = opened.start(Box::new(move || ahead), Box::new(Nobody), Box::new(|_| {})).unwrap();
    let correction = Event::Correction { campaign: CampaignNo(0), drift: Nanos(0) };
    log.append_durable(0, &[correction]).wait().unwrap();
    log.close().unwrap();
    drop(log);
    server.run();
    let ahead_ms = server.metric("gavel_clock_ahead_milliseconds");
    assert!((3_500_000.0..=3_600_000.0).contains(&ahead_ms), "{ahead_ms}");
    let bids: Vec<Value> = (0..3).map(|_| server.bid_soon(&request())).collect();
    server.bill(&bids[0], "2.00");
    server.lose(&bids[1]);
    let a = server.is_sound("a");
    assert_eq!((a.spent, a.late, a.reserved), (2_000_000, 0, BID));
}
