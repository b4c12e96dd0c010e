//! `gavel audit` as whoever checks payments uses it: books that were edited by hand, each row of them named.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use gavel::clock::{SystemClock, UnixMs};
use gavel::event::{Event, Slot, Stamped};
use gavel::eventlog::{DirStorage, EventLog, Follower, LogConfig, OpenError, SegmentLog};
use gavel::ids::{CampaignNo, Epoch, LeaseId};
use gavel::money::Nanos;
use rusqlite::types::Value as Sql;
use rusqlite::{Connection, params_from_iter};
use serde_json::{Value, json};

use crate::make::{campaign, request, with, with_creative, with_imp};
use crate::models::put_some;
use crate::process::{errors_of, gavel, run};
use crate::server::{Server, wait_until, write_files};

/// Exit code and what it printed.
fn audit(dir: &Path) -> (Option<i32>, String) {
    let output = run(dir, &["audit"]);
    (output.status.code(), String::from_utf8(output.stdout.clone()).unwrap() + &errors_of(&output))
}

#[track_caller]
fn is_clean(dir: &Path) {
    let (code, said) = audit(dir);
    assert_eq!((code, said.starts_with("0 differences over ")), (Some(0), true), "{said}");
}

pub fn books(dir: &Path) -> PathBuf {
    dir.join("data/books.sqlite")
}

struct Nobody;

impl Follower for Nobody {
    fn apply(&mut self, _: &Stamped, _: &mut Vec<Event>) {}
    fn tick(&mut self, _: UnixMs, _: &mut Vec<Event>) {}
}

/// Writes to the log of a server that is stopped, so much later.
fn append(dir: &Path, after_ms: i64, event: Event) {
    let log = open_log(dir, after_ms, None);
    log.append_durable(0, &[event]).wait().unwrap();
    log.close().unwrap();
}

/// The log of a server that does not run.
pub fn open_log(dir: &Path, after_ms: i64, max_bytes: Option<u64>) -> SegmentLog {
    let storage = Arc::new(DirStorage::new(dir.join("data/log")).unwrap());
    let config = LogConfig { segment_bytes: 1 << 20, max_bytes, ..LogConfig::default() };
    let at = SystemClock::start().now().plus(after_ms);
    // Another test may just be starting a process, which has the file of the lock until it runs.
    let opened = loop {
        match SegmentLog::open(storage.clone(), config.clone(), &mut |_, _| {}) {
            Err(OpenError::Locked { .. }) => std::thread::yield_now(),
            opened => break opened.unwrap(),
        }
    };
    opened.start(Box::new(move || at), Box::new(Nobody), Box::new(|_| {})).unwrap()
}

/// With a daily budget, for banners of another size than all others.
pub fn daily(budget: &str) -> Value {
    let daily = with(campaign("daily"), json!({"budget": {"daily": budget}}));
    with_creative(daily, json!({"w": 728, "h": 90}))
}

fn wide() -> Value {
    with_imp(request(), json!({"banner": {"w": 728, "h": 90}}))
}

/// A stopped server whose books have something in every table and every column.
pub fn lived() -> Server {
    let mut server = Server::start("", &[campaign("whole"), daily("0.05")]);
    for asked in [request(), wide()] {
        let bids: Vec<Value> = (0..6).map(|_| server.bid_soon(&asked)).collect();
        server.bill(&bids[0], "2.00");
        server.win(&bids[1], "2.00");
        server.lose(&bids[2]);
        server.bill(&bids[2], "1.00");
        server.win(&bids[3], "1.50");
        server.bill(&bids[3], "1.50");
    }
    server.put(&daily("0.01"));
    server.put(&with(campaign("put"), json!({"bid": {"price": "0.01"}})));
    server.put(&campaign("gone"));
    server.delete("gone");
    put_some(&server);
    server.settled("whole", 6);
    server.settled("daily", 6);
    server.stop();
    append(server.dir.path(), 0, Event::Traffic { hour: 500_005, seconds: 3_600, requests: 1_234 });
    server.run();
    server.bid_soon(&request());
    server.settled("whole", 7);
    server.stop();
    server
}

/// One book file, edited again and again from the same start.
struct Edited {
    server: Server,
    original: Vec<u8>,
}

impl Edited {
    fn new() -> Edited {
        let server = lived();
        is_clean(server.dir.path());
        Edited { original: std::fs::read(books(server.dir.path())).unwrap(), server }
    }

    /// A copy of the original to read.
    fn copy(&self) -> Connection {
        let path = self.server.dir.path().join("copy.sqlite");
        std::fs::write(&path, &self.original).unwrap();
        Connection::open(path).unwrap()
    }

    /// Makes the edit, audits, and takes the edit back. Every word must be in one line of what the audit prints.
    #[track_caller]
    fn is_named(&self, edit: &str, values: &[Sql], words: &[&str]) {
        let db = Connection::open(books(self.server.dir.path())).unwrap();
        db.execute_batch("PRAGMA synchronous = OFF").unwrap();
        if values.is_empty() {
            db.execute_batch(edit).unwrap();
        } else {
            assert_eq!(db.execute(edit, params_from_iter(values)).unwrap(), 1, "{edit} {values:?}");
        }
        drop(db);
        let (code, said) = audit(self.server.dir.path());
        let named = said.lines().any(|line| words.iter().all(|word| line.contains(word)));
        assert!(code == Some(1) && named, "{edit} {values:?}: {words:?} not named, exit {code:?}:\n{said}");
        for file in ["books.sqlite-wal", "books.sqlite-shm"] {
            let _none_is_fine = std::fs::remove_file(self.server.dir.path().join("data").join(file));
        }
        std::fs::write(books(self.server.dir.path()), &self.original).unwrap();
    }
}

struct Column {
    name: String,
    is_key: bool,
    nullable: bool,
}

fn tables(db: &Connection) -> Vec<String> {
    let mut rows = db.prepare("SELECT name FROM sqlite_schema WHERE type = 'table' ORDER BY name").unwrap();
    rows.query_map([], |row| row.get(0)).unwrap().map(Result::unwrap).collect()
}

fn columns(db: &Connection, table: &str) -> Vec<Column> {
    let mut rows = db.prepare(&format!("PRAGMA table_info({table})")).unwrap();
    let column = |row: &rusqlite::Row| {
        Ok(Column { name: row.get(1)?, nullable: row.get::<_, i64>(3)? == 0, is_key: row.get::<_, i64>(5)? > 0 })
    };
    rows.query_map([], column).unwrap().map(Result::unwrap).collect()
}

fn rows(db: &Connection, table: &str) -> Vec<Vec<Sql>> {
    let mut statement = db.prepare(&format!("SELECT * FROM {table}")).unwrap();
    let count = statement.column_count();
    let rows = statement.query_map([], |row| (0..count).map(|i| row.get(i)).collect()).unwrap();
    rows.map(Result::unwrap).collect()
}

/// What a line about a row of `table` must say to be of use.
fn words(db: &Connection, table: &str, row: &[Sql]) -> Vec<String> {
    let number = |at: usize| match row[at] {
        Sql::Integer(n) => n,
        _ => panic!("{table}: {row:?}"),
    };
    let id =
        || -> String { db.query_row("SELECT id FROM campaigns WHERE no = ?1", [number(0)], |row| row.get(0)).unwrap() };
    let date = |at: usize| gavel::clock::Day(number(at) as i32).to_string();
    match table {
        "meta" => match &row[0] {
            Sql::Text(key) => vec!["meta".into(), key.clone()],
            other => panic!("{other:?}"),
        },
        "campaigns" => vec![id()],
        "days" | "daily_budgets" => vec![id(), date(1)],
        "leases" if number(2) < -1_000_000 => vec![id(), format!("lease of start {}", number(1))],
        "leases" => vec![id(), format!("lease of start {}", number(1)), date(2)],
        "reservation_bits" => vec!["reservation".into()],
        "traffic" | "starts" => vec![format!("{table} {}", number(0))],
        "models" => match &row[0] {
            Sql::Text(name) => vec!["models".into(), name.clone()],
            other => panic!("{other:?}"),
        },
        other => panic!("the table {other} has no words"),
    }
}

/// Other values than this one.
fn others(value: &Sql, nullable: bool) -> Vec<Sql> {
    let mut others = match value {
        Sql::Integer(n) => vec![Sql::Integer(n + 1), Sql::Integer(n - 1), Sql::Integer(0)],
        Sql::Text(text) => vec![Sql::Text(format!("{text}x")), Sql::Text(String::new())],
        Sql::Blob(bytes) => {
            let flipped = |at: usize| bytes.iter().enumerate().map(|(i, b)| if i == at { b ^ 1 } else { *b }).collect();
            vec![
                Sql::Blob(flipped(0)),
                Sql::Blob(flipped(bytes.len() - 1)),
                Sql::Blob(vec![0; bytes.len()]),
                Sql::Blob(vec![]),
            ]
        }
        // Integers and one text may be NULL: SQLite takes the text for what it is.
        Sql::Null => vec![Sql::Text("1".into())],
        Sql::Real(_) => panic!("no column holds a float"),
    };
    others.extend(nullable.then_some(Sql::Null));
    others.retain(|other| other != value);
    others
}

#[test]
fn every_value_of_every_table_that_is_edited_is_named() {
    let edited = Edited::new();
    let db = edited.copy();
    let mut edits = 0;
    for table in tables(&db) {
        let (columns, rows) = (columns(&db, &table), rows(&db, &table));
        assert!(!rows.is_empty(), "nothing to edit in {table}");
        for (at, column) in columns.iter().enumerate() {
            // A row that has a value there, if there is one.
            let row = rows.iter().find(|row| row[at] != Sql::Null).unwrap_or(&rows[0]);
            let keys: Vec<usize> = (0..columns.len()).filter(|i| columns[*i].is_key).collect();
            let place: Vec<String> =
                keys.iter().enumerate().map(|(n, i)| format!("{} = ?{}", columns[*i].name, n + 2)).collect();
            let edit = format!("UPDATE {table} SET {} = ?1 WHERE {}", column.name, place.join(" AND "));
            for other in others(&row[at], column.nullable && !column.is_key) {
                let mut changed = row.clone();
                changed[at] = other.clone();
                if column.is_key && rows.contains(&changed)
                    || rows.iter().any(|r| keys.iter().all(|i| r[*i] == changed[*i]) && r != row)
                {
                    continue; // Another row has that key.
                }
                let values: Vec<Sql> = std::iter::once(other).chain(keys.iter().map(|i| row[*i].clone())).collect();
                let mut words = words(&db, &table, row);
                if !column.is_key && table != "meta" && table != "reservation_bits" {
                    words.push(column.name.clone());
                }
                let words: Vec<&str> = words.iter().map(String::as_str).collect();
                edited.is_named(&edit, &values, &words);
                edits += 1;
            }
        }
    }
    println!("{edits} edits, each named");
    assert!(edits > 60, "{edits}");
    is_clean(edited.server.dir.path());
}

#[test]
fn every_row_that_is_missing_is_named() {
    let edited = Edited::new();
    let db = edited.copy();
    for table in tables(&db) {
        let all = rows(&db, &table);
        let names: Vec<Vec<String>> = all.iter().map(|row| words(&db, &table, row)).collect();
        let missing = |said: &str| said.lines().filter(|line| line.contains("missing in the books")).count();
        // All at once, and each line names one of them.
        let path = books(edited.server.dir.path());
        Connection::open(&path).unwrap().execute_batch(&format!("DELETE FROM {table}")).unwrap();
        let (code, said) = audit(edited.server.dir.path());
        std::fs::write(&path, &edited.original).unwrap();
        assert_eq!((code, missing(&said)), (Some(1), all.len()), "{table}:\n{said}");
        for words in names {
            assert!(
                said.lines().any(|line| words.iter().all(|word| line.contains(word))),
                "{table}: {words:?}\n{said}"
            );
        }
    }
}

#[test]
fn every_row_that_the_log_does_not_know_is_named() {
    let edited = Edited::new();
    let db = edited.copy();
    let of =
        |id: &str| -> i64 { db.query_row("SELECT no FROM campaigns WHERE id = ?1", [id], |row| row.get(0)).unwrap() };
    let (whole, unknown) = (of("whole"), 77);
    // In books of nothing but zeros they would be invisible.
    for (edit, words) in [
        ("INSERT INTO meta VALUES ('spare', 0, 0)".into(), vec!["meta spare"]),
        (
            format!("INSERT INTO campaigns VALUES ({unknown}, 'ghost', 'USD', 0, NULL, NULL, 0, 0, 0, 0, 0, 0, 0, 0)"),
            vec!["campaign number 77", "ghost"],
        ),
        (
            format!("INSERT INTO days VALUES ({unknown}, 20000, 5000000, 0, 1, 0)"),
            vec!["campaign number 77", "2024-10-04", "0.005"],
        ),
        (format!("INSERT INTO days VALUES ({whole}, 20000, 0, 0, 0, 0)"), vec!["whole: 2024-10-04"]),
        (
            format!("INSERT INTO daily_budgets VALUES ({unknown}, 20000, 1, 0, 0)"),
            vec!["campaign number 77", "2024-10-04"],
        ),
        (
            format!("INSERT INTO daily_budgets VALUES ({whole}, 20000, NULL, 0, 0)"),
            vec!["whole: daily budget from 2024-10-04"],
        ),
        (
            format!("INSERT INTO leases VALUES ({unknown}, 1, {}, 7, 0)", i32::MIN),
            vec!["campaign number 77", "lease of start 1"],
        ),
        (
            format!("INSERT INTO leases VALUES ({whole}, 9, 20000, 0, 0)"),
            vec!["whole: lease of start 9 for 2024-10-04"],
        ),
        (
            "INSERT INTO reservation_bits VALUES (1, 1, 28333333, 0, zeroblob(1024), 0)".into(),
            vec!["start 1", "2023-11-14"],
        ),
        ("INSERT INTO reservation_bits VALUES (9, 1, 1 << 40, 0, x'ff', 0)".into(), vec!["node 9, start 1"]),
        ("INSERT INTO traffic VALUES (3, 0, 0)".into(), vec!["traffic 3"]),
        ("INSERT INTO traffic VALUES (99, 0, 0)".into(), vec!["traffic 99"]),
        ("INSERT INTO starts VALUES (9, 1, 0, 0, 0, 0, 0, NULL, 0)".into(), vec!["starts 9", "billable_ms 0"]),
    ] {
        let words: Vec<&str> = words.into_iter().chain(["in the books, but not in the log"]).collect();
        edited.is_named(&edit, &[], &words);
    }
}

#[test]
fn tables_and_what_else_there_is_beside_rows_are_named() {
    let edited = Edited::new();
    for (edit, words) in [
        ("DROP TABLE days", ["table days", "missing in the books"]),
        ("DROP TABLE meta", ["table meta", "missing in the books"]),
        ("ALTER TABLE leases DROP COLUMN outstanding", ["table leases", "no such column: outstanding"]),
        ("ALTER TABLE leases ADD COLUMN note TEXT", ["table leases", "note TEXT"]),
        ("DROP VIEW spend", ["view spend", "missing in the books"]),
        ("CREATE TABLE mine (a)", ["table mine", "not in the log"]),
        ("CREATE INDEX i ON days (spent)", ["index i", "not in the log"]),
        (
            "CREATE TRIGGER t AFTER UPDATE ON campaigns BEGIN UPDATE days SET spent = 0; END",
            ["trigger t", "not in the log"],
        ),
        (
            "ALTER TABLE traffic RENAME TO t; CREATE TABLE traffic (hour, requests, checksum);
             INSERT INTO traffic SELECT hour, requests || '', checksum FROM t; DROP TABLE t",
            ["traffic 13: requests: 1234", "1234 in the books, as another type of value"],
        ),
    ] {
        edited.is_named(edit, &[], &words);
    }
}

#[test]
fn books_that_cannot_be_read_are_told_from_books_that_are_wrong() {
    let mut edited = Edited::new();
    let path = books(edited.server.dir.path());
    std::fs::remove_file(&path).unwrap();
    let (code, said) = audit(edited.server.dir.path());
    assert!(code == Some(2) && said.contains("books.sqlite: the next start of gavel makes it"), "{code:?} {said}");
    let mut torn = edited.original.clone();
    torn[..100].fill(b'x');
    let middle = edited.original.len() / 2;
    let mut holed = edited.original.clone();
    holed[4_096..].fill(0xff);
    for garbage in [torn, vec![b'x'; 9_999], edited.original[..middle].to_vec(), holed] {
        std::fs::write(&path, &garbage).unwrap();
        let (code, said) = audit(edited.server.dir.path());
        assert!(code == Some(2) && said.contains("stop gavel and delete books.sqlite"), "{code:?} {said}");
        let refused = edited.server.try_run().unwrap_err();
        assert!(refused.contains("stop gavel and delete books.sqlite"), "{refused}");
    }
    // A file without anything in it is a database without tables.
    std::fs::write(&path, b"").unwrap();
    let (code, said) = audit(edited.server.dir.path());
    assert!(code == Some(1) && said.contains("table campaigns: missing in the books"), "{code:?} {said}");
    // What it says to do helps.
    std::fs::remove_file(&path).unwrap();
    edited.server.run();
    edited.server.stop();
    is_clean(edited.server.dir.path());
}

#[test]
fn an_edited_offset_stops_a_start_too() {
    let mut edited = Edited::new();
    let db = Connection::open(books(edited.server.dir.path())).unwrap();
    db.execute_batch("UPDATE meta SET value = 2 WHERE key = 'next_offset'").unwrap();
    drop(db);
    let refused = edited.server.try_run().unwrap_err();
    assert!(refused.contains("next_offset") && refused.contains("delete books.sqlite"), "{refused}");
}

#[test]
fn what_is_forgotten_is_no_difference_and_what_is_put_in_its_place_is_one() {
    let mut server = lived();
    let old: Vec<Vec<Sql>> = rows(&Connection::open(books(server.dir.path())).unwrap(), "reservation_bits");
    assert!(!old.is_empty());
    // Three days later all tokens have expired.
    let correction = Event::Correction { campaign: CampaignNo(0), drift: Nanos(0) };
    append(server.dir.path(), 3 * 86_400_000, correction);
    server.run();
    let path = books(server.dir.path());
    let forgotten = || rows(&Connection::open(&path).unwrap(), "reservation_bits").is_empty();
    wait_until("the bits are forgotten", forgotten);
    server.stop();
    is_clean(server.dir.path());
    let edited = Edited { original: std::fs::read(&path).unwrap(), server };
    edited.is_named(
        "INSERT INTO reservation_bits VALUES (?1, ?2, ?3, ?4, ?5, ?6)",
        &old[0],
        &["reservations of node 1", "in the books, but not in the log"],
    );
    for less in ["0", "value - 1", "value + 1"] {
        let edit = format!("UPDATE meta SET value = {less} WHERE key = 'forgotten_before'");
        edited.is_named(&edit, &[], &["meta forgotten_before"]);
    }
}

#[test]
fn the_view_of_the_day_and_the_audit_say_what_a_day_was_overspent_by_and_why() {
    let mut server = Server::start("", &[daily("0.02")]);
    let of = |server: &Server, key: &str| {
        let account = server.ask("GET", "/v1/campaigns/daily/account", b"").json();
        crate::make::nanos(account["daily"][key].as_str().unwrap_or_else(|| panic!("{key} in {account}")))
    };
    let figures = |server: &Server| ["budget", "spent", "available", "overspend"].map(|key| of(server, key));
    assert_eq!(figures(&server), [20_000_000, 0, 20_000_000, 0]);
    let bids: Vec<Value> = (0..8).map(|_| server.bid_soon(&wide())).collect();
    assert_eq!(figures(&server), [20_000_000, 0, 0, 0], "all is reserved");
    bids[..6].iter().for_each(|bid| server.bill(bid, "2.50"));
    assert_eq!(figures(&server), [20_000_000, 15_000_000, 0, 0]);
    server.lose(&bids[6]);
    assert_eq!(figures(&server), [20_000_000, 15_000_000, 2_500_000, 0]);
    // A cut below what is spent and promised, a bill of what was promised, and a late one.
    server.put(&daily("0.01"));
    assert_eq!(figures(&server), [10_000_000, 15_000_000, 0, 5_000_000]);
    server.bill(&bids[7], "2.00");
    server.bill(&bids[6], "1.00");
    assert_eq!(figures(&server), [10_000_000, 18_000_000, 0, 8_000_000]);
    let account = server.ask("GET", "/v1/campaigns/daily/account", b"").json();
    let day = account["daily"]["day"].as_str().unwrap().to_owned();
    let a = server.settled("daily", 8);
    assert_eq!((a.spent, a.late, a.overspend), (18_000_000, 1_000_000, 0));
    wait_until("the day is in the books", || server.books().first().is_some_and(|row| row.day == day));

    let url = format!("http://{}", server.admin());
    let output = run(server.dir.path(), &["audit", "--server", &url]);
    let said = String::from_utf8(output.stdout).unwrap();
    let line = format!(
        "overspend, allowed: daily: 0.008 USD above its daily budget of 0.01 on {day}: 0.001 by late bills, 0.007 by a \
         budget cut below what was promised"
    );
    assert!(output.status.success() && said.lines().any(|said| said == line), "{said}");
    // Of a total there is as much to say.
    let total = with(daily("5.00"), json!({"budget": {"total": "0.015"}}));
    server.put(&total);
    server.stop();
    let (code, said) = audit(server.dir.path());
    let line = "overspend, allowed: daily: 0.003 USD above its budget of 0.015: 0.001 by late bills, 0.002 by a budget cut \
                below what was promised";
    assert!(code == Some(0) && said.lines().any(|said| said == line), "{said}");
}

#[test]
fn without_a_daily_budget_there_is_no_day_to_view() {
    let server = Server::start("", &[campaign("whole")]);
    let account = server.ask("GET", "/v1/campaigns/whole/account", b"").json();
    assert!(account.get("daily").is_none(), "{account}");
}

#[test]
fn the_accounts_of_a_running_server_are_compared_with_the_token_of_the_config() {
    let token = "0123456789abcdef";
    let server = Server::start(&format!("admin_token = \"{token}\"\n"), &[campaign("a"), daily("1.00")]);
    let url = format!("http://{}", server.admin());
    let output = run(server.dir.path(), &["audit", "--server", &url]);
    assert!(output.status.success(), "{}", errors_of(&output));
    for (other, code) in [("fedcba9876543210", 2), (token, 0), ("short", 1)] {
        let mut command = gavel(server.dir.path(), &["audit", "--server", &url]);
        let output = command.env("GAVEL_ADMIN_TOKEN", other).output().unwrap();
        assert_eq!(output.status.code(), Some(code), "{}", errors_of(&output));
        let said = errors_of(&output);
        assert!(said.contains("GAVEL_ADMIN_TOKEN") == (code > 0) && !said.contains(other), "{said}");
    }
}

#[test]
fn the_accounts_of_a_busy_server_are_compared_with_the_log_as_of_then() {
    let server = Server::start("", &[campaign("a"), daily("1000.00")]);
    let (url, done) = (format!("http://{}", server.admin()), AtomicBool::new(false));
    let billed = AtomicUsize::new(0);
    std::thread::scope(|threads| {
        threads.spawn(|| {
            while !done.load(Ordering::Relaxed) {
                let bid =
                    server.bid_soon(&if billed.load(Ordering::Relaxed).is_multiple_of(2) { request() } else { wide() });
                server.bill(&bid, "2.00");
                billed.fetch_add(1, Ordering::Relaxed);
            }
        });
        let mut audits = 0;
        while audits < 3 || billed.load(Ordering::Relaxed) <= 10 {
            audits += 1;
            done.store(audits > 1_000, Ordering::Relaxed);
            assert!(audits <= 1_000, "it was not busy");
            let output = run(server.dir.path(), &["audit", "--server", &url]);
            let said = String::from_utf8(output.stdout.clone()).unwrap() + &errors_of(&output);
            done.store(!output.status.success(), Ordering::Relaxed);
            assert!(output.status.success(), "{said}");
        }
        done.store(true, Ordering::Relaxed);
    });
}

#[test]
fn what_the_log_comes_to_is_judged_to_its_end_however_far_the_books_are() {
    let mut server = Server::start("", &[campaign("a")]);
    server.bid_soon(&request());
    server.stop();
    is_clean(server.dir.path());
    let lease = LeaseId { epoch: Epoch(1), seq: 1_000 };
    let amount = Nanos(1 << 50);
    append(server.dir.path(), 0, Event::LeaseGranted { campaign: CampaignNo(0), lease, slot: Slot::Whole, amount });
    let output = run(server.dir.path(), &["audit"]);
    let said = String::from_utf8_lossy(&output.stdout);
    assert!(
        !output.status.success() && said.contains("the log goes on to") && said.contains("spent and leased"),
        "{said}"
    );
}

#[test]
fn an_account_of_the_running_server_that_the_log_does_not_come_to_is_named() {
    // Two servers with the same campaigns and other bids: each is asked about the other's log.
    let (one, other) = (Server::start("", &[daily("1.00")]), Server::start("", &[daily("2.00")]));
    let bid = other.bid_soon(&wide());
    other.bill(&bid, "2.00");
    other.put(&campaign("new"));
    other.settled("daily", 1);
    let asked = |of: &Server, server: &Server| {
        let output = run(of.dir.path(), &["audit", "--server", &format!("http://{}", server.admin())]);
        (output.status.code(), String::from_utf8(output.stdout).unwrap())
    };
    let (code, said) = asked(&other, &one);
    for line in [
        "daily: spent: 0.002 by the log, 0.00 in the running server",
        "daily: billed: 1 by the log, 0 in the running server",
        "daily: daily budget: 2.00 by the log, 1.00 in the running server",
        "daily: daily spent: 0.002 by the log, 0.00 in the running server",
        "new: not known to the running server",
    ] {
        assert!(said.lines().any(|said| said == line), "{line}: {said}");
    }
    assert_eq!(code, Some(1));
    assert_eq!(asked(&other, &other).0, Some(0));
}

#[test]
fn a_day_that_comes_again_in_another_time_zone_has_the_daily_budget_of_now() {
    let in_zone = |zone: &str, budget: &str| with(daily(budget), json!({"time_zone": zone}));
    // Always two dates apart, or one.
    let (behind, ahead) = ("Etc/GMT+12", "Etc/GMT-14");
    let mut server = Server::start("", &[in_zone(behind, "0.01")]);
    for (zone, bills) in [(ahead, 0), (behind, 8)] {
        server.stop();
        write_files(server.dir.path(), "", &[in_zone(zone, "0.05")]);
        server.run();
        for _ in 0..bills {
            let bid = server.bid_soon(&wide());
            server.bill(&bid, "2.50");
        }
    }
    assert_eq!(server.is_sound("daily").spent, 20_000_000);
    server.stop();
    is_clean(server.dir.path());
    // The other way round by REST: the day that was is cut, and says so.
    server.run();
    server.put(&in_zone(ahead, "0.02"));
    let bids: Vec<Value> = (0..8).map(|_| server.bid_soon(&wide())).collect();
    bids.iter().for_each(|bid| server.bill(bid, "2.50"));
    server.put(&in_zone(behind, "0.01"));
    server.stop();
    let (code, said) = audit(server.dir.path());
    let allowed = said.lines().filter(|line| line.contains("0.01 USD above its daily budget of 0.01 on ")).count();
    assert_eq!((code, allowed), (Some(0), 2), "{said}");
}
