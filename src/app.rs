//! The composition root: the only file that knows everybody. Start order, and shutdown in reverse.

mod fleet;
mod recovery;
mod reload;
mod retention;
mod side;
#[cfg(feature = "kafka")]
mod waiting;

use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, mpsc};
use std::time::{Duration, Instant};

use arc_swap::ArcSwap;
pub use recovery::{Progress, of_this_log, remember_impressions};
use recovery::{Remembered, catch_up, empty_engine, go_on_from, not_begun, open_log, remember};
use reload::Reloaded;
use retention::retention;
pub use side::side;
use tokio::sync::Semaphore;

use crate::admin::campaigns::{CapMemory, Registry};
use crate::admin::catalogs::Catalogs;
use crate::admin::fraud::FraudEdits;
use crate::admin::listener::Listener;
use crate::admin::models::ModelApi;
use crate::admin::{Admin, Campaigns, catalog_files, supply_files, traffic_files};
use crate::bidding::campaign::cap_memory;
use crate::bidding::{Catalog, ExchangeTerms, Screen, Shared, key};
use crate::bookstore::SqliteBooks;
use crate::clock::{SystemClock, UnixMs};
use crate::config::{self, Config, RawConfig};
use crate::event::fraud::FraudEvent;
use crate::event::{Event, Offset};
use crate::eventlog::{DirStorage, EventLog, Follower, Storage};
use crate::fraud::engine::{Engine, Following};
use crate::fraud::traffic::{Activity, Lists as TrafficLists};
use crate::ledger::Hot;
use crate::ledger::bucket::{Grids, Lifetimes};
use crate::ledger::marks::Marks;
use crate::ledger::sequence::Sequencer;
use crate::modelstore::ModelStore;
use crate::openrtb::notice::NoticeUrls;
use crate::scoring::Sources;
use crate::serve::fraud::Access;
use crate::serve::record::{self, Recording};
use crate::serve::screen::TrafficScreen;
use crate::serve::tls::Certificate;
use crate::serve::traffic::Limits;
use crate::serve::{self, Traffic, Workers};
use crate::tasks::checkpoint;
use crate::tasks::checkpointer::Checkpointer;
use crate::tasks::fleet::FleetFollower;
use crate::tasks::follower::{LedgerFollower, lock};
use crate::tasks::pacer::Pacer;
use crate::tasks::reconciler::Reconciler;
use crate::tasks::recorder::Recorder;
use crate::tasks::{OnFailed, Running, model_watcher};
use crate::telemetry::Metrics;
use crate::window::impressions::ImpressionStore;
use crate::window::rate::Rates;

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
    /// The traffic listener speaks TLS only.
    pub tls: bool,
    reloaded: Vec<Reloaded>,
    ready: Arc<AtomicBool>,
    workers: Workers,
    admin_listener: Listener,
    reconciler: Running,
    pacer: Running,
    model_watcher: Running,
    recorder: Option<Running>,
    retention: Option<Running>,
    checkpointer: Running,
    log: Arc<dyn EventLog>,
    fraud: Arc<Engine>,
    /// Other nodes append to the log, too.
    shared: bool,
    /// The data directory.
    storage: Arc<dyn Storage>,
    hot: Arc<Mutex<Hot>>,
    metrics: Arc<Metrics>,
    failed: mpsc::Receiver<String>,
}

/// How long a start waits for the first leases: bids made before them would only find no budget.
const FIRST_LEASES: Duration = Duration::from_secs(5);
/// How long a stop waits until the leases that it returns are durable.
const RETURN_PATIENCE: Duration = Duration::from_secs(10);
/// Reservation bits outlive their tokens by this: a notice that came in time may wait for a slow disk.
const BITS_GRACE_MS: i64 = 600_000;

/// For addresses that asked lately, and for users: a million of each.
const ACTIVITY_BYTES: usize = 8 << 20;

/// The model of the fraud path; all others predict clicks.
pub const FRAUD_MODEL: &str = "fraud";

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
        let files = catalog_files::load(&config)
            .map_err(|faults| AppError(format!("the catalog has faults:\n  {}", joined(&faults, "\n  "))))?;

        let supply = supply_files::load(&config)
            .map_err(|faults| AppError(format!("the supply files have faults:\n  {}", joined(&faults, "\n  "))))?;
        let lists = traffic_files::load(&config)
            .map_err(|faults| AppError(format!("the traffic lists have faults:\n  {}", joined(&faults, "\n  "))))?;
        let lists = lists.map(|lists| Arc::new(ArcSwap::from_pointee(lists)));

        std::fs::create_dir_all(&config.data_dir)
            .map_err(|e| AppError(format!("cannot make the data directory {}: {e}", config.data_dir.display())))?;
        let opened = open_log(&config, || listeners.iter().filter(|_| certificate.is_none()).chain([&admin_socket]))?;
        let clock = go_on_from(SystemClock::start(), opened.last_at().unwrap_or_default());
        let keys = config.data_dir.join("notice-keys");
        if opened.durable_end() == Offset(0) {
            serve::keys::set_aside(&keys).map_err(because("notice keys"))?;
        }
        let keys = serve::keys::open(&keys, clock.now()).map_err(because("notice keys"))?;
        let mut store = SqliteBooks::open(&config.data_dir.join("books.sqlite")).map_err(because("books"))?;
        let books = catch_up(&mut store, &*opened)?;

        let in_force = books.models.clone();
        let mut metrics = Metrics::new(lanes);
        config.exchanges.iter().for_each(warn_of_short_tokens);
        let activity = Arc::new(activity(&config, clock.now()));
        let impressions = Arc::new(ImpressionStore::new(config.caps.max_bytes));
        let lifetimes: Vec<Lifetimes> = config.exchanges.iter().map(|e| e.lifetimes).collect();
        let grids = Arc::new(Grids::new(&lifetimes));
        let mut hot = Hot::new(books.clone(), config.node, grids.clone(), config.promise());
        if config.log.shared {
            hot = hot.in_fleet(fleet::process()?);
        }
        let files_again = config.log.shared.then(|| files.clone());
        let (mut registry, mut events) = Registry::start(&config, &books, files, &mut hot, clock.now());
        events.insert(0, hot.started());
        let caps: Arc<CapMemory> = Arc::default();
        for present in registry.present.values() {
            if let Some(memory) = cap_memory(&present.compiled.frequency_caps) {
                caps.insert(present.compiled.no, memory);
            }
        }
        let storage: Arc<dyn Storage> = Arc::new(DirStorage::new(&config.data_dir).map_err(because("data directory"))?);
        let Remembered { engine, file_rules, checkpoint } =
            remember(&config, &*opened, &*storage, &impressions, &caps, clock.now())?;
        let fraud = Arc::new(engine);
        events.push(Event::Fraud(fraud.windows_event()));
        events.extend(file_rules.map(|toml| Event::Fraud(FraudEvent::FileRules { toml })));
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
        let edited: Arc<Marks> = Arc::default();
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
            let follower: Box<dyn Follower> = if config.log.shared {
                let (clock, edited) = (Box::new(move || clock.now()), edited.clone());
                let (told_at, on_ended) = (UnixMs(0), on_failed.clone());
                Box::new(FleetFollower { ledger: follower, clock, told_at, edited, on_ended, has_ended: false })
            } else {
                Box::new(follower)
            };
            let log_failed = move |why: &str| {
                on_failed(&format!("the log has failed and nothing can be answered safely: {why}"));
            };
            let log = opened.start(Box::new(move || clock.now()), follower, Box::new(log_failed));
            let log = log.map_err(because("log"))?;
            metrics.watch(log.clone(), impressions.clone(), clock);
            metrics.watch_fraud(fraud.clone());
            metrics.watch_traffic(activity.clone());
            (log, Arc::new(metrics))
        };
        for chunk in events.chunks(1_000) {
            log.append_durable(0, chunk).wait().map_err(not_begun)?;
        }
        if let Some(files) = files_again {
            registry = fleet::agree(&config, &hot, &*log, registry, files, clock.now())?;
        }
        let epoch = lock(&hot).epoch();
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
        let kept_caps = caps.clone();
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
        metrics.gauges.fraud_checkpoint.store(checkpoint.0, Ordering::Relaxed);
        let checkpointer = {
            let (config, gauges) = (config.clone(), metrics.gauges.clone());
            let empty = Box::new(move || empty_engine(&config, 0).map_err(|error| error.to_string()));
            Checkpointer { log: log.clone(), storage: storage.clone(), empty, gauges }
        };
        let checkpointer = checkpointer.start(on_failed.clone()).map_err(because("checkpointer"))?;
        let retention = retention(&config, &log, &kept_caps, &metrics.gauges, clock);
        let retention = retention.map(|retention| retention.start(on_failed.clone())).transpose();
        let retention = retention.map_err(because("retention"))?;
        let edited = config.log.shared.then_some(edited);
        let pacer = Pacer {
            catalog: catalog.clone(),
            hot: hot.clone(),
            log: log.clone(),
            clock,
            workers: metrics.workers.clone(),
            gauges: metrics.gauges.clone(),
        };
        let sources_of = {
            let config = config.clone();
            Box::new(move |name: &str| sources(&config, name))
        };
        let models = ModelStore::start(config.models.clone(), sources_of, &in_force, log.clone(), 0)
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
            screen: lists.as_ref().map(|lists| {
                let (lists, activity) = (lists.clone(), activity.clone());
                Box::new(TrafficScreen { lists, activity }) as Box<dyn Screen>
            }),
            vendor: config.vendor,
        });
        let (recording, recorder) = recording(&config, &log, &metrics).map_err(because("recorder"))?;
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
            recording,
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
        let reloaded = reloaded(&config, certificate.as_ref(), lists.as_ref(), &traffic);
        let seed = u64::from(epoch.0) << 32 | clock.now().0 as u64 & 0xffff_ffff;
        let workers = Workers::start(traffic, listeners, acceptor, seed).map_err(because("traffic listener"))?;
        let fraud_engine = fraud.clone();
        let editing = tokio::sync::Mutex::default();
        let fraud = FraudEdits { engine: fraud, log: log.clone(), lane: 0, clock, editing };
        let (fraud, token) = (Arc::new(fraud), config.admin_token.clone());
        let api = ModelApi::new(models.clone(), metrics.clone());
        let admin = Arc::new(Admin { campaigns, models: api, books, ready: ready.clone(), fraud, token, edited });
        let admin_listener = Listener::start(admin, admin_socket).map_err(because("admin listener"))?;

        let waited = Instant::now();
        while !lock(&hot).all_leased() && waited.elapsed() < FIRST_LEASES {
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
            tls: certificate.is_some(),
            reloaded,
            ready,
            workers,
            admin_listener,
            reconciler,
            pacer,
            model_watcher,
            recorder,
            retention,
            checkpointer,
            log,
            fraud: fraud_engine,
            shared: config.log.shared,
            storage,
            hot,
            metrics,
            failed,
        })
    }

    /// Reads files again that have changed.
    pub fn look_at_files(&self) {
        self.reloaded.iter().for_each(Reloaded::look);
    }

    /// Reads all files again that may change while gavel serves; false where there is none.
    pub fn reload(&self) -> bool {
        self.reloaded.iter().for_each(Reloaded::reload);
        !self.reloaded.is_empty()
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
        // What the workers left is still written.
        self.recorder.into_iter().chain(self.retention).for_each(Running::stop);
        self.pacer.stop();
        self.model_watcher.stop();
        self.checkpointer.stop();
        let mut events = Vec::new();
        lock(&self.hot).return_all(&mut events);
        if let Err(error) = return_leases(&*self.log, &events) {
            // Not lost: what is not returned now is withheld at the next start and then comes back.
            tracing::warn!(%error, "leases could not be returned");
        }
        let closed = self.log.close().map_err(because("log"));
        // Other nodes' checks are in the log and not in the engine.
        if closed.is_ok() && !self.shared {
            let end = self.log.durable_end();
            match checkpoint::write_at_end(&*self.storage, &self.fraud, end, &|from| self.log.read(from)) {
                Ok(true) => {}
                Ok(false) => tracing::warn!("no checkpoint of fraud checks: the next start reads those since the last"),
                Err(error) => {
                    tracing::warn!(%error, "no checkpoint of fraud checks: the next start reads those since the last")
                }
            }
        }
        self.reconciler.stop();
        self.admin_listener.stop();
        closed
    }
}

/// Has the events that return leases durable, if that is soon: Kafka may be away for long.
fn return_leases(log: &dyn EventLog, events: &[Event]) -> Result<(), String> {
    let appended = async {
        for chunk in events.chunks(1_000) {
            log.append_durable(0, chunk).await.map_err(|e| e.to_string())?;
        }
        Ok(())
    };
    let waiting = tokio::runtime::Builder::new_current_thread().enable_time().build().map_err(|e| e.to_string())?;
    let in_time = waiting.block_on(async { tokio::time::timeout(RETURN_PATIENCE, appended).await });
    in_time.unwrap_or_else(|_| Err(format!("the log has not taken them within {} s", RETURN_PATIENCE.as_secs())))
}

/// Bills that come in time but after their token are refused: the exchange would not be paid for them.
fn warn_of_short_tokens(exchange: &config::Exchange) {
    let (token_s, exp_s) = (exchange.token_lifetime_ms / 1_000, exchange.lifetimes.exp_s());
    if token_s < exp_s {
        tracing::warn!(
            exchange = exchange.name,
            token_s,
            exp_s,
            "token_lifetime_s is shorter than bills may take: notices after it change nothing, also those of bids that \
             an earlier start made with a longer one; bids say the shorter one as their `exp`"
        );
    }
}

/// Where requests go that are kept for replays, and who writes them.
fn recording(
    config: &Config,
    log: &Arc<dyn EventLog>,
    metrics: &Metrics,
) -> std::io::Result<(Option<Recording>, Option<Running>)> {
    let share = config.log.record_requests;
    if share <= 0.0 {
        return Ok((None, None));
    }
    let (to, requests) = mpsc::sync_channel(record::QUEUE);
    let (log, counters) = (log.clone(), metrics.counters.clone());
    let recorder = Recorder { log, vendor: config.vendor, requests, counters }.start()?;
    Ok((Some(Recording { share, to }), Some(recorder)))
}

/// What is read again while gavel serves.
fn reloaded(
    config: &Arc<Config>,
    certificate: Option<&Certificate>,
    lists: Option<&Arc<ArcSwap<TrafficLists>>>,
    traffic: &Arc<Traffic>,
) -> Vec<Reloaded> {
    let mut reloaded = Vec::new();
    if let (Some(files), Some(certificate)) = (&config.tls, certificate.cloned()) {
        let files = vec![files.cert.clone(), files.key.clone()];
        reloaded.push(Reloaded::new("the TLS certificate was", files, move || certificate.reload()));
    }
    if let (Some(given), Some(lists)) = (config.traffic.clone(), lists.cloned())
        && !given.files().is_empty()
    {
        reloaded.push(Reloaded::new("the traffic lists were", given.files(), move || {
            lists.store(Arc::new(traffic_files::read(&given).map_err(|faults| joined(&faults, "; "))?));
            Ok(())
        }));
    }
    if let Some(file) = config.file.clone() {
        let (config, traffic) = (config.clone(), traffic.clone());
        reloaded.push(Reloaded::new("the fraud keys were", vec![file.clone()], move || {
            let mut raw = RawConfig::read(Some(&file)).map_err(|fault| fault.to_string())?;
            // What environment and flags said holds for as long as the process.
            raw.listen = Some(config.listen.to_string());
            raw.admin_listen = Some(config.admin_listen.to_string());
            raw.admin_token.clone_from(&config.admin_token);
            let new = raw.check().map_err(|faults| joined(&faults, "; "))?;
            traffic.fraud.access.replace(&new.fraud.keys);
            Ok(())
        }));
    }
    reloaded
}

fn joined(faults: &[impl std::fmt::Display], by: &str) -> String {
    faults.iter().map(ToString::to_string).collect::<Vec<_>>().join(by)
}

/// Who asks how often, where that matters.
fn activity(config: &Config, now: UnixMs) -> Activity {
    let given = config.traffic.clone().unwrap_or_default();
    let rates = |per_minute: Option<u32>| per_minute.map(|most| Rates::new(most, ACTIVITY_BYTES, now));
    Activity { by_ip: rates(given.ip_requests_per_minute), by_user: rates(given.user_requests_per_minute) }
}

/// What a model of that name may be made of. The fraud path has its own: the windows that are declared are among it.
pub fn sources(config: &Config, name: &str) -> Sources {
    let windows = config.fraud.windows.iter().map(|window| window.name.as_str());
    if name == FRAUD_MODEL { Sources::fraud().with_windows(windows) } else { Sources::bid() }
}

/// What a decision needs to know of an exchange.
fn terms(e: &config::Exchange) -> ExchangeTerms {
    ExchangeTerms {
        name: e.name.clone(),
        number: e.number,
        key: key::key(&e.name),
        seat: e.seat.clone(),
        currency: e.currency,
        lifetimes: e.lifetimes,
        spend_on_win: e.spend_on_win,
        open_bids: e.open_bids,
        ad_system: e.ad_system.clone(),
    }
}

/// What serving needs to know of an exchange.
pub fn exchange(e: &config::Exchange, public_url: &str) -> serve::Exchange {
    serve::Exchange {
        terms: terms(e),
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
        pin_workers: l.pin_workers,
    }
}
