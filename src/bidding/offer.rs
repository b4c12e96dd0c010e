//! What one impression offers and asks: formats, floors.

use foldhash::HashMap;
use smallvec::SmallVec;

use super::compiled::{AUDIO, CompiledCreative, NATIVE, VIDEO};
use super::creative::Creative;
use super::decide::Ask;
use super::key::{key, size_key};
use super::lists::{Numbers, SpotLists, Texts};
use super::reason::Reason;
use crate::ids::Currency;
use crate::money::{Nanos, Rate};
use crate::openrtb::audio_video::DurationFloor;
use crate::openrtb::imp::{Deal, Imp};
use crate::openrtb::native::NativeRequest;

/// What an impression offers, as values of the index.
pub(super) struct Formats {
    pub values: SmallVec<[u64; 8]>,
    /// Decoded when the first native creative asks.
    markup: Option<Option<NativeRequest>>,
    pub video: SpotLists,
    pub audio: SpotLists,
    pub banner_battr: Numbers,
    pub native_battr: Numbers,
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
            values.extend(banner.sizes().map(|(w, h)| size_key(w, h)));
        }
        values.extend(imp.video.as_ref().map(|_| VIDEO));
        values.extend(imp.audio.as_ref().map(|_| AUDIO));
        values.extend(imp.native.as_ref().map(|_| NATIVE));
        Formats {
            values,
            markup: None,
            video: SpotLists::default(),
            audio: SpotLists::default(),
            banner_battr: Numbers::default(),
            native_battr: Numbers::default(),
            left_s: u32::MAX,
            btypes,
        }
    }

    pub fn markup(&mut self, imp: &Imp) -> Option<&NativeRequest> {
        let decode = || imp.native.as_ref().and_then(|n| n.markup().ok());
        self.markup.get_or_insert_with(decode).as_ref()
    }
}

/// What the bids for an impression must reach.
pub(super) struct Floors {
    /// Or why none can be known.
    pub open: Result<Want, Reason>,
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
    /// Of a video and of an audio spot, for each of its seconds; comes before `floor` unless it is zero.
    per_second: [Nanos; 2],
    /// What a spot must reach may go by its duration otherwise.
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
    /// Whose ads it is for.
    advertisers: Texts,
}

impl WantedDeal {
    /// Whether it is for the creative's advertiser.
    pub fn is_for(&self, imp: &Imp, creative: &Creative) -> bool {
        let Some(deal) = imp.pmp.as_ref().and_then(|pmp| pmp.deals.get(self.position)) else { return true };
        deal.wadomain.is_empty()
            || creative.adomain.iter().any(|domain| self.advertisers.have_domain(deal.wadomain, domain))
    }
}

impl Want {
    fn of(
        imp: &Imp,
        deal: Option<(WantedDeal, &Deal)>,
        rates: &HashMap<Currency, Rate>,
        rate: Rate,
    ) -> Result<Want, Reason> {
        let (floor, currency) = match &deal {
            Some((_, deal)) => (deal.bidfloor, deal.bidfloorcur.as_deref()),
            None => (imp.bidfloor, imp.bidfloorcur.as_deref()),
        };
        let spots = [VIDEO, AUDIO].map(|format| SpotFloors::of(imp, deal.as_ref().map(|(_, deal)| *deal), format));
        let by_duration = spots.iter().any(|spot| !spot.by_duration.is_empty());
        let mut want = Want {
            deal: deal.map(|(wanted, _)| wanted),
            floor: Nanos::ZERO,
            per_second: [Nanos::ZERO; 2],
            by_duration,
            least_usd: 0,
        };
        // Nothing is nothing in any currency.
        if floor > 0.0 || by_duration || spots.iter().any(|spot| spot.per_second > 0.0) {
            let from = floor_rate(currency, rates).ok_or(Reason::UnknownCurrency)?;
            let convert =
                |cpm: f64| Nanos::cpm_from_f64_ceil(cpm).map(|cpm| cpm.convert_ceil(from, rate)).ok_or(Reason::Floor);
            want.floor = convert(floor)?;
            let mut least = want.floor;
            for (second, spot) in want.per_second.iter_mut().zip(&spots) {
                if spot.per_second > 0.0 {
                    *second = convert(spot.per_second)?;
                    least = least.min(*second);
                }
                for of_some in spot.by_duration {
                    least = convert(of_some.bidfloor).map_or(least, |floor| least.min(floor));
                }
            }
            // One nano of slack: the floor was rounded up on its way here, the caps were rounded down.
            want.least_usd = least.convert_floor(rate, Rate::USD).0.saturating_sub(2);
        }
        Ok(want)
    }

    /// What a creative must reach, floors by duration aside (OpenRTB 2.6 implementation notes 7.6: look for
    /// `mincpmpersec`, otherwise fall back to `bidfloor`).
    #[inline]
    fn floor(&self, facts: &CompiledCreative) -> Nanos {
        let Nanos(per_second) = match facts.format {
            VIDEO => self.per_second[0],
            AUDIO => self.per_second[1],
            _ => Nanos::ZERO,
        };
        match per_second {
            0 => self.floor,
            per_second => Nanos(per_second.saturating_mul(i64::from(facts.duration_s))),
        }
    }
}

/// What a deal, or else the impression, asks of spots of one format (OpenRTB 2.6 implementation notes 7.11).
struct SpotFloors<'a> {
    /// CPM per second; 0 is none.
    per_second: f64,
    by_duration: &'a [DurationFloor],
}

impl<'a> SpotFloors<'a> {
    fn of(imp: &'a Imp, deal: Option<&'a Deal>, format: u64) -> SpotFloors<'a> {
        let media = if format == VIDEO { &imp.video } else { &imp.audio };
        match (deal, media) {
            (Some(deal), _) => SpotFloors { per_second: deal.mincpmpersec, by_duration: &deal.durfloors },
            (None, Some(media)) => SpotFloors { per_second: media.mincpmpersec, by_duration: &media.durfloors },
            (None, None) => SpotFloors { per_second: 0.0, by_duration: &[] },
        }
    }
}

/// Of a `bidfloorcur`: an empty one says nothing, and some write small letters.
fn floor_rate(currency: Option<&str>, rates: &HashMap<Currency, Rate>) -> Option<Rate> {
    let currency = match currency.filter(|code| !code.is_empty()) {
        None => Currency::USD,
        Some(code) => Currency::parse(code).or_else(|| Currency::parse(&code.to_ascii_uppercase()))?,
    };
    rates.get(&currency).copied()
}

impl Ask<'_, '_> {
    /// What a bid with this creative must reach for `want`.
    #[inline]
    pub(super) fn floor(&self, imp: &Imp, want: &Want, facts: &CompiledCreative) -> Nanos {
        let floor = if want.by_duration && facts.duration_s > 0 {
            self.floor_of_duration(imp, want, facts)
        } else {
            want.floor(facts)
        };
        if want.deal.as_ref().is_some_and(|deal| deal.fixed) { floor.max(want.floor) } else { floor }
    }

    /// The highest of the floors for spots of that many seconds (OpenRTB 2.6 section 3.2.35).
    #[cold]
    fn floor_of_duration(&self, imp: &Imp, want: &Want, facts: &CompiledCreative) -> Nanos {
        let deal = want.deal.as_ref().and_then(|deal| imp.pmp.as_ref()?.deals.get(deal.position));
        let spot = SpotFloors::of(imp, deal, facts.format);
        let currency = deal.map_or(imp.bidfloorcur.as_deref(), |deal| deal.bidfloorcur.as_deref());
        let rate = floor_rate(currency, &self.snapshot.shared.rates);
        // What cannot be told, and a sum beyond all prices, cannot be reached.
        let reached = |cpm| match (rate, Nanos::cpm_from_f64_ceil(cpm)) {
            (Some(rate), Some(cpm)) => cpm.convert_ceil(rate, self.rate),
            _ => Nanos(i64::MAX),
        };
        let of_it = spot.by_duration.iter().filter(|floor| spot.per_second == 0.0 && floor.is_for(facts.duration_s));
        of_it.map(|floor| reached(floor.bidfloor)).max().unwrap_or_else(|| want.floor(facts))
    }
}

impl Floors {
    /// For a bid of `seat` in the currency that has `rate`.
    pub fn of(imp: &Imp, seat: &str, rates: &HashMap<Currency, Rate>, rate: Rate) -> Floors {
        let mut deals: SmallVec<[Want; 2]> = SmallVec::new();
        let mut private = false;
        if let Some(pmp) = &imp.pmp {
            private = pmp.private_auction;
            for (position, deal) in pmp.deals.iter().enumerate() {
                let key = key(&deal.id.text);
                let is_ours = deal.wseat.is_empty() || deal.wseat.contains(seat);
                // Of one id the first counts.
                if is_ours && !deals.iter().any(|want| want.deal.as_ref().is_some_and(|deal| deal.key == key)) {
                    let fixed = deal.at == Some(3) && deal.bidfloor > 0.0;
                    let wanted = WantedDeal { key, position, fixed, advertisers: Texts::default() };
                    deals.extend(Want::of(imp, Some((wanted, deal)), rates, rate));
                }
            }
        }
        Floors { open: Want::of(imp, None, rates, rate), private, deals }
    }
}
