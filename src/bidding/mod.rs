//! Bidding: from a request and a catalog to bids. Pure: no IO, no clock, no unseeded randomness.
//!
//! | file | what |
//! |---|---|
//! | `campaign`, `creative`, `vast`, `check`, `fault`, `demo` | campaigns as they were typed and as they were checked |
//! | `compiled`, `packed`, `sets`, `key`, `live`, `part`, `index`, `listed` | campaigns made ready: keys, templates, bitmaps, live prices |
//! | `supply` | who may sell a place |
//! | `taxonomy` | categories of different taxonomies side by side |
//! | `catalog`, `editor` | all of them at one time, and how edits make the next catalog |
//! | `subject`, `offer`, `lists`, `fit`, `masks`, `scan`, `answer`, `decide` | a request as targeting sees it, what fits it, and the decision |
//! | `work`, `refused`, `room` | what bounds a decision: its time, what is not verified twice, the bytes of its answer |
//! | `score`, `values` | click-priced campaigns: the rate of clicks that their model predicts |
//! | `pacing` | what an `even` campaign bids of its price, and why |
//! | `reason` | the no-bid funnel |

mod answer;
#[cfg(test)]
mod bounds_tests;
pub mod campaign;
pub mod catalog;
#[cfg(test)]
mod catalog_tests;
mod check;
pub mod compiled;
pub mod creative;
pub mod decide;
pub mod demo;
pub mod editor;
pub mod fault;
pub mod fit;
pub mod index;
pub mod key;
pub mod listed;
pub mod lists;
pub mod live;
mod masks;
mod offer;
pub mod pacing;
pub mod packed;
pub mod part;
pub mod reason;
mod refused;
mod room;
mod scan;
mod score;
#[cfg(test)]
mod score_tests;
pub mod sets;
mod strict;
pub mod subject;
pub mod supply;
pub mod taxonomy;
mod values;
pub mod vast;
mod work;

pub use catalog::Catalog;
pub use decide::{BidDecision, ExchangeTerms, Scratch, Screen, Served, Shared, Snapshot, decide};
pub use editor::Editor;
pub use reason::Reason;
pub use room::MAX_RESPONSE_BYTES;
pub use score::{Batch, Told};
