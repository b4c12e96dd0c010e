//! The fraud engine's checkpoint on disk: written when gavel stops, read at the next start.
//!
//! Parts, each with its length and a checksum, and an empty one at the end. Whatever is wrong with it, the log is folded from
//! its beginning instead.

use std::fs::File;
use std::io::{self, BufReader, BufWriter, Read, Write};
use std::path::Path;

use crate::clock::UnixMs;
use crate::event::Offset;
use crate::eventlog::{EventLog, Unstarted};
use crate::fraud::checkpoint::Moment;
use crate::fraud::engine::Engine;

const FILE: &str = "fraud-checkpoint";
/// Larger parts are none of ours: windows and checks are bounded, and in many parts.
const MAX_PART: u32 = 1 << 30;

/// Writes what the engine holds; false where it holds what the log does not have.
pub fn write(dir: &Path, engine: &Engine, log: &dyn EventLog) -> Result<bool, String> {
    let end = log.durable_end();
    let Some(last) = end.0.checked_sub(1) else { return Ok(false) };
    let last = log.read(Offset(last)).and_then(|mut log| log.next_event()).map_err(|e| e.to_string())?;
    let Some(last) = last else { return Ok(false) };
    let Some(parts) = engine.checkpoint(Moment { next: end.0, last_at: last.at }) else { return Ok(false) };
    let new = dir.join(format!("{FILE}.new"));
    let written = || -> io::Result<()> {
        let mut out = BufWriter::new(File::create(&new)?);
        parts.chain([Vec::new()]).try_for_each(|part| {
            out.write_all(&(part.len() as u32).to_le_bytes())?;
            out.write_all(&crc32fast::hash(&part).to_le_bytes())?;
            out.write_all(&part)
        })?;
        out.into_inner().map_err(io::IntoInnerError::into_error)?.sync_all()?;
        std::fs::rename(&new, dir.join(FILE))
    };
    written().map(|()| true).map_err(|e| e.to_string())
}

pub fn is_there(dir: &Path) -> bool {
    dir.join(FILE).exists()
}

/// Puts back what was written, into an engine that knows nothing; where the log goes on from there. None where there is no
/// checkpoint of this log and config; then the engine may be of no use.
pub fn read(dir: &Path, engine: &Engine, opened: &dyn Unstarted, now: UnixMs) -> Option<Offset> {
    let mut file = BufReader::with_capacity(1 << 20, File::open(dir.join(FILE)).ok()?);
    let mut whole = false;
    let head = part(&mut file)?;
    let moment = engine.moment_of(&head)?;
    // The log must be the one that it was made of, and go at least as far.
    let end = opened.durable_end().0;
    let last = moment.next.checked_sub(1).filter(|last| *last < end)?;
    let last = opened.read(Offset(last)).ok()?.next_event().ok()??;
    if last.at != moment.last_at {
        return None;
    }
    let rest = std::iter::from_fn(|| match part(&mut file) {
        Some(part) if part.is_empty() => {
            whole = true;
            None
        }
        part => part,
    });
    let restored = engine.restore_parts(&mut std::iter::once(head).chain(rest.fuse()), now);
    restored.filter(|_| whole).map(|moment| Offset(moment.next))
}

fn part(file: &mut impl Read) -> Option<Vec<u8>> {
    let mut word = || {
        let mut bytes = [0; 4];
        file.read_exact(&mut bytes).ok().map(|()| u32::from_le_bytes(bytes))
    };
    let (length, sum) = (word()?, word()?);
    if length > MAX_PART {
        return None;
    }
    // By what is there, not by what it says that there is.
    let mut part = Vec::new();
    file.by_ref().take(length.into()).read_to_end(&mut part).ok()?;
    (part.len() == length as usize && crc32fast::hash(&part) == sum).then_some(part)
}
