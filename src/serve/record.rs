//! Which bid requests are kept for replays, and handing them over: the worker copies, somebody else writes.

use std::cell::{Cell, RefCell};
use std::sync::mpsc::{SyncSender, TrySendError};

use fastrand::Rng;

use super::traffic::{Exchange, Worker};
use crate::bidding::BidDecision;
use crate::clock::UnixMs;
use crate::event::Recorded;
use crate::openrtb::request::BidRequest;

/// Larger bodies are not kept. With [`QUEUE`] this bounds what waits.
const MAX_BODY_BYTES: usize = 64 << 10;
/// Requests that may wait to be written, of all workers together.
pub const QUEUE: usize = 256;

/// What is recorded, and where it goes.
pub struct Recording {
    /// Of all requests that are decided on.
    pub share: f64,
    pub to: SyncSender<Recorded>,
}

/// A worker's turn. Gaps are drawn, so that no pattern in the traffic is missed; the first is the mean one.
pub struct Sampler {
    mean: f64,
    next: Cell<f64>,
    seen: Cell<u64>,
    rng: RefCell<Rng>,
}

impl Sampler {
    pub fn new(share: f64, seed: u64) -> Sampler {
        let mean = 1.0 / share;
        Sampler { mean, next: Cell::new(mean), seen: Cell::new(0), rng: RefCell::new(Rng::with_seed(seed)) }
    }

    /// Whether this request is kept.
    fn takes(&self) -> bool {
        self.seen.set(self.seen.get() + 1);
        // Not so for an infinite gap.
        let takes = self.seen.get() as f64 >= self.next.get();
        if takes {
            let gap = 1.0 + 2.0 * (self.mean - 1.0) * self.rng.borrow_mut().f64();
            self.next.set(self.next.get() + gap);
        }
        takes
    }
}

/// Keeps one request of so many, with the bids that it got.
pub fn note(
    worker: &Worker,
    exchange: &Exchange,
    request: &BidRequest,
    body: &[u8],
    at: UnixMs,
    decision: &BidDecision,
) {
    if let Some(recording) = &worker.traffic.recording
        && worker.sampler.takes()
        && !request.test
    {
        keep(worker, recording, exchange, body, at, decision);
    }
}

#[cold]
fn keep(
    worker: &Worker,
    recording: &Recording,
    exchange: &Exchange,
    body: &[u8],
    decided_at: UnixMs,
    decision: &BidDecision,
) {
    let kept = &worker.traffic.metrics.counters.requests_recorded;
    let lost = |why| {
        kept.get_or_create(&[("outcome", why)]).inc();
    };
    if body.len() > MAX_BODY_BYTES {
        return lost("too_large");
    }
    let Ok(body) = std::str::from_utf8(body) else { return lost("too_large") };
    let bids = decision.bids.iter().map(|bid| (bid.imp as u16, bid.facts.reservation)).collect();
    // What may be kept of it is looked at there.
    let recorded =
        Recorded { personal: true, exchange: exchange.terms.number, decided_at, body: body.to_owned(), bids };
    if let Err(TrySendError::Full(_)) = recording.to.try_send(recorded) {
        lost("busy");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_share_is_met_and_the_first_does_not_come_early() {
        for share in [1.0, 0.4, 0.01] {
            let sampler = Sampler::new(share, 7);
            let taken: Vec<usize> = (1..=100_000).filter(|_| sampler.takes()).collect();
            let expected = share * 1e5;
            assert!((taken.len() as f64 - expected).abs() < expected * 0.05 + 1.0, "{share}: {}", taken.len());
            assert_eq!(taken[0], (1.0 / share).ceil() as usize);
        }
        let never = Sampler::new(0.0, 7);
        assert!((0..1_000).all(|_| !never.takes()));
    }
}
