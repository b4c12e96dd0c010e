//! The same log, recomputed in batch: it must come to the same books, to the last nano.

pub mod audit;
pub mod live;
pub mod replay;
