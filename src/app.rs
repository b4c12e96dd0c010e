//! The composition root: the only file that knows everybody. Start order, and shutdown in reverse.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, mpsc};
use std::time::{Duration, Instant};

use tokio::sync::Semaphore;

use crate::admin::campaigns::{CapMemory, Registry};
use crate::admin::catalogs::Catalogs;
use crate::admin::fraud::FraudEdits;
use crate::admin::listener::Listener;
use crate::admin::models::ModelApi;
use crate::admin::{Admin, Campaigns, catalog_files, supply_files};
use crate::bidding::{Catalog, ExchangeTerms, Shared, key};
use crate::bookstore::{BookStore, SqliteBooks};
use crate::clock::{SystemClock, UnixMs};
use crate::config::{self, Config};
use crate::event::{Event, Offset};
use crate::eventlog::{AppendError, DirStorage, EventLog, LogConfig, Opened, SegmentLog};
use crate::fraud::engine::{Edits, Engine, Following};
use crate::fraud::policy::{Lists, first_lists};
use crate::fraud::store::Bounds;
use crate::fraud::{self, Policy, Velocity};
use crate::ledger::bucket::{Grids, Lifetimes};
use crate::ledger::reservation::{Bits, step};
use crate::ledger::sequence::Sequencer;
use crate::ledger::{Books, Hot, fold_on};
use crate::modelstore::ModelStore;
use crate::openrtb::notice::NoticeUrls;
use crate::scoring::Sources;
use crate::serve::fraud::Access;
use crate::serve::tls::Certificate;
use crate::serve::traffic::Limits;
use crate::serve::{self, Traffic, Workers};
use crate::tasks::follower::{LedgerFollower, lock, note_impression};
use crate::tasks::pacer::Pacer;
use crate::tasks::reconciler::Reconciler;
use crate::tasks::{OnFailed, Running, model_watcher};
use crate::telemetry::Metrics;
use crate::window::impressions::ImpressionStore;

/// Why gavel did not start, or had to stop.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct AppError(String);

fn because<E: std::fmt::Display>(what: &'static str) -> impl Fn(E) -> AppError {
    move |error| AppError(format!("{what}: {error}"))
}

/// A running gavel.
pub struct App {
    pub traffic: SocketAddr,
    pub admin: SocketAddr,
    /// Of the traffic listener, when it speaks TLS.
    pub certificate: Option<Certificate>,
    ready: Arc<AtomicBool>,
    workers: Workers,
    admin_listener: Listener,
    reconciler: Running,
    pacer: Running,
    model_watcher: Running,
    log: Arc<dyn EventLog>,
    hot: Arc<Mutex<Hot>>,
    metrics: Arc<Metrics>,
    failed: mpsc::Receiver<String>,
}

/// How long a start waits for the first leases: bids made before them would only find no budget.
const FIRST_LEASES: Duration = Duration::from_secs(5);
/// Answers of fraud checks that are kept besides the log.
const MAX_ANSWER_BYTES: usize = 64 << 20;
/// Events folded at a start before the books are saved: what a start that is broken off need not fold again.
const SAVE_EVENTS: u64 = 1_000_000;
/// Reservation bits outlive their tokens by this: a notice that came in time may wait for a slow disk.
const BITS_GRACE_MS: i64 = 600_000;

/// The model of the fraud path; all others predict clicks.
const FRAUD_MODEL: &str = "fraud";

impl App {
    /// Starts everything and returns when bids are made.
    pub fn start(config: Config) -> Result<App, AppError> {
        let config = Arc::new(config);
        // Sockets first: a port that is taken is found out before the data directory is touched.
        let lanes = config.limits.workers;
        let listeners = serve::listener::bind_shared(config.listen, lanes)
            .map_err(|e| AppError(format!("cannot listen on {} for traffic: {e}", config.listen)))?;
        let admin_socket = serve::listener::bind_one(config.admin_listen)
            .map_err(|e| AppError(format!("cannot listen on {} for admin: {e}", config.admin_listen)))?;
        let traffic_address = listeners[0].local_addr().map_err(because("traffic listener"))?;
        let admin_address = admin_socket.local_addr().map_err(because("admin listener"))?;
        let certificate = config.tls.as_ref().map(Certificate::load).transpose().map_err(AppError)?;
        let acceptor = certificate.as_ref().map(Certificate::acceptor).transpose().map_err(because("TLS"))?;
        let files = catalog_files::load(&config).map_err(|faults| {
            let lines: Vec<String> = faults.iter().map(|f| format!("  {f}")).collect();
            AppError(format!("the catalog has faults:\n{}", lines.join("\n")))
        })?;

        let supply = supply_files::load(&config).map_err(|faults| {
            let lines: Vec<String> = faults.iter().map(|f| format!("  {f}")).collect();
            AppError(format!("the supply files have faults:\n{}", lines.join("\n")))
        })?;

        std::fs::create_dir_all(&config.data_dir)
            .map_err(|e| AppError(format!("cannot make the data directory {}: {e}", config.data_dir.display())))?;
        let opened = open_log(&config)?;
        let clock = go_on_from(SystemClock::start(), opened.last_at().unwrap_or_default());
        let keys = config.data_dir.join("notice-keys");
        if opened.durable_end() == Offset(0) {
            serve::keys::set_aside(&keys).map_err(because("notice keys"))?;
        }
        let keys = serve::keys::open(&keys, clock.now()).map_err(because("notice keys"))?;
        let mut store = SqliteBooks::open(&config.data_dir.join("books.sqlite")).map_err(because("books"))?;
        let books = catch_up(&mut store, &opened)?;

        let in_force = books.models.clone();
        let mut metrics = Metrics::new(lanes);
        let impressions = Arc::new(ImpressionStore::new(config.caps.max_bytes));
        let lifetimes: Vec<Lifetimes> = config.exchanges.iter().map(|e| e.lifetimes).collect();
        let grids = Arc::new(Grids::new(&lifetimes));
        let mut hot = Hot::new(books.clone(), config.node, grids.clone(), config.promise());
        let epoch = hot.epoch();
        let (registry, mut events) = Registry::start(&config, &books, files, &mut hot, clock.now());
        events.insert(0, hot.started());
        let caps: Arc<CapMemory> = Arc::default();
        for present in registry.present.values() {
            if let Some(memory) = present.compiled.campaign.cap_memory() {
                caps.insert(present.compiled.no, memory);
            }
        }
        remember_impressions(&opened, &impressions, &caps, clock.now(), config.token_lifetime_ms())?;

        let fraud = Arc::new(fraud_engine(&config, &opened, clock.now())?);
        events.push(Event::Fraud(fraud.windows_event()));
        let hot = Arc::new(Mutex::new(hot));
        let (fail, failed) = mpsc::channel();
        let ready = Arc::new(AtomicBool::new(false));
        let on_failed: OnFailed = {
            let ready = ready.clone();
            Arc::new(move |reason: &str| {
                ready.store(false, Ordering::Relaxed);
                // Nobody listens any more once a shutdown has begun.
                drop(fail.send(reason.to_owned()));
            })
        };
        let gauges = metrics.gauges.clone();
        let (log, metrics) = {
            // The follower needs the metrics, and the metrics the log.
            let counters = metrics.counters.clone();
            let follower = LedgerFollower {
                hot: hot.clone(),
                impressions: impressions.clone(),
                caps: caps.clone(),
                counters,
                token_lifetime_ms: config.token_lifetime_ms() + BITS_GRACE_MS,
                forget_at: UnixMs(0),
                fraud: Some((fraud.clone(), Following::default())),
            };
            let on_failed = on_failed.clone();
            let log_failed = move |why: &str| {
                on_failed(&format!("the log has failed and nothing can be answered safely: {why}"));
            };
            let log = opened.start(Box::new(move || clock.now()), Box::new(follower), Box::new(log_failed));
            let log: Arc<dyn EventLog> = Arc::new(log.map_err(because("log"))?);
            metrics.watch(log.clone(), impressions.clone(), clock);
            metrics.watch_fraud(fraud.clone());
            (log, Arc::new(metrics))
        };
        for chunk in events.chunks(1_000) {
            log.append_durable(0, chunk).wait().map_err(not_begun)?;
        }
        let reconciler = Reconciler {
            log: log.clone(),
            store: Box::new(store),
            books: Arc::new(Mutex::new(books)),
            hot: hot.clone(),
            gauges,
            changed: Default::default(),
        };
        let books = reconciler.books.clone();
        let reconciler = reconciler.start(on_failed.clone()).map_err(because("reconciler"))?;

        let started = Instant::now();
        let present: Vec<_> = registry.present.values().map(|p| (p.compiled.clone(), p.live.clone())).collect();
        let catalog = Catalog::build(1, &present, |currency| config.rates.get(currency));
        let merge_above = config.limits.recent_campaigns;
        let catalogs = Catalogs::start(catalog, started.elapsed(), merge_above, metrics.gauges.clone())
            .map_err(because("catalog builder"))?;
        let catalogs = Arc::new(catalogs);
        let catalog = catalogs.in_force();
        let campaigns = Arc::new(Campaigns::new(
            config.clone(),
            catalogs,
            hot.clone(),
            log.clone(),
            caps,
            metrics.clone(),
            clock,
            0,
            registry,
        ));
        let pacer = Pacer {
            catalog: catalog.clone(),
            hot: hot.clone(),
            log: log.clone(),
            clock,
            workers: metrics.workers.clone(),
            gauges: metrics.gauges.clone(),
        };
        let models = ModelStore::start(config.models.clone(), Box::new(sources), &in_force, log.clone(), 0)
            .and_then(|store| if config.catalog.is_none() { store.install_demo().map(|()| store) } else { Ok(store) })
            .map_err(because("models"))?;
        let models = Arc::new(models);
        let shared = Arc::new(Shared {
            rates: config.rates.all().clone(),
            grids,
            sequencer: Sequencer::new(config.node, epoch),
            impressions,
            users: key::UserKey::new(&keys.users),
            bid_for_unknown: config.caps.bid_for_unknown,
            supply,
            vendor: config.vendor,
        });
        let traffic = Arc::new(Traffic {
            catalog,
            models: models.registry().clone(),
            shared,
            exchanges: config.exchanges.iter().map(|e| (e.name.clone(), exchange(e, &config.public_url))).collect(),
            token_lifetime_ms: config.token_lifetime_ms(),
            skipped_ms: lock(&hot).books().starts.skipped_ms(),
            by_number: config.exchanges.iter().map(|e| (e.number, e.name.clone())).collect(),
            keys: keys.ring,
            log: log.clone(),
            metrics: metrics.clone(),
            clock,
            ready: ready.clone(),
            limits: limits(&config),
            fraud: serve::fraud::Fraud {
                engine: fraud.clone(),
                model: FRAUD_MODEL,
                access: Access::new(&config.fraud, traffic_address.ip().is_loopback()),
                max_age_ms: config.fraud.max_age_ms,
                max_future_ms: config.fraud.max_future_ms,
                strict: config.fraud.strict,
                synced: config.fraud.synced,
                reading: Arc::new(Semaphore::new(serve::fraud::READERS)),
            },
        });
        let seed = u64::from(epoch.0) << 32 | clock.now().0 as u64 & 0xffff_ffff;
        let workers = Workers::start(traffic, listeners, acceptor, seed).map_err(because("traffic listener"))?;
        let fraud = FraudEdits { engine: fraud, log: log.clone(), lane: 0, editing: tokio::sync::Mutex::default() };
        let (fraud, token) = (Arc::new(fraud), config.admin_token.clone());
        let api = ModelApi::new(models.clone(), metrics.clone());
        let admin = Arc::new(Admin { campaigns, models: api, books, ready: ready.clone(), fraud, token });
        let admin_listener = Listener::start(admin, admin_socket).map_err(because("admin listener"))?;

        let waited = Instant::now();
        while lock(&hot).unleased() > 0 && waited.elapsed() < FIRST_LEASES {
            std::thread::sleep(Duration::from_millis(1));
        }
        // Not before the first leases: without one a plan would be anchored again and again.
        let pacer = pacer.start(on_failed).map_err(because("pacer"))?;
        let model_watcher = model_watcher::start(models, metrics.gauges.clone()).map_err(because("model watcher"))?;
        ready.store(true, Ordering::Relaxed);
        metrics.gauges.ready.store(1, Ordering::Relaxed);
        Ok(App {
            traffic: traffic_address,
            admin: admin_address,
            certificate,
            ready,
            workers,
            admin_listener,
            reconciler,
            pacer,
            model_watcher,
            log,
            hot,
            metrics,
            failed,
        })
    }

    /// What failed that gavel cannot do without, if something has: the log, or a task. Recovery from disk is the way on.
    pub fn failure(&self) -> Option<String> {
        self.failed.try_recv().ok()
    }

    /// Not ready, drain, return leases, flush the log, write the books.
    pub fn stop(self) -> Result<(), AppError> {
        self.ready.store(false, Ordering::Relaxed);
        self.metrics.gauges.ready.store(0, Ordering::Relaxed);
        self.workers.stop();
        self.pacer.stop();
        self.model_watcher.stop();
        let mut events = Vec::new();
        lock(&self.hot).return_all(&mut events);
        let returned = events.chunks(1_000).try_for_each(|chunk| self.log.append_durable(0, chunk).wait());
        if let Err(error) = returned {
            // Not lost: what is not returned now is withheld at the next start and then comes back.
            tracing::warn!(%error, "leases could not be returned");
        }
        let closed = self.log.close().map_err(because("log"));
        self.reconciler.stop();
        self.admin_listener.stop();
        closed
    }
}

/// Opens the log and checks every byte of it; says how far it is when that takes long.
fn open_log(config: &Config) -> Result<Opened, AppError> {
    let dir = config.data_dir.join("log");
    let storage = DirStorage::new(&dir).map_err(because("log directory"))?;
    let log = LogConfig {
        lanes: config.limits.workers,
        lane_bytes: config.log.lane_bytes,
        segment_bytes: config.log.segment_bytes,
        max_bytes: (config.log.max_bytes > 0).then_some(config.log.max_bytes),
    };
    let mut progress = Progress::new("checking the log");
    let opened = SegmentLog::open(Arc::new(storage), log, &mut |done, total| progress.tell(done, total))
        .map_err(|e| AppError(e.to_string()))?;
    opened.put_right().iter().for_each(|line| tracing::warn!("{line}"));
    Ok(opened)
}

/// Time never goes back in the log. If the machine's clock shows less than the log's last event, for it was set back or
/// had been far ahead, gavel's goes on from there: with the log's time standing still no lease would be taken and no money
/// come back.
fn go_on_from(clock: SystemClock, last_at: UnixMs) -> SystemClock {
    let ahead_ms = last_at.since(clock.now());
    if ahead_ms > 0 {
        tracing::warn!(
            ahead_ms,
            "the log's last event is ahead of the machine's clock: gavel's time goes on from it, and with it days, \
             lifetimes and start and end dates; a start after the clock has caught up goes by the clock again"
        );
    }
    clock.not_before(last_at)
}

/// Why the first events of a start could not be written.
fn not_begun(error: AppendError) -> AppError {
    match error {
        AppendError::Full => AppError(
            "the log is full, and a start must be written to it: free disk space, or raise log.max_bytes if that is set"
                .to_owned(),
        ),
        error => because("log")(error),
    }
}

/// Folds what the log has beyond the stored books, if these are as they were written and belong to this log.
fn catch_up(store: &mut SqliteBooks, opened: &Opened) -> Result<Books, AppError> {
    let mut books = store.load().map_err(because("books"))?;
    let (from, end) = (books.next, opened.durable_end());
    if from > end {
        return Err(AppError(format!(
            "the books have come to event {}, but the log ends at {}: log segments are missing. Put them back; or, if \
             the log was deleted on purpose, delete books.sqlite too",
            from.0, end.0
        )));
    }
    if from > Offset(0) {
        let last = opened.read(Offset(from.0 - 1)).and_then(|mut log| log.next_event()).map_err(because("log"))?;
        if last.is_none_or(|last| last.at != books.starts.at) {
            let foreign = "books.sqlite belongs to another log. Put its own back; or delete it (and its -wal and -shm): it \
                           is rebuilt from the log";
            return Err(AppError(foreign.to_owned()));
        }
    }
    let mut progress = Progress::new("folding the log into the books");
    let mut reader = opened.read(from).map_err(because("log"))?;
    while let Some(stamped) = reader.next_event().map_err(because("log"))? {
        fold_on(&mut books, &stamped).map_err(because("books"))?;
        if books.next.0 % 100_000 == 0 {
            progress.tell(books.next.0 - from.0, end.0 - from.0);
        }
        if books.next.0 % SAVE_EVENTS == 0 {
            let dirty = books.take_dirty();
            store.save(&books, &dirty).map_err(because("books"))?;
        }
    }
    let dirty = books.take_dirty();
    store.save(&books, &dirty).map_err(because("books"))?;
    Ok(books)
}

/// Rules, lists, windows and known checks, as the log has them.
fn fraud_engine(config: &Config, opened: &Opened, now: UnixMs) -> Result<Engine, AppError> {
    let told = |faults: Vec<fraud::Fault>| {
        let lines: Vec<String> = faults.iter().map(|f| format!("  {}: {}", f.pointer, f.message)).collect();
        AppError(format!("the fraud rules have faults:\n{}", lines.join("\n")))
    };
    let velocity = Velocity::new(config.fraud.windows.clone(), config.fraud.limits());
    let velocity = velocity.map_err(|faults| AppError(format!("the fraud windows have faults: {faults:?}")))?;
    let bounds = Bounds { max_checks: config.fraud.max_checks, max_answer_bytes: MAX_ANSWER_BYTES };
    let rules = Policy::new("", &velocity, Lists::default()).map_err(told)?;
    let engine = Engine::new(velocity, rules, bounds);
    let (mut edits, mut following) = (Edits::default(), Following::default());
    let total = opened.durable_end().0;
    let mut progress = Progress::new("reading back fraud checks");
    let mut reader = opened.read(Offset(0)).map_err(because("log"))?;
    while let Some(stamped) = reader.next_event().map_err(because("log"))? {
        if let Event::Fraud(event) = &stamped.event {
            edits.apply(event);
            engine.apply(event, stamped.offset.0, now, &mut following);
        }
        if stamped.offset.0 % 100_000 == 0 {
            progress.tell(stamped.offset.0, total);
        }
    }
    let toml = edits.rules.unwrap_or_else(|| config.fraud.rules_text.clone());
    let lists = first_lists(edits.lists, &toml);
    let policy = Policy::new(&toml, &engine.velocity, lists).map_err(told)?;
    engine.policy.store(Arc::new(policy));
    Ok(engine)
}

/// Reads the impressions that still count for a frequency cap back from the log.
pub fn remember_impressions(
    opened: &Opened,
    impressions: &ImpressionStore,
    caps: &CapMemory,
    now: UnixMs,
    token_lifetime_ms: i64,
) -> Result<(), AppError> {
    let Some(longest) = caps.iter().map(|cap| cap.1).max() else { return Ok(()) };
    // A bill is told from its duplicate by having seen the first, which is at most a token's lifetime older.
    let from = opened.offset_at_or_before(now.plus(-longest).plus(-token_lifetime_ms));
    let total = opened.durable_end().0.saturating_sub(from.0);
    let mut progress = Progress::new("reading back frequency caps");
    let mut bits = Bits::default();
    let mut reader = opened.read(from.min(opened.durable_end())).map_err(because("log"))?;
    while let Some(stamped) = reader.next_event().map_err(because("log"))? {
        match &stamped.event {
            Event::Notice(notice) => {
                let Some(state) = bits.get(notice.facts.reservation) else { continue };
                let (state, outcome) = step(state, notice, stamped.at);
                bits.set(notice.facts.reservation, state);
                note_impression(impressions, caps, &stamped, outcome);
            }
            Event::ReservationsForgotten { before } => bits.forget_before(*before),
            _ => {}
        }
        if stamped.offset.0 % 100_000 == 0 {
            progress.tell(stamped.offset.0.saturating_sub(from.0), total);
        }
    }
    Ok(())
}

/// A line a second about long work.
pub struct Progress {
    what: &'static str,
    last: Instant,
}

impl Progress {
    pub fn new(what: &'static str) -> Progress {
        Progress { what, last: Instant::now() }
    }

    pub fn tell(&mut self, done: u64, total: u64) {
        if self.last.elapsed() >= Duration::from_secs(1) {
            self.last = Instant::now();
            tracing::info!("{}: {} %", self.what, done * 100 / total.max(1));
        }
    }
}

/// What a model of that name may be made of. The fraud path has its own.
pub fn sources(name: &str) -> Sources {
    if name == FRAUD_MODEL { Sources::fraud().with_any_window() } else { Sources::bid() }
}

/// What serving needs to know of an exchange.
pub fn exchange(e: &config::Exchange, public_url: &str) -> serve::Exchange {
    serve::Exchange {
        terms: ExchangeTerms {
            name: e.name.clone(),
            number: e.number,
            key: key::key(&e.name),
            seat: e.seat.clone(),
            currency: e.currency,
            lifetimes: e.lifetimes,
            spend_on_win: e.spend_on_win,
            open_bids: e.open_bids,
            ad_system: e.ad_system.clone(),
        },
        urls: NoticeUrls::new(public_url, &e.macros),
        headers: e.headers.clone(),
        price: e.price.clone(),
        token_lifetime_ms: e.token_lifetime_ms,
        tmax_default_ms: e.tmax_default_ms,
        network_ms: e.network_ms,
        body_no_bid: e.body_no_bid,
    }
}

fn limits(config: &Config) -> Limits {
    let l = &config.limits;
    Limits {
        max_body_bytes: l.max_body_bytes,
        max_header_bytes: l.max_header_bytes,
        max_connections: serve::listener::make_room(l.max_connections, l.workers),
        body_timeout_ms: l.body_timeout_ms.unsigned_abs(),
        idle_timeout_ms: l.idle_timeout_ms.unsigned_abs(),
        shutdown_grace_ms: l.shutdown_grace_ms.unsigned_abs(),
    }
}
