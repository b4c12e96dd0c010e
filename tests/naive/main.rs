//! The catalog's index against a naive scan: on every request of random catalogs, with every targeting key, deals, caps,
//! floors and currencies, `decide()` bids what the best campaign of a reader without any index would.
//!
//! `NAIVE_SEEDS=1000 cargo test --release --test naive` looks at more worlds; `NAIVE_SEED=7` at one.

mod draw;
mod naive;

use std::sync::Arc;

use fastrand::Rng;
use gavel::admin::campaigns::{Present, Registry};
use gavel::bidding::campaign::{cap_memory, parse as parse_campaign};
use gavel::bidding::key::{UserKey, key};
use gavel::bidding::part::Entry;
use gavel::bidding::{BidDecision, Catalog, ExchangeTerms, Scratch, Shared, Snapshot, decide};
use gavel::clock::UnixMs;
use gavel::config::{Config, RawConfig};
use gavel::event::{Offset, Promise, Stamped};
use gavel::ids::{Currency, NodeId};
use gavel::ledger::bucket::{Grids, Lifetimes};
use gavel::ledger::sequence::Sequencer;
use gavel::ledger::{Books, Hot};
use gavel::money::Rate;
use gavel::openrtb::parse;
use gavel::window::impressions::ImpressionStore;
use naive::{Offer, Want};
use serde_json::Value;

pub const EXCHANGES: [&str; 2] = ["demo", "other"];
const CONFIG: &str = "[exchanges.demo]\n[exchanges.other]\n[rates]\nEUR = \"1.085\"\nJPY = \"0.00671\"\n";
const RATES: [(&str, i128); 3] = [("USD", 1_000_000_000), ("EUR", 1_085_000_000), ("JPY", 6_710_000)];
const LIFETIMES: Lifetimes = Lifetimes { auction_ms: 120_000, bill_ms: 3_600_000, sends_win: true };
/// 18 November 2026, about noon; each world begins within the following week.
const WEDNESDAY: i64 = 1_795_000_000_000;
const WORLDS: u64 = 40;
const REQUESTS: usize = 150;

struct World {
    campaigns: Vec<Value>,
    present: Vec<Present>,
    snapshot: Snapshot,
    shown: Vec<(String, String, i64)>,
    now: UnixMs,
}

impl World {
    fn new(rng: &mut Rng) -> World {
        let now = UnixMs(WEDNESDAY + rng.i64(0..7 * 86_400_000));
        // More than a word of the bitmaps, and none full at the end.
        let campaigns: Vec<Value> = (0..rng.usize(1..300)).map(|number| draw::campaign(rng, number)).collect();
        let config = config();
        let grids = Arc::new(Grids::new(&[LIFETIMES]));
        let mut hot = Hot::new(Books::default(), NodeId(1), grids.clone(), Promise::default());
        let parsed = campaigns.iter().map(|campaign| match parse_campaign(&campaign.to_string()) {
            Ok(parsed) => parsed,
            Err(faults) => panic!("{}: {campaign}", faults[0]),
        });
        let (registry, mut events) = Registry::start(&config, &Books::default(), parsed.collect(), &mut hot, now);
        assert_eq!(registry.present.len(), campaigns.len());
        events.insert(0, hot.started());
        let mut offset = 0;
        while !events.is_empty() {
            let mut next = Vec::new();
            for event in events {
                hot.apply(&Stamped { offset: Offset(offset), at: now, event }, &mut next);
                offset += 1;
            }
            hot.tick(now, &mut next);
            events = next;
        }
        let present: Vec<Present> = campaigns.iter().map(|c| registry.present[text(&c["id"])].clone()).collect();
        let (impressions, users) = (ImpressionStore::new(1 << 20), UserKey::new(&[7; 32]));
        let mut shown = Vec::new();
        for (campaign, Present { compiled, .. }) in campaigns.iter().zip(&present) {
            let Some((keep, keep_ms)) = cap_memory(&compiled.frequency_caps) else { continue };
            for _ in 0..rng.usize(..6) {
                let (user, at) =
                    (draw::USERS[rng.usize(..2)], now.0 - rng.i64(0..100_000) * [1, 1_000][rng.usize(..2)]);
                impressions.record(compiled.no, users.hash(user), UnixMs(at), keep, keep_ms);
                shown.push((text(&campaign["id"]).to_owned(), user.to_owned(), at));
            }
        }
        let shared = Shared {
            rates: config.rates.all().clone(),
            grids,
            sequencer: Sequencer::new(NodeId(1), Default::default()),
            impressions: Arc::new(impressions),
            users,
            bid_for_unknown: false,
            supply: None,
            screen: None,
            vendor: None,
        };
        let catalog = Arc::new(catalog(&present, &config, rng.usize(..=present.len())));
        World {
            campaigns,
            present,
            snapshot: Snapshot { catalog, models: Arc::default(), shared: Arc::new(shared) },
            shown,
            now,
        }
    }

    /// Whether `decision` is what the naive scan comes to; the number of bids.
    fn check(&self, request: &Value, exchange: &ExchangeTerms, decision: &BidDecision) -> Result<usize, String> {
        let naive = naive::World {
            rates: &RATES,
            exchange: EXCHANGES[exchange.number as usize],
            now_ms: self.now.0,
            shown: &self.shown,
        };
        let currency = naive.currency(request);
        let mut bids = decision.bids.iter();
        let imps = request["imp"].as_array().map_or(&[][..], Vec::as_slice);
        for (position, imp) in imps.iter().enumerate().filter(|_| currency.is_some()) {
            let mut taken = Vec::new();
            for want in naive.wants(imp) {
                let times = if want.deal.is_none() { exchange.open_bids } else { 1 };
                for _ in 0..times {
                    let offers: Vec<Option<Offer>> =
                        self.campaigns.iter().map(|c| naive.offer(c, request, want)).collect();
                    let rest = |at: &usize| !taken.contains(at) || want.deal.is_some();
                    let best =
                        (0..offers.len()).filter(rest).filter_map(|at| offers[at].as_ref().map(|o| o.value)).max();
                    let Some(best) = best else { break };
                    let Some(bid) = bids.next() else {
                        return Err(format!("no bid, but one of {best} nanos was possible ({})", name(want)));
                    };
                    let at = self.present.iter().position(|p| p.compiled.no == bid.facts.campaign);
                    let at = at.ok_or("a campaign that does not exist")?;
                    let Some(offer) = offers[at].as_ref().filter(|_| rest(&at)) else {
                        return Err(format!("{} may not bid ({})", self.campaigns[at], name(want)));
                    };
                    let deal = bid.deal.map(|at| &imp["pmp"]["deals"][at]["id"]);
                    let got = (
                        bid.imp,
                        deal,
                        i128::from(bid.facts.price.0),
                        i128::from(bid.facts.reserved.0),
                        bid.facts.currency.as_str(),
                    );
                    let wanted = (
                        position,
                        want.deal.map(|deal| &deal["id"]),
                        offer.price,
                        offer.reserved,
                        currency.unwrap_or(""),
                    );
                    if got != wanted || offer.value != best || !offer.creatives.contains(&usize::from(bid.creative)) {
                        return Err(format!(
                            "{got:?}, creative {}, wanted {wanted:?}, {offer:?}, best {best}",
                            bid.creative
                        ));
                    }
                    if want.deal.is_none() {
                        taken.push(at);
                    }
                }
            }
        }
        match bids.next() {
            Some(bid) => Err(format!("{} nanos for impression {} more than wanted", bid.facts.price.0, bid.imp)),
            None => Ok(decision.bids.len()),
        }
    }
}

/// The first `built` campaigns are in the base, the rest were put later.
fn catalog(present: &[Present], config: &Config, built: usize) -> Catalog {
    let campaigns: Vec<_> = present.iter().map(|p| (p.compiled.clone(), p.live.clone())).collect();
    let rate = |currency: Currency| config.rates.get(currency);
    let catalog = Catalog::build(1, &campaigns[..built], rate);
    campaigns[built..].iter().fold(catalog, |catalog, (compiled, live)| {
        let rate = rate(compiled.currency).unwrap_or(Rate::USD);
        catalog.with(Entry::new(compiled.clone(), live.clone(), rate))
    })
}

fn config() -> Config {
    let raw = RawConfig { file: Some(("gavel.toml".into(), CONFIG.to_owned())), ..RawConfig::default() };
    raw.check().unwrap_or_else(|faults| panic!("{faults:?}"))
}

fn exchange(number: usize, open_bids: usize) -> ExchangeTerms {
    ExchangeTerms {
        name: "demo".to_owned(),
        number: number as u32,
        key: key(EXCHANGES[number]),
        seat: "gavel".to_owned(),
        currency: Currency::USD,
        lifetimes: LIFETIMES,
        spend_on_win: false,
        open_bids,
        ad_system: None,
    }
}

fn text(value: &Value) -> &str {
    value.as_str().unwrap_or_default()
}

fn name(want: Want) -> String {
    let of = want.deal.map_or("the open market".to_owned(), |deal| format!("deal {}", deal["id"]));
    format!("impression {}, {of}", want.imp["id"])
}

fn number(name: &str) -> Option<u64> {
    std::env::var(name).ok().map(|text| text.parse().unwrap_or_else(|_| panic!("{name} is {text}, not a number")))
}

#[test]
fn every_decision_is_that_of_a_naive_scan() {
    let (mut requests, mut bids) = (0, 0);
    let seeds = number("NAIVE_SEED").map_or(0..number("NAIVE_SEEDS").unwrap_or(WORLDS), |seed| seed..seed + 1);
    for seed in seeds {
        let rng = &mut Rng::with_seed(seed);
        let world = World::new(rng);
        let mut scratch = Scratch::new(seed);
        for _ in 0..REQUESTS {
            let (request, exchange) = (draw::request(rng), exchange(rng.usize(..2), rng.usize(1..=3)));
            let body = request.to_string();
            let parsed = parse(body.as_bytes()).unwrap_or_else(|error| panic!("{error:?}: {body}"));
            let decision = decide(&world.snapshot, &exchange, &parsed, world.now, &mut scratch);
            match world.check(&request, &exchange, &decision) {
                Ok(count) => bids += count,
                Err(why) => panic!(
                    "NAIVE_SEED={seed}: {why}\nfor {} at {}: {body}",
                    EXCHANGES[exchange.number as usize], world.now.0
                ),
            }
            requests += 1;
        }
    }
    println!("{requests} requests, {bids} bids");
    assert!(bids * 2 > requests, "too few bids to say anything: {bids} of {requests} requests");
}
