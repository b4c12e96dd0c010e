//! A strict JSON pull scanner.
//!
//! It accepts exactly what `serde_json::Value` accepts (RFC 8259, no lone surrogates, no number beyond f64), but
//! builds nothing: the caller asks for the fields it wants and skips the rest, and skipped values are checked just
//! as strictly. Strings are slices of the input. Nothing here recurses on depth that the input chooses.

use super::chunk::{self, STEP};

/// Arrays and objects within each other in what is skipped. Real requests nest less than 20 deep; what is in `ext` is
/// anyone's, and the bound keeps what must be remembered of it at 8 KiB.
pub const MAX_DEPTH: usize = LEVELS * 1_024;

/// Levels that are remembered in one word.
pub(super) const LEVELS: usize = 63;

/// Bytes of the text that may be looked at together: a short key, or a short string, and what is around it.
pub(super) const AHEAD: usize = 36;

#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ScanError {
    #[error("is not JSON at byte {0}")]
    Syntax(u32),
    #[error("nests deeper than {MAX_DEPTH} levels")]
    TooDeep,
}

#[cold]
pub(super) fn fail<T>(at: usize) -> Result<T, ScanError> {
    Err(ScanError::Syntax(u32::try_from(at).unwrap_or(u32::MAX)))
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

/// A position in a JSON text.
///
/// What most texts are made of is read here, a few bytes together; what is not like that is told by `None`, and read by
/// functions that are not in its way.
#[derive(Clone, Copy, Debug)]
pub struct Scanner<'a> {
    pub(super) text: &'a str,
    /// Where a scan has stopped: [`Scanner::between`] relies on it.
    pub(crate) pos: usize,
    /// Before this, [`AHEAD`] bytes lie ahead.
    quick: usize,
    /// Strings end at the next quote and are what they say.
    is_plain: bool,
}

impl<'a> Scanner<'a> {
    pub fn new(text: &'a str) -> Scanner<'a> {
        Scanner::at_start(text, chunk::look(text.as_bytes()).is_plain)
    }

    /// None where it is not UTF-8.
    pub fn of_bytes(bytes: &'a [u8]) -> Option<Scanner<'a>> {
        let look = chunk::look(bytes);
        let text = match look.is_ascii {
            // SAFETY: ASCII is UTF-8.
            true => unsafe { std::str::from_utf8_unchecked(bytes) },
            false => std::str::from_utf8(bytes).ok()?,
        };
        Some(Scanner::at_start(text, look.is_plain))
    }

    /// At the start of a text, or of a part of one that [`Scanner::is_plain`].
    #[inline(always)]
    pub(crate) fn at_start(text: &'a str, is_plain: bool) -> Scanner<'a> {
        Scanner { text, pos: 0, quick: (text.len() + 1).saturating_sub(AHEAD), is_plain }
    }

    /// Whether it is known that there are neither escapes nor control characters.
    #[inline(always)]
    pub(crate) fn is_plain(&self) -> bool {
        self.is_plain
    }

    /// The bytes that lie ahead, if they are as many.
    #[inline(always)]
    pub(super) fn ahead(&self) -> Option<&'a [u8; AHEAD]> {
        if self.pos >= self.quick {
            return None;
        }
        debug_assert!(self.pos + AHEAD <= self.text.len());
        // SAFETY: `quick` is at most the number of places in the text that have so many bytes from there on.
        Some(unsafe { &*self.text.as_ptr().add(self.pos).cast() })
    }

    /// The length of what is in a string, given the bytes behind its first quote, if it ends among them and holds no escape.
    #[inline(always)]
    pub(super) fn short_len(&self, inside: &[u8; STEP]) -> Option<usize> {
        let quotes = chunk::quotes(inside);
        if quotes == 0 {
            return None;
        }
        let len = quotes.trailing_zeros() as usize;
        (self.is_plain || chunk::first_special(inside) == len).then_some(len)
    }

    /// What `read` does, with a copy: all others then stay in registers.
    #[inline(always)]
    pub(crate) fn apart<T>(&mut self, read: impl FnOnce(&mut Scanner<'a>) -> T) -> T {
        let mut copy = *self;
        let found = read(&mut copy);
        self.pos = copy.pos;
        found
    }

    /// The next byte that is not white space; 0, which is never valid JSON, at the end.
    #[inline(always)]
    pub(crate) fn next_byte(&mut self) -> u8 {
        let bytes = self.text.as_bytes();
        match bytes.get(self.pos) {
            Some(&byte) if byte > b' ' => byte,
            _ => {
                self.pos = after_space(bytes, self.pos);
                bytes.get(self.pos).copied().unwrap_or(0)
            }
        }
    }

    /// Reads a byte that is no white space if it stands right here.
    #[inline(always)]
    pub(crate) fn take(&mut self, byte: u8) -> bool {
        let is_here = self.sees(byte);
        if is_here {
            self.pos += 1;
        }
        is_here
    }

    #[inline(always)]
    pub(crate) fn sees(&self, byte: u8) -> bool {
        self.text.as_bytes().get(self.pos) == Some(&byte)
    }

    /// The text between two places that the scan has stopped at.
    #[inline(always)]
    pub(super) fn between(&self, start: usize, end: usize) -> &'a str {
        debug_assert!(self.text.get(start..end).is_some());
        // SAFETY: callers pass places of this text, the start not behind the end. A place is the end of the text, or is at
        // or just behind a byte that was compared with an ASCII character; in UTF-8 those are whole characters, so
        // it lies between two characters.
        unsafe { self.text.get_unchecked(start..end) }
    }

    /// All the text from there on, which is a place as for [`Scanner::between`].
    #[inline(always)]
    pub(crate) fn all_from(&self, start: usize) -> &'a str {
        self.between(start, self.text.len())
    }

    #[inline]
    pub(crate) fn advance(&mut self) {
        self.pos += 1;
    }

    /// What is here is not what JSON has here.
    #[cold]
    pub(crate) fn unexpected(self) -> Result<(), ScanError> {
        fail(self.pos)
    }

    /// Where this is, in bytes, to say what is wrong there.
    #[cold]
    pub(crate) fn place(self) -> u32 {
        u32::try_from(self.pos).unwrap_or(u32::MAX)
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
            _ => fail(self.pos),
        }
    }

    #[inline]
    fn word(&mut self, word: &str) -> Result<(), ScanError> {
        if self.text.as_bytes()[self.pos..].starts_with(word.as_bytes()) {
            self.pos += word.len();
            return Ok(());
        }
        fail(self.pos)
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

    /// Skips one value and gives its text.
    #[inline]
    pub fn raw(&mut self) -> Result<&'a str, ScanError> {
        self.next_byte();
        let start = self.pos;
        self.skip()?;
        Ok(self.since(start))
    }

    #[inline]
    pub(crate) fn position(&mut self) -> usize {
        self.next_byte();
        self.pos
    }

    #[inline]
    pub(crate) fn since(&self, start: usize) -> &'a str {
        self.between(start, self.pos)
    }

    /// Nothing but white space may follow.
    pub fn finish(mut self) -> Result<(), ScanError> {
        self.next_byte();
        if self.pos == self.text.len() { Ok(()) } else { fail(self.pos) }
    }
}

#[inline(never)]
fn after_space(bytes: &[u8], mut at: usize) -> usize {
    while let Some(b' ' | b'\n' | b'\r' | b'\t') = bytes.get(at) {
        at += 1;
    }
    at
}
