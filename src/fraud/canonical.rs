//! One way to write what can be written in several: e-mail addresses, phone numbers and IP addresses. Windows count by it, rules
//! and lists compare it.

use core::net::IpAddr;
use std::borrow::Cow;

use super::fields;

/// An e-mail address: without white space before it, and it and dots at its end, in lower case. RFC 5321 (2.4) lets a host tell local
/// parts apart by case; no large one does, and who is blocked must not come back with a capital letter.
pub fn email(text: &str) -> Cow<'_, str> {
    lower(ended(text.trim_start()))
}

/// Without what a host name may have at its end and means nothing: white space, and the dot of the root.
pub fn ended(text: &str) -> &str {
    text.trim_end_matches(|c: char| c == '.' || c.is_whitespace())
}

/// A phone number: its digits, after a `+` where that stands before them. A text without digits stays as it is.
pub fn phone(text: &str) -> Cow<'_, str> {
    let rest = text.strip_prefix('+').unwrap_or(text);
    if rest.bytes().all(|b| b.is_ascii_digit()) || !text.bytes().any(|b| b.is_ascii_digit()) {
        return Cow::Borrowed(text);
    }
    let plus = text.trim_start_matches(|c: char| !c.is_ascii_digit() && c != '+').starts_with('+');
    let digits = text.chars().filter(char::is_ascii_digit);
    Cow::Owned(plus.then_some('+').into_iter().chain(digits).collect())
}

/// An IP address as RFC 5952 has it; one of IPv4 that is mapped to IPv6 is the one of IPv4.
pub fn ip(text: &str) -> Option<IpAddr> {
    text.parse().ok().map(|ip: IpAddr| ip.to_canonical())
}

/// A text that a field is compared with, as the field has it.
pub fn of(field: usize, text: &str) -> Cow<'_, str> {
    match field {
        fields::EMAIL => email(text),
        fields::PHONE => phone(text),
        fields::IP => ip(text).map_or(Cow::Borrowed(text), |ip| Cow::Owned(ip.to_string())),
        _ => Cow::Borrowed(text),
    }
}

/// A part of a field's text, as the field may have it.
pub fn part(field: usize, text: &str) -> Cow<'_, str> {
    match field {
        fields::EMAIL => lower(text),
        _ => Cow::Borrowed(text),
    }
}

/// An entry of a list, or what is looked up there, of which it is not known what it is.
pub fn any(text: &str) -> Cow<'_, str> {
    let is_phone = |text: &str| text.starts_with('+') && !text.contains(|c: char| c.is_alphabetic());
    if text.contains('@') {
        email(text)
    } else if is_phone(text) {
        phone(text)
    } else if text.contains(':') {
        of(fields::IP, text)
    } else {
        Cow::Borrowed(text)
    }
}

fn lower(text: &str) -> Cow<'_, str> {
    // All of them, as many at once as the processor takes.
    if !text.bytes().fold(false, |odd, b| odd | !b.is_ascii() | b.is_ascii_uppercase()) {
        Cow::Borrowed(text)
    } else {
        Cow::Owned(text.to_lowercase())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_has_one_way_to_be_written() {
        for (text, expected) in [
            (" A.B+c@Example.COM. \u{a0}", "a.b+c@example.com"),
            ("É@x.test", "é@x.test"),
            ("a@b", "a@b"),
            ("\t", ""),
            ("a@b . .", "a@b"),
        ] {
            assert_eq!(email(text), expected, "{text}");
        }
        for (text, expected) in [
            ("+49 (170) 123-45.67", "+491701234567"),
            (" (+49)\u{a0}170 1234567", "+491701234567"),
            ("0170/1234567", "01701234567"),
            ("+491701234567", "+491701234567"),
            ("5 + 5", "55"),
            ("unknown", "unknown"),
            ("", ""),
        ] {
            assert_eq!(phone(text), expected, "{text}");
        }
        for (text, expected) in [
            ("::ffff:203.0.113.7", "203.0.113.7"),
            ("2001:DB8:0::1", "2001:db8::1"),
            ("203.0.113.7", "203.0.113.7"),
            ("x", "x"),
        ] {
            assert_eq!(of(fields::IP, text), expected, "{text}");
        }
        for (text, expected) in
            [("A@b", "a@b"), ("+1 23", "+123"), ("+A 1", "+A 1"), ("2001:DB8:0::1", "2001:db8::1"), ("A b", "A b")]
        {
            assert_eq!(any(text), expected, "{text}");
        }
    }
}
