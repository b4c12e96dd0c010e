//! Random campaigns and requests in one small world, so that many of them meet.

use fastrand::Rng;
use serde_json::{Value, json};

use crate::EXCHANGES;

pub const CURRENCIES: [&str; 3] = ["USD", "EUR", "JPY"];
const COUNTRIES: [&str; 4] = ["USA", "DEU", "CAN", "JPN"];
const REGIONS: [&str; 3] = ["CA", "NY", "BE"];
const CITIES: [&str; 3] = ["Berlin", "New York", "München"];
const DEVICES: [&str; 7] = ["phone", "tablet", "desktop", "tv", "settop", "device", "dooh"];
const OSES: [&str; 4] = ["ios", "android", "windows", "other"];
const LANGUAGES: [&str; 3] = ["en", "de", "pt"];
const SITES: [&str; 5] = ["news.example", "a.news.example", "b.a.news.example", "games.example", "com.games.app"];
const CATEGORIES: [&str; 5] = ["IAB7", "IAB7-3", "IAB1-6", "IAB25", "IAB25-2"];
const SEGMENTS: [&str; 4] = ["s1", "s2", "s3", "s4"];
const DEALS: [&str; 3] = ["d1", "d2", "d3"];
const ADVERTISERS: [&str; 4] = ["acme.example", "shop.acme.example", "bank.example", "toys.example"];
const APPS: [&str; 2] = ["com.acme.app", "com.bank.app"];
const SIZES: [(u32, u32); 4] = [(300, 250), (728, 90), (320, 50), (160, 600)];
pub const USERS: [&str; 3] = ["u1", "u2", "00000000-0000"];

fn one<'a>(rng: &mut Rng, from: &[&'a str]) -> &'a str {
    from[rng.usize(..from.len())]
}

fn any<T: Copy, const N: usize>(rng: &mut Rng, from: [T; N]) -> T {
    from[rng.usize(..N)]
}

/// Up to `most` of them, none at all included.
fn some(rng: &mut Rng, from: &[&str], most: usize) -> Vec<String> {
    (0..rng.usize(..=most)).map(|_| one(rng, from).to_owned()).collect()
}

fn chance(rng: &mut Rng, one_in: u32) -> bool {
    rng.u32(..one_in) == 0
}

/// What exchanges make of names: another case, `www.`, a trailing dot.
fn spelt(rng: &mut Rng, name: &str) -> String {
    match rng.u8(..8) {
        0 => name.to_uppercase(),
        1 => format!("www.{name}"),
        2 => format!("{name}."),
        _ => name.to_owned(),
    }
}

/// A price or floor per thousand impressions; few of them, so that some are equal.
fn cpm(rng: &mut Rng, most: u32) -> String {
    match rng.u8(..3) {
        0 => format!("{}", rng.u32(1..=most)),
        1 => format!("{}.5", rng.u32(..most)),
        _ => format!("{}.{:06}", rng.u32(..most), rng.u32(1..1_000_000)),
    }
}

/// Yen are cheaper than dollars.
fn units(rng: &mut Rng, currency: &str) -> String {
    cpm(rng, if currency == "JPY" { 900 } else { 6 })
}

pub fn campaign(rng: &mut Rng, number: usize) -> Value {
    let currency = one(rng, &CURRENCIES);
    let zone = one(rng, &["UTC", "Asia/Tokyo", "America/New_York", "Asia/Kolkata"]);
    // Some cannot pay for one impression.
    let total = if chance(rng, 10) { "0.000001" } else { "1000000" };
    let mut campaign = json!({
        "id": format!("c-{number}"), "advertiser": "a", "currency": currency, "time_zone": zone,
        "status": if chance(rng, 12) { "paused" } else { "active" }, "budget": {"total": total},
        "bid": {"type": "cpm", "price": units(rng, currency)}, "targeting": targeting(rng),
        "creatives": (0..rng.usize(1..=3)).map(|n| creative(rng, n)).collect::<Vec<_>>(),
    });
    let dates = ["2026-11-01T00:00:00Z", "2026-11-20T12:00:00Z", "2026-12-31T00:00:00Z"];
    match rng.u8(..10) {
        0 => campaign["starts_at"] = one(rng, &dates[1..]).into(),
        1 => campaign["ends_at"] = one(rng, &dates[1..]).into(),
        2 => (campaign["starts_at"], campaign["ends_at"]) = (dates[0].into(), one(rng, &dates[1..]).into()),
        _ => {}
    }
    if chance(rng, 5) {
        let cap = |rng: &mut Rng| json!({"impressions": rng.u8(1..=3), "per_seconds": any(rng, [60, 3_600, 86_400])});
        campaign["frequency_caps"] = (0..rng.usize(1..=2)).map(|_| cap(rng)).collect();
    }
    campaign
}

fn targeting(rng: &mut Rng) -> Value {
    let mut t = json!({});
    // Most campaigns are choosy in one or two ways.
    for _ in 0..rng.usize(..4) {
        match rng.u8(..12) {
            0 => t["exchanges"] = some(rng, &EXCHANGES, 2).into(),
            1 => t["countries"] = lists(rng, &COUNTRIES),
            2 => t["regions"] = lists(rng, &REGIONS),
            3 => t["cities"] = lists(rng, &CITIES),
            4 => t["devices"] = some(rng, &DEVICES, 3).into(),
            5 => t["os"] = some(rng, &OSES, 2).into(),
            6 => t["languages"] = some(rng, &LANGUAGES, 2).into(),
            7 => t["hours_of_week"] = (0..168).filter(|_| rng.bool()).collect::<Vec<_>>().into(),
            8 => t["inventory"] = lists(rng, &SITES),
            9 => t["categories"] = lists(rng, &CATEGORIES),
            10 => t["segments"] = json!({"any": some(rng, &SEGMENTS, 2), "none": some(rng, &SEGMENTS, 1)}),
            _ => t["deals"] = some(rng, &DEALS, 2).into(),
        }
    }
    t
}

fn lists(rng: &mut Rng, from: &[&str]) -> Value {
    match rng.u8(..3) {
        0 => json!({"include": some(rng, from, 3)}),
        1 => json!({"exclude": some(rng, from, 2)}),
        _ => json!({"include": some(rng, from, 3), "exclude": some(rng, from, 1)}),
    }
}

fn creative(rng: &mut Rng, number: usize) -> Value {
    let (w, h) = SIZES[rng.usize(..SIZES.len())];
    let scheme = if chance(rng, 8) { "http" } else { "https" };
    let mut creative = json!({
        "id": format!("cr-{number}"), "adomain": [one(rng, &ADVERTISERS)], "cat": some(rng, &CATEGORIES, 2),
        "attr": (0..rng.usize(..2)).map(|_| rng.u8(1..5)).collect::<Vec<_>>(),
    });
    if chance(rng, 4) {
        creative["bundle"] = one(rng, &APPS).into();
    }
    let own = match rng.u8(..8) {
        0 => json!({
            "type": "video", "w": 640, "h": 360, "duration_s": any(rng, [6, 15, 30]), "protocols": [2, 3],
            "media": [{"url": format!("{scheme}://cdn.example/v"), "mime": "video/mp4", "w": 640, "h": 360}],
        }),
        1 => json!({
            "type": "audio", "duration_s": any(rng, [6, 15, 30]), "protocols": [2, 3],
            "media": [{"url": format!("{scheme}://cdn.example/a"), "mime": "audio/mp4"}],
        }),
        2 => json!({
            "type": "native", "link": format!("{scheme}://shop.example/"),
            "assets": [{"kind": "title", "text": "x".repeat(rng.usize(1..40))}],
        }),
        _ => {
            let script = if rng.bool() { "<script></script>" } else { "" };
            json!({"type": "banner", "w": w, "h": h, "adm": format!("<img src=\"{scheme}://cdn.example/i\">{script}")})
        }
    };
    if let (Some(creative), Value::Object(own)) = (creative.as_object_mut(), own) {
        creative.extend(own);
    }
    creative
}

pub fn request(rng: &mut Rng) -> Value {
    let mut request =
        json!({"id": "r", "test": 1, "imp": (0..rng.usize(1..=2)).map(|n| imp(rng, n)).collect::<Vec<_>>()});
    place(rng, &mut request);
    people(rng, &mut request);
    if chance(rng, 3) {
        request["cur"] = some(rng, &["USD", "EUR", "JPY", "CHF"], 2).into();
    }
    if chance(rng, 8) {
        request["wseat"] = some(rng, &["gavel", "other"], 2).into();
    }
    if chance(rng, 20) {
        request["bseat"] = some(rng, &["gavel", "other"], 1).into();
    }
    if chance(rng, 3) {
        request["bcat"] = some(rng, &CATEGORIES, 2).into();
    }
    if chance(rng, 3) {
        let blocked = some(rng, &ADVERTISERS, 1);
        request["badv"] = blocked.iter().map(|name| spelt(rng, name)).collect();
    }
    if chance(rng, 4) {
        request["bapp"] = some(rng, &APPS, 1).into();
    }
    request
}

fn place(rng: &mut Rng, request: &mut Value) {
    let site = one(rng, &SITES);
    let mut inventory = json!({"cat": some(rng, &CATEGORIES, 1), "pagecat": some(rng, &CATEGORIES, 1)});
    let channel = if chance(rng, 3) { "app" } else { "site" };
    match rng.u8(..4) {
        0 => {}
        1 if channel == "site" => inventory["page"] = format!("https://www.{site}/a?b").into(),
        _ => inventory["domain"] = spelt(rng, site).into(),
    }
    if channel == "app" && rng.bool() {
        inventory["bundle"] = spelt(rng, "com.games.app").into();
    }
    if chance(rng, 8) {
        inventory["content"] = json!({"cat": some(rng, &CATEGORIES, 1)});
    }
    if !chance(rng, 10) {
        request[channel] = inventory;
    }
}

fn people(rng: &mut Rng, request: &mut Value) {
    let (mut device, mut user) = (json!({}), json!({}));
    let country = |rng: &mut Rng| match one(rng, &COUNTRIES) {
        country if chance(rng, 8) => country.to_lowercase(),
        country => country.to_owned(),
    };
    if !chance(rng, 4) {
        device["geo"] = json!({"country": country(rng)});
    }
    if rng.bool() {
        device["geo"]["region"] = one(rng, &["CA", "US-NY", "be"]).into();
    }
    if rng.bool() {
        device["geo"]["city"] = one(rng, &CITIES).into();
    }
    if !chance(rng, 6) {
        device["devicetype"] = rng.u8(0..9).into();
    }
    if !chance(rng, 6) {
        device["os"] = one(rng, &["iOS", "Android", "android", "Windows", "BeOS"]).into();
    }
    if !chance(rng, 6) {
        device["language"] = one(rng, &["en", "DE", "pt-BR", "deu", "x"]).into();
    }
    if rng.bool() {
        device["ifa"] = one(rng, &USERS).into();
    }
    if rng.bool() {
        user["id"] = one(rng, &USERS).into();
    }
    if rng.bool() {
        user["geo"] = json!({"country": country(rng)});
    }
    if rng.bool() {
        let segments: Vec<Value> = some(rng, &SEGMENTS, 2).into_iter().map(|id| json!({"id": id})).collect();
        user["data"] = json!([{"segment": segments}]);
    }
    match rng.u8(..12) {
        0 => device["lmt"] = 1.into(),
        1 => request["regs"] = json!({"coppa": 1}),
        2 => request["regs"] = json!({"gdpr": 1}),
        _ => {}
    }
    (request["device"], request["user"]) = (device, user);
}

fn duration_floors(rng: &mut Rng) -> Value {
    let price = |rng: &mut Rng| cpm(rng, 3).parse::<serde_json::Number>().unwrap_or_else(|_| 1.into());
    let split = rng.u8(10..25);
    let all = [json!({"maxdur": split, "bidfloor": price(rng)}), json!({"mindur": split, "bidfloor": price(rng)})];
    all[rng.usize(..2)..].into()
}

fn imp(rng: &mut Rng, number: usize) -> Value {
    let mut imp = json!({"id": format!("{number}")});
    let attributes = |rng: &mut Rng| (0..rng.usize(..2)).map(|_| rng.u8(1..5)).collect::<Vec<_>>();
    let size = |rng: &mut Rng| SIZES[rng.usize(..SIZES.len())];
    if !chance(rng, 5) {
        let (w, h) = size(rng);
        let mut banner = json!({"w": w, "h": h, "battr": attributes(rng)});
        if rng.bool() {
            let formats = (0..rng.usize(1..3)).map(|_| size(rng)).map(|(w, h)| json!({"w": w, "h": h}));
            banner["format"] = formats.collect();
        }
        if chance(rng, 5) {
            banner["btype"] = json!([3]);
        }
        imp["banner"] = banner;
    }
    for (kind, mimes) in [("video", ["video/mp4", "video/webm"]), ("audio", ["audio/mp4", "audio/ogg"])] {
        if chance(rng, 5) {
            let mut spot =
                json!({"mimes": [one(rng, &mimes), mimes[1]], "minduration": rng.u8(0..10), "battr": attributes(rng)});
            spot["maxduration"] = rng.u8(10..40).into();
            if chance(rng, 3) {
                spot["protocols"] = json!([any(rng, [2, 7])]);
            }
            if chance(rng, 3) {
                spot["durfloors"] = duration_floors(rng);
            }
            imp[kind] = spot;
        }
    }
    if chance(rng, 5) {
        let native = json!({"ver": "1.2", "assets": [{"id": 1, "required": 1, "title": {"len": rng.u8(10..50)}}]});
        imp["native"] = json!({"request": native.to_string(), "battr": attributes(rng)});
    }
    if rng.bool() {
        imp["secure"] = rng.u8(..2).into();
    }
    let floor = |rng: &mut Rng, to: &mut Value| {
        if rng.bool() {
            let currency = one(rng, &["USD", "EUR", "JPY", "CHF"]);
            let currency = if chance(rng, 4) { currency } else { "USD" };
            let most = if currency == "JPY" { 400 } else { 3 };
            let cpm: serde_json::Number = cpm(rng, most).parse().unwrap_or_else(|_| 1.into());
            (to["bidfloor"], to["bidfloorcur"]) = (cpm.into(), currency.into());
        }
    };
    floor(rng, &mut imp);
    if chance(rng, 8) {
        imp["qty"] = json!({"multiplier": any(rng, [0.5, 3.0])});
    }
    if chance(rng, 3) {
        let deal = |rng: &mut Rng, id: &str| {
            let mut deal = json!({"id": id, "at": rng.u8(1..=3), "wseat": []});
            floor(rng, &mut deal);
            // What is bid at a fixed price would go by the creative then.
            if chance(rng, 4) && deal["at"] != 3 {
                deal["durfloors"] = duration_floors(rng);
            }
            if chance(rng, 4) {
                deal["wseat"] = some(rng, &["gavel", "other"], 1).into();
            }
            if chance(rng, 4) {
                deal["wadomain"] = some(rng, &ADVERTISERS, 2).into();
            }
            deal
        };
        let deals: Vec<Value> = ["d3", "d1"][rng.usize(..2)..].iter().map(|id| deal(rng, id)).collect();
        imp["pmp"] = json!({"private_auction": rng.u8(..2), "deals": deals});
    }
    imp
}
