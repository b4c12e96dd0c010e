//! Impressions: Imp, Banner, Format, Pmp, Deal, Qty (OpenRTB 2.6 sections 3.2.4, 3.2.6, 3.2.10 to 3.2.12, 3.2.31).

use std::borrow::Cow;

use smallvec::SmallVec;

use super::audio_video::{self, AudioVideo, DurationFloor};
use super::error::RequestError;
use super::list::{IntList, StrList, ints, strings};
use super::native::{self, Native};
use super::value::{Id, apart, count, flag, id, int, is_object, lenient, price, read_object, switch, text};
use crate::json::{Kind, Scanner};

/// Sizes and deals beyond these are not looked at: a body of three-byte entries must not become a list of large ones.
pub const MAX_FORMATS: usize = 256;
pub const MAX_DEALS: usize = 1_000;

/// Section 3.2.4.
#[derive(Clone, Debug, Default)]
pub struct Imp<'a> {
    pub id: Id<'a>,
    pub banner: Option<Banner<'a>>,
    pub video: Option<Box<AudioVideo<'a>>>,
    pub audio: Option<Box<AudioVideo<'a>>>,
    pub native: Option<Native<'a>>,
    pub pmp: Option<Pmp<'a>>,
    /// CPM, in [`Imp::bidfloorcur`]; 0 when absent, never negative.
    pub bidfloor: f64,
    /// USD when absent.
    pub bidfloorcur: Option<Cow<'a, str>>,
    pub secure: Option<bool>,
    pub instl: bool,
    pub tagid: Option<Cow<'a, str>>,
    /// Seconds between auction and impression that the exchange wants the bidder to allow for.
    pub exp: Option<i64>,
    pub qty: Option<Qty>,
    pub rwdd: bool,
    /// 0 unknown, 1 all client-side, 2 assets stitched server-side, 3 all server-side.
    pub ssai: Option<i64>,
    /// When the impression will be shown; milliseconds since 1970, for out-of-home.
    pub dt: Option<i64>,
}

/// Section 3.2.31.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Qty {
    pub multiplier: Option<f64>,
}

/// Section 3.2.6.
#[derive(Clone, Debug, Default)]
pub struct Banner<'a> {
    pub w: Option<u32>,
    pub h: Option<u32>,
    pub format: SmallVec<[Format; 4]>,
    pub btype: IntList<'a>,
    pub battr: IntList<'a>,
    pub mimes: StrList<'a>,
    pub pos: Option<i64>,
    pub api: IntList<'a>,
}

impl Banner<'_> {
    /// Every fixed size on offer: the formats, else `w` and `h`.
    pub fn sizes(&self) -> impl Iterator<Item = (u32, u32)> {
        let formats = self.format.iter().filter_map(Format::size);
        let fallback = self.w.zip(self.h).filter(|(w, h)| *w > 0 && *h > 0 && self.format.is_empty());
        formats.chain(fallback)
    }
}

/// Section 3.2.10; 0 is absent.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Format {
    pub w: u32,
    pub h: u32,
    pub wratio: u32,
    pub hratio: u32,
    pub wmin: u32,
}

impl Format {
    /// The size in device independent pixels, unless only a ratio is given.
    pub fn size(&self) -> Option<(u32, u32)> {
        (self.w > 0 && self.h > 0).then_some((self.w, self.h))
    }
}

/// Section 3.2.11.
#[derive(Clone, Debug, Default)]
pub struct Pmp<'a> {
    /// Only bids for deals are wanted.
    pub private_auction: bool,
    pub deals: Vec<Deal<'a>>,
}

/// Section 3.2.12. Deals without an id cannot be bid on and are left out.
#[derive(Clone, Debug, Default)]
pub struct Deal<'a> {
    pub id: Id<'a>,
    /// CPM, in [`Deal::bidfloorcur`]; 0 when absent, never negative.
    pub bidfloor: f64,
    /// USD when absent.
    pub bidfloorcur: Option<Cow<'a, str>>,
    /// CPM per second of a video or audio spot: a floor that comes before `bidfloor`.
    pub mincpmpersec: f64,
    /// Come before `bidfloor` for spots, and after `mincpmpersec`.
    pub durfloors: Vec<DurationFloor>,
    /// 1 first price, 2 second price plus, 3 `bidfloor` is the price; absent: the request's.
    pub at: Option<i64>,
    pub wseat: StrList<'a>,
    pub wadomain: StrList<'a>,
}

/// Fills a new impression where it lies: it is too large to be moved around for nothing.
pub(super) fn imp<'a>(s: &mut Scanner<'a>, imp: &mut Imp<'a>) -> Result<(), RequestError> {
    if !is_object(s)? {
        return Err(RequestError::WrongType(s.place()));
    }
    read_object!(s, {
        "id" => imp.id, id;
        "banner" => (), |s| apart(s, |s| banner(s, &mut imp.banner));
        "video" => imp.video, |s| apart(s, audio_video::audio_video);
        "audio" => imp.audio, |s| apart(s, audio_video::audio_video);
        "native" => imp.native, |s| apart(s, native::native);
        "pmp" => imp.pmp, |s| apart(s, pmp);
        "bidfloor" => imp.bidfloor, price;
        "bidfloorcur" => imp.bidfloorcur, text;
        "secure" => imp.secure, flag;
        "instl" => imp.instl, switch;
        "tagid" => imp.tagid, |s| lenient(s, text);
        "exp" => imp.exp, int;
        "qty" => imp.qty, |s| apart(s, qty);
        "rwdd" => imp.rwdd, |s| lenient(s, switch);
        "ssai" => imp.ssai, |s| lenient(s, int);
        "dt" => imp.dt, |s| lenient(s, int);
    });
    if imp.id.is_empty() { Err(RequestError::ImpWithoutId) } else { Ok(()) }
}

fn banner<'a>(s: &mut Scanner<'a>, found: &mut Option<Banner<'a>>) -> Result<(), RequestError> {
    *found = None;
    if !is_object(s)? {
        return Ok(());
    }
    let banner = found.insert(Banner::default());
    read_object!(s, {
        "w" => banner.w, count;
        "h" => banner.h, count;
        "format" => (), |s| apart(s, |s| formats(s, &mut banner.format));
        "btype" => banner.btype, ints;
        "battr" => banner.battr, ints;
        "mimes" => banner.mimes, strings;
        "pos" => banner.pos, |s| lenient(s, int);
        "api" => banner.api, ints;
    });
    Ok(())
}

/// An array of formats, or one format that an exchange forgot to put into an array.
fn formats(s: &mut Scanner, formats: &mut SmallVec<[Format; 4]>) -> Result<(), RequestError> {
    formats.clear();
    if s.kind()? != Kind::Array {
        formats.extend(format(s)?);
        return Ok(());
    }
    s.array(|s| {
        if formats.len() < MAX_FORMATS {
            formats.extend(format(s)?);
            Ok::<(), RequestError>(())
        } else {
            Ok(s.skip()?)
        }
    })
}

fn format(s: &mut Scanner) -> Result<Option<Format>, RequestError> {
    let size = |s: &mut Scanner| Ok::<u32, RequestError>(count(s)?.unwrap_or(0));
    let mut format = Format::default();
    if !is_object(s)? {
        return Ok(None);
    }
    read_object!(s, {
        "w" => format.w, size;
        "h" => format.h, size;
        "wratio" => format.wratio, size;
        "hratio" => format.hratio, size;
        "wmin" => format.wmin, size;
    });
    Ok(Some(format))
}

fn pmp<'a>(s: &mut Scanner<'a>) -> Result<Option<Pmp<'a>>, RequestError> {
    let mut pmp = Pmp::default();
    if !is_object(s)? {
        return Ok(None);
    }
    read_object!(s, {
        "private_auction" => pmp.private_auction, switch;
        "deals" => pmp.deals, |s| apart(s, deals);
    });
    Ok(Some(pmp))
}

fn deals<'a>(s: &mut Scanner<'a>) -> Result<Vec<Deal<'a>>, RequestError> {
    let mut deals = Vec::new();
    match s.kind()? {
        Kind::Null => s.null()?,
        Kind::Array => s.array(|s| {
            if deals.len() >= MAX_DEALS {
                return Ok(s.skip()?);
            }
            deals.extend(deal(s)?.filter(|deal| !deal.id.is_empty()));
            Ok::<(), RequestError>(())
        })?,
        _ => return Err(RequestError::WrongType(s.place())),
    }
    Ok(deals)
}

fn deal<'a>(s: &mut Scanner<'a>) -> Result<Option<Deal<'a>>, RequestError> {
    let mut deal = Deal::default();
    if !is_object(s)? {
        return Ok(None);
    }
    read_object!(s, {
        "id" => deal.id, id;
        "bidfloor" => deal.bidfloor, price;
        "bidfloorcur" => deal.bidfloorcur, text;
        "mincpmpersec" => deal.mincpmpersec, price;
        "durfloors" => deal.durfloors, |s| apart(s, audio_video::duration_floors);
        "at" => deal.at, |s| lenient(s, int);
        "wseat" => deal.wseat, strings;
        "wadomain" => deal.wadomain, strings;
    });
    Ok(Some(deal))
}

fn qty(s: &mut Scanner) -> Result<Option<Qty>, RequestError> {
    let mut qty = Qty::default();
    if !is_object(s)? {
        return Ok(None);
    }
    read_object!(s, {
        "multiplier" => qty.multiplier, super::value::float;
    });
    Ok(Some(qty))
}
