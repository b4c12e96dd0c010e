//! What the log does not begin with any more, from the archive; and how far the archive vouches for the log.

use std::path::PathBuf;

use super::ArchiveError;
use super::export::is_last_of;
use super::manifest::{Archive, hour_of};
use super::read::Events;
use super::rows::whole;
use crate::clock::UnixMs;
use crate::event::{Offset, Stamped};
use crate::eventlog::{EventLog, LogReader, Older, ReadError};

/// An archive in a directory, read again each time it is asked.
pub struct Archived(pub PathBuf);

impl Archived {
    fn open(&self, at: Offset) -> Result<Archive, ReadError> {
        Archive::open(&self.0).map_err(|error| ReadError::Older { at, what: error.to_string() })
    }
}

impl Older for Archived {
    fn read(&self, from: Offset) -> Result<Box<dyn LogReader>, ReadError> {
        let archive = self.open(from)?;
        let end = archive.end();
        if end <= from {
            let what = format!(
                "it is not in the log any more, and the archive in {}, where it was exported to, has the events before {}",
                self.0.display(),
                end.0
            );
            return Err(ReadError::Older { at: from, what });
        }
        Ok(Box::new(archive.read(from)))
    }

    fn offset_at_or_before(&self, at: UnixMs) -> Result<Offset, ReadError> {
        let archive = self.open(Offset(0))?;
        let parts = archive.ranges.iter().flat_map(|range| &range.manifest.parts);
        let younger = parts.filter(|part| part.hour >= hour_of(at)).map(|part| part.first).min();
        Ok(younger.map_or(archive.end(), Offset))
    }
}

impl LogReader for Events {
    fn next_event(&mut self) -> Result<Option<Stamped>, ReadError> {
        let at = self.at();
        self.next().map_err(|error| ReadError::Older { at, what: error.to_string() })
    }
}

impl Archive {
    /// Up to where the log can do without its events: all but the archive's last one, by which the two are known to belong
    /// together. Of the ranges that have events between the log's beginning and `wanted`, all files are read.
    pub fn vouches_for(&self, log: &dyn EventLog, wanted: Offset) -> Result<Offset, ArchiveError> {
        let Some(last) = self.ranges.last() else { return Ok(Offset(0)) };
        let at = Offset(self.end().0 - 1);
        if at >= log.durable_end() {
            let (dir, archived) = (self.dir.display().to_string(), self.end());
            return Err(ArchiveError::Ahead { dir, archived, end: log.durable_end() });
        }
        let stamped = log.read(at)?.next_event()?;
        if !stamped.is_some_and(|stamped| is_last_of(&stamped, &last.manifest)) {
            return Err(ArchiveError::OtherLog { dir: self.dir.display().to_string(), at });
        }
        let until = wanted.min(at);
        let begin = log.begin().0;
        for range in self.ranges.iter().filter(|range| range.manifest.end > begin && range.manifest.first < until.0) {
            range.manifest.parts.iter().try_for_each(|part| whole(&range.dir, part).map(drop))?;
        }
        Ok(until)
    }
}
