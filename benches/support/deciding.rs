//! What a decision is made of, without a server: campaigns with money, a catalog, an exchange.

use std::sync::Arc;

use gavel::admin::campaigns::Registry;
use gavel::bidding::campaign::{Campaign, parse as parse_campaign};
use gavel::bidding::compiled::Compiled;
use gavel::bidding::key::{UserKey, key};
use gavel::bidding::live::Live;
use gavel::bidding::{Catalog, ExchangeTerms, Shared, Snapshot};
use gavel::clock::UnixMs;
use gavel::config::Config;
use gavel::event::Promise;
use gavel::ids::{Currency, NodeId};
use gavel::ledger::bucket::{Grids, Lifetimes};
use gavel::ledger::sequence::Sequencer;
use gavel::ledger::{Books, Hot};
use gavel::money::Rate;
use gavel::window::impressions::ImpressionStore;

use crate::leases;

pub const NOW: UnixMs = UnixMs(1_795_000_000_000);
pub const LIFETIMES: Lifetimes = Lifetimes { auction_ms: 120_000, bill_ms: 3_600_000, sends_win: true };

pub type Ready = Vec<(Arc<Compiled>, Arc<Live>)>;

/// Campaigns with money to spend, and the grids that it is set aside in.
pub fn campaigns(count: usize, json: impl Fn(usize) -> serde_json::Value) -> (Ready, Arc<Grids>) {
    let parsed = |i| -> Campaign {
        parse_campaign(&json(i).to_string()).unwrap_or_else(|faults| panic!("campaign {i}: {}", faults[0]))
    };
    let grids = Arc::new(Grids::new(&[LIFETIMES]));
    let mut hot = Hot::new(Books::default(), NodeId(1), grids.clone(), Promise::default());
    let config = Config::default_for_demo().unwrap_or_else(|faults| panic!("{faults:?}"));
    let parsed = (0..count).map(parsed).collect();
    let (registry, events) = Registry::start(&config, &Books::default(), parsed, &mut hot, NOW);
    leases::settle(&mut hot, events, NOW);
    (registry.present.into_values().map(|present| (present.compiled, present.live)).collect(), grids)
}

pub fn snapshot(campaigns: &Ready, grids: Arc<Grids>) -> Snapshot {
    let shared = Shared {
        rates: [(Currency::USD, Rate::USD)].into_iter().collect(),
        grids,
        sequencer: Sequencer::new(NodeId(1), Default::default()),
        impressions: Arc::new(ImpressionStore::new(1 << 20)),
        users: UserKey::new(&[0; 32]),
        bid_for_unknown: false,
        supply: None,
        screen: None,
        vendor: None,
    };
    Snapshot { catalog: Arc::new(build(campaigns)), models: Arc::default(), shared: Arc::new(shared) }
}

pub fn build(campaigns: &Ready) -> Catalog {
    Catalog::build(1, campaigns, |_| Some(Rate::USD))
}

pub fn exchange() -> ExchangeTerms {
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
