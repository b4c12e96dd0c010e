//! `[fraud]`: windows, bounds, and who may ask.

use core::net::SocketAddr;
use std::path::{Path, PathBuf};

use super::section::Section;
use crate::fraud::lists::is_name;
use crate::fraud::velocity::{MAX_WINDOWS, Velocity, Window};
use crate::fraud::{Decision, demo};
use crate::window::sliding::{Aggregate, Limits, Outcome};

/// `[fraud]`
#[derive(Clone, Debug)]
pub struct Fraud {
    /// Default: those of the demo.
    pub windows: Vec<Window>,
    /// Rules to begin with, before REST puts others. Default: the demo's, or none where windows are declared.
    pub rules: Option<PathBuf>,
    pub rules_text: String,
    /// How old a check may be when it comes. Default 7 days: windows keep so much more.
    pub max_age_ms: i64,
    /// How far ahead of our clock a check's may be. Default 60 s.
    pub max_future_ms: i64,
    /// How long a check may take before it is answered by `on_timeout`. Default 1 s.
    pub deadline_ms: u64,
    /// What is answered when it takes longer. Default `review`.
    pub on_timeout: Decision,
    /// Answered only when it is synced. Default false: when it is written, which outlives the process.
    pub synced: bool,
    /// Unknown fields of a check are faults. Default false.
    pub strict: bool,
    /// Default: unless the traffic listener is on loopback; only there it may be false.
    pub require_keys: Option<bool>,
    pub keys: Vec<ApiKey>,
    /// Memory for windows in bytes, taken as it is needed. Default 256 MiB.
    pub windows_max_bytes: usize,
    /// Events of one key that windows look at; older ones are evicted. Default 100,000. Bounds what one hot key costs.
    pub max_events_per_key: usize,
    /// Checks that retries, outcomes and labels are known for. Default 1,000,000, about 300 bytes each.
    pub max_checks: usize,
}

/// `[[fraud.keys]]`
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ApiKey {
    /// What the key is called, in metrics and log lines.
    pub id: String,
    /// Of the key itself, which stands nowhere.
    pub sha256: [u8; 32],
    /// Whose checks it makes and sees.
    pub merchant: String,
    /// Default 1000.
    pub rate_per_second: u32,
    /// Requests at once. Default: those of a second.
    pub burst: u32,
    /// In place of the section's, for this merchant.
    pub deadline_ms: Option<u64>,
    pub on_timeout: Option<Decision>,
}

impl Fraud {
    pub fn limits(&self) -> Limits {
        Limits {
            max_bytes: self.windows_max_bytes,
            max_events_per_key: self.max_events_per_key,
            late_ms: self.max_age_ms + self.max_future_ms,
        }
    }
}

/// `listen` is the traffic listener's address.
pub fn read(mut s: Section, base: &Path, listen: SocketAddr) -> Fraud {
    let mut windows = Vec::new();
    s.each("windows", |section| windows.extend(window(section)));
    if windows.len() > MAX_WINDOWS {
        s.fault("windows", format!("there are more than {MAX_WINDOWS}"));
    }
    let mut keys: Vec<ApiKey> = Vec::new();
    s.each("keys", |mut section| {
        let read = key(&mut section);
        if let Some(key) = read {
            if keys.iter().any(|other| other.sha256 == key.sha256) {
                section.fault("sha256", "stands twice");
            }
            keys.push(key);
        }
        section.end();
    });
    let declared = s.has("windows");
    let rules = s.text("rules", |t| Ok(base.join(t)));
    let rules_text = match &rules {
        Some(file) => std::fs::read_to_string(file).unwrap_or_else(|e| {
            s.fault("rules", format!("{} cannot be read: {e}", file.display()));
            String::new()
        }),
        None if declared => String::new(),
        None => demo::RULES.to_owned(),
    };
    let fraud = Fraud {
        windows: if declared { windows } else { demo::windows() },
        rules,
        rules_text,
        max_age_ms: s.number("max_age_days", 0..=90).unwrap_or(7) * 86_400_000,
        max_future_ms: s.number("max_future_seconds", 0..=86_400).unwrap_or(60) * 1_000,
        deadline_ms: s.number("deadline_ms", 1..=60_000).unwrap_or(1_000).unsigned_abs(),
        on_timeout: s.text("on_timeout", on_timeout).unwrap_or(Decision::Review),
        synced: s.text("durability", durability).unwrap_or(false),
        strict: s.boolean("strict").unwrap_or(false),
        require_keys: s.boolean("require_keys"),
        keys,
        windows_max_bytes: s.number("windows_max_bytes", 1 << 20..=1 << 40).unwrap_or(256 << 20) as usize,
        max_events_per_key: s.number("max_events_per_key", 64..=10_000_000).unwrap_or(100_000) as usize,
        max_checks: s.number("max_checks", 1_000..=1_000_000_000).unwrap_or(1_000_000) as usize,
    };
    if fraud.require_keys == Some(false) && !listen.ip().is_loopback() {
        s.fault("require_keys", format!("must be true: the traffic listener is on {listen}, not on loopback"));
    }
    let limits = Limits { max_bytes: 1 << 20, ..fraud.limits() };
    if let Err(faults) = Velocity::new(fraud.windows.clone(), limits) {
        for (number, key, message) in faults {
            s.fault("windows", format!("[{number}].{key}: {message}"));
        }
    }
    s.end();
    fraud
}

fn durability(text: &str) -> Result<bool, String> {
    match text {
        "written" => Ok(false),
        "synced" => Ok(true),
        _ => Err("must be \"written\" or \"synced\"".to_owned()),
    }
}

fn on_timeout(text: &str) -> Result<Decision, String> {
    let decision = Decision::parse(text).filter(|decision| *decision != Decision::Challenge);
    decision.ok_or_else(|| "must be \"allow\", \"review\" or \"deny\"".to_owned())
}

fn window(mut s: Section) -> Option<Window> {
    let fits = |t: &str| if is_name(t) { Ok(t.to_owned()) } else { Err("must be letters, digits and _".to_owned()) };
    let name = s.text("name", fits);
    let key = s.texts("key");
    let aggregate = s.text("aggregate", aggregate);
    let value = s.text("value", |t| Ok(t.to_owned()));
    let length_ms = s.text("length", duration);
    let delay_ms = s.text("delay", duration).unwrap_or(0);
    let selects = s.text("where", outcome).unwrap_or(Outcome::TOTAL);
    for key in ["name", "key", "aggregate", "length"] {
        if !s.has(key) {
            s.fault(key, "is required");
        }
    }
    s.end();
    Some(Window { name: name?, key: key?, aggregate: aggregate?, value, length_ms: length_ms?, delay_ms, selects })
}

fn aggregate(text: &str) -> Result<Aggregate, String> {
    Ok(match text {
        "count" => Aggregate::Count,
        "sum" => Aggregate::Sum,
        "avg" => Aggregate::Avg,
        "min" => Aggregate::Min,
        "max" => Aggregate::Max,
        "last" => Aggregate::Last,
        "distinct" => Aggregate::Distinct,
        "time_since" => Aggregate::TimeSince,
        "share" => Aggregate::Share,
        _ => return Err("must be count, sum, avg, min, max, last, distinct, time_since or share".to_owned()),
    })
}

fn outcome(text: &str) -> Result<Outcome, String> {
    Ok(match text {
        "total" => Outcome::TOTAL,
        "authorized" => Outcome::AUTHORIZED,
        "declined" => Outcome::DECLINED,
        "blocked" => Outcome::BLOCKED,
        "fraud" => Outcome::FRAUD,
        _ => return Err("must be total, authorized, declined, blocked or fraud".to_owned()),
    })
}

/// Such as `90s`, `15m`, `24h` or `7d`; at most 90 days.
fn duration(text: &str) -> Result<i64, String> {
    let unit_ms = match text.bytes().last() {
        Some(b's') => 1_000,
        Some(b'm') => 60_000,
        Some(b'h') => 3_600_000,
        Some(b'd') => 86_400_000,
        _ => 0,
    };
    let count = text.get(..text.len().saturating_sub(1)).and_then(|n| n.parse::<u32>().ok());
    count
        .map(|count| i64::from(count) * unit_ms)
        .filter(|ms| unit_ms > 0 && *ms <= 90 * 86_400_000)
        .ok_or_else(|| "must be a number and s, m, h or d, such as \"7d\"; at most 90 days".to_owned())
}

fn key(s: &mut Section) -> Option<ApiKey> {
    let text = |t: &str| if t.is_empty() { Err("must not be empty".to_owned()) } else { Ok(t.to_owned()) };
    let id = s.text("id", text);
    let sha256 = s.text("sha256", digest);
    let merchant = s.text("merchant_id", text);
    let rate_per_second = s.number("rate_per_second", 1..=1_000_000).unwrap_or(1_000) as u32;
    let burst = s.number("burst", 1..=10_000_000).map_or(rate_per_second, |n| n as u32);
    let deadline_ms = s.number("deadline_ms", 1..=60_000).map(i64::unsigned_abs);
    let on_timeout = s.text("on_timeout", on_timeout);
    for key in ["id", "sha256", "merchant_id"] {
        if !s.has(key) {
            s.fault(key, "is required");
        }
    }
    Some(ApiKey { id: id?, sha256: sha256?, merchant: merchant?, rate_per_second, burst, deadline_ms, on_timeout })
}

fn digest(text: &str) -> Result<[u8; 32], String> {
    let fault = || "must be 64 hexadecimal digits: the SHA-256 of the key".to_owned();
    if text.len() != 64 || !text.is_ascii() {
        return Err(fault());
    }
    let mut digest = [0; 32];
    for (at, byte) in digest.iter_mut().enumerate() {
        *byte = u8::from_str_radix(&text[2 * at..2 * at + 2], 16).map_err(|_| fault())?;
    }
    Ok(digest)
}
