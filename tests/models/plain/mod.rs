//! Slow, plain evaluators of the libraries' files, written from what the libraries do and apart from the ones that serve.
//! Each can be told to walk into one trap.

pub mod lightgbm;
pub mod xgboost;
