//! What campaigns and requests have in common: places, devices, sizes, publishers. Weights are rough shares of traffic.

use fastrand::Rng;

/// Weight, country, region, city, language.
pub const PLACES: [(u32, &str, &str, &str, &str); 12] = [
    (20, "USA", "CA", "Los Angeles", "en"),
    (18, "USA", "NY", "New York", "en"),
    (12, "USA", "TX", "Houston", "es"),
    (8, "GBR", "ENG", "London", "en"),
    (8, "DEU", "BE", "Berlin", "de"),
    (6, "FRA", "IDF", "Paris", "fr"),
    (5, "DEU", "BY", "München", "de"),
    (5, "CAN", "ON", "Toronto", "en"),
    (5, "BRA", "SP", "São Paulo", "pt"),
    (4, "JPN", "13", "Tokyo", "ja"),
    (4, "IND", "MH", "Mumbai", "hi"),
    (2, "AUS", "NSW", "Sydney", "en"),
];

/// Weight, OpenRTB device type, device and system as campaigns call them, system as requests call it.
pub const DEVICES: [(u32, u8, &str, &str, &str); 6] = [
    (30, 4, "phone", "ios", "iOS"),
    (36, 4, "phone", "android", "Android"),
    (18, 2, "desktop", "windows", "Windows"),
    (7, 2, "desktop", "macos", "macOS"),
    (5, 5, "tablet", "ios", "iOS"),
    (4, 3, "tv", "roku", "Roku"),
];

/// Weight, width, height.
pub const SIZES: [(u32, u32, u32); 8] = [
    (36, 300, 250),
    (18, 728, 90),
    (18, 320, 50),
    (8, 160, 600),
    (7, 300, 600),
    (6, 970, 250),
    (4, 320, 480),
    (3, 336, 280),
];

pub const CATEGORIES: [&str; 8] = ["IAB1-6", "IAB2-3", "IAB7", "IAB9-30", "IAB12", "IAB13-7", "IAB17-44", "IAB19-6"];

/// Sites; the k-th most visited one is drawn in proportion to 1/k by requests.
pub const SITES: u32 = 5_000;

pub fn site(rank: u32) -> String {
    format!("www{}.publisher-{rank}.example", rank % 7)
}

pub fn pick<'a, T>(rng: &mut Rng, items: &'a [T], weight: impl Fn(&T) -> u32) -> &'a T {
    let whole: u32 = items.iter().map(&weight).sum();
    let mut left = rng.u32(..whole);
    let found = items.iter().find(|item| match left.checked_sub(weight(item)) {
        Some(rest) => {
            left = rest;
            false
        }
        None => true,
    });
    found.expect("the draw is below the sum of the weights")
}
