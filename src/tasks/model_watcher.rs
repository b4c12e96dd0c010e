//! The model watcher: looks into the models directory and checks what is new there.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use super::Running;
use crate::modelstore::ModelStore;
use crate::telemetry::metrics::Gauges;

const INTERVAL: Duration = Duration::from_millis(500);

pub fn start(store: Arc<ModelStore>, gauges: Arc<Gauges>) -> std::io::Result<Running> {
    let counts = gauges.clone();
    watch(gauges, move || {
        store.look();
        counts.models_not_loaded.store(store.count_not_loaded() as u64, Ordering::Relaxed);
    })
}

/// Bids go on without it, with the models in force: its panic is told, and is no reason to end.
fn watch(gauges: Arc<Gauges>, look: impl Fn() + Send + 'static) -> std::io::Result<Running> {
    let on_failed = move |why: &str| {
        gauges.model_watcher_failed.store(1, Ordering::Relaxed);
        tracing::error!("{why}: models in the directory are not looked at until the next start");
    };
    Running::start("model watcher", Arc::new(on_failed), move |stop| {
        while !stop.is_told() {
            look();
            stop.wait(INTERVAL);
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_panic_is_told_at_once() {
        let gauges: Arc<Gauges> = Arc::default();
        let failed = || gauges.model_watcher_failed.load(Ordering::Relaxed);
        for (panics, is_told) in [(false, 0), (true, 1)] {
            let (tell, told) = std::sync::mpsc::channel();
            let look = move || {
                tell.send(()).unwrap();
                assert!(!panics, "on purpose");
            };
            let watcher = watch(gauges.clone(), look).unwrap();
            told.recv().unwrap();
            watcher.stop();
            assert_eq!(failed(), is_told);
        }
    }
}
