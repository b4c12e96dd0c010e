//! What must hold for any bytes from outside. Each check panics where it does not; the fuzz targets and the plain test
//! call the same ones.

pub mod consent;
pub mod fraud;
pub mod models;
mod node;
pub mod notice_token;
mod oracle;
pub mod request;
