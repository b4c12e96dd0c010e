//! A decision as JSON.

use std::io::Write;

use serde::Serialize;

use super::Decision;
use super::decide::{Decided, Scored};
use super::policy::{Origin, Policy};
use super::request::{Request, Value};
use super::rules::{Name, View};
use super::velocity::{Velocity, Window};
use crate::scoring::hash::hash64;
use crate::window::sliding::Value as Shown;

const ID: &str = "chk_";

/// A check's id as clients see it.
pub fn id_text(check: u128) -> String {
    format!("{ID}{check:032x}")
}

pub fn parse_id(text: &str) -> Option<u128> {
    let digits = text.strip_prefix(ID).filter(|d| d.len() == 32 && d.bytes().all(|b| b.is_ascii_hexdigit()))?;
    u128::from_str_radix(digits, 16).ok()
}

/// Writes JSON into memory, which does not fail.
fn put(out: &mut Vec<u8>, value: &impl Serialize) {
    let _infallible = serde_json::to_writer(out, value);
}

macro_rules! put {
    ($out:expr, $($text:tt)*) => { let _infallible = write!($out, $($text)*); };
}

fn number(out: &mut Vec<u8>, value: f64) {
    if value.is_finite() {
        if value.fract() == 0.0 && value.abs() < 1e15 {
            put!(out, "{}", value as i64);
        } else {
            put(out, &value);
        }
    } else {
        out.extend_from_slice(b"null");
    }
}

/// The answer up to the place of its offset in the log, which is known when it is written: then [`finish`] ends it.
pub fn write(
    out: &mut Vec<u8>,
    check: u128,
    decided: &Decided,
    policy: &Policy,
    view: (&Request, &[Shown]),
    latency_us: u64,
) {
    let (decision, rules) = (decided.decision, &policy.rules.rules);
    put!(out, r#"{{"id":"{ID}{check:032x}","decision":"{}","risk_score":"#, decision.as_str());
    put!(out, r#"{},"risk_level":"{}","reasons":["#, decided.risk_score, decided.risk_level());
    let view = View {
        request: view.0,
        windows: view.1,
        model_score: decided.model_score(),
        risk_score: decided.risk_score,
        lists: &policy.bound,
        now: decided.now,
    };
    for (i, at) in decided.matched.iter().enumerate() {
        let rule = &rules[*at as usize];
        out.extend_from_slice(if i > 0 { b"," } else { b"" });
        put!(out, r#"{{"code":"rule","message":"#);
        put(out, &rule.message);
        match rule.why(&view) {
            Some((text, value, threshold)) => {
                put!(out, r#","feature":"{text}","value":"#);
                number(out, value);
                out.extend_from_slice(br#","threshold":"#);
                number(out, threshold);
            }
            None => out.extend_from_slice(br#","feature":null,"value":null,"threshold":null"#),
        }
        put!(out, r#","rule_id":"{}","contribution":"#, rule.id);
        match rule.score {
            Some(score) => {
                put!(out, "{score}}}");
            }
            None => out.extend_from_slice(b"null}"),
        }
    }
    let mut first = decided.matched.is_empty();
    for (scored, (column, origin, added)) in decided.model.iter().flat_map(|m| m.raised_by.iter().map(move |r| (m, r)))
    {
        let Some(column) = scored.artifact.features.columns().get(*column as usize) else { continue };
        out.extend_from_slice(if first { b"" } else { b"," });
        first = false;
        let source = column.source_name.strip_prefix("window:").unwrap_or(&column.source_name);
        put!(out, r#"{{"code":"model","message":"{source} raised the score of the model","feature":"#);
        put(out, &column.name);
        out.extend_from_slice(br#","value":"#);
        match origin {
            None => out.extend_from_slice(b"null"),
            Some(Origin::Window(window)) => number(out, view.number(Name::Window(*window))),
            Some(Origin::Field(field)) => match view.request.get(*field) {
                Value::Null => out.extend_from_slice(b"null"),
                Value::Int(value) => put(out, &value),
                Value::Text(text) => put(out, &text),
            },
        }
        out.extend_from_slice(br#","threshold":null,"rule_id":null,"contribution":"#);
        put(out, added);
        out.push(b'}');
    }
    put!(out, r#"],"recommended_action":"{}","rules_matched":["#, decision.advice());
    for (i, at) in decided.matched.iter().enumerate() {
        put!(out, r#"{}"{}""#, if i > 0 { "," } else { "" }, rules[*at as usize].id);
    }
    out.extend_from_slice(br#"],"model":"#);
    match &decided.model {
        Some(model) => put_model(out, model),
        None => out.extend_from_slice(b"null"),
    }
    out.extend_from_slice(br#","shadow":["#);
    for (i, at) in decided.shadow.iter().enumerate() {
        let rule = &rules[*at as usize];
        let comma = if i > 0 { "," } else { "" };
        put!(out, r#"{comma}{{"rule_id":"{}","action":"{}"}}"#, rule.id, rule.action.as_str());
    }
    if let Some(model) = &decided.shadow_model {
        out.extend_from_slice(if decided.shadow.is_empty() { br#"{"model":"# } else { br#",{"model":"# });
        put_model(out, model);
        out.push(b'}');
    }
    put!(out, r#"],"ruleset_version":"{}","degraded":{},"#, policy.version, decided.degraded);
    put!(out, r#""latency_us":{latency_us},"log_offset":"#);
}

fn put_model(out: &mut Vec<u8>, model: &Scored) {
    put!(out, r#"{{"name":"{}","version":"{}","score":"#, model.artifact.name, model.artifact.version);
    put(out, &model.score);
    out.push(b'}');
}

/// The whole answer, of its first part and its offset in the log; none of a decision that is not in the log.
pub fn finish(first: &[u8], offset: Option<u64>) -> Vec<u8> {
    let mut whole = Vec::with_capacity(first.len() + 24);
    whole.extend_from_slice(first);
    match offset {
        Some(offset) => {
            put!(whole, "{offset}}}");
        }
        None => whole.extend_from_slice(b"null}"),
    }
    whole
}

/// The answer that a client got: in time, or by its fail policy when there was no time left. That one differs in its decision
/// and knows no offset.
pub fn given(first: &[u8], offset: u64, late: Option<Decision>) -> Vec<u8> {
    let Some(decision) = late else { return finish(first, Some(offset)) };
    let mut whole: serde_json::Value = serde_json::from_slice(&finish(first, None)).unwrap_or_default();
    whole["decision"] = decision.as_str().into();
    whole["recommended_action"] = decision.advice().into();
    whole["degraded"] = true.into();
    whole.to_string().into_bytes()
}

/// The answer to `GET`: with `features`, each window by name as the decision saw it.
pub fn with_features<'n>(whole: &[u8], features: impl Iterator<Item = (&'n str, Shown)>) -> Vec<u8> {
    let mut out = whole.strip_suffix(b"}").unwrap_or(whole).to_vec();
    out.extend_from_slice(br#","features":{"#);
    for (i, (name, shown)) in features.enumerate() {
        put!(out, r#"{}"{name}":"#, if i > 0 { "," } else { "" });
        match shown {
            Shown::Int(value) => put(&mut out, &value),
            Shown::Real(value) => put(&mut out, &value),
            Shown::Null | Shown::Lost => out.extend_from_slice(b"null"),
        }
    }
    out.extend_from_slice(b"}}");
    out
}

/// Another where the same definitions give other values: since 2 addresses are keys in their canonical form.
const FORM: u64 = 2;

/// Tells one configuration's windows from another's, by all that they are made of.
pub fn fingerprint(velocity: &Velocity) -> u64 {
    let mut text = String::new();
    for window in velocity.declared() {
        let Window { name, key, aggregate, value, length_ms, delay_ms, selects } = window;
        let (key, value) = (key.join(" "), value.as_deref().unwrap_or_default());
        let selects = selects.byte();
        text.push_str(&format!("{name}|{key}|{aggregate:?}|{value}|{length_ms}|{delay_ms}|{selects}\n"));
    }
    hash64(FORM, text.as_bytes())
}

/// What stood for windows before: their names alone. Such a fingerprint says nothing about what they were.
pub fn is_of_names_alone(fingerprint: u64, names: &[String]) -> bool {
    fingerprint == hash64(0, names.join(" ").as_bytes())
}
