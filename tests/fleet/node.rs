//! A node: what `app` and `tasks::fleet` do, by hand.

use std::sync::Arc;

use gavel::clock::{UnixMs, Zone};
use gavel::event::{Event, Facts, Process as ProcessId, Promise, Slot};
use gavel::ids::{CampaignNo, Currency, NodeId, ReservationId};
use gavel::ledger::bucket::{Grids, Lifetimes};
use gavel::ledger::fold::{Folded, fold};
use gavel::ledger::hot::{Plan, StartState};
use gavel::ledger::starts::TELL_MS;
use gavel::ledger::{Books, Hot};
use gavel::money::{Nanos, Quantity, Rate};

use crate::world::{CAMPAIGNS, World};

pub const LIFE: Lifetimes = Lifetimes { auction_ms: 2_000, bill_ms: 12_000, sends_win: true };
/// Clocks are seconds apart.
const GRACE_MS: i64 = 10_000;

pub struct Node {
    pub id: NodeId,
    /// Its clock less the world's.
    ahead_ms: i64,
    /// It stands still until then: it neither follows nor sends, but a bid that was let in before may be answered after.
    pub stands_until: i64,
    pub process: Option<Process>,
}

pub struct Process {
    pub hot: Hot,
    pub grids: Arc<Grids>,
    pub id: ProcessId,
    /// Events of the log that it has applied.
    pub next: usize,
    told_at: UnixMs,
    seq: u32,
    /// Numbers that it gave, until it sees whether they were taken.
    pub asked: Vec<(String, CampaignNo)>,
}

impl Process {
    pub fn lives(&self) -> bool {
        self.hot.state() == StartState::Lives
    }
}

impl Node {
    pub fn new(id: NodeId, ahead_ms: i64) -> Node {
        Node { id, ahead_ms, stands_until: 0, process: None }
    }

    pub fn is_up(&self, now: i64) -> bool {
        self.process.is_some() && now >= self.stands_until
    }

    fn clock(&self, now: i64) -> UnixMs {
        UnixMs(now + self.ahead_ms)
    }
}

impl World {
    pub fn start(&mut self, at: usize) {
        self.processes += 1;
        let id = ProcessId(self.processes);
        let mut books = Books::default();
        for stamped in &self.log {
            fold(&mut books, stamped);
        }
        let grids = Arc::new(Grids::new(&[LIFE]));
        let promise = Promise { billable_ms: LIFE.auction_ms + LIFE.bill_ms + grids.widest_ms() + GRACE_MS };
        let mut hot = Hot::new(books, self.nodes[at].id, grids.clone(), promise).in_fleet(id);
        for no in 0..CAMPAIGNS.len() as u32 {
            hot.set_plan(CampaignNo(no), Plan { zone: Zone::utc(), active: true, highest_bid: Nanos(60) });
        }
        let started = hot.started();
        let (next, told_at) = (self.log.len(), UnixMs(0));
        self.nodes[at].process = Some(Process { hot, grids, id, next, told_at, seq: 0, asked: Vec::new() });
        self.send(at, started);
    }

    /// Applies up to `most` events, tells that it runs, and ticks with the log's time.
    pub fn follow(&mut self, at: usize, most: usize) {
        let node = &mut self.nodes[at];
        if self.now < node.stands_until {
            return;
        }
        let clock = node.clock(self.now);
        let Some(process) = &mut node.process else { return };
        let mut out = Vec::new();
        let end = self.log.len().min(process.next.saturating_add(most));
        let mut again = Vec::new();
        for stamped in &self.log[process.next..end] {
            let folded = process.hot.apply(stamped, &mut out);
            assert_ne!(folded, Folded::Gap);
            match &stamped.event {
                Event::EpochStarted { process: whose, .. } if *whose == process.id && folded == Folded::Refused => {
                    out.push(process.hot.start_again());
                }
                Event::CampaignSet(set) => {
                    let asked = process.asked.iter().position(|(id, no)| (id, no) == (&set.id, &set.campaign));
                    if let Some(asked) = asked {
                        let (id, no) = process.asked.swap_remove(asked);
                        let books = process.hot.books();
                        if books.campaigns[&no].id != id {
                            again.push(id);
                        }
                    }
                }
                _ => {}
            }
        }
        process.next = end;
        for id in again {
            let books = process.hot.books();
            let no = books.number(&id).unwrap_or(books.numbers.next());
            process.asked.push((id.clone(), no));
            out.push(crate::world::set(no, &id, 1_000, None));
        }
        if clock.since(process.told_at) >= TELL_MS
            && let Some(running) = process.hot.running(clock)
        {
            process.told_at = clock;
            out.push(running);
        }
        if let Some(last) = process.next.checked_sub(1) {
            process.hot.tick(self.log[last].at, &mut out);
        }
        let has_ended = process.hot.state() == StartState::Ended;
        let knows_all = process.next == self.log.len();
        if knows_all && !has_ended {
            self.caught_up(at);
        }
        out.into_iter().for_each(|event| self.send(at, event));
        if has_ended {
            // As `app` does on that: the process ends.
            self.note("ended process");
            self.nodes[at].process = None;
        }
    }

    /// As a worker makes a bid: all it looks at are the fence and the account.
    pub fn bid(&mut self, at: usize) {
        for _ in 0..self.rng.u32(1..6) {
            let which = self.rng.u32(..CAMPAIGNS.len() as u32);
            let cost = Nanos(self.rng.i64(1..60));
            let node = &mut self.nodes[at];
            let (id, now) = (node.id, node.clock(self.now));
            let Some(process) = &mut node.process else { return };
            if !process.grids.fence.is_open(now) {
                return self.note("no bid behind the fence");
            }
            let no = CampaignNo(which);
            let day = Zone::utc().local_hour(now).day;
            let account = process.hot.account(no);
            let Some(open) = account.open(day) else { continue };
            let Some(slot) = open.as_deref() else { continue };
            let (auction_ms, bill_ms) = process.grids.lifetimes(now, LIFE);
            let (epoch, bucket, seq) = (process.hot.epoch(), now.minutes(), process.seq);
            process.seq += 1;
            let facts = Facts {
                reservation: ReservationId { node: id, epoch, bucket, seq },
                campaign: no,
                lease_seq: slot.lease_seq(),
                day,
                daily: slot.slot != Slot::Whole,
                creative: 0,
                exchange: 0,
                bid_at: now,
                auction_ms,
                bill_ms,
                reserved: cost,
                price: cost,
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
            if account.try_reserve(slot, &process.grids, Grids::first_ring(&facts), facts.auction_until(), cost) {
                self.bid_made(at, facts);
            }
        }
    }
}
