//! A checkout that asks whether payments may pass: the requests, the play, what is counted, how it is shown.

pub mod play;
pub mod report;
pub mod requests;
pub mod stats;
