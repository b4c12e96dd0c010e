//! Requests that are kept for replays: which, and what of them.

use std::sync::Arc;

use gavel::event::{Event, Offset, Recorded};
use gavel::eventlog::{DirStorage, ReadOnlyLog};
use serde_json::{Value, json};

use crate::make::{campaign, request, with};
use crate::server::Server;

const ALL: &str = "[log]\nsegment_bytes = 1048576\nrecord_requests = 1\n";

/// What a stopped server's log has kept.
fn recorded(server: &Server) -> Vec<Recorded> {
    let storage = DirStorage::new(server.dir.path().join("data/log")).unwrap();
    let log = ReadOnlyLog::open(Arc::new(storage), &mut |_, _| {}).unwrap();
    let mut reader = log.read(Offset(0)).unwrap();
    let events = std::iter::from_fn(|| reader.next_event().unwrap());
    let kept =
        events.filter_map(|stamped| if let Event::Request(recorded) = stamped.event { Some(recorded) } else { None });
    kept.collect()
}

fn body(recorded: &Recorded) -> Value {
    serde_json::from_str(&recorded.body).unwrap()
}

#[test]
fn a_request_is_kept_with_its_bids_and_without_users_who_did_not_agree() {
    let mut server = Server::start(ALL, &[campaign("a")]);
    let known = with(request(), json!({"device": {"ifa": "u1", "ip": "203.0.113.7"}, "user": {"id": "u1"}}));
    let bid = server.bid_soon(&known);
    let limited = with(known.clone(), json!({"device": {"lmt": 1, "geo": {"country": "DEU", "lat": 1.5}}}));
    server.bid(&limited).unwrap();
    let elsewhere = with(known.clone(), json!({"imp": [{"id": "1", "banner": {"w": 1, "h": 7}}]}));
    assert!(server.bid(&elsewhere).is_none());
    assert!(server.bid(&with(known.clone(), json!({"test": 1}))).is_some());
    server.stop();

    let kept = recorded(&server);
    let [.., first, second, third] = &kept[..] else { panic!("{kept:?}") };
    assert!(kept.iter().all(|recorded| body(recorded).get("test").is_none()), "{kept:?}");
    assert_eq!((body(first), first.personal), (known.clone(), true));
    let id = bid["id"].as_str().unwrap();
    assert_eq!(first.bids.iter().map(|(imp, id)| (*imp, id.to_string())).collect::<Vec<_>>(), [(0, id.to_owned())]);
    let stripped = with(request(), json!({"device": {"lmt": 1, "geo": {"country": "DEU"}}, "user": {}}));
    assert_eq!((body(second), second.personal, second.bids.len()), (stripped, false, 1));
    assert_eq!((body(third), third.bids.len()), (elsewhere, 0));
}

#[test]
fn nothing_is_kept_where_nothing_is_asked_for() {
    let mut server = Server::start("[log]\nsegment_bytes = 1048576\nrecord_requests = 0\n", &[campaign("a")]);
    server.bid_soon(&request());
    server.stop();
    assert_eq!(recorded(&server), []);
}
