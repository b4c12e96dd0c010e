//! What all workers share, and what each has for itself.

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use arc_swap::{ArcSwap, Cache};
use foldhash::HashMap;
use hyper::header::{HeaderName, HeaderValue};

use super::codecs::{Codecs, Inflated};
use super::fraud::{Buffers, Fraud};
use super::record::{Recording, Sampler};
use super::repeats::Repeats;
use crate::bidding::{Catalog, ExchangeTerms, Reason, Scratch, Shared, Snapshot};
use crate::clock::{SystemClock, UnixMs, monotonic_ns};
use crate::event::Facts;
use crate::eventlog::EventLog;
use crate::ids::Epoch;
use crate::openrtb::claim::PriceScheme;
use crate::openrtb::notice::NoticeUrls;
use crate::openrtb::token::KeyRing;
use crate::scoring::{Models, Registry};
use crate::telemetry::{Metrics, WorkerStats};

/// Everything the traffic listener needs, put together by the composition root.
pub struct Traffic {
    pub catalog: Arc<ArcSwap<Catalog>>,
    pub models: Registry,
    pub shared: Arc<Shared>,
    pub exchanges: HashMap<String, Exchange>,
    /// Notices of bids older than this are expired whatever their tokens say: their reservations may be forgotten.
    pub token_lifetime_ms: i64,
    /// Of earlier starts: see [`Starts::skipped_ms`](crate::ledger::starts::Starts::skipped_ms).
    pub skipped_ms: BTreeMap<Epoch, i64>,
    pub by_number: HashMap<u32, String>,
    pub keys: KeyRing,
    pub log: Arc<dyn EventLog>,
    /// Requests are kept for replays.
    pub recording: Option<Recording>,
    pub metrics: Arc<Metrics>,
    pub clock: SystemClock,
    /// Bids are made: everything has started and shutdown has not.
    pub ready: Arc<AtomicBool>,
    pub limits: Limits,
    pub fraud: Fraud,
}

impl Traffic {
    /// What time it is for a bid: of one that an earlier start made, without what the clock has skipped since.
    pub fn now_for(&self, facts: &Facts) -> UnixMs {
        let skipped_ms = self.skipped_ms.get(&facts.reservation.epoch).copied().unwrap_or_default();
        self.clock.now().plus(-skipped_ms)
    }
}

/// One exchange as the traffic listener sees it.
pub struct Exchange {
    pub terms: ExchangeTerms,
    pub price: PriceScheme,
    pub token_lifetime_ms: i64,
    pub tmax_default_ms: i64,
    pub network_ms: i64,
    pub body_no_bid: bool,
    pub urls: NoticeUrls,
    /// What every answer to it carries besides.
    pub headers: Vec<(HeaderName, HeaderValue)>,
}

#[derive(Clone, Debug)]
pub struct Limits {
    pub max_body_bytes: usize,
    pub max_header_bytes: usize,
    pub max_connections: usize,
    pub body_timeout_ms: u64,
    pub idle_timeout_ms: u64,
    pub shutdown_grace_ms: u64,
    pub pin_workers: bool,
}

/// One worker's own state. Lives on one thread.
pub struct Worker {
    /// Number of this worker, and of its lane in the log.
    pub lane: usize,
    pub traffic: Arc<Traffic>,
    pub scratch: RefCell<Scratch>,
    catalog: RefCell<Cache<Arc<ArcSwap<Catalog>>, Arc<Catalog>>>,
    models: RefCell<Cache<Registry, Arc<Models>>>,
    /// Bytes of the last response: the next one is likely as long.
    pub response_hint: Cell<usize>,
    /// Where notice tokens are signed.
    pub token: Cell<Vec<u8>>,
    pub sampler: Sampler,
    /// Tracking events that it logged lately.
    pub repeats: RefCell<Repeats>,
    pub codecs: RefCell<Codecs>,
    /// Where encoded bodies are inflated to.
    pub inflated: Cell<Inflated>,
    /// Open connections.
    pub open: Cell<usize>,
    /// Bytes of bodies that are coming in pieces.
    pub collected_bytes: Cell<usize>,
    /// Bytes of answers that have not been handed over for sending.
    pub unsent_bytes: Cell<usize>,
    /// How long what is ready has waited for its turn lately; 0 when that is nothing to speak of.
    pub lag_ms: Cell<u32>,
    /// How late it was the last time it looked.
    pub late_ms: Cell<u32>,
    /// How long bids have taken since, where it was late.
    pub turn: Cell<Duration>,
    /// When [`lag`](super::lag) should look next.
    pub beat_due: Cell<Option<Instant>>,
    /// Buffers of fraud checks.
    pub fraud: Buffers,
}

impl Worker {
    pub fn new(lane: usize, seed: u64, traffic: Arc<Traffic>) -> Worker {
        let catalog = RefCell::new(Cache::new(traffic.catalog.clone()));
        let models = RefCell::new(Cache::new(traffic.models.clone()));
        let sampler = Sampler::new(traffic.recording.as_ref().map_or(0.0, |recording| recording.share), seed);
        let scratch = RefCell::new(Scratch::new(seed).with_timer(monotonic_ns));
        Worker {
            lane,
            traffic,
            scratch,
            catalog,
            models,
            response_hint: Cell::new(1_024),
            token: Cell::default(),
            sampler,
            repeats: RefCell::default(),
            codecs: RefCell::default(),
            inflated: Cell::default(),
            open: Cell::default(),
            collected_bytes: Cell::default(),
            unsent_bytes: Cell::default(),
            lag_ms: Cell::default(),
            late_ms: Cell::default(),
            turn: Cell::default(),
            beat_due: Cell::default(),
            fraud: Buffers::default(),
        }
    }

    pub fn stats(&self) -> &WorkerStats {
        &self.traffic.metrics.workers[self.lane]
    }

    /// The catalog and the models in force.
    pub fn snapshot(&self) -> Snapshot {
        Snapshot {
            catalog: self.catalog.borrow_mut().load().clone(),
            models: self.models.borrow_mut().load().clone(),
            shared: self.traffic.shared.clone(),
        }
    }

    pub fn is_ready(&self) -> bool {
        self.traffic.ready.load(Ordering::Relaxed)
    }

    pub fn count_no_bid(&self, reason: Reason) {
        self.stats().no_bids[reason as usize].add(1);
    }
}
