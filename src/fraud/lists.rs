//! Lists that rules look into: exact values, address ranges, card ranges, domains. Entries may expire.

use core::net::IpAddr;
use std::collections::{BTreeMap, HashMap};

use serde::{Deserialize, Serialize};

use super::canonical;
use super::pan::holds_card_number;
use super::traffic::ranges::written;
use crate::clock::UnixMs;

/// Entries of one list: a hash of each stays in memory.
pub const MAX_ENTRIES: usize = 1_000_000;
/// Lists in all.
pub const MAX_LISTS: usize = 256;
const MAX_VALUE: usize = 512;
/// Digits of a check's bin, at most: a longer entry could never match.
const MAX_BIN: usize = 8;

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Kind {
    /// The value itself; an address as [`canonical`] has it.
    Exact,
    /// Addresses within a range such as `203.0.113.0/24`, or one address.
    Cidr,
    /// Cards whose bin begins with these 4 to 8 digits.
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

/// An entry as a list keeps it.
pub struct Ready {
    value: String,
    /// Of an address range.
    network: Option<(u8, u128)>,
    until: i64,
}

impl Kind {
    pub fn parse(text: &str) -> Option<Kind> {
        match text {
            "exact" => Some(Kind::Exact),
            "cidr" => Some(Kind::Cidr),
            "bin" => Some(Kind::Bin),
            "domain" => Some(Kind::Domain),
            _ => None,
        }
    }

    /// An entry of a list of this kind, or which of its members is wrong, and how.
    pub fn ready(self, entry: &Entry) -> Result<Ready, (&'static str, String)> {
        let fault = |message: &str| Err(("value", message.to_owned()));
        let until = match entry.expires_at.as_deref() {
            None => NEVER,
            Some(text) => UnixMs::parse(text).ok_or_else(|| ("expires_at", NO_INSTANT.to_owned()))?.0,
        };
        if entry.value.is_empty() || entry.value.len() > MAX_VALUE {
            return fault("must have 1 to 512 bytes");
        }
        if holds_card_number(&entry.value) {
            return fault("holds a card number");
        }
        let network = if self == Kind::Cidr { network(&entry.value) } else { None };
        match self.compared(&entry.value) {
            Some(value) => Ok(Ready { value, network, until }),
            None => fault(match self {
                Kind::Exact => "is not a value",
                Kind::Cidr => "is not an address or range such as \"203.0.113.0/24\"",
                Kind::Bin => "must be 4 to 8 digits: a check's bin has no more",
                Kind::Domain => "is not a domain",
            }),
        }
    }

    /// The value as it is compared.
    fn compared(self, value: &str) -> Option<String> {
        match self {
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
                let fine = (4..=MAX_BIN).contains(&value.len()) && value.bytes().all(|b| b.is_ascii_digit());
                fine.then(|| value.to_owned())
            }
            Kind::Domain => {
                let value = canonical::ended(value).trim_start_matches("*.").to_ascii_lowercase();
                let fine = !value.is_empty() && !value.starts_with('.') && !value.contains(['@', ' ', '/']);
                fine.then_some(value)
            }
        }
    }
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
    /// Before this none expires.
    next_expires: i64,
}

const NEVER: i64 = i64::MAX;
const NO_INSTANT: &str = "must be an instant such as \"2026-11-23T12:00:00Z\"";

impl List {
    pub fn new(kind: Kind) -> List {
        let (entries, networks) = (HashMap::default(), HashMap::default());
        List { kind, entries, networks, lengths: Vec::new(), next_expires: NEVER }
    }

    /// A list of what [`List::content`] gave; none if some of it cannot be understood any more.
    pub fn of(content: &Content, now: UnixMs) -> Option<List> {
        let mut list = List::new(content.kind);
        let ready: Option<Vec<Ready>> = content.entries.iter().map(|entry| content.kind.ready(entry).ok()).collect();
        list.put(ready?, now);
        Some(list)
    }

    /// Adds entries, or changes when they expire; drops what has expired.
    pub fn put(&mut self, entries: Vec<Ready>, now: UnixMs) {
        for Ready { value, network, until } in entries {
            if let Some(network) = network {
                self.networks.insert(network, until);
                self.note_length(network.0);
            }
            if self.kind == Kind::Bin {
                self.note_length(value.len() as u8);
            }
            self.next_expires = self.next_expires.min(until);
            self.entries.insert(value, until);
        }
        self.drop_expired(now);
    }

    fn drop_expired(&mut self, now: UnixMs) {
        if self.next_expires > now.0 {
            return;
        }
        self.entries.retain(|_, until| *until > now.0);
        self.networks.retain(|_, until| *until > now.0);
        self.next_expires = self.entries.values().copied().min().unwrap_or(NEVER);
    }

    fn note_length(&mut self, length: u8) {
        if !self.lengths.contains(&length) {
            self.lengths.push(length);
            self.lengths.sort_unstable_by(|a, b| b.cmp(a));
        }
    }

    /// Whether there is such an entry, expired or not.
    pub fn has(&self, value: &str) -> bool {
        self.kind.compared(value).is_some_and(|value| self.entries.contains_key(&value))
    }

    /// Takes an entry out; whether it was there. Drops what has expired.
    pub fn remove(&mut self, value: &str, now: UnixMs) -> bool {
        let Some(compared) = self.kind.compared(value) else { return false };
        if let Some(network) = network(value).filter(|_| self.kind == Kind::Cidr) {
            self.networks.remove(&network);
        }
        let was_there = self.entries.remove(&compared).is_some();
        self.drop_expired(now);
        was_there
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
                let domain = canonical::ended(value).rsplit('@').next().unwrap_or("");
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
        self.content_at(UnixMs(i64::MIN))
    }

    /// Without what has expired by this time.
    pub fn content_at(&self, now: UnixMs) -> Content {
        let sorted: BTreeMap<&String, &i64> = self.entries.iter().filter(|(_, until)| **until > now.0).collect();
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
        List::of(&Content { kind, entries }, UnixMs(1)).unwrap()
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
                vec![
                    "evil.example",
                    "a@mail.EVIL.example",
                    "bad.test",
                    "x.bad.test",
                    "a@evil.example. ",
                    "a@evil.example .\t",
                ],
                vec!["notevil.example", "example", "a@b", ""],
            ),
        ];
        for (kind, values, inside, outside) in cases {
            let mut list = list(kind, &values);
            inside.iter().for_each(|value| assert!(list.holds(value, now), "{kind:?} {value}"));
            outside.iter().for_each(|value| assert!(!list.holds(value, now), "{kind:?} {value}"));
            let shown = list.content();
            assert_eq!(List::of(&shown, now).unwrap().content(), shown);
            assert!(list.has(values[0]) && list.remove(values[0], now) && !list.remove(values[0], now), "{kind:?}");
            assert!(!list.holds(inside[0], now), "{kind:?}");
        }
        assert!(list(Kind::Cidr, &["0.0.0.0/0"]).holds("9.9.9.9", now));
        assert!(!list(Kind::Cidr, &["0.0.0.0/0"]).holds("2001:db8::1", now));
    }

    #[test]
    fn entries_expire() {
        let entry = Entry { value: "x".into(), expires_at: Some("1970-01-01T00:00:01Z".into()) };
        let list = List::of(&Content { kind: Kind::Exact, entries: vec![entry] }, UnixMs(0)).unwrap();
        assert!(list.holds("x", UnixMs(999)) && !list.holds("x", UnixMs(1_000)));
    }

    #[test]
    fn bad_entries_are_told() {
        let entry = |value: &str, expires_at: Option<&str>| Entry {
            value: value.into(),
            expires_at: expires_at.map(str::to_owned),
        };
        for (kind, entry, member) in [
            (Kind::Exact, entry("", None), "value"),
            (Kind::Exact, entry("fine", Some("tomorrow")), "expires_at"),
            (Kind::Exact, entry("4111 1111 1111 1111", None), "value"),
            (Kind::Cidr, entry("1.2.3.4/33", None), "value"),
            (Kind::Bin, entry("42x", None), "value"),
            (Kind::Bin, entry("424242424", None), "value"),
            (Kind::Domain, entry("a@b", None), "value"),
        ] {
            assert_eq!(kind.ready(&entry).err().map(|(member, _)| member), Some(member), "{entry:?}");
        }
    }
}
