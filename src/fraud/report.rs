//! What became of a check: bodies of outcomes and labels.

use std::borrow::Cow;

use super::body::{Object, json};
use super::pan::holds_card_number;
use super::request::MAX_ID;
use super::{Fault, Faults};
use crate::clock::UnixMs;
use crate::event::fraud::{Label, LabelSource, Status};

/// How long ago what is reported may have happened: disputes come up to 120 days after what they are about was due, and in
/// the card schemes' rules at most 540 days after the payment.
const MAX_AGE_DAYS: i64 = 540;

/// What times are read by.
#[derive(Clone, Copy, Debug)]
pub struct Times {
    pub now: UnixMs,
    /// How far ahead of our clock another may be.
    pub max_future_ms: i64,
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

/// Why a body was refused: some of it is not JSON or has faults, and maybe a card number stands in it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Refused {
    /// Some of the faults are of texts that are no JSON.
    pub is_syntax: bool,
    pub faults: Faults,
    pub card_numbers: Faults,
}

impl Refused {
    fn is_nothing(&self) -> bool {
        self.faults.is_empty() && self.card_numbers.is_empty()
    }

    fn object<'j>(&mut self, body: &'j [u8], pointer: &str) -> Option<Object<'j>> {
        match json(body, pointer) {
            Ok(value) => Object::of(value, pointer.to_owned(), &mut self.faults),
            Err(Fault { pointer, message }) => {
                self.is_syntax = true;
                self.faults.push(pointer, message);
                None
            }
        }
    }

    fn code(&mut self, object: &mut Object, key: &str) -> String {
        let text = object.text(key, &mut self.faults).unwrap_or_default();
        if holds_card_number(&text) {
            self.card_numbers.push(object.at(key), "holds a card number");
        } else if text.len() > MAX_ID {
            self.faults.push(object.at(key), format!("has more than {MAX_ID} bytes"));
        }
        text.into_owned()
    }

    /// When it happened; now, where that is not said.
    fn instant(&mut self, object: &mut Object, key: &str, times: Times) -> UnixMs {
        let Some(at) = object.instant(key, &mut self.faults) else { return times.now };
        let age_ms = times.now.since(at);
        if -age_ms > times.max_future_ms {
            let ahead = format!("is more than {} s ahead of our clock", times.max_future_ms / 1_000);
            self.faults.push(object.at(key), ahead);
        } else if age_ms > MAX_AGE_DAYS * 86_400_000 {
            self.faults.push(object.at(key), format!("is more than {MAX_AGE_DAYS} days ago"));
        }
        at
    }

    fn one<T>(&mut self, object: &mut Object, key: &str, parse: fn(&str) -> Option<T>, names: &str) -> Option<T> {
        let text = object.required(key, &mut self.faults)?;
        let found = parse(&text);
        if found.is_none() {
            self.faults.push(object.at(key), format!("must be one of {names}"));
        }
        found
    }

    fn id(&mut self, object: &Object, key: &str, id: &Option<Cow<str>>) {
        if id.as_ref().is_some_and(|id| id.is_empty() || id.len() > MAX_ID) {
            self.faults.push(object.at(key), format!("must have 1 to {MAX_ID} bytes"));
        }
    }
}

pub fn outcome(body: &[u8], times: Times) -> Result<Outcome, Refused> {
    let mut refused = Refused::default();
    let Some(mut object) = refused.object(body, "") else { return Err(refused) };
    let names = "authorized, declined, captured, refunded, canceled";
    let status = refused.one(&mut object, "status", Status::parse, names);
    let response_code = refused.code(&mut object, "response_code");
    let occurred_at = refused.instant(&mut object, "occurred_at", times);
    object.end(&mut refused.faults);
    match status {
        Some(status) if refused.is_nothing() => Ok(Outcome { status, response_code, occurred_at }),
        _ => Err(refused),
    }
}

/// A label. `merchant` is whose key it came with.
pub fn label(body: &[u8], merchant: Option<&str>, times: Times) -> Result<Labelled, Refused> {
    let mut refused = Refused::default();
    one_label(body, "", merchant, times, &mut refused).filter(|_| refused.is_nothing()).ok_or(refused)
}

/// A label in each line that is not empty, or what is wrong with all the others. A pointer begins with the line, from 0.
pub fn labels(lines: &[u8], merchant: Option<&str>, times: Times) -> Result<Vec<Labelled>, Refused> {
    let (mut refused, mut labels) = (Refused::default(), Vec::new());
    for (number, line) in lines.split(|b| *b == b'\n').enumerate() {
        if !line.iter().all(u8::is_ascii_whitespace) {
            labels.extend(one_label(line, &format!("/{number}"), merchant, times, &mut refused));
        }
    }
    if refused.is_nothing() { Ok(labels) } else { Err(refused) }
}

fn one_label(
    body: &[u8],
    pointer: &str,
    merchant: Option<&str>,
    times: Times,
    refused: &mut Refused,
) -> Option<Labelled> {
    let mut object = refused.object(body, pointer)?;
    let given = match merchant {
        Some(merchant) => object.text("merchant_id", &mut refused.faults).or(Some(merchant.into())),
        None => object.required("merchant_id", &mut refused.faults),
    };
    refused.id(&object, "merchant_id", &given);
    let transaction = object.required("transaction_id", &mut refused.faults);
    refused.id(&object, "transaction_id", &transaction);
    let label = refused.one(&mut object, "label", Label::parse, "fraud, legitimate");
    let names = "chargeback, early_fraud_warning, manual_review, customer_report";
    let source = refused.one(&mut object, "source", LabelSource::parse, names);
    let reason_code = refused.code(&mut object, "reason_code");
    let occurred_at = refused.instant(&mut object, "occurred_at", times);
    let reported_at = refused.instant(&mut object, "reported_at", times);
    object.end(&mut refused.faults);
    let (merchant, transaction) = (given?.into_owned(), transaction?.into_owned());
    Some(Labelled { merchant, transaction, label: label?, source: source?, reason_code, occurred_at, reported_at })
}

#[cfg(test)]
mod tests {
    use super::*;

    const TIMES: Times = Times { now: UnixMs(1_795_000_000_000), max_future_ms: 60_000 };

    fn pointers(faults: Faults) -> Vec<String> {
        faults.listed().into_iter().map(|fault| fault.pointer).collect()
    }

    #[test]
    fn every_fault_of_a_label_has_its_place() {
        let fine = r#""transaction_id": "t", "label": "fraud", "source": "chargeback""#;
        let at = |key: &str, ms: i64| format!(r#"{{{fine}, "merchant_id": "m", "{key}": "{}"}}"#, TIMES.now.plus(ms));
        for (body, expected) in [
            ("{}".to_owned(), vec!["/merchant_id", "/transaction_id", "/label", "/source"]),
            (format!("{{{fine}}}"), vec!["/merchant_id"]),
            (format!(r#"{{{fine}, "merchant_id": 5}}"#), vec!["/merchant_id"]),
            (format!(r#"{{{fine}, "merchant_id": "", "label": "x", "b": 1}}"#), vec!["/merchant_id", "/label", "/b"]),
            (format!(r#"{{{fine}, "merchant_id": "m", "reason_code": 4837}}"#), vec!["/reason_code"]),
            ("[1]".to_owned(), vec![""]),
            (at("occurred_at", 61_000), vec!["/occurred_at"]),
            (at("reported_at", 61_000), vec!["/reported_at"]),
            (at("occurred_at", -541 * 86_400_000), vec!["/occurred_at"]),
            (at("reported_at", -541 * 86_400_000), vec!["/reported_at"]),
        ] {
            let refused = label(body.as_bytes(), None, TIMES).unwrap_err();
            assert_eq!(
                (pointers(refused.faults), refused.is_syntax),
                (expected.iter().map(|p| (*p).to_owned()).collect(), false),
                "{body}"
            );
        }
        for ms in [0, 59_000, -130 * 86_400_000, -539 * 86_400_000] {
            let read = label(at("occurred_at", ms).as_bytes(), None, TIMES).unwrap();
            assert_eq!((read.occurred_at, read.reported_at), (TIMES.now.plus(ms), TIMES.now));
        }
        assert_eq!(label(format!("{{{fine}}}").as_bytes(), Some("own"), TIMES).unwrap().merchant, "own");
        let card = label(
            format!(r#"{{{fine}, "merchant_id": "m", "reason_code": "4111 1111 1111 1111"}}"#).as_bytes(),
            None,
            TIMES,
        );
        assert_eq!(pointers(card.unwrap_err().card_numbers), ["/reason_code"]);
        let syntax = label(b"{\"label\": 4111111111111111", None, TIMES).unwrap_err();
        assert!(syntax.is_syntax && !format!("{syntax:?}").contains("4111"), "{syntax:?}");
    }

    #[test]
    fn every_bad_line_is_named_as_far_as_there_is_room() {
        let fine = r#"{"merchant_id": "m", "transaction_id": "t", "label": "fraud", "source": "chargeback"}"#;
        let lines = [fine, "", "{", fine, "[]", &fine.replace("fraud", "maybe")].join("\n");
        let refused = labels(lines.as_bytes(), None, TIMES).unwrap_err();
        assert!(refused.is_syntax);
        assert_eq!(pointers(refused.faults), ["/2", "/4", "/5/label"]);
        assert_eq!(labels(format!("{fine}\r\n{fine}\n\n").as_bytes(), None, TIMES).unwrap().len(), 2);
        let refused = labels("5\n".repeat(5_000).as_bytes(), None, TIMES).unwrap_err().faults.listed();
        assert_eq!((refused.len(), refused[99].pointer.as_str()), (101, "/99"));
        assert_eq!(refused[100].message, "4900 more are not listed");
    }

    #[test]
    fn every_fault_of_an_outcome_has_its_place() {
        let refused =
            outcome(br#"{"status": 5, "response_code": 51, "occurred_at": "x", "more": 1}"#, TIMES).unwrap_err();
        assert_eq!(pointers(refused.faults), ["/status", "/response_code", "/occurred_at", "/more"]);
        let at = |ms: i64| format!(r#"{{"status": "declined", "occurred_at": "{}"}}"#, TIMES.now.plus(ms));
        for (ms, fits) in [(0, true), (60_000, true), (60_001, false), (-541 * 86_400_000, false)] {
            assert_eq!(outcome(at(ms).as_bytes(), TIMES).is_ok(), fits, "{ms}");
        }
    }
}
