//! The reconciler, as `tasks::reconciler` goes about it: it lags, folds what is durable, saves, compares, forgets.

use gavel::eventlog::EventLog;
use gavel::ledger::reconcile::reconcile;
use gavel::ledger::{fold, invariants};

use crate::count::Kind;
use crate::world::{BITS_GRACE_MS, TOKEN_LIFETIME_MS, World};

const FORGET_INTERVAL_MS: i64 = 60_000;

impl World {
    pub fn reconcile(&mut self) {
        self.note(Kind::Reconcile);
        let most = if self.chance(500) { usize::MAX } else { self.rng.usize(..20) };
        self.fold_durable(most);
        if self.chance(700) {
            self.save_books();
        }
        self.compare();
        self.forget();
    }

    pub fn reconcile_all(&mut self) {
        self.fold_durable(usize::MAX);
        self.save_books();
        self.compare();
    }

    fn fold_durable(&mut self, most: usize) {
        let Some(life) = &mut self.life else { return };
        let reader = match &mut life.reader {
            Some(reader) => reader,
            None => life.reader.insert(life.log.read(life.books.next).expect("the log can be read")),
        };
        for _ in 0..most {
            let Some(stamped) = reader.next_event().expect("the log can be read") else { break };
            fold(&mut life.books, &stamped);
            life.folded_at = stamped.at;
        }
    }

    fn save_books(&mut self) {
        self.note(Kind::Saved);
        let Some(life) = &mut self.life else { return };
        drop(life.books.take_dirty());
        invariants::only_grows(&self.stored, &life.books).unwrap();
        let books = life.books.clone();
        self.save(&books);
    }

    /// Where both are at the same event, hot state is what the books say.
    fn compare(&mut self) {
        let Some(life) = &self.life else { return };
        let drift = life.with_hot(|hot| reconcile(hot, &life.books));
        for correction in &drift {
            let books = |books: &gavel::ledger::Books| books.campaigns.get(&correction.campaign).cloned();
            let (hot, own) = (life.with_hot(|hot| books(hot.books())), books(&life.books));
            eprintln!("hot state:\n{hot:?}\nbooks:\n{own:?}");
        }
        assert_eq!(drift, [], "hot state differs from the books");
    }

    pub fn forget(&mut self) {
        let Some(life) = &mut self.life else { return };
        let now = life.now();
        // Books that are behind, or will be after a restart, may still have to fold a second bill.
        let level = life.books.next == life.log.durable_end() && self.stored.next == life.books.next;
        if now < life.forget_at || !level {
            return;
        }
        life.forget_at = now.plus(FORGET_INTERVAL_MS);
        let bucket = life.folded_at.plus(-TOKEN_LIFETIME_MS - BITS_GRACE_MS).minutes();
        let before = life.books.bits.bytes();
        life.books.forget_before(bucket);
        let forgot = life.books.bits.bytes() < before;
        self.stored.forget_before(bucket);
        if forgot {
            self.note(Kind::Forget);
        }
    }
}
