//! Video, audio, native, and out-of-home: what each bid must carry, and when there is none.

use serde_json::{Value, json};

use crate::make::{banner, campaign, request, with, with_imp};
use crate::server::Server;

fn of(creative: Value) -> Value {
    with(campaign("a"), json!({"creatives": [creative]}))
}

fn imp(patch: Value) -> Value {
    with(request(), json!({"imp": [with(json!({"id": "1"}), patch)]}))
}

const VAST: &str = "<VAST version=\"3.0\"><Ad><InLine><Creatives><Creative><Linear><MediaFiles>\
    <MediaFile type=\"video/mp4\" width=\"640\" height=\"360\">https://cdn.acme.example/v.mp4</MediaFile>\
    </MediaFiles></Linear></Creative></Creatives></InLine></Ad></VAST>";

fn video(patch: Value) -> Value {
    let offered =
        json!({"mimes": ["video/mp4"], "minduration": 5, "maxduration": 30, "protocols": [2, 3], "w": 640, "h": 360});
    imp(json!({"video": with(offered, patch)}))
}

#[test]
fn a_video_fits_by_duration_protocol_and_type() {
    let creative = json!({"id": "v", "type": "video", "w": 640, "h": 360, "duration_s": 15, "vast": VAST,
        "protocols": [3], "adomain": ["acme.example"], "cat": ["IAB1"], "attr": [6]});
    let server = Server::start("", &[of(creative)]);
    let bid = server.bid(&video(json!({}))).unwrap();
    assert_eq!((bid["mtype"].as_u64(), bid["crid"].as_str(), bid["dur"].as_u64()), (Some(2), Some("v"), Some(15)));
    assert_eq!(bid["protocol"], 3);
    assert_eq!((bid["w"].as_u64(), bid["h"].as_u64()), (Some(640), Some(360)));
    assert_eq!(bid["adm"], VAST);
    for (patch, bids) in [
        (json!({"maxduration": 15}), true),
        (json!({"maxduration": 14}), false),
        (json!({"minduration": 15}), true),
        (json!({"minduration": 16}), false),
        (json!({"rqddurs": [15, 30]}), true),
        (json!({"rqddurs": [10, 30]}), false),
        (json!({"protocols": [2]}), false),
        (json!({"protocols": null}), true),
        (json!({"mimes": ["video/webm"]}), false),
        (json!({"mimes": ["application/javascript", "video/mp4"]}), true),
        (json!({"linearity": 1}), true),
        (json!({"linearity": 2}), false),
        (json!({"battr": [6]}), false),
        (json!({"battr": [7]}), true),
    ] {
        assert_eq!(server.bid(&video(patch.clone())).is_some(), bids, "{patch}");
    }
    assert!(server.bid(&request()).is_none(), "a video in a banner");
}

#[test]
fn media_files_become_vast() {
    let video_files = json!({"id": "v", "type": "video", "w": 640, "h": 360, "duration_s": 15, "adomain": ["acme.example"],
        "media": [{"url": "https://cdn.acme.example/v.mp4?a=1&b=2", "mime": "video/mp4", "bitrate_kbps": 900}]});
    let audio_files = json!({"id": "s", "type": "audio", "duration_s": 20, "adomain": ["acme.example"],
        "media": [{"url": "https://cdn.acme.example/s.mp3", "mime": "audio/mpeg"}]});
    let server = Server::start("", &[with(campaign("a"), json!({"creatives": [video_files, audio_files]}))]);
    let bid = server.bid(&video(json!({"protocols": null}))).unwrap();
    let adm = bid["adm"].as_str().unwrap();
    assert!(adm.contains("<VAST") && adm.contains("<MediaFile") && adm.contains("00:00:15"), "{adm}");
    assert!(
        adm.contains("https://cdn.acme.example/v.mp4?a=1&amp;b=2")
            || adm.contains("<![CDATA[https://cdn.acme.example/v.mp4?a=1&b=2"),
        "{adm}"
    );
    let audio = |patch: Value| {
        imp(json!({"audio": with(json!({"mimes": ["audio/mpeg"], "minduration": 5, "maxduration": 30}), patch)}))
    };
    let bid = server.bid(&audio(json!({}))).unwrap();
    assert_eq!((bid["mtype"].as_u64(), bid["crid"].as_str(), bid["dur"].as_u64()), (Some(3), Some("s"), Some(20)));
    assert!(bid["adm"].as_str().unwrap().contains("https://cdn.acme.example/s.mp3"));
    assert!(bid.get("w").is_none());
    assert!(server.bid(&audio(json!({"mimes": ["audio/ogg"]}))).is_none());
    assert!(server.bid(&audio(json!({"maxduration": 19}))).is_none());
}

#[test]
fn native_answers_every_required_asset_by_id() {
    let creative = json!({"id": "n", "type": "native", "adomain": ["acme.example"], "link": "https://acme.example/?a=1&b=\"",
        "assets": [{"kind": "title", "text": "A \"good\" title"}, {"kind": "icon", "url": "https://cdn.acme.example/i.png", "w": 80, "h": 80},
            {"kind": "main", "url": "https://cdn.acme.example/m.png", "w": 1200, "h": 627}, {"kind": "data", "data_type": 1, "value": "Acme"}]});
    let creative = with(creative, json!({"link": "https://acme.example/?a=1&b=2"}));
    let server = Server::start("", &[of(creative)]);
    let assets = json!([
        {"id": 11, "required": 1, "title": {"len": 50}},
        {"id": 4, "required": 1, "img": {"type": 3, "wmin": 600, "hmin": 300}},
        {"id": 7, "required": 0, "img": {"type": 1, "w": 80, "h": 80}},
        {"id": 9, "required": 1, "data": {"type": 1, "len": 20}},
        {"id": 2, "required": 0, "data": {"type": 6}},
        {"id": 3, "required": 0, "video": {"mimes": ["video/mp4"], "protocols": [2]}},
    ]);
    let inner = json!({"ver": "1.2", "assets": assets});
    let as_text = imp(json!({"native": {"request": inner.to_string(), "ver": "1.2"}}));
    let as_object = imp(json!({"native": {"request": inner}}));
    let wrapped = imp(json!({"native": {"request": json!({"native": inner}).to_string()}}));
    for asked in [&as_text, &as_object, &wrapped] {
        let bid = server.bid(asked).unwrap();
        assert_eq!(bid["mtype"], 4);
        let adm: Value = serde_json::from_str(bid["adm"].as_str().unwrap()).unwrap();
        let native = &adm["native"];
        assert_eq!(native["link"]["url"], "https://acme.example/?a=1&b=2");
        let by_id = |id: i64| native["assets"].as_array().unwrap().iter().find(|a| a["id"] == id);
        assert_eq!(by_id(11).unwrap()["title"]["text"], "A \"good\" title");
        assert_eq!(by_id(4).unwrap()["img"]["url"], "https://cdn.acme.example/m.png");
        assert_eq!(by_id(7).unwrap()["img"]["w"], 80);
        assert_eq!(by_id(9).unwrap()["data"]["value"], "Acme");
        assert!(by_id(2).is_none() && by_id(3).is_none());
    }
    for (asset, bids) in [
        (json!({"id": 1, "required": 1, "title": {"len": 5}}), false),
        (json!({"id": 1, "required": 0, "title": {"len": 5}}), true),
        (json!({"id": 1, "required": 1, "data": {"type": 6}}), false),
        (json!({"id": 1, "required": 1, "img": {"type": 3, "w": 1200, "h": 628}}), false),
        (json!({"id": 1, "required": 1, "img": {"type": 1, "wmin": 81, "hmin": 81}}), false),
        (json!({"id": 1, "required": 1, "video": {"mimes": ["video/mp4"], "protocols": [2]}}), false),
        (json!({"id": 1, "required": 1, "hologram": {}}), false),
    ] {
        let title = json!({"id": 99, "required": 1, "title": {"len": 90}});
        let asked = imp(json!({"native": {"request": json!({"assets": [title, asset]}).to_string()}}));
        assert_eq!(server.bid(&asked).is_some(), bids, "{asset}");
    }
    // A markup request that cannot be read is a no-bid: other impressions may be fine.
    for broken in ["", "{", "[]", "null", "{\"assets\": []}", "{\"assets\": [{\"id\":1},{\"id\":1}]}"] {
        assert!(server.bid(&imp(json!({"native": {"request": broken}}))).is_none(), "{broken}");
    }
}

#[test]
fn a_banner_answers_an_offered_size_only() {
    let second = with(banner("wide"), json!({"w": 728, "h": 90}));
    let server = Server::start("", &[with(campaign("a"), json!({"creatives": [banner("box"), second]}))]);
    for (offer, crid) in [
        (json!({"w": 728, "h": 90}), Some("wide")),
        (json!({"format": [{"w": 1, "h": 1}, {"w": 300, "h": 250}]}), Some("box")),
        (json!({"w": 728, "h": 90, "format": [{"w": 300, "h": 250}]}), Some("box")),
        (json!({"w": 250, "h": 300}), None),
        (json!({"format": [{"wratio": 6, "hratio": 5}]}), None),
        (json!({}), None),
    ] {
        let bid = server.bid(&imp(json!({"banner": offer})));
        assert_eq!(bid.as_ref().and_then(|b| b["crid"].as_str()), crid, "{offer}");
        if let Some(bid) = bid {
            let size = if crid == Some("box") { (300, 250) } else { (728, 90) };
            assert_eq!((bid["w"].as_u64(), bid["h"].as_u64()), (Some(size.0), Some(size.1)));
        }
    }
    let both = with_imp(request(), json!({"video": {"mimes": ["video/mp4"]}}));
    assert_eq!(server.bid(&both).unwrap()["mtype"], 1);
}

#[test]
fn out_of_home_reserves_and_bills_the_price_times_the_multiplier() {
    let server = Server::start("", &[campaign("a")]);
    let screen = |qty: Value| {
        let patch = json!({"site": null, "dooh": {"id": "d", "venuetype": ["1"]}, "device": {"devicetype": 8}});
        with_imp(with(request(), patch), json!({"qty": qty}))
    };
    for (multiplier, reserved) in [
        (json!(1), 2_500_000),
        (json!(14.2), 35_500_000),
        (json!(0.5), 1_250_000),
        (json!(0.0000001), 3),
        // Ten times what a first lease holds.
        (json!(4_000), 10_000_000_000),
    ] {
        let bid = server.bid_soon(&screen(json!({"multiplier": multiplier})));
        // The price stays that of one impression.
        assert_eq!(bid["price"].as_f64(), Some(2.5));
        assert_eq!(server.account("a").reserved, reserved, "{multiplier}");
        server.lose(&bid);
        assert_eq!(server.account("a").reserved, 0);
    }
    let bill = |multiplier: &str, price: &str| {
        let before = server.account("a").spent;
        let bid = server.bid_soon(&screen(json!({"multiplier": 10.5})));
        let url = bid["burl"].as_str().unwrap().replace("${AUCTION_MULTIPLIER}", multiplier);
        server.tell(&with(bid, json!({"burl": url})), "burl", price);
        server.account("a").spent - before
    };
    assert_eq!(bill("10.5", "2.00"), 21_000_000);
    assert_eq!(bill("10", "2.00"), 20_000_000);
    assert_eq!(bill("11", "2.50"), 26_250_000);
    assert_eq!(bill("", "2.00"), 21_000_000);
    assert_eq!(bill("10.5", "9.00"), 26_250_000);
    assert_eq!(server.is_sound("a").reserved, 0);
    for odd in [json!(0), json!(-1), json!(1e9)] {
        assert!(server.bid(&screen(json!({"multiplier": odd}))).is_none(), "{odd}");
    }
}
