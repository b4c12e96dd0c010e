//! Requests that are valid and made to cost: each is answered within its time and its bytes, and so are the others.

use serde_json::{Value, json};

use crate::caller::Caller;
use crate::http::{Client, request as http_request};
use crate::make::{campaign, patient, request, with, with_creative};
use crate::server::{Server, wait_until};

const INSUFFICIENT_TIME: &str = "gavel_no_bids_total{reason=\"insufficient_time\"}";
const OVERLOAD: &str = "gavel_no_bids_total{reason=\"overload\"}";
/// The longest answer, and what of its estimate may be wrong.
const RESPONSE_BYTES: usize = (4 << 20) + (64 << 10);

fn imps(count: usize, battr: &[i64]) -> Vec<Value> {
    (0..count).map(|id| json!({"id": format!("{id}"), "banner": {"w": 300, "h": 250, "battr": battr}})).collect()
}

/// Ten thousand campaigns that only their creative's attribute keeps from bidding, which each impression forbids.
#[test]
fn a_catalog_that_fails_late_is_left_in_time() {
    let all: Vec<Value> = (0..10_000)
        .map(|i| with_creative(campaign(&format!("c-{i}")), json!({"adomain": ["acme.com"], "attr": [7]})))
        .collect();
    let server = Server::start("[limits]\nworkers = 1\n", &all);
    let bid = |client: &mut Client, request: &Value| client.post("/openrtb2/demo", request.to_string().as_bytes());
    let mut client = server.connect();
    let costly = with(request(), json!({"tmax": 100, "imp": imps(1_000, &[7])}));
    for _ in 0..3 {
        bid(&mut client, &costly).is_empty(204);
    }
    assert_eq!(server.metric(INSUFFICIENT_TIME) + server.metric(OVERLOAD), 3.0);
    assert!(server.metric(INSUFFICIENT_TIME) >= 1.0);
    // Each of the three would look at ten million.
    let looked_at = server.metric("gavel_campaigns_lost_total{reason=\"blocked_attribute\"}");
    assert!(looked_at > 0.0 && looked_at < 10e6, "{looked_at}");
    // However long its exchange waits, the others do not; and deals are no way around it.
    let deals: Vec<Value> = (0..1_000).map(|i| json!({"id": format!("d-{i}")})).collect();
    let mut with_deals = imps(1_000, &[7]);
    with_deals[0]["pmp"] = json!({"deals": deals});
    bid(&mut client, &with(patient(), json!({"imp": with_deals}))).is_empty(204);
    assert!(server.metric("gavel_campaigns_lost_total{reason=\"blocked_attribute\"}") < 15e6);
    // Ten thousand blocked advertisers, and a campaign of each, for each of a thousand impressions.
    let mut blocked: Vec<String> = (0..9_999).map(|i| format!("blocked-{i}.example")).collect();
    blocked.push("acme.com".to_owned());
    bid(&mut client, &with(patient(), json!({"badv": blocked, "imp": imps(1_000, &[])}))).is_empty(204);
    // Who waited behind such a request is told so, early, and the next one is served.
    let slow = http_request(
        "POST",
        "/openrtb2/demo",
        &[],
        with(patient(), json!({"imp": imps(1_000, &[7])})).to_string().as_bytes(),
    );
    let hurried = with(request(), json!({"tmax": 100}));
    let mut other = server.connect();
    let before = server.metric(OVERLOAD);
    wait_until("one that waited behind it is told", || {
        client.send(&slow);
        let answer = bid(&mut other, &hurried);
        assert!(matches!(answer.status, 200 | 204), "{}", answer.status);
        client.answer().is_empty(204);
        server.metric(OVERLOAD) > before
    });
    wait_until("all is as before", || bid(&mut other, &patient()).status == 200);
}

fn large() -> Server {
    // Each quote is two bytes of JSON.
    let campaign = with_creative(campaign("a"), json!({"adm": "\"".repeat(250_000)}));
    Server::start("[limits]\nworkers = 1\n", &[campaign])
}

#[test]
fn an_answer_ends_before_it_is_too_long() {
    let server = large();
    let mut client = server.connect();
    let answer = client.post("/openrtb2/demo", with(patient(), json!({"imp": imps(300, &[])})).to_string().as_bytes());
    assert_eq!(answer.status, 200);
    assert!(answer.body.len() > 1 << 20 && answer.body.len() < RESPONSE_BYTES, "{} bytes", answer.body.len());
    let bids = answer.json()["seatbid"][0]["bid"].as_array().unwrap().len();
    // Money is set aside for those alone.
    let account = server.settled("a", bids as u64);
    assert_eq!(account.reserved, bids as i64 * 2_500_000);
}

#[test]
fn who_does_not_read_gets_no_more_bids() {
    let server = large();
    let body = with(patient(), json!({"imp": imps(300, &[])})).to_string();
    let mut caller = Caller::http2(server.traffic());
    let statuses = caller.post_unread("/openrtb2/demo", body.as_bytes(), 8);
    assert_eq!(statuses, [200, 200, 204, 204, 204, 204, 204, 204]);
    assert_eq!(server.metric(OVERLOAD), 6.0);
    // Nor does anybody suffer for it, or this one for ever.
    assert!(server.bid(&patient()).is_some());
    wait_until("what was given up is forgotten", || caller.post("/openrtb2/demo", &[], body.as_bytes()).status == 200);
}
