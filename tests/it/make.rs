//! Campaigns and requests to start from, and how to change them.

use serde_json::{Value, json};

/// A USD campaign that bids a CPM of 2.50, 2,500,000 nanos an impression, for any banner of 300x250.
pub fn campaign(id: &str) -> Value {
    json!({
        "id": id,
        "currency": "USD",
        "budget": {"total": "1000.00"},
        "bid": {"type": "cpm", "price": "2.50"},
        "creatives": [banner(&format!("{id}-banner"))],
    })
}

pub fn banner(id: &str) -> Value {
    json!({
        "id": id, "type": "banner", "w": 300, "h": 250, "adm": "<a href=\"https://acme.example/\">ad</a>",
        "adomain": ["acme.example"], "cat": ["IAB1"], "attr": [], "landing_url": "https://acme.example/",
    })
}

/// One banner impression of 300x250 on a site, first price, of an exchange that waits: also for a busy machine.
pub fn request() -> Value {
    json!({
        "id": "r-1",
        "at": 1,
        "imp": [{"id": "1", "banner": {"w": 300, "h": 250}}],
        "site": {"domain": "example.com"},
        "tmax": 60_000,
    })
}

/// [`request`], where it matters that it waits.
pub fn patient() -> Value {
    with(request(), json!({"tmax": 60_000}))
}

/// [`patient`] filled up to so many bytes.
pub fn filled(bytes: usize) -> String {
    let with_text = |text: String| with(patient(), json!({"ext": {"text": text}})).to_string();
    let empty_bytes = with_text(String::new()).len();
    with_text("x".repeat(bytes - empty_bytes))
}

/// A JSON merge patch (RFC 7396): objects are merged, null removes, anything else replaces.
pub fn with(mut value: Value, patch: Value) -> Value {
    merge(&mut value, patch);
    value
}

/// As [`with`], for the first impression of a request.
pub fn with_imp(mut request: Value, patch: Value) -> Value {
    merge(&mut request["imp"][0], patch);
    request
}

/// As [`with`], for the first creative of a campaign.
pub fn with_creative(mut campaign: Value, patch: Value) -> Value {
    merge(&mut campaign["creatives"][0], patch);
    campaign
}

fn merge(value: &mut Value, patch: Value) {
    let Value::Object(patch) = patch else {
        *value = patch;
        return;
    };
    if !value.is_object() {
        *value = json!({});
    }
    let object = value.as_object_mut().unwrap();
    for (key, patch) in patch {
        if patch.is_null() {
            object.remove(&key);
        } else {
            merge(object.entry(key).or_insert(Value::Null), patch);
        }
    }
}

/// Decimal currency units as nanos, exactly.
pub fn nanos(text: &str) -> i64 {
    let (whole, fraction) = text.split_once('.').unwrap_or_else(|| panic!("{text:?} is not a decimal string"));
    assert!((2..=9).contains(&fraction.len()), "{text:?}");
    whole.parse::<i64>().unwrap() * 1_000_000_000 + format!("{fraction:0<9}").parse::<i64>().unwrap()
}

/// `${NAME}` replaced by its value; macros that are not given stay.
pub fn substitute(url: &str, values: &[(&str, &str)]) -> String {
    values.iter().fold(url.to_owned(), |url, (name, value)| url.replace(&format!("${{{name}}}"), value))
}
