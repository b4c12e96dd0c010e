//! What OpenRTB lets anyone add to a request, and how much of it, changes no decision (2.6 section 2.6).

use serde_json::{Value, json};

use crate::make::{campaign, request, with, with_imp};
use crate::server::Server;

/// A bid without what is never twice the same: its id, and the tokens in its URLs.
fn decision(mut bid: Value) -> Value {
    for name in ["id", "nurl", "burl", "lurl"] {
        bid.as_object_mut().unwrap().remove(name);
    }
    bid
}

#[test]
fn what_is_unknown_changes_nothing() {
    let server = Server::start("", &[campaign("a")]);
    let usual = decision(server.bid(&request()).unwrap());
    let anything = json!({"x": [1, "two", null, {"y": true}], "": {}, "\u{1f600}": 1e300});
    let everywhere = json!({
        "ext": anything, "unheard_of": anything, "device": {"ext": anything, "new": anything},
        "user": {"ext": anything, "new": [anything]}, "regs": {"ext": anything}, "source": {"ext": anything, "pchain": 7},
        "site": {"ext": anything, "content": {"ext": anything}, "publisher": {"ext": anything}},
    });
    for patch in [
        everywhere,
        json!({"at": 77, "ext": null}),
        json!({"device": {"devicetype": 99, "connectiontype": 99, "os": "Plan 9", "language": "xx", "geo": {"type": 9}}}),
        json!({"regs": {"gpp_sid": [-1], "fpd": 3}, "user": {"eids": [{"atype": 77}], "data": [{"segment": [{}]}]}}),
        json!({"bcat": (0..10_000).map(|i| format!("IAB99-{i}")).collect::<Vec<_>>()}),
        json!({"badv": (0..10_000).map(|i| format!("d{i}.example")).collect::<Vec<_>>()}),
        json!({"bapp": (0..10_000).map(|i| format!("com.example.a{i}")).collect::<Vec<_>>()}),
    ] {
        let bid = server.bid(&with(request(), patch.clone())).unwrap_or_else(|| panic!("{patch}"));
        assert_eq!(decision(bid), usual, "{patch}");
    }
    for patch in [
        json!({"ext": anything, "unheard_of": anything, "rwdd": 9, "ssai": 99, "metric": [{"type": "x"}]}),
        json!({"banner": {"pos": 99, "btype": [99], "battr": [99], "api": [99], "expdir": [99], "ext": anything}}),
        json!({"pmp": {"ext": anything, "deals": [{"id": "d", "at": 99, "ext": anything}]}}),
    ] {
        let bid = server.bid(&with_imp(request(), patch.clone())).unwrap_or_else(|| panic!("{patch}"));
        assert_eq!(decision(bid), usual, "{patch}");
    }
    // A thousand more impressions that nothing fits.
    let many = (1..1_000).map(|i| json!({"id": format!("x{i}"), "banner": {"w": 1, "h": 1}, "ext": anything}));
    let all: Vec<Value> = std::iter::once(request()["imp"][0].clone()).chain(many).collect();
    assert_eq!(decision(server.bid(&with(request(), json!({"imp": all}))).unwrap()), usual);
}

#[test]
fn depth_changes_nothing() {
    let server = Server::start("", &[campaign("a")]);
    let usual = decision(server.bid(&request()).unwrap());
    for depth in [63, 64, 65, 128, 129, 511, 512, 513, 1_000, 10_000, 60_000] {
        for (open, close) in [("[", "]"), ("{\"a\":", "}"), ("[0,{\"b\":1,\"a\":", "}]")] {
            let deep = format!("{}null{}", open.repeat(depth), close.repeat(depth));
            for at in ["\"id\":\"r-1\"", "\"banner\":", "\"domain\":"] {
                let body = request().to_string().replace(at, &format!("\"ext\":{deep},{at}"));
                assert!(body.contains(&deep));
                let answer = server.call("POST", "/openrtb2/demo", body.as_bytes());
                // Two levels at a time it is too much at last: then it is refused, and nothing else happens.
                if depth * open.matches(['[', '{']).count() > 65_000 {
                    answer.is_empty(400);
                } else {
                    let bid = answer.json()["seatbid"][0]["bid"][0].take();
                    assert_eq!(decision(bid), usual, "{depth} {open} {at}");
                }
            }
        }
    }
}
