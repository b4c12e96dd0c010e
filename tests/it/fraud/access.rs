//! API keys, and how often they may ask.

use std::time::Duration;

use serde_json::json;
use sha2::{Digest, Sha256};

use super::desk::{RULES, check, config, problem, start};
use crate::http::{Answer, Client};
use crate::process::Process;
use crate::server::{wait_for, write_files};

fn key(id: &str, key: &str, merchant: &str, more: &str) -> String {
    let sha256: String = Sha256::digest(key).iter().map(|byte| format!("{byte:02x}")).collect();
    format!("[[fraud.keys]]\nid = \"{id}\"\nsha256 = \"{sha256}\"\nmerchant_id = \"{merchant}\"\n{more}\n")
}

fn ask(client: &mut Client, key: Option<&str>, transaction: &str, merchant: Option<&str>) -> Answer {
    let mut check = check(transaction, "card-a", 100);
    check["merchant_id"] = json!(merchant);
    let bearer = key.map(|key| format!("Bearer {key}"));
    let mut headers = vec![("Idempotency-Key", transaction)];
    headers.extend(bearer.as_deref().map(|bearer| ("Authorization", bearer)));
    client.request("POST", "/v1/fraud/checks", &headers, check.to_string().as_bytes())
}

#[test]
fn a_key_opens_its_merchants_checks_only() {
    let keys = [key("a", "secret-a", "m-1", ""), key("a2", "secret-a2", "m-1", ""), key("b", "secret-b", "m-2", "")];
    let server = start(&format!("require_keys = true\n{}", keys.concat()));
    let client = &mut server.connect();
    for wrong in [None, Some(""), Some("secret"), Some("secret-aa")] {
        let refused = ask(client, wrong, "t-1", Some("m-1"));
        assert_eq!((problem(&refused).0, refused.header("www-authenticate")), (401, Some("Bearer")), "{wrong:?}");
    }
    let first = ask(client, Some("secret-a"), "t-1", Some("m-1"));
    assert_eq!(first.status, 200, "{}", first.text());
    // The merchant need not be said; another of its keys is as good.
    assert_eq!(ask(client, Some("secret-a2"), "t-2", None).status, 200);
    assert_eq!(problem(&ask(client, Some("secret-b"), "t-3", Some("m-1"))).0, 403);
    let path = format!("/v1/fraud/checks/{}", first.json()["id"].as_str().unwrap());
    let mut get = |key: &str| client.request("GET", &path, &[("Authorization", &format!("Bearer {key}"))], b"").status;
    assert_eq!((get("secret-a2"), get("secret-b")), (200, 404));
    let label = json!({"merchant_id": "m-1", "transaction_id": "t-1", "label": "fraud", "source": "manual_review"});
    // The scheme is told in any case (RFC 9110, 11.1).
    let headers = [("Authorization", "bearer secret-b")];
    let refused = client.request("POST", "/v1/fraud/labels", &headers, label.to_string().as_bytes());
    assert_eq!(problem(&refused).0, 403);
}

#[test]
fn keys_change_without_a_restart() {
    let dir = tempfile::tempdir().unwrap();
    let write = |keys: &str| {
        write_files(dir.path(), &config(&format!("require_keys = true\n{keys}")), &[]);
    };
    std::fs::write(dir.path().join("rules.toml"), RULES).unwrap();
    write(&key("old", "secret-old", "m-1", "rate_per_second = 1\nburst = 2"));
    let server = Process::start(dir.path(), &[], "admin ");
    let asked =
        |secret: &str, transaction: &str| ask(&mut server.connect(), Some(secret), transaction, Some("m-1")).status;
    assert_eq!((asked("secret-old", "t-1"), asked("secret-new", "t-2")), (200, 401));
    // Both for a while, and then the new one alone.
    let new = key("new", "secret-new", "m-1", "");
    write(&format!("{}{new}", key("old", "secret-old", "m-1", "rate_per_second = 1\nburst = 2")));
    wait_for(Duration::from_secs(10), "the new key", || asked("secret-new", "t-2") == 200);
    assert_ne!(asked("secret-old", "t-3"), 401);
    write(&new);
    server.signal(libc::SIGHUP);
    wait_for(Duration::from_secs(10), "the old key's end", || asked("secret-old", "t-4") == 401);
    // A config with a fault changes nothing.
    write("max_age_days = \"x\"");
    server.signal(libc::SIGHUP);
    wait_for(Duration::from_secs(10), "the fault", || server.errors().contains("fraud.max_age_days"));
    assert_eq!(asked("secret-new", "t-5"), 200);
}

#[test]
fn a_key_has_a_rate() {
    let keys =
        [key("slow", "secret-slow", "m-1", "rate_per_second = 1\nburst = 3"), key("fast", "secret-fast", "m-2", "")];
    let server = start(&keys.concat());
    let client = &mut server.connect();
    let answers: Vec<Answer> =
        (0..20).map(|i| ask(client, Some("secret-slow"), &format!("t-{i}"), Some("m-1"))).collect();
    assert!(answers[..3].iter().all(|a| a.status == 200));
    let refused = answers.iter().find(|a| a.status == 429).expect("more than a burst passed");
    assert_eq!(problem(refused).1, "rate_limited");
    assert!(refused.header("retry-after").unwrap().parse::<u32>().unwrap() >= 1);
    assert_eq!(ask(client, Some("secret-fast"), "t-99", Some("m-2")).status, 200);
    // On loopback nobody needs a key.
    assert_eq!(ask(client, None, "t-100", Some("m-3")).status, 200);
}
