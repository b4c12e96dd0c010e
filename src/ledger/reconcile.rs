//! Books against hot state: its fold, and the money in its accounts against what is leased.

use std::sync::Arc;

use super::book::CampaignBook;
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
    /// What its accounts hold that was never leased.
    pub surplus: Nanos,
}

impl Correction {
    pub fn event(&self) -> Event {
        let drift = Nanos(self.drift.0.saturating_sub(self.surplus.0));
        Event::Correction { campaign: self.campaign, drift }
    }

    /// By how much money it is wrong, either way.
    pub fn size(&self) -> i64 {
        self.drift.0.saturating_abs().saturating_add(self.surplus.0)
    }
}

/// Every account that differs. Only says something when both have come to the same point of the log: otherwise there
/// is nothing to compare, and the next round will. Books that are the same are held once from then on; each side folds
/// what comes into one of its own, so that they are as independent as before.
pub fn reconcile(hot: &mut Hot, books: &Books) -> Vec<Correction> {
    if hot.books().next != books.next {
        return Vec::new();
    }
    let mut corrections = Vec::new();
    for (campaign, truth) in &books.campaigns {
        match difference(hot, *campaign, truth) {
            Some(correction) => corrections.push(correction),
            None => hot.share(*campaign, truth),
        }
    }
    sorted(corrections)
}

/// As [`reconcile`], for some campaigns: those that changed, and their books may soon change again.
pub fn reconcile_some(hot: &Hot, books: &Books, campaigns: impl Iterator<Item = CampaignNo>) -> Vec<Correction> {
    if hot.books().next != books.next {
        return Vec::new();
    }
    let differs = |campaign| difference(hot, campaign, books.campaigns.get(&campaign)?);
    sorted(campaigns.filter_map(differs).collect())
}

fn difference(hot: &Hot, campaign: CampaignNo, truth: &Arc<CampaignBook>) -> Option<Correction> {
    let seen = hot.books().campaigns.get(&campaign);
    let drift = truth.spent - seen.map_or(Nanos::ZERO, |book| book.spent);
    let surplus = hot.surplus(campaign, truth);
    (seen != Some(truth) || surplus > Nanos::ZERO).then_some(Correction { campaign, drift, surplus })
}

fn sorted(mut corrections: Vec<Correction>) -> Vec<Correction> {
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
    use crate::clock::{Day, Zone};
    use crate::event::{NoticeKind, Offset, Promise, Stamped};
    use crate::ids::NodeId;
    use crate::ledger::bucket::{Grids, Lifetimes, Ring};
    use crate::ledger::fold;
    use crate::ledger::fold::tests::{START, facts, notice, set};
    use crate::ledger::hot::Plan;

    #[test]
    fn money_that_was_never_leased_is_found_and_taken_out() {
        let lifetimes = Lifetimes { auction_ms: 2_000, bill_ms: 10_000, sends_win: true };
        let grids = Arc::new(Grids::new(&[lifetimes]));
        let mut hot = Hot::new(Books::default(), NodeId(1), grids.clone(), Promise::default());
        let plan = |active| Plan { zone: Zone::utc(), active, highest_bid: Nanos(10) };
        let (no, mut books, mut queue) = (CampaignNo(1), Books::default(), vec![hot.started(), set(1_000, None)]);
        hot.set_plan(no, plan(true));
        let mut settle = |hot: &mut Hot, queue: &mut Vec<Event>, ms| {
            while !queue.is_empty() {
                for event in std::mem::take(queue) {
                    let stamped = Stamped { offset: books.next, at: START, event };
                    fold(&mut books, &stamped);
                    hot.apply(&stamped, queue);
                }
                hot.tick(START.plus(ms), queue);
            }
            books.clone()
        };
        let books = settle(&mut hot, &mut queue, 10);
        let slot = hot.account(no).open(Day(0)).and_then(|open| open.clone()).expect("it has a lease");
        let leased = slot.available();
        assert!(leased > Nanos(40) && reconcile(&mut hot, &books).is_empty());
        // Set aside, it is still there.
        let (_, bill_ms) = grids.lifetimes(START.plus(10), lifetimes);
        let until = START.plus(10 + i64::from(bill_ms));
        slot.try_reserve(&grids, Ring::Bill, until, Nanos(30)).unwrap();
        assert_eq!(reconcile(&mut hot, &books), []);
        // A fault of ours: more comes back than was taken.
        slot.give_back(Nanos(35));
        let corrections = reconcile(&mut hot, &books);
        assert_eq!(corrections, [Correction { campaign: no, drift: Nanos(0), surplus: Nanos(35) }]);
        assert_eq!(
            (corrections[0].size(), corrections[0].event()),
            (35, Event::Correction { campaign: no, drift: Nanos(-35) })
        );
        correct(&mut hot, &books, &corrections);
        assert_eq!((slot.available(), slot.reserved()), (leased - Nanos(30), Nanos(30)));
        // Too little is no surplus: a bid may be under way. And nothing is ever added.
        assert_eq!(slot.take(Nanos(5)), Nanos(5));
        assert_eq!(reconcile(&mut hot, &books), []);
        slot.give_back(Nanos(5));
        // On its way back it counts too.
        hot.set_plan(no, plan(false));
        hot.look_after_lease_now(no, &mut queue);
        assert_eq!((slot.available(), queue.len()), (Nanos(0), 1));
        assert_eq!(reconcile(&mut hot, &books), []);
        slot.give_back(Nanos(1));
        assert_eq!(reconcile(&mut hot, &books)[0].surplus, Nanos(1));
    }

    #[test]
    fn a_hot_account_that_differs_is_found_and_made_equal() {
        let grids = Arc::new(crate::ledger::bucket::Grids::new(&[]));
        let (mut books, mut hot) = (Books::default(), Hot::new(Books::default(), NodeId(1), grids, Promise::default()));
        for (i, event) in [set(100, None), notice(NoticeKind::Bill, facts(0), 7)].into_iter().enumerate() {
            let stamped = Stamped { offset: Offset(i as u64), at: START, event };
            fold(&mut books, &stamped);
            hot.apply(&stamped, &mut Vec::new());
            assert_eq!(reconcile(&mut hot, &books), []);
        }
        let no = CampaignNo(1);
        let mut wrong = books.campaigns[&no].clone();
        Arc::make_mut(&mut wrong).spent = Nanos(5);
        hot.correct(no, &wrong);
        let corrections = reconcile(&mut hot, &books);
        assert_eq!(corrections, [Correction { campaign: no, drift: Nanos(2), surplus: Nanos(0) }]);
        correct(&mut hot, &books, &corrections);
        assert_eq!(reconcile(&mut hot, &books), []);
        assert_eq!(hot.view(no).map(|v| v.spent), Some(Nanos(7)));
        let shared = |hot: &Hot, books: &Books| Arc::ptr_eq(&hot.books().campaigns[&no], &books.campaigns[&no]);
        assert!(shared(&hot, &books), "what is the same is held once");
        let stamped = Stamped { offset: books.next, at: START, event: notice(NoticeKind::Bill, facts(1), 3) };
        hot.apply(&stamped, &mut Vec::new());
        assert_eq!((hot.books().campaigns[&no].spent, books.campaigns[&no].spent), (Nanos(10), Nanos(7)));
        fold(&mut books, &stamped);
        assert!(!shared(&hot, &books) && reconcile(&mut hot, &books).is_empty() && shared(&hot, &books));
        books.next.0 += 1;
        hot.correct(no, &wrong);
        assert_eq!(reconcile(&mut hot, &books), [], "not at the same event: nothing to compare");
    }
}
