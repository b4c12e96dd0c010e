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
/// Spaces and dashes between two digits: more divide them.
const MOST_APART: usize = 4;

/// Whether some of the text is a card number: 13 to 19 digits with nothing but a few spaces and dashes between them, of a
/// scheme's range, with the right check digit. Digits on either side belong to it unless a space or dash divides them.
pub fn holds_card_number(text: &str) -> bool {
    let bytes = text.as_bytes();
    if bytes.len() < SHORTEST || bytes.iter().filter(|b| b.is_ascii_digit()).count() < SHORTEST {
        return false;
    }
    (0..bytes.len()).any(|at| {
        let begins = bytes[at].is_ascii_digit() && (at == 0 || !bytes[at - 1].is_ascii_digit());
        begins && card_number_at(&bytes[at..])
    })
}

fn card_number_at(bytes: &[u8]) -> bool {
    let (mut digits, mut count, mut apart) = ([0u8; LONGEST], 0, 0);
    for (at, byte) in bytes.iter().enumerate() {
        apart = if byte.is_ascii_digit() { 0 } else { apart + 1 };
        match byte {
            b'0'..=b'9' if count == LONGEST => return false,
            b'0'..=b'9' => {
                digits[count] = byte - b'0';
                count += 1;
                let ends = bytes.get(at + 1).is_none_or(|next| !next.is_ascii_digit());
                if ends && is_card_number(&digits[..count]) {
                    return true;
                }
            }
            b' ' | b'-' if apart <= MOST_APART => {}
            _ => return false,
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
        ] {
            assert!(holds_card_number(text), "{text}");
        }
        assert!(is_card_number_value(4_111_111_111_111_111));
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
            "411111111111",
        ] {
            assert!(!holds_card_number(text), "{text}");
        }
        assert!(!is_card_number_value(0) && !is_card_number_value(u64::MAX) && !is_card_number_value(4111));
    }
}
