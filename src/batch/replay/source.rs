//! Where a replay reads events from: the log, or what was exported of it.

use crate::batch::archive::Archive;
use crate::event::{Offset, Stamped};
use crate::eventlog::ReadOnlyLog;

/// How often progress is told.
const TOLD_EVERY: u64 = 100_000;

pub enum Source {
    Log(ReadOnlyLog),
    Archive(Archive),
}

impl Source {
    /// One past the last event.
    pub fn end(&self) -> Offset {
        match self {
            Source::Log(log) => log.end(),
            Source::Archive(archive) => archive.end(),
        }
    }

    /// Gives every event, in order. `progress` gets the events read and the events in all.
    pub fn each(&self, each: &mut dyn FnMut(&Stamped), progress: &mut dyn FnMut(u64, u64)) -> Result<(), String> {
        let log = match self {
            Source::Archive(archive) => {
                return archive.events(&mut |stamped| each(&stamped), progress).map_err(|e| e.to_string());
            }
            Source::Log(log) => log,
        };
        let end = log.end();
        let mut reader = log.read(Offset(0)).map_err(|e| e.to_string())?;
        while let Some(stamped) = reader.next_event().map_err(|e| e.to_string())? {
            if stamped.offset >= end {
                break;
            }
            each(&stamped);
            if stamped.offset.0.is_multiple_of(TOLD_EVERY) {
                progress(stamped.offset.0, end.0);
            }
        }
        Ok(())
    }
}
