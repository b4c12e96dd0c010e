//! Consent strings against a reader that takes every field apart, with no thought of time.

use std::borrow::Cow;
use std::cell::RefCell;

use gavel::openrtb::consent::{Bases, Basis, Cache, MAX_TEXT, Named, Privacy, Sections, Vendor};
use gavel::openrtb::request::BidRequest;

const INTEREST: Bases = Bases { default: Basis::LegitimateInterest, flexible: false };
const FLEXIBLE: Bases = Bases { default: Basis::LegitimateInterest, flexible: true };
const VENDORS: [(u16, Bases); 6] = [
    (0, Bases::CONSENT),
    (1, Bases::CONSENT),
    (2, FLEXIBLE),
    (755, Bases::CONSENT),
    (755, INTEREST),
    (u16::MAX, Bases::CONSENT),
];

thread_local! {
    /// One for all texts, as a worker has it.
    static CACHE: RefCell<Cache> = RefCell::default();
}

/// A text as a TC string or a GPP string.
pub fn check(data: &[u8]) {
    CACHE.with(|cache| check_with(&mut cache.borrow_mut(), &String::from_utf8_lossy(data)));
}

fn check_with(cache: &mut Cache, text: &str) {
    assert!(!Sections::decode(text, None).permit_tcf(), "consent to nobody");
    for (id, purpose_2) in VENDORS {
        let vendor = Vendor { id, purpose_2 };
        let read = Sections::decode(text, Some(&vendor));
        assert_eq!(cache.sections(text, Some(&vendor)), read);
        assert_eq!(cache.sections(text, Some(&vendor)), read);
        let plain = (!text.is_empty() && text.len() <= MAX_TEXT).then(|| plain(text, &vendor)).flatten();
        let found = |id| plain.iter().flatten().find(|(section, _)| *section == id).map(|(_, permitted)| *permitted);
        assert_eq!(read.permit_tcf(), found(2).unwrap_or(false), "{vendor:?} {text:?}");
        let all = plain.as_ref().is_some_and(|sections| sections.iter().all(|(_, permitted)| *permitted));
        assert_eq!(read.permit(Named::All), all, "{vendor:?} {text:?}");
        for section in 1..63 {
            let permitted = found(section).unwrap_or(false);
            assert_eq!(read.permit(Named::These(1 << section)), permitted, "{section} {vendor:?} {text:?}");
        }
        verdicts(text, &vendor, &read, cache);
    }
}

/// The same in a request.
fn verdicts(text: &str, vendor: &Vendor, read: &Sections, cache: &mut Cache) {
    let mut request = BidRequest::default();
    request.regs.gdpr = Some(true);
    let mut is_personal = |request: &BidRequest| Privacy::of(request, Some(vendor), cache).personal;
    assert!(!is_personal(&request));
    request.user.consent = Some(Cow::Borrowed(text));
    assert_eq!(is_personal(&request), read.permit_tcf(), "{text:?}");
    request.regs.gpp = Some(Cow::Borrowed(text));
    request.regs.gdpr = Some(false);
    assert_eq!(is_personal(&request), text.is_empty() || read.permit(Named::All), "{text:?}");
    request.regs.coppa = true;
    assert!(!is_personal(&request));
}

/// Each section with whether it permits, `None` for what cannot be read.
fn plain(text: &str, vendor: &Vendor) -> Option<Vec<(u32, bool)>> {
    if !text.starts_with('D') {
        return Some(vec![(2, tcf(text, vendor)?)]);
    }
    let (header, sections) = text.split_once('~').map_or((text, None), |(header, rest)| (header, Some(rest)));
    let mut bits = Bits::of(header);
    if bits.number(6)? != 3 || bits.number(6)? != 1 {
        return None;
    }
    let sections: Vec<&str> = sections.map_or(Vec::new(), |rest| rest.split('~').collect());
    let (mut ids, mut last) = (Vec::new(), 0);
    for _ in 0..bits.number(12)? {
        let is_range = bits.number(1)? == 1;
        let first = last + bits.fibonacci()?;
        last = if is_range { first + bits.fibonacci()? } else { first };
        ids.extend((first..=last).take(sections.len() + 1));
        if ids.len() > sections.len() {
            return None;
        }
    }
    if ids.len() != sections.len() {
        return None;
    }
    ids.into_iter().zip(sections).map(|(id, text)| Some((id, section(id, text, vendor)?))).collect()
}

fn section(id: u32, text: &str, vendor: &Vendor) -> Option<bool> {
    match id {
        2 => tcf(text, vendor),
        6 if text.is_empty() => None,
        6 => Some(text.len() == 4 && text.starts_with('1') && ['N', 'n', '-'].contains(&text.chars().nth(2)?)),
        7..=23 => {
            let mut segments = text.split('.');
            let mut bits = Bits::of(segments.next()?);
            let version = bits.number(6)?;
            if version != 1 && (version, id) != (2, 7) {
                return None;
            }
            let (skipped, opt_outs) = if id == 7 { (6, 3) } else { (if id == 11 || id == 18 { 4 } else { 3 }, 2) };
            bits.drop(2 * skipped)?;
            let fields: Option<Vec<u32>> = (0..opt_outs).map(|_| bits.number(2)).collect();
            let mut permitted = fields?.iter().all(|field| *field == 0 || *field == 2);
            for segment in segments {
                let mut bits = Bits::of(segment);
                if bits.number(2)? == 1 {
                    permitted &= bits.number(1)? == 0;
                }
            }
            Some(permitted)
        }
        _ => Some(false),
    }
}

fn tcf(text: &str, vendor: &Vendor) -> Option<bool> {
    let mut segments = text.split('.');
    let mut bits = Bits::of(segments.next()?);
    if bits.number(6)? != 2 {
        return None;
    }
    bits.drop(132)?;
    let service = bits.number(1)? == 1;
    bits.drop(13)?;
    let (consents, interests) = (bits.number(24)?, bits.number(24)?);
    bits.drop(13)?;
    let contains = |ranges: &[(u32, u32)]| ranges.iter().any(|(a, b)| (*a..=*b).contains(&u32::from(vendor.id)));
    let (by_consent, by_interest) = (contains(&bits.vendors()?), contains(&bits.vendors()?));
    let mut restrictions = Vec::new();
    for _ in 0..bits.number(12)? {
        let (purpose, kind) = (bits.number(6)?, bits.number(2)?);
        if contains(&bits.ranges()?) {
            restrictions.push((purpose, kind));
        }
    }
    let mut disclosed = true;
    for segment in segments {
        let mut bits = Bits::of(segment);
        if bits.number(3)? == 1 {
            disclosed &= contains(&bits.vendors()?);
        }
    }
    let may = |purpose: u32, bases: Bases| {
        let has = |kind| restrictions.contains(&(purpose, kind));
        let consent = by_consent && consents >> (24 - purpose) & 1 == 1;
        let interest = by_interest && interests >> (24 - purpose) & 1 == 1;
        let registered = |basis| bases.flexible || bases.default == basis;
        match (has(0) || has(3), has(1), has(2)) {
            (false, false, false) if bases.default == Basis::Consent => consent,
            (false, false, false) => interest,
            (false, true, false) => registered(Basis::Consent) && consent,
            (false, false, true) => registered(Basis::LegitimateInterest) && interest,
            _ => false,
        }
    };
    Some(service && disclosed && may(1, Bases::CONSENT) && may(2, vendor.purpose_2) && may(4, Bases::CONSENT))
}

/// Bits one by one, until the first character that is none of the alphabet's.
struct Bits {
    bits: std::vec::IntoIter<bool>,
}

impl Bits {
    fn of(text: &str) -> Bits {
        let six = |c: char| match c {
            'A'..='Z' => Some(c as u32 - 'A' as u32),
            'a'..='z' => Some(c as u32 - 'a' as u32 + 26),
            '0'..='9' => Some(c as u32 - '0' as u32 + 52),
            '-' => Some(62),
            '_' => Some(63),
            _ => None,
        };
        let bits: Vec<bool> =
            text.chars().map_while(six).flat_map(|six| (0..6).rev().map(move |bit| six >> bit & 1 == 1)).collect();
        Bits { bits: bits.into_iter() }
    }

    fn number(&mut self, count: usize) -> Option<u32> {
        (0..count).try_fold(0, |number, _| Some(number << 1 | u32::from(self.bits.next()?)))
    }

    fn drop(&mut self, count: usize) -> Option<()> {
        (0..count).try_for_each(|_| self.bits.next().map(|_| ()))
    }

    fn fibonacci(&mut self) -> Option<u32> {
        let mut worths = vec![1, 2];
        let mut set = Vec::new();
        loop {
            let bit = self.bits.next()?;
            if bit && set.last() == Some(&true) {
                return Some(set.iter().zip(&worths).map(|(set, worth)| if *set { *worth } else { 0 }).sum());
            }
            set.push(bit);
            // As far as numbers go that anyone would code so.
            if set.len() > 21 {
                return None;
            }
            worths.push(worths[worths.len() - 1] + worths[worths.len() - 2]);
        }
    }

    fn vendors(&mut self) -> Option<Vec<(u32, u32)>> {
        let largest = self.number(16)?;
        if self.number(1)? == 1 {
            return self.ranges();
        }
        let mut vendors = Vec::new();
        for id in 1..=largest {
            if self.number(1)? == 1 {
                vendors.push((id, id));
            }
        }
        Some(vendors)
    }

    fn ranges(&mut self) -> Option<Vec<(u32, u32)>> {
        let mut ranges = Vec::new();
        for _ in 0..self.number(12)? {
            let is_range = self.number(1)? == 1;
            let first = self.number(16)?;
            ranges.push((first, if is_range { self.number(16)? } else { first }));
        }
        Some(ranges)
    }
}
