//! Which campaigns need their lease looked after: one bit per campaign, set by bids, taken by the log's thread.

use super::sync::{AtomicU64, Ordering};
use crate::ids::CampaignNo;

/// Campaigns that have a bit; later ones are only seen by the sweep. 130 KiB. A model is made anew for each interleaving.
const CAMPAIGNS: usize = if cfg!(feature = "loom") { 64 * 64 } else { 1 << 20 };

#[derive(Debug)]
pub struct Wanted {
    campaigns: Box<[AtomicU64]>,
    /// One bit per word of `campaigns` in which something is set: a look at an idle catalog is short.
    words: Box<[AtomicU64]>,
}

impl Default for Wanted {
    fn default() -> Wanted {
        let zeros = |bits: usize| (0..bits / 64).map(|_| AtomicU64::new(0)).collect();
        Wanted { campaigns: zeros(CAMPAIGNS), words: zeros(CAMPAIGNS / 64) }
    }
}

impl Wanted {
    /// Asks for a look at the campaign's lease. Costs a load when somebody has asked already.
    pub fn ask(&self, campaign: CampaignNo) {
        let at = campaign.0 as usize;
        let Some(word) = self.campaigns.get(at / 64) else { return };
        if word.load(Ordering::Relaxed) & 1 << (at % 64) == 0 {
            word.fetch_or(1 << (at % 64), Ordering::Relaxed);
            // After the bit itself: whoever takes this one sees that one.
            self.words[at / 64 / 64].fetch_or(1 << (at / 64 % 64), Ordering::Release);
        }
    }

    /// Takes up to about `most` campaigns that were asked for; the rest stays for the next time.
    pub fn take(&self, most: usize, taken: &mut Vec<CampaignNo>) {
        for (group, words) in self.words.iter().enumerate() {
            if taken.len() >= most {
                return;
            }
            if words.load(Ordering::Relaxed) != 0 {
                each_bit(words.swap(0, Ordering::Acquire), |word| {
                    let at = group * 64 + word;
                    let campaign = |bit| taken.push(CampaignNo((at * 64 + bit) as u32));
                    each_bit(self.campaigns[at].swap(0, Ordering::Relaxed), campaign);
                });
            }
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

    #[test]
    fn each_is_taken_once_until_asked_again() {
        let wanted = Wanted::default();
        for no in [3, 64, 3, 70_000, u32::MAX] {
            wanted.ask(CampaignNo(no));
        }
        let mut taken = Vec::new();
        wanted.take(10, &mut taken);
        assert_eq!(taken, [3, 64, 70_000].map(CampaignNo));
        taken.clear();
        wanted.take(10, &mut taken);
        assert!(taken.is_empty());
    }
}
