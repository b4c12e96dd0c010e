//! Closed sets as bits: device classes, operating systems, hours of the week.

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

pub(super) const DEVICES: &[(&str, DeviceClass)] = &[
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

pub(super) const OSES: &[(&str, OsClass)] = &[
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
    /// As targeting names it.
    pub fn name(self) -> &'static str {
        OSES[self as usize].0
    }

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

    pub(super) fn of(hours: &[u32]) -> HoursOfWeek {
        let mut bits = [0u64; 3];
        for &hour in hours {
            bits[hour as usize / 64] |= 1 << (hour % 64);
        }
        HoursOfWeek(bits)
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
            assert_eq!((OsClass::of(name), class.name()), (*class, *name));
            assert!(OsSet::default().with(*class).contains(*class));
        }
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
}
