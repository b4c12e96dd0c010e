//! How much a node leases: a few seconds of spend, and never much of what remains.

use crate::money::Nanos;

/// A lease is to last this long at the rate seen so far.
const SECONDS: i64 = 4;
/// A lease is at most this part of what remains of the budget (1 %) ...
const REMAINING_PART: i64 = 100;
/// ... or this many highest bids, so that the end of a budget can be spent at all.
const HIGHEST_BIDS: i64 = 8;
/// What could not be bid for want of money has to fit into half a lease, for only then is it topped up.
const REFUSED_COSTS: i64 = 2;
/// A refused cost counts less and less: to a third in this time.
const REFUSED_MS: i64 = 60_000;
/// How often a rate is smoothed at least: a look after a longer time stands for several.
const SMOOTH_MS: i64 = 1_000;
/// With no rate seen yet, this part of what remains.
const FIRST_PART: i64 = 1_000;

/// What one campaign is spending, seen from its lease.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Demand {
    /// Nanos a second, smoothed; zero is not known yet.
    pub rate: i64,
    /// What was available when last looked at, less what was granted since.
    pub last_available: Nanos,
    /// The largest cost that was refused lately.
    pub refused: Nanos,
}

impl Demand {
    /// Takes note that `available` is left, `elapsed_ms` after the last look.
    pub fn observe(&mut self, available: Nanos, elapsed_ms: i64) {
        if elapsed_ms <= 0 {
            return;
        }
        let used = (self.last_available - available).max(Nanos::ZERO);
        let now = used.0.saturating_mul(1_000) / elapsed_ms;
        let looks = (elapsed_ms / SMOOTH_MS).clamp(1, 2 * REFUSED_MS / SMOOTH_MS);
        let each_ms = (elapsed_ms / looks).min(REFUSED_MS);
        for _ in 0..looks {
            let fades = i128::from(self.refused.0) * i128::from(each_ms) / i128::from(REFUSED_MS);
            self.refused.0 -= fades as i64; // not above what it is of
            // Up at once, down slowly: a lease that is too small loses bids, one that is too large only waits.
            self.rate = if now > self.rate { now } else { self.rate - (self.rate - now) / 16 };
        }
        self.last_available = available;
    }

    /// A bid found too little for its cost.
    pub fn refuse(&mut self, cost: Nanos) {
        self.refused = self.refused.max(cost);
    }
}

/// What to lease now, or nothing.
///
/// * `available`: left of what is leased and open.
/// * `free`: what may still be leased of the slot's budget.
/// * `remaining`: budget less spent, which bounds the size of one lease.
/// * `highest_bid`: what a bid of the campaign for one impression may cost, as far as that is known beforehand.
pub fn wanted(demand: &Demand, available: Nanos, free: Nanos, remaining: Nanos, highest_bid: Nanos) -> Option<Nanos> {
    let target = target(demand, remaining, highest_bid).0;
    if available.0 > target / 2 {
        return None;
    }
    let amount = (target - available.0).min(free.0);
    (amount > 0).then_some(Nanos(amount))
}

/// What should be available; a lease is wanted when half of it is left.
pub fn target(demand: &Demand, remaining: Nanos, highest_bid: Nanos) -> Nanos {
    // What the whole budget could not pay is no reason to lease any of it.
    let refused = if demand.refused <= remaining { demand.refused.0 } else { 0 };
    let few_bids = highest_bid.0.max(1).saturating_mul(HIGHEST_BIDS).max(refused.saturating_mul(REFUSED_COSTS));
    let most = few_bids.max(remaining.0 / REMAINING_PART);
    let seconds = demand.rate.saturating_mul(SECONDS).max(remaining.0 / FIRST_PART);
    Nanos(seconds.clamp(few_bids, most))
}

#[cfg(test)]
mod tests {
    use super::*;

    const BID: Nanos = Nanos(1_000);

    fn ask(rate: i64, available: i64, free: i64, remaining: i64) -> Option<i64> {
        let demand = Demand { rate, last_available: Nanos(available), ..Demand::default() };
        wanted(&demand, Nanos(available), Nanos(free), Nanos(remaining), BID).map(|n| n.0)
    }

    #[test]
    fn is_a_few_seconds_of_spend_and_at_most_one_percent() {
        assert_eq!(ask(10_000, 0, 100_000_000, 100_000_000), Some(100_000)); // first guess: 0.1 % of what remains
        assert_eq!(ask(100_000, 0, 100_000_000, 100_000_000), Some(400_000)); // four seconds
        assert_eq!(ask(9_000_000, 0, 100_000_000, 100_000_000), Some(1_000_000)); // 1 %
        assert_eq!(ask(100_000, 300_000, 100_000_000, 100_000_000), None); // enough left
    }

    #[test]
    fn the_end_of_a_budget_can_be_spent() {
        assert_eq!(ask(0, 0, 5_000, 5_000), Some(5_000));
        assert_eq!(ask(0, 0, 300, 300), Some(300));
        assert_eq!(ask(0, 0, 0, 300), None);
        assert_eq!(ask(0, 0, -5, 300), None);
        assert_eq!(ask(i64::MAX, 0, i64::MAX, i64::MAX), Some(i64::MAX / 100));
    }

    #[test]
    fn a_refused_cost_fits_into_the_next_lease_if_the_budget_has_it() {
        let mut demand = Demand::default();
        demand.refuse(Nanos(70_000));
        demand.refuse(Nanos(60_000));
        let ask = |demand: &Demand, available, remaining| {
            wanted(demand, Nanos(available), Nanos(remaining), Nanos(remaining), BID).map(|n| n.0)
        };
        assert_eq!(ask(&demand, 0, 1_000_000), Some(140_000));
        assert_eq!(ask(&demand, 69_999, 1_000_000), Some(70_001), "too little for it: topped up");
        assert_eq!(ask(&demand, 70_001, 1_000_000), None);
        assert_eq!(ask(&demand, 0, 69_999), Some(8_000), "more than the budget has");
        assert_eq!(ask(&demand, 0, 100_000), Some(100_000));
        (0..300).for_each(|_| demand.observe(Nanos(0), 1_000));
        assert_eq!(ask(&demand, 0, 1_000_000), Some(8_000), "five minutes later");
    }

    #[test]
    fn one_look_after_a_minute_is_worth_sixty() {
        let start = Demand { rate: 1_000, last_available: Nanos(90_000), refused: Nanos(50_000) };
        let (mut seldom, mut often) = (start, start);
        seldom.observe(Nanos(84_000), 60_000);
        (1..=60).for_each(|s| often.observe(Nanos(90_000 - s * 100), 1_000));
        assert_eq!(seldom, often);
        assert!((100..130).contains(&seldom.rate) && seldom.refused < Nanos(20_000), "{seldom:?}");
    }

    #[test]
    fn demand_follows_up_at_once_and_down_slowly() {
        let mut demand = Demand { rate: 0, last_available: Nanos(1_000), ..Demand::default() };
        demand.observe(Nanos(900), 100);
        assert_eq!(demand.rate, 1_000);
        demand.observe(Nanos(900), 100);
        assert_eq!(demand.rate, 938);
        demand.observe(Nanos(950), 100); // money came back
        assert!(demand.rate < 938);
    }
}
