//! The reconciler, as `tasks::reconciler` goes about it: it lags, folds what is durable, saves, compares.

use gavel::eventlog::EventLog;
use gavel::ledger::reconcile::reconcile;
use gavel::ledger::{fold, invariants};

use crate::count::Kind;
use crate::world::World;

impl World {
    pub fn reconcile(&mut self) {
        self.note(Kind::Reconcile);
        let most = if self.chance(500) { usize::MAX } else { self.rng.usize(..20) };
        self.fold_durable(most);
        if self.chance(700) {
            self.save_books();
        }
        self.compare();
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
}
