//! gavel: a decision server. See ARCHITECTURE.md for the map and the invariants.

pub mod bidding;
pub mod clock;
pub mod event;
pub mod ids;
pub mod ledger;
pub mod money;
pub mod window;
pub mod wire;
