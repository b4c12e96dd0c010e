//! The world: one log, its nodes, and what can happen.

use std::collections::{BTreeMap, VecDeque};

use fastrand::Rng;
use gavel::clock::{Day, UnixMs};
use gavel::event::{CampaignSet, Event, Offset, Stamped};
use gavel::ids::{CampaignNo, Currency, NodeId};
use gavel::ledger::Books;
use gavel::money::Nanos;

use crate::check::Bid;
use crate::node::Node;

const STEPS: usize = 500;
pub const CAMPAIGNS: [(&str, Option<i64>); 2] = [("whole", None), ("daily", Some(6_000))];
/// Longer than all lifetimes and what is waited for besides.
const ALL_OVER_MS: i64 = 200_000;

/// Events that a process has handed to the log.
pub struct UnderWay {
    pub due: i64,
    pub slot: usize,
    pub event: Event,
}

pub struct World {
    pub rng: Rng,
    pub now: i64,
    pub log: Vec<Stamped>,
    /// In the order in which each process sent them.
    pub sent: VecDeque<UnderWay>,
    pub nodes: Vec<Node>,
    /// The fold of the whole log.
    pub books: Books,
    pub bids: Vec<Bid>,
    /// When a notice arrives somewhere.
    pub notices: Vec<(i64, Event)>,
    pub happened: BTreeMap<&'static str, u64>,
    pub processes: u64,
}

impl World {
    pub fn new(seed: u64) -> World {
        let mut rng = Rng::with_seed(seed);
        let count = rng.usize(2..=4);
        // Often shortly before midnight.
        let now = 1_700_006_400_000 - rng.i64(0..400_000);
        let mut nodes: Vec<Node> =
            (0..count).map(|at| Node::new(NodeId(at as u16 + 1), rng.i64(-1_500..1_500))).collect();
        // By mistake.
        if rng.u32(..4) == 0 {
            nodes[count - 1].id = NodeId(1);
        }
        World {
            now,
            log: Vec::new(),
            sent: VecDeque::new(),
            nodes,
            books: Books::default(),
            bids: Vec::new(),
            notices: Vec::new(),
            happened: BTreeMap::new(),
            processes: 0,
            rng,
        }
    }

    pub fn note(&mut self, what: &'static str) {
        *self.happened.entry(what).or_default() += 1;
    }

    pub fn chance(&mut self, of_1000: u32) -> bool {
        self.rng.u32(..1_000) < of_1000
    }

    pub fn run(mut self) -> BTreeMap<&'static str, u64> {
        for (at, (id, daily)) in CAMPAIGNS.into_iter().enumerate() {
            let total = self.rng.i64(2_000..20_000);
            self.append(set(CampaignNo(at as u32), id, total, daily.map(|n| (n, self.today()))));
        }
        for _ in 0..STEPS {
            let ms = self.rng.i64(0..200);
            self.pass(ms);
            self.act();
        }
        self.finish();
        self.happened
    }

    fn act(&mut self) {
        let at = self.rng.usize(..self.nodes.len());
        match self.rng.u32(..1_000) {
            0..500 => self.bid(at),
            500..600 => {
                let ms = self.rng.i64(500..4_000);
                self.run_for(ms);
            }
            600..640 => self.edit(at),
            640..680 => self.name(at),
            680..690 => self.crash(at),
            690..705 => self.nodes[at].stands_until = self.now + self.rng.i64(1_000..100_000),
            // Everything stands: the broker is away, or its clock is set.
            705..710 => self.now += self.rng.i64(1_000..300_000),
            710..718 => {
                let ms = self.rng.i64(30_000..150_000);
                self.run_for(ms);
            }
            718..725 => (0..self.nodes.len()).for_each(|at| self.crash(at)),
            _ => {
                if self.nodes[at].process.is_none() {
                    self.start(at);
                }
            }
        }
    }

    /// Time passes, and each node does what it does by itself.
    pub fn pass(&mut self, ms: i64) {
        self.now += ms;
        while let Some(at) = (0..self.notices.len()).find(|at| self.notices[*at].0 <= self.now) {
            let (_, notice) = self.notices.swap_remove(at);
            let up: Vec<usize> = (0..self.nodes.len()).filter(|at| self.nodes[*at].is_up(self.now)).collect();
            if !up.is_empty() {
                let to = up[self.rng.usize(..up.len())];
                let own = self.nodes[to].process.as_ref().map(|process| process.hot.epoch());
                if matches!(&notice, Event::Notice(notice) if Some(notice.facts.reservation.epoch) != own) {
                    self.note("notice at another node");
                }
                self.send(to, notice);
            }
        }
        self.take_sent();
        for at in 0..self.nodes.len() {
            let most = if self.chance(300) { self.rng.usize(..8) } else { usize::MAX };
            self.follow(at, most);
        }
    }

    fn run_for(&mut self, ms: i64) {
        let until = self.now + ms;
        while self.now < until {
            let step = self.rng.i64(100..900);
            self.pass(step);
        }
    }

    pub fn send(&mut self, slot: usize, event: Event) {
        let last = self.sent.iter().rev().find(|sent| sent.slot == slot).map_or(0, |sent| sent.due);
        let due = (self.now + self.rng.i64(0..60)).max(last);
        self.sent.push_back(UnderWay { due, slot, event });
    }

    fn take_sent(&mut self) {
        while let Some(first) = self.sent.iter().map(|sent| sent.due).filter(|due| *due <= self.now).min() {
            let at = self.sent.iter().position(|sent| sent.due == first).expect("there is one");
            let sent = self.sent.remove(at).expect("there is one");
            self.append(sent.event);
        }
    }

    fn append(&mut self, event: Event) {
        let last = self.log.last().map_or(UnixMs(0), |last| last.at);
        let stamped = Stamped { offset: Offset(self.log.len() as u64), at: last.max(UnixMs(self.now)), event };
        self.log.push(stamped.clone());
        self.folded(&stamped);
    }

    /// An edit of a budget, as this node knows it.
    fn edit(&mut self, at: usize) {
        let which = self.rng.usize(..CAMPAIGNS.len());
        let Some(process) = self.nodes[at].process.as_ref().filter(|process| process.lives()) else { return };
        let (id, daily) = CAMPAIGNS[which];
        let total = process.hot.books().campaigns[&CampaignNo(which as u32)].total.0;
        let by = self.rng.i64(100..4_000);
        let is_cut = self.chance(300);
        let total = if is_cut { (total - by).max(1) } else { total + by };
        if is_cut {
            self.note("budget cut");
        }
        let daily = daily.map(|daily| (daily + self.rng.i64(0..3_000), self.today()));
        self.send(at, set(CampaignNo(which as u32), id, total, daily));
    }

    /// Gives an id a number, as others may do at the same time.
    fn name(&mut self, at: usize) {
        let Some(process) = self.nodes[at].process.as_mut().filter(|process| process.lives()) else { return };
        let id = format!("new-{}", self.rng.u32(..40));
        let books = process.hot.books();
        let no = books.number(&id).unwrap_or(books.numbers.next());
        process.asked.push((id.clone(), no));
        self.send(at, set(no, &id, 1_000, None));
    }

    pub fn today(&self) -> Day {
        Day((self.now / 86_400_000) as i32)
    }

    fn crash(&mut self, at: usize) {
        if self.nodes[at].process.take().is_none() {
            return;
        }
        self.nodes[at].stands_until = 0;
        // Of what is under way the log gets a first part, all, or nothing.
        let own: Vec<usize> = (0..self.sent.len()).filter(|i| self.sent[*i].slot == at).collect();
        let kept = self.rng.usize(..=own.len());
        for i in own[kept..].iter().rev() {
            self.sent.remove(*i);
        }
        // What is kept arrives some time, also after this node's next start.
        for sent in self.sent.iter_mut().filter(|sent| sent.slot == at) {
            sent.slot = usize::MAX;
        }
    }

    /// All faults end, all lifetimes pass: nothing is set aside any more, and all that has ended is back.
    fn finish(&mut self) {
        self.nodes.truncate(2);
        self.nodes[1].id = NodeId(2);
        for at in 0..2 {
            self.crash(at);
            self.start(at);
        }
        // Whoever was taken out stays away.
        self.run_for(ALL_OVER_MS);
        self.notices.clear();
        self.run_for(ALL_OVER_MS / 2);
        for _ in 0..200 {
            self.pass(0);
            self.now += 10;
        }
        self.nothing_is_left();
    }
}

pub fn set(campaign: CampaignNo, id: &str, total: i64, daily: Option<(i64, Day)>) -> Event {
    Event::CampaignSet(CampaignSet {
        campaign,
        id: id.into(),
        currency: Currency::USD,
        total: Nanos(total),
        daily: daily.map(|(daily, _)| Nanos(daily)),
        day: Some(daily.map_or(Day(0), |(_, day)| day)),
        json: None,
    })
}
