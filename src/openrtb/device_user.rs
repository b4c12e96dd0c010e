//! Who would see the ad, and on what: Device, Geo, UserAgent, User, Data and Segment (OpenRTB 2.6 sections 3.2.18 to
//! 3.2.22 and 3.2.29).

use std::borrow::Cow;

use super::error::RequestError;
use super::scan::{Kind, Scanner};
use super::value::{count, flag, int, is_ext, is_object, lenient, raw, read_object, text};

/// Section 3.2.18.
#[derive(Clone, Debug, Default)]
pub struct Device<'a> {
    pub ua: Option<Cow<'a, str>>,
    /// `sua.platform.brand` (section 3.2.29): more reliable than `ua` and `os` where it is present.
    pub platform: Option<Cow<'a, str>>,
    pub ip: Option<Cow<'a, str>>,
    pub ipv6: Option<Cow<'a, str>>,
    pub geo: Geo<'a>,
    /// [`super::codes::DeviceType`].
    pub devicetype: Option<i64>,
    pub make: Option<Cow<'a, str>>,
    pub model: Option<Cow<'a, str>>,
    pub os: Option<Cow<'a, str>>,
    pub osv: Option<Cow<'a, str>>,
    /// ISO 639-1; `langb` (BCP 47) when only that is present.
    pub language: Option<Cow<'a, str>>,
    pub ifa: Option<Cow<'a, str>>,
    pub lmt: Option<bool>,
    pub dnt: Option<bool>,
    pub w: Option<u32>,
    pub h: Option<u32>,
    pub js: Option<bool>,
    pub connectiontype: Option<i64>,
}

/// Section 3.2.19.
#[derive(Clone, Debug, Default)]
pub struct Geo<'a> {
    /// ISO 3166-1 alpha-3.
    pub country: Option<Cow<'a, str>>,
    /// ISO 3166-2 without the country.
    pub region: Option<Cow<'a, str>>,
    pub city: Option<Cow<'a, str>>,
}

/// Section 3.2.20, with `ext.consent` and `ext.eids` of OpenRTB 2.5 where the 2.6 fields are absent.
#[derive(Clone, Debug, Default)]
pub struct User<'a> {
    pub id: Option<Cow<'a, str>>,
    pub buyeruid: Option<Cow<'a, str>>,
    /// A TCF consent string.
    pub consent: Option<Cow<'a, str>>,
    /// The array of EID objects as it stands in the body.
    pub eids: Option<&'a str>,
    pub segments: Segments<'a>,
    /// The user's home: for when the device's place is unknown.
    pub geo: Geo<'a>,
}

/// The segments of `user.data` (sections 3.2.21 and 3.2.22), decoded when walked.
#[derive(Clone, Copy, Debug, Default)]
pub struct Segments<'a> {
    data: &'a str,
}

impl<'a> Segments<'a> {
    pub fn is_empty(&self) -> bool {
        self.data.is_empty()
    }

    /// Calls `each` with every segment's id; objects of another shape are passed over.
    pub fn for_each(&self, mut each: impl FnMut(Cow<'a, str>)) {
        if !self.data.is_empty() {
            // The text was checked when the request was read, so this cannot fail half way.
            let _ = in_objects(&mut Scanner::new(self.data), "segment", &mut |s| {
                in_objects(s, "id", &mut |s| {
                    if let Some(id) = lenient(text)(s).unwrap_or_default() {
                        each(id);
                    }
                    Ok(())
                })
            });
        }
    }

    pub fn any(&self, mut wanted: impl FnMut(&str) -> bool) -> bool {
        let mut found = false;
        self.for_each(|id| found = found || wanted(&id));
        found
    }
}

/// Calls `read` at the value of `name` in each object of an array.
fn in_objects<'a>(
    s: &mut Scanner<'a>,
    name: &str,
    read: &mut dyn FnMut(&mut Scanner<'a>) -> Result<(), RequestError>,
) -> Result<(), RequestError> {
    if s.kind()? != Kind::Array {
        return Ok(s.skip()?);
    }
    s.array(|s| {
        if !is_ext(s)? {
            return Ok(());
        }
        s.object(|s, key| if key.text == name { read(s) } else { Ok(s.skip()?) })
    })
}

pub(super) fn device<'a>(s: &mut Scanner<'a>, device: &mut Device<'a>) -> Result<(), RequestError> {
    *device = Device::default();
    let mut langb = None;
    if !is_object(s)? {
        return Ok(());
    }
    read_object!(s, {
        "ua" => device.ua, lenient(text);
        "sua" => device.platform, sua;
        "ip" => device.ip, lenient(text);
        "ipv6" => device.ipv6, lenient(text);
        "geo" => device.geo, geo;
        "devicetype" => device.devicetype, int;
        "make" => device.make, lenient(text);
        "model" => device.model, lenient(text);
        "os" => device.os, text;
        "osv" => device.osv, lenient(text);
        "language" => device.language, lenient(text);
        "langb" => langb, lenient(text);
        "ifa" => device.ifa, text;
        "lmt" => device.lmt, flag;
        "dnt" => device.dnt, flag;
        "w" => device.w, lenient(count);
        "h" => device.h, lenient(count);
        "js" => device.js, lenient(flag);
        "connectiontype" => device.connectiontype, lenient(int);
    });
    if device.language.is_none() {
        device.language = langb;
    }
    Ok(())
}

fn geo<'a>(s: &mut Scanner<'a>) -> Result<Geo<'a>, RequestError> {
    let mut geo = Geo::default();
    if is_object(s)? {
        read_object!(s, {
            "country" => geo.country, text;
            "region" => geo.region, text;
            "city" => geo.city, text;
        });
    }
    Ok(geo)
}

fn sua<'a>(s: &mut Scanner<'a>) -> Result<Option<Cow<'a, str>>, RequestError> {
    let mut brand = None;
    if is_ext(s)? {
        read_object!(s, { "platform" => brand, platform; });
    }
    Ok(brand)
}

fn platform<'a>(s: &mut Scanner<'a>) -> Result<Option<Cow<'a, str>>, RequestError> {
    let mut brand = None;
    if is_ext(s)? {
        read_object!(s, { "brand" => brand, lenient(text); });
    }
    Ok(brand)
}

pub(super) fn user<'a>(s: &mut Scanner<'a>, user: &mut User<'a>) -> Result<(), RequestError> {
    *user = User::default();
    let (mut data, mut ext) = (None, UserExt::default());
    if !is_object(s)? {
        return Ok(());
    }
    read_object!(s, {
        "id" => user.id, text;
        "buyeruid" => user.buyeruid, text;
        "consent" => user.consent, text;
        "eids" => user.eids, raw;
        "data" => data, raw;
        "geo" => user.geo, geo;
        "ext" => ext, user_ext;
    });
    user.segments = Segments { data: data.unwrap_or("") };
    if user.consent.is_none() {
        user.consent = ext.consent;
    }
    user.eids = user.eids.or(ext.eids);
    Ok(())
}

#[derive(Default)]
struct UserExt<'a> {
    consent: Option<Cow<'a, str>>,
    eids: Option<&'a str>,
}

fn user_ext<'a>(s: &mut Scanner<'a>) -> Result<UserExt<'a>, RequestError> {
    let mut ext = UserExt::default();
    if is_ext(s)? {
        read_object!(s, {
            "consent" => ext.consent, lenient(text);
            "eids" => ext.eids, raw;
        });
    }
    Ok(ext)
}
