//! The books: a pure, total, deterministic and idempotent fold of the log.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use foldhash::{HashMap, HashSet};

use super::book::CampaignBook;
use super::numbers::Numbers;
use super::reservation::{Bits, Outcome, PageKey, State, step};
use super::starts::{Starting, Starts};
use crate::clock::Day;
use crate::event::{CampaignSet, Event, ModelsSet, Notice, Offset, Process, Slot, Stamped};
use crate::ids::{CampaignNo, Epoch};
use crate::money::Nanos;

/// The truth about money: what the log says after every event before `next`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Books {
    /// The first event that is not in the books yet.
    pub next: Offset,
    /// The newest start.
    pub epoch: Epoch,
    pub starts: Starts,
    /// Held once for hot state and the reconciler while nothing happens to a campaign; whoever folds an event into its book
    /// has one of its own from then on, until the two were compared (`ledger/reconcile.rs`).
    pub campaigns: HashMap<CampaignNo, Arc<CampaignBook>>,
    pub numbers: Numbers,
    pub bits: Bits,
    pub traffic: Traffic,
    /// The versions of each model that are in force.
    pub models: BTreeMap<String, ModelsSet>,
    /// What changed since the last [`Books::take_dirty`].
    pub(crate) dirty: Dirty,
}

/// What a book store has to write.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Dirty {
    pub campaigns: HashSet<CampaignNo>,
    pub days: HashSet<(CampaignNo, Day)>,
    /// Campaigns whose daily budgets changed.
    pub budgets: HashSet<CampaignNo>,
    pub pages: HashSet<PageKey>,
    /// Reservations were forgotten.
    pub forgot: bool,
    /// Hours of the day.
    pub hours: HashSet<usize>,
    pub models: HashSet<String>,
    pub starts: bool,
    /// Events were folded: the offset at least has moved.
    pub moved: bool,
}

impl Dirty {
    pub fn is_empty(&self) -> bool {
        !self.moved
    }
}

/// Bid requests per hour, for each hour of the day in UTC that was seen.
pub type Traffic = [Option<u64>; 24];

/// A shorter part of an hour says too little of it.
const LEAST_SECONDS: u16 = 300;
/// A new day counts one part in so many.
const TRAFFIC_DAYS: u64 = 4;

/// The most that a campaign can spend: above all budgets, and with room for sums of a few such amounts.
const MAX_SPENT: Nanos = Nanos(i64::MAX / 4);

/// What an event did to the books.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Folded {
    /// It was in the books already.
    Known,
    /// It was not the next one: nothing was folded, the caller has lost events.
    Gap,
    Done,
    /// It came too late in the log to have an effect: its epoch or number was taken by then, its start had ended, or there
    /// was less free than it asked for. Only where several nodes append.
    Refused,
    Notice {
        /// Where the bits said the reservation was before.
        from: State,
        outcome: Outcome,
    },
}

/// The event is not the next one: the books miss some.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("event {found} came where {next} should", found = found.0, next = next.0)]
pub struct Gap {
    pub next: Offset,
    pub found: Offset,
}

/// As [`fold`], for who cannot go on without the events that are missing.
pub fn fold_on(books: &mut Books, stamped: &Stamped) -> Result<(), Gap> {
    match fold(books, stamped) {
        Folded::Gap => Err(Gap { next: books.next, found: stamped.offset }),
        _ => Ok(()),
    }
}

/// Folds one event into the books.
pub fn fold(books: &mut Books, stamped: &Stamped) -> Folded {
    match stamped.offset.cmp(&books.next) {
        std::cmp::Ordering::Less => return Folded::Known,
        std::cmp::Ordering::Greater => return Folded::Gap,
        std::cmp::Ordering::Equal => books.next.0 += 1,
    }
    books.dirty.moved = true;
    let ran_ms = books.starts.pass(stamped.at);
    match &stamped.event {
        Event::EpochStarted { epoch, .. } if *epoch <= books.epoch => return Folded::Refused,
        Event::EpochStarted { node, epoch, promise, process } => {
            books.epoch = *epoch;
            let (leased, remembered) = (books.leased(), books.bits.forgotten_before());
            let new = Starting { epoch: *epoch, node: *node, process: *process, promise: *promise };
            books.starts.begin(new, ran_ms, |epoch| leased.contains(&epoch), remembered);
            books.dirty.starts = true;
        }
        Event::NodeRunning { epoch, .. } => {
            if !books.starts.hear(*epoch) {
                return Folded::Refused;
            }
            books.dirty.starts = true;
        }
        Event::CampaignSet(set) => {
            if !books.takes(set) {
                return Folded::Refused;
            }
            let mut is_new = false;
            let book = books.campaigns.entry(set.campaign).or_insert_with(|| {
                is_new = true;
                Arc::new(CampaignBook::new(set))
            });
            if Arc::make_mut(book).set(set) {
                books.dirty.budgets.insert(set.campaign);
            }
            if is_new {
                books.numbers.note(set.campaign, &books.campaigns);
            }
            books.dirty.campaigns.insert(set.campaign);
        }
        Event::CampaignDeleted { campaign } => books.change(*campaign, |book| {
            book.deleted = true;
            book.json = None;
        }),
        Event::LeaseGranted { campaign, lease, slot, amount } => {
            if !books.may_lease(*campaign, lease.epoch, *slot, *amount) {
                return Folded::Refused;
            }
            books.change(*campaign, |book| book.change_lease((lease.epoch, *slot), *amount));
        }
        Event::LeaseReturned { campaign, epoch, slot, amount, why: _ } => {
            let returned = |book: &mut Arc<CampaignBook>| Arc::make_mut(book).returned((*epoch, *slot), *amount);
            if books.campaigns.get_mut(campaign).is_some_and(returned) {
                books.dirty.budgets.insert(*campaign);
            }
            books.dirty.campaigns.insert(*campaign);
        }
        Event::Bid(facts) => books.change(facts.campaign, |book| book.bids += 1),
        Event::Notice(notice) => return books.fold_notice(notice, stamped),
        Event::Traffic { hour, seconds, requests } if *seconds >= LEAST_SECONDS => {
            let hour = (hour % 24) as usize;
            let now = requests.saturating_mul(3_600) / u64::from(*seconds);
            books.traffic[hour] = Some(match books.traffic[hour] {
                None => now,
                Some(before) => before - before / TRAFFIC_DAYS + now / TRAFFIC_DAYS,
            });
            books.dirty.hours.insert(hour);
        }
        Event::ReservationsForgotten { before } => books.forget_before(*before),
        Event::ModelsSet(set) => {
            books.dirty.models.insert(set.name.clone());
            books.models.insert(set.name.clone(), set.clone());
        }
        Event::Track { .. }
        | Event::Correction { .. }
        | Event::Traffic { .. }
        | Event::StillRunning
        | Event::Request(_)
        | Event::Fraud(_) => {}
    }
    Folded::Done
}

impl Books {
    /// The number of the campaign that has this id.
    pub fn number(&self, id: &str) -> Option<CampaignNo> {
        self.numbers.of(id, &self.campaigns)
    }

    fn change(&mut self, campaign: CampaignNo, change: impl FnOnce(&mut CampaignBook)) {
        if let Some(book) = self.campaigns.get_mut(&campaign) {
            change(Arc::make_mut(book));
            self.dirty.campaigns.insert(campaign);
        }
    }

    /// Whether an edit is of the campaign that has its number, and in its currency. Where two nodes gave one number to two
    /// campaigns, or two numbers to one, the first in the log did.
    fn takes(&self, set: &CampaignSet) -> bool {
        match self.campaigns.get(&set.campaign) {
            Some(book) => book.id == set.id && book.currency == set.currency,
            None => self.number(&set.id).is_none(),
        }
    }

    /// Whether a lease has an effect. A node of a fleet asks for it when it has not seen all that comes before it in the log:
    /// then its start must live and the money be free. What one node asks for that has the log to itself, it may have.
    fn may_lease(&self, campaign: CampaignNo, epoch: Epoch, slot: Slot, amount: Nanos) -> bool {
        let Some(start) = self.starts.known.get(&epoch) else { return epoch > self.epoch };
        let free = |book: &CampaignBook| {
            // A day's budget knows of leases of the whole one only what was leased before there was a daily one.
            let is_of_day = book.daily.is_none() || slot != Slot::Whole;
            is_of_day && amount <= book.free(slot)
        };
        start.process == Process::ALONE
            || (start.lives() && self.campaigns.get(&campaign).is_some_and(|book| free(book)))
    }

    /// The starts that have leases.
    pub(super) fn leased(&self) -> BTreeSet<Epoch> {
        self.campaigns.values().flat_map(|book| book.leases.keys()).map(|(epoch, _)| *epoch).collect()
    }

    fn fold_notice(&mut self, notice: &Notice, stamped: &Stamped) -> Folded {
        let facts = &notice.facts;
        let Some(from) = self.bits.get(facts.reservation) else {
            return Folded::Notice { from: State::Released, outcome: Outcome::Forgotten };
        };
        let Some(book) = self.campaigns.get_mut(&facts.campaign) else {
            return Folded::Notice { from, outcome: Outcome::UnknownCampaign };
        };
        let (to, mut outcome) = step(from, notice, stamped.at);
        if let Outcome::Booked { amount } = outcome
            && book.leased(facts.reservation.epoch, facts.slot()) < amount
        {
            // Its lease came back before its time: the lifetimes of an earlier start were longer, or the clock was ahead.
            outcome = Outcome::BookedLate { amount };
        }
        if let Outcome::Booked { amount } | Outcome::BookedLate { amount } = outcome
            && book.spent.0 > MAX_SPENT.0 - amount.0.min(MAX_SPENT.0)
        {
            return Folded::Notice { from, outcome: Outcome::OutOfRange };
        }
        let book = Arc::make_mut(book);
        if to != from {
            self.dirty.pages.insert(self.bits.set(facts.reservation, to));
            self.dirty.campaigns.insert(facts.campaign);
            if from != State::Won && matches!(to, State::Won | State::Billed) {
                book.wins += 1;
            }
        }
        let (amount, late) = match outcome {
            Outcome::Booked { amount } => (amount, false),
            Outcome::BookedLate { amount } => (amount, true),
            _ => return Folded::Notice { from, outcome },
        };
        let day = book.days.entry(facts.day).or_default();
        day.spent += amount;
        day.billed += 1;
        book.spent += amount;
        book.billed += 1;
        if late {
            // Its lease took the money back long ago: this comes out of what is not leased.
            day.late += amount;
            book.late += amount;
        } else {
            book.change_lease((facts.reservation.epoch, facts.slot()), Nanos(-amount.0));
        }
        self.dirty.days.insert((facts.campaign, facts.day));
        Folded::Notice { from, outcome }
    }

    pub fn take_dirty(&mut self) -> Dirty {
        std::mem::take(&mut self.dirty)
    }

    /// A copy of what is dirty, at the same offset.
    pub fn part(&self, dirty: &Dirty) -> Books {
        let campaign = |no: &CampaignNo| Some((*no, self.campaigns.get(no)?.clone()));
        let days = dirty.days.iter().map(|(no, _)| no);
        let campaigns = dirty.campaigns.iter().chain(&dirty.budgets).chain(days);
        let campaigns: HashMap<_, _> = campaigns.filter_map(campaign).collect();
        Books {
            next: self.next,
            epoch: self.epoch,
            starts: self.starts.clone(),
            numbers: Numbers::from(&campaigns),
            campaigns,
            bits: self.bits.part(&dirty.pages),
            traffic: self.traffic,
            models: dirty
                .models
                .iter()
                .filter_map(|m| self.models.get_key_value(m))
                .map(|(m, s)| (m.clone(), s.clone()))
                .collect(),
            dirty: Dirty::default(),
        }
    }

    /// Takes back what [`Books::take_dirty`] gave and a book store could not write.
    pub fn put_back(&mut self, dirty: Dirty) {
        self.dirty.campaigns.extend(dirty.campaigns);
        self.dirty.days.extend(dirty.days);
        self.dirty.budgets.extend(dirty.budgets);
        self.dirty.forgot |= dirty.forgot;
        self.dirty.pages.extend(dirty.pages);
        self.dirty.hours.extend(dirty.hours);
        self.dirty.models.extend(dirty.models);
        self.dirty.starts |= dirty.starts;
        self.dirty.moved |= dirty.moved;
    }

    fn forget_before(&mut self, bucket: u32) {
        self.bits.forget_before(bucket);
        self.dirty.pages.retain(|key| key.bucket >= bucket);
        self.dirty.forgot = true;
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use crate::clock::UnixMs;
    use crate::event::{Facts, NoticeKind, PriceClaim, Promise, ReturnReason};
    use crate::ids::{Currency, LeaseId, NodeId, ReservationId};
    use crate::ledger::book::DayBook;
    use crate::money::{Quantity, Rate};

    pub(crate) const START: UnixMs = UnixMs(1_700_000_000_000);

    pub(crate) fn facts(seq: u32) -> Facts {
        Facts {
            reservation: ReservationId { node: NodeId(1), epoch: Epoch(1), bucket: START.minutes(), seq },
            campaign: CampaignNo(1),
            lease_seq: 1,
            day: Day(19_675),
            daily: false,
            creative: 0,
            exchange: 0,
            bid_at: START,
            auction_ms: 2_000,
            bill_ms: 10_000,
            reserved: Nanos(10),
            price: Nanos(10),
            currency: Currency::USD,
            campaign_currency: Currency::USD,
            rate: Rate::USD,
            campaign_rate: Rate::USD,
            quantity: Quantity::ONE,
            user: 0,
            spend_on_win: false,
            test: false,
            model: 0,
        }
    }

    pub(crate) fn set(total: i64, daily: Option<i64>) -> Event {
        Event::CampaignSet(CampaignSet {
            campaign: CampaignNo(1),
            id: "c-1".into(),
            currency: Currency::USD,
            total: Nanos(total),
            daily: daily.map(Nanos),
            day: Some(facts(0).day),
            json: None,
        })
    }

    pub(crate) fn notice(kind: NoticeKind, facts: Facts, amount: i64) -> Event {
        let price = PriceClaim::Amount { amount: Nanos(amount), excess: Nanos::ZERO };
        Event::Notice(Notice { kind, facts, price, loss_reason: 0, min_to_win: Nanos(-1) })
    }

    pub(crate) fn started(epoch: u32) -> Event {
        let promise = Promise { billable_ms: 20_000 };
        Event::EpochStarted { node: NodeId(1), epoch: Epoch(epoch), promise, process: Process::ALONE }
    }

    pub(crate) fn granted(amount: i64, slot: Slot) -> Event {
        let lease = LeaseId { epoch: Epoch(1), seq: 1 };
        Event::LeaseGranted { campaign: CampaignNo(1), lease, slot, amount: Nanos(amount) }
    }

    pub(crate) fn fold_all(events: &[(i64, Event)]) -> Books {
        let mut books = Books::default();
        for (i, (after_ms, event)) in events.iter().enumerate() {
            let stamped = Stamped { offset: Offset(i as u64), at: START.plus(*after_ms), event: event.clone() };
            assert_ne!(fold(&mut books, &stamped), Folded::Gap);
            assert_eq!(fold(&mut books, &stamped), Folded::Known, "a second fold of the same event is a no-op");
        }
        books
    }

    #[test]
    fn a_bill_is_booked_once_and_drawn_from_its_lease() {
        let bill = notice(NoticeKind::Bill, facts(0), 7);
        let books = fold_all(&[
            (0, set(1_000, None)),
            (0, granted(100, Slot::Whole)),
            (0, Event::Bid(facts(0))),
            (1, notice(NoticeKind::Win, facts(0), 7)),
            (2, bill.clone()),
            (3, bill),
        ]);
        let book = &books.campaigns[&CampaignNo(1)];
        assert_eq!((book.spent, book.late, book.overspend()), (Nanos(7), Nanos(0), Nanos(0)));
        assert_eq!((book.bids, book.wins, book.billed), (1, 1, 1));
        assert_eq!(book.outstanding(), Nanos(93));
        assert_eq!(book.free(Slot::Whole), Nanos(900));
        assert_eq!(book.days[&Day(19_675)], DayBook { spent: Nanos(7), late: Nanos(0), billed: 1 });
    }

    #[test]
    fn a_late_bill_is_booked_from_outside_the_lease_and_shows_overspend() {
        let books = fold_all(&[
            (0, set(10, None)),
            (0, granted(10, Slot::Whole)),
            (5_000, notice(NoticeKind::Bill, facts(0), 4)),
            (5_000, notice(NoticeKind::Bill, facts(1), 9)),
        ]);
        let book = &books.campaigns[&CampaignNo(1)];
        assert_eq!((book.spent, book.late, book.overspend()), (Nanos(13), Nanos(13), Nanos(3)));
        assert_eq!(book.outstanding(), Nanos(10));
        assert_eq!(book.free(Slot::Whole), Nanos(-13));
    }

    #[test]
    fn bills_beyond_all_amounts_change_nothing_and_stop_nothing() {
        let huge = i64::MAX / 8;
        let bill = |seq| {
            let facts = Facts { reserved: Nanos(huge), price: Nanos(huge), ..facts(seq) };
            (5_000, notice(NoticeKind::Bill, facts, huge))
        };
        let books = fold_all(&[(0, set(i64::MAX / 10, None)), bill(0), bill(1), bill(2), bill(3)]);
        let book = &books.campaigns[&CampaignNo(1)];
        assert_eq!((book.spent, book.late, book.billed), (Nanos(2 * huge), Nanos(2 * huge), 2));
        crate::ledger::invariants::book(book).unwrap();
    }

    #[test]
    fn a_daily_cap_limits_its_day_only() {
        let day = Day(19_675);
        let on_day = Facts { daily: true, ..facts(0) };
        let books = fold_all(&[
            (0, set(1_000, Some(100))),
            (0, granted(60, Slot::Day(day))),
            (1, notice(NoticeKind::Bill, on_day, 10)),
        ]);
        let book = &books.campaigns[&CampaignNo(1)];
        assert_eq!(book.free(Slot::Day(day)), Nanos(40));
        assert_eq!(book.free(Slot::Day(Day(19_676))), Nanos(100));
        assert_eq!(book.free(Slot::Whole), Nanos(940));
    }

    #[test]
    fn returns_and_earlier_starts_are_told_apart() {
        let back = Event::LeaseReturned {
            campaign: CampaignNo(1),
            epoch: Epoch(1),
            slot: Slot::Whole,
            amount: Nanos(40),
            why: ReturnReason::Unused,
        };
        let books = fold_all(&[
            (0, started(1)),
            (0, set(1_000, None)),
            (0, granted(100, Slot::Whole)),
            (0, back),
            (1, started(2)),
        ]);
        let book = &books.campaigns[&CampaignNo(1)];
        assert_eq!(books.epoch, Epoch(2));
        assert_eq!(book.withheld(Epoch(2)), Nanos(60));
        assert_eq!(book.withheld(Epoch(1)), Nanos(0));
    }

    #[test]
    fn traffic_is_a_mean_over_days_by_the_hour() {
        let traffic = |hour, seconds, requests| (0, Event::Traffic { hour, seconds, requests });
        let books = fold_all(&[
            traffic(24 * 900 + 5, 3_600, 1_000),
            traffic(24 * 901 + 5, 1_800, 1_000),
            traffic(24 * 901 + 6, LEAST_SECONDS - 1, 1_000),
            traffic(24 * 901 + 7, u16::MAX, u64::MAX),
        ]);
        let mut expected = Traffic::default();
        (expected[5], expected[7]) = (Some(1_250), Some(u64::MAX / u64::from(u16::MAX)));
        assert_eq!(books.traffic, expected);
    }

    #[test]
    fn a_bill_whose_lease_came_back_early_is_late() {
        let reclaimed = Event::LeaseReturned {
            campaign: CampaignNo(1),
            epoch: Epoch(1),
            slot: Slot::Whole,
            amount: Nanos(100),
            why: ReturnReason::Reclaimed,
        };
        let lease = LeaseId { epoch: Epoch(2), seq: 1 };
        let again = Event::LeaseGranted { campaign: CampaignNo(1), lease, slot: Slot::Whole, amount: Nanos(100) };
        let books = fold_all(&[
            (0, set(100, None)),
            (0, granted(100, Slot::Whole)),
            (1, started(2)),
            (2, reclaimed),
            (3, again),
            (4, notice(NoticeKind::Bill, facts(0), 7)),
        ]);
        let book = &books.campaigns[&CampaignNo(1)];
        assert_eq!((book.spent, book.late, book.outstanding()), (Nanos(7), Nanos(7), Nanos(100)));
        crate::ledger::invariants::book(book).unwrap();
    }

    #[test]
    fn a_gap_is_told_and_an_unknown_campaign_changes_nothing() {
        let mut books = Books::default();
        let stamped = |offset, event| Stamped { offset: Offset(offset), at: START, event };
        assert_eq!(fold(&mut books, &stamped(1, set(1, None))), Folded::Gap);
        let gap = fold_on(&mut books, &stamped(1, set(1, None)));
        assert_eq!(gap.unwrap_err().to_string(), "event 1 came where 0 should");
        assert_eq!(books, Books::default());
        let unknown = fold(&mut books, &stamped(0, notice(NoticeKind::Bill, facts(0), 1)));
        assert_eq!(unknown, Folded::Notice { from: State::Pending, outcome: Outcome::UnknownCampaign });
        assert!(books.campaigns.is_empty() && books.bits.bytes() == 0);
    }
}
