//! Lists that a request may fill with ten thousand entries: checked once, kept as the slice of the body they are,
//! and decoded only when someone walks them. No entry is ever allocated at parse time.

use std::borrow::Cow;
use std::fmt;

use super::error::RequestError;
use super::scan::{Kind, Scanner, Str};

/// Strings; a number counts as its text, null entries do not count, and one string alone is a list of one.
#[derive(Clone, Copy, Default)]
pub struct StrList<'a> {
    raw: &'a str,
    len: u32,
}

impl<'a> StrList<'a> {
    pub fn len(&self) -> usize {
        self.len as usize
    }

    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    pub fn iter(&self) -> StrIter<'a> {
        StrIter { at: Scanner::new(self.raw) }
    }

    pub fn contains(&self, wanted: &str) -> bool {
        self.iter().any(|entry| entry == wanted)
    }
}

impl<'a> IntoIterator for StrList<'a> {
    type Item = Cow<'a, str>;
    type IntoIter = StrIter<'a>;
    fn into_iter(self) -> StrIter<'a> {
        self.iter()
    }
}

impl fmt::Debug for StrList<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.iter()).finish()
    }
}

/// Walks a [`StrList`].
#[derive(Clone, Debug)]
pub struct StrIter<'a> {
    at: Scanner<'a>,
}

impl<'a> Iterator for StrIter<'a> {
    type Item = Cow<'a, str>;

    #[inline]
    fn next(&mut self) -> Option<Cow<'a, str>> {
        loop {
            match self.at.next_byte() {
                b'[' | b',' => self.at.advance(),
                b'"' => return self.at.string().ok().map(Str::decode),
                b'n' => self.at.null().ok()?,
                _ => return self.at.number().ok().map(Cow::Borrowed),
            }
        }
    }
}

/// Integers, or what exchanges send for them (`1.0`, `"1"`, `true`); null entries do not count, and one integer alone is
/// a list of one.
#[derive(Clone, Copy, Default)]
pub struct IntList<'a> {
    raw: &'a str,
    len: u32,
}

impl<'a> IntList<'a> {
    pub fn len(&self) -> usize {
        self.len as usize
    }

    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    pub fn iter(&self) -> IntIter<'a> {
        IntIter { at: Scanner::new(self.raw) }
    }

    pub fn contains(&self, wanted: i64) -> bool {
        self.iter().any(|entry| entry == wanted)
    }
}

impl<'a> IntoIterator for IntList<'a> {
    type Item = i64;
    type IntoIter = IntIter<'a>;
    fn into_iter(self) -> IntIter<'a> {
        self.iter()
    }
}

impl fmt::Debug for IntList<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.iter()).finish()
    }
}

/// Walks an [`IntList`].
#[derive(Clone, Debug)]
pub struct IntIter<'a> {
    at: Scanner<'a>,
}

impl Iterator for IntIter<'_> {
    type Item = i64;

    #[inline]
    fn next(&mut self) -> Option<i64> {
        loop {
            match self.at.next_byte() {
                b'[' | b',' => self.at.advance(),
                0 | b']' => return None,
                _ => {
                    // Entries without a value (null, an empty string) do not count.
                    if let Some(value) = super::value::int(&mut self.at).ok()? {
                        return Some(value);
                    }
                }
            }
        }
    }
}

/// Checks every entry and keeps the slice.
#[inline]
fn list<'a>(
    s: &mut Scanner<'a>,
    mut entry: impl FnMut(&mut Scanner<'a>) -> Result<bool, RequestError>,
) -> Result<(&'a str, u32), RequestError> {
    let start = s.position();
    let mut len = 0;
    match s.kind()? {
        Kind::Null => {
            s.null()?;
            return Ok(("", 0));
        }
        Kind::Array => s.array(|s| entry(s).map(|counts| len += u32::from(counts)))?,
        _ => len += u32::from(entry(s)?),
    }
    Ok((s.since(start), len))
}

#[inline]
pub(super) fn strings<'a>(s: &mut Scanner<'a>) -> Result<StrList<'a>, RequestError> {
    let (raw, len) = list(s, |s| match s.next_byte() {
        b'"' => Ok(s.string().map(|_| true)?),
        b'-' | b'0'..=b'9' => Ok(s.number().map(|_| true)?),
        b'n' => Ok(s.null().map(|()| false)?),
        _ => Err(s.kind().map_or_else(RequestError::from, |_| s.wrong_type())),
    })?;
    Ok(StrList { raw, len })
}

#[inline]
pub(super) fn ints<'a>(s: &mut Scanner<'a>) -> Result<IntList<'a>, RequestError> {
    let (raw, len) = list(s, |s| Ok(super::value::int(s)?.is_some()))?;
    Ok(IntList { raw, len })
}
