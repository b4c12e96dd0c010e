//! Opening a log: every byte of every segment is checked before anything is appended.
//!
//! The disk writes sectors whole, segments start as zeros, and each group is synced before the next is written. So
//! after a crash at most the last group is incomplete, and then at least one of its sectors still holds zeros where
//! the group has none. A group that fails its checks with all its sectors written was damaged later: it may have been
//! acknowledged, and the log must not open.

use std::io;
use std::ops::Range;

use super::format::{Checksum, SECTOR, SEGMENT_HEADER, SegmentHeader, first_nonzero, is_zero, zero_sectors};
use super::group::{EMPTY_GROUP, GROUP_HEADER, GroupHeader, MAX_GROUP_BYTES, Records, group_is_whole};
use super::storage::Storage;
use super::{OpenError, begin};
use crate::clock::UnixMs;
use crate::event::Offset;

/// Bounds the memory for checking a segment.
pub const MAX_SEGMENT_BYTES: u64 = 1 << 30;
/// Room for the header, a seal and a little.
pub const MIN_SEGMENT_BYTES: u64 = 2048;

pub fn segment_name(number: u64) -> String {
    format!("{number:020}.seg")
}

/// The number of a segment by its name; `None` for any other file.
pub fn segment_number(name: &str) -> Option<u64> {
    let digits = name.strip_suffix(".seg")?;
    (digits.len() == 20 && digits.bytes().all(|b| b.is_ascii_digit())).then(|| digits.parse().ok())?
}

/// What is known before a segment is read.
#[derive(Clone, Copy, Debug)]
pub struct Expected {
    pub number: u64,
    pub first: Offset,
    /// Time of the last event before.
    pub at: UnixMs,
}

/// What was found in a segment.
#[derive(Clone, Debug)]
pub struct Scanned {
    pub header: SegmentHeader,
    /// One past the last event.
    pub end: Offset,
    /// Time of the last event, or of the segment's creation.
    pub at: UnixMs,
    pub groups: u64,
    /// Where the last group stands; empty when there is none.
    pub last_group: Range<usize>,
    pub sealed: bool,
    /// Bytes that a crash left of an incomplete group.
    pub torn: Option<Range<usize>>,
}

/// Where a segment is damaged and how.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fault {
    pub position: usize,
    pub what: String,
}

fn fault<T>(position: usize, what: impl Into<String>) -> Result<T, Fault> {
    Err(Fault { position, what: what.into() })
}

/// Checks all bytes of a segment. `is_last`: no segment follows, so it need not be sealed and may end torn.
pub fn scan_segment(bytes: &[u8], expected: Expected, is_last: bool) -> Result<Scanned, Fault> {
    let header = SegmentHeader::decode(bytes).or_else(|what| fault(0, what))?;
    if header.number != expected.number {
        return fault(0, format!("its header says segment {}, its name {}", header.number, expected.number));
    }
    if header.bytes != bytes.len() as u64 {
        return fault(
            bytes.len().min(header.bytes as usize),
            format!("the file has {} bytes, its header says {}", bytes.len(), header.bytes),
        );
    }
    if header.first != expected.first {
        return fault(0, format!("it starts at event {}, the one before ends at {}", header.first.0, expected.first.0));
    }
    if header.created < expected.at {
        return fault(0, format!("created at {}, before the last event of the one before it", header.created));
    }
    let sum = Checksum::salted(header.salt);
    let mut found = Scanned {
        header,
        end: header.first,
        at: header.created,
        groups: 0,
        last_group: SEGMENT_HEADER..SEGMENT_HEADER,
        sealed: false,
        torn: None,
    };
    while !found.sealed {
        let start = found.last_group.end;
        let rest = &bytes[start..];
        let Some(group) = GroupHeader::decode(rest, sum) else {
            found.torn = after_last_group(bytes, start, sum)?;
            break;
        };
        let Some(whole) = rest.get(..group.group_bytes()) else {
            return fault(start, "a group is longer than its segment");
        };
        if !group_is_whole(whole, sum) {
            if zero_sectors(whole, start as u64) <= group.zero_sectors {
                return fault(start, "a group was written in full and does not match its checksum");
            }
            let end = start + whole.len();
            if let Some(i) = first_nonzero(&bytes[end..]) {
                return fault(end + i, "there are bytes after an incomplete group");
            }
            found.torn = Some(start..end);
            break;
        }
        check_group(&mut found, whole, &group, start, sum)?;
    }
    if found.sealed
        && let Some(i) = first_nonzero(&bytes[found.last_group.end..])
    {
        return fault(found.last_group.end + i, "there are bytes after the segment's seal");
    }
    if !is_last && !found.sealed {
        return fault(found.last_group.end, "the segment is not sealed, but another follows it");
    }
    Ok(found)
}

/// A group whose checksums hold: are its contents what must come next?
fn check_group(
    found: &mut Scanned,
    whole: &[u8],
    group: &GroupHeader,
    start: usize,
    sum: Checksum,
) -> Result<(), Fault> {
    if group.number != found.groups || group.first != found.end {
        let (number, first) = (found.groups, found.end.0);
        let what = format!("group {} from event {} where {number} from {first} is due", group.number, group.first.0);
        return fault(start, what);
    }
    let mut records = Records::new(whole, group, sum);
    while let Some(record) = records.next_record().or_else(|(at, what)| fault(start + at, what))? {
        if record.at < found.at {
            return fault(start + record.position, "time goes back from one event to the next");
        }
        found.at = record.at;
    }
    found.end = Offset(group.first.0 + u64::from(group.records));
    found.groups += 1;
    found.last_group = start..start + whole.len();
    found.sealed = group.seal;
    Ok(())
}

/// No group header stands at `start`. Clean end, an incomplete group without its header, or damage?
fn after_last_group(bytes: &[u8], start: usize, sum: Checksum) -> Result<Option<Range<usize>>, Fault> {
    let rest = &bytes[start..];
    let Some(first) = first_nonzero(rest) else { return Ok(None) };
    // The header lies in one sector or in two, and each holds something of the group if it was written.
    let in_first = (SECTOR - start % SECTOR).min(rest.len());
    let in_second = (in_first + SECTOR).min(rest.len());
    let unwritten = is_zero(&rest[..in_first]) || (in_first < GROUP_HEADER && is_zero(&rest[in_first..in_second]));
    if rest.len() < EMPTY_GROUP || !unwritten {
        return fault(start + first, "there is something after the last group that is not a group");
    }
    // Its length is unknown, but not unbounded, and nothing was written after it.
    let extent = MAX_GROUP_BYTES.min(rest.len());
    if let Some(i) = first_nonzero(&rest[extent..]) {
        return fault(start + extent + i, "there are bytes after an incomplete group");
    }
    if let Some(i) = (0..extent).step_by(8).find(|i| GroupHeader::decode(&rest[*i..], sum).is_some()) {
        return fault(start, format!("a group is missing here: a later one stands at byte {}", start + i));
    }
    Ok(Some(start..start + extent))
}

/// The whole log after checks and cuts.
#[derive(Debug)]
pub struct Recovered {
    /// In order, without gaps; empty for a new log.
    pub segments: Vec<SegmentHeader>,
    /// What stands in the last segment.
    pub last: Option<Scanned>,
}

pub fn io_error(doing: impl Into<String>) -> impl FnOnce(io::Error) -> OpenError {
    move |source| OpenError::Io { doing: doing.into(), source }
}

/// Checks the log in `storage`, then cuts an incomplete last group. Changes nothing when it refuses.
pub fn recover(
    storage: &dyn Storage,
    names: &[String],
    progress: &mut dyn FnMut(u64, u64),
) -> Result<Recovered, OpenError> {
    let (recovered, bytes) = check(storage, names, progress)?;
    if let Some(last) = &recovered.last {
        settle(storage, &bytes, last).map_err(io_error("make the end of the log durable"))?;
    }
    Ok(recovered)
}

/// Checks the log in `storage` and changes nothing. Also returns the bytes of the last segment.
pub fn check(
    storage: &dyn Storage,
    names: &[String],
    progress: &mut dyn FnMut(u64, u64),
) -> Result<(Recovered, Vec<u8>), OpenError> {
    let mut numbers: Vec<u64> = names.iter().filter_map(|n| segment_number(n)).collect();
    numbers.sort_unstable();
    let begin = begin::read(storage, names)?;
    let first = begin.map_or(1, |header| header.number);
    // What is older was being removed.
    numbers.retain(|number| *number >= first);
    if begin.is_some() && numbers.is_empty() {
        let segment = storage.locate(&segment_name(first));
        return Err(OpenError::Corrupt { segment, offset: 0, what: "the file is missing".into() });
    }
    let mut lengths = Vec::with_capacity(numbers.len());
    for (i, number) in numbers.iter().enumerate() {
        let name = segment_name(*number);
        let due = first + i as u64;
        let corrupt = |number, what: &str| {
            let segment = storage.locate(&segment_name(number));
            Err(OpenError::Corrupt { segment, offset: 0, what: what.into() })
        };
        if *number != due {
            return corrupt(due, "the file is missing");
        }
        let read = || storage.open(&name)?.len();
        let len = read().map_err(io_error(format!("open {}", storage.locate(&name))))?;
        if len > MAX_SEGMENT_BYTES {
            return corrupt(due, "the file is larger than any segment");
        }
        lengths.push(len);
    }
    let total = lengths.iter().sum();
    let mut done = 0;
    progress(done, total);
    let mut recovered = Recovered { segments: Vec::with_capacity(numbers.len()), last: None };
    let mut expected = Expected { number: 1, first: Offset(0), at: UnixMs(i64::MIN) };
    if let Some(begin) = begin {
        expected = Expected { number: begin.number, first: begin.first, at: begin.created };
    }
    let mut bytes = Vec::new();
    for (number, len) in numbers.iter().zip(&lengths) {
        let name = segment_name(*number);
        bytes.resize(*len as usize, 0);
        let read = |buf: &mut [u8]| storage.open(&name)?.read_at(buf, 0);
        read(&mut bytes).map_err(io_error(format!("read {}", storage.locate(&name))))?;
        let scanned = scan_segment(&bytes, expected, Some(number) == numbers.last()).map_err(|f| {
            OpenError::Corrupt { segment: storage.locate(&name), offset: f.position as u64, what: f.what }
        })?;
        expected = Expected { number: number + 1, first: scanned.end, at: scanned.at };
        recovered.segments.push(scanned.header);
        recovered.last = Some(scanned);
        done += len;
        progress(done, total);
    }
    Ok((recovered, bytes))
}

/// Makes what was found at the end durable. The last group may be only in the page cache, put there by a process that
/// was killed before its sync or whose sync failed, so it is written once more. An incomplete one becomes zeros again.
fn settle(storage: &dyn Storage, bytes: &[u8], last: &Scanned) -> io::Result<()> {
    let file = storage.open(&segment_name(last.header.number))?;
    let group = last.last_group.clone();
    if !group.is_empty() {
        file.write_at(&bytes[group.clone()], group.start as u64)?;
    }
    if let Some(torn) = &last.torn {
        file.write_at(&vec![0; torn.len()], torn.start as u64)?;
    }
    file.sync_data()?;
    storage.sync_dir()
}
