//! Segments prepared ahead: files of zeros, already on the disk, so that a commit never waits for space.
//!
//! Two spares are kept: `prepared.seg` becomes the next segment; `reserve.seg` takes its place only when the disk is
//! full, so that notices can still be logged.

use std::io;
use std::sync::atomic::Ordering;
use std::sync::{Arc, MutexGuard};
use std::thread;
use std::time::Duration;

use super::format::{SEGMENT_HEADER, first_nonzero};
use super::intake::{PanicGuard, Stop};
use super::shared::Shared;
use super::stats::LogState;
use super::storage::{DiskFile, Storage};

pub const PREPARED: &str = "prepared.seg";
pub const RESERVE: &str = "reserve.seg";
/// Files that were being made; worth nothing after a crash.
pub const UNFINISHED: &str = ".tmp";

/// How often a full disk is looked at again.
const RETRY: Duration = Duration::from_secs(1);
/// Zeros are synced in steps this large: one sync of a whole segment would stall the commits beside it.
const FILL_STEP: usize = 1 << 20;

#[derive(Default)]
pub enum Spare {
    #[default]
    Missing,
    Ready(Arc<dyn DiskFile>),
    /// The writer is giving it its number; the name is not free yet.
    Taken,
}

#[derive(Default)]
pub struct Spares {
    pub prepared: Spare,
    pub reserve: Spare,
    /// Bytes of all files of the log, spares included.
    pub disk_bytes: u64,
}

/// What the writer gets when it needs a segment.
pub enum Next {
    Spare {
        name: &'static str,
        file: Arc<dyn DiskFile>,
    },
    /// One is being prepared.
    Wait,
    /// The disk is full and the reserve is used.
    Nothing,
}

fn lock(shared: &Shared) -> MutexGuard<'_, Spares> {
    // Each change under this lock is one assignment.
    shared.spares.lock().unwrap_or_else(|e| e.into_inner())
}

impl Spare {
    fn take(&mut self) -> Option<Arc<dyn DiskFile>> {
        match std::mem::replace(self, Spare::Taken) {
            Spare::Ready(file) => Some(file),
            other => {
                *self = other;
                None
            }
        }
    }

    fn is_missing(&self) -> bool {
        matches!(self, Spare::Missing)
    }
}

/// Takes a spare for the next segment; `release` must follow once it has another name.
pub fn take(shared: &Shared) -> Next {
    let mut spares = lock(shared);
    if let Some(file) = spares.prepared.take() {
        return Next::Spare { name: PREPARED, file };
    }
    if shared.stats.state() != LogState::Full {
        return Next::Wait;
    }
    if let Some(file) = spares.reserve.take() {
        return Next::Spare { name: RESERVE, file };
    }
    shared.exhausted.store(true, Ordering::Release);
    Next::Nothing
}

pub fn release(shared: &Shared, name: &str) {
    let mut spares = lock(shared);
    let spare = if name == PREPARED { &mut spares.prepared } else { &mut spares.reserve };
    *spare = Spare::Missing;
    drop(spares);
    shared.wake_helper();
}

/// Files of so many bytes were removed.
pub fn give_back(shared: &Shared, bytes: u64) {
    let mut spares = lock(shared);
    spares.disk_bytes = spares.disk_bytes.saturating_sub(bytes);
    drop(spares);
    shared.wake_helper();
}

/// What a step of the [`Preparer`] came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Prepared {
    Nothing,
    One,
    NoSpace,
    Done,
}

/// Makes spares as they are used.
pub struct Preparer {
    shared: Arc<Shared>,
}

impl Preparer {
    pub fn new(shared: Arc<Shared>) -> Preparer {
        Preparer { shared }
    }

    /// Runs until the log stops.
    pub fn run(mut self) {
        let _guard = PanicGuard(self.shared.intake.clone(), "the thread that prepares segments panicked");
        loop {
            match self.step() {
                Prepared::One => {}
                Prepared::Nothing => thread::park(),
                Prepared::NoSpace => thread::park_timeout(RETRY),
                Prepared::Done => return,
            }
        }
    }

    /// Makes one spare if one is missing.
    pub fn step(&mut self) -> Prepared {
        let shared = &*self.shared;
        if shared.stop() == Stop::Now || shared.failure().is_some() {
            return Prepared::Done;
        }
        let name = {
            let spares = lock(shared);
            match (&spares.prepared, &spares.reserve) {
                (Spare::Missing, _) => PREPARED,
                (Spare::Ready(_), Spare::Missing) => RESERVE,
                _ => return Prepared::Nothing,
            }
        };
        let bytes = shared.config.segment_bytes;
        let storage = &*shared.index.storage;
        let made =
            room_for(shared, bytes).and_then(|()| make_blank(storage, name, bytes, &|| shared.stop() != Stop::Now));
        match made {
            Ok(Some(file)) => {
                let mut spares = lock(shared);
                spares.disk_bytes += bytes;
                if name == RESERVE {
                    spares.reserve = Spare::Ready(file);
                } else {
                    spares.prepared = Spare::Ready(file);
                    shared.exhausted.store(false, Ordering::Release);
                    shared.stats.set_state(LogState::Open);
                }
                drop(spares);
                shared.wake_writer();
                Prepared::One
            }
            Ok(None) => Prepared::Done,
            Err(e) if is_no_space(&e) => {
                let spares = lock(shared);
                if spares.prepared.is_missing() {
                    shared.stats.set_state(LogState::Full);
                    shared.wake_writer();
                }
                Prepared::NoSpace
            }
            Err(e) => {
                shared.fail(&format!("cannot prepare {}: {e}", storage.locate(name)));
                Prepared::Done
            }
        }
    }
}

/// Asks before anything is written: trying each second on a full disk would take the last bytes from everyone else.
fn room_for(shared: &Shared, bytes: u64) -> io::Result<()> {
    let used = lock(shared).disk_bytes;
    let allowed = shared.config.max_bytes.is_none_or(|max| used.saturating_add(bytes) <= max);
    if allowed && shared.index.storage.free_bytes()? >= bytes {
        return Ok(());
    }
    Err(io::ErrorKind::StorageFull.into())
}

pub fn is_no_space(e: &io::Error) -> bool {
    matches!(e.kind(), io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded)
}

/// Makes a durable file of `bytes` zeros; `None` when `go_on` said no before it was complete.
pub fn make_blank(
    storage: &dyn Storage,
    name: &str,
    bytes: u64,
    go_on: &dyn Fn() -> bool,
) -> io::Result<Option<Arc<dyn DiskFile>>> {
    let unfinished = format!("{name}{UNFINISHED}");
    let file = storage.create(&unfinished)?;
    match fill(&*file, 0, bytes, go_on) {
        Ok(true) => {
            storage.rename(&unfinished, name)?;
            storage.sync_dir()?;
            Ok(Some(file))
        }
        Ok(false) => Ok(None),
        Err(e) => {
            // What it took must be free again for others; if it cannot be removed, the next attempt empties it.
            let _ = storage.remove(&unfinished);
            Err(e)
        }
    }
}

/// Writes zeros over `from..to` and syncs them.
fn fill(file: &dyn DiskFile, from: u64, to: u64, go_on: &dyn Fn() -> bool) -> io::Result<bool> {
    let zeros = vec![0; FILL_STEP];
    let mut at = from;
    while at < to {
        if !go_on() {
            return Ok(false);
        }
        let step = (to - at).min(FILL_STEP as u64) as usize;
        file.write_at(&zeros[..step], at)?;
        file.sync_data()?;
        at += step as u64;
    }
    Ok(true)
}

/// A spare that can be used, and where it was not blank.
pub type Adopted = (Arc<dyn DiskFile>, Option<u64>);

/// A spare left by an earlier run, if it can be used: of the right length, and zeros but for its header's place,
/// where a crash may have left a header. What else is not zero becomes zero again in place, which needs no space.
pub fn adopt(storage: &dyn Storage, name: &str, bytes: u64) -> io::Result<Option<Adopted>> {
    let file = storage.open(name)?;
    if file.len()? != bytes {
        return Ok(None);
    }
    let mut block = vec![0; FILL_STEP];
    let mut damaged_at = None;
    let mut at = SEGMENT_HEADER as u64;
    while at < bytes {
        let step = (bytes - at).min(FILL_STEP as u64);
        let part = &mut block[..step as usize];
        file.read_at(part, at)?;
        if let Some(i) = first_nonzero(part) {
            damaged_at = damaged_at.or(Some(at + i as u64));
            fill(&*file, at, at + step, &|| true)?;
        }
        at += step;
    }
    Ok(Some((file, damaged_at)))
}
