//! BidRequest (OpenRTB 2.6 section 3.2.1), Source and Regs (3.2.2, 3.2.3), and the rules a request must keep.

use std::borrow::Cow;

use smallvec::SmallVec;

use super::consent::us_opt_out;
use super::device_user::{self, Device, User};
use super::error::RequestError;
use super::imp::{self, Imp};
use super::inventory::{self, Channel, Inventory};
use super::list::{IntList, StrList, ints, strings};
use super::value::{Id, apart, filled, id, int, is_blank, is_ext, is_object, lenient, raw, read_object, switch, text};
use crate::json::{Kind, Scanner};

/// Impressions in one request: twice what any exchange sends; more is refused rather than answered late.
pub const MAX_IMPS: usize = 2_000;

/// A checked request, borrowed from its body. Unknown fields and unknown values of enumerations are tolerated
/// (section 2.6); of duplicated keys the last counts; null is absent.
#[derive(Clone, Debug, Default)]
pub struct BidRequest<'a> {
    pub id: Id<'a>,
    /// At least one, with distinct ids.
    pub imp: SmallVec<[Imp<'a>; 1]>,
    /// A site, an app or a DOOH; at most one of them may be present.
    pub inventory: Option<Inventory<'a>>,
    pub device: Device<'a>,
    pub user: User<'a>,
    pub regs: Regs<'a>,
    pub source: Source<'a>,
    /// 1 first price, 2 second price plus (the default), above 500 the exchange's own.
    pub at: Option<i64>,
    /// Milliseconds for the whole exchange, network included; any value.
    pub tmax: Option<i64>,
    /// Currencies allowed; empty means USD.
    pub cur: StrList<'a>,
    pub wseat: StrList<'a>,
    pub bseat: StrList<'a>,
    pub bcat: StrList<'a>,
    /// Taxonomy of `bcat`; 1 when absent.
    pub cattax: Option<i64>,
    pub badv: StrList<'a>,
    pub bapp: StrList<'a>,
    pub wlang: StrList<'a>,
    pub test: bool,
    pub allimps: bool,
}

/// Section 3.2.3, with `ext.gdpr`, `ext.us_privacy`, `ext.gpp`, `ext.gpp_sid` of OpenRTB 2.5 where the 2.6 fields are
/// absent, and `ext.gpc` (Global Privacy Control).
#[derive(Clone, Debug, Default)]
pub struct Regs<'a> {
    pub coppa: bool,
    pub gdpr: Option<bool>,
    pub us_privacy: Option<Cow<'a, str>>,
    pub gpp: Option<Cow<'a, str>>,
    pub gpp_sid: IntList<'a>,
    pub gpc: bool,
}

/// Section 3.2.2, with `ext.schain` of OpenRTB 2.5 where the 2.6 field is absent.
#[derive(Clone, Debug, Default)]
pub struct Source<'a> {
    pub tid: Option<Cow<'a, str>>,
    /// The SupplyChain object as it stands in the body.
    pub schain: Option<&'a str>,
}

/// Reads and checks a request body.
pub fn parse(body: &[u8]) -> Result<BidRequest<'_>, RequestError> {
    let mut request = BidRequest::default();
    parse_into(&mut request, body)?;
    Ok(request)
}

/// The same into a new request, where it lies: it is too large to be moved around for nothing.
pub fn parse_into<'a>(request: &mut BidRequest<'a>, body: &'a [u8]) -> Result<(), RequestError> {
    let s = &mut Scanner::of_bytes(body).ok_or(RequestError::NotUtf8)?;
    if s.kind()? != Kind::Object {
        s.skip()?;
        s.finish()?;
        return Err(RequestError::NotAnObject);
    }
    let mut has_many = false;
    let mut place = |s: &mut Scanner<'a>, channel, inventory: &mut Option<Inventory<'a>>| {
        has_many |= inventory::read(s, channel, inventory)?;
        Ok::<(), RequestError>(())
    };
    read_object!(s, {
        "id" => request.id, id;
        "imp" => (), |s| apart(s, |s| imps(s, &mut request.imp));
        "site" => (), |s| apart(s, |s| place(s, Channel::Site, &mut request.inventory));
        "app" => (), |s| apart(s, |s| place(s, Channel::App, &mut request.inventory));
        "dooh" => (), |s| apart(s, |s| place(s, Channel::Dooh, &mut request.inventory));
        "device" => (), |s| device_user::device(s, &mut request.device);
        "user" => (), |s| device_user::user(s, &mut request.user);
        "regs" => (), |s| apart(s, |s| regs(s, &mut request.regs));
        "source" => (), |s| apart(s, |s| source(s, &mut request.source));
        "at" => request.at, int;
        "tmax" => request.tmax, |s| lenient(s, int);
        "cur" => request.cur, strings;
        "wseat" => request.wseat, strings;
        "bseat" => request.bseat, strings;
        "bcat" => request.bcat, strings;
        "cattax" => request.cattax, int;
        "badv" => request.badv, strings;
        "bapp" => request.bapp, strings;
        "wlang" => request.wlang, |s| lenient(s, strings);
        "test" => request.test, switch;
        "allimps" => request.allimps, |s| lenient(s, switch);
    });
    s.finish()?;
    if request.id.is_empty() {
        return Err(RequestError::NoId);
    }
    if request.imp.is_empty() {
        return Err(RequestError::NoImp);
    }
    if has_duplicate_ids(&request.imp) {
        return Err(RequestError::DuplicateImpId);
    }
    if has_many { Err(RequestError::ManyChannels) } else { Ok(()) }
}

fn imps<'a>(s: &mut Scanner<'a>, imps: &mut SmallVec<[Imp<'a>; 1]>) -> Result<(), RequestError> {
    imps.clear();
    match s.kind()? {
        Kind::Null => s.null()?,
        Kind::Array => s.array(|s| {
            if imps.len() == MAX_IMPS {
                return Err(RequestError::TooManyImps);
            }
            imps.push(Imp::default());
            imps.last_mut().map_or(Ok(()), |imp| imp::imp(s, imp))
        })?,
        _ => return Err(RequestError::WrongType(s.place())),
    }
    Ok(())
}

fn has_duplicate_ids(imps: &[Imp]) -> bool {
    // Comparing all pairs is quickest for the usual few; sorting keeps a thousand from taking a millisecond.
    if imps.len() <= 8 {
        return (1..imps.len()).any(|i| imps[..i].iter().any(|other| other.id.text == imps[i].id.text));
    }
    let mut ids: Vec<&str> = imps.iter().map(|imp| imp.id.as_str()).collect();
    ids.sort_unstable();
    ids.windows(2).any(|pair| pair[0] == pair[1])
}

fn regs<'a>(s: &mut Scanner<'a>, regs: &mut Regs<'a>) -> Result<(), RequestError> {
    *regs = Regs::default();
    let mut ext = Regs::default();
    if !is_object(s)? {
        return Ok(());
    }
    read_object!(s, {
        "coppa" => regs.coppa, switch;
        "gdpr" => regs.gdpr, gdpr;
        "us_privacy" => regs.us_privacy, text;
        "gpp" => regs.gpp, text;
        "gpp_sid" => regs.gpp_sid, ints;
        "ext" => (), |s| apart(s, |s| regs_ext(s, &mut ext));
    });
    regs.gdpr = regs.gdpr.or(ext.gdpr);
    // Either place can forbid; an empty one says nothing.
    if is_blank(&regs.us_privacy) || ext.us_privacy.as_deref().is_some_and(us_opt_out) {
        regs.us_privacy = filled(ext.us_privacy).or(regs.us_privacy.take());
    }
    if is_blank(&regs.gpp) {
        regs.gpp = filled(ext.gpp).or(regs.gpp.take());
    }
    if regs.gpp_sid.is_empty() {
        regs.gpp_sid = ext.gpp_sid;
    }
    regs.gpc = ext.gpc;
    Ok(())
}

/// 0 or 1: a request that says neither leaves open which law holds for its user.
fn gdpr(s: &mut Scanner) -> Result<Option<bool>, RequestError> {
    match int(s)? {
        None => Ok(None),
        Some(0) => Ok(Some(false)),
        Some(1) => Ok(Some(true)),
        Some(_) => Err(RequestError::WrongType(s.place())),
    }
}

fn regs_ext<'a>(s: &mut Scanner<'a>, ext: &mut Regs<'a>) -> Result<(), RequestError> {
    *ext = Regs::default();
    if is_ext(s)? {
        read_object!(s, {
            "gdpr" => ext.gdpr, gdpr;
            "us_privacy" => ext.us_privacy, text;
            "gpp" => ext.gpp, text;
            "gpp_sid" => ext.gpp_sid, ints;
            "gpc" => ext.gpc, switch;
        });
    }
    Ok(())
}

fn source<'a>(s: &mut Scanner<'a>, source: &mut Source<'a>) -> Result<(), RequestError> {
    *source = Source::default();
    let mut ext_schain = None;
    if !is_object(s)? {
        return Ok(());
    }
    read_object!(s, {
        "tid" => source.tid, |s| lenient(s, text);
        "schain" => source.schain, raw;
        "ext" => ext_schain, |s| apart(s, source_ext);
    });
    source.schain = source.schain.or(ext_schain);
    Ok(())
}

fn source_ext<'a>(s: &mut Scanner<'a>) -> Result<Option<&'a str>, RequestError> {
    let mut schain = None;
    if is_ext(s)? {
        read_object!(s, { "schain" => schain, raw; });
    }
    Ok(schain)
}
