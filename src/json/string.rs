//! Reading strings: most are found by their quotes alone.

use std::borrow::Cow;

use super::chunk::{self, STEP};
use super::escape;
use super::scan::{ScanError, Scanner, fail};

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

impl<'a> Scanner<'a> {
    /// Reads the string that starts here if it is known to hold no escape.
    #[inline(always)]
    pub(crate) fn plain_string(&mut self) -> Option<&'a str> {
        let ahead = self.ahead()?;
        if ahead[0] != b'"' {
            return None;
        }
        let start = self.pos + 1;
        let end = match self.short_len(ahead[1..].first_chunk()?) {
            Some(len) => start + len,
            None if self.is_plain() => {
                let behind = start + STEP;
                let end = behind + chunk::find_quote(&self.text.as_bytes()[behind..]);
                if end == self.text.len() {
                    return None;
                }
                end
            }
            None => return None,
        };
        self.pos = end + 1;
        Some(self.between(start, end))
    }

    /// Reads the string that starts here.
    #[inline(always)]
    pub fn string(&mut self) -> Result<Str<'a>, ScanError> {
        match self.plain_string() {
            Some(raw) => Ok(Str { raw, escaped: false }),
            None => self.apart(Scanner::odd_string),
        }
    }

    #[inline(never)]
    fn odd_string(&mut self) -> Result<Str<'a>, ScanError> {
        if self.next_byte() != b'"' {
            return fail(self.pos);
        }
        let start = self.pos + 1;
        let escaped = self.pass_odd_string()?;
        Ok(Str { raw: self.between(start, self.pos - 1), escaped })
    }

    /// Passes over the string whose quote is here.
    #[inline(always)]
    pub(crate) fn pass_string(&mut self) -> Result<(), ScanError> {
        if self.plain_string().is_none() {
            self.apart(Scanner::pass_odd_string)?;
        }
        Ok(())
    }

    /// The same, whatever it is like; whether it holds an escape.
    #[inline(never)]
    pub(super) fn pass_odd_string(&mut self) -> Result<bool, ScanError> {
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
                    None => return fail(at),
                },
                _ => return fail(at),
            }
            escaped = true;
        }
    }
}
