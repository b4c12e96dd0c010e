//! Which campaigns may match at all: one bitmap per value of each low-cardinality attribute, over campaigns in order
//! of falling price. A request takes one bitmap per attribute, or a few, and the words are intersected as they are read.

use foldhash::{HashMap, HashMapExt};

use super::reason::Reason;

/// One bit per campaign.
pub type Bitmap = Box<[u64]>;
/// Words that are read together: a line of the processor's caches.
pub const BLOCK: usize = 8;
pub type Block = [u64; BLOCK];

/// Words of a bitmap for `len` campaigns, in whole blocks: bits of no campaign are 0.
pub(super) fn words(len: usize) -> usize {
    len.div_ceil(BLOCK * 64) * BLOCK
}

/// The attributes, in the order of the funnel.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Attribute {
    Format,
    Device,
    Country,
    Os,
    Language,
    Exchange,
}

pub const ATTRIBUTES: [Attribute; 6] =
    [Attribute::Format, Attribute::Device, Attribute::Country, Attribute::Os, Attribute::Language, Attribute::Exchange];

impl Attribute {
    pub fn reason(self) -> Reason {
        match self {
            Attribute::Format => Reason::Format,
            Attribute::Country => Reason::Country,
            Attribute::Device => Reason::Device,
            Attribute::Os => Reason::Os,
            Attribute::Language => Reason::Language,
            Attribute::Exchange => Reason::Exchange,
        }
    }
}

/// What a campaign accepts of one attribute. Values are hashes or codes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Accepts<'a> {
    /// Any value, and none, but these.
    AllBut(&'a [u64]),
    /// These, and no unknown one.
    Only(&'a [u64]),
}

/// The bitmaps of one attribute, one after the other. The first is of the campaigns that accept a value nobody names, or
/// none at all.
#[derive(Debug, Default)]
struct Values {
    /// Which bitmap a value has.
    numbers: HashMap<u64, u32>,
    bitmaps: Vec<u64>,
}

#[derive(Debug, Default)]
pub struct Index {
    words: usize,
    attributes: [Values; ATTRIBUTES.len()],
}

impl Index {
    /// The campaigns that accept `value`, or an unknown one.
    pub fn bitmap(&self, attribute: Attribute, value: Option<u64>) -> &[Block] {
        let values = &self.attributes[attribute as usize];
        let number = value.and_then(|v| values.numbers.get(&v)).copied().unwrap_or(0);
        values.bitmaps[number as usize * self.words..][..self.words].as_chunks().0
    }

    /// Bytes of all bitmaps.
    pub fn bytes(&self) -> usize {
        self.attributes.iter().map(|v| v.bitmaps.len() * 8).sum()
    }
}

/// An index in the making: campaigns are added in order, each is looked at once.
pub struct Draft {
    len: usize,
    words: usize,
    attributes: [Named; ATTRIBUTES.len()],
}

struct Named {
    other: Vec<u64>,
    numbers: HashMap<u64, u32>,
    /// Which campaign names which value.
    named: Vec<(u32, u32)>,
}

impl Draft {
    /// For `len` campaigns.
    pub fn new(len: usize) -> Draft {
        let words = words(len);
        let named = || Named { other: vec![0; words], numbers: HashMap::new(), named: Vec::new() };
        Draft { len: 0, words, attributes: std::array::from_fn(|_| named()) }
    }

    /// The next campaign accepts this of each attribute.
    pub fn add<'a>(&mut self, accepts: impl Fn(Attribute) -> Accepts<'a>) {
        let at = self.len;
        self.len += 1;
        for (attribute, of) in self.attributes.iter_mut().zip(ATTRIBUTES) {
            let named = match accepts(of) {
                Accepts::AllBut(named) => {
                    attribute.other[at / 64] |= 1 << (at % 64);
                    named
                }
                Accepts::Only(named) => named,
            };
            for value in named {
                let next = attribute.numbers.len() as u32 + 1;
                attribute.named.push((*attribute.numbers.entry(*value).or_insert(next), at as u32));
            }
        }
    }

    pub fn finish(self) -> Index {
        let words = self.words;
        let attributes = self.attributes.map(|Named { other, numbers, named }| {
            // A named value starts from those that take any value; then it is the other way round for who names it.
            let mut bitmaps = other.repeat(numbers.len() + 1);
            for (number, at) in named {
                let (word, bit) = (at as usize / 64, 1 << (at % 64));
                let bits = &mut bitmaps[number as usize * words + word];
                *bits = if other[word] & bit == 0 { *bits | bit } else { *bits & !bit };
            }
            Values { numbers, bitmaps }
        });
        Index { words, attributes }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn accepts((all_but, values): &(bool, Vec<u64>)) -> Accepts<'_> {
        if *all_but { Accepts::AllBut(values) } else { Accepts::Only(values) }
    }

    proptest! {
        #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]
        #[test]
        fn says_what_each_campaign_says(all in proptest::collection::vec((any::<bool>(), proptest::collection::vec(0u64..5, 0..4)), 0..200), value in proptest::option::of(0u64..7)) {
            let mut draft = Draft::new(all.len());
            for one in &all {
                draft.add(|of| if of == Attribute::Country { accepts(one) } else { Accepts::AllBut(&[]) });
            }
            let index = draft.finish();
            let bitmap = index.bitmap(Attribute::Country, value).as_flattened();
            for (i, one) in all.iter().enumerate() {
                let expected = match accepts(one) {
                    Accepts::AllBut(named) => value.is_none_or(|v| !named.contains(&v)),
                    Accepts::Only(named) => value.is_some_and(|v| named.contains(&v)),
                };
                prop_assert_eq!(bitmap[i / 64] >> (i % 64) & 1 == 1, expected);
            }
            prop_assert_eq!(index.bitmap(Attribute::Os, value).as_flattened().iter().map(|w| w.count_ones()).sum::<u32>() as usize, all.len());
        }
    }
}
