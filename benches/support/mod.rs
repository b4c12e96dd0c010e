//! Catalogs and requests that several benches use.

pub mod campaigns;
pub mod places;
pub mod requests;
