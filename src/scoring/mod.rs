//! Scoring models: a library's own file in, its own scores out, to the last bit. Pure: bytes and values.
//!
//! - [`forest`]: the evaluator of all tree models. [`linear`]: linear ones.
//! - [`xgboost`], [`lightgbm`]: the loaders; [`read`]: JSON and UBJSON as one stream. [`loaded`]: what they give.
//! - [`link`]: from raw scores to predictions. [`fault`]: why something is refused, and where.

pub mod calibration;
pub mod fault;
pub mod forest;
pub mod lightgbm;
pub mod linear;
pub mod link;
pub mod loaded;
pub mod model;
pub mod read;
pub mod xgboost;
