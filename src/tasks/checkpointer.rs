//! Makes checkpoints of fraud checks while gavel runs: how much a start has to read does not depend on when the last stop was, and
//! the log can let go of what windows of months have counted.
//!
//! As a start does, it puts the last checkpoint back, folds what the log has beyond it, and writes what that comes to; then it
//! lets go of all of it. So it is exact, has nothing in common with those who serve, and takes as much memory again as windows
//! and checks do, for as long as it lasts.

#[cfg(test)]
mod tests;

use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::{Duration, Instant};

use super::checkpoint::{Found, recall, write};
use super::{OnFailed, Running, Stop};
use crate::event::{Event, Offset};
use crate::eventlog::{EventLog, Storage};
use crate::fraud::checkpoint::Moment;
use crate::fraud::engine::{Engine, Following};
use crate::telemetry::metrics::Gauges;

/// Events beyond the last checkpoint at which it is time for the next, and how long one waits for as many: what a start reads back.
const EVENTS: u64 = 10_000_000;
const INTERVAL: Duration = Duration::from_secs(3_600);
/// Between two of them, however many events come.
const PAUSE: Duration = Duration::from_secs(300);
const LOOK_INTERVAL: Duration = Duration::from_secs(10);
/// Events folded between two looks at whether it is to end.
const LOOK_EVENTS: u64 = 1_000;

pub struct Checkpointer {
    pub log: Arc<dyn EventLog>,
    /// The data directory.
    pub storage: Arc<dyn Storage>,
    /// An engine of the config's windows and bounds that knows no check.
    pub empty: Box<dyn Fn() -> Result<Engine, String> + Send>,
    pub gauges: Arc<Gauges>,
}

/// A checkpoint that was written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Written {
    /// Where the log goes on.
    pub next: Offset,
    pub bytes: u64,
}

impl Checkpointer {
    pub fn start(self, on_failed: OnFailed) -> std::io::Result<Running> {
        Running::start("checkpointer", on_failed, move |stop| self.run(stop))
    }

    fn run(self, stop: &Stop) {
        // Behind those who serve. Where that is not possible it competes with them; nothing depends on it.
        let _best_effort = rustix::process::setpriority_process(None, 19);
        let mut tried_at = Instant::now();
        while !stop.is_told() {
            let behind = self.log.durable_end().0.saturating_sub(self.gauges.fraud_checkpoint.load(Relaxed));
            if is_due(behind, tried_at.elapsed()) {
                match self.advance(&|| stop.is_told()) {
                    Ok(Some(Written { next, bytes })) => {
                        let seconds = tried_at.elapsed().as_secs();
                        tracing::info!(next = next.0, bytes, seconds, "a checkpoint of fraud checks was written");
                    }
                    Ok(None) => {}
                    Err(error) => {
                        tracing::warn!(%error, "no new checkpoint of fraud checks: a start reads those since the last");
                    }
                }
                tried_at = Instant::now();
            }
            stop.wait(LOOK_INTERVAL);
        }
    }

    /// Writes a checkpoint of what is durable by now. None where it was told to end before that, or there is nothing.
    pub fn advance(&self, is_to_end: &dyn Fn() -> bool) -> Result<Option<Written>, String> {
        let read = |from| self.log.read_apart(from);
        let (engine, found) = recall(&*self.storage, &*self.empty, &read)?;
        let mut next = if let Found::UpTo(next) = found { next } else { Offset(0) };
        let mut reader = read(next).map_err(|e| e.to_string())?;
        let (mut following, mut last_at) = (Following::default(), None);
        while let Some(stamped) = reader.next_event().map_err(|e| e.to_string())? {
            if let Event::Fraud(event) = &stamped.event {
                engine.fold(event, stamped.offset.0, stamped.at, &mut following);
            }
            (next, last_at) = (Offset(stamped.offset.0 + 1), Some(stamped.at));
            if next.0.is_multiple_of(LOOK_EVENTS) && is_to_end() {
                return Ok(None);
            }
        }
        let Some(last_at) = last_at.filter(|_| !is_to_end()) else { return Ok(None) };
        let bytes = write(&*self.storage, &engine, Moment { next: next.0, last_at }).map_err(|e| e.to_string())?;
        let written = bytes.map(|bytes| Written { next, bytes });
        if written.is_some() {
            self.gauges.fraud_checkpoint.store(next.0, Relaxed);
        }
        Ok(written)
    }
}

fn is_due(behind: u64, waited: Duration) -> bool {
    behind >= EVENTS && waited >= PAUSE || behind > 0 && waited >= INTERVAL
}
