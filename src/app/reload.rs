//! Files that are read again while gavel serves: what they hold then is in force at once, or told to be no good, and what was
//! in force stays.

use std::fs;
use std::path::PathBuf;
use std::sync::{Mutex, PoisonError};
use std::time::SystemTime;

/// What tells that files are others than before; none where one cannot be read.
type Stamp = Option<Vec<(SystemTime, u64)>>;

struct Looked {
    /// Of the files that were read last, whatever came of it.
    read: Stamp,
    /// At the last look.
    seen: Stamp,
}

/// Files, and what reads them and puts what they hold in force.
pub struct Reloaded {
    what: &'static str,
    files: Vec<PathBuf>,
    read: Box<dyn Fn() -> Result<(), String> + Send + Sync>,
    looked: Mutex<Looked>,
}

impl Reloaded {
    /// Of files that were read just now.
    pub fn new(
        what: &'static str,
        files: Vec<PathBuf>,
        read: impl Fn() -> Result<(), String> + Send + Sync + 'static,
    ) -> Reloaded {
        let stamp = stamp(&files);
        let looked = Mutex::new(Looked { read: stamp.clone(), seen: stamp });
        Reloaded { what, files, read: Box::new(read), looked }
    }

    /// Reads the files again, whether or not they have changed.
    pub fn reload(&self) {
        let now = stamp(&self.files);
        *self.looked.lock().unwrap_or_else(PoisonError::into_inner) = Looked { read: now.clone(), seen: now };
        match (self.read)() {
            Ok(()) => tracing::info!("{} read again", self.what),
            Err(error) => tracing::error!(%error, "{} read again and no good: what was in force stays", self.what),
        }
    }

    /// Reads the files again if they have changed, and not since the last look: several are seldom replaced at once.
    pub fn look(&self) {
        let now = stamp(&self.files);
        let changed = {
            let mut looked = self.looked.lock().unwrap_or_else(PoisonError::into_inner);
            let quiet = looked.seen == now;
            let changed = quiet && now.is_some() && now != looked.read;
            looked.seen = now;
            changed
        };
        if changed {
            self.reload();
        }
    }
}

fn stamp(files: &[PathBuf]) -> Stamp {
    let of = |path: &PathBuf| {
        let metadata = fs::metadata(path).ok()?;
        Some((metadata.modified().ok()?, metadata.len()))
    };
    files.iter().map(of).collect()
}
