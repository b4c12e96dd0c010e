//! The campaigns as they are now.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::catalog_files;
use super::catalogs::Catalogs;
use crate::bidding::campaign::{BidPrice, Campaign, Pacing, Status};
use crate::bidding::compiled::Compiled;
use crate::bidding::live::Live;
use crate::bidding::pacing::first_room;
use crate::bidding::pacing::plan::has_plan;
use crate::clock::{Day, SystemClock, UnixMs};
use crate::config::Config;
use crate::event::{CampaignSet, Event};
use crate::eventlog::EventLog;
use crate::ids::{CampaignNo, Currency};
use crate::ledger::book::CampaignBook;
use crate::ledger::hot::Plan;
use crate::ledger::{Books, Hot};
use crate::money::Nanos;
use crate::telemetry::Metrics;

/// Each campaign's largest cap and longest window.
pub type CapMemory = dashmap::DashMap<CampaignNo, (u32, i64)>;

/// What edits of campaigns need; made by the composition root.
pub struct Campaigns {
    pub config: Arc<Config>,
    pub catalogs: Arc<Catalogs>,
    pub hot: Arc<Mutex<Hot>>,
    pub log: Arc<dyn EventLog>,
    pub caps: Arc<CapMemory>,
    pub metrics: Arc<Metrics>,
    pub clock: SystemClock,
    /// The lane of the log that edits use.
    pub lane: usize,
    state: Mutex<Registry>,
}

/// Every campaign there is and every number ever given.
#[derive(Default)]
pub struct Registry {
    /// Campaigns that have a number and are not present: they were deleted, or do not bid.
    absent: HashMap<Box<str>, (CampaignNo, Currency)>,
    next_no: u32,
    pub present: BTreeMap<Arc<str>, Present>,
}

#[derive(Clone)]
pub struct Present {
    pub compiled: Arc<Compiled>,
    pub live: Arc<Live>,
}

impl Registry {
    /// From the books and the campaigns of the files. What came by REST beats the files, and what was deleted stays
    /// deleted. Returns the events that make the books know what is new.
    pub fn start(
        config: &Config,
        books: &Books,
        files: Vec<Campaign>,
        hot: &mut Hot,
        now: UnixMs,
    ) -> (Registry, Vec<Event>) {
        let mut registry = Registry::default();
        let mut campaigns: BTreeMap<String, Campaign> = files.into_iter().map(|c| (c.id.clone(), c)).collect();
        for (no, book) in &books.campaigns {
            registry.absent.insert(book.id.as_str().into(), (*no, book.currency));
            registry.next_no = registry.next_no.max(no.0 + 1);
            if book.deleted {
                campaigns.remove(&book.id);
            } else if let Some(json) = &book.json {
                match crate::bidding::campaign::parse(json) {
                    Ok(campaign) => drop(campaigns.insert(book.id.clone(), campaign)),
                    Err(faults) => {
                        let fault = faults.first().map(ToString::to_string).unwrap_or_default();
                        tracing::error!(
                            campaign = book.id,
                            fault,
                            "a campaign from the log is not valid any more: it does not bid"
                        );
                        campaigns.remove(&book.id);
                    }
                }
            }
        }
        let mut events = Vec::new();
        for campaign in campaigns.into_values() {
            let no = match registry.number(&campaign.id, campaign.currency) {
                Ok(no) => no,
                Err(currency) => {
                    let (id, new) = (&campaign.id, campaign.currency);
                    tracing::error!(campaign = id, %new, %currency, "a campaign's currency cannot change: it does not bid");
                    continue;
                }
            };
            // The files were checked; what came by REST was checked against the config of its time.
            if let Some(fault) = catalog_files::check(&campaign, config).first() {
                tracing::error!(campaign = campaign.id, %fault, "a campaign does not fit the config any more: it does not bid");
                continue;
            }
            let book = books.campaigns.get(&no);
            let json = book.and_then(|b| b.json.clone());
            let day = campaign.schedule.zone.local_hour(now).day;
            let set = set_event(no, &campaign, json, day);
            // With another time zone today may be a day that something else held on.
            let is_told = |b: &CampaignBook| b.daily_budgets.on(day).budget == set.daily;
            if book.is_none_or(|b| (b.total, b.daily) != (set.total, set.daily) || !is_told(b)) {
                events.push(Event::CampaignSet(set));
            }
            registry.put(no, campaign, false, hot);
        }
        // Nearly all are present.
        registry.absent.shrink_to_fit();
        (registry, events)
    }

    /// The number of a campaign, or the one it would get; the currency it has when that is another one.
    pub fn number(&self, id: &str, currency: Currency) -> Result<CampaignNo, Currency> {
        match self.given(id) {
            Some((no, has)) if has == currency => Ok(no),
            Some((_, has)) => Err(has),
            None => Ok(CampaignNo(self.next_no)),
        }
    }

    /// Whether the books have each campaign under its number.
    pub fn agrees(&self, books: &Books) -> bool {
        self.present.values().all(|p| books.number(&p.compiled.id) == Some(p.compiled.no))
    }

    /// The number a campaign once got.
    pub fn known(&self, id: &str) -> Option<CampaignNo> {
        self.given(id).map(|(no, _)| no)
    }

    fn given(&self, id: &str) -> Option<(CampaignNo, Currency)> {
        let present = self.present.get(id).map(|p| (p.compiled.no, p.compiled.currency));
        present.or_else(|| self.absent.get(id).copied())
    }

    /// Takes a campaign out; it keeps its number.
    pub fn remove(&mut self, id: &str) -> Option<Present> {
        let present = self.present.remove(id)?;
        self.absent.insert(id.into(), (present.compiled.no, present.compiled.currency));
        Some(present)
    }

    /// Puts a campaign in place; its account stays. With `same_content` running requests see price and status at once;
    /// otherwise they go on with what they know until the catalog has the new content.
    pub fn put(&mut self, no: CampaignNo, campaign: Campaign, same_content: bool, hot: &mut Hot) -> Present {
        let (active, price, likely) = (campaign.status == Status::Active, price(&campaign), likely_cost(&campaign));
        hot.set_plan(no, plan(&campaign));
        let is_even = campaign.pacing == Pacing::Even && has_plan(&campaign);
        let paced = is_even.then(|| campaign.budget.daily.unwrap_or(campaign.budget.total));
        let compiled = Arc::new(Compiled::new(no, campaign));
        let id = &compiled.id;
        let is_new = self.absent.remove(&**id).is_none() && !self.present.contains_key(id);
        self.next_no = self.next_no.max(no.0 + 1);
        let pace = paced.map(|amount| if is_new { first_room(amount, likely) } else { Nanos::ZERO });
        let tell = |live: &Live| match pace {
            Some(room) => live.pace.begin(room),
            None => live.pace.end(),
        };
        let live = match self.present.get(id) {
            Some(present) if !same_content => {
                // Before it is succeeded: both are then on one plan.
                tell(&present.live);
                Arc::new(present.live.succeed(active, price))
            }
            Some(present) => {
                present.live.set_price(price);
                present.live.set_active(active);
                present.live.clone()
            }
            None => Arc::new(Live::new(hot.account(no), active, price)),
        };
        tell(&live);
        let present = Present { compiled, live };
        self.present.insert(present.compiled.id.clone(), present.clone());
        present
    }
}

/// What a campaign may spend at most for one impression, or for one click.
fn price(campaign: &Campaign) -> Nanos {
    match campaign.bid {
        BidPrice::Cpm { price } | BidPrice::Cpc { price, .. } => price,
    }
}

/// What an impression may cost, before any was bid for: nobody knows what its model will predict, and a whole click's price
/// would lease a hundred times too much. Bids that find too little say so.
fn likely_cost(campaign: &Campaign) -> Nanos {
    match campaign.bid {
        BidPrice::Cpm { price } => price,
        BidPrice::Cpc { price, .. } => Nanos(price.0 / 100),
    }
}

fn plan(campaign: &Campaign) -> Plan {
    Plan {
        zone: campaign.schedule.zone.clone(),
        active: campaign.status == Status::Active,
        highest_bid: likely_cost(campaign),
    }
}

/// The event that puts a campaign's budget in force, its daily budget from `day` on.
pub fn set_event(no: CampaignNo, campaign: &Campaign, json: Option<String>, day: Day) -> CampaignSet {
    CampaignSet {
        campaign: no,
        id: campaign.id.clone(),
        currency: campaign.currency,
        total: campaign.budget.total,
        daily: campaign.budget.daily,
        day: Some(day),
        json,
    }
}

impl Campaigns {
    #[allow(clippy::too_many_arguments)]
    pub fn new(
        config: Arc<Config>,
        catalogs: Arc<Catalogs>,
        hot: Arc<Mutex<Hot>>,
        log: Arc<dyn EventLog>,
        caps: Arc<CapMemory>,
        metrics: Arc<Metrics>,
        clock: SystemClock,
        lane: usize,
        registry: Registry,
    ) -> Campaigns {
        let state = Mutex::new(registry);
        Campaigns { config, catalogs, hot, log, caps, metrics, clock, lane, state }
    }

    /// The registry, also after a panic elsewhere: an edit changes it in one step.
    pub fn registry(&self) -> MutexGuard<'_, Registry> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub fn hot(&self) -> MutexGuard<'_, Hot> {
        self.hot.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The number a campaign has by the log, or would get if no other node is faster; the currency it has when that is
    /// another one.
    pub fn number(&self, id: &str, currency: Currency) -> Result<CampaignNo, Currency> {
        let hot = self.hot();
        let books = hot.books();
        let Some(no) = books.number(id) else { return Ok(books.numbers.next()) };
        match books.campaigns.get(&no) {
            Some(book) if book.currency != currency => Err(book.currency),
            _ => Ok(no),
        }
    }

    pub fn now(&self) -> UnixMs {
        self.clock.now()
    }
}
