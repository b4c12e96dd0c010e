//! What a range of the archive holds, and the ranges of a directory.

use std::collections::BTreeSet;
use std::fs;
use std::io::Read;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use super::table::{Table, VERSION};
use super::{ArchiveError, hex};
use crate::clock::{Day, UnixMs};
use crate::event::Offset;

/// The file of a range that names all others.
pub const MANIFEST: &str = "manifest.json";
/// Where ranges are before they are whole.
pub const INCOMPLETE: &str = "incomplete";
/// The largest manifest that is read.
pub const MAX_BYTES: u64 = 64 << 20;
const HOUR_MS: i64 = 3_600_000;

/// What a range holds.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Manifest {
    /// Of the tables.
    pub version: u32,
    /// The first event, and one past the last one.
    pub first: u64,
    pub end: u64,
    /// SHA-256 of the manifest before, empty for the first.
    pub previous: String,
    /// SHA-256 of the last event: its time and its bytes. The export that goes on from here compares it with the log.
    pub last_event: String,
    pub parts: Vec<Part>,
}

/// One file of a range.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Part {
    pub table: String,
    /// Below the range's directory.
    pub file: String,
    /// Of ingest, counted in hours since 1970 in UTC.
    pub hour: i64,
    /// The first and the last event in it.
    pub first: u64,
    pub last: u64,
    pub rows: u64,
    /// Of the table's money column, where it has one: nanos, whatever the currency.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sum_nanos: Option<String>,
    pub bytes: u64,
    pub sha256: String,
}

/// A range on the disk.
#[derive(Clone, Debug)]
pub struct Range {
    pub dir: PathBuf,
    pub manifest: Manifest,
    /// SHA-256 of its manifest.
    pub sha256: String,
}

/// The ranges of a directory, which follow one another without a gap.
#[derive(Clone, Debug)]
pub struct Archive {
    pub dir: PathBuf,
    pub ranges: Vec<Range>,
}

/// The hour that an instant lies in.
pub fn hour_of(at: UnixMs) -> i64 {
    at.0.div_euclid(HOUR_MS)
}

/// The directories of a table's files of one hour, below the range's.
pub fn partition(table: &str, hour: i64) -> String {
    let day = Day(hour.div_euclid(24).clamp(i64::from(i32::MIN), i64::from(i32::MAX)) as i32);
    format!("{table}/date={day}/hour={:02}", hour.rem_euclid(24))
}

/// The name of a range's directory.
pub fn name_of(first: Offset, end: Offset) -> String {
    format!("{:020}-{:020}", first.0, end.0)
}

pub fn parse_name(name: &str) -> Option<(u64, u64)> {
    let (first, end) = name.split_once('-')?;
    let number = |text: &str| text.parse().ok().filter(|_| text.len() == 20);
    Some((number(first)?, number(end)?))
}

impl Archive {
    /// Reads the manifests of all ranges; files are not looked into. A directory that is not there is an empty archive.
    pub fn open(dir: &Path) -> Result<Archive, ArchiveError> {
        let mut archive = Archive { dir: dir.to_owned(), ranges: Vec::new() };
        for (first, end) in archive.names()? {
            let at = archive.end();
            let place = || dir.join(name_of(Offset(first), Offset(end))).display().to_string();
            if first > at.0 {
                return Err(ArchiveError::Gap { dir: dir.display().to_string(), from: at, to: Offset(first) });
            }
            if first < at.0 || end <= first {
                return Err(ArchiveError::damaged(place(), format!("the range before ends at event {}", at.0)));
            }
            let range = Range::open(&dir.join(name_of(Offset(first), Offset(end))))?;
            let before = archive.ranges.last().map_or("", |range| range.sha256.as_str());
            if (range.manifest.first, range.manifest.end) != (first, end) {
                return Err(ArchiveError::damaged(place(), "its manifest is that of another range"));
            }
            if range.manifest.previous != before {
                let what = "the manifest of the range before is not the one that this range was written after";
                return Err(ArchiveError::damaged(place(), what));
            }
            archive.ranges.push(range);
        }
        Ok(archive)
    }

    /// The ranges by their names, in order.
    fn names(&self) -> Result<BTreeSet<(u64, u64)>, ArchiveError> {
        let failed = || ArchiveError::io("list", &self.dir);
        let entries = match fs::read_dir(&self.dir) {
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(BTreeSet::new()),
            other => other.map_err(failed())?,
        };
        let mut names = BTreeSet::new();
        for entry in entries {
            names.extend(entry.map_err(failed())?.file_name().to_str().and_then(parse_name));
        }
        Ok(names)
    }

    /// One past the last event of the archive.
    pub fn end(&self) -> Offset {
        self.ranges.last().map_or(Offset(0), |range| Offset(range.manifest.end))
    }
}

impl Range {
    pub fn open(dir: &Path) -> Result<Range, ArchiveError> {
        let path = dir.join(MANIFEST);
        let place = path.display().to_string();
        let mut bytes = Vec::new();
        let read = fs::File::open(&path).and_then(|file| file.take(MAX_BYTES).read_to_end(&mut bytes));
        read.map_err(ArchiveError::io("read", &path))?;
        let value: serde_json::Value = serde_json::from_slice(&bytes).map_err(|e| ArchiveError::damaged(&place, e))?;
        match value["version"].as_u64() {
            Some(version) if version > u64::from(VERSION) => return Err(ArchiveError::Newer { place, version }),
            Some(0) | None => return Err(ArchiveError::damaged(place, "it tells no version")),
            Some(_) => {}
        }
        let manifest: Manifest = serde_json::from_value(value).map_err(|e| ArchiveError::damaged(&place, e))?;
        for part in &manifest.parts {
            if Table::named(&part.table).is_none() {
                let what = format!("events of the unknown kind {:?} in {:?}", part.table, part.file);
                return Err(ArchiveError::damaged(place, what));
            }
            // So no manifest leads out of its directory.
            if part.file != format!("{}/part.parquet", partition(&part.table, part.hour)) {
                return Err(ArchiveError::damaged(place, format!("{:?} is not where its hour belongs", part.file)));
            }
        }
        Ok(Range { dir: dir.to_owned(), manifest, sha256: hex(&Sha256::digest(&bytes)) })
    }
}
