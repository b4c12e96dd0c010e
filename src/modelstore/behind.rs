//! Work on models that must not be felt by those who bid.

use crate::scoring::Fault;

/// Loading and checking a model takes as long as it takes: that is done on a thread whose work goes after that of those who
/// bid. Nothing else is: who has a lock of the log at the lowest priority would keep those waiting who bid. Nor is what a start
/// loads: nobody bids yet. The fault is that there is no thread for it.
pub fn behind_bids<T: Send>(work: impl FnOnce() -> T + Send) -> Result<T, Fault> {
    std::thread::scope(|scope| {
        let behind = std::thread::Builder::new().name("model".into()).spawn_scoped(scope, || {
            // Where that is not possible it competes with them; nothing depends on it. It is not the idle class, in which the
            // builder merges catalogs: somebody waits for this, also on a machine that is never idle.
            let _best_effort = rustix::process::setpriority_process(None, 19);
            work()
        });
        let no_thread = |e| Fault::new("", format!("no thread for it: {e}"));
        Ok(behind.map_err(no_thread)?.join().unwrap_or_else(|panicked| std::panic::resume_unwind(panicked)))
    })
}
