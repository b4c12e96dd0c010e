//! Lines 33, 43 and 44: video and audio, screens out of home, pods.

use serde_json::{Value, json};

use super::Check;
use super::target::{Target, text};
use crate::make::{with, with_imp};

fn imp(t: &Target, patch: Value) -> Value {
    with(t.request(), json!({"imp": [with(json!({"id": "1"}), patch)]}))
}

fn video(t: &Target, patch: Value) -> Value {
    let offered =
        json!({"mimes": ["video/mp4", "video/webm"], "minduration": 5, "maxduration": 30, "w": 640, "h": 360});
    imp(t, json!({"video": with(offered, patch)}))
}

/// A video of 15 seconds in three files.
fn files() -> Value {
    json!({"id": "files", "type": "video", "w": 1280, "h": 720, "duration_s": 15, "adomain": ["acme.example"],
        "landing_url": "https://acme.example/?a=1&b=2", "protocols": [2, 3, 7], "media": [
            {"url": "https://cdn.acme.example/720.mp4?a=1&b=2", "mime": "video/mp4", "bitrate_kbps": 2500},
            {"url": "https://cdn.acme.example/360.mp4", "mime": "video/mp4", "w": 640, "h": 360, "bitrate_kbps": 800},
            {"url": "https://cdn.acme.example/360.webm", "mime": "video/webm", "w": 640, "h": 360, "bitrate_kbps": 700}]})
}

/// Attribute `name` of each `<element`.
fn attributes<'v>(vast: &'v str, element: &str, name: &str) -> Vec<&'v str> {
    let open = format!("<{element} ");
    let tags = vast.split(open.as_str()).skip(1).filter_map(|rest| rest.split('>').next());
    let name = format!("{name}=\"");
    tags.filter_map(|tag| tag.split(name.as_str()).nth(1)?.split('"').next()).collect()
}

/// Well enough for a player: tags are closed in order, `&` is escaped.
fn is_xml(xml: &str) -> Check {
    let mut open = Vec::new();
    for piece in xml.split('<').skip(1) {
        let (tag, rest) = piece.split_once('>').ok_or_else(|| format!("an open tag in {xml}"))?;
        if let Some(closed) = tag.strip_prefix('/') {
            ensure!(open.pop() == Some(closed), "{closed} is closed out of order in {xml}");
        } else if !tag.ends_with('/') && !tag.starts_with(['!', '?']) {
            open.push(tag.split(' ').next().unwrap_or_default());
        }
        let escaped =
            |text: &str| text.split('&').skip(1).all(|t| t.split_once(';').is_some_and(|(e, _)| e.len() <= 5));
        ensure!(escaped(rest) && escaped(tag), "an & that is not escaped in {xml}");
    }
    ensure!(open.is_empty(), "{open:?} is not closed in {xml}");
    Ok(())
}

/// Sections 3.2.7 and 3.2.8.
pub fn vast(t: &Target) -> Check {
    t.put(&t.campaign("files", json!({"creatives": [files()]})))?;
    t.bid(&video(t, json!({})))?;
    let (big, small, webm) = ("720.mp4?a=1&amp;b=2", "360.mp4", "360.webm");
    for (patch, wanted, version) in [
        (json!({}), Some(&[big, small, webm][..]), None),
        (json!({"mimes": ["video/webm"]}), Some(&[webm]), None),
        (json!({"mimes": ["video/ogg"]}), None, None),
        (json!({"maxbitrate": 1_000}), Some(&[small, webm]), None),
        (json!({"minbitrate": 1_000}), Some(&[big]), None),
        (json!({"minbitrate": 750, "maxbitrate": 900}), Some(&[small]), None),
        (json!({"minbitrate": 3_000}), None, None),
        (json!({"protocols": [2]}), Some(&[big, small, webm]), Some("2.0")),
        (json!({"protocols": [3, 6]}), Some(&[big, small, webm]), Some("3.0")),
        (json!({"protocols": [7]}), Some(&[big, small, webm]), Some("4.0")),
        (json!({"protocols": [5, 6, 8, 13]}), None, None),
        (json!({"minduration": 15, "maxduration": 15}), Some(&[big, small, webm]), None),
        (json!({"maxduration": 14}), None, None),
        (json!({"minduration": 16}), None, None),
        (json!({"rqddurs": [10, 15]}), Some(&[big, small, webm]), None),
        (json!({"rqddurs": [10, 30]}), None, None),
        (json!({"linearity": 2}), None, None),
        (json!({"delivery": [1]}), None, None),
        (json!({"delivery": [2, 3]}), Some(&[big, small, webm]), None),
    ] {
        let bids = t.ours(&video(t, patch.clone()))?;
        let Some(wanted) = wanted else {
            ensure!(bids.is_empty(), "{patch}: {bids:?}");
            continue;
        };
        let bid = bids.first().ok_or_else(|| format!("no bid for {patch}"))?;
        let adm = text(bid, "adm")?;
        is_xml(adm)?;
        for file in [big, small, webm] {
            let there = adm.contains(&format!("https://cdn.acme.example/{file}<"));
            ensure!(there == wanted.contains(&file), "{patch}: {file} in {adm}");
        }
        let types = attributes(adm, "MediaFile", "type");
        ensure!(types.len() == wanted.len(), "{patch}: {types:?}");
        ensure!(adm.contains("<Duration>00:00:15</Duration>") && bid["dur"] == 15, "{patch}: {adm}");
        ensure!(adm.contains("https://acme.example/?a=1&amp;b=2"), "no landing page in {adm}");
        if let Some(version) = version {
            ensure!(attributes(adm, "VAST", "version") == [version], "{patch}: {adm}");
        }
        let told = bid["protocol"].as_i64().unwrap_or(0);
        let versions = ["2.0", "3.0", "4.0"].map(|v| adm.contains(&format!("<VAST version=\"{v}\"")));
        ensure!([2, 3, 7].map(|p| p == told) == versions, "protocol {told} for {adm}");
    }
    // The file that fits the player best comes first.
    for (w, h, first) in [(640, 360, 640), (1280, 720, 1280), (1920, 1080, 1280), (400, 300, 640)] {
        let bid = t.bid(&video(t, json!({"w": w, "h": h, "mimes": ["video/mp4"]})))?;
        let widths = attributes(text(&bid, "adm")?, "MediaFile", "width").join(" ");
        ensure!(widths.starts_with(&first.to_string()), "for {w}x{h}: {widths}");
    }
    wrapped_and_heard(t)
}

fn wrapped_and_heard(t: &Target) -> Check {
    let wrapper = json!({"id": "tag", "type": "video", "w": 640, "h": 360, "duration_s": 20, "adomain": ["acme.example"],
        "vast_url": "https://ads.acme.example/vast?x=1&y=2", "protocols": [5, 6]});
    t.put(&t.campaign("tag", json!({"creatives": [wrapper], "bid": {"price": "10.00"}})))?;
    for (protocols, version) in [(json!([5]), "2.0"), (json!([3, 6]), "3.0")] {
        let bid = t.bid(&video(t, json!({"minduration": 20, "protocols": protocols})))?;
        let adm = text(&bid, "adm")?;
        is_xml(adm)?;
        ensure!(attributes(adm, "VAST", "version") == [version], "{adm}");
        ensure!(adm.contains("<Wrapper>") && !adm.contains("<MediaFile"), "{adm}");
        ensure!(adm.contains("<VASTAdTagURI>https://ads.acme.example/vast?x=1&amp;y=2</VASTAdTagURI>"), "{adm}");
        ensure!(bid["dur"] == 20, "{bid}");
    }
    t.no_bid(&video(t, json!({"minduration": 20, "protocols": [2, 3]})))?;
    let audio = json!({"id": "s", "type": "audio", "duration_s": 20, "adomain": ["acme.example"], "media": [
        {"url": "https://cdn.acme.example/s.mp3", "mime": "audio/mpeg", "bitrate_kbps": 128},
        {"url": "https://cdn.acme.example/s.ogg", "mime": "audio/ogg", "bitrate_kbps": 96}]});
    t.put(&t.campaign("heard", json!({"creatives": [audio]})))?;
    let heard = |patch: Value| imp(t, json!({"audio": with(json!({"mimes": ["audio/mpeg"]}), patch)}));
    let bid = t.bid(&heard(json!({})))?;
    let adm = text(&bid, "adm")?;
    is_xml(adm)?;
    ensure!(bid["mtype"] == 3 && bid["dur"] == 20 && bid.get("w").is_none(), "{bid}");
    ensure!(attributes(adm, "MediaFile", "type") == ["audio/mpeg"], "{adm}");
    for (patch, bids) in [
        (json!({"mimes": ["audio/aac"]}), false),
        (json!({"maxduration": 19}), false),
        (json!({"maxbitrate": 100}), false),
        (json!({"maxbitrate": 100, "mimes": ["audio/ogg", "audio/mpeg"]}), true),
    ] {
        ensure!(t.ours(&heard(patch.clone()))?.is_empty() != bids, "audio of {patch}");
    }
    Ok(())
}

/// Sections 3.2.30 and 3.2.31.
pub fn out_of_home(t: &Target) -> Check {
    t.put_one(json!({}))?;
    t.bid(&t.request())?;
    let screen = |qty: Value| {
        let place = json!({"site": null, "dooh": {"id": "d", "domain": t.run, "venuetype": ["1"]}, "device": {"devicetype": 8}});
        with_imp(with(t.request(), place), json!({"qty": qty}))
    };
    let price = 9_000_000;
    for (multiplier, nanos) in [(json!(1), price), (json!(14.2), price * 142 / 10), (json!(0.5), price / 2)] {
        let before = t.account("a")?.reserved;
        let bid = t.bid(&screen(json!({"multiplier": multiplier, "sourcetype": 1, "vendor": "v"})))?;
        ensure!(bid["price"].as_f64() == Some(9.0), "the price of one impression is {}", bid["price"]);
        let taken = t.account("a")?.reserved - before;
        ensure!(taken == nanos, "{multiplier} impressions set {taken} aside");
        let burl = text(&bid, "burl")?;
        ensure!(burl.contains("${AUCTION_MULTIPLIER}") == (multiplier != 1), "{burl}");
        let spent = t.account("a")?.spent;
        let filled = burl.replace("${AUCTION_MULTIPLIER}", &multiplier.to_string());
        t.notice(&filled.replace("${AUCTION_PRICE}", "9.00").replace("${AUCTION_CURRENCY}", "USD"))?;
        let spent = t.account("a")?.spent - spent;
        ensure!(spent == nanos, "{multiplier} impressions are billed as {spent}");
    }
    for odd in [json!(0), json!(-1), json!(1e12)] {
        t.no_bid(&screen(json!({"multiplier": odd})))?;
    }
    t.bid(&screen(json!(null))).map(drop)
}

/// The bids of a pod: (campaign, seconds, price).
fn pod(t: &Target, asked: &Value) -> Result<Vec<(String, i64, f64)>, String> {
    let bids = t.ours(asked)?.into_iter().map(|bid| {
        let campaign = text(&bid, "cid")?.to_owned();
        let seconds = bid["dur"].as_i64().ok_or_else(|| format!("no dur in {bid}"))?;
        Ok((campaign, seconds, bid["price"].as_f64().unwrap_or(0.0)))
    });
    bids.collect()
}

/// Sections 3.2.7 and 7.6.
pub fn pods(t: &Target) -> Check {
    for (name, seconds, price) in
        [("p6", 6, "4.00"), ("p15", 15, "9.00"), ("q15", 15, "8.00"), ("p30", 30, "12.00"), ("p60", 60, "20.00")]
    {
        let spot = with(files(), json!({"id": name, "duration_s": seconds}));
        t.put(&t.campaign(name, json!({"creatives": [spot], "bid": {"price": price}})))?;
        t.bid(&video(t, json!({"minduration": seconds, "maxduration": seconds, "rqddurs": null})))?;
    }
    let dynamic = |patch: Value| {
        let pod =
            json!({"podid": "pod-1", "podseq": 1, "poddur": 60, "maxseq": 4, "minduration": 5, "maxduration": 30});
        video(t, with(pod, patch))
    };
    for (patch, least, most_s, most) in [
        (json!({}), 3, 60, 4),
        (json!({"maxseq": 2}), 2, 60, 2),
        (json!({"maxseq": 1}), 1, 60, 1),
        (json!({"poddur": 30}), 1, 30, 4),
        (json!({"poddur": 21, "maxduration": 15}), 2, 21, 4),
        (json!({"maxseq": null}), 3, 60, 99),
        (json!({"maxduration": null, "minduration": null, "rqddurs": [15, 30]}), 3, 60, 4),
    ] {
        let bids = pod(t, &dynamic(patch.clone()))?;
        let seconds: i64 = bids.iter().map(|(_, s, _)| s).sum();
        ensure!(bids.len() >= least && bids.len() <= most && seconds <= most_s, "{patch}: {bids:?}");
        let mut campaigns: Vec<&str> = bids.iter().map(|(c, ..)| c.as_str()).collect();
        campaigns.sort_unstable();
        campaigns.dedup();
        ensure!(campaigns.len() == bids.len(), "{patch}: one ad twice in a pod: {bids:?}");
        if patch["rqddurs"].is_array() {
            ensure!(bids.iter().all(|(_, s, _)| [15, 30].contains(s)), "{patch}: {bids:?}");
        } else {
            ensure!(bids.iter().all(|(_, s, _)| (5..=30).contains(s)), "{patch}: {bids:?}");
        }
    }
    t.no_bid(&dynamic(json!({"poddur": 5})))?;
    // The floor of a bid in a dynamic pod is by its seconds; bidfloor does not count then.
    for (floor, wanted) in [(0.5, &["p15", "q15", "p6"][..]), (0.55, &["p15", "p6"]), (0.61, &["p6"]), (0.7, &[])] {
        let asked = with_imp(dynamic(json!({"mincpmpersec": floor, "poddur": 120})), json!({"bidfloor": 15}));
        let bids = pod(t, &asked)?;
        let mut names: Vec<String> = bids.iter().map(|(c, ..)| c.clone()).collect();
        names.sort_unstable();
        let mut wanted: Vec<String> = wanted.iter().map(|name| t.id(name)).collect();
        wanted.sort_unstable();
        ensure!(names == wanted, "at {floor} a second: {bids:?}");
    }
    // Or by how long it is (section 3.2.35): what lies outside of all durations has bidfloor. `mincpmpersec` comes first.
    let by_duration = json!([{"maxdur": 14, "bidfloor": 5}, {"mindur": 15, "maxdur": 29, "bidfloor": 8.5}]);
    for (floor, bidfloor, wanted) in [(0.0, 12, &["p15", "p30"][..]), (0.0, 13, &["p15"]), (0.61, 1, &["p6"])] {
        let asked = dynamic(json!({"durfloors": by_duration, "mincpmpersec": floor, "poddur": 120}));
        let bids = pod(t, &with_imp(asked, json!({"bidfloor": bidfloor})))?;
        let mut names: Vec<String> = bids.iter().map(|(c, ..)| c.clone()).collect();
        names.sort_unstable();
        let wanted: Vec<String> = wanted.iter().map(|name| t.id(name)).collect();
        ensure!(names == wanted, "with floors by duration: {bids:?}");
    }
    // Without either bidfloor counts.
    let bids = pod(t, &with_imp(dynamic(json!({})), json!({"bidfloor": 10})))?;
    ensure!(bids.len() == 1 && bids[0].0 == t.id("p30"), "above a floor of 10: {bids:?}");
    // A campaign is shown once in a pod, but for its deals: each gets its bid.
    let spot = with(files(), json!({"id": "dealt", "duration_s": 10}));
    t.put(&t.campaign(
        "dealt",
        json!({"creatives": [spot], "bid": {"price": "7.00"}, "targeting": {"deals": ["d1", "d2"]}}),
    ))?;
    let deals = json!({"pmp": {"private_auction": 1, "deals": [{"id": "d1"}, {"id": "d2"}]}});
    t.bid(&with_imp(dynamic(json!({})), deals.clone()))?;
    let mut named: Vec<_> =
        t.ours(&with_imp(dynamic(json!({})), deals))?.iter().map(|b| b["dealid"].to_string()).collect();
    named.sort_unstable();
    ensure!(named == ["\"d1\"", "\"d2\""], "deals of one campaign in a pod: {named:?}");
    // A fixed price is bid as it is, but not below the floor of so long a spot.
    for (terms, price) in [(json!({}), 3.0), (json!({"mincpmpersec": 0.5}), 5.0), (json!({"mincpmpersec": 0.1}), 3.0)] {
        let deal = with(json!({"id": "d1", "at": 3, "bidfloor": 3}), terms);
        let bids = t.ours(&with_imp(dynamic(json!({})), json!({"pmp": {"private_auction": 1, "deals": [deal]}})))?;
        ensure!(bids.len() == 1 && bids[0]["price"].as_f64() == Some(price), "{deal}: {bids:?}");
    }
    // A structured pod is an impression per slot, each with a bid of its own.
    let slot = |i: i64, seconds: i64| {
        let video = json!({"mimes": ["video/mp4"], "podid": "pod-2", "slotinpod": if i == 0 { 1 } else { 0 },
            "rqddurs": [seconds], "w": 640, "h": 360});
        json!({"id": format!("slot-{i}"), "video": video})
    };
    let asked = with(t.request(), json!({"imp": [slot(0, 15), slot(1, 30), slot(2, 15), slot(3, 7)]}));
    let bids = t.ours(&asked)?;
    let mut seen: Vec<_> = bids.iter().map(|b| (b["impid"].as_str().unwrap_or(""), b["dur"].as_i64())).collect();
    seen.sort_unstable();
    ensure!(seen == [("slot-0", Some(15)), ("slot-1", Some(30)), ("slot-2", Some(15))], "structured: {seen:?}");
    let mut campaigns: Vec<_> = bids.iter().map(|b| b["cid"].to_string()).collect();
    campaigns.sort_unstable();
    campaigns.dedup();
    ensure!(campaigns.len() == 3, "one ad twice in a structured pod: {campaigns:?}");
    // Each bid has its money: any of them may be shown.
    let reserved = ["p15", "q15", "p30"].map(|name| t.account(name).map(|a| a.reserved));
    ensure!(reserved.iter().all(|r| r.as_ref().is_ok_and(|r| *r > 0)), "{reserved:?}");
    Ok(())
}
