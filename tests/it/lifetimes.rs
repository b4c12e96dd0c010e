//! Money comes back when its time is over, and a bill after that is booked as late.

use std::time::{Duration, Instant};

use gavel::clock::SystemClock;
use gavel::event::Event;
use gavel::eventlog::EventLog;
use serde_json::json;

use crate::audit::open_log;
use crate::make::{campaign, request, with_imp};
use crate::server::{Server, wait_for, wait_until};

const BID: i64 = 2_500_000;

fn server(exchange: &str) -> Server {
    Server::start(&format!("[exchanges.demo]\n{exchange}\n"), &[campaign("a")])
}

fn reserved_is(server: &Server, nanos: i64) {
    wait_for(Duration::from_secs(10), &format!("{nanos} reserved"), || server.account("a").reserved == nanos);
}

#[test]
fn an_auction_that_nobody_tells_about_gives_its_money_back() {
    let server = server("auction_lifetime_s = 0.4\nbill_lifetime_s = 0.8");
    let (unknown, won) = (server.bid(&request()).unwrap(), server.bid(&request()).unwrap());
    server.win(&won, "2.00");
    assert_eq!(server.is_sound("a").reserved, 2 * BID);
    // The auction's time is over for the one, not for the other.
    reserved_is(&server, BID);
    reserved_is(&server, 0);
    let a = server.is_sound("a");
    assert_eq!((a.available, a.spent, a.wins), (a.budget, 0, 1));
    server.bill(&unknown, "2.00");
    server.bill(&won, "1.00");
    server.bill(&won, "1.00");
    let a = server.is_sound("a");
    assert_eq!((a.reserved, a.spent, a.late, a.billed), (0, 3_000_000, 3_000_000, 2));
    assert_eq!(server.metric("gavel_notices_total{kind=\"bill\",outcome=\"booked_late\"}"), 2.0);
    // What comes back can be bid again.
    assert!(server.bid(&request()).is_some());
}

#[test]
fn a_win_and_a_loss_after_the_money_came_back_move_none() {
    let server = server("auction_lifetime_s = 0.3\nbill_lifetime_s = 60");
    let (first, second) = (server.bid(&request()).unwrap(), server.bid(&request()).unwrap());
    reserved_is(&server, 0);
    server.win(&first, "2.00");
    server.lose(&second);
    let a = server.is_sound("a");
    assert_eq!((a.reserved, a.spent, a.available), (0, 0, a.budget));
    server.bill(&first, "2.00");
    let a = server.is_sound("a");
    assert_eq!((a.spent, a.late), (2_000_000, 2_000_000));
}

#[test]
fn without_wins_the_money_stays_for_the_bill_lifetime() {
    let lifetimes = "auction_lifetime_s = 0.1\nbill_lifetime_s = 60\n[exchanges.telling]\nauction_lifetime_s = 0.1\n";
    let server = server(&format!("sends_win = false\n{lifetimes}"));
    let bid = server.bid_soon(&request());
    // A later bid on an exchange that tells wins shows when the time of the auction is over.
    server.bid_of("telling", &request()).unwrap();
    reserved_is(&server, BID);
    server.bill(&bid, "2.00");
    let a = server.is_sound("a");
    assert_eq!((a.reserved, a.spent, a.late), (0, 2_000_000, 0));
}

#[test]
fn without_wins_the_money_comes_back_after_the_bill_lifetime() {
    let server = server("sends_win = false\nauction_lifetime_s = 0.1\nbill_lifetime_s = 0.6");
    let started = Instant::now();
    server.bid_soon(&request());
    reserved_is(&server, 0);
    assert!(started.elapsed() >= Duration::from_millis(600), "too early");
}

#[test]
fn an_impressions_exp_shortens_the_auction() {
    let server = server("auction_lifetime_s = 60\nbill_lifetime_s = 60");
    let bid = server.bid(&with_imp(request(), json!({"exp": 1}))).unwrap();
    assert_eq!(bid["exp"], 1);
    assert_eq!(server.account("a").reserved, BID);
    // Its bucket is as wide as the exchange's longest lifetime asks for.
    reserved_is(&server, 0);
    let odd = [0, -1, i64::MAX, i64::MIN];
    for exp in odd {
        let bid = server.bid(&with_imp(request(), json!({"exp": exp}))).unwrap();
        assert_eq!(bid["exp"], 55, "{exp}: a bill that is sent at its end is on its way for a while");
    }
    assert_eq!(server.is_sound("a").reserved, odd.len() as i64 * BID);
}

#[test]
fn an_expired_token_changes_nothing() {
    let server = server("token_lifetime_s = 0.3");
    let bid = server.bid(&request()).unwrap();
    let before = server.settled("a", 1);
    std::thread::sleep(Duration::from_millis(310));
    server.win(&bid, "2.00");
    server.bill(&bid, "2.00");
    server.lose(&bid);
    assert_eq!(server.is_sound("a"), before);
    assert_eq!(server.metric("gavel_odd_notices_total{kind=\"bill\",fault=\"expired\"}"), 1.0);
}

#[test]
fn watermarks_say_up_to_when_windows_are_closed_and_bids_forgotten() {
    let config = "[fraud]\nmax_age_days = 2\nmax_future_seconds = 30\n";
    let mut server = Server::start(config, &[campaign("a")]);
    assert_eq!(server.metric("gavel_notices_watermark_seconds"), 0.0, "nothing is forgotten");
    server.stop();
    let now_s = SystemClock::start().now().0 / 1_000;
    let before = u32::try_from(now_s / 60).unwrap() - 10;
    let log = open_log(server.dir.path(), 0, None);
    log.append_durable(0, &[Event::ReservationsForgotten { before }]).wait().unwrap();
    log.close().unwrap();
    server.run();
    let told = || (server.metric("gavel_notices_watermark_seconds"), server.metric("gavel_fraud_watermark_seconds"));
    wait_until("both are told", || told().0 > 0.0 && told().1 > 0.0);
    assert_eq!(told().0, f64::from(before) * 60.0);
    // The log's time, less how late a check may come.
    let closed_s = now_s - 2 * 86_400 - 30;
    assert!((closed_s as f64..closed_s as f64 + 60.0).contains(&told().1), "{} {closed_s}", told().1);
}
