//! Lines 40 and 41: tests, privacy signals, and where OpenRTB 2.5 has its fields.

use serde_json::{Value, json};

use super::Check;
use super::target::{Target, text};
use crate::make::{substitute, with};

/// On `s1`'s users only.
fn put_personal(t: &Target) -> Check {
    t.put(&t.campaign("personal", json!({"targeting": {"segments": {"any": ["s1"]}}})))?;
    let cap = json!([{"impressions": 60, "per_seconds": 60}]);
    t.put(&t.campaign("capped", json!({"bid": {"price": "8.00"}, "frequency_caps": cap})))?;
    t.put(&t.campaign("open", json!({"bid": {"price": "7.00"}})))
}

fn known_user(t: &Target) -> Value {
    let user = json!({"id": "u-1", "buyeruid": "b-1", "yob": 1984,
        "data": [{"id": "dp", "segment": [{"id": "s0"}, {"id": "s1"}]}]});
    let device = json!({"ifa": "6d92078a-8246-4ba4-ae5b-76104861e7dc", "ip": "198.51.100.7", "devicetype": 4});
    with(t.request(), json!({"user": user, "device": device}))
}

/// The campaign that bids.
fn winner(t: &Target, asked: &Value) -> Result<String, String> {
    Ok(text(&t.bid(asked)?, "cid")?.to_owned())
}

/// Signals under which no user data is used.
fn signals() -> Vec<Value> {
    vec![
        json!({"regs": {"coppa": 1}}),
        json!({"regs": {"gdpr": 1}}),
        json!({"regs": {"gdpr": 1}, "user": {"consent": ""}}),
        json!({"regs": {"gdpr": 1}, "user": {"consent": "not a consent string"}}),
        json!({"regs": {"ext": {"gdpr": 1}}}),
        json!({"regs": {"us_privacy": "1YYN"}}),
        json!({"regs": {"us_privacy": "1YYY"}}),
        json!({"regs": {"us_privacy": "nonsense"}}),
        json!({"regs": {"ext": {"us_privacy": "1NYN"}}}),
        // Section 7, US national: notices given, opted out of sale, sharing and targeting.
        json!({"regs": {"gpp": "DBABLA~BVQVQAAAAABA.QA", "gpp_sid": [7]}}),
        json!({"regs": {"gpp": "nonsense", "gpp_sid": [2]}}),
        json!({"regs": {"ext": {"gpp": "nonsense", "gpp_sid": [7]}}}),
        json!({"regs": {"ext": {"gpc": "1"}}}),
        json!({"device": {"lmt": 1}}),
        json!({"device": {"dnt": 1}}),
    ]
}

/// Sections 3.2.1, 3.2.3, 3.2.18 and 7.5.
pub fn test_and_privacy(t: &Target) -> Check {
    put_personal(t)?;
    let known = known_user(t);
    let started = std::time::Instant::now();
    while winner(t, &known)? != t.id("personal") {
        ensure!(started.elapsed().as_secs() < 5, "no personal bid where nothing forbids it");
    }
    // Who cannot be told is not capped either, so only the open campaign is left.
    t.bid(&t.request())?;
    for signal in signals() {
        let found = winner(t, &with(known.clone(), signal.clone()))?;
        ensure!(found == t.id("open"), "{signal}: {found} bids");
    }
    for fine in
        [json!({"regs": {"coppa": 0, "gdpr": 0, "us_privacy": "1YNN"}}), json!({"device": {"lmt": 0, "dnt": 0}})]
    {
        let found = winner(t, &with(known.clone(), fine.clone()))?;
        ensure!(found == t.id("personal"), "{fine}: {found} bids");
    }
    let before = t.account("personal")?;
    for price in ["8.00", "9.00", "100"] {
        let bid = t.bid(&with(known.clone(), json!({"test": 1})))?;
        ensure!(bid["cid"] == t.id("personal"), "{bid}");
        for which in ["nurl", "burl", "burl", "lurl"] {
            let values = [("AUCTION_PRICE", price), ("AUCTION_CURRENCY", "USD"), ("AUCTION_LOSS", "102")];
            t.notice(&substitute(text(&bid, which)?, &values))?;
        }
    }
    let after = t.account("personal")?;
    let same = (after.spent, after.reserved, after.billed) == (before.spent, before.reserved, before.billed);
    ensure!(same, "a test spends: {before:?} became {after:?}");
    Ok(())
}

/// Section 3.2: what 2.6 made fields, 2.5 has in `ext`.
pub fn old_places(t: &Target) -> Check {
    put_personal(t)?;
    let known = known_user(t);
    t.bid(&known)?;
    let started = std::time::Instant::now();
    while winner(t, &known)? != t.id("personal") {
        ensure!(started.elapsed().as_secs() < 5, "no personal bid where nothing forbids it");
    }
    let chain = |complete: i64| {
        let node = json!({"asi": "exchange.example", "sid": "1", "hp": 1});
        json!({"ver": "1.0", "complete": complete, "nodes": [node]})
    };
    let eids = json!([{"source": "id.example", "uids": [{"id": "u-2", "atype": 1}]}]);
    for (new, old) in [
        (json!({"regs": {"gdpr": 1}}), json!({"regs": {"ext": {"gdpr": 1}}})),
        (json!({"regs": {"gdpr": 0}}), json!({"regs": {"ext": {"gdpr": 0}}})),
        (json!({"regs": {"us_privacy": "1YYN"}}), json!({"regs": {"ext": {"us_privacy": "1YYN"}}})),
        (json!({"regs": {"us_privacy": "1YNN"}}), json!({"regs": {"ext": {"us_privacy": "1YNN"}}})),
        // Empty is absent.
        (json!({"regs": {"us_privacy": "1YYN"}}), json!({"regs": {"us_privacy": "", "ext": {"us_privacy": "1YYN"}}})),
        (
            json!({"regs": {"gdpr": 1}, "user": {"consent": "x"}}),
            json!({"regs": {"ext": {"gdpr": 1}}, "user": {"ext": {"consent": "x"}}}),
        ),
        (json!({"regs": {"gpp": "x", "gpp_sid": [7]}}), json!({"regs": {"ext": {"gpp": "x", "gpp_sid": [7]}}})),
        (json!({"source": {"schain": chain(1)}}), json!({"source": {"ext": {"schain": chain(1)}}})),
        (json!({"source": {"schain": chain(0)}}), json!({"source": {"ext": {"schain": chain(0)}}})),
        (json!({"user": {"eids": eids}}), json!({"user": {"ext": {"eids": eids}}})),
    ] {
        let found = [&new, &old].map(|place| winner(t, &with(known.clone(), place.clone())));
        let [new_bid, old_bid] = found;
        let (new_bid, old_bid) = (new_bid?, old_bid?);
        ensure!(new_bid == old_bid, "{new} is {new_bid}, {old} is {old_bid}");
        let forbids =
            new.to_string().contains("\"gdpr\":1") || new.to_string().contains("YYN") || new["regs"]["gpp"].is_string();
        ensure!(new_bid == t.id(if forbids { "open" } else { "personal" }), "{new} is {new_bid}");
    }
    // A chain that nothing is bought from, where the configuration names one.
    let node = json!({"asi": "blocked.example", "sid": "1", "hp": 1});
    let blocked = json!({"ver": "1.0", "complete": 1, "nodes": [node]});
    for place in [json!({"source": {"schain": blocked}}), json!({"source": {"ext": {"schain": blocked}}})] {
        ensure!(t.own().is_none() || t.ours(&with(known.clone(), place.clone()))?.is_empty(), "{place} is bid for");
    }
    // Where both are there, the 2.6 one counts.
    let both = with(known, json!({"regs": {"gdpr": 0, "ext": {"gdpr": 1}}}));
    ensure!(winner(t, &both)? == t.id("personal"), "the 2.5 place beats the 2.6 one");
    Ok(())
}
