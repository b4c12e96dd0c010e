//! Fraud checks and rules: any body is refused or decided, no accepted one holds a card number where it must not, and any
//! ruleset is refused or evaluated.

use std::sync::Arc;

use gavel::clock::UnixMs;
use gavel::event::Event;
use gavel::event::fraud::{Checked, FraudEvent};
use gavel::fraud::decide::{Scratch, Snapshot, check as decide};
use gavel::fraud::engine::pack;
use gavel::fraud::fields::{FIELDS, Kind, find};
use gavel::fraud::pan::holds_card_number;
use gavel::fraud::policy::{Lists, first_lists};
use gavel::fraud::request::{ITEM_IDENTIFIERS, Refused};
use gavel::fraud::{Policy, Request, Velocity, answer, demo};
use gavel::window::sliding::Limits;
use serde_json::Value;

const NOW: UnixMs = UnixMs(1_800_000_000_000);

fn velocity() -> Velocity {
    let limits = Limits { max_bytes: 1 << 24, max_events_per_key: 1_000, late_ms: 0 };
    Velocity::new(demo::windows(), limits).expect("the demo's windows")
}

/// A check's body.
pub fn check(data: &[u8]) {
    let mut request = Request::default();
    let strict = data.len().is_multiple_of(2);
    let parsed = request.parse(data, strict, None, NOW);
    let json = serde_json::from_slice::<Value>(data);
    assert_eq!(json.is_err(), matches!(parsed, Err(Refused::Syntax(_))), "{parsed:?}");
    match &parsed {
        Ok(()) => assert!(request.faults.is_empty() && request.card_numbers.is_empty()),
        Err(Refused::Faults) => assert!(!request.faults.is_empty()),
        Err(Refused::CardNumbers) => assert!(!request.card_numbers.is_empty()),
        Err(Refused::Syntax(_)) => {}
    }
    if parsed.is_err() {
        return;
    }
    no_card_number(&json.expect("it was read"), &mut String::new());
    // Only times that can be said at all come this far in the server.
    if NOW.since(request.at()).abs() > 90 * 86_400_000 {
        return;
    }
    let velocity = velocity();
    let policy = Policy::new(demo::RULES, &velocity, Lists::default()).expect("the demo's rules");
    let mut scratch = Scratch::default();
    let snapshot = Snapshot { policy: &policy, models: None, velocity: &velocity };
    let mut last = None;
    for _ in 0..2 {
        let decided = decide(&snapshot, &request, NOW, &mut scratch);
        let mut first = Vec::new();
        answer::write(&mut first, 1, &decided, &policy, (&request, &scratch.velocity.shown), 5);
        let shown = scratch.velocity.shown.iter().map(|value| pack(*value)).collect();
        let whole = answer::with_features(
            &answer::finish(&first, Some(7)),
            velocity.declared().iter().map(|window| window.name.as_str()).zip(scratch.velocity.shown.iter().copied()),
        );
        let whole: Value = serde_json::from_slice(&whole).expect("an answer is JSON");
        assert_eq!(whole["decision"], decided.decision.as_str());
        let checked = Checked {
            check: 1,
            key: 2,
            arrived: NOW,
            merchant: String::new(),
            decision: decided.decision.number(),
            windows: 3,
            shown,
            body: data.to_vec(),
            answer: first,
        };
        let (event, mut bytes) = (Event::Fraud(FraudEvent::Check(Arc::new(checked))), Vec::new());
        event.encode(&mut bytes);
        assert_eq!(Event::decode(&bytes).as_ref(), Some(&event));
        last = Some(whole);
    }
    // Counted twice: the demo's windows have seen both.
    let count = &last.expect("two of them")["features"]["card_count_1h"];
    let card = find("payment_method.card.fingerprint").expect("a field");
    let has_card = !request.text(card).is_empty();
    assert_eq!(count.as_i64(), has_card.then_some(2), "{count}");
}

/// No text or number is a card number, but of fields that identify.
fn no_card_number(value: &Value, path: &mut String) {
    let here = path.len();
    let of_item = path.strip_prefix("order.items[].").is_some_and(|name| ITEM_IDENTIFIERS.contains(&name));
    let identifies = of_item || FIELDS.iter().any(|(field, kind)| *kind == Kind::Identifier && *field == &path[..]);
    match value {
        Value::String(text) => {
            assert!(identifies || !holds_card_number(text), "{path} holds one");
        }
        Value::Number(number) => {
            assert!(of_item || !holds_card_number(&number.to_string()) || !number.is_u64(), "{path} is one")
        }
        Value::Array(items) => items.iter().for_each(|item| {
            path.push_str("[]");
            no_card_number(item, path);
            path.truncate(here);
        }),
        Value::Object(members) => members.iter().for_each(|(key, value)| {
            path.push_str(if here > 0 { "." } else { "" });
            path.push_str(key);
            no_card_number(value, path);
            path.truncate(here);
        }),
        _ => {}
    }
}

/// A ruleset in TOML.
pub fn rules(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    let velocity = velocity();
    let lists = first_lists(Lists::default(), "");
    let Ok(policy) = Policy::new(text, &velocity, lists) else { return };
    let mut request = Request::default();
    let body = br#"{"merchant_id":"m","transaction_id":"t","amount":{"value":5,"currency":"EUR"},"stage":"x"}"#;
    request.parse(body, true, None, NOW).expect("a check");
    let snapshot = Snapshot { policy: &policy, models: None, velocity: &velocity };
    let decided = decide(&snapshot, &request, NOW, &mut Scratch::default());
    let known = decided.matched.iter().chain(&decided.shadow).all(|at| (*at as usize) < policy.rules.rules.len());
    assert!(known && (0..=99).contains(&decided.risk_score));
}
