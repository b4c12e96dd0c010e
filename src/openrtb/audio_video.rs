//! Video and Audio (OpenRTB 2.6 sections 3.2.7 and 3.2.8): one shape, since a bidder asks both the same questions.

use std::borrow::Cow;

use super::error::RequestError;
use super::list::{IntList, StrList, ints, strings};
use super::value::{apart, count, flag, int, is_object, lenient, price, read_object, text};
use crate::json::{Kind, Scanner};

/// Floors by duration beyond these are not looked at.
const MAX_DURATION_FLOORS: usize = 32;

/// Section 3.2.35: a floor for spots of some durations, in the currency of the `bidfloor` it comes before.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct DurationFloor {
    /// Seconds, both included; absent is no bound.
    pub mindur: Option<u32>,
    pub maxdur: Option<u32>,
    /// CPM.
    pub bidfloor: f64,
}

impl DurationFloor {
    pub fn is_for(&self, seconds: u32) -> bool {
        self.mindur.is_none_or(|least| seconds >= least) && self.maxdur.is_none_or(|most| seconds <= most)
    }
}

/// Lists are empty when absent, which means no restriction (but see `mimes`: required, so empty matches nothing).
#[derive(Clone, Debug, Default)]
pub struct AudioVideo<'a> {
    pub mimes: StrList<'a>,
    pub minduration: Option<u32>,
    pub maxduration: Option<u32>,
    /// Above 0 seconds into the content; 0 pre-roll, -1 any mid-roll, -2 any post-roll.
    pub startdelay: Option<i64>,
    /// [`super::codes::Protocol`]; the deprecated `protocol` counts when `protocols` is absent.
    pub protocols: IntList<'a>,
    pub w: Option<u32>,
    pub h: Option<u32>,
    pub placement: Option<i64>,
    pub plcmt: Option<i64>,
    /// 1 linear, 2 non-linear.
    pub linearity: Option<i64>,
    pub skip: Option<bool>,
    pub api: IntList<'a>,
    pub battr: IntList<'a>,
    /// Kilobits per second.
    pub minbitrate: Option<u32>,
    pub maxbitrate: Option<u32>,
    /// 1 streaming, 2 progressive, 3 download.
    pub delivery: IntList<'a>,
    /// Seconds of the pod.
    pub poddur: Option<u32>,
    /// The only durations allowed; then minduration and maxduration do not count.
    pub rqddurs: IntList<'a>,
    pub maxseq: Option<u32>,
    /// Deprecated; only that it is not negative is looked at.
    pub sequence: Option<u32>,
    /// CPM per second: a floor that comes before `bidfloor`.
    pub mincpmpersec: f64,
    /// Come before `bidfloor`, and after `mincpmpersec`: a seller gives one of the two.
    pub durfloors: Vec<DurationFloor>,
    pub podid: Option<Cow<'a, str>>,
}

pub(super) fn audio_video<'a>(s: &mut Scanner<'a>) -> Result<Option<Box<AudioVideo<'a>>>, RequestError> {
    if !is_object(s)? {
        return Ok(None);
    }
    let mut media = Box::<AudioVideo>::default();
    let mut protocol = IntList::default();
    read_object!(s, {
        "mimes" => media.mimes, strings;
        "minduration" => media.minduration, count;
        "maxduration" => media.maxduration, count;
        "startdelay" => media.startdelay, |s| lenient(s, int);
        "protocols" => media.protocols, ints;
        "protocol" => protocol, |s| lenient(s, ints);
        "w" => media.w, count;
        "h" => media.h, count;
        "placement" => media.placement, |s| lenient(s, int);
        "plcmt" => media.plcmt, |s| lenient(s, int);
        "linearity" => media.linearity, int;
        "skip" => media.skip, |s| lenient(s, flag);
        "api" => media.api, ints;
        "battr" => media.battr, ints;
        "minbitrate" => media.minbitrate, count;
        "maxbitrate" => media.maxbitrate, count;
        "delivery" => media.delivery, |s| lenient(s, ints);
        "poddur" => media.poddur, count;
        "rqddurs" => media.rqddurs, ints;
        "maxseq" => media.maxseq, count;
        "sequence" => media.sequence, count;
        "mincpmpersec" => media.mincpmpersec, price;
        "durfloors" => media.durfloors, |s| apart(s, duration_floors);
        "podid" => media.podid, |s| lenient(s, text);
    });
    if media.protocols.is_empty() {
        media.protocols = protocol;
    }
    Ok(Some(media))
}

pub(super) fn duration_floors(s: &mut Scanner) -> Result<Vec<DurationFloor>, RequestError> {
    let mut floors = Vec::new();
    match s.kind()? {
        Kind::Null => s.null()?,
        Kind::Array => s.array(|s| {
            if floors.len() >= MAX_DURATION_FLOORS {
                return Ok(s.skip()?);
            }
            let mut floor = DurationFloor::default();
            if is_object(s)? {
                read_object!(s, {
                    "mindur" => floor.mindur, count;
                    "maxdur" => floor.maxdur, count;
                    "bidfloor" => floor.bidfloor, price;
                });
                floors.push(floor);
            }
            Ok::<(), RequestError>(())
        })?,
        _ => return Err(RequestError::WrongType(s.place())),
    }
    Ok(floors)
}
