//! A part of a catalog: campaigns in order of falling price, with their index.

use std::sync::Arc;

use foldhash::{HashMap, HashMapExt};

use super::campaign::BidPrice;
use super::compiled::Compiled;
use super::index::{self, BLOCK, Index};
use super::listed::{self, Listed};
use super::live::Live;
use super::sets::List;
use crate::clock::Zone;
use crate::ids::{CampaignNo, Currency};
use crate::money::{Nanos, Rate};

/// Never changes once it is built. Building one of all campaigns takes milliseconds to tenths of a second.
#[derive(Debug, Default)]
pub struct Part {
    /// The version of the first catalog that has it: what was worked out of another one is then known to be stale.
    pub since: u64,
    /// By falling cap.
    pub entries: Vec<Entry>,
    /// `entries[i].cap_usd`, close together: what the scan reads.
    caps_usd: Vec<i64>,
    pub index: Index,
    /// By the regions, cities and inventory that campaigns include, and their deals.
    pub regions: Listed,
    pub cities: Listed,
    pub inventory: Listed,
    pub deals: Listed,
    by_no: HashMap<CampaignNo, u32>,
    /// Every time zone a campaign uses, once.
    pub zones: Vec<Zone>,
    /// Any campaign looks at them at all.
    pub uses_categories: bool,
    /// Whether any excludes a numbered category, which named ones then have to be mapped for.
    pub bars_by_number: bool,
}

#[derive(Clone, Debug)]
pub struct Entry {
    pub compiled: Arc<Compiled>,
    pub live: Arc<Live>,
    pub no: CampaignNo,
    /// Position in [`Part::zones`].
    pub zone: u16,
    pub currency: Currency,
    pub rate: Rate,
    /// The most one impression can be worth, in nanos of USD, for as long as the price is not raised.
    pub cap_usd: i64,
}

impl Entry {
    /// A campaign at its price of now. `rate` is its currency's.
    pub fn new(compiled: Arc<Compiled>, live: Arc<Live>, rate: Rate) -> Entry {
        let (no, currency) = (compiled.no, compiled.currency);
        let mut entry = Entry { compiled, live, no, zone: 0, currency, rate, cap_usd: 0 };
        entry.cap_usd = entry.cap_now();
        entry
    }

    /// The same at its price of now.
    pub fn again(&self) -> Entry {
        Entry { cap_usd: self.cap_now(), ..self.clone() }
    }

    /// Whether its cap is still one.
    pub fn is_capped(&self) -> bool {
        self.cap_now() <= self.cap_usd
    }

    fn cap_now(&self) -> i64 {
        cap_usd(&self.compiled.bid, self.live.price(), self.rate)
    }
}

impl Part {
    pub fn build(mut entries: Vec<Entry>) -> Part {
        // What was in order before is merged, not sorted.
        entries.sort_by(|a, b| b.cap_usd.cmp(&a.cap_usd).then(a.no.cmp(&b.no)));
        let len = entries.len();
        let mut index = index::Draft::new(len);
        let [mut regions, mut cities, mut inventory, mut deals] = [(); 4].map(|()| listed::Draft::new(len));
        let (mut by_no, mut caps_usd) = (HashMap::with_capacity(len), Vec::with_capacity(len));
        let (mut zones, mut zone_numbers) = (Vec::new(), HashMap::new());
        let (mut uses_categories, mut bars_by_number) = (false, false);
        // One pass: each campaign comes out of memory once.
        for (i, entry) in entries.iter_mut().enumerate() {
            let compiled = &*entry.compiled;
            let sets = &compiled.sets;
            index.add(|attribute| sets.accepts(attribute));
            regions.add(sets.get(List::Regions));
            cities.add(sets.get(List::Cities));
            inventory.add(sets.get(List::Inventory));
            deals.add(sets.get(List::Deals));
            entry.zone = *zone_numbers.entry(compiled.schedule.zone_key).or_insert_with(|| {
                zones.push(compiled.schedule.zone.clone());
                (zones.len() - 1) as u16
            });
            caps_usd.push(entry.cap_usd);
            by_no.insert(entry.no, i as u32);
            bars_by_number |= compiled.category_areas.bars_by_number();
            uses_categories |= sets.has(List::Categories) || sets.has(List::NotCategories);
        }
        let (index, regions, cities, inventory, deals) =
            (index.finish(), regions.finish(), cities.finish(), inventory.finish(), deals.finish());
        let (since, entries) = (0, entries);
        Part {
            since,
            entries,
            caps_usd,
            index,
            regions,
            cities,
            inventory,
            deals,
            by_no,
            zones,
            uses_categories,
            bars_by_number,
        }
    }

    /// The caps of the entries of a block, falling. After the last block there are none.
    pub(super) fn caps_of(&self, block: usize) -> &[i64] {
        let rest = self.caps_usd.get(block * BLOCK * 64..).unwrap_or_default();
        &rest[..rest.len().min(BLOCK * 64)]
    }

    /// Where a campaign stands in `entries`.
    pub fn place(&self, campaign: CampaignNo) -> Option<usize> {
        self.by_no.get(&campaign).map(|at| *at as usize)
    }
}

/// The most that one impression can be worth. A click price is worth itself at a click rate of 1, whatever the model.
fn cap_usd(bid: &BidPrice, price: Nanos, rate: Rate) -> i64 {
    match bid {
        BidPrice::Cpm { .. } | BidPrice::Cpc { .. } => price.convert_floor(rate, Rate::USD).0,
    }
}
