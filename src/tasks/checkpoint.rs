//! The fraud engine's checkpoint on disk: what a start puts back instead of folding the log from its beginning.
//!
//! Parts, each with its length and a checksum, and an empty one at the end. It has its name when all of it is on the disk, so
//! that a crash leaves the one before. Whatever is wrong with it, the log is folded from its beginning instead.

use std::io;

use crate::event::Offset;
use crate::eventlog::{DiskFile, LogReader, ReadError, Storage};
use crate::fraud::checkpoint::Moment;
use crate::fraud::engine::Engine;

const FILE: &str = "fraud-checkpoint";
const UNFINISHED: &str = "fraud-checkpoint.new";
/// Length and checksum of a part.
const PART_HEADER: usize = 8;
/// Written between two syncs: the log's own, on the same disk, never stand behind more.
const SYNC_BYTES: u64 = 8 << 20;

/// Writes what the engine holds, which is the fold of the log up to this moment, and returns when it is durable: its bytes.
/// None where the engine holds what the log does not have.
pub fn write(storage: &dyn Storage, engine: &Engine, moment: Moment) -> io::Result<Option<u64>> {
    let Some(parts) = engine.checkpoint(moment) else { return Ok(None) };
    // What is there twice must not take the log's last room.
    let before = storage.open(FILE).and_then(|file| file.len()).unwrap_or(0);
    if storage.free_bytes()? < before.saturating_mul(2) {
        return Err(io::Error::new(io::ErrorKind::StorageFull, "there is no room for another one"));
    }
    let written = write_parts(storage, &mut parts.chain([Vec::new()]));
    if written.is_err() && storage.list()?.iter().any(|name| name == UNFINISHED) {
        storage.remove(UNFINISHED)?;
    }
    written.map(Some)
}

fn write_parts(storage: &dyn Storage, parts: &mut dyn Iterator<Item = Vec<u8>>) -> io::Result<u64> {
    let file = storage.create(UNFINISHED)?;
    let (mut at, mut synced) = (0, 0);
    for part in parts {
        let mut header = [0; PART_HEADER];
        let length = u32::try_from(part.len()).map_err(io::Error::other)?;
        header[..4].copy_from_slice(&length.to_le_bytes());
        header[4..].copy_from_slice(&crc32fast::hash(&part).to_le_bytes());
        file.write_at(&header, at)?;
        file.write_at(&part, at + PART_HEADER as u64)?;
        at += (PART_HEADER + part.len()) as u64;
        if at - synced >= SYNC_BYTES {
            file.sync_data()?;
            synced = at;
        }
    }
    file.sync_data()?;
    storage.rename(UNFINISHED, FILE)?;
    storage.sync_dir()?;
    Ok(at)
}

/// Writes what the engine holds where that is the fold of the log up to its end; false where there is nothing, or the engine holds
/// what the log does not have.
pub fn write_at_end(storage: &dyn Storage, engine: &Engine, end: Offset, log: Read) -> Result<bool, String> {
    let Some(last) = end.0.checked_sub(1) else { return Ok(false) };
    let last = log(Offset(last)).and_then(|mut log| log.next_event()).map_err(|e| e.to_string())?;
    let Some(last) = last else { return Ok(false) };
    let written = write(storage, engine, Moment { next: end.0, last_at: last.at }).map_err(|e| e.to_string())?;
    Ok(written.is_some())
}

/// Reads a log from an event on.
pub type Read<'a> = &'a dyn Fn(Offset) -> Result<Box<dyn LogReader>, ReadError>;

/// What was found of a checkpoint.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Found {
    /// The engine is as it was, and the log goes on from there.
    UpTo(Offset),
    None,
    /// Of another log or config, or damaged.
    Useless,
}

/// An engine as the checkpoint has it; one that knows nothing where there is none of this log and config.
pub fn recall<E>(
    storage: &dyn Storage,
    empty: &dyn Fn() -> Result<Engine, E>,
    log: Read,
) -> Result<(Engine, Found), E> {
    let engine = empty()?;
    let Ok(file) = storage.open(FILE) else { return Ok((engine, Found::None)) };
    match restore(&*file, &engine, log) {
        Some(next) => Ok((engine, Found::UpTo(next))),
        // What is no good may be half read.
        None => Ok((empty()?, Found::Useless)),
    }
}

fn restore(file: &dyn DiskFile, engine: &Engine, log: Read) -> Option<Offset> {
    let mut at = 0;
    let head = part(file, &mut at)?;
    let moment = engine.moment_of(&head)?;
    // The log must be the one that it was made of, and go at least as far.
    let last = log(Offset(moment.next.checked_sub(1)?)).ok()?.next_event().ok()??;
    if last.at != moment.last_at {
        return None;
    }
    let mut whole = false;
    let rest = std::iter::from_fn(|| match part(file, &mut at) {
        Some(part) if part.is_empty() => {
            whole = true;
            None
        }
        part => part,
    });
    let restored = engine.restore_parts(&mut std::iter::once(head).chain(rest.fuse()));
    restored.filter(|_| whole).map(|moment| Offset(moment.next))
}

fn part(file: &dyn DiskFile, at: &mut u64) -> Option<Vec<u8>> {
    let mut header = [0; PART_HEADER];
    file.read_at(&mut header, *at).ok()?;
    let [a, b, c, d, sum @ ..] = header;
    let begin = *at + PART_HEADER as u64;
    let end = begin + u64::from(u32::from_le_bytes([a, b, c, d]));
    // By what is there, not by what it says that there is.
    if end > file.len().ok()? {
        return None;
    }
    let mut part = vec![0; (end - begin) as usize];
    file.read_at(&mut part, begin).ok()?;
    *at = end;
    (crc32fast::hash(&part) == u32::from_le_bytes(sum)).then_some(part)
}
