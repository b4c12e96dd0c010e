//! The archive: ranges of the log as Parquet files, from which every event can be had back as it stands in the log.
//!
//! ```text
//! archive/00000000000000000000-00000000000002400000/     events from the first offset up to the second, exclusive
//!   manifest.json                                        what is in the files, their hashes, and that of the manifest before
//!   bid/date=2026-11-23/hour=07/part.parquet             one table for each kind; date and hour (UTC) of ingest
//! archive/incomplete/                                    what an interrupted export left; the next one removes it
//! ```
//!
//! | file | idea |
//! |---|---|
//! | `table` | the columns of each kind of event; encoded bytes to columns and back |
//! | `column` | a column in memory |
//! | `file` | writes one Parquet file, hashed |
//! | `manifest` | what a range holds, and the ranges of a directory |
//! | `export` | log to ranges |
//! | `rows` | reads one Parquet file |
//! | `read` | ranges to events, in order |
//! | `older` | the log read on from before its beginning; what the log can do without |
//! | `remote`, `s3` | a copy in S3 |
//!
//! A range is there when its directory has its name: it is written elsewhere, synced, and renamed as a whole.

mod column;
mod export;
mod file;
mod manifest;
mod older;
mod read;
pub mod remote;
mod rows;
#[cfg(feature = "s3")]
mod s3;
pub mod table;
#[cfg(test)]
mod tests;

use std::io;
use std::path::Path;

pub use column::Column;
pub use export::{Exported, export};
pub use file::{create, fields_of};
pub use manifest::{Archive, Manifest, Part, Range};
pub use older::Archived;
pub use rows::guarded;

use crate::event::Offset;
use crate::eventlog::ReadError;

#[derive(Debug, thiserror::Error)]
pub enum ArchiveError {
    #[error("cannot {doing}: {source}")]
    Io { doing: String, source: io::Error },
    #[error("{place}: {what}")]
    Damaged { place: String, what: String },
    #[error("{place} is of version {version}; this build reads versions up to {known}: it was written by a newer one", known = table::VERSION)]
    Newer { place: String, version: u64 },
    #[error("{dir}: the events from {from} to {to} are missing", from = from.0, to = to.0)]
    Gap { dir: String, from: Offset, to: Offset },
    #[error("{dir} is not of this log: event {at} is another one there", at = at.0)]
    OtherLog { dir: String, at: Offset },
    #[error("{dir} is ahead: it ends at event {archived}, the log at {end}", archived = archived.0, end = end.0)]
    Ahead { dir: String, archived: Offset, end: Offset },
    #[error("{dir} is in use by another export: wait until that one is done")]
    Busy { dir: String },
    #[error("event {at} is of kind {kind}, for which the archive has no table", at = at.0)]
    NoTable { at: Offset, kind: u8 },
    #[error("{url} needs a gavel that was built with the feature s3: cargo build --release --features s3")]
    NoS3 { url: String },
    #[error("{0}")]
    Log(#[from] ReadError),
}

impl ArchiveError {
    pub fn io(doing: &str, path: &Path) -> impl FnOnce(io::Error) -> ArchiveError {
        let doing = format!("{doing} {}", path.display());
        move |source| ArchiveError::Io { doing, source }
    }

    pub fn damaged(place: impl ToString, what: impl ToString) -> ArchiveError {
        ArchiveError::Damaged { place: place.to_string(), what: what.to_string() }
    }
}

/// Makes the names in a directory durable.
pub fn sync_dir(dir: &Path) -> Result<(), ArchiveError> {
    std::fs::File::open(dir).and_then(|dir| dir.sync_all()).map_err(ArchiveError::io("sync", dir))
}

pub(super) fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
