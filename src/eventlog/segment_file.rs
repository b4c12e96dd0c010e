//! The segment being written.

use std::io;
use std::sync::Arc;

use super::format::{Checksum, SEGMENT_HEADER, SegmentHeader};
use super::group::{EMPTY_GROUP, GroupBuilder, MAX_GROUP_BYTES};
use super::recovery::{Scanned, segment_name};
use super::storage::{DiskFile, Storage};
use crate::event::Offset;

pub struct SegmentFile {
    file: Arc<dyn DiskFile>,
    pub sum: Checksum,
    bytes: u64,
    /// Where the next group goes.
    position: u64,
    /// Its number.
    groups: u64,
}

impl SegmentFile {
    /// Turns a spare into a segment: once its header is durable it gets its name, and only then it counts.
    pub fn start(
        storage: &dyn Storage,
        spare: &str,
        file: Arc<dyn DiskFile>,
        header: &SegmentHeader,
    ) -> io::Result<SegmentFile> {
        file.write_at(&header.encode(), 0)?;
        file.sync_data()?;
        storage.rename(spare, &segment_name(header.number))?;
        storage.sync_dir()?;
        let sum = Checksum::salted(header.salt);
        Ok(SegmentFile { file, sum, bytes: header.bytes, position: SEGMENT_HEADER as u64, groups: 0 })
    }

    /// Goes on where an earlier run ended.
    pub fn resume(storage: &dyn Storage, found: &Scanned) -> io::Result<SegmentFile> {
        Ok(SegmentFile {
            file: storage.open(&segment_name(found.header.number))?,
            sum: Checksum::salted(found.header.salt),
            bytes: found.header.bytes,
            position: found.last_group.end as u64,
            groups: found.groups,
        })
    }

    /// Bytes of the largest group that may be written; room for the seal is kept.
    pub fn room(&self) -> usize {
        let left = self.bytes.saturating_sub(self.position + EMPTY_GROUP as u64);
        left.min(MAX_GROUP_BYTES as u64) as usize
    }

    /// Writes the group in `builder`, unsynced.
    pub fn write(&mut self, builder: &mut GroupBuilder, first: Offset) -> io::Result<()> {
        self.write_group(builder, first, false)
    }

    pub fn sync(&self) -> io::Result<()> {
        self.file.sync_data()
    }

    /// Ends the segment, durably.
    pub fn seal(mut self, builder: &mut GroupBuilder, end: Offset) -> io::Result<()> {
        builder.clear();
        self.write_group(builder, end, true)?;
        self.sync()
    }

    fn write_group(&mut self, builder: &mut GroupBuilder, first: Offset, seal: bool) -> io::Result<()> {
        let group = builder.finish(self.sum, self.groups, first, seal, self.position);
        self.file.write_at(group, self.position)?;
        self.position += group.len() as u64;
        self.groups += 1;
        Ok(())
    }
}
