//! gavel: a decision server. See ARCHITECTURE.md for the map and the invariants.

pub mod clock;
pub mod event;
pub mod ids;
pub mod money;
pub mod openrtb;
pub mod wire;
