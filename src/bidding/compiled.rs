//! A campaign made ready for the bid path: keys instead of strings, creatives already written as JSON.

use std::sync::Arc;

use smallvec::SmallVec;

use super::campaign::{BidPrice, Campaign, FrequencyCap, Schedule, Targeting, TextSet, inventory_key};
use super::creative::{Creative, Kind, Markup};
use super::index::Attribute;
use super::key::{category_keys, domain_keys, key, size_key};
use super::packed::Packed;
use super::sets::{Draft, List, Sets};
use super::taxonomy::{AreaTargets, PlaceAreas};
use crate::ids::{CampaignNo, Currency, name_hash};
use crate::money::Nanos;
use crate::openrtb::codes::MarkupType;
use crate::openrtb::fragment::{CreativeParts, Fragment};

/// Values of [`Attribute::Format`] that are not banner sizes.
pub const VIDEO: u64 = 2;
pub const AUDIO: u64 = 3;
pub const NATIVE: u64 = 4;

/// The campaign that was checked is not kept besides: there may be a million of them.
#[derive(Debug)]
pub struct Compiled {
    pub no: CampaignNo,
    pub currency: Currency,
    pub bid: BidPrice,
    pub schedule: Schedule,
    pub category_areas: AreaTargets,
    /// Its targeting by lists, and what it accepts of each attribute of the index.
    pub sets: Sets,
    pub frequency_caps: Box<[FrequencyCap]>,
    pub creatives: Box<[CompiledCreative]>,
    pub id: Arc<str>,
    pub advertiser: Box<str>,
    /// See [`Campaign::json`].
    pub json: Packed,
}

#[derive(Debug)]
pub struct CompiledCreative {
    /// Without the markup that stands in the fragment.
    pub creative: Creative,
    /// The bid's members that depend on the creative alone.
    pub fragment: Fragment,
    /// Hash of its id, never 0: what tokens carry.
    pub hash: u32,
    pub format: u64,
    /// Of a spot; 0 for what is none.
    pub duration_s: u32,
    /// Of a banner, the types that exchanges block by `btype`: bit n is type n.
    pub btypes: u8,
    /// How many of `keys` are domains; the others are categories.
    domains: u16,
    keys: Box<[u64]>,
}

impl Compiled {
    pub fn new(no: CampaignNo, campaign: Campaign) -> Compiled {
        let compile = |creative| CompiledCreative::new(&campaign.id, creative);
        let creatives: Box<[_]> = campaign.creatives.into_iter().map(compile).collect();
        let categories = &campaign.targeting.categories;
        Compiled {
            no,
            currency: campaign.currency,
            bid: campaign.bid,
            schedule: campaign.schedule,
            category_areas: AreaTargets::of(categories.include.iter(), categories.exclude.iter()),
            sets: sets(&campaign.targeting, &creatives),
            frequency_caps: campaign.frequency_caps.into(),
            creatives,
            id: campaign.id.into(),
            advertiser: campaign.advertiser.into(),
            json: Packed::new(&campaign.json),
        }
    }

    /// Whether it wants a place of these categories.
    pub fn wants_categories(&self, keys: &[u64], areas: PlaceAreas) -> bool {
        (!self.sets.has(List::Categories)
            || self.sets.any_of(List::Categories, keys)
            || self.category_areas.want(areas))
            && !self.sets.any_of(List::NotCategories, keys)
            && !self.category_areas.bar(areas)
    }

    /// The price its JSON names, per impression or per click.
    pub fn price(&self) -> Nanos {
        match self.bid {
            BidPrice::Cpm { price } | BidPrice::Cpc { price, .. } => price,
        }
    }
}

fn sets(t: &Targeting, creatives: &[CompiledCreative]) -> Sets {
    let mut draft = Draft::default();
    for (list, texts) in [
        (List::Regions, &t.regions.include),
        (List::NotRegions, &t.regions.exclude),
        (List::Cities, &t.cities.include),
        (List::NotCities, &t.cities.exclude),
        (List::Inventory, &t.inventory.include),
        (List::NotInventory, &t.inventory.exclude),
        (List::Categories, &t.categories.include),
        (List::NotCategories, &t.categories.exclude),
        (List::Segments, &t.segments_any),
        (List::NotSegments, &t.segments_none),
        (List::Deals, &t.deals),
    ] {
        draft.list(list, texts.iter());
    }
    let keys = |texts: &TextSet| texts.iter().map(key).collect::<Vec<_>>();
    let bits = |bits: u32| (0..32u64).filter(|b| bits & 1 << b != 0).collect::<Vec<_>>();
    draft.only(Attribute::Format, creatives.iter().map(|c| c.format).collect());
    if t.countries.include.is_empty() {
        draft.all_but(Attribute::Country, keys(&t.countries.exclude));
    } else {
        let wanted = t.countries.include.iter().filter(|c| !t.countries.exclude.contains(c));
        draft.only(Attribute::Country, wanted.map(key).collect());
    }
    for (attribute, values) in [
        (Attribute::Device, bits(u32::from(t.devices.0))),
        (Attribute::Os, bits(u32::from(t.os.0))),
        (Attribute::Language, keys(&t.languages)),
        (Attribute::Exchange, keys(&t.exchanges)),
    ] {
        if values.is_empty() { draft.all_but(attribute, values) } else { draft.only(attribute, values) }
    }
    draft.finish()
}

impl CompiledCreative {
    fn new(campaign_id: &str, mut creative: Creative) -> CompiledCreative {
        let mut keys = SmallVec::new();
        creative.adomain.iter().for_each(|d| domain_keys(d, &mut keys));
        keys.extend(creative.bundle.as_deref().map(|bundle| key(&inventory_key(bundle))));
        let domains = keys.len() as u16;
        keys.extend(creative.cat.iter().flat_map(|c| category_keys(c)));
        let btypes = match &creative.kind {
            Kind::Banner { adm, .. } => btypes(adm),
            _ => 0,
        };
        let fragment = fragment(campaign_id, &creative);
        creative.forget_markup();
        CompiledCreative {
            fragment,
            hash: name_hash(&creative.id).max(1),
            format: match creative.kind {
                Kind::Banner { w, h, .. } => size_key(w, h),
                Kind::Video { .. } => VIDEO,
                Kind::Audio { .. } => AUDIO,
                Kind::Native { .. } => NATIVE,
            },
            duration_s: match &creative.kind {
                Kind::Video { spot, .. } | Kind::Audio { spot } => spot.duration_s,
                _ => 0,
            },
            btypes,
            domains,
            keys: keys.into_vec().into(),
            creative,
        }
    }

    /// Keys of `adomain`, of the domains it lies in, and of the app.
    pub fn domains(&self) -> &[u64] {
        &self.keys[..usize::from(self.domains)]
    }

    pub fn categories(&self) -> &[u64] {
        &self.keys[usize::from(self.domains)..]
    }
}

/// What the markup of a banner is (AdCOM 1.0, list of banner ad types): 1 text, 2 with images, 3 JavaScript, 4 an iframe.
fn btypes(adm: &str) -> u8 {
    let lower = adm.to_ascii_lowercase();
    let has = |marks: &[&str]| marks.iter().any(|mark| lower.contains(mark));
    let script = u8::from(has(&["<script", "javascript:"])) << 3;
    let iframe = u8::from(has(&["<iframe"])) << 4;
    let image = u8::from(has(&["<img", "<picture", "<svg", "<video", "<canvas", "<object", "url("])) << 2;
    match script | iframe | image {
        0 => 1 << 1,
        types => types,
    }
}

/// What a bid says of the creative; see [`Fragment`].
fn fragment(campaign_id: &str, creative: &Creative) -> Fragment {
    let (adm, size, spot) = match &creative.kind {
        Kind::Banner { w, h, adm } => (Some(&**adm), Some((*w, *h)), None),
        Kind::Video { w, h, spot } => match &spot.markup {
            // Each bid has the size of its best file.
            Markup::Media(_) => (None, None, Some(spot)),
            markup => (given(markup), Some((*w, *h)), Some(spot)),
        },
        Kind::Audio { spot } => (given(&spot.markup), None, Some(spot)),
        Kind::Native { .. } => (None, None, None),
    };
    let mtype = match creative.kind {
        Kind::Banner { .. } => MarkupType::Banner,
        Kind::Video { .. } => MarkupType::Video,
        Kind::Audio { .. } => MarkupType::Audio,
        Kind::Native { .. } => MarkupType::Native,
    };
    Fragment::render(&CreativeParts {
        adm,
        adomain: &creative.adomain,
        bundle: creative.bundle.as_deref(),
        cat: &creative.cat,
        cattax: Some(u32::from(creative.cattax)).filter(|cattax| *cattax != 1),
        attr: &creative.attr,
        crid: &creative.id,
        cid: campaign_id,
        size,
        mtype,
        dur: spot.map(|s| s.duration_s),
        apis: &[],
        language: None,
    })
}

/// The VAST that was given; what is built is built for each bid.
fn given(markup: &Markup) -> Option<&str> {
    match markup {
        Markup::Vast(text) => Some(text),
        Markup::Media(_) | Markup::Wrapper(_) => None,
    }
}
