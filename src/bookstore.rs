//! Where the books are kept: the fold's state and the offset it has come to, written in one transaction.
//!
//! The log is the truth; a book store saves folding it from the start and lets a person query the books. Embedded it
//! is SQLite; a fleet's PostgreSQL holds the same tables.

use std::path::Path;

use rusqlite::{Connection, OptionalExtension, Transaction, params};

use crate::clock::Day;
use crate::event::{CampaignSet, Offset, Slot};
use crate::ids::{CampaignNo, Currency, Epoch, NodeId};
use crate::ledger::Books;
use crate::ledger::fold::{CampaignBook, DayBook, Dirty};
use crate::ledger::reservation::PageKey;
use crate::money::Nanos;

#[derive(Debug, thiserror::Error)]
pub enum BookError {
    #[error("the books cannot be read or written: {0}")]
    Sqlite(#[from] rusqlite::Error),
    #[error(
        "the books are damaged: {0}; stop gavel and delete books.sqlite (and its -wal and -shm): they are rebuilt from the log"
    )]
    Damaged(String),
}

pub trait BookStore: Send {
    /// The books as they were last saved; empty ones when there are none.
    fn load(&mut self) -> Result<Books, BookError>;
    /// Saves what is dirty, and the offset, or nothing.
    fn save(&mut self, books: &Books, dirty: &Dirty) -> Result<(), BookError>;
    /// Removes the bits of reservations of minutes before `bucket`: their tokens have expired.
    fn forget_before(&mut self, bucket: u32) -> Result<(), BookError>;
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
CREATE TABLE IF NOT EXISTS leases (
  no INTEGER NOT NULL, epoch INTEGER NOT NULL, day INTEGER NOT NULL, outstanding INTEGER NOT NULL,
  PRIMARY KEY (no, epoch, day)) STRICT, WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS reservation_bits (
  node INTEGER NOT NULL, epoch INTEGER NOT NULL, bucket INTEGER NOT NULL, page INTEGER NOT NULL, bits BLOB NOT NULL,
  PRIMARY KEY (node, epoch, bucket, page)) STRICT, WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS traffic (hour INTEGER PRIMARY KEY, requests INTEGER NOT NULL) STRICT;
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
        let db = Connection::open_with_flags(path, rusqlite::OpenFlags::SQLITE_OPEN_READ_ONLY)?;
        db.busy_timeout(std::time::Duration::from_secs(5))?;
        // One view of all tables, however long the reading takes.
        db.execute_batch("BEGIN")?;
        Ok(SqliteBooks { db })
    }

    fn meta(&self, key: &str) -> Result<i64, BookError> {
        let row = self.db.query_row("SELECT value FROM meta WHERE key = ?1", [key], |r| r.get(0)).optional()?;
        Ok(row.unwrap_or(0))
    }
}

impl BookStore for SqliteBooks {
    fn load(&mut self) -> Result<Books, BookError> {
        let mut books = Books {
            next: Offset(self.meta("next_offset")? as u64),
            epoch: Epoch(self.meta("epoch")? as u32),
            ..Books::default()
        };
        let mut rows = self.db.prepare(
            "SELECT no, id, currency, total, daily, json, deleted, spent, late, over_at_set, bids, wins, billed
             FROM campaigns",
        )?;
        let campaigns = rows.query_map([], |r| {
            let currency: String = r.get(2)?;
            let set = CampaignSet {
                campaign: CampaignNo(r.get(0)?),
                id: r.get(1)?,
                currency: Currency::parse(&currency).ok_or(rusqlite::Error::InvalidQuery)?,
                total: Nanos(r.get(3)?),
                daily: r.get::<_, Option<i64>>(4)?.map(Nanos),
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
        // Books of an earlier build that are only read have no such table.
        let known = "SELECT count(*) FROM sqlite_schema WHERE name = 'traffic'";
        if self.db.query_row(known, [], |r| r.get::<_, i64>(0))? == 0 {
            return Ok(books);
        }
        let mut rows = self.db.prepare("SELECT hour, requests FROM traffic")?;
        for row in rows.query_map([], |r| Ok((r.get::<_, i64>(0)?, r.get::<_, i64>(1)?)))? {
            let (hour, requests) = row?;
            let hour = usize::try_from(hour).ok().and_then(|hour| books.traffic.get_mut(hour));
            *hour.ok_or_else(|| BookError::Damaged("traffic of an hour that is none".into()))? = Some(requests as u64);
        }
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
            let mut meta = tx.prepare_cached("INSERT OR REPLACE INTO meta VALUES (?1, ?2)")?;
            meta.execute(params!["next_offset", books.next.0 as i64])?;
            meta.execute(params!["epoch", books.epoch.0])?;
        }
        tx.commit()?;
        Ok(())
    }

    fn forget_before(&mut self, bucket: u32) -> Result<(), BookError> {
        self.db.execute("DELETE FROM reservation_bits WHERE bucket < ?1", [bucket])?;
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

fn campaign(books: &mut Books, no: CampaignNo) -> Result<&mut CampaignBook, BookError> {
    let missing = || BookError::Damaged(format!("campaign {} has money but no row", no.0));
    books.campaigns.get_mut(&no).ok_or_else(missing)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::{Event, Facts, NoticeKind, Stamped};
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
        ];
        for (i, event) in events.into_iter().enumerate() {
            fold(&mut books, &Stamped { offset: Offset(i as u64), at: START, event });
            let dirty = books.take_dirty();
            SqliteBooks::open(&path).unwrap().save(&books.part(&dirty), &dirty).unwrap();
            assert_eq!(SqliteBooks::open(&path).unwrap().load().unwrap(), books, "after event {i}");
        }
        let mut store = SqliteBooks::open(&path).unwrap();
        store.forget_before(u32::MAX).unwrap();
        books.forget_before(u32::MAX);
        assert_eq!(store.load().unwrap(), books);
    }

    #[test]
    fn an_empty_store_is_empty_books() {
        let dir = tempfile::tempdir().unwrap();
        let mut store = SqliteBooks::open(&dir.path().join("books.sqlite")).unwrap();
        assert_eq!(store.load().unwrap(), Books::default());
    }
}
