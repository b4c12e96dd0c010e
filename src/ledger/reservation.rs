//! Reservations: two bits each, and the one table that says what a notice does.
//!
//! A reservation needs no entry anywhere: its facts are in its token, its money in a bucket's sum, and its state in
//! two bits found by its id. Expiry is not written into the bits: it follows from the facts and the log's time.

use foldhash::HashMap;

use crate::clock::UnixMs;
use crate::event::{Facts, Notice, NoticeKind, PriceClaim};
use crate::ids::{Epoch, NodeId, ReservationId};
use crate::money::Nanos;

/// The two bits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum State {
    /// Money set aside, auction unknown.
    Pending = 0,
    /// Money set aside until it can no longer be billed.
    Won = 1,
    /// Lost: the money went back.
    Released = 2,
    /// Booked, once and for all.
    Billed = 3,
}

impl State {
    fn from_bits(bits: u8) -> State {
        match bits & 3 {
            0 => State::Pending,
            1 => State::Won,
            2 => State::Released,
            _ => State::Billed,
        }
    }
}

/// What a notice did. Every notice has exactly one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Outcome {
    /// Won: the money now stays until it can no longer be billed.
    Won,
    /// A win after the money had gone back; a bill that follows is booked late.
    LateWin,
    /// Booked out of the money set aside for it.
    Booked { amount: Nanos },
    /// Booked although its money had gone back.
    BookedLate { amount: Nanos },
    /// Lost: the money went back.
    Voided,
    /// Nothing new.
    Duplicate,
    /// A loss for something already won or billed: no effect.
    LossAfterWin,
    /// A bill from an exchange whose wins are what is paid: no effect.
    BillOnWinExchange,
    /// No usable price: no effect.
    UnusablePrice,
    /// A test bid: no effect.
    Test,
    /// For a campaign the log does not know: no effect.
    UnknownCampaign,
    /// For a reservation whose tokens expired so long ago that it is forgotten: no effect.
    Forgotten,
    /// It would take the campaign's spend beyond all amounts: no effect.
    OutOfRange,
}

impl Outcome {
    pub const fn as_str(self) -> &'static str {
        match self {
            Outcome::Won => "won",
            Outcome::LateWin => "late_win",
            Outcome::Booked { .. } => "booked",
            Outcome::BookedLate { .. } => "booked_late",
            Outcome::Voided => "voided",
            Outcome::Duplicate => "duplicate",
            Outcome::LossAfterWin => "loss_after_win",
            Outcome::BillOnWinExchange => "bill_on_win_exchange",
            Outcome::UnusablePrice => "unusable_price",
            Outcome::Test => "test",
            Outcome::UnknownCampaign => "unknown_campaign",
            Outcome::Forgotten => "forgotten",
            Outcome::OutOfRange => "out_of_range",
        }
    }
}

/// Where the money of a reservation is at `at`: what the bits say, less what time has given back.
pub fn at(stored: State, facts: &Facts, at: UnixMs) -> State {
    match stored {
        State::Pending if at >= facts.auction_until() => State::Released,
        State::Won if at >= facts.bill_until() => State::Released,
        state => state,
    }
}

/// The table: what `notice`, written at `now`, does to a reservation whose bits say `stored`.
pub fn step(stored: State, notice: &Notice, now: UnixMs) -> (State, Outcome) {
    let facts = &notice.facts;
    if facts.test {
        return (stored, Outcome::Test);
    }
    let state = at(stored, facts, now);
    let pays = match notice.kind {
        NoticeKind::Win => facts.spend_on_win,
        NoticeKind::Bill => !facts.spend_on_win,
        NoticeKind::Loss => false,
    };
    let amount = match (notice.kind, notice.price) {
        (NoticeKind::Win | NoticeKind::Bill, PriceClaim::Unusable) => return (stored, Outcome::UnusablePrice),
        (_, PriceClaim::Amount { amount, .. } | PriceClaim::NoRate { amount }) => amount,
        (NoticeKind::Loss, PriceClaim::Unusable) => Nanos::ZERO,
    };
    match (notice.kind, state) {
        (_, State::Billed) if pays => (stored, Outcome::Duplicate),
        (_, State::Released) if pays => (State::Billed, Outcome::BookedLate { amount }),
        (_, State::Pending | State::Won) if pays => (State::Billed, Outcome::Booked { amount }),
        (NoticeKind::Bill, _) => (stored, Outcome::BillOnWinExchange),
        (NoticeKind::Win, State::Pending) => (State::Won, Outcome::Won),
        (NoticeKind::Win, State::Won | State::Billed) => (stored, Outcome::Duplicate),
        (NoticeKind::Win, State::Released) => (stored, Outcome::LateWin),
        (NoticeKind::Loss, State::Pending) => (State::Released, Outcome::Voided),
        (NoticeKind::Loss, State::Won | State::Billed) => (stored, Outcome::LossAfterWin),
        (NoticeKind::Loss, State::Released) => (stored, Outcome::Duplicate),
    }
}

/// Reservations in one page: 1 KiB of bits.
const PAGE: u32 = 4_096;
const PAGE_BYTES: usize = PAGE as usize / 4;

/// Which page of bits: node, start, minute, and number within the minute.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PageKey {
    pub node: NodeId,
    pub epoch: Epoch,
    pub bucket: u32,
    pub page: u32,
}

impl PageKey {
    /// The reservation at a place within the page.
    pub fn reservation(&self, within: u32) -> ReservationId {
        let seq = self.page.saturating_mul(PAGE).saturating_add(within);
        ReservationId { node: self.node, epoch: self.epoch, bucket: self.bucket, seq }
    }
}

/// The states in a page's bytes, in the order of its reservations.
pub fn states(bytes: &[u8]) -> impl Iterator<Item = State> + '_ {
    bytes.iter().flat_map(|byte| (0..4).map(move |place| State::from_bits(byte >> (2 * place))))
}

/// The bits of all reservations that had a notice. A page that was never written is all `Pending`; one that was is not,
/// for no state goes back to that.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Bits {
    pages: HashMap<PageKey, Box<[u8; PAGE_BYTES]>>,
    /// Reservations of minutes before this one are forgotten.
    forgotten_before: u32,
}

impl Bits {
    pub fn new(forgotten_before: u32) -> Bits {
        Bits { pages: HashMap::default(), forgotten_before }
    }

    fn place(id: ReservationId) -> (PageKey, usize, u32) {
        let key = PageKey { node: id.node, epoch: id.epoch, bucket: id.bucket, page: id.seq / PAGE };
        let within = id.seq % PAGE;
        (key, within as usize / 4, (within % 4) * 2)
    }

    /// Where a reservation is; `None` when that is forgotten.
    pub fn get(&self, id: ReservationId) -> Option<State> {
        let (key, byte, shift) = Bits::place(id);
        let state = || State::from_bits(self.pages.get(&key).map_or(0, |page| page[byte] >> shift));
        (id.bucket >= self.forgotten_before).then(state)
    }

    /// Returns the page that changed.
    pub fn set(&mut self, id: ReservationId, state: State) -> PageKey {
        let (key, byte, shift) = Bits::place(id);
        let page = self.pages.entry(key).or_insert_with(|| Box::new([0; PAGE_BYTES]));
        page[byte] = page[byte] & !(3 << shift) | (state as u8) << shift;
        key
    }

    pub fn forgotten_before(&self) -> u32 {
        self.forgotten_before
    }

    /// Forgets reservations of minutes before `bucket`, for good.
    pub fn forget_before(&mut self, bucket: u32) {
        self.forgotten_before = self.forgotten_before.max(bucket);
        self.pages.retain(|key, _| key.bucket >= bucket);
    }

    /// A copy of some pages.
    pub fn part<'a>(&self, keys: impl IntoIterator<Item = &'a PageKey>) -> Bits {
        let page = |key: &PageKey| Some((*key, self.pages.get(key)?.clone()));
        Bits { pages: keys.into_iter().filter_map(page).collect(), ..*self }
    }

    pub fn page(&self, key: &PageKey) -> Option<&[u8]> {
        self.pages.get(key).map(|page| page.as_slice())
    }

    /// Puts back a page as [`Bits::page`] gave it; false when its size is not a page's.
    pub fn restore(&mut self, key: PageKey, bytes: &[u8]) -> bool {
        let Ok(page) = <[u8; PAGE_BYTES]>::try_from(bytes) else { return false };
        self.pages.insert(key, Box::new(page));
        true
    }

    pub fn bytes(&self) -> usize {
        self.pages.len() * (PAGE_BYTES + size_of::<PageKey>())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ledger::fold::tests::facts;

    fn notice(kind: NoticeKind, facts: Facts) -> Notice {
        let price = PriceClaim::Amount { amount: Nanos(7), excess: Nanos(0) };
        Notice { kind, facts, price, loss_reason: 0, min_to_win: Nanos(-1) }
    }

    #[test]
    fn the_table_is_what_the_design_says() {
        use NoticeKind::{Bill, Loss, Win};
        use State::{Billed, Pending, Released, Won};
        let facts = facts(1);
        let now = facts.bid_at;
        let (booked, late) = (Outcome::Booked { amount: Nanos(7) }, Outcome::BookedLate { amount: Nanos(7) });
        for (from, kind, to, outcome) in [
            (Pending, Win, Won, Outcome::Won),
            (Pending, Bill, Billed, booked),
            (Pending, Loss, Released, Outcome::Voided),
            (Won, Win, Won, Outcome::Duplicate),
            (Won, Bill, Billed, booked),
            (Won, Loss, Won, Outcome::LossAfterWin),
            (Released, Win, Released, Outcome::LateWin),
            (Released, Bill, Billed, late),
            (Released, Loss, Released, Outcome::Duplicate),
            (Billed, Win, Billed, Outcome::Duplicate),
            (Billed, Bill, Billed, Outcome::Duplicate),
            (Billed, Loss, Billed, Outcome::LossAfterWin),
        ] {
            assert_eq!(step(from, &notice(kind, facts), now), (to, outcome), "{from:?} {kind:?}");
        }
    }

    #[test]
    fn where_wins_are_paid_a_win_books_and_a_bill_never_does() {
        let facts = Facts { spend_on_win: true, ..facts(1) };
        let now = facts.bid_at;
        let (win, bill) = (notice(NoticeKind::Win, facts), notice(NoticeKind::Bill, facts));
        assert_eq!(step(State::Pending, &win, now), (State::Billed, Outcome::Booked { amount: Nanos(7) }));
        assert_eq!(step(State::Released, &win, now), (State::Billed, Outcome::BookedLate { amount: Nanos(7) }));
        assert_eq!(step(State::Billed, &win, now).1, Outcome::Duplicate);
        for state in [State::Pending, State::Billed, State::Released] {
            assert_eq!(step(state, &bill, now), (state, Outcome::BillOnWinExchange));
        }
    }

    #[test]
    fn time_gives_the_money_back_and_a_bill_is_late_from_then_on() {
        let facts = facts(1);
        let (before, after) = (facts.auction_until().plus(-1), facts.auction_until());
        let bill = notice(NoticeKind::Bill, facts);
        assert!(matches!(step(State::Pending, &bill, before).1, Outcome::Booked { .. }));
        assert!(matches!(step(State::Pending, &bill, after).1, Outcome::BookedLate { .. }));
        assert!(matches!(step(State::Won, &bill, after).1, Outcome::Booked { .. }));
        assert!(matches!(step(State::Won, &bill, facts.bill_until()).1, Outcome::BookedLate { .. }));
        assert_eq!(step(State::Pending, &notice(NoticeKind::Win, facts), after).1, Outcome::LateWin);
        assert_eq!(step(State::Pending, &notice(NoticeKind::Loss, facts), after).1, Outcome::Duplicate);
    }

    #[test]
    fn a_price_that_says_nothing_changes_nothing() {
        for kind in [NoticeKind::Win, NoticeKind::Bill] {
            let odd = Notice { price: PriceClaim::Unusable, ..notice(kind, facts(1)) };
            for state in [State::Pending, State::Won, State::Released, State::Billed] {
                assert_eq!(step(state, &odd, odd.facts.bid_at), (state, Outcome::UnusablePrice));
            }
        }
        let lost = Notice { price: PriceClaim::Unusable, ..notice(NoticeKind::Loss, facts(1)) };
        assert_eq!(step(State::Pending, &lost, lost.facts.bid_at).1, Outcome::Voided);
    }

    #[test]
    fn test_bids_never_book() {
        let test = notice(NoticeKind::Bill, Facts { test: true, ..facts(1) });
        assert_eq!(step(State::Pending, &test, test.facts.bid_at), (State::Pending, Outcome::Test));
    }

    #[test]
    fn neighbours_do_not_touch_each_other() {
        let mut bits = Bits::default();
        let id = |seq| ReservationId { seq, ..facts(1).reservation };
        let states = [State::Billed, State::Pending, State::Won, State::Released];
        for seq in 0..10_000 {
            bits.set(id(seq), states[seq as usize % 4]);
        }
        for seq in 0..10_000 {
            assert_eq!(bits.get(id(seq)), Some(states[seq as usize % 4]));
        }
        let mut copy = Bits::default();
        for key in bits.pages.keys() {
            assert!(copy.restore(*key, bits.page(key).unwrap()));
        }
        assert_eq!(copy, bits);
        bits.forget_before(id(0).bucket);
        assert_eq!(bits.get(id(0)), Some(State::Billed));
        bits.forget_before(id(0).bucket + 1);
        bits.forget_before(1);
        assert_eq!((bits.bytes(), bits.get(id(0)), bits.forgotten_before()), (0, None, id(0).bucket + 1));
        assert!(!copy.restore(PageKey { node: NodeId(1), epoch: Epoch(1), bucket: 0, page: 0 }, &[0; 3]));
    }
}
