//! Everything rebuilt from the first event on, and compared with the stored books where these have come to the same event.

use std::path::Path;

use sha2::{Digest, Sha256};

use super::source::Source;
use super::state::{Hashes, State, books_hash, hex};
use crate::bookstore::{BookError, SqliteBooks};
use crate::clock::UnixMs;
use crate::event::{Offset, Stamped};

/// Which events, and where hashes are wanted besides at the end.
#[derive(Clone, Copy, Debug)]
pub struct Asked {
    /// What comes before is folded too, but not hashed: without it there is no state to go on from.
    pub from: UnixMs,
    /// What comes from here on is left out.
    pub to: UnixMs,
    /// Where the offset is a multiple of it.
    pub every: Option<u64>,
}

/// What was come to at one event.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct At {
    pub next: Offset,
    /// Time of the event before.
    pub at: UnixMs,
    /// SHA-256 of the events that were asked for up to here: offset, time and encoding of each.
    pub events: String,
    pub hashes: Hashes,
}

#[derive(Debug, PartialEq, Eq)]
pub struct Rebuilt {
    pub end: At,
    /// The event that the stored books have come to, their hash, and that of the rebuilt ones there.
    pub stored: Option<Stored>,
}

#[derive(Debug, PartialEq, Eq)]
pub struct Stored {
    pub next: Offset,
    pub hash: String,
    /// Empty where the replay did not come to that event.
    pub rebuilt: String,
}

/// What is being rebuilt.
struct Rebuild<'a> {
    asked: Asked,
    state: State<'a>,
    stream: Sha256,
    encoded: Vec<u8>,
    stored: Option<Stored>,
    /// The first event that is asked for was not there yet.
    is_before: bool,
}

/// Folds every event before `to`. `dir` is the data directory; books that it does not have are not compared. `tell` gets what
/// was come to before the first event from `from` on, and at each checkpoint.
pub fn run(
    source: &Source,
    state: State,
    asked: Asked,
    dir: &Path,
    tell: &mut dyn FnMut(&At),
    progress: &mut dyn FnMut(u64, u64),
) -> Result<Rebuilt, String> {
    let stored = stored(dir).map_err(|e| e.to_string())?;
    let (stream, encoded, is_before) = (Sha256::new(), Vec::new(), asked.from > UnixMs(i64::MIN));
    let mut rebuild = Rebuild { asked, state, stream, encoded, stored, is_before };
    let mut fault = None;
    source.each(
        &mut |stamped| {
            if fault.is_none() && stamped.at < asked.to {
                fault = rebuild.step(stamped, tell).err();
            }
        },
        progress,
    )?;
    if let Some(fault) = fault {
        return Err(fault);
    }
    let end = rebuild.at()?;
    Ok(Rebuilt { end, stored: rebuild.stored })
}

impl Rebuild<'_> {
    fn step(&mut self, stamped: &Stamped, tell: &mut dyn FnMut(&At)) -> Result<(), String> {
        if stamped.at >= self.asked.from {
            if std::mem::take(&mut self.is_before) {
                tell(&self.at()?);
            }
            self.encoded.clear();
            stamped.event.encode(&mut self.encoded);
            self.stream.update(stamped.offset.0.to_le_bytes());
            self.stream.update(stamped.at.0.to_le_bytes());
            self.stream.update((self.encoded.len() as u64).to_le_bytes());
            self.stream.update(&self.encoded);
        }
        self.state.fold(stamped).map_err(|gap| gap.to_string())?;
        let books = &self.state.books;
        if let Some(stored) = self.stored.as_mut().filter(|stored| stored.next == books.next) {
            stored.rebuilt = books_hash(books).map_err(|e| e.to_string())?;
        }
        if !self.is_before && self.asked.every.is_some_and(|every| books.next.0.is_multiple_of(every)) {
            tell(&self.at()?);
        }
        Ok(())
    }

    fn at(&self) -> Result<At, String> {
        let (next, at) = (self.state.books.next, self.state.books.starts.at);
        let events = hex(&self.stream.clone().finalize());
        Ok(At { next, at, events, hashes: self.state.hashes()? })
    }
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
