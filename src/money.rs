//! Money: exact integers, never floats.
//!
//! [`Nanos`] is 1e-9 of a currency unit. A CPM price with up to six decimals is a whole number of nanos per
//! impression, so prices, bids and bills in one currency are never rounded. [`Rate`] is the price of one currency
//! unit in USD; a conversion names its rounding direction.

use std::fmt;
use std::iter::Sum;
use std::ops::{Add, AddAssign, Sub, SubAssign};

/// Nanos in one currency unit.
pub const NANOS_PER_UNIT: i64 = 1_000_000_000;
/// Largest budget or price accepted from outside, in units: far above any real budget, far below overflow.
pub const MAX_UNITS: i64 = 1_000_000_000;

/// An amount of money in 1e-9 of a currency unit.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Nanos(pub i64);

impl Nanos {
    pub const ZERO: Nanos = Nanos(0);
    pub const MAX: Nanos = Nanos(i64::MAX);

    /// Parses a decimal amount of currency units such as `"5000.00"`; at most nine decimals, no sign, no exponent.
    pub fn parse_units(text: &str) -> Result<Nanos, MoneyError> {
        let (value, exact) = parse_decimal(text, 9)?;
        if exact { Ok(Nanos(value)) } else { Err(MoneyError::TooPrecise(9)) }
    }

    /// Parses a CPM price such as `"2.50"` into nanos per impression; at most six decimals.
    pub fn parse_cpm(text: &str) -> Result<Nanos, MoneyError> {
        let (value, exact) = parse_decimal(text, 6)?;
        if exact { Ok(Nanos(value)) } else { Err(MoneyError::TooPrecise(6)) }
    }

    /// As [`Nanos::parse_cpm`], but a seventh and later decimal rounds up: for prices that exchanges send us.
    pub fn parse_cpm_ceil(text: &str) -> Result<Nanos, MoneyError> {
        let (value, exact) = parse_decimal(text, 6)?;
        Ok(Nanos(if exact { value } else { value.saturating_add(1) }))
    }

    /// The CPM price of a JSON number such as a bid floor, rounded up to a nano per impression so that a bid at or
    /// above the result is at or above the number. Not finite, negative or huge is `None`.
    pub fn cpm_from_f64_ceil(cpm: f64) -> Option<Nanos> {
        if !(0.0..=MAX_UNITS as f64).contains(&cpm) {
            return None;
        }
        // The nearest f64 to a decimal such as 2.51 times 1e6 may lie a hair above the whole number it stands for.
        let micros = cpm * 1e6;
        let nearest = micros.round();
        let whole = if (micros - nearest).abs() <= nearest.abs() * 1e-15 { nearest } else { micros.ceil() };
        Some(Nanos(whole as i64))
    }

    pub fn checked_add(self, other: Nanos) -> Option<Nanos> {
        self.0.checked_add(other.0).map(Nanos)
    }

    pub fn max(self, other: Nanos) -> Nanos {
        Nanos(self.0.max(other.0))
    }

    pub fn min(self, other: Nanos) -> Nanos {
        Nanos(self.0.min(other.0))
    }

    /// This price for `quantity` impressions, rounded up.
    pub fn times(self, quantity: Quantity) -> Nanos {
        if quantity == Quantity::ONE {
            return self;
        }
        Nanos(clamp(div_ceil(i128::from(self.0) * i128::from(quantity.0), i128::from(Quantity::ONE.0))))
    }

    /// This price, of something that happens with probability `p`, rounded down to a nano once and exactly: an f64 is a whole
    /// number times a power of two, so no float is computed with. Not a number, or not within 0 and 1, is `None`.
    pub fn times_probability(self, p: f64) -> Option<Nanos> {
        if !(0.0..=1.0).contains(&p) || self.0 < 0 {
            return None;
        }
        let (exponent, fraction) = (p.to_bits() >> 52 & 0x7ff, p.to_bits() & ((1 << 52) - 1));
        // p is `whole` / 2^`halvings`; below the smallest normal number there is no leading one.
        let (whole, halvings) = match exponent {
            0 => (fraction, 1_074),
            _ => (fraction | 1 << 52, 1_075 - exponent as u32),
        };
        let product = self.0.unsigned_abs() as u128 * u128::from(whole);
        Some(Nanos(product.checked_shr(halvings).unwrap_or(0) as i64))
    }

    /// Converts from a currency with rate `from` into one with rate `to`, rounded towards zero: for bids.
    pub fn convert_floor(self, from: Rate, to: Rate) -> Nanos {
        if from == to {
            return self;
        }
        Nanos(clamp(i128::from(self.0) * i128::from(from.0) / i128::from(to.0)))
    }

    /// Converts from a currency with rate `from` into one with rate `to`, rounded up: for floors and bookings.
    pub fn convert_ceil(self, from: Rate, to: Rate) -> Nanos {
        if from == to {
            return self;
        }
        Nanos(clamp(div_ceil(i128::from(self.0) * i128::from(from.0), i128::from(to.0))))
    }

    /// Shows nanos per impression as a CPM price.
    pub fn as_cpm(self) -> Decimal {
        Decimal { value: self.0, decimals: 6 }
    }
}

impl fmt::Display for Nanos {
    /// Currency units as a decimal string: at least two decimals, no trailing zeros beyond them.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        Decimal { value: self.0, decimals: 9 }.fmt(f)
    }
}

/// What is accepted from outside is far below overflow, and so are its sums. Money that got there all the same is wrong: a
/// release build does not go on with it either.
#[cold]
#[inline(never)]
fn out_of_range() -> ! {
    panic!("an amount of money is out of range")
}

impl Add for Nanos {
    type Output = Nanos;
    fn add(self, other: Nanos) -> Nanos {
        self.0.checked_add(other.0).map_or_else(|| out_of_range(), Nanos)
    }
}
impl Sub for Nanos {
    type Output = Nanos;
    fn sub(self, other: Nanos) -> Nanos {
        self.0.checked_sub(other.0).map_or_else(|| out_of_range(), Nanos)
    }
}
impl AddAssign for Nanos {
    fn add_assign(&mut self, other: Nanos) {
        *self = *self + other;
    }
}
impl SubAssign for Nanos {
    fn sub_assign(&mut self, other: Nanos) {
        *self = *self - other;
    }
}
impl Sum for Nanos {
    fn sum<I: Iterator<Item = Nanos>>(iter: I) -> Nanos {
        iter.fold(Nanos::ZERO, Add::add)
    }
}

/// How many impressions one bid pays for, in millionths: `qty.multiplier` of out-of-home requests (OpenRTB 2.6 3.2.31).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Quantity(pub u32);

impl Quantity {
    pub const ONE: Quantity = Quantity(1_000_000);

    /// Above zero and at most 4,000 impressions; anything else is `None`.
    pub fn from_f64(multiplier: f64) -> Option<Quantity> {
        if !(multiplier > 0.0 && multiplier <= 4_000.0) {
            return None;
        }
        Some(Quantity(((multiplier * 1e6).ceil() as u32).max(1)))
    }
}

/// The price of one currency unit in USD, in 1e-9.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rate(pub i64);

impl Rate {
    pub const USD: Rate = Rate(NANOS_PER_UNIT);

    /// Parses a positive decimal such as `"1.085"`.
    pub fn parse(text: &str) -> Result<Rate, MoneyError> {
        match Nanos::parse_units(text)? {
            Nanos(0) => Err(MoneyError::Zero),
            Nanos(value) => Ok(Rate(value)),
        }
    }
}

/// A number to be shown with at least two and at most `decimals` decimals.
#[derive(Clone, Copy, Debug)]
pub struct Decimal {
    value: i64,
    decimals: u32,
}

impl fmt::Display for Decimal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let scale = 10u64.pow(self.decimals);
        let magnitude = self.value.unsigned_abs();
        let (whole, mut fraction, mut digits) = (magnitude / scale, magnitude % scale, self.decimals);
        while digits > 2 && fraction % 10 == 0 {
            fraction /= 10;
            digits -= 1;
        }
        let sign = if self.value < 0 { "-" } else { "" };
        write!(f, "{sign}{whole}.{fraction:0width$}", width = digits as usize)
    }
}

/// What is wrong with an amount of money.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum MoneyError {
    #[error("is empty")]
    Empty,
    #[error("is not a plain decimal number such as \"12.50\"")]
    Malformed,
    #[error("is negative")]
    Negative,
    #[error("must be above zero")]
    Zero,
    #[error("has more than {0} decimals")]
    TooPrecise(u32),
    #[error("is above 1000000000 units")]
    TooLarge,
}

/// Digits, optionally a point and more digits, scaled by 10^decimals and cut; the flag says whether nothing was cut.
fn parse_decimal(text: &str, decimals: u32) -> Result<(i64, bool), MoneyError> {
    let bytes = text.as_bytes();
    match bytes.first() {
        None => return Err(MoneyError::Empty),
        Some(b'-') if bytes.len() > 1 && bytes[1].is_ascii_digit() => return Err(MoneyError::Negative),
        _ => {}
    }
    let mut value: i64 = 0;
    let mut scale_left: Option<u32> = None;
    let (mut digits, mut exact) = (0, true);
    for &byte in bytes {
        match (byte, scale_left) {
            (b'.', None) if digits > 0 => {
                scale_left = Some(decimals);
                digits = 0;
            }
            (b'0'..=b'9', Some(0)) => {
                digits += 1;
                exact &= byte == b'0';
            }
            (b'0'..=b'9', _) => {
                digits += 1;
                value = value
                    .checked_mul(10)
                    .and_then(|v| v.checked_add(i64::from(byte - b'0')))
                    .ok_or(MoneyError::TooLarge)?;
                if let Some(left) = &mut scale_left {
                    *left -= 1;
                }
            }
            _ => return Err(MoneyError::Malformed),
        }
    }
    if digits == 0 {
        return Err(MoneyError::Malformed);
    }
    let scaled = value.checked_mul(10i64.pow(scale_left.unwrap_or(decimals))).ok_or(MoneyError::TooLarge)?;
    if scaled / 10i64.pow(decimals) > MAX_UNITS { Err(MoneyError::TooLarge) } else { Ok((scaled, exact)) }
}

fn div_ceil(a: i128, b: i128) -> i128 {
    a.div_euclid(b) + i128::from(a.rem_euclid(b) != 0)
}

fn clamp(value: i128) -> i64 {
    value.clamp(i128::from(i64::MIN), i128::from(i64::MAX)) as i64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    #[should_panic = "an amount of money is out of range"]
    fn a_sum_beyond_all_money_is_none() {
        let _ = [Nanos::MAX, Nanos(1)].into_iter().sum::<Nanos>();
    }

    #[test]
    fn parses_and_shows_exactly() {
        assert_eq!(Nanos::parse_units("5000.00").unwrap(), Nanos(5_000_000_000_000));
        assert_eq!(Nanos::parse_cpm("2.50").unwrap(), Nanos(2_500_000));
        assert_eq!(Nanos::parse_cpm("0.000001").unwrap(), Nanos(1));
        assert_eq!(Nanos(2_500_000).as_cpm().to_string(), "2.50");
        assert_eq!(Nanos(2_500_001).as_cpm().to_string(), "2.500001");
        assert_eq!(Nanos(2_500_000).to_string(), "0.0025");
        assert_eq!(Nanos(-1).to_string(), "-0.000000001");
        assert_eq!(Nanos(0).to_string(), "0.00");
    }

    #[test]
    fn a_chance_of_a_price_is_rounded_down_exactly() {
        let price = Nanos(400_000_001);
        for (p, nanos) in [
            (0.0, 0),
            (-0.0, 0),
            (1.0, 400_000_001),
            (0.5, 200_000_000),
            (0.25, 100_000_000),
            // One step below 1: the product lies just below the whole price.
            (1.0 - f64::EPSILON / 2.0, 400_000_000),
            (f64::MIN_POSITIVE, 0),
            (5e-324, 0),
        ] {
            assert_eq!(price.times_probability(p), Some(Nanos(nanos)), "{p}");
        }
        // The nearest f64 to 0.1 is a hair above it, that to 0.3 a hair below; the product of floats hides that.
        assert_eq!(Nanos(10).times_probability(0.1), Some(Nanos(1)));
        assert_eq!(Nanos(10).times_probability(0.3), Some(Nanos(2)));
        assert_eq!(Nanos::MAX.times_probability(1.0), Some(Nanos::MAX));
        for p in [f64::NAN, f64::INFINITY, -f64::MIN_POSITIVE, 1.0 + f64::EPSILON] {
            assert_eq!(price.times_probability(p), None, "{p}");
        }
        assert_eq!(Nanos(-1).times_probability(0.5), None);
    }

    #[test]
    fn refuses_what_is_not_plain() {
        for (text, want) in [
            ("", MoneyError::Empty),
            ("-1", MoneyError::Negative),
            ("-", MoneyError::Malformed),
            (".5", MoneyError::Malformed),
            ("5.", MoneyError::Malformed),
            ("1e3", MoneyError::Malformed),
            ("+1", MoneyError::Malformed),
            ("NaN", MoneyError::Malformed),
            ("1.2.3", MoneyError::Malformed),
            ("1000000001", MoneyError::TooLarge),
            ("99999999999999999999", MoneyError::TooLarge),
            ("0.0000001", MoneyError::TooPrecise(6)),
        ] {
            assert_eq!(Nanos::parse_cpm(text), Err(want), "{text}");
        }
        assert_eq!(Nanos::parse_cpm("1.0000000").unwrap(), Nanos(1_000_000));
    }

    #[test]
    fn prices_from_outside_round_up() {
        assert_eq!(Nanos::parse_cpm_ceil("1.0000001").unwrap(), Nanos(1_000_001));
        assert_eq!(Nanos::parse_cpm_ceil("1.0").unwrap(), Nanos(1_000_000));
        assert_eq!(Nanos::cpm_from_f64_ceil(2.51), Some(Nanos(2_510_000)));
        assert_eq!(Nanos::cpm_from_f64_ceil(0.0000001), Some(Nanos(1)));
        assert_eq!(Nanos::cpm_from_f64_ceil(f64::NAN), None);
        assert_eq!(Nanos::cpm_from_f64_ceil(-0.1), None);
    }

    #[test]
    fn a_converted_bid_never_books_more_than_was_reserved() {
        let (eur, usd) = (Rate::parse("1.085").unwrap(), Rate::USD);
        for price in [1i64, 7, 2_500_000, 999_999_999, 123_456_789_012] {
            let bid = Nanos(price).convert_floor(usd, eur);
            let booked = bid.convert_ceil(eur, usd);
            assert!(booked.0 <= price, "{price} -> {bid:?} -> {booked:?}");
        }
    }
}
