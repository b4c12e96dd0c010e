//! The model watcher: looks into the models directory and checks what is new there.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use crate::modelstore::{ModelStore, yield_to_bids};

const INTERVAL: Duration = Duration::from_millis(500);

/// The running watcher.
pub struct Running {
    thread: JoinHandle<()>,
    stop: Arc<AtomicBool>,
}

impl Running {
    pub fn stop(self) {
        self.stop.store(true, Ordering::Relaxed);
        self.thread.thread().unpark();
        if self.thread.join().is_err() {
            tracing::error!("the model watcher had panicked");
        }
    }
}

pub fn start(store: Arc<ModelStore>) -> std::io::Result<Running> {
    let stop = Arc::new(AtomicBool::new(false));
    let stopped = stop.clone();
    let run = move || {
        yield_to_bids();
        while !stopped.load(Ordering::Relaxed) {
            store.look();
            std::thread::park_timeout(INTERVAL);
        }
    };
    let thread = std::thread::Builder::new().name("model-watcher".into()).spawn(run)?;
    Ok(Running { thread, stop })
}
