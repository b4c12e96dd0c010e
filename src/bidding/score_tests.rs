//! What click models see of a request, and what their predictions may cost.

use std::sync::Arc;

use proptest::prelude::*;
use serde_json::{Value, json};

use super::catalog_tests::{LIFETIMES, NOW, accounts, exchange, shared};
use super::compiled::Compiled;
use super::live::Live;
use super::part::Entry;
use super::values::{Lists, Row, Seen, Shown};
use super::{Catalog, Scratch, Snapshot, campaign, decide};
use crate::clock::UnixMs;
use crate::ids::CampaignNo;
use crate::ledger::bucket::Grids;
use crate::money::{Nanos, Rate};
use crate::openrtb::request::parse;
use crate::scoring::registry::tests::linear;
use crate::scoring::{Artifact, ModelSet, Models};

fn per_click(price: &str, creatives: Value) -> Arc<Compiled> {
    let text = json!({
        "id": "c-0", "advertiser": "acme", "currency": "USD", "budget": {"total": "1000000"},
        "bid": {"type": "cpc", "price": price}, "creatives": creatives,
    });
    Arc::new(Compiled::new(CampaignNo(0), campaign::parse(&text.to_string()).unwrap()))
}

fn banner(id: &str, h: u32) -> Value {
    json!({"id": id, "type": "banner", "w": 300, "h": h, "adm": "x", "adomain": ["a.example"], "cat": ["IAB1", "IAB2"]})
}

/// A logistic model whose columns, of weight 1, are made as said.
fn logistic(bias: f64, columns: &[(&str, &str)]) -> Arc<Artifact> {
    let (mut features, mut all) = (String::new(), Vec::new());
    for (i, (source, transform)) in columns.iter().enumerate() {
        features.push_str(&format!("[[features]]\nname = \"f{i}\"\nsource = \"{source}\"\n{transform}\n"));
        all.push(format!("{{\"name\":\"f{i}\",\"weight\":1}}"));
    }
    let rest = format!("\"objective\":\"logistic\",\"bias\":{bias:?},\"columns\":[{}]", all.join(","));
    linear("ctr", "1", &rest, "probability", &features)
}

const NUMERIC: &str = "transform = \"numeric\"";

#[test]
fn columns_are_made_of_the_request_and_of_what_would_be_shown() {
    let one_of = |values: &str| format!("transform = \"in\"\nvalues = [{values}]");
    let text = json!({
        "id": "r", "at": 2, "bcat": ["IAB9", "IAB7"],
        "site": {"id": "s", "domain": "News.example", "cat": ["IAB12"], "publisher": {"id": "p"}, "content": {"language": "en"}},
        "device": {"devicetype": 4, "os": "iOS", "lmt": 1, "w": 390, "geo": {"country": "USA"}},
        "user": {"geo": {"country": "DEU"}, "data": [{"segment": [{"id": "s1"}, {"id": "s2"}]}]},
        "imp": [{"id": "1", "bidfloor": 0.25, "tagid": "top", "instl": 1, "secure": 1,
                 "banner": {"format": [{"w": 300, "h": 250}, {"w": 970, "h": 90}], "pos": 3}, "video": {"minduration": 5}}],
    })
    .to_string();
    let request = parse(text.as_bytes()).unwrap();
    // A Tuesday, 13:07 UTC.
    let now = UnixMs::parse("2026-11-24T13:07:00Z").unwrap();
    let live = Arc::new(Live::new(accounts(Arc::new(Grids::new(&[LIFETIMES])))[0].clone(), true, Nanos(400_000_000)));
    let entry = Entry::new(per_click("0.40", json!([banner("x", 250), banner("y", 600)])), live, Rate::USD);
    let columns: Vec<(&str, String, f64, f64)> = vec![
        ("exchange", one_of("\"demo\""), 1.0, 1.0),
        ("channel", one_of("\"site\""), 1.0, 1.0),
        ("at", NUMERIC.into(), 2.0, 2.0),
        ("tmax", NUMERIC.into(), f64::NAN, f64::NAN),
        ("site.domain", one_of("\"News.example\""), 1.0, 1.0),
        ("app.bundle", one_of("\"News.example\""), 0.0, 0.0),
        ("site.publisher.id", one_of("\"p\""), 1.0, 1.0),
        ("site.cat", one_of("\"IAB12\", \"IAB13\""), 1.0, 1.0),
        ("app.cat", one_of("\"IAB12\""), 0.0, 0.0),
        ("bcat", one_of("\"IAB7\""), 1.0, 1.0),
        ("content.language", one_of("\"en\""), 1.0, 1.0),
        ("device.os", one_of("\"iOS\""), 1.0, 1.0),
        ("device.geo.country", one_of("\"USA\""), 1.0, 1.0),
        ("device.devicetype", NUMERIC.into(), 4.0, 4.0),
        ("device.lmt", NUMERIC.into(), 1.0, 1.0),
        ("device.dnt", NUMERIC.into(), f64::NAN, f64::NAN),
        ("device.w", NUMERIC.into(), 390.0, 390.0),
        // Of the user only where that is allowed.
        ("user.geo.country", one_of("\"DEU\""), 1.0, 0.0),
        ("user.segments", one_of("\"s2\""), 1.0, 0.0),
        ("imp.type", one_of("\"banner\""), 1.0, 1.0),
        ("imp.tagid", one_of("\"top\""), 1.0, 1.0),
        ("imp.bidfloor", NUMERIC.into(), 0.25, 0.25),
        ("imp.instl", NUMERIC.into(), 1.0, 1.0),
        ("imp.rwdd", NUMERIC.into(), 0.0, 0.0),
        ("imp.banner.w", NUMERIC.into(), 300.0, 300.0),
        ("imp.banner.h", NUMERIC.into(), 250.0, 250.0),
        ("imp.banner.pos", NUMERIC.into(), 3.0, 3.0),
        ("imp.video.minduration", NUMERIC.into(), 5.0, 5.0),
        ("imp.audio.minduration", NUMERIC.into(), f64::NAN, f64::NAN),
        ("clock.hour", NUMERIC.into(), 13.0, 13.0),
        ("clock.day_of_week", NUMERIC.into(), 1.0, 1.0),
        ("clock.hour_of_week", NUMERIC.into(), 37.0, 37.0),
        ("clock.minute", NUMERIC.into(), 7.0, 7.0),
        ("campaign.id", one_of("\"c-0\""), 1.0, 1.0),
        ("campaign.advertiser", one_of("\"acme\""), 1.0, 1.0),
        ("campaign.price", NUMERIC.into(), 0.4, 0.4),
        ("creative.type", one_of("\"banner\""), 1.0, 1.0),
        ("creative.adomain", one_of("\"a.example\""), 1.0, 1.0),
        ("creative.cat", one_of("\"IAB2\""), 1.0, 1.0),
        ("creative.duration", NUMERIC.into(), f64::NAN, f64::NAN),
        // The second creative's own.
        ("creative.id", one_of("\"y\""), 1.0, 1.0),
        ("creative.h", NUMERIC.into(), 600.0, 600.0),
    ];
    let made: Vec<(&str, &str)> = columns.iter().map(|(source, transform, ..)| (*source, transform.as_str())).collect();
    let artifact = logistic(0.0, &made);
    for personal in [true, false] {
        let imp = &request.imp[0];
        let seen = Seen { exchange: "demo", request: &request, imp, markup: None, personal, now };
        let lists = Lists::of(&artifact.features, &seen);
        let lists = lists.borrowed();
        let mut maker = Row::new(&artifact.features, &seen, &lists);
        let mut row = vec![-1.0; artifact.features.len()];
        maker.fill_shared(&mut row);
        for compiled in &entry.compiled.creatives {
            maker.fill_varying(&Shown { entry: &entry, creative: &compiled.creative }, &mut row);
        }
        for ((source, _, user, nobody), value) in columns.iter().zip(&row) {
            let expected = if personal { user } else { nobody };
            assert!(value == expected || value.is_nan() && expected.is_nan(), "{source}: {value}, not {expected}");
        }
    }
}

#[test]
fn the_creative_that_is_worth_most_is_shown_and_equal_ones_take_turns() {
    let grids = Arc::new(Grids::new(&[LIFETIMES]));
    let live = Arc::new(Live::new(accounts(grids.clone())[0].clone(), true, Nanos(400_000_000)));
    let request = json!({
        "id": "r", "test": 1, "site": {"domain": "a.example"},
        "imp": [{"id": "1", "banner": {"format": [{"w": 300, "h": 250}, {"w": 300, "h": 600}]}}],
    });
    let shown = |source: &str| {
        let compiled = per_click("0.40", json!([banner("x", 250), banner("y", 600), banner("z", 250)]));
        let catalog = Catalog::build(1, &[(compiled, live.clone())], |_| Some(Rate::USD));
        let active = logistic(-3.0, &[(source, "transform = \"numeric\"\nscale = 0.001")]);
        let ctr = ModelSet { active: Some(active), ..ModelSet::default() };
        let models = Arc::new(Models::default().with("ctr", ctr));
        let snapshot = Snapshot { catalog: Arc::new(catalog), models, shared: shared(grids.clone()) };
        let (mut scratch, mut shown) = (Scratch::new(1), [0; 3]);
        for _ in 0..600 {
            let text = request.to_string();
            let decision = decide(&snapshot, &exchange(), &parse(text.as_bytes()).unwrap(), NOW, &mut scratch);
            shown[usize::from(decision.bids[0].creative)] += 1;
        }
        shown
    };
    assert_eq!(shown("creative.h"), [0, 600, 0]);
    assert!(shown("imp.banner.w").iter().all(|times| (150..250).contains(times)));
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, failure_persistence: None, ..ProptestConfig::default() })]

    /// Whatever a model predicts and a click costs, what is set aside is the bid, and never more than was leased.
    #[test]
    fn a_click_priced_bid_is_within_its_lease(
        bias in -12.0..12.0f64,
        click in 1..100_000_000_000_000i64,
        multiplier in prop_oneof![Just(1.0), 0.01..4_000.0f64],
    ) {
        let grids = Arc::new(Grids::new(&[LIFETIMES]));
        let account = accounts(grids.clone())[0].clone();
        let live = Arc::new(Live::new(account.clone(), true, Nanos(click)));
        let catalog = Catalog::build(1, &[(per_click("1.00", json!([banner("x", 250)])), live)], |_| Some(Rate::USD));
        let active = logistic(bias, &[("device.w", NUMERIC)]);
        let ctr = ModelSet { active: Some(active), ..ModelSet::default() };
        let models = Arc::new(Models::default().with("ctr", ctr.clone()));
        let snapshot = Snapshot { catalog: Arc::new(catalog), models, shared: shared(grids) };
        let text = json!({
            "id": "r", "site": {"domain": "a.example"},
            "imp": [{"id": "1", "banner": {"w": 300, "h": 250}, "qty": {"multiplier": multiplier}}], "device": {"w": 0},
        })
        .to_string();
        let request = parse(text.as_bytes()).unwrap();
        let available = || {
            let day = crate::clock::Zone::utc().local_hour(NOW).day;
            account.open(day).as_deref().and_then(|open| open.as_ref()).map_or(0, |open| open.available().0)
        };
        let mut scratch = Scratch::new(7);
        for _ in 0..40 {
            let before = available();
            let decision = decide(&snapshot, &exchange(), &request, NOW, &mut scratch);
            let Some(bid) = decision.bids.first() else { break };
            prop_assert!(bid.facts.price.0 > 0 && bid.facts.price.0 <= click);
            prop_assert_eq!(bid.facts.model, ctr.active.as_ref().unwrap().id);
            prop_assert_eq!(bid.facts.reserved, bid.facts.price.times(bid.facts.quantity));
            prop_assert_eq!(available(), before - bid.facts.reserved.0);
            prop_assert!(available() >= 0);
        }
    }
}
