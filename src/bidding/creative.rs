//! A creative: what is shown, with the facts that exchanges filter by.

use serde_json::Value;

use super::campaign::{MAX_ID_BYTES, MAX_NAME_BYTES, category};
use super::check::{Object, bounded, choice, integer, name, quoted, text, url};
use super::taxonomy::Taxonomy;
use super::vast;

/// Most creatives of one campaign.
pub const MAX_CREATIVES: usize = 100;
/// Longest markup, banner or VAST.
pub const MAX_MARKUP_BYTES: usize = 256 << 10;
pub const MAX_URL_BYTES: usize = 2_048;
/// Widest and highest size in pixels.
pub const MAX_PIXELS: u32 = 32_767;
/// Longest video or audio: an hour.
pub const MAX_DURATION_S: u32 = 3_600;
/// Most files of one video or audio creative, and most assets of a native one.
pub const MAX_PARTS: usize = 50;
/// Most domains, categories, attributes or protocols.
pub const MAX_FACTS: usize = 100;
/// Longest text of a native asset.
pub const MAX_ASSET_TEXT_BYTES: usize = 2_048;
/// OpenRTB's lists of attributes, protocols and data types end far below; exchanges add their own from 500.
const MAX_CODE: u32 = 9_999;

const COMMON: [&str; 8] = ["id", "type", "adomain", "bundle", "cat", "cattax", "attr", "landing_url"];

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Creative {
    /// Unique within its campaign; `crid` of its bids.
    pub id: Box<str>,
    pub kind: Kind,
    /// Small letters, no leading `www.`; at least one.
    pub adomain: Box<[Box<str>]>,
    /// The app that is advertised, as its store names it.
    pub bundle: Option<Box<str>>,
    pub cat: Box<[Box<str>]>,
    /// Taxonomy of `cat`: a content taxonomy of AdCOM's list, 1.0 unless it says otherwise.
    pub cattax: u16,
    pub attr: Box<[u16]>,
    pub landing_url: Option<Box<str>>,
    /// No `http:` anywhere in its markup.
    pub secure: bool,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Kind {
    Banner { w: u32, h: u32, adm: Box<str> },
    Video { w: u32, h: u32, spot: Box<Spot> },
    Audio { spot: Box<Spot> },
    Native { assets: Box<[Asset]>, link: Box<str> },
}

/// What video and audio have in common.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Spot {
    pub duration_s: u32,
    pub markup: Markup,
    /// Types of its media files. For given VAST, those its `MediaFile` elements name: empty where it has none, as in
    /// a wrapper.
    pub mimes: Vec<Box<str>>,
    /// OpenRTB protocols it may be served as. Where none are given, the one its VAST version stands for.
    /// At least one, unless the version of the given VAST says none.
    pub protocols: Vec<u16>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Markup {
    Vast(Box<str>),
    /// [`vast::build`] makes the VAST for each bid.
    Media(Vec<Media>),
    /// Where the VAST is: [`vast::build`] wraps it.
    Wrapper(String),
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Media {
    pub url: String,
    pub mime: Box<str>,
    /// The creative's size where none is given; 0 for audio.
    pub w: u32,
    pub h: u32,
    pub bitrate_kbps: Option<u32>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Asset {
    Title { text: String },
    Image { kind: ImageKind, url: String, w: u32, h: u32 },
    Data { data_type: u16, value: String },
}

/// OpenRTB Native image asset types.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum ImageKind {
    Icon = 1,
    Main = 3,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Type {
    Banner,
    Video,
    Audio,
    Native,
}

impl Creative {
    /// OpenRTB `mtype`.
    pub fn mtype(&self) -> u8 {
        match self.kind {
            Kind::Banner { .. } => 1,
            Kind::Video { .. } => 2,
            Kind::Audio { .. } => 3,
            Kind::Native { .. } => 4,
        }
    }

    /// Where a click leads.
    pub fn click_url(&self) -> Option<&str> {
        match (&self.landing_url, &self.kind) {
            (Some(url), _) => Some(url),
            (None, Kind::Native { link, .. }) => Some(link),
            (None, _) => None,
        }
    }

    /// Takes out markup that is served as it is, for who has it elsewhere.
    pub(super) fn forget_markup(&mut self) {
        match &mut self.kind {
            Kind::Banner { adm, .. } => *adm = Box::default(),
            Kind::Video { spot, .. } | Kind::Audio { spot } => {
                if let Markup::Vast(vast) = &mut spot.markup {
                    *vast = Box::default();
                }
            }
            Kind::Native { .. } => {}
        }
    }

    pub(super) fn read(o: &Object) -> Option<Creative> {
        let types =
            [("banner", Type::Banner), ("video", Type::Video), ("audio", Type::Audio), ("native", Type::Native)];
        let kind = o.required("type", |v| choice(v, &types));
        let own: &[&str] = match kind {
            Some(Type::Banner) => &["w", "h", "adm"],
            Some(Type::Video) => &["w", "h", "duration_s", "vast", "vast_url", "media", "protocols"],
            Some(Type::Audio) => &["duration_s", "vast", "vast_url", "media", "protocols"],
            Some(Type::Native) => &["assets", "link"],
            None => &["w", "h", "adm", "duration_s", "vast", "vast_url", "media", "protocols", "assets", "link"],
        };
        o.only(&[&COMMON, own].concat());
        let id = o.required("id", |v| name(v, MAX_ID_BYTES));
        let adomain = o.list("adomain", MAX_FACTS, domain);
        if o.lacks("adomain") {
            o.fault("adomain", "needs at least one domain: exchanges refuse bids without one");
        }
        let bundle = o.optional("bundle", |v| text(v, MAX_NAME_BYTES).map(Into::into));
        let cat = o.list("cat", MAX_FACTS, category);
        let cattax = o.optional("cattax", |v| match integer(v, 1..=MAX_CODE)? {
            code if Taxonomy::of(code.into()) != Taxonomy::Other => Ok(code as u16),
            code => Err(format!("is {code}; must be a content taxonomy: 1, 2, 5, 6, 7 or 9")),
        });
        let cattax = cattax.unwrap_or(1);
        let attr = codes(o, "attr");
        let landing_url = o.optional("landing_url", |v| url(v, MAX_URL_BYTES)).map(Into::into);
        let kind = match kind? {
            Type::Banner => {
                let size = size(o);
                let adm = o.required("adm", |v| bounded(v, MAX_MARKUP_BYTES));
                let (w, h) = size?;
                Kind::Banner { w, h, adm: adm?.into() }
            }
            Type::Video => {
                let size = size(o);
                let spot = Spot::read(o, Some(size.unwrap_or_default()));
                let (w, h) = size?;
                Kind::Video { w, h, spot: spot?.into() }
            }
            Type::Audio => Kind::Audio { spot: Spot::read(o, None)?.into() },
            Type::Native => {
                let link = o.required("link", |v| url(v, MAX_URL_BYTES));
                Kind::Native { assets: assets(o).into(), link: link?.into() }
            }
        };
        let secure = kind.secure(landing_url.as_deref());
        let (adomain, cat, attr) = (adomain.into(), cat.into(), attr.into());
        Some(Creative { id: id?.into(), kind, adomain, bundle, cat, cattax, attr, landing_url, secure })
    }
}

impl Kind {
    fn secure(&self, landing_url: Option<&str>) -> bool {
        match self {
            Kind::Banner { adm, .. } => !insecure(adm),
            Kind::Video { spot, .. } | Kind::Audio { spot } => match &spot.markup {
                Markup::Vast(vast) => !insecure(vast),
                Markup::Wrapper(url) => !insecure(url),
                // The VAST that is built holds the landing URL too.
                Markup::Media(media) => !media.iter().any(|m| insecure(&m.url)) && !landing_url.is_some_and(insecure),
            },
            Kind::Native { assets, link } => {
                !insecure(link)
                    && !assets.iter().any(|asset| match asset {
                        Asset::Title { text } => insecure(text),
                        Asset::Image { url, .. } => insecure(url),
                        Asset::Data { value, .. } => insecure(value),
                    })
            }
        }
    }
}

impl Spot {
    /// `size` is the default of media files; audio has none.
    fn read(o: &Object, size: Option<(u32, u32)>) -> Option<Spot> {
        let duration_s = o.required("duration_s", |v| integer(v, 1..=MAX_DURATION_S));
        let mut protocols = codes(o, "protocols");
        let given = o.optional("vast", |v| {
            let vast = bounded(v, MAX_MARKUP_BYTES)?;
            if vast.contains("<VAST") { Ok(vast) } else { Err("has no <VAST element".into()) }
        });
        let tag = o.optional("vast_url", |v| url(v, MAX_URL_BYTES));
        let files: Vec<Media> = o.objects("media", MAX_PARTS).filter_map(|m| Media::read(&m, size)).collect();
        let ways: Vec<&str> = ["vast", "vast_url", "media"].into_iter().filter(|way| o.has(way)).collect();
        match ways[..] {
            [] => o.fault("vast", "is required, or vast_url or media in its place"),
            ["media"] if o.lacks("media") => o.fault("media", "needs at least one file"),
            [_] => {}
            [first, second, ..] => o.fault(second, format!("stands beside {first}: give one of the two")),
        }
        let (markup, mimes) = match (given, tag) {
            (Some(vast), _) => {
                if protocols.is_empty() {
                    protocols.extend(vast::protocol(vast));
                }
                (Markup::Vast(vast.into()), vast::mimes(vast))
            }
            (None, Some(tag)) => {
                if protocols.is_empty() {
                    protocols.push(vast::DEFAULT_WRAPPER);
                }
                (Markup::Wrapper(tag.to_owned()), Vec::new())
            }
            (None, None) => {
                if protocols.is_empty() {
                    protocols.push(vast::DEFAULT_PROTOCOL);
                }
                let mut mimes: Vec<_> = files.iter().map(|m| m.mime.clone()).collect();
                mimes.sort_unstable();
                mimes.dedup();
                (Markup::Media(files), mimes)
            }
        };
        if !protocols.is_empty() && !protocols.iter().any(|protocol| vast::can_be(&markup, *protocol)) {
            let own = if matches!(markup, Markup::Media(_)) {
                "of media files 2, 3, 7, 11, 13 and 15"
            } else {
                "of a vast_url 5, 6, 8, 12, 14 and 16"
            };
            o.fault("protocols", format!("has none that can be made: {own} can"));
        }
        Some(Spot { duration_s: duration_s?, markup, mimes, protocols })
    }
}

impl Media {
    fn read(o: &Object, size: Option<(u32, u32)>) -> Option<Media> {
        o.only(if size.is_some() {
            &["url", "mime", "w", "h", "bitrate_kbps"]
        } else {
            &["url", "mime", "bitrate_kbps"]
        });
        let (w, h) = size.unwrap_or_default();
        let pixels = |key, default| o.optional(key, |v| integer(v, 1..=MAX_PIXELS)).unwrap_or(default);
        let (w, h) = (pixels("w", w), pixels("h", h));
        let bitrate_kbps = o.optional("bitrate_kbps", |v| integer(v, 1..=1_000_000));
        let mime = o.required("mime", mime);
        let url = o.required("url", |v| url(v, MAX_URL_BYTES));
        Some(Media { url: url?.to_owned(), mime: mime?, w, h, bitrate_kbps })
    }
}

fn size(o: &Object) -> Option<(u32, u32)> {
    let w = o.required("w", |v| integer(v, 1..=MAX_PIXELS));
    let h = o.required("h", |v| integer(v, 1..=MAX_PIXELS));
    Some((w?, h?))
}

fn assets(o: &Object) -> Vec<Asset> {
    if o.lacks("assets") {
        o.fault("assets", "needs at least one asset");
    }
    o.objects("assets", MAX_PARTS).filter_map(|a| asset(&a)).collect()
}

fn asset(o: &Object) -> Option<Asset> {
    #[derive(Clone, Copy)]
    enum What {
        Title,
        Image(ImageKind),
        Data,
    }
    let kinds = [
        ("title", What::Title),
        ("icon", What::Image(ImageKind::Icon)),
        ("main", What::Image(ImageKind::Main)),
        ("data", What::Data),
    ];
    match o.required("kind", |v| choice(v, &kinds)) {
        None => {
            o.only(&["kind", "text", "url", "w", "h", "data_type", "value"]);
            None
        }
        Some(What::Title) => {
            o.only(&["kind", "text"]);
            Some(Asset::Title { text: o.required("text", |v| text(v, MAX_ASSET_TEXT_BYTES))?.to_owned() })
        }
        Some(What::Image(kind)) => {
            o.only(&["kind", "url", "w", "h"]);
            let size = size(o);
            let url = o.required("url", |v| url(v, MAX_URL_BYTES));
            let (w, h) = size?;
            Some(Asset::Image { kind, url: url?.to_owned(), w, h })
        }
        Some(What::Data) => {
            o.only(&["kind", "data_type", "value"]);
            let data_type = o.required("data_type", |v| integer(v, 1..=MAX_CODE));
            let value = o.required("value", |v| text(v, MAX_ASSET_TEXT_BYTES));
            Some(Asset::Data { data_type: data_type? as u16, value: value?.to_owned() })
        }
    }
}

/// Sorted, each once.
fn codes(o: &Object, key: &str) -> Vec<u16> {
    let mut codes = o.list(key, MAX_FACTS, |v| integer(v, 1..=MAX_CODE).map(|n| n as u16));
    codes.sort_unstable();
    codes.dedup();
    codes
}

fn mime(value: &Value) -> Result<Box<str>, String> {
    let mime = text(value, MAX_NAME_BYTES)?;
    let safe =
        |part: &str| !part.is_empty() && part.bytes().all(|b| b.is_ascii_alphanumeric() || b"!#$&^_.+-".contains(&b));
    match mime.split_once('/') {
        Some((kind, sub)) if safe(kind) && safe(sub) => Ok(mime.to_ascii_lowercase().into()),
        _ => Err(format!("is {}; must be a media type such as \"video/mp4\"", quoted(mime))),
    }
}

fn domain(value: &Value) -> Result<Box<str>, String> {
    let typed = text(value, MAX_NAME_BYTES)?;
    let lower = typed.to_ascii_lowercase();
    let domain = lower.strip_prefix("www.").unwrap_or(&lower);
    let label = |l: &str| {
        (1..=63).contains(&l.len())
            && l.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-')
            && !l.starts_with('-')
            && !l.ends_with('-')
    };
    if domain.len() <= 253 && domain.contains('.') && domain.split('.').all(label) {
        Ok(domain.into())
    } else {
        Err(format!("is {}; must be a domain such as \"acme.com\"", quoted(typed)))
    }
}

/// Whether there is an `http:` in it, in any case.
fn insecure(text: &str) -> bool {
    text.as_bytes().windows(5).any(|window| window.eq_ignore_ascii_case(b"http:"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn insecure_is_any_http() {
        assert!(insecure("<img src='HTTP://a.example'>") && insecure("http:\\/\\/x"));
        assert!(!insecure("https://a.example http") && !insecure(""));
    }

    #[test]
    fn domains_are_plain() {
        assert_eq!(domain(&"WWW.Acme.com".into()).unwrap(), "acme.com".into());
        for bad in ["acme", "https://acme.com", "acme..com", "-a.com", "a-.com", "é.com", "a.com/", "a b.com", "."] {
            assert!(domain(&bad.into()).is_err(), "{bad}");
        }
    }

    #[test]
    fn mimes_have_two_parts() {
        assert_eq!(mime(&"Video/MP4".into()).unwrap(), "video/mp4".into());
        for bad in ["mp4", "video/", "/mp4", "video/mp4; x", "a/b/c"] {
            assert!(mime(&bad.into()).is_err(), "{bad}");
        }
    }
}
