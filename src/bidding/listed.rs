//! Campaigns by the values of an attribute that has too many for bitmaps, such as sites or cities: each value has the
//! list of the campaigns that name it, and a bitmap only where that is smaller.

use foldhash::{HashMap, HashMapExt};
use smallvec::SmallVec;

use super::index::{self, BLOCK, Bitmap, Block};
use super::key::Keys;

#[derive(Debug, Default)]
pub struct Listed {
    /// Campaigns that name no value take any, and none.
    open: Bitmap,
    /// The number of each value.
    numbers: HashMap<u64, u32>,
    /// Where the list of each number starts, and where the last one ends.
    starts: Vec<usize>,
    /// Ascending in each list.
    campaigns: Vec<u32>,
    /// By number; the long lists once more.
    bitmaps: HashMap<u32, Bitmap>,
}

/// The campaigns that accept one of a request's values, from block to block.
pub(super) struct Walk<'a> {
    bitmaps: SmallVec<[&'a [Block]; 4]>,
    lists: SmallVec<[&'a [u32]; 8]>,
}

/// Lists in the making: campaigns are added in order, each is looked at once.
pub struct Draft {
    open: Vec<u64>,
    numbers: HashMap<u64, u32>,
    /// How many campaigns name each value.
    counts: Vec<u32>,
    /// The values that campaigns name, one campaign after the other, and where each campaign's end.
    named: Vec<u32>,
    ends: Vec<usize>,
}

impl Draft {
    /// For `len` campaigns.
    pub fn new(len: usize) -> Draft {
        Draft {
            open: vec![0; index::words(len)],
            numbers: HashMap::new(),
            counts: Vec::new(),
            named: Vec::new(),
            ends: Vec::with_capacity(len),
        }
    }

    /// The next campaign names these.
    pub fn add(&mut self, include: Keys) {
        let at = self.ends.len();
        if include.is_empty() {
            self.open[at / 64] |= 1 << (at % 64);
        }
        for key in include.0 {
            let number = *self.numbers.entry(*key).or_insert(self.counts.len() as u32);
            match self.counts.get_mut(number as usize) {
                Some(count) => *count += 1,
                None => self.counts.push(1),
            }
            self.named.push(number);
        }
        self.ends.push(self.named.len());
    }

    pub fn finish(self) -> Listed {
        let Draft { open, numbers, counts, named, ends } = self;
        let mut starts = Vec::with_capacity(counts.len() + 1);
        starts.push(0);
        starts.extend(counts.iter().scan(0, |end, count| {
            *end += *count as usize;
            Some(*end)
        }));
        let (mut next, mut campaigns, mut begin) = (starts.clone(), vec![0; named.len()], 0);
        for (i, end) in ends.into_iter().enumerate() {
            for number in &named[begin..end] {
                let at = &mut next[*number as usize];
                campaigns[*at] = i as u32;
                *at += 1;
            }
            begin = end;
        }
        let mut bitmaps = HashMap::new();
        for (number, ends) in starts.windows(2).enumerate().filter(|(_, ends)| ends[1] - ends[0] > 2 * open.len()) {
            let mut bitmap = vec![0; open.len()];
            campaigns[ends[0]..ends[1]].iter().for_each(|i| bitmap[*i as usize / 64] |= 1 << (i % 64));
            bitmaps.insert(number as u32, bitmap.into());
        }
        Listed { open: open.into(), numbers, starts, campaigns, bitmaps }
    }
}

impl Listed {
    /// Whether any campaign names `value`.
    pub fn has(&self, value: u64) -> bool {
        self.numbers.contains_key(&value)
    }

    /// The campaigns that name `value`, and no other; none if nobody does.
    pub(super) fn named(&self, value: u64) -> Option<Walk<'_>> {
        let number = self.numbers.get(&value)?;
        let at = *number as usize;
        let list = &self.campaigns[self.starts[at]..self.starts[at + 1]];
        Some(Walk { bitmaps: SmallVec::new(), lists: SmallVec::from_slice(&[list]) })
    }

    /// The campaigns that name one of `values`, or none at all; `None` where that is all of them.
    pub(super) fn walk(&self, values: &[u64]) -> Option<Walk<'_>> {
        if self.numbers.is_empty() {
            return None;
        }
        let mut walk = Walk { bitmaps: SmallVec::from_slice(&[self.open.as_chunks().0]), lists: SmallVec::new() };
        for number in values.iter().filter_map(|value| self.numbers.get(value)) {
            match self.bitmaps.get(number) {
                Some(bitmap) => walk.bitmaps.push(bitmap.as_chunks().0),
                None => {
                    let at = *number as usize;
                    walk.lists.push(&self.campaigns[self.starts[at]..self.starts[at + 1]]);
                }
            }
        }
        Some(walk)
    }
}

impl Walk<'_> {
    /// The campaigns of a block. Blocks must be asked for in ascending order, each at most once.
    #[inline]
    pub fn block(&mut self, block: usize) -> Block {
        let mut bits = Block::default();
        for bitmap in &self.bitmaps {
            bits.iter_mut().zip(&bitmap[block]).for_each(|(bits, more)| *bits |= more);
        }
        let from = block * BLOCK * 64;
        for list in &mut self.lists {
            let mut rest = *list;
            while let Some((&campaign, after)) = rest.split_first()
                && (campaign as usize) < from + BLOCK * 64
            {
                if let Some(within) = (campaign as usize).checked_sub(from) {
                    bits[within / 64 % BLOCK] |= 1 << (within % 64);
                }
                rest = after;
            }
            *list = rest;
        }
        bits
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]
        #[test]
        fn says_what_each_campaign_says(
            all in proptest::collection::vec(proptest::collection::hash_set("[a-e]", 0..4), 0..3_000),
            values in proptest::collection::vec("[a-g]", 0..3),
            step in 1usize..4,
        ) {
            let keys = |texts: Vec<&String>| {
                let mut keys: Vec<u64> = texts.into_iter().map(|text| super::super::key::key(text)).collect();
                keys.sort_unstable();
                keys
            };
            let sets: Vec<Vec<u64>> = all.iter().map(|set| keys(set.iter().collect())).collect();
            let values = keys(values.iter().collect());
            let mut draft = Draft::new(sets.len());
            sets.iter().for_each(|set| draft.add(Keys(set)));
            let listed = draft.finish();
            let mut walk = listed.walk(&values);
            for block in (0..sets.len().div_ceil(512)).step_by(step) {
                let bits = walk.as_mut().map_or([u64::MAX; BLOCK], |walk| walk.block(block));
                for (i, set) in sets.iter().enumerate().skip(block * 512).take(512) {
                    prop_assert_eq!(bits[i / 64 % 8] >> (i % 64) & 1 == 1, set.is_empty() || Keys(set).any_of(&values));
                }
            }
        }
    }
}
