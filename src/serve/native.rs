//! The `adm` of a native bid: the creative's assets under the request's ids (OpenRTB Native 1.2 section 5).

use serde_json::{Map, Value, json};

use crate::bidding::creative::{Asset, Creative, Kind};
use crate::bidding::fit::answer;
use crate::openrtb::escape::escape_json;
use crate::openrtb::native::NativeRequest;

/// Appends `"adm":"...",`. Every required asset is answered: the decision has checked that; optional ones are where
/// the creative has them.
pub fn write_adm(creative: &Creative, request: &NativeRequest, out: &mut Vec<u8>) {
    let Kind::Native { assets, link } = &creative.kind else { return };
    let answered = request.assets.iter().filter_map(|wanted| Some(asset(wanted.id?, answer(assets, wanted)?)));
    let native = json!({"native": {"ver": "1.2", "assets": answered.collect::<Vec<_>>(), "link": {"url": link}}});
    out.extend_from_slice(b"\"adm\":\"");
    escape_json(&native.to_string(), out);
    out.extend_from_slice(b"\",");
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
