//! From a source's value to a number in a model's column. Missing is NaN.

use std::collections::HashMap;

use foldhash::fast::FixedState;

use super::hash::hash64;
use super::sources::Value;

/// The most bits of a hash: the largest table of a linear model.
pub const MAX_HASH_BITS: u32 = 24;

/// Longer texts are found as they stand only.
const MAX_FOLDED: usize = 64;

#[derive(Debug)]
pub enum Transform {
    /// The number times `scale`.
    Numeric { scale: f64 },
    /// The place of the value in the list, in any case; missing if it is not in it.
    Category(Listed),
    /// How many edges are at most the number.
    Bucket { edges: Vec<f64> },
    /// 1 if the value, or one of several, is in the list; else, and if there is no value, 0.
    In(Listed),
    /// The first bits of the value's hash.
    Hash(Hash),
    /// ln(1 + x).
    Log1p,
}

#[derive(Clone, Copy, Debug)]
pub struct Hash {
    pub seed: u64,
    /// 1 to [`MAX_HASH_BITS`].
    pub bits: u32,
}

impl Hash {
    #[inline]
    pub fn of(self, value: &Value) -> f64 {
        let hash = match value {
            Value::Text(text) => hash64(self.seed, text.as_bytes()),
            Value::Number(number) => hash64(self.seed, &(number + 0.0).to_le_bytes()),
            Value::Missing | Value::Texts(_) => return f64::NAN,
        };
        // At most 24 bits: processors have an instruction for signed 32.
        f64::from((hash >> (64 - self.bits)) as i32)
    }
}

/// A list of texts or numbers with the place of each. Exchanges send `iOS` and `ios`: case matters only between texts of the
/// list that differ in nothing else.
#[derive(Debug, Default)]
pub struct Listed {
    texts: HashMap<Box<str>, u32, FixedState>,
    /// In lower case, where no other text of the list is the same in it.
    folded: HashMap<Box<[u8]>, Option<u32>, FixedState>,
    /// By the bits of f64.
    numbers: HashMap<u64, u32, FixedState>,
}

impl Listed {
    /// False if it was there already.
    pub fn add_text(&mut self, text: &str) -> bool {
        let place = self.len() as u32;
        if text.len() <= MAX_FOLDED {
            let folded = self.folded.entry(text.to_ascii_lowercase().into_bytes().into());
            folded.and_modify(|place| *place = None).or_insert(Some(place));
        }
        self.texts.insert(text.into(), place).is_none()
    }

    pub fn add_number(&mut self, number: f64) -> bool {
        let place = self.len() as u32;
        self.numbers.insert(key(number), place).is_none()
    }

    pub fn len(&self) -> usize {
        self.texts.len() + self.numbers.len()
    }

    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    fn place(&self, value: Value) -> Option<u32> {
        match value {
            Value::Text(text) => self.text_place(text),
            Value::Number(number) => self.number_place(number),
            Value::Texts(texts) => texts.iter().find_map(|text| self.text_place(text)),
            Value::Missing => None,
        }
    }

    /// As it stands, or else in any case.
    pub(super) fn text_place(&self, text: &str) -> Option<u32> {
        if let Some(place) = self.texts.get(text) {
            return Some(*place);
        }
        let mut room = [0; MAX_FOLDED];
        let folded = room.get_mut(..text.len())?;
        folded.copy_from_slice(text.as_bytes());
        folded.make_ascii_lowercase();
        self.folded.get(&*folded).copied().flatten()
    }

    pub(super) fn number_place(&self, number: f64) -> Option<u32> {
        self.numbers.get(&key(number)).copied()
    }
}

/// Both zeros are one number.
fn key(number: f64) -> u64 {
    (number + 0.0).to_bits()
}

impl Transform {
    #[inline]
    pub fn apply(&self, value: Value) -> f64 {
        match (self, value) {
            (Transform::Hash(hash), value) => hash.of(&value),
            (Transform::Numeric { scale }, Value::Number(number)) => number * scale,
            (Transform::Category(listed), value) => listed.place(value).map_or(f64::NAN, f64::from),
            (Transform::In(listed), value) => f64::from(u8::from(listed.place(value).is_some())),
            (Transform::Bucket { edges }, Value::Number(number)) if !number.is_nan() => {
                edges.partition_point(|&edge| edge <= number) as f64
            }
            (Transform::Log1p, Value::Number(number)) => number.ln_1p(),
            _ => f64::NAN,
        }
    }

    /// Whether every value it gives is one of f32 too.
    pub fn is_narrow(&self) -> bool {
        !matches!(self, Transform::Numeric { .. } | Transform::Log1p)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_is_found_in_any_case_unless_another_differs_by_that_alone() {
        let mut listed = Listed::default();
        let long = "L".repeat(MAX_FOLDED + 1);
        for text in ["ios", "Android", "a1", "A1", &long] {
            assert!(listed.add_text(text));
        }
        let place = |text: &str| listed.place(Value::Text(text));
        assert_eq!(["iOS", "IOS", "android", "ANDROID"].map(place), [Some(0), Some(0), Some(1), Some(1)]);
        assert_eq!(["a1", "A1", "ios ", ""].map(place), [Some(2), Some(3), None, None]);
        // Long ones, and letters beyond ASCII, are found as they stand.
        assert_eq!([place(&long), place(&long.to_lowercase())], [Some(4), None]);
        assert_eq!(listed.place(Value::Texts(&["x", "IOS"])), Some(0));
        assert!(!listed.add_text("ios"), "it is there already");
    }
}
