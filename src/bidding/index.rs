//! Which campaigns may match at all: one bitmap per value of each low-cardinality attribute, over campaigns in order
//! of falling price. A request takes one bitmap per attribute, or a few, and the words are intersected as they are read.

use foldhash::{HashMap, HashMapExt};

use super::reason::Reason;

/// One bit per campaign.
pub type Bitmap = Box<[u64]>;

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
#[derive(Clone, Debug)]
pub enum Accepts {
    /// Any value, and none, but these.
    AllBut(Vec<u64>),
    /// These, and no unknown one.
    Only(Vec<u64>),
}

#[derive(Debug, Default)]
struct Values {
    /// Campaigns that accept a value nobody names, or none at all.
    other: Bitmap,
    named: HashMap<u64, Bitmap>,
}

#[derive(Debug, Default)]
pub struct Index {
    words: usize,
    attributes: [Values; ATTRIBUTES.len()],
}

impl Index {
    /// `accepts(i)` says what campaign `i` of `len` accepts of each attribute.
    pub fn build<'a>(len: usize, accepts: impl Fn(usize) -> &'a [Accepts; ATTRIBUTES.len()]) -> Index {
        let words = len.div_ceil(64);
        let all: Vec<_> = (0..len).map(accepts).collect();
        let attributes = std::array::from_fn(|a| {
            let mut values = Values { other: vec![0; words].into(), named: HashMap::new() };
            for accepts in &all {
                let (Accepts::AllBut(named) | Accepts::Only(named)) = &accepts[a];
                for value in named {
                    values.named.entry(*value).or_insert_with(|| vec![0; words].into());
                }
            }
            for (i, accepts) in all.iter().enumerate() {
                if matches!(accepts[a], Accepts::AllBut(_)) {
                    values.other[i / 64] |= 1 << (i % 64);
                }
            }
            // A named value starts from those that take any value; then its own yes and no are set.
            for bitmap in values.named.values_mut() {
                bitmap.copy_from_slice(&values.other);
            }
            for (i, accepts) in all.iter().enumerate() {
                let bit = 1u64 << (i % 64);
                match &accepts[a] {
                    Accepts::Only(named) => named.iter().for_each(|value| {
                        values.named.entry(*value).and_modify(|b| b[i / 64] |= bit);
                    }),
                    Accepts::AllBut(named) => named.iter().for_each(|value| {
                        values.named.entry(*value).and_modify(|b| b[i / 64] &= !bit);
                    }),
                }
            }
            values
        });
        Index { words, attributes }
    }

    pub fn words(&self) -> usize {
        self.words
    }

    /// The campaigns that accept `value`, or an unknown one.
    pub fn bitmap(&self, attribute: Attribute, value: Option<u64>) -> &[u64] {
        let values = &self.attributes[attribute as usize];
        value.and_then(|v| values.named.get(&v)).unwrap_or(&values.other)
    }

    /// Bytes of all bitmaps.
    pub fn bytes(&self) -> usize {
        self.attributes.iter().map(|v| (v.named.len() + 1) * self.words * 8).sum()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn accepts() -> impl Strategy<Value = Accepts> {
        let values = proptest::collection::vec(0u64..5, 0..4);
        prop_oneof![values.clone().prop_map(Accepts::AllBut), values.prop_map(Accepts::Only)]
    }

    proptest! {
        #[test]
        fn says_what_each_campaign_says(all in proptest::collection::vec(accepts(), 0..200), value in proptest::option::of(0u64..7)) {
            let all_attributes = |accepts: &Accepts| std::array::from_fn(|a| {
                if a == Attribute::Country as usize { accepts.clone() } else { Accepts::AllBut(Vec::new()) }
            });
            let attributes: Vec<_> = all.iter().map(all_attributes).collect();
            let index = Index::build(all.len(), |i| &attributes[i]);
            let bitmap = index.bitmap(Attribute::Country, value);
            for (i, accepts) in all.iter().enumerate() {
                let expected = match accepts {
                    Accepts::AllBut(named) => value.is_none_or(|v| !named.contains(&v)),
                    Accepts::Only(named) => value.is_some_and(|v| named.contains(&v)),
                };
                prop_assert_eq!(bitmap[i / 64] >> (i % 64) & 1 == 1, expected);
            }
            prop_assert_eq!(index.bitmap(Attribute::Os, value).iter().map(|w| w.count_ones()).sum::<u32>() as usize, all.len());
        }
    }
}
