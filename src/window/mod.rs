//! Sliding windows over what happened: exact, bounded in memory, evicting. Pure: time is passed in.

pub mod impressions;
pub mod rate;
pub mod sliding;
