//! What must hold after every event of the log.

use std::collections::BTreeMap;

use gavel::event::{Event, Facts, NoticeKind, ReturnReason, Slot, Stamped};
use gavel::ids::{CampaignNo, Epoch};
use gavel::ledger::fold::{Folded, fold};
use gavel::ledger::reconcile::reconcile;
use gavel::ledger::reservation::State;
use gavel::ledger::{Outcome, invariants};
use gavel::money::Nanos;

use crate::world::World;

/// A bid that went out.
pub struct Bid {
    pub facts: Facts,
    won: bool,
    over: bool,
}

impl World {
    pub fn bid_made(&mut self, at: usize, facts: Facts) {
        self.note("bid");
        if !self.books.starts.lives(facts.reservation.epoch) {
            self.note("bid of a start that has ended");
        }
        self.bids.push(Bid { facts, won: false, over: false });
        self.promises_hold();
        if self.chance(900) {
            self.send(at, Event::Bid(facts));
        }
        self.fate(facts);
    }

    /// The log has one more event.
    pub fn folded(&mut self, stamped: &Stamped) {
        let before: Vec<Epoch> = self.living();
        let leased = match &stamped.event {
            Event::LeaseReturned { campaign, epoch, slot, .. } => self.left(*campaign, *epoch, *slot),
            _ => Nanos::ZERO,
        };
        let folded = fold(&mut self.books, stamped);
        let living = self.living();
        for ended in before.into_iter().filter(|epoch| !living.contains(epoch)) {
            let by_own = matches!(&stamped.event, Event::EpochStarted { .. });
            self.note(if by_own { "ended by its own node" } else { "ended by silence" });
            assert!(self.books.epoch > ended || !by_own);
        }
        match (&stamped.event, folded) {
            (_, Folded::Known | Folded::Gap) => panic!("the log is whole"),
            (Event::EpochStarted { .. }, Folded::Refused) => self.note("epoch refused"),
            (Event::CampaignSet(_), Folded::Refused) => self.note("number refused"),
            (Event::NodeRunning { .. }, Folded::Refused) => self.note("told too late"),
            (Event::LeaseGranted { lease, .. }, Folded::Refused) => {
                let lives = self.books.starts.lives(lease.epoch);
                self.note(if lives { "lease refused" } else { "lease of a start that has ended refused" });
            }
            (Event::LeaseReturned { epoch, why: ReturnReason::Reclaimed, .. }, _) => {
                assert!(!self.books.starts.lives(*epoch), "a lease of a start that lives was reclaimed");
                self.note(if leased == Nanos::ZERO { "reclaimed twice" } else { "reclaimed" });
            }
            (Event::Notice(notice), Folded::Notice { from, outcome }) => {
                let (facts, kind) = (notice.facts, notice.kind);
                self.noticed(&facts, kind, stamped, from, outcome);
            }
            _ => {}
        }
        self.time_passed();
        for book in self.books.campaigns.values() {
            invariants::book(book).unwrap();
        }
        assert_eq!(self.books.numbers.next().0 as usize, self.books.campaigns.len());
        for (no, book) in &self.books.campaigns {
            assert_eq!(self.books.number(&book.id), Some(*no), "an id with two numbers, or none");
        }
        self.promises_hold();
    }

    fn living(&self) -> Vec<Epoch> {
        let starts = &self.books.starts;
        starts.known.keys().copied().filter(|epoch| starts.lives(*epoch)).collect()
    }

    fn left(&self, campaign: CampaignNo, epoch: Epoch, slot: Slot) -> Nanos {
        let book = self.books.campaigns.get(&campaign);
        book.and_then(|book| book.leases.get(&(epoch, slot)).copied()).unwrap_or_default()
    }

    fn noticed(&mut self, facts: &Facts, kind: NoticeKind, stamped: &Stamped, from: State, outcome: Outcome) {
        let bid = self.bids.iter_mut().find(|bid| bid.facts.reservation == facts.reservation).expect("somebody bid");
        let until = if from == State::Won { facts.bill_until() } else { facts.auction_until() };
        let in_time = stamped.at < until && from != State::Released;
        match outcome {
            Outcome::Won => bid.won = true,
            Outcome::Voided | Outcome::Booked { .. } => bid.over = true,
            Outcome::BookedLate { .. } => {
                bid.over = true;
                assert!(!in_time, "a bill in time whose money was gone: {facts:?}");
                self.note("booked late");
            }
            _ => {}
        }
        if matches!(outcome, Outcome::Booked { .. }) {
            assert!(in_time && kind == NoticeKind::Bill);
            if !self.books.starts.lives(facts.reservation.epoch) {
                self.note("booked of a start that has ended");
            }
            self.note("booked");
        }
    }

    fn time_passed(&mut self) {
        let now = self.books.starts.at;
        self.bids.iter_mut().for_each(|bid| {
            let until = if bid.won { bid.facts.bill_until() } else { bid.facts.auction_until() };
            bid.over |= now >= until;
        });
    }

    /// What can still be billed in time, whoever bid it, stands behind leases of its start.
    fn promises_hold(&self) {
        let mut promised = BTreeMap::<(CampaignNo, Epoch, Slot), Nanos>::new();
        for bid in self.bids.iter().filter(|bid| !bid.over) {
            let facts = &bid.facts;
            *promised.entry((facts.campaign, facts.reservation.epoch, facts.slot())).or_default() += facts.reserved;
        }
        for ((campaign, epoch, slot), promised) in promised {
            let left = self.left(campaign, epoch, slot);
            assert!(promised <= left, "bids of start {} promise {promised}, leased is {left}", epoch.0);
        }
    }

    /// A node that knows all of the log has the same books, and in its accounts what its start has leased.
    pub fn caught_up(&mut self, at: usize) {
        let Some(process) = &mut self.nodes[at].process else { return };
        assert_eq!(reconcile(&mut process.hot, &self.books), []);
        let hot = &process.hot;
        let (own, books) = (hot.books(), &self.books);
        assert_eq!((own.next, own.epoch, own.numbers.next()), (books.next, books.epoch, books.numbers.next()));
        assert!(
            own.campaigns == books.campaigns && own.bits == books.bits && own.starts == books.starts,
            "books differ"
        );
        for (no, book) in self.books.campaigns.iter().filter(|_| process.lives()) {
            let view = hot.view(*no).expect("it is in the books");
            let own: Nanos = book.outstanding() - book.withheld(hot.epoch());
            assert_eq!(view.held, own, "available, reserved and on its way back is all that is leased: {view:?}");
        }
        self.note("node knows all of the log");
    }

    pub fn nothing_is_left(&mut self) {
        let living = self.living();
        for at in 0..self.nodes.len() {
            let process = self.nodes[at].process.as_ref().expect("it runs");
            assert!(process.lives() && living.contains(&process.hot.epoch()), "{living:?}");
            assert!(process.asked.is_empty(), "ids without a number: {:?}", process.asked);
            for (no, book) in &self.books.campaigns {
                assert_eq!(process.hot.view(*no).map(|view| view.reserved), Some(Nanos::ZERO));
                let ended = book.leases.keys().filter(|(epoch, _)| !living.contains(epoch)).count();
                assert_eq!(ended, 0, "leases of a start that has ended: {:?}", self.books.starts);
            }
        }
        assert_eq!(living.len(), self.nodes.len());
    }
}
