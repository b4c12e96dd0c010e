//! Publishers that nothing is bought from: by domain, by app, or by their id in an exchange.

use foldhash::{HashSet, HashSetExt};

use crate::openrtb::inventory::Inventory;
use crate::scoring::hash::hash64;

const SEED: u64 = 0x7075_6273;
/// A domain has at most 253 bytes (RFC 1035); no store has longer names for apps.
const MAX_NAME: usize = 256;

/// By hash: what a domain, with all below it, or an app is called, or an exchange with an id there.
#[derive(Debug, Default)]
pub struct Publishers(HashSet<u64>);

impl Publishers {
    /// Of entries such as `bad.example`, `com.example.app` or `exchange/id`.
    pub fn of(entries: &[String]) -> Publishers {
        let mut hashes = HashSet::with_capacity(entries.len());
        hashes.extend(entries.iter().map(|entry| match entry.split_once('/') {
            Some((exchange, id)) => in_exchange(exchange, id),
            None => hash64(SEED, entry.to_ascii_lowercase().as_bytes()),
        }));
        Publishers(hashes)
    }

    /// Whether it is one of these who sells the place.
    pub fn hold(&self, exchange: &str, inventory: &Inventory) -> bool {
        if self.0.is_empty() {
            return false;
        }
        let publisher = &inventory.publisher;
        let page = inventory.page.as_deref().and_then(host);
        let domains = [inventory.domain.as_deref(), publisher.domain.as_deref(), page];
        publisher.id.as_deref().is_some_and(|id| self.0.contains(&in_exchange(exchange, id)))
            || inventory.bundle.as_deref().is_some_and(|bundle| self.name(bundle, false))
            || domains.into_iter().flatten().any(|domain| self.name(domain, true))
    }

    /// Whether a name is here, or a domain that it lies in.
    fn name(&self, name: &str, below: bool) -> bool {
        let mut lower = [0; MAX_NAME];
        let Some(lower) = lower.get_mut(..name.len()) else { return false };
        lower.copy_from_slice(name.as_bytes());
        lower.make_ascii_lowercase();
        let mut rest: &[u8] = lower.strip_suffix(b".").unwrap_or(lower);
        loop {
            if self.0.contains(&hash64(SEED, rest)) {
                return true;
            }
            match rest.iter().position(|b| *b == b'.') {
                Some(at) if below => rest = &rest[at + 1..],
                _ => return false,
            }
        }
    }
}

fn in_exchange(exchange: &str, id: &str) -> u64 {
    hash64(hash64(SEED, exchange.as_bytes()), id.as_bytes())
}

/// The host of an http or https URL.
fn host(page: &str) -> Option<&str> {
    let rest = page.strip_prefix("https://").or_else(|| page.strip_prefix("http://"))?;
    rest.split(['/', '?', '#', ':']).next()
}
