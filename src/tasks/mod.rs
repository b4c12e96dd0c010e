//! Background work: a clock, a pure function, apply.
//!
//! Expiry and leases ride on the log's own thread, so that time in the ledger is the log's time: [`follower`]. The
//! books are folded apart from it, from what is really in the log: [`reconciler`]. Plans are followed once a second: [`pacer`].
//! New models are checked as they come: [`model_watcher`].

pub mod follower;
pub mod model_watcher;
pub mod pacer;
pub mod reconciler;
