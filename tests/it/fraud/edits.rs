//! Rules and lists by REST.

use serde_json::{Value, json};

use super::desk::{RULES, check, config, decide, start};
use crate::process::{Process, run};
use crate::server::{Server, write_files};

fn decision(server: &Server, transaction: &str, customer: &str) -> String {
    let mut check = check(transaction, transaction, 60_000);
    check["customer"]["id"] = json!(customer);
    check["device"]["ip"] = json!("198.51.100.9");
    decide(&mut server.connect(), &check)["decision"].as_str().unwrap().to_owned()
}

fn put(server: &Server, path: &str, body: &Value) -> u16 {
    server.ask("PUT", path, body.to_string().as_bytes()).status
}

#[test]
fn lists_are_in_force_when_they_are_answered_and_outlive_a_restart() {
    let mut server = start("");
    assert_eq!(decision(&server, "t-1", "vip"), "review");
    let list =
        json!({"kind": "exact", "entries": [{"value": "vip"}, {"value": "old", "expires_at": "2020-01-01T00:00:00Z"}]});
    assert_eq!(put(&server, "/v1/fraud/lists/allow", &list), 204);
    assert_eq!((decision(&server, "t-2", "vip"), decision(&server, "t-3", "old")), ("allow".into(), "review".into()));
    server.ask("POST", "/v1/fraud/lists/allow/entries", b"{\"value\": \"x/y z\"}").is_empty(204);
    assert_eq!(decision(&server, "t-4", "x/y z"), "allow");
    server.ask("DELETE", "/v1/fraud/lists/allow/entries/x%2Fy%20z", b"").is_empty(204);
    assert_eq!(server.ask("DELETE", "/v1/fraud/lists/allow/entries/x%2Fy%20z", b"").status, 404);
    assert_eq!(decision(&server, "t-5", "x/y z"), "review");
    for (path, body, status) in [
        ("allow", json!({"kind": "exact", "entries": [{"value": ""}]}), 422),
        ("allow", json!({"kind": "other", "entries": []}), 422),
        ("a-b", json!({"kind": "exact", "entries": []}), 422),
    ] {
        assert_eq!(put(&server, &format!("/v1/fraud/lists/{path}"), &body), status);
    }
    let refused =
        server.ask("PUT", "/v1/fraud/lists/allow", b"{\"kind\": 1, \"entries\": [{}, {\"value\": 5}]}").json();
    let pointers: Vec<&Value> = refused["errors"].as_array().unwrap().iter().map(|fault| &fault["pointer"]).collect();
    assert_eq!(pointers, ["/kind", "/entries/0/value", "/entries/1/value"]);
    assert_eq!(server.ask("PUT", "/v1/fraud/lists/allow", b"{").status, 400);
    assert_eq!(server.ask("POST", "/v1/fraud/lists/none/entries", b"{\"value\": \"x\"}").status, 404);
    // A list that is there from the start, and was never put.
    for value in ["bad", "4111111111111111"] {
        server.ask("POST", "/v1/fraud/lists/block/entries", json!({"value": value}).to_string().as_bytes());
    }
    let unasked = b"{\"entries\": [], \"note\": \"4111111111111111\"}";
    assert_eq!(server.ask("POST", "/v1/fraud/lists/block/entries", unasked).status, 422);
    let lists =
        |server: &Server| ["allow", "block"].map(|l| server.ask("GET", &format!("/v1/fraud/lists/{l}"), b"").json());
    let before = lists(&server);
    let of = |value: &str| json!([{"value": value}]);
    assert_eq!((&before[0]["entries"], &before[1]["entries"]), (&of("vip"), &of("bad")));
    server.restart();
    assert_eq!(lists(&server), before);
    assert_eq!(decision(&server, "t-6", "vip"), "allow");
}

#[test]
fn rules_are_swapped_whole_and_outlive_a_restart() {
    let mut server = start("");
    assert_eq!(server.ask("GET", "/v1/fraud/rules", b"").text(), RULES);
    assert_eq!(
        put(&server, "/v1/fraud/lists/nets", &json!({"kind": "cidr", "entries": [{"value": "198.51.100.0/24"}]})),
        204
    );
    let rules = "[[rules]]\nid = \"net\"\nwhen = \"device.ip in lists.nets\"\naction = \"challenge\"\n";
    let before = decide(&mut server.connect(), &check("t-0", "c", 1))["ruleset_version"].clone();
    let answer = server.ask("PUT", "/v1/fraud/rules", rules.as_bytes());
    assert_eq!((answer.status, answer.json()["rules"].as_u64()), (200, Some(1)), "{}", answer.text());
    assert_ne!(answer.json()["ruleset_version"], before);
    assert_eq!(decision(&server, "t-1", "c"), "challenge");
    let bad = "[[rules]]\nid = \"x\"\nwhen = \"device.ip in lists.none || amount.value < 0\"\naction = \"deny\"\n";
    let refused = server.ask("PUT", "/v1/fraud/rules", bad.as_bytes());
    assert_eq!((refused.status, refused.json()["errors"][0]["pointer"].as_str()), (422, Some("/rules/0/when")));
    assert_eq!(decision(&server, "t-2", "c"), "challenge");
    let hits = server.ask("GET", "/v1/fraud/rules/hits", b"").json();
    assert_eq!(hits["rules"], json!([{"id": "net", "mode": "live", "action": "challenge", "hits": 2}]));
    // Other rules go on with their hits where they are as they were.
    let more = format!("# a note\n{RULES}\n{rules}");
    assert_eq!(server.ask("PUT", "/v1/fraud/rules", more.as_bytes()).status, 200);
    let hits = |server: &Server| {
        let rules = server.ask("GET", "/v1/fraud/rules/hits", b"").json()["rules"].clone();
        let of = |id: &str| rules.as_array().unwrap().iter().find(|rule| rule["id"] == id).unwrap()["hits"].clone();
        (of("net"), of("large"))
    };
    assert_eq!(hits(&server), (json!(2), json!(0)));
    assert_eq!(decision(&server, "t-2b", "c"), "challenge");
    let other = more.replace("action = \"challenge\"\n", "action = \"deny\"\n");
    assert_eq!(server.ask("PUT", "/v1/fraud/rules", other.as_bytes()).status, 200);
    assert_eq!(hits(&server), (json!(0), json!(1)), "another action is another rule");
    let typed =
        "[[rules]]\nid = 5\nwhen = \"true\"\nif = 1\n\n[[rules]]\nid = \"x\"\naction = \"deny\"\nscore = \"1\"\n";
    let refused = server.ask("PUT", "/v1/fraud/rules", typed.as_bytes());
    let faults = refused.json()["errors"].as_array().unwrap().clone();
    let pointers: Vec<&str> = faults.iter().map(|fault| fault["pointer"].as_str().unwrap()).collect();
    assert_eq!(pointers, ["/rules/0/id", "/rules/0/action", "/rules/0/if", "/rules/1/when", "/rules/1/score"]);
    assert!(
        faults[4]["detail"].as_str().unwrap().starts_with("line 6, rule \"x\": must be a whole number"),
        "{faults:?}"
    );
    assert_eq!(server.ask("PUT", "/v1/fraud/rules", rules.as_bytes()).status, 200);
    server.restart();
    assert_eq!(server.ask("GET", "/v1/fraud/rules", b"").text(), rules);
    assert_eq!(decision(&server, "t-3", "c"), "challenge");
}

#[test]
fn a_list_of_a_kind_by_which_a_rule_could_never_hold_is_refused() {
    let server = start("");
    let nets = |kind: &str, value: &str| {
        let list = json!({"kind": kind, "entries": [{"value": value}]});
        server.ask("PUT", "/v1/fraud/lists/nets", list.to_string().as_bytes())
    };
    assert_eq!(nets("domain", "a.test").status, 204);
    assert_eq!(nets("cidr", "198.51.100.0/24").status, 204, "no rule asks for it yet");
    let rules = "[[rules]]\nid = \"net\"\nwhen = \"device.ip in lists.nets\"\naction = \"challenge\"\n";
    assert_eq!(server.ask("PUT", "/v1/fraud/rules", rules.as_bytes()).status, 200);
    let refused = nets("bin", "4242");
    assert_eq!((refused.status, &refused.json()["errors"][0]["pointer"]), (422, &json!("/kind")), "{}", refused.text());
    assert_eq!(decision(&server, "t-1", "c"), "challenge");
    assert_eq!(nets("exact", "198.51.100.9").status, 204);
    assert_eq!(decision(&server, "t-2", "c"), "challenge");
}

#[test]
fn rules_of_a_window_that_is_not_declared_any_more_are_left_out_and_said() {
    let dir = tempfile::tempdir().unwrap();
    let window =
        "[[fraud.windows]]\nname = \"ip_count_1h\"\nkey = [\"device.ip\"]\naggregate = \"count\"\nlength = \"1h\"\n";
    let (without, with) = (config(""), config("") + window);
    let begin = |config: &str| {
        write_files(dir.path(), config, &[]);
        Process::start(dir.path(), &[], "admin ")
    };
    std::fs::write(dir.path().join("rules.toml"), RULES).unwrap();
    let rules = "[[rules]]\nid = \"ip\"\nwhen = \"ip_count_1h > 0\"\naction = \"deny\"\n\n\
                 [[rules]]\nid = \"large\"\nwhen = \"amount.value > 50000\"\naction = \"review\"\n";
    let of = |gavel: &Process, transaction: &str| {
        let answer = decide(&mut gavel.connect(), &check(transaction, transaction, 60_000));
        (answer["decision"].as_str().unwrap().to_owned(), answer["degraded"].as_bool().unwrap())
    };
    let left_out = |gavel: &Process| gavel.ask().get("/v1/fraud/rules/hits").json()["left_out"].clone();
    let stop = |mut gavel: Process| {
        gavel.signal(libc::SIGTERM);
        gavel.wait(std::time::Duration::from_secs(10));
    };

    let gavel = begin(&with);
    assert_eq!(gavel.ask().request("PUT", "/v1/fraud/rules", &[], rules.as_bytes()).status, 200);
    assert_eq!((of(&gavel, "t-1"), left_out(&gavel)), (("deny".to_owned(), false), json!([])));
    stop(gavel);

    let gavel = begin(&without);
    let said = gavel.errors();
    assert!(said.contains("are left out") && said.contains("rule \"ip\"") && !said.contains("\"large\""), "{said}");
    assert_eq!(of(&gavel, "t-2"), ("review".to_owned(), true));
    assert!(left_out(&gavel)[0].as_str().unwrap().contains("rule \"ip\""), "{}", left_out(&gavel));
    // They are still what was put, and whoever puts them again is told.
    assert_eq!(gavel.ask().get("/v1/fraud/rules").text(), rules);
    assert_eq!(gavel.ask().request("PUT", "/v1/fraud/rules", &[], rules.as_bytes()).status, 422);
    stop(gavel);
    let replayed = run(dir.path(), &["replay", "--fraud"]);
    assert!(replayed.status.success(), "{replayed:?}");

    let gavel = begin(&with);
    assert_eq!(of(&gavel, "t-3"), ("deny".to_owned(), false));
    stop(gavel);
    let gavel = begin(&without);
    assert_eq!(gavel.ask().request("PUT", "/v1/fraud/rules", &[], RULES.as_bytes()).status, 200);
    assert_eq!((of(&gavel, "t-4"), left_out(&gavel)), (("review".to_owned(), false), json!([])));
}
