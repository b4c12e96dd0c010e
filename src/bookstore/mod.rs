//! Where the books are kept: the fold's state and the offset it has come to, written in one transaction.
//!
//! The log is the truth; a book store saves folding it from the start and lets a person query the books. Embedded it
//! is SQLite; a fleet's PostgreSQL holds the same tables. `rows` compares the tables, row by row, with what the log
//! comes to.

mod checksum;
mod models;
mod rows;

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::Arc;

use rusqlite::types::Type;
use rusqlite::{Connection, ErrorCode, OpenFlags, params};

use self::checksum::Rows;
use crate::clock::{Day, UnixMs};
use crate::event::{CampaignSet, Offset, Process, Promise, Slot};
use crate::ids::{CampaignNo, Currency, Epoch, NodeId};
use crate::ledger::Books;
use crate::ledger::book::{CampaignBook, DayBook};
use crate::ledger::daily::DailyBudget;
use crate::ledger::fold::Dirty;
use crate::ledger::numbers::Numbers;
use crate::ledger::reservation::{Bits, PageKey};
use crate::ledger::starts::{Start, Starts};
use crate::money::Nanos;

#[derive(Debug, thiserror::Error)]
pub enum BookError {
    #[error("the books cannot be read or written: {0}")]
    Sqlite(rusqlite::Error),
    #[error(
        "the books are damaged: {0}; stop gavel and delete books.sqlite (and its -wal and -shm): they are rebuilt from the log"
    )]
    Damaged(String),
    #[error(
        "books.sqlite is not as gavel wrote it: {0}. Somebody edited it: `gavel audit` names every difference; to start, \
         delete books.sqlite (and its -wal and -shm): the books are rebuilt from the log"
    )]
    Edited(String),
    #[error("the books were written by another version of gavel: the next start rebuilds them from the log")]
    OtherVersion,
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
    /// The books as they were last saved, refused when somebody edited them; empty ones when there are none.
    fn load(&mut self) -> Result<Books, BookError>;
    /// Saves what is dirty, and the offset, or nothing.
    fn save(&mut self, books: &Books, dirty: &Dirty) -> Result<(), BookError>;
}

/// Books in a SQLite file. Money columns are nanos.
pub struct SqliteBooks {
    db: Connection,
}

/// Books of another version are not read: they are folded anew.
const VERSION: i64 = 3;

const SCHEMA: &str = "
PRAGMA journal_mode = WAL;
PRAGMA synchronous = NORMAL;
CREATE TABLE IF NOT EXISTS meta (key TEXT PRIMARY KEY, value INTEGER NOT NULL, checksum INTEGER NOT NULL) STRICT;
CREATE TABLE IF NOT EXISTS campaigns (
  no INTEGER PRIMARY KEY, id TEXT NOT NULL, currency TEXT NOT NULL, total INTEGER NOT NULL, daily INTEGER,
  json TEXT, deleted INTEGER NOT NULL, spent INTEGER NOT NULL, late INTEGER NOT NULL,
  over_at_set INTEGER NOT NULL, bids INTEGER NOT NULL, wins INTEGER NOT NULL, billed INTEGER NOT NULL,
  checksum INTEGER NOT NULL) STRICT;
CREATE TABLE IF NOT EXISTS days (
  no INTEGER NOT NULL, day INTEGER NOT NULL, spent INTEGER NOT NULL, late INTEGER NOT NULL, billed INTEGER NOT NULL,
  checksum INTEGER NOT NULL, PRIMARY KEY (no, day)) STRICT, WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS daily_budgets (
  no INTEGER NOT NULL, day INTEGER NOT NULL, budget INTEGER, over_at_set INTEGER NOT NULL,
  checksum INTEGER NOT NULL, PRIMARY KEY (no, day)) STRICT, WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS leases (
  no INTEGER NOT NULL, epoch INTEGER NOT NULL, day INTEGER NOT NULL, outstanding INTEGER NOT NULL,
  checksum INTEGER NOT NULL, PRIMARY KEY (no, epoch, day)) STRICT, WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS reservation_bits (
  node INTEGER NOT NULL, epoch INTEGER NOT NULL, bucket INTEGER NOT NULL, page INTEGER NOT NULL, bits BLOB NOT NULL,
  checksum INTEGER NOT NULL, PRIMARY KEY (node, epoch, bucket, page)) STRICT, WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS traffic (
  hour INTEGER PRIMARY KEY, requests INTEGER NOT NULL, checksum INTEGER NOT NULL) STRICT;
CREATE TABLE IF NOT EXISTS starts (
  epoch INTEGER PRIMARY KEY, node INTEGER NOT NULL, process INTEGER NOT NULL, billable_ms INTEGER NOT NULL,
  began_at INTEGER NOT NULL, began_ran_ms INTEGER NOT NULL, heard_ran_ms INTEGER NOT NULL, ended_ran_ms INTEGER,
  checksum INTEGER NOT NULL) STRICT;
CREATE TABLE IF NOT EXISTS models (
  name TEXT PRIMARY KEY, active TEXT, active_digest TEXT, shadow TEXT, shadow_digest TEXT, previous TEXT,
  previous_digest TEXT, checksum INTEGER NOT NULL) STRICT;
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
        let found = version(&db)?;
        if found != VERSION {
            if found > 0 {
                tracing::info!("books.sqlite is of another version of gavel: the books are rebuilt from the log");
            }
            let drop_table = |table| format!("DROP TABLE IF EXISTS {table};");
            db.execute_batch(&rows::names().map(drop_table).collect::<String>())?;
        }
        db.execute_batch(SCHEMA)?;
        db.pragma_update(None, "user_version", VERSION)?;
        Ok(SqliteBooks { db })
    }

    /// As they stand, while a server may go on writing them.
    pub fn open_read_only(path: &Path) -> Result<SqliteBooks, BookError> {
        if !path.exists() {
            return Err(BookError::Missing(path.display().to_string()));
        }
        let db = Connection::open_with_flags(path, OpenFlags::SQLITE_OPEN_READ_ONLY)?;
        db.busy_timeout(std::time::Duration::from_secs(5))?;
        let tables: i64 = db.query_row("SELECT count(*) FROM sqlite_schema", [], |row| row.get(0))?;
        if version(&db)? != VERSION && tables > 0 {
            return Err(BookError::OtherVersion);
        }
        // One view of all tables, however long the reading takes. It is the view of the first reading.
        db.execute_batch("BEGIN; SELECT count(*) FROM sqlite_schema")?;
        Ok(SqliteBooks { db })
    }

    /// A table, trigger or index that is not as gavel makes it, or nothing.
    fn schema_edited(&self) -> Result<Option<String>, BookError> {
        let made = Connection::open_in_memory()?;
        made.execute_batch(SCHEMA)?;
        let (made, stored) = (objects(&made)?, objects(&self.db)?);
        let name = made.symmetric_difference(&stored).next().map(|(kind, name, _)| format!("the {kind} {name}"));
        Ok(name.map(|what| format!("{what} is not one that it makes, or is missing")))
    }

    /// Empty books, with what `meta` says of them.
    fn load_meta(&self) -> Result<Books, BookError> {
        let mut rows = self.db.prepare("SELECT key, value FROM meta")?;
        let meta: BTreeMap<String, i64> =
            rows.query_map([], |r| Ok((r.get(0)?, r.get(1)?)))?.collect::<Result<_, _>>()?;
        if meta.is_empty() {
            return Ok(Books::default());
        }
        let damaged = |what: String| BookError::Damaged(format!("in meta {what}"));
        let of = |key: &str| meta.get(key).copied().ok_or_else(|| damaged(format!("{key} is missing")));
        let small = |key: &str| u32::try_from(of(key)?).map_err(|_| damaged(format!("{key} is out of range")));
        Ok(Books {
            next: Offset(of("next_offset")?.cast_unsigned()),
            epoch: Epoch(small("epoch")?),
            bits: Bits::new(small("forgotten_before")?),
            starts: Starts {
                at: UnixMs(of("at")?),
                began_at: UnixMs(of("began_at")?),
                ran_before_ms: of("ran_before_ms")?,
                ..Starts::default()
            },
            ..Books::default()
        })
    }
}

impl BookStore for SqliteBooks {
    fn load(&mut self) -> Result<Books, BookError> {
        // A trigger changes what is saved after it was checked.
        if let Some(what) = self.schema_edited()? {
            return Err(BookError::Edited(what));
        }
        if let Some(what) = checksum::edited(&self.db)? {
            return Err(BookError::Edited(what));
        }
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
            Ok((set.campaign, Arc::new(book)))
        })?;
        books.campaigns = campaigns.collect::<Result<_, _>>()?;
        books.numbers = Numbers::from(&books.campaigns);

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
        let leases = rows
            .query_map([], |r| Ok((CampaignNo(r.get(0)?), (Epoch(r.get(1)?), slot_of(r.get(2)?)), Nanos(r.get(3)?))))?;
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
        let mut rows = self.db.prepare(
            "SELECT epoch, node, process, billable_ms, began_at, began_ran_ms, heard_ran_ms, ended_ran_ms FROM starts",
        )?;
        let starts = rows.query_map([], |r| {
            let start = Start {
                node: NodeId(r.get(1)?),
                process: Process(r.get::<_, i64>(2)?.cast_unsigned()),
                promise: Promise { billable_ms: r.get(3)? },
                began_at: UnixMs(r.get(4)?),
                began_ran_ms: r.get(5)?,
                heard_ran_ms: r.get(6)?,
                ended_ran_ms: r.get(7)?,
            };
            Ok((Epoch(r.get(0)?), start))
        })?;
        books.starts.known = starts.collect::<Result<_, _>>()?;
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
        let mut rows = Rows::begin(&mut self.db)?;
        for no in &dirty.campaigns {
            if let Some(book) = books.campaigns.get(no) {
                save_campaign(&mut rows, *no, book)?;
            }
        }
        for (no, on) in &dirty.days {
            if let Some(d) = books.campaigns.get(no).and_then(|b| b.days.get(on)) {
                let billed = d.billed.cast_signed();
                rows.put("days", &["no", "day"], params![no.0, on.0, d.spent.0, d.late.0, billed])?;
            }
        }
        for no in &dirty.budgets {
            if let Some(book) = books.campaigns.get(no) {
                save_daily_budgets(&mut rows, *no, book)?;
            }
        }
        if dirty.forgot {
            rows.remove("reservation_bits", "bucket < ?1", &[&books.bits.forgotten_before()])?;
        }
        for key in &dirty.pages {
            if let Some(bits) = books.bits.page(key) {
                let PageKey { node, epoch, bucket, page } = key;
                let columns = ["node", "epoch", "bucket", "page"];
                rows.put("reservation_bits", &columns, params![node.0, epoch.0, bucket, page, bits])?;
            }
        }
        for hour in &dirty.hours {
            if let Some(requests) = books.traffic[*hour] {
                rows.put("traffic", &["hour"], params![*hour as i64, requests.cast_signed()])?;
            }
        }
        for set in dirty.models.iter().filter_map(|name| books.models.get(name)) {
            models::save(&mut rows, set)?;
        }
        if dirty.starts {
            rows.remove("starts", "true", &[])?;
            for (epoch, start) in &books.starts.known {
                let Start { node, process, promise, began_at, began_ran_ms, heard_ran_ms, ended_ran_ms } = start;
                let (process, billable_ms) = (process.0.cast_signed(), promise.billable_ms);
                let row = params![
                    epoch.0,
                    node.0,
                    process,
                    billable_ms,
                    began_at.0,
                    began_ran_ms,
                    heard_ran_ms,
                    ended_ran_ms
                ];
                rows.put("starts", &["epoch"], row)?;
            }
        }
        for (key, value) in [
            ("next_offset", books.next.0.cast_signed()),
            ("epoch", i64::from(books.epoch.0)),
            ("at", books.starts.at.0),
            ("began_at", books.starts.began_at.0),
            ("ran_before_ms", books.starts.ran_before_ms),
            ("forgotten_before", i64::from(books.bits.forgotten_before())),
        ] {
            rows.put("meta", &["key"], params![key, value])?;
        }
        Ok(rows.commit()?)
    }
}

fn save_campaign(rows: &mut Rows, no: CampaignNo, book: &CampaignBook) -> rusqlite::Result<()> {
    let values = params![
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
        book.bids.cast_signed(),
        book.wins.cast_signed(),
        book.billed.cast_signed()
    ];
    rows.put("campaigns", &["no"], values)?;
    // Most saves change none of them.
    let stored = leases(rows.db(), no)?;
    for ((epoch, slot), _) in stored.iter().filter(|(key, _)| !book.leases.contains_key(key)) {
        rows.remove("leases", "no = ?1 AND epoch = ?2 AND day = ?3", params![no.0, epoch.0, day_of(*slot)])?;
    }
    for ((epoch, slot), left) in book.leases.iter().filter(|(key, left)| stored.get(*key) != Some(*left)) {
        rows.put("leases", &["no", "epoch", "day"], params![no.0, epoch.0, day_of(*slot), left.0])?;
    }
    Ok(())
}

fn leases(db: &Connection, no: CampaignNo) -> rusqlite::Result<BTreeMap<(Epoch, Slot), Nanos>> {
    let mut rows = db.prepare_cached("SELECT epoch, day, outstanding FROM leases WHERE no = ?1")?;
    rows.query_map([no.0], |r| Ok(((Epoch(r.get(0)?), slot_of(r.get(1)?)), Nanos(r.get(2)?))))?.collect()
}

fn day_of(slot: Slot) -> i64 {
    match slot {
        Slot::Whole => WHOLE,
        Slot::Day(day) => i64::from(day.0),
    }
}

fn slot_of(day: i64) -> Slot {
    if day == WHOLE { Slot::Whole } else { Slot::Day(Day(day as i32)) }
}

/// Kind, name and definition of all that is in a database.
fn objects(db: &Connection) -> rusqlite::Result<BTreeSet<(String, String, Option<String>)>> {
    let mut rows = db.prepare("SELECT type, name, sql FROM sqlite_schema")?;
    rows.query_map([], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?)))?.collect()
}

fn version(db: &Connection) -> rusqlite::Result<i64> {
    db.query_row("PRAGMA user_version", [], |row| row.get(0))
}

fn save_daily_budgets(rows: &mut Rows, no: CampaignNo, book: &CampaignBook) -> rusqlite::Result<()> {
    rows.remove("daily_budgets", "no = ?1", &[&no.0])?;
    for (day, daily) in book.daily_budgets.iter() {
        let (budget, over) = (daily.budget.map(|n| n.0), daily.over_at_set.0);
        rows.put("daily_budgets", &["no", "day"], params![no.0, day.0, budget, over])?;
    }
    Ok(())
}

fn campaign(books: &mut Books, no: CampaignNo) -> Result<&mut CampaignBook, BookError> {
    let missing = || BookError::Damaged(format!("campaign {} has money but no row", no.0));
    books.campaigns.get_mut(&no).map(Arc::make_mut).ok_or_else(missing)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::{Event, Facts, ModelVersion, ModelsSet, NoticeKind, Stamped};
    use crate::ids::LeaseId;
    use crate::ledger::fold;
    use crate::ledger::fold::tests::{START, facts, notice, set, started};

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
            started(1),
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
        books.next.0 += 1;
        let mut store = SqliteBooks::open(&path).unwrap();
        store.save(&books, &Dirty { moved: true, ..Dirty::default() }).unwrap();
        assert_eq!(store.load().unwrap(), books);
    }

    fn models(active: &str, previous: Option<&str>) -> ModelsSet {
        let version = |version: &str| ModelVersion { version: version.into(), digest: [0xa5; 32] };
        ModelsSet { name: "ctr".into(), active: Some(version(active)), shadow: None, previous: previous.map(version) }
    }

    #[test]
    fn whatever_somebody_edits_is_noticed() {
        let mut books = Books::default();
        let lease = LeaseId { epoch: Epoch(1), seq: 1 };
        let (campaign, slot, amount) = (CampaignNo(1), Slot::Whole, Nanos(100));
        let events = [
            started(1),
            set(1_000, Some(500)),
            Event::LeaseGranted { campaign, lease, slot, amount },
            notice(NoticeKind::Bill, facts(0), 7),
            Event::Traffic { hour: 3, seconds: 3_600, requests: 9 },
            Event::ModelsSet(models("2", Some("1"))),
        ];
        let mut store = SqliteBooks::open(Path::new(":memory:")).unwrap();
        for (i, event) in events.into_iter().enumerate() {
            fold(&mut books, &Stamped { offset: Offset(i as u64), at: START, event });
        }
        let dirty = books.take_dirty();
        store.save(&books, &dirty).unwrap();
        for edit in [
            "UPDATE campaigns SET spent = spent - 1",
            "UPDATE campaigns SET daily = NULL",
            "UPDATE campaigns SET json = ''",
            "UPDATE campaigns SET no = 2",
            "UPDATE campaigns SET currency = 'us'",
            "DELETE FROM campaigns",
            "UPDATE days SET spent = 6",
            "UPDATE days SET day = 1 << 40",
            "DELETE FROM days",
            "UPDATE daily_budgets SET budget = 501",
            "DELETE FROM daily_budgets",
            "UPDATE leases SET outstanding = outstanding + 1",
            "DELETE FROM leases",
            "INSERT INTO leases VALUES (1, 2, 3, 4, 5)",
            "UPDATE reservation_bits SET bits = zeroblob(1024)",
            "DELETE FROM reservation_bits",
            "UPDATE traffic SET requests = 8",
            "UPDATE models SET active = '3'",
            "UPDATE models SET previous_digest = NULL",
            "UPDATE starts SET billable_ms = 0",
            "UPDATE meta SET value = value + 1 WHERE key = 'next_offset'",
            "UPDATE meta SET value = value + 1 WHERE key = 'epoch'",
            "UPDATE meta SET value = value + 1 WHERE key = 'forgotten_before'",
            "UPDATE meta SET value = value + 1 WHERE key = 'at'",
            "UPDATE meta SET value = value + 1 WHERE key = 'sum'",
            "UPDATE meta SET checksum = 0",
            "DELETE FROM meta WHERE key = 'sum'",
            "DELETE FROM meta",
            "INSERT INTO meta VALUES ('more', 1, 1)",
            "UPDATE campaigns SET spent = spent - 1, late = late + 1",
        ] {
            assert_eq!(store.load().unwrap().campaigns, books.campaigns);
            store.db.execute_batch("BEGIN").unwrap();
            assert!(store.db.execute(edit, []).unwrap() > 0, "{edit}");
            let refused = store.load().unwrap_err().to_string();
            assert!(refused.contains("edited") && refused.contains("delete books.sqlite"), "{edit}: {refused}");
            store.db.execute_batch("ROLLBACK").unwrap();
        }
        for edit in [
            "CREATE TRIGGER less AFTER INSERT ON days BEGIN UPDATE days SET spent = 0; END",
            "CREATE UNIQUE INDEX one ON days (day)",
            "CREATE TABLE notes (text TEXT)",
            "DROP VIEW spend",
            "ALTER TABLE days ADD COLUMN note TEXT",
        ] {
            assert_eq!(store.load().unwrap().campaigns, books.campaigns);
            store.db.execute_batch(&format!("BEGIN; {edit}")).unwrap();
            let refused = store.load().unwrap_err().to_string();
            assert!(refused.contains("edited") && refused.contains("delete books.sqlite"), "{edit}: {refused}");
            store.db.execute_batch("ROLLBACK").unwrap();
        }
        // What is written beside it later does not cover it up.
        store.db.execute("DELETE FROM days", []).unwrap();
        store.save(&books, &Dirty { campaigns: dirty.campaigns, ..Dirty::default() }).unwrap();
        assert!(matches!(store.load(), Err(BookError::Edited(_))));
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
