//! A catalog as an operator might have it: banners with prices, places, devices, site lists, caps; all from a seed.

use fastrand::Rng;
use serde_json::{Value, json};

use super::places::{CATEGORIES, DEVICES, PLACES, SITES, SIZES, pick, site};

/// How narrowly campaigns are targeted: shares of them.
#[derive(Clone, Copy, Debug)]
pub struct Mix {
    /// Run on a list of sites only.
    pub on_sites: f64,
    /// Run in one city only.
    pub in_a_city: f64,
}

/// About 5 % of the campaigns are eligible for a request.
pub const WIDE: Mix = Mix { on_sites: 0.5, in_a_city: 0.2 };
/// About 0.5 %.
pub const USUAL: Mix = Mix { on_sites: 0.97, in_a_city: 0.3 };
/// About 0.05 %.
pub const NARROW: Mix = Mix { on_sites: 1.0, in_a_city: 0.8 };

const SEED: u64 = 0x6761_7665_6c00;
/// Far more than a run can spend: every refusal is then about targeting.
const BUDGET: &str = "100000000.00";

/// Campaign number `i` as JSON.
pub fn campaign(i: usize, mix: Mix) -> Value {
    let rng = &mut Rng::with_seed(SEED.wrapping_add((i as u64).wrapping_mul(0x9E37_79B9_7F4A_7C15)));
    let creatives: Vec<Value> = (0..rng.usize(1..=2)).map(|n| creative(i, n, rng)).collect();
    let zone = ["UTC", "America/New_York", "America/Los_Angeles", "Europe/Berlin", "Asia/Tokyo"][rng.usize(..5)];
    let mut campaign = json!({
        "id": format!("c-{i}"), "name": format!("Campaign {i}"), "advertiser": format!("advertiser-{}", i % 997),
        "status": "active", "currency": "USD", "time_zone": zone, "budget": {"total": BUDGET}, "pacing": "asap",
        "bid": {"type": "cpm", "price": format!("{}.{:06}", rng.u32(0..6), rng.u32(500_000..1_000_000))},
        "targeting": targeting(rng, mix), "creatives": creatives,
    });
    if rng.u8(..10) < 2 {
        campaign["frequency_caps"] = json!([{"impressions": rng.u8(2..=5), "per_seconds": 86_400}]);
    }
    campaign
}

fn creative(campaign: usize, number: usize, rng: &mut Rng) -> Value {
    let (_, w, h) = pick(rng, &SIZES, |size| size.0);
    let domain = format!("advertiser-{}.example", campaign % 997);
    let image = format!("https://cdn.{domain}/{campaign}/{number}-{w}x{h}.png");
    let adm = format!(
        "<a href=\"https://{domain}/offer?c={campaign}\" target=\"_blank\" rel=\"noopener\"><img src=\"{image}\" \
         width=\"{w}\" height=\"{h}\" alt=\"Offer {campaign}: the season begins\" style=\"border:0\"></a>"
    );
    json!({
        "id": format!("cr-{campaign}-{number}"), "type": "banner", "w": w, "h": h, "adm": adm, "adomain": [domain],
        "cat": [CATEGORIES[rng.usize(..CATEGORIES.len())]], "attr": [], "landing_url": format!("https://{domain}/"),
    })
}

fn targeting(rng: &mut Rng, mix: Mix) -> Value {
    let mut t = json!({});
    match rng.u8(..10) {
        0..7 => {
            let wanted = (0..rng.usize(1..=2)).map(|_| pick(rng, &PLACES, |place| place.0).1);
            t["countries"] = json!({"include": wanted.collect::<Vec<_>>()});
        }
        7 => t["countries"] = json!({"exclude": [pick(rng, &PLACES, |place| place.0).1]}),
        _ => {}
    }
    if rng.u8(..10) < 5 {
        t["devices"] = json!([pick(rng, &DEVICES, |device| device.0).2]);
    }
    if rng.u8(..10) < 2 {
        t["os"] = json!(["android", pick(rng, &DEVICES, |device| device.0).3]);
    }
    if rng.u8(..10) < 2 {
        t["languages"] = json!(["en", pick(rng, &PLACES, |place| place.0).4]);
    }
    if rng.u8(..10) < 2 {
        t["categories"] = json!({"exclude": [CATEGORIES[rng.usize(..CATEGORIES.len())]]});
    }
    if rng.u8(..10) < 1 {
        t["hours_of_week"] = json!((0..168).filter(|hour| hour % 24 >= 4).collect::<Vec<_>>());
    }
    if rng.u8(..10) < 1 {
        t["segments"] = json!({"none": [format!("s{}", rng.u8(1..50))]});
    }
    let sites = |rng: &mut Rng| (0..rng.usize(20..=60)).map(|_| site(rng.u32(1..=SITES))).collect::<Vec<_>>();
    if rng.f64() < mix.in_a_city {
        let place = pick(rng, &PLACES, |place| place.0);
        t["countries"] = json!({"include": [place.1]});
        t["cities"] = json!({"include": [place.3]});
    }
    if rng.f64() < mix.on_sites {
        t["inventory"] = json!({"include": sites(rng)});
    } else if rng.u8(..10) < 2 {
        t["inventory"] = json!({"exclude": sites(rng)});
    }
    t
}
