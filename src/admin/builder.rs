//! The builder: one thread that does what takes long and can wait, whenever a processor has nothing else to do.

use std::io;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::time::{Duration, Instant};

use tokio::sync::oneshot;

use crate::bidding::Catalog;
use crate::bidding::catalog::Merged;

/// Between two looks at catalogs that are still read. An idle worker keeps the one it read last.
const LOOK_INTERVAL: Duration = Duration::from_secs(1);

enum Job {
    Merge(Arc<Catalog>, oneshot::Sender<(Merged, Duration)>),
    Free(Vec<Arc<Catalog>>),
}

/// Ends when this is dropped.
pub struct Builder {
    jobs: Sender<Job>,
}

impl Builder {
    pub fn start() -> io::Result<Builder> {
        let (jobs, todo) = channel();
        std::thread::Builder::new().name("builder".into()).spawn(move || run(&todo))?;
        Ok(Builder { jobs })
    }

    /// What the catalog was merged into, and how long that took. An error when the builder has panicked.
    pub fn merge(&self, catalog: Arc<Catalog>) -> oneshot::Receiver<(Merged, Duration)> {
        let (merged, done) = oneshot::channel();
        // Of a builder that is gone, the receiver hears.
        drop(self.jobs.send(Job::Merge(catalog, merged)));
        done
    }

    /// Frees catalogs as soon as nobody reads them any more: with the last reader, that would be on a serving thread.
    pub fn free(&self, catalogs: Vec<Arc<Catalog>>) {
        drop(self.jobs.send(Job::Free(catalogs)));
    }
}

fn run(todo: &Receiver<Job>) {
    lowest_priority();
    let mut retired: Vec<Arc<Catalog>> = Vec::new();
    loop {
        let job = if retired.is_empty() {
            todo.recv().map_err(|_| RecvTimeoutError::Disconnected)
        } else {
            todo.recv_timeout(LOOK_INTERVAL)
        };
        match job {
            Ok(Job::Merge(catalog, merged)) => {
                let started = Instant::now();
                let base = catalog.merged();
                // Whoever asked may have ended.
                drop(merged.send((base, started.elapsed())));
            }
            Ok(Job::Free(catalogs)) => retired.extend(catalogs),
            Err(RecvTimeoutError::Timeout) => {}
            Err(RecvTimeoutError::Disconnected) => return,
        }
        retired.retain(|catalog| Arc::strong_count(catalog) > 1);
    }
}

/// Whoever serves comes first, at once: with a nice value alone this thread would finish its slice of milliseconds.
#[cfg(target_os = "linux")]
fn lowest_priority() {
    // SAFETY: zeros are a valid value of this C structure, and the only one this policy takes.
    let none: libc::sched_param = unsafe { std::mem::zeroed() };
    // SAFETY: the structure outlives the call, which only reads it. 0 is the calling thread.
    if unsafe { libc::sched_setscheduler(0, libc::SCHED_IDLE, &none) } != 0 {
        let error = io::Error::last_os_error();
        tracing::warn!(%error, "catalogs are built with the priority of bids");
    }
}

#[cfg(not(target_os = "linux"))]
fn lowest_priority() {}
