//! The bitmaps of one impression in one layer of the catalog: who passes all attributes, and how many each of them lost.
//!
//! Both go by blocks of words, which compilers make vectors of. Who was lost is counted after the scan, at once for all that
//! it came to: that is most of what is done for a campaign, and the processor's own counting of ones takes a tenth of it.

use smallvec::SmallVec;

use super::catalog::Layer;
use super::index::{ATTRIBUTES, Attribute, BLOCK, Block};
use super::offer::Formats;
use super::reason::Reason;
use super::subject::Subject;

pub(super) struct Masks<'a> {
    alive: &'a [Block],
    formats: SmallVec<[&'a [Block]; 8]>,
    devices: SmallVec<[&'a [Block]; 2]>,
    rest: [&'a [Block]; 4],
}

/// How many campaigns there are, and after each attribute how many are left.
type Passed = [u64; ATTRIBUTES.len() + 1];

impl<'a> Masks<'a> {
    /// `formats` are not empty.
    pub fn new(layer: &'a Layer, exchange: u64, formats: &Formats, subject: &Subject) -> Masks<'a> {
        let index = &layer.part.index;
        let mut devices: SmallVec<[&[Block]; 2]> = SmallVec::new();
        for class in (0..8u64).filter(|c| subject.devices.0 & 1 << c != 0) {
            devices.push(index.bitmap(Attribute::Device, Some(class)));
        }
        if devices.is_empty() {
            devices.push(index.bitmap(Attribute::Device, None));
        }
        Masks {
            alive: layer.alive.as_chunks().0,
            formats: formats.values.iter().map(|v| index.bitmap(Attribute::Format, Some(*v))).collect(),
            devices,
            rest: [
                index.bitmap(Attribute::Country, subject.country),
                index.bitmap(Attribute::Os, subject.os),
                index.bitmap(Attribute::Language, subject.language),
                index.bitmap(Attribute::Exchange, Some(exchange)),
            ],
        }
    }

    pub fn formats(&self) -> usize {
        self.formats.len()
    }

    /// Of the campaigns of a block, those that pass.
    #[inline]
    pub fn left(&self, block: usize) -> Block {
        let mut left = self.alive[block];
        for stage in self.stages(block) {
            and(&mut left, &stage);
        }
        left
    }

    /// How many of the first `campaigns` each attribute lost.
    pub fn lost(&self, campaigns: usize) -> [u64; ATTRIBUTES.len()] {
        let passed = self.passed(campaigns);
        std::array::from_fn(|attribute| passed[attribute] - passed[attribute + 1])
    }

    /// The attribute that lost the last of the campaigns; [`Reason::Price`] when some passed them all. Only worked out
    /// when there is no bid.
    pub fn furthest(&self) -> Reason {
        let [_, passed @ ..] = self.passed(self.alive.len() * BLOCK * 64);
        let last = passed.iter().position(|left| *left == 0);
        last.map_or(Reason::Price, |at| ATTRIBUTES[at].reason())
    }

    /// Of the first `campaigns`.
    fn passed(&self, campaigns: usize) -> Passed {
        #[cfg(target_arch = "x86_64")]
        {
            if is_x86_feature_detected!("avx512vl") && is_x86_feature_detected!("avx512vpopcntdq") {
                // SAFETY: the processor has what the function is compiled for.
                return unsafe { self.passed_avx512(campaigns) };
            }
            if is_x86_feature_detected!("avx2") {
                // SAFETY: as above.
                return unsafe { self.passed_avx2(campaigns) };
            }
        }
        self.count(campaigns)
    }

    #[cfg(target_arch = "x86_64")]
    #[target_feature(enable = "avx512vl,avx512vpopcntdq")]
    fn passed_avx512(&self, campaigns: usize) -> Passed {
        self.count(campaigns)
    }

    #[cfg(target_arch = "x86_64")]
    #[target_feature(enable = "avx2")]
    fn passed_avx2(&self, campaigns: usize) -> Passed {
        self.count(campaigns)
    }

    /// Inlined into each of its callers, which say what processor it is compiled for.
    #[inline(always)]
    fn count(&self, campaigns: usize) -> Passed {
        let mut counts = [[0; BLOCK]; ATTRIBUTES.len() + 1];
        for block in 0..campaigns.div_ceil(BLOCK * 64) {
            let mut left = self.alive[block];
            let campaigns = campaigns - block * BLOCK * 64;
            if campaigns < BLOCK * 64 {
                and(&mut left, &first_of_block(campaigns));
            }
            let [all, counts @ ..] = &mut counts;
            add_ones(all, &left);
            for (count, stage) in counts.iter_mut().zip(self.stages(block)) {
                and(&mut left, &stage);
                add_ones(count, &left);
            }
        }
        counts.map(|count| count.into_iter().sum())
    }

    /// Who passes each attribute.
    #[inline(always)]
    fn stages(&self, block: usize) -> [Block; ATTRIBUTES.len()] {
        let [country, os, language, exchange] = self.rest.map(|map| map[block]);
        [any(&self.formats, block), any(&self.devices, block), country, os, language, exchange]
    }
}

/// A block of the first `campaigns`.
#[inline(always)]
pub(super) fn first_of_block(campaigns: usize) -> Block {
    std::array::from_fn(|word| first(campaigns.saturating_sub(word * 64)))
}

/// A word of the first `campaigns`.
#[inline(always)]
pub(super) fn first(campaigns: usize) -> u64 {
    if campaigns < 64 { (1 << campaigns) - 1 } else { u64::MAX }
}

/// Who is in one of the maps.
#[inline(always)]
fn any(maps: &[&[Block]], block: usize) -> Block {
    let mut bits = maps[0][block];
    for map in &maps[1..] {
        bits.iter_mut().zip(&map[block]).for_each(|(bits, more)| *bits |= more);
    }
    bits
}

/// Leaves those of `bits` that pass, and says who does not.
#[inline(always)]
pub(super) fn narrow(bits: &mut Block, pass: &Block) -> Block {
    let lost = std::array::from_fn(|word| bits[word] & !pass[word]);
    and(bits, pass);
    lost
}

/// How many there are among the first `campaigns` of a block.
#[inline(always)]
pub(super) fn ones(bits: &Block, campaigns: usize) -> u64 {
    let word = |(at, bits): (usize, &u64)| u64::from((bits & first(campaigns - at * 64)).count_ones());
    bits.iter().enumerate().take(campaigns.div_ceil(64)).map(word).sum()
}

#[inline(always)]
pub(super) fn and(bits: &mut Block, other: &Block) {
    bits.iter_mut().zip(other).for_each(|(bits, other)| *bits &= other);
}

#[inline(always)]
fn add_ones(counts: &mut Block, bits: &Block) {
    counts.iter_mut().zip(bits).for_each(|(count, bits)| *count += u64::from(bits.count_ones()));
}

#[cfg(test)]
mod tests {
    use super::*;
    use fastrand::Rng;

    /// Each bit by itself.
    fn one_by_one(masks: &Masks, campaigns: usize) -> Passed {
        let has = |map: &[Block], at: usize| map[at / 512][at / 64 % 8] >> (at % 64) & 1 == 1;
        let mut passed = Passed::default();
        for at in (0..campaigns).filter(|at| has(masks.alive, *at)) {
            let any = |maps: &[&[Block]]| maps.iter().any(|map| has(map, at));
            let [country, os, language, exchange] = masks.rest.map(|map| has(map, at));
            let stages = [any(&masks.formats), any(&masks.devices), country, os, language, exchange];
            let stages_passed = stages.iter().take_while(|passes| **passes).count();
            passed[..=stages_passed].iter_mut().for_each(|count| *count += 1);
        }
        passed
    }

    #[test]
    fn counts_alike_on_all_processors() {
        let mut rng = Rng::with_seed(4);
        let blocks = if cfg!(miri) { 2 } else { 9 };
        let mut map = |density: u32| -> Vec<Block> {
            let mut word = || (0..density).fold(rng.u64(..), |bits, _| bits | rng.u64(..));
            (0..blocks).map(|_| std::array::from_fn(|_| word())).collect()
        };
        let maps: Vec<_> = [4, 0, 0, 1, 0, 2, 3, 4, 2].map(&mut map).into();
        let [alive, format, other, more, device, rest @ ..] = &maps[..] else { unreachable!() };
        for (formats, devices) in [(&[format][..], &[device][..]), (&[format, other, more], &[device, other])] {
            let masks = Masks {
                alive,
                formats: formats.iter().map(|map| map.as_slice()).collect(),
                devices: devices.iter().map(|map| map.as_slice()).collect(),
                rest: std::array::from_fn(|i| rest[i].as_slice()),
            };
            for campaigns in (0..=blocks * 512).filter(|campaigns| campaigns % 37 < 2 || campaigns % 64 < 2) {
                let expected = one_by_one(&masks, campaigns);
                assert_eq!(masks.count(campaigns), expected, "{campaigns}");
                assert_eq!(masks.passed(campaigns), expected, "{campaigns}");
                #[cfg(target_arch = "x86_64")]
                if is_x86_feature_detected!("avx2") {
                    // SAFETY: just asked for.
                    assert_eq!(unsafe { masks.passed_avx2(campaigns) }, expected, "{campaigns}");
                }
            }
            let left: u64 =
                (0..blocks).flat_map(|block| masks.left(block)).map(|word| u64::from(word.count_ones())).sum();
            assert_eq!(left, one_by_one(&masks, blocks * 512)[ATTRIBUTES.len()]);
            assert_eq!(masks.furthest(), Reason::Price);
        }
    }

    #[test]
    fn the_furthest_is_the_last_that_lost_any() {
        let (all, none) = ([[u64::MAX; BLOCK]], [[0; BLOCK]]);
        let mut masks = Masks {
            alive: &all,
            formats: SmallVec::from_slice(&[&all[..]]),
            devices: SmallVec::from_slice(&[&all[..]]),
            rest: [&all, &none, &all, &none],
        };
        assert_eq!((masks.furthest(), masks.lost(70)), (Reason::Os, [0, 0, 0, 70, 0, 0]));
        masks.rest[1] = &all;
        assert_eq!((masks.furthest(), masks.lost(1)), (Reason::Exchange, [0, 0, 0, 0, 0, 1]));
        masks.alive = &none;
        assert_eq!((masks.furthest(), masks.lost(512)), (Reason::Format, [0; ATTRIBUTES.len()]));
    }
}
