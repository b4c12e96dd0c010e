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
    // What would be left out is refused.
    says(dir, &["replay", "--what-if", "--with", "higher.toml", "--rules", "nowhere"], 2, &["--rules needs --fraud"]);
    says(dir, &["replay", "--fraud", "--with", "higher.toml"], 2, &["--with needs --what-if"]);
    says(dir, &["replay", "--fraud", "--out", "nowhere"], 2, &["--out needs --what-if"]);
    says(dir, &["replay", "--archive", "nowhere"], 2, &["there is no archive in nowhere"]);
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

/// What a line of hashes says, by name.
fn hashes(line: &str) -> Vec<&str> {
    let words: Vec<&str> = line.split(' ').collect();
    ["events", "books", "fraud", "caps"]
        .map(|name| words[words.iter().position(|word| *word == name).unwrap() + 1])
        .into()
}

#[test]
fn replays_agree_at_every_checkpoint_and_go_on_from_a_time() {
    let caps = json!({"frequency_caps": [{"impressions": 9, "per_seconds": 86_400}]});
    let config = "[fraud]\n[[fraud.windows]]\nname = \"seen\"\nkey = [\"customer.id\"]\naggregate = \"count\"\nlength = \"1h\"\n";
    let mut server = Server::start(config, &[with(campaign("a"), caps)]);
    let dir = server.dir.path().to_path_buf();
    let act = |server: &Server, n: u32| {
        let bid = server.bid_soon(&with(request(), json!({"device": {"ifa": "u1"}})));
        server.bill(&bid, "1.00");
        let check = json!({"merchant_id": "m", "transaction_id": n.to_string(), "customer": {"id": "c-1"},
            "amount": {"value": 100, "currency": "EUR"}});
        let key = n.to_string();
        let key = [("Idempotency-Key", &*key)];
        let answer = server.connect().request("POST", "/v1/fraud/checks", &key, check.to_string().as_bytes());
        assert_eq!(answer.status, 200, "{}", answer.text());
    };
    act(&server, 1);
    server.stop();
    let before = says(&dir, &["replay"], 0, &["\ncaps    "]);
    let last = before.split("the last one of ").nth(1).unwrap().lines().next().unwrap();
    let between = gavel::clock::UnixMs::parse(last).unwrap().plus(1).to_string();
    let rows = |said: &str| -> Vec<String> {
        ["events  ", "books   ", "fraud   ", "caps    "]
            .map(|name| said.lines().find_map(|line| line.strip_prefix(name)).unwrap().to_owned())
            .into()
    };
    server.run();
    act(&server, 2);
    act(&server, 3);
    server.stop();
    says(&dir, &["export"], 0, &[]);

    let every = says(&dir, &["replay", "--every", "4"], 0, &["\nat 8, after "]);
    for again in [&["replay", "--every", "4"][..], &["replay", "--archive", "--every", "4"]] {
        assert_eq!(says(&dir, again, 0, &[]), every);
    }
    let at: Vec<_> = every.lines().filter(|line| line.starts_with("at ")).map(hashes).collect();
    assert!(at.len() > 3 && at.windows(2).all(|two| two[0][..2] != two[1][..2]), "{every}");
    assert!(at[0][2] != at[at.len() - 1][2] && at[0][3] != at[at.len() - 1][3], "checks and impressions came: {every}");

    // The state at a time is the one that a replay up to there ends with, and it is gone on from.
    let (said, whole) = (says(&dir, &["replay", "--from", &between], 0, &["\nbooks"]), rows(&every));
    let first = hashes(said.lines().next().unwrap());
    let to = rows(&says(&dir, &["replay", "--to", &between], 0, &[]));
    assert_eq!((&to, &first[1..]), (&rows(&before), &to[1..].iter().map(String::as_str).collect::<Vec<_>>()[..]));
    assert!(rows(&said)[1..] == whole[1..] && rows(&said)[0] != whole[0], "{said}");
    assert_eq!(says(&dir, &["replay", "--archive", "--from", &between], 0, &[]), said);
    // Checks of before are counted in windows, and not compared.
    says(&dir, &["replay", "--fraud"], 0, &["0 differences over 3 decisions and 3 window values"]);
    says(&dir, &["replay", "--fraud", "--from", &between], 0, &["0 differences over 2 decisions and 2 window values"]);
    says(&dir, &["replay", "--fraud", "--to", &between], 0, &["0 differences over 1 decisions and 1 window values"]);
    says(&dir, &["replay", "--from", &between, "--to", &between], 2, &["--from is not before --to"]);
    says(&dir, &["replay", "--fraud", "--every", "4"], 2, &["cannot be used with"]);

    // Other windows are other state, of the same events and books.
    let text = fs::read_to_string(dir.join("gavel.toml")).unwrap();
    fs::write(dir.join("gavel.toml"), text.replace("\"1h\"", "\"2h\"")).unwrap();
    let other = rows(&says(&dir, &["replay"], 0, &[]));
    assert!(other[..2] == whole[..2] && other[2] != whole[2] && other[3] == whole[3], "{other:?}");
}
