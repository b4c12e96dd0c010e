//! Money as whole nanos (1e-9 of a currency unit), read from decimal text and never through a float.
//!
//! A CPM price with six decimals is a whole number of nanos per impression: `2.50` CPM is 2,500,000 nanos.

use std::fmt::Write;

/// Largest whole part read, in units: no real price comes near it, and sums stay far from overflow.
const MAX_WHOLE: i128 = 1_000_000_000_000;

/// Reads a plain decimal with at most `decimals` decimals (more are accepted when they are zeros) as an integer
/// in units of the last decimal. Exponents, spaces and plus signs are refused.
pub fn parse_decimal(text: &str, decimals: u32) -> Option<i128> {
    let (negative, digits) = match text.strip_prefix('-') {
        Some(rest) => (true, rest),
        None => (false, text),
    };
    let (whole, fraction) = match digits.split_once('.') {
        Some((_, "")) => return None,
        Some(parts) => parts,
        None => (digits, ""),
    };
    if whole.is_empty() || !whole.bytes().chain(fraction.bytes()).all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    let mut value: i128 = 0;
    for digit in whole.bytes() {
        value = value * 10 + i128::from(digit - b'0');
        if value > MAX_WHOLE {
            return None;
        }
    }
    let kept = fraction.len().min(decimals as usize);
    if fraction.bytes().skip(kept).any(|digit| digit != b'0') {
        return None;
    }
    for digit in fraction.bytes().take(kept) {
        value = value * 10 + i128::from(digit - b'0');
    }
    value *= 10i128.pow(decimals - kept as u32);
    Some(if negative { -value } else { value })
}

/// A CPM price as nanos per impression; at most six decimals, not negative.
pub fn parse_cpm(text: &str) -> Option<i64> {
    parse_decimal(text, 6).filter(|value| *value >= 0).and_then(|value| i64::try_from(value).ok())
}

/// An amount in currency units as nanos; at most nine decimals.
pub fn parse_units(text: &str) -> Option<i128> {
    parse_decimal(text, 9)
}

/// Writes nanos per impression as a CPM price with at least two decimals and no other trailing zeros.
pub fn push_cpm(out: &mut String, nanos: i64) {
    push_decimal(out, i128::from(nanos), 6);
}

pub fn show_cpm(nanos: i64) -> String {
    let mut out = String::with_capacity(12);
    push_cpm(&mut out, nanos);
    out
}

/// Nanos as currency units: at least two decimals and no other trailing zeros.
pub fn show_units(nanos: i128) -> String {
    let mut out = String::with_capacity(20);
    push_decimal(&mut out, nanos, 9);
    out
}

fn push_decimal(out: &mut String, value: i128, decimals: u32) {
    let scale = 10u128.pow(decimals);
    let magnitude = value.unsigned_abs();
    let (whole, mut fraction, mut width) = (magnitude / scale, magnitude % scale, decimals as usize);
    while width > 2 && fraction.is_multiple_of(10) {
        fraction /= 10;
        width -= 1;
    }
    if value < 0 {
        out.push('-');
    }
    // Writing to a String cannot fail.
    let _ = write!(out, "{whole}.{fraction:0width$}");
}

/// What one unit of each known currency costs in USD, in nanos. USD is always known.
#[derive(Clone, Debug)]
pub struct Rates {
    known: Vec<(String, i128)>,
}

impl Rates {
    /// Reads `EUR=1.085` pairs.
    pub fn parse(pairs: &[String]) -> Result<Rates, String> {
        let mut known = vec![("USD".to_owned(), 1_000_000_000)];
        for pair in pairs {
            let (code, rate) = pair.split_once('=').ok_or_else(|| format!("rate {pair:?} is not like EUR=1.085"))?;
            let rate = parse_units(rate).filter(|rate| *rate > 0);
            let rate =
                rate.ok_or_else(|| format!("rate {pair:?} is not a positive decimal of at most nine decimals"))?;
            let code = code.trim().to_ascii_uppercase();
            if known.iter().any(|(other, _)| *other == code) {
                return Err(format!("the rate of {code} is given twice, or is USD, which is always 1"));
            }
            known.push((code, rate));
        }
        Ok(Rates { known })
    }

    /// The currencies a bill can be converted into; positions are stable.
    pub fn codes(&self) -> impl Iterator<Item = &str> {
        self.known.iter().map(|(code, _)| code.as_str())
    }

    pub fn position(&self, code: &str) -> Option<usize> {
        self.codes().position(|known| known == code)
    }

    /// Whether any conversion is possible at all.
    pub fn converts(&self) -> bool {
        self.known.len() > 1
    }

    /// What a bill of `nanos` in `from` books in the currency at position `to`: each bill is rounded up to a nano.
    pub fn convert_up(&self, nanos: i64, from: usize, to: usize) -> i128 {
        if from == to {
            return i128::from(nanos);
        }
        let (scaled, divisor) = (i128::from(nanos) * self.known[from].1, self.known[to].1);
        (scaled + divisor - 1) / divisor
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_decimals_exactly() {
        assert_eq!(parse_cpm("2.50"), Some(2_500_000));
        assert_eq!(parse_cpm("0.000001"), Some(1));
        assert_eq!(parse_cpm("3"), Some(3_000_000));
        assert_eq!(parse_cpm("1.2345670"), Some(1_234_567));
        assert_eq!(parse_units("12.345678901"), Some(12_345_678_901));
        assert_eq!(parse_units("-0.5"), Some(-500_000_000));
        for wrong in ["", ".", "1.", ".5", "1e3", "+1", " 1", "1,5", "0.0000001", "NaN", "-1", "9999999999999"] {
            assert_eq!(parse_cpm(wrong), None, "{wrong:?}");
        }
    }

    #[test]
    fn a_price_that_a_float_would_bend_survives() {
        // 0.1 + 0.2 and its kind: the text goes in and comes out.
        for text in ["0.30", "1.10", "2.675", "4503599627.370497", "0.000003"] {
            assert_eq!(show_cpm(parse_cpm(text).expect(text)), text);
        }
    }

    #[test]
    fn shows_two_decimals_at_least() {
        assert_eq!(show_units(0), "0.00");
        assert_eq!(show_units(123_456_789), "0.123456789");
        assert_eq!(show_units(-1_500_000_000), "-1.50");
        assert_eq!(show_cpm(2_500_000), "2.50");
    }

    #[test]
    fn conversion_rounds_each_bill_up() {
        let rates = Rates::parse(&["EUR=1.085".to_owned()]).expect("rates");
        let (usd, eur) = (rates.position("USD").expect("usd"), rates.position("EUR").expect("eur"));
        assert_eq!(rates.convert_up(1_000_000, eur, usd), 1_085_000);
        assert_eq!(rates.convert_up(1, eur, usd), 2);
        assert_eq!(rates.convert_up(1_085_000, usd, eur), 1_000_000);
        assert_eq!(rates.convert_up(1_085_001, usd, eur), 1_000_001);
        assert!(Rates::parse(&["EUR".to_owned()]).is_err());
        assert!(Rates::parse(&["EUR=0".to_owned()]).is_err());
    }
}
