//! Whom a campaign wants to reach. An absent key and an empty list both mean no restriction.

use std::borrow::Cow;

use serde_json::Value;

use super::classes::{DEVICES, DeviceSet, HoursOfWeek, OSES, OsSet};
use super::{MAX_ID_BYTES, MAX_LIST};
use crate::bidding::check::{Object, choice, integer, name, quoted, text};

const KEYS: &[&str] = &[
    "exchanges",
    "countries",
    "regions",
    "cities",
    "devices",
    "os",
    "languages",
    "hours_of_week",
    "inventory",
    "categories",
    "segments",
    "deals",
];

/// Longest domain, app bundle, city, segment or deal id.
const MAX_VALUE_BYTES: usize = 255;
/// Longest category, such as `IAB25-3`.
const MAX_CATEGORY_BYTES: usize = 32;

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Targeting {
    /// Names of exchanges in the config.
    pub exchanges: TextSet,
    /// ISO 3166-1 alpha-3, capitals.
    pub countries: Lists,
    /// ISO 3166-2 without the country, capitals.
    pub regions: Lists,
    /// As exchanges write them: compared byte for byte.
    pub cities: Lists,
    pub devices: DeviceSet,
    pub os: OsSet,
    /// ISO 639-1, small letters.
    pub languages: TextSet,
    /// Site domains and app bundles, as [`inventory_key`] makes them.
    pub inventory: Lists,
    pub categories: Lists,
    /// One of these, where given.
    pub segments_any: TextSet,
    /// None of these.
    pub segments_none: TextSet,
    /// One of these deals, where given.
    pub deals: TextSet,
}

/// What to include (empty: everything) and what to exclude; exclusion is stronger.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Lists {
    pub include: TextSet,
    pub exclude: TextSet,
}

impl Lists {
    pub fn is_empty(&self) -> bool {
        self.include.is_empty() && self.exclude.is_empty()
    }

    pub fn allows(&self, value: &str) -> bool {
        (self.include.is_empty() || self.include.contains(value)) && !self.exclude.contains(value)
    }
}

/// A sorted set of strings.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TextSet(Box<[Box<str>]>);

impl TextSet {
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
    pub fn len(&self) -> usize {
        self.0.len()
    }
    pub fn contains(&self, value: &str) -> bool {
        self.0.binary_search_by(|entry| (**entry).cmp(value)).is_ok()
    }
    /// In ascending order.
    pub fn iter(&self) -> impl Iterator<Item = &str> {
        self.0.iter().map(|entry| &**entry)
    }
}

impl FromIterator<Box<str>> for TextSet {
    fn from_iter<I: IntoIterator<Item = Box<str>>>(entries: I) -> TextSet {
        let mut list: Vec<_> = entries.into_iter().collect();
        list.sort_unstable();
        list.dedup();
        TextSet(list.into())
    }
}

/// Domains and bundles compare without case, a leading `www.` or a trailing dot; both sides of a comparison go
/// through here.
pub fn inventory_key(text: &str) -> Cow<'_, str> {
    let text = text.strip_suffix('.').unwrap_or(text);
    let text = match text.split_at_checked(4) {
        Some((head, rest)) if head.eq_ignore_ascii_case("www.") => rest,
        _ => text,
    };
    if has_capital(text.as_bytes()) { text.to_ascii_lowercase().into() } else { text.into() }
}

/// Any of `A` to `Z`. Eight bytes at a time: block lists are read with every bid.
fn has_capital(text: &[u8]) -> bool {
    const ONES: u64 = 0x0101_0101_0101_0101;
    const HIGHS: u64 = 0x80 * ONES;
    let in_word = |word: &[u8; 8]| {
        let word = u64::from_le_bytes(*word);
        let ascii = word & !HIGHS;
        // The highest bit of each byte: at least `A`, and above `Z`.
        let (from_a, above_z) = (ascii + (0x80 - 0x41) * ONES, ascii + (0x80 - 0x5b) * ONES);
        from_a & !above_z & !word & HIGHS != 0
    };
    match text.last_chunk() {
        // With some bytes that have been looked at.
        Some(last) => text.as_chunks().0.iter().any(in_word) || in_word(last),
        None => text.iter().any(u8::is_ascii_uppercase),
    }
}

impl Targeting {
    /// With the hours of the week, which are a matter of when.
    pub(super) fn read(o: &Object) -> (Targeting, HoursOfWeek) {
        o.only(KEYS);
        let hours = o.list("hours_of_week", HoursOfWeek::COUNT.into(), |v| integer(v, 0..=167));
        let devices = o.list("devices", DEVICES.len(), |v| choice(v, DEVICES));
        let oses = o.list("os", OSES.len(), |v| choice(v, OSES));
        let segments = o.object("segments").map(|s| {
            s.only(&["any", "none"]);
            (set(&s, "any", plain), set(&s, "none", plain))
        });
        let (segments_any, segments_none) = segments.unwrap_or_default();
        let targeting = Targeting {
            exchanges: set(o, "exchanges", |v| Ok(name(v, MAX_ID_BYTES)?.into())),
            countries: lists(o, "countries", country),
            regions: lists(o, "regions", region),
            cities: lists(o, "cities", plain),
            devices: devices.into_iter().fold(DeviceSet::EMPTY, DeviceSet::with),
            os: oses.into_iter().fold(OsSet::default(), OsSet::with),
            languages: set(o, "languages", language),
            inventory: lists(o, "inventory", inventory),
            categories: lists(o, "categories", category),
            segments_any,
            segments_none,
            deals: set(o, "deals", plain),
        };
        (targeting, if hours.is_empty() { HoursOfWeek::ALL } else { HoursOfWeek::of(&hours) })
    }
}

fn lists(o: &Object, key: &str, read: fn(&Value) -> Result<Box<str>, String>) -> Lists {
    let Some(lists) = o.object(key) else { return Lists::default() };
    lists.only(&["include", "exclude"]);
    Lists { include: set(&lists, "include", read), exclude: set(&lists, "exclude", read) }
}

fn set(o: &Object, key: &str, read: fn(&Value) -> Result<Box<str>, String>) -> TextSet {
    o.list(key, MAX_LIST, read).into_iter().collect()
}

fn plain(value: &Value) -> Result<Box<str>, String> {
    text(value, MAX_VALUE_BYTES).map(Into::into)
}

fn country(value: &Value) -> Result<Box<str>, String> {
    let text = text(value, MAX_VALUE_BYTES)?;
    if text.len() == 3 && text.bytes().all(|b| b.is_ascii_uppercase()) {
        Ok(text.into())
    } else {
        Err(format!("is {}; must be an ISO 3166-1 alpha-3 code such as \"USA\"", quoted(text)))
    }
}

fn region(value: &Value) -> Result<Box<str>, String> {
    let text = text(value, MAX_VALUE_BYTES)?;
    if text.len() <= 3 && text.bytes().all(|b| b.is_ascii_alphanumeric()) {
        Ok(text.to_ascii_uppercase().into())
    } else {
        Err(format!("is {}; must be an ISO 3166-2 code without the country, such as \"CA\"", quoted(text)))
    }
}

fn language(value: &Value) -> Result<Box<str>, String> {
    let text = text(value, MAX_VALUE_BYTES)?;
    if text.len() == 2 && text.bytes().all(|b| b.is_ascii_alphabetic()) {
        Ok(text.to_ascii_lowercase().into())
    } else {
        Err(format!("is {}; must be an ISO 639-1 code such as \"en\"", quoted(text)))
    }
}

fn inventory(value: &Value) -> Result<Box<str>, String> {
    let text = text(value, MAX_VALUE_BYTES)?;
    let key = inventory_key(text);
    if !key.is_empty() && key.bytes().all(|b| b.is_ascii_graphic() && !b"/\\\"<>".contains(&b)) {
        Ok(key.into())
    } else {
        Err(format!("is {}; must be a domain or an app bundle, not a URL", quoted(text)))
    }
}

/// A content category of any taxonomy: `IAB25`, `IAB25-3`, `596`.
pub(in crate::bidding) fn category(value: &Value) -> Result<Box<str>, String> {
    let text = text(value, MAX_CATEGORY_BYTES)?;
    if text.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-') {
        Ok(text.into())
    } else {
        Err(format!("is {}; must be a category such as \"IAB25-3\"", quoted(text)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn inventory_keys_forget_case_and_www() {
        for (text, want) in [("WWW.Example.COM.", "example.com"), ("example.com", "example.com"), ("www", "www")] {
            assert_eq!(inventory_key(text), want);
        }
        assert!(matches!(inventory_key("www.example.com"), Cow::Borrowed("example.com")));
        assert_eq!(inventory_key("é.example"), "é.example");
    }

    #[test]
    fn capitals_are_found_wherever_they_stand() {
        for len in 0..20 {
            for (at, byte) in (0..len).flat_map(|at| (0..=u8::MAX).map(move |byte| (at, byte))) {
                for around in [b'a', b'@', b'[', 0x7f, 0xff] {
                    let mut text = vec![around; len];
                    text[at] = byte;
                    assert_eq!(has_capital(&text), byte.is_ascii_uppercase(), "{text:?}");
                }
            }
        }
    }

    #[test]
    fn lists_exclude_before_they_include() {
        let set = |list: &[&str]| list.iter().map(|&s| s.into()).collect::<TextSet>();
        let lists = Lists { include: set(&["b", "a", "a"]), exclude: set(&["b"]) };
        assert!(lists.allows("a") && !lists.allows("b") && !lists.allows("c"));
        assert!(Lists::default().allows("c") && Lists::default().is_empty());
        assert_eq!((lists.include.len(), lists.include.iter().collect::<Vec<_>>()), (2, vec!["a", "b"]));
    }
}
