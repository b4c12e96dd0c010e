//! An account as people see it.

use super::Hot;
use crate::clock::Day;
use crate::event::{Offset, Slot};
use crate::ids::{CampaignNo, Currency};
use crate::ledger::book::CampaignBook;
use crate::money::Nanos;

/// A campaign's account as `GET /v1/campaigns/{id}/account` shows it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AccountView {
    pub currency: Currency,
    pub budget: Nanos,
    /// Budget less spent, reserved and withheld; never below zero.
    pub available: Nanos,
    pub reserved: Nanos,
    /// Leased by other starts: earlier ones, and those of other nodes.
    pub withheld: Nanos,
    /// In this start's accounts: reserved, to be reserved, or on its way back. Never more than is leased.
    pub held: Nanos,
    /// It is what the events before this one come to.
    pub at: Offset,
    /// After so long nothing of it is withheld any more for starts that have ended, if gavel runs.
    pub withheld_ms: i64,
    pub spent: Nanos,
    pub late: Nanos,
    pub overspend: Nanos,
    pub bids: u64,
    pub wins: u64,
    pub billed: u64,
    /// Of a campaign with a daily budget.
    pub today: Option<DayView>,
}

/// The campaign-local day of an account.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DayView {
    pub day: Day,
    pub budget: Nanos,
    pub spent: Nanos,
    /// The day's budget less what of it is spent, reserved and withheld, and at most what the campaign has available.
    pub available: Nanos,
    /// What of `spent` is above the day's budget.
    pub overspend: Nanos,
}

impl Hot {
    pub fn view(&self, campaign: CampaignNo) -> Option<AccountView> {
        let book = self.books.campaigns.get(&campaign)?;
        let slots = self.campaigns.get(&campaign).map(|c| c.slots.as_slice()).unwrap_or_default();
        let reserved = slots.iter().map(|s| s.account.reserved()).sum();
        // After what is reserved: of a bid that is under way it is less, never more.
        let held = slots.iter().fold(reserved, |held, s| held + s.account.available() + s.returning);
        let withheld = book.withheld(self.epoch);
        let waits = |epoch| book.leases.keys().any(|(e, _)| *e == epoch);
        let until = self.reclaims.until(&self.books.starts, waits);
        let available = (book.total - book.spent - reserved - withheld).max(Nanos::ZERO);
        Some(AccountView {
            currency: book.currency,
            budget: book.total,
            available,
            reserved,
            withheld,
            held,
            at: self.books.next,
            withheld_ms: until.map_or(0, |at| at.since(self.now).max(0)),
            spent: book.spent,
            late: book.late,
            overspend: book.overspend(),
            bids: book.bids,
            wins: book.wins,
            billed: book.billed,
            today: self.today(campaign, book, available),
        })
    }

    fn today(&self, campaign: CampaignNo, book: &CampaignBook, available: Nanos) -> Option<DayView> {
        let (budget, c) = (book.daily?, self.campaigns.get(&campaign)?);
        let day = c.plan.as_ref()?.0.zone.local_hour(self.now).day;
        // As in `CampaignBook::free`: what was set aside while there was no daily budget may be of this day.
        let counts = |slot: Slot| slot == Slot::Whole || slot == Slot::Day(day);
        let reserved: Nanos = c.slots.iter().filter(|s| counts(s.account.slot)).map(|s| s.account.reserved()).sum();
        let others = book.leases.iter().filter(|((epoch, slot), _)| *epoch != self.epoch && counts(*slot));
        let withheld: Nanos = others.map(|(_, n)| *n).sum();
        let spent = book.spent_on(day);
        Some(DayView {
            day,
            budget,
            spent,
            available: (budget - spent - reserved - withheld).max(Nanos::ZERO).min(available),
            overspend: (spent - budget).max(Nanos::ZERO),
        })
    }
}
