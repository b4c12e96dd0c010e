//! Which content coding a request has, and which one its answer may have (RFC 9110 sections 8.4 and 12.5.3).
//!
//! No answer says `Vary`: only POST requests are answered encoded, and nobody caches those.

use hyper::HeaderMap;
use hyper::header::{ACCEPT_ENCODING, CONTENT_ENCODING};

/// A content coding other than identity.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Coding {
    Gzip,
    Zstd,
}

/// What an answer of 415 offers instead (RFC 9110 section 12.5.3).
pub const OFFERED: &str = "gzip, zstd";

impl Coding {
    pub const fn as_str(self) -> &'static str {
        match self {
            Coding::Gzip => "gzip",
            Coding::Zstd => "zstd",
        }
    }
}

/// The coding is none that can be undone, or there are several.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Unsupported;

/// How the body is encoded; `None` is identity.
pub fn of_body(headers: &HeaderMap) -> Result<Option<Coding>, Unsupported> {
    if headers.contains_key(CONTENT_ENCODING) { named(headers) } else { Ok(None) }
}

#[inline(never)]
fn named(headers: &HeaderMap) -> Result<Option<Coding>, Unsupported> {
    let mut coding = None;
    for value in headers.get_all(CONTENT_ENCODING) {
        for name in value.to_str().map_err(|_| Unsupported)?.split(',').map(str::trim).filter(|n| !n.is_empty()) {
            if name.eq_ignore_ascii_case("identity") {
                continue;
            }
            if coding.replace(known(name).ok_or(Unsupported)?).is_some() {
                return Err(Unsupported);
            }
        }
    }
    Ok(coding)
}

fn known(name: &str) -> Option<Coding> {
    match name {
        _ if name.eq_ignore_ascii_case("gzip") || name.eq_ignore_ascii_case("x-gzip") => Some(Coding::Gzip),
        _ if name.eq_ignore_ascii_case("zstd") => Some(Coding::Zstd),
        _ => None,
    }
}

/// How the answer is best encoded; `None` is identity, also where the client would rather have nothing at all.
pub fn for_answer(headers: &HeaderMap) -> Option<Coding> {
    if headers.contains_key(ACCEPT_ENCODING) { accepted(headers) } else { None }
}

#[inline(never)]
fn accepted(headers: &HeaderMap) -> Option<Coding> {
    // In thousandths; none where it is not named.
    let (mut gzip, mut zstd, mut identity, mut any) = (None, None, None, None);
    for value in headers.get_all(ACCEPT_ENCODING) {
        for element in value.to_str().unwrap_or("").split(',') {
            let Some((name, weight)) = weighed(element) else { continue };
            match known(name) {
                Some(Coding::Gzip) => gzip = Some(weight),
                Some(Coding::Zstd) => zstd = Some(weight),
                None if name == "*" => any = Some(weight),
                None if name.eq_ignore_ascii_case("identity") => identity = Some(weight),
                None => {}
            }
        }
    }
    let weight = |named: Option<u16>| named.or(any).unwrap_or(0);
    // Of equals zstd, which takes less time; but who only says `*` gets what everybody can read.
    let best = match (weight(zstd), weight(gzip)) {
        (zstd_weight, gzip_weight) if zstd_weight > gzip_weight => (zstd_weight, Coding::Zstd),
        (zstd_weight, gzip_weight) if zstd_weight == gzip_weight && zstd.is_some() => (zstd_weight, Coding::Zstd),
        (_, gzip_weight) => (gzip_weight, Coding::Gzip),
    };
    (best.0 > 0 && best.0 >= identity.unwrap_or(0)).then_some(best.1)
}

/// The name and weight of `name;q=0.5`; none where that is malformed.
fn weighed(element: &str) -> Option<(&str, u16)> {
    let mut parts = element.split(';').map(str::trim);
    let name = parts.next().filter(|name| !name.is_empty())?;
    let mut weight = 1_000;
    for part in parts {
        if let Some(q) = part.strip_prefix("q=").or_else(|| part.strip_prefix("Q=")) {
            weight = thousandths(q)?;
        }
    }
    Some((name, weight))
}

/// `0`, `0.25` or `1.000` (RFC 9110 section 12.4.2).
fn thousandths(q: &str) -> Option<u16> {
    let (whole, fraction) = q.split_once('.').unwrap_or((q, ""));
    if !matches!(whole, "0" | "1") || fraction.len() > 3 || !fraction.bytes().all(|b| b.is_ascii_digit()) {
        return None;
    }
    let fraction: u16 = format!("{fraction:0<3}").parse().ok()?;
    let weight = if whole == "1" { 1_000 + fraction } else { fraction };
    (weight <= 1_000).then_some(weight)
}

#[cfg(test)]
mod tests {
    use hyper::header::{HeaderName, HeaderValue};

    use super::*;

    fn headers(name: HeaderName, values: &[&str]) -> HeaderMap {
        let mut headers = HeaderMap::new();
        for value in values {
            headers.append(&name, HeaderValue::from_str(value).unwrap());
        }
        headers
    }

    #[test]
    fn a_body_has_one_known_coding_or_none() {
        let of = |values: &[&str]| of_body(&headers(CONTENT_ENCODING, values));
        for none in [&[][..], &["identity"], &["Identity", ""], &["identity, identity"]] {
            assert_eq!(of(none), Ok(None), "{none:?}");
        }
        for gzip in [&["gzip"][..], &["GZip"], &["x-gzip"], &["identity, gzip"], &["identity", " gzip "]] {
            assert_eq!(of(gzip), Ok(Some(Coding::Gzip)), "{gzip:?}");
        }
        assert_eq!(of(&["zstd"]), Ok(Some(Coding::Zstd)));
        for unknown in [&["br"][..], &["deflate"], &["gzip, gzip"], &["gzip", "zstd"], &["gzip;q=1"], &["*"]] {
            assert_eq!(of(unknown), Err(Unsupported), "{unknown:?}");
        }
    }

    #[test]
    fn an_answer_has_the_coding_with_the_greatest_weight() {
        let of = |values: &[&str]| for_answer(&headers(ACCEPT_ENCODING, values));
        for (accept, coding) in [
            ("gzip", Some(Coding::Gzip)),
            ("X-GZIP", Some(Coding::Gzip)),
            ("zstd", Some(Coding::Zstd)),
            ("gzip, deflate, br", Some(Coding::Gzip)),
            ("gzip, deflate, br, zstd", Some(Coding::Zstd)),
            ("gzip;q=1.0, zstd;q=0.9", Some(Coding::Gzip)),
            ("gzip;q=0.5, zstd; Q=0.501", Some(Coding::Zstd)),
            ("*", Some(Coding::Gzip)),
            ("gzip, *", Some(Coding::Gzip)),
            ("gzip;q=0, *;q=0.1", Some(Coding::Zstd)),
            ("gzip;q=0, zstd;q=0.000, *", None),
            ("*;q=0", None),
            ("gzip;q=0", None),
            ("", None),
            ("identity", None),
            ("br, deflate", None),
            ("identity, gzip;q=0.5", None),
            ("identity;q=0.5, gzip", Some(Coding::Gzip)),
            ("identity;q=0, gzip;q=0.001", Some(Coding::Gzip)),
            ("gzip;q=2", None),
            ("gzip;q=1.001", None),
            ("gzip;q=x, zstd;q=0.1", Some(Coding::Zstd)),
            ("gzip;q=0.1234", None),
            ("gzip;level=9;q=0.3", Some(Coding::Gzip)),
        ] {
            assert_eq!(of(&[accept]), coding, "{accept:?}");
        }
        assert_eq!(of(&[]), None);
        assert_eq!(of(&["br", "gzip;q=0.1", "zstd;q=0.2"]), Some(Coding::Zstd));
    }
}
