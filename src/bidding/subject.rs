//! A request as targeting sees it: each attribute as a key or a code, worked out once per request.

use std::borrow::Cow;

use smallvec::SmallVec;

use super::campaign::{DeviceSet, OsClass, inventory_key};
use super::creative::Creative;
use super::key::{UserKey, category_keys, domain_keys, key};
use super::taxonomy::{BlockedAreas, PlaceAreas, Taxonomy};
use crate::openrtb::consent::{Cache, Privacy, Vendor};
use crate::openrtb::device_user::Device;
use crate::openrtb::inventory::Inventory;
use crate::openrtb::request::BidRequest;

/// Most categories, or segments, of a request that are looked at: bounds what one request can cost.
const MAX_KEYS: usize = 1_000;
/// Most entries of a block list that are looked at.
const MAX_BLOCKED: usize = 100_000;

#[derive(Debug, Default)]
pub struct Subject {
    pub country: Option<u64>,
    pub devices: DeviceSet,
    pub os: Option<u64>,
    pub language: Option<u64>,
    pub region: Option<u64>,
    pub city: Option<u64>,
    /// The site's domain, or the app's bundle and domain, with the domains they lie in.
    pub inventory: SmallVec<[u64; 8]>,
    pub categories: Vec<u64>,
    pub category_areas: PlaceAreas,
    blocked_categories: Blocked,
    blocked_advertisers: Blocked,
    /// Of names, and of everything else.
    blocked_areas: Option<[BlockedAreas; 2]>,
    // What is known of the user, worked out when the first campaign asks: most never do.
    personal: Option<bool>,
    user: Option<u64>,
    knows_segments: bool,
    segments: Vec<u64>,
    consents: Cache,
}

/// Keys that are not worth sorting.
const SHORT: usize = 16;

/// A block list as keys, made when the first campaign asks; sorted unless it is short.
#[derive(Debug, Default)]
struct Blocked {
    ready: bool,
    keys: Vec<u64>,
}

impl Blocked {
    fn reset(&mut self) {
        if self.ready {
            self.ready = false;
            self.keys.clear();
            // One huge request must not pin its memory.
            self.keys.shrink_to(1_024);
        }
    }

    fn contains_any(&mut self, keys: &[u64], fill: impl FnOnce(&mut Vec<u64>)) -> bool {
        if !self.ready {
            fill(&mut self.keys);
            if self.keys.len() > SHORT {
                self.keys.sort_unstable();
            }
            self.ready = true;
        }
        match self.keys.len() {
            ..=SHORT => keys.iter().any(|k| self.keys.contains(k)),
            _ => keys.iter().any(|k| self.keys.binary_search(k).is_ok()),
        }
    }
}

/// The class of the system that the device says it has.
pub(super) fn os_of(device: &Device) -> Option<OsClass> {
    let os = device.os.as_deref().filter(|os| !os.is_empty()).or(device.platform.as_deref());
    os.map(OsClass::of)
}

impl Subject {
    /// Reads `request` into the buffers of an earlier one. `vendor` is whom consent under GDPR must be for.
    /// `categories` says whether any campaign names some, and whether one excludes any by number.
    pub fn read(&mut self, request: &BidRequest, vendor: Option<&Vendor>, categories: Option<bool>) {
        (self.personal, self.user, self.knows_segments) = (None, None, false);
        let device = &request.device;
        let geo = &device.geo;
        // The user's home counts where the device's place is unknown (OpenRTB 2.6 section 3.2.19).
        let home = request.user.geo.country.as_deref().filter(|_| geo.country.is_none());
        let home = home.filter(|_| self.is_personal(request, vendor));
        self.country = geo.country.as_deref().or(home).map(country_key);
        self.region = geo.region.as_deref().map(region_key);
        self.city = geo.city.as_deref().map(key);
        self.devices = device.devicetype.map_or(DeviceSet::EMPTY, DeviceSet::of_devicetype);
        self.os = os_of(device).map(|os| os as u64);
        self.language = device.language.as_deref().and_then(language_key);
        self.inventory.clear();
        self.categories.clear();
        self.category_areas = PlaceAreas::default();
        if let Some(inventory) = &request.inventory {
            if let Some(bundle) = inventory.bundle.as_deref() {
                self.inventory.push(key(&inventory_key(bundle)));
            }
            if let Some(domain) = domain_of(inventory) {
                domain_keys(&inventory_key(domain), &mut self.inventory);
            }
            if let Some(bars_by_number) = categories {
                let content = (inventory.content.cat, inventory.content.cattax);
                let lists =
                    [inventory.cat, inventory.sectioncat, inventory.pagecat].map(|list| (list, inventory.cattax));
                let all = lists.into_iter().chain([content]).flat_map(|(list, cattax)| {
                    let taxonomy = Taxonomy::of(cattax.unwrap_or(1));
                    list.iter().map(move |category| (taxonomy, category))
                });
                for (taxonomy, category) in all.take(MAX_KEYS) {
                    let category = named(&category);
                    self.categories.extend(category_keys(&category));
                    self.category_areas.add(taxonomy, &category, bars_by_number);
                }
            }
        }
        self.blocked_categories.reset();
        self.blocked_advertisers.reset();
        self.blocked_areas = None;
    }

    /// Whether user data may be used.
    pub(super) fn is_personal(&mut self, request: &BidRequest, vendor: Option<&Vendor>) -> bool {
        *self.personal.get_or_insert_with(|| Privacy::of(request, vendor, &mut self.consents).personal)
    }

    /// The segments that the user is in.
    pub fn segments(&mut self, request: &BidRequest, vendor: Option<&Vendor>) -> &[u64] {
        if !self.knows_segments {
            self.knows_segments = true;
            self.segments.clear();
            if !request.user.segments.is_empty() && self.is_personal(request, vendor) {
                request.user.segments.for_each(|id| {
                    if self.segments.len() < MAX_KEYS {
                        self.segments.push(key(&id));
                    }
                });
            }
        }
        &self.segments
    }

    /// Hash of the user's id; 0 is unknown.
    pub fn user(&mut self, request: &BidRequest, vendor: Option<&Vendor>, users: &UserKey) -> u64 {
        if let Some(user) = self.user {
            return user;
        }
        let ids = [&request.device.ifa, &request.user.id];
        let id = ids.into_iter().flat_map(|id| id.as_deref()).find(|id| is_id(id));
        let user = id.filter(|_| self.is_personal(request, vendor)).map_or(0, |id| users.hash(id));
        *self.user.insert(user)
    }

    /// Whether one of the creative's categories, or its parent, is in `bcat`. `keys` are theirs.
    pub fn blocks_category(&mut self, request: &BidRequest, creative: &Creative, keys: &[u64]) -> bool {
        if request.bcat.is_empty() || keys.is_empty() {
            return false;
        }
        // List 5.30: 1 is content taxonomy 1.0, and the default.
        let taxonomy = Taxonomy::of(request.cattax.unwrap_or(1));
        let own = Taxonomy::of(creative.cattax.into());
        if own == Taxonomy::Named {
            let by_name = self.blocked_categories.contains_any(keys, |keys| {
                keys.extend(request.bcat.iter().take(MAX_BLOCKED).map(|c| key(&named(&c))));
            });
            if by_name || taxonomy == Taxonomy::Named {
                return by_name;
            }
        }
        let [names, others] = self.blocked_areas.get_or_insert_with(|| {
            let list = || request.bcat.iter().take(MAX_BLOCKED);
            let is_name = |category: &str| Taxonomy::of_text(&named(category)) == Taxonomy::Named;
            let names = list().filter(|c| is_name(c)).map(|c| named(&c).into_owned().into());
            [
                BlockedAreas::of(Taxonomy::Named, names),
                BlockedAreas::of(taxonomy, list().filter(|c| taxonomy == Taxonomy::Named || !is_name(c))),
            ]
        });
        // Names of 1.0 are that whatever `cattax` says: they block by name, above, or numbered creatives by their areas.
        let by_area = |category| others.block(own, category) || own != Taxonomy::Named && names.block(own, category);
        creative.cat.iter().any(|category| by_area(category))
    }

    /// Whether one of these domains is, or lies in, one of `badv`, or is an app of `bapp`.
    pub fn blocks_advertiser(&mut self, request: &BidRequest, domains: &[u64]) -> bool {
        (!request.badv.is_empty() || !request.bapp.is_empty())
            && self.blocked_advertisers.contains_any(domains, |keys| {
                let domains = request.badv.iter().take(MAX_BLOCKED);
                keys.extend(domains.filter_map(|d| host(&d).map(|host| key(&inventory_key(host)))));
                keys.extend(request.bapp.iter().take(MAX_BLOCKED).map(|app| key(&inventory_key(app.trim()))));
            })
    }
}

/// Ids that stand for "no id": all zeros, as devices send under limited ad tracking.
fn is_id(id: &str) -> bool {
    !id.is_empty() && !id.bytes().all(|b| b == b'0' || b == b'-')
}

fn country_key(country: &str) -> u64 {
    if country.bytes().any(|b| b.is_ascii_lowercase()) { key(&country.to_ascii_uppercase()) } else { key(country) }
}

/// ISO 3166-2 with or without the country: `CA` and `US-CA`.
fn region_key(region: &str) -> u64 {
    let region = region.split_once('-').map_or(region, |(_, part)| part);
    if region.bytes().any(|b| b.is_ascii_lowercase()) { key(&region.to_ascii_uppercase()) } else { key(region) }
}

/// The language of `en`, `EN` and `en-US`.
fn language_key(language: &str) -> Option<u64> {
    let mut two = *language.as_bytes().first_chunk::<2>()?;
    two.make_ascii_lowercase();
    let ends = language.as_bytes().get(2).is_none_or(|b| *b == b'-' || *b == b'_');
    if ends && two.is_ascii() { std::str::from_utf8(&two).ok().map(key) } else { None }
}

/// The domain of a place: of a site without one, that of its page.
pub(super) fn domain_of<'r>(inventory: &'r Inventory) -> Option<&'r str> {
    inventory.domain.as_deref().and_then(host).or_else(|| inventory.page.as_deref().and_then(host))
}

/// The bytes that hosts are made of.
const IN_HOSTS: [bool; 256] = {
    let (mut table, mut b) = ([false; 256], 0);
    while b < table.len() {
        table[b] = (b as u8).is_ascii_alphanumeric() || matches!(b as u8, b'.' | b'-' | b'_');
        b += 1;
    }
    table
};

/// The host in what exchanges send for a domain or a page: `example.com`, `HTTPS://a@www.example.com:443/x`.
pub(super) fn host(text: &str) -> Option<&str> {
    let host = if text.bytes().all(|b| IN_HOSTS[usize::from(b)]) { text } else { host_of_url(text)? };
    let host = host.trim_end_matches('.');
    (!host.is_empty()).then_some(host)
}

#[cold]
fn host_of_url(text: &str) -> Option<&str> {
    let text = text.trim();
    let rest = match text.split_once("://") {
        Some((scheme, rest)) if ["http", "https"].iter().any(|http| scheme.eq_ignore_ascii_case(http)) => rest,
        Some(_) => return None,
        None => text.strip_prefix("//").unwrap_or(text),
    };
    let authority = rest.split(['/', '?', '#', '\\']).next()?;
    let host = authority.rsplit_once('@').map_or(authority, |(_, host)| host);
    host.split(':').next()
}

/// A category of content taxonomy 1.0 in capitals, as all its names are.
fn named(category: &str) -> Cow<'_, str> {
    match category.as_bytes() {
        [b'i' | b'I', b'a' | b'A', b'b' | b'B', ..] if !category.starts_with("IAB") => {
            category.to_ascii_uppercase().into()
        }
        _ => category.into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn free_texts_are_told_apart_and_alike() {
        assert_eq!(language_key("en-US"), Some(key("en")));
        assert_eq!(language_key("EN"), Some(key("en")));
        assert_eq!(language_key("eng"), None);
        assert_eq!(language_key("é"), None);
        assert_eq!(region_key("us-ca"), key("CA"));
        assert_eq!(country_key("usa"), key("USA"));
        for (text, want) in [
            ("http://www.example.com:80/a", Some("www.example.com")),
            ("HTTPS://a:b@example.com?x", Some("example.com")),
            (" example.com ", Some("example.com")),
            ("//example.com/", Some("example.com")),
            ("www.example.com/x", Some("www.example.com")),
            ("example.com:443", Some("example.com")),
            ("é.example.", Some("é.example")),
            ("ftp://x", None),
            ("/x", None),
            ("", None),
            (".", None),
        ] {
            assert_eq!(host(text), want, "{text}");
        }
        assert_eq!((&*named("iab22-1"), &*named("IAB1"), &*named("x")), ("IAB22-1", "IAB1", "x"));
        assert!(!is_id("00000000-0000-0000-0000-000000000000") && !is_id("") && is_id("a0"));
    }
}
