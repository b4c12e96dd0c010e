//! A log whose first segments were removed, read from before its beginning: what is gone is kept elsewhere.

use std::sync::Arc;

use super::reader::SegmentReader;
use super::shared::Index;
use super::{LogReader, ReadError};
use crate::clock::UnixMs;
use crate::event::{Offset, Stamped};

/// What a log had before its beginning, and a little more.
pub trait Older: Send + Sync {
    /// Reads from `from` on, to wherever it ends.
    fn read(&self, from: Offset) -> Result<Box<dyn LogReader>, ReadError>;

    /// An offset before which all events are older than `at`.
    fn offset_at_or_before(&self, at: UnixMs) -> Result<Offset, ReadError>;
}

/// Reads from `from` on: what the log does not have any more from `older`.
pub fn read(index: &Arc<Index>, older: Option<&Arc<dyn Older>>, from: Offset) -> Result<Box<dyn LogReader>, ReadError> {
    let begin = index.begin();
    match older {
        Some(older) if from < begin => Ok(Box::new(Joined {
            older: Some(older.read(from)?),
            log: SegmentReader::new(index.clone(), begin)?,
            begin,
            next: from,
            seam: None,
        })),
        _ => Ok(Box::new(SegmentReader::new(index.clone(), from)?)),
    }
}

/// The start of the last segment that was created before `at`: earlier segments hold only older events.
pub fn offset_at_or_before(index: &Index, older: Option<&Arc<dyn Older>>, at: UnixMs) -> Offset {
    if let Some(segment) = index.last_before(at) {
        return segment.first;
    }
    // Younger ones may have been removed. Who reads from there is told if they cannot be had.
    let from_older = older.and_then(|older| older.offset_at_or_before(at).ok());
    from_older.unwrap_or(Offset(0)).min(index.begin())
}

struct Joined {
    /// None once the log has taken over.
    older: Option<Box<dyn LogReader>>,
    log: SegmentReader,
    begin: Offset,
    next: Offset,
    /// What `older` has where the log begins.
    seam: Option<Stamped>,
}

impl Joined {
    fn fault<T>(&self, what: &str) -> Result<T, ReadError> {
        let what = format!("the log begins at event {}: {what}", self.begin.0);
        Err(ReadError::Older { at: self.next, what })
    }
}

impl LogReader for Joined {
    fn next_event(&mut self) -> Result<Option<Stamped>, ReadError> {
        let Some(older) = &mut self.older else { return self.log.next_event() };
        if self.seam.is_none() {
            match older.next_event()? {
                None => return self.fault("what was kept of the events before ends too early"),
                Some(stamped) if stamped.offset != self.next => {
                    return self.fault("what was kept of the events before is not whole");
                }
                Some(stamped) if stamped.offset < self.begin => {
                    self.next = Offset(stamped.offset.0 + 1);
                    return Ok(Some(stamped));
                }
                Some(stamped) => self.seam = Some(stamped),
            }
        }
        // Both have the event: that they agree says that they are of one log. Asked again it is still so.
        let first = SegmentReader::new(self.log.index(), self.begin)?.next_event()?;
        if first != self.seam {
            return self.fault("what was kept of the events before it is of another log");
        }
        self.older = None;
        self.log.next_event()
    }
}
