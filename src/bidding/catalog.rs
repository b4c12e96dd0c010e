//! The catalog: an immutable snapshot of all campaigns, in order of falling price, with its index.

use std::collections::HashMap;
use std::sync::Arc;

use arc_swap::ArcSwap;

use super::campaign::BidPrice;
use super::compiled::Compiled;
use super::index::Index;
use super::listed::Listed;
use super::live::Live;
use crate::clock::Zone;
use crate::ids::{CampaignNo, Currency};
use crate::money::{Nanos, Rate};

/// Campaigns raised above their cap before a new catalog is worth building.
const MAX_RAISED: usize = 64;

#[derive(Debug, Default)]
pub struct Catalog {
    /// Grows with each catalog: caches made from an older one are then known to be stale.
    pub version: u64,
    /// By falling cap.
    pub entries: Vec<Entry>,
    /// `entries[i].cap_usd`, close together: what the scan reads.
    pub caps_usd: Vec<i64>,
    pub index: Index,
    /// By the regions, cities and inventory that campaigns include.
    pub regions: Listed,
    pub cities: Listed,
    pub inventory: Listed,
    /// Entries whose price was raised above their cap since the catalog was built, ascending: the scan looks at them
    /// first.
    pub raised: ArcSwap<Vec<u32>>,
    by_no: HashMap<CampaignNo, u32>,
    /// Every time zone a campaign uses, once.
    pub zones: Vec<Zone>,
    /// Any campaign looks at these at all.
    pub uses_segments: bool,
    pub uses_categories: bool,
}

#[derive(Clone, Debug)]
pub struct Entry {
    pub compiled: Arc<Compiled>,
    pub live: Arc<Live>,
    /// Position in [`Catalog::zones`].
    pub zone: u16,
    pub currency: Currency,
    pub rate: Rate,
    /// The most one impression can be worth, in nanos of USD. For a price raised above it see [`Catalog::raised`].
    pub cap_usd: i64,
}

impl Catalog {
    /// From campaigns whose currencies all have a rate; others are left out.
    pub fn build(
        version: u64,
        campaigns: &[(Arc<Compiled>, Arc<Live>)],
        rate: impl Fn(Currency) -> Option<Rate>,
    ) -> Catalog {
        let mut zones: Vec<Zone> = Vec::new();
        let mut zone_names: HashMap<&str, u16> = HashMap::new();
        let mut entries: Vec<Entry> = Vec::with_capacity(campaigns.len());
        for (compiled, live) in campaigns {
            let Some(rate) = rate(compiled.campaign.currency) else { continue };
            let zone = *zone_names.entry(&compiled.campaign.zone_name).or_insert_with(|| {
                zones.push(compiled.campaign.zone.clone());
                (zones.len() - 1) as u16
            });
            let currency = compiled.campaign.currency;
            let cap_usd = cap_usd(&compiled.campaign.bid, live.price(), rate);
            entries.push(Entry { compiled: compiled.clone(), live: live.clone(), zone, currency, rate, cap_usd });
        }
        entries.sort_by(|a, b| b.cap_usd.cmp(&a.cap_usd).then(a.compiled.no.cmp(&b.compiled.no)));
        let index = Index::build(entries.len(), |i| &entries[i].compiled.accepts);
        let uses = |f: fn(&Compiled) -> bool| entries.iter().any(|e| f(&e.compiled));
        Catalog {
            version,
            caps_usd: entries.iter().map(|e| e.cap_usd).collect(),
            index,
            regions: Listed::build(entries.len(), |i| &entries[i].compiled.regions.include),
            cities: Listed::build(entries.len(), |i| &entries[i].compiled.cities.include),
            inventory: Listed::build(entries.len(), |i| &entries[i].compiled.inventory.include),
            raised: ArcSwap::default(),
            by_no: entries.iter().enumerate().map(|(i, e)| (e.compiled.no, i as u32)).collect(),
            uses_segments: uses(|c| !c.segments_any.is_empty() || !c.segments_none.is_empty()),
            uses_categories: uses(|c| !c.categories.include.is_empty() || !c.categories.exclude.is_empty()),
            zones,
            entries,
        }
    }

    /// The caps of up to 64 entries; falling, and at least one.
    pub(super) fn caps_of(&self, word: usize) -> &[i64] {
        let rest = &self.caps_usd[word * 64..];
        &rest[..rest.len().min(64)]
    }

    pub fn find(&self, campaign: CampaignNo) -> Option<&Entry> {
        self.by_no.get(&campaign).map(|i| &self.entries[*i as usize])
    }

    /// Tells the scan that a campaign's price is now `price`. True when so many have been raised that a new catalog
    /// should sort them in: every request looks at each of them.
    pub fn price_changed(&self, campaign: CampaignNo, price: Nanos) -> bool {
        let Some(&at) = self.by_no.get(&campaign) else { return false };
        let entry = &self.entries[at as usize];
        if cap_usd(&entry.compiled.campaign.bid, price, entry.rate) > entry.cap_usd {
            self.raised.rcu(|raised| {
                let mut raised = Vec::clone(raised);
                if let Err(place) = raised.binary_search(&at) {
                    raised.insert(place, at);
                }
                raised
            });
        }
        self.raised.load().len() > MAX_RAISED
    }
}

/// The most that one impression can be worth. A click price is worth itself at a click rate of 1.
fn cap_usd(bid: &BidPrice, price: Nanos, rate: Rate) -> i64 {
    match bid {
        BidPrice::Cpm { .. } | BidPrice::Cpc { .. } => price.convert_floor(rate, Rate::USD).0,
    }
}
