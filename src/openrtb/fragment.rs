//! A creative's part of every bid for it, rendered once when the creative is loaded (OpenRTB 2.6 section 4.2.3).

use super::codes::MarkupType;
use super::response::write_uint;
use crate::json::escape::{escape_json, write_string};

/// Where this stands in the markup, each bid's token goes, so that the ad's own tracking URLs are signed like its
/// notices.
pub const TOKEN_MACRO: &str = "${GAVEL_TOKEN}";

/// What a bid says about its creative. Absent and empty members are left out.
#[derive(Clone, Copy, Debug)]
pub struct CreativeParts<'a> {
    /// Markup: HTML or VAST. None where each bid writes its own: a native creative's assets carry the request's ids, and
    /// built VAST the files that fit.
    pub adm: Option<&'a str>,
    pub adomain: &'a [Box<str>],
    /// The app that is advertised.
    pub bundle: Option<&'a str>,
    pub cat: &'a [Box<str>],
    /// Taxonomy of `cat`.
    pub cattax: Option<u32>,
    pub attr: &'a [u16],
    pub crid: &'a str,
    pub cid: &'a str,
    pub size: Option<(u32, u32)>,
    pub mtype: MarkupType,
    /// Seconds.
    pub dur: Option<u32>,
    pub apis: &'a [u16],
    pub language: Option<&'a str>,
}

/// JSON members, and where in them the token goes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fragment {
    pub bytes: Box<[u8]>,
    pub token_slots: Box<[u32]>,
}

impl Fragment {
    pub fn render(creative: &CreativeParts) -> Fragment {
        let mut out = Vec::with_capacity(creative.adm.map_or(0, str::len) + 256);
        let mut token_slots = Vec::new();
        if let Some(adm) = creative.adm {
            out.extend_from_slice(b"\"adm\":\"");
            for (i, piece) in adm.split(TOKEN_MACRO).enumerate() {
                if i > 0 {
                    token_slots.push(out.len() as u32);
                }
                escape_json(piece, &mut out);
            }
            out.extend_from_slice(b"\",");
        }
        string("\"crid\":", Some(creative.crid), &mut out);
        string_list(",\"adomain\":", creative.adomain, &mut out);
        string(",\"bundle\":", creative.bundle, &mut out);
        string_list(",\"cat\":", creative.cat, &mut out);
        if !creative.cat.is_empty() {
            uint(",\"cattax\":", creative.cattax, &mut out);
        }
        uint_list(",\"attr\":", creative.attr, &mut out);
        string(",\"cid\":", Some(creative.cid), &mut out);
        uint(",\"w\":", creative.size.map(|(w, _)| w), &mut out);
        uint(",\"h\":", creative.size.map(|(_, h)| h), &mut out);
        uint(",\"mtype\":", Some(creative.mtype.code().into()), &mut out);
        uint(",\"dur\":", creative.dur, &mut out);
        uint_list(",\"apis\":", creative.apis, &mut out);
        string(",\"language\":", creative.language, &mut out);
        Fragment { bytes: out.into_boxed_slice(), token_slots: token_slots.into_boxed_slice() }
    }
}

fn string(name: &str, value: Option<&str>, out: &mut Vec<u8>) {
    if let Some(value) = value.filter(|value| !value.is_empty()) {
        out.extend_from_slice(name.as_bytes());
        write_string(value, out);
    }
}

fn uint(name: &str, value: Option<u32>, out: &mut Vec<u8>) {
    if let Some(value) = value {
        out.extend_from_slice(name.as_bytes());
        write_uint(u64::from(value), out);
    }
}

fn list<T>(name: &str, values: &[T], out: &mut Vec<u8>, write: impl Fn(&T, &mut Vec<u8>)) {
    if values.is_empty() {
        return;
    }
    out.extend_from_slice(name.as_bytes());
    for (i, value) in values.iter().enumerate() {
        out.push(if i == 0 { b'[' } else { b',' });
        write(value, out);
    }
    out.push(b']');
}

fn string_list(name: &str, values: &[Box<str>], out: &mut Vec<u8>) {
    list(name, values, out, |value, out| write_string(value, out));
}

fn uint_list(name: &str, values: &[u16], out: &mut Vec<u8>) {
    list(name, values, out, |value, out| write_uint(u64::from(*value), out));
}
