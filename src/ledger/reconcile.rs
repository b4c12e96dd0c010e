//! Books against hot state.

use super::fold::Books;
use super::hot::Hot;
use crate::event::Event;
use crate::ids::CampaignNo;
use crate::money::Nanos;

/// A hot account that differs from the books.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Correction {
    pub campaign: CampaignNo,
    /// Books less hot state, of what is spent.
    pub drift: Nanos,
}

impl Correction {
    pub fn event(&self) -> Event {
        Event::Correction { campaign: self.campaign, drift: self.drift }
    }
}

/// Every account that differs. Only says something when both have come to the same point of the log: otherwise there
/// is nothing to compare, and the next round will.
pub fn reconcile(hot: &Hot, books: &Books) -> Vec<Correction> {
    if hot.books().next != books.next {
        return Vec::new();
    }
    let mut corrections: Vec<Correction> = books
        .campaigns
        .iter()
        .filter_map(|(campaign, truth)| {
            let seen = hot.books().campaigns.get(campaign);
            if seen == Some(truth) {
                return None;
            }
            let drift = truth.spent - seen.map_or(Nanos::ZERO, |book| book.spent);
            Some(Correction { campaign: *campaign, drift })
        })
        .collect();
    corrections.sort_unstable_by_key(|c| c.campaign);
    corrections
}

/// Makes the corrected accounts equal to the books.
pub fn correct(hot: &mut Hot, books: &Books, corrections: &[Correction]) {
    for correction in corrections {
        if let Some(truth) = books.campaigns.get(&correction.campaign) {
            hot.correct(correction.campaign, truth);
        }
    }
}
