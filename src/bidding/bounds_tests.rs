//! What one request may cost, whatever it holds: counted in looks at the clock, in walks over its lists, and in bytes.

use std::cell::Cell;
use std::sync::Arc;

use serde_json::{Value, json};

use super::catalog_tests::{LIFETIMES, NOW, accounts, compiled, cpm, exchange, shared};
use super::compiled::Compiled;
use super::live::Live;
use super::room::MAX_RESPONSE_BYTES;
use super::{BidDecision, Catalog, Reason, Scratch, Snapshot, campaign, decide};
use crate::clock::Zone;
use crate::ids::CampaignNo;
use crate::ledger::Account;
use crate::ledger::bucket::Grids;
use crate::money::{Nanos, Rate};
use crate::openrtb::list::tests::walks;
use crate::openrtb::request::parse;

const CAMPAIGNS: u32 = 3_000;

thread_local! {
    static LOOKS: Cell<u64> = const { Cell::new(0) };
}

/// A clock by which each look takes a nanosecond.
fn look() -> u64 {
    LOOKS.set(LOOKS.get() + 1);
    LOOKS.get()
}

struct World {
    snapshot: Snapshot,
    accounts: Vec<Arc<Account>>,
    scratch: Scratch,
}

impl World {
    fn of(count: u32, compiled: impl Fn(CampaignNo) -> Arc<Compiled>) -> World {
        let grids = Arc::new(Grids::new(&[LIFETIMES]));
        let accounts = accounts(grids.clone());
        let campaigns: Vec<_> = (0..count)
            .map(|no| {
                let account = accounts[no as usize % accounts.len()].clone();
                (compiled(CampaignNo(no)), Arc::new(Live::new(account, true, cpm(3))))
            })
            .collect();
        let catalog = Arc::new(Catalog::build(1, &campaigns, |_| Some(Rate::USD)));
        let snapshot = Snapshot { catalog, models: Arc::default(), shared: shared(grids) };
        World { snapshot, accounts, scratch: Scratch::new(1).with_timer(look) }
    }

    /// So many campaigns alike, with this creative and these deals.
    fn alike(count: u32, creative: &Value, deals: &[String]) -> World {
        let text = json!({
            "id": "c", "advertiser": "a", "currency": "USD", "budget": {"total": "1000000"},
            "bid": {"type": "cpm", "price": "3"}, "targeting": {"deals": deals}, "creatives": [creative],
        });
        let parsed = campaign::parse(&text.to_string()).unwrap();
        World::of(count, |no| Arc::new(Compiled::new(no, parsed.clone())))
    }

    /// The decision, and how often it looked at the clock: at most so often.
    fn decide(&mut self, request: &Value, most_looks: u64) -> (BidDecision, u64) {
        let before = LOOKS.get();
        self.scratch.end_at(before + most_looks, u64::MAX);
        let text = request.to_string();
        let decision = decide(&self.snapshot, &exchange(), &parse(text.as_bytes()).unwrap(), NOW, &mut self.scratch);
        (decision, LOOKS.get() - before)
    }

    fn available(&self) -> i64 {
        let day = Zone::utc().local_hour(NOW).day;
        let of = |account: &Arc<Account>| account.open(day).as_deref()?.as_ref().map(|open| open.available().0);
        self.accounts.iter().filter_map(of).sum()
    }
}

fn banner() -> Value {
    json!({"id": "x", "type": "banner", "w": 300, "h": 250, "adm": "x", "adomain": ["acme.com"], "attr": [7]})
}

fn imp(id: usize, banner: Value) -> Value {
    let mut imp = json!({"id": format!("{id}"), "banner": {"w": 300, "h": 250}});
    banner.as_object().into_iter().flatten().for_each(|(key, value)| imp["banner"][key] = value.clone());
    imp
}

fn request(imps: Vec<Value>) -> Value {
    json!({"id": "r", "site": {"domain": "a.example"}, "imp": imps})
}

#[test]
fn a_decision_ends_with_its_time() {
    let mut world = World::alike(CAMPAIGNS, &banner(), &[]);
    let blocked = request((0..100).map(|id| imp(id, json!({"battr": [7]}))).collect());
    let (decision, looks) = world.decide(&blocked, 10);
    assert_eq!((decision.reason, looks), (Some(Reason::InsufficientTime), 10));
    let verified = world.scratch.take_lost()[Reason::BlockedAttribute as usize];
    assert!((1_000..10_000).contains(&verified), "{verified} of 300,000");
    // What was late does not make the next one late.
    let (decision, looks) = world.decide(&request(vec![imp(0, json!({}))]), 100);
    assert!(decision.bids.len() == 1 && looks < 20, "{looks} looks");
}

#[test]
fn no_money_is_set_aside_for_a_bid_that_comes_too_late() {
    let mut world = World::alike(1, &banner(), &[]);
    let before = world.available();
    let text = request(vec![imp(0, json!({}))]).to_string();
    let request = parse(text.as_bytes()).unwrap();
    world.scratch.end_at(u64::MAX, LOOKS.get() + 1);
    let decision = decide(&world.snapshot, &exchange(), &request, NOW, &mut world.scratch);
    assert_eq!((decision.bids.len(), decision.reason), (0, Some(Reason::InsufficientTime)));
    assert_eq!(world.available(), before);
}

#[test]
fn the_deals_of_an_impression_end_with_it() {
    let names: Vec<String> = (0..200).map(|i| format!("d-{i}")).collect();
    let mut world = World::alike(CAMPAIGNS, &banner(), &names);
    let deals: Vec<Value> = names.iter().map(|id| json!({"id": id, "bidfloor": 1})).collect();
    let mut one = imp(0, json!({"battr": [7]}));
    one["pmp"] = json!({"private_auction": 1, "deals": deals});
    let (decision, looks) = world.decide(&request(vec![one]), 10);
    assert_eq!((decision.reason, looks), (Some(Reason::InsufficientTime), 10));
    assert!(world.scratch.take_lost()[Reason::BlockedAttribute as usize] < 10_000);
}

#[test]
fn what_was_found_in_time_is_bid_and_nothing_else_set_aside() {
    let mut world = World::alike(CAMPAIGNS, &banner(), &[]);
    let before = world.available();
    let open = (0..5).map(|id| imp(id, json!({})));
    let imps = open.chain((5..100).map(|id| imp(id, json!({"battr": [7]})))).collect();
    let (decision, looks) = world.decide(&request(imps), 100);
    assert_eq!((decision.reason, looks), (None, 100));
    let bids: Vec<usize> = decision.bids.iter().map(|bid| bid.imp).collect();
    assert_eq!(bids, [0, 1, 2, 3, 4]);
    let reserved: i64 = decision.bids.iter().map(|bid| bid.facts.reserved.0).sum();
    assert_eq!((reserved, before - world.available()), (5 * cpm(3).0, reserved));
}

#[test]
fn what_no_impression_changes_is_verified_once() {
    let mut world = World::alike(CAMPAIGNS, &banner(), &[]);
    let mut blocked = request((0..100).map(|id| imp(id, json!({}))).collect());
    blocked["badv"] = json!(["acme.com"]);
    let (decision, looks) = world.decide(&blocked, u64::MAX / 2);
    assert_eq!(decision.reason, Some(Reason::BlockedAdvertiser));
    assert!(looks < 30, "{looks} looks");
    // Each impression lost them all the same.
    assert_eq!(world.scratch.take_lost()[Reason::BlockedAdvertiser as usize], 100 * u64::from(CAMPAIGNS));
}

#[test]
fn equal_impressions_are_lost_for_equal_reasons() {
    let mut world = World::of(150, |no| compiled(no, no.0.wrapping_mul(0x9E37_79B9), 3));
    for (site, os, badv) in
        [("a.example", "ios", "b.example"), ("b.example", "linux", "b.example"), ("c.example", "ios", "a.example")]
    {
        let mut lost = |imps: usize| {
            let mut request = request((0..imps).map(|id| imp(id, json!({}))).collect());
            request["site"] = json!({"domain": site, "cat": ["IAB7"]});
            request["device"] = json!({"os": os, "geo": {"country": "USA", "city": "Houston"}});
            request["user"] = json!({"data": [{"segment": [{"id": "s1"}]}]});
            (request["test"], request["badv"]) = (json!(1), json!([badv]));
            let (decision, _) = world.decide(&request, u64::MAX / 2);
            (decision.bids.len(), decision.reason, world.scratch.take_lost())
        };
        let ((bids, reason, one), (all_bids, all_reason, all)) = (lost(1), lost(7));
        assert_eq!((bids * 7, reason), (all_bids, all_reason));
        assert_eq!(one.map(|count| count * 7), all);
        assert!(one.iter().filter(|count| **count > 0).count() > 3, "{one:?}");
    }
}

#[test]
fn lists_of_a_request_are_walked_once_and_not_for_each_campaign() {
    // Those of the creatives are among the low ones.
    let (low, high): (Vec<i64>, Vec<i64>) = ((2..10_000).collect(), (100..10_000).collect());
    let many = |what: &str| (0..1_000).map(|i| format!("{what}{i}")).collect::<Vec<_>>();
    let deals = ["d".to_owned()];
    let video = json!({
        "id": "v", "type": "video", "w": 640, "h": 360, "duration_s": 15, "adomain": ["acme.com"], "protocols": [2, 3],
        "attr": [7], "media": [{"url": "https://a.example/a.mp4", "mime": "video/mp4", "w": 640, "h": 360}],
    });
    let offer = |mimes: Vec<String>, battr: &[i64]| {
        let lists =
            json!({"mimes": mimes, "battr": battr, "protocols": low, "rqddurs": low, "delivery": low, "w": 1, "h": 1});
        json!({"id": "1", "video": lists})
    };
    let mut of_deal = imp(0, json!({}));
    of_deal["pmp"] = json!({"private_auction": 1, "deals": [{"id": "d", "wadomain": many("other")}]});
    let (no_mime, mut mimes) = (offer(many("video/x-"), &high), many("video/x-"));
    mimes.push("video/mp4".to_owned());
    for (creative, deals, imp, reason) in [
        (banner(), &[][..], imp(0, json!({"battr": high})), None),
        (banner(), &deals[..], of_deal, Some(Reason::Floor)),
        (video.clone(), &[][..], no_mime, Some(Reason::Creative)),
        (video.clone(), &[][..], offer(mimes.clone(), &low), Some(Reason::BlockedAttribute)),
        (video, &[][..], offer(mimes, &high), None),
    ] {
        let mut world = World::alike(500, &creative, deals);
        let mut request = request(vec![imp]);
        request["test"] = json!(1);
        let before = walks();
        let (decision, _) = world.decide(&request, u64::MAX / 2);
        assert_eq!((decision.bids.len(), decision.reason), (usize::from(reason.is_none()), reason));
        assert!(walks() - before < 20, "{} walks for {reason:?}", walks() - before);
    }
}

#[test]
fn an_answer_has_no_more_bids_than_bytes() {
    let mut creative = banner();
    // Each quote is two bytes of JSON.
    creative["adm"] = json!("\"".repeat(250_000));
    let mut world = World::alike(10, &creative, &[]);
    let before = world.available();
    let (decision, _) = world.decide(&request((0..300).map(|id| imp(id, json!({}))).collect()), u64::MAX / 2);
    let bytes: usize =
        decision.bids.iter().map(|bid| bid.campaign.creatives[usize::from(bid.creative)].fragment.bytes.len()).sum();
    assert!(decision.bids.len() == 8 && bytes < MAX_RESPONSE_BYTES, "{} bids, {bytes} bytes", decision.bids.len());
    assert_eq!(before - world.available(), decision.bids.iter().map(|bid| bid.facts.reserved).sum::<Nanos>().0);
    // Ids that are repeated count too.
    let mut world = World::alike(10, &banner(), &[]);
    let long = (0..16).map(|id| imp(id, json!({}))).map(|mut imp| {
        imp["id"] = json!(format!("{}{}", imp["id"], "i".repeat(400_000)));
        imp
    });
    assert_eq!(world.decide(&request(long.collect()), u64::MAX / 2).0.bids.len(), 10);
}
