//! `gavel export` and `gavel audit --archive` as whoever keeps the archive uses them.

use std::fs;
use std::path::{Path, PathBuf};

use rusqlite::Connection;
use serde_json::json;

use crate::audit::{books, daily, lived};
use crate::make::{request, with};
use crate::process::{errors_of, run};

/// Exit code and all that it printed.
fn gavel(dir: &Path, arguments: &[&str]) -> (Option<i32>, String) {
    let output = run(dir, arguments);
    (output.status.code(), String::from_utf8(output.stdout.clone()).unwrap() + &errors_of(&output))
}

#[track_caller]
pub fn says(dir: &Path, arguments: &[&str], code: i32, words: &[&str]) -> String {
    let (exit, said) = gavel(dir, arguments);
    assert!(exit == Some(code) && words.iter().all(|word| said.contains(word)), "exit {exit:?}: {said}");
    said
}

/// The files of a table, of all ranges.
fn files(archive: &Path, table: &str) -> Vec<PathBuf> {
    let inside = |dir: PathBuf| fs::read_dir(dir).into_iter().flatten().map(|entry| entry.unwrap().path());
    let hours = inside(archive.into()).flat_map(|range| inside(range.join(table))).flat_map(inside);
    let mut files: Vec<PathBuf> = hours.map(|hour| hour.join("part.parquet")).collect();
    files.sort();
    files
}

const AUDIT: &[&str] = &["audit", "--archive"];

#[test]
fn the_archive_comes_to_the_books_and_says_where_they_differ() {
    let mut server = lived();
    let dir = server.dir.path().to_path_buf();
    says(&dir, AUDIT, 2, &["there is no archive in data/archive: `gavel export` writes it"]);
    says(&dir, &["export"], 0, &[" events, from 0 to ", " to 1 range(s) of "]);
    says(&dir, AUDIT, 0, &["0 differences over "]);
    says(&dir, &["export"], 0, &["nothing new: data/archive has all "]);

    // While a server runs the log goes on, and the archive with the next export.
    server.run();
    let bid = server.bid_soon(&request());
    server.bill(&bid, "1.25");
    server.settled("whole", 8);
    server.stop();
    says(&dir, AUDIT, 0, &["the rest is taken from the log", "0 differences over "]);
    says(&dir, &["export"], 0, &[" to 1 range(s) of "]);
    let said = says(&dir, AUDIT, 0, &["0 differences over "]);
    assert!(!said.contains("the log"), "{said}");
    #[cfg(not(feature = "s3"))]
    for arguments in [["export", "--to", "s3://bucket/place"], ["audit", "--archive", "s3://bucket/place"]] {
        says(&dir, &arguments, if arguments[0] == "audit" { 2 } else { 1 }, &["cargo build --release --features s3"]);
    }
    // From another place too.
    fs::rename(dir.join("data/archive"), dir.join("elsewhere")).unwrap();
    says(&dir, &["audit", "--archive", "elsewhere"], 0, &["0 differences over "]);
    fs::rename(dir.join("elsewhere"), dir.join("data/archive")).unwrap();

    // One nano.
    let db = Connection::open(books(&dir)).unwrap();
    let change = |by: i64| db.execute("UPDATE days SET spent = spent + ?1 WHERE no = (SELECT min(no) FROM days)", [by]);
    assert_eq!(change(1), Ok(1));
    let said = says(&dir, AUDIT, 1, &[": spent: "]);
    assert!(!said.contains("\n0 differences"), "{said}");
    assert_eq!(change(-1), Ok(1));
    says(&dir, AUDIT, 0, &["0 differences over "]);

    let file = files(&dir.join("data/archive"), "notice").remove(0);
    let bytes = fs::read(&file).unwrap();
    fs::write(&file, &bytes[..bytes.len() / 2]).unwrap();
    let place = format!("{}: it has", file.strip_prefix(&dir).unwrap().display());
    says(&dir, AUDIT, 2, &["the audit could not be done: ", &place, "cut short"]);
    fs::remove_dir_all(file.ancestors().nth(4).unwrap()).unwrap();
    says(&dir, AUDIT, 2, &["are missing"]);
}

#[test]
fn a_months_report_is_written_once() {
    let mut server = lived();
    let dir = server.dir.path().to_path_buf();
    // What was put is said by the log alone once it is deleted.
    server.run();
    server.put(&with(daily("0.01"), json!({"advertiser": "acme, \"the\" one"})));
    server.delete("daily");
    server.stop();
    let today = gavel::clock::Zone::utc().local_hour(gavel::clock::SystemClock::start().now()).day.to_string();
    let month = &today[..7];
    says(&dir, &["report", "--month", "2026-1"], 2, &["a month is written as 2026-10"]);
    says(&dir, &["report", "--month", month], 1, &["is over everywhere at", "--draft"]);
    assert!(!dir.join("data/reports").exists());

    let said =
        says(&dir, &["report", "--month", month, "--draft"], 0, &["month,advertiser,campaign,currency,period,kind"]);
    // What the books have, by the server's own account of it.
    let db = Connection::open(books(&dir)).unwrap();
    let sums = "SELECT id, sum(d.spent), sum(d.late), sum(d.billed) FROM days d JOIN campaigns USING (no) GROUP BY id";
    let mut rows = db.prepare(sums).unwrap();
    let row = |row: &rusqlite::Row| Ok((row.get::<_, String>(0)?, [row.get(1)?, row.get(2)?, row.get::<_, i64>(3)?]));
    let rows: Vec<_> = rows.query_map([], row).unwrap().map(Result::unwrap).collect();
    assert!(said.contains("campaign whole has no advertiser"), "{said}");
    assert!(rows.len() > 1 && said.lines().filter(|line| line.starts_with(month)).count() == rows.len(), "{said}");
    for (id, [spent, late, bills]) in rows {
        let amount = format!("{}.{:02}", spent / 1_000_000_000, spent / 10_000_000 % 100);
        let advertiser = if id == "daily" { "\"acme, \"\"the\"\" one\"" } else { "" };
        let line = format!("{month},{advertiser},{id},USD,{month},spend,{bills},{spent},{late},{amount}\n");
        assert!(said.contains(&line), "{line}{said}");
    }

    let last_year = "2025-11";
    says(&dir, &["report", "--month", last_year], 0, &["0 line(s): data/reports/2025-11.csv and .parquet"]);
    let parquet = fs::read(dir.join("data/reports/2025-11.parquet")).unwrap();
    says(&dir, &["report", "--month", last_year], 0, &["has its report, which is final"]);
    fs::remove_dir_all(dir.join("data/reports")).unwrap();
    says(&dir, &["report", "--month", last_year], 0, &["0 line(s)"]);
    assert_eq!(fs::read(dir.join("data/reports/2025-11.parquet")).unwrap(), parquet);
    let csv = dir.join("data/reports/2025-11.csv");
    fs::write(&csv, "another").unwrap();
    says(&dir, &["report", "--month", last_year], 1, &["2025-11.csv: it is not as it was written"]);
    says(&dir, &["report", "--month", month, "--draft"], 0, &[",daily,USD,"]);

    // Nothing is invoiced by the books of another log.
    let other = lived();
    for extension in ["", "-wal", "-shm"] {
        let name = format!("data/books.sqlite{extension}");
        let _ = fs::remove_file(dir.join(&name));
        if other.dir.path().join(&name).exists() {
            fs::copy(other.dir.path().join(&name), dir.join(&name)).unwrap();
        }
    }
    says(&dir, &["report", "--month", month, "--draft"], 1, &["belongs to another log"]);
}
