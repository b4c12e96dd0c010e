//! `decide()`: a bid request in, bids or a reason out.
//!
//! For each impression: scan the index in order of falling price, verify what its bitmaps cannot say, keep the best,
//! stop when the next price cannot win, and reserve. Nothing here waits, locks, or reads a clock.

use std::sync::Arc;

use fastrand::Rng;
use smallvec::SmallVec;

use super::campaign::BidPrice;
use super::catalog::{Catalog, Entry};
use super::compiled::NATIVE;
use super::fit::{advertiser_allowed, fits};
use super::offer::{Floors, Formats, Masks};
use super::reason::Reason;
use super::subject::Subject;
use crate::clock::{LocalHour, UnixMs};
use crate::event::Facts;
use crate::ids::Currency;
use crate::ledger::bucket::{Grids, Lifetimes};
use crate::ledger::sequence::{SeqRange, Sequencer};
use crate::money::{Nanos, Quantity, Rate};
use crate::openrtb::consent::Privacy;
use crate::openrtb::imp::Imp;
use crate::openrtb::native::NativeRequest;
use crate::openrtb::request::BidRequest;
use crate::window::impressions::{ImpressionStore, Seen};

/// How often an impression is scanned anew because another bid took the money in between.
const MAX_TRIES: usize = 4;

/// Everything a decision reads.
#[derive(Clone)]
pub struct Snapshot {
    pub catalog: Arc<Catalog>,
    pub shared: Arc<Shared>,
}

/// What does not change with the catalog.
pub struct Shared {
    pub rates: foldhash::HashMap<Currency, Rate>,
    pub grids: Arc<Grids>,
    pub sequencer: Sequencer,
    pub impressions: Arc<ImpressionStore>,
    /// Capped campaigns bid for users who cannot be told.
    pub bid_for_unknown: bool,
}

/// What a decision needs to know of the exchange.
#[derive(Clone, Debug)]
pub struct ExchangeTerms {
    pub number: u32,
    /// [`key`] of its name.
    pub key: u64,
    pub seat: String,
    /// Of requests that name none.
    pub currency: Currency,
    pub lifetimes: Lifetimes,
    pub spend_on_win: bool,
}

/// A worker's buffers, kept from request to request.
#[derive(Debug)]
pub struct Scratch {
    subject: Subject,
    rng: Rng,
    range: SeqRange,
    zones: Vec<LocalHour>,
    zones_of: u64,
    /// Campaigns lost for each reason since the last [`Scratch::take_lost`].
    lost: [u64; Reason::COUNT],
}

impl Scratch {
    pub fn new(seed: u64) -> Scratch {
        Scratch {
            subject: Subject::default(),
            rng: Rng::with_seed(seed),
            range: SeqRange::default(),
            zones: Vec::new(),
            zones_of: u64::MAX,
            lost: [0; Reason::COUNT],
        }
    }

    /// Campaigns lost per reason, and starts counting anew.
    pub fn take_lost(&mut self) -> [u64; Reason::COUNT] {
        std::mem::replace(&mut self.lost, [0; Reason::COUNT])
    }

    /// Brings the local hours of the catalog's time zones up to `now`.
    fn local_hours(&mut self, catalog: &Catalog, now: UnixMs) {
        if self.zones_of != catalog.version {
            self.zones.clear();
            self.zones_of = catalog.version;
        }
        for (i, zone) in catalog.zones.iter().enumerate() {
            match self.zones.get_mut(i) {
                Some(hour) if now < hour.until => {}
                Some(hour) => *hour = zone.local_hour(now),
                None => self.zones.push(zone.local_hour(now)),
            }
        }
    }
}

/// The answer to one request.
#[derive(Debug, Default)]
pub struct BidDecision {
    pub bids: SmallVec<[Bid; 1]>,
    /// Currency of all bids.
    pub currency: Option<Currency>,
    /// The furthest that any campaign came when there is no bid.
    pub reason: Option<Reason>,
}

/// One bid. Its money is reserved.
#[derive(Debug)]
pub struct Bid {
    /// Position in the request.
    pub imp: usize,
    pub campaign: Arc<super::compiled::Compiled>,
    /// Position in the campaign.
    pub creative: u16,
    /// Position in the impression's deals.
    pub deal: Option<usize>,
    pub facts: Facts,
    /// What a native creative answers.
    pub markup: Option<NativeRequest>,
}

/// An eligible campaign for one impression.
#[derive(Clone, Copy, Debug)]
struct Candidate {
    entry: u32,
    /// In USD, what campaigns are compared by.
    value: i64,
    /// Per impression in the bid's currency.
    price: Nanos,
    /// Per impression in the campaign's currency.
    own_price: Nanos,
    creative: u16,
    deal: Option<u16>,
}

/// The request, its terms, and what was worked out of it once.
struct Ask<'a, 'r> {
    snapshot: &'a Snapshot,
    exchange: &'a ExchangeTerms,
    request: &'a BidRequest<'r>,
    now: UnixMs,
    currency: Currency,
    rate: Rate,
}

/// Decides on one request at `now`. Money is reserved for every bid returned.
pub fn decide(
    snapshot: &Snapshot,
    exchange: &ExchangeTerms,
    request: &BidRequest,
    now: UnixMs,
    scratch: &mut Scratch,
) -> BidDecision {
    let no = |reason| BidDecision { reason: Some(reason), ..BidDecision::default() };
    if !seat_allowed(request, &exchange.seat) {
        return no(Reason::SeatNotAllowed);
    }
    let Some((currency, rate)) = currency(request, exchange, &snapshot.shared) else {
        return no(Reason::UnknownCurrency);
    };
    let catalog = &*snapshot.catalog;
    if catalog.entries.is_empty() {
        return no(Reason::NoCampaigns);
    }
    scratch.local_hours(catalog, now);
    let privacy = Privacy::of(request);
    scratch.subject.read(request, &privacy, catalog.uses_segments, catalog.uses_categories);
    let ask = Ask { snapshot, exchange, request, now, currency, rate };
    let mut decision = BidDecision { currency: Some(currency), ..BidDecision::default() };
    let mut furthest = Reason::NoSupportedImp;
    for (position, imp) in request.imp.iter().enumerate() {
        match ask.best_for(position, imp, scratch) {
            Ok(bid) => decision.bids.push(bid),
            Err(reason) => furthest = furthest.max(reason),
        }
    }
    if decision.bids.is_empty() {
        decision.reason = Some(furthest);
    }
    decision
}

/// `wseat` and `bseat` (OpenRTB 2.6 section 3.2.1).
fn seat_allowed(request: &BidRequest, seat: &str) -> bool {
    (request.wseat.is_empty() || request.wseat.contains(seat)) && !request.bseat.contains(seat)
}

/// The first currency of the request that has a rate; the exchange's where it names none.
fn currency(request: &BidRequest, exchange: &ExchangeTerms, shared: &Shared) -> Option<(Currency, Rate)> {
    let with_rate = |currency: Currency| Some((currency, *shared.rates.get(&currency)?));
    if request.cur.is_empty() {
        return with_rate(exchange.currency);
    }
    request.cur.iter().find_map(|code| with_rate(Currency::parse(&code)?))
}

impl Ask<'_, '_> {
    /// The best bid for one impression, its money reserved; or how far the best campaign came.
    fn best_for(&self, position: usize, imp: &Imp, scratch: &mut Scratch) -> Result<Bid, Reason> {
        let mut formats = Formats::of(imp);
        if formats.values.is_empty() {
            return Err(Reason::NoSupportedImp);
        }
        let quantity = match imp.qty.and_then(|q| q.multiplier) {
            None => Quantity::ONE,
            Some(multiplier) => Quantity::from_f64(multiplier).ok_or(Reason::NoSupportedImp)?,
        };
        let floors = Floors::of(imp, &self.exchange.seat, &self.snapshot.shared.rates, self.rate)?;
        let mut taken: SmallVec<[u32; MAX_TRIES]> = SmallVec::new();
        loop {
            let best = self.scan(imp, quantity, &floors, &mut formats, &taken, scratch)?;
            match self.reserve(position, imp, quantity, best, &mut formats, scratch) {
                Some(bid) => return Ok(bid),
                None if taken.len() + 1 < MAX_TRIES => taken.push(best.entry),
                None => return Err(Reason::Budget),
            }
        }
    }

    /// The most valuable eligible campaign; one of them at random when several are worth the same.
    fn scan(
        &self,
        imp: &Imp,
        quantity: Quantity,
        floors: &Floors,
        formats: &mut Formats,
        taken: &[u32],
        scratch: &mut Scratch,
    ) -> Result<Candidate, Reason> {
        let catalog = &*self.snapshot.catalog;
        let mut best = Best { candidate: None, ties: 0, eligible: 0, furthest: Reason::Format, stop: floors.least_usd };
        let masks = Masks::new(&catalog.index, self.exchange.key, formats, &scratch.subject);
        let subject = &scratch.subject;
        let mut walks = [
            (Reason::Region, catalog.regions.walk(subject.region.as_slice())),
            (Reason::City, catalog.cities.walk(subject.city.as_slice())),
            (Reason::Inventory, catalog.inventory.walk(&subject.inventory)),
        ];
        let raised = catalog.raised.load();
        for &entry in raised.iter().filter(|e| !taken.contains(e)) {
            if masks.word(entry as usize / 64) >> (entry % 64) & 1 == 1 {
                self.consider(entry, imp, quantity, floors, formats, scratch, &mut best);
            }
        }
        for word in 0..catalog.index.words() {
            let caps = catalog.caps_of(word);
            if caps[0] < best.stop {
                break;
            }
            let mut bits = masks.word(word);
            if bits == 0 {
                continue;
            }
            for done in raised.iter().chain(taken).filter(|entry| **entry as usize / 64 == word) {
                bits &= !(1 << (done % 64));
            }
            // Not by its cap: whoever cannot win was not lost for its lists.
            bits &= u64::MAX >> (64 - caps.partition_point(|cap| *cap >= best.stop));
            for (reason, walk) in &mut walks {
                if bits == 0 {
                    break;
                }
                let left = bits & walk.word(word);
                if left != bits {
                    scratch.lost[*reason as usize] += u64::from((bits & !left).count_ones());
                    best.furthest = best.furthest.max(*reason);
                }
                bits = left;
            }
            while bits != 0 {
                let place = bits.trailing_zeros();
                bits &= bits - 1;
                if caps[place as usize] < best.stop {
                    break;
                }
                self.consider(word as u32 * 64 + place, imp, quantity, floors, formats, scratch, &mut best);
            }
        }
        scratch.lost[Reason::Outbid as usize] += best.eligible.saturating_sub(1);
        // The index loses nobody later than at the price.
        best.candidate.ok_or_else(|| match best.furthest {
            furthest if furthest >= Reason::Price => furthest,
            furthest => furthest.max(masks.furthest()),
        })
    }

    /// Verifies one campaign and keeps it if it is the best so far.
    #[allow(clippy::too_many_arguments)]
    fn consider(
        &self,
        entry: u32,
        imp: &Imp,
        quantity: Quantity,
        floors: &Floors,
        formats: &mut Formats,
        scratch: &mut Scratch,
        best: &mut Best,
    ) {
        match self.verify(entry, imp, quantity, floors, formats, scratch, best.stop) {
            Ok(candidate) => {
                best.eligible += 1;
                let standing = best.candidate.map_or(i64::MIN, |b| b.value);
                if candidate.value > standing {
                    (best.candidate, best.ties, best.stop) = (Some(candidate), 1, candidate.value);
                } else if candidate.value == standing {
                    // Each of n equal ones is kept with a chance of 1 in n.
                    best.ties += 1;
                    if scratch.rng.u32(0..best.ties) == 0 {
                        best.candidate = Some(candidate);
                    }
                }
            }
            Err(reason) => {
                scratch.lost[reason as usize] += 1;
                best.furthest = best.furthest.max(reason);
            }
        }
    }

    /// Everything the index cannot say of one campaign, cheap and selective things first.
    #[allow(clippy::too_many_arguments)]
    fn verify(
        &self,
        at: u32,
        imp: &Imp,
        quantity: Quantity,
        floors: &Floors,
        formats: &mut Formats,
        scratch: &mut Scratch,
        stop: i64,
    ) -> Result<Candidate, Reason> {
        let entry = &self.snapshot.catalog.entries[at as usize];
        let compiled = &*entry.compiled;
        let campaign = &*compiled.campaign;
        let own_price = entry.live.pace.bid(entry.live.price(), &mut scratch.rng);
        let value = own_price.convert_floor(entry.rate, Rate::USD).0;
        if value < stop {
            return Err(Reason::Price);
        }
        if !entry.live.active() {
            return Err(Reason::Paused);
        }
        if campaign.starts_at.is_some_and(|t| self.now < t) || campaign.ends_at.is_some_and(|t| self.now > t) {
            return Err(Reason::Dates);
        }
        let hour = scratch.zones[usize::from(entry.zone)];
        if !campaign.targeting.hours.contains(hour.hour_of_week) {
            return Err(Reason::HourOfWeek);
        }
        let subject = &mut scratch.subject;
        if !compiled.regions.allow(subject.region.as_slice()) {
            return Err(Reason::Region);
        }
        if !compiled.cities.allow(subject.city.as_slice()) {
            return Err(Reason::City);
        }
        if !compiled.inventory.allow(&subject.inventory) {
            return Err(Reason::Inventory);
        }
        if !compiled.categories.allow(&subject.categories) {
            return Err(Reason::Category);
        }
        if (!compiled.segments_any.is_empty() && !compiled.segments_any.any_of(&subject.segments))
            || compiled.segments_none.any_of(&subject.segments)
        {
            return Err(Reason::Segment);
        }
        if let BidPrice::Cpc { .. } = campaign.bid {
            return Err(Reason::ModelMissing);
        }
        let price = own_price.convert_floor(entry.rate, self.rate);
        let (creative, deal) = self.creative_and_deal(entry, imp, price, floors, formats, scratch)?;
        if !campaign.frequency_caps.is_empty() {
            self.check_caps(entry, scratch.subject.user)?;
        }
        let open = entry.live.account.open(hour.day);
        let available = open.as_deref().and_then(|o| o.as_ref()).map_or(Nanos::ZERO, |o| o.available());
        if available < own_price.times(quantity) {
            entry.live.account.ask();
            return Err(Reason::Budget);
        }
        if !entry.live.pace.allows(own_price.times(quantity)) {
            return Err(Reason::Pacing);
        }
        Ok(Candidate { entry: at, value, price, own_price, creative, deal })
    }

    /// A creative that fits, and the deal it would be bid for: the one with the highest floor that the price reaches.
    fn creative_and_deal(
        &self,
        entry: &Entry,
        imp: &Imp,
        price: Nanos,
        floors: &Floors,
        formats: &mut Formats,
        scratch: &mut Scratch,
    ) -> Result<(u16, Option<u16>), Reason> {
        let compiled = &*entry.compiled;
        let wants_deal = !compiled.deals.is_empty();
        if wants_deal && !floors.deals.iter().any(|d| compiled.deals.contains(d.key)) {
            return Err(Reason::Deal);
        }
        if !wants_deal && floors.private {
            return Err(Reason::PrivateAuction);
        }
        let len = compiled.creatives.len();
        let first = if len > 1 { scratch.rng.usize(0..len) } else { 0 };
        let mut furthest = Reason::Creative;
        for i in 0..len {
            let at = (first + i) % len;
            let (creative, facts) = (&compiled.campaign.creatives[at], &compiled.creatives[at]);
            if !formats.values.contains(&facts.format) {
                continue;
            }
            let markup = if facts.format == NATIVE { formats.markup(imp) } else { None };
            if let Err(reason) = fits(creative, facts, self.request, imp, markup, &mut scratch.subject) {
                furthest = furthest.max(reason);
                continue;
            }
            if !wants_deal {
                return if price >= floors.open && price.0 > 0 { Ok((at as u16, None)) } else { Err(Reason::Floor) };
            }
            let deals = floors.deals.iter().filter(|d| compiled.deals.contains(d.key));
            let best = deals
                .filter(|d| price >= d.floor && price.0 > 0)
                .filter(|d| {
                    imp.pmp.as_ref().is_some_and(|p| advertiser_allowed(creative, &p.deals[d.position].wadomain))
                })
                .max_by_key(|d| d.floor);
            match best {
                Some(deal) => return Ok((at as u16, Some(deal.position as u16))),
                None => furthest = furthest.max(Reason::Floor),
            }
        }
        Err(furthest)
    }

    fn check_caps(&self, entry: &Entry, user: u64) -> Result<(), Reason> {
        let shared = &self.snapshot.shared;
        for cap in &entry.compiled.campaign.frequency_caps {
            // Without an id nothing can be counted; in a full store a user who is not found may have been evicted.
            let seen = match user {
                0 => Seen::Unknown,
                _ => shared.impressions.seen(entry.compiled.no, user, self.now, cap.per_ms, cap.impressions),
            };
            match seen {
                Seen::Below => {}
                Seen::Unknown if shared.bid_for_unknown => {}
                Seen::Unknown => return Err(Reason::UnknownUser),
                Seen::Reached => return Err(Reason::FrequencyCap),
            }
        }
        Ok(())
    }

    /// Sets the money of a bid aside and writes down its facts; `None` when it is gone.
    fn reserve(
        &self,
        position: usize,
        imp: &Imp,
        quantity: Quantity,
        best: Candidate,
        formats: &mut Formats,
        scratch: &mut Scratch,
    ) -> Option<Bid> {
        let snapshot = self.snapshot;
        let entry = &snapshot.catalog.entries[best.entry as usize];
        let day = scratch.zones[usize::from(entry.zone)].day;
        let open = entry.live.account.open(day)?;
        let slot = open.as_deref()?;
        let mut lifetimes = self.exchange.lifetimes;
        if let Some(exp) = imp.exp.filter(|exp| *exp > 0) {
            lifetimes.auction_ms = lifetimes.auction_ms.min(exp.saturating_mul(1_000));
        }
        let (auction_ms, bill_ms) = snapshot.shared.grids.lifetimes(self.now, lifetimes);
        let creative = &entry.compiled.campaign.creatives[usize::from(best.creative)];
        let capped = !entry.compiled.campaign.frequency_caps.is_empty();
        let facts = Facts {
            reservation: snapshot.shared.sequencer.next(&mut scratch.range, self.now)?,
            campaign: entry.compiled.no,
            lease_seq: slot.lease_seq(),
            day,
            daily: slot.slot != crate::event::Slot::Whole,
            creative: best.creative,
            exchange: self.exchange.number,
            bid_at: self.now,
            auction_ms,
            bill_ms,
            reserved: best.own_price.times(quantity),
            price: best.price,
            currency: self.currency,
            campaign_currency: entry.currency,
            rate: self.rate,
            campaign_rate: entry.rate,
            quantity,
            user: if capped { scratch.subject.user } else { 0 },
            spend_on_win: self.exchange.spend_on_win,
            test: self.request.test,
        };
        let ring = Grids::first_ring(&facts);
        // A test bid never spends (DESIGN 4.8), so it sets nothing aside either.
        let (account, grids) = (&entry.live.account, &snapshot.shared.grids);
        if !facts.test && !account.try_reserve(slot, grids, ring, facts.auction_until(), facts.reserved) {
            return None;
        }
        if !facts.test {
            entry.live.pace.promise(facts.reserved);
        }
        Some(Bid {
            imp: position,
            campaign: entry.compiled.clone(),
            creative: best.creative,
            deal: best.deal.map(usize::from),
            facts,
            markup: if creative.mtype() == 4 { formats.take_markup() } else { None },
        })
    }
}

/// The scan so far.
struct Best {
    candidate: Option<Candidate>,
    ties: u32,
    eligible: u64,
    furthest: Reason,
    /// What a campaign must at least be worth to be looked at.
    stop: i64,
}
