//! The traffic listener: bids, notices, tracking, the ready probe.
//!
//! One single-threaded runtime per worker, each with its own listening socket on the same port. A worker shares
//! nothing with another on the bid path but the accounts.

pub mod bid;
pub mod body;
pub mod codecs;
pub mod connection;
pub mod cores;
pub mod encoding;
pub mod fraud;
pub mod handshake;
pub mod keys;
pub mod lag;
pub mod listener;
pub mod markup;
pub mod notice;
pub mod problem;
pub mod record;
pub mod repeats;
pub mod routes;
pub mod screen;
pub mod stream;
pub mod tls;
pub mod track;
pub mod traffic;
pub mod unsent;
pub mod workers;

pub use traffic::{Exchange, Traffic};
pub use workers::Workers;
