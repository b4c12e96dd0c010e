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

/// An object's key, with a number that tells most keys apart in one comparison.
#[derive(Clone, Copy, Debug)]
pub struct Key<'k> {
    pub code: u64,
    pub text: &'k str,
}

/// The number of a key: its bytes, or, if there are more than eight, a mix of the first and the last eight. Different
/// keys may share a number, so it only ever rules out.
pub const fn key_code(key: &[u8]) -> u64 {
    if let (Some(first), Some(last)) = (key.first_chunk(), key.last_chunk()) {
        return match key.len() {
            8 => u64::from_le_bytes(*first),
            _ => u64::from_le_bytes(*first) ^ u64::from_le_bytes(*last).rotate_left(32),
        };
    }
    let (mut code, mut at) = (0, key.len());
    while at > 0 {
        at -= 1;
        code = code << 8 | key[at] as u64;
    }
    code
}

/// A position in a JSON text. Copying it is how a caller looks ahead.
#[derive(Clone, Copy, Debug)]
pub struct Scanner<'a> {
    text: &'a str,
    pub(super) pos: usize,
    /// Containers that are open here.
    pub(super) depth: usize,
}

impl<'a> Scanner<'a> {
    pub fn new(text: &'a str) -> Scanner<'a> {
        Scanner { text, pos: 0, depth: 0 }
    }

    /// The next byte that is not white space; 0, which is never valid JSON, at the end.
    #[inline(always)]
    pub(super) fn next_byte(&mut self) -> u8 {
        let bytes = self.text.as_bytes();
        loop {
            match bytes.get(self.pos) {
                Some(&byte) if byte > b' ' => return byte,
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
    pub(super) fn fail<T>(&self, at: usize) -> Result<T, ScanError> {
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
    #[inline(always)]
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

    /// Reads the key that starts here and its colon. Short keys get their number from the bytes that were loaded to find
    /// their end.
    #[inline(always)]
    fn key(&mut self) -> Result<(Str<'a>, u64), ScanError> {
        if self.next_byte() != b'"' {
            return self.fail(self.pos);
        }
        let (bytes, start) = (self.text.as_bytes(), self.pos + 1);
        if let Some(chunk) = bytes.get(start..).and_then(|rest| rest.first_chunk::<16>()) {
            let len = escape::first_special(chunk);
            let end = start + len;
            if len <= 8 && bytes.get(end) == Some(&b'"') {
                let first = u64::from_le_bytes(*chunk.first_chunk().unwrap_or(&[0; 8]));
                let code = if len == 8 { first } else { first & ((1 << (8 * len)) - 1) };
                self.pos = end + 1;
                self.colon()?;
                return Ok((Str { raw: &self.text[start..end], escaped: false }, code));
            }
        }
        let key = self.string()?;
        self.colon()?;
        Ok((key, key_code(key.raw.as_bytes())))
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

    /// Reads the number that starts here if it is a plain integer of at most eighteen digits, which cannot overflow.
    #[inline(always)]
    pub fn short_integer(&mut self) -> Option<i64> {
        self.next_byte();
        let (bytes, start) = (self.text.as_bytes(), self.pos);
        let negative = bytes.get(start) == Some(&b'-');
        let first = start + usize::from(negative);
        let (mut at, mut value) = (first, 0i64);
        while let Some(digit @ b'0'..=b'9') = bytes.get(at)
            && at - first < 18
        {
            value = value * 10 + i64::from(digit - b'0');
            at += 1;
        }
        let leading_zero = at - first > 1 && bytes.get(first) == Some(&b'0');
        if at == first || leading_zero || matches!(bytes.get(at), Some(b'0'..=b'9' | b'.' | b'e' | b'E')) {
            return None;
        }
        self.pos = at;
        Some(if negative { -value } else { value })
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

    #[inline(always)]
    pub(super) fn open(&mut self, bracket: u8) -> Result<(), ScanError> {
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
    #[inline(always)]
    pub fn object<E: From<ScanError>>(
        &mut self,
        mut field: impl FnMut(&mut Scanner<'a>, Key) -> Result<(), E>,
    ) -> Result<(), E> {
        self.open(b'{')?;
        if self.next_byte() != b'}' {
            loop {
                let (key, code) = self.key()?;
                let decoded;
                let key = if key.escaped {
                    decoded = key.decode();
                    Key { code: key_code(decoded.as_bytes()), text: &decoded }
                } else {
                    Key { code, text: key.raw }
                };
                field(self, key)?;
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

    #[inline(always)]
    pub(super) fn colon(&mut self) -> Result<(), ScanError> {
        if self.next_byte() != b':' {
            return self.fail(self.pos);
        }
        self.pos += 1;
        Ok(())
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
