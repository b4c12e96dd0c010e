//! Native (OpenRTB 2.6 section 3.2.9) and the markup request inside it (OpenRTB Native 1.1 and 1.2, section 4).
//!
//! The markup is JSON inside a JSON string, an object of its own, or (before 2.3) the native object itself. It is
//! decoded only when a native creative is about to be matched; until then it is a slice of the body.

use smallvec::SmallVec;

use super::error::RequestError;
use super::list::{IntList, StrList, ints, strings};
use super::value::{count, int, is_object, lenient, raw, read_object, switch};
use crate::json::{Kind, ScanError, Scanner};

/// Assets in one native ad; the layouts of the specification have at most ten.
pub const MAX_ASSETS: usize = 64;

/// Section 3.2.9 of OpenRTB 2.6.
#[derive(Clone, Copy, Debug, Default)]
pub struct Native<'a> {
    /// The markup request as it stands in the body.
    request: &'a str,
    pub api: IntList<'a>,
    pub battr: IntList<'a>,
}

/// What the markup request asks for (Native 1.2 section 4.1).
#[derive(Clone, Debug, Default)]
pub struct NativeRequest {
    pub context: Option<i64>,
    pub contextsubtype: Option<i64>,
    pub plcmttype: Option<i64>,
    /// How many identical placements; 1 when absent.
    pub plcmtcnt: u32,
    pub assets: SmallVec<[Asset; 8]>,
}

/// Section 4.2 of Native 1.2.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Asset {
    /// Required by the specification, yet left out by some: such an asset cannot be answered.
    pub id: Option<i64>,
    pub required: bool,
    /// `None`: of a kind that this version of the code does not know; only a problem if it is required.
    pub kind: Option<AssetKind>,
}

/// Sections 4.3 to 4.6 of Native 1.2. Sizes are 0 when absent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AssetKind {
    Title {
        len: u32,
    },
    /// Type 1 is an icon, 3 the main image; either an exact size or a least size.
    Img {
        img_type: Option<i64>,
        w: u32,
        h: u32,
        wmin: u32,
        hmin: u32,
        mimes: ImageTypes,
    },
    /// Type as in list 7.4; `len` 0 means any length.
    Data {
        data_type: i64,
        len: u32,
    },
    Video,
}

/// Types of images, one bit each; none means any.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ImageTypes(u8);

impl ImageTypes {
    /// Names in media types and in file names.
    const NAMES: [&'static [&'static str]; 6] =
        [&["jpeg", "jpg"], &["png"], &["gif"], &["webp"], &["svg+xml", "svg"], &["avif"]];
    /// Some other type.
    const OTHER: u8 = 1 << 7;

    fn named(name: &str) -> Option<u8> {
        let known = |names: &&[&str]| names.iter().any(|n| n.eq_ignore_ascii_case(name));
        Self::NAMES.iter().position(known).map(|bit| 1 << bit)
    }

    fn of(mimes: StrList) -> ImageTypes {
        let bit = |mime: &str| mime.strip_prefix("image/").and_then(Self::named).unwrap_or(Self::OTHER);
        ImageTypes(mimes.iter().fold(0, |bits, mime| bits | bit(&mime.to_ascii_lowercase())))
    }

    /// Whether the image at `url` is of one of them, by the end of its path.
    pub fn allow(self, url: &str) -> bool {
        let path = url.split(['?', '#']).next().unwrap_or_default();
        let kind = path.rsplit_once('.').and_then(|(_, end)| Self::named(end));
        self.0 == 0 || kind.is_some_and(|bit| self.0 & bit != 0)
    }
}

/// Why a markup request cannot be answered. Not a fault of the bid request: its other impressions may be bid on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NativeError {
    #[error("the native request is missing or not JSON")]
    Malformed,
    #[error("the native request has no assets")]
    NoAssets,
    #[error("the native request has more than {MAX_ASSETS} assets")]
    TooManyAssets,
    #[error("two assets of the native request have one id")]
    DuplicateAsset,
    #[error("an asset of the native request is of several kinds")]
    MixedAsset,
    #[error("context, contextsubtype or an event of the native request is not one of the specification's")]
    UnknownCode,
}

pub(super) fn native<'a>(s: &mut Scanner<'a>) -> Result<Option<Native<'a>>, RequestError> {
    if !is_object(s)? {
        return Ok(None);
    }
    let start = s.position();
    let mut native = Native::default();
    let mut request = None;
    read_object!(s, {
        "request" => request, raw;
        "api" => native.api, |s| lenient(s, ints);
        "battr" => native.battr, ints;
    });
    native.request = request.unwrap_or_else(|| s.since(start));
    Ok(Some(native))
}

impl Native<'_> {
    /// Decodes the markup request.
    pub fn markup(&self) -> Result<NativeRequest, NativeError> {
        let mut s = Scanner::new(self.request);
        if s.kind()? != Kind::String {
            return markup(&mut s);
        }
        let inner = s.string()?.decode();
        let mut s = Scanner::new(&inner);
        let request = markup(&mut s)?;
        s.finish()?;
        Ok(request)
    }
}

impl From<ScanError> for NativeError {
    fn from(_: ScanError) -> NativeError {
        NativeError::Malformed
    }
}

impl From<RequestError> for NativeError {
    fn from(_: RequestError) -> NativeError {
        NativeError::Malformed
    }
}

/// The markup request, with the outer `native` of Native 1.0 and 1.1 or without it.
fn markup(s: &mut Scanner) -> Result<NativeRequest, NativeError> {
    let mut found = NativeRequest { plcmtcnt: 1, ..NativeRequest::default() };
    let mut wrapped = None;
    if !is_object(s)? {
        return Err(NativeError::Malformed);
    }
    s.object(|s, key| {
        match key {
            "native" => wrapped = Some(s.raw()?),
            name => request_field(s, name, &mut found)?,
        }
        Ok::<(), NativeError>(())
    })?;
    if let (Some(inner), true) = (wrapped, found.assets.is_empty()) {
        let mut s = Scanner::new(inner);
        if !is_object(&mut s)? {
            return Err(NativeError::Malformed);
        }
        s.object(|s, key| request_field(s, key, &mut found))?;
    }
    let assets = &found.assets;
    if assets.is_empty() {
        return Err(NativeError::NoAssets);
    }
    if (1..assets.len()).any(|i| assets[i].id.is_some() && assets[..i].iter().any(|other| other.id == assets[i].id)) {
        return Err(NativeError::DuplicateAsset);
    }
    if !is_context(found.context, found.contextsubtype) {
        return Err(NativeError::UnknownCode);
    }
    Ok(found)
}

/// From here on codes are the exchange's own.
const OWN_CODES: i64 = 500;

/// Lists 7.1 and 7.2 of Native 1.2: a subtype belongs to one context.
fn is_context(context: Option<i64>, subtype: Option<i64>) -> bool {
    let of = match subtype {
        Some(10..=15) => Some(1),
        Some(20..=22) => Some(2),
        Some(30..=32) => Some(3),
        None | Some(OWN_CODES..) => None,
        Some(_) => return false,
    };
    match context {
        Some(1..=3) => of.is_none() || of == context,
        None | Some(OWN_CODES..) => true,
        Some(_) => false,
    }
}

/// List 7.6 of Native 1.2.
fn event_tracker(s: &mut Scanner) -> Result<(), NativeError> {
    let mut event = None;
    if is_object(s)? {
        read_object!(s, { "event" => event, |s| lenient(s, int); });
    }
    match event {
        None | Some(1..=4 | OWN_CODES..) => Ok(()),
        Some(_) => Err(NativeError::UnknownCode),
    }
}

fn request_field(s: &mut Scanner, key: &str, found: &mut NativeRequest) -> Result<(), NativeError> {
    match key {
        "context" => found.context = lenient(s, int).map_err(|_| NativeError::Malformed)?,
        "contextsubtype" => found.contextsubtype = lenient(s, int).map_err(|_| NativeError::Malformed)?,
        "eventtrackers" if s.kind()? == Kind::Array => s.array(event_tracker)?,
        "plcmttype" => found.plcmttype = lenient(s, int).map_err(|_| NativeError::Malformed)?,
        "plcmtcnt" => found.plcmtcnt = lenient(s, count).map_err(|_| NativeError::Malformed)?.unwrap_or(1),
        "assets" => {
            found.assets.clear();
            if s.kind()? != Kind::Array {
                return Err(NativeError::Malformed);
            }
            s.array(|s| {
                if found.assets.len() == MAX_ASSETS {
                    return Err(NativeError::TooManyAssets);
                }
                found.assets.push(asset(s)?);
                Ok(())
            })?;
        }
        _ => s.skip()?,
    }
    Ok(())
}

fn asset(s: &mut Scanner) -> Result<Asset, NativeError> {
    let (mut id, mut required) = (None, false);
    let (mut title, mut img, mut data, mut video) = (None, None, None, None);
    if !is_object(s)? {
        return Err(NativeError::Malformed);
    }
    read_object!(s, {
        "id" => id, int;
        "required" => required, switch;
        "title" => title, title_asset;
        "img" => img, img_asset;
        "data" => data, data_asset;
        "video" => video, video_asset;
    });
    let mut kinds = [title, img, data, video].into_iter().flatten();
    let kind = kinds.next();
    if kinds.next().is_some() {
        return Err(NativeError::MixedAsset);
    }
    Ok(Asset { id, required, kind })
}

fn title_asset(s: &mut Scanner) -> Result<Option<AssetKind>, RequestError> {
    let mut len = None;
    if !is_object(s)? {
        return Ok(None);
    }
    read_object!(s, { "len" => len, count; });
    // Required, section 4.3.
    let len = len.filter(|len| *len > 0).ok_or_else(|| RequestError::WrongType(s.place()))?;
    Ok(Some(AssetKind::Title { len }))
}

fn img_asset(s: &mut Scanner) -> Result<Option<AssetKind>, RequestError> {
    let (mut img_type, mut w, mut h, mut wmin, mut hmin) = (None, None, None, None, None);
    let mut mimes = StrList::default();
    if !is_object(s)? {
        return Ok(None);
    }
    read_object!(s, {
        "type" => img_type, int;
        "w" => w, count;
        "h" => h, count;
        "wmin" => wmin, count;
        "hmin" => hmin, count;
        "mimes" => mimes, |s| lenient(s, strings);
    });
    let mimes = ImageTypes::of(mimes);
    let size = |side: Option<u32>| side.unwrap_or(0);
    Ok(Some(AssetKind::Img { img_type, w: size(w), h: size(h), wmin: size(wmin), hmin: size(hmin), mimes }))
}

fn data_asset(s: &mut Scanner) -> Result<Option<AssetKind>, RequestError> {
    let (mut data_type, mut len) = (None, None);
    if !is_object(s)? {
        return Ok(None);
    }
    read_object!(s, {
        "type" => data_type, int;
        "len" => len, count;
    });
    Ok(Some(AssetKind::Data { data_type: data_type.unwrap_or(0), len: len.unwrap_or(0) }))
}

/// Never answered, but an asset without what section 4.5 requires makes the request one that nobody can answer.
fn video_asset(s: &mut Scanner) -> Result<Option<AssetKind>, RequestError> {
    let (mut mimes, mut protocols) = (StrList::default(), IntList::default());
    if !is_object(s)? {
        return Ok(None);
    }
    read_object!(s, {
        "mimes" => mimes, strings;
        "protocols" => protocols, ints;
    });
    if mimes.is_empty() || protocols.is_empty() {
        return Err(RequestError::WrongType(s.place()));
    }
    Ok(Some(AssetKind::Video))
}
