//! The world outside: bid requests, and a network that delays, doubles, loses, reorders and forges notices.

use gavel::event::{Event, Facts, Notice, NoticeKind, PriceClaim, Slot};
use gavel::eventlog::{AppendError, EventLog};
use gavel::ids::{CampaignNo, Currency};
use gavel::ledger::bucket::{Grids, Lifetimes};
use gavel::money::{Nanos, Quantity, Rate};
use gavel::openrtb::claim::{PriceScheme, price_claim};
use gavel::openrtb::query::NoticeQuery;
use gavel::openrtb::token::{KeyRing, TokenError};

use crate::count::Kind;
use crate::journal::{Expect, Sent};
use crate::life::Waits;
use crate::rules::LONGEST_TOKEN_MS;
use crate::world::World;

/// A notice on its way.
#[derive(Clone, Debug)]
pub struct Packet {
    due: i64,
    kind: NoticeKind,
    /// The bid's place in the journal.
    bid: usize,
    query: String,
    expect: Expect,
    tries: u32,
}

/// A price in nanos per impression as a CPM.
fn cpm(nanos: i64) -> String {
    format!("{}.{:06}", nanos / 1_000_000, nanos % 1_000_000)
}

impl World {
    /// A few bid requests for one campaign.
    pub fn bid(&mut self) {
        for _ in 0..self.rng.u32(1..7) {
            if !self.may_bid() {
                return self.note(Kind::NotOpen);
            }
            self.bid_once();
        }
    }

    fn bid_once(&mut self) {
        let at = self.rng.usize(..self.terms.len());
        let Some(exchange) = self.life.as_ref().map(|life| life.config.exchanges.clone()) else { return };
        let exchange = exchange[self.rng.usize(..exchange.len())].clone();
        let (lifetimes, spend_on_win) = (exchange.lifetimes, exchange.spend_on_win);
        let quantity = if self.chance(100) { Quantity(2_500_000) } else { Quantity::ONE };
        let (test, lane) = (self.chance(20), self.rng.usize(..2));
        let t = &self.terms[at];
        let Some(life) = &mut self.life else { return };
        if !life.active[at] {
            return;
        }
        // From here on as `bidding::decide` does it.
        let now = life.now();
        let day = t.zone.local_hour(now).day;
        let account = life.accounts[at].clone();
        let reserved = Nanos(t.price).times(quantity);
        let open = account.open(day);
        let Some(slot) = open.as_deref().and_then(|open| open.as_ref()) else {
            account.ask();
            return self.note(Kind::NoMoney);
        };
        let (auction_ms, bill_ms) = life.grids.lifetimes(now, lifetimes);
        let Some(reservation) = life.sequencer.next(&mut life.range, now) else { return };
        let facts = Facts {
            reservation,
            campaign: CampaignNo(at as u32),
            lease_seq: slot.lease_seq(),
            day,
            daily: slot.slot != Slot::Whole,
            creative: 0,
            exchange: exchange.number,
            bid_at: now,
            auction_ms,
            bill_ms,
            reserved,
            price: Nanos(t.price).convert_floor(t.rate, Rate::USD),
            currency: Currency::USD,
            campaign_currency: t.currency,
            rate: Rate::USD,
            campaign_rate: t.rate,
            quantity,
            user: 0,
            spend_on_win,
            test,
            model: 0,
        };
        let ring = Grids::first_ring(&facts);
        if !test && !account.try_reserve(slot, &life.grids, ring, facts.auction_until(), reserved) {
            return self.note(Kind::NoMoney);
        }
        if !test && life.log.append(lane, &Event::Bid(facts)).is_err() {
            return self.note(Kind::BidRefused);
        }
        let mut token = Vec::new();
        let token_until = now.plus(exchange.token_lifetime_ms);
        life.keys.sign_into(&facts, token_until, &mut token);
        self.note(if test { Kind::TestBid } else { Kind::Bid });
        let bid = self.journal.bid_made(facts);
        self.tokens.push((token, token_until.0 / 1_000 * 1_000));
        self.fate(bid, lifetimes);
    }

    /// What the exchange will say about a bid, and when.
    fn fate(&mut self, bid: usize, lifetimes: Lifetimes) {
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
        let (query, expect) = self.price(kind, bid);
        self.network.push(Packet { due: self.now + delay, kind, bid, query, expect, tries: 0 });
    }

    /// A price, most often the bid's, and what it must come to.
    fn price(&mut self, kind: NoticeKind, bid: usize) -> (String, Expect) {
        let facts = self.journal.made[bid].facts;
        let (price, reserved) = (facts.price.0, facts.reserved.0);
        let same = facts.currency == facts.campaign_currency && facts.quantity == Quantity::ONE;
        if kind == NoticeKind::Loss {
            return ("l=102&p=${AUCTION_PRICE}".into(), Expect::Unusable);
        }
        let exactly = |n: i64| if same { Expect::Exactly(n) } else { Expect::AtMost(reserved) };
        match self.rng.u32(..100) {
            0..40 => (format!("p={}&c=USD&x=2.5", cpm(price)), exactly(price)),
            40..75 => {
                let part = price * self.rng.i64(1..100) / 100 + 1;
                (format!("p={}", cpm(part)), exactly(part))
            }
            75..82 => (format!("p={}", cpm(price * 3)), Expect::Exactly(reserved)),
            82..87 => ("p=0.00".into(), Expect::Exactly(0)),
            87..91 => (format!("p={}&c=JPY", cpm(price)), Expect::Exactly(reserved)),
            _ => {
                let odd = ["p=abc", "p=-1.0", "p=", "p=AUDIT", "p=%24%7BAUCTION_PRICE%7D", "c=USD", "p=NaN"];
                (odd[self.rng.usize(..odd.len())].into(), Expect::Unusable)
            }
        }
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
        let (price, note) = match packet.kind {
            NoticeKind::Loss => (PriceClaim::Unusable, None),
            _ => price_claim(
                &facts,
                query.price.as_deref(),
                query.currency.as_deref(),
                query.multiplier.as_deref(),
                &PriceScheme::Plain,
            ),
        };
        let (loss_reason, min_to_win) = (query.loss_reason().unwrap_or(0), query.min_to_win());
        assert_eq!(min_to_win.0 as usize, serial);
        let notice = Notice { kind: packet.kind, facts, price, loss_reason, min_to_win };
        let (kind, expect) = (packet.kind, packet.expect);
        self.journal.sent.push(Sent { kind, facts, expect, refused: false, in_log: false });
        life.append_durable(Waits::Notice { serial, packet }, &[Event::Notice(notice)]);
        match note {
            Some(gavel::openrtb::claim::PriceNote::AboveBid) => self.note(Kind::AboveBid),
            Some(gavel::openrtb::claim::PriceNote::NoRate) => self.note(Kind::OtherCurrency),
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
            Err(AppendError::TooLarge { .. }) => panic!("a notice is small"),
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

    /// A token that somebody altered, or that another key signed: nothing may come of it.
    pub fn odd_token(&mut self) {
        if self.tokens.is_empty() {
            return;
        }
        let bid = self.rng.usize(..self.tokens.len());
        let mut token = self.tokens[bid].0.clone();
        let foreign = self.chance(400);
        if foreign {
            let id = self.rng.u8(1..9);
            // Ours repeat one byte.
            let mut secret = [self.rng.u8(..); 32];
            secret[0] ^= 1;
            let ring = KeyRing::new(vec![(id, secret)]).expect("one key");
            token.clear();
            ring.sign_into(&self.journal.made[bid].facts, self.wall().plus(LONGEST_TOKEN_MS), &mut token);
        } else {
            let at = self.rng.usize(..token.len());
            let other = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_=";
            let with = other[self.rng.usize(..other.len())];
            if token[at] == with {
                return;
            }
            token[at] = with;
        }
        let Some(life) = &self.life else { return };
        assert!(life.keys.verify(&token, life.now()).is_err(), "a forged token was taken");
        self.note(if foreign { Kind::ForeignKey } else { Kind::Altered });
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
