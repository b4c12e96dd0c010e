//! Money: what may be spent, what is set aside, what was spent.
//!
//! | file | what |
//! |---|---|
//! | `account` | the lock-free counters that bids reserve from |
//! | `bucket` | time buckets: when set-aside money comes back |
//! | `reservation` | two bits per reservation and the one table of what a notice does to them |
//! | `book` | one campaign's book |
//! | `fold` | the books: a pure fold of the log |
//! | `numbers` | the number of each campaign |
//! | `starts` | starts: what each promised, which live, how long gavel has run since the others ended |
//! | `fence` | until when a node of a fleet may bid |
//! | `hot` | this node's money: the fold, and the accounts it keeps in step; `hot/campaign` is what it keeps of one, `hot/reclaim` brings back leases of earlier starts, `hot/view` shows accounts |
//! | `flow` | what notices tell of a campaign's spend, for the pacer |
//! | `sequence` | ids for reservations and leases |
//! | `marks` | sets of campaigns: who asked for a lease, who set money aside in a bucket |
//! | `daily` | the daily budgets a campaign has had |
//! | `outstanding` | what is left of a campaign's leases |
//! | `lease` | how much a node takes from a budget before it may spend |
//! | `reconcile` | books against hot state, and accounts against leases |
//! | `sync` | the atomics of all these, exchanged for those of a model checker by `tests/loom` |
//! | `invariants` | what must always hold |
//!
//! All of it is deterministic: time comes from the log, never from a clock. Only `account` is touched by several
//! threads; everything else belongs to the thread that applies the log.

pub mod account;
pub mod book;
pub mod bucket;
pub mod daily;
pub mod fence;
pub mod flow;
pub mod fold;
pub mod hot;
pub mod invariants;
pub mod lease;
pub mod marks;
pub mod numbers;
pub mod outstanding;
pub mod reconcile;
pub mod reservation;
pub mod sequence;
pub mod starts;
mod sync;
#[cfg(test)]
mod tests;

pub use account::{Account, SlotAccount};
pub use fold::{Books, fold, fold_on};
pub use hot::Hot;
pub use reconcile::reconcile;
pub use reservation::Outcome;
