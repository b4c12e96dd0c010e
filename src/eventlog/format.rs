//! What the bytes of a segment file mean: pure encoding and checking, no IO.
//!
//! ```text
//! segment  header (one sector), then groups, then zeros
//! header   magic 8, version u32, 0 u32, number u64, first offset u64, salt u64, created i64, file bytes u64, zeros, crc
//! group    magic u32, flags u32, number u64, first offset u64, body bytes u32, records u32, zero sectors u32, crc u32,
//!          records, zeros up to a multiple of 8, crc u32 of all before, end magic u32
//! record   event bytes u32, crc u32, at i64, the event
//! ```
//!
//! All integers are little-endian. Groups start at multiples of 8 and are numbered from 0 in each segment. Every
//! checksum is a CRC-32 that starts from the segment's random salt, so bytes of another segment never pass.

use crate::clock::UnixMs;
use crate::event::Offset;
use crate::wire::{Put, Take};

/// What a disk writes as a whole or not at all.
pub const SECTOR: usize = 512;
/// The header has its sector to itself: no later write can tear it.
pub const SEGMENT_HEADER: usize = SECTOR;

const VERSION: u32 = 1;
const SEGMENT_MAGIC: &[u8; 8] = b"GAVELSEG";

/// The checksum of one segment.
#[derive(Clone, Copy, Debug)]
pub struct Checksum(u32);

impl Checksum {
    pub fn salted(salt: u64) -> Checksum {
        Checksum(crc32fast::hash(&salt.to_le_bytes()))
    }

    pub fn of(self, bytes: &[u8]) -> u32 {
        let mut hasher = crc32fast::Hasher::new_with_initial(self.0);
        hasher.update(bytes);
        hasher.finalize()
    }

    pub fn of_record(self, len: &[u8], at_and_event: &[u8]) -> u32 {
        let mut hasher = crc32fast::Hasher::new_with_initial(self.0);
        hasher.update(len);
        hasher.update(at_and_event);
        hasher.finalize()
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SegmentHeader {
    /// 1 for the first segment of a log.
    pub number: u64,
    /// Offset of the first event that may stand in it.
    pub first: Offset,
    pub salt: u64,
    /// No event in it is older, none in an earlier segment is younger.
    pub created: UnixMs,
    /// Length of the file.
    pub bytes: u64,
}

impl SegmentHeader {
    pub fn encode(&self) -> Vec<u8> {
        let mut out = Vec::with_capacity(SEGMENT_HEADER);
        out.put(SEGMENT_MAGIC);
        out.put_u32(VERSION);
        out.put_u32(0);
        out.put_u64(self.number);
        out.put_u64(self.first.0);
        out.put_u64(self.salt);
        out.put_i64(self.created.0);
        out.put_u64(self.bytes);
        out.resize(SEGMENT_HEADER - 4, 0);
        let crc = Checksum::salted(self.salt).of(&out);
        out.put_u32(crc);
        out
    }

    /// Reads the first sector of a segment; the error says what is wrong with it.
    pub fn decode(sector: &[u8]) -> Result<SegmentHeader, String> {
        let short = || "the segment header is cut short".to_owned();
        let (body, crc) = sector.get(..SEGMENT_HEADER).and_then(|s| s.split_last_chunk::<4>()).ok_or_else(short)?;
        let Some(fields) = body.strip_prefix(SEGMENT_MAGIC) else {
            return Err("this is not a log segment (wrong magic)".into());
        };
        let mut t = Take(fields);
        let version = t.u32().ok_or_else(short)?;
        if version != VERSION {
            return Err(format!("segment format version {version}; this build reads version {VERSION}"));
        }
        let mut fields = || {
            t.u32()?;
            let (number, first, salt) = (t.u64()?, Offset(t.u64()?), t.u64()?);
            Some(SegmentHeader { number, first, salt, created: UnixMs(t.i64()?), bytes: t.u64()? })
        };
        let header = fields().ok_or_else(short)?;
        if Checksum::salted(header.salt).of(body) != u32::from_le_bytes(*crc) {
            return Err("the segment header does not match its checksum".into());
        }
        Ok(header)
    }
}

/// How many of the sectors that `bytes` at `position` touches hold only zeros of it.
pub fn zero_sectors(bytes: &[u8], position: u64) -> u32 {
    let to_boundary = (SECTOR - (position % SECTOR as u64) as usize) % SECTOR;
    let (head, rest) = bytes.split_at(to_boundary.min(bytes.len()));
    let zero_head = u32::from(!head.is_empty() && is_zero(head));
    zero_head + rest.chunks(SECTOR).filter(|part| is_zero(part)).count() as u32
}

pub fn is_zero(bytes: &[u8]) -> bool {
    first_nonzero(bytes).is_none()
}

/// Index of the first byte that is not zero.
pub fn first_nonzero(bytes: &[u8]) -> Option<usize> {
    // Comparing blocks is a memcmp, fast even without optimisation.
    static ZEROS: [u8; 4096] = [0; 4096];
    let block = bytes.chunks(ZEROS.len()).position(|c| *c != ZEROS[..c.len()])? * ZEROS.len();
    bytes[block..].iter().position(|b| *b != 0).map(|i| block + i)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn segment_headers_round_trip_and_no_flipped_byte_passes() {
        let header = SegmentHeader { number: 2, first: Offset(77), salt: 0xDEAD, created: UnixMs(12), bytes: 64 << 20 };
        let mut bytes = header.encode();
        assert_eq!(SegmentHeader::decode(&bytes), Ok(header));
        for i in 0..bytes.len() {
            bytes[i] ^= 1;
            assert!(SegmentHeader::decode(&bytes).is_err(), "byte {i}");
            bytes[i] ^= 1;
        }
        assert!(SegmentHeader::decode(&bytes[..100]).is_err());
    }
}
