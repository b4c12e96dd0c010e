//! Reading one value as the type a field has, as tolerantly as a bidder must be: exchanges send integers as floats,
//! strings or booleans, ids as numbers, and one value where the specification has a list. `null` is absent.

use std::borrow::Cow;

use super::error::RequestError;
use crate::json::{Kind, Scanner, Str, escape};

/// Reads the fields of an object: `"name" => place, reader;`. Unknown fields are skipped (OpenRTB 2.6 section 2.6),
/// and a later duplicate wins.
macro_rules! read_object {
    ($s:ident, { $($name:literal => $place:expr, $read:expr;)* }) => {{
        use $crate::json::keys::{Key, Slots};
        const SLOTS: Slots = Slots::new(&[$($name),*]);
        // A copy stays in registers.
        let from = &mut *$s;
        let mut copy = *from;
        let $s = &mut copy;
        if $s.next_byte() != b'{' {
            $s.unexpected()?;
        }
        let mut key = Key::NONE;
        while $s.key(&mut key)? {
            'field: {
                // The comparisons become one jump.
                let slot = SLOTS.of(key);
                if key.second == 0 {
                    $(if const { $name.len() <= 8 } && slot == const { SLOTS.of(Key::new($name.as_bytes())) } {
                        if key.first == const { Key::new($name.as_bytes()).first } {
                            $place = ($read)($s)?;
                            break 'field;
                        }
                    })*
                } else {
                    $(if const { $name.len() > 8 } && slot == const { SLOTS.of(Key::new($name.as_bytes())) } {
                        if key == const { Key::new($name.as_bytes()) } {
                            $place = ($read)($s)?;
                            break 'field;
                        }
                    })*
                }
                $s.skip()?;
            }
            if !$s.surely_has_more_fields() && ($s.take(b'}') || !$s.has_more_fields()?) {
                break;
            }
        }
        *from = copy;
    }};
}
pub(super) use read_object;

/// [`Scanner::apart`], for fields that functions of their own read.
#[inline(always)]
pub(super) fn apart<'a, T>(s: &mut Scanner<'a>, read: impl FnOnce(&mut Scanner<'a>) -> T) -> T {
    s.apart(read)
}

/// An identifier that the response must repeat: its text, and how the request spelled it.
#[derive(Clone, Debug, Default)]
pub struct Id<'a> {
    pub text: Cow<'a, str>,
    /// Between the quotes, escapes included; of an id sent as a number, its digits.
    spelled: &'a str,
}

impl<'a> Id<'a> {
    /// An id that is not from a request.
    pub fn plain(text: &'a str) -> Option<Id<'a>> {
        let special = escape::find_special(text.as_bytes(), 0);
        (special == text.len()).then_some(Id { text: Cow::Borrowed(text), spelled: text })
    }

    pub fn as_str(&self) -> &str {
        &self.text
    }

    pub fn is_empty(&self) -> bool {
        self.text.is_empty()
    }

    /// Of what [`Id::write_literal`] appends.
    pub fn literal_bytes(&self) -> usize {
        self.spelled.len() + 2
    }

    /// Appends the id as a JSON string, byte for byte as it came.
    pub fn write_literal(&self, out: &mut Vec<u8>) {
        out.push(b'"');
        out.extend_from_slice(self.spelled.as_bytes());
        out.push(b'"');
    }
}

impl PartialEq<str> for Id<'_> {
    fn eq(&self, other: &str) -> bool {
        self.text == other
    }
}

#[inline(always)]
pub(super) fn text<'a>(s: &mut Scanner<'a>) -> Result<Option<Cow<'a, str>>, RequestError> {
    match s.plain_string() {
        Some(text) => Ok(Some(Cow::Borrowed(text))),
        None => s.apart(odd_text),
    }
}

#[inline(never)]
fn odd_text<'a>(s: &mut Scanner<'a>) -> Result<Option<Cow<'a, str>>, RequestError> {
    Ok(string_or_number(s)?.map(Str::decode))
}

/// An empty string says no more than an absent one.
pub(super) fn is_blank(text: &Option<Cow<str>>) -> bool {
    text.as_deref().is_none_or(str::is_empty)
}

pub(super) fn filled(text: Option<Cow<str>>) -> Option<Cow<str>> {
    text.filter(|text| !text.is_empty())
}

/// A string, or a number as its text; `None` for null.
fn string_or_number<'a>(s: &mut Scanner<'a>) -> Result<Option<Str<'a>>, RequestError> {
    match s.kind()? {
        Kind::String => Ok(Some(s.string()?)),
        Kind::Number => Ok(Some(Str { raw: s.number()?, escaped: false })),
        Kind::Null => Ok(s.null().map(|()| None)?),
        _ => Err(RequestError::WrongType(s.place())),
    }
}

#[inline(always)]
pub(super) fn id<'a>(s: &mut Scanner<'a>) -> Result<Id<'a>, RequestError> {
    s.apart(any_id)
}

#[inline(never)]
fn any_id<'a>(s: &mut Scanner<'a>) -> Result<Id<'a>, RequestError> {
    Ok(string_or_number(s)?.map(|found| Id { text: found.decode(), spelled: found.raw }).unwrap_or_default())
}

/// A whole number: `7`, `7.0`, `7e0`; beyond i64 it is the nearest i64.
#[inline]
pub(super) fn integer(number: &str) -> Option<i64> {
    let bytes = number.as_bytes();
    let (negative, digits) = match bytes {
        [b'-', digits @ ..] => (true, digits),
        digits => (false, digits),
    };
    // Eighteen digits cannot overflow.
    if digits.len() <= 18 && digits.iter().all(u8::is_ascii_digit) {
        let value = digits.iter().fold(0i64, |value, digit| value * 10 + i64::from(digit - b'0'));
        return Some(if negative { -value } else { value });
    }
    let value: f64 = number.parse().ok()?;
    (value.fract() == 0.0).then_some(value as i64)
}

/// The number that a string consists of.
fn number_in(text: &str) -> Option<&str> {
    let mut s = Scanner::new(text);
    let number = s.number().ok()?;
    (number.len() == text.len()).then_some(number)
}

/// An integer; a boolean is 0 or 1, an empty string is absent.
#[inline(always)]
pub(super) fn int(s: &mut Scanner) -> Result<Option<i64>, RequestError> {
    match s.digit() {
        Some(value) => Ok(Some(value)),
        None => match s.short_integer() {
            Some(value) => Ok(Some(value)),
            None => s.apart(odd_int),
        },
    }
}

#[cold]
fn odd_int(s: &mut Scanner) -> Result<Option<i64>, RequestError> {
    match s.kind()? {
        Kind::Number => integer(s.number()?).map(Some).ok_or_else(|| RequestError::WrongType(s.place())),
        Kind::Null => Ok(s.null().map(|()| None)?),
        Kind::Bool => Ok(Some(i64::from(s.bool()?))),
        Kind::String => match s.string()?.decode().trim_ascii() {
            "" => Ok(None),
            text => number_in(text).and_then(integer).map(Some).ok_or_else(|| RequestError::WrongType(s.place())),
        },
        _ => Err(RequestError::WrongType(s.place())),
    }
}

/// As [`int`], but at least 0; above u32 it is the largest u32.
#[inline(always)]
pub(super) fn count(s: &mut Scanner) -> Result<Option<u32>, RequestError> {
    match int(s)? {
        Some(value) if value < 0 => Err(RequestError::Negative(s.place())),
        value => Ok(value.map(|v| u32::try_from(v).unwrap_or(u32::MAX))),
    }
}

/// As [`int`]: anything but 0 is set.
#[inline(always)]
pub(super) fn flag(s: &mut Scanner) -> Result<Option<bool>, RequestError> {
    Ok(int(s)?.map(|value| value != 0))
}

/// As [`flag`], unset when absent.
#[inline(always)]
pub(super) fn switch(s: &mut Scanner) -> Result<bool, RequestError> {
    Ok(flag(s)? == Some(true))
}

#[inline(always)]
pub(super) fn float(s: &mut Scanner) -> Result<Option<f64>, RequestError> {
    s.apart(any_float)
}

#[inline(never)]
fn any_float(s: &mut Scanner) -> Result<Option<f64>, RequestError> {
    let parse = |number: &str| number.parse().ok();
    match s.kind()? {
        Kind::Number => parse(s.number()?).map(Some).ok_or_else(|| RequestError::WrongType(s.place())),
        Kind::Null => Ok(s.null().map(|()| None)?),
        Kind::String => match s.string()?.decode().trim_ascii() {
            "" => Ok(None),
            text => number_in(text).and_then(parse).map(Some).ok_or_else(|| RequestError::WrongType(s.place())),
        },
        _ => Err(RequestError::WrongType(s.place())),
    }
}

/// A price: a number that is not negative, 0 when absent.
pub(super) fn price(s: &mut Scanner) -> Result<f64, RequestError> {
    match float(s)? {
        Some(value) if value < 0.0 => Err(RequestError::Negative(s.place())),
        value => Ok(value.unwrap_or(0.0)),
    }
}

/// For fields that only refine a decision: a value of the wrong type is as good as absent.
#[inline(always)]
pub(super) fn lenient<'a, T: Default>(
    s: &mut Scanner<'a>,
    read: impl FnOnce(&mut Scanner<'a>) -> Result<T, RequestError>,
) -> Result<T, RequestError> {
    let before = s.pos;
    match read(s) {
        Err(error) => s.apart(|s| forgive(s, before, error)).map(|()| T::default()),
        result => result,
    }
}

#[cold]
fn forgive(s: &mut Scanner, before: usize, error: RequestError) -> Result<(), RequestError> {
    if !matches!(error, RequestError::WrongType(_) | RequestError::Negative(_)) {
        return Err(error);
    }
    s.pos = before;
    Ok(s.skip()?)
}

/// The value as it stands in the body; `None` for null.
#[inline(always)]
pub(super) fn raw<'a>(s: &mut Scanner<'a>) -> Result<Option<&'a str>, RequestError> {
    s.apart(any_raw)
}

#[inline(never)]
fn any_raw<'a>(s: &mut Scanner<'a>) -> Result<Option<&'a str>, RequestError> {
    match s.kind()? {
        Kind::Null => Ok(s.null().map(|()| None)?),
        _ => Ok(Some(s.raw()?)),
    }
}

/// Whether an object starts here. Null is consumed and is none, and so is `[]`, which is how PHP writes an empty
/// object; another value has the wrong type.
#[inline(always)]
pub(super) fn is_object(s: &mut Scanner) -> Result<bool, RequestError> {
    if s.next_byte() == b'{' { Ok(true) } else { s.apart(is_no_object) }
}

#[cold]
fn is_no_object(s: &mut Scanner) -> Result<bool, RequestError> {
    match s.kind()? {
        Kind::Object => Ok(true),
        Kind::Null => Ok(s.null().map(|()| false)?),
        _ if s.empty_array() => Ok(false),
        _ => Err(RequestError::WrongType(s.place())),
    }
}

/// Whether an object starts here; anything else is skipped: `ext` is anyone's.
#[inline(always)]
pub(super) fn is_ext(s: &mut Scanner) -> Result<bool, RequestError> {
    if s.next_byte() == b'{' { Ok(true) } else { Ok(s.skip().map(|()| false)?) }
}
