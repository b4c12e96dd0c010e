//! A check and its answer.

use serde_json::{Value, json};

use super::desk::{check, decide, features, post, problem, start};
use crate::http::request;
use crate::server::Server;

#[test]
fn the_demo_answers_without_any_configuration() {
    let server = Server::start("", &[]);
    let answer = decide(&mut server.connect(), &check("t-1", "card-a", 1_000));
    assert_eq!((&answer["decision"], &answer["risk_score"]), (&json!("allow"), &json!(0)));
}

#[test]
fn an_answer_says_what_and_why() {
    let server = start("");
    let client = &mut server.connect();
    let first = decide(client, &check("t-0", "card-a", 60_000));
    let id = first["id"].as_str().unwrap();
    assert!(id.starts_with("chk_") && id.len() == 36, "{id}");
    let mut expected = json!({
        "decision": "review", "risk_score": 66, "risk_level": "elevated", "recommended_action": "manual_review",
        "reasons": [{"code": "rule", "message": "", "feature": "amount.value", "value": 60_000, "threshold": 50_000,
                     "rule_id": "large", "contribution": 66}],
        "rules_matched": ["large"], "model": null, "shadow": [{"rule_id": "tried", "action": "deny"}], "degraded": false,
    });
    for key in ["id", "ruleset_version", "log_offset", "latency_us"] {
        assert!(!first[key].is_null(), "{key} in {first}");
        expected[key] = first[key].clone();
    }
    assert_eq!(first, expected);

    (1..3).for_each(|i| drop(decide(client, &check(&format!("t-{i}"), "card-a", 100))));
    let denied = decide(client, &check("t-3", "card-a", 60_000));
    // Deny beats review; the score is the highest.
    assert_eq!(
        (&denied["decision"], &denied["risk_score"], &denied["risk_level"]),
        (&json!("deny"), &json!(80), &json!("highest"))
    );
    assert_eq!(denied["rules_matched"], json!(["many", "large"]));
    assert_eq!(denied["reasons"][0]["message"], "Too \"many\"");
    assert_eq!((&denied["reasons"][0]["value"], &denied["reasons"][0]["threshold"]), (&json!(4), &json!(3)));
    let shown = json!({"card_count_1h": 4, "card_sum_1d": 120_200, "card_blocked_1d": 0, "card_declined_1d": 0,
                       "card_fraud_90d": 0, "card_merchant_avg_1d": 30_050.0});
    assert_eq!(features(client, &denied["id"]), shown);
    let next = decide(client, &check("t-4", "card-a", 1));
    assert_eq!(features(client, &next["id"])["card_blocked_1d"], 1, "what was denied counts as blocked");
    assert_eq!(server.metric("gavel_fraud_checks_total{decision=\"deny\"}"), 2.0);
    assert_eq!(server.metric("gavel_fraud_rule_hits_total{rule=\"tried\",mode=\"shadow\"}"), 5.0);
}

#[test]
fn a_retry_gets_the_same_answer_and_counts_once() {
    let server = start("");
    let client = &mut server.connect();
    let body = check("t-1", "card-a", 100).to_string();
    let first = post(client, "key-1", body.as_bytes());
    assert_eq!(first.status, 200, "{}", first.text());
    for _ in 0..3 {
        let again = post(client, "key-1", body.as_bytes());
        assert_eq!((again.status, again.text()), (200, first.text()));
        assert_eq!(again.header("idempotent-replayed"), Some("true"));
    }
    let other = check("t-1", "card-a", 101).to_string();
    assert_eq!(problem(&post(client, "key-1", other.as_bytes())).1, "idempotency_key_reused");
    // Raw bytes are compared.
    assert_eq!(problem(&post(client, "key-1", format!("{body} ").as_bytes())).0, 422);
    assert_eq!(problem(&post(client, "key-2", body.as_bytes())), (409, "transaction_known".into(), vec![]));
    // Another merchant's key is another key.
    let mut theirs = check("t-1", "card-a", 100);
    theirs["merchant_id"] = json!("m-2");
    let theirs = post(client, "key-1", theirs.to_string().as_bytes());
    assert_eq!((theirs.status, theirs.header("idempotent-replayed")), (200, None));
    assert_eq!(features(client, &theirs.json()["id"])["card_count_1h"], 2);
}

#[test]
fn two_at_once_have_one_decision() {
    let server = start("");
    let mut clients: Vec<_> = (0..8).map(|_| server.connect()).collect();
    for round in 0..20 {
        let body = check(&format!("t-{round}"), &format!("card-{round}"), 100).to_string();
        let key = format!("key-{round}");
        let bytes = request("POST", "/v1/fraud/checks", &[("Idempotency-Key", &key)], body.as_bytes());
        clients.iter_mut().for_each(|client| client.send(&bytes));
        let answers: Vec<_> = clients.iter_mut().map(|client| client.answer()).collect();
        let decided: Vec<_> = answers.iter().filter(|a| a.status == 200).collect();
        let first: Vec<_> = decided.iter().filter(|a| a.header("idempotent-replayed").is_none()).collect();
        assert_eq!(first.len(), 1, "round {round}");
        assert!(decided.iter().all(|a| a.text() == first[0].text()));
        let rest = answers.iter().filter(|a| a.status != 200);
        rest.for_each(|a| assert_eq!(problem(a), (409, "in_flight".into(), vec![])));
        assert_eq!(features(&mut clients[0], &first[0].json()["id"])["card_count_1h"], 1);
    }
}

#[test]
fn bad_checks_are_refused_and_change_nothing() {
    let server = start("strict = true");
    let client = &mut server.connect();
    let fine = check("t-1", "card-a", 100);
    let with = |pointer: &str, value: Value| {
        let mut check = fine.clone();
        let (parent, key) = pointer.rsplit_once('/').unwrap();
        check.pointer_mut(parent).unwrap()[key] = value;
        check.to_string()
    };
    for (pointer, value) in [
        ("/amount/value", json!(-1)),
        ("/amount/value", json!(1e20)),
        ("/amount/value", json!(1.5)),
        ("/amount/currency", json!("XXX")),
        ("/amount/currency", json!("eur")),
        ("/transaction_id", json!("")),
        ("/transaction_id", json!("x".repeat(257))),
        ("/occurred_at", json!("2016-01-01T00:00:00Z")),
        ("/occurred_at", json!("2099-01-01T00:00:00Z")),
        ("/occurred_at", json!("yesterday")),
        ("/payment_method/card/exp_month", json!(13)),
        ("/device/ip", json!("localhost")),
        ("/surprise", json!(1)),
    ] {
        let refused = post(client, "key-1", with(pointer, value.clone()).as_bytes());
        assert_eq!(problem(&refused), (422, "invalid".into(), vec![pointer.to_owned()]), "{pointer} {value}");
    }
    for (body, status) in [("", 400), ("{", 400), ("\u{feff}{}", 400), ("[]", 422), ("3", 422)] {
        let (found, _, pointers) = problem(&post(client, "key-1", body.as_bytes()));
        assert_eq!((found, pointers.first().map(String::as_str)), (status, Some("")), "{body}");
    }
    assert_eq!(problem(&post(client, "", fine.to_string().as_bytes())).1, "idempotency_key_missing");
    assert_eq!(problem(&post(client, &"k".repeat(256), fine.to_string().as_bytes())).0, 400);
    assert_eq!(problem(&post(client, "key-1", &vec![b' '; 10 << 20])).0, 413);
    let client = &mut server.connect();
    assert_eq!(problem(&post(client, "key-1", &vec![b' '; 200 << 10])).0, 413);
    assert_eq!(problem(&client.get("/v1/fraud/checks")).0, 405);
    assert_eq!(problem(&client.get("/v1/fraud/nothing")).0, 404);
    assert_eq!(problem(&client.get("/v1/fraud/checks/chk_1")).0, 404);
    // The key is still free, and nothing was counted.
    let decided = decide_with(client, "key-1", &fine);
    assert_eq!(features(client, &decided["id"])["card_count_1h"], 1);
}

#[test]
fn unknown_fields_are_fine_unless_strict() {
    let server = start("");
    let client = &mut server.connect();
    let mut more = check("t-1", "card-a", 100);
    more["surprise"] = json!({"deep": [1, {"deeper": null}]});
    assert_eq!(decide(client, &more)["decision"], "allow");
}

#[test]
fn card_numbers_are_refused_and_kept_nowhere() {
    let server = start("");
    let client = &mut server.connect();
    let pan = "4111 1111 1111 1111";
    for (member, pointer) in
        [("metadata", "/metadata/note"), ("surprise", "/surprise/note"), ("device", "/device/note")]
    {
        let mut body = check("t-1", "card-a", 100);
        body[member]["note"] = json!(format!("the card is {pan}, sorry"));
        let refused = post(client, "key-1", body.to_string().as_bytes());
        assert_eq!(problem(&refused), (422, "pan_not_allowed".into(), vec![pointer.to_owned()]));
        assert!(!refused.text().contains("1111"), "{}", refused.text());
    }
    let mut identifier = check("t-1", "card-a", 100);
    identifier["customer"]["id"] = json!("6011111111111117");
    assert_eq!(decide_with(client, "key-1", &identifier)["decision"], "allow");
    // What may be a phone number has at most 15 digits.
    let mut phone = check("t-2", "card-a", 100);
    phone["customer"]["phone"] = json!(pan);
    let refused = post(client, "key-2", phone.to_string().as_bytes());
    assert_eq!(problem(&refused), (422, "pan_not_allowed".into(), vec!["/customer/phone".to_owned()]));
    phone["customer"]["phone"] = json!("+37 1449 635 398431");
    assert_eq!(decide_with(client, "key-2", &phone)["decision"], "allow");
    assert_eq!(server.metric("gavel_fraud_refused_total{code=\"pan_not_allowed\"}"), 4.0);
    for entry in std::fs::read_dir(server.dir.path().join("data/log")).unwrap() {
        let bytes = std::fs::read(entry.unwrap().path()).unwrap();
        assert!(!bytes.windows(pan.len()).any(|window| window == pan.as_bytes()));
    }
}

fn decide_with(client: &mut crate::http::Client, key: &str, check: &Value) -> Value {
    let answer = post(client, key, check.to_string().as_bytes());
    assert_eq!(answer.status, 200, "{}", answer.text());
    answer.json()
}

#[test]
fn a_refused_check_gets_no_larger_answer() {
    let server = start("strict = true");
    let name = "n".repeat(60_000);
    for member in ["4111111111111111", "{\"x\":1}"] {
        let members: Vec<String> = (0..150).map(|i| format!("\"m{i}\":{member}")).collect();
        let body = format!("{{\"{name}\":{{{}}}}}", members.join(","));
        let plain = format!("{{{}}}", members.join(","));
        for body in [body, plain] {
            let answer = post(&mut server.connect(), "k", body.as_bytes());
            assert!(answer.status == 422 && answer.text().len() < 24_000, "{} {}", answer.status, answer.text().len());
            assert!(answer.json()["errors"].as_array().unwrap().len() <= 101);
        }
    }
}
