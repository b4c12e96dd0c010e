//! The log to ranges of the archive.

use std::collections::BTreeSet;
use std::fs::{self, File, TryLockError};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::mpsc::{Receiver, sync_channel};
use std::thread;

use sha2::{Digest, Sha256};

use super::column::Column;
use super::file::{Place, create, fields_of};
use super::manifest::{Archive, INCOMPLETE, MANIFEST, Manifest, Part, hour_of, name_of, partition};
use super::table::{self, Field, Table, split};
use super::{ArchiveError, hex, sync_dir};
use crate::event::{Offset, Stamped};
use crate::eventlog::{LogReader, ReadOnlyLog};

/// Bytes of encoded events in a range, about 2.4 million bids: what an interrupted export does again at most, and what
/// a reader of a file holds in memory at most.
const RANGE_BYTES: usize = 256 << 20;
/// Rows of a row group, and its bytes where rows have no fixed length.
const GROUP_ROWS: usize = 128 << 10;
const GROUP_BYTES: usize = 32 << 20;

/// What an export came to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Exported {
    /// The first event that was exported, and one past the last one.
    pub first: Offset,
    pub end: Offset,
    pub ranges: usize,
    /// Of the Parquet files.
    pub bytes: u64,
}

/// Writes what the archive at `dir` does not have yet, in ranges. `progress` gets the events exported and the events to
/// export.
pub fn export(log: &ReadOnlyLog, dir: &Path, progress: &mut dyn FnMut(u64, u64)) -> Result<Exported, ArchiveError> {
    export_as(table::VERSION, RANGE_BYTES, log, dir, progress)
}

pub(super) fn export_as(
    version: u32,
    range_bytes: usize,
    log: &ReadOnlyLog,
    dir: &Path,
    progress: &mut dyn FnMut(u64, u64),
) -> Result<Exported, ArchiveError> {
    fs::create_dir_all(dir).map_err(ArchiveError::io("make", dir))?;
    let _lock = lock(dir)?;
    let incomplete = dir.join(INCOMPLETE);
    if incomplete.exists() {
        fs::remove_dir_all(&incomplete).map_err(ArchiveError::io("remove", &incomplete))?;
    }
    let archive = Archive::open(dir)?;
    let (first, end) = (archive.end(), log.end());
    let mut reader = reader_after(log, &archive)?;
    let mut previous = archive.ranges.last().map_or(String::new(), |range| range.sha256.clone());
    let mut exported = Exported { first, end: first, ..Exported::default() };
    // What was read may not be on the disk yet, and the archive must not have what the log can lose.
    log.sync(first)?;
    while exported.end < end {
        let range = NewRange { version, dir: &incomplete, from: exported.end, end, bytes: range_bytes };
        let mut tell = |at: Offset| progress(at.0 - first.0, end.0 - first.0);
        let manifest = range.write(&mut *reader, previous, &mut tell)?;
        previous = commit(dir, &incomplete, &manifest)?;
        exported.end = Offset(manifest.end);
        exported.ranges += 1;
        exported.bytes += manifest.parts.iter().map(|part| part.bytes).sum::<u64>();
    }
    Ok(exported)
}

fn lock(dir: &Path) -> Result<File, ArchiveError> {
    let path = dir.join("lock");
    let open = File::options().write(true).create(true).truncate(false).open(&path);
    let file = open.map_err(ArchiveError::io("open", &path))?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(TryLockError::WouldBlock) => Err(ArchiveError::Busy { dir: dir.display().to_string() }),
        Err(TryLockError::Error(error)) => Err(ArchiveError::io("lock", &path)(error)),
    }
}

/// A reader of what comes after the archive, whose last event must be the log's.
fn reader_after(log: &ReadOnlyLog, archive: &Archive) -> Result<Box<dyn LogReader>, ArchiveError> {
    let dir = || archive.dir.display().to_string();
    let Some(range) = archive.ranges.last() else { return Ok(log.read(Offset(0))?) };
    let archived = archive.end();
    if archived > log.end() {
        return Err(ArchiveError::Ahead { dir: dir(), archived, end: log.end() });
    }
    let at = Offset(archived.0.saturating_sub(1));
    let mut reader = log.read(at)?;
    let same = reader.next_event()?.is_some_and(|stamped| is_last_of(&stamped, &range.manifest));
    if same { Ok(reader) } else { Err(ArchiveError::OtherLog { dir: dir(), at }) }
}

/// Whether this event of the log is the one that the manifest names as its last.
pub fn is_last_of(stamped: &Stamped, manifest: &Manifest) -> bool {
    let mut bytes = Vec::new();
    stamped.event.encode(&mut bytes);
    fingerprint(stamped, &bytes) == manifest.last_event
}

fn fingerprint(stamped: &Stamped, encoded: &[u8]) -> String {
    hex(&Sha256::new().chain_update(stamped.at.0.to_le_bytes()).chain_update(encoded).finalize())
}

/// Rows of one table and one hour that become a row group.
struct Rows {
    table: &'static Table,
    fields: Vec<Field>,
    columns: Vec<Column>,
    hour: i64,
    first: Offset,
    last: Offset,
    rows: usize,
}

impl Rows {
    fn new(table: &'static Table, version: u32) -> Rows {
        let fields = table.fields().into_iter().filter(|field| field.since <= version).collect();
        let columns = fields_of(&table.columns(version));
        Rows { table, fields, columns, hour: 0, first: Offset(0), last: Offset(0), rows: 0 }
    }

    fn push(&mut self, stamped: &Stamped, encoded: &[u8]) -> Option<()> {
        if self.rows == 0 {
            self.first = stamped.offset;
        }
        (self.hour, self.last) = (hour_of(stamped.at), stamped.offset);
        self.rows += 1;
        let (head, rest) = self.columns.split_first_chunk_mut::<2>()?;
        head[0].i64(stamped.offset.0 as i64);
        head[1].i64(stamped.at.0);
        // After the kind and its version.
        split(&self.fields, encoded.get(2..)?, rest)
    }

    fn is_full(&self) -> bool {
        self.rows >= GROUP_ROWS || self.columns.iter().map(Column::held_bytes).sum::<usize>() >= GROUP_BYTES
    }
}

/// A range that is to be written.
struct NewRange<'a> {
    version: u32,
    dir: &'a Path,
    from: Offset,
    end: Offset,
    /// It ends after the event that makes it as large.
    bytes: usize,
}

impl NewRange<'_> {
    /// Two threads: this one reads the log and splits events into columns, the other one packs and writes them.
    fn write(
        &self,
        reader: &mut dyn LogReader,
        previous: String,
        progress: &mut dyn FnMut(Offset),
    ) -> Result<Manifest, ArchiveError> {
        let (send, groups) = sync_channel(2);
        let (read, written) = thread::scope(|scope| {
            let writer = thread::Builder::new().name("gavel-archive".into());
            let writer = writer.spawn_scoped(scope, || Files { version: self.version, dir: self.dir }.write(groups));
            // Sending fails when the writer has ended, which then says why.
            let read = self.read(reader, &mut |rows| send.send(rows).is_ok(), progress);
            drop(send);
            let written = match writer {
                Ok(writer) => writer.join().unwrap_or_else(|_| Err(ArchiveError::damaged("archive", "a panic"))),
                Err(error) => Err(ArchiveError::io("start a thread for", self.dir)(error)),
            };
            (read, written)
        });
        // A writer that fails ends the reading too: its reason comes first.
        let parts = written?;
        let (end, last_event) = read?;
        Ok(Manifest { version: self.version, first: self.from.0, end: end.0, previous, last_event, parts })
    }

    fn read(
        &self,
        reader: &mut dyn LogReader,
        send: &mut dyn FnMut(Rows) -> bool,
        progress: &mut dyn FnMut(Offset),
    ) -> Result<(Offset, String), ArchiveError> {
        // By kind.
        let mut open: Vec<Option<Rows>> = Vec::new();
        open.resize_with(256, || None);
        let (mut at, mut bytes, mut hour) = (self.from, 0, None);
        let mut encoded = Vec::new();
        let mut last_event = String::new();
        while at < self.end && bytes < self.bytes {
            let Some(stamped) = reader.next_event()? else { break };
            encoded.clear();
            stamped.event.encode(&mut encoded);
            let this_hour = hour_of(stamped.at);
            if hour.replace(this_hour).is_some_and(|hour| hour != this_hour) {
                // A group belongs to one hour.
                open.iter_mut().filter_map(Option::take).all(&mut *send);
            }
            let kind = encoded.first().copied().unwrap_or(0);
            let no_table = || ArchiveError::NoTable { at: stamped.offset, kind };
            let slot = &mut open[usize::from(kind)];
            if slot.is_none() {
                *slot = Some(Rows::new(Table::of_kind(kind).ok_or_else(no_table)?, self.version));
            }
            let rows = slot.as_mut().ok_or_else(no_table)?;
            rows.push(&stamped, &encoded).ok_or_else(no_table)?;
            if rows.is_full() && !slot.take().is_none_or(&mut *send) {
                break;
            }
            at = Offset(stamped.offset.0 + 1);
            bytes += encoded.len();
            if at == self.end || bytes >= self.bytes {
                last_event = fingerprint(&stamped, &encoded);
            }
            if at.0.is_multiple_of(100_000) {
                progress(at);
            }
        }
        open.into_iter().flatten().all(send);
        if last_event.is_empty() {
            return Err(ArchiveError::damaged("the log", format!("it ends at event {}, before its end", at.0)));
        }
        Ok((at, last_event))
    }
}

/// The files of one range.
struct Files<'a> {
    version: u32,
    dir: &'a Path,
}

/// A file that is being written, and what its part of the manifest will say.
struct Open {
    table: &'static Table,
    sum: Option<(usize, i128)>,
    place: Place,
    part: Part,
}

impl Files<'_> {
    fn write(&self, groups: Receiver<Rows>) -> Result<Vec<Part>, ArchiveError> {
        let mut parts = Vec::new();
        let mut open: Vec<Open> = Vec::new();
        for rows in groups {
            // Hours do not go back along the log.
            if open.iter().any(|file| file.part.hour != rows.hour) {
                for file in open.drain(..) {
                    parts.push(file.close()?);
                }
            }
            let at = match open.iter().position(|file| file.table.kind == rows.table.kind) {
                Some(at) => at,
                None => {
                    open.push(self.create(&rows)?);
                    open.len() - 1
                }
            };
            open[at].write(&rows)?;
        }
        for file in open {
            parts.push(file.close()?);
        }
        Ok(parts)
    }

    fn create(&self, rows: &Rows) -> Result<Open, ArchiveError> {
        let table = rows.table;
        let partition = partition(table.name, rows.hour);
        let dir = self.dir.join(&partition);
        fs::create_dir_all(&dir).map_err(ArchiveError::io("make", &dir))?;
        let columns = table.columns(self.version);
        let place = create(&dir.join("part.parquet"), table.name, &columns, self.version)?;
        let sum = table.sum.and_then(|sum| columns.iter().position(|field| field.name == sum));
        let part = Part {
            table: table.name.to_owned(),
            file: format!("{partition}/part.parquet"),
            hour: rows.hour,
            first: rows.first.0,
            last: rows.last.0,
            rows: 0,
            sum_nanos: None,
            bytes: 0,
            sha256: String::new(),
        };
        Ok(Open { table, sum: sum.map(|at| (at, 0)), place, part })
    }
}

impl Open {
    fn write(&mut self, rows: &Rows) -> Result<(), ArchiveError> {
        self.place.write(&rows.columns)?;
        self.part.rows += rows.rows as u64;
        self.part.last = rows.last.0;
        if let Some((at, sum)) = &mut self.sum {
            *sum += rows.columns.get(*at).map_or(0, Column::sum);
        }
        Ok(())
    }

    fn close(self) -> Result<Part, ArchiveError> {
        let written = self.place.close()?;
        let sum_nanos = self.sum.map(|(_, sum)| sum.to_string());
        Ok(Part { sum_nanos, bytes: written.bytes, sha256: written.sha256, ..self.part })
    }
}

/// Makes a whole range count: its manifest, then everything on the disk, then its name. Returns the manifest's hash.
fn commit(dir: &Path, incomplete: &Path, manifest: &Manifest) -> Result<String, ArchiveError> {
    let path = incomplete.join(MANIFEST);
    let mut text = serde_json::to_vec_pretty(manifest).map_err(|e| ArchiveError::damaged(path.display(), e))?;
    text.push(b'\n');
    let write = File::create(&path).and_then(|mut file| file.write_all(&text).and_then(|()| file.sync_all()));
    write.map_err(ArchiveError::io("write", &path))?;
    // The directories of the files, and those above them.
    let mut dirs: BTreeSet<PathBuf> = BTreeSet::new();
    for part in &manifest.parts {
        let file = Path::new(&part.file);
        dirs.extend(file.ancestors().skip(1).map(|dir| incomplete.join(dir)));
    }
    dirs.iter().try_for_each(|dir| sync_dir(dir))?;
    let range = dir.join(name_of(Offset(manifest.first), Offset(manifest.end)));
    fs::rename(incomplete, &range).map_err(ArchiveError::io("rename to", &range))?;
    sync_dir(dir)?;
    Ok(hex(&Sha256::digest(&text)))
}
