//! What operators see: metrics, latency, logs.

pub mod latency;
pub mod logs;
pub mod metrics;
pub mod models;
pub mod worker;

pub use metrics::Metrics;
pub use worker::WorkerStats;
