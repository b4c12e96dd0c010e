//! Where a log begins whose first segments were removed: a copy of the header of the first one that is left.
//!
//! It is durable before anything is removed. So whatever a crash leaves of older segments is known for what it is, and a
//! segment that is missing without it is damage.

use std::io;

use super::OpenError;
use super::format::{SEGMENT_HEADER, SegmentHeader};
use super::recovery::{io_error, segment_name, segment_number};
use super::spares::UNFINISHED;
use super::storage::Storage;

pub const BEGIN: &str = "begin";

/// None where the log begins with its first event.
pub fn read(storage: &dyn Storage, names: &[String]) -> Result<Option<SegmentHeader>, OpenError> {
    if !names.iter().any(|name| name == BEGIN) {
        return Ok(None);
    }
    let place = storage.locate(BEGIN);
    let mut sector = [0; SEGMENT_HEADER];
    let read = storage.open(BEGIN).and_then(|file| {
        Ok(file.len()? == SEGMENT_HEADER as u64 && {
            file.read_at(&mut sector, 0)?;
            true
        })
    });
    let whole = read.map_err(io_error(format!("read {place}")))?;
    let corrupt = |what| OpenError::Corrupt { segment: place, offset: 0, what };
    if !whole {
        return Err(corrupt(format!("it has not {SEGMENT_HEADER} bytes")));
    }
    SegmentHeader::decode(&sector).map(Some).map_err(corrupt)
}

/// From now on the log begins with this segment.
pub fn write(storage: &dyn Storage, first: &SegmentHeader) -> io::Result<()> {
    let unfinished = format!("{BEGIN}{UNFINISHED}");
    let file = storage.create(&unfinished)?;
    file.write_at(&first.encode(), 0)?;
    file.sync_data()?;
    storage.rename(&unfinished, BEGIN)?;
    storage.sync_dir()
}

/// Removes the files of segments before `first`, the oldest first; how many there were.
pub fn remove_before(storage: &dyn Storage, names: &[String], first: &SegmentHeader) -> io::Result<usize> {
    let mut gone: Vec<u64> = names.iter().filter_map(|name| segment_number(name)).collect();
    gone.retain(|number| *number < first.number);
    gone.sort_unstable();
    gone.iter().try_for_each(|number| storage.remove(&segment_name(*number)))?;
    if !gone.is_empty() {
        storage.sync_dir()?;
    }
    Ok(gone.len())
}
