//! Card numbers in places where they must not be.

/// First digits of a range, as many as the bounds have, and the lengths that numbers in it have.
struct Range {
    digits: u32,
    first: u32,
    last: u32,
    shortest: usize,
    longest: usize,
}

const fn range(digits: u32, first: u32, last: u32, shortest: usize, longest: usize) -> Range {
    Range { digits, first, last, shortest, longest }
}

/// The schemes' ranges (ISO/IEC 7812 issuer identification numbers, as the schemes publish them).
const SCHEMES: &[Range] = &[
    range(1, 4, 4, 13, 19),       // Visa
    range(2, 51, 55, 16, 16),     // Mastercard
    range(4, 2221, 2720, 16, 16), // Mastercard
    range(2, 34, 34, 15, 15),     // American Express
    range(2, 37, 37, 15, 15),     // American Express
    range(3, 300, 305, 14, 19),   // Diners Club
    range(4, 3095, 3095, 14, 19), // Diners Club
    range(2, 36, 36, 14, 19),     // Diners Club
    range(2, 38, 39, 14, 19),     // Diners Club
    range(4, 3528, 3589, 16, 19), // JCB
    range(4, 6011, 6011, 16, 19), // Discover
    range(3, 644, 649, 16, 19),   // Discover
    range(2, 65, 65, 16, 19),     // Discover, RuPay
    range(2, 60, 60, 16, 16),     // RuPay
    range(2, 81, 82, 16, 19),     // RuPay, UnionPay
    range(2, 62, 62, 16, 19),     // UnionPay
    range(2, 50, 50, 13, 19),     // Maestro
    range(2, 56, 58, 13, 19),     // Maestro
    range(2, 63, 63, 13, 19),     // Maestro
    range(2, 67, 67, 13, 19),     // Maestro
    range(4, 2200, 2204, 16, 19), // Mir
    range(4, 9792, 9792, 16, 16), // Troy
];

const SHORTEST: usize = 13;
const LONGEST: usize = 19;
/// Zeros of Unicode's decimal digits (general category Nd, Unicode 15), each followed by its nine others.
const ZEROS: [u32; 68] = [
    0x30, 0x660, 0x6f0, 0x7c0, 0x966, 0x9e6, 0xa66, 0xae6, 0xb66, 0xbe6, 0xc66, 0xce6, 0xd66, 0xde6, 0xe50, 0xed0,
    0xf20, 0x1040, 0x1090, 0x17e0, 0x1810, 0x1946, 0x19d0, 0x1a80, 0x1a90, 0x1b50, 0x1bb0, 0x1c40, 0x1c50, 0xa620,
    0xa8d0, 0xa900, 0xa9d0, 0xa9f0, 0xaa50, 0xabf0, 0xff10, 0x104a0, 0x10d30, 0x11066, 0x110f0, 0x11136, 0x111d0,
    0x112f0, 0x11450, 0x114d0, 0x11650, 0x116c0, 0x11730, 0x118e0, 0x11950, 0x11c50, 0x11d50, 0x11da0, 0x11f50,
    0x16a60, 0x16ac0, 0x16b50, 0x1d7ce, 0x1d7d8, 0x1d7e2, 0x1d7ec, 0x1d7f6, 0x1e140, 0x1e2f0, 0x1e4f0, 0x1e950,
    0x1fbf0,
];

/// What a text is made of, as far as card numbers go.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Sign {
    Digit(u8),
    /// May stand between two digits of a number.
    Apart,
    Other,
}

impl Sign {
    fn is_digit(self) -> bool {
        matches!(self, Sign::Digit(_))
    }
}

/// The sign at the beginning of a text, and the bytes it takes.
fn sign(text: &str) -> Option<(Sign, usize)> {
    let c = text.chars().next()?;
    let one = match c {
        '0'..='9' => Sign::Digit(c as u8 - b'0'),
        '+' => Sign::Apart,
        '%' => {
            let escaped = text.get(1..3).and_then(|two| u8::from_str_radix(two, 16).ok());
            return Some(match escaped {
                Some(byte) if byte.is_ascii() && is_apart(byte as char) => (Sign::Apart, 3),
                _ => (Sign::Other, 1),
            });
        }
        _ if is_apart(c) => Sign::Apart,
        _ if c.is_ascii() => Sign::Other,
        _ => decimal(c).map_or(Sign::Other, Sign::Digit),
    };
    Some((one, c.len_utf8()))
}

/// Spaces, dashes, and what is not seen.
fn is_apart(c: char) -> bool {
    c.is_whitespace() || c.is_control() || matches!(c, '-' | '+') || !c.is_ascii() && is_apart_beyond_ascii(c)
}

/// Dashes (general category Pd, and the minus sign) and signs of no width.
fn is_apart_beyond_ascii(c: char) -> bool {
    matches!(c,
        '\u{58a}' | '\u{5be}' | '\u{1400}' | '\u{1806}' | '\u{2010}'..='\u{2015}' | '\u{2043}' | '\u{207b}' | '\u{208b}'
        | '\u{2212}' | '\u{2e17}' | '\u{2e1a}' | '\u{2e3a}' | '\u{2e3b}' | '\u{2e40}' | '\u{2e5d}' | '\u{301c}' | '\u{3030}'
        | '\u{30a0}' | '\u{fe31}' | '\u{fe32}' | '\u{fe58}' | '\u{fe63}' | '\u{ff0d}' | '\u{10ead}'
        | '\u{ad}' | '\u{34f}' | '\u{61c}' | '\u{115f}' | '\u{1160}' | '\u{17b4}' | '\u{17b5}' | '\u{180b}'..='\u{180e}'
        | '\u{200b}'..='\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{2800}' | '\u{3164}'
        | '\u{fe00}'..='\u{fe0f}' | '\u{feff}' | '\u{ffa0}' | '\u{e0000}'..='\u{e0fff}')
}

fn decimal(c: char) -> Option<u8> {
    let after = ZEROS.partition_point(|zero| *zero <= c as u32);
    let value = c as u32 - ZEROS.get(after.checked_sub(1)?)?;
    u8::try_from(value).ok().filter(|value| *value < 10)
}

/// Whether some of the text is a card number: 13 to 19 digits of any script with nothing but spaces, dashes, `+` and what is
/// not seen between them, of a scheme's range, with the right check digit. Digits on either side belong to it unless such a
/// sign divides them.
pub fn holds_card_number(text: &str) -> bool {
    may_hold(text.as_bytes()) && has_enough(text.as_bytes()) && holds(text)
}

/// The same, sign by sign.
fn holds(text: &str) -> bool {
    let (mut rest, mut after_digit) = (text, false);
    while let Some((sign, length)) = sign(rest) {
        if sign.is_digit() && !after_digit && card_number_at(rest) {
            return true;
        }
        after_digit = sign.is_digit();
        rest = rest.get(length..).unwrap_or("");
    }
    false
}

/// Whether so many bytes stand together as a number has at least, which may all be of one: most texts are done with here.
/// Of those that stand too near to what is of none nothing is looked at.
fn may_hold(text: &[u8]) -> bool {
    // What is written as an escape has its last sign two behind the `%`.
    let is_escaped = |at: usize| at >= 2 && text[at - 2] == b'%';
    let is_of_none =
        |at: &usize| !matches!(text[*at], b'0'..=b'9' | 0..=b' ' | b'+' | b'-' | b'%' | 0x7f..) && !is_escaped(*at);
    let mut end = SHORTEST;
    while end <= text.len() {
        match (end - SHORTEST..end).rev().find(is_of_none) {
            Some(at) => end = at + 1 + SHORTEST,
            None => return true,
        }
    }
    false
}

/// Whether there are digits enough, if every character beyond ASCII is one.
fn has_enough(text: &[u8]) -> bool {
    let may_be = |byte: &u8| u8::from(byte.is_ascii_digit() | (*byte >= 0xc0));
    // Sums of bytes, as many at once as the processor takes.
    let count = |part: &[u8]| usize::from(part.iter().map(may_be).sum::<u8>());
    text.chunks(usize::from(u8::MAX)).map(count).sum::<usize>() >= SHORTEST
}

fn card_number_at(mut rest: &str) -> bool {
    let (mut digits, mut count) = ([0u8; LONGEST], 0);
    while let Some((one, length)) = sign(rest) {
        rest = rest.get(length..).unwrap_or("");
        match one {
            Sign::Digit(_) if count == LONGEST => return false,
            Sign::Digit(digit) => {
                digits[count] = digit;
                count += 1;
                let ends = sign(rest).is_none_or(|(next, _)| !next.is_digit());
                if ends && is_card_number(&digits[..count]) {
                    return true;
                }
            }
            Sign::Apart => {}
            Sign::Other => return false,
        }
    }
    false
}

/// Whether a whole number is one when it is written out.
pub fn is_card_number_value(number: u64) -> bool {
    let (mut digits, mut count, mut rest) = ([0u8; 20], 0, number);
    while rest > 0 {
        digits[19 - count] = (rest % 10) as u8;
        (rest, count) = (rest / 10, count + 1);
    }
    is_card_number(&digits[20 - count..])
}

fn is_card_number(digits: &[u8]) -> bool {
    if !(SHORTEST..=LONGEST).contains(&digits.len()) {
        return false;
    }
    let prefix = |count: u32| digits.iter().take(count as usize).fold(0, |n, d| n * 10 + u32::from(*d));
    let in_range = SCHEMES
        .iter()
        .any(|r| (r.first..=r.last).contains(&prefix(r.digits)) && (r.shortest..=r.longest).contains(&digits.len()));
    in_range && luhn(digits)
}

/// The check digit of ISO/IEC 7812-1 annex B.
fn luhn(digits: &[u8]) -> bool {
    let weighed = digits.iter().rev().enumerate().map(|(i, d)| match (i % 2, d * 2) {
        (0, _) => *d,
        (_, doubled @ 0..=9) => doubled,
        (_, doubled) => doubled - 9,
    });
    weighed.map(u32::from).sum::<u32>() % 10 == 0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn card_numbers_are_found_wherever_they_stand() {
        for text in [
            "4111111111111111",
            "4111 1111 1111 1111",
            "4111-1111-1111-1111",
            "4111  1111 - 1111 -- 1111",
            "card: 4111 1111 1111 1111 12/27",
            "x5555555555554444y",
            "378282246310005",
            "6011111111111117",
            "3530111333300000",
            "30569309025904",
            "4222222222222",
            "12 4111111111111111",
            "2223000048400011",
            "4111\u{a0}1111\u{2009}1111\u{3000}1111",
            "4111\t1111\n1111\r\n1111",
            "4111\u{200b}1111\u{feff}1111\u{ad}1111",
            "4111\u{2013}1111\u{2011}1111\u{2212}1111",
            "4111     1111     1111     1111",
            "4111%201111%2d1111%0A1111",
            "4111+1111+1111+1111",
            "n=4111\u{0}1111\u{0}1111\u{0}1111",
            "\u{ff14}\u{ff11}\u{ff11}\u{ff11}111111111111",
            "\u{664}\u{661}\u{661}\u{661} \u{661}\u{661}\u{661}\u{661} \u{661}\u{661}\u{661}\u{661} \u{661}\u{661}\u{661}\u{661}",
        ] {
            assert!(holds_card_number(text), "{text}");
        }
        // Wherever digits are counted in parts.
        for before in [240, 250, 255, 256] {
            assert!(holds_card_number(&("x".repeat(before) + "4111 1111 1111 1111")), "{before}");
        }
        assert!(is_card_number_value(4_111_111_111_111_111));
    }

    #[test]
    fn what_is_told_at_a_glance_is_what_a_closer_look_says() {
        let with = |number: &'static str| proptest::collection::vec(number, 0..3);
        let number =
            "4111%2[dD]1111%0a1111 1111|4111%\\+d1111-11111111|4111.{0,2}1111.{0,2}1111.{0,2}1111|[0-9a-f%+. -]{1,30}";
        proptest::proptest!(|(text in "[0-9a-g%+. \u{661}\u{a0}é-]{0,40}", numbers in with(number))| {
            let text = numbers.concat() + &text;
            proptest::prop_assert_eq!(holds_card_number(&text), holds(&text), "{}", text);
        });
    }

    #[test]
    fn other_digits_are_not_card_numbers() {
        for text in [
            "",
            "4111111111111112",
            "41111111111111111111111111",
            "411111 and 1111111111",
            "1234567890123456",
            "2026-11-23T04:10:00.000Z",
            "99411111111111111100",
            "4111.1111.1111.1111",
            "4111%411111%411111%411111",
            "\u{665}\u{661}\u{661}\u{661}111111111111",
            "\u{441}\u{442}\u{43e}\u{440}\u{43e}\u{43d}\u{430}",
            "411111111111",
        ] {
            assert!(!holds_card_number(text), "{text}");
        }
        assert!(!is_card_number_value(0) && !is_card_number_value(u64::MAX) && !is_card_number_value(4111));
    }
}
