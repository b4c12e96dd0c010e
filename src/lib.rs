//! gavel: a decision server. See ARCHITECTURE.md for the map and the invariants.

pub mod admin;
pub mod app;
pub mod batch;
pub mod bidding;
pub mod bookstore;
pub mod cli;
pub mod clock;
pub mod config;
pub mod event;
pub mod eventlog;
pub mod fraud;
pub mod ids;
pub mod json;
pub mod ledger;
pub mod modelstore;
pub mod money;
pub mod openrtb;
pub mod scoring;
pub mod serve;
pub mod tasks;
pub mod telemetry;
pub mod window;
pub mod wire;
