//! Every metric, in one place.
//!
//! Handles are resolved at start. What workers count is read when somebody scrapes; everything else is a gauge or a
//! counter held here.

use std::fmt::Error;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};

use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeMetric, NoLabelSet};
use prometheus_client::metrics::MetricType;
use prometheus_client::metrics::counter::{ConstCounter, Counter};
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::ConstGauge;
use prometheus_client::registry::Registry;

use super::latency::Merged;
use super::models::{self, Key, ModelStats, VersionStats};
use super::worker::{Count, WorkerStats};
use crate::bidding::Reason;
use crate::clock::SystemClock;
use crate::eventlog::{EventLog, LogState};
use crate::fraud::decide::hits;
use crate::fraud::engine::Engine;
use crate::fraud::traffic::Activity;
use crate::window::impressions::ImpressionStore;
use crate::window::rate::Rates;

type Labels = [(&'static str, &'static str); 1];
type NoticeLabels = [(&'static str, &'static str); 2];

/// What is counted outside the workers. Clones count together.
#[derive(Clone, Debug, Default)]
pub struct Counters {
    /// By `rule`: bid requests refused with 4xx.
    pub bad_requests: Family<Labels, Counter>,
    /// By `kind` and `outcome`: notices once they are durable.
    pub notices: Family<NoticeLabels, Counter>,
    /// By `kind` and `fault`: notices whose token or price was not taken as it came.
    pub odd_notices: Family<NoticeLabels, Counter>,
    /// By `code` class: LossReasons told to us.
    pub losses: Family<Vec<(&'static str, String)>, Counter>,
    /// By `kind`: impressions, clicks, conversions; `repeated` and `not_logged` ones, which are not in the log; and what
    /// was wrong with a token.
    pub tracks: Family<Labels, Counter>,
    /// By `outcome`: bid requests that were to be kept for replays.
    pub requests_recorded: Family<Labels, Counter>,
    pub admin_requests: Family<Labels, Counter>,
    /// By `decision`: fraud checks decided; `timeout` ones were answered by the fail policy.
    pub fraud_checks: Family<Labels, Counter>,
    /// By `code`: requests to the fraud paths that were refused.
    pub fraud_refused: Family<Labels, Counter>,
    /// By `kind` and `outcome`: outcomes and labels.
    pub fraud_reports: Family<NoticeLabels, Counter>,
}

/// Gauges of the tasks and of the catalog.
#[derive(Debug, Default)]
pub struct Gauges {
    /// Events that the books are behind the log.
    pub lag_events: AtomicU64,
    /// Notices for bids of before have no effect any more.
    pub notices_watermark_s: AtomicI64,
    /// Milliseconds since the books were last level with the log.
    pub lag_ms: AtomicI64,
    /// Sum of the absolute drift found in the last comparison, in nanos.
    pub drift_nanos: AtomicI64,
    pub corrections: AtomicU64,
    pub book_errors: AtomicU64,
    /// The first event that the checkpoint of fraud checks does not have.
    pub fraud_checkpoint: AtomicU64,
    pub campaigns: AtomicU64,
    pub catalog_version: AtomicU64,
    pub catalog_build_us: AtomicU64,
    pub catalog_unmerged: AtomicU64,
    /// Campaigns that follow a plan.
    pub paced: AtomicU64,
    /// The largest distance between spend and plan, in millionths of a plan's amount.
    pub pacing_worst_ppm: AtomicU64,
    /// Campaigns whose bids stopped in the last second because they were ahead of their plan.
    pub pacing_held: AtomicU64,
    pub pacing_us: AtomicU64,
    /// Roles of models by the log whose version is not in memory.
    pub models_not_loaded: AtomicU64,
    pub model_watcher_failed: AtomicU64,
    pub ready: AtomicU64,
}

pub struct Metrics {
    registry: Registry,
    pub counters: Counters,
    pub gauges: Arc<Gauges>,
    pub workers: Arc<[WorkerStats]>,
}

impl Metrics {
    pub fn new(workers: usize) -> Metrics {
        let mut registry = Registry::default();
        let counters = Counters::default();
        let c = &counters;
        registry.register("gavel_bad_requests", "Bid requests refused, by the rule they break", c.bad_requests.clone());
        registry.register("gavel_notices", "Durable notices, by kind and by what they did", c.notices.clone());
        registry.register(
            "gavel_odd_notices",
            "Notices whose token or price was not taken as it came, by kind and fault",
            c.odd_notices.clone(),
        );
        registry.register("gavel_losses", "Loss notices by OpenRTB loss reason", c.losses.clone());
        registry.register(
            "gavel_tracks",
            "Impression pixels, clicks and conversions logged; repeated and not_logged ones; tokens that were refused",
            c.tracks.clone(),
        );
        registry.register(
            "gavel_requests_recorded",
            "Bid requests that were to be kept for replays, by what became of it",
            c.requests_recorded.clone(),
        );
        registry.register("gavel_admin_requests", "Admin requests by status class", c.admin_requests.clone());
        registry.register("gavel_fraud_checks", "Fraud checks decided", c.fraud_checks.clone());
        registry.register("gavel_fraud_refused", "Refused requests to the fraud paths", c.fraud_refused.clone());
        registry.register("gavel_fraud_reports", "Outcomes and labels of fraud checks", c.fraud_reports.clone());
        let workers: Arc<[WorkerStats]> = (0..workers).map(|_| WorkerStats::default()).collect();
        registry.register_collector(Box::new(Workers(workers.clone())));
        let gauges = Arc::new(Gauges::default());
        registry.register_collector(Box::new(Books(gauges.clone())));
        Metrics { registry, counters, gauges, workers }
    }

    /// Adds what the log, the frequency caps and the clock know of themselves.
    pub fn watch(&mut self, log: Arc<dyn EventLog>, impressions: Arc<ImpressionStore>, clock: SystemClock) {
        self.registry.register_collector(Box::new(Stores { log, impressions, clock }));
    }

    /// Adds what fraud checks count for themselves.
    pub fn watch_fraud(&mut self, engine: Arc<Engine>) {
        self.registry.register_collector(Box::new(FraudChecks(engine)));
    }

    /// Adds what became of those who ask often.
    pub fn watch_traffic(&mut self, activity: Arc<Activity>) {
        self.registry.register_collector(Box::new(Asking(activity)));
    }

    /// The text that Prometheus scrapes.
    pub fn text(&self) -> String {
        let mut text = String::new();
        // Writing into a String does not fail; the encoder's only error is the writer's.
        let _infallible = prometheus_client::encoding::text::encode(&mut text, &self.registry);
        text
    }
}

fn counter(e: &mut DescriptorEncoder, name: &str, help: &str, value: u64) -> Result<(), Error> {
    let metric = ConstCounter::new(value);
    metric.encode(e.encode_descriptor(name, help, None, metric.metric_type())?)
}

fn gauge(e: &mut DescriptorEncoder, name: &str, help: &str, value: i64) -> Result<(), Error> {
    let metric = ConstGauge::new(value);
    metric.encode(e.encode_descriptor(name, help, None, metric.metric_type())?)
}

#[derive(Debug)]
struct Asking(Arc<Activity>);

impl Collector for Asking {
    fn encode(&self, mut e: DescriptorEncoder) -> Result<(), Error> {
        let evicted = [&self.0.by_ip, &self.0.by_user].into_iter().flatten().map(Rates::evicted).sum();
        counter(&mut e, "gavel_activity_evicted", "Addresses and users forgotten while they asked", evicted)
    }
}

#[derive(Debug)]
struct Workers(Arc<[WorkerStats]>);

impl Workers {
    fn sum(&self, of: impl Fn(&WorkerStats) -> &Count) -> u64 {
        self.0.iter().map(|w| of(w).get()).sum()
    }

    fn by_reason(
        &self,
        e: &mut DescriptorEncoder,
        name: &str,
        help: &str,
        of: fn(&WorkerStats) -> &[Count; Reason::COUNT],
    ) -> Result<(), Error> {
        let mut family = e.encode_descriptor(name, help, None, MetricType::Counter)?;
        for reason in Reason::ALL {
            let metric = ConstCounter::new(self.sum(|w| &of(w)[reason as usize]));
            metric.encode(family.encode_family(&[("reason", reason.as_str())])?)?;
        }
        Ok(())
    }

    fn latency(
        &self,
        e: &mut DescriptorEncoder,
        name: &str,
        help: &str,
        of: fn(&WorkerStats) -> &super::latency::Latency,
    ) -> Result<(), Error> {
        let merged = Merged::of(self.0.iter().map(of));
        let mut metric = e.encode_descriptor(name, help, None, MetricType::Histogram)?;
        metric.encode_histogram::<NoLabelSet>(merged.sum_seconds, merged.count, &merged.buckets, None)
    }
}

impl Workers {
    fn models(&self, e: &mut DescriptorEncoder) -> Result<(), Error> {
        let stats = ModelStats::merged(self.0.iter().map(|w| &w.models));
        let labels = |(model, version, is_shadow): &Key| {
            let role = if *is_shadow { "shadow" } else { "active" };
            [("model", model.clone()), ("version", version.clone()), ("role", role.to_owned())]
        };
        type Shown = (f64, u64, Vec<(f64, u64)>);
        let mut histogram = |name, help, of: fn(&VersionStats) -> Shown, shadows: bool| {
            let mut family = e.encode_descriptor(name, help, None, MetricType::Histogram)?;
            for (key, stats) in stats.iter().filter(|((.., is_shadow), _)| *is_shadow || !shadows) {
                let (sum, count, buckets) = of(stats);
                let labels = labels(key);
                let mut metric = family.encode_family(&labels)?;
                metric.encode_histogram::<NoLabelSet>(sum, count, &buckets, None)?;
            }
            Ok::<(), Error>(())
        };
        histogram(
            "gavel_model_scores",
            "What a version of a model predicted, as the active one or as its shadow",
            |s| (s.scores.sum, s.scores.count(), s.scores.buckets(&models::SCORES)),
            false,
        )?;
        histogram(
            "gavel_model_differences",
            "By how much a shadow's prediction differs from the active version's",
            |s| (s.differences.sum, s.differences.count(), s.differences.buckets(&models::DIFFERENCES)),
            true,
        )?;
        histogram(
            "gavel_model_batch_seconds",
            "What a version took to score the rows of one impression",
            |s| (s.seconds.sum, s.seconds.count(), s.seconds.buckets(&models::SECONDS)),
            false,
        )?;
        let mut family = e.encode_descriptor(
            "gavel_model_odd_scores",
            "Predictions that are no number from 0 to 1",
            None,
            MetricType::Counter,
        )?;
        for (key, stats) in &stats {
            let metric = ConstCounter::new(stats.odd);
            metric.encode(family.encode_family(&labels(key))?)?;
        }
        Ok(())
    }
}

impl Collector for Workers {
    fn encode(&self, mut e: DescriptorEncoder) -> Result<(), Error> {
        let e = &mut e;
        counter(e, "gavel_connections_opened", "Traffic connections accepted", self.sum(|w| &w.connections_opened))?;
        counter(e, "gavel_connections_closed", "Traffic connections ended", self.sum(|w| &w.connections_closed))?;
        counter(
            e,
            "gavel_connections_refused",
            "Traffic connections closed at once: too many are open",
            self.sum(|w| &w.connections_refused),
        )?;
        counter(
            e,
            "gavel_tls_handshakes_failed",
            "TLS handshakes that were no good or took too long",
            self.sum(|w| &w.handshakes_failed),
        )?;
        counter(e, "gavel_bid_requests", "Bid requests received", self.sum(|w| &w.bid_requests))?;
        counter(e, "gavel_bid_responses", "Bid requests answered with a bid", self.sum(|w| &w.bid_responses))?;
        counter(e, "gavel_bids", "Bids made", self.sum(|w| &w.bids))?;
        self.by_reason(e, "gavel_no_bids", "Bid requests answered without a bid, by reason", |w| &w.no_bids)?;
        self.by_reason(
            e,
            "gavel_campaigns_lost",
            "Campaigns that were worth enough to be looked at and lost an impression, by reason",
            |w| &w.campaigns_lost,
        )?;
        self.latency(e, "gavel_bid_seconds", "From a bid request's head to its answer", |w| &w.bid_latency)?;
        self.latency(e, "gavel_notice_seconds", "From a notice's head to its durable answer", |w| &w.notice_latency)?;
        self.latency(e, "gavel_fraud_check_seconds", "From a check's head to its answer", |w| &w.fraud_latency)?;
        self.models(e)
    }
}

#[derive(Debug)]
struct Books(Arc<Gauges>);

impl Collector for Books {
    fn encode(&self, mut e: DescriptorEncoder) -> Result<(), Error> {
        let (e, g) = (&mut e, &*self.0);
        let unsigned = |n: &AtomicU64| n.load(Ordering::Relaxed);
        let signed = |n: &AtomicI64| n.load(Ordering::Relaxed);
        gauge(e, "gavel_ready", "1 when bids are made", unsigned(&g.ready) as i64)?;
        gauge(
            e,
            "gavel_fraud_checkpoint",
            "The first event that the checkpoint of fraud checks does not have",
            unsigned(&g.fraud_checkpoint) as i64,
        )?;
        gauge(e, "gavel_campaigns", "Campaigns in the catalog", unsigned(&g.campaigns) as i64)?;
        gauge(e, "gavel_catalog_version", "Version of the catalog in force", unsigned(&g.catalog_version) as i64)?;
        gauge(
            e,
            "gavel_catalog_build_microseconds",
            "What the last catalog took to build anew",
            unsigned(&g.catalog_build_us) as i64,
        )?;
        gauge(
            e,
            "gavel_catalog_unmerged",
            "Campaigns edited since the catalog was built anew",
            unsigned(&g.catalog_unmerged) as i64,
        )?;
        gauge(e, "gavel_paced_campaigns", "Campaigns that follow a plan", unsigned(&g.paced) as i64)?;
        gauge(
            e,
            "gavel_pacing_worst_ppm",
            "The largest distance between spend and plan, in millionths of the plan's amount",
            unsigned(&g.pacing_worst_ppm) as i64,
        )?;
        gauge(
            e,
            "gavel_pacing_held_campaigns",
            "Campaigns whose bids stopped in the last second, ahead of their plan",
            unsigned(&g.pacing_held) as i64,
        )?;
        gauge(
            e,
            "gavel_pacing_round_microseconds",
            "What the last look at all plans took",
            unsigned(&g.pacing_us) as i64,
        )?;
        gauge(
            e,
            "gavel_models_not_loaded",
            "Versions of models that are in force by the log and could not be loaded",
            unsigned(&g.models_not_loaded) as i64,
        )?;
        gauge(
            e,
            "gavel_model_watcher_failed",
            "1 when the models directory is not looked at any more",
            unsigned(&g.model_watcher_failed) as i64,
        )?;
        gauge(e, "gavel_books_lag_events", "Events the books are behind the log", unsigned(&g.lag_events) as i64)?;
        gauge(
            e,
            "gavel_notices_watermark_seconds",
            "Notices for bids made before, in Unix seconds, have no effect any more; 0 before any are forgotten",
            signed(&g.notices_watermark_s),
        )?;
        gauge(e, "gavel_books_lag_milliseconds", "Since the books were last level with the log", signed(&g.lag_ms))?;
        gauge(
            e,
            "gavel_drift_nanos",
            "Books less hot state in the last comparison, summed over campaigns",
            signed(&g.drift_nanos),
        )?;
        counter(e, "gavel_corrections", "Hot accounts made equal to the books", unsigned(&g.corrections))?;
        counter(e, "gavel_book_errors", "Failed writes of the books; they are tried again", unsigned(&g.book_errors))
    }
}

struct Stores {
    log: Arc<dyn EventLog>,
    impressions: Arc<ImpressionStore>,
    clock: SystemClock,
}

impl std::fmt::Debug for Stores {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Stores")
    }
}

impl Collector for Stores {
    fn encode(&self, mut e: DescriptorEncoder) -> Result<(), Error> {
        let (e, log, caps) = (&mut e, self.log.stats(), self.impressions.stats());
        let get = |n: &AtomicU64| n.load(Ordering::Relaxed);
        counter(e, "gavel_log_events", "Events made durable since the start", get(&log.events))?;
        counter(e, "gavel_log_bytes", "Bytes written to the log since the start", get(&log.bytes))?;
        counter(e, "gavel_log_groups", "Commit groups written", get(&log.groups))?;
        counter(e, "gavel_log_syncs", "Syncs of the log", get(&log.syncs))?;
        counter(e, "gavel_log_sync_microseconds", "Time spent in syncs", get(&log.sync_sum_us))?;
        gauge(e, "gavel_log_sync_max_microseconds", "The longest sync", get(&log.sync_max_us) as i64)?;
        gauge(e, "gavel_log_segments", "Segment files", get(&log.segments) as i64)?;
        gauge(e, "gavel_log_begin", "The first event that the log has", self.log.begin().0 as i64)?;
        gauge(e, "gavel_log_durable_end", "Offset after the last durable event", self.log.durable_end().0 as i64)?;
        let state = match self.log.state() {
            LogState::Open => 0,
            LogState::Full => 1,
            LogState::Failed => 2,
            LogState::Away => 3,
        };
        gauge(e, "gavel_log_state", "0 open, 1 full (its disk, or log.max_bytes), 2 failed", state)?;
        gauge(
            e,
            "gavel_clock_ahead_milliseconds",
            "Gavel's time, and so the log's, less the machine's clock",
            self.clock.ahead_ms(),
        )?;
        gauge(e, "gavel_cap_users", "Users remembered for frequency caps", caps.entries as i64)?;
        counter(e, "gavel_cap_evicted_live", "Users forgotten while they still counted", caps.evicted_live)?;
        counter(e, "gavel_cap_evicted_expired", "Users forgotten who no longer counted", caps.evicted_expired)
    }
}

struct FraudChecks(Arc<Engine>);

impl std::fmt::Debug for FraudChecks {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("FraudChecks")
    }
}

impl Collector for FraudChecks {
    fn encode(&self, mut e: DescriptorEncoder) -> Result<(), Error> {
        let (e, windows) = (&mut e, self.0.velocity.stats());
        gauge(e, "gavel_fraud_known_checks", "Checks that can still be asked for", self.0.store.len() as i64)?;
        if let Some(at) = self.0.velocity.watermark() {
            let help = "Windows of fraud checks are closed up to here, in Unix seconds: no check of before is taken";
            gauge(e, "gavel_fraud_watermark_seconds", help, at.0.div_euclid(1_000))?;
        }
        gauge(e, "gavel_fraud_window_keys", "Keys with events in windows", windows.keys as i64)?;
        gauge(e, "gavel_fraud_window_events", "Events in windows, once for each key", windows.events as i64)?;
        gauge(e, "gavel_fraud_window_bytes", "Memory of windows", windows.bytes as i64)?;
        counter(e, "gavel_fraud_window_evicted_keys", "Keys evicted while they still counted", windows.evicted_keys)?;
        let policy = self.0.policy.load();
        let mut family =
            e.encode_descriptor("gavel_fraud_rule_hits", "Checks that a rule matched", None, MetricType::Counter)?;
        for (rule, hits) in hits(&policy) {
            let mode = if rule.shadow { "shadow" } else { "live" };
            let metric = ConstCounter::new(hits);
            metric.encode(family.encode_family(&[("rule", rule.id.as_str()), ("mode", mode)])?)?;
        }
        Ok(())
    }
}
