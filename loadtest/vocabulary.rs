//! What the requests are made of: places, devices, publishers. Weights are rough shares of real traffic.

pub struct Place {
    pub weight: u32,
    pub country: &'static str,
    pub region: &'static str,
    pub city: &'static str,
    pub language: &'static str,
    pub lat: &'static str,
    pub lon: &'static str,
    pub utc_offset: &'static str,
    pub gdpr: bool,
}

macro_rules! place {
    ($weight:literal $country:literal $region:literal $city:literal $language:literal $lat:literal $lon:literal
     $utc_offset:literal $gdpr:literal) => {
        Place {
            weight: $weight,
            country: $country,
            region: $region,
            city: $city,
            language: $language,
            lat: $lat,
            lon: $lon,
            utc_offset: $utc_offset,
            gdpr: $gdpr,
        }
    };
}

pub const PLACES: [Place; 14] = [
    place!(20 "USA" "CA" "Los Angeles" "en" "34.0522" "-118.2437" "-480" false),
    place!(18 "USA" "NY" "New York" "en" "40.7128" "-74.0060" "-300" false),
    place!(12 "USA" "TX" "Houston" "es" "29.7604" "-95.3698" "-360" false),
    place!(8 "GBR" "ENG" "London" "en" "51.5074" "-0.1278" "0" false),
    place!(8 "DEU" "BE" "Berlin" "de" "52.5200" "13.4050" "60" true),
    place!(5 "DEU" "BY" "München" "de" "48.1351" "11.5820" "60" true),
    place!(6 "FRA" "IDF" "Paris" "fr" "48.8566" "2.3522" "60" true),
    place!(5 "CAN" "ON" "Toronto" "en" "43.6532" "-79.3832" "-300" false),
    place!(5 "BRA" "SP" "São Paulo" "pt" "-23.5505" "-46.6333" "-180" false),
    place!(4 "IND" "MH" "Mumbai" "hi" "19.0760" "72.8777" "330" false),
    place!(4 "JPN" "13" "Tokyo" "ja" "35.6762" "139.6503" "540" false),
    place!(2 "MEX" "CMX" "Ciudad de México" "es" "19.4326" "-99.1332" "-360" false),
    place!(2 "AUS" "NSW" "Sydney" "en" "-33.8688" "151.2093" "600" false),
    place!(1 "ZAF" "GP" "Johannesburg" "en" "-26.2041" "28.0473" "120" false),
];

pub struct Device {
    pub weight: u32,
    /// OpenRTB devicetype: 2 desktop, 3 television, 4 phone, 5 tablet.
    pub kind: &'static str,
    pub make: &'static str,
    pub model: &'static str,
    pub os: &'static str,
    pub os_version: &'static str,
    pub w: &'static str,
    pub h: &'static str,
    pub ua: &'static str,
}

macro_rules! device {
    ($weight:literal $kind:literal $make:literal $model:literal $os:literal $version:literal $w:literal $h:literal
     $ua:literal) => {
        Device {
            weight: $weight,
            kind: $kind,
            make: $make,
            model: $model,
            os: $os,
            os_version: $version,
            w: $w,
            h: $h,
            ua: $ua,
        }
    };
}

pub const DEVICES: [Device; 8] = [
    device!(28 "4" "Apple" "iPhone15,3" "iOS" "17.5.1" "1290" "2796"
        "Mozilla/5.0 (iPhone; CPU iPhone OS 17_5_1 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/17.5 Mobile/15E148 Safari/604.1"),
    device!(22 "4" "Samsung" "SM-S918B" "Android" "14" "1080" "2316"
        "Mozilla/5.0 (Linux; Android 14; SM-S918B) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/126.0.0.0 Mobile Safari/537.36"),
    device!(14 "4" "Google" "Pixel 7a" "Android" "15" "1080" "2400"
        "Mozilla/5.0 (Linux; Android 15; Pixel 7a) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/128.0.0.0 Mobile Safari/537.36"),
    device!(18 "2" "PC" "Desktop" "Windows" "10" "1920" "1080"
        "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/127.0.0.0 Safari/537.36"),
    device!(7 "2" "Apple" "Macintosh" "macOS" "14.5" "2560" "1440"
        "Mozilla/5.0 (Macintosh; Intel Mac OS X 10_15_7) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/17.4 Safari/605.1.15"),
    device!(2 "2" "PC" "Desktop" "Linux" "6.8" "1920" "1200"
        "Mozilla/5.0 (X11; Linux x86_64; rv:128.0) Gecko/20100101 Firefox/128.0"),
    device!(5 "5" "Apple" "iPad13,18" "iOS" "17.4" "1640" "2360"
        "Mozilla/5.0 (iPad; CPU OS 17_4 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/17.4 Mobile/15E148 Safari/604.1"),
    device!(4 "3" "Roku" "Roku Ultra" "Roku" "12.5" "1920" "1080" "Roku/DVP-12.5 (12.5.0.4178)"),
];

/// Sizes that banners offer: weight, width, height.
pub const SIZES: [(u32, &str, &str); 8] = [
    (36, "300", "250"),
    (18, "728", "90"),
    (18, "320", "50"),
    (8, "160", "600"),
    (7, "300", "600"),
    (6, "970", "250"),
    (4, "320", "480"),
    (3, "336", "280"),
];

/// Publishers: domain for sites, bundle for apps, content category.
pub const SITES: [(&str, &str); 10] = [
    ("example.com", "IAB12"),
    ("news.example.org", "IAB12-3"),
    ("recipes.example.net", "IAB8-9"),
    ("football.example.com", "IAB17-44"),
    ("cars.example.org", "IAB2-3"),
    ("travel.example.net", "IAB20"),
    ("finance.example.com", "IAB13-7"),
    ("health.example.org", "IAB7"),
    ("tech.example.net", "IAB19-6"),
    ("weather.example.com", "IAB15-10"),
];
pub const APPS: [(&str, &str); 8] = [
    ("com.example.app", "IAB9-30"),
    ("com.example.puzzle", "IAB9-5"),
    ("org.example.radio", "IAB1-6"),
    ("com.example.weather", "IAB15-10"),
    ("net.example.chat", "IAB14"),
    ("com.example.fitness", "IAB7-18"),
    ("org.example.reader", "IAB1-1"),
    ("com.example.maps", "IAB20-1"),
];

pub const BLOCKED_CATEGORIES: [&str; 12] = [
    "IAB25", "IAB26", "IAB7-39", "IAB8-5", "IAB8-18", "IAB9-9", "IAB11-4", "IAB14-1", "IAB23", "IAB24", "IAB25-3",
    "IAB26-1",
];
pub const BLOCKED_ADVERTISERS: [&str; 10] = [
    "blocked.example",
    "casino.example",
    "tobacco.example",
    "rival-one.example",
    "rival-two.example",
    "payday.example",
    "miracle-cure.example",
    "clickbait.example",
    "spyware.example",
    "lottery.example",
];

/// Floors in nanos per impression (CPM times a million), low ones more often.
pub const FLOORS: [(u32, i64); 8] =
    [(20, 0), (18, 10_000), (18, 50_000), (16, 100_000), (12, 250_000), (9, 500_000), (5, 1_000_000), (2, 3_000_000)];
pub const TMAX_MS: [(u32, u32); 5] = [(10, 100), (30, 120), (30, 150), (20, 200), (10, 300)];
pub const CARRIERS: [&str; 5] = ["310-410", "311-480", "262-01", "208-01", "234-15"];

pub const VIDEO: &str = "\"video\":{\"mimes\":[\"video/mp4\",\"video/webm\"],\"minduration\":5,\"maxduration\":30,\
    \"protocols\":[2,3,5,6,7],\"w\":640,\"h\":360,\"startdelay\":0,\"placement\":1,\"plcmt\":1,\"linearity\":1,\
    \"skip\":1,\"skipmin\":6,\"skipafter\":5,\"playbackmethod\":[2],\"delivery\":[2],\"api\":[1,2,7]}";
pub const NATIVE: &str = "\"native\":{\"request\":\"{\\\"ver\\\":\\\"1.2\\\",\\\"context\\\":1,\\\"plcmttype\\\":1,\
    \\\"plcmtcnt\\\":1,\\\"assets\\\":[{\\\"id\\\":1,\\\"required\\\":1,\\\"title\\\":{\\\"len\\\":90}},\
    {\\\"id\\\":2,\\\"required\\\":1,\\\"img\\\":{\\\"type\\\":3,\\\"wmin\\\":300,\\\"hmin\\\":157}},\
    {\\\"id\\\":3,\\\"required\\\":0,\\\"img\\\":{\\\"type\\\":1,\\\"wmin\\\":50,\\\"hmin\\\":50}},\
    {\\\"id\\\":4,\\\"required\\\":0,\\\"data\\\":{\\\"type\\\":1,\\\"len\\\":25}}]}\",\"ver\":\"1.2\",\"api\":[5]}";
/// A TCF 2 consent string, as European traffic carries.
pub const CONSENT: &str = "CPXxRfAPXxRfAAfKABENB-CgAAAAAAAAAAYgAAAAAAAA";
