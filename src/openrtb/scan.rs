//! A strict one-pass JSON pull scanner over text that is already known to be UTF-8.
//!
//! It accepts exactly what `serde_json::Value` accepts (RFC 8259, no lone surrogates, no number beyond f64), but
//! builds nothing: the caller asks for the fields it wants and skips the rest, and skipped values are checked just
//! as strictly. Strings are slices of the input. Nothing here recurses on depth that the input chooses.

use std::borrow::Cow;

use super::error::RequestError;
use super::escape;

/// Arrays and objects within each other. Real requests nest less than 20 deep; what is in `ext` is anyone's, and the bound
/// keeps what must be remembered of it at 8 KiB.
pub const MAX_DEPTH: usize = 1 << 16;

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

/// An object's key, with a number that tells keys apart in one comparison.
#[derive(Clone, Copy, Debug)]
pub struct Key<'k> {
    pub code: u64,
    pub text: &'k str,
}

/// The longest key that its number says all about.
pub const SHORT_KEY: usize = 8;
/// Set in the number of every longer key, and never in that of a short one of ASCII.
const LONG_KEY: u64 = 1 << 63;
/// No key has this number: a mixed one has an even one, and no UTF-8 is eight bytes of 0xFF.
const NO_KEY: u64 = u64::MAX;

/// The number of a key: its bytes, or, if there are more than [`SHORT_KEY`], a mix of the first and the last eight. A
/// name of ASCII without NUL that is short has a number of its own; longer ones may share one, which then only rules out.
pub const fn key_code(key: &[u8]) -> u64 {
    if key.len() > SHORT_KEY
        && let (Some(first), Some(last)) = (key.first_chunk(), key.last_chunk())
    {
        return mix(u64::from_le_bytes(*first), u64::from_le_bytes(*last));
    }
    let (mut code, mut at) = (0, key.len());
    while at > 0 {
        at -= 1;
        code = code << 8 | key[at] as u64;
    }
    code
}

const fn mix(first: u64, last: u64) -> u64 {
    (first ^ last.rotate_left(32)) & !1 | LONG_KEY
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
        match self.text.as_bytes().get(self.pos) {
            Some(&byte) if byte > b' ' => byte,
            _ => self.after_space(),
        }
    }

    #[inline(never)]
    fn after_space(&mut self) -> u8 {
        let bytes = self.text.as_bytes();
        while let Some(b' ' | b'\n' | b'\r' | b'\t') = bytes.get(self.pos) {
            self.pos += 1;
        }
        bytes.get(self.pos).copied().unwrap_or(0)
    }

    /// The text between two places that the scan has stopped at.
    #[inline(always)]
    fn between(&self, start: usize, end: usize) -> &'a str {
        debug_assert!(self.text.get(start..end).is_some());
        // SAFETY: callers pass places of this text, the start not behind the end. A place is the end of the text, or is at
        // or just behind a byte that was compared with an ASCII character; in UTF-8 those are whole characters, so
        // it lies between two characters.
        unsafe { self.text.get_unchecked(start..end) }
    }

    #[inline]
    pub(super) fn advance(&mut self) {
        self.pos += 1;
    }

    #[cold]
    pub(super) fn fail<T>(&self, at: usize) -> Result<T, ScanError> {
        Err(ScanError::Syntax(u32::try_from(at).unwrap_or(u32::MAX)))
    }

    /// The value that starts or ends here is not of the type that its field has.
    #[cold]
    pub(super) fn wrong_type(&self) -> RequestError {
        RequestError::WrongType(u32::try_from(self.pos).unwrap_or(u32::MAX))
    }

    #[cold]
    pub(super) fn negative(&self) -> RequestError {
        RequestError::Negative(u32::try_from(self.pos).unwrap_or(u32::MAX))
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
        let escaped = self.pass_string()?;
        Ok(Str { raw: self.between(start, self.pos - 1), escaped })
    }

    /// Passes over the string whose quote is here; whether it holds an escape. Most end within sixteen bytes.
    #[inline(always)]
    pub(super) fn pass_string(&mut self) -> Result<bool, ScanError> {
        let start = self.pos + 1;
        if let Some(chunk) = self.text.as_bytes().get(start..).and_then(|rest| rest.first_chunk::<16>()) {
            let len = escape::first_special(chunk);
            if chunk.get(len) == Some(&b'"') {
                self.pos = start + len + 1;
                return Ok(false);
            }
        }
        self.pass_long_string()
    }

    #[inline(never)]
    fn pass_long_string(&mut self) -> Result<bool, ScanError> {
        let bytes = self.text.as_bytes();
        let mut at = escape::find_special(bytes, self.pos + 1);
        let mut escaped = false;
        loop {
            match bytes.get(at) {
                Some(b'"') => {
                    self.pos = at + 1;
                    return Ok(escaped);
                }
                Some(b'\\') => match escape::check(bytes, at) {
                    Some(next) => at = escape::find_special(bytes, next),
                    None => return self.fail(at),
                },
                _ => return self.fail(at),
            }
            escaped = true;
        }
    }

    /// Reads the key that starts here and its colon: its number, and its place as `start << 4 | length`, which are
    /// returned in registers. [`NO_KEY`], with nothing consumed, if it is long, holds an escape, stands between spaces, or
    /// is none. The number is made of the bytes that were loaded to find the end.
    #[inline(never)]
    fn plain_key(&mut self) -> (u64, usize) {
        const FIRST: [u64; SHORT_KEY + 1] =
            [0, 0xff, 0xffff, 0xff_ffff, 0xffff_ffff, 0xff_ffff_ffff, 0xffff_ffff_ffff, 0xff_ffff_ffff_ffff, u64::MAX];
        let rest = self.text.as_bytes().get(self.pos..).unwrap_or(&[]);
        let Some((b'"', rest)) = rest.split_first() else { return (NO_KEY, 0) };
        let Some(chunk) = rest.first_chunk::<16>() else { return (NO_KEY, 0) };
        let len = escape::first_special(chunk);
        if len > 14 || chunk[len] != b'"' || chunk[len + 1] != b':' {
            return (NO_KEY, 0);
        }
        let first = u64::from_le_bytes(*chunk.first_chunk().unwrap_or(&[0; 8]));
        let code = match (FIRST.get(len), chunk[..len].last_chunk()) {
            (Some(mask), _) => first & mask,
            (None, Some(last)) => mix(first, u64::from_le_bytes(*last)),
            (None, None) => NO_KEY,
        };
        let start = self.pos + 1;
        self.pos = start + len + 2;
        (code, start << 4 | len)
    }

    /// Reads the key that starts here and its colon, whatever they are like.
    #[inline(never)]
    fn odd_key(&mut self) -> Result<Cow<'a, str>, ScanError> {
        let key = self.string()?.decode();
        self.colon()?;
        Ok(key)
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
        let text = self.between(start, at);
        if !surely_finite && !text.parse::<f64>().is_ok_and(f64::is_finite) {
            return self.fail(start);
        }
        self.pos = at;
        Ok(text)
    }

    /// Reads the number that starts here if it is an integer of at most seven digits that does not end the text: all
    /// but the odd one. Eight bytes at once: which are digits, and what they are worth.
    #[inline]
    pub fn short_integer(&mut self) -> Option<i64> {
        const ZEROS: u64 = 0x3030_3030_3030_3030;
        const HIGH: u64 = 0xf0f0_f0f0_f0f0_f0f0;
        self.next_byte();
        let x = u64::from_le_bytes(*self.text.as_bytes().get(self.pos..)?.first_chunk()?);
        // Not zero where a byte is no digit; a carry out of such a byte only spoils what lies behind it.
        let others = ((x & HIGH) ^ ZEROS) | ((x.wrapping_add(0x0606_0606_0606_0606) & HIGH) ^ ZEROS);
        let len = others.trailing_zeros() / 8;
        if len == 0 || len == 8 {
            return None;
        }
        let leading_zero = len > 1 && x as u8 == b'0';
        if leading_zero || matches!((x >> (8 * len)) as u8, b'.' | b'e' | b'E') {
            return None;
        }
        // The digits behind leading zeros, in pairs, then fours, then all eight.
        let digits = (x << (64 - 8 * len)) & 0x0f0f_0f0f_0f0f_0f0f;
        let pairs = (digits.wrapping_mul(10 << 8 | 1) >> 8) & 0x00ff_00ff_00ff_00ff;
        let fours = (pairs.wrapping_mul(100 << 16 | 1) >> 16) & 0x0000_ffff_0000_ffff;
        let value = fours.wrapping_mul(10_000 << 32 | 1) >> 32;
        self.pos += len as usize;
        Some(value as i64)
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
                let decoded;
                let key = match self.plain_key() {
                    (NO_KEY, _) => {
                        decoded = self.odd_key()?;
                        // An escaped NUL would look like the end of a shorter key.
                        let nul = if decoded.contains('\0') { LONG_KEY } else { 0 };
                        Key { code: key_code(decoded.as_bytes()) | nul, text: &decoded }
                    }
                    (code, place) => Key { code, text: self.between(place >> 4, (place >> 4) + (place & 15)) },
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
        self.between(start, self.pos)
    }

    /// Nothing but white space may follow.
    pub fn finish(mut self) -> Result<(), ScanError> {
        self.next_byte();
        if self.pos == self.text.len() { Ok(()) } else { self.fail(self.pos) }
    }
}
