//! The campaigns of a scenario: generated from a seed, as an operator might have them. About one in a hundred is eligible
//! for a request: most run on a list of sites, in some countries, on some devices.

use crate::requests::pick;
use crate::vocabulary::{APPS, BLOCKED_CATEGORIES, DEVICES, PLACES, SITES, SIZES};
use fastrand::Rng;
use serde_json::{Value, json};

/// Far more than a run can spend: every refusal is then about targeting.
const BUDGET: &str = "100000000.00";
/// Publishers that are never asked about, but stand in lists.
const OTHER_SITES: u32 = 5_000;
const ADVERTISERS: u64 = 997;

/// Campaign `number`. Another `revision` has another price; an odd one another targeting, too.
pub fn campaign(seed: u64, number: u64, revision: u64) -> Value {
    let mixed = |salt: u64| {
        let spread = number.wrapping_add(salt.wrapping_mul(0x632B_E59B_D9B4_E019)).wrapping_mul(0x9E37_79B9_7F4A_7C15);
        Rng::with_seed(seed.rotate_left(32).wrapping_add(spread))
    };
    let (rng, edits) = (&mut mixed(0), &mut mixed(revision));
    let creatives: Vec<Value> = (0..rng.usize(1..=2)).map(|place| creative(number, place, rng)).collect();
    let zone = ["UTC", "America/New_York", "America/Los_Angeles", "Europe/Berlin", "Asia/Tokyo"][rng.usize(..5)];
    let capped = rng.u8(..10) < 2;
    let targeting = targeting(if revision % 2 == 1 { edits } else { rng });
    let price = format!("{}.{:06}", edits.u32(0..6), edits.u32(500_000..1_000_000));
    let mut campaign = json!({
        "id": id(number), "name": format!("Campaign {number}"), "advertiser": format!("advertiser-{}", number % ADVERTISERS),
        "status": "active", "currency": "USD", "time_zone": zone, "budget": {"total": BUDGET}, "pacing": "asap",
        "bid": {"type": "cpm", "price": price}, "targeting": targeting, "creatives": creatives,
    });
    if capped {
        campaign["frequency_caps"] = json!([{"impressions": 4, "per_seconds": 86_400}]);
    }
    campaign
}

pub fn id(number: u64) -> String {
    format!("c-{number}")
}

/// A campaign that every request is for, at a price above all others.
pub fn hot(number: u32) -> Value {
    wide(&format!("hot-{number}"), json!({"type": "cpm", "price": format!("{}.500000", 20 + number % 10)}))
}

/// The same, paid by click.
pub fn clicks(number: u32) -> Value {
    wide(
        &format!("click-{number}"),
        json!({"type": "cpc", "price": format!("0.{:02}", 40 + number % 50), "model": "ctr"}),
    )
}

fn wide(id: &str, bid: Value) -> Value {
    let creatives: Vec<Value> = SIZES
        .iter()
        .map(|(_, w, h)| {
            json!({
                "id": format!("{id}-{w}x{h}"), "type": "banner", "w": number(w), "h": number(h),
                "adm": format!("<a href=\"https://wide.example/{id}\"><img src=\"https://cdn.wide.example/{w}x{h}.png\"></a>"),
                "adomain": ["wide.example"], "cat": ["IAB1-6"], "attr": [],
            })
        })
        .collect();
    json!({
        "id": id, "advertiser": "wide", "status": "active", "currency": "USD", "budget": {"total": BUDGET},
        "pacing": "asap", "bid": bid, "creatives": creatives,
    })
}

/// All of a catalog, as a file has it.
pub fn write(out: &mut impl std::io::Write, all: impl Iterator<Item = Value>) -> std::io::Result<()> {
    for (place, campaign) in all.enumerate() {
        write!(out, "{}{campaign}", if place == 0 { "[\n" } else { ",\n" })?;
    }
    writeln!(out, "\n]")
}

fn number(text: &str) -> u32 {
    text.parse().unwrap_or(0)
}

fn creative(campaign: u64, place: usize, rng: &mut Rng) -> Value {
    let (_, w, h) = pick(rng, &SIZES, |size| size.0);
    let domain = format!("advertiser-{}.example", campaign % ADVERTISERS);
    let adm = format!(
        "<a href=\"https://{domain}/offer?c={campaign}\" target=\"_blank\" rel=\"noopener\"><img \
         src=\"https://cdn.{domain}/{campaign}/{place}-{w}x{h}.png\" width=\"{w}\" height=\"{h}\" alt=\"Offer {campaign}\" \
         style=\"border:0\"></a>"
    );
    json!({
        "id": format!("cr-{campaign}-{place}"), "type": "banner", "w": number(w), "h": number(h), "adm": adm,
        "adomain": [domain], "cat": [category(rng)], "attr": [],
    })
}

fn category(rng: &mut Rng) -> &'static str {
    let all = SITES.iter().chain(&APPS);
    all.map(|(_, category)| *category).nth(rng.usize(..SITES.len() + APPS.len())).unwrap_or("IAB1")
}

fn targeting(rng: &mut Rng) -> Value {
    let mut targeting = json!({});
    let country = |rng: &mut Rng| pick(rng, &PLACES, |place| place.weight).country;
    match rng.u8(..10) {
        0..7 => {
            let mut wanted: Vec<&str> = (0..rng.usize(1..=2)).map(|_| country(rng)).collect();
            wanted.dedup();
            targeting["countries"] = json!({"include": wanted});
        }
        7 => targeting["countries"] = json!({"exclude": [country(rng)]}),
        _ => {}
    }
    if rng.u8(..10) < 5 {
        let kind = pick(rng, &DEVICES, |device| device.weight).kind;
        targeting["devices"] = json!([match kind {
            "2" => "desktop",
            "3" => "tv",
            "5" => "tablet",
            _ => "phone",
        }]);
    }
    if rng.u8(..10) < 2 {
        targeting["os"] = json!(["android", "ios", "windows"][rng.usize(..3)..]);
    }
    if rng.u8(..10) < 2 {
        targeting["categories"] = json!({"exclude": [BLOCKED_CATEGORIES[rng.usize(..BLOCKED_CATEGORIES.len())]]});
    }
    if rng.u8(..10) < 1 {
        targeting["hours_of_week"] = json!((0..168).filter(|hour| hour % 24 >= 4).collect::<Vec<_>>());
    }
    let mut sites: Vec<String> =
        (0..rng.usize(20..=60)).map(|_| format!("publisher-{}.example", rng.u32(..OTHER_SITES))).collect();
    sites.sort_unstable();
    sites.dedup();
    match rng.u8(..100) {
        0..95 => {
            // One list in four names a place that requests come from.
            if rng.u8(..4) == 0 {
                let all = SITES.iter().chain(&APPS).map(|(name, _)| (*name).to_owned());
                sites.extend(all.skip(rng.usize(..SITES.len() + APPS.len())).take(1));
            }
            targeting["inventory"] = json!({"include": sites});
        }
        95..97 => targeting["inventory"] = json!({"exclude": sites}),
        _ => {}
    }
    targeting
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_seed_makes_the_same_campaigns() {
        for number in 0..200 {
            assert_eq!(campaign(1, number, 0), campaign(1, number, 0));
            assert_ne!(campaign(1, number, 0)["targeting"], campaign(2, number, 0)["targeting"]);
        }
    }

    #[test]
    fn an_edit_changes_the_price_and_every_other_one_the_targeting() {
        let (first, second, third) = (campaign(1, 7, 0), campaign(1, 7, 1), campaign(1, 7, 2));
        assert!(first["id"] == second["id"] && first["creatives"] == second["creatives"]);
        assert!(first["bid"] != second["bid"] && second["bid"] != third["bid"]);
        assert_eq!(first["targeting"], third["targeting"]);
        assert_ne!(first["targeting"], second["targeting"]);
    }

    #[test]
    fn a_file_is_a_list() {
        let mut out = Vec::new();
        write(&mut out, [hot(0), clicks(1), campaign(1, 2, 0)].into_iter()).expect("write");
        let all: Vec<Value> = serde_json::from_slice(&out).expect("JSON");
        assert_eq!(
            all.iter().map(|one| one["id"].as_str().unwrap_or("")).collect::<Vec<_>>(),
            ["hot-0", "click-1", "c-2"]
        );
    }
}
