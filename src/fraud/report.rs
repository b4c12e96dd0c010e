//! What became of a check: bodies of outcomes and labels.

use serde::Deserialize;

use super::Fault;
use super::pan::holds_card_number;
use super::request::MAX_ID;
use crate::clock::UnixMs;
use crate::event::fraud::{Label, LabelSource, Status};

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawOutcome {
    status: String,
    #[serde(default)]
    response_code: Option<String>,
    #[serde(default)]
    occurred_at: Option<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawLabel {
    #[serde(default)]
    merchant_id: Option<String>,
    transaction_id: String,
    label: String,
    source: String,
    #[serde(default)]
    reason_code: Option<String>,
    #[serde(default)]
    occurred_at: Option<String>,
    #[serde(default)]
    reported_at: Option<String>,
}

/// What a payment came to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Outcome {
    pub status: Status,
    pub response_code: String,
    pub occurred_at: UnixMs,
}

/// What a transaction turned out to be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Labelled {
    pub merchant: String,
    pub transaction: String,
    pub label: Label,
    pub source: LabelSource,
    pub reason_code: String,
    pub occurred_at: UnixMs,
    pub reported_at: UnixMs,
}

/// Why a body was refused: it is not JSON of this shape, or has faults; or a card number stands in it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Refused {
    Syntax(String),
    Faults(Vec<Fault>),
    CardNumber(String),
}

struct Faults(Vec<Fault>);

impl Faults {
    fn code(&mut self, pointer: &str, text: Option<String>) -> Result<String, Refused> {
        let text = text.unwrap_or_default();
        if holds_card_number(&text) {
            return Err(Refused::CardNumber(pointer.to_owned()));
        }
        if text.len() > MAX_ID {
            self.0.push(Fault::new(pointer, format!("has more than {MAX_ID} bytes")));
        }
        Ok(text)
    }

    fn instant(&mut self, pointer: &str, text: Option<String>, now: UnixMs) -> UnixMs {
        let Some(text) = text else { return now };
        UnixMs::parse(&text).unwrap_or_else(|| {
            self.0.push(Fault::new(pointer, "must be an instant such as \"2026-11-23T12:00:00Z\""));
            now
        })
    }

    fn one<T>(&mut self, pointer: &str, found: Option<T>, of: &str) -> Option<T> {
        if found.is_none() {
            self.0.push(Fault::new(pointer, format!("must be one of {of}")));
        }
        found
    }
}

/// What is wrong with a JSON text, without what may be a card number in it.
pub(super) fn told(error: &serde_json::Error) -> String {
    let text = error.to_string();
    if holds_card_number(&text) { format!("not what it must be at line {}", error.line()) } else { text }
}

pub fn outcome(body: &[u8], now: UnixMs) -> Result<Outcome, Refused> {
    let raw: RawOutcome = serde_json::from_slice(body).map_err(|e| Refused::Syntax(told(&e)))?;
    let mut faults = Faults(Vec::new());
    let names = "authorized, declined, captured, refunded, canceled";
    let status = faults.one("/status", Status::parse(&raw.status), names);
    let response_code = faults.code("/response_code", raw.response_code)?;
    let occurred_at = faults.instant("/occurred_at", raw.occurred_at, now);
    match status {
        Some(status) if faults.0.is_empty() => Ok(Outcome { status, response_code, occurred_at }),
        _ => Err(Refused::Faults(faults.0)),
    }
}

/// A label. `merchant` is whose key it came with.
pub fn label(body: &[u8], merchant: Option<&str>, now: UnixMs) -> Result<Labelled, Refused> {
    let raw: RawLabel = serde_json::from_slice(body).map_err(|e| Refused::Syntax(told(&e)))?;
    let mut faults = Faults(Vec::new());
    let label = faults.one("/label", Label::parse(&raw.label), "fraud, legitimate");
    let names = "chargeback, early_fraud_warning, manual_review, customer_report";
    let source = faults.one("/source", LabelSource::parse(&raw.source), names);
    let reason_code = faults.code("/reason_code", raw.reason_code)?;
    let occurred_at = faults.instant("/occurred_at", raw.occurred_at, now);
    let reported_at = faults.instant("/reported_at", raw.reported_at, now);
    let merchant = raw.merchant_id.or_else(|| merchant.map(str::to_owned)).unwrap_or_default();
    if merchant.is_empty() {
        faults.0.push(Fault::new("/merchant_id", "is required"));
    }
    if raw.transaction_id.is_empty() || raw.transaction_id.len() > MAX_ID {
        faults.0.push(Fault::new("/transaction_id", format!("must have 1 to {MAX_ID} bytes")));
    }
    match (label, source) {
        (Some(label), Some(source)) if faults.0.is_empty() => {
            let transaction = raw.transaction_id;
            Ok(Labelled { merchant, transaction, label, source, reason_code, occurred_at, reported_at })
        }
        _ => Err(Refused::Faults(faults.0)),
    }
}
