//! VAST: made of media files for each impression, wrapped around another server's, or looked into where it was given.

use std::fmt::Write;

use smallvec::SmallVec;

use super::creative::{Creative, Kind, Markup, Media, Spot};
use super::lists::SpotLists;
use crate::openrtb::audio_video::AudioVideo;

/// OpenRTB protocol of built VAST where a creative names none: VAST 3.0, which every player in use reads.
pub const DEFAULT_PROTOCOL: u16 = 3;
/// The same for a wrapper.
pub const DEFAULT_WRAPPER: u16 = 6;

/// Versions with their OpenRTB protocols: in line, and as a wrapper.
const VERSIONS: &[(&str, u16, u16)] =
    &[("1.0", 1, 4), ("2.0", 2, 5), ("3.0", 3, 6), ("4.0", 7, 8), ("4.1", 11, 12), ("4.2", 13, 14), ("4.3", 15, 16)];

/// Those that are built: 1.0 has another root.
const BUILT: &[(&str, u16, u16)] = VERSIONS.split_at(1).1;

/// How media files are delivered: progressively (AdCOM 1.0, list of delivery methods).
const PROGRESSIVE: i64 = 2;

/// How a spot is served to one impression.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Choice {
    /// None if neither the creative nor its VAST says.
    pub protocol: Option<u16>,
    /// Positions of the media files that fit, the best one first.
    pub files: SmallVec<[u8; 8]>,
}

/// What of a spot fits an impression by protocol, file type, bitrate and delivery (OpenRTB 2.6 sections 3.2.7 and 3.2.8).
pub fn choose(spot: &Spot, offered: &AudioVideo, lists: &SpotLists) -> Option<Choice> {
    let protocol = protocol_for(spot, offered, lists)?;
    let mut files = SmallVec::new();
    match &spot.markup {
        Markup::Media(media) => {
            if !offered.delivery.is_empty() && !lists.delivery.have(offered.delivery, PROGRESSIVE) {
                return None;
            }
            files.extend((0..media.len() as u8).filter(|at| file_fits(&media[usize::from(*at)], offered, lists)));
            if files.is_empty() {
                return None;
            }
            if let (Some(w), Some(h)) = (offered.w, offered.h) {
                files.sort_by_key(|at| distance(&media[usize::from(*at)], w, h));
            }
        }
        Markup::Vast(_) | Markup::Wrapper(_) => {
            let known = !spot.mimes.is_empty();
            if known && !spot.mimes.iter().any(|m| lists.mimes.have(offered.mimes, m)) {
                return None;
            }
        }
    }
    Some(Choice { protocol, files })
}

/// The protocol to be served as: of those that both sides have, 3.0 or else the newest.
fn protocol_for(spot: &Spot, offered: &AudioVideo, lists: &SpotLists) -> Option<Option<u16>> {
    let own = spot.protocols.iter().copied().filter(|p| can_be(&spot.markup, *p));
    let both = own.filter(|p| offered.protocols.is_empty() || lists.protocols.have(offered.protocols, i64::from(*p)));
    let best = both.max_by_key(|p| if [DEFAULT_PROTOCOL, DEFAULT_WRAPPER].contains(p) { u16::MAX } else { *p });
    match best {
        Some(protocol) => Some(Some(protocol)),
        None if offered.protocols.is_empty() => Some(spot.protocols.first().copied()),
        None => None,
    }
}

/// Whether the markup is, or can be built as, that protocol: what is built in line is no wrapper, and no DAAST.
pub fn can_be(markup: &Markup, protocol: u16) -> bool {
    match markup {
        Markup::Vast(_) => true,
        Markup::Media(_) => BUILT.iter().any(|v| v.1 == protocol),
        Markup::Wrapper(_) => BUILT.iter().any(|v| v.2 == protocol),
    }
}

/// A file whose bitrate nobody knows does not fit where that is bounded.
fn file_fits(file: &Media, offered: &AudioVideo, lists: &SpotLists) -> bool {
    let bounds = offered.minbitrate.unwrap_or(0)..=offered.maxbitrate.filter(|most| *most > 0).unwrap_or(u32::MAX);
    let bounded = *bounds.start() > 0 || *bounds.end() < u32::MAX;
    lists.mimes.have(offered.mimes, &file.mime) && file.bitrate_kbps.map_or(!bounded, |rate| bounds.contains(&rate))
}

/// How badly a file fits a player: the largest that does not exceed it is best, then the least that does.
fn distance(file: &Media, w: u32, h: u32) -> (bool, i64) {
    let area = i64::from(file.w) * i64::from(file.h);
    let exceeds = file.w > w || file.h > h;
    (exceeds, if exceeds { area } else { -area })
}

/// VAST for a creative made of media files, or wrapped around its URL; `None` for any other. `impression_url` is ours.
pub fn build(creative: &Creative, choice: &Choice, impression_url: &str) -> Option<String> {
    let (Kind::Video { spot, .. } | Kind::Audio { spot }) = &creative.kind else { return None };
    let spoken = |v: &&(&str, u16, u16)| choice.protocol.is_some_and(|p| p == v.1 || p == v.2);
    let version = VERSIONS.iter().find(spoken).map_or("3.0", |v| v.0);
    let mut out = String::with_capacity(1_024);
    // Writing to a string cannot fail.
    let _ = match &spot.markup {
        Markup::Vast(_) => return None,
        Markup::Media(media) => inline(creative, spot, media, choice, version, impression_url, &mut out),
        Markup::Wrapper(url) => wrapper(creative, url, version, impression_url, &mut out),
    };
    Some(out)
}

/// The size of a video that is built: that of its best file.
pub fn size(creative: &Creative, choice: &Choice) -> Option<(u32, u32)> {
    let Kind::Video { spot, .. } = &creative.kind else { return None };
    let Markup::Media(media) = &spot.markup else { return None };
    media.get(usize::from(*choice.files.first()?)).map(|file| (file.w, file.h))
}

fn wrapper(creative: &Creative, url: &str, version: &str, impression_url: &str, out: &mut String) -> std::fmt::Result {
    write!(
        out,
        "<VAST version=\"{version}\"><Ad id=\"{}\"><Wrapper><AdSystem>gavel</AdSystem><VASTAdTagURI>{}</VASTAdTagURI>\
         <Impression>{}</Impression></Wrapper></Ad></VAST>",
        Xml(&creative.id),
        Xml(url),
        Xml(impression_url)
    )
}

fn inline(
    creative: &Creative,
    spot: &Spot,
    media: &[Media],
    choice: &Choice,
    version: &str,
    impression_url: &str,
    out: &mut String,
) -> std::fmt::Result {
    let id = Xml(&creative.id);
    write!(
        out,
        "<VAST version=\"{version}\"><Ad id=\"{id}\"><InLine><AdSystem>gavel</AdSystem><AdTitle>{id}</AdTitle>"
    )?;
    if version > "4.0" {
        write!(out, "<AdServingId>{id}</AdServingId>")?;
    }
    write!(out, "<Impression>{}</Impression><Creatives><Creative id=\"{id}\">", Xml(impression_url))?;
    if version >= "4.0" {
        out.push_str("<UniversalAdId idRegistry=\"unknown\"");
        match version {
            "4.0" => write!(out, " idValue=\"{id}\">{id}</UniversalAdId>")?,
            _ => write!(out, ">{id}</UniversalAdId>")?,
        }
    }
    let (hours, minutes, seconds) = (spot.duration_s / 3_600, spot.duration_s / 60 % 60, spot.duration_s % 60);
    write!(out, "<Linear><Duration>{hours:02}:{minutes:02}:{seconds:02}</Duration>")?;
    // Version 4 has MediaFiles before VideoClicks; earlier ones take any order.
    out.push_str("<MediaFiles>");
    for file in choice.files.iter().filter_map(|at| media.get(usize::from(*at))) {
        let (mime, w, h, url) = (Xml(&file.mime), file.w, file.h, Xml(&file.url));
        write!(out, "<MediaFile delivery=\"progressive\" type=\"{mime}\" width=\"{w}\" height=\"{h}\"")?;
        if let Some(bitrate) = file.bitrate_kbps {
            write!(out, " bitrate=\"{bitrate}\"")?;
        }
        write!(out, ">{url}</MediaFile>")?;
    }
    out.push_str("</MediaFiles>");
    if let Some(url) = &creative.landing_url {
        write!(out, "<VideoClicks><ClickThrough>{}</ClickThrough></VideoClicks>", Xml(url))?;
    }
    out.push_str("</Linear></Creative></Creatives></InLine></Ad></VAST>");
    Ok(())
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
        let spot = Box::new(Spot {
            duration_s: 3_661,
            markup: Markup::Media(vec![media]),
            mimes: vec!["video/mp4".into()],
            protocols: protocols.into(),
        });
        Creative {
            id: "v-1".into(),
            kind: Kind::Video { w: 640, h: 360, spot },
            adomain: Box::default(),
            bundle: None,
            cat: Box::default(),
            cattax: 1,
            attr: Box::default(),
            landing_url: Some("https://acme.example/?a=1&b=2".into()),
            secure: true,
        }
    }

    fn choice(protocol: u16) -> Choice {
        Choice { protocol: Some(protocol), files: SmallVec::from_slice(&[0]) }
    }

    #[test]
    fn builds_version_3() {
        let vast = build(&creative(&[]), &choice(3), "https://t.example/i?a&b").unwrap();
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
    fn builds_the_version_that_was_chosen() {
        for (chosen, want) in [(2, 2), (3, 3), (7, 7), (11, 11), (13, 13), (15, 15), (9, 3)] {
            let vast = build(&creative(&[]), &choice(chosen), "https://t.example/i").unwrap();
            assert_eq!(protocol(&vast), Some(want), "{chosen}");
            assert_eq!(vast.contains("<UniversalAdId "), want >= 7);
            assert_eq!(vast.contains("<AdServingId>"), want >= 11);
        }
    }

    #[test]
    fn chooses_what_both_sides_speak() {
        let chosen = |own: &[u16], offered: &str| {
            let body =
                format!(r#"{{"id":"r","imp":[{{"id":"1","video":{{"mimes":["video/mp4"],"protocols":{offered}}}}}]}}"#);
            let request = crate::openrtb::parse(body.as_bytes()).unwrap();
            let Kind::Video { spot, .. } = creative(own).kind else { panic!() };
            choose(&spot, request.imp[0].video.as_ref().unwrap(), &SpotLists::default())
                .map(|choice| choice.protocol.unwrap())
        };
        assert_eq!(chosen(&[2, 3, 7], "[2,3,7]"), Some(3));
        assert_eq!(chosen(&[2, 7, 13], "[2,7,13]"), Some(13));
        assert_eq!(chosen(&[2, 7], "[]"), Some(7));
        // No wrapper is made of media files.
        assert_eq!(chosen(&[2, 3, 5, 6], "[5,6]"), None);
        assert_eq!(chosen(&[3], "[2]"), None);
        // Nor DAAST, nor VAST 1.0.
        assert_eq!(chosen(&[1, 3, 9, 10], "[1,9,10]"), None);
        assert_eq!(chosen(&[1, 3, 9, 10], "[]"), Some(3));
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
