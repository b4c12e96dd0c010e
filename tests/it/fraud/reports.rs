//! Outcomes and labels.

use serde_json::json;

use gavel::clock::SystemClock;

use super::desk::{check, decide, features, problem, start};
use crate::server::Server;

fn ago(seconds: i64) -> String {
    SystemClock::start().now().plus(-seconds * 1_000).to_string()
}

#[test]
fn outcomes_count_from_then_on() {
    let server = start("");
    let client = &mut server.connect();
    let first = decide(client, &check("t-1", "card-a", 100));
    let path = format!("/v1/fraud/checks/{}/outcome", first["id"].as_str().unwrap());
    let declined = json!({"status": "declined", "response_code": "51", "occurred_at": ago(3_600)}).to_string();
    client.post(&path, declined.as_bytes()).is_empty(204);
    client.post(&path, declined.as_bytes()).is_empty(204);
    let second = decide(client, &check("t-2", "card-a", 100));
    assert_eq!(features(client, &second["id"])["card_declined_1d"], 1);
    client.post(&path, b"{\"status\": \"authorized\"}").is_empty(204);
    let third = decide(client, &check("t-3", "card-a", 100));
    assert_eq!(features(client, &third["id"])["card_declined_1d"], 0);
    for (body, expected) in [
        ("{", (400, "not_json", vec![String::new()])),
        ("{}", (422, "invalid", vec!["/status".to_owned()])),
        ("{\"status\": 5, \"state\": 1}", (422, "invalid", vec!["/status".to_owned(), "/state".to_owned()])),
        ("{\"status\": \"lost\"}", (422, "invalid", vec!["/status".to_owned()])),
        ("{\"status\": \"declined\", \"occurred_at\": \"x\"}", (422, "invalid", vec!["/occurred_at".to_owned()])),
        (
            "{\"status\": \"declined\", \"response_code\": \"4111111111111111\"}",
            (422, "pan_not_allowed", vec!["/response_code".to_owned()]),
        ),
    ] {
        let (status, code, pointers) = problem(&client.post(&path, body.as_bytes()));
        assert_eq!((status, code.as_str(), pointers), expected, "{body}");
    }
    for seconds in [-120, 541 * 86_400] {
        let body = json!({"status": "declined", "occurred_at": ago(seconds)}).to_string();
        assert_eq!(problem(&client.post(&path, body.as_bytes())), (422, "invalid".into(), vec!["/occurred_at".into()]));
    }
    let unknown = format!("/v1/fraud/checks/chk_{}/outcome", "0".repeat(32));
    assert_eq!(problem(&client.post(&unknown, declined.as_bytes())).0, 404);
}

#[test]
fn labels_mark_their_transactions() {
    let server = start("");
    let client = &mut server.connect();
    (1..3).for_each(|i| drop(decide(client, &check(&format!("t-{i}"), "card-a", 100))));
    let label = |transaction: &str, label: &str| {
        json!({"merchant_id": "m-1", "transaction_id": transaction, "label": label, "source": "chargeback",
               "reason_code": "10.4", "occurred_at": ago(120 * 86_400), "reported_at": ago(86_400)})
        .to_string()
    };
    let post = |client: &mut crate::http::Client, kind: &str, body: String| {
        client.request("POST", "/v1/fraud/labels", &[("Content-Type", kind)], body.as_bytes())
    };
    post(client, "application/json", label("t-1", "fraud")).is_empty(204);
    // Twice is once, and a transaction that nobody knows changes nothing.
    let lines = ["t-1", "t-2", "t-unknown"].map(|transaction| label(transaction, "fraud")).join("\n");
    post(client, "application/x-ndjson; charset=utf-8", format!("{lines}\n\n")).is_empty(204);
    let marked = decide(client, &check("t-3", "card-a", 100));
    assert_eq!(features(client, &marked["id"])["card_fraud_90d"], 2);
    assert_eq!(marked["decision"], "challenge");
    assert_eq!(server.metric("gavel_fraud_reports_total{kind=\"label\",outcome=\"unknown_transaction\"}"), 1.0);
    post(client, "application/json", label("t-1", "legitimate")).is_empty(204);
    let cleared = decide(client, &check("t-4", "card-b", 100));
    assert_eq!(features(client, &cleared["id"])["card_fraud_90d"], 0);
    let one = decide(client, &check("t-5", "card-a", 100));
    assert_eq!(features(client, &one["id"])["card_fraud_90d"], 1);
    // One bad line, and nothing is changed; all of them are named.
    let lines = format!("{}\n{}\n{{}}", label("t-3", "fraud"), label("t-4", "maybe"));
    let refused = post(client, "application/x-ndjson", lines.clone());
    let missing = ["merchant_id", "transaction_id", "label", "source"].map(|key| format!("/2/{key}"));
    let pointers: Vec<String> = std::iter::once("/1/label".to_owned()).chain(missing).collect();
    assert_eq!(problem(&refused), (422, "invalid".into(), pointers));
    let refused = problem(&post(client, "application/x-ndjson", format!("{lines}\n{{")));
    assert_eq!((refused.0, refused.1.as_str(), refused.2.last().unwrap().as_str()), (400, "not_json", "/3"));
    let same = decide(client, &check("t-6", "card-a", 100));
    assert_eq!(features(client, &same["id"])["card_fraud_90d"], 1);
}

#[test]
fn a_label_of_a_check_that_had_to_make_room_makes_no_wrong_number() {
    let mut server = start("max_checks = 1000\n");
    let ask = |server: &Server, transaction: &str, card: &str| {
        let client = &mut server.connect();
        let answer = decide(client, &check(transaction, card, 100));
        (features(client, &answer["id"]), answer["degraded"].as_bool())
    };
    (0..1_200).for_each(|i| drop(ask(&server, &format!("t-{i}"), &format!("card-{}", i % 400))));
    let (sure, degraded) = ask(&server, "t-sure", "card-0");
    assert_eq!((&sure["card_fraud_90d"], degraded), (&json!(0), Some(false)));
    let label = json!({"merchant_id": "m-1", "transaction_id": "t-0", "label": "fraud", "source": "chargeback"});
    server.connect().post("/v1/fraud/labels", label.to_string().as_bytes()).is_empty(204);
    // It may be of any check that is not known any more. That outlives a restart, with a checkpoint and without.
    for without_checkpoint in [false, true, false] {
        let (unsure, degraded) = ask(&server, &format!("t-{}", fastrand::u64(..)), "card-0");
        assert_eq!((&unsure["card_fraud_90d"], degraded), (&json!(null), Some(true)));
        assert!(unsure["card_count_1h"].as_u64() >= Some(4), "{unsure}");
        server.stop();
        if without_checkpoint {
            std::fs::remove_file(server.dir.path().join("data/fraud-checkpoint")).unwrap();
        }
        server.run();
    }
}

#[test]
fn who_sent_more_labels_than_the_log_takes_is_told_how_many_it_took() {
    let config = "[log]\nsegment_bytes = 1048576\nmax_bytes = 3145728\n";
    let server = Server::start(config, &[]);
    let label = json!({"merchant_id": "m-1", "transaction_id": "t-1", "label": "fraud", "source": "chargeback",
                       "reason_code": "x".repeat(100)});
    let lines = format!("{label}\n").repeat(4_500);
    let client = &mut server.connect();
    let refused = (0..20).find_map(|_| {
        let headers = [("Content-Type", "application/x-ndjson")];
        let answer = client.request("POST", "/v1/fraud/labels", &headers, lines.as_bytes());
        (answer.status != 204).then_some(answer)
    });
    let refused = refused.expect("the log is full at some time");
    assert_eq!(problem(&refused), (503, "log_unavailable".into(), vec![]));
    let detail = refused.json()["detail"].as_str().unwrap().to_owned();
    let taken = detail.strip_prefix("the first ").and_then(|rest| rest.split_once(" of 4500 labels are taken"));
    let (taken, _) = taken.unwrap_or_else(|| panic!("{detail}"));
    let noted = server.metric("gavel_fraud_reports_total{kind=\"label\",outcome=\"unknown_transaction\"}");
    assert_eq!(noted as u64 % 4_500, taken.parse::<u64>().unwrap(), "{detail}");
}
