//! JSON string escapes (RFC 8259 section 7): finding, checking, decoding and writing them.

use super::chunk::{STEP, first_special};

/// Whether a string ends, escapes or breaks at this byte.
#[inline]
fn is_special(byte: u8) -> bool {
    byte == b'"' || byte == b'\\' || byte < 0x20
}

/// The first quote, backslash or control character at or after `at`; the length if there is none.
#[inline]
pub fn find_special(bytes: &[u8], mut at: usize) -> usize {
    while let Some(chunk) = bytes.get(at..).and_then(|rest| rest.first_chunk()) {
        let first = first_special(chunk);
        at += first;
        if first < STEP {
            return at;
        }
    }
    while let Some(&byte) = bytes.get(at) {
        if is_special(byte) {
            return at;
        }
        at += 1;
    }
    bytes.len()
}

fn hex4(bytes: &[u8], at: usize) -> Option<u32> {
    let digits = bytes.get(at..at + 4)?;
    digits.iter().try_fold(0, |value, &byte| Some(value * 16 + char::from(byte).to_digit(16)?))
}

/// Reads the escape whose backslash is at `at`: the character and the position after it. `None` for an unknown
/// escape and for a surrogate without its other half.
fn read(bytes: &[u8], at: usize) -> Option<(char, usize)> {
    let plain = match bytes.get(at + 1)? {
        b'"' => '"',
        b'\\' => '\\',
        b'/' => '/',
        b'b' => '\u{8}',
        b'f' => '\u{c}',
        b'n' => '\n',
        b'r' => '\r',
        b't' => '\t',
        b'u' => {
            let first = hex4(bytes, at + 2)?;
            if !(0xD800..0xDC00).contains(&first) {
                return Some((char::from_u32(first)?, at + 6));
            }
            if bytes.get(at + 6..at + 8)? != b"\\u" {
                return None;
            }
            let second = hex4(bytes, at + 8)?;
            if !(0xDC00..0xE000).contains(&second) {
                return None;
            }
            let code = 0x1_0000 + ((first - 0xD800) << 10) + (second - 0xDC00);
            return Some((char::from_u32(code)?, at + 12));
        }
        _ => return None,
    };
    Some((plain, at + 2))
}

/// Checks the escape whose backslash is at `at` and gives the position after it.
#[inline]
pub fn check(bytes: &[u8], at: usize) -> Option<usize> {
    read(bytes, at).map(|(_, next)| next)
}

/// Decodes the inside of a string that has passed [`check`] at every backslash.
pub fn decode(raw: &str) -> String {
    let mut text = String::with_capacity(raw.len());
    let mut rest = 0;
    while let Some(found) = raw[rest..].find('\\') {
        let at = rest + found;
        text.push_str(&raw[rest..at]);
        match read(raw.as_bytes(), at) {
            Some((decoded, next)) => {
                text.push(decoded);
                rest = next;
            }
            None => return text,
        }
    }
    text.push_str(&raw[rest..]);
    text
}

/// Appends `text` as the inside of a JSON string, without quotes.
pub fn escape_json(text: &str, out: &mut Vec<u8>) {
    let bytes = text.as_bytes();
    let mut rest = 0;
    loop {
        let at = find_special(bytes, rest);
        out.extend_from_slice(&bytes[rest..at]);
        let Some(&byte) = bytes.get(at) else { return };
        match byte {
            b'"' => out.extend_from_slice(b"\\\""),
            b'\\' => out.extend_from_slice(b"\\\\"),
            b'\n' => out.extend_from_slice(b"\\n"),
            b'\r' => out.extend_from_slice(b"\\r"),
            b'\t' => out.extend_from_slice(b"\\t"),
            _ => {
                const HEX: &[u8; 16] = b"0123456789abcdef";
                let (high, low) = (HEX[usize::from(byte >> 4)], HEX[usize::from(byte & 15)]);
                out.extend_from_slice(&[b'\\', b'u', b'0', b'0', high, low]);
            }
        }
        rest = at + 1;
    }
}

/// Appends `text` as a JSON string.
pub fn write_string(text: &str, out: &mut Vec<u8>) {
    out.push(b'"');
    escape_json(text, out);
    out.push(b'"');
}
