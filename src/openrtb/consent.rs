//! Whether a request's user data may be used at all: a conservative reading of the privacy signals.
//!
//! Consent strings (TCF in `user.consent`, GPP in `regs.gpp`) are not decoded: where one of them would decide, the
//! answer is no. A request with `gdpr: 1` is therefore never personal, whatever its consent string grants.

use super::request::BidRequest;

/// The signal that forbids the use of user data.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Signal {
    Coppa,
    Gdpr,
    UsPrivacy,
    Gpp,
    Gpc,
    Lmt,
    Dnt,
}

impl Signal {
    pub fn as_str(self) -> &'static str {
        match self {
            Signal::Coppa => "coppa",
            Signal::Gdpr => "gdpr",
            Signal::UsPrivacy => "us_privacy",
            Signal::Gpp => "gpp",
            Signal::Gpc => "gpc",
            Signal::Lmt => "lmt",
            Signal::Dnt => "dnt",
        }
    }
}

/// The verdict on a request's user data: ids, segments, frequency caps, personal targeting.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Privacy {
    /// User data may be used.
    pub personal: bool,
    /// Why not; the first that applies.
    pub because: Option<Signal>,
}

impl Privacy {
    pub fn of(request: &BidRequest) -> Privacy {
        let because = signal(request);
        Privacy { personal: because.is_none(), because }
    }
}

fn signal(request: &BidRequest) -> Option<Signal> {
    let (regs, device) = (&request.regs, &request.device);
    // OpenRTB 2.6 section 7.5.
    if regs.coppa {
        return Some(Signal::Coppa);
    }
    // Section 3.2.3: 1 means that GDPR applies.
    if regs.gdpr == Some(true) {
        return Some(Signal::Gdpr);
    }
    if regs.us_privacy.as_deref().is_some_and(us_opt_out) {
        return Some(Signal::UsPrivacy);
    }
    // Section 3.2.3: `gpp_sid` lists the sections in force; without it the whole string counts.
    let has_gpp = regs.gpp.as_deref().is_some_and(|gpp| !gpp.is_empty());
    if regs.gpp_sid.iter().any(|section| section > 0) || (has_gpp && regs.gpp_sid.is_empty()) {
        return Some(Signal::Gpp);
    }
    if regs.gpc {
        return Some(Signal::Gpc);
    }
    // Section 3.2.18.
    if device.lmt == Some(true) {
        return Some(Signal::Lmt);
    }
    (device.dnt == Some(true)).then_some(Signal::Dnt)
}

/// US Privacy String 1: version, notice given, opted out of sale, agreement covered. What cannot be read is an
/// opt-out.
fn us_opt_out(text: &str) -> bool {
    match text.as_bytes() {
        [] => false,
        [b'1', _, opt_out, _] => opt_out.eq_ignore_ascii_case(&b'Y'),
        _ => true,
    }
}
