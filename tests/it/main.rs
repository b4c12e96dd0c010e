//! The server from outside: real sockets on free ports, and its contracts.
//!
//! `http`, `make`, `consent_strings`, `server` and `process` are the tools; every other file is one subject.

mod consent_strings;
mod http;
mod make;
mod process;
mod server;

mod admin;
mod audit;
mod blocks;
mod budget;
mod caps;
mod check;
mod conformance;
mod consent;
mod currency;
mod durability;
mod formats;
mod keys;
mod lifetimes;
mod main_path;
mod money;
mod odd_notices;
mod pacing;
mod response;
mod rest;
mod restart;
mod samples;
mod targeting;
mod tolerance;
mod transport;
