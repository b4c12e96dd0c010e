//! Walking through objects and arrays, of which the caller reads or skips the elements.

use std::borrow::Cow;

use super::chunk::STEP;
use super::keys::Key;
use super::scan::{ScanError, Scanner, fail};
use super::string::Str;

/// Reads an array; `$element` reads what is at `$s`.
macro_rules! each_element {
    ($s:ident, $element:block) => {
        if $s.starts(b'[', b']')? {
            loop {
                $element
                if !$s.take(b',') && ($s.take(b']') || !$s.apart(|s| s.goes_on(b']'))?) {
                    break;
                }
            }
        }
    };
}
pub(crate) use each_element;

/// The name of a field.
#[derive(Clone, Copy, Debug)]
pub struct Name<'a> {
    pub text: Str<'a>,
    /// [`Key::NONE`] where it is longer than a key.
    pub key: Key,
}

impl<'a> Scanner<'a> {
    /// Reads an opening bracket; whether it is not closed at once, which is read, too.
    #[inline(always)]
    pub(crate) fn starts(&mut self, open: u8, close: u8) -> Result<bool, ScanError> {
        if self.next_byte() != open {
            return fail(self.pos);
        }
        self.pos += 1;
        let is_empty = self.next_byte() == close;
        self.pos += usize::from(is_empty);
        Ok(!is_empty)
    }

    /// Reads what stands behind an element: whether that is a comma, and not the closing bracket.
    #[inline(never)]
    pub(crate) fn goes_on(&mut self, close: u8) -> Result<bool, ScanError> {
        let byte = self.next_byte();
        if byte != b',' && byte != close {
            return fail(self.pos);
        }
        self.pos += 1;
        Ok(byte == b',')
    }

    /// The length of the key that stands behind the byte that is here, if it is less than sixteen.
    #[inline(always)]
    fn short_key(&self) -> Option<(&'a [u8; STEP], usize)> {
        let ahead = self.ahead()?;
        let key = ahead[2..].first_chunk()?;
        if ahead[1] != b'"' {
            return None;
        }
        let len = self.short_len(key)?;
        (ahead[len + 3] == b':').then_some((key, len))
    }

    /// Reads the comma or opening bracket that is here, the key behind it, and its colon; or, which is said, both brackets of
    /// an empty object.
    #[inline(always)]
    pub(crate) fn key(&mut self, key: &mut Key) -> Result<bool, ScanError> {
        if let Some((bytes, len)) = self.short_key() {
            self.pos += len + 4;
            *key = Key::within(bytes, len);
            return Ok(true);
        }
        let mut odd = Key::NONE;
        let is_there = self.apart(|s| s.odd_key(&mut odd))?;
        *key = odd;
        Ok(is_there)
    }

    /// As [`Scanner::key`], with the text of the key; none where the object is empty.
    #[inline(always)]
    pub fn name(&mut self) -> Result<Option<Name<'a>>, ScanError> {
        match self.short_key() {
            Some((bytes, len)) => {
                let start = self.pos + 2;
                self.pos += len + 4;
                let text = Str { raw: self.between(start, start + len), escaped: false };
                Ok(Some(Name { text, key: Key::within(bytes, len) }))
            }
            None => self.apart(Scanner::odd_name),
        }
    }

    #[inline(never)]
    fn odd_name(&mut self) -> Result<Option<Name<'a>>, ScanError> {
        if !self.has_key()? {
            return Ok(None);
        }
        let text = self.string()?;
        self.colon()?;
        Ok(Some(Name { text, key: Key::new(text.decode().as_bytes()) }))
    }

    #[inline(never)]
    fn odd_key(&mut self, key: &mut Key) -> Result<bool, ScanError> {
        let is_there = self.has_key()?;
        if is_there {
            *key = Key::new(self.key_text()?.as_bytes());
        }
        Ok(is_there)
    }

    /// Reads the comma or opening bracket that is here, or both brackets of an empty object.
    fn has_key(&mut self) -> Result<bool, ScanError> {
        let byte = self.next_byte();
        if byte != b'{' && byte != b',' {
            return fail(self.pos);
        }
        let is_first = byte == b'{';
        self.pos += 1;
        let is_empty = is_first && self.next_byte() == b'}';
        self.pos += usize::from(is_empty);
        Ok(!is_empty)
    }

    /// Whether a comma follows, which is left to [`Scanner::key`], and not the end of the object, which is read.
    #[inline(always)]
    pub fn has_more_fields(&mut self) -> Result<bool, ScanError> {
        self.apart(Scanner::has_more_behind)
    }

    /// Whether the next field follows, if it is easily told.
    #[inline(always)]
    pub(crate) fn surely_has_more_fields(&self) -> bool {
        self.ahead().is_some_and(|ahead| ahead[0] == b',')
    }

    #[inline(never)]
    fn has_more_behind(&mut self) -> Result<bool, ScanError> {
        match self.next_byte() {
            b',' => Ok(true),
            b'}' => {
                self.pos += 1;
                Ok(false)
            }
            _ => fail(self.pos),
        }
    }

    /// Reads the key that starts here and its colon, as its text.
    fn key_text(&mut self) -> Result<Cow<'a, str>, ScanError> {
        let key = self.string()?.decode();
        self.colon()?;
        Ok(key)
    }

    /// As [`Scanner::key`]: whether there is a key.
    #[inline(always)]
    pub(super) fn pass_key(&mut self) -> Result<bool, ScanError> {
        match self.short_key() {
            Some((_, len)) => {
                self.pos += len + 4;
                Ok(true)
            }
            None => self.apart(Scanner::pass_odd_key),
        }
    }

    #[inline(never)]
    fn pass_odd_key(&mut self) -> Result<bool, ScanError> {
        let is_there = self.has_key()?;
        if is_there {
            if self.next_byte() != b'"' {
                return fail(self.pos);
            }
            self.pass_odd_string()?;
            self.colon()?;
        }
        Ok(is_there)
    }

    fn colon(&mut self) -> Result<(), ScanError> {
        if self.next_byte() != b':' {
            return fail(self.pos);
        }
        self.pos += 1;
        // What follows is then found where it is looked for first.
        self.next_byte();
        Ok(())
    }

    /// Reads an object; `field` is called with each key, in order, and must read or skip its value.
    pub fn object<E: From<ScanError>>(
        &mut self,
        mut field: impl FnMut(&mut Scanner<'a>, &str) -> Result<(), E>,
    ) -> Result<(), E> {
        if self.next_byte() != b'{' {
            fail(self.pos)?;
        }
        while self.has_key()? {
            let key = self.key_text()?;
            field(self, &key)?;
            if !self.has_more_fields()? {
                break;
            }
        }
        Ok(())
    }

    /// Reads an array; `element` is called at each element and must read or skip it.
    #[inline]
    pub fn array<E: From<ScanError>>(
        &mut self,
        mut element: impl FnMut(&mut Scanner<'a>) -> Result<(), E>,
    ) -> Result<(), E> {
        each_element!(self, {
            element(self)?;
        });
        Ok(())
    }

    /// Reads `[]` if that is what stands here.
    pub(crate) fn empty_array(&mut self) -> bool {
        let mut ahead = *self;
        let is_empty = ahead.array(|s| fail(s.pos)).is_ok();
        if is_empty {
            *self = ahead;
        }
        is_empty
    }
}
