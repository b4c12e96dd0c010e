//! Leases of starts that have ended: when they come back, and so many at a time. In a fleet each node asks for them: the
//! first in the log has an effect.

use std::collections::{BTreeSet, VecDeque};

use crate::clock::UnixMs;
use crate::event::{Event, Promise, ReturnReason};
use crate::ids::{CampaignNo, Epoch};
use crate::ledger::Books;
use crate::ledger::starts::Starts;

/// While something is withheld, the log shows at least so often that this start still runs.
const RUNNING_INTERVAL_MS: i64 = 5_000;
/// Campaigns looked at in one tick: notices wait behind it.
const CAMPAIGNS_PER_TICK: usize = 5_000;

#[derive(Debug, Default)]
pub(super) struct Reclaims {
    /// What this start promises: it waits at least as long.
    promise: Promise,
    /// Starts whose leases will come back.
    waiting: Vec<Epoch>,
    /// Starts that had ended at the last look.
    ended: BTreeSet<Epoch>,
    /// Those whose time has come; of the first, the campaigns before `at` are done.
    due: VecDeque<Epoch>,
    at: usize,
    told_running_at: UnixMs,
}

impl Reclaims {
    /// For those that have ended before this one.
    pub(super) fn new(books: &Books, promise: Promise) -> Reclaims {
        let mut reclaims = Reclaims { promise, ..Reclaims::default() };
        reclaims.look(books);
        reclaims
    }

    /// Takes those in that have ended since the last look.
    pub(super) fn look_again(&mut self, books: &Books) {
        let mut known = books.starts.known.iter();
        if known.any(|(epoch, start)| !start.lives() && !self.ended.contains(epoch)) {
            self.look(books);
        }
    }

    fn look(&mut self, books: &Books) {
        let starts = &books.starts;
        let new = |epoch: &Epoch| !starts.lives(*epoch) && !self.ended.contains(epoch);
        let leased: Vec<Epoch> = books.leased().into_iter().filter(new).collect();
        self.waiting.extend(&leased);
        self.ended = starts.known.iter().filter(|(_, start)| !start.lives()).map(|(epoch, _)| *epoch).collect();
        self.ended.extend(leased);
    }

    fn at(&self, epoch: Epoch, starts: &Starts) -> UnixMs {
        starts.reclaim_at(epoch, self.promise.billable_ms)
    }

    /// When nothing waits any more of the starts that `counts` names.
    pub(super) fn until(&self, starts: &Starts, counts: impl Fn(Epoch) -> bool) -> Option<UnixMs> {
        self.waiting.iter().filter(|epoch| counts(**epoch)).map(|epoch| self.at(*epoch, starts)).max()
    }

    /// Brings back what is left of the leases whose time has come, of some campaigns in each tick. Of each campaign once:
    /// the books only know it when the event is durable.
    pub(super) fn tick(&mut self, campaigns: &[CampaignNo], books: &Books, now: UnixMs, out: &mut Vec<Event>) {
        if self.waiting.is_empty() && self.due.is_empty() {
            return;
        }
        let (due, waiting) = self.waiting.iter().partition(|epoch| now >= self.at(**epoch, &books.starts));
        self.waiting = waiting;
        self.due.extend::<Vec<Epoch>>(due);
        let mut most = CAMPAIGNS_PER_TICK;
        while let Some(epoch) = self.due.front().copied().filter(|_| most > 0) {
            let some = campaigns.iter().skip(self.at).take(most);
            most -= some.len();
            self.at += some.len();
            for (campaign, book) in some.filter_map(|no| Some((*no, books.campaigns.get(no)?))) {
                for ((_, slot), amount) in book.leases.iter().filter(|((e, _), _)| *e == epoch) {
                    let (slot, amount, why) = (*slot, *amount, ReturnReason::Reclaimed);
                    out.push(Event::LeaseReturned { campaign, epoch, slot, amount, why });
                }
            }
            if self.at == campaigns.len() {
                (self.at, _) = (0, self.due.pop_front());
            }
        }
        // The next start goes on from what the log shows of this one.
        let told_at = self.told_running_at.max(books.starts.at);
        if !self.waiting.is_empty() && now.since(told_at) >= RUNNING_INTERVAL_MS {
            self.told_running_at = now;
            out.push(Event::StillRunning);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::{CampaignSet, Slot, Stamped};
    use crate::ids::LeaseId;
    use crate::ledger::fold;
    use crate::ledger::fold::tests::{START, set};
    use crate::money::Nanos;

    #[test]
    fn many_campaigns_come_back_over_many_ticks_each_once() {
        let Event::CampaignSet(one) = set(1_000, None) else { panic!() };
        let (mut books, count) = (Books::default(), 2 * CAMPAIGNS_PER_TICK as u32 + 1);
        let campaigns: Vec<CampaignNo> = (0..count).map(CampaignNo).collect();
        for campaign in campaigns.iter().copied() {
            let new = Event::CampaignSet(CampaignSet { campaign, id: campaign.0.to_string(), ..one.clone() });
            for event in [new, granted(campaign, 1), granted(campaign, 2)] {
                append(&mut books, event);
            }
        }
        let mut reclaims = Reclaims::new(&books, Promise::default());
        let back_at = reclaims.until(&books.starts, |_| true).unwrap();
        let mut back = Vec::new();
        for tick in 0..8 {
            let mut out = Vec::new();
            reclaims.tick(&campaigns, &books, back_at.plus(tick), &mut out);
            out.retain(|event| *event != Event::StillRunning);
            assert!(out.len() <= CAMPAIGNS_PER_TICK, "{}", out.len());
            // Not durable yet when the next tick comes.
            back.extend(out);
        }
        assert_eq!(back.len(), 2 * campaigns.len());
        for event in back {
            append(&mut books, event);
        }
        assert!(books.campaigns.values().all(|book| book.leases.is_empty()));
        assert!(reclaims.until(&books.starts, |_| true).is_none());
    }

    fn append(books: &mut Books, event: Event) {
        let offset = books.next;
        fold(books, &Stamped { offset, at: START, event });
    }

    fn granted(campaign: CampaignNo, epoch: u32) -> Event {
        let lease = LeaseId { epoch: Epoch(epoch), seq: campaign.0 };
        Event::LeaseGranted { campaign, lease, slot: Slot::Whole, amount: Nanos(1) }
    }
}
