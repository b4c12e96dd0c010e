//! Lines 31, 32, 34 to 36: what is shown, and what its URLs carry.

use serde_json::{Value, json};

use super::Check;
use super::target::{Target, text};
use crate::make::{banner, with, with_imp};

const VAST: &str = "<VAST version=\"3.0\"><Ad><InLine><Creatives><Creative><Linear><Duration>00:00:15</Duration>\
    <MediaFiles><MediaFile type=\"video/mp4\">https://cdn.acme.example/v.mp4</MediaFile></MediaFiles></Linear>\
    </Creative></Creatives></InLine></Ad></VAST>";

fn native_ad() -> Value {
    json!({"id": "n", "type": "native", "adomain": ["acme.example"], "link": "https://acme.example/?a=1&b=2",
        "assets": [{"kind": "title", "text": "A \"good\" title"},
            {"kind": "icon", "url": "https://cdn.acme.example/i.png", "w": 80, "h": 80},
            {"kind": "main", "url": "https://cdn.acme.example/m.png", "w": 1200, "h": 627},
            {"kind": "data", "data_type": 1, "value": "Acme"}]})
}

/// Section 4.2.3: one creative of each format, and impressions that offer one, or several.
pub fn mtype(t: &Target) -> Check {
    let video = json!({"id": "v", "type": "video", "w": 640, "h": 360, "duration_s": 15, "vast": VAST,
        "adomain": ["acme.example"]});
    let audio = json!({"id": "s", "type": "audio", "duration_s": 20, "adomain": ["acme.example"],
        "media": [{"url": "https://cdn.acme.example/s.mp3", "mime": "audio/mpeg"}]});
    t.put_one(json!({"creatives": [banner("b"), video, audio, native_ad()]}))?;
    let offers = [
        ("banner", json!({"w": 300, "h": 250})),
        ("video", json!({"mimes": ["video/mp4"], "minduration": 5, "maxduration": 30})),
        ("audio", json!({"mimes": ["audio/mpeg"]})),
        ("native", json!({"request": "{\"assets\":[{\"id\":1,\"required\":1,\"title\":{\"len\":90}}]}"})),
    ];
    let imp = |which: &[usize]| {
        let offered = which.iter().map(|i| (offers[*i].0.to_owned(), offers[*i].1.clone()));
        with(json!({"id": "1"}), Value::Object(offered.collect()))
    };
    t.bid(&with(t.request(), json!({"imp": [imp(&[0])]})))?;
    for which in 1u32..16 {
        let which: Vec<usize> = (0..4).filter(|i| which & 1 << i != 0).collect();
        for _ in 0..5 {
            let bid = t.bid(&with(t.request(), json!({"imp": [imp(&which)]})))?;
            let mtype = bid["mtype"].as_u64().unwrap_or(0);
            let (crid, adm) = (text(&bid, "crid")?, text(&bid, "adm")?);
            ensure!(which.iter().any(|i| *i as u64 + 1 == mtype), "mtype {mtype} for {:?}", imp(&which));
            let answered = match mtype {
                1 => ("b", adm.starts_with("<a")),
                2 => ("v", adm.contains("<VAST")),
                3 => ("s", adm.contains("<VAST") && adm.contains("audio/mpeg")),
                _ => ("n", adm.starts_with('{')),
            };
            ensure!(answered == (crid, true), "mtype {mtype} is {crid}: {adm}");
        }
    }
    // What cannot be shown does not turn a multi-format impression into a no-bid.
    let odd =
        json!({"id": "1", "banner": {"w": 1, "h": 1}, "video": {"mimes": ["video/x-none"]}, "audio": offers[2].1});
    let bid = t.bid(&with(t.request(), json!({"imp": [odd]})))?;
    ensure!(bid["mtype"] == 3, "{bid}");
    Ok(())
}

/// Sections 3.2.6 and 3.2.10.
pub fn banner_size(t: &Target) -> Check {
    let image = json!({"adm": "<a href=\"https://acme.example/\"><img src=\"https://cdn.acme.example/i.png\"></a>"});
    let wide = with(banner("wide"), json!({"w": 728, "h": 90}));
    t.put_one(json!({"creatives": [with(banner("box"), image.clone()), with(wide, image)]}))?;
    t.bid(&t.request())?;
    let asked = |banner: Value| with(t.request(), json!({"imp": [{"id": "1", "banner": banner}]}));
    for (offer, sizes) in [
        (json!({"w": 728, "h": 90}), &[(728, 90)][..]),
        (json!({"format": [{"w": 1, "h": 1}, {"w": 300, "h": 250}]}), &[(300, 250)]),
        (json!({"w": 728, "h": 90, "format": [{"w": 300, "h": 250}]}), &[(300, 250)]),
        (json!({"format": [{"w": 300, "h": 250}, {"w": 728, "h": 90}]}), &[(300, 250), (728, 90)]),
        (json!({"w": 250, "h": 300}), &[]),
        (json!({"w": 300}), &[]),
        (json!({}), &[]),
        // A ratio is no size: w and h of the bid could not be equal to it.
        (json!({"format": [{"wratio": 6, "hratio": 5, "wmin": 300}]}), &[]),
        // Of the types that may be blocked ours is an XHTML banner (2): no text ad, no JavaScript, no iframe.
        (json!({"w": 300, "h": 250, "btype": [1, 3, 4]}), &[(300, 250)]),
        (json!({"w": 300, "h": 250, "btype": [2]}), &[]),
    ] {
        for _ in 0..4 {
            let bids = t.ours(&asked(offer.clone()))?;
            ensure!(bids.is_empty() == sizes.is_empty(), "{offer}: {bids:?}");
            for bid in bids {
                let size = (bid["w"].as_i64().unwrap_or(0), bid["h"].as_i64().unwrap_or(0));
                ensure!(sizes.contains(&size), "{offer}: {bid}");
                ensure!(bid["crid"] == if size.0 == 300 { "box" } else { "wide" }, "{offer}: {bid}");
            }
        }
    }
    Ok(())
}

/// A markup request with one more asset than the title.
fn native_asset(asset: Value) -> String {
    let title = json!({"id": 99, "required": 1, "title": {"len": 90}});
    json!({"ver": "1.2", "assets": [title, asset]}).to_string()
}

/// Native 1.2 sections 4 and 5.
pub fn native(t: &Target) -> Check {
    t.put_one(json!({"creatives": [native_ad()]}))?;
    let asked = |native: Value| with(t.request(), json!({"imp": [{"id": "1", "native": native}]}));
    let inner = json!({"ver": "1.2", "context": 1, "plcmttype": 1, "assets": [
        {"id": 11, "required": 1, "title": {"len": 50}},
        {"id": 4, "required": 1, "img": {"type": 3, "wmin": 600, "hmin": 300}},
        {"id": 7, "required": 0, "img": {"type": 1, "w": 80, "h": 80}},
        {"id": 9, "required": 1, "data": {"type": 1, "len": 20}},
        {"id": 2, "required": 0, "data": {"type": 6}},
        {"id": 3, "required": 0, "video": {"mimes": ["video/mp4"], "protocols": [2]}},
    ]});
    t.bid(&asked(json!({"request": inner.to_string(), "ver": "1.2"})))?;
    for request in [
        json!({"request": inner.to_string(), "ver": "1.2"}),
        json!({"request": inner}),
        json!({"request": json!({"native": inner}).to_string(), "ver": "1.1"}),
    ] {
        let bid = t.bid(&asked(request))?;
        ensure!(bid["mtype"] == 4, "{bid}");
        let adm: Value = serde_json::from_str(text(&bid, "adm")?).map_err(|e| e.to_string())?;
        let native = if adm["native"].is_object() { &adm["native"] } else { &adm };
        ensure!(native["link"]["url"] == "https://acme.example/?a=1&b=2", "no link in {native}");
        let assets = native["assets"].as_array().ok_or("no assets")?;
        let by_id = |id: i64| {
            let mut found = assets.iter().filter(|a| a["id"] == id);
            (found.next().cloned().unwrap_or_default(), found.next().is_some())
        };
        for (id, key, field, value) in [
            (11, "title", "text", json!("A \"good\" title")),
            (4, "img", "url", json!("https://cdn.acme.example/m.png")),
            (7, "img", "w", json!(80)),
            (9, "data", "value", json!("Acme")),
        ] {
            let (asset, twice) = by_id(id);
            ensure!(asset[key][field] == value && !twice, "asset {id} is {asset}");
        }
        ensure!(assets.iter().all(|a| [11, 4, 7, 9].iter().any(|id| a["id"] == *id)), "unasked assets: {native}");
    }
    for (asset, bids) in [
        (json!({"id": 1, "required": 1, "title": {"len": 5}}), false),
        (json!({"id": 1, "required": 0, "title": {"len": 5}}), true),
        (json!({"id": 1, "required": 1, "data": {"type": 6}}), false),
        (json!({"id": 1, "required": 1, "img": {"type": 3, "w": 1200, "h": 628}}), false),
        (json!({"id": 1, "required": 1, "img": {"type": 3, "w": 1200, "h": 627}}), true),
        (json!({"id": 1, "required": 1, "img": {"type": 1, "wmin": 81, "hmin": 81}}), false),
        (json!({"id": 1, "required": 1, "img": {"type": 3, "mimes": ["image/png"], "wmin": 1}}), true),
        (json!({"id": 1, "required": 1, "img": {"type": 3, "mimes": ["image/gif"], "wmin": 1}}), false),
        (json!({"id": 1, "required": 1, "video": {"mimes": ["video/mp4"], "protocols": [2]}}), false),
        (json!({"id": 1, "required": 1, "hologram": {}}), false),
    ] {
        let ours = t.ours(&asked(json!({"request": native_asset(asset.clone())})))?;
        ensure!(ours.is_empty() != bids, "{asset}: {} bids", ours.len());
    }
    for broken in ["", "{", "[]", "null", "{\"assets\": []}", "{\"assets\": [{\"id\":1},{\"id\":1}]}"] {
        t.no_bid(&asked(json!({"request": broken})))?;
    }
    Ok(())
}
/// Section 3.2.4.
pub fn secure(t: &Target) -> Check {
    let adm = "<img src=\"HTTP://cdn.acme.example/x.png\">";
    let plain = with(banner("plain"), json!({"adm": adm}));
    t.put(&t.campaign("plain", json!({"creatives": [plain]})))?;
    t.bid(&t.request())?;
    let secure = with_imp(t.request(), json!({"secure": 1}));
    for (asked, bids) in [
        (secure.clone(), false),
        (with_imp(t.request(), json!({"secure": "1"})), false),
        (with_imp(t.request(), json!({"secure": 0})), true),
        (t.request(), true),
    ] {
        let ours = t.ours(&asked)?;
        ensure!(ours.is_empty() != bids, "{asked}: {} bids", ours.len());
    }
    t.put(&t.campaign("safe", json!({"bid": {"price": "8.00"}})))?;
    for _ in 0..10 {
        let bid = t.bid(&secure)?;
        let adm = text(&bid, "adm")?.to_ascii_lowercase();
        ensure!(bid["cid"] == t.id("safe") && !adm.contains("http:"), "{bid}");
    }
    Ok(())
}

/// Sections 4.2.3 and 4.4: macros are the exchange's to substitute, in the URLs and in the markup.
pub fn urls_and_macros(t: &Target) -> Check {
    let adm = "<a href=\"%%CLICK_URL_ESC%%https://acme.example/?p=${AUCTION_PRICE}&i=${AUCTION_IMP_ID}\">\
        <img src=\"https://t.acme.example/?c=${AUCTION_CURRENCY}&w=%%WINNING_PRICE%%&x={CLICKURL}&l=[CLICK]\"></a>";
    t.put_one(json!({"creatives": [with(banner("m"), json!({"adm": adm}))]}))?;
    t.bid(&t.request())?;
    let answer = t.post(t.request().to_string())?;
    let raw = super::target::lossy(&answer);
    let bid = t.bid(&t.request())?;
    ensure!(bid["adm"] == adm, "the markup became {}", bid["adm"]);
    for (name, kind, macros) in [
        ("nurl", "win", &["p=${AUCTION_PRICE}", "c=${AUCTION_CURRENCY}"][..]),
        ("burl", "bill", &["p=${AUCTION_PRICE}", "c=${AUCTION_CURRENCY}"]),
        ("lurl", "loss", &["l=${AUCTION_LOSS}", "m=${AUCTION_MIN_TO_WIN}"]),
    ] {
        let url = text(&bid, name)?;
        ensure!(url.starts_with("https://") && url.contains(&format!("/n/{kind}/")), "{name} is {url}");
        for wanted in macros {
            ensure!(url.contains(wanted), "{name} has no {wanted}: {url}");
        }
        let host = url["https://".len()..].split('/').next().unwrap_or_default();
        let fine = |b: u8| b.is_ascii_alphanumeric() || b".-:[]".contains(&b);
        ensure!(!host.is_empty() && host.bytes().all(fine), "{name} has the host {host}");
        ensure!(url.len() <= 1_024 && url.bytes().all(|b| b.is_ascii_graphic()), "{name} is {url}");
    }
    // In the JSON too: `$` and braces need no escape, and some exchanges search the raw text.
    ensure!(raw.contains("p=${AUCTION_PRICE}"), "the macros are escaped: {raw}");
    Ok(())
}
