//! Ranges to events, in the order of the log.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use super::ArchiveError;
use super::manifest::{Archive, MANIFEST, Range};
use super::rows::Rows;
use crate::clock::UnixMs;
use crate::event::{Offset, Stamped};

impl Archive {
    /// Gives every event from the first one on. Ends at the first fault: a file that is not as its manifest says, a gap, a
    /// row that is no event. `progress` gets the events read and the events in all.
    pub fn events(
        &self,
        each: &mut dyn FnMut(Stamped),
        progress: &mut dyn FnMut(u64, u64),
    ) -> Result<(), ArchiveError> {
        let mut events = self.clone().read(Offset(0));
        while let Some(stamped) = events.next()? {
            let next = stamped.offset.0 + 1;
            each(stamped);
            if next.is_multiple_of(100_000) {
                progress(next, self.end().0);
            }
        }
        Ok(())
    }

    /// Reads from `from` on. Ranges that end before are not looked into.
    pub fn read(self, from: Offset) -> Events {
        let mut ranges = self.ranges;
        ranges.retain(|range| range.manifest.end > from.0);
        let next = ranges.first().map_or(from.0, |range| range.manifest.first);
        Events {
            from,
            next,
            before: UnixMs(i64::MIN),
            ranges: ranges.into_iter(),
            range: None,
            hours: BTreeSet::new(),
            files: Vec::new(),
        }
    }
}

/// Reads ranges event by event.
pub struct Events {
    /// What comes before is checked and left out.
    from: Offset,
    next: u64,
    /// Time of the event before.
    before: UnixMs,
    ranges: std::vec::IntoIter<Range>,
    range: Option<Range>,
    /// Of the range, those that are not read yet.
    hours: BTreeSet<i64>,
    /// Of one hour.
    files: Vec<Rows>,
}

impl Events {
    /// None at the end. After an error there is nothing more to be read.
    pub fn next(&mut self) -> Result<Option<Stamped>, ArchiveError> {
        loop {
            let Some(rows) = first_of(&mut self.files) else {
                if self.open_files()? { continue } else { return Ok(None) }
            };
            let Some(stamped) = rows.step()? else { continue };
            let offset = stamped.offset.0;
            if offset < self.next || stamped.at < self.before {
                let what = format!("event {offset} does not belong between its neighbours");
                return Err(ArchiveError::damaged(rows.place(), what));
            }
            if offset > self.next {
                return Err(self.gap(offset));
            }
            (self.next, self.before) = (offset + 1, stamped.at);
            if stamped.offset >= self.from {
                return Ok(Some(stamped));
            }
        }
    }

    /// The event that is read next.
    pub fn at(&self) -> Offset {
        Offset(self.next).max(self.from)
    }

    /// Opens the files of the next hour; false where there is none.
    fn open_files(&mut self) -> Result<bool, ArchiveError> {
        // Time does not go back along the log: an hour's events follow those of the hour before.
        if let Some(range) = &self.range
            && let Some(hour) = self.hours.pop_first()
        {
            let parts = range.manifest.parts.iter().filter(|part| part.hour == hour);
            self.files = parts.map(|part| Rows::open(&range.dir, part)).collect::<Result<_, _>>()?;
            return Ok(true);
        }
        if let Some(range) = &self.range
            && self.next != range.manifest.end
        {
            return Err(self.gap(range.manifest.end));
        }
        self.range = self.ranges.next();
        let Some(range) = &self.range else { return Ok(false) };
        range.only_its_files()?;
        self.hours = range.manifest.parts.iter().map(|part| part.hour).collect();
        Ok(true)
    }

    fn gap(&self, to: u64) -> ArchiveError {
        let dir = self.range.as_ref().map(|range| range.dir.display().to_string()).unwrap_or_default();
        ArchiveError::Gap { dir, from: Offset(self.next), to: Offset(to) }
    }
}

impl Range {
    /// A file that no manifest knows would be in the answer of whoever queries all files of a table.
    fn only_its_files(&self) -> Result<(), ArchiveError> {
        let mut known: BTreeSet<&str> = self.manifest.parts.iter().map(|part| part.file.as_str()).collect();
        known.insert(MANIFEST);
        let mut dirs = vec![self.dir.clone()];
        while let Some(dir) = dirs.pop() {
            let entries = fs::read_dir(&dir).map_err(ArchiveError::io("list", &dir))?;
            for entry in entries {
                let path = entry.map_err(ArchiveError::io("list", &dir))?.path();
                let name = path.strip_prefix(&self.dir).ok().and_then(Path::to_str).unwrap_or("");
                if path.is_dir() {
                    dirs.push(path);
                } else if !known.contains(name) {
                    return Err(ArchiveError::damaged(path.display(), "the manifest does not name it"));
                }
            }
        }
        Ok(())
    }
}

/// The file whose next row is the earliest.
fn first_of(files: &mut [Rows]) -> Option<&mut Rows> {
    files.iter_mut().filter(|rows| rows.next.is_some()).min_by_key(|rows| rows.next.as_ref().map(|next| next.offset))
}
