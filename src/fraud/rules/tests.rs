//! Rules: what is refused, and what matches.

use std::sync::Arc;

use super::*;
use crate::clock::UnixMs;
use crate::fraud::demo;
use crate::fraud::lists::{Content, Entry, Kind, List};
use crate::fraud::request::Request;
use crate::fraud::velocity::Velocity;
use crate::window::sliding::{Limits, Value};

const NOW: UnixMs = UnixMs(1_795_000_000_000);

fn velocity() -> Velocity {
    let limits = Limits { max_bytes: 1 << 20, max_events_per_key: 1_000, late_ms: 0 };
    Velocity::new(demo::windows(), limits).unwrap()
}

fn parse(text: &str) -> Result<Rules, Vec<Fault>> {
    let velocity = velocity();
    Rules::parse(text, &Names { velocity: &velocity, lists: &lists() })
}

fn lists() -> [(String, Kind); 4] {
    [("block", Kind::Domain), ("nets", Kind::Cidr), ("bins", Kind::Bin), ("ids", Kind::Exact)]
        .map(|(name, kind)| (name.to_owned(), kind))
}

fn rule(when: &str) -> String {
    format!("[[rules]]\nid = \"r\"\nwhen = '''{when}'''\naction = \"deny\"\n")
}

/// Whether the condition matches a check with these windows.
fn matches(when: &str, windows: &[(&str, Value)]) -> bool {
    let rules = parse(&rule(when)).unwrap_or_else(|faults| panic!("{when}: {faults:?}"));
    let velocity = velocity();
    let mut shown = vec![Value::Null; velocity.declared().len()];
    windows.iter().for_each(|(name, value)| shown[velocity.find(name).unwrap()] = *value);
    let mut request = Request::default();
    let body = r#"{"merchant_id":"m","transaction_id":"t","amount":{"value":5000,"currency":"EUR"},
                   "customer":{"email":"a@mail.evil.example"},"stage":"pay \"now\""}"#;
    request.parse(body.as_bytes(), true, None, NOW).unwrap();
    let entries = vec![Entry { value: "evil.example".into(), expires_at: None }];
    let lists = [Arc::new(List::of(&Content { kind: Kind::Domain, entries }, NOW).unwrap())];
    let view =
        View { request: &request, windows: &shown, model_score: f64::NAN, risk_score: 80, lists: &lists, now: NOW };
    let matches = rules.rules[0].matches(&view);
    assert!(rules.rules[0].may_match(&view) || !matches, "{when}");
    assert_eq!(rules.rules[0].hits.load(Ordering::Relaxed), u64::from(matches));
    matches
}

#[test]
fn conditions_say_what_they_mean() {
    let windows = [("card_count_1h", Value::Int(11)), ("terminal_fraud_share_7d", Value::Real(0.25))];
    for (when, expected) in [
        ("card_count_1h > 10 && amount.value >= 5000", true),
        ("card_count_1h > 11 || amount.value != 5_000", false),
        ("!(card_count_1h <= 10) && (terminal_fraud_share_7d == 0.25)", true),
        ("amount.value / card_count_1h > 454.5 && amount.value - 2 * 1_000 == 3000", true),
        ("-amount.value + 5000 == 0", true),
        ("2 + 3 * 4 == 14 && (2 + 3) * 4 == 20 && 10 - 3 - 2 == 5", true),
        ("amount.currency == \"EUR\" && 'USD' != amount.currency", true),
        ("amount.currency in [\"USD\", \"EUR\"] && card_count_1h in [1, 11]", true),
        ("customer.email in lists.block", true),
        ("customer.email.endsWith(\".example\") && stage.contains('\"now\"') && !stage.startsWith(\"x\")", true),
        ("customer.email == \"A@Mail.Evil.Example\" && customer.email.startsWith(\"A@\")", true),
        ("customer.email in [\" A@Mail.Evil.Example \"]", true),
        ("risk_score >= 75", true),
        ("device.ip == null && amount.value != null && model.score == null", true),
        ("(card_count_1h > 10) == false", false),
        // Neither true nor false, unless the other side decides.
        ("customer_avg_30d > 0", false),
        ("!(customer_avg_30d > 0)", false),
        ("customer_avg_30d > 0 || card_count_1h == 11", true),
        ("!(customer_avg_30d > 0 && card_count_1h == 12)", true),
        ("model.score < 2", false),
        ("device.ip in lists.ids", false),
        ("amount.value / 0 > 1", false),
    ] {
        assert_eq!(matches(when, &windows), expected, "{when}");
    }
    assert!(!matches("card_count_1h >= 0", &[("card_count_1h", Value::Lost)]), "what was evicted decides nothing");
}

#[test]
fn a_rule_matches_as_its_condition_says_whatever_is_asked_first() {
    type Holds = fn(&f64, &f64) -> bool;
    let operators: [(&str, Holds); 6] =
        [("==", f64::eq), ("!=", f64::ne), ("<", f64::lt), ("<=", f64::le), (">", f64::gt), (">=", f64::ge)];
    for (operator, holds) in operators {
        for value in [Value::Null, Value::Lost, Value::Int(9), Value::Int(10), Value::Int(11), Value::Real(10.5)] {
            let (number, windows) = (value.as_f64(), [("card_count_1h", value)]);
            let is_known = !number.is_nan();
            for (when, expected) in [
                (format!("card_count_1h {operator} 10"), holds(&number, &10.0)),
                (format!("10 {operator} card_count_1h"), holds(&10.0, &number)),
                (format!("stage != null && (card_count_1h {operator} 10 && amount.value > 1)"), holds(&number, &10.0)),
                (format!("card_count_1h {operator} 10 && amount.value > 5000"), false),
                (format!("!(card_count_1h {operator} 10)"), !holds(&number, &10.0)),
            ] {
                assert_eq!(matches(&when, &windows), expected && is_known, "{when}: {value:?}");
            }
        }
    }
}

#[test]
fn why_a_rule_matched_is_the_comparison_that_held() {
    let rules = |when: &str| parse(&rule(when)).unwrap_or_else(|faults| panic!("{when}: {faults:?}"));
    let velocity = velocity();
    let mut shown = vec![Value::Null; velocity.declared().len()];
    for (name, value) in [("card_count_1h", 1), ("ip_cards_1h", 7)] {
        shown[velocity.find(name).unwrap()] = Value::Int(value);
    }
    let request = Request::default();
    let view = View { request: &request, windows: &shown, model_score: 0.5, risk_score: 80, lists: &[], now: NOW };
    for (when, expected) in [
        ("card_count_1h > 10 || ip_cards_1h > 5", Some(("ip_cards_1h", 7.0, 5.0))),
        ("card_count_1h > 0 || ip_cards_1h > 5", Some(("card_count_1h", 1.0, 0.0))),
        ("!(card_count_1h > 10 || 5 > ip_cards_1h)", Some(("card_count_1h", 1.0, 10.0))),
        ("!(card_count_1h > 0 && ip_cards_1h < 5)", Some(("ip_cards_1h", 7.0, 5.0))),
        ("ip_cards_1h > 3 * card_count_1h", Some(("ip_cards_1h", 7.0, 3.0))),
        ("device.ip == null && risk_score >= 75", Some(("risk_score", 80.0, 75.0))),
        ("device.ip == null", None),
    ] {
        let rules = rules(when);
        assert!(rules.rules[0].matches(&view), "{when}");
        assert_eq!(rules.rules[0].why(&view), expected, "{when}");
    }
    let of_several = rules("card_count_1h in [1, 2]");
    assert!(
        of_several.rules[0]
            .why(&view)
            .is_some_and(|(name, value, threshold)| { (name, value) == ("card_count_1h", 1.0) && threshold.is_nan() })
    );
}

#[test]
fn conditions_without_a_meaning_are_refused() {
    for (when, expected) in [
        ("", "column 1: something is missing at the end"),
        ("card_count_1h >", "column 16: something is missing at the end"),
        ("card_count_1h > 1 1", "column 19: 1 is not expected here"),
        (
            "nothing > 1",
            "column 1: nothing is not known: a field of a check, a window's name, model.score or risk_score is expected",
        ),
        ("amount.value > \"x\"", "column 16: a number and a text cannot be compared with >"),
        ("amount.currency > \"x\"", "column 19: a text and a text cannot be compared with >"),
        ("amount.value", "column 13: a condition must stand before this, not a number"),
        ("amount.value && true", "column 14: a condition must stand before this, not a number"),
        ("customer.email in lists.none", "column 19: there is no list none"),
        ("amount.value in lists.block", "column 17: lists hold texts, not a number"),
        ("lists.block == 1", "column 1: lists.block is a list: write `... in lists.block`"),
        ("stage.matches(\"x\")", "column 1: there is no matches()"),
        ("stage == 'x", "column 10: this text does not end"),
        ("amount.value > 1.2.3", "column 16: is not a number"),
        ("amount.value > #", "column 16: '#' means nothing here"),
        ("(true", "column 6: ) is missing"),
    ] {
        let faults = parse(&rule(when)).unwrap_err();
        assert_eq!(faults[0].pointer, "/rules/0/when");
        assert_eq!(faults[0].message, format!("line 1, rule \"r\": {expected}"), "{when}");
    }
    assert!(parse(&rule(&"(".repeat(70_000))).is_err() && parse(&rule(&"!".repeat(8_000))).is_err());
    assert!(parse(&rule(&format!("1{} > 0", "+1".repeat(4_000)))).is_err());
}

#[test]
fn conditions_that_can_never_hold_are_refused() {
    for when in [
        "false",
        "1 > 2",
        "card_count_1h > 5 && card_count_1h < 5",
        "card_count_1h > 5 && card_count_1h < 6",
        "card_count_1h < 0",
        "terminal_fraud_share_7d > 1",
        "risk_score > 99",
        "amount.value > 10 && !(amount.value > 5)",
        "amount.currency == \"EUR\" && amount.currency == \"USD\"",
        "amount.currency == \"EUR\" && amount.currency != \"EUR\"",
        "amount.currency in [\"EUR\"] && !(amount.currency in [\"EUR\", \"USD\"])",
        "device.ip == null && device.ip in lists.nets",
        "amount.value == null && amount.value > 1",
        "(card_count_1h > 5 || card_count_1h == 3) && card_count_1h < 3",
        "!(amount.value > 5 || true)",
        "clock.hour in [24, 25]",
        "amount.value < amount.value",
        "5 < card_count_1h && 5 > card_count_1h",
        "amount.value == 5 && amount.value != 5",
        "amount.value in [5, 6] && !(amount.value in [6, 5])",
        "card_count_1h in [1, 5] && card_count_1h == 3",
        "card_count_1h in [1, 5] && card_count_1h > 1 && card_count_1h < 5",
        "card_count_1h >= 5 && card_count_1h <= 6 && card_count_1h != 5 && card_count_1h != 6",
        "card_count_1h == 1.5",
        "customer.email in lists.block && !(customer.email in lists.block)",
        "1 + 1 > 3",
        "1 / 0 > 3 || !(1 / 0 > 3)",
        "amount.value > 2 * 3 && amount.value < 12 / 2",
        "7 in [8]",
        "\"a\" == \"b\"",
        "\"a\" in [\"b\"]",
        "customer.id != customer.id",
        "amount.value == null",
        "clock.hour == null",
        "amount.value > 1000000000000",
        "amount.currency == \"eur\"",
        "amount.currency == \"EUR\" && amount.currency.endsWith(\"X\")",
        "payment_method.card.bin == \"42\"",
        "payment_method.card.bin.startsWith(\"x\")",
        "customer.email_domain == \"Example.com\"",
        "device.ip == \"nowhere\"",
        "card_amount_24h < 0",
        "customer_avg_7d > 1000000000000",
        "model.score > 1",
        "device.ip_prefix in lists.nets",
        "customer.id in lists.bins",
        "device.ip in lists.block",
    ] {
        let faults = parse(&rule(when)).err().unwrap_or_else(|| panic!("{when} is taken"));
        assert!(faults[0].message.ends_with("can never hold"), "{when}: {faults:?}");
    }
    for when in [
        "true",
        "card_count_1h > 5 && card_count_1h <= 6",
        "terminal_fraud_share_7d > 0.5 && terminal_fraud_share_7d < 0.6",
        "customer_avg_30d > 5 && customer_avg_30d < 5.5",
        "card_count_1h > 5 || card_count_1h < 5",
        "amount.currency == \"EUR\" || amount.currency == \"USD\"",
        "model.score > 0.5",
        "device.ip == null || device.ip in lists.nets",
        "amount.value == 5 && amount.value != 6",
        "card_count_1h in [1, 5] && card_count_1h > 3",
        "card_count_1h >= 5 && card_count_1h <= 6 && card_count_1h != 5",
        "customer.email in lists.block && !(customer.email in lists.ids)",
        "!(device.ip_prefix in lists.nets)",
        "1 + 1 > 1",
        "amount.currency == \"EUR\" && amount.currency.startsWith(\"E\")",
        "customer.email == \"A@B.test\"",
        "payment_method.card.bin == \"424242\" || payment_method.card.bin in lists.bins",
        "card_amount_24h <= 0",
        "customer.age_seconds < 0",
    ] {
        assert!(parse(&rule(when)).is_ok(), "{when}");
    }
}

#[test]
fn rules_hold_no_card_number_not_even_in_a_comment() {
    let rule = "[[rules]]\nid = \"a\"\nwhen = \"amount.value > 5\"\naction = \"deny\"\n";
    let refused = |text: &str| parse(text).is_err();
    assert!(!refused(rule));
    assert!(refused(&format!("# 4111 1111 1111 1111\n{rule}")));
    assert!(refused(&rule.replace('5', "4111111111111111")));
}

#[test]
fn a_ruleset_is_checked_as_a_whole() {
    let text = "[[rules]]\nid = \"a b\"\nwhen = \"x\"\naction = \"maybe\"\nmode = \"dark\"\nscore = 100\n\n\
                [[rules]]\nid = \"r\"\nwhen = \"risk_score > 5\"\naction = \"deny\"\nscore = 5\n\n\
                [[rules]]\nid = \"r\"\nwhen = \"true\"\naction = \"deny\"\nmessage = \"4111 1111 1111 1111\"\n";
    let faults = parse(text).unwrap_err();
    let pointers: Vec<_> = faults.iter().map(|fault| fault.pointer.as_str()).collect();
    assert_eq!(
        pointers,
        [
            "/rules/0/id",
            "/rules/0/action",
            "/rules/0/mode",
            "/rules/0/score",
            "/rules/0/when",
            "/rules/1/score",
            "/rules/2/id",
            "/rules/2/message"
        ]
    );
    assert!(faults[5].message.starts_with("line 8, rule \"r\":"), "{}", faults[5].message);
    for broken in ["[[rules]]\nid = 3", "[[rules]]\nid = \"a\"\nwhen = \"true\"\naction = \"deny\"\nextra = 1", "x = 1"]
    {
        assert!(parse(broken).unwrap_err()[0].message.starts_with("line "), "{broken}");
    }
    assert_eq!(parse("").unwrap().rules.len(), 0);
    assert_eq!(parse(demo::RULES).unwrap().rules.len(), 5);
}
