//! One way of deciding on recorded requests: the campaigns and models of a config, with all the money they want.

use std::collections::{BTreeMap, HashMap};
use std::path::Path;
use std::sync::Arc;

use super::{FRAUD_MODEL, joined, sources, terms};
use crate::admin::campaigns::Registry;
use crate::admin::catalog_files;
use crate::batch::replay::whatif::Side;
use crate::bidding::campaign::{Budget, Campaign, Pacing, parse};
use crate::bidding::{Catalog, Shared, Snapshot, key};
use crate::clock::UnixMs;
use crate::config::Config;
use crate::event::Offset;
use crate::ids::Epoch;
use crate::ledger::bucket::{Grids, Lifetimes};
use crate::ledger::sequence::Sequencer;
use crate::ledger::{Books, Hot};
use crate::modelstore::folder;
use crate::money::Nanos;
use crate::scoring::{ModelSet, Models, RowsFrom, Sources};
use crate::window::impressions::ImpressionStore;

/// More than recorded requests can spend, and far from where amounts end.
const BUDGET: Nanos = Nanos(i64::MAX / 16);
/// Before the first request the campaigns get their first leases.
const LEASING_MS: i64 = 600_000;
/// Nobody is capped.
const IMPRESSION_BYTES: usize = 1 << 20;

/// `books` tell what came by REST, and which models are in force; `tried` beats both: its files those campaigns, its `model`
/// the version of that name. `from` is the time of the first request.
pub fn side(config: &Config, books: &Books, tried: bool, model: Option<&Path>, from: UnixMs) -> Result<Side, String> {
    let files = catalog_files::load(config)
        .map_err(|faults| format!("the catalog has faults:\n  {}", joined(&faults, "\n  ")))?;
    let campaigns = campaigns(files, books, tried)?;
    let models = models(config, books, model)?;
    let lifetimes: Vec<Lifetimes> = config.exchanges.iter().map(|e| e.lifetimes).collect();
    let grids = Arc::new(Grids::new(&lifetimes));
    let mut hot = Hot::new(Books::default(), config.node, grids.clone(), config.promise());
    let began = from.plus(-LEASING_MS);
    let (registry, mut events) = Registry::start(config, &Books::default(), campaigns, &mut hot, began);
    events.insert(0, hot.started());
    let present: Vec<_> = registry.present.into_values().map(|p| (p.compiled, p.live)).collect();
    let catalog = Arc::new(Catalog::build(1, &present, |currency| config.rates.get(currency)));
    let shared = Shared {
        rates: config.rates.all().clone(),
        grids,
        sequencer: Sequencer::new(config.node, Epoch(1)),
        impressions: Arc::new(ImpressionStore::new(IMPRESSION_BYTES)),
        users: key::UserKey::new(&[0; 32]),
        bid_for_unknown: true,
        supply: None,
        screen: None,
        vendor: config.vendor,
    };
    let snapshot = Snapshot { catalog, models: Arc::new(models), shared: Arc::new(shared) };
    let exchanges: HashMap<_, _> = config.exchanges.iter().map(|e| (e.number, terms(e))).collect();
    let mut side = Side { snapshot, exchanges, hot, next: Offset(0), now: began };
    side.apply(events);
    while !side.hot.all_leased() && side.now < from {
        side.follow(side.now.plus(100));
    }
    Ok(side)
}

/// The campaigns of the files with those of REST, without what bounds their bids.
fn campaigns(files: Vec<Campaign>, books: &Books, tried: bool) -> Result<Vec<Campaign>, String> {
    let mut all: BTreeMap<String, Campaign> = files.into_iter().map(|c| (c.id.clone(), c)).collect();
    for book in books.campaigns.values().filter(|book| !tried || !all.contains_key(&book.id)).collect::<Vec<_>>() {
        if book.deleted {
            all.remove(&book.id);
        } else if let Some(json) = &book.json {
            let campaign = parse(json).map_err(|faults| format!("campaign {} of the log: {}", book.id, faults[0]))?;
            all.insert(book.id.clone(), campaign);
        }
    }
    for campaign in all.values_mut() {
        (campaign.budget, campaign.pacing) = (Budget { total: BUDGET, daily: None }, Pacing::Asap);
        campaign.frequency_caps.clear();
    }
    Ok(all.into_values().collect())
}

/// The versions in force, with `tried` in the place of its name's.
fn models(config: &Config, books: &Books, tried: Option<&Path>) -> Result<Models, String> {
    let mut models = Models::default();
    let load = |dir: &Path, sources: &Sources| {
        let artifact = folder::load(dir, sources, RowsFrom::Transforms);
        artifact.map(Arc::new).map_err(|fault| format!("{}: refused: {fault}", dir.display()))
    };
    for (name, set) in books.models.iter().filter(|(name, _)| *name != FRAUD_MODEL) {
        if let Some(active) = &set.active {
            let dir = config.models.join(name).join(&active.version);
            let artifact = load(&dir, &sources(config, name))?;
            if artifact.digest != active.digest {
                return Err(format!("{} is not the model that was activated", dir.display()));
            }
            models = models.with(name, ModelSet { active: Some(artifact), ..ModelSet::default() });
        }
    }
    if let Some(dir) = tried {
        let artifact = load(dir, &Sources::bid())?;
        let name = artifact.name.clone();
        models = models.with(&name, ModelSet { active: Some(artifact), ..ModelSet::default() });
    }
    Ok(models)
}
