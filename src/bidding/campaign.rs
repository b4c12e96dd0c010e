//! A campaign: from the JSON that was typed to a checked value, converted once.
//!
//! [`parse`] lists every fault of a text, not only the first. A [`Campaign`] has no fault; nothing after it checks again.

mod classes;
mod targeting;

use std::collections::BTreeMap;

use serde_json::Value;

pub use self::classes::{DeviceClass, DeviceSet, HoursOfWeek, OsClass, OsSet};
pub use self::targeting::{Lists, Targeting, TextSet, inventory_key};
use super::check::{Faults, Object, choice, integer, money, name, quoted, string, text};
use super::creative::{Creative, MAX_CREATIVES};
use super::fault::Fault;
use super::key::key;
use super::strict::{elements, json};
use crate::clock::{UnixMs, Zone};
use crate::ids::Currency;
use crate::money::{MAX_UNITS, NANOS_PER_UNIT, Nanos};

pub(super) use self::targeting::category;

/// Longest JSON of one campaign: it is one record in the log.
pub const MAX_CAMPAIGN_BYTES: usize = (1 << 20) - (16 << 10);
/// Longest catalog file: 100,000 campaigns of 5 KiB each.
pub const MAX_FILE_BYTES: usize = 512 << 20;
/// Longest id of a campaign or a creative (exchanges take at most 128 bytes of `crid`).
pub const MAX_ID_BYTES: usize = 128;
/// Longest name of a campaign, an advertiser or a model.
pub const MAX_NAME_BYTES: usize = 256;
/// Most entries in one targeting list.
pub const MAX_LIST: usize = 100_000;
/// Most frequency caps: each is looked up for every bid.
pub const MAX_CAPS: usize = 8;
/// Most impressions a cap can count: that many times are kept per user.
pub const MAX_CAP_IMPRESSIONS: u32 = 64;
/// Longest window of a cap: 90 days.
pub const MAX_CAP_SECONDS: u32 = 90 * 86_400;
/// Highest price per thousand impressions, and per click, in currency units: above it a typing error is likelier.
pub const MAX_PRICE_UNITS: i64 = 100_000;

const KEYS: &[&str] = &[
    "id",
    "name",
    "advertiser",
    "status",
    "currency",
    "time_zone",
    "starts_at",
    "ends_at",
    "budget",
    "pacing",
    "bid",
    "frequency_caps",
    "targeting",
    "creatives",
];

#[derive(Clone, Debug)]
pub struct Campaign {
    pub id: String,
    /// For people; the id where none was given.
    pub name: String,
    pub advertiser: String,
    pub status: Status,
    pub currency: Currency,
    pub schedule: Schedule,
    pub budget: Budget,
    pub pacing: Pacing,
    pub bid: BidPrice,
    pub frequency_caps: Vec<FrequencyCap>,
    pub targeting: Targeting,
    /// At least one.
    pub creatives: Vec<Creative>,
    /// The JSON as it was typed, without spaces and with sorted keys: for the log and for people. Parsing it again
    /// gives the same campaign and the same text.
    pub json: String,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Status {
    Active,
    Paused,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Budget {
    pub total: Nanos,
    pub daily: Option<Nanos>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Pacing {
    /// Spread over the day.
    Even,
    /// As soon as possible.
    Asap,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum BidPrice {
    /// Per impression: a CPM of 2.50 is 2,500,000 nanos.
    Cpm { price: Nanos },
    /// Per click; the bid is this times the click rate that `model` predicts.
    Cpc { price: Nanos, model: Box<str> },
}

/// When it may bid.
#[derive(Clone, Debug)]
pub struct Schedule {
    pub zone: Zone,
    /// [`key`] of the zone's name.
    pub zone_key: u64,
    /// The first instant.
    pub starts_at: Option<UnixMs>,
    /// The last instant.
    pub ends_at: Option<UnixMs>,
    /// In its zone.
    pub hours: HoursOfWeek,
}

/// At most `impressions` in any `per_ms` milliseconds for one user.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FrequencyCap {
    pub impressions: u32,
    pub per_ms: i64,
}

impl Schedule {
    /// Whether `now` lies within its dates.
    pub fn has_begun_and_not_ended(&self, now: UnixMs) -> bool {
        self.starts_at.is_none_or(|start| start <= now) && self.ends_at.is_none_or(|end| now <= end)
    }
}

/// The largest count of the caps and the longest of their windows: what must be remembered of a user.
pub fn cap_memory(caps: &[FrequencyCap]) -> Option<(u32, i64)> {
    let keep = caps.iter().map(|c| c.impressions).max()?;
    let keep_ms = caps.iter().map(|c| c.per_ms).max()?;
    Some((keep, keep_ms))
}

/// Parses one campaign.
pub fn parse(text: &str) -> Result<Campaign, Vec<Fault>> {
    let faults = Faults::default();
    if text.len() > MAX_CAMPAIGN_BYTES {
        faults.add(String::new(), too_long(text.len(), MAX_CAMPAIGN_BYTES));
        return Err(faults.finish(""));
    }
    let value = json(text).map_err(|fault| vec![fault])?;
    match read(&value, String::new(), &faults) {
        Some(campaign) if faults.is_empty() => Ok(campaign),
        _ => Err(faults.finish(text)),
    }
}

/// Parses a catalog file: one campaign or an array of them.
pub fn parse_file(text: &str) -> Result<Vec<Campaign>, Vec<Fault>> {
    let faults = Faults::default();
    if text.len() > MAX_FILE_BYTES {
        faults.add(String::new(), too_long(text.len(), MAX_FILE_BYTES));
        return Err(faults.finish(""));
    }
    if !text.trim_ascii_start().starts_with('[') {
        let value = json(text).map_err(|fault| vec![fault])?;
        return match read(&value, String::new(), &faults) {
            Some(campaign) if faults.is_empty() => Ok(vec![campaign]),
            _ => Err(faults.finish(text)),
        };
    }
    let mut seen = BTreeMap::new();
    let mut campaigns = Vec::new();
    let read_each = |index, value: Value| {
        // An id counts even where its campaign has faults: both are then listed at once.
        if let Some(id) = value.get("id").and_then(Value::as_str)
            && let Some(other) = seen.insert(id.to_owned(), index)
        {
            faults.add(format!("/{index}/id"), format!("is {}, as is /{other}/id", quoted(id)));
        }
        campaigns.extend(read(&value, format!("/{index}"), &faults));
    };
    elements(text, read_each).map_err(|fault| vec![fault])?;
    if faults.is_empty() { Ok(campaigns) } else { Err(faults.finish(text)) }
}

/// `None` only with a fault noted; with one noted the campaign must not be used.
fn read(value: &Value, pointer: String, faults: &Faults) -> Option<Campaign> {
    let o = Object::new(value, pointer, faults)?;
    o.only(KEYS);
    let mut json = value.to_string();
    json.shrink_to_fit();
    if json.len() > MAX_CAMPAIGN_BYTES {
        faults.add(o.pointer.clone(), too_long(json.len(), MAX_CAMPAIGN_BYTES));
    }
    let id = o.required("id", |v| name(v, MAX_ID_BYTES));
    let label = o.optional("name", |v| text(v, MAX_NAME_BYTES));
    let advertiser = o.optional("advertiser", |v| text(v, MAX_NAME_BYTES));
    let status = o.optional("status", |v| choice(v, &[("active", Status::Active), ("paused", Status::Paused)]));
    let currency = o.required("currency", |v| {
        let code = string(v)?;
        Currency::parse(code).ok_or_else(|| format!("is {}; must be an ISO 4217 code such as \"USD\"", quoted(code)))
    });
    let zone = o.optional("time_zone", |v| {
        let zone = text(v, MAX_NAME_BYTES)?;
        let known = Zone::named(zone).ok_or_else(|| format!("is {}; must be an IANA time zone", quoted(zone)))?;
        Ok((key(zone), known))
    });
    let (zone_key, zone) = zone.unwrap_or_else(|| (key("UTC"), Zone::utc()));
    let starts_at = o.optional("starts_at", instant);
    let ends_at = o.optional("ends_at", instant);
    if let (Some(start), Some(end)) = (starts_at, ends_at)
        && end <= start
    {
        o.fault("ends_at", "is not after starts_at");
    }
    let pacing = o.optional("pacing", |v| choice(v, &[("even", Pacing::Even), ("asap", Pacing::Asap)]));
    let budget = object(&o, "budget").and_then(|b| read_budget(&b));
    let bid = object(&o, "bid").and_then(|b| read_bid(&b));
    let frequency_caps = o.objects("frequency_caps", MAX_CAPS).filter_map(|c| read_cap(&c)).collect();
    let (targeting, hours) = o.object("targeting").map(|t| Targeting::read(&t)).unwrap_or_default();
    let creatives = read_creatives(&o);
    let id = id?.to_owned();
    Some(Campaign {
        name: label.unwrap_or(&id).to_owned(),
        id,
        advertiser: advertiser.unwrap_or_default().to_owned(),
        status: status.unwrap_or(Status::Active),
        currency: currency?,
        schedule: Schedule { zone, zone_key, starts_at, ends_at, hours },
        budget: budget?,
        pacing: pacing.unwrap_or(Pacing::Asap),
        bid: bid?,
        frequency_caps,
        targeting,
        creatives,
        json,
    })
}

fn object<'a>(o: &Object<'a>, key: &str) -> Option<Object<'a>> {
    if !o.has(key) {
        o.fault(key, "is required");
    }
    o.object(key)
}

fn read_budget(o: &Object) -> Option<Budget> {
    o.only(&["total", "daily"]);
    let max = Nanos(MAX_UNITS * NANOS_PER_UNIT);
    let daily = o.optional("daily", |v| money(v, Nanos::parse_units, max));
    Some(Budget { total: o.required("total", |v| money(v, Nanos::parse_units, max))?, daily })
}

fn read_bid(o: &Object) -> Option<BidPrice> {
    o.only(&["type", "price", "model"]);
    let per_click = o.required("type", |v| choice(v, &[("cpm", false), ("cpc", true)]));
    if per_click != Some(true) {
        if per_click == Some(false) && o.has("model") {
            o.fault("model", "is for cpc bids: a cpm bid is its price");
        }
        let max = Nanos(MAX_PRICE_UNITS * (NANOS_PER_UNIT / 1_000));
        return Some(BidPrice::Cpm { price: o.required("price", |v| money(v, Nanos::parse_cpm, max))? });
    }
    let model = o.optional("model", |v| name(v, MAX_NAME_BYTES)).unwrap_or("ctr").into();
    let max = Nanos(MAX_PRICE_UNITS * NANOS_PER_UNIT);
    Some(BidPrice::Cpc { price: o.required("price", |v| money(v, Nanos::parse_units, max))?, model })
}

fn read_cap(o: &Object) -> Option<FrequencyCap> {
    o.only(&["impressions", "per_seconds"]);
    let impressions = o.required("impressions", |v| integer(v, 1..=MAX_CAP_IMPRESSIONS));
    let seconds = o.required("per_seconds", |v| integer(v, 1..=MAX_CAP_SECONDS));
    Some(FrequencyCap { impressions: impressions?, per_ms: i64::from(seconds?) * 1_000 })
}

fn read_creatives(o: &Object) -> Vec<Creative> {
    if o.lacks("creatives") {
        o.fault("creatives", "needs at least one: nothing could be shown");
    }
    let mut creatives: Vec<Creative> = Vec::new();
    for c in o.objects("creatives", MAX_CREATIVES) {
        let Some(creative) = Creative::read(&c) else { continue };
        if creatives.iter().any(|other| other.id == creative.id) {
            c.fault("id", format!("{} is the id of another creative too", quoted(&creative.id)));
        }
        creatives.push(creative);
    }
    // There are as many of them as campaigns.
    creatives.shrink_to_fit();
    creatives
}

fn instant(value: &Value) -> Result<UnixMs, String> {
    let text = string(value)?;
    UnixMs::parse(text)
        .ok_or_else(|| format!("is {}; must be an RFC 3339 instant such as \"2026-11-01T00:00:00Z\"", quoted(text)))
}

fn too_long(len: usize, max: usize) -> String {
    format!("is {len} bytes long, more than {max}")
}

#[cfg(test)]
mod tests;
