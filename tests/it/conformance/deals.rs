//! Lines 26 and 27: deals and private auctions.

use serde_json::{Value, json};

use super::Check;
use super::target::{Target, text};
use crate::make::{nanos, with_imp};

fn asked(t: &Target, pmp: Value) -> Value {
    with_imp(t.request(), json!({"pmp": pmp}))
}

/// Campaigns for deals; `None` is an open one.
fn put(t: &Target, campaigns: &[(&str, &str, Option<&[&str]>)]) -> Check {
    for (name, price, deals) in campaigns {
        let mut campaign = t.campaign(name, json!({"bid": {"price": price}}));
        if let Some(deals) = deals {
            campaign["targeting"]["deals"] = json!(deals);
        }
        t.put(&campaign)?;
    }
    Ok(())
}

/// (cid without the run, dealid) of each bid, sorted.
fn seen(t: &Target, bids: &[Value]) -> Vec<(String, Option<String>)> {
    let name = |bid: &Value| bid["cid"].as_str().and_then(|c| Some(c.strip_prefix(&t.run)?[1..].to_owned()));
    let mut all: Vec<_> =
        bids.iter().map(|bid| (name(bid).unwrap_or_default(), bid["dealid"].as_str().map(str::to_owned))).collect();
    all.sort();
    all
}

/// Section 3.2.12.
pub fn deal_terms(t: &Target) -> Check {
    put(t, &[("dealt", "5.00", Some(&["d1", "d2"])), ("open", "4.00", None)])?;
    let any = asked(t, json!({"deals": [{"id": "d1"}]}));
    t.bid(&any)?;
    let dealt = |deals: Value| -> Result<Vec<Value>, String> {
        let mut bids = t.ours(&asked(t, json!({"deals": deals})))?;
        bids.retain(|bid| bid["cid"] == t.id("dealt"));
        Ok(bids)
    };
    let own = t.own().is_some();
    for (deals, wanted) in [
        (json!([{"id": "d1"}]), true),
        (json!([{"id": "d1", "bidfloor": 5.0}]), true),
        (json!([{"id": "d1", "bidfloor": 5.000001}]), false),
        (json!([{"id": "d1", "bidfloor": 4.6, "bidfloorcur": "EUR"}]), own),
        (json!([{"id": "d1", "bidfloor": 4.7, "bidfloorcur": "EUR"}]), false),
        (json!([{"id": "d1", "bidfloor": 0.1, "bidfloorcur": "XXX"}]), false),
        (json!([{"id": "D1"}, {"id": "d3"}]), false),
        (json!([{"id": "d1", "wseat": ["another"]}]), false),
        (json!([{"id": "d1", "wseat": ["another", "gavel"]}]), true),
        (json!([{"id": "d1", "wadomain": ["other.example"]}]), false),
        (json!([{"id": "d1", "wadomain": ["other.example", "acme.example"]}]), true),
        (json!([{"id": "d1", "wadomain": ["ACME.example"]}]), true),
        (json!([]), false),
    ] {
        let bids = dealt(deals.clone())?;
        ensure!(bids.is_empty() != wanted, "{deals}: {bids:?}");
        for bid in &bids {
            ensure!(text(bid, "dealid")? == "d1", "{deals}: {bid}");
        }
    }
    // The deal's floor counts, not the impression's, even where that is higher.
    let high = with_imp(asked(t, json!({"deals": [{"id": "d2", "bidfloor": 2.0}]})), json!({"bidfloor": 50}));
    let bids = t.ours(&high)?;
    ensure!(seen(t, &bids) == [("dealt".to_owned(), Some("d2".to_owned()))], "above the open floor: {bids:?}");
    // A fixed price is what is paid: the bid says no less.
    let fixed = dealt(json!([{"id": "d1", "at": 3, "bidfloor": 3.0}]))?;
    let price = fixed.first().and_then(|bid| bid["price"].as_f64());
    ensure!(price == Some(3.0), "for a fixed price of 3.00 the bid is {price:?}");
    Ok(())
}

/// Implementation notes 7.3: at least one bid for each matching deal, and the best for the open market.
pub fn deals_and_open_bids(t: &Target) -> Check {
    put(
        t,
        &[
            ("a", "5.00", Some(&["d1"])),
            ("b", "4.00", Some(&["d2", "d3"])),
            ("weak", "0.50", Some(&["d1"])),
            ("open", "6.00", None),
            ("low", "3.00", None),
        ],
    )?;
    for name in ["a", "b", "open"] {
        let ready = match name {
            "open" => t.request(),
            "a" => asked(t, json!({"private_auction": 1, "deals": [{"id": "d1"}]})),
            _ => asked(t, json!({"private_auction": 1, "deals": [{"id": "d2"}]})),
        };
        t.bid(&ready)?;
    }
    let deals = json!([{"id": "d1", "bidfloor": 1}, {"id": "d2", "bidfloor": 1}, {"id": "d3"}, {"id": "d9"}]);
    let of = |name: &str, deal: Option<&str>| (name.to_owned(), deal.map(str::to_owned));
    let reserved = |name: &str| -> Result<i64, String> { t.account(name).map(|a| a.reserved) };
    let before = [reserved("a")?, reserved("b")?, reserved("open")?];
    let bids = t.ours(&asked(t, json!({"private_auction": 0, "deals": deals})))?;
    let all = seen(t, &bids);
    for wanted in [of("a", Some("d1")), of("b", Some("d2")), of("b", Some("d3")), of("open", None)] {
        ensure!(all.contains(&wanted), "no {wanted:?} in {all:?}");
    }
    ensure!(!all.contains(&of("weak", Some("d1"))), "below the deal's floor: {all:?}");
    // Each bid's money is set aside: any of them may win.
    for ((name, before), price) in ["a", "b", "open"].iter().zip(before).zip(["5.00", "4.00", "6.00"]) {
        let count = all.iter().filter(|(cid, _)| cid == name).count() as i64;
        let taken = reserved(name)? - before;
        ensure!(taken == count * nanos(price) / 1_000, "{count} bids of {name} set {taken} aside");
    }
    // Each has its own id and token, and each can be billed.
    let mut ids: Vec<_> = bids.iter().map(|bid| bid["id"].as_str().unwrap_or_default()).collect();
    ids.sort_unstable();
    ids.dedup();
    ensure!(ids.len() == bids.len(), "bids share an id: {bids:?}");
    let private = t.ours(&asked(t, json!({"private_auction": 1, "deals": deals})))?;
    let all = seen(t, &private);
    ensure!(all.iter().all(|(_, deal)| deal.is_some()), "an open bid in a private auction: {all:?}");
    for wanted in [of("a", Some("d1")), of("b", Some("d2")), of("b", Some("d3"))] {
        ensure!(all.contains(&wanted), "no {wanted:?} in private {all:?}");
    }
    for none in [json!([]), json!([{"id": "d9"}]), json!([{"id": "d1", "bidfloor": 99}])] {
        t.no_bid(&asked(t, json!({"private_auction": 1, "deals": none})))?;
    }
    // One deal named twice is one deal.
    let twice = t.ours(&asked(t, json!({"private_auction": 1, "deals": [{"id": "d1"}, {"id": "d1"}]})))?;
    ensure!(twice.len() == 1, "a deal named twice: {twice:?}");
    // However many deals there are, the open market gets its bid.
    let many: Vec<String> = (0..100).map(|i| format!("m{i}")).collect();
    let many: Vec<&str> = many.iter().map(String::as_str).collect();
    put(t, &[("many", "2.00", Some(&many))])?;
    t.bid(&asked(t, json!({"private_auction": 1, "deals": [{"id": "m0"}]})))?;
    let all: Vec<Value> = many.iter().map(|id| json!({"id": id})).collect();
    let bids = seen(t, &t.ours(&asked(t, json!({"deals": all})))?);
    ensure!(bids.contains(&of("open", None)), "no open bid beside {} for deals", bids.len());
    // With no deal of ours, and with none at all, there are the open bids: as many as the exchange wants.
    for asked in [asked(t, json!({"deals": [{"id": "d9"}]})), t.request()] {
        let open = seen(t, &t.ours(&asked)?);
        let low = of("low", None);
        ensure!(open.contains(&of("open", None)), "the best open bid is not in {open:?}");
        ensure!(open.iter().all(|(_, deal)| deal.is_none()), "{open:?}");
        ensure!(t.own().is_none() || open.contains(&low), "the second best open bid is not in {open:?}");
    }
    Ok(())
}
