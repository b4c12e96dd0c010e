//! Reads events back, up to the durable end, while more are written.

use std::io;
use std::sync::Arc;

use super::format::{Checksum, SEGMENT_HEADER};
use super::group::{Cursor, GROUP_HEADER, GroupHeader, Records, group_is_whole};
use super::recovery::segment_name;
use super::shared::{Index, MARK_BYTES, Mark};
use super::storage::DiskFile;
use super::{LogReader, ReadError};
use crate::event::{Event, Offset, Stamped};

/// Bytes read at once; more when a group is larger.
const WINDOW: u64 = 256 << 10;
/// A reader at the tail reads about as much as is new, and not a whole window for each new event.
const BYTES_AN_EVENT: u64 = 256;
const SMALLEST_READ: u64 = 4096;

pub struct SegmentReader {
    index: Arc<Index>,
    /// The next event to yield.
    next: Offset,
    place: Option<Place>,
    window: Window,
}

/// Where in the log the reader stands.
struct Place {
    /// Number of the segment.
    segment: u64,
    name: String,
    file: Arc<dyn DiskFile>,
    bytes: u64,
    sum: Checksum,
    /// Of the current group, or of the next one.
    position: u64,
    /// The first event of the group at `position`.
    first: Offset,
    /// The last place of the segment that was marked.
    marked: u64,
    group: Option<Group>,
}

#[derive(Clone, Copy)]
struct Group {
    bytes: usize,
    /// The next record and its offset.
    cursor: Cursor,
    offset: Offset,
}

/// A piece of the segment, as it was when events before `end` were durable: later ones must be read again.
#[derive(Default)]
struct Window {
    bytes: Vec<u8>,
    position: u64,
    end: Offset,
}

impl SegmentReader {
    pub fn new(index: Arc<Index>, from: Offset) -> Result<SegmentReader, ReadError> {
        let end = index.durable_end();
        if from > end {
            return Err(ReadError::PastEnd { from, end });
        }
        let begin = index.begin();
        if from < begin {
            return Err(ReadError::Gone { from, begin });
        }
        Ok(SegmentReader { index, next: from, place: None, window: Window::default() })
    }

    /// `mark` is a group of it that is known.
    fn open_segment(&mut self, number: u64, mark: Option<Mark>) -> Result<(), ReadError> {
        let Some(header) = self.index.segment(number) else {
            let begin = self.index.begin();
            if self.next < begin {
                return Err(ReadError::Gone { from: self.next, begin });
            }
            let segment = self.index.storage.locate(&segment_name(number));
            return Err(ReadError::Corrupt { segment, position: 0, what: "the segment is missing".into() });
        };
        let file_name = segment_name(header.number);
        let name = self.index.storage.locate(&file_name);
        let file = match self.index.storage.open(&file_name) {
            Ok(file) => file,
            Err(source) => return Err(ReadError::Io { segment: name, source }),
        };
        self.window = Window::default();
        let start = Mark { segment: number, position: SEGMENT_HEADER as u64, first: header.first };
        let Mark { position, first, .. } = mark.filter(|mark| mark.segment == number).unwrap_or(start);
        self.place = Some(Place {
            segment: number,
            name,
            file,
            bytes: header.bytes,
            sum: Checksum::salted(header.salt),
            position,
            first,
            marked: position,
            group: None,
        });
        Ok(())
    }

    /// Moves to the group that holds `next`, which must be durable.
    fn find_group(&mut self, end: Offset) -> Result<(), ReadError> {
        loop {
            let Some(place) = &mut self.place else {
                let number = self.index.holding(self.next).map_or(1, |segment| segment.number);
                self.open_segment(number, self.index.mark_before(self.next))?;
                continue;
            };
            let header = self.window.get(place, GROUP_HEADER, end)?;
            let Some(header) = GroupHeader::decode(header, place.sum) else {
                return place.corrupt(0, "there is no group where one must be");
            };
            let whole = self.window.get(place, header.group_bytes(), end)?;
            if !group_is_whole(whole, place.sum) || header.first != place.first {
                return place.corrupt(0, "the group does not match its checksum or its place");
            }
            let after = Offset(header.first.0 + u64::from(header.records));
            if place.position >= place.marked + MARK_BYTES {
                place.marked = place.position;
                self.index.mark(Mark { segment: place.segment, position: place.position, first: place.first });
            }
            if after > self.next {
                place.group = Some(Group { bytes: whole.len(), cursor: Cursor::first(&header), offset: header.first });
                return Ok(());
            }
            if header.seal {
                let number = place.segment + 1;
                self.open_segment(number, None)?;
                continue;
            }
            place.position += whole.len() as u64;
            place.first = after;
        }
    }
}

impl SegmentReader {
    pub fn index(&self) -> Arc<Index> {
        self.index.clone()
    }

    /// Takes the next record of the current group; `None` when there is none or it lies before `next`.
    fn next_in_group(&mut self) -> Result<Option<Stamped>, ReadError> {
        let Some(place) = &mut self.place else { return Ok(None) };
        let Some(group) = place.group else { return Ok(None) };
        let mut records = Records::resume(self.window.held(place.position, group.bytes), group.cursor, place.sum);
        let record = match records.next_record() {
            Ok(Some(record)) => record,
            Ok(None) => {
                place.position += group.bytes as u64;
                place.first = group.offset;
                place.group = None;
                return Ok(None);
            }
            Err((at, what)) => return place.corrupt(at, what),
        };
        let offset = group.offset;
        let decoded = if offset < self.next { None } else { Some(Event::decode(record.event)) };
        if let Some(None) = decoded {
            let byte = |i: usize| record.event.get(i).copied().unwrap_or(0);
            return Err(ReadError::UnknownEvent {
                segment: place.name.clone(),
                position: place.position + record.position as u64,
                offset,
                kind: byte(0),
                version: byte(1),
            });
        }
        let after = Offset(offset.0 + 1);
        place.group = Some(Group { cursor: records.cursor(), offset: after, ..group });
        Ok(decoded.flatten().map(|event| {
            self.next = after;
            Stamped { offset, at: record.at, event }
        }))
    }
}

impl LogReader for SegmentReader {
    fn next_event(&mut self) -> Result<Option<Stamped>, ReadError> {
        let end = self.index.durable_end();
        while self.next < end {
            if let Some(stamped) = self.next_in_group()? {
                return Ok(Some(stamped));
            }
            if self.place.as_ref().is_none_or(|p| p.group.is_none()) && self.next < end {
                self.find_group(end)?;
            }
        }
        Ok(None)
    }
}

impl Place {
    fn corrupt<T>(&self, in_group: usize, what: &str) -> Result<T, ReadError> {
        let position = self.position + in_group as u64;
        Err(ReadError::Corrupt { segment: self.name.clone(), position, what: what.into() })
    }
}

impl Window {
    /// `len` bytes from the place's position on, as they are with all events before `end` durable.
    fn get(&mut self, place: &Place, len: usize, end: Offset) -> Result<&[u8], ReadError> {
        let held = self.position + self.bytes.len() as u64;
        let has = self.position <= place.position && place.position + len as u64 <= held;
        if !has || self.end <= place.first {
            let left = place.bytes.saturating_sub(place.position);
            if left < len as u64 {
                return place.corrupt(0, "a group is longer than its segment");
            }
            // Emptied first: a failed read must not leave half of it to be trusted.
            (self.position, self.end) = (place.position, Offset(0));
            let new = end.0.saturating_sub(place.first.0).saturating_mul(BYTES_AN_EVENT);
            let wanted = new.clamp(SMALLEST_READ, WINDOW).max(len as u64);
            self.bytes.resize(left.min(wanted) as usize, 0);
            let read = place.file.read_at(&mut self.bytes, place.position);
            read.map_err(|source: io::Error| ReadError::Io { segment: place.name.clone(), source })?;
            self.end = end;
        }
        Ok(self.held(place.position, len))
    }

    /// Bytes that `get` has given before; empty if it has not.
    fn held(&self, position: u64, len: usize) -> &[u8] {
        let start = position.saturating_sub(self.position) as usize;
        self.bytes.get(start..start.saturating_add(len)).unwrap_or(&[])
    }
}
