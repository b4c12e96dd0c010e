//! The campaigns of the world: per impression and per click, with frequency caps and without, in two currencies and
//! three time zones.

use std::sync::{Arc, LazyLock};

use gavel::bidding::campaign::{Campaign, parse};
use gavel::clock::Zone;
use gavel::ids::Currency;
use gavel::money::Nanos;
use gavel::scoring::manifest::Manifest;
use gavel::scoring::{Artifact, ModelSet, Models, RowsFrom, Sources};
use serde_json::json;
use sha2::{Digest, Sha256};

use crate::price::cpm;

/// What never changes about a campaign.
pub struct Terms {
    pub id: &'static str,
    pub zone: Zone,
    zone_name: &'static str,
    pub currency: Currency,
    /// In nanos, per impression or per click.
    pub price: i64,
    pub per_click: bool,
    /// About what an impression costs: budgets are multiples of it.
    pub unit: i64,
    /// So many impressions in so many seconds.
    pub caps: &'static [(u32, i64)],
    /// Without one at first.
    pub has_daily: bool,
}

pub const EUR: Currency = Currency(*b"EUR");
/// Every campaign takes it.
pub const ANY_SITE: &str = "any.example";

pub fn terms() -> Vec<Terms> {
    let new = |id, zone_name: &'static str, currency, price| Terms {
        id,
        zone: Zone::named(zone_name).expect("a zone of the bundled database"),
        zone_name,
        currency,
        price,
        per_click: false,
        unit: price,
        caps: &[],
        has_daily: true,
    };
    vec![
        new("c-0", "UTC", Currency::USD, 1_000_000),
        Terms { caps: &[(2, 20), (4, 600)], has_daily: false, ..new("c-1", "America/New_York", EUR, 2_500_001) },
        new("c-2", "Asia/Kolkata", Currency::USD, 777_777),
        Terms { per_click: true, unit: 1_500_000, ..new("c-3", "UTC", Currency::USD, 9_000_001) },
        Terms { per_click: true, unit: 1_000_000, caps: &[(1, 15)], ..new("c-4", "Asia/Kolkata", EUR, 7_000_003) },
    ]
}

impl Terms {
    /// Where only this campaign is shown.
    pub fn site(&self) -> String {
        format!("{}.example", self.id)
    }

    /// The campaign with this budget. The edit's number stands in its name.
    pub fn campaign(&self, total: i64, daily: Option<i64>, active: bool, edit: u64) -> Campaign {
        let mut budget = json!({"total": Nanos(total).to_string()});
        if let Some(daily) = daily {
            budget["daily"] = Nanos(daily).to_string().into();
        }
        let bid = match self.per_click {
            true => json!({"type": "cpc", "price": Nanos(self.price).to_string(), "model": "ctr"}),
            false => json!({"type": "cpm", "price": cpm(self.price)}),
        };
        let caps = self.caps.iter().map(|(impressions, s)| json!({"impressions": impressions, "per_seconds": s}));
        let text = json!({
            "id": self.id, "name": format!("edit {edit}"), "advertiser": "a", "pacing": "asap", "budget": budget,
            "status": if active { "active" } else { "paused" }, "currency": self.currency.as_str(),
            "time_zone": self.zone_name, "bid": bid, "frequency_caps": caps.collect::<Vec<_>>(),
            "targeting": {"inventory": {"include": [self.site(), ANY_SITE]}},
            "creatives": [{"id": "x", "type": "banner", "w": 300, "h": 250, "adm": "x", "adomain": ["a.example"]}],
        });
        parse(&text.to_string()).unwrap_or_else(|faults| panic!("{}", faults[0]))
    }
}

/// The number of the edit that a campaign's JSON came with.
pub fn edit_number(json: &str) -> Option<u64> {
    json.split_once("\"name\":\"edit ")?.1.split_once('"')?.0.parse().ok()
}

const BIAS: f64 = -3.0;
const WEIGHT: f64 = 0.25;

/// How often somebody with a device of this type clicks.
pub fn click_rate(device: i64) -> f64 {
    1.0 / (1.0 + (-(BIAS + WEIGHT * device as f64)).exp())
}

/// The model that says so.
pub fn models() -> Arc<Models> {
    static MODELS: LazyLock<Arc<Models>> = LazyLock::new(|| {
        let file = format!(
            "{{\"format\":\"gavel-linear-1\",\"objective\":\"logistic\",\"bias\":{BIAS:?},\
             \"columns\":[{{\"name\":\"device\",\"weight\":{WEIGHT}}}]}}"
        );
        let digest: String = Sha256::digest(&file).iter().map(|byte| format!("{byte:02x}")).collect();
        let text = format!(
            "name = \"ctr\"\nversion = \"1\"\nkind = \"linear\"\nfile = \"weights.json\"\nsha256 = \"{digest}\"\n\
             output = \"probability\"\n[[features]]\nname = \"device\"\nsource = \"device.devicetype\"\n\
             transform = \"numeric\"\n"
        );
        let manifest = Manifest::parse(&text).expect("a manifest");
        let artifact = Artifact::load(&manifest, file.as_bytes(), &Sources::bid(), RowsFrom::Transforms);
        let set = ModelSet { active: Some(Arc::new(artifact.expect("a model"))), ..ModelSet::default() };
        Arc::new(Models::default().with("ctr", set))
    });
    MODELS.clone()
}
