//! Decimals in notices, read exactly: digits, a fraction, an exponent. No float ever holds a price.

/// What is wrong with a decimal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DecimalError {
    Malformed,
    Negative,
}

/// Longer text than this is no number that anyone meant.
const MAX_LEN: usize = 64;
/// Digits that fit into u128 with room for the next one.
const MAX_DIGITS: u32 = 37;

/// The number times 10^`decimals`, rounded up to a whole one and at most `most`. Digits, with digits on both sides of
/// a point, and an exponent as JSON writes it; unlike there, zeros may lead.
pub fn scaled_ceil(text: &str, decimals: i32, most: i64) -> Result<i64, DecimalError> {
    if text.len() > MAX_LEN {
        return Err(DecimalError::Malformed);
    }
    if let Some(magnitude) = text.strip_prefix('-') {
        return Err(read(magnitude).map_or(DecimalError::Malformed, |_| DecimalError::Negative));
    }
    let number = read(text).ok_or(DecimalError::Malformed)?;
    Ok(number.scale(decimals, most))
}

struct Number {
    digits: u128,
    exponent: i32,
    /// Digits that did not fit were not all zero.
    cut: bool,
}

fn read(text: &str) -> Option<Number> {
    let (mantissa, exponent) = match text.split_once(['e', 'E']) {
        Some((mantissa, exponent)) => (mantissa, read_exponent(exponent)?),
        None => (text, 0),
    };
    let (whole, fraction) = match mantissa.split_once('.') {
        Some((_, "")) => return None,
        Some((whole, fraction)) => (whole, fraction),
        None => (mantissa, ""),
    };
    if whole.is_empty() {
        return None;
    }
    let mut number = Number { digits: 0, exponent, cut: false };
    let mut kept = 0;
    for (place, byte) in whole.bytes().chain(fraction.bytes()).enumerate() {
        if !byte.is_ascii_digit() {
            return None;
        }
        if kept < MAX_DIGITS {
            number.digits = number.digits * 10 + u128::from(byte - b'0');
            kept += u32::from(number.digits > 0);
            number.exponent -= i32::from(place >= whole.len());
        } else {
            number.cut |= byte != b'0';
            number.exponent += i32::from(place < whole.len());
        }
    }
    Some(number)
}

/// Beyond ±1000 every number is as good as infinite or nothing.
fn read_exponent(text: &str) -> Option<i32> {
    let (negative, digits) = match text.as_bytes() {
        [b'-', digits @ ..] => (true, digits),
        [b'+', digits @ ..] => (false, digits),
        digits => (false, digits),
    };
    if digits.is_empty() || !digits.iter().all(u8::is_ascii_digit) {
        return None;
    }
    let value = digits.iter().fold(0i32, |value, digit| (value * 10 + i32::from(digit - b'0')).min(1_000));
    Some(if negative { -value } else { value })
}

impl Number {
    fn scale(&self, decimals: i32, most: i64) -> i64 {
        if self.digits == 0 && !self.cut {
            return 0;
        }
        let shift = self.exponent + decimals;
        let factor = 10u128.checked_pow(shift.unsigned_abs());
        let (value, rest) = match (shift >= 0, factor) {
            (true, factor) => (factor.and_then(|f| self.digits.checked_mul(f)).unwrap_or(u128::MAX), false),
            (false, Some(factor)) => (self.digits / factor, !self.digits.is_multiple_of(factor)),
            (false, None) => (0, true),
        };
        let value = value.saturating_add(u128::from(rest || self.cut));
        i64::try_from(value).unwrap_or(most).min(most)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn micros(text: &str) -> Result<i64, DecimalError> {
        scaled_ceil(text, 6, 1_000_000_000_000_000)
    }

    #[test]
    fn decimals_are_exact_and_round_up() {
        for (text, want) in [
            ("0", 0),
            ("0.000", 0),
            ("0e99", 0),
            ("2.50", 2_500_000),
            ("2.51", 2_510_000),
            ("1.5E-3", 1_500),
            ("1e+2", 100_000_000),
            ("1.0000001", 1_000_001),
            ("1e-300", 1),
            ("1e-999999999999", 1),
            ("0.1234560000000000000000000000000000000000000001", 123_457),
            ("00.5", 500_000),
            ("1e9", 1_000_000_000_000_000),
            ("1e10", 1_000_000_000_000_000),
            ("1e400", 1_000_000_000_000_000),
            ("123456789012345678901234567890123456789012345", 1_000_000_000_000_000),
        ] {
            assert_eq!(micros(text), Ok(want), "{text}");
        }
    }

    #[test]
    fn what_is_not_a_number_is_refused() {
        let long = "1".repeat(65);
        for text in
            ["", ".", ".5", "5.", "+1", "1e", "1e+", "1.2.3", "1,5", "0x10", "NaN", "inf", " 1", "1 ", "-", "--1"]
        {
            assert_eq!(micros(text), Err(DecimalError::Malformed), "{text}");
        }
        assert_eq!(micros(&long), Err(DecimalError::Malformed));
        for text in ["-1", "-0.01", "-0", "-1e5"] {
            assert_eq!(micros(text), Err(DecimalError::Negative), "{text}");
        }
    }

    proptest! {
        #[test]
        fn exponents_only_move_the_point(whole in 0u32..100_000, fraction in 0u32..1_000_000, shift in 0i32..12) {
            let plain = format!("{whole}.{fraction:06}");
            let want = i64::from(whole) * 1_000_000 + i64::from(fraction);
            prop_assert_eq!(micros(&plain), Ok(want));
            let digits = format!("{whole}{fraction:06}");
            let with_exponent = format!("{digits}e-6");
            prop_assert_eq!(micros(&with_exponent), Ok(want));
            let zeros = "0".repeat(shift as usize);
            let with_zeros = format!("{digits}{zeros}E-{}", 6 + shift);
            prop_assert_eq!(micros(&with_zeros), Ok(want));
        }

        #[test]
        fn any_text_is_read_or_refused(text in "\\PC{0,70}") {
            let _ = micros(&text);
        }
    }
}
