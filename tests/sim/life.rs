//! One process: the production log, ledger and follower, put together as `app` does it, moved by hand.

use std::future::Future;
use std::pin::pin;
use std::sync::atomic::{AtomicBool, AtomicI64, Ordering};
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll, Waker};

use gavel::admin::campaigns::{CapMemory, Registry};
use gavel::bidding::{Catalog, Scratch, Shared, Snapshot};
use gavel::clock::UnixMs;
use gavel::config::Config;
use gavel::event::{Event, Stamped};
use gavel::eventlog::{
    AppendError, Durable, EventLog, Follower, LogReader, OpenError, Opened, Preparer, SegmentLog, Step, Writer,
};
use gavel::ledger::{Books, Hot};
use gavel::openrtb::token::KeyRing;
use gavel::tasks::follower::{LedgerFollower, lock};
use gavel::telemetry::metrics::Counters;
use gavel::window::impressions::ImpressionStore;

use crate::campaigns::models;
use crate::world::BITS_GRACE_MS;

/// What somebody waits for.
#[derive(Debug)]
pub enum Waits {
    Start,
    Notice {
        serial: usize,
        packet: crate::exchange::Packet,
    },
    Edit {
        edit: crate::operator::Edit,
    },
    /// `new_content`: the edit changed more than what running requests read from shared counters.
    Lease {
        at: usize,
        new_content: bool,
        events: Vec<Event>,
    },
    Return,
}

/// What the follower saw since it was last asked.
#[derive(Default)]
pub struct Seen {
    pub applied: Vec<Stamped>,
    pub ticked: UnixMs,
}

/// The production follower, watched.
struct Watched {
    inner: LedgerFollower,
    seen: Arc<Mutex<Seen>>,
}

impl Follower for Watched {
    fn apply(&mut self, stamped: &Stamped, out: &mut Vec<Event>) {
        self.inner.apply(stamped, out);
        self.seen.lock().unwrap().applied.push(stamped.clone());
    }

    fn tick(&mut self, now: UnixMs, out: &mut Vec<Event>) {
        self.inner.tick(now, out);
        self.seen.lock().unwrap().ticked = now;
    }
}

/// What a start made before its log went on.
pub struct Made {
    pub config: Config,
    pub hot: Hot,
    pub books: Books,
    pub registry: Registry,
    pub caps: Arc<CapMemory>,
    pub shared: Shared,
    pub keys: KeyRing,
}

pub struct Life {
    pub config: Config,
    pub log: SegmentLog,
    pub writer: Writer,
    pub preparer: Preparer,
    pub hot: Arc<Mutex<Hot>>,
    pub registry: Registry,
    pub caps: Arc<CapMemory>,
    pub snapshot: Snapshot,
    pub scratch: Scratch,
    pub keys: KeyRing,
    /// The reconciler's books.
    pub books: Books,
    pub reader: Option<Box<dyn LogReader>>,
    pub waiting: Vec<(Waits, Durable)>,
    pub ready: bool,
    seen: Arc<Mutex<Seen>>,
    failed: Arc<AtomicBool>,
    clock: Arc<AtomicI64>,
    /// This process's clock less the world's.
    pub ahead_ms: i64,
}

impl Life {
    /// `clock` is the world's time, and how far this process's is ahead of it.
    pub fn start(opened: Opened, made: Made, seed: u64, clock: (i64, i64)) -> Result<Life, OpenError> {
        let (now, ahead_ms) = clock;
        let Made { config, hot, books, registry, caps, shared, keys } = made;
        let hot = Arc::new(Mutex::new(hot));
        let (seen, failed) = (Arc::new(Mutex::new(Seen::default())), Arc::new(AtomicBool::new(false)));
        let follower = LedgerFollower {
            hot: hot.clone(),
            impressions: shared.impressions.clone(),
            caps: caps.clone(),
            counters: Counters::default(),
            token_lifetime_ms: config.token_lifetime_ms() + BITS_GRACE_MS,
            forget_at: UnixMs(0),
            fraud: None,
        };
        let clock = Arc::new(AtomicI64::new(now + ahead_ms));
        let (read, fail) = (clock.clone(), failed.clone());
        let (log, writer, preparer) = opened.start_stepped(
            Box::new(move || UnixMs(read.load(Ordering::Relaxed))),
            Box::new(Watched { inner: follower, seen: seen.clone() }),
            Box::new(move |_| fail.store(true, Ordering::Relaxed)),
        )?;
        let snapshot = Snapshot { catalog: Arc::default(), models: models(), shared: Arc::new(shared) };
        let mut life = Life {
            config,
            log,
            writer,
            preparer,
            hot,
            registry,
            caps,
            snapshot,
            scratch: Scratch::new(seed),
            keys,
            books,
            reader: None,
            waiting: Vec::new(),
            ready: false,
            seen,
            failed,
            clock,
            ahead_ms,
        };
        life.build_catalog();
        Ok(life)
    }

    pub fn build_catalog(&mut self) {
        let present: Vec<_> = self.registry.present.values().map(|p| (p.compiled.clone(), p.live.clone())).collect();
        self.snapshot.catalog = Arc::new(Catalog::build(1, &present, |currency| self.config.rates.get(currency)));
    }

    pub fn impressions(&self) -> &ImpressionStore {
        &self.snapshot.shared.impressions
    }

    pub fn now(&self) -> UnixMs {
        UnixMs(self.clock.load(Ordering::Relaxed))
    }

    pub fn set_clock(&self, world_now: i64) {
        self.clock.store(world_now + self.ahead_ms, Ordering::Relaxed);
    }

    pub fn has_failed(&self) -> bool {
        self.failed.load(Ordering::Relaxed)
    }

    pub fn seen(&self) -> Seen {
        let mut seen = self.seen.lock().unwrap();
        Seen { applied: std::mem::take(&mut seen.applied), ticked: seen.ticked }
    }

    pub fn append_durable(&mut self, what: Waits, events: &[Event]) {
        let durable = self.log.append_durable(0, events);
        self.waiting.push((what, durable));
    }

    /// Everything that was answered by now.
    pub fn answered(&mut self) -> Vec<(Waits, Result<(), AppendError>)> {
        let (mut answered, mut waiting) = (Vec::new(), Vec::new());
        for (what, mut durable) in self.waiting.drain(..) {
            match pin!(&mut durable).poll(&mut Context::from_waker(Waker::noop())) {
                Poll::Ready(result) => answered.push((what, result)),
                Poll::Pending => waiting.push((what, durable)),
            }
        }
        self.waiting = waiting;
        answered
    }

    pub fn with_hot<T>(&self, f: impl FnOnce(&mut Hot) -> T) -> T {
        f(&mut lock(&self.hot))
    }

    pub fn write(&mut self) -> Step {
        self.writer.step()
    }
}
