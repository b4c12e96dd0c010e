//! What the notices of this start tell of a campaign's spend: for the pacer, which has to foresee it.

use super::account::SlotAccount;
use super::bucket::Ring;
use super::reservation::{Outcome, State};
use crate::clock::UnixMs;
use crate::event::{Notice, PriceClaim, Slot};
use crate::money::Nanos;

/// Sums over one slot's bids of this start. They only grow, but for `unbilled`; another slot starts anew.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Flow {
    pub slot: Slot,
    /// Won or booked, whichever was told first of a bid.
    pub told: Nanos,
    /// That times the milliseconds since the bid.
    pub waited: i128,
    /// Won and not booked yet.
    pub unbilled: Nanos,
}

impl Default for Flow {
    fn default() -> Flow {
        Flow { slot: Slot::Whole, told: Nanos::ZERO, waited: 0, unbilled: Nanos::ZERO }
    }
}

impl Flow {
    /// Takes note of a notice of this start that came at `at` to a reservation in state `from`.
    pub fn note(&mut self, notice: &Notice, from: State, outcome: Outcome, at: UnixMs) {
        let facts = &notice.facts;
        if facts.slot() < self.slot {
            return; // Yesterday's.
        }
        let amount = match (outcome, notice.price) {
            (Outcome::Booked { amount } | Outcome::BookedLate { amount }, _) => amount,
            (Outcome::Won, PriceClaim::Amount { amount, .. } | PriceClaim::NoRate { amount }) => amount,
            _ => return,
        };
        if facts.slot() != self.slot {
            *self = Flow { slot: facts.slot(), ..Flow::default() };
        }
        match (from, outcome) {
            (State::Won, _) => self.unbilled = (self.unbilled - amount).max(Nanos::ZERO),
            (_, Outcome::Won) => self.unbilled = Nanos(self.unbilled.0.saturating_add(amount.0)),
            _ => {}
        }
        if from != State::Won {
            // Wins that are never billed come back and are told of again: nothing else bounds them.
            self.told = Nanos(self.told.0.saturating_add(amount.0));
            self.waited += i128::from(amount.0) * i128::from(at.since(facts.bid_at).max(0));
        }
    }

    /// What is not set aside any more cannot be billed out of it.
    pub(super) fn bounded_by(&mut self, account: Option<&SlotAccount>) {
        let most = account.filter(|a| a.slot == self.slot).map_or(Nanos::ZERO, |a| a.reserved_in(Ring::Bill));
        self.unbilled = self.unbilled.min(most);
    }
}

#[cfg(test)]
mod tests {
    use super::super::fold::tests::{START, facts, notice};
    use super::*;
    use crate::clock::Day;
    use crate::event::{Event, Facts, NoticeKind};

    fn tell(flow: &mut Flow, kind: NoticeKind, facts: Facts, from: State, outcome: Outcome, after_ms: i64) {
        let Event::Notice(notice) = notice(kind, facts, 7) else { panic!() };
        flow.note(&notice, from, outcome, START.plus(after_ms));
    }

    #[test]
    fn each_bid_is_told_of_once() {
        let (mut flow, booked) = (Flow::default(), Outcome::Booked { amount: Nanos(7) });
        tell(&mut flow, NoticeKind::Win, facts(0), State::Pending, Outcome::Won, 100);
        assert_eq!((flow.told, flow.waited, flow.unbilled), (Nanos(7), 700, Nanos(7)));
        tell(&mut flow, NoticeKind::Bill, facts(0), State::Won, booked, 900);
        assert_eq!((flow.told, flow.waited, flow.unbilled), (Nanos(7), 700, Nanos(0)));
        tell(&mut flow, NoticeKind::Bill, facts(1), State::Pending, booked, 200);
        assert_eq!((flow.told, flow.waited, flow.unbilled), (Nanos(14), 2_100, Nanos(0)));
        tell(&mut flow, NoticeKind::Loss, facts(2), State::Pending, Outcome::Voided, 200);
        assert_eq!(flow.told, Nanos(14));
    }

    #[test]
    fn another_day_starts_anew_and_an_earlier_one_is_left_out() {
        let on = |day| Facts { daily: true, day: Day(day), ..facts(0) };
        let mut flow = Flow::default();
        tell(&mut flow, NoticeKind::Win, on(5), State::Pending, Outcome::Won, 1);
        tell(&mut flow, NoticeKind::Win, on(6), State::Pending, Outcome::Won, 1);
        tell(&mut flow, NoticeKind::Win, on(5), State::Pending, Outcome::Won, 1);
        assert_eq!((flow.slot, flow.told), (Slot::Day(Day(6)), Nanos(7)));
        flow.bounded_by(None);
        assert_eq!(flow.unbilled, Nanos(0));
    }
}
