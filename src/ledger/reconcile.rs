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
    reconcile_some(hot, books, books.campaigns.keys().copied())
}

/// As [`reconcile`], for some campaigns: those that changed.
pub fn reconcile_some(hot: &Hot, books: &Books, campaigns: impl Iterator<Item = CampaignNo>) -> Vec<Correction> {
    if hot.books().next != books.next {
        return Vec::new();
    }
    let differs = |campaign: CampaignNo| {
        let truth = books.campaigns.get(&campaign)?;
        let seen = hot.books().campaigns.get(&campaign);
        let drift = truth.spent - seen.map_or(Nanos::ZERO, |book| book.spent);
        (seen != Some(truth)).then_some(Correction { campaign, drift })
    };
    let mut corrections: Vec<Correction> = campaigns.filter_map(differs).collect();
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::{NoticeKind, Offset, Promise, Stamped};
    use crate::ids::NodeId;
    use crate::ledger::fold;
    use crate::ledger::fold::tests::{START, facts, notice, set};
    use std::sync::Arc;

    #[test]
    fn a_hot_account_that_differs_is_found_and_made_equal() {
        let grids = Arc::new(crate::ledger::bucket::Grids::new(&[]));
        let (mut books, mut hot) = (Books::default(), Hot::new(Books::default(), NodeId(1), grids, Promise::default()));
        for (i, event) in [set(100, None), notice(NoticeKind::Bill, facts(0), 7)].into_iter().enumerate() {
            let stamped = Stamped { offset: Offset(i as u64), at: START, event };
            fold(&mut books, &stamped);
            hot.apply(&stamped, &mut Vec::new());
            assert_eq!(reconcile(&hot, &books), []);
        }
        let no = CampaignNo(1);
        let mut wrong = books.campaigns[&no].clone();
        wrong.spent = Nanos(5);
        hot.correct(no, &wrong);
        let corrections = reconcile(&hot, &books);
        assert_eq!(corrections, [Correction { campaign: no, drift: Nanos(2) }]);
        correct(&mut hot, &books, &corrections);
        assert_eq!(reconcile(&hot, &books), []);
        assert_eq!(hot.view(no).map(|v| v.spent), Some(Nanos(7)));
        books.next.0 += 1;
        hot.correct(no, &wrong);
        assert_eq!(reconcile(&hot, &books), [], "not at the same event: nothing to compare");
    }
}
