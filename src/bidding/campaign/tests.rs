use proptest::prelude::*;
use serde_json::json;

use super::*;
use crate::bidding::creative::{Asset, Kind, Markup};
use crate::bidding::fault::MAX_FAULTS;

/// The example of the campaign contract, with one creative of every type.
const EXAMPLE: &str = r#"{"id": "c-42", "name": "Autumn", "advertiser": "acme", "status": "active", "currency": "USD", "time_zone": "UTC",
 "starts_at": "2026-11-01T00:00:00Z", "ends_at": "2026-12-31T23:59:59Z",
 "budget": {"total": "5000.00", "daily": "500.00"}, "pacing": "even",
 "bid": {"type": "cpm", "price": "2.50"},
 "frequency_caps": [{"impressions": 3, "per_seconds": 86400}],
 "targeting": {"exchanges": ["demo"], "countries": {"include": ["USA"], "exclude": []}, "regions": {}, "cities": {},
   "devices": ["phone"], "os": ["ios"], "languages": ["EN"], "hours_of_week": [9, 10],
   "inventory": {"include": ["WWW.Example.com", "com.example.app"], "exclude": []}, "categories": {"exclude": ["IAB25"]},
   "segments": {"any": ["s1"], "none": []}, "deals": ["deal-1"]},
 "creatives": [
  {"id": "cr-1", "type": "banner", "w": 300, "h": 250, "adm": "<a href=...>", "adomain": ["acme.com"],
   "cat": ["IAB1"], "attr": [], "landing_url": "https://acme.com/"},
  {"id": "cr-2", "type": "video", "w": 640, "h": 360, "duration_s": 15, "vast": "<VAST version=\"3.0\"><MediaFile type=\"video/mp4\"/></VAST>",
   "adomain": ["acme.com"]},
  {"id": "cr-3", "type": "audio", "duration_s": 30, "media": [{"url": "http://cdn.acme.com/a.mp3", "mime": "audio/mpeg"}],
   "protocols": [3, 2, 3], "attr": [2], "adomain": ["acme.com"]},
  {"id": "cr-4", "type": "native", "assets": [{"kind": "title", "text": "Hello"},
   {"kind": "main", "url": "https://cdn.acme.com/a.png", "w": 1200, "h": 627}, {"kind": "data", "data_type": 1, "value": "Acme"}],
   "link": "https://acme.com/", "adomain": ["acme.com"]}]}"#;

fn value() -> Value {
    serde_json::from_str(EXAMPLE).unwrap()
}

/// The example with something put at a pointer; its parent must exist.
fn with(pointer: &str, put: Value) -> String {
    let mut value = value();
    let (parent, key) = pointer.rsplit_once('/').unwrap();
    match value.pointer_mut(parent).unwrap() {
        Value::Object(map) => drop(map.insert(key.to_owned(), put)),
        Value::Array(list) => list[key.parse::<usize>().unwrap()] = put,
        other => panic!("{other}"),
    }
    value.to_string()
}

fn without(pointer: &str) -> String {
    let mut value = value();
    let (parent, key) = pointer.rsplit_once('/').unwrap();
    value.pointer_mut(parent).unwrap().as_object_mut().unwrap().remove(key).unwrap();
    value.to_string()
}

#[test]
fn the_example_means_what_it_says() {
    let c = parse(EXAMPLE).unwrap();
    assert_eq!((c.id.as_str(), c.name.as_str(), c.advertiser.as_str()), ("c-42", "Autumn", "acme"));
    assert_eq!((c.status, c.pacing, c.currency), (Status::Active, Pacing::Even, Currency::USD));
    assert_eq!(c.budget, Budget { total: Nanos(5_000_000_000_000), daily: Some(Nanos(500_000_000_000)) });
    assert_eq!(c.bid, BidPrice::Cpm { price: Nanos(2_500_000) });
    assert_eq!(c.frequency_caps, [FrequencyCap { impressions: 3, per_ms: 86_400_000 }]);
    assert_eq!(cap_memory(&c.frequency_caps), Some((3, 86_400_000)));
    assert!(c.targeting.inventory.allows("example.com") && !c.targeting.inventory.allows("other.com"));
    assert!(c.targeting.languages.contains("en") && c.targeting.regions.is_empty());
    assert!(c.schedule.hours.contains(9) && !c.schedule.hours.contains(11));
    assert!(c.targeting.devices.contains(DeviceClass::Phone) && !c.targeting.os.contains(OsClass::Android));
    let at = |text: &str| c.schedule.has_begun_and_not_ended(UnixMs::parse(text).unwrap());
    assert!(at("2026-11-01T00:00:00Z") && at("2026-12-31T23:59:59Z"));
    assert!(!at("2026-10-31T23:59:59.999Z") && !at("2027-01-01T00:00:00Z"));

    let [banner, video, audio, native] = &c.creatives[..] else { panic!() };
    assert_eq!([banner, video, audio, native].map(|c| c.mtype()), [1, 2, 3, 4]);
    assert_eq!([banner, video, audio, native].map(|c| c.secure), [true, true, false, true]);
    assert_eq!(banner.kind, Kind::Banner { w: 300, h: 250, adm: "<a href=...>".into() });
    let Kind::Video { spot, .. } = &video.kind else { panic!() };
    assert_eq!((&spot.mimes[..], &spot.protocols[..]), (&["video/mp4".into()][..], &[3][..]));
    let Kind::Audio { spot } = &audio.kind else { panic!() };
    assert!(matches!(&spot.markup, Markup::Media(media) if media.len() == 1 && media[0].w == 0));
    assert_eq!((&spot.protocols[..], &audio.attr[..]), (&[2, 3][..], &[2][..]));
    let Kind::Native { assets, link } = &native.kind else { panic!() };
    assert!(matches!(&assets[0], Asset::Title { text } if text == "Hello"));
    assert_eq!(native.click_url(), Some(&**link));
}

#[test]
fn the_canonical_text_is_a_fixed_point() {
    let first = parse(EXAMPLE).unwrap();
    assert_eq!(serde_json::from_str::<Value>(&first.json).unwrap(), value());
    let again = parse(&first.json).unwrap();
    assert_eq!(first.json, again.json);
    assert_eq!((first.creatives, first.targeting), (again.creatives, again.targeting));
}

#[test]
fn absent_keys_have_defaults() {
    let c = parse(
        r#"{"id":"a","advertiser":"b","currency":"EUR","budget":{"total":"1"},"bid":{"type":"cpc","price":"0.25"},
        "creatives":[{"id":"x","type":"banner","w":1,"h":1,"adm":"x","adomain":["a.example"]}]}"#,
    )
    .unwrap();
    assert_eq!(
        (c.name.as_str(), c.schedule.zone_key, c.status, c.pacing),
        ("a", key("UTC"), Status::Active, Pacing::Asap)
    );
    assert_eq!(c.bid, BidPrice::Cpc { price: Nanos(250_000_000), model: "ctr".into() });
    assert_eq!((cap_memory(&c.frequency_caps), c.targeting), (None, Targeting::default()));
    assert!(HoursOfWeek::default().contains(167));
}

#[test]
fn each_fault_is_named_where_it_is() {
    let long = "x".repeat(129);
    #[rustfmt::skip]
    let table = [
        (with("/id", json!("a/b")), "/id", "only letters"),
        (with("/id", json!(long)), "/id", "129 bytes long"),
        (with("/id", json!("")), "/id", "is empty"),
        (with("/id", json!(7)), "/id", "must be a string, not a number"),
        (with("/id", json!(null)), "/id", "not null"),
        (without("/id"), "/id", "is required"),
        (without("/currency"), "/currency", "is required"),
        (without("/budget"), "/budget", "is required"),
        (without("/bid"), "/bid", "is required"),
        (without("/creatives"), "/creatives", "at least one"),
        (with("/name", json!("a\u{7}")), "/name", "control character"),
        (with("/status", json!("on")), "/status", "one of active, paused"),
        (with("/currency", json!("usd")), "/currency", "ISO 4217"),
        (with("/time_zone", json!("Mars/Olympus")), "/time_zone", "IANA"),
        (with("/starts_at", json!("2026-11-01")), "/starts_at", "RFC 3339"),
        (with("/ends_at", json!("2026-11-01T00:00:00Z")), "/ends_at", "not after starts_at"),
        (with("/budgets", json!({})), "/budgets", "did you mean \"budget\"?"),
        (with("/a~1b", json!(1)), "/a~01b", "unknown key"),
        (with("/budget", json!([])), "/budget", "must be an object, not an array"),
        (with("/budget/total", json!(5000)), "/budget/total", "write it in quotes, \"5000\""),
        (with("/budget/total", json!(0.5)), "/budget/total", "write it in quotes, \"0.5\""),
        (with("/budget/total", json!("0.00")), "/budget/total", "above zero"),
        (with("/budget/total", json!("-1")), "/budget/total", "negative"),
        (with("/budget/total", json!("1e3")), "/budget/total", "plain decimal"),
        (with("/budget/total", json!("1000000001")), "/budget/total", "above 1000000000"),
        (without("/budget/total"), "/budget/total", "is required"),
        (with("/budget/daily", json!("0")), "/budget/daily", "above zero"),
        (with("/budget/weekly", json!("0")), "/budget/weekly", "unknown key"),
        (with("/pacing", json!("fast")), "/pacing", "one of even, asap"),
        (with("/bid/price", json!(2.5)), "/bid/price", "write it in quotes, \"2.5\""),
        (with("/bid/price", json!("0")), "/bid/price", "above zero"),
        (with("/bid/price", json!("100000.01")), "/bid/price", "too large"),
        (with("/bid/price", json!("0.0000001")), "/bid/price", "more than 6 decimals"),
        (with("/bid/type", json!("cpa")), "/bid/type", "one of cpm, cpc"),
        (with("/bid/model", json!("ctr")), "/bid/model", "for cpc bids"),
        (without("/bid/type"), "/bid/type", "is required"),
        (with("/frequency_caps", json!({})), "/frequency_caps", "must be an array, not an object"),
        (with("/frequency_caps", json!(vec![0; 9])), "/frequency_caps", "9 entries, more than 8"),
        (with("/frequency_caps/0", json!(3)), "/frequency_caps/0", "must be an object"),
        (with("/frequency_caps/0/impressions", json!(65)), "/frequency_caps/0/impressions", "from 1 to 64"),
        (with("/frequency_caps/0/impressions", json!(2.5)), "/frequency_caps/0/impressions", "whole number"),
        (with("/frequency_caps/0/per_seconds", json!(0)), "/frequency_caps/0/per_seconds", "from 1 to 7776000"),
        (with("/frequency_caps/0/per_seconds", json!(7_776_001)), "/frequency_caps/0/per_seconds", "from 1 to 7776000"),
        (without("/frequency_caps/0/per_seconds"), "/frequency_caps/0/per_seconds", "is required"),
        (with("/targeting/country", json!([])), "/targeting/country", "did you mean \"countries\"?"),
        (with("/targeting/countries", json!(["USA"])), "/targeting/countries", "must be an object, not an array"),
        (with("/targeting/countries/include/0", json!("US")), "/targeting/countries/include/0", "alpha-3"),
        (with("/targeting/countries/only", json!([])), "/targeting/countries/only", "known are include, exclude"),
        (with("/targeting/regions/include", json!(["US-CA"])), "/targeting/regions/include/0", "without the country"),
        (with("/targeting/cities/exclude", json!([1])), "/targeting/cities/exclude/0", "must be a string"),
        (with("/targeting/devices/0", json!("Phone")), "/targeting/devices/0", "one of phone"),
        (with("/targeting/os/0", json!("beos")), "/targeting/os/0", "one of ios"),
        (with("/targeting/languages/0", json!("eng")), "/targeting/languages/0", "ISO 639-1"),
        (with("/targeting/hours_of_week/1", json!(168)), "/targeting/hours_of_week/1", "from 0 to 167"),
        (with("/targeting/inventory/include/0", json!("https://a.example/x")), "/targeting/inventory/include/0", "not a URL"),
        (with("/targeting/categories/exclude/0", json!("IAB 1")), "/targeting/categories/exclude/0", "category"),
        (with("/targeting/segments/some", json!([])), "/targeting/segments/some", "unknown key"),
        (with("/targeting/deals", json!("d")), "/targeting/deals", "must be an array"),
        (with("/creatives", json!([])), "/creatives", "at least one"),
        (with("/creatives/1/id", json!("cr-1")), "/creatives/1/id", "another creative"),
        (with("/creatives/0/type", json!("popup")), "/creatives/0/type", "one of banner"),
        (with("/creatives/0/w", json!(0)), "/creatives/0/w", "from 1 to"),
        (without("/creatives/0/h"), "/creatives/0/h", "is required"),
        (with("/creatives/0/adm", json!(" ")), "/creatives/0/adm", "is empty"),
        (with("/creatives/0/adm", json!("x".repeat((256 << 10) + 1))), "/creatives/0/adm", "more than 262144"),
        (with("/creatives/0/adomain", json!([])), "/creatives/0/adomain", "at least one domain"),
        (without("/creatives/0/adomain"), "/creatives/0/adomain", "at least one domain"),
        (with("/creatives/0/adomain/0", json!("acme")), "/creatives/0/adomain/0", "must be a domain"),
        (with("/creatives/0/attr", json!(["x"])), "/creatives/0/attr/0", "whole number"),
        (with("/creatives/0/landing_url", json!("acme.com")), "/creatives/0/landing_url", "absolute http or https"),
        (with("/creatives/0/vast", json!("x")), "/creatives/0/vast", "unknown key"),
        (with("/creatives/1/w", json!(-1)), "/creatives/1/w", "from 1 to"),
        (with("/creatives/1/duration_s", json!(0)), "/creatives/1/duration_s", "from 1 to 3600"),
        (with("/creatives/1/vast", json!("<xml>")), "/creatives/1/vast", "no <VAST element"),
        (without("/creatives/1/vast"), "/creatives/1/vast", "or media in its place"),
        (with("/creatives/1/media", json!([])), "/creatives/1/media", "stands beside vast"),
        (with("/creatives/2/media", json!([])), "/creatives/2/media", "at least one file"),
        (with("/creatives/2/w", json!(1)), "/creatives/2/w", "unknown key"),
        (with("/creatives/2/media/0/url", json!("ftp://a.example/")), "/creatives/2/media/0/url", "absolute http"),
        (with("/creatives/2/media/0/mime", json!("mp3")), "/creatives/2/media/0/mime", "media type"),
        (with("/creatives/2/protocols", json!([0])), "/creatives/2/protocols/0", "from 1 to"),
        (with("/creatives/3/assets", json!([])), "/creatives/3/assets", "at least one asset"),
        (with("/creatives/3/assets/0/kind", json!("logo")), "/creatives/3/assets/0/kind", "one of title"),
        (with("/creatives/3/assets/1/w", json!("1")), "/creatives/3/assets/1/w", "whole number from 1 to 32767, not a string"),
        (without("/creatives/3/assets/2/value"), "/creatives/3/assets/2/value", "is required"),
        (without("/creatives/3/link"), "/creatives/3/link", "is required"),
        ("[]".into(), "", "must be an object, not an array"),
    ];
    for (text, pointer, message) in table {
        let faults = parse(&text).expect_err(pointer);
        let [fault] = &faults[..] else { panic!("{pointer}: {faults:?}") };
        assert_eq!(fault.pointer, pointer, "{fault}");
        assert!(fault.message.contains(message), "{fault}; wanted {message}");
        assert_eq!(fault.line, Some(1));
    }
}

#[test]
fn all_faults_are_listed_with_their_lines() {
    let text = "{\"id\": \"a b\",\n \"currency\": \"EUR\",\n \"budget\": {\"total\": 5},\n \"bid\": {\"type\": \"cpm\",\n\
                \"price\": \"-1\"},\n \"creatives\": [{\"type\": \"banner\"}], \"x\": 1}";
    let faults = parse(text).unwrap_err();
    let mut found: Vec<_> = faults.iter().map(|f| (f.pointer.as_str(), f.line.unwrap())).collect();
    found.sort_unstable();
    assert_eq!(
        found,
        [
            ("/bid/price", 5),
            ("/budget/total", 3),
            ("/creatives/0/adm", 6),
            ("/creatives/0/adomain", 6),
            ("/creatives/0/h", 6),
            ("/creatives/0/id", 6),
            ("/creatives/0/w", 6),
            ("/id", 1),
            ("/x", 6),
        ]
    );
}

#[test]
fn syntax_errors_say_where() {
    for (text, line, message) in [
        ("", 1, "EOF"),
        ("{\n\"id\": }", 2, "column 7"),
        ("{\"id\":\n\"a\"", 2, "EOF"),
        ("{\"id\": \"a\",\n \"id\": \"b\"}", 2, "stands twice"),
        ("{} {}", 1, "trailing"),
        (&"[".repeat(10_000), 1, "recursion"),
    ] {
        let faults = parse(text).unwrap_err();
        assert_eq!((faults.len(), faults[0].line), (1, Some(line)), "{faults:?}");
        assert!(faults[0].message.contains(message), "{}", faults[0]);
        assert_eq!(parse_file(text).unwrap_err(), faults);
    }
}

#[test]
fn sizes_are_bounded() {
    let text = format!("{{\"id\": \"{}\"}}", "x".repeat(MAX_CAMPAIGN_BYTES));
    assert!(parse(&text).unwrap_err()[0].message.contains("more than 1032192"));
    let faults = parse_file(&format!("[{text}]")).unwrap_err();
    assert!(faults.iter().any(|f| f.pointer == "/0" && f.message.contains("more than 1032192")));
    let many = with("/targeting/hours_of_week", json!(vec![999; 168]));
    assert_eq!(parse(&many).unwrap_err().len(), 168);
    let many = with("/targeting/deals", json!(vec![0; 100_000]));
    let faults = parse(&many).unwrap_err();
    assert_eq!(faults.len(), MAX_FAULTS + 1);
    assert_eq!(faults[MAX_FAULTS].message, "has 99000 more faults");
    let many = with("/targeting/deals", json!(vec![0; 100_001]));
    assert!(parse(&many).unwrap_err()[0].message.contains("more than 100000"));
}

#[test]
fn files_hold_one_campaign_or_many() {
    assert_eq!(parse_file(EXAMPLE).unwrap().len(), 1);
    assert_eq!(parse_file("[]").unwrap().len(), 0);
    let other = with("/id", json!("other"));
    let both = parse_file(&format!("[{EXAMPLE},\n{other}]")).unwrap();
    assert_eq!(both.iter().map(|c| c.id.as_str()).collect::<Vec<_>>(), ["c-42", "other"]);
    let bad = with("/pacing", json!("x"));
    let faults = parse_file(&format!("[\n{other},\n{bad},\n{EXAMPLE},\n3]")).unwrap_err();
    let found: Vec<_> = faults.iter().map(|f| f.pointer.as_str()).collect();
    assert_eq!(found, ["/1/pacing", "/2/id", "/3"]);
    assert_eq!(faults[0].line, Some(3));
    assert!(faults[1].message.contains("/1/id"));
}

fn any_value() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<f64>().prop_map(Value::from),
        ".{0,12}".prop_map(Value::from),
        Just(json!("1.5")),
        Just(json!("https://a.example/")),
    ];
    leaf.prop_recursive(3, 16, 4, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
            prop::collection::vec((".{0,6}", inner), 0..4).prop_map(|list| Value::Object(list.into_iter().collect())),
        ]
    })
}

/// Every pointer of a value.
fn pointers(value: &Value, here: String, out: &mut Vec<String>) {
    match value {
        Value::Object(map) => map.iter().for_each(|(key, v)| pointers(v, format!("{here}/{key}"), out)),
        Value::Array(list) => list.iter().enumerate().for_each(|(i, v)| pointers(v, format!("{here}/{i}"), out)),
        _ => {}
    }
    out.push(here);
}

/// Whatever it is given, it answers: with faults, or with a campaign whose text means the same.
fn check(text: &str) {
    match parse(text) {
        Ok(campaign) => assert_eq!(parse(&campaign.json).unwrap().json, campaign.json),
        Err(faults) => assert!(!faults.is_empty() && faults.iter().all(|f| f.line.is_some() && !f.message.is_empty())),
    }
    assert_eq!(parse(text).is_ok(), parse_file(&format!("[{text}]")).is_ok());
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]
    #[test]
    fn no_bytes_make_it_panic(edits in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>(), 0..3u8), 1..6)) {
        let mut bytes = EXAMPLE.as_bytes().to_vec();
        for (at, byte, how) in edits {
            let at = at.index(bytes.len());
            match how {
                0 => bytes[at] = byte,
                1 => bytes.insert(at, byte),
                _ => bytes.truncate(at.max(1)),
            }
        }
        check(&String::from_utf8_lossy(&bytes));
    }

    #[test]
    fn no_value_makes_it_panic(puts in prop::collection::vec((any::<prop::sample::Index>(), any_value()), 1..4)) {
        let mut value = value();
        for (at, put) in puts {
            let mut all = Vec::new();
            pointers(&value, String::new(), &mut all);
            *value.pointer_mut(&all[at.index(all.len())]).unwrap_or(&mut Value::Null) = put;
        }
        check(&value.to_string());
    }
}
