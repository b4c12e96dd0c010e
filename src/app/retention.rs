//! What the config says of how long the log is kept.

use std::sync::Arc;

use crate::clock::SystemClock;
use crate::config::Config;
use crate::eventlog::EventLog;
use crate::tasks::follower::CapMemory;
use crate::tasks::retention::Retention;
use crate::telemetry::metrics::Gauges;

const DAY_MS: i64 = 86_400_000;

/// None where everything is kept.
pub(super) fn retention(
    config: &Config,
    log: &Arc<dyn EventLog>,
    caps: &Arc<CapMemory>,
    gauges: &Arc<Gauges>,
    clock: SystemClock,
) -> Option<Retention> {
    let keep_days = config.log.keep_days?;
    let windows = config.fraud.windows.iter().map(|window| window.length_ms.saturating_add(window.delay_ms));
    Some(Retention {
        log: log.clone(),
        archive: config.archive(),
        books: config.data_dir.join("books.sqlite"),
        clock,
        keep_ms: i64::from(keep_days) * DAY_MS,
        token_lifetime_ms: config.token_lifetime_ms(),
        caps: caps.clone(),
        fraud_ms: windows.max().unwrap_or(0).saturating_add(config.fraud.limits().late_ms),
        gauges: gauges.clone(),
    })
}
