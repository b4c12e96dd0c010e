//! JSON and UBJSON as one stream of values: what a loader asks for is read, everything else is skipped. Nothing is built
//! that the loader did not ask for, so memory stays in proportion to the bytes read.

pub mod json;
pub mod ubjson;

use super::fault::Fault;

/// Deeper nesting than any model has; bounds the stack.
pub const MAX_DEPTH: usize = 64;

/// What comes next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    Object,
    Array,
    Text,
    Number,
    Bool,
    Null,
}

impl Kind {
    pub fn name(self) -> &'static str {
        match self {
            Kind::Object => "an object",
            Kind::Array => "an array",
            Kind::Text => "a text",
            Kind::Number => "a number",
            Kind::Bool => "a boolean",
            Kind::Null => "null",
        }
    }
}

/// A pull reader over one text. Every method consumes exactly one value, or fails and says at which byte.
pub trait Read: Sized {
    fn kind(&mut self) -> Result<Kind, Fault>;
    /// Calls `each` with every key; it must consume the value.
    fn object(&mut self, each: impl FnMut(&mut Self, &str) -> Result<(), Fault>) -> Result<(), Fault>;
    /// Calls `each` for every element; it must consume it.
    fn array(&mut self, each: impl FnMut(&mut Self) -> Result<(), Fault>) -> Result<(), Fault>;
    fn text(&mut self) -> Result<String, Fault>;
    /// A number rounded once to f32, as XGBoost holds it. A boolean is 0 or 1.
    fn float(&mut self) -> Result<f32, Fault>;
    /// A whole number. A boolean is 0 or 1.
    fn int(&mut self) -> Result<i64, Fault>;
    fn skip(&mut self) -> Result<(), Fault>;
    /// Nothing may follow the value.
    fn end(&mut self) -> Result<(), Fault>;
    fn fault(&self, message: impl Into<String>) -> Fault;

    fn floats(&mut self) -> Result<Vec<f32>, Fault> {
        let mut out = Vec::new();
        self.array(|read| {
            out.push(read.float()?);
            Ok(())
        })?;
        Ok(out)
    }

    fn ints(&mut self) -> Result<Vec<i32>, Fault> {
        let mut out = Vec::new();
        self.array(|read| {
            let value = read.int()?;
            out.push(i32::try_from(value).map_err(|_| read.fault(format!("{value} does not fit in 32 bits")))?);
            Ok(())
        })?;
        Ok(out)
    }
}
