//! Lines 42 and 45: what is unknown, huge, or of another type than it should be.

use serde_json::{Value, json};

use super::Check;
use super::bodies::{bid, lives, post};
use super::target::Target;
use crate::make::{request, with, with_imp};

/// Section 2.6: none of it may change the decision.
pub fn unknown_and_huge(t: &Target) -> Check {
    t.put_one(json!({}))?;
    t.bid(&t.request())?;
    let mut deep = json!({"x": 1});
    for _ in 0..400 {
        deep = json!({"ext": deep});
    }
    let categories = |count: usize| (0..count).map(|i| format!("IAB9-{}", i + 100)).collect::<Vec<_>>();
    let wide: serde_json::Map<String, Value> =
        (0..5_000).map(|i| (format!("key-{i}"), json!([i, null, "x"]))).collect();
    let same = [
        json!({"unknown": {"a": [1, null, {}]}, "ext": {"x": [[[]]]}}),
        json!({"ext": deep}),
        json!({"ext": wide}),
        json!({"at": 7, "allimps": 9, "cattax": 1, "wlangb": ["xx"]}),
        json!({"device": {"devicetype": 99, "connectiontype": 77, "geo": {"type": 42, "ipservice": 9}, "sua": {"source": 8}}}),
        json!({"regs": {"ext": {"unknown": 1}}, "source": {"fd": 9}, "user": {"gender": "X", "ext": {"a": 1}}}),
        json!({"imp": [{"id": "1", "banner": {"w": 300, "h": 250, "pos": 99, "btype": [77], "battr": [999], "api": [99],
            "topframe": 9, "expdir": [42]}, "clickbrowser": 7, "ssai": 99, "new": {"a": 1}, "metric": [{"type": "x"}]}]}),
        json!({"bcat": categories(10_000)}),
        json!({"badv": (0..10_000).map(|i| format!("blocked-{i}.example")).collect::<Vec<_>>()}),
        json!({"site": {"domain": t.run, "cat": categories(2_000), "keywords": "x".repeat(10_000)}}),
    ];
    for patch in same {
        let found = t.bid(&with(t.request(), patch.clone())).map_err(|e| format!("{e:.90}"))?;
        ensure!(found["price"].as_f64() == Some(9.0), "{:.80}: {found}", patch.to_string());
    }
    let mut blocked = categories(9_999);
    blocked.push("IAB1".to_owned());
    t.no_bid(&with(t.request(), json!({"bcat": blocked})))?;
    // A thousand impressions, of which one can be answered; and all of them, as far as there is a lease at once.
    let imps = |fits: &dyn Fn(usize) -> bool| -> Vec<Value> {
        let imp = |i| json!({"id": format!("i-{i}"), "banner": {"w": if fits(i) { 300 } else { 299 }, "h": 250}});
        (0..1_000).map(imp).collect()
    };
    let bids = t.ours(&with(t.request(), json!({"imp": imps(&|i| i == 777)})))?;
    ensure!(bids.len() == 1 && bids[0]["impid"] == "i-777", "one of a thousand impressions: {bids:?}");
    let started = std::time::Instant::now();
    loop {
        let bids = t.ours(&with(t.request(), json!({"imp": imps(&|_| true)})))?;
        if bids.len() == 1_000 {
            return Ok(());
        }
        ensure!(started.elapsed().as_secs() < 20, "{} of a thousand impressions", bids.len());
        std::thread::sleep(std::time::Duration::from_millis(100));
    }
}

/// Tolerated or 400, and the connection lives on.
pub fn loose_types(t: &Target) -> Check {
    t.any_bid(&request())?;
    let mut client = t.connect();
    let strange = [
        json!(0),
        json!(-1),
        json!(1.5),
        json!(1e300),
        json!(-1e300),
        json!(u64::MAX),
        json!(i64::MIN),
        json!(""),
        json!("1"),
        json!("x"),
        json!(true),
        json!([]),
        json!({}),
        json!([1]),
        json!({"a": 1}),
        json!(null),
    ];
    let mut seen = [0; 3];
    let mut try_one = |asked: Value| -> Check {
        let answer = post(&mut client, &[], asked.to_string().as_bytes())?;
        match answer.status {
            200 => seen[0] += 1,
            204 => seen[1] += 1,
            400 => seen[2] += 1,
            other => return Err(format!("{asked} is {other}")),
        }
        ensure!(answer.status == 200 || answer.body.is_empty(), "{asked}: a body");
        Ok(())
    };
    for value in &strange {
        for field in [
            "id", "imp", "site", "app", "dooh", "device", "user", "regs", "source", "at", "tmax", "cur", "wseat",
            "bseat", "bcat", "cattax", "badv", "bapp", "wlang", "test", "allimps",
        ] {
            try_one(with(request(), json!({field: value})))?;
        }
        for field in [
            "id",
            "banner",
            "video",
            "audio",
            "native",
            "pmp",
            "bidfloor",
            "bidfloorcur",
            "secure",
            "instl",
            "tagid",
            "exp",
            "qty",
            "rwdd",
            "ssai",
            "dt",
        ] {
            try_one(with_imp(request(), json!({field: value})))?;
        }
        for field in ["w", "h", "format", "btype", "battr", "mimes", "pos", "api"] {
            try_one(with_imp(request(), json!({"banner": {field: value}})))?;
        }
        for field in ["private_auction", "deals"] {
            try_one(with_imp(request(), json!({"pmp": {field: value}})))?;
        }
        for field in ["poddur", "maxseq", "rqddurs", "podid", "slotinpod", "mincpmpersec", "minduration", "protocols"] {
            try_one(with_imp(request(), json!({"video": {"mimes": ["video/mp4"], field: value}})))?;
        }
    }
    ensure!(seen.iter().all(|count| *count > 20), "bids, no-bids, 400s: {seen:?}");
    // What only looks different is the same.
    for patch in [
        json!({"imp": [{"id": 1, "banner": {"w": 300.0, "h": 250.0}, "secure": 0.0}]}),
        json!({"id": 12, "at": 1.0, "tmax": "100", "test": "0"}),
        json!({"imp": [{"id": "1", "banner": {"w": "300", "h": "250"}, "bidfloor": "0.01", "instl": false}]}),
        json!({"cur": "USD"}),
    ] {
        let answer = bid(&mut client, &[], with(request(), patch.clone()).to_string().as_bytes())?;
        ensure!(answer.status == 200, "{patch} is {}", answer.status);
    }
    lives(&mut client)
}
