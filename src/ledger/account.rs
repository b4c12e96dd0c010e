//! The lock-free counters of one campaign on one node.

use std::sync::{Arc, OnceLock};

use arc_swap::{ArcSwapOption, Guard};

use super::bucket::{Grids, Ring};
use super::marks::Marks;
use super::sync::{AtomicI64, AtomicU32, Ordering, back_off};
use crate::clock::{Day, UnixMs};
use crate::event::Slot;
use crate::ids::CampaignNo;
use crate::money::Nanos;

/// One campaign's money on this node, as the bid path sees it.
#[derive(Debug)]
pub struct Account {
    pub campaign: CampaignNo,
    /// What bids may reserve from now; none when nothing is leased.
    open: ArcSwapOption<SlotAccount>,
    wanted: Arc<Marks>,
    /// The largest cost that a bid found too little for, since it was last looked at.
    refused: AtomicI64,
    /// What costs more than the budget has left is not counted: no lease would pay it.
    most: AtomicI64,
}

impl Account {
    pub fn new(campaign: CampaignNo, wanted: Arc<Marks>) -> Account {
        let (refused, most) = (AtomicI64::new(0), AtomicI64::new(i64::MAX));
        Account { campaign, open: ArcSwapOption::empty(), wanted, refused, most }
    }

    /// Says that a lease is wanted.
    pub fn ask(&self) {
        self.wanted.put(self.campaign);
    }

    /// Says that a bid found too little for its cost: the next lease should hold as much.
    pub fn refuse(&self, cost: Nanos) {
        if cost.0 > self.refused.load(Ordering::Relaxed) && cost.0 <= self.most.load(Ordering::Relaxed) {
            self.refused.fetch_max(cost.0, Ordering::Relaxed);
        }
        self.ask();
    }

    /// The largest since this was last asked; from now on only what `remaining` could pay is counted.
    pub(super) fn take_refused(&self, remaining: Nanos) -> Nanos {
        self.most.store(remaining.0, Ordering::Relaxed);
        match self.refused.load(Ordering::Relaxed) {
            0 => Nanos::ZERO,
            _ => Nanos(self.refused.swap(0, Ordering::Relaxed)),
        }
    }

    /// Sets `cost` aside for a bid on the day `today`; see [`SlotAccount::try_reserve`].
    pub fn try_reserve(&self, open: &SlotAccount, grids: &Grids, ring: Ring, until: UnixMs, cost: Nanos) -> bool {
        match open.try_reserve(grids, ring, until, cost) {
            Some(left) if left.0 >= open.low_water.load(Ordering::Relaxed) => true,
            Some(_) => {
                self.ask();
                true
            }
            None => {
                self.refuse(cost);
                false
            }
        }
    }

    /// The leased money that a bid on the campaign-local day `today` may use.
    pub fn open(&self, today: Day) -> Option<Guard<Option<Arc<SlotAccount>>>> {
        let open = self.open.load();
        match open.as_ref().map(|s| s.slot) {
            Some(Slot::Whole) => Some(open),
            Some(Slot::Day(day)) if day == today => Some(open),
            _ => None,
        }
    }

    pub(super) fn set_open(&self, slot: Option<Arc<SlotAccount>>) {
        self.open.store(slot);
    }

    /// Opens `slot`, or nothing, where something else is open.
    pub(super) fn keep_open(&self, slot: Option<&Arc<SlotAccount>>) {
        let same = match (&*self.open.load(), slot) {
            (Some(open), Some(slot)) => Arc::ptr_eq(open, slot),
            (None, None) => true,
            _ => false,
        };
        if !same {
            self.set_open(slot.cloned());
        }
    }
}

/// On its own cache line: what bids only read must not go to and fro between the cores with what they write.
#[derive(Debug)]
#[repr(align(64))]
struct Alone<T>(T);

/// Leased money of one budget slot: what is available, and what is set aside per bucket.
///
/// Bids move money from `available` into a bucket; only the thread that applies the log moves it out again.
#[derive(Debug)]
pub struct SlotAccount {
    campaign: CampaignNo,
    pub slot: Slot,
    available: Alone<AtomicI64>,
    /// With less than this available the lease wants looking after.
    low_water: AtomicI64,
    /// The newest lease in here, for the tokens.
    lease_seq: AtomicU32,
    /// Made at the first reservation: most campaigns of a large catalog never bid.
    rings: OnceLock<[Box<[AtomicI64]>; 2]>,
}

impl SlotAccount {
    pub fn new(campaign: CampaignNo, slot: Slot) -> SlotAccount {
        SlotAccount {
            campaign,
            slot,
            available: Alone(AtomicI64::new(0)),
            low_water: AtomicI64::new(0),
            lease_seq: AtomicU32::new(0),
            rings: OnceLock::new(),
        }
    }

    pub fn available(&self) -> Nanos {
        Nanos(self.available.0.load(Ordering::Relaxed))
    }

    pub fn lease_seq(&self) -> u32 {
        self.lease_seq.load(Ordering::Relaxed)
    }

    /// Sets `cost` aside in the bucket of `ring` that ends at `until` and returns what is left, or changes nothing.
    ///
    /// The compare-and-exchange on `available` is the decision. The add that follows cannot fail; until it is done
    /// the money is in neither place, so a reader sees too little, never too much.
    pub fn try_reserve(&self, grids: &Grids, ring: Ring, until: UnixMs, cost: Nanos) -> Option<Nanos> {
        let grid = grids.of(ring);
        if cost.0 < 0 || !grid.is_open(until) {
            return None;
        }
        let at = grid.cell(until);
        let cell = &self.rings(grids)[ring as usize][at];
        let mut available = self.available.0.load(Ordering::Relaxed);
        loop {
            if available < cost.0 {
                return None;
            }
            let left = available - cost.0;
            match self.available.0.compare_exchange_weak(available, left, Ordering::AcqRel, Ordering::Relaxed) {
                Ok(_) => {
                    self.fill(cell, grid.filled(at), cost);
                    return Some(Nanos(left));
                }
                // Another core is at it: in the pause it ends its bid, and neither line changes hands in between.
                Err(_) => back_off(),
            }
            available = self.available.0.load(Ordering::Relaxed);
        }
    }

    /// Puts money into a cell. Who finds it empty says so: the end of a bucket looks at nobody else. A mark is taken before
    /// what is in the cell, so that what is put in later finds it empty again, and sees that there is no mark.
    fn fill(&self, cell: &AtomicI64, filled: &Marks, cost: Nanos) {
        if cell.fetch_add(cost.0, Ordering::AcqRel) == 0 {
            filled.put(self.campaign);
        }
    }

    fn rings(&self, grids: &Grids) -> &[Box<[AtomicI64]>; 2] {
        let zeros = |len| (0..len).map(|_| AtomicI64::new(0)).collect();
        self.rings.get_or_init(|| [zeros(grids.auction.cells()), zeros(grids.bill.cells())])
    }

    // What follows is called only by the thread that applies the log.

    /// Below which a bid asks for a look at the lease.
    pub(super) fn set_low_water(&self, low_water: Nanos) {
        self.low_water.store(low_water.0, Ordering::Relaxed);
    }

    pub(super) fn set_lease_seq(&self, lease_seq: u32) {
        self.lease_seq.store(lease_seq, Ordering::Relaxed);
    }

    /// Takes up to `most` out of what is available.
    pub(super) fn take(&self, most: Nanos) -> Nanos {
        let mut taken = 0;
        let less = |available: i64| {
            taken = available.clamp(0, most.0.max(0));
            Some(available - taken)
        };
        let _always_some = self.available.0.fetch_update(Ordering::AcqRel, Ordering::Relaxed, less);
        Nanos(taken)
    }

    /// Takes a reservation out of its bucket.
    pub(super) fn release(&self, grids: &Grids, ring: Ring, until: UnixMs, cost: Nanos) {
        let before = self.rings(grids)[ring as usize][grids.of(ring).cell(until)].fetch_sub(cost.0, Ordering::AcqRel);
        debug_assert!(before >= cost.0, "released {cost} from a bucket that holds {}", Nanos(before));
    }

    /// Puts a won reservation into the bucket in which it stays until it can no longer be billed.
    pub(super) fn set_aside(&self, grids: &Grids, ring: Ring, until: UnixMs, cost: Nanos) {
        let grid = grids.of(ring);
        let at = grid.cell(until);
        self.fill(&self.rings(grids)[ring as usize][at], grid.filled(at), cost);
    }

    /// Makes money available again.
    pub(super) fn give_back(&self, amount: Nanos) {
        self.available.0.fetch_add(amount.0, Ordering::AcqRel);
    }

    /// Takes out all that is left in the bucket of `cell`: the one subtraction of an expiry.
    pub(super) fn expire(&self, ring: Ring, cell: usize) -> Nanos {
        let Some(rings) = self.rings.get() else { return Nanos::ZERO };
        Nanos(rings[ring as usize][cell].swap(0, Ordering::AcqRel))
    }

    /// What is set aside in one ring.
    pub fn reserved_in(&self, ring: Ring) -> Nanos {
        let Some(rings) = self.rings.get() else { return Nanos::ZERO };
        Nanos(rings[ring as usize].iter().map(|cell| cell.load(Ordering::Relaxed)).sum())
    }

    /// All that is set aside.
    pub fn reserved(&self) -> Nanos {
        let Some(rings) = self.rings.get() else { return Nanos::ZERO };
        Nanos(rings.iter().flat_map(|r| r.iter()).map(|cell| cell.load(Ordering::Acquire)).sum())
    }
}

#[cfg(test)]
mod tests {
    use super::super::bucket::Lifetimes;
    use super::*;

    fn grids() -> (Grids, UnixMs) {
        let grids = Grids::new(&[Lifetimes { auction_ms: 1_000, bill_ms: 10_000, sends_win: true }]);
        let now = UnixMs(1_700_000_000_000);
        grids.auction.advance(now).for_each(drop);
        grids.bill.advance(now).for_each(drop);
        (grids, now)
    }

    #[test]
    fn reserves_until_nothing_is_left_and_not_a_nano_more() {
        let (grids, now) = grids();
        let slot = SlotAccount::new(CampaignNo(1), Slot::Whole);
        slot.give_back(Nanos(10));
        let until = UnixMs(now.0 + i64::from(grids.lifetimes(now, LIFE).0));
        assert_eq!(slot.try_reserve(&grids, Ring::Auction, until, Nanos(4)), Some(Nanos(6)));
        assert_eq!(slot.try_reserve(&grids, Ring::Auction, until, Nanos(6)), Some(Nanos(0)));
        assert_eq!(slot.try_reserve(&grids, Ring::Auction, until, Nanos(1)), None);
        assert_eq!(slot.try_reserve(&grids, Ring::Auction, until, Nanos(-1)), None);
        assert_eq!((slot.available(), slot.reserved()), (Nanos(0), Nanos(10)));
        slot.release(&grids, Ring::Auction, until, Nanos(4));
        assert_eq!(slot.expire(Ring::Auction, grids.auction.cell(until)), Nanos(6));
        slot.give_back(Nanos(6));
        assert_eq!((slot.available(), slot.reserved()), (Nanos(6), Nanos(0)));
    }

    const LIFE: Lifetimes = Lifetimes { auction_ms: 1_000, bill_ms: 10_000, sends_win: true };

    #[test]
    fn two_threads_never_reserve_more_than_there_is() {
        let (grids, now) = grids();
        let slot = SlotAccount::new(CampaignNo(1), Slot::Whole);
        slot.give_back(Nanos(100_000));
        let until = UnixMs(now.0 + i64::from(grids.lifetimes(now, LIFE).0));
        let reserve =
            || (0..80_000).filter(|_| slot.try_reserve(&grids, Ring::Auction, until, Nanos(1)).is_some()).count();
        let (a, b) = std::thread::scope(|s| {
            let other = s.spawn(reserve);
            (reserve(), other.join().unwrap())
        });
        assert_eq!(a + b, 100_000);
        assert_eq!((slot.available(), slot.reserved()), (Nanos(0), Nanos(100_000)));
    }

    #[test]
    fn a_daily_slot_serves_only_its_day() {
        let account = Account::new(CampaignNo(1), Arc::default());
        assert!(account.open(Day(1)).is_none());
        account.set_open(Some(Arc::new(SlotAccount::new(CampaignNo(1), Slot::Day(Day(1))))));
        assert!(account.open(Day(1)).is_some());
        assert!(account.open(Day(2)).is_none());
        account.set_open(Some(Arc::new(SlotAccount::new(CampaignNo(1), Slot::Whole))));
        assert!(account.open(Day(2)).is_some());
    }
}
