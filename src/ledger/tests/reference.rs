//! The reference: lists of what happened, and sums over all of them, by the rules of money alone.
use super::*;
#[derive(Default)]
pub struct Reference {
    bids: Vec<Facts>,
    won: HashSet<ReservationId>,
    lost: HashSet<ReservationId>,
    /// What a bid cost, and whether its money had gone back by then.
    bills: HashMap<ReservationId, (Facts, Nanos, bool)>,
    leases: Vec<(Epoch, Slot, Nanos)>,
    budget: (Nanos, Option<Nanos>),
    now: UnixMs,
    forgotten: u32,
    /// Spent in time and leased above the budget: only a cut may add to it, and no more than it took.
    above: Nanos,
}

impl Reference {
    /// Whose money is promised: neither lost nor billed, and it can still be billed.
    fn live(&self) -> impl Iterator<Item = &Facts> {
        let ended = |id| self.lost.contains(id) || self.bills.contains_key(id);
        let until = |f: &Facts| if self.won.contains(&f.reservation) { f.bill_until() } else { f.auction_until() };
        self.bids.iter().filter(move |f| !ended(&f.reservation) && self.now < until(f))
    }

    fn spent(&self, counts: impl Fn(&Facts, bool) -> bool) -> Nanos {
        self.bills.values().filter(|(facts, _, late)| counts(facts, *late)).map(|(_, amount, _)| *amount).sum()
    }
    fn leased(&self, counts: impl Fn(Epoch, Slot) -> bool) -> Nanos {
        let leases: Nanos = self.leases.iter().filter(|(epoch, slot, _)| counts(*epoch, *slot)).map(|(.., n)| *n).sum();
        leases - self.spent(|f, late| !late && counts(f.reservation.epoch, f.slot()))
    }

    /// A bid goes out: all that is spent and promised is within the budget as it is now, and on its day too.
    pub fn bid(&mut self, facts: Facts) {
        self.now = facts.bid_at;
        self.bids.push(facts);
        for (budget, day) in [(Some(self.budget.0), None), (self.budget.1, Some(facts.day))] {
            let is_of = |f: &Facts| day.is_none_or(|day| f.day == day);
            let promised: Nanos = self.live().filter(|f| is_of(f)).map(|f| f.reserved).sum();
            assert!(budget.is_none_or(|budget| self.spent(|f, _| is_of(f)) + promised <= budget), "not covered");
        }
    }
    pub fn apply(&mut self, stamped: &Stamped) {
        let (budget, above) = (self.budget.0, self.above);
        self.now = stamped.at;
        match &stamped.event {
            Event::CampaignSet(set) => self.budget = (set.total, set.daily),
            Event::LeaseGranted { lease, slot, amount, .. } => self.leases.push((lease.epoch, *slot, *amount)),
            Event::LeaseReturned { epoch, slot, amount, .. } => self.leases.push((*epoch, *slot, Nanos(-amount.0))),
            Event::ReservationsForgotten { before } => self.forgotten = *before,
            Event::Notice(n) if n.facts.bid_at.minutes() < self.forgotten => {}
            Event::Notice(Notice { kind, facts, price: PriceClaim::Amount { amount, .. }, .. }) => {
                let id = facts.reservation;
                let live = self.live().any(|f| f.reservation == id);
                let leased = self.leased(|epoch, slot| (epoch, slot) == (id.epoch, facts.slot()));
                let _ = match kind {
                    NoticeKind::Win => live && self.won.insert(id),
                    NoticeKind::Loss => live && !self.won.contains(&id) && self.lost.insert(id),
                    NoticeKind::Bill => self.bills.entry(id).or_insert((*facts, *amount, !live || leased < *amount)).2,
                };
            }
            _ => {}
        }
        self.above = (self.spent(|_, late| !late) + self.leased(|_, _| true) - self.budget.0).max(Nanos::ZERO);
        assert!(self.above <= above + (budget - self.budget.0).max(Nanos::ZERO), "promised above the budget");
    }

    pub fn agrees(&self, v: &AccountView, now: Epoch) {
        let (own, earlier): (Vec<&Facts>, Vec<&Facts>) = self.live().partition(|f| f.reservation.epoch == now);
        let [reserved, earlier]: [Nanos; 2] = [own, earlier].map(|bids| bids.iter().map(|f| f.reserved).sum());
        let [own, withheld] = [true, false].map(|own| self.leased(|epoch, _| (epoch == now) == own));
        let (spent, late) = (self.spent(|_, _| true), self.spent(|_, late| late));
        let left = [self.budget.0 - spent - reserved - withheld, spent - self.budget.0];
        let [available, overspend] = left.map(|n| n.max(Nanos::ZERO));
        let sums = [self.budget.0, reserved, withheld, spent, late, available, overspend];
        assert_eq!([v.budget, v.reserved, v.withheld, v.spent, v.late, v.available, v.overspend], sums);
        assert!(reserved <= own && earlier <= withheld, "promised and not leased: {v:?}");
    }
}
