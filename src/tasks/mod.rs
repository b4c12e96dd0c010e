//! Background work: a clock, a pure function, apply.
//!
//! Expiry and leases ride on the log's own thread, so that time in the ledger is the log's time: [`follower`], and where other nodes append too [`fleet`]. The
//! books are folded apart from it, from what is really in the log: [`reconciler`]. Plans are followed once a second: [`pacer`].
//! New models are checked as they come: [`model_watcher`]. Requests are kept for replays: [`recorder`]. Old segments of the log go: [`retention`].
//! What windows of fraud checks hold is written for the next start: [`checkpointer`].

pub mod checkpoint;
pub mod checkpointer;
pub mod fleet;
pub mod follower;
pub mod model_watcher;
pub mod pacer;
pub mod reconciler;
pub mod recorder;
pub mod retention;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{Builder, JoinHandle, panicking};
use std::time::Duration;

/// Told that a task has panicked.
pub type OnFailed = Arc<dyn Fn(&str) + Send + Sync>;

/// A running task.
pub struct Running {
    name: &'static str,
    thread: JoinHandle<()>,
    stop: Arc<AtomicBool>,
}

impl Running {
    /// When the thread panics, `on_failed` is told at once.
    fn start(
        name: &'static str,
        on_failed: OnFailed,
        run: impl FnOnce(&Stop) + Send + 'static,
    ) -> std::io::Result<Running> {
        let stop = Arc::new(AtomicBool::new(false));
        let (guard, stopped) = (Guard { name, on_failed }, Stop(stop.clone()));
        let thread = Builder::new().name(name.into()).spawn(move || {
            let _guard = guard;
            run(&stopped);
        })?;
        Ok(Running { name, thread, stop })
    }

    /// Lets it do what it does last, and waits for it.
    pub fn stop(self) {
        self.stop.store(true, Ordering::Relaxed);
        self.thread.thread().unpark();
        if self.thread.join().is_err() {
            tracing::error!("the {} had panicked", self.name);
        }
    }
}

/// Of a task's own thread: whether it is to end.
struct Stop(Arc<AtomicBool>);

impl Stop {
    fn is_told(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }

    /// Until then, or until it is told to end.
    fn wait(&self, time: Duration) {
        std::thread::park_timeout(time);
    }
}

struct Guard {
    name: &'static str,
    on_failed: OnFailed,
}

impl Drop for Guard {
    fn drop(&mut self) {
        if panicking() {
            (self.on_failed)(&format!("the {} has panicked", self.name));
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc::channel;

    use super::*;

    #[test]
    fn a_task_that_panics_is_not_missed_and_one_that_ends_is_no_failure() {
        let (tell, told) = channel();
        let on_failed: OnFailed = Arc::new(move |why: &str| tell.send(why.to_owned()).unwrap());
        let waits = |stop: &Stop| {
            while !stop.is_told() {
                stop.wait(Duration::from_secs(600));
            }
        };
        Running::start("idler", on_failed.clone(), waits).unwrap().stop();
        Running::start("pacer", on_failed, |_| panic!("on purpose")).unwrap().stop();
        assert_eq!(told.into_iter().collect::<Vec<_>>(), ["the pacer has panicked"]);
    }
}
