//! A set of campaigns, one bit each: bids put them in, the log's thread takes them out.

use std::sync::OnceLock;

use super::sync::{AtomicU64, Ordering};
use crate::ids::CampaignNo;

/// How many bits there are; campaigns so far apart share one. A model is made anew for each interleaving.
const BITS: usize = if cfg!(feature = "loom") { 64 * 64 } else { 1 << 20 };
/// Words of a block: one word says which of them are not 0.
const BLOCK: usize = 64;

type Block = Box<[AtomicU64; BLOCK]>;

#[derive(Debug)]
pub struct Marks {
    /// Made when something is set in them, 512 bytes each: of most sets most stay empty.
    blocks: Box<[OnceLock<Block>]>,
    /// Per block a bit for each word in which something is set: a look at an empty set is short.
    set: Box<[AtomicU64]>,
    /// The largest campaign that was ever put in beside one with the same bit.
    largest: AtomicU64,
}

impl Default for Marks {
    fn default() -> Marks {
        let blocks = BITS / 64 / BLOCK;
        Marks {
            blocks: (0..blocks).map(|_| OnceLock::new()).collect(),
            set: (0..blocks).map(|_| AtomicU64::new(0)).collect(),
            largest: AtomicU64::new(0),
        }
    }
}

impl Marks {
    /// Puts a campaign in. Costs a load when it is in already.
    pub fn put(&self, campaign: CampaignNo) {
        let bit = campaign.0 as usize % BITS;
        let (at, within) = (bit / 64 / BLOCK, bit / 64 % BLOCK);
        let block = self.blocks[at].get_or_init(|| Box::new(std::array::from_fn(|_| AtomicU64::new(0))));
        if campaign.0 as usize >= BITS && self.largest.load(Ordering::Relaxed) < u64::from(campaign.0) {
            self.largest.fetch_max(u64::from(campaign.0), Ordering::Relaxed);
        }
        if block[within].load(Ordering::Relaxed) & 1 << (bit % 64) == 0 {
            block[within].fetch_or(1 << (bit % 64), Ordering::Release);
            // After the bit itself: whoever takes this one sees that one.
            self.set[at].fetch_or(1 << within, Ordering::Release);
        }
    }

    /// Takes up to about `most` out; the rest stays for the next time. Where one of those that share a bit was put in, all
    /// of them are taken.
    pub fn take(&self, most: usize, taken: &mut Vec<CampaignNo>) {
        for (at, set) in self.set.iter().enumerate() {
            if taken.len() >= most {
                return;
            }
            if set.load(Ordering::Relaxed) == 0 {
                continue;
            }
            let Some(block) = self.blocks[at].get() else { continue };
            each_bit(set.swap(0, Ordering::Acquire), |within| {
                let first = (at * BLOCK + within) * 64;
                let bits = block[within].swap(0, Ordering::Acquire);
                let largest = self.largest.load(Ordering::Relaxed) as usize;
                each_bit(bits, |bit| {
                    let all = (first + bit..=largest.max(first + bit)).step_by(BITS);
                    taken.extend(all.map(|no| CampaignNo(no as u32)));
                });
            });
        }
    }
}

fn each_bit(mut bits: u64, mut each: impl FnMut(usize)) {
    while bits != 0 {
        each(bits.trailing_zeros() as usize);
        bits &= bits - 1;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn take(marks: &Marks, most: usize) -> Vec<CampaignNo> {
        let mut taken = Vec::new();
        marks.take(most, &mut taken);
        taken
    }

    #[test]
    fn each_is_taken_once_until_it_is_put_in_again() {
        let marks = Marks::default();
        for no in [3, 64, 3, 70_000, 9] {
            marks.put(CampaignNo(no));
        }
        assert_eq!(take(&marks, 1), [3, 9, 64].map(CampaignNo), "a block at a time");
        assert_eq!(take(&marks, 10), [CampaignNo(70_000)]);
        assert_eq!(take(&marks, 10), []);
        marks.put(CampaignNo(3));
        assert_eq!(take(&marks, 10), [CampaignNo(3)]);
    }

    #[test]
    fn campaigns_far_apart_share_a_bit() {
        let (marks, bits) = (Marks::default(), BITS as u32);
        marks.put(CampaignNo(5 + 2 * bits));
        marks.put(CampaignNo(6));
        let shared = [5, 5 + bits, 5 + 2 * bits, 6, 6 + bits].map(CampaignNo);
        assert_eq!(take(&marks, 10), shared);
    }
}
