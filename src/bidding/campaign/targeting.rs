//! Whom a campaign wants to reach. An absent key and an empty list both mean no restriction.

use std::borrow::Cow;

use serde_json::Value;

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
    /// In the campaign's time zone.
    pub hours: HoursOfWeek,
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

/// What the viewer holds in hand.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum DeviceClass {
    Phone,
    Tablet,
    Desktop,
    Tv,
    SetTop,
    Device,
    Dooh,
}

const DEVICES: &[(&str, DeviceClass)] = &[
    ("phone", DeviceClass::Phone),
    ("tablet", DeviceClass::Tablet),
    ("desktop", DeviceClass::Desktop),
    ("tv", DeviceClass::Tv),
    ("settop", DeviceClass::SetTop),
    ("device", DeviceClass::Device),
    ("dooh", DeviceClass::Dooh),
];

/// Device classes, one bit each. As a target, the empty set means no restriction.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct DeviceSet(pub u8);

impl DeviceSet {
    pub const EMPTY: DeviceSet = DeviceSet(0);

    /// What an OpenRTB `devicetype` may be: 1 is a phone or a tablet, unknown values are nothing.
    pub fn of_devicetype(devicetype: i64) -> DeviceSet {
        match devicetype {
            1 => DeviceSet::EMPTY.with(DeviceClass::Phone).with(DeviceClass::Tablet),
            2 => DeviceSet::EMPTY.with(DeviceClass::Desktop),
            3 => DeviceSet::EMPTY.with(DeviceClass::Tv),
            4 => DeviceSet::EMPTY.with(DeviceClass::Phone),
            5 => DeviceSet::EMPTY.with(DeviceClass::Tablet),
            6 => DeviceSet::EMPTY.with(DeviceClass::Device),
            7 => DeviceSet::EMPTY.with(DeviceClass::SetTop),
            8 => DeviceSet::EMPTY.with(DeviceClass::Dooh),
            _ => DeviceSet::EMPTY,
        }
    }
    pub fn with(self, class: DeviceClass) -> DeviceSet {
        DeviceSet(self.0 | 1 << class as u8)
    }
    pub fn is_empty(self) -> bool {
        self.0 == 0
    }
    pub fn contains(self, class: DeviceClass) -> bool {
        self.0 & 1 << class as u8 != 0
    }
    pub fn intersects(self, other: DeviceSet) -> bool {
        self.0 & other.0 != 0
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum OsClass {
    Ios,
    Android,
    Windows,
    MacOs,
    Linux,
    ChromeOs,
    TvOs,
    Roku,
    Tizen,
    WebOs,
    FireOs,
    Other,
}

const OSES: &[(&str, OsClass)] = &[
    ("ios", OsClass::Ios),
    ("android", OsClass::Android),
    ("windows", OsClass::Windows),
    ("macos", OsClass::MacOs),
    ("linux", OsClass::Linux),
    ("chromeos", OsClass::ChromeOs),
    ("tvos", OsClass::TvOs),
    ("roku", OsClass::Roku),
    ("tizen", OsClass::Tizen),
    ("webos", OsClass::WebOs),
    ("fireos", OsClass::FireOs),
    ("other", OsClass::Other),
];

impl OsClass {
    /// The class of an OpenRTB `device.os`, which is free text: spaces and case are ignored.
    pub fn of(os: &str) -> OsClass {
        let mut short = [0u8; 16];
        let mut len = 0;
        for byte in os.bytes().filter(|b| !b" _-".contains(b)) {
            let Some(place) = short.get_mut(len) else { break };
            *place = byte.to_ascii_lowercase();
            len += 1;
        }
        let short = &short[..len];
        if let Some((_, class)) = OSES.iter().find(|(name, _)| name.as_bytes() == short) {
            return *class;
        }
        let starts = |head: &str| short.starts_with(head.as_bytes());
        match () {
            () if starts("ipados") || starts("iphone") || starts("ios") => OsClass::Ios,
            () if starts("android") => OsClass::Android,
            () if starts("windows") => OsClass::Windows,
            () if starts("macos") || starts("osx") || starts("macintosh") => OsClass::MacOs,
            () if starts("linux") || starts("ubuntu") => OsClass::Linux,
            () if starts("chrome") || starts("cros") => OsClass::ChromeOs,
            () if starts("tvos") || starts("appletv") => OsClass::TvOs,
            () if starts("roku") => OsClass::Roku,
            () if starts("tizen") => OsClass::Tizen,
            () if starts("webos") => OsClass::WebOs,
            () if starts("fireos") || starts("firetv") || starts("amazonfire") => OsClass::FireOs,
            () => OsClass::Other,
        }
    }
}

/// Operating systems, one bit each. As a target, the empty set means no restriction.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct OsSet(pub u16);

impl OsSet {
    pub fn with(self, os: OsClass) -> OsSet {
        OsSet(self.0 | 1 << os as u8)
    }
    pub fn is_empty(self) -> bool {
        self.0 == 0
    }
    pub fn contains(self, os: OsClass) -> bool {
        self.0 & 1 << os as u8 != 0
    }
}

/// Hours since Monday 00:00, one bit each of 168.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct HoursOfWeek(pub [u64; 3]);

impl Default for HoursOfWeek {
    fn default() -> HoursOfWeek {
        HoursOfWeek::ALL
    }
}

impl HoursOfWeek {
    pub const COUNT: u8 = 168;
    pub const ALL: HoursOfWeek = HoursOfWeek([u64::MAX, u64::MAX, (1 << (168 - 128)) - 1]);

    pub fn contains(&self, hour: u8) -> bool {
        hour < Self::COUNT && self.0[usize::from(hour / 64)] & 1 << (hour % 64) != 0
    }

    fn of(hours: &[u32]) -> HoursOfWeek {
        let mut bits = [0u64; 3];
        for &hour in hours {
            bits[hour as usize / 64] |= 1 << (hour % 64);
        }
        HoursOfWeek(bits)
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
    if text.bytes().any(|b| b.is_ascii_uppercase()) { text.to_ascii_lowercase().into() } else { text.into() }
}

impl Targeting {
    pub(super) fn read(o: &Object) -> Targeting {
        o.only(KEYS);
        let hours = o.list("hours_of_week", HoursOfWeek::COUNT.into(), |v| integer(v, 0..=167));
        let devices = o.list("devices", DEVICES.len(), |v| choice(v, DEVICES));
        let oses = o.list("os", OSES.len(), |v| choice(v, OSES));
        let segments = o.object("segments").map(|s| {
            s.only(&["any", "none"]);
            (set(&s, "any", plain), set(&s, "none", plain))
        });
        let (segments_any, segments_none) = segments.unwrap_or_default();
        Targeting {
            exchanges: set(o, "exchanges", |v| Ok(name(v, MAX_ID_BYTES)?.into())),
            countries: lists(o, "countries", country),
            regions: lists(o, "regions", region),
            cities: lists(o, "cities", plain),
            devices: devices.into_iter().fold(DeviceSet::EMPTY, DeviceSet::with),
            os: oses.into_iter().fold(OsSet::default(), OsSet::with),
            languages: set(o, "languages", language),
            hours: if hours.is_empty() { HoursOfWeek::ALL } else { HoursOfWeek::of(&hours) },
            inventory: lists(o, "inventory", inventory),
            categories: lists(o, "categories", category),
            segments_any,
            segments_none,
            deals: set(o, "deals", plain),
        }
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
    fn operating_systems_are_told_from_free_text() {
        for (text, want) in [
            ("iOS", OsClass::Ios),
            ("iPadOS", OsClass::Ios),
            ("Mac OS X", OsClass::MacOs),
            ("OS X", OsClass::MacOs),
            ("Windows 11", OsClass::Windows),
            ("Chrome OS", OsClass::ChromeOs),
            ("webOS TV", OsClass::WebOs),
            ("Fire OS 7", OsClass::FireOs),
            ("", OsClass::Other),
            ("a name that is much longer than any system's", OsClass::Other),
        ] {
            assert_eq!(OsClass::of(text), want, "{text}");
        }
        for (name, class) in OSES {
            assert_eq!(OsClass::of(name), *class);
            assert!(OsSet::default().with(*class).contains(*class));
        }
    }

    #[test]
    fn inventory_keys_forget_case_and_www() {
        for (text, want) in [("WWW.Example.COM.", "example.com"), ("example.com", "example.com"), ("www", "www")] {
            assert_eq!(inventory_key(text), want);
        }
        assert!(matches!(inventory_key("www.example.com"), Cow::Borrowed("example.com")));
        assert_eq!(inventory_key("é.example"), "é.example");
    }

    #[test]
    fn hours_and_devices_are_bits() {
        let hours = HoursOfWeek::of(&[0, 64, 167]);
        let set: Vec<u8> = (0..=255).filter(|&h| hours.contains(h)).collect();
        assert_eq!(set, [0, 64, 167]);
        assert_eq!((0..=255).filter(|&h| HoursOfWeek::ALL.contains(h)).count(), 168);
        let mobile = DeviceSet::of_devicetype(1);
        assert!(mobile.contains(DeviceClass::Phone) && mobile.contains(DeviceClass::Tablet));
        assert!(!mobile.intersects(DeviceSet::of_devicetype(2)) && DeviceSet::of_devicetype(99).is_empty());
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
