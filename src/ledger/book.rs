//! One campaign's book: what was spent, what is leased, and how far a budget cut excuses what is above the budget.

use std::collections::BTreeMap;

use super::daily::DailyBudgets;
use super::outstanding::Outstanding;
use crate::clock::Day;
use crate::event::{CampaignSet, Slot};
use crate::ids::{Currency, Epoch};
use crate::money::Nanos;

/// One campaign's money and counts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CampaignBook {
    pub id: String,
    pub currency: Currency,
    pub total: Nanos,
    pub daily: Option<Nanos>,
    /// The campaign as it came by REST.
    pub json: Option<String>,
    pub deleted: bool,
    /// All that was booked, late bills included.
    pub spent: Nanos,
    /// The part of `spent` whose money had already gone back.
    pub late: Nanos,
    /// How much of what is spent and leased above the budget, late bills aside, was promised before the budget was cut.
    pub over_at_set: Nanos,
    pub bids: u64,
    pub wins: u64,
    pub billed: u64,
    pub days: BTreeMap<Day, DayBook>,
    pub daily_budgets: DailyBudgets,
    /// Leased and neither returned nor spent, per start and slot. Never zero.
    pub leases: Outstanding,
}

/// What was booked to one campaign-local day.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct DayBook {
    pub spent: Nanos,
    pub late: Nanos,
    pub billed: u64,
}

impl CampaignBook {
    pub fn new(set: &CampaignSet) -> CampaignBook {
        CampaignBook {
            id: set.id.clone(),
            currency: set.currency,
            total: set.total,
            daily: set.daily,
            json: set.json.clone(),
            deleted: false,
            spent: Nanos::ZERO,
            late: Nanos::ZERO,
            over_at_set: Nanos::ZERO,
            bids: 0,
            wins: 0,
            billed: 0,
            days: BTreeMap::new(),
            daily_budgets: DailyBudgets::default(),
            leases: Outstanding::default(),
        }
    }

    /// Takes over what an edit says; true when a daily budget is new.
    pub(super) fn set(&mut self, set: &CampaignSet) -> bool {
        let before = self.total;
        (self.total, self.daily, self.json) = (set.total, set.daily, set.json.clone());
        self.deleted = false;
        self.over_at_set = explained(self.over_at_set, Some(before), self.total, self.promised());
        let Some(day) = set.day else { return self.daily_budgets.clear() };
        let mut budgets = std::mem::take(&mut self.daily_budgets);
        let leased = self.leases.keys().filter_map(|(_, slot)| match slot {
            Slot::Day(day) => Some(*day),
            Slot::Whole => None,
        });
        let known = self.days.range(day..).map(|(day, _)| *day).chain(leased);
        let is_new = budgets.set(day, set.daily, known, |day| self.promised_on(day));
        self.daily_budgets = budgets;
        is_new
    }

    /// A lease, or a part of it, comes back: what a cut no longer needs to explain, it does not. True when that changed
    /// a day's.
    pub(super) fn returned(&mut self, key: (Epoch, Slot), amount: Nanos) -> bool {
        self.change_lease(key, Nanos(-amount.0));
        if self.over_at_set > Nanos::ZERO {
            self.over_at_set = explained(self.over_at_set, Some(self.total), self.total, self.promised());
        }
        let mut budgets = std::mem::take(&mut self.daily_budgets);
        let changed = budgets.lower(|day| self.promised_on(day));
        self.daily_budgets = budgets;
        changed
    }

    /// What the budget has to cover: spent and leased, without late bills.
    fn promised(&self) -> Nanos {
        self.spent + self.outstanding() - self.late
    }

    fn promised_on(&self, day: Day) -> Nanos {
        let late = self.days.get(&day).map_or(Nanos::ZERO, |d| d.late);
        self.spent_on(day) + self.outstanding_on(day) - late
    }

    /// Leased and neither returned nor spent.
    pub fn outstanding(&self) -> Nanos {
        self.leases.values().copied().sum()
    }

    /// The part of it that may be spent on `day`: what was leased for it, and what was leased while there was no daily
    /// cap, for a bid belongs to its day whatever it was reserved from.
    fn outstanding_on(&self, day: Day) -> Nanos {
        self.leases_of(Slot::Day(day)) + self.leases_of(Slot::Whole)
    }

    pub(super) fn leases_of(&self, of: Slot) -> Nanos {
        self.leases.iter().filter(|((_, slot), _)| *slot == of).map(|(_, n)| *n).sum()
    }

    /// Budget less spent: all of it, or on a day with a cap the less of that and of what the day has left.
    pub fn remaining(&self, slot: Slot) -> Nanos {
        let whole = self.total - self.spent;
        match (slot, self.daily) {
            (Slot::Day(day), Some(daily)) => whole.min(daily - self.spent_on(day)),
            _ => whole,
        }
    }

    pub(super) fn spent_on(&self, day: Day) -> Nanos {
        self.days.get(&day).map_or(Nanos::ZERO, |d| d.spent)
    }

    /// What was spent on `day` above the daily budget that held then.
    pub fn overspend_on(&self, day: Day) -> Nanos {
        let budget = self.daily_budgets.on(day).budget;
        budget.map_or(Nanos::ZERO, |budget| self.spent_on(day) - budget).max(Nanos::ZERO)
    }

    /// The part of it from other starts than `epoch`.
    pub fn withheld(&self, epoch: Epoch) -> Nanos {
        self.leases.iter().filter(|((e, _), _)| *e != epoch).map(|(_, n)| *n).sum()
    }

    /// What is above the budget.
    pub fn overspend(&self) -> Nanos {
        (self.spent - self.total).max(Nanos::ZERO)
    }

    /// What may still be leased for `slot`. Negative when more is promised than the budget now allows.
    pub fn free(&self, slot: Slot) -> Nanos {
        let whole = self.total - self.spent - self.outstanding();
        match (slot, self.daily) {
            (Slot::Day(day), Some(daily)) => whole.min(daily - self.spent_on(day) - self.outstanding_on(day)),
            // Without a daily cap only the whole budget counts; a day's slot is left over from an earlier cap.
            _ => whole,
        }
    }

    /// What is left of the leases of one start and slot.
    pub(super) fn leased(&self, epoch: Epoch, slot: Slot) -> Nanos {
        self.leases.get(&(epoch, slot)).copied().unwrap_or_default()
    }

    pub(super) fn change_lease(&mut self, key: (Epoch, Slot), by: Nanos) {
        let left = self.leases.get(&key).copied().unwrap_or_default() + by;
        if left.0 > 0 {
            self.leases.insert(key, left);
        } else {
            self.leases.remove(&key);
        }
    }
}

/// How much of what is `promised` above a budget is due to cuts: of what was above it `so_far`, and what it has fallen by
/// from `before`, no more than there is. An edit that raises it explains nothing; the first one has nothing to keep to.
pub(super) fn explained(so_far: Nanos, before: Option<Nanos>, after: Nanos, promised: Nanos) -> Nanos {
    let above = (promised - after).max(Nanos::ZERO);
    before.map_or(above, |before| above.min((so_far + before - after).max(Nanos::ZERO)))
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::event::{Event, Facts, NoticeKind, ReturnReason};
    use crate::ids::CampaignNo;
    use crate::ledger::fold::tests::{facts, fold_all, granted, notice, set};
    use crate::ledger::invariants;

    const LATE_MS: i64 = 60_000;

    fn bill(after_ms: i64, seq: u32, amount: i64) -> (i64, Event) {
        (after_ms, notice(NoticeKind::Bill, Facts { reserved: Nanos(amount), ..facts(seq) }, amount))
    }

    fn back(amount: i64, slot: Slot) -> (i64, Event) {
        let (campaign, epoch, why) = (CampaignNo(1), Epoch(1), ReturnReason::Unused);
        (0, Event::LeaseReturned { campaign, epoch, slot, amount: Nanos(amount), why })
    }

    fn book(events: &[(i64, Event)]) -> Arc<CampaignBook> {
        fold_all(events).campaigns[&CampaignNo(1)].clone()
    }

    #[test]
    fn an_edit_that_raises_a_budget_explains_no_overspend() {
        // Leased twice over: nothing but a fault of ours.
        let mut events = vec![(0, set(100, None)), (0, granted(100, Slot::Whole)), (0, granted(50, Slot::Whole))];
        assert!(invariants::book(&book(&events)).is_err());
        events.extend([bill(0, 0, 130), (0, set(120, None))]);
        let raised = book(&events);
        assert_eq!((raised.over_at_set, raised.overspend()), (Nanos(0), Nanos(10)));
        assert!(invariants::book(&raised).is_err());
        // Set once more to what it is.
        events.push((0, set(120, None)));
        assert_eq!(book(&events), raised);
    }

    #[test]
    fn a_cut_explains_what_it_took_and_no_more() {
        let mut events = vec![(0, set(100, None)), (0, granted(100, Slot::Whole)), (0, granted(50, Slot::Whole))];
        events.push((0, set(90, None)));
        let cut = book(&events);
        assert_eq!(cut.over_at_set, Nanos(10), "not the fifty that nothing explains");
        assert!(invariants::book(&cut).is_err());
        let sound = [(0, set(100, None)), (0, granted(100, Slot::Whole)), (0, set(70, None)), (0, set(60, None))];
        let cut = book(&sound);
        assert_eq!((cut.over_at_set, invariants::book(&cut)), (Nanos(40), Ok(())));
        // Raised again it explains less.
        let raised = book(&[&sound[..], &[(0, set(85, None))]].concat());
        assert_eq!((raised.over_at_set, invariants::book(&raised)), (Nanos(15), Ok(())));
    }

    #[test]
    fn a_late_bill_is_not_laid_to_a_cut_as_well() {
        let events = [
            (0, set(100, None)),
            (0, granted(90, Slot::Whole)),
            bill(0, 0, 90),
            bill(LATE_MS, 1, 20),
            (LATE_MS, set(80, None)),
        ];
        let cut = book(&events);
        assert_eq!((cut.overspend(), cut.late, cut.over_at_set), (Nanos(30), Nanos(20), Nanos(10)));
        assert_eq!(invariants::book(&cut), Ok(()));
    }

    #[test]
    fn what_came_back_after_a_cut_is_explained_no_more() {
        let (whole, day) = (Slot::Whole, Slot::Day(facts(0).day));
        let cut = [(0, set(100, None)), (0, granted(100, whole)), (0, set(50, None)), back(70, whole)];
        assert_eq!(book(&cut).over_at_set, Nanos(0));
        let again = [&cut[..], &[(0, granted(40, whole))]].concat();
        assert!(invariants::book(&book(&again)).is_err(), "what is leased now, no cut explains");

        let cut = [(0, set(100, Some(50))), (0, granted(50, day)), (0, set(100, Some(20)))];
        assert_eq!(book(&cut).daily_budgets.on(facts(0).day).over_at_set, Nanos(30));
        let books = fold_all(&[&cut[..], &[back(25, day)]].concat());
        let over = books.campaigns[&CampaignNo(1)].daily_budgets.on(facts(0).day).over_at_set;
        assert_eq!(over, Nanos(5));
        assert!(books.dirty.budgets.contains(&CampaignNo(1)));
    }
}
