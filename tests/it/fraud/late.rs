//! Checks that are answered by the fail policy.

use std::time::Duration;

use super::desk::{RULES, check, config, post};
use crate::http::{Answer, Client, request};
use crate::process::Process;
use crate::server::write_files;

/// Whose time is used up before it is decided, and the sync takes the rest.
const LATE: &str = "durability = \"synced\"\ndeadline_ms = 1\non_timeout = \"deny\"";

fn slow(client: &mut Client, transaction: &str) -> Answer {
    let body = check(transaction, "card-a", 100).to_string();
    let whole = request("POST", "/v1/fraud/checks", &[("Idempotency-Key", transaction)], body.as_bytes());
    let (head, last) = whole.split_at(whole.len() - 1);
    client.send(head);
    std::thread::sleep(Duration::from_millis(100));
    client.send(last);
    client.answer()
}

/// Asked again until the log has it.
fn again(client: &mut Client, transaction: &str) -> Answer {
    loop {
        let answer = post(client, transaction, check(transaction, "card-a", 100).to_string().as_bytes());
        if answer.status != 409 {
            return answer;
        }
    }
}

#[test]
fn whoever_asks_again_gets_what_the_fail_policy_answered() {
    let dir = tempfile::tempdir().unwrap();
    write_files(dir.path(), &config(LATE), &[]);
    std::fs::write(dir.path().join("rules.toml"), RULES).unwrap();
    let mut answers: Vec<String> = Vec::new();
    for round in 0..2 {
        let mut gavel = Process::start(dir.path(), &[], "admin ");
        let client = &mut gavel.connect();
        for (i, was) in answers.iter().enumerate() {
            let now = again(client, &format!("t-{i}"));
            assert_eq!((now.text(), now.header("idempotent-replayed")), (was.as_str(), Some("true")), "{round}");
        }
        let transaction = format!("t-{round}");
        let late = slow(client, &transaction);
        let answer = late.json();
        assert_eq!(
            (late.status, answer["decision"].as_str(), answer["degraded"].as_bool()),
            (200, Some("deny"), Some(true))
        );
        assert!(answer["log_offset"].is_null());
        let now = again(client, &transaction);
        assert_eq!((now.text(), now.header("idempotent-replayed")), (late.text(), Some("true")));
        let shown = client.get(&format!("/v1/fraud/checks/{}", answer["id"].as_str().unwrap())).json();
        assert_eq!(
            (shown["decision"].as_str(), shown["features"]["card_count_1h"].as_u64()),
            (Some("deny"), Some(round + 1))
        );
        answers.push(late.text().to_owned());
        // On the same lane of the log, and behind what was answered.
        let label = br#"{"merchant_id": "m-1", "transaction_id": "none", "label": "fraud", "source": "manual_review"}"#;
        client.post("/v1/fraud/labels", label).is_empty(204);
        gavel.signal(libc::SIGKILL);
        gavel.wait(Duration::from_secs(5));
    }
}
