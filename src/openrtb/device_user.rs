//! Who would see the ad, and on what: Device, Geo, UserAgent, User, Data and Segment (OpenRTB 2.6 sections 3.2.18 to
//! 3.2.22 and 3.2.29).

use std::borrow::Cow;

use super::error::RequestError;
use super::value::{apart, count, filled, flag, int, is_blank, is_ext, is_object, lenient, raw, read_object, text};
use crate::json::{Kind, Scanner};

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
                    if let Some(id) = lenient(s, text).unwrap_or_default() {
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
        s.object(|s, key| if key == name { read(s) } else { Ok(s.skip()?) })
    })
}

pub(super) fn device<'a>(s: &mut Scanner<'a>, device: &mut Device<'a>) -> Result<(), RequestError> {
    *device = Device::default();
    let mut langb = None;
    if !is_object(s)? {
        return Ok(());
    }
    read_object!(s, {
        "ua" => device.ua, |s| lenient(s, text);
        "sua" => device.platform, |s| apart(s, sua);
        "ip" => device.ip, |s| lenient(s, text);
        "ipv6" => device.ipv6, |s| lenient(s, text);
        "geo" => (), |s| apart(s, |s| geo(s, &mut device.geo));
        "devicetype" => device.devicetype, int;
        "make" => device.make, |s| lenient(s, text);
        "model" => device.model, |s| lenient(s, text);
        "os" => device.os, text;
        "osv" => device.osv, |s| lenient(s, text);
        "language" => device.language, |s| lenient(s, text);
        "langb" => langb, |s| lenient(s, text);
        "ifa" => device.ifa, text;
        "lmt" => device.lmt, flag;
        "dnt" => device.dnt, flag;
        "w" => device.w, |s| lenient(s, count);
        "h" => device.h, |s| lenient(s, count);
        "js" => device.js, |s| lenient(s, flag);
        "connectiontype" => device.connectiontype, |s| lenient(s, int);
    });
    if device.language.is_none() {
        device.language = langb;
    }
    Ok(())
}

fn geo<'a>(s: &mut Scanner<'a>, geo: &mut Geo<'a>) -> Result<(), RequestError> {
    *geo = Geo::default();
    if is_object(s)? {
        read_object!(s, {
            "country" => geo.country, text;
            "region" => geo.region, text;
            "city" => geo.city, text;
        });
    }
    Ok(())
}

fn sua<'a>(s: &mut Scanner<'a>) -> Result<Option<Cow<'a, str>>, RequestError> {
    let mut brand = None;
    if is_ext(s)? {
        read_object!(s, { "platform" => brand, |s| apart(s, platform); });
    }
    Ok(brand)
}

fn platform<'a>(s: &mut Scanner<'a>) -> Result<Option<Cow<'a, str>>, RequestError> {
    let mut brand = None;
    if is_ext(s)? {
        read_object!(s, { "brand" => brand, |s| lenient(s, text); });
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
        "geo" => (), |s| apart(s, |s| geo(s, &mut user.geo));
        "ext" => ext, |s| apart(s, user_ext);
    });
    user.segments = Segments { data: data.unwrap_or("") };
    if is_blank(&user.consent) {
        user.consent = filled(ext.consent).or(user.consent.take());
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
            "consent" => ext.consent, |s| lenient(s, text);
            "eids" => ext.eids, raw;
        });
    }
    Ok(ext)
}
