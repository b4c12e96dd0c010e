//! What exchanges say of bids, and when: to whichever node is there.

use gavel::event::{Event, Facts, Notice, NoticeKind, PriceClaim};
use gavel::money::Nanos;

use crate::node::LIFE;
use crate::world::World;

impl World {
    pub fn fate(&mut self, facts: Facts) {
        let soon = self.rng.i64(10..1_000);
        let billed = soon + self.rng.i64(10..LIFE.bill_ms / 2);
        let late = LIFE.bill_ms * 2 + self.rng.i64(0..100_000);
        let plan = match self.rng.u32(..100) {
            0..25 => vec![(NoticeKind::Loss, soon)],
            25..40 => vec![],
            40..88 => vec![(NoticeKind::Win, soon), (NoticeKind::Bill, billed)],
            88..94 => vec![(NoticeKind::Loss, soon), (NoticeKind::Bill, billed)],
            _ => vec![(NoticeKind::Bill, late)],
        };
        for (kind, delay) in plan {
            let amount = Nanos(self.rng.i64(0..=facts.reserved.0));
            let price = PriceClaim::Amount { amount, excess: Nanos::ZERO };
            let notice = Event::Notice(Notice { kind, facts, price, loss_reason: 0, min_to_win: Nanos(-1) });
            self.notices.push((self.now + delay, notice.clone()));
            if self.chance(200) {
                let again = self.rng.i64(0..5_000);
                self.notices.push((self.now + delay + again, notice));
            }
        }
    }
}
