//! Fraud checks and rules: any body is refused or decided, no accepted one holds a card number where it must not, and any
//! ruleset is refused or evaluated.

use std::sync::Arc;

use gavel::clock::UnixMs;
use gavel::event::Event;
use gavel::event::fraud::{Checked, FraudEvent};
use gavel::fraud::decide::{Scratch, Snapshot, check as decide};
use gavel::fraud::edits::{NoEdit, add_entries, put_list};
use gavel::fraud::engine::pack;
use gavel::fraud::fields::{FIELDS, Kind, find};
use gavel::fraud::lists::List;
use gavel::fraud::pan::holds_card_number;
use gavel::fraud::policy::{Lists, first_lists};
use gavel::fraud::report::{self, Refused as Refusal, Times};
use gavel::fraud::request::{ITEM_IDENTIFIERS, Refused};
use gavel::fraud::{Fault, Policy, Request, Velocity, answer, demo};
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

/// Bodies of outcomes, labels and lists: what is refused says where and repeats no card number, and what is taken holds none.
pub fn reports(data: &[u8]) {
    let times = Times { now: NOW, max_future_ms: 60_000 };
    let told = |refused: Refusal| {
        let Refusal { faults, card_numbers, .. } = refused;
        assert!(!faults.is_empty() || !card_numbers.is_empty());
        said(faults.listed().into_iter().chain(card_numbers.listed()).collect());
    };
    match report::label(data, None, times) {
        Ok(label) => assert!(!label.merchant.is_empty() && !holds_card_number(&label.reason_code)),
        Err(refused) => told(refused),
    }
    match report::outcome(data, times) {
        Ok(outcome) => assert!(!holds_card_number(&outcome.response_code)),
        Err(refused) => told(refused),
    }
    match report::labels(data, Some("own"), times) {
        Ok(labels) => assert!(labels.len() <= data.split(|b| *b == b'\n').count()),
        Err(refused) => told(refused),
    }
    for kind in ["exact", "cidr", "bin", "domain"] {
        let mut lists = Lists::default();
        let empty = format!(r#"{{"kind": "{kind}", "entries": []}}"#);
        put_list(&mut lists, "l", empty.as_bytes(), NOW).expect("a list");
        for edit in [add_entries, put_list] {
            match edit(&mut lists, "l", data, NOW) {
                Ok(()) => {
                    let content = lists["l"].content();
                    assert!(!content.entries.iter().any(|entry| holds_card_number(&entry.value)));
                    let again = List::of(&content, NOW).map(|list| list.content());
                    assert_eq!(again, Some(content));
                }
                Err(NoEdit::Syntax(fault)) => said(vec![fault]),
                Err(NoEdit::Faults(faults)) => said(faults.listed()),
                Err(NoEdit::NotFound(_)) => unreachable!("the list is there"),
            }
        }
    }
}

fn said(faults: Vec<Fault>) {
    assert!(!faults.is_empty());
    for fault in faults {
        assert!(fault.pointer.is_empty() || fault.pointer.starts_with('/'), "{fault:?}");
        assert!(!holds_card_number(&fault.pointer) && !holds_card_number(&fault.message), "{fault:?}");
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
