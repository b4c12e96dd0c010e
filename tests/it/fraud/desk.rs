//! What a checkout sends.

use serde_json::{Value, json};

use crate::http::{Answer, Client};
use crate::server::Server;

/// Windows and rules small enough to see through.
pub const CONFIG: &str = r#"
[fraud]
rules = "rules.toml"

[[fraud.windows]]
name = "card_count_1h"
key = ["payment_method.card.fingerprint"]
aggregate = "count"
length = "1h"

[[fraud.windows]]
name = "card_sum_1d"
key = ["payment_method.card.fingerprint"]
aggregate = "sum"
value = "amount.value"
length = "1d"

[[fraud.windows]]
name = "card_blocked_1d"
key = ["payment_method.card.fingerprint"]
aggregate = "count"
length = "1d"
where = "blocked"

[[fraud.windows]]
name = "card_declined_1d"
key = ["payment_method.card.fingerprint"]
aggregate = "count"
length = "1d"
where = "declined"

[[fraud.windows]]
name = "card_fraud_90d"
key = ["payment_method.card.fingerprint"]
aggregate = "count"
length = "90d"
where = "fraud"

[[fraud.windows]]
name = "card_merchant_avg_1d"
key = ["payment_method.card.fingerprint", "merchant_id"]
aggregate = "avg"
value = "amount.value"
length = "1d"
"#;

pub const RULES: &str = r#"
[[rules]]
id = "many"
when = "card_count_1h > 3"
action = "deny"
score = 80
message = "Too \"many\""

[[rules]]
id = "large"
when = "amount.value > 50000"
action = "review"
score = 66

[[rules]]
id = "trusted"
when = "customer.id in lists.allow"
action = "allow"

[[rules]]
id = "fraudulent"
when = "card_fraud_90d > 0"
action = "challenge"

[[rules]]
id = "tried"
when = "true"
action = "deny"
mode = "shadow"
"#;

pub fn start(more: &str) -> Server {
    Server::start_with(&config(more), &[], |dir| std::fs::write(dir.join("rules.toml"), RULES).unwrap())
}

/// With more keys of the section itself.
pub fn config(more: &str) -> String {
    CONFIG.replace("rules = \"rules.toml\"\n", &format!("rules = \"rules.toml\"\n{more}\n"))
}

pub fn check(transaction: &str, card: &str, amount: i64) -> Value {
    json!({
        "type": "payment", "merchant_id": "m-1", "transaction_id": transaction, "stage": "authorization",
        "amount": {"value": amount, "currency": "EUR"},
        "payment_method": {"card": {"fingerprint": card, "bin": "424242", "last4": "4242", "exp_month": 7, "exp_year": 2030}},
        "customer": {"id": "c-1", "email": "a@example.com"},
        "device": {"ip": "203.0.113.7", "user_agent": "Mozilla/5.0"},
    })
}

pub fn post(client: &mut Client, key: &str, body: &[u8]) -> Answer {
    client.request("POST", "/v1/fraud/checks", &[("Idempotency-Key", key)], body)
}

/// Checks, with the transaction's id as the key.
#[track_caller]
pub fn decide(client: &mut Client, check: &Value) -> Value {
    let answer = post(client, check["transaction_id"].as_str().unwrap(), check.to_string().as_bytes());
    assert_eq!(answer.status, 200, "{}", answer.text());
    assert_eq!(answer.header("idempotent-replayed"), None);
    answer.json()
}

/// What the windows showed.
#[track_caller]
pub fn features(client: &mut Client, id: &Value) -> Value {
    let answer = client.get(&format!("/v1/fraud/checks/{}", id.as_str().unwrap()));
    assert_eq!(answer.status, 200, "{}", answer.text());
    answer.json()["features"].clone()
}

/// A problem's status and code, and the pointers of its faults.
#[track_caller]
pub fn problem(answer: &Answer) -> (u16, String, Vec<String>) {
    assert_eq!(answer.header("content-type"), Some("application/problem+json"), "{}", answer.text());
    let body = answer.json();
    assert_eq!(body["status"], answer.status);
    let faults = body["errors"].as_array().cloned().unwrap_or_default();
    let pointers = faults.iter().map(|fault| fault["pointer"].as_str().unwrap().to_owned()).collect();
    (answer.status, body["code"].as_str().unwrap().to_owned(), pointers)
}
