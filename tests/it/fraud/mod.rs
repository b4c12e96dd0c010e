//! Fraud checks: `desk` makes them; every other file is one subject.

mod access;
mod checks;
mod desk;
mod edits;
mod late;
mod models;
mod openapi;
mod replay;
mod reports;
mod restart;
mod windows;
