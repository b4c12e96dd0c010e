//! The recorder: writes the requests that are kept for replays, as far as their users allow.

use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError};
use std::time::Duration;

use super::{OnFailed, Running, Stop};
use crate::event::{Event, Recorded};
use crate::eventlog::EventLog;
use crate::openrtb::consent::{Cache, Privacy, Vendor};
use crate::openrtb::{parse, redact};
use crate::telemetry::metrics::Counters;

/// How soon it sees that it is to end.
const LOOK: Duration = Duration::from_millis(100);

pub struct Recorder {
    pub log: Arc<dyn EventLog>,
    /// Whom consent under GDPR must be for.
    pub vendor: Option<Vendor>,
    pub requests: Receiver<Recorded>,
    pub counters: Counters,
}

impl Recorder {
    /// Bids go on without it: its panic is told, and is no reason to end.
    pub fn start(self) -> std::io::Result<Running> {
        let on_failed: OnFailed =
            Arc::new(|why| tracing::error!("{why}: no requests are recorded until the next start"));
        Running::start("recorder", on_failed, move |stop| self.run(stop))
    }

    fn run(self, stop: &Stop) {
        let mut consents = Cache::default();
        loop {
            match self.requests.recv_timeout(LOOK) {
                Ok(recorded) => self.write(recorded, &mut consents),
                Err(RecvTimeoutError::Timeout) if stop.is_told() => return,
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => return,
            }
        }
    }

    fn write(&self, recorded: Recorded, consents: &mut Cache) {
        let outcome = match permitted(recorded, self.vendor.as_ref(), consents) {
            None => "unreadable",
            Some(recorded) => match self.log.append(0, &Event::Request(recorded)) {
                Ok(()) => "recorded",
                Err(_) => "not_logged",
            },
        };
        self.counters.requests_recorded.get_or_create(&[("outcome", outcome)]).inc();
    }
}

/// What may be kept of a request: all of it, or what is left without its user.
pub fn permitted(recorded: Recorded, vendor: Option<&Vendor>, consents: &mut Cache) -> Option<Recorded> {
    let personal = Privacy::of(&parse(recorded.body.as_bytes()).ok()?, vendor, consents).personal;
    let body = if personal { recorded.body } else { redact::without_user(&recorded.body)? };
    Some(Recorded { personal, body, ..recorded })
}
