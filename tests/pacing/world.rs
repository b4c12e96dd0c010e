//! One campaign in virtual time: the production ledger, `decide()` and pacing, and a market around them.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet, BinaryHeap, VecDeque};
use std::sync::Arc;

use fastrand::Rng;
use gavel::admin::campaigns::{Present, Registry, set_event};
use gavel::bidding::campaign::parse as parse_campaign;
use gavel::bidding::key::{UserKey, key};
use gavel::bidding::pacing::curve::Curve;
use gavel::bidding::pacing::pace::{ONE, Order};
use gavel::bidding::pacing::plan::Budget;
use gavel::bidding::pacing::{Look, Pacing};
use gavel::bidding::{Catalog, ExchangeTerms, Scratch, Shared, Snapshot, decide};
use gavel::clock::UnixMs;
use gavel::config::Config;
use gavel::event::{Event, Facts, Notice, NoticeKind, Offset, PriceClaim, Promise, Stamped};
use gavel::ids::{CampaignNo, Currency, Epoch, NodeId};
use gavel::ledger::bucket::{Grids, Lifetimes};
use gavel::ledger::sequence::Sequencer;
use gavel::ledger::{Books, Hot};
use gavel::money::{Nanos, Rate};
use gavel::openrtb::parse;
use gavel::window::impressions::ImpressionStore;
use serde_json::Value;

use crate::market::{Prices, Traffic};

const LIFETIMES: Lifetimes = Lifetimes { auction_ms: 120_000, bill_ms: 3_600_000, sends_win: true };
const REQUEST: &str = r#"{"id":"r","imp":[{"id":"1","banner":{"w":300,"h":250}}],"site":{"domain":"example.com"}}"#;

#[derive(Clone, Debug)]
pub struct Market {
    pub requests_per_second: f64,
    pub prices: Prices,
    pub traffic: Traffic,
    pub second_price: bool,
    /// From the bid to its billing notice; drawn evenly.
    pub bill_after_ms: std::ops::Range<i64>,
    /// A win notice comes at once.
    pub tells_wins: bool,
    pub tells_losses: bool,
}

/// Stands in for the pacer's decision: for controllers that must fail.
pub type Tamper = fn(&mut Order);

pub struct World {
    pub now: UnixMs,
    start: UnixMs,
    rng: Rng,
    hot: Hot,
    events: VecDeque<Event>,
    next: u64,
    pub present: Present,
    registry: Registry,
    catalog: Arc<Catalog>,
    shared: Arc<Shared>,
    exchange: ExchangeTerms,
    scratch: Scratch,
    pub pacing: Pacing,
    pub curve: Curve,
    pub market: Market,
    notices: BinaryHeap<Reverse<(i64, u64)>>,
    waiting: BTreeMap<u64, Event>,
    pub tamper: Tamper,
    pub last: Option<Order>,
    /// What auctions cost that were won, whatever was billed by now.
    pub won: i64,
    pub bids: u64,
    /// Prices that were bid.
    pub prices: BTreeSet<i64>,
}

pub fn instant(text: &str) -> UnixMs {
    UnixMs::parse(text).unwrap()
}

const NO: CampaignNo = CampaignNo(0);

impl World {
    pub fn new(seed: u64, start: &str, campaign: &Value, market: Market) -> World {
        let start = instant(start);
        let campaign = parse_campaign(&campaign.to_string()).unwrap_or_else(|faults| panic!("{}", faults[0]));
        let grids = Arc::new(Grids::new(&[LIFETIMES]));
        let mut hot = Hot::new(Books::default(), NodeId(1), grids.clone(), Promise::default());
        let config = Config::default_for_demo().unwrap();
        let (registry, events) = Registry::start(&config, &Books::default(), vec![campaign], &mut hot, start);
        let present = registry.present.values().next().unwrap().clone();
        let shared = Arc::new(Shared {
            rates: [(Currency::USD, Rate::USD)].into_iter().collect(),
            grids,
            sequencer: Sequencer::new(NodeId(1), Epoch(1)),
            impressions: Arc::new(ImpressionStore::new(1 << 16)),
            users: UserKey::new(&[0; 32]),
            bid_for_unknown: false,
            supply: None,
            screen: None,
            vendor: None,
        });
        let exchange = ExchangeTerms {
            name: "demo".to_owned(),
            number: 1,
            key: key("demo"),
            seat: "gavel".to_owned(),
            currency: Currency::USD,
            lifetimes: LIFETIMES,
            spend_on_win: false,
            open_bids: 1,
            ad_system: None,
        };
        let mut world = World {
            now: start,
            start,
            rng: Rng::with_seed(seed),
            hot,
            events: VecDeque::new(),
            next: 0,
            catalog: Arc::new(Catalog::default()),
            pacing: Pacing::new(&present.compiled.schedule, start),
            present,
            registry,
            shared,
            exchange,
            scratch: Scratch::new(seed),
            curve: Curve::default(),
            market,
            notices: BinaryHeap::new(),
            waiting: BTreeMap::new(),
            tamper: |_| (),
            last: None,
            won: 0,
            bids: 0,
            prices: BTreeSet::new(),
        };
        let started = world.hot.started();
        world.apply(started);
        events.into_iter().for_each(|event| world.apply(event));
        world.rebuild();
        world.tick();
        world
    }

    /// As gavel stops and starts again: leases go back, and all but the books is lost. Bids that nothing was told of are
    /// lost as well: their notices still come.
    pub fn restart(&mut self, campaign: &Value) {
        let mut out = Vec::new();
        self.hot.return_all(&mut out);
        out.into_iter().for_each(|event| self.apply(event));
        let books = self.hot.books().clone();
        self.hot = Hot::new(books.clone(), NodeId(1), self.shared.grids.clone(), Promise::default());
        let campaign = parse_campaign(&campaign.to_string()).unwrap_or_else(|faults| panic!("{}", faults[0]));
        let config = Config::default_for_demo().unwrap();
        let (registry, events) = Registry::start(&config, &books, vec![campaign], &mut self.hot, self.now);
        self.present = registry.present.values().next().unwrap().clone();
        self.registry = registry;
        let epoch = self.hot.epoch();
        self.shared = Arc::new(Shared {
            rates: self.shared.rates.clone(),
            grids: self.shared.grids.clone(),
            sequencer: Sequencer::new(NodeId(1), epoch),
            impressions: Arc::new(ImpressionStore::new(1 << 16)),
            users: UserKey::new(&[0; 32]),
            bid_for_unknown: false,
            supply: None,
            screen: None,
            vendor: None,
        });
        self.pacing = Pacing::new(&self.present.compiled.schedule, self.now);
        self.apply(self.hot.started());
        events.into_iter().for_each(|event| self.apply(event));
        self.rebuild();
        self.tick();
    }

    fn rebuild(&mut self) {
        let campaigns = [(self.present.compiled.clone(), self.present.live.clone())];
        self.catalog = Arc::new(Catalog::build(self.next, &campaigns, |_| Some(Rate::USD)));
    }

    /// As `PUT /v1/campaigns/{id}` does it.
    pub fn put(&mut self, campaign: &Value) {
        let campaign = parse_campaign(&campaign.to_string()).unwrap_or_else(|faults| panic!("{}", faults[0]));
        let day = campaign.schedule.zone.local_hour(self.now).day;
        self.apply(Event::CampaignSet(set_event(NO, &campaign, None, day)));
        self.present = self.registry.put(NO, campaign, true, &mut self.hot);
        let mut out = Vec::new();
        self.hot.look_after_lease_now(NO, &mut out);
        out.into_iter().for_each(|event| self.apply(event));
        self.rebuild();
    }

    fn apply(&mut self, event: Event) {
        self.events.push_back(event);
        let mut out = Vec::new();
        while let Some(event) = self.events.pop_front() {
            self.hot.apply(&Stamped { offset: Offset(self.next), at: self.now, event }, &mut out);
            self.next += 1;
            self.events.extend(out.drain(..));
        }
    }

    fn tick(&mut self) {
        let mut out = Vec::new();
        self.hot.tick(self.now, &mut out);
        out.into_iter().for_each(|event| self.apply(event));
    }

    fn later(&mut self, at: UnixMs, kind: NoticeKind, facts: Facts, amount: i64) {
        let price = PriceClaim::Amount { amount: Nanos(amount), excess: Nanos::ZERO };
        let event = Event::Notice(Notice { kind, facts, price, loss_reason: 0, min_to_win: Nanos(-1) });
        let id = self.bids * 2 + u64::from(kind == NoticeKind::Bill);
        self.notices.push(Reverse((at.0, id)));
        assert!(self.waiting.insert(id, event).is_none());
    }

    fn deliver(&mut self) {
        while let Some(Reverse((at, id))) = self.notices.peek().copied().filter(|Reverse((at, _))| *at <= self.now.0) {
            self.notices.pop();
            let event = self.waiting.remove(&id).unwrap();
            assert!(at <= self.now.0);
            self.apply(event);
        }
    }

    /// One second of requests, then the pacer's look.
    pub fn second(&mut self) {
        let from = self.now;
        let count =
            self.market.traffic.draw(from.since(self.start) / 1_000, self.market.requests_per_second, &mut self.rng);
        for i in 0..count {
            self.now = from.plus(i as i64 * 1_000 / count as i64);
            self.deliver();
            self.tick();
            self.request();
        }
        self.now = from.plus(1_000);
        self.deliver();
        self.tick();
        self.look();
        if self.now.0 % 600_000 == 0 {
            let mut out = Vec::new();
            self.hot.forget_older(8 * 3_600_000, &mut out);
            out.into_iter().for_each(|event| self.apply(event));
        }
    }

    fn request(&mut self) {
        let request = parse(REQUEST.as_bytes()).unwrap();
        let snapshot = Snapshot { catalog: self.catalog.clone(), models: Arc::default(), shared: self.shared.clone() };
        let mut decision = decide(&snapshot, &self.exchange, &request, self.now, &mut self.scratch);
        let Some(bid) = decision.bids.pop() else { return };
        let facts = bid.facts;
        self.bids += 1;
        self.prices.insert(facts.price.0);
        self.apply(Event::Bid(facts));
        let other = self.market.prices.draw(&mut self.rng);
        if facts.price.0 < other || (facts.price.0 == other && self.rng.bool()) {
            if self.market.tells_losses {
                self.later(self.now.plus(100), NoticeKind::Loss, facts, 0);
            }
            return;
        }
        let cost = if self.market.second_price { other.max(1).min(facts.price.0) } else { facts.price.0 };
        self.won += cost;
        if self.market.tells_wins {
            self.later(self.now.plus(100), NoticeKind::Win, facts, cost);
        }
        let after = self.rng.i64(self.market.bill_after_ms.clone());
        self.later(self.now.plus(after), NoticeKind::Bill, facts, cost);
    }

    /// As the pacer task does it.
    fn look(&mut self) {
        let compiled = self.present.compiled.clone();
        let live = self.present.live.clone();
        if !live.pace.is_paced() {
            return;
        }
        let today = self.pacing.today(&compiled.schedule, self.now);
        let (flow, leased) = self.hot.flow(NO, today);
        let (asked, held) = live.pace.take_signs();
        let look = Look {
            budget: self.budget(today),
            unbilled: flow.unbilled,
            promised: live.pace.promised(),
            told: flow.told,
            waited: flow.waited,
            price: live.whole_bid(),
            room: live.pace.room(),
            can_bid: live.active() && leased,
            asked,
            held,
        };
        let mut order = self.pacing.look(&compiled.schedule, &look, self.now, &self.curve, 0);
        (self.tamper)(&mut order);
        live.pace.obey(&order);
        self.last = Some(order);
    }

    pub fn budget(&self, today: gavel::clock::Day) -> Budget {
        let book = &self.hot.books().campaigns[&NO];
        Budget {
            total: book.total,
            daily: book.daily,
            spent: book.spent,
            spent_today: book.days.get(&today).map_or(Nanos::ZERO, |d| d.spent),
        }
    }

    pub fn spent(&self) -> i64 {
        self.hot.books().campaigns[&NO].spent.0
    }

    pub fn total(&self) -> i64 {
        self.hot.books().campaigns[&NO].total.0
    }

    pub fn spent_in_period(&self) -> i64 {
        match self.hot.books().campaigns[&NO].daily {
            Some(_) => self.budget(self.present.compiled.schedule.zone.local_hour(self.now).day).spent_today.0,
            None => self.spent(),
        }
    }

    /// Lets the notices come that are on their way, without another request.
    pub fn settle(&mut self) {
        let now = self.now;
        self.now = now.plus(self.market.bill_after_ms.end);
        self.deliver();
        self.now = now;
    }

    pub fn multiplier(&self) -> f64 {
        self.last.map_or(1.0, |order| f64::from(order.multiplier) / f64::from(ONE))
    }
}
