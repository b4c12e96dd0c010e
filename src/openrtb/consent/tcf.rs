//! TC strings of the Transparency and Consent Framework 2 ("Consent string and vendor list formats v2"): whether our
//! vendor may use a user's data.
//!
//! What is done with it falls under three purposes of the TCF Policies: 1, to store or access information on a device
//! (ids come from there); 2, to select advertising by limited data, which frequency caps are; and 4, to use profiles,
//! which segments are. All three are needed: there is one verdict. Profiles are not made (3), and what is measured is
//! measured by campaign, not by user (7).

use super::bits::Bits;

/// A company's entry in IAB Europe's Global Vendor List, as far as it matters here.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Vendor {
    pub id: u16,
    /// Of purpose 2. Purposes 1 and 4 have no other basis than consent (TCF Policies since 2.2).
    pub purpose_2: Bases,
}

/// A legal basis (GDPR article 6).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Basis {
    Consent,
    LegitimateInterest,
}

/// The legal bases that a vendor has registered for a purpose.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Bases {
    pub default: Basis,
    /// A publisher may require the other one.
    pub flexible: bool,
}

impl Bases {
    pub const CONSENT: Bases = Bases { default: Basis::Consent, flexible: false };

    /// The one to go by where the publisher has made these restrictions, as a set of RestrictionTypes; `None` where the
    /// purpose is forbidden or needs a basis that is not registered.
    fn under(self, restrictions: u8) -> Option<Basis> {
        let registered = |basis| (self.flexible || self.default == basis).then_some(basis);
        match restrictions {
            0 => Some(self.default),
            REQUIRE_CONSENT => registered(Basis::Consent),
            REQUIRE_LEGITIMATE_INTEREST => registered(Basis::LegitimateInterest),
            _ => None,
        }
    }
}

/// RestrictionTypes as bits of a set; 0 forbids the purpose and 3 is undefined.
const REQUIRE_CONSENT: u8 = 1 << 1;
const REQUIRE_LEGITIMATE_INTEREST: u8 = 1 << 2;

const VERSION: u32 = 2;
const DISCLOSED_VENDORS: u32 = 1;

/// `None` if the string cannot be read.
pub(super) fn permits(text: &str, vendor: &Vendor) -> Option<bool> {
    let mut segments = text.split('.');
    let permitted = core(segments.next()?, vendor)?;
    segments.try_fold(permitted, |permitted, segment| {
        let mut bits = Bits::new(segment);
        // A vendor that was not shown to the user has no basis (TCF 2.3). Other segments are not for vendors.
        let disclosed = bits.take(3)? != DISCLOSED_VENDORS || has_vendor(&mut bits, vendor.id)?;
        Some(permitted && disclosed)
    })
}

fn core(text: &str, vendor: &Vendor) -> Option<bool> {
    let bits = &mut Bits::new(text);
    if bits.take(6)? != VERSION {
        return None;
    }
    // Created, LastUpdated, CmpId, CmpVersion, ConsentScreen, ConsentLanguage, VendorListVersion, TcfPolicyVersion.
    bits.skip(36 + 36 + 12 + 12 + 6 + 12 + 12 + 6)?;
    // Strings of the whole web have been invalid since September 2021.
    let is_service_specific = bits.flag()?;
    // UseNonStandardTexts, SpecialFeatureOptIns.
    bits.skip(1 + 12)?;
    let (consents, interests) = (bits.take(24)?, bits.take(24)?);
    // PurposeOneTreatment, PublisherCC: where purpose 1 was not disclosed there is no consent to it either.
    bits.skip(1 + 12)?;
    let (has_consent, has_interest) = (has_vendor(bits, vendor.id)?, has_vendor(bits, vendor.id)?);
    let mut restrictions = [0u8; 1 << 6];
    for _ in 0..bits.take(12)? {
        let (purpose, restriction) = (bits.take(6)? as usize, bits.take(2)?);
        if in_ranges(bits, vendor.id)? {
            restrictions[purpose] |= 1 << restriction;
        }
    }
    let may = |purpose: usize, bases: Bases| {
        let bit = 1 << (24 - purpose);
        match bases.under(restrictions[purpose]) {
            Some(Basis::Consent) => has_consent && consents & bit != 0,
            Some(Basis::LegitimateInterest) => has_interest && interests & bit != 0,
            None => false,
        }
    };
    Some(is_service_specific && may(1, Bases::CONSENT) && may(2, vendor.purpose_2) && may(4, Bases::CONSENT))
}

/// Reads a list of vendors, a bit for each or ranges; whether ours is in it.
fn has_vendor(bits: &mut Bits, vendor: u16) -> Option<bool> {
    let largest = bits.take(16)? as u16;
    if bits.flag()? {
        return in_ranges(bits, vendor);
    }
    let mut ahead = *bits;
    bits.skip(usize::from(largest))?;
    if vendor == 0 || vendor > largest {
        return Some(false);
    }
    ahead.skip(usize::from(vendor) - 1)?;
    ahead.flag()
}

/// Reads ranges of vendors; whether ours is in one. None takes room that the text does not have.
fn in_ranges(bits: &mut Bits, vendor: u16) -> Option<bool> {
    let mut found = false;
    for _ in 0..bits.take(12)? {
        let is_range = bits.flag()?;
        let first = bits.take(16)?;
        let last = if is_range { bits.take(16)? } else { first };
        found |= (first..=last).contains(&u32::from(vendor));
    }
    Some(found)
}
