//! The model watcher: looks into the models directory and checks what is new there.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use super::Running;
use crate::modelstore::{ModelStore, yield_to_bids};
use crate::telemetry::metrics::Gauges;

const INTERVAL: Duration = Duration::from_millis(500);

/// Bids go on without it, with the models in force: its panic is told, and is no reason to end.
pub fn start(store: Arc<ModelStore>, gauges: Arc<Gauges>) -> std::io::Result<Running> {
    let failed = gauges.clone();
    let on_failed = move |why: &str| {
        failed.model_watcher_failed.store(1, Ordering::Relaxed);
        tracing::error!("{why}: models in the directory are not looked at until the next start");
    };
    Running::start("model watcher", Arc::new(on_failed), move |stop| {
        yield_to_bids();
        while !stop.is_told() {
            store.look();
            gauges.models_not_loaded.store(store.count_not_loaded() as u64, Ordering::Relaxed);
            stop.wait(INTERVAL);
        }
    })
}
