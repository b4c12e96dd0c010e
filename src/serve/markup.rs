//! The `adm` of bids whose markup is made for the impression: native assets under the request's ids (OpenRTB Native 1.2
//! section 5), and VAST with the files that fit.

use serde_json::{Map, Value, json};

use crate::bidding::creative::{Asset, Creative, Kind};
use crate::bidding::fit::answer;
use crate::bidding::vast::{self, Choice};
use crate::json::escape::escape_json;
use crate::openrtb::native::NativeRequest;
use crate::openrtb::notice::NoticeUrls;

/// Appends `"adm":"...",`. Every required asset is answered: the decision has checked that; optional ones are where
/// the creative has them.
pub fn write_native(creative: &Creative, request: &NativeRequest, out: &mut Vec<u8>) {
    let Kind::Native { assets, link } = &creative.kind else { return };
    let answered = request.assets.iter().filter_map(|wanted| Some(asset(wanted.id?, answer(assets, wanted)?)));
    let native = json!({"native": {"ver": "1.2", "assets": answered.collect::<Vec<_>>(), "link": {"url": link}}});
    out.extend_from_slice(b"\"adm\":\"");
    escape_json(&native.to_string(), out);
    out.extend_from_slice(b"\",");
}

/// Appends `"adm":"...",` if the creative's VAST is built: its impression is then reported to us.
pub fn write_vast(creative: &Creative, choice: &Choice, urls: &NoticeUrls, token: &[u8], out: &mut Vec<u8>) {
    let url = format!("{}{}", urls.impression, String::from_utf8_lossy(token));
    if let Some(vast) = vast::build(creative, choice, &url) {
        out.extend_from_slice(b"\"adm\":\"");
        escape_json(&vast, out);
        out.extend_from_slice(b"\",");
    }
}

fn asset(id: i64, asset: &Asset) -> Value {
    let mut object = Map::new();
    object.insert("id".into(), id.into());
    match asset {
        Asset::Title { text } => object.insert("title".into(), json!({"text": text})),
        Asset::Image { url, w, h, .. } => object.insert("img".into(), json!({"url": url, "w": w, "h": h})),
        Asset::Data { value, .. } => object.insert("data".into(), json!({"value": value})),
    };
    Value::Object(object)
}
