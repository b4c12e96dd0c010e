//! Whom a campaign reaches: every targeting key accepts what it names and refuses the rest.

use jiff::ToSpan;
use jiff::tz::TimeZone;
use serde_json::{Value, json};

use crate::make::{campaign, request, with};
use crate::server::Server;

/// Puts the campaign with each targeting, and asks with each patch of the request whether it bids.
fn table(server: &Server, cases: &[(Value, Value, bool)]) {
    let mut last = Value::Null;
    for (targeting, patch, bids) in cases {
        if last != *targeting {
            last = targeting.clone();
            server.put(&with(campaign("a"), json!({"targeting": targeting})));
        }
        let bid = server.bid(&with(request(), patch.clone()));
        assert_eq!(bid.is_some(), *bids, "targeting {targeting}, request {patch}");
    }
}

fn server() -> Server {
    let server = Server::start("[exchanges.demo]\n[exchanges.other]\n", &[campaign("a")]);
    server.bid_soon(&request());
    server
}

#[test]
fn places() {
    let countries = json!({"countries": {"include": ["USA", "DEU"], "exclude": []}});
    let but = json!({"countries": {"exclude": ["USA"]}});
    let regions = json!({"regions": {"include": ["CA"]}});
    let cities = json!({"cities": {"include": ["Köln"], "exclude": ["Bonn"]}});
    let geo = |geo: Value| json!({"device": {"geo": geo}});
    table(
        &server(),
        &[
            (json!({}), json!({}), true),
            (countries.clone(), geo(json!({"country": "USA"})), true),
            (countries.clone(), geo(json!({"country": "usa"})), true),
            (countries.clone(), geo(json!({"country": "FRA"})), false),
            (countries.clone(), json!({}), false),
            (countries.clone(), json!({"user": {"geo": {"country": "DEU"}}}), true),
            (countries, json!({"user": {"geo": {"country": "DEU"}}, "device": {"geo": {"country": "FRA"}}}), false),
            (but.clone(), geo(json!({"country": "USA"})), false),
            (but.clone(), geo(json!({"country": "FRA"})), true),
            (but, json!({}), true),
            (json!({"countries": {"include": ["USA"], "exclude": ["USA"]}}), geo(json!({"country": "USA"})), false),
            (regions.clone(), geo(json!({"country": "USA", "region": "CA"})), true),
            (regions.clone(), geo(json!({"country": "USA", "region": "US-CA"})), true),
            (regions.clone(), geo(json!({"country": "USA", "region": "NY"})), false),
            (regions, json!({}), false),
            (json!({"regions": {"exclude": ["CA"]}}), geo(json!({"region": "ca"})), false),
            (json!({"regions": {"exclude": ["CA"]}}), json!({}), true),
            (cities.clone(), geo(json!({"city": "Köln"})), true),
            (cities.clone(), geo(json!({"city": "Bonn"})), false),
            (cities, geo(json!({"city": "Berlin"})), false),
        ],
    );
}

#[test]
fn devices_systems_and_languages() {
    let server = server();
    let kinds = [("phone", 4), ("tablet", 5), ("desktop", 2), ("tv", 3), ("settop", 7), ("device", 6), ("dooh", 8)];
    for (name, _) in kinds {
        server.put(&with(campaign("a"), json!({"targeting": {"devices": [name]}})));
        for (other, code) in kinds {
            let bid = server.bid(&with(request(), json!({"device": {"devicetype": code}})));
            assert_eq!(bid.is_some(), name == other, "{name} asked for {other}");
        }
        // 1 is a phone or a tablet.
        let either = server.bid(&with(request(), json!({"device": {"devicetype": 1}})));
        assert_eq!(either.is_some(), name == "phone" || name == "tablet", "{name}");
        for unknown in [json!({"devicetype": 99}), json!({})] {
            assert!(server.bid(&with(request(), json!({"device": unknown}))).is_none());
        }
    }
    let systems = [
        ("ios", "iOS"),
        ("android", "Android"),
        ("windows", "Windows"),
        ("macos", "macOS"),
        ("linux", "Linux"),
        ("chromeos", "Chrome OS"),
        ("tvos", "tvOS"),
        ("roku", "Roku"),
        ("tizen", "Tizen"),
        ("webos", "webOS"),
        ("fireos", "Fire OS"),
        ("other", "BeOS"),
    ];
    for (name, _) in systems {
        server.put(&with(campaign("a"), json!({"targeting": {"os": [name]}})));
        for (other, sent) in systems {
            let bid = server.bid(&with(request(), json!({"device": {"os": sent}})));
            assert_eq!(bid.is_some(), name == other, "{name} asked for {sent}");
        }
        assert!(server.bid(&request()).is_none(), "{name} bids for an unknown system");
    }
    let languages = json!({"languages": ["en", "de"]});
    let language = |text: &str| json!({"device": {"language": text}});
    table(
        &server,
        &[
            (languages.clone(), language("en"), true),
            (languages.clone(), language("de-AT"), true),
            (languages.clone(), language("EN"), true),
            (languages.clone(), language("fr"), false),
            (languages, json!({}), false),
        ],
    );
}

#[test]
fn inventory_and_categories() {
    let sites = json!({"inventory": {"include": ["example.com", "com.example.app"]}});
    let but = json!({"inventory": {"exclude": ["bad.example.com"]}});
    let site = |domain: &str| json!({"site": {"domain": domain}});
    let app = |bundle: &str| json!({"site": null, "app": {"bundle": bundle}});
    let cats = json!({"categories": {"include": ["IAB1"], "exclude": ["IAB1-7"]}});
    let cat = |cat: &str| json!({"site": {"cat": [cat]}});
    let but_cars = json!({"categories": {"exclude": ["IAB2", "IAB25"]}});
    let only_sports = json!({"categories": {"include": ["IAB17"]}});
    table(
        &server(),
        &[
            (sites.clone(), site("example.com"), true),
            (sites.clone(), site("www.Example.com"), true),
            (sites.clone(), site("news.example.com"), true),
            (sites.clone(), site("notexample.com"), false),
            (sites.clone(), site("com"), false),
            (sites.clone(), app("com.example.app"), true),
            (sites.clone(), app("com.example.other"), false),
            (sites.clone(), json!({"site": null, "app": {"id": "x"}}), false),
            (sites, json!({"site": {"domain": null, "page": "https://example.com/a?b"}}), true),
            (but.clone(), site("bad.example.com"), false),
            (but.clone(), site("very.bad.example.com"), false),
            (but.clone(), site("https://a@bad.example.com:443/x"), false),
            (but.clone(), json!({"site": {"domain": "", "page": "bad.example.com/x"}}), false),
            (but.clone(), site("example.com"), true),
            (but, json!({"site": null, "app": {"id": "x"}}), true),
            (cats.clone(), cat("IAB1"), true),
            (cats.clone(), cat("IAB1-6"), true),
            (cats.clone(), cat("IAB1-7"), false),
            (cats.clone(), cat("IAB10"), false),
            (cats.clone(), json!({"site": {"sectioncat": ["IAB1"]}}), true),
            (cats.clone(), json!({"site": {"content": {"cat": ["IAB1"]}}}), true),
            (cats, json!({}), false),
            (json!({"categories": {"exclude": ["IAB25"]}}), cat("IAB25-3"), false),
            (json!({"categories": {"exclude": ["IAB25"]}}), json!({}), true),
            // Categories of the later taxonomies, by the areas that they share; 1 is automotive, 483 sports.
            (but_cars.clone(), json!({"site": {"cattax": 2, "cat": ["1"]}}), false),
            (but_cars.clone(), json!({"site": {"cattax": 2, "cat": ["483"]}}), true),
            (but_cars.clone(), json!({"site": {"content": {"cattax": 7, "cat": ["30"]}}}), false),
            (but_cars.clone(), json!({"site": {"cattax": 7, "cat": ["v9i3On"]}}), false),
            (but_cars.clone(), json!({"site": {"cattax": 501, "cat": ["1"]}}), true),
            (but_cars.clone(), cat("iab2"), false),
            (but_cars, json!({"site": {"cattax": 2, "cat": ["IAB2-1"]}}), false),
            (only_sports.clone(), json!({"site": {"cattax": 2, "cat": ["484"]}}), true),
            (only_sports.clone(), json!({"site": {"cattax": 2, "cat": ["1"]}}), false),
            (only_sports, json!({"site": {"cattax": 2, "cat": ["x"]}}), false),
            (json!({"categories": {"exclude": ["483"]}}), cat("IAB17-3"), false),
        ],
    );
}

#[test]
fn segments_and_exchanges() {
    let any = json!({"segments": {"any": ["s1", "s2"]}});
    let none = json!({"segments": {"none": ["s3"]}});
    let user = |ids: &[&str]| {
        let segments: Vec<Value> = ids.iter().map(|id| json!({"id": id})).collect();
        json!({"user": {"data": [{"segment": segments}]}})
    };
    let server = server();
    table(
        &server,
        &[
            (any.clone(), user(&["s2", "x"]), true),
            (any.clone(), user(&["s3"]), false),
            (any.clone(), json!({}), false),
            // Without consent the user's data is not looked at.
            (any.clone(), with(user(&["s1"]), json!({"regs": {"coppa": 1}})), false),
            (any.clone(), with(user(&["s1"]), json!({"device": {"lmt": 1}})), false),
            (any.clone(), with(user(&["s1"]), json!({"regs": {"gdpr": 1}})), false),
            (any.clone(), with(user(&["s1"]), json!({"regs": {"ext": {"gdpr": 1}}})), false),
            (any.clone(), with(user(&["s1"]), json!({"regs": {"us_privacy": "1YYN"}})), false),
            (any.clone(), with(user(&["s1"]), json!({"regs": {"us_privacy": "1YNN"}})), true),
            (any, with(user(&["s1"]), json!({"regs": {"coppa": 0, "gdpr": 0}, "device": {"lmt": 0}})), true),
            (none.clone(), user(&["s1"]), true),
            (none.clone(), user(&["s1", "s3"]), false),
            (none, json!({}), true),
            (json!({"exchanges": ["demo"]}), json!({}), true),
            (json!({"exchanges": ["other"]}), json!({}), false),
            (json!({"exchanges": ["other", "demo"]}), json!({}), true),
        ],
    );
    server.put(&with(campaign("a"), json!({"targeting": {"exchanges": ["other"]}})));
    assert!(server.bid_of("other", &request()).is_some());
}

#[test]
fn flight_dates_and_status() {
    let server = server();
    let now = jiff::Timestamp::now();
    let at = |hours: i64| (now + hours.hours()).to_string();
    for (patch, bids) in [
        (json!({"starts_at": at(-1), "ends_at": at(1)}), true),
        (json!({"starts_at": at(1)}), false),
        (json!({"ends_at": at(-1)}), false),
        (json!({"starts_at": at(-2), "ends_at": at(-1)}), false),
        (json!({"status": "paused"}), false),
        (json!({"status": "active"}), true),
    ] {
        server.put(&with(campaign("a"), patch.clone()));
        assert_eq!(server.bid(&request()).is_some() || bids && !server.bid_soon(&request()).is_null(), bids, "{patch}");
    }
    // A flight begins and ends to the moment.
    let soon = |ms: i64| (jiff::Timestamp::now() + ms.milliseconds()).to_string();
    server.put(&with(campaign("a"), json!({"starts_at": soon(150), "ends_at": soon(400)})));
    assert!(server.bid(&request()).is_none());
    std::thread::sleep(std::time::Duration::from_millis(160));
    server.bid_soon(&request());
    std::thread::sleep(std::time::Duration::from_millis(250));
    assert!(server.bid(&request()).is_none());
}

#[test]
fn hours_are_those_of_the_campaigns_zone() {
    let server = server();
    for zone in ["UTC", "Asia/Kolkata", "America/New_York", "Pacific/Kiritimati"] {
        // Again when an hour began in between.
        loop {
            let hour = || {
                let local = jiff::Timestamp::now().to_zoned(TimeZone::get(zone).unwrap());
                i64::from(local.weekday().to_monday_zero_offset()) * 24 + i64::from(local.hour())
            };
            let before = hour();
            let others: Vec<i64> = (0..168).filter(|h| *h != before).collect();
            let bids = [vec![before], others].map(|hours| {
                server.put(&with(campaign("a"), json!({"time_zone": zone, "targeting": {"hours_of_week": hours}})));
                server.bid(&request()).is_some()
            });
            if hour() == before {
                assert_eq!(bids, [true, false], "{zone}");
                break;
            }
        }
    }
}
