//! Lists that rules look into: exact values, address ranges, card ranges, domains. Entries may expire.

use core::net::IpAddr;
use std::collections::{BTreeMap, HashMap};

use serde::{Deserialize, Serialize};

use super::canonical;
use super::pan::holds_card_number;
use super::traffic::ranges::written;
use super::{Fault, MAX_FAULTS};
use crate::clock::UnixMs;

/// Entries of one list: a hash of each stays in memory.
pub const MAX_ENTRIES: usize = 1_000_000;
/// Lists in all.
pub const MAX_LISTS: usize = 256;
const MAX_VALUE: usize = 512;

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Kind {
    /// The value itself; an address as [`canonical`] has it.
    Exact,
    /// Addresses within a range such as `203.0.113.0/24`, or one address.
    Cidr,
    /// Card numbers that begin with these digits.
    Bin,
    /// A domain and all below it, of a domain or of an email address.
    Domain,
}

/// An entry as it comes and is shown.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Entry {
    pub value: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expires_at: Option<String>,
}

/// A list as it comes and is shown.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Content {
    pub kind: Kind,
    pub entries: Vec<Entry>,
}

/// A list that can be looked into.
#[derive(Clone, Debug)]
pub struct List {
    pub kind: Kind,
    /// By the value as it is compared; when it expires, in milliseconds since 1970.
    entries: HashMap<String, i64, foldhash::fast::RandomState>,
    /// Ranges by (prefix length, network), and the lengths there are.
    networks: HashMap<(u8, u128), i64, foldhash::fast::RandomState>,
    /// Lengths of the prefixes there are, longest first: bits of a range, digits of a card range.
    lengths: Vec<u8>,
}

const NEVER: i64 = i64::MAX;

impl List {
    pub fn new(kind: Kind) -> List {
        List { kind, entries: HashMap::default(), networks: HashMap::default(), lengths: Vec::new() }
    }

    /// A list of these entries, or what is wrong with them.
    pub fn of(content: &Content) -> Result<List, Vec<Fault>> {
        let mut list = List::new(content.kind);
        let faults = list.add(&content.entries);
        if faults.is_empty() { Ok(list) } else { Err(faults) }
    }

    /// Adds entries, or changes when they expire. With faults the list is of no use.
    pub fn add(&mut self, entries: &[Entry]) -> Vec<Fault> {
        let mut faults = Vec::new();
        for (number, entry) in entries.iter().enumerate() {
            if let Err((key, message)) = self.add_one(entry) {
                faults.push(Fault::new(format!("/entries/{number}/{key}"), message));
            }
            // No more are told.
            if faults.len() > MAX_FAULTS {
                break;
            }
        }
        if self.entries.len() > MAX_ENTRIES {
            faults.push(Fault::new("/entries", format!("a list holds at most {MAX_ENTRIES}")));
        }
        faults
    }

    fn add_one(&mut self, entry: &Entry) -> Result<(), (&'static str, String)> {
        let fault = |message: &str| ("value", message.to_owned());
        let until = match entry.expires_at.as_deref() {
            None => NEVER,
            Some(text) => UnixMs::parse(text).ok_or_else(|| ("expires_at", "is not an instant".to_owned()))?.0,
        };
        if entry.value.is_empty() || entry.value.len() > MAX_VALUE {
            return Err(fault("must have 1 to 512 bytes"));
        }
        if holds_card_number(&entry.value) {
            return Err(fault("holds a card number"));
        }
        let value = self.compared(&entry.value).ok_or_else(|| {
            fault(match self.kind {
                Kind::Exact => "is not a value",
                Kind::Cidr => "is not an address or range such as \"203.0.113.0/24\"",
                Kind::Bin => "must be 4 to 11 digits",
                Kind::Domain => "is not a domain",
            })
        })?;
        match self.kind {
            Kind::Cidr => {
                let network = network(&value).ok_or_else(|| fault("is not a range"))?;
                self.networks.insert(network, until);
                self.note_length(network.0);
            }
            Kind::Bin => self.note_length(value.len() as u8),
            _ => {}
        }
        self.entries.insert(value, until);
        Ok(())
    }

    fn note_length(&mut self, length: u8) {
        if !self.lengths.contains(&length) {
            self.lengths.push(length);
            self.lengths.sort_unstable_by(|a, b| b.cmp(a));
        }
    }

    /// Takes an entry out; whether it was there.
    pub fn remove(&mut self, value: &str) -> bool {
        let Some(value) = self.compared(value) else { return false };
        if let Some(network) = network(&value).filter(|_| self.kind == Kind::Cidr) {
            self.networks.remove(&network);
        }
        self.entries.remove(&value).is_some()
    }

    /// The value as it is compared.
    fn compared(&self, value: &str) -> Option<String> {
        match self.kind {
            Kind::Exact => Some(canonical::any(value).into_owned()).filter(|value| !value.is_empty()),
            Kind::Cidr => {
                let (bits, net) = network(value)?;
                // Written in one way, whatever way it came in.
                let ip = core::net::Ipv6Addr::from(net);
                Some(match ip.to_ipv4_mapped() {
                    Some(ip) if bits >= 96 => format!("{ip}/{}", bits - 96),
                    _ => format!("{ip}/{bits}"),
                })
            }
            Kind::Bin => {
                let fine = (4..=11).contains(&value.len()) && value.bytes().all(|b| b.is_ascii_digit());
                fine.then(|| value.to_owned())
            }
            Kind::Domain => {
                let value = value.trim_start_matches("*.").trim_end_matches('.').to_ascii_lowercase();
                let fine = !value.is_empty() && !value.starts_with('.') && !value.contains(['@', ' ', '/']);
                fine.then_some(value)
            }
        }
    }

    /// Whether a value is in the list and its entry has not expired.
    pub fn holds(&self, value: &str, now: UnixMs) -> bool {
        let lives = |until: Option<&i64>| until.is_some_and(|until| *until > now.0);
        match self.kind {
            Kind::Exact => lives(self.entries.get(&*canonical::any(value))),
            Kind::Bin => self
                .lengths
                .iter()
                .any(|length| value.get(..usize::from(*length)).is_some_and(|prefix| lives(self.entries.get(prefix)))),
            Kind::Cidr => {
                let Some(address) = value.parse().ok().map(mapped) else { return false };
                self.lengths.iter().any(|bits| lives(self.networks.get(&(*bits, address & mask(*bits)))))
            }
            Kind::Domain => {
                let domain = value.trim_end().trim_end_matches('.').rsplit('@').next().unwrap_or("");
                let below = domain.match_indices('.').map(|(at, _)| &domain[at + 1..]);
                std::iter::once(domain).chain(below).any(|name| {
                    let upper = name.bytes().any(|b| b.is_ascii_uppercase());
                    if upper {
                        lives(self.entries.get(&name.to_ascii_lowercase()))
                    } else {
                        lives(self.entries.get(name))
                    }
                })
            }
        }
    }

    pub fn len(&self) -> usize {
        self.entries.len()
    }

    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// As it is shown, in order.
    pub fn content(&self) -> Content {
        let sorted: BTreeMap<&String, &i64> = self.entries.iter().collect();
        let expires = |until: i64| (until != NEVER).then(|| UnixMs(until).to_string());
        let entries =
            sorted.into_iter().map(|(value, until)| Entry { value: value.clone(), expires_at: expires(*until) });
        Content { kind: self.kind, entries: entries.collect() }
    }
}

fn mapped(address: IpAddr) -> u128 {
    match address {
        IpAddr::V4(ip) => u128::from(ip.to_ipv6_mapped()),
        IpAddr::V6(ip) => u128::from(ip),
    }
}

fn mask(bits: u8) -> u128 {
    u128::MAX.checked_shl(128 - u32::from(bits)).unwrap_or(0)
}

/// Prefix length (of IPv6, where IPv4 is mapped to) and network.
fn network(text: &str) -> Option<(u8, u128)> {
    let (address, bits) = written(text)?;
    let bits = if address.is_ipv4() { bits + 96 } else { bits };
    Some((bits, mapped(address) & mask(bits)))
}

/// Whether a name can be given to a list, a rule or a window.
pub fn is_name(name: &str) -> bool {
    let mut bytes = name.bytes();
    bytes.next().is_some_and(|b| b.is_ascii_alphabetic() || b == b'_')
        && name.len() <= 64
        && bytes.all(|b| b.is_ascii_alphanumeric() || b == b'_')
}

#[cfg(test)]
mod tests {
    use super::*;

    fn list(kind: Kind, values: &[&str]) -> List {
        let entries = values.iter().map(|value| Entry { value: (*value).into(), expires_at: None }).collect();
        List::of(&Content { kind, entries }).unwrap()
    }

    #[test]
    fn each_kind_compares_in_its_way() {
        let now = UnixMs(1);
        let cases = [
            (Kind::Exact, ["a b", "x"], vec!["a b", "x"], vec!["A b", "", "xx"]),
            (Kind::Exact, ["Bob@x.test", "::ffff:9.9.9.9"], vec!["bob@X.test.", "9.9.9.9"], vec!["bob", "9.9.9.8"]),
            (
                Kind::Cidr,
                ["203.0.113.0/24", "2001:db8::/32"],
                vec!["203.0.113.255", "2001:db8:1::5", "::ffff:203.0.113.9"],
                vec!["203.0.114.0", "2001:db9::", "x", ""],
            ),
            (Kind::Bin, ["424242", "5555"], vec!["424242", "42424299", "555500"], vec!["42424", "455555", ""]),
            (
                Kind::Domain,
                ["Evil.example", "*.bad.test"],
                vec!["evil.example", "a@mail.EVIL.example", "bad.test", "x.bad.test", "a@evil.example. "],
                vec!["notevil.example", "example", "a@b", ""],
            ),
        ];
        for (kind, values, inside, outside) in cases {
            let mut list = list(kind, &values);
            inside.iter().for_each(|value| assert!(list.holds(value, now), "{kind:?} {value}"));
            outside.iter().for_each(|value| assert!(!list.holds(value, now), "{kind:?} {value}"));
            let shown = list.content();
            assert_eq!(List::of(&shown).unwrap().content(), shown);
            assert!(list.remove(values[0]) && !list.remove(values[0]), "{kind:?}");
            assert!(!list.holds(inside[0], now), "{kind:?}");
        }
        assert!(list(Kind::Cidr, &["0.0.0.0/0"]).holds("9.9.9.9", now));
        assert!(!list(Kind::Cidr, &["0.0.0.0/0"]).holds("2001:db8::1", now));
    }

    #[test]
    fn entries_expire() {
        let entry = Entry { value: "x".into(), expires_at: Some("1970-01-01T00:00:01Z".into()) };
        let list = List::of(&Content { kind: Kind::Exact, entries: vec![entry] }).unwrap();
        assert!(list.holds("x", UnixMs(999)) && !list.holds("x", UnixMs(1_000)));
    }

    #[test]
    fn bad_entries_are_pointed_at() {
        let entry = |value: &str, expires_at: Option<&str>| Entry {
            value: value.into(),
            expires_at: expires_at.map(str::to_owned),
        };
        let pointers = |kind, entries| {
            let faults = List::of(&Content { kind, entries }).unwrap_err();
            faults.into_iter().map(|fault| fault.pointer).collect::<Vec<_>>()
        };
        let entries = vec![entry("", None), entry("fine", Some("tomorrow")), entry("4111 1111 1111 1111", None)];
        assert_eq!(pointers(Kind::Exact, entries), ["/entries/0/value", "/entries/1/expires_at", "/entries/2/value"]);
        for (kind, value) in [(Kind::Cidr, "1.2.3.4/33"), (Kind::Bin, "42x"), (Kind::Domain, "a@b")] {
            assert_eq!(pointers(kind, vec![entry(value, None)]), ["/entries/0/value"]);
        }
    }
}
