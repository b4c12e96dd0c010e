//! What is served when nothing is configured: windows, and rules over them.

use super::velocity::Window;
use crate::window::sliding::{Aggregate, Outcome};

const MINUTE_MS: i64 = 60_000;
const HOUR_MS: i64 = 60 * MINUTE_MS;
const DAY_MS: i64 = 24 * HOUR_MS;

/// Name, key, aggregate, value, length and delay in milliseconds, what counts.
type Row = (&'static str, &'static str, Aggregate, Option<&'static str>, i64, i64, Outcome);

const CARD: &str = "payment_method.card.fingerprint";

const WINDOWS: &[Row] = &[
    ("card_count_1h", CARD, Aggregate::Count, None, HOUR_MS, 0, Outcome::TOTAL),
    ("card_count_24h", CARD, Aggregate::Count, None, DAY_MS, 0, Outcome::TOTAL),
    ("card_amount_24h", CARD, Aggregate::Sum, Some("amount.value"), DAY_MS, 0, Outcome::TOTAL),
    ("card_declined_1h", CARD, Aggregate::Count, None, HOUR_MS, 0, Outcome::DECLINED),
    ("card_fraud_90d", CARD, Aggregate::Count, None, 90 * DAY_MS, 0, Outcome::FRAUD),
    ("card_ips_24h", CARD, Aggregate::Distinct, Some("device.ip"), DAY_MS, 0, Outcome::TOTAL),
    ("customer_count_1d", "customer.id", Aggregate::Count, None, DAY_MS, 0, Outcome::TOTAL),
    ("customer_count_7d", "customer.id", Aggregate::Count, None, 7 * DAY_MS, 0, Outcome::TOTAL),
    ("customer_avg_7d", "customer.id", Aggregate::Avg, Some("amount.value"), 7 * DAY_MS, 0, Outcome::TOTAL),
    ("terminal_count_7d", "terminal_id", Aggregate::Count, None, 7 * DAY_MS, 0, Outcome::TOTAL),
    ("customer_avg_30d", "customer.id", Aggregate::Avg, Some("amount.value"), 30 * DAY_MS, 0, Outcome::TOTAL),
    ("email_cards_7d", "customer.email", Aggregate::Distinct, Some(CARD), 7 * DAY_MS, 0, Outcome::TOTAL),
    ("ip_cards_1h", "device.ip", Aggregate::Distinct, Some(CARD), HOUR_MS, 0, Outcome::TOTAL),
    ("device_declined_24h", "device.id", Aggregate::Count, None, DAY_MS, 0, Outcome::DECLINED),
    ("terminal_fraud_7d", "terminal_id", Aggregate::Count, None, 7 * DAY_MS, 7 * DAY_MS, Outcome::FRAUD),
    ("terminal_fraud_share_7d", "terminal_id", Aggregate::Share, None, 7 * DAY_MS, 7 * DAY_MS, Outcome::FRAUD),
];

pub fn windows() -> Vec<Window> {
    let window = |(name, key, aggregate, value, length_ms, delay_ms, selects): &Row| Window {
        name: (*name).to_owned(),
        key: vec![(*key).to_owned()],
        aggregate: *aggregate,
        value: value.map(str::to_owned),
        length_ms: *length_ms,
        delay_ms: *delay_ms,
        selects: *selects,
    };
    WINDOWS.iter().map(window).collect()
}

pub const RULES: &str = r#"[[rules]]
id = "card-testing"
when = "card_count_1h > 10 || ip_cards_1h > 5"
action = "deny"
score = 90
message = "Many attempts in an hour"

[[rules]]
id = "known-fraud"
when = "card_fraud_90d > 0"
action = "deny"
score = 95
message = "The card was part of a fraud"

[[rules]]
id = "many-declines"
when = "card_declined_1h >= 3 || device_declined_24h >= 5"
action = "challenge"
score = 70
message = "Declined again and again"

[[rules]]
id = "far-above-average"
when = "amount.value > 20000 && amount.value > 5 * customer_avg_30d"
action = "review"
score = 66
message = "Far above what this customer spends"

[[rules]]
id = "shared-email"
when = "email_cards_7d > 3"
action = "review"
mode = "shadow"
message = "Many cards with one email address"
"#;
