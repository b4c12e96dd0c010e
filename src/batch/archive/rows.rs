//! Reads one Parquet file of the archive, row by row, as the events that its rows were.

use std::fs;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;

use bytes::Bytes;
use parquet::column::reader::ColumnReader;
use parquet::errors::{ParquetError, Result};
use parquet::file::reader::{FileReader, SerializedFileReader};
use parquet::schema::parser::parse_message_type;
use sha2::{Digest, Sha256};

use super::column::Column;
use super::file::{VERSION_KEY, fields_of};
use super::manifest::{Part, hour_of};
use super::table::{self, Field, Table, join};
use super::{ArchiveError, hex};
use crate::clock::UnixMs;
use crate::event::{Event, Offset, Stamped};

/// Rows that are in memory at once.
const ROWS: usize = 4 << 10;

/// A file whose rows are read in order.
pub struct Rows {
    place: String,
    table: &'static Table,
    /// Of the event, and of all columns.
    fields: Vec<Field>,
    columns: Vec<Column>,
    /// Which column of the file each of them is; none in a file of an older version.
    in_file: Vec<Option<usize>>,
    file: SerializedFileReader<Bytes>,
    /// The current row group: its number from 1, its readers, and its rows that are not in `columns` yet.
    group: usize,
    readers: Vec<Option<ColumnReader>>,
    left: usize,
    /// Rows in `columns` that were not taken yet.
    ready: usize,
    encoded: Vec<u8>,
    hour: i64,
    /// What the part says, less what was read.
    rows_left: u64,
    sum_left: Option<i128>,
    sum_at: Option<usize>,
    /// The row that is next.
    pub next: Option<Stamped>,
    last: u64,
}

/// The Parquet crate panics on some bytes that are no Parquet file. Only whoever forges a manifest too gets there, and
/// nothing is gone on with after it.
pub fn guarded<T>(read: impl FnOnce() -> Result<T>) -> Result<T> {
    let read = catch_unwind(AssertUnwindSafe(read));
    read.unwrap_or_else(|_| Err(ParquetError::General("this is no Parquet file that can be read".into())))
}

/// The file of a part, whose bytes must be those that the part says.
pub fn whole(dir: &Path, part: &Part) -> std::result::Result<Vec<u8>, ArchiveError> {
    let path = dir.join(&part.file);
    let bytes = fs::metadata(&path).map_err(ArchiveError::io("read", &path))?.len();
    if bytes != part.bytes {
        let what = format!("it has {bytes} bytes, {} by the manifest: it is cut short or altered", part.bytes);
        return Err(ArchiveError::damaged(path.display(), what));
    }
    let bytes = fs::read(&path).map_err(ArchiveError::io("read", &path))?;
    if hex(&Sha256::digest(&bytes)) != part.sha256 {
        return Err(ArchiveError::damaged(path.display(), "its SHA-256 is not the manifest's: it was altered"));
    }
    Ok(bytes)
}

impl Rows {
    /// Opens the file of a part.
    pub fn open(dir: &Path, part: &Part) -> std::result::Result<Rows, ArchiveError> {
        let place = dir.join(&part.file).display().to_string();
        Rows::read(place, Bytes::from(whole(dir, part)?), part)
    }

    /// Reads the file's bytes.
    pub(super) fn read(place: String, bytes: Bytes, part: &Part) -> std::result::Result<Rows, ArchiveError> {
        let damaged = |what: String| ArchiveError::damaged(&place, what);
        let table = Table::named(&part.table).ok_or_else(|| damaged(format!("unknown kind {:?}", part.table)))?;
        let file = guarded(|| SerializedFileReader::new(bytes)).map_err(|e| damaged(e.to_string()))?;
        let metadata = file.metadata().file_metadata();
        let version = metadata.key_value_metadata().into_iter().flatten().find(|pair| pair.key == VERSION_KEY);
        let version = version.and_then(|pair| pair.value.as_deref()?.parse().ok());
        let version = match version {
            Some(version) if version > u64::from(table::VERSION) => return Err(ArchiveError::Newer { place, version }),
            Some(0) | None => return Err(damaged("it tells no version".into())),
            Some(version) => version as u32,
        };
        let expected = parse_message_type(&table.schema(version)).map_err(|e| damaged(e.to_string()))?;
        if *metadata.schema() != expected {
            return Err(damaged(format!("its columns are not those of {:?} in version {version}", table.name)));
        }
        let all = table.columns(table::VERSION);
        let has = table.columns(version);
        let in_file = all.iter().map(|field| has.iter().position(|old| old.name == field.name)).collect();
        let sum = part.sum_nanos.as_deref().map(|sum| sum.parse().map_err(|_| damaged(format!("a sum of {sum:?}"))));
        let mut rows = Rows {
            table,
            fields: table.fields(),
            columns: fields_of(&all),
            in_file,
            readers: Vec::new(),
            group: 0,
            left: 0,
            ready: 0,
            encoded: Vec::new(),
            hour: part.hour,
            rows_left: part.rows,
            sum_left: sum.transpose()?,
            sum_at: table.sum.and_then(|sum| all.iter().position(|field| field.name == sum)),
            next: None,
            last: part.last,
            file,
            place,
        };
        rows.step()?;
        match &rows.next {
            Some(stamped) if stamped.offset.0 == part.first => Ok(rows),
            _ => Err(rows.damaged(format!("its first event is not {}, which the manifest says", part.first))),
        }
    }

    fn damaged(&self, what: impl ToString) -> ArchiveError {
        ArchiveError::damaged(self.place(), what)
    }

    /// The file and the row group that it stands in.
    pub fn place(&self) -> String {
        format!("{}, row group {}", self.place, self.group)
    }

    /// Takes the next row and reads the one after it.
    pub fn step(&mut self) -> std::result::Result<Option<Stamped>, ArchiveError> {
        while self.ready == 0 {
            if self.left > 0 {
                self.fill()?;
            } else if self.group < self.file.num_row_groups() {
                self.open_group()?;
            } else {
                let last = self.next.take();
                self.end(last.as_ref().map(|stamped| stamped.offset.0))?;
                return Ok(last);
            }
        }
        self.ready -= 1;
        let stamped = self.take()?;
        if self.next.as_ref().is_some_and(|before| before.offset >= stamped.offset) {
            return Err(self.damaged(format!("event {} stands after a later one", stamped.offset.0)));
        }
        if hour_of(stamped.at) != self.hour {
            return Err(self.damaged(format!("event {} is of another hour", stamped.offset.0)));
        }
        Ok(self.next.replace(stamped))
    }

    /// Compares what was read with the manifest.
    fn end(&self, last: Option<u64>) -> std::result::Result<(), ArchiveError> {
        if last.is_some_and(|last| last != self.last) || self.rows_left != 0 {
            let what = format!("it does not end with event {} and as many rows as its manifest says", self.last);
            return Err(self.damaged(what));
        }
        match self.sum_left {
            Some(0) | None => Ok(()),
            Some(off) => Err(self.damaged(format!("its sum is {} nanos off the manifest's", -off))),
        }
    }

    fn open_group(&mut self) -> std::result::Result<(), ArchiveError> {
        let opened = guarded(|| {
            let group = self.file.get_row_group(self.group)?;
            let reader = |at: &Option<usize>| at.map(|at| group.get_column_reader(at)).transpose();
            let readers = self.in_file.iter().map(reader).collect::<Result<_>>()?;
            Ok((group.metadata().num_rows(), readers))
        });
        self.group += 1;
        let (rows, readers) = opened.map_err(|e| self.damaged(e))?;
        self.left = usize::try_from(rows).map_err(|e| self.damaged(e))?;
        self.readers = readers;
        Ok(())
    }

    fn fill(&mut self) -> std::result::Result<(), ArchiveError> {
        let rows = self.left.min(ROWS);
        let mut columns = self.columns.iter_mut().zip(&mut self.readers);
        let read = guarded(|| columns.try_for_each(|(column, reader)| column.read(reader.as_mut(), rows)));
        read.map_err(|e| self.damaged(e))?;
        self.left -= rows;
        self.ready = rows;
        self.rows_left = self.rows_left.checked_sub(rows as u64).ok_or_else(|| self.damaged("it has too many rows"))?;
        if let (Some(left), Some(at)) = (&mut self.sum_left, self.sum_at) {
            *left -= self.columns.get(at).map_or(0, Column::sum);
        }
        Ok(())
    }

    fn take(&mut self) -> std::result::Result<Stamped, ArchiveError> {
        let head = self.columns.split_first_chunk_mut::<2>();
        let head = head.and_then(|([offset, at], rest)| Some((offset.take_i64()?, at.take_i64()?, rest)));
        let Some((offset, at, rest)) = head else { return Err(self.damaged("a row without offset or time")) };
        let offset = Offset(offset as u64);
        if let Err(column) = join(self.table, &self.fields, rest, &mut self.encoded) {
            return Err(self.damaged(format!("event {}: a value of column {column:?} is none of its values", offset.0)));
        }
        match Event::decode(&self.encoded) {
            Some(event) => Ok(Stamped { offset, at: UnixMs(at), event }),
            None => Err(self.damaged(format!("event {} is no event of its kind", offset.0))),
        }
    }
}
