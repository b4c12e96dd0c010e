//! What a crash leaves.

use serde_json::json;

use super::desk::{RULES, check, config, decide, features, post, start};
use crate::process::Process;
use crate::server::write_files;

#[test]
fn a_killed_server_gives_the_same_answers_and_counts_once() {
    let dir = tempfile::tempdir().unwrap();
    write_files(dir.path(), &config(""), &[]);
    std::fs::write(dir.path().join("rules.toml"), RULES).unwrap();
    let bodies: Vec<String> =
        (0..40).map(|i| check(&format!("t-{i}"), &format!("card-{}", i % 8), 100).to_string()).collect();
    let mut answers = Vec::new();
    for round in 0..3 {
        let mut gavel = Process::start(dir.path(), &[], "admin ");
        let client = &mut gavel.connect();
        for (i, answer) in answers.iter().enumerate() {
            let again = post(client, &format!("key-{i}"), bodies[i].as_bytes());
            assert_eq!((again.status, again.text()), (200, *answer as &str), "round {round}");
            assert_eq!(again.header("idempotent-replayed"), Some("true"), "round {round}, check {i}");
        }
        let new = answers.len()..answers.len() + 10;
        let decided: Vec<String> = new
            .map(|i| {
                let answer = post(client, &format!("key-{i}"), bodies[i].as_bytes());
                assert_eq!((answer.status, answer.header("idempotent-replayed")), (200, None), "{}", answer.text());
                answer.text().to_owned()
            })
            .collect();
        let label = json!({"merchant_id": "m-1", "transaction_id": format!("t-{}", 8 * round), "label": "fraud", "source": "customer_report"});
        client.post("/v1/fraud/labels", label.to_string().as_bytes()).is_empty(204);
        gavel.signal(libc::SIGKILL);
        gavel.wait(std::time::Duration::from_secs(5));
        answers.extend(decided.into_iter().map(|text| &*text.leak()));
    }
    let gavel = Process::start(dir.path(), &[], "admin ");
    let client = &mut gavel.connect();
    // 30 checks over 8 cards: card 0 has four, and three of them are labelled.
    let next = decide(client, &check("t-last", "card-0", 100));
    let shown = features(client, &next["id"]);
    assert_eq!((&shown["card_count_1h"], &shown["card_fraud_90d"]), (&json!(5), &json!(3)));
    // What an old check saw is still what it saw.
    let first: serde_json::Value = serde_json::from_str(answers[0]).unwrap();
    assert_eq!(features(client, &first["id"])["card_count_1h"], 1);
}

#[test]
fn synced_checks_are_answered_too() {
    let mut server = start("durability = \"synced\"");
    let first = decide(&mut server.connect(), &check("t-1", "card-a", 100));
    server.restart();
    let client = &mut server.connect();
    assert_eq!(post(client, "t-1", check("t-1", "card-a", 100).to_string().as_bytes()).json(), first);
}
