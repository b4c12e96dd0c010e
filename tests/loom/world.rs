//! One campaign with leased money, bidders on it, and the log's thread as it is in production.

use std::sync::Arc;

use gavel::clock::{Day, UnixMs, Zone};
use gavel::event::{CampaignSet, Event, Facts, Notice, NoticeKind, Offset, PriceClaim, Promise, Slot, Stamped};
use gavel::ids::{CampaignNo, Currency, Epoch, LeaseId, NodeId, ReservationId};
use gavel::ledger::bucket::{Grids, Lifetimes, Ring};
use gavel::ledger::hot::Plan;
use gavel::ledger::{Account, Books, Hot};
use gavel::money::{Nanos, Quantity, Rate};
use loom::thread;

const NO: CampaignNo = CampaignNo(1);
const DAY: Day = Day(19_675);
pub const START: UnixMs = UnixMs(1_700_000_000_000);
/// Such that the rings have few buckets.
const LIFE: Lifetimes = Lifetimes { auction_ms: 8_000, bill_ms: 480_000, sends_win: true };

/// The end of the auction bucket of every bid here.
pub fn until() -> UnixMs {
    START.plus(i64::from(Grids::new(&[LIFE]).lifetimes(START, LIFE).0))
}

/// The end of the bill bucket of every bid here.
pub fn bill_until() -> UnixMs {
    START.plus(i64::from(Grids::new(&[LIFE]).lifetimes(START, LIFE).1))
}

pub struct World {
    hot: Hot,
    bidder: Bidder,
    next: u64,
}

#[derive(Clone)]
pub struct Bidder {
    account: Arc<Account>,
    grids: Arc<Grids>,
}

impl Bidder {
    /// Sets `cost` aside in the auction bucket, as the bid path does.
    pub fn bid(&self, cost: i64) -> bool {
        let open = self.account.open(DAY).expect("a lease");
        let slot = open.as_deref().expect("a slot");
        self.account.try_reserve(slot, &self.grids, Ring::Auction, until(), Nanos(cost))
    }
}

impl World {
    /// With a budget of which all is leased.
    pub fn new(leased: i64) -> World {
        let grids = Arc::new(Grids::new(&[LIFE]));
        let mut hot = Hot::new(Books::default(), NodeId(1), grids.clone(), Promise::default());
        let bidder = Bidder { account: hot.account(NO), grids };
        let started = hot.started();
        let mut world = World { hot, bidder, next: 0 };
        world.apply(START, started);
        world.set_budget(leased);
        world.hot.set_plan(NO, Plan { zone: Zone::utc(), active: true, highest_bid: Nanos(1) });
        world.grant(leased);
        // Makes the rings.
        assert!(world.bidder.bid(0));
        world
    }

    fn apply(&mut self, at: UnixMs, event: Event) {
        let mut events = vec![event];
        while let Some(event) = events.pop() {
            let stamped = Stamped { offset: Offset(self.next), at, event };
            self.next += 1;
            self.hot.apply(&stamped, &mut events);
        }
    }

    pub fn bidder(&self) -> Bidder {
        self.bidder.clone()
    }

    pub fn bid_in_thread(&self, cost: i64) -> thread::JoinHandle<bool> {
        let bidder = self.bidder();
        thread::spawn(move || bidder.bid(cost))
    }

    /// Sets the budget; what is promised above it is taken back at once.
    pub fn set_budget(&mut self, total: i64) {
        let set = CampaignSet {
            campaign: NO,
            id: "c-1".into(),
            currency: Currency::USD,
            total: Nanos(total),
            daily: None,
            day: None,
            json: None,
        };
        self.apply(START, Event::CampaignSet(set));
    }

    pub fn grant(&mut self, amount: i64) {
        let (lease, amount) = (LeaseId { epoch: Epoch(1), seq: 1 }, Nanos(amount));
        self.apply(START, Event::LeaseGranted { campaign: NO, lease, slot: Slot::Whole, amount });
    }

    pub fn notice(&mut self, kind: NoticeKind, seq: u32, amount: i64, at: UnixMs) {
        let ms = |until: UnixMs| until.since(START) as u32;
        let facts = Facts {
            reservation: ReservationId { node: NodeId(1), epoch: Epoch(1), bucket: START.minutes(), seq },
            campaign: NO,
            lease_seq: 1,
            day: DAY,
            daily: false,
            creative: 0,
            exchange: 0,
            bid_at: START,
            auction_ms: ms(until()),
            bill_ms: ms(bill_until()),
            reserved: Nanos(if kind == NoticeKind::Loss { amount } else { 4 }),
            price: Nanos(4),
            currency: Currency::USD,
            campaign_currency: Currency::USD,
            rate: Rate::USD,
            campaign_rate: Rate::USD,
            quantity: Quantity::ONE,
            user: 0,
            spend_on_win: false,
            test: false,
            model: 0,
        };
        let price = PriceClaim::Amount { amount: Nanos(amount), excess: Nanos::ZERO };
        self.apply(at, Event::Notice(Notice { kind, facts, price, loss_reason: 0, min_to_win: Nanos(-1) }));
    }

    /// Moves the log's time on.
    pub fn idle_until(&mut self, at: UnixMs) {
        self.apply(at, Event::Correction { campaign: NO, drift: Nanos::ZERO });
    }

    pub fn look_after_lease(&mut self) {
        self.hot.look_after_lease_now(NO, &mut Vec::new());
    }

    /// Leased and neither returned nor spent, as the log says.
    pub fn outstanding(&self) -> i64 {
        self.hot.books().campaigns[&NO].outstanding().0
    }

    /// What is available, set aside and spent: nothing negative, and together all that was leased and not returned.
    pub fn check(&self) -> (i64, i64, i64) {
        let open = self.bidder.account.open(DAY).expect("a lease");
        let slot = open.as_deref().expect("a slot");
        let book = &self.hot.books().campaigns[&NO];
        let (available, reserved) = (slot.available().0, slot.reserved().0);
        assert!(available >= 0 && reserved >= 0, "available {available}, reserved {reserved}");
        assert_eq!(available + reserved, book.outstanding().0);
        (available, reserved, book.spent.0)
    }

    /// Lets all lifetimes pass: nothing stays set aside, and what is not spent is available, as far as the budget allows
    /// it; the rest went back.
    pub fn end(&mut self, spent: i64) {
        let before = self.hot.books().campaigns[&NO].outstanding().0;
        self.idle_until(START.plus(10 * LIFE.bill_ms));
        let (available, reserved, booked) = self.check();
        let book = &self.hot.books().campaigns[&NO];
        let left = before.min(book.total.0 - book.spent.0);
        assert_eq!((available, reserved, booked - book.late.0), (left, 0, spent));
    }
}
