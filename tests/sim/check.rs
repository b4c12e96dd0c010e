//! What must hold after every step, once all is quiet, and at the end.

use gavel::event::{Offset, Stamped};
use gavel::eventlog::{SegmentLog, Step};
use gavel::ids::CampaignNo;
use gavel::ledger::{Books, fold, invariants};
use gavel::money::Nanos;
use std::sync::Arc;

use crate::rules::{LONGEST_MS, LONGEST_TOKEN_MS};
use crate::world::{BITS_GRACE_MS, World};

impl World {
    /// Takes over what the process did in its last step.
    pub fn after_step(&mut self) {
        let Some(life) = &mut self.life else { return };
        let seen = life.seen();
        let answered = life.answered();
        for stamped in &seen.applied {
            self.journal.apply(stamped, &mut self.counts);
        }
        self.journal.tick(seen.ticked);
        for (waits, result) in answered {
            self.resolve(waits, result);
        }
    }

    pub fn check(&mut self) {
        self.journal.promises_hold();
        let Some(life) = &self.life else { return };
        life.with_hot(|hot| {
            let books = hot.books();
            self.journal.agrees(books);
            for (no, book) in &books.campaigns {
                invariants::book(book).unwrap();
                let view = hot.view(*no).expect("it is in the books");
                assert_eq!(view.reserved.0, self.journal.set_aside(no.0, hot.epoch().0), "{view:?}");
                let promised = view.spent + view.reserved + view.withheld;
                assert!(promised <= view.budget + view.late + book.over_at_set, "{view:?}");
                assert!(view.reserved + view.withheld <= book.outstanding(), "{view:?}");
                if (view.late, book.over_at_set) == (Nanos::ZERO, Nanos::ZERO) {
                    assert_eq!(view.overspend, Nanos::ZERO);
                }
            }
        });
    }

    /// Everything on its way arrives in the log.
    fn settle(&mut self) {
        for _ in 0..200 {
            let Some(life) = &mut self.life else { panic!("it died on a good disk") };
            life.preparer.step();
            let step = life.write();
            assert_ne!(step, Step::Done, "the log failed on a good disk");
            self.after_step();
            self.check();
            if step == Step::Idle && self.life.as_ref().is_some_and(|life| life.waiting.is_empty()) {
                return;
            }
        }
        panic!("the log does not come to rest");
    }

    /// All faults end; what is under way arrives; all lifetimes pass. Then nothing is set aside or withheld, and log,
    /// hot state, books and the world's journal say the same.
    pub fn finish(&mut self) {
        (self.stalled_until, self.disk_full) = (0, false);
        if self.life.is_some() {
            self.crash(false);
        }
        self.disk.die_after(u64::MAX);
        self.set_room();
        while self.life.is_none() {
            self.start();
        }
        self.disk.die_after(u64::MAX);
        for _ in 0..6 {
            self.pass(800);
            self.deliver();
            self.settle();
        }
        for _ in 0..6 {
            self.pass(LONGEST_MS / 4);
            self.settle();
        }
        self.nothing_is_set_aside();
        self.reconcile_all();
        self.fold_is_hot();
        self.pass(LONGEST_TOKEN_MS + BITS_GRACE_MS + 120_000);
        self.settle();
        self.reconcile_all();
        let life = self.life.as_ref().expect("it is running");
        assert_eq!(
            life.books.bits.bytes() + life.with_hot(|hot| hot.books().bits.bytes()),
            0,
            "bits are kept for ever"
        );
        self.stop();
        assert!(self.life.is_none());
        self.fold_from_disk();
    }

    fn nothing_is_set_aside(&self) {
        let Some(life) = &self.life else { return };
        for at in 0..self.terms.len() {
            let view = life.with_hot(|hot| hot.view(CampaignNo(at as u32))).expect("it is in the books");
            assert_eq!((view.reserved, view.withheld), (Nanos::ZERO, Nanos::ZERO), "{view:?}");
        }
    }

    fn fold_is_hot(&self) {
        let Some(life) = &self.life else { return };
        let books = folded(&self.journal.events);
        life.with_hot(|hot| {
            let hot = hot.books();
            assert_eq!((hot.next, hot.epoch), (books.next, books.epoch));
            assert_eq!(hot.campaigns, books.campaigns);
            assert_eq!(books.bits, hot.bits);
        });
    }

    /// A last look at the disk by a process that knows nothing.
    fn fold_from_disk(&self) {
        let opened = SegmentLog::open(Arc::new(self.disk.clone()), self.config.clone(), &mut |_, _| {});
        let mut reader = opened.map(|o| o.read(Offset(0))).expect("it opens").expect("it can be read");
        let mut events = Vec::new();
        while let Some(stamped) = reader.next_event().expect("it can be read") {
            events.push(stamped);
        }
        assert_eq!(events, self.journal.events);
        let books = folded(&events);
        self.journal.agrees(&books);
        assert!(books.campaigns.values().all(|book| book.outstanding() == Nanos::ZERO), "a stop returns all");
        let acknowledged = self.journal.sent.iter().filter(|sent| sent.in_log).count();
        assert!(acknowledged <= events.len());
    }
}

fn folded(events: &[Stamped]) -> Books {
    let mut books = Books::default();
    for stamped in events {
        fold(&mut books, stamped);
    }
    books
}
