//! Checksums: books that somebody edited are not taken for the fold of the log.
//!
//! Each row's last column is a checksum of its values; the sum of these stands in `meta`, so that no row can be missing or one
//! too many. They tell mistakes, not forgeries.

use rusqlite::types::{ToSqlOutput, ValueRef};
use rusqlite::{Connection, OptionalExtension, Result, ToSql, Transaction, params_from_iter};

/// The row of `meta` that is not in the sum: it is the sum.
const SUM: &str = "sum";

/// The rows of one transaction.
pub struct Rows<'a> {
    tx: Transaction<'a>,
    sum: i64,
}

impl<'a> Rows<'a> {
    pub fn begin(db: &'a mut Connection) -> Result<Rows<'a>> {
        let tx = db.transaction()?;
        Ok(Rows { sum: stored(&tx)?, tx })
    }

    pub fn db(&self) -> &Connection {
        &self.tx
    }

    /// Writes a row in place of the one that has the same values in its first columns, `key`.
    pub fn put(&mut self, table: &'static str, key: &[&str], values: &[&dyn ToSql]) -> Result<()> {
        let which: Vec<String> = key.iter().enumerate().map(|(i, column)| format!("{column} = ?{}", i + 1)).collect();
        let before = format!("SELECT checksum FROM {table} WHERE {}", which.join(" AND "));
        let key = params_from_iter(&values[..key.len()]);
        let before: Option<i64> = self.tx.prepare_cached(&before)?.query_row(key, |row| row.get(0)).optional()?;
        let checksum = insert(&self.tx, table, values)?;
        self.sum = self.sum.wrapping_sub(before.unwrap_or(0)).wrapping_add(checksum);
        Ok(())
    }

    /// Removes the rows that are `which`.
    pub fn remove(&mut self, table: &'static str, which: &str, key: &[&dyn ToSql]) -> Result<()> {
        let mut delete = self.tx.prepare_cached(&format!("DELETE FROM {table} WHERE {which} RETURNING checksum"))?;
        for checksum in delete.query_map(key, |row| row.get::<_, i64>(0))? {
            self.sum = self.sum.wrapping_sub(checksum?);
        }
        Ok(())
    }

    pub fn commit(self) -> Result<()> {
        insert(&self.tx, "meta", &[&SUM, &self.sum])?;
        self.tx.commit()
    }
}

fn insert(db: &Connection, table: &'static str, values: &[&dyn ToSql]) -> Result<i64> {
    let mut row = Row::of(table);
    for value in values {
        match value.to_sql()? {
            ToSqlOutput::Borrowed(value) => row.add(value),
            ToSqlOutput::Owned(value) => row.add((&value).into()),
            _ => return Err(rusqlite::Error::InvalidQuery),
        }
    }
    let checksum = row.checksum();
    let places = "?, ".repeat(values.len());
    let mut insert = db.prepare_cached(&format!("INSERT OR REPLACE INTO {table} VALUES ({places}?)"))?;
    insert.execute(params_from_iter(values.iter().copied().chain([&checksum as &dyn ToSql])))?;
    Ok(checksum)
}

/// What is not as it was written, or nothing.
pub fn edited(db: &Connection) -> Result<Option<String>> {
    let mut sum = 0i64;
    for table in super::rows::names() {
        let mut select = db.prepare(&format!("SELECT * FROM {table}"))?;
        let last = select.column_count() - 1;
        let mut rows = select.query([])?;
        while let Some(found) = rows.next()? {
            let mut row = Row::of(table);
            for column in 0..last {
                row.add(found.get_ref(column)?);
            }
            let checksum = row.checksum();
            if found.get_ref(last)? != ValueRef::Integer(checksum) {
                let key = match found.get_ref(0)? {
                    ValueRef::Text(text) => String::from_utf8_lossy(text).into_owned(),
                    ValueRef::Integer(n) => n.to_string(),
                    other => format!("{other:?}"),
                };
                return Ok(Some(format!("a row of {table} that begins with {key} was changed")));
            }
            if table != "meta" || found.get_ref(0)? != ValueRef::Text(SUM.as_bytes()) {
                sum = sum.wrapping_add(checksum);
            }
        }
    }
    Ok((sum != stored(db)?).then(|| "rows were added or removed".to_owned()))
}

fn stored(db: &Connection) -> Result<i64> {
    let sum = db.prepare_cached("SELECT value FROM meta WHERE key = ?1")?.query_row([SUM], |row| row.get(0));
    Ok(sum.optional()?.unwrap_or(0))
}

/// The checksum of one row: a CRC-32, as in the log.
struct Row(crc32fast::Hasher);

impl Row {
    fn of(table: &'static str) -> Row {
        let mut hasher = crc32fast::Hasher::new();
        hasher.update(table.as_bytes());
        Row(hasher)
    }

    fn add(&mut self, value: ValueRef) {
        let (kind, bytes) = match value {
            ValueRef::Null => (0u8, &[][..]),
            ValueRef::Integer(n) => (1, &n.to_le_bytes()[..]),
            ValueRef::Real(n) => (2, &n.to_le_bytes()[..]),
            ValueRef::Text(bytes) => (3, bytes),
            ValueRef::Blob(bytes) => (4, bytes),
        };
        self.0.update(&[kind]);
        self.0.update(&(bytes.len() as u64).to_le_bytes());
        self.0.update(bytes);
    }

    fn checksum(self) -> i64 {
        i64::from(self.0.finalize())
    }
}
