//! Where the books are kept: the fold's state and the offset it has come to, written in one transaction.
//!
//! The log is the truth; a book store saves folding it from the start and lets a person query the books. Embedded it
//! is SQLite; a fleet's PostgreSQL holds the same tables. `rows` compares the tables, row by row, with what the log
//! comes to.

mod models;
mod rows;

use std::collections::BTreeMap;
use std::path::Path;

use rusqlite::types::Type;
use rusqlite::{Connection, ErrorCode, OpenFlags, Transaction, params};

use crate::clock::Day;
use crate::event::{CampaignSet, Offset, Slot};
use crate::ids::{CampaignNo, Currency, Epoch, NodeId};
use crate::ledger::Books;
use crate::ledger::daily::DailyBudget;
use crate::ledger::fold::{CampaignBook, DayBook, Dirty};
use crate::ledger::reservation::{Bits, PageKey};
use crate::money::Nanos;

#[derive(Debug, thiserror::Error)]
pub enum BookError {
    #[error("the books cannot be read or written: {0}")]
    Sqlite(rusqlite::Error),
    #[error(
        "the books are damaged: {0}; stop gavel and delete books.sqlite (and its -wal and -shm): they are rebuilt from the log"
    )]
    Damaged(String),
    #[error("there is no {0}: the next start of gavel makes it from the log")]
    Missing(String),
}

impl From<rusqlite::Error> for BookError {
    fn from(error: rusqlite::Error) -> BookError {
        match (&error, error.sqlite_error_code()) {
            (_, Some(ErrorCode::NotADatabase | ErrorCode::DatabaseCorrupt)) => BookError::Damaged(error.to_string()),
            // A value that nothing writes.
            (rusqlite::Error::FromSqlConversionFailure(..) | rusqlite::Error::IntegralValueOutOfRange(..), _)
            | (rusqlite::Error::InvalidColumnType(..), _) => BookError::Damaged(error.to_string()),
            _ => BookError::Sqlite(error),
        }
    }
}

pub trait BookStore: Send {
    /// The books as they were last saved; empty ones when there are none.
    fn load(&mut self) -> Result<Books, BookError>;
    /// Saves what is dirty, and the offset, or nothing.
    fn save(&mut self, books: &Books, dirty: &Dirty) -> Result<(), BookError>;
}

/// Books in a SQLite file. Money columns are nanos.
pub struct SqliteBooks {
    db: Connection,
}

const SCHEMA: &str = "
PRAGMA journal_mode = WAL;
PRAGMA synchronous = NORMAL;
CREATE TABLE IF NOT EXISTS meta (key TEXT PRIMARY KEY, value INTEGER NOT NULL) STRICT;
CREATE TABLE IF NOT EXISTS campaigns (
  no INTEGER PRIMARY KEY, id TEXT NOT NULL, currency TEXT NOT NULL, total INTEGER NOT NULL, daily INTEGER,
  json TEXT, deleted INTEGER NOT NULL, spent INTEGER NOT NULL, late INTEGER NOT NULL,
  over_at_set INTEGER NOT NULL, bids INTEGER NOT NULL, wins INTEGER NOT NULL, billed INTEGER NOT NULL) STRICT;
CREATE TABLE IF NOT EXISTS days (
  no INTEGER NOT NULL, day INTEGER NOT NULL, spent INTEGER NOT NULL, late INTEGER NOT NULL, billed INTEGER NOT NULL,
  PRIMARY KEY (no, day)) STRICT, WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS daily_budgets (
  no INTEGER NOT NULL, day INTEGER NOT NULL, budget INTEGER, over_at_set INTEGER NOT NULL,
  PRIMARY KEY (no, day)) STRICT, WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS leases (
  no INTEGER NOT NULL, epoch INTEGER NOT NULL, day INTEGER NOT NULL, outstanding INTEGER NOT NULL,
  PRIMARY KEY (no, epoch, day)) STRICT, WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS reservation_bits (
  node INTEGER NOT NULL, epoch INTEGER NOT NULL, bucket INTEGER NOT NULL, page INTEGER NOT NULL, bits BLOB NOT NULL,
  PRIMARY KEY (node, epoch, bucket, page)) STRICT, WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS traffic (hour INTEGER PRIMARY KEY, requests INTEGER NOT NULL) STRICT;
CREATE TABLE IF NOT EXISTS models (
  name TEXT PRIMARY KEY, active TEXT, active_digest TEXT, shadow TEXT, shadow_digest TEXT, previous TEXT,
  previous_digest TEXT) STRICT;
CREATE VIEW IF NOT EXISTS spend AS
  SELECT c.id AS campaign, date(d.day * 86400, 'unixepoch') AS day, d.spent / 1e9 AS spent, d.late / 1e9 AS late,
  d.billed AS billed FROM days d JOIN campaigns c USING (no);
";

/// The `day` of a lease that is not bound to a day.
const WHOLE: i64 = i32::MIN as i64;

impl SqliteBooks {
    pub fn open(path: &Path) -> Result<SqliteBooks, BookError> {
        let db = Connection::open(path)?;
        db.busy_timeout(std::time::Duration::from_secs(5))?;
        db.execute_batch(SCHEMA)?;
        Ok(SqliteBooks { db })
    }

    /// As they stand, while a server may go on writing them.
    pub fn open_read_only(path: &Path) -> Result<SqliteBooks, BookError> {
        if !path.exists() {
            return Err(BookError::Missing(path.display().to_string()));
        }
        let db = Connection::open_with_flags(path, OpenFlags::SQLITE_OPEN_READ_ONLY)?;
        db.busy_timeout(std::time::Duration::from_secs(5))?;
        // One view of all tables, however long the reading takes. It is the view of the first reading.
        db.execute_batch("BEGIN; SELECT count(*) FROM sqlite_schema")?;
        Ok(SqliteBooks { db })
    }

    /// Empty books, with what `meta` says of them.
    fn load_meta(&self) -> Result<Books, BookError> {
        let mut rows = self.db.prepare("SELECT key, value FROM meta")?;
        let meta: BTreeMap<String, i64> =
            rows.query_map([], |r| Ok((r.get(0)?, r.get(1)?)))?.collect::<Result<_, _>>()?;
        let rows: i64 = self.db.query_row("SELECT count(*) FROM campaigns", [], |r| r.get(0))?;
        if meta.is_empty() && rows == 0 {
            return Ok(Books::default());
        }
        let damaged = |what: &str| BookError::Damaged(format!("in meta {what}"));
        let of = |key: &str| meta.get(key).copied().ok_or_else(|| damaged(&format!("{key} is missing")));
        let (next, epoch, forgotten) = (of("next_offset")?, of("epoch")?, of("forgotten_before")?);
        if of("check")? != check(next, epoch, forgotten) {
            return Err(damaged("next_offset, epoch, forgotten_before and check do not belong together"));
        }
        let small = |n: i64| u32::try_from(n).map_err(|_| damaged(&format!("{n} is out of range")));
        Ok(Books {
            next: Offset(next as u64),
            epoch: Epoch(small(epoch)?),
            bits: Bits::new(small(forgotten)?),
            ..Books::default()
        })
    }
}

/// Of the other values in `meta`: with a wrong offset, events would be folded twice or never.
fn check(next_offset: i64, epoch: i64, forgotten_before: i64) -> i64 {
    let mut sum = crc32fast::Hasher::new();
    [next_offset, epoch, forgotten_before].iter().for_each(|n| sum.update(&n.to_le_bytes()));
    i64::from(sum.finalize())
}

impl BookStore for SqliteBooks {
    fn load(&mut self) -> Result<Books, BookError> {
        let mut books = self.load_meta()?;
        let mut rows = self.db.prepare(
            "SELECT no, id, currency, total, daily, json, deleted, spent, late, over_at_set, bids, wins, billed
             FROM campaigns",
        )?;
        let campaigns = rows.query_map([], |r| {
            let currency: String = r.get(2)?;
            let set = CampaignSet {
                campaign: CampaignNo(r.get(0)?),
                id: r.get(1)?,
                currency: Currency::parse(&currency).ok_or_else(|| {
                    let what = format!("{currency:?} is no currency").into();
                    rusqlite::Error::FromSqlConversionFailure(2, Type::Text, what)
                })?,
                total: Nanos(r.get(3)?),
                daily: r.get::<_, Option<i64>>(4)?.map(Nanos),
                day: None,
                json: r.get(5)?,
            };
            let book = CampaignBook {
                deleted: r.get(6)?,
                spent: Nanos(r.get(7)?),
                late: Nanos(r.get(8)?),
                over_at_set: Nanos(r.get(9)?),
                bids: r.get::<_, i64>(10)? as u64,
                wins: r.get::<_, i64>(11)? as u64,
                billed: r.get::<_, i64>(12)? as u64,
                ..CampaignBook::new(&set)
            };
            Ok((set.campaign, book))
        })?;
        books.campaigns = campaigns.collect::<Result<_, _>>()?;

        let mut rows = self.db.prepare("SELECT no, day, spent, late, billed FROM days")?;
        let days = rows.query_map([], |r| {
            let day = DayBook { spent: Nanos(r.get(2)?), late: Nanos(r.get(3)?), billed: r.get::<_, i64>(4)? as u64 };
            Ok((CampaignNo(r.get(0)?), Day(r.get(1)?), day))
        })?;
        for row in days {
            let (no, day, book) = row?;
            campaign(&mut books, no)?.days.insert(day, book);
        }
        let mut rows = self.db.prepare("SELECT no, day, budget, over_at_set FROM daily_budgets")?;
        let budgets = rows.query_map([], |r| {
            let budget = r.get::<_, Option<i64>>(2)?.map(Nanos);
            Ok((CampaignNo(r.get(0)?), Day(r.get(1)?), DailyBudget { budget, over_at_set: Nanos(r.get(3)?) }))
        })?;
        for row in budgets {
            let (no, day, budget) = row?;
            campaign(&mut books, no)?.daily_budgets.restore(day, budget);
        }
        let mut rows = self.db.prepare("SELECT no, epoch, day, outstanding FROM leases")?;
        let leases = rows.query_map([], |r| {
            let slot = match r.get::<_, i64>(2)? {
                WHOLE => Slot::Whole,
                day => Slot::Day(Day(day as i32)),
            };
            Ok((CampaignNo(r.get(0)?), (Epoch(r.get(1)?), slot), Nanos(r.get(3)?)))
        })?;
        for row in leases {
            let (no, key, outstanding) = row?;
            campaign(&mut books, no)?.leases.insert(key, outstanding);
        }
        let mut rows = self.db.prepare("SELECT node, epoch, bucket, page, bits FROM reservation_bits")?;
        let pages = rows.query_map([], |r| {
            let (node, epoch) = (NodeId(r.get(0)?), Epoch(r.get(1)?));
            Ok((PageKey { node, epoch, bucket: r.get(2)?, page: r.get(3)? }, r.get::<_, Vec<u8>>(4)?))
        })?;
        for row in pages {
            let (key, bits) = row?;
            if !books.bits.restore(key, &bits) {
                return Err(BookError::Damaged(format!("reservation bits of minute {} have a wrong size", key.bucket)));
            }
        }
        let mut rows = self.db.prepare("SELECT hour, requests FROM traffic")?;
        for row in rows.query_map([], |r| Ok((r.get::<_, i64>(0)?, r.get::<_, i64>(1)?)))? {
            let (hour, requests) = row?;
            let hour = usize::try_from(hour).ok().and_then(|hour| books.traffic.get_mut(hour));
            *hour.ok_or_else(|| BookError::Damaged("traffic of an hour that is none".into()))? = Some(requests as u64);
        }
        let mut rows = self.db.prepare("SELECT * FROM models")?;
        books.models = rows.query_map([], models::read)?.collect::<Result<_, _>>()?;
        Ok(books)
    }

    fn save(&mut self, books: &Books, dirty: &Dirty) -> Result<(), BookError> {
        let tx = self.db.transaction()?;
        for no in &dirty.campaigns {
            if let Some(book) = books.campaigns.get(no) {
                save_campaign(&tx, *no, book)?;
            }
        }
        {
            let mut day = tx.prepare_cached("INSERT OR REPLACE INTO days VALUES (?1, ?2, ?3, ?4, ?5)")?;
            for (no, on) in &dirty.days {
                if let Some(d) = books.campaigns.get(no).and_then(|b| b.days.get(on)) {
                    day.execute(params![no.0, on.0, d.spent.0, d.late.0, d.billed as i64])?;
                }
            }
            for no in &dirty.budgets {
                if let Some(book) = books.campaigns.get(no) {
                    save_daily_budgets(&tx, *no, book)?;
                }
            }
            if dirty.forgot {
                let before = books.bits.forgotten_before();
                tx.execute("DELETE FROM reservation_bits WHERE bucket < ?1", [before])?;
            }
            let mut page = tx.prepare_cached("INSERT OR REPLACE INTO reservation_bits VALUES (?1, ?2, ?3, ?4, ?5)")?;
            for key in &dirty.pages {
                if let Some(bits) = books.bits.page(key) {
                    page.execute(params![key.node.0, key.epoch.0, key.bucket, key.page, bits])?;
                }
            }
            let mut traffic = tx.prepare_cached("INSERT OR REPLACE INTO traffic VALUES (?1, ?2)")?;
            for hour in &dirty.hours {
                if let Some(requests) = books.traffic[*hour] {
                    traffic.execute(params![*hour as i64, requests as i64])?;
                }
            }
            for set in dirty.models.iter().filter_map(|name| books.models.get(name)) {
                models::save(&tx, set)?;
            }
            let mut meta = tx.prepare_cached("INSERT OR REPLACE INTO meta VALUES (?1, ?2)")?;
            let (next, epoch) = (books.next.0 as i64, i64::from(books.epoch.0));
            let forgotten = i64::from(books.bits.forgotten_before());
            meta.execute(params!["next_offset", next])?;
            meta.execute(params!["epoch", epoch])?;
            meta.execute(params!["forgotten_before", forgotten])?;
            meta.execute(params!["check", check(next, epoch, forgotten)])?;
        }
        tx.commit()?;
        Ok(())
    }
}

fn save_campaign(tx: &Transaction, no: CampaignNo, book: &CampaignBook) -> Result<(), BookError> {
    let mut row = tx.prepare_cached(
        "INSERT OR REPLACE INTO campaigns VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13)",
    )?;
    row.execute(params![
        no.0,
        book.id,
        book.currency.as_str(),
        book.total.0,
        book.daily.map(|n| n.0),
        book.json,
        book.deleted,
        book.spent.0,
        book.late.0,
        book.over_at_set.0,
        book.bids as i64,
        book.wins as i64,
        book.billed as i64
    ])?;
    tx.prepare_cached("DELETE FROM leases WHERE no = ?1")?.execute([no.0])?;
    let mut lease = tx.prepare_cached("INSERT INTO leases VALUES (?1, ?2, ?3, ?4)")?;
    for ((epoch, slot), outstanding) in &book.leases {
        let day = match slot {
            Slot::Whole => WHOLE,
            Slot::Day(day) => i64::from(day.0),
        };
        lease.execute(params![no.0, epoch.0, day, outstanding.0])?;
    }
    Ok(())
}

fn save_daily_budgets(tx: &Transaction, no: CampaignNo, book: &CampaignBook) -> Result<(), BookError> {
    tx.prepare_cached("DELETE FROM daily_budgets WHERE no = ?1")?.execute([no.0])?;
    let mut row = tx.prepare_cached("INSERT INTO daily_budgets VALUES (?1, ?2, ?3, ?4)")?;
    for (day, daily) in book.daily_budgets.iter() {
        row.execute(params![no.0, day.0, daily.budget.map(|n| n.0), daily.over_at_set.0])?;
    }
    Ok(())
}

fn campaign(books: &mut Books, no: CampaignNo) -> Result<&mut CampaignBook, BookError> {
    let missing = || BookError::Damaged(format!("campaign {} has money but no row", no.0));
    books.campaigns.get_mut(&no).ok_or_else(missing)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::{Event, Facts, ModelVersion, ModelsSet, NoticeKind, Stamped};
    use crate::ids::LeaseId;
    use crate::ledger::fold;
    use crate::ledger::fold::tests::{START, facts, notice, set};

    #[test]
    fn what_is_saved_is_what_is_loaded() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("books.sqlite");
        let mut books = Books::default();
        let lease = |slot| Event::LeaseGranted {
            campaign: CampaignNo(1),
            lease: LeaseId { epoch: Epoch(1), seq: 1 },
            slot,
            amount: Nanos(100),
        };
        let on_day = Facts { daily: true, ..facts(5_000) };
        let events = [
            Event::EpochStarted { node: NodeId(1), epoch: Epoch(1) },
            set(1_000, Some(500)),
            lease(Slot::Whole),
            lease(Slot::Day(on_day.day)),
            Event::Bid(facts(0)),
            notice(NoticeKind::Bill, facts(0), 7),
            notice(NoticeKind::Win, on_day, 7),
            Event::Traffic { hour: 24 * 20_000 + 3, seconds: 3_600, requests: u64::MAX },
            Event::ModelsSet(models("1", None)),
            Event::ModelsSet(models("2", Some("1"))),
            set(1_000, Some(20)),
            set(1_000, None),
            Event::ReservationsForgotten { before: facts(0).reservation.bucket },
            Event::ReservationsForgotten { before: facts(0).reservation.bucket + 1 },
            notice(NoticeKind::Bill, facts(0), 7),
        ];
        let mut whole = Books::default();
        for (i, event) in events.into_iter().enumerate() {
            let stamped = Stamped { offset: Offset(i as u64), at: START, event };
            fold(&mut books, &stamped);
            fold(&mut whole, &stamped);
            let dirty = books.take_dirty();
            SqliteBooks::open(&path).unwrap().save(&books.part(&dirty), &dirty).unwrap();
            assert_eq!(SqliteBooks::open(&path).unwrap().load().unwrap(), books, "after event {i}");
            let stored = SqliteBooks::open_read_only(&path).unwrap();
            assert_eq!(stored.next().unwrap(), Some(books.next));
            stored.differences(&whole, &whole.dirty, &mut |line| panic!("after event {i}: {line}")).unwrap();
        }
        let book = &books.campaigns[&CampaignNo(1)];
        assert_eq!((book.billed, books.bits.bytes()), (1, 0), "what is forgotten is not booked again");
    }

    fn models(active: &str, previous: Option<&str>) -> ModelsSet {
        let version = |version: &str| ModelVersion { version: version.into(), digest: [0xa5; 32] };
        ModelsSet { name: "ctr".into(), active: Some(version(active)), shadow: None, previous: previous.map(version) }
    }

    #[test]
    fn an_offset_that_was_edited_is_not_gone_on_from() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("books.sqlite");
        let mut books = Books::default();
        for (i, event) in [set(1_000, None), notice(NoticeKind::Bill, facts(0), 7)].into_iter().enumerate() {
            fold(&mut books, &Stamped { offset: Offset(i as u64), at: START, event });
        }
        for (edit, what) in [
            ("UPDATE meta SET value = 0 WHERE key = 'next_offset'", "belong together"),
            ("UPDATE meta SET value = value + 1 WHERE key = 'epoch'", "belong together"),
            ("DELETE FROM meta WHERE key = 'check'", "check is missing"),
            ("DELETE FROM meta", "next_offset is missing"),
            ("UPDATE campaigns SET currency = 'us'", "no currency"),
            ("DELETE FROM campaigns", "no row"),
            ("UPDATE days SET day = 1 << 40", "range"),
            ("INSERT INTO models VALUES ('m', '1', 'zz', NULL, NULL, NULL, NULL)", "digest"),
            ("UPDATE reservation_bits SET bits = x'00'", "wrong size"),
        ] {
            let dirty = Dirty { campaigns: [CampaignNo(1)].into(), ..books.dirty.clone() };
            let mut store = SqliteBooks::open(&path).unwrap();
            store.save(&books, &dirty).unwrap();
            store.db.execute_batch(edit).unwrap();
            let refused = store.load().unwrap_err().to_string();
            assert!(refused.contains(what) && refused.contains("delete books.sqlite"), "{edit}: {refused}");
            drop(store);
            std::fs::remove_file(&path).unwrap();
        }
    }

    #[test]
    fn a_file_that_is_no_database_is_said_to_be_none() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("books.sqlite");
        let refused = |opened: Result<SqliteBooks, BookError>| opened.err().unwrap().to_string();
        assert!(refused(SqliteBooks::open_read_only(&path)).contains("the next start of gavel makes it from the log"));
        std::fs::write(&path, "x".repeat(5_000)).unwrap();
        for opened in [SqliteBooks::open(&path), SqliteBooks::open_read_only(&path)] {
            let refused = refused(opened);
            assert!(refused.contains("not a database") && refused.contains("delete books.sqlite"), "{refused}");
        }
    }

    #[test]
    fn an_empty_store_is_empty_books() {
        let dir = tempfile::tempdir().unwrap();
        let mut store = SqliteBooks::open(&dir.path().join("books.sqlite")).unwrap();
        assert_eq!(store.load().unwrap(), Books::default());
    }
}
