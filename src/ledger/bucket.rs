//! Time buckets. Money that is set aside is summed per campaign and bucket; a bucket's end gives back what is left
//! in it with one subtraction.

use super::fence::Fence;
use super::marks::Marks;
use super::sync::{AtomicI64, Ordering};
use crate::clock::UnixMs;
use crate::event::Facts;

/// Buckets are at most this wide, so that money comes back at most this long after its lifetime.
const MAX_WIDTH_MS: [i64; 2] = [1_000, 60_000];
/// No ring has more buckets than this: it bounds the memory of an account.
const MAX_BUCKETS: i64 = 1_024;

/// Bids go on for this long while the thread that moves time on is held up by a slow disk.
const STALL_MS: i64 = 5_000;

/// Which of a campaign's two rings of buckets holds the money of a reservation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ring {
    /// The auction is not known yet.
    Auction,
    /// Won, or an exchange that sends no wins: until it can no longer be billed.
    Bill,
}

/// The bucket grid of one ring, shared by all accounts of a node, and how far time has come in it.
#[derive(Debug)]
pub struct Grid {
    width_ms: i64,
    len: i64,
    /// Buckets that end at or before this instant have been given back.
    through: AtomicI64,
    /// Of each cell, who has something in it.
    filled: Box<[Marks]>,
}

impl Grid {
    fn new(shortest_ms: i64, longest_ms: i64, max_width_ms: i64) -> Grid {
        let width = (shortest_ms / 8).clamp(1, max_width_ms);
        let width = width.max((longest_ms + STALL_MS) / (MAX_BUCKETS - 3) + 1);
        let len = (longest_ms + STALL_MS) / width + 4;
        let filled = (0..len).map(|_| Marks::default()).collect();
        Grid { width_ms: width, len, through: AtomicI64::new(0), filled }
    }

    /// How many buckets there are at a time.
    pub fn cells(&self) -> usize {
        self.len as usize
    }

    /// The end of the bucket in which `at` falls.
    fn round_up(&self, at: UnixMs) -> UnixMs {
        UnixMs(at.0.div_euclid(self.width_ms).saturating_add(1).saturating_mul(self.width_ms))
    }

    /// The cell of the bucket that ends at `until`.
    pub fn cell(&self, until: UnixMs) -> usize {
        until.0.div_euclid(self.width_ms).rem_euclid(self.len) as usize
    }

    /// Whether money may still be put into the bucket that ends at `until`: it must neither have been given back nor
    /// lie so far ahead that its cell still belongs to an earlier bucket.
    pub fn is_open(&self, until: UnixMs) -> bool {
        let through = self.through.load(Ordering::Relaxed);
        through < until.0 && until.0 <= through.saturating_add((self.len - 1).saturating_mul(self.width_ms))
    }

    /// Those who have put money into a cell since they were last taken out of here.
    pub fn filled(&self, cell: usize) -> &Marks {
        &self.filled[cell]
    }

    /// Moves time on to `now` and returns the cells of the buckets that end by then, each once.
    pub fn advance(&self, now: UnixMs) -> impl Iterator<Item = usize> + use<> {
        let from = self.through.load(Ordering::Relaxed).div_euclid(self.width_ms);
        let to = now.0.div_euclid(self.width_ms);
        if to > from {
            self.through.store(to.saturating_mul(self.width_ms), Ordering::Relaxed);
        }
        let (first, len) = (from.saturating_add(1).max(to.saturating_sub(self.len - 1)), self.len);
        (first..=to).map(move |bucket| bucket.rem_euclid(len) as usize)
    }
}

/// The grids of a node's two rings.
#[derive(Debug)]
pub struct Grids {
    pub auction: Grid,
    pub bill: Grid,
    /// Whether bids are made at all.
    pub fence: Fence,
}

/// The lifetimes of a bid's money, as an exchange's settings and the request give them.
#[derive(Clone, Copy, Debug)]
pub struct Lifetimes {
    pub auction_ms: i64,
    pub bill_ms: i64,
    pub sends_win: bool,
}

/// So long may a notice be on its way that was sent at the very end of its time; less where that time is short.
const NOTICE_MS: i64 = 5_000;

impl Lifetimes {
    /// For an impression whose auction is over after `exp_s` seconds: then its money need not wait longer for it.
    pub fn with_exp(self, exp_s: i64) -> Lifetimes {
        let exp_ms = exp_s.saturating_mul(1_000);
        let auction_ms = self.auction_ms.min(exp_ms.saturating_add(NOTICE_MS.min(exp_ms)));
        Lifetimes { auction_ms, ..self }
    }

    /// The `exp` of a bid, in seconds: its bill is in time when it is sent by then.
    pub fn exp_s(&self) -> i64 {
        (self.bill_ms - NOTICE_MS.min(self.bill_ms / 10)) / 1_000
    }
}

impl Grids {
    /// For exchanges with these lifetimes.
    pub fn new(exchanges: &[Lifetimes]) -> Grids {
        let range = |of: fn(&Lifetimes) -> i64| {
            let values = || exchanges.iter().map(of).map(|ms| ms.max(1));
            (values().min().unwrap_or(1_000), values().max().unwrap_or(1_000))
        };
        let ((a_min, a_max), (b_min, b_max)) = (range(|l| l.auction_ms), range(|l| l.bill_ms));
        Grids {
            auction: Grid::new(a_min, a_max, MAX_WIDTH_MS[0]),
            bill: Grid::new(b_min, b_max, MAX_WIDTH_MS[1]),
            fence: Fence::default(),
        }
    }

    /// Milliseconds from the bid to the ends of the buckets for its auction and for its bill.
    pub fn lifetimes(&self, bid_at: UnixMs, l: Lifetimes) -> (u32, u32) {
        let ms = |until: UnixMs| until.since(bid_at).clamp(0, i64::from(u32::MAX)) as u32;
        let bill = ms(self.bill.round_up(bid_at.plus(l.bill_ms)));
        let auction = ms(self.auction.round_up(bid_at.plus(l.auction_ms)));
        if l.sends_win && auction < bill { (auction, bill) } else { (bill, bill) }
    }

    /// By how much the end of a bucket may lie after the lifetime that falls into it.
    pub fn widest_ms(&self) -> i64 {
        self.auction.width_ms.max(self.bill.width_ms)
    }

    /// Where the money of a bid lies before its auction is known.
    pub fn first_ring(facts: &Facts) -> Ring {
        if facts.auction_ms == facts.bill_ms { Ring::Bill } else { Ring::Auction }
    }

    pub fn of(&self, ring: Ring) -> &Grid {
        match ring {
            Ring::Auction => &self.auction,
            Ring::Bill => &self.bill,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_bucket_is_given_back_once_and_not_before_its_end() {
        let grid = Grid::new(1_000, 120_000, 1_000);
        let start = UnixMs(1_700_000_000_123);
        assert!(grid.advance(start).count() <= grid.cells());
        let until = grid.round_up(start.plus(1_000));
        assert!(until > start.plus(1_000) && until <= start.plus(1_000 + grid.width_ms));
        assert!(grid.is_open(until));
        assert!(!grid.advance(UnixMs(until.0 - 1)).any(|c| c == grid.cell(until)));
        assert_eq!(grid.advance(until).collect::<Vec<_>>(), [grid.cell(until)]);
        assert_eq!(grid.advance(until).count(), 0);
        assert!(!grid.is_open(until));
    }

    #[test]
    fn a_bucket_whose_cell_is_in_use_is_not_open() {
        let grid = Grid::new(1_000, 10_000, 1_000);
        let now = UnixMs(50_000_000);
        grid.advance(now).for_each(drop);
        for k in 0..grid.len {
            assert_eq!(grid.is_open(now.plus(k * grid.width_ms)), (1..grid.len).contains(&k), "{k}");
        }
    }

    #[test]
    fn a_long_stall_gives_back_each_cell_once() {
        let grid = Grid::new(1_000, 10_000, 1_000);
        grid.advance(UnixMs(50_000_000)).for_each(drop);
        let mut cells: Vec<_> = grid.advance(UnixMs(90_000_000)).collect();
        cells.sort_unstable();
        assert_eq!(cells, (0..grid.cells()).collect::<Vec<_>>());
    }

    #[test]
    fn a_notice_sent_at_the_very_end_is_in_time() {
        let of = |auction_ms, bill_ms| Lifetimes { auction_ms, bill_ms, sends_win: true };
        let l = of(120_000, 3_600_000);
        assert_eq!([l.exp_s(), of(1, 60_000).exp_s(), of(1, 20_000).exp_s(), of(1, 1_000).exp_s()], [3_595, 55, 18, 0]);
        assert_eq!([45, 1, 300, i64::MAX].map(|exp_s| l.with_exp(exp_s).auction_ms), [50_000, 2_000, 120_000, 120_000]);
    }

    #[test]
    fn without_wins_the_bill_lifetime_counts_from_the_start() {
        let l = Lifetimes { auction_ms: 1_000, bill_ms: 5_000, sends_win: false };
        let (auction, bill) = Grids::new(&[l]).lifetimes(UnixMs(1_000_000), l);
        assert_eq!(auction, bill);
        assert!((5_000..7_000).contains(&bill));
    }

    #[test]
    fn a_lifetime_ends_at_most_a_bucket_later() {
        let l = Lifetimes { auction_ms: 5_000, bill_ms: 3_600_000, sends_win: true };
        let grids = Grids::new(&[l]);
        assert_eq!(grids.widest_ms(), 60_000);
        for at in (0..120_000).step_by(77) {
            let (_, bill) = grids.lifetimes(UnixMs(1_700_000_000_000 + at), l);
            assert!(i64::from(bill) <= l.bill_ms + grids.widest_ms());
        }
    }
}
