//! VAST: built from media files, or looked into where it was given.

use std::fmt::Write;

use super::creative::{Creative, Kind, Markup};

/// OpenRTB protocol of built VAST where a creative names none: VAST 3.0, which every player in use reads.
pub const DEFAULT_PROTOCOL: u16 = 3;

/// Versions with their OpenRTB protocols: in line, and as a wrapper.
const VERSIONS: &[(&str, u16, u16)] =
    &[("1.0", 1, 4), ("2.0", 2, 5), ("3.0", 3, 6), ("4.0", 7, 8), ("4.1", 11, 12), ("4.2", 13, 14), ("4.3", 15, 16)];

/// Builds VAST for a creative made of media files; `None` for any other. The version is 3.0, or the oldest 4.x where
/// the creative's protocols name no earlier one. `impression_url` and `click_tracking_url` are ours.
pub fn build(creative: &Creative, impression_url: Option<&str>, click_tracking_url: Option<&str>) -> Option<String> {
    let (Kind::Video { spot, .. } | Kind::Audio { spot }) = &creative.kind else { return None };
    let Markup::Media(media) = &spot.markup else { return None };
    let early = spot.protocols.is_empty() || spot.protocols.iter().any(|p| [2, 3, 5, 6].contains(p));
    let fourth = VERSIONS.iter().find(|v| v.1 >= 7 && spot.protocols.contains(&v.1));
    let version = if early { "3.0" } else { fourth.map_or("3.0", |v| v.0) };
    let id = Xml(&creative.id);
    let mut out = String::with_capacity(1_024);
    let _ = write!(
        out,
        "<VAST version=\"{version}\"><Ad id=\"{id}\"><InLine><AdSystem>gavel</AdSystem><AdTitle>{id}</AdTitle>"
    );
    if version > "4.0" {
        let _ = write!(out, "<AdServingId>{id}</AdServingId>");
    }
    // At least one Impression is required, and about:blank is the way to say that nobody listens.
    let _ = write!(out, "<Impression>{}</Impression>", Xml(impression_url.unwrap_or("about:blank")));
    let _ = write!(out, "<Creatives><Creative id=\"{id}\">");
    if version >= "4.0" {
        let _ = write!(out, "<UniversalAdId idRegistry=\"unknown\"");
        let _ = match version {
            "4.0" => write!(out, " idValue=\"{id}\">{id}</UniversalAdId>"),
            _ => write!(out, ">{id}</UniversalAdId>"),
        };
    }
    let (hours, minutes, seconds) = (spot.duration_s / 3_600, spot.duration_s / 60 % 60, spot.duration_s % 60);
    let _ = write!(out, "<Linear><Duration>{hours:02}:{minutes:02}:{seconds:02}</Duration>");
    // Version 4 has MediaFiles before VideoClicks; earlier ones take any order.
    out.push_str("<MediaFiles>");
    for file in media {
        let (mime, w, h, url) = (Xml(&file.mime), file.w, file.h, Xml(&file.url));
        let _ = write!(out, "<MediaFile delivery=\"progressive\" type=\"{mime}\" width=\"{w}\" height=\"{h}\"");
        if let Some(bitrate) = file.bitrate_kbps {
            let _ = write!(out, " bitrate=\"{bitrate}\"");
        }
        let _ = write!(out, ">{url}</MediaFile>");
    }
    out.push_str("</MediaFiles>");
    if creative.landing_url.is_some() || click_tracking_url.is_some() {
        out.push_str("<VideoClicks>");
        if let Some(url) = &creative.landing_url {
            let _ = write!(out, "<ClickThrough>{}</ClickThrough>", Xml(url));
        }
        if let Some(url) = click_tracking_url {
            let _ = write!(out, "<ClickTracking>{}</ClickTracking>", Xml(url));
        }
        out.push_str("</VideoClicks>");
    }
    out.push_str("</Linear></Creative></Creatives></InLine></Ad></VAST>");
    Some(out)
}

/// The `type` attributes of `MediaFile` elements, sorted. A plain scan, not an XML parser: it looks at each
/// `<MediaFile` tag up to its `>`; a namespace prefix or an entity in the value hides one.
pub fn mimes(vast: &str) -> Vec<Box<str>> {
    let mut mimes: Vec<Box<str>> = Vec::new();
    for tag in vast.split("<MediaFile").skip(1) {
        // Otherwise it is `<MediaFiles>`.
        if tag.starts_with(|c: char| c.is_ascii_whitespace()) {
            let tag = tag.split('>').next().unwrap_or_default();
            mimes.extend(attribute(tag, "type").map(|mime| mime.trim().to_ascii_lowercase().into()));
        }
    }
    mimes.retain(|mime| !mime.is_empty());
    mimes.sort_unstable();
    mimes.dedup();
    mimes
}

/// The OpenRTB protocol that the `version` of given VAST stands for.
pub fn protocol(vast: &str) -> Option<u16> {
    let tag = vast.split("<VAST").nth(1)?.split('>').next()?;
    let version = attribute(tag, "version")?.trim();
    let (_, inline, wrapper) = VERSIONS.iter().find(|(name, ..)| version.starts_with(name))?;
    Some(if vast.contains("<Wrapper") { *wrapper } else { *inline })
}

/// The value of a quoted attribute in the inside of a tag.
fn attribute<'t>(tag: &'t str, name: &str) -> Option<&'t str> {
    let mut rest = tag;
    while let Some(at) = rest.find(name) {
        let (before, after) = (&rest[..at], &rest[at + name.len()..]);
        if before.ends_with(|c: char| c.is_ascii_whitespace()) {
            let value = after.trim_start().strip_prefix('=').map(str::trim_start);
            if let Some(value) = value
                && let Some(quote) = value.chars().next().filter(|c| ['"', '\''].contains(c))
            {
                return value[1..].split(quote).next();
            }
        }
        rest = after;
    }
    None
}

/// Text escaped for XML content and attributes; characters that XML 1.0 cannot hold are left out.
struct Xml<'a>(&'a str);

impl std::fmt::Display for Xml<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        for c in self.0.chars() {
            match c {
                '&' => f.write_str("&amp;")?,
                '<' => f.write_str("&lt;")?,
                '>' => f.write_str("&gt;")?,
                '"' => f.write_str("&quot;")?,
                '\'' => f.write_str("&apos;")?,
                '\t' | '\n' | '\r' => f.write_char(c)?,
                c if c < ' ' || ['\u{fffe}', '\u{ffff}'].contains(&c) => {}
                c => f.write_char(c)?,
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bidding::creative::{Media, Spot};

    fn creative(protocols: &[u16]) -> Creative {
        let media = Media {
            url: "https://cdn.example/a.mp4?x=1&y=<'2'>".into(),
            mime: "video/mp4".into(),
            w: 640,
            h: 360,
            bitrate_kbps: Some(800),
        };
        let spot = Spot {
            duration_s: 3_661,
            markup: Markup::Media(vec![media]),
            mimes: vec!["video/mp4".into()],
            protocols: protocols.into(),
        };
        Creative {
            id: "v-1".into(),
            kind: Kind::Video { w: 640, h: 360, spot },
            adomain: vec![],
            cat: vec![],
            attr: vec![],
            landing_url: Some("https://acme.example/?a=1&b=2".into()),
            secure: true,
        }
    }

    #[test]
    fn builds_version_3() {
        let vast = build(&creative(&[]), Some("https://t.example/i?a&b"), None).unwrap();
        assert_eq!(
            vast,
            "<VAST version=\"3.0\"><Ad id=\"v-1\"><InLine><AdSystem>gavel</AdSystem><AdTitle>v-1</AdTitle>\
             <Impression>https://t.example/i?a&amp;b</Impression><Creatives><Creative id=\"v-1\"><Linear>\
             <Duration>01:01:01</Duration><MediaFiles><MediaFile delivery=\"progressive\" type=\"video/mp4\" \
             width=\"640\" height=\"360\" bitrate=\"800\">https://cdn.example/a.mp4?x=1&amp;y=&lt;&apos;2&apos;&gt;\
             </MediaFile></MediaFiles><VideoClicks><ClickThrough>https://acme.example/?a=1&amp;b=2</ClickThrough>\
             </VideoClicks></Linear></Creative></Creatives></InLine></Ad></VAST>"
        );
        assert_eq!((mimes(&vast), protocol(&vast)), (vec!["video/mp4".into()], Some(3)));
    }

    #[test]
    fn builds_the_version_that_is_asked_for() {
        for (protocols, want) in [(&[2, 3, 7][..], 3), (&[7], 7), (&[11, 13], 11), (&[13], 13), (&[9], 3)] {
            let vast = build(&creative(protocols), None, Some("https://t.example/c")).unwrap();
            assert_eq!(protocol(&vast), Some(want), "{protocols:?}");
            assert_eq!(vast.contains("<UniversalAdId "), want >= 7);
            assert_eq!(vast.contains("<AdServingId>"), want >= 11);
            assert!(vast.contains("<Impression>about:blank</Impression>"));
            assert!(vast.contains("<ClickTracking>https://t.example/c</ClickTracking>"));
        }
    }

    #[test]
    fn looks_into_given_vast() {
        let vast = "<?xml version='1.0'?><VAST xmlns:x='y' version = '4.2'><MediaFiles>\
                    <MediaFile apitype=\"no\" type='Video/MP4' w=\"1\">u</MediaFile><MediaFile\n type=\"video/webm\"/>\
                    <MediaFile type=\"video/mp4\"/><MediaFile type=video/ogg><MediaFile type=";
        assert_eq!(mimes(vast), ["video/mp4".into(), "video/webm".into()]);
        assert_eq!(protocol(vast), Some(13));
        assert_eq!(protocol("<VAST version=\"2.0\"><Ad><Wrapper>"), Some(5));
        assert_eq!(protocol("<VAST version=\"9\">"), None);
        assert_eq!(protocol("<VAST"), None);
    }
}
