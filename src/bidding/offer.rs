//! What one impression offers and asks: formats, bitmaps, floors.

use std::cell::OnceCell;

use foldhash::HashMap;
use smallvec::SmallVec;

use super::campaign::inventory_key;
use super::catalog::Layer;
use super::compiled::{AUDIO, NATIVE, VIDEO};
use super::creative::Creative;
use super::decide::Ask;
use super::index::{ATTRIBUTES, Attribute};
use super::key::{KeySet, key, size_key};
use super::player::{Numbers, Player};
use super::reason::Reason;
use super::subject::Subject;
use crate::ids::Currency;
use crate::money::{Nanos, Rate};
use crate::openrtb::audio_video::DurationFloor;
use crate::openrtb::imp::{Deal, Imp};
use crate::openrtb::native::NativeRequest;

/// Formats of one impression that are looked at.
const MAX_FORMATS: usize = 32;

/// What an impression offers, as values of the index.
pub(super) struct Formats {
    pub values: SmallVec<[u64; 8]>,
    // Worked out when the first creative asks, for all of them.
    markup: Option<Option<NativeRequest>>,
    video: Option<Player>,
    audio: Option<Player>,
    banner_battr: Option<Numbers>,
    native_battr: Option<Numbers>,
    /// How long a spot may be at most, whatever the impression says: what is left of a dynamic pod.
    pub left_s: u32,
    /// Types of banners that are blocked: bit n is type n.
    pub btypes: u8,
}

impl Formats {
    pub fn of(imp: &Imp) -> Formats {
        let mut values = SmallVec::new();
        let mut btypes = 0;
        if let Some(banner) = &imp.banner {
            if !banner.btype.is_empty() {
                btypes = banner.btype.iter().filter(|t| (1..8).contains(t)).fold(0, |bits, t| bits | 1 << t);
            }
            values.extend(banner.sizes().take(MAX_FORMATS).map(|(w, h)| size_key(w, h)));
        }
        values.extend(imp.video.as_ref().map(|_| VIDEO));
        values.extend(imp.audio.as_ref().map(|_| AUDIO));
        values.extend(imp.native.as_ref().map(|_| NATIVE));
        Formats {
            values,
            markup: None,
            video: None,
            audio: None,
            banner_battr: None,
            native_battr: None,
            left_s: u32::MAX,
            btypes,
        }
    }

    pub fn video(&mut self, imp: &Imp) -> Option<&Player> {
        let offered = imp.video.as_ref()?;
        Some(self.video.get_or_insert_with(|| Player::of(offered)))
    }

    pub fn audio(&mut self, imp: &Imp) -> Option<&Player> {
        let offered = imp.audio.as_ref()?;
        Some(self.audio.get_or_insert_with(|| Player::of(offered)))
    }

    /// The attributes that are blocked for banners.
    pub fn banner_battr(&mut self, imp: &Imp) -> &Numbers {
        let list = || imp.banner.as_ref().map(|banner| Numbers::of(banner.battr)).unwrap_or_default();
        self.banner_battr.get_or_insert_with(list)
    }

    pub fn native_battr(&mut self, imp: &Imp) -> &Numbers {
        let list = || imp.native.as_ref().map(|native| Numbers::of(native.battr)).unwrap_or_default();
        self.native_battr.get_or_insert_with(list)
    }

    pub fn markup(&mut self, imp: &Imp) -> Option<&NativeRequest> {
        let decode = || imp.native.as_ref().and_then(|n| n.markup().ok());
        self.markup.get_or_insert_with(decode).as_ref()
    }
}

/// The bitmaps of one impression, in one layer of the catalog.
pub(super) struct Masks<'a> {
    alive: &'a [u64],
    formats: SmallVec<[&'a [u64]; 8]>,
    devices: SmallVec<[&'a [u64]; 2]>,
    rest: [&'a [u64]; 4],
}

impl<'a> Masks<'a> {
    pub fn new(layer: &'a Layer, exchange: u64, formats: &Formats, subject: &Subject) -> Masks<'a> {
        let index = &layer.part.index;
        let mut devices: SmallVec<[&[u64]; 2]> = SmallVec::new();
        for class in (0..8u64).filter(|c| subject.devices.0 & 1 << c != 0) {
            devices.push(index.bitmap(Attribute::Device, Some(class)));
        }
        if devices.is_empty() {
            devices.push(index.bitmap(Attribute::Device, None));
        }
        Masks {
            alive: &layer.alive,
            formats: formats.values.iter().map(|v| index.bitmap(Attribute::Format, Some(*v))).collect(),
            devices,
            rest: [
                index.bitmap(Attribute::Country, subject.country),
                index.bitmap(Attribute::Os, subject.os),
                index.bitmap(Attribute::Language, subject.language),
                index.bitmap(Attribute::Exchange, Some(exchange)),
            ],
        }
    }

    pub fn formats(&self) -> usize {
        self.formats.len()
    }

    pub fn words(&self) -> usize {
        self.alive.len()
    }

    /// Of the campaigns of word `at` that are in `within`, those that pass.
    #[inline]
    pub fn word(&self, at: usize, within: u64, tally: &mut Tally) -> u64 {
        let formats = self.formats.iter().fold(0, |bits, map| bits | map[at]);
        let devices = self.devices.iter().fold(0, |bits, map| bits | map[at]);
        let stages = [formats, devices, self.rest[0][at], self.rest[1][at], self.rest[2][at], self.rest[3][at]];
        let mut left = self.alive[at] & within;
        tally.add(stages.map(|stage| {
            let lost = left & !stage;
            left &= stage;
            lost
        }));
        left
    }

    /// The attribute that lost the last of the campaigns; [`Reason::Price`] when some passed them all. Only worked out
    /// when there is no bid.
    pub fn furthest(&self) -> Reason {
        let passed = (0..self.words()).map(|w| {
            let formats = self.formats.iter().fold(0, |bits, map| bits | map[w]);
            let devices = self.devices.iter().fold(0, |bits, map| bits | map[w]);
            let stages = [formats, devices, self.rest[0][w], self.rest[1][w], self.rest[2][w], self.rest[3][w]];
            let mut left = self.alive[w];
            stages
                .iter()
                .take_while(|bits| {
                    left &= **bits;
                    left != 0
                })
                .count()
        });
        ATTRIBUTES.get(passed.max().unwrap_or(0)).map_or(Reason::Price, |a| a.reason())
    }
}

/// How many campaigns each attribute lost. Counted in bytes that are added up now and then: counting the ones of each
/// word would cost more than the intersection.
#[derive(Default)]
pub(super) struct Tally {
    bytes: [u64; ATTRIBUTES.len()],
    words: u32,
    sums: [u64; ATTRIBUTES.len()],
}

impl Tally {
    /// A word has at most 8 ones in each byte: so many of them stay below 256.
    const MAX_WORDS: u32 = 31;

    #[inline]
    fn add(&mut self, lost: [u64; ATTRIBUTES.len()]) {
        for (bytes, bits) in self.bytes.iter_mut().zip(lost) {
            let twos = bits - (bits >> 1 & 0x5555_5555_5555_5555);
            let fours = (twos & 0x3333_3333_3333_3333) + (twos >> 2 & 0x3333_3333_3333_3333);
            *bytes += (fours + (fours >> 4)) & 0x0f0f_0f0f_0f0f_0f0f;
        }
        self.words += 1;
        if self.words == Tally::MAX_WORDS {
            self.add_up();
        }
    }

    fn add_up(&mut self) {
        for (sum, bytes) in self.sums.iter_mut().zip(&mut self.bytes) {
            *sum += std::mem::take(bytes).to_le_bytes().iter().map(|byte| u64::from(*byte)).sum::<u64>();
        }
        self.words = 0;
    }

    pub fn sums(mut self) -> [u64; ATTRIBUTES.len()] {
        self.add_up();
        self.sums
    }
}

/// What the bids for an impression must reach.
pub(super) struct Floors {
    pub open: Want,
    /// Only bids for deals are wanted.
    pub private: bool,
    pub deals: SmallVec<[Want; 2]>,
}

/// What a bid is for, and what it must reach, per impression in the bid's currency, rounded up.
#[derive(Clone, Debug)]
pub(super) struct Want {
    /// None is the open market.
    pub deal: Option<WantedDeal>,
    floor: Nanos,
    /// Of a spot, for each of its seconds; comes before `floor` unless it is zero.
    per_second: Nanos,
    /// What a spot must reach may go by its duration otherwise: [`floor_of_duration`].
    by_duration: bool,
    /// The lowest that any creative needs, in USD: no campaign below it can bid.
    pub least_usd: i64,
}

#[derive(Clone, Debug)]
pub(super) struct WantedDeal {
    pub key: u64,
    /// In the impression's deals.
    pub position: usize,
    /// The floor is the price (AdCOM 1.0, list of auction types: 3).
    pub fixed: bool,
    /// Whose ads it is for, worked out when the first creative asks.
    advertisers: OnceCell<KeySet>,
}

impl WantedDeal {
    /// Whether it is for the creative's advertiser.
    pub fn is_for(&self, imp: &Imp, creative: &Creative) -> bool {
        let Some(deal) = imp.pmp.as_ref().and_then(|pmp| pmp.deals.get(self.position)) else { return true };
        deal.wadomain.is_empty() || {
            let list = || KeySet::of_keys(deal.wadomain.iter().map(|domain| key(&inventory_key(&domain))).collect());
            let allowed = self.advertisers.get_or_init(list);
            creative.adomain.iter().any(|domain| allowed.contains(key(domain)))
        }
    }
}

impl Want {
    /// What a creative of `seconds` must reach, floors by duration aside; 0 is no spot (OpenRTB 2.6 implementation
    /// notes 7.6: look for `mincpmpersec`, otherwise fall back to `bidfloor`).
    #[inline]
    pub fn floor(&self, seconds: u32) -> Nanos {
        match self.per_second {
            Nanos(0) => self.floor,
            _ if seconds == 0 => self.floor,
            Nanos(per_second) => Nanos(per_second.saturating_mul(i64::from(seconds))),
        }
    }
}

/// Of a spot, the floors by duration that count for it: the deal's own, else those of the impression's media.
fn duration_floors<'a>(imp: &'a Imp, deal: Option<&'a Deal>) -> (&'a [DurationFloor], Option<&'a str>) {
    match deal {
        Some(deal) => (&deal.durfloors, deal.bidfloorcur.as_deref()),
        None => {
            let mut lists = [&imp.video, &imp.audio].into_iter().flatten().map(|media| &*media.durfloors);
            (lists.find(|list| !list.is_empty()).unwrap_or_default(), imp.bidfloorcur.as_deref())
        }
    }
}

impl Ask<'_, '_> {
    /// What a creative of `seconds` must reach for `want`.
    #[inline]
    pub(super) fn floor(&self, imp: &Imp, want: &Want, seconds: u32) -> Nanos {
        let by_duration =
            if want.by_duration && seconds > 0 { self.floor_of_duration(imp, want, seconds) } else { None };
        by_duration.unwrap_or_else(|| want.floor(seconds))
    }

    /// The highest of the floors for spots of that many seconds (OpenRTB 2.6 section 3.2.35); `None` is outside of all.
    #[cold]
    fn floor_of_duration(&self, imp: &Imp, want: &Want, seconds: u32) -> Option<Nanos> {
        let deal = want.deal.as_ref().and_then(|deal| imp.pmp.as_ref()?.deals.get(deal.position));
        let (floors, currency) = duration_floors(imp, deal);
        let from = *self.snapshot.shared.rates.get(&currency.map_or(Some(Currency::USD), Currency::parse)?)?;
        let of_it = floors.iter().filter(|floor| floor.is_for(seconds));
        // A sum beyond all prices cannot be reached.
        let reached =
            |cpm| Nanos::cpm_from_f64_ceil(cpm).map_or(Nanos(i64::MAX), |cpm| cpm.convert_ceil(from, self.rate));
        of_it.map(|floor| reached(floor.bidfloor)).max()
    }
}

impl Floors {
    /// For a bid of `seat` in the currency that has `rate`.
    pub fn of(imp: &Imp, seat: &str, rates: &HashMap<Currency, Rate>, rate: Rate) -> Result<Floors, Reason> {
        let want = |deal: Option<(WantedDeal, &Deal)>, floor: f64, per_second: f64| {
            let (floors, currency) = duration_floors(imp, deal.as_ref().map(|(_, deal)| *deal));
            let from = *rates.get(&currency.map_or(Some(Currency::USD), Currency::parse)?)?;
            let convert = |cpm: f64| Some(Nanos::cpm_from_f64_ceil(cpm)?.convert_ceil(from, rate));
            let floor = convert(floor)?;
            let (mut least, mut second) = (floor, Nanos::ZERO);
            if per_second > 0.0 {
                second = convert(per_second)?;
                least = floor.min(second);
            }
            let by_duration = per_second == 0.0 && !floors.is_empty();
            if by_duration {
                let lowest = floors.iter().fold(f64::INFINITY, |lowest, floor| lowest.min(floor.bidfloor));
                least = convert(lowest).map_or(least, |lowest| least.min(lowest));
            }
            // One nano of slack: the floor was rounded up on its way here, the caps were rounded down.
            let least_usd = least.convert_floor(rate, Rate::USD).0.saturating_sub(2);
            Some(Want { deal: deal.map(|(wanted, _)| wanted), floor, per_second: second, by_duration, least_usd })
        };
        let mut deals = SmallVec::new();
        let mut private = false;
        if let Some(pmp) = &imp.pmp {
            private = pmp.private_auction;
            for (position, deal) in pmp.deals.iter().enumerate() {
                if deal.wseat.is_empty() || deal.wseat.contains(seat) {
                    let fixed = deal.at == Some(3) && deal.bidfloor > 0.0;
                    let wanted = WantedDeal { key: key(&deal.id.text), position, fixed, advertisers: OnceCell::new() };
                    deals.extend(want(Some((wanted, deal)), deal.bidfloor, deal.mincpmpersec));
                }
            }
        }
        let spots = [&imp.video, &imp.audio];
        let per_second = spots.into_iter().flatten().map(|s| s.mincpmpersec).find(|m| *m > 0.0).unwrap_or(0.0);
        let open = want(None, imp.bidfloor, per_second).ok_or(Reason::UnknownCurrency)?;
        Ok(Floors { open, private, deals })
    }
}
