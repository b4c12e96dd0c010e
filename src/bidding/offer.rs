//! What one impression offers and asks: formats, bitmaps, floors.

use foldhash::HashMap;
use smallvec::SmallVec;

use super::catalog::Layer;
use super::compiled::{AUDIO, NATIVE, VIDEO};
use super::index::{ATTRIBUTES, Attribute};
use super::key::{key, size_key};
use super::reason::Reason;
use super::subject::Subject;
use crate::ids::Currency;
use crate::money::{Nanos, Rate};
use crate::openrtb::imp::Imp;
use crate::openrtb::native::NativeRequest;

/// Formats of one impression that are looked at.
const MAX_FORMATS: usize = 32;

/// What an impression offers, as values of the index.
pub(super) struct Formats {
    pub values: SmallVec<[u64; 8]>,
    /// Decoded when the first native creative asks.
    markup: Option<Option<NativeRequest>>,
}

impl Formats {
    pub fn of(imp: &Imp) -> Formats {
        let mut values = SmallVec::new();
        if let Some(banner) = &imp.banner {
            values.extend(banner.sizes().take(MAX_FORMATS).map(|(w, h)| size_key(w, h)));
        }
        values.extend(imp.video.as_ref().map(|_| VIDEO));
        values.extend(imp.audio.as_ref().map(|_| AUDIO));
        values.extend(imp.native.as_ref().map(|_| NATIVE));
        Formats { values, markup: None }
    }

    pub fn markup(&mut self, imp: &Imp) -> Option<&NativeRequest> {
        let decode = || imp.native.as_ref().and_then(|n| n.markup().ok());
        self.markup.get_or_insert_with(decode).as_ref()
    }

    pub fn take_markup(&mut self) -> Option<NativeRequest> {
        self.markup.take().flatten()
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

    pub fn words(&self) -> usize {
        self.alive.len()
    }

    #[inline]
    pub fn word(&self, at: usize) -> u64 {
        let formats = self.formats.iter().fold(0, |bits, map| bits | map[at]) & self.alive[at];
        if formats == 0 {
            return 0;
        }
        let devices = self.devices.iter().fold(0, |bits, map| bits | map[at]);
        self.rest.iter().fold(formats & devices, |bits, map| bits & map[at])
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

/// What a bid must reach, per impression in the bid's currency, rounded up.
pub(super) struct Floors {
    pub open: Nanos,
    pub private: bool,
    pub deals: SmallVec<[DealFloor; 2]>,
    /// The lowest of all, in USD: no campaign below it can bid.
    pub least_usd: i64,
}

pub(super) struct DealFloor {
    pub key: u64,
    pub position: usize,
    pub floor: Nanos,
}

impl Floors {
    /// For a bid of `seat` in the currency that has `rate`.
    pub fn of(imp: &Imp, seat: &str, rates: &HashMap<Currency, Rate>, rate: Rate) -> Result<Floors, Reason> {
        let convert = |cpm: f64, currency: Option<&str>| {
            let currency = currency.map_or(Some(Currency::USD), Currency::parse)?;
            let from = *rates.get(&currency)?;
            Some(Nanos::cpm_from_f64_ceil(cpm)?.convert_ceil(from, rate))
        };
        let mut deals = SmallVec::new();
        let mut private = false;
        if let Some(pmp) = &imp.pmp {
            private = pmp.private_auction;
            for (position, deal) in pmp.deals.iter().enumerate() {
                let seat_allowed = deal.wseat.is_empty() || deal.wseat.contains(seat);
                let floor = convert(deal.bidfloor, deal.bidfloorcur.as_deref());
                if let (true, Some(floor)) = (seat_allowed, floor) {
                    deals.push(DealFloor { key: key(&deal.id.text), position, floor });
                }
            }
        }
        let open = convert(imp.bidfloor, imp.bidfloorcur.as_deref()).ok_or(Reason::UnknownCurrency)?;
        let least = deals.iter().map(|d: &DealFloor| d.floor).fold(open, Nanos::min);
        // One nano of slack: the floor was rounded up on its way here, the caps were rounded down.
        let least_usd = least.convert_floor(rate, Rate::USD).0.saturating_sub(2);
        Ok(Floors { open, private, deals, least_usd })
    }
}
