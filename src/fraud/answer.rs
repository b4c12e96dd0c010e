//! A decision as JSON.

use serde::Serialize;

use super::Decision;
use super::decide::{Decided, Scored};
use super::policy::{Origin, Policy};
use super::request::{Request, Value};
use super::rules::{Name, Rule, View};
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

/// Appends texts as they are.
fn say(out: &mut Vec<u8>, texts: &[&str]) {
    texts.iter().for_each(|text| out.extend_from_slice(text.as_bytes()));
}

fn put_id(out: &mut Vec<u8>, check: u128) {
    let digit = |value: u8| b"0123456789abcdef"[usize::from(value)];
    let mut digits = [[0; 2]; 16];
    for (pair, byte) in digits.iter_mut().zip(check.to_be_bytes()) {
        *pair = [digit(byte >> 4), digit(byte & 0xf)];
    }
    say(out, &[ID]);
    out.extend_from_slice(digits.as_flattened());
}

fn number(out: &mut Vec<u8>, value: f64) {
    if value.fract() == 0.0 && value.abs() < 1e15 {
        put(out, &(value as i64));
    } else {
        // What is not finite is null.
        put(out, &value);
    }
}

fn comma(i: usize) -> &'static str {
    if i > 0 { "," } else { "" }
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
    say(out, &[r#"{"id":""#]);
    put_id(out, check);
    say(out, &[r#"","decision":""#, decision.as_str(), r#"","risk_score":"#]);
    put(out, &decided.risk_score);
    say(out, &[r#","risk_level":""#, decided.risk_level(), r#"","reasons":["#]);
    let view = View {
        request: view.0,
        windows: view.1,
        model_score: decided.model_score(),
        risk_score: decided.risk_score,
        lists: &policy.bound,
        now: decided.now,
    };
    for (i, at) in decided.matched.iter().enumerate() {
        put_rule(out, i, &rules[*at as usize], &view);
    }
    if let Some(model) = &decided.model {
        put_raised(out, decided.matched.len(), model, &view);
    }
    say(out, &[r#"],"recommended_action":""#, decision.advice(), r#"","rules_matched":["#]);
    for (i, at) in decided.matched.iter().enumerate() {
        say(out, &[comma(i), "\"", &rules[*at as usize].id, "\""]);
    }
    say(out, &[r#"],"model":"#]);
    match &decided.model {
        Some(model) => put_model(out, model),
        None => say(out, &["null"]),
    }
    say(out, &[r#","shadow":["#]);
    for (i, at) in decided.shadow.iter().enumerate() {
        let rule = &rules[*at as usize];
        say(out, &[comma(i), r#"{"rule_id":""#, &rule.id, r#"","action":""#, rule.action.as_str(), r#""}"#]);
    }
    if let Some(model) = &decided.shadow_model {
        say(out, &[comma(decided.shadow.len()), r#"{"model":"#]);
        put_model(out, model);
        say(out, &["}"]);
    }
    let degraded = if decided.degraded { "true" } else { "false" };
    say(out, &[r#"],"ruleset_version":""#, &policy.version, r#"","degraded":"#, degraded, r#","latency_us":"#]);
    put(out, &latency_us);
    say(out, &[r#","log_offset":"#]);
}

/// A rule that matched, as reason number `i`.
fn put_rule(out: &mut Vec<u8>, i: usize, rule: &Rule, view: &View) {
    say(out, &[comma(i), r#"{"code":"rule","message":"#]);
    put(out, &rule.message);
    match rule.why(view) {
        Some((text, value, threshold)) => {
            say(out, &[r#","feature":""#, text, r#"","value":"#]);
            number(out, value);
            say(out, &[r#","threshold":"#]);
            number(out, threshold);
        }
        None => say(out, &[r#","feature":null,"value":null,"threshold":null"#]),
    }
    say(out, &[r#","rule_id":""#, &rule.id, r#"","contribution":"#]);
    put(out, &rule.score);
    say(out, &["}"]);
}

/// What raised the score of the model, behind so many reasons.
fn put_raised(out: &mut Vec<u8>, before: usize, model: &Scored, view: &View) {
    let columns = model.artifact.features.columns();
    let raised_by =
        model.raised_by.iter().filter_map(|(at, origin, added)| Some((columns.get(*at as usize)?, origin, added)));
    for (i, (column, origin, added)) in raised_by.enumerate() {
        let source = column.source_name.strip_prefix("window:").unwrap_or(&column.source_name);
        say(out, &[comma(before + i), r#"{"code":"model","message":""#, source]);
        say(out, &[r#" raised the score of the model","feature":"#]);
        put(out, &column.name);
        say(out, &[r#","value":"#]);
        match origin {
            None => say(out, &["null"]),
            Some(Origin::Window(window)) => number(out, view.number(Name::Window(*window))),
            Some(Origin::Field(field)) => match view.request.get(*field) {
                Value::Null => say(out, &["null"]),
                Value::Int(value) => put(out, &value),
                Value::Text(text) => put(out, &text),
            },
        }
        say(out, &[r#","threshold":null,"rule_id":null,"contribution":"#]);
        put(out, added);
        say(out, &["}"]);
    }
}

fn put_model(out: &mut Vec<u8>, model: &Scored) {
    let artifact = &model.artifact;
    say(out, &[r#"{"name":""#, &artifact.name, r#"","version":""#, &artifact.version, r#"","score":"#]);
    put(out, &model.score);
    say(out, &["}"]);
}

/// The whole answer, of its first part and its offset in the log; none of a decision that is not in the log.
pub fn finish(first: &[u8], offset: Option<u64>) -> Vec<u8> {
    let mut whole = Vec::with_capacity(first.len() + 24);
    whole.extend_from_slice(first);
    put(&mut whole, &offset);
    whole.push(b'}');
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
        say(&mut out, &[comma(i), "\"", name, "\":"]);
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
