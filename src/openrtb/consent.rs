//! Whether a request's user data may be used: the verdict on its privacy signals.
//!
//! Any signal can forbid; what cannot be read forbids. Consent strings are the only ones that take work, so they come
//! last, and [`Cache`] remembers them. They are decoded here and not by a crate: ARCHITECTURE says why.

mod bits;
mod cache;
mod gpp;
mod tcf;
#[cfg(test)]
mod tests;

pub use cache::Cache;
pub use gpp::{MAX_TEXT, Named, Sections};
pub use tcf::{Bases, Basis, Vendor};

use super::request::BidRequest;

/// The signal that forbids the use of user data.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Signal {
    Coppa,
    Lmt,
    Dnt,
    Gpc,
    UsPrivacy,
    Gpp,
    Gdpr,
}

/// The verdict on a request's user data: ids, segments, the user's home.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Privacy {
    /// User data may be used.
    pub personal: bool,
    /// Why not; the first that applies.
    pub because: Option<Signal>,
}

impl Privacy {
    /// `vendor` is whom consent under GDPR must be for; without one there is none.
    pub fn of(request: &BidRequest, vendor: Option<&Vendor>, cache: &mut Cache) -> Privacy {
        let because = plain(request).or_else(|| decoded(request, vendor, cache));
        Privacy { personal: because.is_none(), because }
    }
}

/// What is said without a consent string.
fn plain(request: &BidRequest) -> Option<Signal> {
    let (regs, device) = (&request.regs, &request.device);
    // OpenRTB 2.6 section 7.5.
    if regs.coppa {
        return Some(Signal::Coppa);
    }
    // Section 3.2.18.
    if device.lmt == Some(true) {
        return Some(Signal::Lmt);
    }
    if device.dnt == Some(true) {
        return Some(Signal::Dnt);
    }
    if regs.gpc {
        return Some(Signal::Gpc);
    }
    regs.us_privacy.as_deref().is_some_and(us_opt_out).then_some(Signal::UsPrivacy)
}

fn decoded(request: &BidRequest, vendor: Option<&Vendor>, cache: &mut Cache) -> Option<Signal> {
    let regs = &request.regs;
    let named = Named::of(regs.gpp_sid);
    let gpp = match (named, regs.gpp.as_deref().unwrap_or("")) {
        (Named::None, _) | (Named::All, "") => Sections::default(),
        (_, gpp) => cache.sections(gpp, vendor),
    };
    if !gpp.permit(named) {
        return Some(Signal::Gpp);
    }
    // Section 3.2.3: 1 means that GDPR applies, 0 that it does not. Where that is not said, a string that does say
    // something is heard.
    let permitted = match (regs.gdpr, request.user.consent.as_deref().unwrap_or("")) {
        (Some(false), _) | (None, "") => true,
        (Some(true), "") => gpp.permit_tcf(),
        (_, consent) => vendor.is_some() && cache.sections(consent, vendor).permit_tcf(),
    };
    (!permitted).then_some(Signal::Gdpr)
}

/// US Privacy String 1: version, notice given, opted out of sale, agreement covered. What cannot be read is an
/// opt-out.
pub(super) fn us_opt_out(text: &str) -> bool {
    match text.as_bytes() {
        [] => false,
        [b'1', _, opt_out, _] => !matches!(opt_out, b'N' | b'n' | b'-'),
        _ => true,
    }
}
