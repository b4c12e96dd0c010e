//! Background work: a clock, a pure function, apply.
//!
//! Expiry and leases ride on the log's own thread, so that time in the ledger is the log's time: [`follower`]. The
//! books are folded apart from it, from what is really in the log: [`reconciler`]. Plans are followed once a second: [`pacer`].
//! New models are checked as they come: [`model_watcher`].

pub mod follower;
pub mod model_watcher;
pub mod pacer;
pub mod reconciler;

use std::sync::Arc;
use std::thread::{Builder, JoinHandle, panicking};

/// Told why the process must end.
pub type OnFailed = Arc<dyn Fn(&str) + Send + Sync>;

/// Starts a thread that gavel cannot do without: when it panics, `on_failed` is told.
fn essential(name: &str, on_failed: OnFailed, run: impl FnOnce() + Send + 'static) -> std::io::Result<JoinHandle<()>> {
    let guard = Guard { name: name.to_owned(), on_failed };
    Builder::new().name(name.into()).spawn(move || {
        let _guard = guard;
        run();
    })
}

struct Guard {
    name: String,
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
        essential("idler", on_failed.clone(), || {}).unwrap().join().unwrap();
        essential("pacer", on_failed, || panic!("on purpose")).unwrap().join().unwrap_err();
        assert_eq!(told.into_iter().collect::<Vec<_>>(), ["the pacer has panicked"]);
    }
}
