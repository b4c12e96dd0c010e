//! The admin listener beside campaigns: health, metrics, the token.

use serde_json::json;

use crate::http::Client;
use crate::make::{campaign, request, with_imp};
use crate::server::Server;

#[test]
fn health_is_told_to_everyone() {
    let server = Server::start("", &[campaign("a")]);
    for path in ["/live", "/ready"] {
        assert_eq!(server.ask("GET", path, b"").status, 200);
    }
    assert_eq!(server.call("GET", "/ready", b"").text(), "1");
}

#[test]
fn metrics_parse_and_count_what_happened() {
    let server = Server::start("", &[campaign("a")]);
    let bid = server.bid(&request()).unwrap();
    server.win(&bid, "2.00");
    server.bill(&bid, "2.00");
    assert!(server.bid(&with_imp(request(), json!({"bidfloor": 99}))).is_none());
    server.call("POST", "/openrtb2/demo", b"{").is_empty(400);
    let answer = server.ask("GET", "/metrics", b"");
    assert_eq!(answer.status, 200);
    assert!(answer.header("content-type").unwrap().starts_with("application/openmetrics-text"));
    let text = answer.text();
    assert!(text.ends_with("# EOF\n"));
    let mut known = std::collections::HashSet::new();
    for line in text.lines() {
        if let Some(comment) = line.strip_prefix("# ") {
            let mut words = comment.splitn(3, ' ');
            if words.next() == Some("TYPE") {
                assert!(known.insert(words.next().unwrap()), "declared twice: {line}");
            }
            continue;
        }
        let (name, value) = line.rsplit_once(' ').unwrap();
        assert!(value.parse::<f64>().is_ok(), "{line}");
        let name = name.split('{').next().unwrap();
        assert!(name.starts_with("gavel_") && known.iter().any(|k| name.starts_with(k)), "{line}");
    }
    for (name, value) in [
        ("gavel_ready", 1.0),
        ("gavel_campaigns", 1.0),
        ("gavel_log_state", 0.0),
        ("gavel_drift_nanos", 0.0),
        ("gavel_corrections_total", 0.0),
        ("gavel_book_errors_total", 0.0),
        ("gavel_bid_requests_total", 3.0),
        ("gavel_bids_total", 1.0),
        ("gavel_bad_requests_total{rule=\"malformed\"}", 1.0),
        ("gavel_no_bids_total{reason=\"price\"}", 1.0),
        ("gavel_notices_total{kind=\"bill\",outcome=\"booked\"}", 1.0),
        ("gavel_notices_total{kind=\"win\",outcome=\"won\"}", 1.0),
    ] {
        assert_eq!((name, server.metric(name)), (name, value));
    }
}

#[test]
fn openapi_names_every_path() {
    let server = Server::start("", &[campaign("a")]);
    let answer = server.ask("GET", "/openapi.json", b"");
    assert_eq!((answer.status, answer.header("content-type")), (200, Some("application/json")));
    let api = answer.json();
    assert!(api["openapi"].as_str().unwrap().starts_with("3."));
    for path in [
        "/live",
        "/ready",
        "/metrics",
        "/v1/books",
        "/v1/campaigns",
        "/v1/campaigns/{id}",
        "/v1/campaigns/{id}/account",
        "/v1/models",
        "/v1/models/{name}",
        "/v1/models/{name}/{version}",
    ] {
        assert!(api["paths"][path]["get"].is_object(), "{path} is not in openapi.json");
    }
    for method in ["put", "delete"] {
        assert!(api["paths"]["/v1/campaigns/{id}"][method].is_object(), "{method}");
    }
    for (path, method) in [
        ("rules", "put"),
        ("rules/hits", "get"),
        ("lists", "get"),
        ("lists/{name}", "put"),
        ("lists/{name}/entries", "post"),
        ("lists/{name}/entries/{value}", "delete"),
        ("checks", "post"),
        ("checks/{id}", "get"),
        ("checks/{id}/outcome", "post"),
        ("labels", "post"),
    ] {
        assert!(api["paths"][format!("/v1/fraud/{path}")][method].is_object(), "{method} {path}");
    }
}

#[test]
fn with_a_token_only_health_is_open() {
    const TOKEN: &str = "0123456789abcdef";
    let server = Server::start(&format!("admin_token = \"{TOKEN}\"\n"), &[campaign("a")]);
    let mut client = Client::connect(server.admin());
    for path in ["/live", "/ready"] {
        assert_eq!(client.get(path).status, 200);
    }
    let right = format!("Bearer {TOKEN}");
    let body = campaign("b").to_string();
    for (method, path, body) in [
        ("GET", "/metrics", ""),
        ("GET", "/openapi.json", ""),
        ("GET", "/v1/books", ""),
        ("GET", "/v1/campaigns", ""),
        ("GET", "/v1/campaigns/a", ""),
        ("GET", "/v1/campaigns/a/account", ""),
        ("PUT", "/v1/campaigns/b", body.as_str()),
        ("DELETE", "/v1/campaigns/b", ""),
        ("GET", "/v1/models", ""),
        ("PUT", "/v1/models/ctr/1", ""),
        ("POST", "/v1/models/ctr/rollback", ""),
        ("GET", "/nothing", ""),
    ] {
        let has_nothing = path == "/nothing" || path.starts_with("/v1/models/");
        for wrong in ["", "Bearer", "Bearer ", "Bearer 0123456789abcde", "Basic 0123456789abcdef", TOKEN] {
            let headers = [("Authorization", wrong)];
            let answer = client.request(method, path, if wrong.is_empty() { &[] } else { &headers }, body.as_bytes());
            assert_eq!(answer.status, 401, "{method} {path} with {wrong:?}");
            assert_eq!(answer.header("www-authenticate"), Some("Bearer"));
            assert_eq!(answer.json()["status"], 401);
        }
        let answer = client.request(method, path, &[("Authorization", &right)], body.as_bytes());
        assert!(
            matches!(answer.status, 200 | 201 | 204) || has_nothing && answer.status != 401,
            "{method} {path}: {}",
            answer.text()
        );
    }
    // Exchanges bring no token.
    assert!(server.bid(&request()).is_some());
}
