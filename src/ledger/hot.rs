//! This node's money: the fold of the log, and the accounts that it keeps in step.
//!
//! One thread applies the log to it, in order. Bids only touch [`Account`]; everything else happens here, and time
//! is the log's time, so that what is late is the same here, in the books and in a replay.

mod campaign;
mod reclaim;
mod view;

use std::sync::Arc;

use foldhash::HashMap;
use smallvec::SmallVec;

pub use self::campaign::Plan;
use self::campaign::{HotCampaign, HotSlot, excess, give_up};
use self::reclaim::Reclaims;
pub use self::view::{AccountView, DayView};
use super::account::{Account, SlotAccount};
use super::book::CampaignBook;
use super::bucket::{Grids, Ring};
use super::flow::Flow;
use super::fold::{Books, Folded, fold};
use super::invariants;
use super::lease::{Demand, target, wanted};
use super::marks::Marks;
use super::reservation::{Outcome, State};
use super::sequence::LeaseSeq;
use crate::clock::{Day, UnixMs};
use crate::event::{Event, Notice, Process, Promise, Slot, Stamped};
use crate::ids::{CampaignNo, Epoch, LeaseId, NodeId};
use crate::money::Nanos;

/// Campaigns whose leases are looked after in one round: bounds the time that notices wait behind it.
const LEASES_PER_ROUND: usize = 5_000;
/// At least this long between two rounds.
const LEASE_INTERVAL_MS: i64 = 5;
/// In this time a sweep looks at every campaign once, for what only time has changed; those that were asked for are looked
/// at in the next round.
const SWEEP_MS: i64 = 60_000;

#[derive(Debug)]
pub struct Hot {
    books: Books,
    node: NodeId,
    process: Process,
    epoch: Epoch,
    grids: Arc<Grids>,
    /// Boxed: the table has room for up to twice as many.
    campaigns: HashMap<CampaignNo, Box<HotCampaign>>,
    /// All keys of `campaigns`, and where the sweep goes on.
    order: Vec<CampaignNo>,
    cursor: usize,
    /// How many at the beginning of `order` need not be waited for, see [`Hot::all_leased`].
    leased: usize,
    /// Whose lease wants looking after: bids ask for it, and whatever else changes what should be leased.
    wanted: Arc<Marks>,
    lease_round_at: UnixMs,
    lease_seq: LeaseSeq,
    now: UnixMs,
    state: StartState,
    /// What this start promises; it waits for earlier ones at least as long.
    promise: Promise,
    reclaims: Reclaims,
}

/// Of this start.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StartState {
    /// Not in the log. Nothing is leased: after a crash the next start would have the same number, and take these leases for
    /// its own.
    Begins,
    Lives,
    /// Another start of this node is in the log, or nothing was heard of this one for too long: its leases come back.
    Ended,
}

impl Hot {
    /// From the books of a log that has been folded to its end, for a start with the epoch after the books'.
    pub fn new(books: Books, node: NodeId, grids: Arc<Grids>, promise: Promise) -> Hot {
        let epoch = Epoch(books.epoch.0 + 1);
        let mut hot = Hot {
            node,
            process: Process::ALONE,
            epoch,
            grids,
            campaigns: HashMap::default(),
            order: Vec::new(),
            cursor: 0,
            leased: 0,
            wanted: Arc::default(),
            lease_round_at: UnixMs(0),
            lease_seq: LeaseSeq::default(),
            now: UnixMs(0),
            state: StartState::Begins,
            promise,
            reclaims: Reclaims::default(),
            books: Books::default(),
        };
        // In a fixed order: the same log and the same bids make the same events, in a simulation too.
        let mut campaigns: Vec<CampaignNo> = books.campaigns.keys().copied().collect();
        campaigns.sort_unstable();
        for campaign in campaigns {
            hot.add(campaign);
        }
        hot.books = books;
        hot
    }

    /// As `process` of a fleet: other nodes append to the log at the same time. No bids until it tells that they may be made.
    pub fn in_fleet(self, process: Process) -> Hot {
        self.grids.fence.shut();
        Hot { process, ..self }
    }

    pub fn epoch(&self) -> Epoch {
        self.epoch
    }

    pub fn state(&self) -> StartState {
        self.state
    }

    /// The event that must be durable before anything else of this start.
    pub fn started(&self) -> Event {
        let Hot { node, epoch, promise, process, .. } = *self;
        Event::EpochStarted { node, epoch, promise, process }
    }

    /// As [`Hot::started`], after another start was the first in the log to have that epoch.
    pub fn start_again(&mut self) -> Event {
        self.epoch = Epoch(self.books.epoch.0 + 1);
        self.started()
    }

    /// What a fleet's node tells every [`TELL_MS`](super::starts::TELL_MS), at `now` by its own clock.
    pub fn running(&self, now: UnixMs) -> Option<Event> {
        let tells = self.state == StartState::Lives && self.process != Process::ALONE;
        tells.then_some(Event::NodeRunning { epoch: self.epoch, sent_at: now })
    }

    /// The fold so far: what the log's events up to the last applied one come to.
    pub fn books(&self) -> &Books {
        &self.books
    }

    fn add(&mut self, campaign: CampaignNo) -> &mut HotCampaign {
        self.campaigns.entry(campaign).or_insert_with(|| {
            self.order.push(campaign);
            self.wanted.put(campaign);
            Box::new(HotCampaign {
                account: Arc::new(Account::new(campaign, self.wanted.clone())),
                slots: SmallVec::new(),
                plan: None,
                demand: Demand::default(),
                flow: None,
                looked_at: UnixMs(0),
                granting: Nanos::ZERO,
            })
        })
    }

    /// The counters that bids of a campaign reserve from.
    pub fn account(&mut self, campaign: CampaignNo) -> Arc<Account> {
        self.add(campaign).account.clone()
    }

    /// Tells how to lease for a campaign from now on.
    pub fn set_plan(&mut self, campaign: CampaignNo, plan: Plan) {
        let local = plan.zone.local_hour(self.now);
        self.add(campaign).plan = Some((plan, local));
        self.wanted.put(campaign);
    }

    /// Whether all campaigns that can lease money have been granted some: once a start has settled. Each is waited for once.
    pub fn all_leased(&mut self) -> bool {
        let waits = |no: &CampaignNo| {
            let Some(c) = self.campaigns.get(no) else { return false };
            let active = c.plan.as_ref().is_some_and(|(plan, _)| plan.active);
            let free = self.books.campaigns.get(no).is_some_and(|b| !b.deleted && b.free(Slot::Whole).0 > 0);
            c.granting > Nanos::ZERO || (active && free && c.slots.is_empty() && c.looked_at == UnixMs(0))
        };
        self.leased += self.order[self.leased..].iter().take_while(|no| !waits(no)).count();
        self.leased == self.order.len()
    }

    /// Applies one durable event. Events it makes necessary are pushed to `out` and must go into the log.
    pub fn apply(&mut self, stamped: &Stamped, out: &mut Vec<Event>) -> Folded {
        self.advance(stamped.at, out);
        let folded = fold(&mut self.books, stamped);
        // Until this start lives, its epoch may be another one's.
        let (own, begins) = (self.epoch, self.state == StartState::Begins);
        let is_own = |epoch: Epoch| epoch == own && !begins;
        match (&stamped.event, folded) {
            (_, Folded::Known | Folded::Gap) => {}
            (Event::EpochStarted { .. } | Event::NodeRunning { .. }, _) => self.starts_changed(&stamped.event),
            (Event::LeaseGranted { campaign, lease, amount, .. }, Folded::Refused) => {
                if let Some(c) = self.campaigns.get_mut(campaign).filter(|_| is_own(lease.epoch)) {
                    c.granting = (c.granting - *amount).max(Nanos::ZERO);
                    self.wanted.put(*campaign);
                }
            }
            (_, Folded::Refused) => {}
            (Event::CampaignSet(set), _) => {
                self.add(set.campaign);
                self.take_back_excess(set.campaign, out);
                self.wanted.put(set.campaign);
            }
            (Event::CampaignDeleted { campaign }, _) => self.wanted.put(*campaign),
            (Event::LeaseGranted { campaign, lease, slot, amount }, _) if is_own(lease.epoch) => {
                self.granted(*campaign, *lease, *slot, *amount, out);
                self.take_back_excess(*campaign, out);
                self.wanted.put(*campaign);
            }
            (Event::LeaseReturned { campaign, epoch, slot, amount, .. }, _) => {
                let slots = self.campaigns.get_mut(campaign).filter(|_| is_own(*epoch)).map(|c| &mut c.slots);
                if let Some(s) = slots.and_then(|slots| slots.iter_mut().find(|s| s.account.slot == *slot)) {
                    s.returning -= *amount;
                    s.leased -= *amount;
                }
                // Another start's, or another slot's, may be leased anew.
                self.wanted.put(*campaign);
            }
            (Event::Notice(notice), Folded::Notice { from, outcome }) => {
                self.move_money(notice, from, outcome, out);
                if matches!(outcome, Outcome::BookedLate { .. }) {
                    self.take_back_excess(notice.facts.campaign, out);
                }
            }
            _ => {}
        }
        folded
    }

    /// Whether this start lives, and of which others the leases will come back.
    fn starts_changed(&mut self, event: &Event) {
        let starts = &self.books.starts;
        match event {
            Event::EpochStarted { epoch, .. }
                if *epoch == self.epoch && self.state == StartState::Begins
                // Whoever else has this epoch, or this node's number, is another process.
                && starts.known.get(epoch).is_some_and(|start| (start.node, start.process) == (self.node, self.process)) =>
            {
                self.state = StartState::Lives;
                self.reclaims = Reclaims::new(&self.books, self.promise);
            }
            Event::NodeRunning { epoch, sent_at }
                if *epoch == self.epoch && self.state == StartState::Lives && starts.lives(*epoch) =>
            {
                self.grids.fence.came_back(*sent_at);
            }
            _ => {}
        }
        if self.state == StartState::Lives && !starts.lives(self.epoch) {
            self.state = StartState::Ended;
            self.grids.fence.shut();
        }
        if self.state == StartState::Lives {
            self.reclaims.look_again(&self.books);
        }
    }

    fn granted(&mut self, campaign: CampaignNo, lease: LeaseId, slot: Slot, amount: Nanos, out: &mut Vec<Event>) {
        self.add(campaign);
        let (epoch, book, c) = (self.epoch, self.books.campaigns.get(&campaign), self.campaigns.get_mut(&campaign));
        let (Some(book), Some(c)) = (book, c) else { return };
        c.granting = (c.granting - amount).max(Nanos::ZERO);
        let at = c.slots.iter().position(|s| s.account.slot == slot).unwrap_or_else(|| {
            let account = Arc::new(SlotAccount::new(campaign, slot));
            c.slots.push(HotSlot { account, leased: Nanos::ZERO, spent: Nanos::ZERO, returning: Nanos::ZERO });
            c.slots.len() - 1
        });
        let s = &mut c.slots[at];
        s.leased += amount;
        s.account.set_lease_seq(lease.seq);
        // Not all of it when a late bill or a cut came before it: bids must not even see that.
        c.give_back(campaign, epoch, Some(book), at, amount, out);
        c.demand.last_available += amount;
        if book.daily.is_some() == (slot != Slot::Whole) {
            c.account.set_open(Some(c.slots[at].account.clone()));
        }
    }

    /// Moves a reservation's money as the notice's outcome says.
    fn move_money(&mut self, notice: &Notice, from: State, outcome: Outcome, out: &mut Vec<Event>) {
        let facts = &notice.facts;
        if facts.reservation.epoch != self.epoch || facts.reservation.node != self.node {
            return; // Its money is withheld with its start's leases; the fold took the bill out of them.
        }
        let Some(c) = self.campaigns.get_mut(&facts.campaign) else { return };
        c.flow.get_or_insert_default().note(notice, from, outcome, self.now);
        let Some(at) = c.slots.iter().position(|s| s.account.slot == facts.slot()) else { return };
        let slot = &mut c.slots[at];
        let (ring, until) = match from {
            State::Won => (Ring::Bill, facts.bill_until()),
            _ => (Grids::first_ring(facts), facts.auction_until()),
        };
        let back = match outcome {
            Outcome::Won if ring == Ring::Auction => {
                slot.account.release(&self.grids, ring, until, facts.reserved);
                slot.account.set_aside(&self.grids, Ring::Bill, facts.bill_until(), facts.reserved);
                return;
            }
            Outcome::Booked { amount } => {
                slot.spent += amount;
                facts.reserved - amount
            }
            Outcome::Voided => facts.reserved,
            _ => return,
        };
        slot.account.release(&self.grids, ring, until, facts.reserved);
        let book = self.books.campaigns.get(&facts.campaign).map(|book| &**book);
        c.give_back(facts.campaign, self.epoch, book, at, back, out);
    }

    /// Gives back the money of buckets that have ended.
    fn advance(&mut self, now: UnixMs, out: &mut Vec<Event>) {
        if now <= self.now {
            return;
        }
        self.now = now;
        let (grids, mut returned, mut campaigns) = (self.grids.clone(), Vec::new(), Vec::new());
        for ring in [Ring::Auction, Ring::Bill] {
            let grid = grids.of(ring);
            for cell in grid.advance(now) {
                grid.filled(cell).take(usize::MAX, &mut campaigns);
                campaigns.drain(..).for_each(|campaign| self.expire(campaign, ring, cell, &mut returned));
            }
        }
        // In a fixed order, see `new`.
        returned.sort_by_key(|event| match event {
            Event::LeaseReturned { campaign, slot, .. } => Some((*campaign, *slot)),
            _ => None,
        });
        out.append(&mut returned);
    }

    /// Gives back what a campaign has in a bucket that has ended.
    fn expire(&mut self, campaign: CampaignNo, ring: Ring, cell: usize, out: &mut Vec<Event>) {
        let Some(c) = self.campaigns.get_mut(&campaign) else { return };
        for at in 0..c.slots.len() {
            let left = c.slots[at].account.expire(ring, cell);
            if left != Nanos::ZERO {
                let book = self.books.campaigns.get(&campaign).map(|book| &**book);
                c.give_back(campaign, self.epoch, book, at, left, out);
            }
        }
    }

    /// Moves time on: expires reservations, and takes, tops up and returns leases. The events go into the log.
    pub fn tick(&mut self, now: UnixMs, out: &mut Vec<Event>) {
        self.advance(now, out);
        if self.state == StartState::Lives {
            self.reclaims.tick(&self.order, &self.books, now, out);
        }
        let elapsed_ms = now.since(self.lease_round_at);
        if self.state == StartState::Lives && elapsed_ms >= LEASE_INTERVAL_MS {
            self.lease_round_at = now;
            self.lease_round(elapsed_ms, out);
        }
    }

    fn lease_round(&mut self, elapsed_ms: i64, out: &mut Vec<Event>) {
        let mut campaigns = Vec::new();
        self.wanted.take(LEASES_PER_ROUND, &mut campaigns);
        let share = self.order.len() as i64 * elapsed_ms.min(SWEEP_MS) / SWEEP_MS + 1;
        for _ in 0..(share as usize).min(self.order.len()).min(LEASES_PER_ROUND) {
            self.cursor = (self.cursor + 1) % self.order.len();
            campaigns.push(self.order[self.cursor]);
        }
        campaigns.iter().for_each(|campaign| self.look_after_lease(*campaign, out));
    }

    /// As a tick does for every campaign, for one whose plan has just changed.
    pub fn look_after_lease_now(&mut self, campaign: CampaignNo, out: &mut Vec<Event>) {
        if let Some(c) = self.campaigns.get_mut(&campaign) {
            c.looked_at = UnixMs(0);
        }
        self.look_after_lease(campaign, out);
    }

    /// Takes back what was asked for in `events` that the log refused: they will never be applied.
    pub fn refused(&mut self, events: &[Event]) {
        for event in events {
            match event {
                Event::LeaseGranted { campaign, amount, .. } => {
                    if let Some(c) = self.campaigns.get_mut(campaign) {
                        c.granting = (c.granting - *amount).max(Nanos::ZERO);
                    }
                }
                Event::LeaseReturned { campaign, epoch, slot, amount, .. } if *epoch == self.epoch => {
                    let slots = self.campaigns.get_mut(campaign).map(|c| &mut c.slots);
                    if let Some(s) = slots.and_then(|slots| slots.iter_mut().find(|s| s.account.slot == *slot)) {
                        s.returning -= *amount;
                        s.account.give_back(*amount);
                    }
                }
                _ => {}
            }
        }
    }

    /// Returns leases that are not wanted any more and takes what is wanted.
    fn look_after_lease(&mut self, campaign: CampaignNo, out: &mut Vec<Event>) {
        if self.state != StartState::Lives {
            return;
        }
        let (now, epoch) = (self.now, self.epoch);
        let Some(c) = self.campaigns.get_mut(&campaign) else { return };
        let (Some((plan, local)), Some(book)) = (&mut c.plan, self.books.campaigns.get(&campaign)) else { return };
        let elapsed_ms = now.since(c.looked_at);
        if elapsed_ms < LEASE_INTERVAL_MS {
            return self.wanted.put(campaign);
        }
        if now >= local.until {
            *local = plan.zone.local_hour(now);
        }
        c.looked_at = now;
        let slot = if book.daily.is_some() { Slot::Day(local.day) } else { Slot::Whole };
        let active = plan.active && !book.deleted;
        for s in c.slots.iter_mut().filter(|s| !active || s.account.slot != slot) {
            give_up(campaign, epoch, s, Nanos::MAX, out);
        }
        for s in c.slots.iter().filter(|_| cfg!(debug_assertions)) {
            invariants::slot(s.leased, s.account.reserved(), s.account.available(), s.spent, s.returning);
        }
        c.slots.retain(|s| s.account.slot == slot || s.leased != s.spent);
        // Money of another slot that comes back later must not be bid, and this slot's may need no new lease.
        c.account.keep_open(c.slots.iter().map(|s| &s.account).find(|s| s.slot == slot));
        if !active {
            return;
        }
        let available = c.slots.iter().find(|s| s.account.slot == slot).map_or(Nanos::ZERO, |s| s.account.available());
        let remaining = book.remaining(slot);
        c.demand.observe(available, elapsed_ms);
        c.demand.refuse(c.account.take_refused(remaining));
        if c.granting > Nanos::ZERO {
            return;
        }
        if let Some(s) = c.slots.iter().find(|s| s.account.slot == slot) {
            s.account.set_low_water(Nanos(target(&c.demand, remaining, plan.highest_bid).0 / 2));
        }
        if let Some(amount) = wanted(&c.demand, available, book.free(slot), remaining, plan.highest_bid) {
            let Some(seq) = self.lease_seq.take() else { return };
            c.granting = amount;
            out.push(Event::LeaseGranted { campaign, lease: LeaseId { epoch, seq }, slot, amount });
        }
    }

    /// Takes available money back when more is promised than the budget allows: a budget was lowered, or a late bill
    /// was booked.
    fn take_back_excess(&mut self, campaign: CampaignNo, out: &mut Vec<Event>) {
        let Some(book) = self.books.campaigns.get(&campaign) else { return };
        let Some(c) = self.campaigns.get_mut(&campaign) else { return };
        for at in 0..c.slots.len() {
            let excess = excess(book, &c.slots, at);
            give_up(campaign, self.epoch, &mut c.slots[at], excess, out);
        }
    }

    /// Takes everything available out of the accounts: for a shutdown.
    pub fn return_all(&mut self, out: &mut Vec<Event>) {
        for campaign in &self.order {
            let Some(c) = self.campaigns.get_mut(campaign) else { continue };
            c.plan = None;
            for s in &mut c.slots {
                give_up(*campaign, self.epoch, s, Nanos::MAX, out);
            }
        }
    }

    /// What the notices of this start tell of a campaign's spend, and whether bids may reserve on `today`.
    pub fn flow(&mut self, campaign: CampaignNo, today: Day) -> (Flow, bool) {
        let Some(c) = self.campaigns.get_mut(&campaign) else { return (Flow::default(), false) };
        let open = c.account.open(today);
        let Some(flow) = &mut c.flow else { return (Flow::default(), open.is_some()) };
        flow.bounded_by(open.as_deref().and_then(|open| open.as_deref()));
        (**flow, open.is_some())
    }

    /// No lease of this start can be told from the others any more, so none is taken: only another start can.
    pub fn is_used_up(&self) -> bool {
        self.lease_seq.is_used_up()
    }

    /// What the accounts of a campaign hold above what is leased by the books and not yet spent: nothing, unless money
    /// was made. Bids go on meanwhile; one that is under way only makes it smaller, as `reserved` is read before
    /// `available`.
    pub(super) fn surplus(&self, campaign: CampaignNo, truth: &CampaignBook) -> Nanos {
        let slots = self.campaigns.get(&campaign).map(|c| c.slots.as_slice()).unwrap_or_default();
        slots.iter().map(|s| s.surplus(truth.leased(self.epoch, s.account.slot))).sum()
    }

    /// Has the book of a campaign once where it was found to be the same as the reconciler's: two copies of what nothing
    /// happens to are a fifth of a campaign's memory.
    pub(super) fn share(&mut self, campaign: CampaignNo, same: &Arc<CampaignBook>) {
        if let Some(book) = self.books.campaigns.get_mut(&campaign).filter(|book| !Arc::ptr_eq(book, same)) {
            *book = same.clone();
        }
    }

    /// Makes the fold's totals of a campaign what the books say they are, and takes out of its accounts what was never
    /// leased, as far as it is not set aside. Nothing is ever added.
    pub(super) fn correct(&mut self, campaign: CampaignNo, truth: &CampaignBook) {
        for s in self.campaigns.get_mut(&campaign).map(|c| c.slots.as_mut_slice()).unwrap_or_default() {
            s.account.take(s.surplus(truth.leased(self.epoch, s.account.slot)));
        }
        if let Some(book) = self.books.campaigns.get_mut(&campaign) {
            *book = Arc::new(truth.clone());
        }
    }

    /// Has the log say that reservations are forgotten since which gavel has run for `age_ms`, if it does not say so yet.
    /// False before this start is in the log.
    pub fn forget_older(&self, age_ms: i64, out: &mut Vec<Event>) -> bool {
        let before = self.books.starts.older_than(age_ms, self.now).minutes();
        let lives = self.state == StartState::Lives;
        if lives && before > self.books.bits.forgotten_before() {
            out.push(Event::ReservationsForgotten { before });
        }
        lives
    }

    /// Drops the list of changes that only a book store needs.
    pub fn forget_dirty(&mut self) {
        drop(self.books.take_dirty());
    }
}
