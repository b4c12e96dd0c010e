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
            None => whole(entry.as_bytes()).fold(BASIS, step),
        }));
        Publishers(hashes)
    }

    /// Whether it is one of these who sells the place.
    pub fn hold(&self, exchange: &str, inventory: &Inventory) -> bool {
        if self.0.is_empty() {
            return false;
        }
        let publisher = &inventory.publisher;
        let domain = inventory.domain.as_deref().or_else(|| inventory.page.as_deref().and_then(host));
        let owner = publisher.domain.as_deref().filter(|owner| Some(*owner) != domain);
        publisher.id.as_deref().is_some_and(|id| self.0.contains(&in_exchange(exchange, id)))
            || inventory.bundle.as_deref().is_some_and(|bundle| self.name(bundle, false))
            || domain.into_iter().chain(owner).any(|domain| self.name(domain, true))
    }

    /// Whether a name is here, or a domain that it lies in: one look at its bytes, from the last to the first.
    fn name(&self, name: &str, below: bool) -> bool {
        if name.len() > MAX_NAME {
            return false;
        }
        let mut hash = BASIS;
        for byte in whole(name.as_bytes()) {
            if byte == b'.' && below && self.0.contains(&hash) {
                return true;
            }
            hash = step(hash, byte);
        }
        self.0.contains(&hash)
    }
}

/// FNV-1a, from the last byte to the first, whatever the case.
const BASIS: u64 = 0xcbf2_9ce4_8422_2325;

fn step(hash: u64, byte: u8) -> u64 {
    (hash ^ u64::from(byte.to_ascii_lowercase())).wrapping_mul(0x0100_0000_01b3)
}

/// The bytes of a name, from the last to the first; a point at its end says nothing.
fn whole(name: &[u8]) -> impl Iterator<Item = u8> {
    name.strip_suffix(b".").unwrap_or(name).iter().rev().copied()
}

fn in_exchange(exchange: &str, id: &str) -> u64 {
    hash64(hash64(SEED, exchange.as_bytes()), id.as_bytes())
}

/// The host of an http or https URL.
fn host(page: &str) -> Option<&str> {
    let rest = page.strip_prefix("https://").or_else(|| page.strip_prefix("http://"))?;
    rest.split(['/', '?', '#', ':']).next()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Against a reader that compares names.
    #[test]
    fn a_name_is_here_when_it_is_one_or_lies_in_one() {
        let mut rng = fastrand::Rng::with_seed(4);
        let mut draw = |most: usize| -> String {
            let labels: Vec<&str> = (0..rng.usize(1..=most)).map(|_| ["a", "B", "ab", "c-d"][rng.usize(..4)]).collect();
            labels.join(".") + ["", "", "."][rng.usize(..3)]
        };
        for _ in 0..2_000 {
            let entries: Vec<String> = (0..3).map(|_| draw(3)).collect();
            let (publishers, name) = (Publishers::of(&entries), draw(5));
            let plain = |text: &str| text.strip_suffix('.').unwrap_or(text).to_lowercase();
            let is_one = entries.iter().any(|entry| plain(entry) == plain(&name));
            let lies_in = entries.iter().any(|entry| plain(&name).ends_with(&format!(".{}", plain(entry))));
            assert_eq!(publishers.name(&name, false), is_one, "{name} in {entries:?}");
            assert_eq!(publishers.name(&name, true), is_one || lies_in, "{name} in {entries:?}");
        }
        assert!(!Publishers::of(&["a".repeat(300)]).name(&"a".repeat(300), true));
    }
}
