//! `[privacy]`: who we are to those who give consent.

use super::section::Section;
use crate::openrtb::consent::{Bases, Basis, Vendor};

/// `vendor_id`, and `purpose_2`: the legal bases that the Global Vendor List gives for that purpose, the default one
/// first; with both the purpose is flexible. Default `["consent"]`.
pub fn vendor(mut s: Section) -> Option<Vendor> {
    let id = s.number("vendor_id", 1..=65_535);
    let bases = s.texts("purpose_2");
    if bases.is_some() && id.is_none() {
        s.fault("purpose_2", "needs vendor_id");
    }
    let purpose_2 = bases.map_or(Some(Bases::CONSENT), |bases| read(&bases));
    if purpose_2.is_none() {
        s.fault("purpose_2", "must be \"consent\", \"legitimate_interest\" or both, the default one first");
    }
    s.end();
    Some(Vendor { id: id? as u16, purpose_2: purpose_2? })
}

fn read(bases: &[String]) -> Option<Bases> {
    let basis = |text: &String| match text.as_str() {
        "consent" => Some(Basis::Consent),
        "legitimate_interest" => Some(Basis::LegitimateInterest),
        _ => None,
    };
    match bases {
        [only] => Some(Bases { default: basis(only)?, flexible: false }),
        [default, other] if default != other => {
            basis(other).and(Some(Bases { default: basis(default)?, flexible: true }))
        }
        _ => None,
    }
}
