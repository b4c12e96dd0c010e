//! JSON texts: a strict pull scanner, and strings as they are escaped. Pure: bytes and values, nothing else.
//!
//! From the bottom up:
//! - `chunk`: many bytes looked at together.
//! - [`escape`]: strings: where they end, what they say, how to write them.
//! - [`scan`], [`string`], `number`, `containers`, [`keys`], `skip`: the scanner over one text.

mod chunk;
mod containers;
pub mod escape;
pub mod keys;
mod number;
pub mod scan;
mod skip;
pub mod string;
#[cfg(test)]
pub(crate) mod tests;

pub use containers::Name;
pub(crate) use containers::each_element;
pub use keys::Key;
pub use scan::{Kind, ScanError, Scanner};
pub use string::Str;
