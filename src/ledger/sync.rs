//! The atomics of the counters that bids and the log's thread share: the standard library's, or, for `tests/loom`
//! only, those of loom, which tries their interleavings.

#[cfg(not(feature = "loom"))]
pub(super) use std::sync::atomic::{AtomicI64, AtomicU32, AtomicU64, Ordering};

#[cfg(feature = "loom")]
pub(super) use loom::sync::atomic::{AtomicI64, AtomicU32, AtomicU64, Ordering};

/// Waits for about a microsecond after another core was faster.
#[cfg(not(feature = "loom"))]
pub(super) fn back_off() {
    // Measured with two cores and nothing but reserves: 16 pauses take half of the time away, 64 two thirds.
    for _ in 0..64 {
        std::hint::spin_loop();
    }
}

#[cfg(feature = "loom")]
pub(super) fn back_off() {
    loom::hint::spin_loop();
}

#[cfg(all(feature = "loom", not(debug_assertions)))]
compile_error!("the feature `loom` is for `cargo test --features loom --test loom`; nothing else runs with it");
