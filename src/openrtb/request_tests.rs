//! Requests: what is read from where, what is tolerated, what is refused.

use super::RequestError;
use super::consent::{Cache, Privacy};
use super::imp::Format;
use super::inventory::Channel;
use super::native::{Asset, AssetKind, ImageTypes, NativeError};
use super::request::{BidRequest, MAX_IMPS, parse};
use crate::json::scan::MAX_DEPTH;
use crate::json::tests::salad;
use proptest::prelude::*;

const BANNER: &str = include_str!("../../tests/fixtures/openrtb/banner.json");

fn ok(body: &str) -> BidRequest<'_> {
    parse(body.as_bytes()).unwrap_or_else(|e| panic!("{e}: {body}"))
}

fn refused(body: &str) -> RequestError {
    parse(body.as_bytes()).expect_err(body)
}

/// A request with one impression and `extra` fields.
fn with(extra: &str) -> String {
    format!(r#"{{"id":"r","imp":[{{"id":"1"}}]{}{extra}}}"#, if extra.is_empty() { "" } else { "," })
}

fn with_imp(extra: &str) -> String {
    format!(r#"{{"id":"r","imp":[{{"id":"1",{extra}}}]}}"#)
}

#[test]
fn a_banner_request_is_read_whole() {
    let request = ok(BANNER);
    assert_eq!(request.id.as_str(), "7c1f0a52-93d4-4a9c-8a77-2f0e6f1b9d31");
    let imp = &request.imp[0];
    assert_eq!((imp.bidfloor, imp.secure, imp.exp), (0.85, Some(true), Some(300)));
    let banner = imp.banner.as_ref().unwrap();
    assert_eq!(banner.sizes().collect::<Vec<_>>(), [(300, 250), (320, 50), (336, 280)]);
    assert!(banner.battr.contains(13) && !banner.battr.contains(2));
    let deal = &imp.pmp.as_ref().unwrap().deals[0];
    assert_eq!((deal.id.as_str(), deal.bidfloor), ("deal-spring-17", 2.75));
    assert!(deal.wseat.contains("gavel") && deal.wadomain.contains("acme.example"));
    let site = request.inventory.as_ref().unwrap();
    assert_eq!((site.channel, site.domain.as_deref()), (Channel::Site, Some("daily.example")));
    assert_eq!(site.publisher.id.as_deref(), Some("pub-889"));
    assert_eq!(request.device.geo.country.as_deref(), Some("USA"));
    assert_eq!((request.device.devicetype, request.device.lmt), (Some(4), Some(false)));
    let mut segments = Vec::new();
    request.user.segments.for_each(|id| segments.push(id.into_owned()));
    assert_eq!(segments, ["auto-intender", "seg-2291", "s1"]);
    assert!(request.user.segments.any(|id| id == "s1") && !request.user.segments.any(|id| id == "s9"));
    assert_eq!(request.cur.iter().collect::<Vec<_>>(), ["USD", "EUR"]);
    assert_eq!((request.bcat.len(), request.tmax), (6, Some(120)));
    assert!(request.source.schain.unwrap().starts_with(r#"{"ver":"1.0""#));
    assert!(Privacy::of(&request, None, &mut Cache::default()).personal);
}

#[test]
fn old_and_new_places_read_alike_and_the_new_one_wins() {
    let schain = r#"{"ver":"1.0","nodes":[]}"#;
    let old = with(&format!(
        r#""regs":{{"ext":{{"gdpr":1,"us_privacy":"1YYN"}}}},"user":{{"ext":{{"consent":"CO","eids":[1]}}}},"source":{{"ext":{{"schain":{schain}}}}}"#
    ));
    let new = with(&format!(
        r#""regs":{{"gdpr":1,"us_privacy":"1YYN"}},"user":{{"consent":"CO","eids":[1]}},"source":{{"schain":{schain}}}"#
    ));
    for body in [&old, &new] {
        let request = ok(body);
        assert_eq!(request.regs.gdpr, Some(true));
        assert_eq!(request.regs.us_privacy.as_deref(), Some("1YYN"));
        assert_eq!(request.user.consent.as_deref(), Some("CO"));
        assert_eq!(request.user.eids, Some("[1]"));
        assert_eq!(request.source.schain, Some(schain));
    }
    let both = with(r#""regs":{"ext":{"gdpr":1},"gdpr":0},"user":{"consent":"new","ext":{"consent":"old"}}"#);
    let request = ok(&both);
    assert_eq!((request.regs.gdpr, request.user.consent.as_deref()), (Some(false), Some("new")));
    // An empty place says nothing, and either of two can forbid.
    for (regs, us_privacy, gpp) in [
        (r#""us_privacy":"","gpp":"","ext":{"us_privacy":"1YYN","gpp":"DBA"}"#, Some("1YYN"), Some("DBA")),
        (r#""us_privacy":"1YNN","gpp":"DBB","ext":{"us_privacy":"1YYN","gpp":"DBA"}"#, Some("1YYN"), Some("DBB")),
        (r#""us_privacy":"1YYN","ext":{"us_privacy":"1YNN"}"#, Some("1YYN"), None),
        (r#""us_privacy":"1YNN","ext":{"us_privacy":""}"#, Some("1YNN"), None),
    ] {
        let body = with(&format!(r#""regs":{{{regs}}},"user":{{"consent":"","ext":{{"consent":"old"}}}}"#));
        let request = ok(&body);
        assert_eq!((request.regs.us_privacy.as_deref(), request.regs.gpp.as_deref()), (us_privacy, gpp), "{regs}");
        assert_eq!(request.user.consent.as_deref(), Some("old"));
    }
}

#[test]
fn what_exchanges_send_instead_is_tolerated() {
    let body = r#"{"id":123,"test":1.0,"at":"2","tmax":1e2,"cur":"EUR","imp":[{"id":1.0,"secure":true,"instl":"1",
        "bidfloor":"0.5","banner":{"w":300.0,"h":"250","format":{"w":728,"h":90},"battr":null,"api":5}}],
        "device":{"js":true,"w":375.5,"devicetype":4.0,"language":{}},"user":null,"regs":{"ext":null},"ext":[[[]]]}"#;
    let request = ok(body);
    assert_eq!((request.id.as_str(), request.imp[0].id.as_str()), ("123", "1.0"));
    assert!(request.test && request.imp[0].instl);
    assert_eq!((request.at, request.tmax), (Some(2), Some(100)));
    assert_eq!(request.cur.iter().collect::<Vec<_>>(), ["EUR"]);
    assert_eq!((request.imp[0].secure, request.imp[0].bidfloor), (Some(true), 0.5));
    let banner = request.imp[0].banner.as_ref().unwrap();
    assert_eq!((banner.w, banner.h), (Some(300), Some(250)));
    assert_eq!(banner.format[..], [Format { w: 728, h: 90, ..Format::default() }]);
    assert_eq!((banner.battr.len(), banner.api.iter().collect::<Vec<_>>()), (0, vec![5]));
    assert_eq!((request.device.w, request.device.language.as_deref()), (None, None));
    let mut echoed = Vec::new();
    request.id.write_literal(&mut echoed);
    assert_eq!(echoed, br#""123""#);
}

#[test]
fn ids_are_echoed_byte_for_byte() {
    for literal in [r#""a""#, r#""\u00e9\/\n""#, "\"\u{1F600}é\"", r#""\ud83d\ude00""#, r#""\"\\""#] {
        let body = format!(r#"{{"id":{literal},"imp":[{{"id":{literal}}}]}}"#);
        let request = ok(&body);
        let mut echoed = Vec::new();
        request.id.write_literal(&mut echoed);
        assert_eq!(echoed, literal.as_bytes());
        assert_eq!(request.id.text, serde_json::from_str::<String>(literal).unwrap());
    }
}

#[test]
fn a_later_duplicate_wins_and_escaped_keys_are_keys() {
    let request = ok(r#"{"id":"a","imp":[{"id":"1"}],"device":{"os":"x","ua":"y"},"\u0069d":"b","device":{"os":"z"}}"#);
    assert_eq!(request.id.as_str(), "b");
    assert_eq!((request.device.os.as_deref(), request.device.ua.as_deref()), (Some("z"), None));
    assert_eq!(refused(r#"{"id":"a","imp":[{"id":"1"}],"id":null}"#), RequestError::NoId);
    let body = with(r#""site":{"id":"1","name":"x"},"app":null,"site":{"id":"2"}"#);
    let request = ok(&body);
    let site = request.inventory.as_ref().unwrap();
    assert_eq!((site.id.as_deref(), site.name.as_deref()), (Some("2"), None));
    assert!(ok(&with(r#""site":{"id":"1"},"site":null"#)).inventory.is_none());
    assert_eq!(ok(&with(r#""app":{"id":"1"},"site":null"#)).inventory.map(|i| i.channel), Some(Channel::App));
}

#[test]
fn broken_rules_are_refused_by_name() {
    let many = format!(r#"{{"id":"r","imp":[{}{{"id":"x"}}]}}"#, r#"{"id":"x"},"#.repeat(MAX_IMPS));
    let deep = with(&format!(r#""ext":{}{}"#, "[".repeat(MAX_DEPTH + 2), "]".repeat(MAX_DEPTH + 2)));
    for (body, label) in [
        ("", "malformed"),
        ("{", "malformed"),
        ("{}x", "malformed"),
        ("{\"id\":\"\u{1}\"}", "malformed"),
        ("\u{feff}{}", "malformed"),
        ("null", "not_an_object"),
        ("[]", "not_an_object"),
        ("{}", "no_id"),
        (r#"{"id":""}"#, "no_id"),
        (r#"{"id":"r"}"#, "no_imp"),
        (r#"{"id":"r","imp":[]}"#, "no_imp"),
        (r#"{"id":"r","imp":null}"#, "no_imp"),
        (r#"{"id":"r","imp":{}}"#, "wrong_type"),
        (r#"{"id":"r","imp":[1]}"#, "wrong_type"),
        (r#"{"id":"r","imp":[[]]}"#, "wrong_type"),
        (r#"{"id":["r"],"imp":[{"id":"1"}]}"#, "wrong_type"),
        (r#"{"id":"r","imp":[{}]}"#, "imp_without_id"),
        (r#"{"id":"r","imp":[{"id":"1"},{"id":"2"},{"id":"1"}]}"#, "duplicate_imp_id"),
        (r#"{"id":"r","imp":[{"id":"a"},{"id":"\u0061"}]}"#, "duplicate_imp_id"),
        (&many, "too_many_imps"),
        (&deep, "too_deep"),
        (&with(r#""site":{},"app":{}"#), "many_channels"),
        (&with(r#""site":{},"dooh":{}"#), "many_channels"),
        (&with_imp(r#""banner":{"w":-1}"#), "negative"),
        (&with_imp(r#""video":{"minbitrate":-1}"#), "negative"),
        (&with_imp(r#""bidfloor":-0.01"#), "negative"),
        (&with_imp(r#""bidfloor":"dear""#), "wrong_type"),
        (&with(r#""cur":{}"#), "wrong_type"),
        (&with(r#""bcat":[["IAB1"]]"#), "wrong_type"),
        (&with(r#""device":"phone""#), "wrong_type"),
        (&with(r#""user":[{}]"#), "wrong_type"),
        (&with(r#""regs":{"gdpr":"maybe"}"#), "wrong_type"),
    ] {
        let error = refused(body);
        assert_eq!(error.as_str(), label, "{error}: {}", &body[..body.len().min(80)]);
        assert!(RequestError::LABELS.contains(&label));
    }
    assert_eq!(parse(b"{\"id\":\"\xff\"}").unwrap_err(), RequestError::NotUtf8);
    assert_eq!(
        refused(&with_imp(r#""video":{"w":"wide"}"#)).to_string(),
        "the request has a value of the wrong type at byte 46"
    );
}

#[test]
fn large_requests_are_read() {
    let imps: Vec<String> = (0..1_000).map(|i| format!(r#"{{"id":"{i}","banner":{{}}}}"#)).collect();
    let blocked: Vec<String> = (0..10_000).map(|i| format!(r#""IAB{i}""#)).collect();
    let body = format!(r#"{{"id":"r","imp":[{}],"bcat":[{}]}}"#, imps.join(","), blocked.join(", "));
    let request = ok(&body);
    assert_eq!((request.imp.len(), request.bcat.len(), request.bcat.iter().count()), (1_000, 10_000, 10_000));
    assert!(request.bcat.contains("IAB9999"));
    let twice = body.replace(r#""id":"999""#, r#""id":"0""#);
    assert_eq!(refused(&twice), RequestError::DuplicateImpId);
}

#[test]
fn lists_pass_over_nulls() {
    let body = with(r#""bcat":[null,"a",null,7],"badv":[]"#);
    let request = ok(&body);
    assert_eq!(request.bcat.iter().collect::<Vec<_>>(), ["a", "7"]);
    assert_eq!((request.bcat.len(), request.badv.is_empty()), (2, true));
    let body = with_imp(r#""video":{"protocols":[2,null,"3",true,5.0],"mimes":["video/mp4"],"rqddurs":[15,30]}"#);
    let request = ok(&body);
    let video = request.imp[0].video.as_ref().unwrap();
    assert_eq!(video.protocols.iter().collect::<Vec<_>>(), [2, 3, 1, 5]);
    assert_eq!(video.rqddurs.iter().collect::<Vec<_>>(), [15, 30]);
    let body = with_imp(r#""video":{"protocol":3,"minduration":5,"maxduration":30}"#);
    let request = ok(&body);
    let video = request.imp[0].video.as_ref().unwrap();
    assert_eq!(video.protocols.iter().collect::<Vec<_>>(), [3]);
    assert_eq!((video.minduration, video.maxduration), (Some(5), Some(30)));
}

#[test]
fn native_markup_is_read_in_every_wrapping() {
    let assets = r#"[{"id":1,"required":1,"title":{"len":90}},{"id":2,"required":true,"img":{"type":3,"wmin":300,"hmin":200}},{"id":3,"data":{"type":2,"len":140}},{"id":4,"video":{"mimes":["video/mp4"],"protocols":[2]}},{"id":5}]"#;
    let quoted = |json: &str| serde_json::to_string(json).unwrap();
    let plain = format!(r#"{{"ver":"1.2","plcmtcnt":2,"assets":{assets}}}"#);
    let wrapped = format!(r#"{{"native":{plain}}}"#);
    for native in [
        format!(r#"{{"request":{}}}"#, quoted(&plain)),
        format!(r#"{{"request":{}}}"#, quoted(&wrapped)),
        format!(r#"{{"request":{plain}}}"#),
        format!(r#"{{"request":{wrapped}}}"#),
        plain.clone(),
    ] {
        let body = with_imp(&format!(r#""native":{native}"#));
        let request = ok(&body);
        let markup = request.imp[0].native.unwrap().markup().unwrap();
        assert_eq!(markup.plcmtcnt, 2);
        let kinds: Vec<_> = markup.assets.iter().map(|asset| asset.kind).collect();
        assert_eq!(markup.assets[0], Asset { id: Some(1), required: true, kind: Some(AssetKind::Title { len: 90 }) });
        assert_eq!(
            kinds[1],
            Some(AssetKind::Img { img_type: Some(3), w: 0, h: 0, wmin: 300, hmin: 200, mimes: ImageTypes::default() })
        );
        assert_eq!(kinds[2..], [Some(AssetKind::Data { data_type: 2, len: 140 }), Some(AssetKind::Video), None]);
    }
    for (request, want) in [
        (r#""""#, NativeError::Malformed),
        (r#""{""#, NativeError::Malformed),
        ("[]", NativeError::Malformed),
        (r#"{"assets":[]}"#, NativeError::NoAssets),
        (r#"{"assets":[{"id":1},{"id":1}]}"#, NativeError::DuplicateAsset),
        (r#"{"assets":[{"id":1,"title":{"len":1},"data":{"type":1}}]}"#, NativeError::MixedAsset),
        (r#"{"assets":[{"id":"x","title":{"len":1}}]}"#, NativeError::Malformed),
        (r#"{"assets":[{"id":1,"img":{"hmin":-1}}]}"#, NativeError::Malformed),
        (r#"{"assets":[{"id":1,"title":{}}]}"#, NativeError::Malformed),
        (r#"{"assets":[{"id":1,"video":{"mimes":[],"protocols":[2]}}]}"#, NativeError::Malformed),
        (r#"{"assets":[{"id":1,"video":{"mimes":["video/mp4"]}}]}"#, NativeError::Malformed),
        (r#"{"context":4,"assets":[{"id":1}]}"#, NativeError::UnknownCode),
        (r#"{"context":2,"contextsubtype":31,"assets":[{"id":1}]}"#, NativeError::UnknownCode),
        (r#"{"contextsubtype":41,"assets":[{"id":1}]}"#, NativeError::UnknownCode),
        (r#"{"eventtrackers":[{"event":5}],"assets":[{"id":1}]}"#, NativeError::UnknownCode),
    ] {
        let body = with_imp(&format!(r#""native":{{"request":{request}}}"#));
        assert_eq!(ok(&body).imp[0].native.unwrap().markup().unwrap_err(), want, "{request}");
    }
}

#[test]
fn native_codes_of_an_exchanges_own_are_read() {
    for codes in [
        r#""context":1,"contextsubtype":15"#,
        r#""context":500,"contextsubtype":31"#,
        r#""context":3,"contextsubtype":999"#,
        r#""eventtrackers":[{"event":1,"methods":[1]},{"event":4},{"event":501},{}]"#,
        r#""eventtrackers":null"#,
    ] {
        let body = with_imp(&format!(r#""native":{{"request":{{{codes},"assets":[{{"id":1}}]}}}}"#));
        ok(&body).imp[0].native.unwrap().markup().unwrap_or_else(|e| panic!("{codes}: {e}"));
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2_000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn no_request_panics(text in salad(), key in prop::sample::select(&[
        "id", "imp", "site", "device", "user", "regs", "source", "cur", "bcat", "tmax", "test", "ext",
    ][..])) {
        let _ = parse(text.as_bytes());
        let _ = parse(with(&format!("\"{key}\":{text}")).as_bytes());
        let _ = parse(with_imp(&format!("\"banner\":{text}")).as_bytes());
    }
}

/// Of a body that ends where its memory does nothing behind it is read, which Miri would tell.
#[test]
fn a_body_is_read_at_every_distance_from_its_end() {
    for len in 0..40 {
        let text = "n".repeat(len);
        for ext in [format!("\"{text}\""), format!("{{\"{text}\":[]}}"), format!("[1{}]", "7".repeat(len))] {
            let body: Box<[u8]> = with(&format!("\"ext\":{ext}")).as_bytes().into();
            assert!(parse(&body).is_ok(), "{ext}");
        }
    }
}

/// Requests as real exchanges and the specification's authors wrote them, where they are at hand.
#[test]
fn real_requests_are_accepted() {
    let beside = concat!(env!("CARGO_MANIFEST_DIR"), "/../shared/data");
    let data = std::env::var("GAVEL_DATA").unwrap_or_else(|_| beside.to_owned());
    let data = std::path::Path::new(&data).join("openrtb");
    let (Ok(valid), Ok(invalid)) = (std::fs::read_dir(data.join("valid")), std::fs::read_dir(data.join("invalid")))
    else {
        println!("skipped: no sample requests at {} (set GAVEL_DATA)", data.display());
        return;
    };
    let mut read = 0;
    for file in valid {
        let path = file.unwrap().path();
        let body = std::fs::read(&path).unwrap();
        let request = parse(&body).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
        for imp in &request.imp {
            if let Some(native) = &imp.native {
                native.markup().unwrap_or_else(|e| panic!("{}: {e}", path.display()));
            }
        }
        Privacy::of(&request, None, &mut Cache::default());
        read += 1;
    }
    for file in invalid {
        let path = file.unwrap().path();
        let body = std::fs::read(&path).unwrap();
        // Refused, or read and then not bid on: what counts is that nothing breaks.
        if let Ok(request) = parse(&body) {
            request.imp.iter().filter_map(|imp| imp.native.as_ref()).for_each(|native| drop(native.markup()));
            Privacy::of(&request, None, &mut Cache::default());
        }
    }
    println!("{read} valid requests read");
    assert!(read > 0);
}
