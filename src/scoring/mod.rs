//! Scoring models: a library's own file in, its own scores out, to the last bit. Pure: bytes and values.
//!
//! - [`artifact`]: the way in: a manifest and a model file become an [`Artifact`], or a [`Fault`] that names what is wrong.
//!   [`manifest`]: what was typed. [`sources`], [`transform`], [`hash`], [`features`]: how columns are made.
//! - [`model`]: scores rows from a scratch. [`link`], [`calibration`]: from raw scores to predictions.
//! - [`forest`]: the evaluator of all tree models. [`linear`]: linear ones, with feature hashing.
//! - [`registry`]: the versions in force: active, shadow, previous.
//! - [`categories`]: what a model file tells of its categories; [`foreign`]: files that are no models.
//! - [`xgboost`], [`lightgbm`]: the loaders; [`read`]: JSON and UBJSON as one stream. [`loaded`]: what they give.

pub mod artifact;
pub mod calibration;
pub mod categories;
pub mod fault;
pub mod features;
mod foreign;
pub mod forest;
pub mod hash;
pub mod lightgbm;
pub mod linear;
pub mod link;
pub mod loaded;
pub mod manifest;
pub mod model;
pub mod read;
pub mod registry;
pub mod sources;
pub mod transform;
pub mod xgboost;

pub use artifact::{Artifact, RowsFrom};
pub use fault::Fault;
pub use model::{Model, Scores, Scratch};
pub use registry::{ModelSet, Models, Registry};
pub use sources::{Sources, Value};
