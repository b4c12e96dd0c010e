//! Bid requests that do not come of people: lists, activity, places that nobody sees.

use std::path::Path;
use std::time::Duration;

use serde_json::{Value, json};

use crate::make::{campaign, request, with, with_imp};
use crate::process::{Process, errors_of, run};
use crate::server::{Server, wait_for, write_files};

const CONFIG: &str = "[traffic]\ndata_centres = [\"lists/clouds*\"]\ncrawlers = [\"lists/crawlers.json\"]\n\
    publishers = [\"lists/publishers.txt\"]\nip_requests_per_minute = 5\nuser_requests_per_minute = 3\n\
    [exchanges.demo]\nbody_no_bid = true\n";

fn files(dir: &Path) {
    std::fs::create_dir_all(dir.join("lists")).unwrap();
    for (name, text) in [
        ("clouds-1.json", r#"{"prefixes": [{"ip_prefix": "198.51.100.0/24"}], "ipv6_prefixes": []}"#),
        ("clouds-2.txt", "2001:db8::/32\n"),
        ("crawlers.json", r#"[{"pattern": "Crawler\\/[0-9]"}]"#),
        ("publishers.txt", "bad.example\ndemo/p-bad\n"),
    ] {
        std::fs::write(dir.join("lists").join(name), text).unwrap();
    }
}

fn from(device: Value) -> Value {
    with(request(), json!({"device": device}))
}

#[test]
fn each_kind_of_traffic_has_its_reason() {
    let server = Server::start_with(CONFIG, &[campaign("a")], files);
    let nbr =
        |asked: &Value| server.call("POST", "/openrtb2/demo", asked.to_string().as_bytes()).json()["nbr"].as_u64();
    let place = |place: Value| with(request(), json!({"site": place}));
    for (asked, want) in [
        (from(json!({"ua": "Mozilla/5.0", "ip": "203.0.113.1"})), None),
        (from(json!({"ua": "A Crawler/2", "ip": "203.0.113.1"})), Some(3)),
        (from(json!({"ip": "198.51.100.200"})), Some(5)),
        (from(json!({"ipv6": "2001:db8:7::1"})), Some(5)),
        (place(json!({"domain": "www.bad.example"})), Some(7)),
        (place(json!({"domain": "fine.example", "publisher": {"id": "p-bad"}})), Some(7)),
        (place(json!({"domain": "fine.example", "publisher": {"id": "p-good"}})), None),
        (with_imp(request(), json!({"banner": {"w": 1, "h": 1, "format": null}})), Some(4)),
    ] {
        assert_eq!(nbr(&asked), want, "{asked}");
    }
    // A user of many addresses, and an address of many users.
    let asked = |ip: &str, user: &str| nbr(&from(json!({"ip": ip, "ifa": user})));
    let by_user: Vec<_> = (0..4).map(|i| asked(&format!("192.0.2.{i}"), "u-1")).collect();
    assert_eq!(by_user, [None, None, None, Some(4)]);
    let by_ip: Vec<_> = (0..6).map(|i| asked("192.0.2.99", &format!("u-ip-{i}"))).collect();
    assert_eq!(by_ip, [None, None, None, None, None, Some(4)]);
    // Whom privacy forbids to tell from others is not counted.
    let hidden = from(json!({"ifa": "u-1", "lmt": 1}));
    assert!((0..5).all(|_| nbr(&hidden).is_none()));
    let reasons = ["crawler", "data_centre", "blocked_publisher", "tiny_placement", "user_activity", "ip_activity"]
        .map(|reason| server.metric(&format!("gavel_no_bids_total{{reason=\"{reason}\"}}")));
    assert_eq!(reasons, [1.0, 2.0, 2.0, 1.0, 1.0, 1.0]);
    assert_eq!(server.metric("gavel_activity_evicted_total"), 0.0);
}

#[test]
fn the_demo_filters_and_other_configs_do_not() {
    let crawler = from(json!({"ua": "Googlebot/2.1"}));
    let demo = Server::start_demo();
    assert!(demo.response(&crawler).is_none() && demo.response(&request()).is_some());
    let server = Server::start("", &[campaign("a")]);
    assert!(server.bid(&crawler).is_some());
}

#[test]
fn lists_are_read_again_when_they_change() {
    let dir = tempfile::tempdir().unwrap();
    write_files(dir.path(), CONFIG, &[campaign("a")]);
    files(dir.path());
    let server = Process::start(dir.path(), &[], "admin ");
    let answer = |ip: &str| {
        let asked = from(json!({"ip": ip})).to_string();
        server.connect().request("POST", "/openrtb2/demo", &[], asked.as_bytes()).json()
    };
    let is_bid = |ip: &str| answer(ip)["seatbid"].is_array();
    // However often an address asks: one of a data centre is told as that.
    let is_listed = |ip: &str| answer(ip)["nbr"] == 5;
    assert!(is_bid("203.0.113.1") && is_listed("198.51.100.1"));
    let load = |files: &[&str]| {
        let arguments = [&["lists", "data-centres"], files, &["--out", "lists/clouds-2.txt"]].concat();
        run(dir.path(), &arguments)
    };
    std::fs::write(dir.path().join("google.json"), r#"{"prefixes": [{"ipv4Prefix": "203.0.113.0/25"}]}"#).unwrap();
    std::fs::write(dir.path().join("more.txt"), "203.0.113.128/25\n192.0.2.1").unwrap();
    let output = load(&["google.json", "more.txt"]);
    assert_eq!(output.status.code(), Some(0), "{}", errors_of(&output));
    assert_eq!(String::from_utf8_lossy(&output.stdout), "lists/clouds-2.txt: 2 entries of 3 read\n");
    wait_for(Duration::from_secs(10), "the new list", || is_listed("203.0.113.2"));
    // What is no good changes nothing, by command or by hand.
    std::fs::write(dir.path().join("more.txt"), "192.0.2.1\nhere\n").unwrap();
    let output = load(&["more.txt"]);
    assert_eq!(output.status.code(), Some(1));
    assert_eq!(errors_of(&output).trim(), "more.txt:2: \"here\" is no address range such as 203.0.113.0/24");
    std::fs::write(dir.path().join("lists/clouds-2.txt"), "here\n").unwrap();
    server.signal(libc::SIGHUP);
    wait_for(Duration::from_secs(5), "an error", || server.errors().contains("clouds-2.txt:1: "));
    assert!(is_listed("203.0.113.250") && is_bid("192.0.2.2"));
}

#[test]
fn faults_of_lists_are_named_with_their_line_and_refuse_a_start() {
    let dir = tempfile::tempdir().unwrap();
    write_files(dir.path(), CONFIG, &[campaign("a")]);
    files(dir.path());
    assert_eq!(run(dir.path(), &["check"]).status.code(), Some(0));
    std::fs::write(dir.path().join("lists/clouds-2.txt"), "# ours\n10.0.0.0/8\n10.0.0.0/40\n").unwrap();
    std::fs::write(dir.path().join("lists/crawlers.json"), "[\n{\"pattern\": \"x(\"}]").unwrap();
    std::fs::write(dir.path().join("lists/publishers.txt"), "\n").unwrap();
    for command in [&["check"][..], &[]] {
        let output = run(dir.path(), command);
        assert_eq!(output.status.code(), Some(1));
        let errors = errors_of(&output);
        for part in [
            "clouds-2.txt:3: \"10.0.0.0/40\" is no",
            "crawlers.json:2: \"x(\" is not a",
            "publishers.txt: holds no entry",
        ] {
            assert!(errors.contains(part), "{part} is not in:\n{errors}");
        }
    }
    let config = "[traffic]\ncrawlers = [\"none\"]\nip_requests_per_minute = 0\n";
    write_files(dir.path(), config, &[campaign("a")]);
    let errors = errors_of(&run(dir.path(), &["check"]));
    for part in ["traffic.crawlers: \"none\" names no file", "traffic.ip_requests_per_minute: must be"] {
        assert!(errors.contains(part), "{part} is not in:\n{errors}");
    }
}
