//! Bidding: campaigns as they were typed and as they were checked. Pure: no IO, no clock, no randomness.

pub mod campaign;
mod check;
pub mod creative;
pub mod demo;
pub mod fault;
mod strict;
pub mod vast;
