//! No bid is made that the budget cannot cover, and all of the budget can be bid.

use std::sync::atomic::{AtomicBool, AtomicI64, Ordering};
use std::time::{Duration, Instant};

use jiff::tz::TimeZone;
use serde_json::{Value, json};

use crate::make::{campaign, request, with, with_imp};
use crate::server::{Server, sum, wait_for, wait_until};

const BID: i64 = 2_500_000;

fn with_total(total: &str) -> Value {
    with(campaign("a"), json!({"budget": {"total": total}}))
}

/// Four clients ask until `enough` bids have been made, and for a while after that; each bid is given to `then`.
fn hammer(server: &Server, enough: i64, then: impl Fn(&Value) + Sync) -> i64 {
    let (bids, over) = (AtomicI64::new(0), AtomicBool::new(false));
    let body = request().to_string();
    let most = |server: &Server| {
        let a = server.account("a");
        assert!(a.spent + a.reserved <= a.budget, "{a:?}");
        assert!(a.overspend == 0 && a.reserved >= 0 && a.available >= 0, "{a:?}");
    };
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                let mut client = server.connect();
                while !over.load(Ordering::Relaxed) {
                    let answer = client.post("/openrtb2/demo", body.as_bytes());
                    if answer.status == 200 {
                        bids.fetch_add(1, Ordering::Relaxed);
                        then(&answer.json()["seatbid"][0]["bid"][0]);
                    }
                }
            });
        }
        let started = Instant::now();
        while bids.load(Ordering::Relaxed) < enough && started.elapsed() < Duration::from_secs(10) {
            most(server);
        }
        let until = Instant::now() + Duration::from_millis(200);
        while Instant::now() < until {
            most(server);
        }
        over.store(true, Ordering::Relaxed);
    });
    bids.into_inner()
}

#[test]
fn exactly_as_many_bids_are_made_as_the_budget_covers() {
    for (total, bids) in [("1.00", 400), ("0.501", 200), ("0.0024", 0), ("0.0025", 1)] {
        let server = Server::start("", &[with_total(total)]);
        assert_eq!(hammer(&server, bids, |_| {}), bids, "{total}");
        let a = server.settled("a", bids as u64);
        assert_eq!((a.spent, a.reserved), (0, bids * BID), "{total}");
    }
}

#[test]
fn billed_below_the_bid_the_rest_is_bid_again_and_no_nano_is_lost() {
    let server = Server::start("", &[with_total("0.5")]);
    let client = std::sync::Mutex::new(server.connect());
    // Every bill is for 1,000,001 nanos: the budget ends when less than a bid is left.
    let bids = hammer(&server, 498, |bid| {
        let url = bid["burl"].as_str().unwrap().replace("${AUCTION_PRICE}", "1.000001");
        client.lock().unwrap().get(url.strip_prefix("https://localhost").unwrap()).is_empty(204);
    });
    let a = server.settled("a", bids as u64);
    assert_eq!((a.spent, a.reserved, a.late, a.billed), (bids * 1_000_001, 0, 0, bids as u64));
    assert!(a.available < BID && a.spent <= a.budget, "{a:?}");
    assert_eq!(bids, 498);
}

#[test]
fn losses_make_the_whole_budget_available_again() {
    let server = Server::start("", &[with_total("0.05")]);
    for _ in 0..3 {
        let bids: Vec<Value> = (0..20).map(|_| server.bid_soon(&request())).collect();
        assert!(server.bid(&request()).is_none());
        bids.iter().for_each(|bid| server.lose(bid));
        let a = server.is_sound("a");
        assert_eq!((a.reserved, a.available), (0, a.budget));
    }
}

#[test]
fn a_lowered_budget_stops_bids_at_once_and_a_raised_one_resumes() {
    let server = Server::start("", &[campaign("a")]);
    let bids: Vec<Value> = (0..4).map(|_| server.bid_soon(&request())).collect();
    server.bill(&bids[0], "2.50");
    // Below what is spent and reserved; all that was leased comes back.
    server.put(&with_total("0.009"));
    for _ in 0..50 {
        assert!(server.bid(&request()).is_none());
    }
    let a = server.is_sound("a");
    assert_eq!((a.spent, a.reserved, a.available, a.overspend), (BID, 3 * BID, 0, 0));
    // What was promised before is still owed: the excess is shown.
    bids[1..].iter().for_each(|bid| server.bill(bid, "2.50"));
    let a = server.is_sound("a");
    assert_eq!((a.spent, a.late, a.overspend), (4 * BID, 0, 4 * BID - 9_000_000));
    let raised = Instant::now();
    server.put(&with_total("0.0125"));
    server.bid_soon(&request());
    println!("raised budget to first bid: {:?}", raised.elapsed());
    assert!(server.bid(&request()).is_none());
    assert_eq!(server.is_sound("a").overspend, 0);
}

#[test]
fn a_daily_budget_ends_the_day_and_not_the_campaign() {
    let daily = |nanos: &str| with(campaign("a"), json!({"budget": {"total": "100.00", "daily": nanos}}));
    let mut server = Server::start("[exchanges.demo]\nauction_lifetime_s = 1\nbill_lifetime_s = 1\n", &[daily("0.01")]);
    let bids: Vec<Value> = (0..4).map(|_| server.bid_soon(&request())).collect();
    assert!(server.bid(&request()).is_none());
    bids[..2].iter().for_each(|bid| server.bill(bid, "2.50"));
    bids[2..].iter().for_each(|bid| server.lose(bid));
    let a = server.is_sound("a");
    assert_eq!((a.spent, a.reserved, a.available), (2 * BID, 0, 100_000_000_000 - 2 * BID));
    // A restart does not make it another day.
    server.restart();
    for _ in 0..2 {
        let bid = server.bid_soon(&request());
        server.bill(&bid, "2.50");
    }
    std::thread::sleep(Duration::from_millis(30));
    assert!(server.bid(&request()).is_none());
    server.put(&daily("0.0125"));
    server.bid_soon(&request());
    std::thread::sleep(Duration::from_millis(30));
    assert!(server.bid(&request()).is_none());
    // Without a daily cap only the total counts; with one again, today's spend does.
    server.put(&with(daily("1.00"), json!({"budget": {"daily": null}})));
    (0..20).for_each(|_| drop(server.bid_soon(&request())));
    server.put(&daily("0.01"));
    assert!(server.bid(&request()).is_none());
    assert_eq!(server.is_sound("a").spent, 4 * BID);
}

#[test]
fn a_day_is_the_date_where_the_campaign_is() {
    let zones = ["Pacific/Kiritimati", "UTC", "Pacific/Pago_Pago"];
    let campaigns: Vec<Value> = zones
        .iter()
        .enumerate()
        .map(|(i, zone)| {
            let deal = format!("d{i}");
            let patch = json!({"time_zone": zone, "budget": {"daily": "10.00"}, "targeting": {"deals": [deal]}});
            with(campaign(&format!("c{i}")), patch)
        })
        .collect();
    let server = Server::start("", &campaigns);
    let today = |zone: &str| jiff::Timestamp::now().to_zoned(TimeZone::get(zone).unwrap()).date().to_string();
    for (i, zone) in zones.iter().enumerate() {
        let before = today(zone);
        let bid = server.bid_soon(&with_imp(request(), json!({"pmp": {"deals": [{"id": format!("d{i}")}]}})));
        server.bill(&bid, "1.00");
        let id = format!("c{i}");
        wait_until("it is in the books", || sum(&server.books(), &id).0 == 1_000_000);
        let row = server.books().into_iter().find(|r| r.campaign == id).unwrap();
        assert!(row.day == before || row.day == today(zone), "{zone}: {row:?}");
    }
    let mut days: Vec<String> = server.books().into_iter().map(|r| r.day).collect();
    days.sort();
    days.dedup();
    assert!(days.len() >= 2, "the first and the last zone never share a date: {days:?}");
}

#[test]
fn money_that_expires_is_bid_again() {
    let config = "[exchanges.demo]\nauction_lifetime_s = 0.3\nbill_lifetime_s = 0.3\n";
    let server = Server::start(config, &[with_total("0.02")]);
    for _ in 0..2 {
        (0..8).for_each(|_| drop(server.bid_soon(&request())));
        assert!(server.bid(&request()).is_none());
        wait_for(Duration::from_millis(900), "it comes back", || server.account("a").reserved == 0);
    }
    let a = server.is_sound("a");
    assert_eq!((a.available, a.spent), (20_000_000, 0));
}
