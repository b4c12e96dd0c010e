//! A strict one-pass JSON pull scanner over text that is already known to be UTF-8.
//!
//! It accepts exactly what `serde_json::Value` accepts (RFC 8259, no lone surrogates, no number beyond f64), but
//! builds nothing: the caller asks for the fields it wants and skips the rest, and skipped values are checked just
//! as strictly. Strings are slices of the input. Nothing here recurses on depth that the input chooses.

use std::borrow::Cow;

use super::escape;

/// Arrays and objects within each other; real requests nest less than 20 deep, and the bound keeps the stack of
/// open containers a fixed 64 bytes.
pub const MAX_DEPTH: usize = 512;

/// A number longer than this may lie beyond f64 even without an exponent (the largest f64 has 309 digits).
const SURELY_FINITE_LEN: usize = 300;

#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ScanError {
    #[error("is not JSON at byte {0}")]
    Syntax(u32),
    #[error("nests deeper than {MAX_DEPTH} levels")]
    TooDeep,
}

/// What the next value is, by its first byte.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    Object,
    Array,
    String,
    Number,
    Bool,
    Null,
}

/// A valid JSON string without its quotes, as it stands in the input.
#[derive(Clone, Copy, Debug)]
pub struct Str<'a> {
    pub raw: &'a str,
    pub escaped: bool,
}

impl<'a> Str<'a> {
    /// The text it stands for; owned only if it holds an escape.
    #[inline]
    pub fn decode(self) -> Cow<'a, str> {
        if self.escaped { Cow::Owned(escape::decode(self.raw)) } else { Cow::Borrowed(self.raw) }
    }
}

/// A position in a JSON text. Copying it is how a caller looks ahead.
#[derive(Clone, Copy, Debug)]
pub struct Scanner<'a> {
    text: &'a str,
    pos: usize,
    depth: usize,
}

impl<'a> Scanner<'a> {
    pub fn new(text: &'a str) -> Scanner<'a> {
        Scanner { text, pos: 0, depth: 0 }
    }

    /// The next byte that is not white space; 0, which is never valid JSON, at the end.
    #[inline]
    pub(super) fn next_byte(&mut self) -> u8 {
        let bytes = self.text.as_bytes();
        loop {
            match bytes.get(self.pos) {
                Some(b' ' | b'\n' | b'\r' | b'\t') => self.pos += 1,
                Some(&byte) => return byte,
                None => return 0,
            }
        }
    }

    #[inline]
    pub(super) fn advance(&mut self) {
        self.pos += 1;
    }

    #[cold]
    fn fail<T>(&self, at: usize) -> Result<T, ScanError> {
        Err(ScanError::Syntax(u32::try_from(at).unwrap_or(u32::MAX)))
    }

    #[inline]
    pub fn kind(&mut self) -> Result<Kind, ScanError> {
        match self.next_byte() {
            b'"' => Ok(Kind::String),
            b'{' => Ok(Kind::Object),
            b'[' => Ok(Kind::Array),
            b'-' | b'0'..=b'9' => Ok(Kind::Number),
            b't' | b'f' => Ok(Kind::Bool),
            b'n' => Ok(Kind::Null),
            _ => self.fail(self.pos),
        }
    }

    /// Reads the string that starts here.
    #[inline]
    pub fn string(&mut self) -> Result<Str<'a>, ScanError> {
        if self.next_byte() != b'"' {
            return self.fail(self.pos);
        }
        let start = self.pos + 1;
        let end = escape::find_special(self.text.as_bytes(), start);
        if self.text.as_bytes().get(end) == Some(&b'"') {
            self.pos = end + 1;
            return Ok(Str { raw: &self.text[start..end], escaped: false });
        }
        self.escaped_string(start, end)
    }

    fn escaped_string(&mut self, start: usize, mut at: usize) -> Result<Str<'a>, ScanError> {
        let bytes = self.text.as_bytes();
        loop {
            match bytes.get(at) {
                Some(b'"') => {
                    self.pos = at + 1;
                    return Ok(Str { raw: &self.text[start..at], escaped: true });
                }
                Some(b'\\') => match escape::check(bytes, at) {
                    Some(next) => at = escape::find_special(bytes, next),
                    None => return self.fail(at),
                },
                _ => return self.fail(at),
            }
        }
    }

    /// Reads the number that starts here; it is finite as an f64.
    #[inline]
    pub fn number(&mut self) -> Result<&'a str, ScanError> {
        self.next_byte();
        let (bytes, start) = (self.text.as_bytes(), self.pos);
        let digits = |mut at: usize| {
            while matches!(bytes.get(at), Some(b'0'..=b'9')) {
                at += 1;
            }
            at
        };
        let mut at = start;
        at += usize::from(bytes.get(at) == Some(&b'-'));
        at = match bytes.get(at) {
            Some(b'0') => at + 1,
            Some(b'1'..=b'9') => digits(at + 1),
            _ => return self.fail(at),
        };
        if bytes.get(at) == Some(&b'.') {
            let fraction = digits(at + 1);
            if fraction == at + 1 {
                return self.fail(at);
            }
            at = fraction;
        }
        let mut surely_finite = at - start < SURELY_FINITE_LEN;
        if matches!(bytes.get(at), Some(b'e' | b'E')) {
            let sign = usize::from(matches!(bytes.get(at + 1), Some(b'+' | b'-')));
            let exponent = digits(at + 1 + sign);
            if exponent == at + 1 + sign {
                return self.fail(at);
            }
            at = exponent;
            surely_finite = false;
        }
        let text = &self.text[start..at];
        if !surely_finite && !text.parse::<f64>().is_ok_and(f64::is_finite) {
            return self.fail(start);
        }
        self.pos = at;
        Ok(text)
    }

    #[inline]
    fn word(&mut self, word: &str) -> Result<(), ScanError> {
        if self.text.as_bytes()[self.pos..].starts_with(word.as_bytes()) {
            self.pos += word.len();
            return Ok(());
        }
        self.fail(self.pos)
    }

    /// Reads `true` or `false`.
    #[inline]
    pub fn bool(&mut self) -> Result<bool, ScanError> {
        if self.next_byte() == b't' { self.word("true").map(|()| true) } else { self.word("false").map(|()| false) }
    }

    /// Reads `null`.
    #[inline]
    pub fn null(&mut self) -> Result<(), ScanError> {
        self.next_byte();
        self.word("null")
    }

    #[inline]
    fn open(&mut self, bracket: u8) -> Result<(), ScanError> {
        if self.next_byte() != bracket {
            return self.fail(self.pos);
        }
        if self.depth >= MAX_DEPTH {
            return Err(ScanError::TooDeep);
        }
        self.pos += 1;
        self.depth += 1;
        Ok(())
    }

    /// Reads an object; `field` is called with each key, in order, and must read or skip its value.
    #[inline]
    pub fn object<E: From<ScanError>>(
        &mut self,
        mut field: impl FnMut(&mut Scanner<'a>, &str) -> Result<(), E>,
    ) -> Result<(), E> {
        self.open(b'{')?;
        if self.next_byte() != b'}' {
            loop {
                let key = self.string()?;
                self.colon()?;
                if key.escaped {
                    field(self, &key.decode())?
                } else {
                    field(self, key.raw)?
                }
                match self.next_byte() {
                    b',' => self.pos += 1,
                    b'}' => break,
                    _ => self.fail(self.pos)?,
                }
            }
        }
        self.pos += 1;
        self.depth -= 1;
        Ok(())
    }

    /// Reads an array; `element` is called at each element and must read or skip it.
    #[inline]
    pub fn array<E: From<ScanError>>(
        &mut self,
        mut element: impl FnMut(&mut Scanner<'a>) -> Result<(), E>,
    ) -> Result<(), E> {
        self.open(b'[')?;
        if self.next_byte() != b']' {
            loop {
                element(self)?;
                match self.next_byte() {
                    b',' => self.pos += 1,
                    b']' => break,
                    _ => self.fail(self.pos)?,
                }
            }
        }
        self.pos += 1;
        self.depth -= 1;
        Ok(())
    }

    /// Reads `[]` if that is what stands here.
    pub(super) fn empty_array(&mut self) -> bool {
        let mut ahead = *self;
        let is_empty = ahead.array(|s| s.fail(s.pos)).is_ok();
        if is_empty {
            *self = ahead;
        }
        is_empty
    }

    #[inline]
    fn colon(&mut self) -> Result<(), ScanError> {
        if self.next_byte() != b':' {
            return self.fail(self.pos);
        }
        self.pos += 1;
        Ok(())
    }

    /// Skips one value, checking it.
    #[inline]
    pub fn skip(&mut self) -> Result<(), ScanError> {
        match self.kind()? {
            Kind::Object | Kind::Array => self.skip_container(),
            _ => self.skip_scalar(),
        }
    }

    #[inline]
    fn skip_scalar(&mut self) -> Result<(), ScanError> {
        match self.kind()? {
            Kind::String => self.string().map(drop),
            Kind::Number => self.number().map(drop),
            Kind::Bool => self.bool().map(drop),
            _ => self.null(),
        }
    }

    fn skip_container(&mut self) -> Result<(), ScanError> {
        // One bit per open container: set for an object. A loop, since the input chooses the depth.
        let mut is_object = [0u64; MAX_DEPTH / 64];
        let base = self.depth;
        loop {
            let opened = self.next_byte();
            if matches!(opened, b'{' | b'[') {
                self.open(opened)?;
                let (word, bit) = ((self.depth - 1) / 64, 1u64 << ((self.depth - 1) % 64));
                if opened == b'{' {
                    is_object[word] |= bit;
                    if self.next_byte() != b'}' {
                        self.string()?;
                        self.colon()?;
                        continue;
                    }
                } else {
                    is_object[word] &= !bit;
                    if self.next_byte() != b']' {
                        continue;
                    }
                }
            } else {
                self.skip_scalar()?;
            }
            // A value is complete, or an empty container is about to close: close what ends here.
            loop {
                let in_object = is_object[(self.depth - 1) / 64] & (1 << ((self.depth - 1) % 64)) != 0;
                match (self.next_byte(), in_object) {
                    (b',', true) => {
                        self.pos += 1;
                        self.string()?;
                        self.colon()?;
                        break;
                    }
                    (b',', false) => {
                        self.pos += 1;
                        break;
                    }
                    (b'}', true) | (b']', false) => {
                        self.pos += 1;
                        self.depth -= 1;
                        if self.depth == base {
                            return Ok(());
                        }
                    }
                    _ => return self.fail(self.pos),
                }
            }
        }
    }

    /// Skips one value and gives its text.
    #[inline]
    pub fn raw(&mut self) -> Result<&'a str, ScanError> {
        self.next_byte();
        let start = self.pos;
        self.skip()?;
        Ok(self.since(start))
    }

    #[inline]
    pub(super) fn position(&mut self) -> usize {
        self.next_byte();
        self.pos
    }

    #[inline]
    pub(super) fn since(&self, start: usize) -> &'a str {
        &self.text[start..self.pos]
    }

    /// Nothing but white space may follow.
    pub fn finish(mut self) -> Result<(), ScanError> {
        self.next_byte();
        if self.pos == self.text.len() { Ok(()) } else { self.fail(self.pos) }
    }
}
