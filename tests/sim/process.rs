//! Start, crash, stop: in the order of `app`, with a crash possible at every step of the disk.

use std::sync::Arc;

use gavel::admin::campaigns::{CapMemory, Registry};
use gavel::app::remember_impressions;
use gavel::bidding::Shared;
use gavel::bidding::campaign::cap_memory;
use gavel::bidding::key::UserKey;
use gavel::clock::UnixMs;
use gavel::eventlog::{AppendError, EventLog, OpenError, Opened, Prepared, SegmentLog, Step};
use gavel::ledger::bucket::Grids;
use gavel::ledger::invariants;
use gavel::ledger::sequence::Sequencer;
use gavel::ledger::{Books, Hot, fold};
use gavel::openrtb::token::KeyRing;
use gavel::window::impressions::ImpressionStore;

use crate::count::Kind;
use crate::life::{Life, Made, Waits};
use crate::rules;
use crate::world::World;

impl World {
    pub fn start(&mut self) {
        let armed = self.chance(150);
        self.disk.die_after(if armed { self.rng.u64(..40) } else { u64::MAX });
        self.disk.fail_syncs_of(None);
        if self.chance(100) {
            self.skew_ms = self.rng.i64(-3_600_000..3_600_000);
        }
        let up = self.try_start();
        if up {
            self.note(Kind::Start);
        } else {
            assert!(armed || self.disk_full, "could not start on a good disk");
            if armed {
                self.note(Kind::StartDied);
            }
            self.disk_full = false;
            self.gone();
        }
    }

    fn try_start(&mut self) -> bool {
        let opened = match SegmentLog::open(Arc::new(self.disk.clone()), self.config.clone(), &mut |_, _| {}) {
            Ok(opened) => opened,
            Err(OpenError::NoSpace { .. } | OpenError::Io { .. }) => return false,
            Err(error) => panic!("a crash is not damage: {error}"),
        };
        let mut wall = self.now + self.skew_ms;
        self.read_log(&opened);
        // The one thing assumed of wall clocks: where a crash lost bids that had gone out (those of the last few
        // milliseconds, or since the disk stood still), the clock has not been set back to before their money was set
        // aside. Where it has, some of their bills are booked late.
        if let Some(at) = self.journal.lost_bid_at() {
            wall = wall.max(self.journal.now.max(at).0);
        }
        let base = wall.max(opened.last_at().unwrap_or_default().0);
        if base > wall {
            self.note(Kind::Behind);
        }
        let books = self.catch_up(&opened);
        let config = rules::draw(&mut self.rng);
        let (token_ms, shortest) = (config.token_lifetime_ms(), &mut self.journal.shortest_token_ms);
        *shortest = Some(shortest.map_or(token_ms, |ms| ms.min(token_ms)));
        let lifetimes: Vec<_> = config.exchanges.iter().map(|e| e.lifetimes).collect();
        let grids = Arc::new(Grids::new(&lifetimes));
        let mut hot = Hot::new(books.clone(), config.node, grids.clone(), config.promise());
        let (registry, mut events) = Registry::start(&config, &books, self.files.clone(), &mut hot, UnixMs(base));
        events.insert(0, hot.started());
        let (impressions, caps) = (Arc::new(ImpressionStore::new(1)), Arc::new(CapMemory::default()));
        for present in registry.present.values() {
            if let Some(memory) = cap_memory(&present.compiled.frequency_caps) {
                caps.insert(present.compiled.no, memory);
            }
        }
        if remember_impressions(&opened, &impressions, &caps, UnixMs(base), token_ms).is_err() {
            return false;
        }
        let is_present = |no: u32| registry.present.contains_key(self.terms[no as usize].id);
        self.journal.users.read_back(UnixMs(base), (0..self.terms.len() as u32).filter(|no| !is_present(*no)));
        let shared = Shared {
            rates: config.rates.all().clone(),
            grids,
            sequencer: Sequencer::new(config.node, hot.epoch()),
            impressions,
            users: UserKey::new(&[3; 32]),
            bid_for_unknown: config.caps.bid_for_unknown,
            supply: None,
            screen: None,
            vendor: None,
        };
        let keys = KeyRing::new(self.keys.clone()).expect("few keys with different ids");
        let (made, seed) = (Made { config, hot, books, registry, caps, shared, keys }, self.rng.u64(..));
        let Ok(mut life) = Life::start(opened, made, seed, (self.now, base - self.now)) else {
            return false;
        };
        life.append_durable(Waits::Start, &events);
        self.life = Some(life);
        for _ in 0..60 {
            self.pass(1);
            let Some(life) = &mut self.life else { return false };
            if life.preparer.step() == Prepared::Done || life.write() == Step::Done {
                self.after_step();
                return false;
            }
            self.after_step();
            if self.life.as_ref().is_none_or(|life| life.ready) {
                return self.life.is_some();
            }
        }
        panic!("the start does not come to an end");
    }

    /// The whole log as it is now: it begins with all that any process ever saw applied.
    fn read_log(&mut self, opened: &Opened) {
        let mut reader = opened.read(gavel::event::Offset(0)).expect("the log can be read");
        let mut found = 0;
        while let Some(stamped) = reader.next_event().expect("the log can be read") {
            match self.journal.events.get(found) {
                Some(known) => assert_eq!(*known, stamped, "an event changed after it was applied"),
                None => self.journal.apply(&stamped, &mut self.counts),
            }
            found += 1;
        }
        assert_eq!(found, self.journal.events.len(), "events that were applied are gone");
        assert_eq!(opened.durable_end().0 as usize, found);
    }

    /// As `app` does: the stored books, and the log from there on.
    fn catch_up(&mut self, opened: &Opened) -> Books {
        let mut books = self.stored.clone();
        assert!(books.next <= opened.durable_end(), "the books are ahead of the log");
        let mut reader = opened.read(books.next).expect("the log can be read");
        while let Some(stamped) = reader.next_event().expect("the log can be read") {
            fold(&mut books, &stamped);
        }
        drop(books.take_dirty());
        invariants::only_grows(&self.stored, &books).unwrap();
        self.journal.agrees(&books);
        self.save(&books);
        books
    }

    pub fn save(&mut self, books: &Books) {
        self.stored_before = std::mem::replace(&mut self.stored, books.clone());
    }

    /// The process was killed, or the power went, between two steps.
    pub fn crash(&mut self, power: bool) {
        self.note(if power { Kind::PowerCut } else { Kind::Kill });
        self.end_life();
        if power {
            self.cut_power();
        }
        self.set_room();
    }

    /// The log has failed: the disk died under it, or a sync failed. The process exits.
    pub fn died(&mut self) {
        self.note(Kind::DiedInStep);
        self.gone();
    }

    fn gone(&mut self) {
        self.end_life();
        if self.chance(600) {
            self.cut_power();
        }
        self.disk.die_after(u64::MAX);
        self.disk.fail_syncs_of(None);
        self.set_room();
    }

    fn end_life(&mut self) {
        self.stalled_until = 0;
        let Some(mut life) = self.life.take() else { return };
        for (waits, result) in life.answered() {
            self.resolve(waits, result);
        }
        for (waits, _never_answered) in std::mem::take(&mut life.waiting) {
            self.resolve(waits, Err(AppendError::Closed));
        }
    }

    fn cut_power(&mut self) {
        self.note(Kind::TornDisk);
        self.disk = self.disk.crash(self.rng.u64(..));
        if self.chance(300) {
            self.note(Kind::OldBooks);
            self.stored = self.stored_before.clone();
        }
    }

    /// Not ready, return leases, write everything, fold the rest.
    pub fn stop(&mut self) {
        self.note(Kind::Stop);
        self.stalled_until = 0;
        for _ in 0..20 {
            self.prepare();
            self.write();
        }
        // What waits for a full disk, or an edit that is answered only now, may lease once more.
        let open = self.may_bid();
        let Some(life) = &mut self.life else { return };
        life.ready = false;
        let quiet = open && life.waiting.is_empty();
        let mut events = Vec::new();
        life.with_hot(|hot| hot.return_all(&mut events));
        life.append_durable(Waits::Return, &events);
        let _closing = life.log.close();
        let mut done = false;
        for _ in 0..40 {
            let Some(life) = &mut self.life else { return };
            life.preparer.step();
            done = life.write() == Step::Done;
            self.after_step();
            if done {
                break;
            }
        }
        assert!(done, "the log does not come to its end");
        let Some(life) = &mut self.life else { return };
        let closed = life.log.close();
        if life.has_failed() || closed.is_err() {
            assert!(life.has_failed() || self.disk_full, "closed with {closed:?}");
            self.note(Kind::StopDied);
            return self.gone();
        }
        self.reconcile_all();
        self.check();
        let life = self.life.as_ref().expect("it is still there");
        for (no, book) in &life.with_hot(|hot| hot.books().clone()).campaigns {
            let view = life.with_hot(|hot| hot.view(*no)).expect("it is in the books");
            let own = book.outstanding() - book.withheld(self.epoch());
            assert!(own == view.reserved || !quiet, "a stop returns all that is not reserved: {own}, {view:?}");
        }
        self.end_life();
        self.disk.die_after(u64::MAX);
    }

    fn epoch(&self) -> gavel::ids::Epoch {
        self.life.as_ref().map_or_else(Default::default, |life| life.with_hot(|hot| hot.epoch()))
    }

    pub fn wall(&self) -> UnixMs {
        UnixMs(self.now + self.skew_ms)
    }
}
