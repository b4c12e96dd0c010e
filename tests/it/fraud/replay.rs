//! `gavel replay --fraud`: decisions made again from the log alone.

use std::path::Path;

use serde_json::json;

use super::desk::{RULES, check, config, decide, post};
use super::models::put;
use crate::process::{errors_of, run};
use crate::server::{Server, write_files};

const LABELLED: &str = "fraud";

/// What a replay printed, and its exit code.
fn replay(dir: &Path, more: &[&str]) -> (Option<i32>, String) {
    let output = run(dir, &[&["replay", "--fraud"], more].concat());
    (output.status.code(), String::from_utf8_lossy(&output.stdout).into_owned() + &errors_of(&output))
}

fn label(server: &Server, transaction: &str, label: &str) {
    let body = json!({"merchant_id": "m-1", "transaction_id": transaction, "label": label, "source": "chargeback"});
    server.call("POST", "/v1/fraud/labels", body.to_string().as_bytes()).is_empty(204);
}

/// A server that has decided by two rulesets, three states of a list, two models and after a restart; stopped.
fn lived() -> Server {
    let mut server = super::desk::start("");
    let mut number = 0;
    let mut decide_some = |server: &Server| {
        let client = &mut server.connect();
        for i in 0..6 {
            // No two in one millisecond: what a window shows of such is not compared.
            std::thread::sleep(std::time::Duration::from_millis(2));
            number += 1;
            let amount = if i == 5 { 60_000 } else { 100 };
            decide(client, &check(&format!("t-{number}"), &format!("card-{}", i % 2), amount));
        }
    };
    decide_some(&server);
    let list = json!({"kind": "exact", "entries": [{"value": "c-1"}]}).to_string();
    assert_eq!(server.ask("PUT", "/v1/fraud/lists/allow", list.as_bytes()).status, 204);
    decide_some(&server);
    label(&server, "t-1", LABELLED);
    label(&server, "t-2", "legitimate");
    assert_eq!(server.ask("DELETE", "/v1/fraud/lists/allow/entries/c-1", b"").status, 204);
    put(&server, "1", -1.0);
    put(&server, "2", -3.0);
    for path in ["1/activate", "2/shadow"] {
        assert_eq!(server.ask("POST", &format!("/v1/models/fraud/{path}"), b"").status, 200);
    }
    decide_some(&server);
    server.restart();
    let rules = format!("{RULES}\n[[rules]]\nid = \"model\"\nwhen = \"model.score > 0.9\"\naction = \"deny\"\n");
    assert_eq!(server.ask("PUT", "/v1/fraud/rules", rules.as_bytes()).status, 200);
    decide_some(&server);
    // Twice the same is once.
    let again = post(&mut server.connect(), "t-1", check("t-1", "card-0", 100).to_string().as_bytes());
    assert_eq!(again.header("idempotent-replayed"), Some("true"));
    server.stop();
    server
}

#[test]
fn a_replay_comes_to_the_same_decisions_and_says_so() {
    let server = lived();
    let dir = server.dir.path();
    let equal = "0 differences over 24 decisions and 144 window values\n";
    assert_eq!(replay(dir, &[]), (Some(0), equal.to_owned()));
    // Rules of the config that are others by now: the log has those of then.
    std::fs::write(dir.join("rules.toml"), "[[rules]]\nid = \"x\"\nwhen = \"true\"\naction = \"deny\"\n").unwrap();
    assert_eq!(replay(dir, &[]).0, Some(0));
    // Other windows of the same names are not those that the checks were made with.
    let day = |text: &str| {
        text.replace("length = \"1h\"", "length = \"1s\"").replace("aggregate = \"avg\"", "aggregate = \"min\"")
    };
    write_files(dir, &day(&config("")), &[]);
    let (code, text) = replay(dir, &[]);
    let others = "24 checks were made with other windows, or by a version that logged their names alone: their values are not \
                  compared\n0 differences over 24 decisions and 0 window values\n";
    assert_eq!((code, text.as_str()), (Some(0), others));
    write_files(dir, &config(""), &[]);
    // A model that is not what it was.
    let manifest = dir.join("data/models/fraud/1/manifest.toml");
    let was = std::fs::read_to_string(&manifest).unwrap();
    std::fs::write(&manifest, format!("{was}# edited\n")).unwrap();
    let (code, text) = replay(dir, &[]);
    assert!(code == Some(1) && text.contains("fraud 1 is not the model that it was"), "{code:?} {text}");
    assert!(text.ends_with("12 differences over 24 decisions and 144 window values\n"), "{text}");
    std::fs::write(&manifest, was).unwrap();
    let none = tempfile::tempdir().unwrap();
    assert_eq!(replay(none.path(), &[]).0, Some(2));
}

#[test]
fn a_backtest_tells_what_would_have_changed() {
    let server = lived();
    let dir = server.dir.path();
    let rules = "[[rules]]\nid = \"all\"\nwhen = \"card_count_1h == 1\"\naction = \"challenge\"\n";
    std::fs::write(dir.join("new.toml"), rules).unwrap();
    let (code, text) = replay(dir, &["--rules", "new.toml"]);
    assert_eq!(code, Some(0), "{text}");
    // The first check of each card, one of which was fraud and the other not.
    for line in [
        "new: 2 not allowed, 2 of them labelled, 1 of 1 frauds; precision 0.5000, recall 1.0000",
        "of 24 checks would be decided otherwise",
    ] {
        assert!(text.contains(line), "{line} is not in:\n{text}");
    }
    assert!(text.contains("old: ") && text.contains("of 1 frauds; precision none labelled, recall 0.0000"), "{text}");
    assert!(!text.contains("counted again"), "{text}");
    // A window that is another under its old name shows what it would have shown.
    write_files(dir, &config("").replacen("length = \"1h\"", "length = \"1h\"\ndelay = \"1d\"", 1), &[]);
    std::fs::write(dir.join("none.toml"), rules.replace("== 1", "> 0")).unwrap();
    let (code, text) = replay(dir, &["--rules", "none.toml"]);
    assert!(code == Some(0) && text.contains("\nnew: 0 not allowed"), "{text}");
    assert!(text.contains("24 checks were made with other windows: all their values are counted again"), "{text}");
    write_files(dir, &config(""), &[]);
    // With the model that decided alone nothing changes where it decided.
    let (code, text) = replay(dir, &["--model", "data/models/fraud/1"]);
    assert!(code == Some(0) && text.contains("\n0 of 24 checks would be decided otherwise\n"), "{text}");
    std::fs::write(dir.join("new.toml"), "[[rules]]\nid = \"x\"\nwhen = \"no_window > 1\"\naction = \"deny\"\n")
        .unwrap();
    let (code, text) = replay(dir, &["--rules", "new.toml"]);
    assert!(code == Some(2) && text.contains("no_window"), "{text}");
}
