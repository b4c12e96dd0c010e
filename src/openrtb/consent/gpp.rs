//! GPP strings (Global Privacy Platform, "Consent String Specification"): a header that lists sections, then the
//! sections between tildes.
//!
//! | section | what forbids |
//! |---|---|
//! | 2 `tcfeuv2` | see [`super::tcf`] |
//! | 6 `uspv1` | an opt-out of sale |
//! | 7 `usnat`, 8 to 23: states from `usca` to `usmn` | an opt-out of sale, of sharing or of targeted advertising; Global Privacy Control |
//! | any other | always: it is not understood. So with 24 to 27 (`usmd`, `usin`, `usky`, `usri`): their drafts and the IAB's own library lay them out differently |

use super::bits::Bits;
use super::tcf::{self, Vendor};
use super::us_opt_out;
use crate::openrtb::list::IntList;

/// Longer strings are not read: ten times what consent to every vendor takes.
pub const MAX_TEXT: usize = 16 << 10;
/// `regs.gpp_sid` for a user whom no section is about.
const NOT_APPLICABLE: i64 = -1;
/// Entries of `regs.gpp_sid` that are looked at; there are some thirty sections.
const MAX_SECTION_IDS: usize = 64;
const TCF: u32 = 2;
/// The bit of all sections that have none of their own: they forbid.
const OTHERS: u32 = 63;

/// What a consent string comes to for our vendor: a bit for each section that it has, and for each that forbids.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Sections {
    present: u64,
    forbidding: u64,
}

impl Sections {
    const UNREADABLE: Sections = Sections { present: u64::MAX, forbidding: u64::MAX };

    /// Decodes a GPP string or a bare TC string: their first characters tell them apart.
    pub fn decode(text: &str, vendor: Option<&Vendor>) -> Sections {
        let sections = if text.is_empty() || text.len() > MAX_TEXT {
            None
        } else if text.starts_with('D') {
            gpp(text, vendor)
        } else {
            let permitted = vendor.map_or(Some(false), |vendor| tcf::permits(text, vendor));
            permitted.map(|permitted| Sections::default().with(TCF, permitted))
        };
        sections.unwrap_or(Sections::UNREADABLE)
    }

    fn with(self, id: u32, permitted: bool) -> Sections {
        let bit = 1 << id.min(OTHERS);
        let forbidding = if permitted { 0 } else { bit };
        Sections { present: self.present | bit, forbidding: self.forbidding | forbidding }
    }

    /// Whether it has the section of the TCF, and that permits.
    pub fn permit_tcf(self) -> bool {
        self.present & !self.forbidding & 1 << TCF != 0
    }

    /// Whether all sections that `ids` names are there and permit.
    pub fn permit(self, ids: Named) -> bool {
        match ids {
            Named::None => true,
            Named::All => self.forbidding == 0,
            Named::These(ids) => ids & !(self.present & !self.forbidding) == 0,
        }
    }
}

/// The sections that are in force, as `regs.gpp_sid` has it (OpenRTB 2.6 section 3.2.3).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Named {
    None,
    /// Nothing is said: all that there are.
    All,
    These(u64),
}

impl Named {
    pub fn of(ids: IntList) -> Named {
        if ids.len() > MAX_SECTION_IDS {
            return Named::These(1 << OTHERS);
        }
        // 0 and less are not sections.
        let bit = |id: i64| if id > 0 { 1u64 << id.min(i64::from(OTHERS)) } else { 0 };
        match ids.iter().fold(0, |set, id| set | bit(id)) {
            0 if ids.contains(NOT_APPLICABLE) => Named::None,
            0 => Named::All,
            set => Named::These(set),
        }
    }
}

fn gpp(text: &str, vendor: Option<&Vendor>) -> Option<Sections> {
    const TYPE: u32 = 3;
    const VERSION: u32 = 1;
    let mut parts = text.split('~');
    let header = &mut Bits::new(parts.next()?);
    if header.take(6)? != TYPE || header.take(6)? != VERSION {
        return None;
    }
    let (mut sections, mut last) = (Sections::default(), 0);
    for _ in 0..header.take(12)? {
        let is_range = header.flag()?;
        let first = last + header.fibonacci()?;
        last = if is_range { first + header.fibonacci()? } else { first };
        // Each takes a part of the text, so a range that was never meant ends with the text.
        for id in first..=last {
            let permitted = section(id, parts.next()?, vendor)?;
            sections = sections.with(id, permitted);
        }
    }
    parts.next().is_none().then_some(sections)
}

fn section(id: u32, text: &str, vendor: Option<&Vendor>) -> Option<bool> {
    match (id, vendor) {
        (TCF, Some(vendor)) => tcf::permits(text, vendor),
        (6, _) => (!text.is_empty()).then(|| !us_opt_out(text)),
        (7..=23, _) => us(id, text),
        _ => Some(false),
    }
}

/// A section of the United States: whether there is no opt-out in it. Behind a version of six bits it is a list of
/// fields of two; those of opt-outs are 0 not applicable, 1 opted out, 2 not opted out.
fn us(id: u32, text: &str) -> Option<bool> {
    const GPC: u32 = 1;
    let mut segments = text.split('.');
    let core = &mut Bits::new(segments.next()?);
    let version = core.take(6)?;
    // Where the notices end and the opt-outs begin, and how many of those there are.
    let (notices, opt_outs) = match (id, version) {
        // Sale, sharing, targeted advertising. The second version differs further on.
        (7, 1 | 2) => (6, 3),
        // Utah, Iowa: one more notice, of the processing of sensitive data.
        (11 | 18, 1) => (4, 2),
        // California: sale, sharing. The other states: sale, targeted advertising.
        (_, 1) => (3, 2),
        _ => return None,
    };
    core.skip(notices * 2)?;
    let mut permitted = true;
    for _ in 0..opt_outs {
        permitted &= matches!(core.take(2)?, 0 | 2);
    }
    for segment in segments {
        let segment = &mut Bits::new(segment);
        permitted &= segment.take(2)? != GPC || !segment.flag()?;
    }
    Some(permitted)
}
