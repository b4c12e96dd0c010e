//! A request as targeting sees it: each attribute as a key or a code, worked out once per request.

use smallvec::SmallVec;

use super::campaign::{DeviceSet, OsClass, inventory_key};
use super::creative::Creative;
use super::key::{UserKey, category_keys, domain_keys, key};
use super::taxonomy::{BlockedAreas, Taxonomy};
use crate::openrtb::consent::{Cache, Privacy, Vendor};
use crate::openrtb::list::StrList;
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
    blocked_categories: Blocked,
    blocked_advertisers: Blocked,
    blocked_areas: Option<BlockedAreas>,
    // What is known of the user, worked out when the first campaign asks: most never do.
    personal: Option<bool>,
    user: Option<u64>,
    knows_segments: bool,
    segments: Vec<u64>,
    consents: Cache,
}

/// A block list as sorted keys, made when the first campaign asks.
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
            self.keys.sort_unstable();
            self.ready = true;
        }
        keys.iter().any(|k| self.keys.binary_search(k).is_ok())
    }
}

impl Subject {
    /// Reads `request` into the buffers of an earlier one. `vendor` is whom consent under GDPR must be for.
    pub fn read(&mut self, request: &BidRequest, vendor: Option<&Vendor>, categories: bool) {
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
        let os = device.os.as_deref().filter(|os| !os.is_empty()).or(device.platform.as_deref());
        self.os = os.map(|os| OsClass::of(os) as u64);
        self.language = device.language.as_deref().and_then(language_key);
        self.inventory.clear();
        self.categories.clear();
        if let Some(inventory) = &request.inventory {
            if let Some(bundle) = inventory.bundle.as_deref() {
                self.inventory.push(key(&inventory_key(bundle)));
            }
            let domain = inventory.domain.as_deref().or(inventory.page.as_deref().and_then(host));
            if let Some(domain) = domain {
                domain_keys(&inventory_key(domain), &mut self.inventory);
            }
            if categories {
                let lists = [inventory.cat, inventory.sectioncat, inventory.pagecat, inventory.content.cat];
                for category in lists.iter().flat_map(StrList::iter).take(MAX_KEYS) {
                    self.categories.extend(category_keys(&category));
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
        if taxonomy == Taxonomy::Named && creative.cattax == 1 {
            return self.blocked_categories.contains_any(keys, |keys| {
                keys.extend(request.bcat.iter().take(MAX_BLOCKED).map(|c| key(&c)));
            });
        }
        let list = || BlockedAreas::of(taxonomy, request.bcat.iter().take(MAX_BLOCKED));
        let blocked = self.blocked_areas.get_or_insert_with(list);
        let own = Taxonomy::of(creative.cattax.into());
        creative.cat.iter().any(|category| blocked.block(own, category))
    }

    /// Whether one of these domains is, or lies in, one of `badv`, or is an app of `bapp`.
    pub fn blocks_advertiser(&mut self, request: &BidRequest, domains: &[u64]) -> bool {
        (!request.badv.is_empty() || !request.bapp.is_empty())
            && self.blocked_advertisers.contains_any(domains, |keys| {
                let entries = request.badv.iter().chain(request.bapp.iter());
                keys.extend(entries.take(MAX_BLOCKED).map(|d| key(&inventory_key(&d))));
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

/// The host of an http or https URL.
pub(super) fn host(page: &str) -> Option<&str> {
    let rest = page.strip_prefix("https://").or_else(|| page.strip_prefix("http://"))?;
    let end = rest.find(['/', '?', '#', ':']).unwrap_or(rest.len());
    rest.get(..end).filter(|h| !h.is_empty())
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
        assert_eq!(host("http://www.example.com:80/a"), Some("www.example.com"));
        assert_eq!(host("ftp://x"), None);
        assert!(!is_id("00000000-0000-0000-0000-000000000000") && !is_id("") && is_id("a0"));
    }
}
