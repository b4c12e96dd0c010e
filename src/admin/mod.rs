//! The admin listener: health, metrics, campaigns, accounts, books, models.

pub mod api;
mod builder;
pub mod campaigns;
pub mod catalog_files;
pub mod catalogs;
pub mod edit;
pub mod fraud;
pub mod listener;
pub mod models;
pub mod problem;
pub mod supply_files;
pub mod traffic_files;

pub use api::Admin;
pub use campaigns::Campaigns;
