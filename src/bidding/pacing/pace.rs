//! What the pacer tells the bids of one campaign, and what they tell it.

use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU32, Ordering};
use std::sync::{Arc, OnceLock};

use fastrand::Rng;

use crate::money::Nanos;

/// Fixed point of multipliers: 1, the whole price.
pub const ONE: u32 = 1 << 30;
/// Bids exactly the price, and nothing is counted.
const UNPACED: u32 = u32::MAX;

/// Raises of a bid, each a sixteenth above the one before, in units of [`ONE`].
const RAISES: [u64; 34] = {
    let mut raises = [ONE as u64; 34];
    let mut i = 1;
    while i < raises.len() {
        raises[i] = raises[i - 1] * 17 / 16;
        i += 1;
    }
    raises
};
/// By how much one raise changes the logarithm of a bid, and by how much its frequency: where all competitors bid the
/// same, `RAISE_SLOPE` is what spend gains on the logarithm of the multiplier.
pub const RAISE_SLOPE: f64 = 11.4; // ln 2 / ln (17/16)

/// The multiplier and the limit that an `even` campaign bids by. Made when it is first paced: most campaigns never are.
/// Clones share it once it is made.
#[derive(Clone, Debug, Default)]
pub struct Pace(OnceLock<Arc<Paced>>);

#[derive(Debug)]
struct Paced {
    /// In units of [`ONE`], or [`UNPACED`].
    multiplier: AtomicU32,
    /// All that bids have set aside since the campaign was first paced, whatever became of it.
    promised: AtomicI64,
    /// Up to where `promised` may go before the pacer looks again.
    limit: AtomicI64,
    /// Since the pacer last looked: the campaign was considered for an impression; a bid was not made for the limit's
    /// sake.
    asked: AtomicBool,
    held: AtomicBool,
    // For people: the plan, what counts as spent, and what the period may come to.
    planned: AtomicI64,
    counted: AtomicI64,
    amount: AtomicI64,
}

impl Default for Paced {
    fn default() -> Paced {
        let zero = || AtomicI64::new(0);
        Paced {
            multiplier: AtomicU32::new(UNPACED),
            promised: zero(),
            limit: zero(),
            asked: AtomicBool::new(false),
            held: AtomicBool::new(false),
            planned: zero(),
            counted: zero(),
            amount: zero(),
        }
    }
}

impl Paced {
    fn multiplier(&self) -> Option<u32> {
        Some(self.multiplier.load(Ordering::Relaxed)).filter(|multiplier| *multiplier != UNPACED)
    }

    fn promised(&self) -> i64 {
        self.promised.load(Ordering::Relaxed)
    }
}

/// What the pacer decided for the next second.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Order {
    /// In units of [`ONE`].
    pub multiplier: u32,
    /// What bids may set aside until the pacer looks again.
    pub room: Nanos,
    pub planned: Nanos,
    pub counted: Nanos,
    pub amount: Nanos,
}

impl Pace {
    /// What there is of a campaign that is paced now.
    #[inline]
    fn paced(&self) -> Option<&Paced> {
        self.0.get().map(|paced| &**paced).filter(|paced| paced.multiplier().is_some())
    }

    /// Whether the pacer minds this campaign.
    pub fn is_paced(&self) -> bool {
        self.paced().is_some()
    }

    /// Begins to pace with the whole price and `room` until the pacer has looked, unless it is paced already.
    pub fn begin(&self, room: Nanos) {
        let paced = self.0.get_or_init(Arc::default);
        if paced.multiplier().is_none() {
            paced.limit.store(paced.promised().saturating_add(room.0), Ordering::Relaxed);
            paced.multiplier.store(ONE, Ordering::Relaxed);
        }
    }

    /// Bids the price from now on; what the pacer still has in hand has no effect.
    pub fn end(&self) {
        if let Some(paced) = self.0.get() {
            paced.multiplier.store(UNPACED, Ordering::Relaxed);
        }
    }

    /// The bid for an impression that is worth `price`.
    ///
    /// With a multiplier of 1 it is `price`. Below that the bid is the price times the multiplier, raised by a
    /// sixteenth again and again as long as a coin shows heads, evenly in between, never above the price. So where all
    /// competitors bid the same, the share of auctions won falls by half with each sixteenth that the multiplier lies
    /// below them, instead of falling from all to none: there is always a multiplier that spends what is wanted.
    pub fn bid(&self, price: Nanos, rng: &mut Rng) -> Nanos {
        let Some(paced) = self.0.get() else { return price };
        let Some(multiplier) = paced.multiplier() else { return price };
        note(&paced.asked);
        raised(price, multiplier, rng.u64(..))
    }

    /// Whether the plan leaves room for a bid of `cost`; takes note when it does not.
    pub fn allows(&self, cost: Nanos) -> bool {
        let allows = self.has_room(cost);
        if let Some(paced) = self.0.get().filter(|_| !allows) {
            note(&paced.held);
        }
        allows
    }

    pub fn has_room(&self, cost: Nanos) -> bool {
        !self.is_paced() || self.room() >= cost
    }

    /// Counts a bid that was made.
    pub fn promise(&self, cost: Nanos) {
        if let Some(paced) = self.paced() {
            paced.promised.fetch_add(cost.0, Ordering::Relaxed);
        }
    }

    pub fn promised(&self) -> Nanos {
        Nanos(self.0.get().map_or(0, |paced| paced.promised()))
    }

    /// What bids may still set aside until the pacer looks again.
    pub fn room(&self) -> Nanos {
        let left = |paced: &Paced| paced.limit.load(Ordering::Relaxed).saturating_sub(paced.promised()).max(0);
        Nanos(self.0.get().map_or(0, |paced| left(paced)))
    }

    /// Whether the campaign was considered, and whether bids were held, since this was last asked.
    pub fn take_signs(&self) -> (bool, bool) {
        let take = |sign: &AtomicBool| sign.swap(false, Ordering::Relaxed);
        self.0.get().map_or((false, false), |paced| (take(&paced.asked), take(&paced.held)))
    }

    /// Puts an order in force, unless the campaign is not paced any more.
    pub fn obey(&self, order: &Order) {
        let Some(now) = self.0.get() else { return };
        let paced = |now| (now != UNPACED).then_some(order.multiplier.min(ONE));
        if now.multiplier.fetch_update(Ordering::Relaxed, Ordering::Relaxed, paced).is_ok() {
            now.limit.store(now.promised().saturating_add(order.room.0), Ordering::Relaxed);
            now.planned.store(order.planned.0, Ordering::Relaxed);
            now.counted.store(order.counted.0, Ordering::Relaxed);
            now.amount.store(order.amount.0, Ordering::Relaxed);
        }
    }

    /// What was last ordered, for people; `None` for a campaign that is not paced.
    pub fn last(&self) -> Option<Order> {
        let get = |n: &AtomicI64| Nanos(n.load(Ordering::Relaxed));
        let paced = self.0.get()?;
        paced.multiplier().map(|multiplier| Order {
            multiplier,
            room: get(&paced.limit) - self.promised(),
            planned: get(&paced.planned),
            counted: get(&paced.counted),
            amount: get(&paced.amount),
        })
    }
}

/// Written once a second, not once a request: the line stays shared between the workers.
fn note(sign: &AtomicBool) {
    if !sign.load(Ordering::Relaxed) {
        sign.store(true, Ordering::Relaxed);
    }
}

/// `price` times `multiplier`, raised as 64 fair bits say, rounded down to a nano and at most `price`.
fn raised(price: Nanos, multiplier: u32, bits: u64) -> Nanos {
    let (heads, between) = ((bits >> 32) as u32, bits & 0xffff);
    let k = heads.leading_zeros() as usize;
    let raise = RAISES[k] + (((RAISES[k + 1] - RAISES[k]) * between) >> 16);
    let share = ((u64::from(multiplier) * raise) >> 30).min(u64::from(ONE));
    Nanos(((i128::from(price.0) * i128::from(share)) >> 30) as i64)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_unpaced_campaign_and_a_multiplier_of_one_bid_exactly_the_price() {
        let (pace, mut rng) = (Pace::default(), Rng::with_seed(1));
        for price in [1, 2_500_001, i64::MAX] {
            assert_eq!(pace.bid(Nanos(price), &mut rng), Nanos(price));
            assert_eq!(raised(Nanos(price), ONE, rng.u64(..)), Nanos(price));
        }
        assert!(pace.allows(Nanos::MAX));
        pace.promise(Nanos(5));
        assert_eq!(pace.promised(), Nanos(0));
    }

    #[test]
    fn a_bid_lies_between_the_multiplier_and_the_price_and_each_raise_is_half_as_likely() {
        let mut rng = Rng::with_seed(2);
        let (price, multiplier) = (Nanos(2_500_000), ONE / 2);
        let bids: Vec<i64> = (0..100_000).map(|_| raised(price, multiplier, rng.u64(..)).0).collect();
        assert!(bids.iter().all(|bid| (1_250_000..=2_500_000).contains(bid)));
        for (raises, share) in [(1, 0.5), (2, 0.25), (4, 0.0625)] {
            let above = 1_250_000.0 * (17.0f64 / 16.0).powi(raises);
            let seen = bids.iter().filter(|bid| **bid as f64 >= above).count() as f64 / 100_000.0;
            assert!((seen / share - 1.0).abs() < 0.05, "{seen} of bids are raised {raises} times");
        }
        assert_eq!(raised(Nanos(3), ONE / 2, u64::MAX >> 32 << 32), Nanos(0).max(Nanos(1)), "rounded down");
    }

    #[test]
    fn bids_stop_at_the_limit_and_say_so() {
        let pace = Pace::default();
        pace.begin(Nanos(10));
        assert!(pace.allows(Nanos(10)) && !pace.take_signs().1);
        pace.promise(Nanos(7));
        assert!(!pace.allows(Nanos(4)) && pace.take_signs().1 && !pace.take_signs().1);
        let order =
            Order { multiplier: ONE / 4, room: Nanos(5), planned: Nanos(1), counted: Nanos(2), amount: Nanos(9) };
        pace.obey(&order);
        assert_eq!(pace.last(), Some(order));
        assert!(pace.allows(Nanos(5)));
        pace.end();
        pace.obey(&order);
        assert!(!pace.is_paced() && pace.last().is_none(), "an order that comes late does nothing");
    }
}
