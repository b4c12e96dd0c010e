//! Groups and their records: pure encoding and checking. The layout stands in [`format`](super::format).

use super::format::{Checksum, is_zero, zero_sectors};
use crate::clock::UnixMs;
use crate::event::Offset;
use crate::wire::{Put, Take};

pub const GROUP_HEADER: usize = 40;
pub const GROUP_TRAILER: usize = 8;
/// Bytes of a group without records, which is what a seal is.
pub const EMPTY_GROUP: usize = GROUP_HEADER + GROUP_TRAILER;
pub const RECORD_HEADER: usize = 16;
/// Bytes of the largest group: bounds what one sync has to write and what a crash can tear.
pub const MAX_GROUP_BYTES: usize = 1 << 20;

const GROUP_MAGIC: &[u8; 4] = b"GRP\x01";
const END_MAGIC: &[u8; 4] = b"\x02END";
const SEAL: u32 = 1;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct GroupHeader {
    /// Nothing follows in this segment.
    pub seal: bool,
    pub number: u64,
    pub first: Offset,
    pub body_bytes: usize,
    pub records: u32,
    /// How many of the group's sectors are all zero by what was put in them, so that recovery can tell a sector
    /// that was never written from one that holds zeros.
    pub zero_sectors: u32,
}

impl GroupHeader {
    /// Bytes of the whole group.
    pub fn group_bytes(&self) -> usize {
        EMPTY_GROUP + self.body_bytes
    }

    /// Reads a group header; `None` when it is not one of this segment's.
    pub fn decode(bytes: &[u8], sum: Checksum) -> Option<GroupHeader> {
        let (body, crc) = bytes.get(..GROUP_HEADER)?.split_last_chunk::<4>()?;
        let mut t = Take(body.strip_prefix(GROUP_MAGIC)?);
        if sum.of(body) != u32::from_le_bytes(*crc) {
            return None;
        }
        let (flags, number, first) = (t.u32()?, t.u64()?, Offset(t.u64()?));
        let header = GroupHeader {
            seal: flags & SEAL != 0,
            number,
            first,
            body_bytes: t.u32()? as usize,
            records: t.u32()?,
            zero_sectors: t.u32()?,
        };
        let sane = flags & !SEAL == 0 && header.body_bytes.is_multiple_of(8) && header.group_bytes() <= MAX_GROUP_BYTES;
        let seal_is_empty = !header.seal || (header.records == 0 && header.body_bytes == 0);
        (sane && seal_is_empty).then_some(header)
    }
}

/// Whether `group`, all its bytes from the header on, is what was written.
pub fn group_is_whole(group: &[u8], sum: Checksum) -> bool {
    let Some((body, trailer)) = group.split_last_chunk::<GROUP_TRAILER>() else { return false };
    trailer[..4] == sum.of(body).to_le_bytes() && trailer[4..] == *END_MAGIC
}

/// One record of a group's body.
#[derive(Clone, Copy, Debug)]
pub struct Record<'a> {
    /// Where it starts, in bytes from the start of the group.
    pub position: usize,
    pub at: UnixMs,
    pub event: &'a [u8],
}

/// A place between two records of a group.
#[derive(Clone, Copy, Debug)]
pub struct Cursor {
    position: usize,
    left: u32,
}

impl Cursor {
    pub fn first(header: &GroupHeader) -> Cursor {
        Cursor { position: GROUP_HEADER, left: header.records }
    }
}

/// Walks the records of a whole group.
pub struct Records<'a> {
    group: &'a [u8],
    cursor: Cursor,
    sum: Checksum,
}

impl<'a> Records<'a> {
    /// `group` is all bytes of the group that `header` was read from.
    pub fn new(group: &'a [u8], header: &GroupHeader, sum: Checksum) -> Records<'a> {
        Records::resume(group, Cursor::first(header), sum)
    }

    pub fn resume(group: &'a [u8], cursor: Cursor, sum: Checksum) -> Records<'a> {
        Records { group, cursor, sum }
    }

    pub fn cursor(&self) -> Cursor {
        self.cursor
    }

    /// The next record; `Ok(None)` after the last one when only padding is left. The error is the position, in bytes
    /// from the start of the group, and what is wrong there.
    pub fn next_record(&mut self) -> Result<Option<Record<'a>>, (usize, &'static str)> {
        let position = self.cursor.position;
        let body = self.group.get(position..self.group.len().saturating_sub(GROUP_TRAILER)).unwrap_or(&[]);
        if self.cursor.left == 0 {
            let only_padding = body.len() < 8 && is_zero(body);
            return if only_padding { Ok(None) } else { Err((position, "there are bytes after the last record")) };
        }
        let short = (position, "a record is longer than its group");
        let (len, rest) = body.split_first_chunk::<4>().ok_or(short)?;
        let (crc, rest) = rest.split_first_chunk::<4>().ok_or(short)?;
        let event_bytes = u32::from_le_bytes(*len) as usize;
        let at_and_event = rest.get(..event_bytes.saturating_add(8)).ok_or(short)?;
        if self.sum.of_record(len, at_and_event) != u32::from_le_bytes(*crc) {
            return Err((position, "a record does not match its checksum"));
        }
        let (at, event) = at_and_event.split_first_chunk::<8>().ok_or(short)?;
        self.cursor.left -= 1;
        self.cursor.position += RECORD_HEADER + event_bytes;
        Ok(Some(Record { position, at: UnixMs(i64::from_le_bytes(*at)), event }))
    }
}

/// Builds one group after another in the same buffer.
#[derive(Debug)]
pub struct GroupBuilder {
    buf: Vec<u8>,
    records: u32,
}

impl GroupBuilder {
    pub fn new() -> GroupBuilder {
        GroupBuilder { buf: vec![0; GROUP_HEADER], records: 0 }
    }

    pub fn clear(&mut self) {
        self.buf.truncate(GROUP_HEADER);
        self.records = 0;
    }

    pub fn records(&self) -> u32 {
        self.records
    }

    /// Bytes of the whole group if `more` bytes of records were added.
    pub fn bytes_with(&self, more: usize) -> usize {
        (self.buf.len() + more).next_multiple_of(8) + GROUP_TRAILER
    }

    pub fn push(&mut self, sum: Checksum, at: UnixMs, event: &[u8]) {
        let start = self.buf.len();
        let len = (event.len() as u32).to_le_bytes();
        self.buf.put(&len);
        self.buf.put_u32(0);
        self.buf.put_i64(at.0);
        self.buf.put(event);
        let crc = sum.of_record(&len, &self.buf[start + 8..]);
        self.buf[start + 4..start + 8].copy_from_slice(&crc.to_le_bytes());
        self.records += 1;
    }

    /// Completes the group that will stand at byte `position` of its file.
    pub fn finish(&mut self, sum: Checksum, number: u64, first: Offset, seal: bool, position: u64) -> &[u8] {
        self.buf.resize(self.buf.len().next_multiple_of(8), 0);
        let body_bytes = self.buf.len() - GROUP_HEADER;
        self.buf.put_u32(0);
        self.buf.put(END_MAGIC);
        let mut header = Vec::with_capacity(GROUP_HEADER);
        header.put(GROUP_MAGIC);
        header.put_u32(if seal { SEAL } else { 0 });
        header.put_u64(number);
        header.put_u64(first.0);
        header.put_u32(body_bytes as u32);
        header.put_u32(self.records);
        // The sectors that hold the header or the trailer are never zero: magic and first record see to that. So the
        // count does not depend on the fields that are filled in after it.
        self.buf[..header.len()].copy_from_slice(&header);
        header.put_u32(zero_sectors(&self.buf, position));
        header.put_u32(sum.of(&header));
        self.buf[..GROUP_HEADER].copy_from_slice(&header);
        let end = self.buf.len();
        let crc = sum.of(&self.buf[..end - GROUP_TRAILER]);
        self.buf[end - GROUP_TRAILER..end - 4].copy_from_slice(&crc.to_le_bytes());
        &self.buf
    }

    /// Bytes of the group that [`finish`](Self::finish) completed.
    pub fn group_bytes(&self) -> usize {
        self.buf.len()
    }

    /// The events pushed, in order.
    pub fn events(&self) -> impl Iterator<Item = &[u8]> {
        let mut rest = &self.buf[GROUP_HEADER..];
        (0..self.records).map_while(move |_| {
            let (len, _) = rest.split_first_chunk::<4>()?;
            let (record, tail) = rest.split_at_checked(RECORD_HEADER + u32::from_le_bytes(*len) as usize)?;
            rest = tail;
            Some(&record[RECORD_HEADER..])
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn groups_round_trip_and_no_flipped_byte_passes() {
        let sum = Checksum::salted(7);
        let mut builder = GroupBuilder::new();
        builder.push(sum, UnixMs(5), b"first");
        builder.push(sum, UnixMs(6), &[0; 1500]);
        let expected = builder.bytes_with(0);
        let mut group = builder.finish(sum, 3, Offset(9), false, 512 + 504).to_vec();
        assert_eq!(group.len(), expected);
        let header = GroupHeader::decode(&group, sum).unwrap();
        assert_eq!((header.number, header.first, header.records, header.zero_sectors), (3, Offset(9), 2, 2));
        assert!(group_is_whole(&group, sum) && !group_is_whole(&group, Checksum::salted(8)));
        let mut records = Records::new(&group, &header, sum);
        let first = records.next_record().unwrap().unwrap();
        assert_eq!((first.at, first.event), (UnixMs(5), b"first".as_slice()));
        assert_eq!(records.next_record().unwrap().unwrap().event.len(), 1500);
        assert!(records.next_record().unwrap().is_none());
        for i in 0..group.len() {
            group[i] ^= 0x10;
            assert!(GroupHeader::decode(&group, sum).is_none() || !group_is_whole(&group, sum), "byte {i}");
            group[i] ^= 0x10;
        }
    }
}
