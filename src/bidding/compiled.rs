//! A campaign made ready for the bid path: keys instead of strings, creatives already written as JSON.

use std::sync::Arc;

use smallvec::SmallVec;

use super::campaign::{BidPrice, Campaign, Lists, Targeting, TextSet, inventory_key};
use super::creative::{Creative, Kind, Markup};
use super::index::{ATTRIBUTES, Accepts, Attribute};
use super::key::{KeySet, category_keys, domain_keys, key, size_key};
use super::taxonomy::{AreaTargets, PlaceAreas};
use crate::ids::{CampaignNo, name_hash};
use crate::money::Nanos;
use crate::openrtb::codes::MarkupType;
use crate::openrtb::fragment::{CreativeParts, Fragment};

/// Values of [`Attribute::Format`] that are not banner sizes.
pub const VIDEO: u64 = 2;
pub const AUDIO: u64 = 3;
pub const NATIVE: u64 = 4;

#[derive(Debug)]
pub struct Compiled {
    pub no: CampaignNo,
    pub campaign: Arc<Campaign>,
    /// [`key`] of its time zone's name.
    pub zone: u64,
    pub regions: Keys,
    pub cities: Keys,
    pub inventory: Keys,
    pub categories: Keys,
    pub category_areas: AreaTargets,
    pub segments_any: KeySet,
    pub segments_none: KeySet,
    pub deals: KeySet,
    pub creatives: Box<[CompiledCreative]>,
    /// What it accepts of each attribute of the index.
    pub accepts: [Accepts; ATTRIBUTES.len()],
}

/// [`Lists`] as keys.
#[derive(Clone, Debug, Default)]
pub struct Keys {
    pub include: KeySet,
    pub exclude: KeySet,
}

impl Keys {
    fn of(lists: &Lists) -> Keys {
        Keys { include: set(&lists.include), exclude: set(&lists.exclude) }
    }

    /// Whether something with these keys is wanted; nothing known has none.
    pub fn allow(&self, keys: &[u64]) -> bool {
        (self.include.is_empty() || self.include.any_of(keys)) && !self.exclude.any_of(keys)
    }
}

#[derive(Debug)]
pub struct CompiledCreative {
    /// The bid's members that depend on the creative alone.
    pub fragment: Fragment,
    /// Hash of its id, never 0: what tokens carry.
    pub hash: u32,
    pub format: u64,
    /// Of a spot; 0 for what is none.
    pub duration_s: u32,
    /// Of a banner, the types that exchanges block by `btype`: bit n is type n.
    pub btypes: u8,
    /// `adomain` and the domains it lies in, and the app.
    pub domains: SmallVec<[u64; 8]>,
    pub categories: SmallVec<[u64; 4]>,
}

fn set(texts: &TextSet) -> KeySet {
    KeySet::of(texts.iter())
}

impl Compiled {
    pub fn new(no: CampaignNo, campaign: Arc<Campaign>) -> Compiled {
        let t = &campaign.targeting;
        let creatives: Box<[_]> = campaign.creatives.iter().map(|c| CompiledCreative::new(&campaign.id, c)).collect();
        Compiled {
            no,
            zone: key(&campaign.zone_name),
            regions: Keys::of(&t.regions),
            cities: Keys::of(&t.cities),
            inventory: Keys::of(&t.inventory),
            categories: Keys::of(&t.categories),
            category_areas: AreaTargets::of(t.categories.include.iter(), t.categories.exclude.iter()),
            segments_any: set(&t.segments_any),
            segments_none: set(&t.segments_none),
            deals: set(&t.deals),
            accepts: accepts(t, &creatives),
            creatives,
            campaign,
        }
    }

    /// Whether it wants a place of these categories.
    pub fn wants_categories(&self, keys: &[u64], areas: PlaceAreas) -> bool {
        let Keys { include, exclude } = &self.categories;
        (include.is_empty() || include.any_of(keys) || self.category_areas.want(areas))
            && !exclude.any_of(keys)
            && !self.category_areas.bar(areas)
    }

    /// The price its JSON names, per impression or per click.
    pub fn price(&self) -> Nanos {
        match self.campaign.bid {
            BidPrice::Cpm { price } | BidPrice::Cpc { price, .. } => price,
        }
    }
}

fn accepts(t: &Targeting, creatives: &[CompiledCreative]) -> [Accepts; ATTRIBUTES.len()] {
    let only = |values: Vec<u64>| if values.is_empty() { Accepts::AllBut(values) } else { Accepts::Only(values) };
    let keys = |texts: &TextSet| texts.iter().map(key).collect::<Vec<_>>();
    let bits = |bits: u32| (0..32u64).filter(|b| bits & 1 << b != 0).collect::<Vec<_>>();
    let mut accepts = std::array::from_fn(|_| Accepts::AllBut(Vec::new()));
    accepts[Attribute::Format as usize] = Accepts::Only(creatives.iter().map(|c| c.format).collect());
    accepts[Attribute::Country as usize] = if t.countries.include.is_empty() {
        Accepts::AllBut(keys(&t.countries.exclude))
    } else {
        let wanted = t.countries.include.iter().filter(|c| !t.countries.exclude.contains(c));
        Accepts::Only(wanted.map(key).collect())
    };
    accepts[Attribute::Device as usize] = only(bits(u32::from(t.devices.0)));
    accepts[Attribute::Os as usize] = only(bits(u32::from(t.os.0)));
    accepts[Attribute::Language as usize] = only(keys(&t.languages));
    accepts[Attribute::Exchange as usize] = only(keys(&t.exchanges));
    accepts
}

impl CompiledCreative {
    fn new(campaign_id: &str, creative: &Creative) -> CompiledCreative {
        let mut domains = SmallVec::new();
        creative.adomain.iter().for_each(|d| domain_keys(d, &mut domains));
        domains.extend(creative.bundle.as_deref().map(|bundle| key(&inventory_key(bundle))));
        CompiledCreative {
            fragment: fragment(campaign_id, creative),
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
            btypes: match &creative.kind {
                Kind::Banner { adm, .. } => btypes(adm),
                _ => 0,
            },
            domains,
            categories: creative.cat.iter().flat_map(|c| category_keys(c)).collect(),
        }
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
        Kind::Banner { w, h, adm } => (Some(adm.as_str()), Some((*w, *h)), None),
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
