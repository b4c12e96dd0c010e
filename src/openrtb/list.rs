//! Lists that a request may fill with ten thousand entries: checked once, kept as the slice of the body they are,
//! and decoded only when someone walks them. No entry is ever allocated at parse time.

use std::borrow::Cow;
use std::fmt;

use super::error::RequestError;
use crate::json::{Kind, Scanner, Str, each_element};

/// A list as it stands in the body.
#[derive(Clone, Copy, Default)]
struct Raw<'a> {
    /// From the list on. It ends with its last entry that counts; what follows makes that one as quick to read as others.
    text: &'a str,
    /// Entries that count.
    len: u32,
    is_plain: bool,
}

impl<'a> Raw<'a> {
    fn walk(self) -> Scanner<'a> {
        #[cfg(test)]
        tests::WALKS.set(tests::WALKS.get() + 1);
        Scanner::at_start(self.text, self.is_plain)
    }
}

/// Strings; a number counts as its text, null entries do not count, and one string alone is a list of one.
#[derive(Clone, Copy, Default)]
pub struct StrList<'a>(Raw<'a>);

impl<'a> StrList<'a> {
    pub fn len(&self) -> usize {
        self.0.len as usize
    }

    pub fn is_empty(&self) -> bool {
        self.0.len == 0
    }

    pub fn iter(&self) -> StrIter<'a> {
        StrIter { at: self.0.walk(), left: self.0.len }
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
    left: u32,
}

impl<'a> Iterator for StrIter<'a> {
    type Item = Cow<'a, str>;

    #[inline]
    fn next(&mut self) -> Option<Cow<'a, str>> {
        self.left = self.left.checked_sub(1)?;
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
pub struct IntList<'a>(Raw<'a>);

impl<'a> IntList<'a> {
    pub fn len(&self) -> usize {
        self.0.len as usize
    }

    pub fn is_empty(&self) -> bool {
        self.0.len == 0
    }

    pub fn iter(&self) -> IntIter<'a> {
        IntIter { at: self.0.walk(), left: self.0.len }
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
    left: u32,
}

impl Iterator for IntIter<'_> {
    type Item = i64;

    #[inline]
    fn next(&mut self) -> Option<i64> {
        self.left = self.left.checked_sub(1)?;
        loop {
            match self.at.next_byte() {
                b'[' | b',' => self.at.advance(),
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

/// Checks every entry and keeps the slice; `entry` says how many it counts for.
#[inline(always)]
fn list<'a>(
    s: &mut Scanner<'a>,
    entry: impl Fn(&mut Scanner<'a>) -> Result<u32, RequestError>,
) -> Result<Raw<'a>, RequestError> {
    let from = s;
    let mut s = *from;
    let s = &mut s;
    let start = s.position();
    let mut len = 0;
    if s.sees(b'[') {
        each_element!(s, {
            len += entry(s)?;
        });
    } else {
        len += entry(s)?;
    }
    *from = *s;
    Ok(Raw { text: s.all_from(start), len, is_plain: s.is_plain() })
}

#[inline(always)]
pub(super) fn strings<'a>(s: &mut Scanner<'a>) -> Result<StrList<'a>, RequestError> {
    s.apart(string_list).map(StrList)
}

#[inline(never)]
fn string_list<'a>(s: &mut Scanner<'a>) -> Result<Raw<'a>, RequestError> {
    list(s, string)
}

#[inline(always)]
fn string(s: &mut Scanner) -> Result<u32, RequestError> {
    if s.plain_string().is_some() { Ok(1) } else { s.apart(odd_string) }
}

#[cold]
fn odd_string(s: &mut Scanner) -> Result<u32, RequestError> {
    match s.kind()? {
        Kind::String => Ok(s.pass_string().map(|()| 1)?),
        Kind::Number => Ok(s.number().map(|_| 1)?),
        Kind::Null => Ok(s.null().map(|()| 0)?),
        _ => Err(RequestError::WrongType(s.place())),
    }
}

#[inline(always)]
pub(super) fn ints<'a>(s: &mut Scanner<'a>) -> Result<IntList<'a>, RequestError> {
    s.apart(int_list).map(IntList)
}

#[inline(never)]
fn int_list<'a>(s: &mut Scanner<'a>) -> Result<Raw<'a>, RequestError> {
    list(s, integer)
}

#[inline(always)]
fn integer(s: &mut Scanner) -> Result<u32, RequestError> {
    Ok(u32::from(super::value::int(s)?.is_some()))
}

#[cfg(test)]
pub mod tests {
    use std::cell::Cell;

    thread_local! {
        pub(super) static WALKS: Cell<usize> = const { Cell::new(0) };
    }

    /// How often this thread has walked a list.
    pub fn walks() -> usize {
        WALKS.get()
    }

    #[test]
    fn a_list_ends_with_its_last_entry_whatever_follows() {
        for (list, strings, ints) in [
            ("\"7\"", &["7"][..], &[7][..]),
            ("7", &["7"], &[7]),
            ("null", &[], &[]),
            ("[]", &[], &[]),
            ("[null]", &[], &[]),
            (" [ \"7\" , null , 8 ] ", &["7", "8"], &[7, 8]),
            ("[null,\"70000000000000001\",null]", &["70000000000000001"], &[70_000_000_000_000_001]),
        ] {
            let imp = format!("{{\"id\":\"1\",\"banner\":{{\"battr\":{list},\"btype\":[9,9]}}}}");
            let body = format!("{{\"id\":\"r\",\"badv\":{list},\"bcat\":[\"x\",\"y\"],\"imp\":[{imp}]}}");
            let request = crate::openrtb::parse(body.as_bytes()).unwrap();
            assert_eq!(request.badv.iter().collect::<Vec<_>>(), strings, "{body}");
            assert_eq!(request.imp[0].banner.as_ref().unwrap().battr.iter().collect::<Vec<_>>(), ints, "{body}");
        }
    }
}
