//! Numbers in base64url text, six bits to a character, as the IAB's consent strings hold them.

/// A place in the bits of a text. Reading needs no buffer: a number is made of the few characters that it lies in.
#[derive(Clone, Copy, Debug)]
pub(super) struct Bits<'a> {
    text: &'a [u8],
    at: usize,
}

/// Not a character of base64url.
const NONE: u8 = 0xff;

const VALUES: [u8; 256] = {
    let alphabet = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
    let (mut values, mut value) = ([NONE; 256], 0);
    while value < alphabet.len() {
        values[alphabet[value] as usize] = value as u8;
        value += 1;
    }
    values
};

impl<'a> Bits<'a> {
    pub fn new(text: &'a str) -> Bits<'a> {
        Bits { text: text.as_bytes(), at: 0 }
    }

    /// The next `count` bits, at most 32; `None` where the text ends before or has another character.
    #[inline]
    pub fn take(&mut self, count: usize) -> Option<u32> {
        debug_assert!(count <= 32);
        let end = self.at + count;
        let mut value = 0u64;
        for character in self.text.get(self.at / 6..end.div_ceil(6))? {
            let six = VALUES[usize::from(*character)];
            if six == NONE {
                return None;
            }
            value = value << 6 | u64::from(six);
        }
        self.at = end;
        let behind = end.div_ceil(6) * 6 - end;
        Some((value >> behind & ((1 << count) - 1)) as u32)
    }

    #[inline]
    pub fn flag(&mut self) -> Option<bool> {
        Some(self.take(1)? == 1)
    }

    /// Passes over bits that are there, whatever they say.
    #[inline]
    pub fn skip(&mut self, count: usize) -> Option<()> {
        let end = self.at + count;
        let passed = self.text.get(self.at / 6..end.div_ceil(6))?;
        passed.iter().all(|character| VALUES[usize::from(*character)] != NONE).then(|| self.at = end)
    }

    /// A Fibonacci-coded number (GPP, "About Fibonacci Encoding"): the bits stand for 1, 2, 3, 5, 8 and so on, and two
    /// set ones in a row end it. `None` from 28,657 on: nothing that is counted that way goes so far.
    pub fn fibonacci(&mut self) -> Option<u32> {
        let (mut worth, mut next, mut sum, mut was_set) = (1u32, 2, 0, false);
        while worth <= 28_657 {
            let is_set = self.flag()?;
            if is_set && was_set {
                return Some(sum);
            }
            sum += if is_set { worth } else { 0 };
            was_set = is_set;
            (worth, next) = (next, worth + next);
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_lie_across_characters() {
        // 000011 000001 000000 000001 001100: the header of the GPP specification's first example.
        let mut bits = Bits::new("DBABM");
        assert_eq!((bits.take(6), bits.take(6), bits.take(12)), (Some(3), Some(1), Some(1)));
        assert_eq!((bits.flag(), bits.fibonacci(), bits.take(2), bits.take(1)), (Some(false), Some(2), Some(0), None));
        let mut bits = Bits::new("_-______");
        assert_eq!((bits.skip(5), bits.take(32), bits.take(12)), (Some(()), Some(0xfdff_ffff), None));
        assert_eq!((bits.skip(11), bits.skip(1), bits.take(0)), (Some(()), None, Some(0)));
        for text in ["A=", "A+", "A/", "A ", "A\u{e9}", "A~", "A"] {
            assert_eq!(Bits::new(text).take(12), None, "{text}");
        }
    }

    #[test]
    fn fibonacci_numbers_are_read() {
        // The bits of the specification's table, each with zeros behind.
        for (number, text) in [(1, "w"), (2, "Y"), (3, "M"), (4, "s"), (5, "G"), (6, "m"), (7, "W")] {
            assert_eq!(Bits::new(text).fibonacci(), Some(number), "{text}");
        }
        for text in ["", "A", "AAAAAAAAAAAAAAAAAAAD", "qqqqqqqqqqqqqqqq"] {
            assert_eq!(Bits::new(text).fibonacci(), None, "{text}");
        }
    }
}
