//! The books rebuilt from the first event on, and hashes by which two replays, or a replay and what is stored, can be told to
//! have come to the same.

use std::path::Path;

use sha2::{Digest, Sha256};

use super::source::Source;
use crate::bookstore::{BookError, SqliteBooks};
use crate::clock::UnixMs;
use crate::event::Offset;
use crate::ledger::{Books, fold_on};

#[derive(Debug, PartialEq, Eq)]
pub struct Rebuilt {
    pub events: u64,
    /// Time of the last of them.
    pub at: UnixMs,
    /// SHA-256 of the books' tables, and of all events: offset, time and encoding of each.
    pub books: String,
    pub stream: String,
    /// The event that the stored books have come to, their hash, and that of the rebuilt ones there.
    pub stored: Option<Stored>,
}

#[derive(Debug, PartialEq, Eq)]
pub struct Stored {
    pub next: Offset,
    pub hash: String,
    pub rebuilt: String,
}

/// Folds every event before `to`. `dir` is the data directory; books that it does not have are not compared.
pub fn run(
    source: &Source,
    to: Option<UnixMs>,
    dir: &Path,
    progress: &mut dyn FnMut(u64, u64),
) -> Result<Rebuilt, String> {
    let mut stored = stored(dir).map_err(|e| e.to_string())?;
    let mut books = Books::default();
    let (mut stream, mut bytes, mut fault) = (Sha256::new(), Vec::new(), None);
    let to = to.unwrap_or(UnixMs(i64::MAX));
    source.each(
        &mut |stamped| {
            if stamped.at >= to || fault.is_some() {
                return;
            }
            bytes.clear();
            stamped.event.encode(&mut bytes);
            stream.update(stamped.offset.0.to_le_bytes());
            stream.update(stamped.at.0.to_le_bytes());
            stream.update((bytes.len() as u64).to_le_bytes());
            stream.update(&bytes);
            let folded = fold_on(&mut books, stamped).map_err(|gap| gap.to_string());
            let at_stored = stored.as_mut().filter(|stored| stored.next == books.next);
            let compared = folded.and_then(|()| match at_stored {
                None => Ok(()),
                Some(stored) => hash(&books).map(|hash| stored.rebuilt = hash).map_err(|e| e.to_string()),
            });
            fault = compared.err();
        },
        progress,
    )?;
    if let Some(fault) = fault {
        return Err(fault);
    }
    let stored = stored.filter(|stored| !stored.rebuilt.is_empty());
    let hash = hash(&books).map_err(|e| e.to_string())?;
    Ok(Rebuilt { events: books.next.0, at: books.starts.at, books: hash, stream: hex(&stream.finalize()), stored })
}

/// All that was ever touched is dirty in books that were never saved.
fn hash(books: &Books) -> Result<String, BookError> {
    SqliteBooks::in_memory(books, &books.dirty)?.hash().map(|hash| hex(&hash))
}

fn stored(dir: &Path) -> Result<Option<Stored>, BookError> {
    let path = dir.join("books.sqlite");
    if !path.exists() {
        return Ok(None);
    }
    let stored = SqliteBooks::open_read_only(&path)?;
    let Some(next) = stored.next()? else { return Ok(None) };
    Ok(Some(Stored { next, hash: hex(&stored.hash()?), rebuilt: String::new() }))
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
