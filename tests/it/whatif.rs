//! `gavel replay`: the books rebuilt, and recorded requests decided by other campaigns.

use std::fs;
use std::path::Path;

use rusqlite::Connection;
use serde_json::{Value, json};

use crate::archive::says;
use crate::audit::books;
use crate::make::{campaign, request, substitute, with};
use crate::server::{Server, write_files};

const ALL: &str = "[log]\nsegment_bytes = 1048576\nrecord_requests = 1\n";

/// A config beside that of a server, with one campaign of another price.
fn other(dir: &Path, name: &str, price: &str) {
    let inner = tempfile::tempdir().unwrap();
    write_files(inner.path(), "", &[with(campaign("a"), json!({"bid": {"price": price}}))]);
    fs::copy(inner.path().join("campaigns.json"), dir.join(format!("{name}.json"))).unwrap();
    let text = fs::read_to_string(inner.path().join("gavel.toml")).unwrap();
    fs::write(dir.join(format!("{name}.toml")), text.replace("campaigns.json", &format!("{name}.json"))).unwrap();
}

/// The two values of a row of the report.
fn row<'a>(said: &'a str, name: &str) -> Vec<&'a str> {
    let line = said.lines().find(|line| line.starts_with(name)).unwrap_or_else(|| panic!("no {name:?} in {said}"));
    line[name.len()..].split_whitespace().collect()
}

/// Four requests at second prices: one won at 1.00, one lost, one lost to 3.00, one without a bid.
fn played() -> Server {
    let mut server = Server::start(ALL, &[campaign("a")]);
    let second = with(request(), json!({"at": 2}));
    let won = server.bid_soon(&second);
    server.bill(&won, "1.00");
    server.lose(&server.bid_soon(&second));
    let told = server.bid_soon(&second);
    let values =
        [("AUCTION_LOSS", "102"), ("AUCTION_MIN_TO_WIN", "3.00"), ("AUCTION_PRICE", ""), ("AUCTION_CURRENCY", "")];
    server.notice(&substitute(told["lurl"].as_str().unwrap(), &values)).is_empty(204);
    assert!(server.bid(&with(second, json!({"imp": [{"id": "1", "banner": {"w": 1, "h": 7}}]}))).is_none());
    server.stop();
    server
}

#[test]
fn other_prices_are_judged_by_what_notices_told() {
    let server = played();
    let dir = server.dir.path();
    other(dir, "higher", "3.50");
    other(dir, "lower", "0.50");
    let said =
        says(dir, &["replay", "--what-if", "--with", "higher.toml", "--out", "bids.jsonl"], 0, &["counterfactual"]);
    for (name, values) in [
        ("won, by recorded prices", ["1", "2"]),
        ("lost, by recorded prices", ["2", "0"]),
        ("not known", ["0", "1"]),
        ("requests bid on", ["3", "3"]),
        ("spend of the wins, USD", ["0.001", "0.004"]),
        ("worth of the wins at most, USD", ["0.0025", "0.007"]),
        ("a USD", ["0.001", "0.004"]),
    ] {
        assert_eq!(row(&said, name), values, "{name}: {said}");
    }
    let lines = fs::read_to_string(dir.join("bids.jsonl")).unwrap();
    let lines: Vec<Value> = lines.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    // Before the first lease there may have been requests without a bid.
    let [.., won, lost, told, none] = &lines[..] else { panic!("{lines:?}") };
    assert_eq!(
        (won["new"][0]["outcome"].as_str(), won["new"][0]["paid_nanos"].as_i64()),
        (Some("won"), Some(1_000_000))
    );
    assert_eq!(
        (lost["old"][0]["outcome"].as_str(), lost["new"][0]["outcome"].as_str()),
        (Some("lost"), Some("unknown"))
    );
    assert_eq!((told["new"][0]["paid_nanos"].as_i64(), told["changed"].as_bool()), (Some(3_000_000), Some(true)));
    assert_eq!((none["old"].as_array().map(Vec::len), none["changed"].as_bool()), (Some(0), Some(false)));

    let said = says(dir, &["replay", "--what-if", "--with", "lower.toml"], 0, &[]);
    assert_eq!(row(&said, "won, by recorded prices"), ["1", "0"], "{said}");
    assert_eq!(row(&said, "lost, by recorded prices"), ["2", "3"], "{said}");
    says(
        dir,
        &["replay", "--what-if", "--with", "lower.toml", "--to", "2020-01-01T00:00:00Z"],
        2,
        &["record_requests"],
    );
    says(dir, &["replay", "--what-if"], 2, &["--with FILE or --model DIR"]);
    says(dir, &["replay", "--what-if", "--model", "nowhere"], 2, &["nowhere", "refused"]);
}

#[test]
fn books_are_rebuilt_to_the_same_hash_from_log_and_archive_and_edits_show() {
    let server = played();
    let dir = server.dir.path();
    says(dir, &["export"], 0, &[]);
    let from_log = says(dir, &["replay"], 0, &[", the same as rebuilt up to event "]);
    assert_eq!(says(dir, &["replay"], 0, &[]), from_log, "twice the same");
    assert_eq!(says(dir, &["replay", "--archive"], 0, &[]), from_log);
    let db = Connection::open(books(dir)).unwrap();
    assert_eq!(db.execute("UPDATE days SET spent = spent + 1", []).unwrap(), 1);
    says(dir, &["replay"], 1, &["THEY DIFFER"]);
}
