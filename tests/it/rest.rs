//! Campaigns by REST: durable before the answer, in force with it, and stronger than the files.

use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::http::{Answer, Client};
use crate::make::{campaign, nanos, request, with, with_creative, with_imp};
use crate::server::{Server, wait_until};

/// Asserts a problem document and returns it.
#[track_caller]
pub fn problem(answer: &Answer, status: u16) -> Value {
    assert_eq!(answer.status, status, "{}", answer.text());
    assert_eq!(answer.header("content-type"), Some("application/problem+json"));
    let problem = answer.json();
    assert_eq!(problem["status"], status);
    assert!(problem["type"].is_string() && problem["title"].is_string() && problem["detail"].is_string(), "{problem}");
    problem
}

#[test]
fn a_campaign_is_put_read_changed_and_deleted() {
    let server = Server::start("", &[]);
    let path = "/v1/campaigns/c-1.x:y";
    let c = campaign("c-1.x:y");
    problem(&server.ask("GET", path, b""), 404);
    problem(&server.ask("GET", &format!("{path}/account"), b""), 404);
    problem(&server.ask("DELETE", path, b""), 404);
    assert!(server.bid(&request()).is_none());
    let put = server.ask("PUT", path, c.to_string().as_bytes());
    assert_eq!((put.status, put.header("content-type")), (201, Some("application/json")));
    assert_eq!(put.json(), c);
    assert_eq!(server.bid_soon(&request())["cid"], "c-1.x:y");
    assert_eq!(server.ask("GET", path, b"").json(), c);
    assert_eq!(server.ask("GET", "/v1/campaigns", b"").json(), json!([c]));
    let changed = with(c, json!({"name": "Autumn", "bid": {"price": "3.10"}}));
    let put = server.ask("PUT", path, changed.to_string().as_bytes());
    assert_eq!((put.status, put.json()), (200, changed.clone()));
    assert_eq!(server.bid(&request()).unwrap()["price"].as_f64(), Some(3.1));
    server.ask("DELETE", path, b"").is_empty(204);
    assert!(server.bid(&request()).is_none());
    problem(&server.ask("GET", path, b""), 404);
    problem(&server.ask("DELETE", path, b""), 404);
    // The account stays.
    assert_eq!(server.account("c-1.x:y").reserved, 2_500_000 + 3_100_000);
    assert_eq!(server.ask("PUT", path, changed.to_string().as_bytes()).status, 201);
}

#[test]
fn the_list_has_pages() {
    let campaigns: Vec<Value> = ["b", "d", "a", "c"].iter().map(|id| campaign(id)).collect();
    let server = Server::start("", &campaigns);
    let ids = |path: &str| -> Vec<String> {
        let list = server.ask("GET", path, b"").json();
        list.as_array().unwrap().iter().map(|c| c["id"].as_str().unwrap().to_owned()).collect()
    };
    assert_eq!(ids("/v1/campaigns"), ["a", "b", "c", "d"]);
    assert_eq!(ids("/v1/campaigns?limit=2"), ["a", "b"]);
    assert_eq!(ids("/v1/campaigns?after=b&limit=1"), ["c"]);
    assert_eq!(ids("/v1/campaigns?after=d"), [""; 0]);
    assert_eq!(ids("/v1/campaigns?limit=x&after"), ["a", "b", "c", "d"]);
}

#[test]
fn what_is_not_a_campaign_is_refused_with_every_fault() {
    let server = Server::start("", &[campaign("a")]);
    let put = |body: &[u8]| server.ask("PUT", "/v1/campaigns/a", body);
    for body in [&b""[..], b"{", b"nonsense", b"\xff\xfe", b"{} {}"] {
        problem(&put(body), 400);
    }
    let bad = with_creative(
        with(
            campaign("a"),
            json!({
                "statuss": "active", "currency": "Dollar", "time_zone": "Mars/Olympus", "starts_at": "yesterday",
                "budget": {"total": 5, "daily": "-1"}, "bid": {"price": "2.5000001"},
                "frequency_caps": [{"impressions": 0, "per_seconds": 60}],
                "targeting": {"countries": {"include": ["usa"]}, "hours_of_week": [168], "devices": ["watch"]},
            }),
        ),
        json!({"adomain": [], "w": 0}),
    );
    let found = problem(&put(bad.to_string().as_bytes()), 422);
    let mut pointers: Vec<&str> =
        found["errors"].as_array().unwrap().iter().map(|e| e["pointer"].as_str().unwrap()).collect();
    pointers.sort_unstable();
    assert_eq!(
        pointers,
        [
            "/bid/price",
            "/budget/daily",
            "/budget/total",
            "/creatives/0/adomain",
            "/creatives/0/w",
            "/currency",
            "/frequency_caps/0/impressions",
            "/starts_at",
            "/statuss",
            "/targeting/countries/include/0",
            "/targeting/devices/0",
            "/targeting/hours_of_week/0",
            "/time_zone",
        ]
    );
    for error in found["errors"].as_array().unwrap() {
        assert!(error["detail"].as_str().is_some_and(|d| !d.is_empty()) && error["line"].is_u64(), "{error}");
    }
    for body in
        [json!([]), json!(null), json!("x"), json!({}), campaign("b"), with(campaign("a"), json!({"creatives": []}))]
    {
        problem(&put(body.to_string().as_bytes()), 422);
    }
    let unknown = with(campaign("a"), json!({"targeting": {"exchanges": ["nowhere"]}}));
    let found = problem(&put(unknown.to_string().as_bytes()), 422);
    assert_eq!(found["errors"][0]["pointer"], "/targeting/exchanges");
    let found = problem(
        &server.ask("PUT", "/v1/campaigns/b", with(campaign("b"), json!({"currency": "EUR"})).to_string().as_bytes()),
        422,
    );
    assert_eq!(found["errors"][0]["pointer"], "/currency");
    problem(&put(format!("{{\"x\":\"{}\"}}", "x".repeat(2 << 20)).as_bytes()), 413);
    // Nothing of all that changed anything.
    let mut fresh = crate::http::Client::connect(server.admin());
    assert_eq!(fresh.get("/v1/campaigns").json(), json!([campaign("a")]));
    assert_eq!(server.bid(&request()).unwrap()["price"].as_f64(), Some(2.5));
}

#[test]
fn an_accounts_currency_cannot_change() {
    let server = Server::start("[rates]\nEUR = \"1.085\"\n", &[campaign("a")]);
    let euro = with(campaign("a"), json!({"currency": "EUR"}));
    problem(&server.ask("PUT", "/v1/campaigns/a", euro.to_string().as_bytes()), 409);
    server.delete("a");
    problem(&server.ask("PUT", "/v1/campaigns/a", euro.to_string().as_bytes()), 409);
    server.put(&campaign("a"));
    assert_eq!(server.account("a").currency, "USD");
}

#[test]
fn other_methods_and_paths_are_problems() {
    let server = Server::start("", &[campaign("a")]);
    for (method, path, allowed) in [
        ("POST", "/v1/campaigns/a", "GET, PUT, DELETE"),
        ("POST", "/v1/campaigns", "GET"),
        ("PUT", "/v1/campaigns/a/account", "GET"),
        ("DELETE", "/v1/books", "GET"),
        ("POST", "/metrics", "GET"),
        ("PUT", "/live", "GET"),
    ] {
        let answer = server.ask(method, path, b"");
        problem(&answer, 405);
        assert_eq!(answer.header("allow"), Some(allowed), "{method} {path}");
    }
    for path in [
        "/v1",
        "/v1/campaigns/",
        "/v1/campaigns/x",
        "/v1/campaigns/a/x",
        "/v1/campaigns/a/account/x",
        "/x",
        "/v1/campaigns/%61",
    ] {
        problem(&server.ask("GET", path, b""), 404);
    }
}

#[test]
fn what_rest_changed_survives_a_restart_and_beats_the_file() {
    let mut server = Server::start("", &[campaign("file"), campaign("gone")]);
    server.put(&with(campaign("file"), json!({"bid": {"price": "9.00"}, "budget": {"total": "5.00"}})));
    server.put(&with_creative(campaign("rest"), json!({"w": 728, "h": 90})));
    let bid = server.bid_soon(&request());
    server.bill(&bid, "9.00");
    server.delete("gone");
    for _ in 0..2 {
        server.restart();
        assert_eq!(server.bid_soon(&request())["price"].as_f64(), Some(9.0));
        let a = server.is_sound("file");
        assert_eq!((a.budget, a.spent), (5_000_000_000, 9_000_000));
        let wide = with_imp(request(), json!({"banner": {"w": 728, "h": 90}}));
        assert_eq!(server.bid_soon(&wide)["cid"], "rest");
        problem(&server.ask("GET", "/v1/campaigns/gone", b""), 404);
        assert_eq!(server.ask("GET", "/v1/campaigns", b"").json().as_array().unwrap().len(), 2);
    }
    server.put(&with(campaign("file"), json!({"status": "paused"})));
    assert!(server.bid(&request()).is_none(), "a deleted campaign of the file bids again");
    server.restart();
    assert!(server.bid(&request()).is_none());
}

#[test]
fn a_campaign_put_again_continues_its_spend() {
    let mut server = Server::start("", &[]);
    let small = with(campaign("a"), json!({"budget": {"total": "0.01"}}));
    server.put(&small);
    let bids: Vec<Value> = (0..3).map(|_| server.bid_soon(&request())).collect();
    bids.iter().for_each(|bid| server.bill(bid, "2.50"));
    server.delete("a");
    server.restart();
    assert_eq!(server.is_sound("a").spent, 7_500_000);
    assert!(server.bid(&request()).is_none());
    server.put(&small);
    server.bid_soon(&request());
    assert!(server.bid(&request()).is_none());
    let a = server.is_sound("a");
    assert_eq!((a.spent, a.reserved, a.available), (7_500_000, 2_500_000, 0));
}

#[test]
fn a_change_is_in_force_for_the_request_after_the_answer() {
    let campaigns: Vec<Value> =
        (0..300).map(|i| with_creative(campaign(&format!("c{i}")), json!({"w": 1_000 + i}))).collect();
    let server = Server::start("", &campaigns);
    server.put(&campaign("a"));
    server.bid_soon(&request());
    let (mut slowest_put, mut slowest_resume) = (0, 0);
    for i in 0..10 {
        let started = Instant::now();
        server.put(&with(campaign("a"), json!({"status": "paused"})));
        assert!(server.bid(&request()).is_none(), "it bids although it was paused");
        slowest_put = slowest_put.max(started.elapsed().as_micros());

        server.put(&with(campaign("a"), json!({"status": "active"})));
        let answered = Instant::now();
        server.bid_soon(&request());
        slowest_resume = slowest_resume.max(answered.elapsed().as_micros());

        let price = format!("{}.5", i + 1);
        server.put(&with(campaign("a"), json!({"bid": {"price": price}})));
        assert_eq!(server.bid_soon(&request())["price"].as_f64(), Some(f64::from(i) + 1.5));
    }
    println!("slowest pause, with its answer and a request: {slowest_put} us; resumed to bidding: {slowest_resume} us");
    // A raised price wins at once, a lowered one loses at once.
    server.put(&with(campaign("b"), json!({"bid": {"price": "20"}})));
    // A new one first takes a lease.
    wait_until("the new campaign bids", || server.bid_soon(&request())["cid"] == "b");
    server.put(&with(campaign("a"), json!({"bid": {"price": "21"}})));
    assert_eq!(server.bid_soon(&request())["cid"], "a");
    server.put(&with(campaign("b"), json!({"bid": {"price": "22"}})));
    assert_eq!(server.bid_soon(&request())["cid"], "b");
    server.put(&with(campaign("b"), json!({"bid": {"price": "0.01"}})));
    assert_eq!(server.bid_soon(&request())["cid"], "a");
    // So does new targeting.
    server.put(&with(campaign("a"), json!({"targeting": {"countries": {"include": ["DEU"]}}})));
    assert_eq!(server.bid_soon(&request())["cid"], "b");
}

#[test]
fn an_edit_whose_client_goes_away_is_made_whole() {
    let server = Server::start("", &[campaign("a")]);
    for i in 0..40 {
        let total = format!("{}.00", 1_000 + i);
        let body = with(campaign("a"), json!({"budget": {"total": total}})).to_string();
        let mut client = Client::connect(server.admin());
        let head = format!("PUT /v1/campaigns/a HTTP/1.1\r\nhost: a\r\ncontent-length: {}\r\n\r\n", body.len());
        client.send(format!("{head}{body}").as_bytes());
        drop(client);
        // Whether it was made at all is open; half of it is not.
        std::thread::sleep(Duration::from_millis(20));
        wait_until("the campaign is what the log says", || {
            let put = server.ask("GET", "/v1/campaigns/a", b"").json();
            server.account("a").budget == nanos(put["budget"]["total"].as_str().unwrap())
        });
    }
}

#[test]
fn edits_are_merged_into_the_catalog_behind_the_bids() {
    let ids: Vec<String> = (0..80).map(|i| format!("c-{i}")).collect();
    let campaigns: Vec<Value> = ids.iter().map(|id| campaign(id)).collect();
    let server = Server::start("[limits]\nrecent_campaigns = 10\n", &campaigns);
    let unmerged = || server.metric("gavel_catalog_unmerged");
    let priced = |id: &str, price: &str| with(campaign(id), json!({"bid": {"price": price}}));
    // A price at or below the cap changes no catalog, one above it only the small part.
    let version = server.metric("gavel_catalog_version");
    server.put(&priced("c-0", "0.01"));
    assert_eq!((server.metric("gavel_catalog_version"), unmerged()), (version, 0.0));
    for id in &ids[1..11] {
        server.put(&priced(id, "3.00"));
    }
    assert_eq!((server.metric("gavel_catalog_version"), unmerged()), (version + 10.0, 10.0));
    // Each of these is in force when it is answered, whether or not a merge is on its way.
    for (i, id) in ids.iter().enumerate() {
        let price = format!("{}.50", i + 4);
        server.put(&priced(id, &price));
        assert_eq!(server.bid_soon(&request())["cid"], id.as_str());
        if i % 3 == 0 {
            assert_eq!(server.ask("DELETE", &format!("/v1/campaigns/{id}"), b"").status, 204);
            assert!(server.bid(&request()).is_none_or(|bid| bid["cid"] != id.as_str()));
        }
    }
    wait_until("the rest is merged", || unmerged() <= 10.0);
    assert_eq!(server.metric("gavel_campaigns"), 80.0 - 27.0);
    assert_eq!(server.bid_soon(&request())["cid"], "c-79");
}

#[test]
fn no_bid_has_old_content_and_a_new_price() {
    let edited = |creative: &str, status: &str, price: &str| {
        let c = with(campaign("a"), json!({"status": status, "bid": {"price": price}}));
        with_creative(c, json!({"id": creative}))
    };
    let server = Server::start("", &[edited("old", "paused", "1.00")]);
    let stop = std::sync::atomic::AtomicBool::new(false);
    let bids = std::thread::scope(|scope| {
        let bidding = scope.spawn(|| {
            let mut client = server.connect();
            let body = request().to_string();
            let mut bids = std::collections::BTreeMap::<_, u32>::new();
            while !stop.load(std::sync::atomic::Ordering::Relaxed) {
                let answer = client.post("/openrtb2/demo", body.as_bytes());
                if answer.status == 200 {
                    let bid = &answer.json()["seatbid"][0]["bid"][0];
                    *bids.entry((bid["crid"].to_string(), bid["price"].to_string())).or_default() += 1;
                }
            }
            bids
        });
        for _ in 0..30 {
            server.put(&edited("old", "paused", "1.00"));
            server.put(&edited("new", "active", "5.00"));
            std::thread::sleep(Duration::from_millis(3));
        }
        stop.store(true, std::sync::atomic::Ordering::Relaxed);
        bidding.join().unwrap()
    });
    // Until its catalog is in force, the pausing edit leaves the campaign as it was.
    let kinds: Vec<_> = bids.keys().map(|(creative, price)| (creative.as_str(), price.as_str())).collect();
    assert_eq!(kinds, [("\"new\"", "5.0")], "{bids:?}");
}
