//! The stored tables against what they should hold: each row, each column, and the schema itself. Whatever was edited by
//! hand is named.

use std::cmp::Ordering;
use std::path::Path;

use rusqlite::types::{Value, ValueRef};
use rusqlite::{ErrorCode, OptionalExtension, Row, Rows, Statement};
use sha2::{Digest, Sha256};

use super::{BookError, BookStore, SqliteBooks, WHOLE};
use crate::clock::{Day, UnixMs};
use crate::event::Offset;
use crate::ids::{CampaignNo, Epoch, NodeId, ReservationId};
use crate::ledger::Books;
use crate::ledger::fold::Dirty;
use crate::ledger::reservation::{State, states};
use crate::money::Nanos;

struct Table {
    name: &'static str,
    /// The first `keys` of them tell a row from all others.
    columns: &'static [&'static str],
    keys: usize,
}

const fn table(name: &'static str, keys: usize, columns: &'static [&'static str]) -> Table {
    Table { name, columns, keys }
}

const SCHEMA: &str = "sqlite_schema";
const CHECKSUM: &str = "checksum";
const BITS: &str = "reservation_bits";
const TABLES: [Table; 10] = [
    table(SCHEMA, 2, &["type", "name", "sql"]),
    table("meta", 1, &["key", "value", CHECKSUM]),
    table(
        "campaigns",
        1,
        &[
            "no",
            "id",
            "currency",
            "total",
            "daily",
            "json",
            "deleted",
            "spent",
            "late",
            "over_at_set",
            "bids",
            "wins",
            "billed",
            CHECKSUM,
        ],
    ),
    table("days", 2, &["no", "day", "spent", "late", "billed", CHECKSUM]),
    table("daily_budgets", 2, &["no", "day", "budget", "over_at_set", CHECKSUM]),
    table("leases", 3, &["no", "epoch", "day", "outstanding", CHECKSUM]),
    table(BITS, 4, &["node", "epoch", "bucket", "page", "bits", CHECKSUM]),
    table("traffic", 1, &["hour", "requests", CHECKSUM]),
    table(
        "starts",
        1,
        &[
            "epoch",
            "node",
            "process",
            "billable_ms",
            "began_at",
            "began_ran_ms",
            "heard_ran_ms",
            "ended_ran_ms",
            CHECKSUM,
        ],
    ),
    table(
        "models",
        1,
        &["name", "active", "active_digest", "shadow", "shadow_digest", "previous", "previous_digest", CHECKSUM],
    ),
];
const MONEY: &[&str] = &["total", "daily", "spent", "late", "over_at_set", "budget", "outstanding"];

/// The tables that gavel makes.
pub fn names() -> impl Iterator<Item = &'static str> {
    TABLES.iter().map(|table| table.name).filter(|name| *name != SCHEMA)
}

type Line<'a> = &'a mut dyn FnMut(String);

impl SqliteBooks {
    /// The event that they say they have come to, if they do.
    pub fn next(&self) -> Result<Option<Offset>, BookError> {
        let next = self.db.query_row("SELECT value FROM meta WHERE key = 'next_offset'", [], |row| value(row, 0));
        let next = match next.optional() {
            Err(error) if is_of_the_schema(&error) => None,
            other => other?,
        };
        Ok(match next {
            Some(Value::Integer(next)) => u64::try_from(next).ok().map(Offset),
            _ => None,
        })
    }

    /// The tables of these books, in memory. `all` is all that was ever dirty in them.
    pub fn in_memory(books: &Books, all: &Dirty) -> Result<SqliteBooks, BookError> {
        // Without a name: SQLite keeps what does not fit into memory in a file that nobody sees.
        let mut stored = SqliteBooks::open(Path::new(""))?;
        stored.save(books, all)?;
        Ok(stored)
    }

    /// SHA-256 of every row of every table, by key: equal tables have equal hashes, however they came about.
    pub fn hash(&self) -> Result<[u8; 32], BookError> {
        let mut hash = Sha256::new();
        for table in TABLES.iter().filter(|table| table.name != SCHEMA) {
            let keys = (1..=table.keys).map(|n| n.to_string()).collect::<Vec<_>>().join(", ");
            let query = format!("SELECT {} FROM {} ORDER BY {keys}", table.columns.join(", "), table.name);
            hash.update(table.name);
            let mut select = self.db.prepare(&query)?;
            let mut rows = select.query([])?;
            while let Some(row) = rows.next()? {
                for column in 0..table.columns.len() {
                    let value = value(row, column)?;
                    // A tag and a length: no two rows are written alike.
                    let text = format!("{value:?}");
                    hash.update((text.len() as u64).to_le_bytes());
                    hash.update(text);
                }
            }
        }
        Ok(hash.finalize().into())
    }

    /// A line for each table, row and value that is not what `by_log` comes to. `all` is all that was ever dirty in it.
    pub fn differences(&self, by_log: &Books, all: &Dirty, tell: Line) -> Result<(), BookError> {
        let expected = SqliteBooks::in_memory(by_log, all)?;
        TABLES.iter().try_for_each(|table| self.table_differences(table, &expected, by_log, tell))
    }

    fn table_differences(
        &self,
        table: &Table,
        expected: &SqliteBooks,
        by_log: &Books,
        tell: Line,
    ) -> Result<(), BookError> {
        let keys = (1..=table.keys).map(|n| n.to_string()).collect::<Vec<_>>().join(", ");
        let query = format!("SELECT {} FROM {} ORDER BY {keys}", table.columns.join(", "), table.name);
        let mut expected = expected.db.prepare(&query)?;
        let mut stored = match self.db.prepare(&query) {
            Err(error) if is_of_the_schema(&error) => {
                tell(format!("table {}: cannot be compared: {error}", table.name));
                return Ok(());
            }
            other => other?,
        };
        let (mut expected, mut stored) = (Source::new(&mut expected)?, Source::new(&mut stored)?);
        let names = Names { table, by_log };
        loop {
            let order = match (&expected.row, &stored.row) {
                (None, None) => return Ok(()),
                (Some(_), None) => Ordering::Less,
                (None, Some(_)) => Ordering::Greater,
                (Some(e), Some(s)) => key_order(&e[..table.keys], &s[..table.keys]),
            };
            match (order, &expected.row, &stored.row) {
                (Ordering::Less, Some(row), _) => tell(names.missing(row)),
                (Ordering::Greater, _, Some(row)) => tell(names.not_in_log(row)),
                (_, Some(by_log), Some(in_books)) => names.compare(by_log, in_books, tell),
                _ => {}
            }
            if order != Ordering::Greater {
                expected.step()?;
            }
            if order != Ordering::Less {
                stored.step()?;
            }
        }
    }
}

/// A table or a column that is not there, as opposed to a file that cannot be read.
fn is_of_the_schema(error: &rusqlite::Error) -> bool {
    matches!(error, rusqlite::Error::SqlInputError { .. }) || error.sqlite_error_code() == Some(ErrorCode::Unknown)
}

/// The rows of a query, one at a time.
struct Source<'a> {
    rows: Rows<'a>,
    columns: usize,
    row: Option<Vec<Value>>,
}

impl<'a> Source<'a> {
    fn new(statement: &'a mut Statement) -> Result<Source<'a>, BookError> {
        let mut source = Source { columns: statement.column_count(), rows: statement.query([])?, row: None };
        source.step()?;
        Ok(source)
    }

    fn step(&mut self) -> Result<(), BookError> {
        let columns = 0..self.columns;
        let read = |row: &Row| columns.map(|i| value(row, i)).collect::<Result<Vec<_>, _>>();
        self.row = self.rows.next()?.map(read).transpose()?;
        Ok(())
    }
}

/// Any value, also a text that is none: such a one differs from all that gavel writes.
fn value(row: &Row, column: usize) -> Result<Value, rusqlite::Error> {
    Ok(match row.get_ref(column)? {
        ValueRef::Text(bytes) => Value::Text(String::from_utf8_lossy(bytes).into_owned()),
        other => other.try_into()?,
    })
}

/// As SQLite orders rows.
fn key_order(a: &[Value], b: &[Value]) -> Ordering {
    let rank = |value: &Value| match value {
        Value::Null => 0,
        Value::Integer(_) => 1,
        Value::Real(_) => 2,
        Value::Text(_) => 3,
        Value::Blob(_) => 4,
    };
    let one = |(a, b): (&Value, &Value)| match (a, b) {
        (Value::Integer(a), Value::Integer(b)) => a.cmp(b),
        (Value::Text(a), Value::Text(b)) => a.cmp(b),
        _ => rank(a).cmp(&rank(b)),
    };
    a.iter().zip(b).map(one).find(|order| order.is_ne()).unwrap_or(Ordering::Equal)
}

/// Words for the rows of one table.
struct Names<'a> {
    table: &'a Table,
    by_log: &'a Books,
}

impl Names<'_> {
    fn missing(&self, row: &[Value]) -> String {
        format!("{}: missing in the books ({})", self.row(row), self.values(row))
    }

    fn not_in_log(&self, row: &[Value]) -> String {
        format!("{}: in the books, but not in the log ({})", self.row(row), self.values(row))
    }

    fn compare(&self, by_log: &[Value], in_books: &[Value], tell: Line) {
        let row = self.row(by_log);
        for ((column, a), b) in self.table.columns.iter().zip(by_log).zip(in_books).filter(|((_, a), b)| a != b) {
            match (a, b) {
                (Value::Blob(a), Value::Blob(b)) if self.table.name == BITS && a.len() == b.len() => {
                    for (within, (a, b)) in states(a).zip(states(b)).enumerate().filter(|(_, (a, b))| a != b) {
                        let id = reservation(by_log, within);
                        tell(format!("reservation {id}: {a:?} by the log, {b:?} in the books"));
                    }
                }
                _ => {
                    let (a, b) = (self.value(column, a), self.value(column, b));
                    let kind = if a == b { ", as another type of value" } else { "" };
                    tell(format!("{row}: {column}: {a} by the log, {b} in the books{kind}"));
                }
            }
        }
    }

    fn row(&self, row: &[Value]) -> String {
        let n = |i: usize| match row.get(i) {
            Some(Value::Integer(n)) => *n,
            _ => i64::MIN,
        };
        match self.table.name {
            "campaigns" => self.campaign(n(0)),
            "days" => format!("{}: {}", self.campaign(n(0)), day(n(1))),
            "daily_budgets" => format!("{}: daily budget from {} on", self.campaign(n(0)), day(n(1))),
            "leases" if n(2) == WHOLE => format!("{}: lease of start {} for all days", self.campaign(n(0)), n(1)),
            "leases" => format!("{}: lease of start {} for {}", self.campaign(n(0)), n(1), day(n(2))),
            BITS => {
                let minute = UnixMs(n(2).saturating_mul(60_000));
                format!("reservations of node {}, start {}, minute {minute}, page {}", n(0), n(1), n(3))
            }
            _ => {
                let keys: Vec<String> = row[..self.table.keys].iter().map(plain).collect();
                match (self.table.name, &keys[..]) {
                    (SCHEMA, keys) => keys.join(" "),
                    ("meta", [key]) if key == "sum" => "meta sum of all checksums".into(),
                    (table, keys) => format!("{table} {}", keys.join(" ")),
                }
            }
        }
    }

    fn campaign(&self, no: i64) -> String {
        let known = u32::try_from(no).ok().and_then(|no| self.by_log.campaigns.get(&CampaignNo(no)));
        known.map_or_else(|| format!("campaign number {no}, which the log does not know"), |book| book.id.clone())
    }

    /// What stands in a row besides its key and its checksum.
    fn values(&self, row: &[Value]) -> String {
        let values =
            self.table.columns.iter().zip(row).skip(self.table.keys).filter(|(column, _)| **column != CHECKSUM);
        values.map(|(column, value)| format!("{column} {}", self.value(column, value))).collect::<Vec<_>>().join(", ")
    }

    fn value(&self, column: &str, value: &Value) -> String {
        match value {
            Value::Integer(n) if MONEY.contains(&column) => Nanos(*n).to_string(),
            Value::Blob(bytes) if self.table.name == BITS => {
                let count = |of: State| states(bytes).filter(|state| *state == of).count();
                let [won, released, billed] = [State::Won, State::Released, State::Billed].map(count);
                format!("of {} bytes: {won} won, {released} lost, {billed} billed", bytes.len())
            }
            value => plain(value),
        }
    }
}

fn plain(value: &Value) -> String {
    match value {
        Value::Null => "none".to_owned(),
        Value::Integer(n) => n.to_string(),
        Value::Real(x) => x.to_string(),
        // A difference is one line.
        Value::Text(text) => text.replace('\n', "\\n"),
        Value::Blob(bytes) => format!("{} bytes", bytes.len()),
    }
}

fn day(day: i64) -> String {
    i32::try_from(day).map_or_else(|_| format!("day {day}"), |day| Day(day).to_string())
}

/// The reservation at a place of a page of bits.
fn reservation(row: &[Value], within: usize) -> ReservationId {
    let n = |i: usize| match row.get(i) {
        Some(Value::Integer(n)) => *n,
        _ => 0,
    };
    // The row is one that gavel wrote: its numbers fit.
    let key = crate::ledger::reservation::PageKey {
        node: NodeId(n(0) as u16),
        epoch: Epoch(n(1) as u32),
        bucket: n(2) as u32,
        page: n(3) as u32,
    };
    key.reservation(within as u32)
}
