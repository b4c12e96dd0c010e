//! The server from outside: real sockets on free ports, and its contracts.
//!
//! `caller`, `http`, `make`, `consent_strings`, `server` and `process` are the tools; every other file is one subject.

mod caller;
mod consent_strings;
mod http;
mod make;
mod process;
mod server;

mod admin;
mod archive;
mod audit;
mod blocks;
mod budget;
mod caps;
mod check;
mod compression;
mod conformance;
mod connections;
mod consent;
mod cores;
mod currency;
mod durability;
mod formats;
mod fraud;
mod hostile;
mod http2;
mod keys;
mod lifetimes;
mod main_path;
mod models;
mod money;
mod odd_notices;
mod pacing;
mod recording;
mod response;
mod rest;
mod restart;
mod retention;
mod samples;
mod scenarios;
mod starts;
mod supply;
mod targeting;
mod tls;
mod tolerance;
mod traffic;
mod transport;
mod whatif;
