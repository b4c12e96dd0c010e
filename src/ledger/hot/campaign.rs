//! What a node keeps of one campaign beside its book: its account, and the leases of this start by slot.

use std::sync::Arc;

use smallvec::SmallVec;

use crate::clock::{LocalHour, UnixMs, Zone};
use crate::event::{Event, ReturnReason, Slot};
use crate::ids::{CampaignNo, Epoch};
use crate::ledger::account::{Account, SlotAccount};
use crate::ledger::book::CampaignBook;
use crate::ledger::flow::Flow;
use crate::ledger::lease::Demand;
use crate::money::Nanos;

#[derive(Debug)]
pub(super) struct HotCampaign {
    pub(super) account: Arc<Account>,
    pub(super) slots: SmallVec<[HotSlot; 1]>,
    pub(super) plan: Option<(Plan, LocalHour)>,
    pub(super) demand: Demand,
    /// Once there was a notice.
    pub(super) flow: Option<Box<Flow>>,
    pub(super) looked_at: UnixMs,
    /// Granted in an event that is not durable yet.
    pub(super) granting: Nanos,
}

/// One slot's leases of this start.
#[derive(Debug)]
pub(super) struct HotSlot {
    pub(super) account: Arc<SlotAccount>,
    pub(super) leased: Nanos,
    pub(super) spent: Nanos,
    /// Taken out of `available` for an event that is not durable yet.
    pub(super) returning: Nanos,
}

impl HotCampaign {
    /// The slot that bids reserve from, if any may.
    pub(super) fn slot(&self, book: &CampaignBook) -> Option<Slot> {
        let (_, local) = self.plan.as_ref().filter(|(plan, _)| plan.active && !book.deleted)?;
        Some(if book.daily.is_some() { Slot::Day(local.day) } else { Slot::Whole })
    }

    /// Makes money available in the slot at `at` that was set aside, but for what is promised above the budget: while it was
    /// set aside, a late bill or a budget cut could not take it back.
    pub(super) fn give_back(
        &mut self,
        campaign: CampaignNo,
        epoch: Epoch,
        book: Option<&CampaignBook>,
        at: usize,
        amount: Nanos,
        out: &mut Vec<Event>,
    ) {
        let excess = book.map_or(Nanos::ZERO, |book| excess(book, &self.slots, at)).clamp(Nanos::ZERO, amount);
        let s = &mut self.slots[at];
        s.account.give_back(amount - excess);
        return_lease(campaign, epoch, s, excess, out);
        let slot = s.account.slot;
        if book.and_then(|book| self.slot(book)) != Some(slot) {
            // Nothing bids from it any more.
            self.account.ask();
        }
    }
}

impl HotSlot {
    pub(super) fn surplus(&self, leased: Nanos) -> Nanos {
        let reserved = self.account.reserved();
        (reserved + self.account.available() + self.returning - leased).max(Nanos::ZERO)
    }
}

/// What leasing needs to know of a campaign.
#[derive(Clone, Debug)]
pub struct Plan {
    pub zone: Zone,
    /// May bid now, or soon.
    pub active: bool,
    /// What one impression may cost, as far as that is known beforehand: more is asked for by bids ([`Account::refuse`]).
    pub highest_bid: Nanos,
}

/// Takes up to `most` of what is available in a slot and says so in an event.
pub(super) fn give_up(campaign: CampaignNo, epoch: Epoch, s: &mut HotSlot, most: Nanos, out: &mut Vec<Event>) {
    let amount = if most.0 > 0 { s.account.take(most) } else { Nanos::ZERO };
    return_lease(campaign, epoch, s, amount, out);
}

/// Says in an event that `amount`, which is in no account any more, is to go back.
fn return_lease(campaign: CampaignNo, epoch: Epoch, s: &mut HotSlot, amount: Nanos, out: &mut Vec<Event>) {
    if amount.0 > 0 {
        s.returning += amount;
        let (slot, why) = (s.account.slot, ReturnReason::Unused);
        out.push(Event::LeaseReturned { campaign, epoch, slot, amount, why });
    }
}

/// By how much more is promised than the budget allows, for the slot at `at`, less what is on its way back.
pub(super) fn excess(book: &CampaignBook, slots: &[HotSlot], at: usize) -> Nanos {
    let returning: Nanos = slots.iter().map(|s| s.returning).sum();
    let s = &slots[at];
    (Nanos(-book.free(s.account.slot).0) - s.returning).max(Nanos(-book.free(Slot::Whole).0) - returning)
}
