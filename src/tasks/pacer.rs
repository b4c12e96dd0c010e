//! The pacer: once a second, each `even` campaign's spend is compared with its plan and its multiplier moves; once an
//! hour the requests that came are told to the log, for the traffic curve.

use std::collections::HashMap;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use arc_swap::ArcSwap;

use super::follower::lock;
use super::{OnFailed, Running, Stop};
use crate::bidding::Catalog;
use crate::bidding::pacing::curve::Curve;
use crate::bidding::pacing::pace::Order;
use crate::bidding::pacing::plan::Budget;
use crate::bidding::pacing::{Look, Pacing};
use crate::bidding::part::Entry;
use crate::clock::{SystemClock, UnixMs};
use crate::event::Event;
use crate::eventlog::EventLog;
use crate::ids::CampaignNo;
use crate::ledger::Hot;
use crate::ledger::fold::Traffic;
use crate::money::Nanos;
use crate::telemetry::metrics::Gauges;
use crate::telemetry::worker::WorkerStats;

const INTERVAL: Duration = Duration::from_secs(1);
/// Campaigns looked at before the hot ledger is left to notices for a moment.
const CHUNK: usize = 500;
const HOUR_MS: i64 = 3_600_000;

pub struct Pacer {
    pub catalog: Arc<ArcSwap<Catalog>>,
    pub hot: Arc<Mutex<Hot>>,
    pub log: Arc<dyn EventLog>,
    pub clock: SystemClock,
    pub workers: Arc<[WorkerStats]>,
    pub gauges: Arc<Gauges>,
}

/// What one thread keeps from round to round.
#[derive(Default)]
pub struct Rounds {
    paced: HashMap<CampaignNo, Pacing>,
    traffic: Traffic,
    curve: Curve,
    curve_version: u64,
}

/// What a round came to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Summary {
    pub campaigns: u64,
    /// The largest distance between spend and plan, in millionths of a period's amount.
    pub worst_ppm: u64,
    /// Campaigns whose bids stopped because they were ahead of their plan.
    pub held: u64,
}

impl Pacer {
    pub fn start(self, on_failed: OnFailed) -> std::io::Result<Running> {
        // Counted from here, not from when the thread gets to run.
        let hour = Hour { since: self.clock.now(), requests: self.requests() };
        Running::start("pacer", on_failed, move |stop| self.run(hour, stop))
    }

    fn run(self, mut hour: Hour, stop: &Stop) {
        let mut rounds = Rounds::default();
        while !stop.is_told() {
            let started = Instant::now();
            let now = self.clock.now();
            if hour.since.0.div_euclid(HOUR_MS) != now.0.div_euclid(HOUR_MS) {
                hour = self.tell_traffic(&hour, now);
            }
            let summary = rounds.round(&self.catalog.load(), &self.hot, now);
            let gauges = &self.gauges;
            gauges.paced.store(summary.campaigns, Ordering::Relaxed);
            gauges.pacing_worst_ppm.store(summary.worst_ppm, Ordering::Relaxed);
            gauges.pacing_held.store(summary.held, Ordering::Relaxed);
            gauges.pacing_us.store(started.elapsed().as_micros() as u64, Ordering::Relaxed);
            stop.wait(INTERVAL.saturating_sub(started.elapsed()));
        }
        self.tell_traffic(&hour, self.clock.now());
    }

    fn requests(&self) -> u64 {
        self.workers.iter().map(|worker| worker.bid_requests.get()).sum()
    }

    /// Not waited for: an hour that is lost in a crash is only missing from a mean.
    fn tell_traffic(&self, hour: &Hour, now: UnixMs) -> Hour {
        let next = Hour { since: now, requests: self.requests() };
        let event = Event::Traffic {
            hour: hour.since.0.div_euclid(HOUR_MS).clamp(0, i64::from(u32::MAX)) as u32,
            seconds: (now.since(hour.since) / 1_000).clamp(0, i64::from(u16::MAX)) as u16,
            requests: next.requests - hour.requests,
        };
        if let Err(error) = self.log.append(0, &event) {
            tracing::warn!(%error, "this hour's requests are missing in the traffic curve");
        }
        next
    }
}

/// From when on this hour's requests are counted.
struct Hour {
    since: UnixMs,
    requests: u64,
}

impl Rounds {
    /// Looks at every campaign of `catalog` that is paced.
    pub fn round(&mut self, catalog: &Catalog, hot: &Mutex<Hot>, now: UnixMs) -> Summary {
        let entries: Vec<&Entry> = catalog.entries().filter(|e| e.live.pace.is_paced()).collect();
        if self.paced.len() > entries.len() {
            self.paced.retain(|no, _| catalog.find(*no).is_some_and(|e| e.live.pace.is_paced()));
        }
        self.bend(lock(hot).books().traffic);
        let mut summary = Summary { campaigns: entries.len() as u64, ..Summary::default() };
        let mut looks = Vec::with_capacity(CHUNK.min(entries.len()));
        for chunk in entries.chunks(CHUNK) {
            let paced = chunk.iter().map(|entry| self.today(entry, now)).collect::<Vec<_>>();
            {
                let mut hot = lock(hot);
                looks.extend(chunk.iter().zip(paced).map(|(entry, today)| look(&mut hot, entry, today)));
            }
            for (entry, look) in chunk.iter().zip(looks.drain(..)) {
                let (Some(look), Some(pacing)) = (look, self.paced.get_mut(&entry.compiled.no)) else { continue };
                let order = pacing.look(&entry.compiled.schedule, &look, now, &self.curve, self.curve_version);
                entry.live.pace.obey(&order);
                summary.held += u64::from(look.held);
                summary.worst_ppm = summary.worst_ppm.max(off_ppm(&order));
            }
        }
        summary
    }

    fn bend(&mut self, traffic: Traffic) {
        if self.traffic != traffic {
            (self.traffic, self.curve) = (traffic, Curve::of(&traffic));
            self.curve_version += 1;
        }
    }

    fn today(&mut self, entry: &Entry, now: UnixMs) -> crate::clock::Day {
        let schedule = &entry.compiled.schedule;
        let pacing = self.paced.entry(entry.compiled.no).or_insert_with(|| Pacing::new(schedule, now));
        pacing.today(schedule, now)
    }
}

fn look(hot: &mut Hot, entry: &Entry, today: crate::clock::Day) -> Option<Look> {
    let (no, live) = (entry.compiled.no, &entry.live);
    let (flow, leased) = hot.flow(no, today);
    let book = hot.books().campaigns.get(&no)?;
    let (asked, held) = live.pace.take_signs();
    Some(Look {
        budget: Budget {
            total: book.total,
            daily: book.daily,
            spent: book.spent,
            spent_today: book.days.get(&today).map_or(Nanos::ZERO, |day| day.spent),
        },
        unbilled: flow.unbilled,
        promised: live.pace.promised(),
        told: flow.told,
        waited: flow.waited,
        price: live.whole_bid(),
        room: live.pace.room(),
        can_bid: live.active() && leased,
        asked,
        held,
    })
}

fn off_ppm(order: &Order) -> u64 {
    let off = u128::from((order.counted.0 - order.planned.0).unsigned_abs());
    (off * 1_000_000).checked_div(order.amount.0.max(0) as u128).unwrap_or(0) as u64
}
