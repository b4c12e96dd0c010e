//! Bid requests: `parse` against the oracle, which reads the same JSON with serde_json.

use std::borrow::Cow;

use gavel::json::ScanError;
use gavel::openrtb::audio_video::{AudioVideo, DurationFloor};
use gavel::openrtb::consent::{Cache, Privacy};
use gavel::openrtb::device_user::Geo;
use gavel::openrtb::error::RequestError;
use gavel::openrtb::imp::{Banner, Deal, Imp};
use gavel::openrtb::list::{IntList, StrList};
use gavel::openrtb::request::{BidRequest, parse};
use gavel::openrtb::value::Id;
use serde_json::{Value, json};

use super::oracle::{self, Verdict};

pub fn check(body: &[u8]) {
    let got = parse(body);
    if let Ok(request) = &got {
        use_it(request);
    }
    match oracle::read(body) {
        Verdict::NotComparable => {}
        Verdict::NotUtf8 => assert_eq!(got.err(), Some(RequestError::NotUtf8)),
        // A rule may be broken before the JSON is.
        Verdict::NotJson => assert!(got.is_err(), "accepted what is no JSON: {:?}", text(body)),
        Verdict::Refused(rule) => {
            let label = got.as_ref().map_or_else(|e| e.as_str(), |_| "accepted");
            assert_eq!(label, rule, "{:?}", text(body));
            assert!(!matches!(got, Err(RequestError::Malformed(ScanError::Syntax(_)))), "{:?}", text(body));
        }
        Verdict::Accepted(want) => match got {
            Ok(request) => assert_eq!(view(&request), want, "{:?}", text(body)),
            Err(error) => panic!("{error}: {:?}", text(body)),
        },
    }
}

fn text(body: &[u8]) -> Cow<'_, str> {
    String::from_utf8_lossy(body)
}

/// What the server does with any request that it can read.
fn use_it(request: &BidRequest) {
    Privacy::of(request, None, &mut Cache::default());
    for imp in &request.imp {
        if let Some(native) = &imp.native {
            let _ = native.markup();
        }
        if let Some(banner) = &imp.banner {
            assert!(banner.sizes().all(|(w, h)| w > 0 && h > 0));
        }
    }
}

fn strings(list: &StrList) -> Value {
    assert_eq!(list.iter().count(), list.len());
    list.iter().map(Cow::into_owned).collect()
}

fn ints(list: &IntList) -> Value {
    assert_eq!(list.iter().count(), list.len());
    list.iter().collect()
}

fn id(id: &Id) -> Value {
    let mut literal = Vec::new();
    id.write_literal(&mut literal);
    json!([id.as_str(), String::from_utf8(literal).expect("an id is text")])
}

fn geo(geo: &Geo) -> Value {
    json!({"country": geo.country, "region": geo.region, "city": geo.city})
}

/// The fields of a request by the names that OpenRTB 2.6 has for them.
fn view(request: &BidRequest) -> Value {
    let (device, user, regs) = (&request.device, &request.user, &request.regs);
    let mut segments = Vec::new();
    user.segments.for_each(|id| segments.push(id.into_owned()));
    json!({
        "id": id(&request.id),
        "imp": request.imp.iter().map(imp).collect::<Value>(),
        "inventory": request.inventory.as_ref().map(|i| json!({
            "channel": format!("{:?}", i.channel).to_lowercase(),
            "id": i.id, "name": i.name, "domain": i.domain, "bundle": i.bundle, "page": i.page, "cat": strings(&i.cat),
            "sectioncat": strings(&i.sectioncat), "pagecat": strings(&i.pagecat), "cattax": i.cattax,
            "keywords": i.keywords, "publisher": {"id": i.publisher.id, "domain": i.publisher.domain},
            "content": {"language": i.content.language, "cat": strings(&i.content.cat),
                "cattax": i.content.cattax},
        })),
        "device": {
            "ua": device.ua, "platform": device.platform, "ip": device.ip, "ipv6": device.ipv6, "geo": geo(&device.geo),
            "devicetype": device.devicetype, "make": device.make, "model": device.model, "os": device.os,
            "osv": device.osv, "language": device.language, "ifa": device.ifa, "lmt": device.lmt, "dnt": device.dnt,
            "w": device.w, "h": device.h, "js": device.js, "connectiontype": device.connectiontype,
        },
        "user": {
            "id": user.id, "buyeruid": user.buyeruid, "consent": user.consent, "eids": user.eids,
            "segments": segments, "geo": geo(&user.geo),
        },
        "regs": {
            "coppa": regs.coppa, "gdpr": regs.gdpr, "us_privacy": regs.us_privacy, "gpp": regs.gpp,
            "gpp_sid": ints(&regs.gpp_sid), "gpc": regs.gpc,
        },
        "source": {"tid": request.source.tid, "schain": request.source.schain},
        "at": request.at, "tmax": request.tmax, "cur": strings(&request.cur), "wseat": strings(&request.wseat),
        "bseat": strings(&request.bseat), "bcat": strings(&request.bcat), "cattax": request.cattax,
        "badv": strings(&request.badv), "bapp": strings(&request.bapp), "wlang": strings(&request.wlang),
        "test": request.test, "allimps": request.allimps,
    })
}

fn imp(imp: &Imp) -> Value {
    json!({
        "id": id(&imp.id), "banner": imp.banner.as_ref().map(banner), "video": imp.video.as_deref().map(media),
        "audio": imp.audio.as_deref().map(media),
        "native": imp.native.as_ref().map(|n| json!({"api": ints(&n.api), "battr": ints(&n.battr)})),
        "pmp": imp.pmp.as_ref().map(|p| {
            json!({"private_auction": p.private_auction, "deals": p.deals.iter().map(deal).collect::<Value>()})
        }),
        "bidfloor": imp.bidfloor, "bidfloorcur": imp.bidfloorcur, "secure": imp.secure, "instl": imp.instl,
        "tagid": imp.tagid, "exp": imp.exp, "qty": imp.qty.map(|q| json!({"multiplier": q.multiplier})),
        "rwdd": imp.rwdd, "ssai": imp.ssai, "dt": imp.dt,
    })
}

fn banner(banner: &Banner) -> Value {
    let formats = banner.format.iter();
    let formats = formats.map(|f| json!({"w": f.w, "h": f.h, "wratio": f.wratio, "hratio": f.hratio, "wmin": f.wmin}));
    json!({
        "w": banner.w, "h": banner.h, "format": formats.collect::<Value>(), "btype": ints(&banner.btype),
        "battr": ints(&banner.battr), "mimes": strings(&banner.mimes), "pos": banner.pos, "api": ints(&banner.api),
    })
}

fn media(m: &AudioVideo) -> Value {
    json!({
        "mimes": strings(&m.mimes), "minduration": m.minduration, "maxduration": m.maxduration,
        "startdelay": m.startdelay, "protocols": ints(&m.protocols), "w": m.w, "h": m.h, "placement": m.placement,
        "plcmt": m.plcmt, "linearity": m.linearity, "skip": m.skip, "api": ints(&m.api), "battr": ints(&m.battr),
        "minbitrate": m.minbitrate, "maxbitrate": m.maxbitrate, "delivery": ints(&m.delivery), "poddur": m.poddur,
        "rqddurs": ints(&m.rqddurs), "maxseq": m.maxseq, "sequence": m.sequence, "mincpmpersec": m.mincpmpersec,
        "durfloors": duration_floors(&m.durfloors), "podid": m.podid,
    })
}

fn duration_floors(floors: &[DurationFloor]) -> Value {
    floors.iter().map(|f| json!({"mindur": f.mindur, "maxdur": f.maxdur, "bidfloor": f.bidfloor})).collect()
}

fn deal(deal: &Deal) -> Value {
    json!({
        "id": id(&deal.id), "bidfloor": deal.bidfloor, "bidfloorcur": deal.bidfloorcur, "at": deal.at,
        "mincpmpersec": deal.mincpmpersec, "durfloors": duration_floors(&deal.durfloors),
        "wseat": strings(&deal.wseat), "wadomain": strings(&deal.wadomain),
    })
}
