//! Even pacing in a running server: what is told of it, and that it obeys at once.

use gavel::event::Event;
use gavel::eventlog::{DirStorage, ReadOnlyLog};
use serde_json::{Value, json};

use crate::make::{campaign, nanos, request, with};
use crate::server::{Server, wait_until};

fn even(patch: Value) -> Value {
    with(with(campaign("a"), json!({"pacing": "even", "budget": {"total": "1000.00", "daily": "10.00"}})), patch)
}

fn pacing(server: &Server) -> Value {
    server.ask("GET", "/v1/campaigns/a/account", b"").json()["pacing"].take()
}

#[test]
fn the_account_tells_of_the_plan() {
    let server = Server::start("", &[even(json!({}))]);
    wait_until("the first look", || pacing(&server)["amount"] != "0.00");
    let told = pacing(&server);
    assert_eq!(told["amount"], "10.00", "{told}");
    assert!((0.0..=1.0).contains(&told["multiplier"].as_f64().unwrap()), "{told}");
    assert!(nanos(told["planned"].as_str().unwrap()) < 10_000_000_000, "{told}");
    assert_eq!(server.metric("gavel_paced_campaigns"), 1.0);
    assert_eq!(server.metric("gavel_pacing_held_campaigns"), 0.0);

    server.put(&even(json!({"budget": {"daily": "4.00"}})));
    wait_until("the new plan", || pacing(&server)["amount"] == "4.00");
    // Neither an end nor a daily budget: nothing to plan.
    server.put(&even(json!({"budget": {"daily": null}})));
    assert!(pacing(&server).is_null());
    server.put(&even(json!({"budget": {"daily": null}, "ends_at": "2099-01-01T00:00:00Z"})));
    wait_until("a plan to the end", || pacing(&server)["amount"] == "1000.00");
    server.put(&even(json!({"pacing": "asap"})));
    assert!(pacing(&server).is_null());
    assert_eq!(server.bid_soon(&request())["price"], 2.5, "asap bids exactly its price");
}

#[test]
fn an_even_campaign_does_not_spend_its_day_at_once() {
    // 4,000 impressions; an hour's part of a whole day is 167 of them.
    let server = Server::start("", &[even(json!({}))]);
    let body = request();
    let mut bids = 0;
    for _ in 0..2_000 {
        if let Some(bid) = server.bid(&body) {
            let price = bid["price"].as_f64().unwrap();
            assert!(price > 0.0 && price <= 2.5, "{price}");
            server.bill(&bid, &price.to_string());
            bids += 1;
        }
    }
    // However late in the day: 0.5 % of the amount, or two bids, ahead of a plan of seconds.
    let a = server.settled("a", bids);
    let told = pacing(&server);
    let planned = nanos(told["planned"].as_str().unwrap());
    assert!(bids > 0 && a.spent <= planned + 200_000_000, "{a:?} {told}");
}

#[test]
fn requests_are_told_to_the_log_and_audits_agree() {
    let mut server = Server::start("", &[even(json!({}))]);
    (0..10).for_each(|_| drop(server.response(&request())));
    server.stop();
    let storage = DirStorage::new(server.dir.path().join("data/log")).unwrap();
    let log = ReadOnlyLog::open(std::sync::Arc::new(storage), &mut |_, _| {}).unwrap();
    let mut reader = log.read(gavel::event::Offset(0)).unwrap();
    let mut told = Vec::new();
    while let Some(stamped) = reader.next_event().unwrap() {
        if let Event::Traffic { requests, .. } = stamped.event {
            told.push(requests);
        }
    }
    assert_eq!(told.iter().sum::<u64>(), 10, "{told:?}");
    server.run();
}
