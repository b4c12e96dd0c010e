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
    // No stop ever wrote a checkpoint: the first start that had checks to read did.
    let metrics = gavel.ask().get("/metrics").text().to_owned();
    let next = metrics.lines().find_map(|line| line.strip_prefix("gavel_fraud_checkpoint ")).unwrap();
    assert!(next != "0" && dir.path().join("data/fraud-checkpoint").exists(), "{next}");
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

#[test]
fn a_start_from_a_checkpoint_is_one_from_the_whole_log() {
    let (whole, told) = (tempfile::tempdir().unwrap(), "the log is read instead");
    write_files(whole.path(), &config(""), &[]);
    std::fs::write(whole.path().join("rules.toml"), RULES).unwrap();
    let some = |gavel: &Process, numbers: std::ops::Range<usize>| {
        let client = &mut gavel.connect();
        let answers: Vec<String> = numbers
            .map(|i| decide(client, &check(&format!("t-{i}"), &format!("card-{}", i % 3), 100 + i as i64)).to_string())
            .collect();
        for (i, label) in [(1, "fraud"), (2, "legitimate")] {
            let label = json!({"merchant_id": "m-1", "transaction_id": format!("t-{i}"), "label": label, "source": "chargeback"});
            client.post("/v1/fraud/labels", label.to_string().as_bytes()).is_empty(204);
        }
        answers
    };
    let stop = |mut gavel: Process, signal: i32| {
        gavel.signal(signal);
        gavel.wait(std::time::Duration::from_secs(10));
    };
    let gavel = Process::start(whole.path(), &[], "admin ");
    let list = json!({"kind": "exact", "entries": [{"value": "c-2"}]}).to_string();
    gavel.ask().request("PUT", "/v1/fraud/lists/allow", &[], list.as_bytes()).is_empty(204);
    let mut answers = some(&gavel, 0..12);
    stop(gavel, libc::SIGTERM);
    // Then a crash: the checkpoint has what was before it, the log the rest.
    let gavel = Process::start(whole.path(), &[], "admin ");
    assert!(!gavel.errors().contains(told), "{}", gavel.errors());
    answers.extend(some(&gavel, 12..20));
    stop(gavel, libc::SIGKILL);
    let checkpoint = whole.path().join("data/fraud-checkpoint");
    let bytes = std::fs::read(&checkpoint).unwrap();
    let mut flipped = bytes.clone();
    flipped[bytes.len() / 2] ^= 1;
    let mut seen = Vec::new();
    for (file, is_used) in [
        (Some(bytes.as_slice()), true),
        (None, false),
        (Some(&flipped), false),
        (Some(&bytes[..bytes.len() - 1]), false),
    ] {
        let dir = tempfile::tempdir().unwrap();
        std::fs::create_dir_all(dir.path().join("data/log")).unwrap();
        for name in ["gavel.toml", "campaigns.json", "rules.toml", "data/books.sqlite", "data/notice-keys"] {
            std::fs::copy(whole.path().join(name), dir.path().join(name)).unwrap();
        }
        for segment in std::fs::read_dir(whole.path().join("data/log")).unwrap() {
            let segment = segment.unwrap();
            std::fs::copy(segment.path(), dir.path().join("data/log").join(segment.file_name())).unwrap();
        }
        // What SQLite has not moved into its file yet is folded from the log again.
        file.iter().for_each(|bytes| std::fs::write(dir.path().join("data/fraud-checkpoint"), bytes).unwrap());
        let gavel = Process::start(dir.path(), &[], "admin ");
        assert_eq!(gavel.errors().contains(told), file.is_some() && !is_used, "{}", gavel.errors());
        let client = &mut gavel.connect();
        for (i, answer) in answers.iter().enumerate() {
            let again = check(&format!("t-{i}"), &format!("card-{}", i % 3), 100 + i as i64);
            let again = post(client, &format!("t-{i}"), again.to_string().as_bytes());
            assert_eq!((again.json().to_string(), again.header("idempotent-replayed")), (answer.clone(), Some("true")));
        }
        let lists = gavel.ask().get("/v1/fraud/lists/allow").text().to_owned();
        let next = decide(client, &check("t-next", "card-1", 7));
        seen.push((features(client, &next["id"]), lists));
        stop(gavel, libc::SIGKILL);
    }
    assert_eq!(seen[0].0["card_fraud_90d"], 1);
    assert!(seen.iter().all(|other| *other == seen[0]), "{seen:#?}");
}
