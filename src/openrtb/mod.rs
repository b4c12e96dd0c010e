//! OpenRTB 2.6 on the wire: requests in, responses out, notices back. Pure: bytes and values, nothing else.
//!
//! A request, from the bottom up (`crate::json` reads the text):
//! - [`value`], [`list`]: one value or list as the type its field has, tolerantly.
//! - [`imp`], [`audio_video`], [`native`], [`inventory`], [`device_user`], [`request`]: the objects; [`request::parse`]
//!   is the way in.
//! - [`supply_chain`]: who sells it.
//! - [`error`]: why a request is refused.
//! - [`consent`] and the files below it: whether its user data may be used. [`redact`]: a request without it.
//!
//! The rest of an auction:
//! - [`codes`]: the enumerated lists.
//! - [`response`], [`fragment`]: writing bids, and no-bids with a body.
//! - [`notice`], [`query`]: the notice URLs, their macros, and what comes back in them.
//! - [`token`]: the signed facts in those URLs.
//! - [`claim`], [`decimal`], [`google_price`]: what a notice's price comes to.

pub mod audio_video;
pub mod claim;
pub mod codes;
pub mod consent;
pub mod decimal;
pub mod device_user;
pub mod error;
pub mod fragment;
pub mod google_price;
pub mod imp;
pub mod inventory;
pub mod list;
pub mod native;
pub mod notice;
pub mod query;
pub mod redact;
pub mod request;
pub mod response;
pub mod supply_chain;
pub mod token;
pub mod value;

pub use claim::{PriceNote, PriceScheme, price_claim};
pub use consent::Privacy;
pub use error::RequestError;
pub use query::NoticeQuery;
pub use request::{BidRequest, parse};
pub use token::{KeyRing, TokenError};

#[cfg(test)]
mod notice_tests;
#[cfg(test)]
mod request_tests;
#[cfg(test)]
mod response_tests;
