//! Keys of notice tokens, and what stands in a token.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use gavel::bidding::key::key;
use gavel::event::Facts;
use gavel::wire::Take;
use serde_json::{Value, json};

use crate::make::{banner, campaign, request, with};
use crate::process::{errors_of, run};
use crate::server::Server;

const BILL: i64 = 1_000_000;

fn token(bid: &Value) -> &str {
    bid["nurl"].as_str().unwrap().split('/').nth(5).unwrap().split('?').next().unwrap()
}

fn facts(bid: &Value) -> Facts {
    let bytes = URL_SAFE_NO_PAD.decode(token(bid)).unwrap();
    // After version, key and expiry, and before the signature.
    Facts::decode(&mut Take(&bytes[6..bytes.len() - 16])).unwrap()
}

#[test]
fn however_often_keys_are_rotated_no_living_token_is_refused() {
    let mut server = Server::start("", &[campaign("a")]);
    let mut bids = vec![server.bid_soon(&request())];
    for id in 2..=8 {
        // While it runs: it goes on signing with the key it has.
        let output = run(server.dir.path(), &["keys", "rotate"]);
        assert_eq!(String::from_utf8(output.stdout).unwrap(), format!("key {id} signs from the next start on\n"));
        bids.push(server.bid_soon(&request()));
        server.restart();
        bids.push(server.bid_soon(&request()));
    }
    let refused = run(server.dir.path(), &["keys", "rotate"]);
    let said = errors_of(&refused);
    assert_eq!(refused.status.code(), Some(1), "{said}");
    assert!(said.contains("nothing was changed") && said.contains("rotate again after 20"), "{said}");
    server.restart();
    bids.iter().for_each(|bid| server.bill(bid, "1.00"));
    let a = server.is_sound("a");
    assert_eq!((a.spent, a.billed), (bids.len() as i64 * BILL, bids.len() as u64));
    assert_eq!(server.metric("gavel_odd_notices_total{kind=\"bill\",fault=\"unknown_key\"}"), 0.0);
}

#[test]
fn caps_go_on_counting_over_a_rotation() {
    let capped = with(campaign("a"), json!({"frequency_caps": [{"impressions": 1, "per_seconds": 3600}]}));
    let mut server = Server::start("", &[capped]);
    let user = |ifa: &str| with(request(), json!({"device": {"ifa": ifa}}));
    let bid = server.bid_soon(&user("u1"));
    server.bill(&bid, "2.00");
    assert!(server.bid(&user("u1")).is_none());
    for _ in 0..2 {
        assert!(run(server.dir.path(), &["keys", "rotate"]).status.success());
        server.restart();
        server.bid_soon(&user("u2"));
        assert!(server.bid(&user("u1")).is_none());
    }
}

#[test]
fn a_token_does_not_tell_whose_it_is() {
    let capped = with(campaign("a"), json!({"frequency_caps": [{"impressions": 9, "per_seconds": 3600}]}));
    let asked = with(request(), json!({"device": {"ifa": "u1"}}));
    let users: Vec<u64> = (0..2)
        .map(|_| {
            let server = Server::start("", std::slice::from_ref(&capped));
            let (one, again) = (facts(&server.bid_soon(&asked)).user, facts(&server.bid_soon(&asked)).user);
            assert_eq!(one, again);
            one
        })
        .collect();
    assert!(users[0] != users[1] && !users.contains(&key("u1")) && !users.contains(&0), "{users:?}");
}

fn leading(id: &str, to: &str) -> Value {
    with(banner(id), json!({"landing_url": to}))
}

#[test]
fn a_click_leads_to_where_its_own_ad_does_whatever_became_of_the_campaign() {
    let of = |creatives: &[Value]| with(campaign("a"), json!({"creatives": creatives}));
    let (one, two) = (leading("one", "https://acme.example/1"), leading("two", "https://acme.example/2"));
    let server = Server::start("", &[of(&[one.clone(), two.clone()])]);
    let mut bids = std::collections::BTreeMap::new();
    while bids.len() < 2 {
        let bid = server.bid_soon(&request());
        bids.insert(bid["crid"].as_str().unwrap().to_owned(), bid);
    }
    let click = |id: &str| {
        let answer = server.call("GET", &format!("/t/c/{}", token(&bids[id])), b"");
        assert!(matches!(answer.status, 302 | 404), "{}", answer.status);
        answer.header("location").map(|to| to.trim_start_matches("https://acme.example/").to_owned())
    };
    let is = |expected: [Option<&str>; 2]| {
        assert_eq!(["one", "two"].map(click), expected.map(|to| to.map(str::to_owned)));
    };
    is([Some("1"), Some("2")]);
    server.put(&of(&[two.clone(), one.clone()]));
    is([Some("1"), Some("2")]);
    server.put(&of(&[leading("new", "https://acme.example/3"), leading("one", "https://acme.example/4"), two.clone()]));
    is([Some("4"), Some("2")]);
    // The second is gone: with two other places to go there is none that is certainly right.
    server.put(&of(&[one.clone(), leading("new", "https://acme.example/3")]));
    is([Some("1"), None]);
    server.put(&of(&[one.clone(), leading("new", "https://acme.example/1")]));
    is([Some("1"), Some("1")]);
    server.put(&of(&[with(one, json!({"landing_url": null}))]));
    is([None, None]);
    server.delete("a");
    is([None, None]);
}
