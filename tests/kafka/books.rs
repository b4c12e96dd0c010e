//! gavel serving with its log on Kafka: money exact to the nano, and every command reads the log there.

use std::time::Duration;

use serde_json::Value;

use crate::broker::shared;
use crate::make::{campaign, request};
use crate::process::{errors_of, run};
use crate::server::{Server, wait_for, wait_until};
use crate::tools::{table, topic};

const BID: i64 = 2_500_000;

/// Runs it in the server's directory; what it printed.
fn gavel(server: &Server, arguments: &[&str]) -> String {
    let output = run(server.dir.path(), arguments);
    let printed = String::from_utf8(output.stdout.clone()).unwrap();
    assert!(output.status.success(), "{arguments:?}: {printed}{}", errors_of(&output));
    printed
}

#[test]
fn bids_and_notices_are_exact_over_restarts_and_every_command_reads_the_topic() {
    let Some(broker) = shared() else { return };
    let kafka = topic(broker);
    let mut server = Server::start(&table(&kafka), &[campaign("a"), campaign("b")]);
    let bids: Vec<Value> = (0..6).map(|_| server.bid_soon(&request())).collect();
    server.win(&bids[0], "2.00");
    server.bill(&bids[0], "2.00");
    server.bill(&bids[0], "2.00");
    server.bill(&bids[1], "1.000001");
    server.lose(&bids[2]);
    let sums = |server: &Server| {
        let (a, b) = (server.is_sound("a"), server.is_sound("b"));
        (a.spent + b.spent, a.reserved + b.reserved + a.withheld + b.withheld, a.billed + b.billed, a.bids + b.bids)
    };
    wait_until("all bids are in the log", || server.account("a").bids + server.account("b").bids == 6);
    assert_eq!(sums(&server), (3_000_001, 3 * BID, 2, 6));
    assert!(
        gavel(&server, &["audit", "--server", &format!("http://{}", server.admin())]).contains("0 differences over")
    );
    server.restart();
    assert_eq!(sums(&server), (3_000_001, 3 * BID, 2, 6));
    server.bill(&bids[1], "1.000001");
    server.bill(&bids[3], "2.50");
    assert_eq!(sums(&server), (3_000_001 + BID, 2 * BID, 3, 6));
    let from_rest = server.put(&campaign("c"));
    assert_eq!(from_rest.status, 201);
    server.stop();

    assert!(gavel(&server, &["audit"]).contains("0 differences over"));
    assert!(gavel(&server, &["check"]).contains("are fine"));
    assert!(gavel(&server, &["export"]).contains(" events, from 0 to "));
    assert!(gavel(&server, &["audit", "--archive"]).contains("0 differences over"));
    gavel(&server, &["replay"]);
    assert!(gavel(&server, &["replay", "--fraud"]).contains("0 differences over"));
    let month = jiff::Timestamp::now().to_zoned(jiff::tz::TimeZone::UTC).date().to_string();
    let report = gavel(&server, &["report", "--draft", "--month", &month[..7]]);
    assert!(report.contains(",USD,"), "{report}");

    // Without its books and with what was put by REST.
    for file in ["books.sqlite", "books.sqlite-wal", "books.sqlite-shm"] {
        let _missing = std::fs::remove_file(server.dir.path().join("data").join(file));
    }
    server.run();
    assert_eq!(sums(&server), (3_000_001 + BID, 2 * BID, 3, 6));
    assert_eq!(server.account("c").budget, 1_000_000_000_000);
}

#[test]
fn money_that_nobody_bills_comes_back_though_nothing_else_happens() {
    let Some(broker) = shared() else { return };
    let short = "[exchanges.demo]\nauction_lifetime_s = 0.5\nbill_lifetime_s = 0.5\n[ledger]\nlease_grace_s = 0.2\n";
    let server = Server::start(&format!("{}{short}", table(&topic(broker))), &[campaign("a")]);
    server.bid_soon(&request());
    wait_for(Duration::from_secs(20), "it is given back", || server.account("a").reserved == 0);
    assert_eq!(server.is_sound("a").spent, 0);
}

#[test]
fn fraud_checks_are_in_the_topic_before_they_are_answered() {
    let Some(broker) = shared() else { return };
    let mut server = Server::start(&table(&topic(broker)), &[campaign("a")]);
    let check = |server: &Server| {
        let body = br#"{"merchant_id":"m","transaction_id":"t-1","amount":{"value":1,"currency":"EUR"}}"#;
        server.connect().request("POST", "/v1/fraud/checks", &[("Idempotency-Key", "k")], body)
    };
    let first = check(&server);
    assert_eq!(first.status, 200, "{}", first.text());
    let offset = first.json()["log_offset"].clone();
    assert!(offset.is_u64(), "{offset}");
    server.restart();
    let again = check(&server);
    assert_eq!(again.header("idempotent-replayed"), Some("true"));
    assert_eq!(again.json()["log_offset"], offset);
}

#[test]
fn books_of_another_log_are_refused() {
    let Some(broker) = shared() else { return };
    let kafka = topic(broker);
    let mut server = Server::start(&table(&kafka), &[campaign("a")]);
    server.stop();
    let config = server.dir.path().join("gavel.toml");
    let text = std::fs::read_to_string(&config).unwrap();
    std::fs::write(&config, text.replace(&format!("\"{}\"", kafka.topic), &format!("\"{}-other\"", kafka.topic)))
        .unwrap();
    let error = server.try_run().unwrap_err();
    assert!(error.contains("the log ends at 0"), "{error}");
}
