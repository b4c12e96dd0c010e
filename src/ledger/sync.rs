//! The atomics of the counters that bids and the log's thread share: the standard library's, or, for `tests/loom`
//! only, those of loom, which tries their interleavings.

#[cfg(not(feature = "loom"))]
pub(super) use std::sync::atomic::{AtomicI64, AtomicU32, AtomicU64, Ordering};

#[cfg(feature = "loom")]
pub(super) use loom::sync::atomic::{AtomicI64, AtomicU32, AtomicU64, Ordering};

#[cfg(all(feature = "loom", not(debug_assertions)))]
compile_error!("the feature `loom` is for `cargo test --features loom --test loom`; nothing else runs with it");
