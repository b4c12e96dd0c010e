//! Who may sell a place: ads.txt, app-ads.txt and sellers.json as they were loaded, against what a request says of its
//! sellers. What no file is loaded for is not judged.

use foldhash::{HashMap, HashMapExt};
use serde::Deserialize;
use smallvec::SmallVec;

use super::campaign::inventory_key;
use super::key::{KeySet, domain_keys, key};
use super::reason::Reason;
use super::subject::{domain_of, host};
use crate::openrtb::inventory::Channel;
use crate::openrtb::request::BidRequest;
use crate::openrtb::supply_chain::SupplyChain;

#[derive(Debug, Default)]
pub struct Supply {
    /// By [`key`] of the domain that owns the place: its sellers, as [`seller`] makes them.
    sites: HashMap<u64, KeySet>,
    apps: HashMap<u64, KeySet>,
    /// By [`key`] of the selling system's domain, then of the seller there.
    sellers: HashMap<u64, HashMap<u64, Role>>,
    /// A request must have a complete chain.
    require_chain: bool,
    /// Systems, and sellers of systems, that nothing is bought from.
    blocked: KeySet,
}

/// What a seller of sellers.json is (`seller_type`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Role {
    Publisher,
    Intermediary,
    /// Both, or unsaid.
    Any,
}

/// A seller in a system, in one number.
fn seller(system: &str, id: &str) -> u64 {
    key(&inventory_key(system)).rotate_left(17) ^ key(id)
}

/// An entry of the block list: `system.example`, or `system.example/seller`.
pub fn blocked_key(entry: &str) -> u64 {
    match entry.split_once('/') {
        None => key(&inventory_key(entry)),
        Some((system, id)) => seller(system, id),
    }
}

impl Supply {
    /// Without any file. `blocked` are [`blocked_key`]s.
    pub fn new(require_chain: bool, blocked: KeySet) -> Supply {
        Supply { require_chain, blocked, ..Supply::default() }
    }

    /// Takes the ads.txt, or app-ads.txt, of a domain (IAB ads.txt 1.1): of each line the system, the account and the
    /// relationship. Lines that are none of these are passed over, as the specification says.
    pub fn add_ads(&mut self, domain: &str, text: &str, app: bool) {
        let records = text.trim_start_matches('\u{feff}').lines().filter_map(|line| {
            let line = line.split(['#', ';']).next()?;
            let mut fields = line.split(',').map(str::trim);
            let (system, account, relation) = (fields.next()?, fields.next()?, fields.next()?);
            let related = ["DIRECT", "RESELLER"].iter().any(|r| relation.eq_ignore_ascii_case(r));
            (related && !system.is_empty() && !account.is_empty()).then(|| seller(system, account))
        });
        let to = if app { &mut self.apps } else { &mut self.sites };
        to.insert(key(&inventory_key(domain)), KeySet::of_keys(records.collect()));
    }

    /// Takes the sellers.json of a system's domain (IAB sellers.json 1.0).
    pub fn add_sellers(&mut self, domain: &str, text: &str) -> Result<(), String> {
        let file: SellersFile = serde_json::from_str(text.trim_start_matches('\u{feff}')).map_err(|e| e.to_string())?;
        let mut sellers = HashMap::with_capacity(file.sellers.len());
        for row in file.sellers {
            let id = match row.seller_id {
                serde_json::Value::String(id) => id,
                serde_json::Value::Number(id) => id.to_string(),
                _ => continue,
            };
            let role = match row.seller_type.unwrap_or_default().to_ascii_uppercase().as_str() {
                "PUBLISHER" => Role::Publisher,
                "INTERMEDIARY" => Role::Intermediary,
                _ => Role::Any,
            };
            sellers.insert(key(&id), role);
        }
        self.sellers.insert(key(&inventory_key(domain)), sellers);
        Ok(())
    }

    /// Whether the request's sellers may sell its place. `system` is the domain that the exchange has in ads.txt.
    pub fn check(&self, request: &BidRequest, system: Option<&str>) -> Result<(), Reason> {
        let chain = match request.source.schain {
            Some(raw) => Some(SupplyChain::parse(raw).ok_or(Reason::SupplyChain)?),
            None => None,
        };
        if self.require_chain && !chain.as_ref().is_some_and(|chain| chain.complete) {
            return Err(Reason::SupplyChain);
        }
        let account = request.inventory.as_ref().and_then(|i| i.publisher.id.as_deref()).filter(|id| !id.is_empty());
        let nodes = chain.iter().flat_map(|chain| &chain.nodes).map(|node| (node.asi.trim(), node.sid.trim()));
        let all: SmallVec<[(&str, &str); 8]> = nodes.chain(system.zip(account)).collect();
        for (asi, sid) in &all {
            if self.blocked.contains(key(&inventory_key(asi))) || self.blocked.contains(seller(asi, sid)) {
                return Err(Reason::Seller);
            }
        }
        if let Some(listed) = self.listed(request) {
            // Without an account nobody can say whose it is.
            let unnamed = system.is_some() && account.is_none();
            if unnamed || all.iter().any(|(asi, sid)| !listed.contains(seller(asi, sid))) {
                return Err(Reason::AdsTxt);
            }
        }
        let Some(chain) = &chain else { return Ok(()) };
        for (at, node) in chain.nodes.iter().enumerate() {
            let Some(sellers) = self.sellers.get(&key(&inventory_key(node.asi.trim()))) else { continue };
            // Whoever is first in a complete chain owns the place; nobody after that does.
            match sellers.get(&key(node.sid.trim())) {
                Some(Role::Any) => {}
                Some(Role::Publisher) if at == 0 => {}
                Some(Role::Intermediary) if at > 0 || !chain.complete => {}
                _ => return Err(Reason::Seller),
            }
        }
        Ok(())
    }

    /// The sellers that the place's owner lists: of its domain, or the nearest one that it lies in.
    fn listed(&self, request: &BidRequest) -> Option<&KeySet> {
        let inventory = request.inventory.as_ref()?;
        let (files, domain) = match inventory.channel {
            Channel::Site => (&self.sites, domain_of(inventory)),
            // The developer's domain: the store's listing has it.
            Channel::App => (&self.apps, domain_of(inventory).or(inventory.publisher.domain.as_deref().and_then(host))),
            Channel::Dooh => return None,
        };
        if files.is_empty() {
            return None;
        }
        let mut keys = SmallVec::new();
        domain_keys(&inventory_key(domain?), &mut keys);
        keys.iter().find_map(|key| files.get(key))
    }
}

#[derive(Deserialize)]
struct SellersFile {
    sellers: Vec<SellerRow>,
}

#[derive(Deserialize)]
struct SellerRow {
    #[serde(default)]
    seller_id: serde_json::Value,
    seller_type: Option<String>,
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::openrtb::parse;

    const ADS: &str = "\u{feff}# sellers of example.com\n\
        Exchange.example, pub-1, DIRECT, f08c47fec0942fa0\n\
        reseller.example,42 , reseller;note # yes\n\
        other.example, 7, FRIEND\n\
        ownerdomain=example.com\n\
        broken\n";

    fn supply() -> Supply {
        let mut supply = Supply::new(false, KeySet::of_keys(vec![blocked_key("bad.example/9")]));
        supply.add_ads("example.com", ADS, false);
        supply.add_ads("dev.example", "exchange.example, app-1, DIRECT", true);
        let sellers = r#"{"version":"1.0","sellers":[{"seller_id":"42","seller_type":"INTERMEDIARY"},
            {"seller_id":43,"seller_type":"publisher"},{"seller_id":"44"}]}"#;
        supply.add_sellers("reseller.example", sellers).unwrap();
        supply
    }

    fn check(supply: &Supply, place: &str, schain: &str) -> Result<(), Reason> {
        let body = format!(r#"{{"id":"r","imp":[{{"id":"1"}}],{place},"source":{{"schain":{schain}}}}}"#);
        supply.check(&parse(body.as_bytes()).unwrap(), Some("exchange.example"))
    }

    fn site(domain: &str, publisher: &str) -> String {
        format!(r#""site":{{"domain":"{domain}","publisher":{{"id":"{publisher}"}}}}"#)
    }

    #[test]
    fn a_place_is_sold_by_those_whom_its_owner_lists() {
        let supply = supply();
        for (place, want) in [
            (site("example.com", "pub-1"), Ok(())),
            (site("www.sub.Example.com", "pub-1"), Ok(())),
            (site("example.com", "pub-2"), Err(Reason::AdsTxt)),
            (site("example.com", ""), Err(Reason::AdsTxt)),
            // Nobody knows what it lists.
            (site("unknown.example", "pub-2"), Ok(())),
            (r#""site":{"page":"https://example.com/x","publisher":{"id":"pub-2"}}"#.into(), Err(Reason::AdsTxt)),
            // However it is written.
            (
                r#""site":{"domain":"","page":"HTTPS://example.com/","publisher":{"id":"pub-2"}}"#.into(),
                Err(Reason::AdsTxt),
            ),
            (site("example.com:443", "pub-2"), Err(Reason::AdsTxt)),
            (site("https://a@example.com/", "pub-2"), Err(Reason::AdsTxt)),
            (site("1.2.3.4.5.6.7.8.example.com", "pub-2"), Err(Reason::AdsTxt)),
            (r#""app":{"domain":"dev.example","publisher":{"id":"app-1"}}"#.into(), Ok(())),
            (r#""app":{"domain":"dev.example","publisher":{"id":"pub-1"}}"#.into(), Err(Reason::AdsTxt)),
        ] {
            assert_eq!(check(&supply, &place, "null"), want, "{place}");
        }
    }

    #[test]
    fn every_node_of_a_chain_is_judged() {
        let supply = supply();
        let node = |asi: &str, sid: &str| format!(r#"{{"asi":"{asi}","sid":"{sid}","hp":1}}"#);
        let chain =
            |complete: u8, nodes: &[String]| format!(r#"{{"complete":{complete},"nodes":[{}]}}"#, nodes.join(","));
        let (own, elsewhere) = (site("example.com", "pub-1"), site("unknown.example", "pub-1"));
        let exchange = node("exchange.example", "pub-1");
        for (place, schain, want) in [
            (&own, chain(1, &[exchange.clone(), node("reseller.example", "42")]), Ok(())),
            (&own, chain(1, &[exchange.clone(), node("reseller.example", "44")]), Err(Reason::AdsTxt)),
            (&own, chain(1, &[exchange.clone(), node("other.example", "7")]), Err(Reason::AdsTxt)),
            (&elsewhere, chain(1, &[exchange.clone(), node("bad.example", "9")]), Err(Reason::Seller)),
            (&elsewhere, chain(1, &[exchange.clone(), node("bad.example", "8")]), Ok(())),
            // sellers.json: owners come first, intermediaries after them, strangers nowhere.
            (&elsewhere, chain(1, &[exchange.clone(), node("reseller.example", "43")]), Err(Reason::Seller)),
            (&elsewhere, chain(1, &[node("reseller.example", "43")]), Ok(())),
            (&elsewhere, chain(1, &[node("reseller.example", "42")]), Err(Reason::Seller)),
            (&elsewhere, chain(0, &[node("reseller.example", "42")]), Ok(())),
            (&elsewhere, chain(1, &[node("reseller.example", "99")]), Err(Reason::Seller)),
            (&elsewhere, "7".to_owned(), Err(Reason::SupplyChain)),
        ] {
            assert_eq!(check(&supply, place, &schain), want, "{schain}");
        }
        let strict = Supply::new(true, KeySet::default());
        assert_eq!(check(&strict, &own, "null"), Err(Reason::SupplyChain));
        assert_eq!(check(&strict, &own, &chain(0, std::slice::from_ref(&exchange))), Err(Reason::SupplyChain));
        assert_eq!(check(&strict, &own, &chain(1, &[exchange])), Ok(()));
    }

    #[test]
    fn what_is_not_sellers_json_is_refused() {
        for text in ["", "{}", "[]", "{\"sellers\":7}"] {
            assert!(Supply::default().add_sellers("x.example", text).is_err(), "{text}");
        }
    }
}
