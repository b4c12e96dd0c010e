//! `gavel check`, and starts that are refused: every fault, with its place, and exit code 1.

use serde_json::json;

use crate::make::{campaign, with, with_creative};
use crate::process::{errors_of, run};
use crate::server::write_files;

#[test]
fn a_good_config_is_fine() {
    let dir = tempfile::tempdir().unwrap();
    // Without a file, too.
    assert_eq!(run(dir.path(), &["check"]).status.code(), Some(0));
    write_files(
        dir.path(),
        "[rates]\nEUR = \"1.085\"\n",
        &[campaign("a"), with(campaign("b"), json!({"currency": "EUR"}))],
    );
    let output = run(dir.path(), &["check"]);
    assert_eq!((output.status.code(), errors_of(&output).as_str()), (Some(0), ""));
    assert!(String::from_utf8_lossy(&output.stdout).contains("2 campaigns"));
    assert!(!dir.path().join("data").exists(), "check makes files");
}

#[test]
fn every_fault_of_the_config_is_listed_with_its_line() {
    let dir = tempfile::tempdir().unwrap();
    let text = "listen = 8080\n\
                lissten = \"127.0.0.1:1\"\n\
                public_url = \"http://plain.example\"\n\
                admin_listen = \"0.0.0.0:9090\"\n\
                [exchanges.a]\n\
                spend_on = \"click\"\n\
                auction_lifetime_s = 0\n\
                price = \"google\"\n\
                [rates]\n\
                EUR = 1.085\n\
                [log]\n\
                segment_bytes = 7\n";
    std::fs::write(dir.path().join("my.toml"), text).unwrap();
    for command in [&["check", "--config", "my.toml"][..], &["--config", "my.toml"]] {
        let output = run(dir.path(), command);
        assert_eq!(output.status.code(), Some(1));
        let errors = errors_of(&output);
        for (line, key) in [
            (1, "listen"),
            (2, "lissten"),
            (3, "public_url"),
            (6, "exchanges.a.spend_on"),
            (7, "exchanges.a.auction_lifetime_s"),
            (8, "exchanges.a.price"),
            (10, "rates.EUR"),
            (12, "log.segment_bytes"),
        ] {
            assert!(errors.contains(&format!("my.toml:{line}: {key}: ")), "{line} {key} is not in:\n{errors}");
        }
        assert!(errors.contains("admin_token"), "{errors}");
        assert!(errors.contains("9 fault(s)"), "{errors}");
    }
    assert!(!dir.path().join("data").exists());
    let output = run(dir.path(), &["check", "--config", "missing.toml"]);
    assert_eq!(output.status.code(), Some(1));
    assert!(errors_of(&output).contains("missing.toml"));
}

#[test]
fn a_bad_catalog_is_refused_whole_with_every_fault() {
    let dir = tempfile::tempdir().unwrap();
    let bad = with_creative(
        with(
            campaign("bad"),
            json!({"budget": {"total": "0"}, "surprise": 1, "targeting": {"exchanges": ["nowhere"]}}),
        ),
        json!({"adomain": ["not a domain"]}),
    );
    write_files(dir.path(), "", &[campaign("good"), bad, campaign("good")]);
    std::fs::write(dir.path().join("more.json"), with(campaign("euro"), json!({"currency": "EUR"})).to_string())
        .unwrap();
    std::fs::write(dir.path().join("broken.json"), "{\n \"id\": \"x\",\n").unwrap();
    let config = std::fs::read_to_string(dir.path().join("gavel.toml")).unwrap();
    let config = config.replace("[\"campaigns.json\"]", "[\"campaigns.json\", \"more.json\", \"broken.json\"]");
    std::fs::write(dir.path().join("gavel.toml"), config).unwrap();
    for command in [&["check"][..], &["serve"]] {
        let output = run(dir.path(), command);
        let errors = errors_of(&output);
        assert_eq!(output.status.code(), Some(1), "{errors}");
        for place in [
            "campaigns.json: /1/budget/total (line ",
            "campaigns.json: /1/surprise (line ",
            "campaigns.json: /1/creatives/0/adomain/0 (line ",
            "campaigns.json: /2/id (line ",
            "more.json: /currency",
            "broken.json: ",
        ] {
            assert!(errors.contains(place), "{place} is not in:\n{errors}");
        }
    }
    assert!(!dir.path().join("data/log").exists(), "a refused start touched the log");
}

#[test]
fn a_pattern_that_names_no_file_is_a_fault() {
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(dir.path().join("gavel.toml"), "\ncatalog = [\"campaigns/*.json\"]\n").unwrap();
    let output = run(dir.path(), &["check"]);
    assert_eq!(output.status.code(), Some(1));
    assert!(errors_of(&output).contains("gavel.toml:2: catalog: "), "{}", errors_of(&output));
}

#[test]
fn flags_that_are_wrong_are_named() {
    let dir = tempfile::tempdir().unwrap();
    let output = run(dir.path(), &["check", "--listen", "nonsense"]);
    assert_eq!(output.status.code(), Some(1));
    assert!(errors_of(&output).contains("--listen"), "{}", errors_of(&output));
    assert_ne!(run(dir.path(), &["--unknown"]).status.code(), Some(0));
}
