//! Exchanges, and a network that delays, doubles, loses and reorders their notices.

use gavel::event::{Event, Notice, NoticeKind};
use gavel::eventlog::AppendError;
use gavel::ledger::bucket::Lifetimes;
use gavel::openrtb::claim::{PriceNote, notice_claim};
use gavel::openrtb::query::NoticeQuery;
use gavel::openrtb::token::TokenError;

use crate::count::Kind;
use crate::journal::Sent;
use crate::life::Waits;
use crate::price::{Says, cpm};
use crate::rules::{LONGEST_TOKEN_MS, is_google};
use crate::world::World;

/// A notice on its way.
#[derive(Clone, Debug)]
pub struct Packet {
    due: i64,
    kind: NoticeKind,
    /// The bid's place in the journal.
    bid: usize,
    says: Says,
    query: String,
    tries: u32,
}

impl World {
    /// What the exchange will say about a bid, and when.
    pub fn fate(&mut self, bid: usize, lifetimes: Lifetimes) {
        let soon = self.rng.i64(10..1_500);
        let billed = soon + self.rng.i64(10..lifetimes.bill_ms * 3 / 4);
        let late = self.rng.i64(lifetimes.auction_ms..lifetimes.bill_ms * 3);
        let mut plan = Vec::new();
        match self.rng.u32(..100) {
            0..30 => plan.push((NoticeKind::Loss, soon)),
            30..38 => {}
            38..80 => {
                if lifetimes.sends_win {
                    plan.push((NoticeKind::Win, soon));
                }
                plan.push((NoticeKind::Bill, billed));
            }
            80..86 => plan.push((NoticeKind::Bill, soon)),
            86..91 => plan.extend([(NoticeKind::Loss, soon), (NoticeKind::Bill, billed)]),
            91..95 => plan.extend([(NoticeKind::Win, late), (NoticeKind::Bill, late + 50)]),
            95..98 => plan.extend([(NoticeKind::Win, soon), (NoticeKind::Loss, billed)]),
            _ => plan.push((NoticeKind::Bill, late + self.rng.i64(0..LONGEST_TOKEN_MS))),
        }
        for (kind, delay) in plan {
            if self.chance(60) {
                self.note(Kind::Lost);
                continue;
            }
            self.send(kind, bid, delay);
            if self.chance(200) {
                self.note(Kind::Duplicate);
                let again = self.rng.i64(0..3_000);
                self.send(kind, bid, delay + again);
            }
        }
    }

    fn send(&mut self, kind: NoticeKind, bid: usize, delay: i64) {
        let facts = &self.journal.made[bid].facts;
        let says = Says::draw(kind, facts, &mut self.rng);
        let query = says.query(is_google(facts.exchange), &mut self.rng);
        self.network.push(Packet { due: self.now + delay, kind, bid, says, query, tries: 0 });
    }

    /// Brings what is due to the server, in no order.
    pub fn deliver(&mut self) {
        for _ in 0..6 {
            let due: Vec<usize> = (0..self.network.len()).filter(|i| self.network[*i].due <= self.now).collect();
            if due.is_empty() {
                return;
            }
            let packet = self.network.swap_remove(due[self.rng.usize(..due.len())]);
            self.arrive(packet);
        }
    }

    /// As `serve::notice` answers it.
    fn arrive(&mut self, packet: Packet) {
        let Some(life) = self.life.as_mut().filter(|life| life.ready) else {
            self.note(Kind::NobodyThere);
            return self.again(packet);
        };
        let (made, now) = (&self.journal.made[packet.bid].facts, life.now());
        let (token, token_until) = &self.tokens[packet.bid];
        let token_ms = life.config.token_lifetime_ms();
        let facts = match life.keys.verify(token, now) {
            Ok(facts) if now.since(facts.bid_at) < token_ms => facts,
            Ok(_) => return self.note(Kind::Expired),
            Err(TokenError::Expired) => {
                assert!(now.0 >= *token_until, "expired too early");
                return self.note(Kind::Expired);
            }
            Err(error) => panic!("a good token was refused: {error}"),
        };
        assert_eq!(facts, *made);
        let serial = self.journal.sent.len();
        let text = format!("{}&m={}", packet.query, cpm(serial as i64));
        let query = NoticeQuery::parse(&text);
        let exchange = life.config.exchanges.iter().find(|e| e.number == facts.exchange);
        let (price, note) = notice_claim(packet.kind, &facts, &query, exchange.map(|e| &e.price));
        let (google, known) = (is_google(facts.exchange), exchange.is_some());
        let expect = packet.says.expect(&facts, google, known);
        let (loss_reason, min_to_win) = (query.loss_reason().unwrap_or(0), query.min_to_win());
        assert_eq!(min_to_win.0 as usize, serial);
        let notice = Notice { kind: packet.kind, facts, price, loss_reason, min_to_win };
        let (kind, is_price) = (packet.kind, packet.says.is_price());
        self.journal.sent.push(Sent { kind, facts, expect, refused: false, in_log: false });
        life.append_durable(Waits::Notice { serial, packet }, &[Event::Notice(notice)]);
        match note {
            Some(PriceNote::AboveBid) => self.note(Kind::AboveBid),
            Some(PriceNote::NoRate) if known => self.note(Kind::OtherCurrency),
            Some(PriceNote::NoRate) => self.note(Kind::OddOfGone),
            Some(PriceNote::OtherCurrency) => self.note(Kind::OwnCurrency),
            Some(PriceNote::ForgedPrice) => self.note(Kind::ForgedPrice),
            None if google && is_price => self.note(Kind::Encrypted),
            _ => {}
        }
        self.note(match kind {
            NoticeKind::Win => Kind::Win,
            NoticeKind::Bill => Kind::Bill,
            NoticeKind::Loss => Kind::Loss,
        });
    }

    pub fn notice_answered(&mut self, serial: usize, packet: Packet, result: Result<(), AppendError>) {
        match result {
            Ok(()) => {
                assert!(self.journal.sent[serial].in_log, "an acknowledged notice is not in the log");
                return self.note(Kind::Acknowledged);
            }
            Err(AppendError::Busy) => self.note(Kind::Busy),
            Err(AppendError::Full) => self.note(Kind::Full),
            Err(AppendError::TooLarge { .. } | AppendError::Away) => panic!("a notice is small, and a disk not away"),
            Err(AppendError::Failed(_) | AppendError::Closed) => {
                self.note(Kind::Unknown);
                return self.again(packet);
            }
        }
        self.journal.sent[serial].refused = true;
        self.again(packet);
    }

    /// Most exchanges try again.
    fn again(&mut self, mut packet: Packet) {
        packet.tries += 1;
        packet.due = self.now + self.rng.i64(100..4_000);
        if packet.tries < 6 && self.chance(850) {
            self.network.push(packet);
        }
    }

    /// A notice of any bid ever made, once more.
    pub fn replay_old(&mut self) {
        if self.tokens.is_empty() {
            return;
        }
        let bid = self.rng.usize(..self.tokens.len());
        let kind = [NoticeKind::Win, NoticeKind::Bill, NoticeKind::Loss][self.rng.usize(..3)];
        self.send(kind, bid, 0);
        self.deliver();
    }
}
