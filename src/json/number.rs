//! Reading numbers: most are short integers, which are found and read at once.

use super::scan::{ScanError, Scanner, fail};

/// A number longer than this may lie beyond f64 even without an exponent (the largest f64 has 309 digits).
const SURELY_FINITE_LEN: usize = 300;

impl<'a> Scanner<'a> {
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
            _ => return fail(at),
        };
        if bytes.get(at) == Some(&b'.') {
            let fraction = digits(at + 1);
            if fraction == at + 1 {
                return fail(at);
            }
            at = fraction;
        }
        let mut surely_finite = at - start < SURELY_FINITE_LEN;
        if matches!(bytes.get(at), Some(b'e' | b'E')) {
            let sign = usize::from(matches!(bytes.get(at + 1), Some(b'+' | b'-')));
            let exponent = digits(at + 1 + sign);
            if exponent == at + 1 + sign {
                return fail(at);
            }
            at = exponent;
            surely_finite = false;
        }
        let text = self.between(start, at);
        if !surely_finite && !text.parse::<f64>().is_ok_and(f64::is_finite) {
            return fail(start);
        }
        self.pos = at;
        Ok(text)
    }

    /// Reads the number that starts here if it is an integer of one digit.
    #[inline(always)]
    pub(crate) fn digit(&mut self) -> Option<i64> {
        let &[first, behind, ..] = self.ahead()?;
        let value = first.wrapping_sub(b'0');
        // `]` and `}` differ in one bit.
        if value > 9 || (behind != b',' && behind | 0x20 != b'}') {
            return None;
        }
        self.pos += 1;
        Some(i64::from(value))
    }

    /// Reads the number that starts here if it is an integer of at most seven digits that does not end the text: all
    /// but the odd one.
    #[inline(always)]
    pub fn short_integer(&mut self) -> Option<i64> {
        let (value, len) = short_digits(*self.ahead()?.first_chunk()?);
        if len == 0 {
            return None;
        }
        self.pos += len as usize;
        Some(i64::from(value))
    }
}

/// The integer of at most seven digits that eight bytes begin with, and its length: which bytes are digits, and what they
/// are worth, is found for all at once. 0 if it is longer, or no integer.
#[inline(never)]
fn short_digits(bytes: [u8; 8]) -> (u32, u32) {
    const ZEROS: u64 = 0x3030_3030_3030_3030;
    const HIGH: u64 = 0xf0f0_f0f0_f0f0_f0f0;
    let x = u64::from_le_bytes(bytes);
    // Not zero where a byte is no digit; a carry out of such a byte only spoils what lies behind it.
    let others = ((x & HIGH) ^ ZEROS) | ((x.wrapping_add(0x0606_0606_0606_0606) & HIGH) ^ ZEROS);
    let len = others.trailing_zeros() / 8;
    if len == 0 || len == 8 {
        return (0, 0);
    }
    let leading_zero = len > 1 && x as u8 == b'0';
    if leading_zero || matches!((x >> (8 * len)) as u8, b'.' | b'e' | b'E') {
        return (0, 0);
    }
    // The digits behind leading zeros, in pairs, then fours, then all eight.
    let digits = (x << (64 - 8 * len)) & 0x0f0f_0f0f_0f0f_0f0f;
    let pairs = (digits.wrapping_mul(10 << 8 | 1) >> 8) & 0x00ff_00ff_00ff_00ff;
    let fours = (pairs.wrapping_mul(100 << 16 | 1) >> 16) & 0x0000_ffff_0000_ffff;
    let value = fours.wrapping_mul(10_000 << 32 | 1) >> 32;
    (value as u32, len)
}
