//! However a catalog came about, it decides as one of the same campaigns built at once, and as each campaign alone.

use std::collections::BTreeMap;
use std::sync::Arc;

use proptest::prelude::*;
use serde_json::{Value, json};

use super::campaign::BidPrice;
use super::catalog::{Catalog, Merged};
use super::compiled::Compiled;
use super::key::{UserKey, key};
use super::live::Live;
use super::part::Entry;
use super::{Editor, ExchangeTerms, Reason, Scratch, Shared, Snapshot, campaign, decide};
use crate::clock::{UnixMs, Zone};
use crate::event::{CampaignSet, Event, Offset, Promise, Stamped};
use crate::ids::{CampaignNo, Currency, NodeId};
use crate::ledger::bucket::{Grids, Lifetimes};
use crate::ledger::hot::Plan;
use crate::ledger::sequence::Sequencer;
use crate::ledger::{Account, Books, Hot};
use crate::money::{Nanos, Rate};
use crate::openrtb::request::parse;
use crate::scoring::registry::tests::linear;
use crate::scoring::{ModelSet, Models};
use crate::window::impressions::ImpressionStore;

pub(super) const NOW: UnixMs = UnixMs(1_795_000_000_000);
pub(super) const LIFETIMES: Lifetimes = Lifetimes { auction_ms: 120_000, bill_ms: 3_600_000, sends_win: true };
/// Some words of a bitmap, the last one not full.
pub(super) const CAMPAIGNS: u32 = 150;
const ZONES: [&str; 3] = ["UTC", "Asia/Tokyo", "America/New_York"];

/// An operator, with what should be in force.
struct World {
    accounts: Vec<Arc<Account>>,
    shared: Arc<Shared>,
    models: Arc<Models>,
    present: BTreeMap<CampaignNo, (Arc<Compiled>, Arc<Live>)>,
    editor: Editor,
    scratch: Scratch,
    merging: Option<Arc<Catalog>>,
    merged: Vec<Merged>,
    /// A price was lowered where it stood. Until the next merge such a campaign's cap says that it may win, so it may
    /// be lost for its lists instead of for its price.
    lowered: bool,
}

#[derive(Clone, Debug)]
enum Step {
    /// Which, how it is targeted, its price.
    Put(u32, u32, i64),
    Price(u32, i64),
    Pause(u32, bool),
    Delete(u32),
    BeginMerge,
    /// The builder reads the campaigns, some time after it was told to.
    Merge,
    /// Not necessarily of the last merge.
    EndMerge,
}

fn step() -> impl Strategy<Value = Step> {
    // A few of them are edited over and over.
    let which = || prop_oneof![0..6u32, 0..CAMPAIGNS];
    let price = || 1..8i64;
    prop_oneof![
        4 => (which(), any::<u32>(), price()).prop_map(|(no, how, price)| Step::Put(no, how, price)),
        4 => (which(), price()).prop_map(|(no, price)| Step::Price(no, price)),
        1 => (which(), any::<bool>()).prop_map(|(no, active)| Step::Pause(no, active)),
        2 => which().prop_map(Step::Delete),
        1 => Just(Step::BeginMerge),
        1 => Just(Step::Merge),
        1 => Just(Step::EndMerge),
    ]
}

pub(super) fn cpm(price: i64) -> Nanos {
    Nanos(price * 1_000_000)
}

/// What a campaign's price of so much is: some are per click.
fn nanos(compiled: &Compiled, price: i64) -> Nanos {
    match compiled.bid {
        BidPrice::Cpm { .. } => cpm(price),
        BidPrice::Cpc { .. } => Nanos(price * 40_000_000),
    }
}

fn weight_of_campaign(no: u32) -> f64 {
    f64::from(no.wrapping_mul(0x9E37_79B9) >> 24) / 100.0
}

const COUNTRIES: [(&str, f64); 2] = [("USA", 0.25), ("DEU", -0.75)];
const BIAS: f64 = -4.0;
const MISSING: f64 = 0.125;

/// `ctr` predicts by campaign and country; what `odd` predicts is no rate for many campaigns.
fn models() -> Models {
    let features = {
        let ids: Vec<String> = (0..CAMPAIGNS).map(|no| format!("\"c-{no}\"")).collect();
        let countries = COUNTRIES.map(|(country, _)| format!("\"{country}\""));
        format!(
            "[[features]]\nname = \"country\"\nsource = \"device.geo.country\"\ntransform = \"category\"\n\
             categories = [{}]\n[[features]]\nname = \"campaign\"\nsource = \"campaign.id\"\n\
             transform = \"category\"\ncategories = [{}]\n",
            countries.join(","),
            ids.join(",")
        )
    };
    let weights = |of: &mut dyn Iterator<Item = f64>| of.map(|w| w.to_string()).collect::<Vec<_>>().join(",");
    let campaigns = weights(&mut (0..CAMPAIGNS).map(weight_of_campaign));
    let rest = |objective: &str, bias: f64| {
        let countries = weights(&mut COUNTRIES.iter().map(|(_, weight)| *weight));
        format!(
            "\"objective\":\"{objective}\",\"bias\":{bias},\"columns\":[\
             {{\"name\":\"country\",\"weights\":[{countries}],\"missing\":{MISSING}}},\
             {{\"name\":\"campaign\",\"weights\":[{campaigns}]}}]"
        )
    };
    let set = |artifact| ModelSet { active: Some(artifact), ..ModelSet::default() };
    let ctr = set(linear("ctr", "1", &rest("logistic", BIAS), "probability", &features));
    let odd = set(linear("odd", "1", &rest("linear", -0.5), "value", &features));
    Models::default().with("ctr", ctr).with("odd", odd)
}

/// What a campaign bids per click times what its model says, by another way than the one that is tested.
fn naive(no: CampaignNo, click: Nanos, model: &str, request: &str) -> Result<Nanos, Reason> {
    let country = COUNTRIES.iter().find(|(country, _)| request.contains(country)).map_or(MISSING, |(_, w)| *w);
    let sum = |bias: f64| bias + country + weight_of_campaign(no.0);
    let rate = match model {
        "ctr" => 1.0 / (1.0 + (-sum(BIAS)).exp()),
        "odd" => sum(-0.5),
        _ => return Err(Reason::ModelMissing),
    };
    if !(0.0..=1.0).contains(&rate) {
        return Err(Reason::Prediction);
    }
    // Halved and doubled a float stays what it is.
    let halved = (rate * 2f64.powi(90)) as u128;
    Ok(Nanos(((click.0 as u128 * halved) >> 90) as i64))
}

/// Every fourth is per click.
fn bid(how: u32, price: i64) -> Value {
    if how >> 23 & 3 != 0 {
        return json!({"type": "cpm", "price": price.to_string()});
    }
    let model = ["ctr", "ctr", "ctr", "ctr", "ctr", "odd", "odd", "none"][how as usize >> 25 & 7];
    json!({"type": "cpc", "price": price.to_string(), "model": model})
}

/// A campaign that is choosy in the ways that the bits of `how` say.
pub(super) fn compiled(no: CampaignNo, how: u32, price: i64) -> Arc<Compiled> {
    let mut targeting = json!({});
    let mut choose = |bit: u32, key: &str, value: Value| {
        if how >> bit & 3 == 0 {
            targeting[key] = value;
        }
    };
    let hour = Zone::utc().local_hour(NOW).hour_of_week;
    choose(0, "countries", json!({"include": ["USA"]}));
    choose(2, "countries", json!({"exclude": ["USA"]}));
    choose(4, "cities", json!({"include": ["Berlin", "Houston"]}));
    choose(6, "inventory", json!({"include": ["a.example", "b.example"]}));
    choose(8, "inventory", json!({"exclude": ["b.example"]}));
    choose(10, "hours_of_week", json!([hour]));
    choose(12, "segments", json!({"none": ["s1"]}));
    choose(14, "categories", json!({"exclude": ["IAB7"]}));
    choose(16, "os", json!(["ios"]));
    choose(21, "deals", json!(["d1"]));
    let text = json!({
        "id": format!("c-{}", no.0), "advertiser": "a", "status": "active", "currency": "USD",
        "time_zone": ZONES[how as usize >> 18 & 1], "budget": {"total": "1000000"},
        "bid": bid(how, price), "targeting": targeting,
        "creatives": [{"id": "x", "type": "banner", "w": 300 + (how >> 20 & 1), "h": 250, "adm": "x", "adomain": ["a.example"]}],
    });
    let parsed = campaign::parse(&text.to_string()).unwrap();
    Arc::new(Compiled::new(no, parsed))
}

fn requests() -> Vec<String> {
    let request = |w: u32, site: &str, country: &str, city: &str, os: &str, floor: u32| {
        json!({
            "id": "r", "test": 1, "site": {"domain": site, "cat": ["IAB7"]}, "user": {"data": [{"segment": [{"id": "s1"}]}]},
            "device": {"os": os, "geo": {"country": country, "city": city}},
            "imp": [{"id": "1", "bidfloor": floor, "banner": {"format": [{"w": w, "h": 250}]}}],
        })
    };
    let mut requests = [
        request(300, "a.example", "USA", "Houston", "ios", 0),
        request(301, "b.example", "DEU", "Berlin", "android", 0),
        request(300, "c.example", "USA", "Berlin", "ios", 5),
        request(301, "c.example", "FRA", "Paris", "linux", 7),
        request(302, "c.example", "FRA", "Paris", "linux", 0),
        request(301, "b.example", "DEU", "Berlin", "android", 0),
        request(300, "a.example", "USA", "Houston", "ios", 0),
    ];
    // All lose one of them, and another is for those who have the deal.
    requests[5]["badv"] = json!(["a.example"]);
    requests[6]["imp"][0]["pmp"] = json!({"private_auction": 1, "deals": [{"id": "d1"}]});
    requests.iter().map(Value::to_string).collect()
}

/// Accounts with money.
pub(super) fn accounts(grids: Arc<Grids>) -> Vec<Arc<Account>> {
    let mut hot = Hot::new(Books::default(), NodeId(1), grids, Promise::default());
    let mut events = vec![hot.started()];
    for no in (0..CAMPAIGNS).map(CampaignNo) {
        hot.set_plan(no, Plan { zone: Zone::utc(), active: true, highest_bid: Nanos(8 * 40_000_000) });
        let (id, currency, total) = (format!("c-{}", no.0), Currency::USD, Nanos(1_000_000_000_000));
        events.push(Event::CampaignSet(CampaignSet {
            campaign: no,
            id,
            currency,
            total,
            daily: None,
            day: None,
            json: None,
        }));
    }
    let mut offset = 0;
    while !events.is_empty() {
        let mut next = Vec::new();
        for event in events {
            hot.apply(&Stamped { offset: Offset(offset), at: NOW, event }, &mut next);
            offset += 1;
        }
        hot.tick(NOW, &mut next);
        events = next;
    }
    (0..CAMPAIGNS).map(|no| hot.account(CampaignNo(no))).collect()
}

pub(super) fn shared(grids: Arc<Grids>) -> Arc<Shared> {
    Arc::new(Shared {
        rates: [(Currency::USD, Rate::USD)].into_iter().collect(),
        grids,
        sequencer: Sequencer::new(NodeId(1), Default::default()),
        impressions: Arc::new(ImpressionStore::new(1 << 20)),
        users: UserKey::new(&[0; 32]),
        bid_for_unknown: false,
        supply: None,
        screen: None,
        vendor: None,
    })
}

impl World {
    fn new() -> World {
        let grids = Arc::new(Grids::new(&[LIFETIMES]));
        let accounts = accounts(grids.clone());
        let shared = shared(grids);
        let present = (0..CAMPAIGNS).step_by(2).map(|i| {
            let (no, price) = (CampaignNo(i), i64::from(i % 5) + 1);
            let compiled = compiled(no, i.wrapping_mul(0x9E37_79B9), price);
            let price = nanos(&compiled, price);
            (no, (compiled, Arc::new(Live::new(accounts[i as usize].clone(), true, price))))
        });
        let (scratch, merging, merged) = (Scratch::new(1), None, Vec::new());
        let present: BTreeMap<_, _> = present.collect();
        let editor = Editor::new(at_once(&present));
        World {
            accounts,
            shared,
            models: Arc::new(models()),
            present,
            editor,
            scratch,
            merging,
            merged,
            lowered: false,
        }
    }

    fn step(&mut self, step: &Step) {
        match *step {
            Step::Put(no, how, price) => {
                let (account, no) = (self.accounts[no as usize].clone(), CampaignNo(no));
                let compiled = compiled(no, how, price);
                let live = self.present.get(&no).map(|(_, live)| live.clone());
                let price = nanos(&compiled, price);
                let live = live.unwrap_or_else(|| Arc::new(Live::new(account, true, price)));
                live.set_price(price);
                self.present.insert(no, (compiled.clone(), live.clone()));
                self.editor.put(Entry::new(compiled, live, Rate::USD));
            }
            Step::Price(no, price) => {
                if let Some((compiled, live)) = self.present.get(&CampaignNo(no)) {
                    let price = nanos(compiled, price);
                    self.lowered |= price < live.price();
                    live.set_price(price);
                    self.editor.price_changed(CampaignNo(no));
                }
            }
            Step::Pause(no, active) => {
                if let Some((_, live)) = self.present.get(&CampaignNo(no)) {
                    live.set_active(active);
                }
            }
            Step::Delete(no) => {
                if self.present.remove(&CampaignNo(no)).is_some() {
                    self.editor.delete(CampaignNo(no));
                }
            }
            Step::BeginMerge => self.merging = Some(self.editor.begin_merge()),
            Step::Merge => self.merged.extend(self.merging.as_ref().map(|catalog| catalog.merged())),
            Step::EndMerge => {
                if let Some(merged) = self.merged.pop() {
                    self.editor.end_merge(merged);
                }
            }
        }
    }

    /// The winner with what it is worth, or why there is none.
    fn decide(&mut self, request: &str) -> Result<(CampaignNo, Nanos), Reason> {
        let snapshot = Snapshot {
            catalog: self.editor.catalog().clone(),
            models: self.models.clone(),
            shared: self.shared.clone(),
        };
        outcome(&snapshot, request, &mut self.scratch)
    }

    fn decide_at_once(&self, present: &BTreeMap<CampaignNo, (Arc<Compiled>, Arc<Live>)>, request: &str) -> Outcome {
        let snapshot =
            Snapshot { catalog: Arc::new(at_once(present)), models: self.models.clone(), shared: self.shared.clone() };
        outcome(&snapshot, request, &mut Scratch::new(2))
    }
}

type Outcome = Result<(CampaignNo, Nanos), Reason>;

fn at_once(present: &BTreeMap<CampaignNo, (Arc<Compiled>, Arc<Live>)>) -> Catalog {
    let campaigns: Vec<_> = present.values().cloned().collect();
    Catalog::build(1, &campaigns, |_| Some(Rate::USD))
}

pub(super) fn exchange() -> ExchangeTerms {
    ExchangeTerms {
        name: "demo".to_owned(),
        number: 1,
        key: key("demo"),
        seat: "gavel".to_owned(),
        currency: Currency::USD,
        lifetimes: LIFETIMES,
        spend_on_win: false,
        open_bids: 1,
        ad_system: None,
    }
}

fn outcome(snapshot: &Snapshot, request: &str, scratch: &mut Scratch) -> Outcome {
    let exchange = exchange();
    let decision = decide(snapshot, &exchange, &parse(request.as_bytes()).unwrap(), NOW, scratch);
    match decision.bids.first() {
        Some(bid) => Ok((bid.facts.campaign, bid.facts.price)),
        None => Err(decision.reason.unwrap()),
    }
}

fn decide_as_one_built_at_once(steps: &[Step], lowers: bool) -> Result<(), TestCaseError> {
    let (mut world, requests) = (World::new(), requests());
    for (i, step) in steps.iter().enumerate() {
        match step {
            Step::Price(no, price) if !lowers => {
                let has = world.present.get(&CampaignNo(*no)).map_or(0, |(c, live)| live.price().0 / nanos(c, 1).0);
                world.step(&Step::Price(*no, has.max(*price)));
            }
            _ => world.step(step),
        }
        let request = &requests[i % requests.len()];
        let (edited, whole) = (world.decide(request), world.decide_at_once(&world.present, request));
        let reason = |reason: Reason| if world.lowered { Reason::Price } else { reason };
        prop_assert_eq!(edited.map(|(_, price)| price).map_err(reason), whole.map(|(_, price)| price).map_err(reason));
        prop_assert_eq!(world.editor.catalog().len(), world.present.len());
    }
    for request in &requests {
        let alone: BTreeMap<CampaignNo, Outcome> = world
            .present
            .iter()
            .map(|(no, campaign)| {
                (*no, world.decide_at_once(&[(*no, campaign.clone())].into_iter().collect(), request))
            })
            .collect();
        for (no, outcome) in &alone {
            let (compiled, live) = &world.present[no];
            let BidPrice::Cpc { model, .. } = &compiled.bid else { continue };
            let naive = naive(*no, live.price(), model, request);
            match outcome {
                Ok((_, price)) => prop_assert_eq!(naive, Ok(*price)),
                Err(Reason::Floor) => prop_assert!(naive.is_ok_and(|price| price < cpm(7))),
                Err(reason @ (Reason::ModelMissing | Reason::Prediction)) => prop_assert_eq!(naive, Err(*reason)),
                Err(_) => {}
            }
        }
        let best = alone.values().filter_map(|outcome| outcome.ok().map(|(_, price)| price)).max();
        world.scratch.take_lost();
        match (world.decide(request), best) {
            (Ok((winner, price)), Some(best)) => {
                prop_assert_eq!(price, best);
                prop_assert_eq!(alone[&winner], Ok((winner, best)));
            }
            (Err(reason), None) => {
                let furthest = alone.values().filter_map(|outcome| outcome.err()).max();
                if request.contains("private_auction") {
                    // Who does not have the deal is not looked at.
                    continue;
                }
                if !request.contains("\"bidfloor\":5") && !request.contains("\"bidfloor\":7") {
                    // Nobody is too cheap to be looked at, so each is lost for its own reason.
                    let mut expected = [0; Reason::COUNT];
                    alone.values().filter_map(|outcome| outcome.err()).for_each(|r| expected[r as usize] += 1);
                    prop_assert_eq!(world.scratch.take_lost(), expected);
                }
                prop_assert!(world.lowered || Some(reason) == furthest.or(Some(Reason::NoCampaigns)));
            }
            (decided, best) => prop_assert!(false, "{:?}, the best alone is {:?}", decided, best),
        }
    }
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, failure_persistence: None, ..ProptestConfig::default() })]
    #[test]
    fn edited_and_merged_catalogs_decide_as_one_built_at_once(
        steps in proptest::collection::vec(step(), 1..60),
        lowers in any::<bool>(),
    ) {
        decide_as_one_built_at_once(&steps, lowers)?;
    }
}

#[test]
fn a_catalog_with_one_campaign_put_again_decides_as_one_built_at_once() {
    decide_as_one_built_at_once(&[Step::Put(0, 0, 1)], false).unwrap();
}

#[test]
fn equal_campaigns_take_turns_wherever_they_stand() {
    let mut world = World::new();
    for no in 0..CAMPAIGNS {
        world.step(&Step::Delete(no));
    }
    // The first two go into the base, the last one stays beside it.
    for no in 0..3 {
        world.step(&Step::Put(no, u32::MAX, 3));
        if no == 1 {
            [Step::BeginMerge, Step::Merge, Step::EndMerge].iter().for_each(|step| world.step(step));
        }
    }
    assert_eq!((world.editor.catalog().len(), world.editor.catalog().unmerged()), (3, 1));
    let request = requests()[1].clone();
    let mut wins = [0; 3];
    for _ in 0..3_000 {
        wins[world.decide(&request).unwrap().0.0 as usize] += 1;
    }
    assert!(wins.iter().all(|wins| (850..1_150).contains(wins)), "{wins:?}");
}

#[test]
fn a_merge_that_was_overtaken_does_not_count() {
    let mut world = World::new();
    let slow = world.editor.begin_merge();
    world.step(&Step::Put(1, u32::MAX, 9));
    [Step::BeginMerge, Step::Merge, Step::EndMerge].iter().for_each(|step| world.step(step));
    assert_eq!(world.editor.catalog().unmerged(), 0);
    assert!(!world.editor.end_merge(slow.merged()));
    world.step(&Step::BeginMerge);
    assert!(!world.editor.end_merge(slow.merged()));
    assert_eq!(world.decide(&requests()[1]), Ok((CampaignNo(1), cpm(9))));
}

#[test]
fn a_price_lowered_and_raised_again_during_a_merge_is_not_lost() {
    let mut world = World::new();
    world.step(&Step::Put(1, u32::MAX, 9));
    world.step(&Step::BeginMerge);
    world.step(&Step::Price(1, 1));
    world.step(&Step::Merge);
    world.step(&Step::Price(1, 9));
    world.step(&Step::EndMerge);
    assert_eq!(world.decide(&requests()[1]), Ok((CampaignNo(1), cpm(9))));
    assert_eq!(world.editor.catalog().unmerged(), 1);
}
