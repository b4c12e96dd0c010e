//! A request without what may tell who its user is: what is kept of one whose user data may not be used.

use std::collections::BTreeMap;

use serde_json::value::{RawValue, to_raw_value};

/// Members as they stand in the text.
type Members<'a> = BTreeMap<String, &'a RawValue>;

/// What is left of `device` (OpenRTB 2.6 section 3.2.18): no id, no address, no extension.
const DEVICE: [&str; 19] = [
    "ua",
    "sua",
    "dnt",
    "lmt",
    "devicetype",
    "make",
    "model",
    "os",
    "osv",
    "hwv",
    "h",
    "w",
    "ppi",
    "pxratio",
    "js",
    "language",
    "langb",
    "carrier",
    "connectiontype",
];
/// Of `device.geo` (section 3.2.19): nothing finer than a city.
const GEO: [&str; 7] = ["country", "region", "regionfips104", "metro", "city", "type", "utcoffset"];
/// Of `user` and `user.ext`: what the verdict came from.
const USER: [&str; 1] = ["consent"];

/// The request's JSON without user, ids, addresses and exact places; everything else stands as it was typed. `None` when
/// that is more than a reader of JSON takes.
pub fn without_user(body: &str) -> Option<String> {
    let mut request: Members = serde_json::from_str(body).ok()?;
    request.remove("ext");
    let device = request.remove("device").map(device);
    let user = request.remove("user").map(user);
    if let Some(device) = device.as_ref().and_then(Option::as_ref) {
        request.insert("device".to_owned(), device);
    }
    if let Some(user) = user.as_ref().and_then(Option::as_ref) {
        request.insert("user".to_owned(), user);
    }
    serde_json::to_string(&request).ok()
}

/// `None` for what is no object.
fn members(of: &RawValue) -> Option<Members<'_>> {
    serde_json::from_str(of.get()).ok()
}

fn only<'a>(mut members: Members<'a>, kept: &[&str]) -> Members<'a> {
    members.retain(|name, _| kept.contains(&name.as_str()));
    members
}

fn device(of: &RawValue) -> Option<Box<RawValue>> {
    let mut members = members(of)?;
    let geo = members.remove("geo").and_then(|geo| to_raw_value(&only(self::members(geo)?, &GEO)).ok());
    let mut kept = only(members, &DEVICE);
    if let Some(geo) = &geo {
        kept.insert("geo".to_owned(), geo);
    }
    to_raw_value(&kept).ok()
}

fn user(of: &RawValue) -> Option<Box<RawValue>> {
    let mut members = members(of)?;
    let ext = members.remove("ext").and_then(|ext| to_raw_value(&only(self::members(ext)?, &USER)).ok());
    let mut kept = only(members, &USER);
    if let Some(ext) = &ext {
        kept.insert("ext".to_owned(), ext);
    }
    to_raw_value(&kept).ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    #[test]
    fn what_tells_the_user_goes_and_the_rest_stays() {
        let body = r#"{"id":"r","imp":[{"id":"1","bidfloor":1.10}],"regs":{"gdpr":1},"ext":{"uid":"SECRET"},
            "device":{"ifa":"SECRET","ip":"SECRET","ipv6":"SECRET","didsha1":"SECRET","ext":{"a":"SECRET"},"ua":"browser","os":"iOS","lmt":1,
                "geo":{"lat":1.5,"lon":2.5,"zip":"SECRET","country":"DEU","city":"Berlin"}},
            "user":{"id":"SECRET","buyeruid":"SECRET","yob":1984,"consent":"CP","data":[{"segment":[{"id":"SECRET"}]}],
                "eids":[{"source":"s","uids":[{"id":"SECRET"}]}],"ext":{"consent":"CQ","eids":["SECRET"]}}}"#;
        let kept = without_user(body).unwrap();
        assert!(!kept.contains("SECRET") && kept.contains("1.10"), "{kept}");
        let expected = json!({
            "id": "r", "imp": [{"id": "1", "bidfloor": 1.1}], "regs": {"gdpr": 1},
            "device": {"ua": "browser", "os": "iOS", "lmt": 1, "geo": {"country": "DEU", "city": "Berlin"}},
            "user": {"consent": "CP", "ext": {"consent": "CQ"}},
        });
        assert_eq!(serde_json::from_str::<Value>(&kept).unwrap(), expected);
        assert_eq!(without_user(&kept).unwrap(), kept, "there is nothing more to take");
    }

    #[test]
    fn a_name_may_be_written_with_escapes_and_an_object_may_be_something_else() {
        let body = r#"{"dev\u0069ce":{"\u0069fa":"SECRET"},"user":"SECRET","imp":null}"#;
        assert_eq!(without_user(body).unwrap(), r#"{"device":{},"imp":null}"#);
        assert_eq!(without_user("[1]"), None);
    }
}
