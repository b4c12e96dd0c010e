//! Ranges to events, in the order of the log.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use super::ArchiveError;
use super::manifest::{Archive, MANIFEST, Part, Range};
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
        let mut before = UnixMs(i64::MIN);
        for range in &self.ranges {
            range.events(&mut before, each, &mut |done| progress(done, self.end().0))?;
        }
        Ok(())
    }
}

impl Range {
    fn events(
        &self,
        before: &mut UnixMs,
        each: &mut dyn FnMut(Stamped),
        progress: &mut dyn FnMut(u64),
    ) -> Result<(), ArchiveError> {
        self.only_its_files()?;
        let mut next = self.manifest.first;
        let hours: BTreeSet<i64> = self.manifest.parts.iter().map(|part| part.hour).collect();
        for hour in hours {
            // Time does not go back along the log: an hour's events follow those of the hour before.
            let parts: Vec<&Part> = self.manifest.parts.iter().filter(|part| part.hour == hour).collect();
            let files = parts.iter().map(|part| Rows::open(&self.dir, part));
            let mut files = files.collect::<Result<Vec<_>, _>>()?;
            while let Some(rows) = first_of(&mut files) {
                let Some(stamped) = rows.step()? else { break };
                let offset = stamped.offset.0;
                if offset > next {
                    return Err(self.gap(next, offset));
                }
                if offset < next || stamped.at < *before {
                    let what = format!("event {offset} does not belong between its neighbours");
                    return Err(ArchiveError::damaged(rows.place(), what));
                }
                (next, *before) = (offset + 1, stamped.at);
                each(stamped);
                if next.is_multiple_of(100_000) {
                    progress(next);
                }
            }
        }
        if next != self.manifest.end {
            return Err(self.gap(next, self.manifest.end));
        }
        Ok(())
    }

    fn gap(&self, from: u64, to: u64) -> ArchiveError {
        ArchiveError::Gap { dir: self.dir.display().to_string(), from: Offset(from), to: Offset(to) }
    }

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
