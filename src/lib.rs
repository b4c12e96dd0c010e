//! gavel: a decision server. See ARCHITECTURE.md for the map and the invariants.

pub mod clock;
pub mod event;
pub mod eventlog;
pub mod ids;
pub mod money;
pub mod wire;
