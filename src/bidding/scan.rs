//! The scan: of all campaigns, the one that is worth most for an impression.
//!
//! In each layer in order of falling price: the index says who may match, and what it cannot say is verified. The best
//! so far is shared, so that a layer is left when its next price cannot win.

use super::campaign::BidPrice;
use super::catalog::{Layer, Place};
use super::compiled::{CompiledCreative, NATIVE};
use super::decide::{Ask, Scratch};
use super::fit::fits;
use super::index::{ATTRIBUTES, BLOCK, Block};
use super::masks::{self, Masks};
use super::offer::{Formats, Want};
use super::part::Entry;
use super::reason::Reason;
use super::score::{BATCH, Waiting, usable};
use super::sets::List;
use super::work;
use crate::clock::{Day, LocalHour};
use crate::money::{Nanos, Quantity, Rate};
use crate::openrtb::imp::Imp;
use crate::window::impressions::Seen;

/// An eligible campaign for one impression.
#[derive(Clone, Copy, Debug)]
pub(super) struct Candidate {
    pub place: Place,
    /// In USD, what campaigns are compared by.
    pub value: i64,
    /// Per impression in the bid's currency.
    pub price: Nanos,
    /// Per impression in the campaign's currency.
    pub own_price: Nanos,
    pub creative: u16,
    pub deal: Option<u16>,
    /// The version of the model that the price came from; 0 is none.
    pub model: u32,
}

/// The scan so far.
pub(super) struct Best {
    candidate: Option<Candidate>,
    ties: u32,
    eligible: u64,
    furthest: Reason,
    /// What a campaign must at least be worth to be looked at.
    pub stop: i64,
}

impl Best {
    /// Takes one campaign in, if it is the best so far.
    pub fn keep(&mut self, found: Result<Candidate, Reason>, scratch: &mut Scratch) {
        let candidate = match found {
            Ok(candidate) => candidate,
            Err(reason) => return self.lose(reason, scratch),
        };
        self.eligible += 1;
        let standing = self.candidate.map_or(i64::MIN, |b| b.value);
        if candidate.value > standing {
            (self.candidate, self.ties, self.stop) = (Some(candidate), 1, candidate.value);
        } else if candidate.value == standing {
            // Each of n equal ones is kept with a chance of 1 in n.
            self.ties += 1;
            if scratch.rng.u32(0..self.ties) == 0 {
                self.candidate = Some(candidate);
            }
        }
    }

    fn lose(&mut self, reason: Reason, scratch: &mut Scratch) {
        scratch.lost[reason as usize] += 1;
        self.furthest = self.furthest.max(reason);
    }
}

/// What is looked up in lists, in the order of the funnel.
const WALKED: [Reason; 3] = [Reason::Region, Reason::City, Reason::Inventory];
const NONE: Block = [0; BLOCK];

impl Ask<'_, '_> {
    /// The most valuable eligible campaign; one of them at random when several are worth the same.
    pub(super) fn scan(
        &self,
        imp: &Imp,
        quantity: Quantity,
        want: &Want,
        formats: &mut Formats,
        taken: &[Place],
        scratch: &mut Scratch,
    ) -> Result<Candidate, Reason> {
        let mut best = Best { candidate: None, ties: 0, eligible: 0, furthest: Reason::Format, stop: want.least_usd };
        let layers = self.snapshot.catalog.layers();
        for (number, layer) in layers.into_iter().enumerate().filter(|(_, layer)| !layer.is_empty()) {
            self.scan_layer(number, layer, imp, quantity, want, formats, taken, scratch, &mut best);
        }
        if scratch.work.is_late() {
            // There is no time to score those that wait.
            scratch.scoring.waiting.clear();
        }
        self.settle(imp, quantity, want, formats, scratch, &mut best);
        scratch.lost[Reason::Outbid as usize] += best.eligible.saturating_sub(1);
        best.candidate.ok_or_else(|| {
            // The index loses nobody later than at the price.
            let by_index = layers.into_iter().filter(|layer| best.furthest < Reason::Price && !layer.is_empty());
            by_index.fold(best.furthest, |furthest, layer| {
                scratch.work.spend(layer.alive.len());
                furthest.max(Masks::new(layer, self.exchange.key, formats, &scratch.subject).furthest())
            })
        })
    }

    /// Looks at the campaigns of one layer that may be worth more than the best so far.
    #[allow(clippy::too_many_arguments)]
    fn scan_layer(
        &self,
        number: usize,
        layer: &Layer,
        imp: &Imp,
        quantity: Quantity,
        want: &Want,
        formats: &mut Formats,
        taken: &[Place],
        scratch: &mut Scratch,
        best: &mut Best,
    ) {
        let part = &*layer.part;
        let mut named = match &want.deal {
            None => None,
            Some(deal) => match part.deals.named(deal.key) {
                None => return,
                named => named,
            },
        };
        let masks = Masks::new(layer, self.exchange.key, formats, &scratch.subject);
        let subject = &scratch.subject;
        let mut walks = [
            part.regions.walk(subject.region.as_slice()),
            part.cities.walk(subject.city.as_slice()),
            part.inventory.walk(&subject.inventory),
        ];
        // So many were looked at. Whoever cannot win, by its cap, was not lost for its targeting.
        let mut looked_at = 0;
        for block in 0.. {
            let caps = part.caps_of(block);
            let mut end = worth(caps, best.stop);
            if end == 0 {
                break;
            }
            let from = block * BLOCK * 64;
            let mut left = masks.left(block);
            if end < caps.len() {
                masks::and(&mut left, &masks::first_of_block(end));
            }
            for place in taken.iter().filter(|p| p.layer == number && (from..from + BLOCK * 64).contains(&p.entry)) {
                left[place.entry / 64 % BLOCK] &= !(1 << (place.entry % 64));
            }
            // Who does not have the deal was not lost for it: deals are not targeting of the request.
            if let Some(walk) = named.as_mut().filter(|_| left != NONE) {
                masks::and(&mut left, &walk.block(block));
            }
            let mut lost = [NONE; WALKED.len()];
            for (lost, walk) in lost.iter_mut().zip(&mut walks) {
                if let Some(walk) = walk.as_mut().filter(|_| left != NONE) {
                    *lost = masks::narrow(&mut left, &walk.block(block));
                }
            }
            let mut late = false;
            for (at, bits) in left.into_iter().enumerate().filter(|(_, bits)| *bits != 0) {
                let mut bits = bits & masks::first(end.saturating_sub(at * 64));
                if bits == 0 {
                    break;
                }
                let word = block * BLOCK + at;
                if !scratch.refused.is_empty() {
                    for (reason, refused) in scratch.refused.word(number, word, named.is_some()) {
                        scratch.lost[reason as usize] += u64::from((bits & refused).count_ones());
                        if bits & refused != 0 {
                            best.furthest = best.furthest.max(reason);
                        }
                        bits &= !refused;
                    }
                }
                let stop = best.stop;
                while bits != 0 {
                    let entry = at * 64 + bits.trailing_zeros() as usize;
                    bits &= bits - 1;
                    if caps[entry] < best.stop {
                        break;
                    }
                    let place = Place { layer: number, entry: from + entry };
                    self.consider(place, &part.entries[place.entry], imp, quantity, want, formats, scratch, best);
                    scratch.work.spend(work::CAMPAIGN);
                    if scratch.work.is_late() {
                        late = true;
                        break;
                    }
                }
                if late {
                    end = end.min(at * 64 + 64);
                    break;
                }
                if best.stop > stop {
                    // Of this word all were looked at.
                    end = worth(caps, best.stop).max(end.min(at * 64 + 64));
                }
            }
            looked_at = from + end;
            for (reason, lost) in WALKED.into_iter().zip(&lost).filter(|(_, lost)| **lost != NONE) {
                let lost = masks::ones(lost, end);
                scratch.lost[reason as usize] += lost;
                if lost > 0 {
                    best.furthest = best.furthest.max(reason);
                }
            }
            if late {
                break;
            }
        }
        scratch.work.spend(looked_at.div_ceil(64) * (4 + masks.formats() + taken.len()) / 8);
        for (attribute, lost) in ATTRIBUTES.into_iter().zip(masks.lost(looked_at)) {
            scratch.lost[attribute.reason() as usize] += lost;
        }
    }

    /// Verifies one campaign and keeps it if it is the best so far; or lets it wait for its score.
    #[allow(clippy::too_many_arguments)]
    fn consider(
        &self,
        place: Place,
        entry: &Entry,
        imp: &Imp,
        quantity: Quantity,
        want: &Want,
        formats: &mut Formats,
        scratch: &mut Scratch,
        best: &mut Best,
    ) {
        if let BidPrice::Cpc { model, .. } = &entry.compiled.bid {
            if let Err(reason) = self.wait(place, entry, model, imp, want, formats, scratch, best.stop) {
                best.lose(reason, scratch);
                self.note(place, entry, reason, want, scratch);
            } else if scratch.scoring.waiting.len() >= BATCH {
                self.settle(imp, quantity, want, formats, scratch, best);
            }
            return;
        }
        let found = self.verify(place, entry, imp, quantity, want, formats, scratch, best.stop);
        if let Err(reason) = found {
            self.note(place, entry, reason, want, scratch);
        }
        best.keep(found, scratch);
    }

    /// Remembers a campaign that was lost, where it will be asked for again.
    fn note(&self, place: Place, entry: &Entry, reason: Reason, want: &Want, scratch: &mut Scratch) {
        if scratch.refused.is_kept() {
            self.remember(place, entry, reason, want.deal.is_some(), &mut scratch.subject, &mut scratch.refused);
        }
    }

    /// Everything the index cannot say of one campaign, cheap and selective things first.
    #[allow(clippy::too_many_arguments)]
    fn verify(
        &self,
        place: Place,
        entry: &Entry,
        imp: &Imp,
        quantity: Quantity,
        want: &Want,
        formats: &mut Formats,
        scratch: &mut Scratch,
        stop: i64,
    ) -> Result<Candidate, Reason> {
        let mut own_price = entry.live.pace.bid(entry.live.price(), &mut scratch.rng);
        let value = own_price.convert_floor(entry.rate, Rate::USD).0;
        if value < stop {
            return Err(Reason::Price);
        }
        let hour = scratch.hour(place, entry);
        self.targets(entry, hour, scratch)?;
        let mut price = own_price.convert_floor(entry.rate, self.rate);
        let creative = self.creative(entry, imp, price, want, formats, scratch)?;
        self.at_fixed_price(imp, want, entry, creative, &mut price, &mut own_price);
        self.check_caps(entry, scratch)?;
        self.affordable(entry, own_price.times(quantity), hour.day)?;
        let deal = want.deal.as_ref().map(|deal| deal.position as u16);
        Ok(Candidate { place, value, price, own_price, creative, deal, model: 0 })
    }

    /// The same of a click-priced campaign, without what needs its score: that waits for it.
    #[allow(clippy::too_many_arguments)]
    fn wait(
        &self,
        place: Place,
        entry: &Entry,
        model: &str,
        imp: &Imp,
        want: &Want,
        formats: &mut Formats,
        scratch: &mut Scratch,
        stop: i64,
    ) -> Result<(), Reason> {
        if entry.live.price().convert_floor(entry.rate, Rate::USD).0 < stop {
            return Err(Reason::Price);
        }
        let hour = scratch.hour(place, entry);
        self.targets(entry, hour, scratch)?;
        has_deal(entry, want)?;
        let model = usable(&self.snapshot.models, model).ok_or(Reason::ModelMissing)?;
        let before = scratch.scoring.waiting.len();
        let mut furthest = Reason::Creative;
        scratch.work.spend(work::CREATIVE * entry.compiled.creatives.len());
        for at in 0..entry.compiled.creatives.len() {
            match self.fits(entry, at, imp, formats, scratch) {
                Ok(()) => scratch.scoring.waiting.push(Waiting::new(place, at as u16, model)),
                Err(reason) => furthest = furthest.max(reason),
            }
        }
        let fitting = scratch.scoring.waiting.len() > before;
        let may = if fitting { self.check_caps(entry, scratch) } else { Err(furthest) };
        // Whoever has no money left need not be scored.
        let may = may.and_then(|()| self.affordable(entry, Nanos(1), hour.day));
        if may.is_err() {
            scratch.scoring.waiting.truncate(before);
        }
        may
    }

    /// Whether a campaign runs, and wants this request.
    fn targets(&self, entry: &Entry, hour: LocalHour, scratch: &mut Scratch) -> Result<(), Reason> {
        let compiled = &*entry.compiled;
        if !entry.live.active() {
            return Err(Reason::Paused);
        }
        if !compiled.schedule.has_begun_and_not_ended(self.now) {
            return Err(Reason::Dates);
        }
        if !compiled.schedule.hours.contains(hour.hour_of_week) {
            return Err(Reason::HourOfWeek);
        }
        let (sets, subject) = (&compiled.sets, &mut scratch.subject);
        if !sets.allow(List::Regions, List::NotRegions, subject.region.as_slice()) {
            return Err(Reason::Region);
        }
        if !sets.allow(List::Cities, List::NotCities, subject.city.as_slice()) {
            return Err(Reason::City);
        }
        if !sets.allow(List::Inventory, List::NotInventory, &subject.inventory) {
            return Err(Reason::Inventory);
        }
        if !compiled.wants_categories(&subject.categories, subject.category_areas) {
            return Err(Reason::Category);
        }
        if sets.has(List::Segments) || sets.has(List::NotSegments) {
            let segments = subject.segments(self.request, self.snapshot.shared.vendor.as_ref());
            if !sets.allow(List::Segments, List::NotSegments, segments) {
                return Err(Reason::Segment);
            }
        }
        Ok(())
    }

    /// Where a deal has a fixed price, that is what is bid.
    pub(super) fn at_fixed_price(
        &self,
        imp: &Imp,
        want: &Want,
        entry: &Entry,
        creative: u16,
        price: &mut Nanos,
        own_price: &mut Nanos,
    ) {
        if let Some(deal) = &want.deal
            && deal.fixed
        {
            *price = self.floor(imp, want, &entry.compiled.creatives[usize::from(creative)]);
            *own_price = (*own_price).min(price.convert_ceil(self.rate, entry.rate));
        }
    }

    /// Whether the campaign has that much money for a bid now, and its plan leaves room for it.
    pub(super) fn affordable(&self, entry: &Entry, cost: Nanos, day: Day) -> Result<(), Reason> {
        let open = entry.live.account.open(day);
        let available = open.as_deref().and_then(|o| o.as_ref()).map_or(Nanos::ZERO, |o| o.available());
        if available < cost {
            // A lease that the plan would not let be spent is not worth having.
            let account = &entry.live.account;
            if entry.live.pace.has_room(cost) {
                account.refuse(cost)
            } else {
                account.ask()
            }
            return Err(Reason::Budget);
        }
        if entry.live.pace.allows(cost) { Ok(()) } else { Err(Reason::Pacing) }
    }

    /// A creative that fits and whose floor the price reaches.
    fn creative(
        &self,
        entry: &Entry,
        imp: &Imp,
        price: Nanos,
        want: &Want,
        formats: &mut Formats,
        scratch: &mut Scratch,
    ) -> Result<u16, Reason> {
        has_deal(entry, want)?;
        let compiled = &*entry.compiled;
        let len = compiled.creatives.len();
        let first = if len > 1 { scratch.rng.usize(0..len) } else { 0 };
        scratch.work.spend(work::CREATIVE * len);
        let mut furthest = Reason::Creative;
        for i in 0..len {
            let at = (first + i) % len;
            let terms = || self.keeps_terms(&compiled.creatives[at], imp, price, want);
            match self.fits(entry, at, imp, formats, scratch).and_then(|()| terms()) {
                Ok(()) => return Ok(at as u16),
                Err(reason) => furthest = furthest.max(reason),
            }
        }
        Err(furthest)
    }

    /// Whether one creative may be shown, whatever is bid for it.
    fn fits(
        &self,
        entry: &Entry,
        at: usize,
        imp: &Imp,
        formats: &mut Formats,
        scratch: &mut Scratch,
    ) -> Result<(), Reason> {
        let facts = &entry.compiled.creatives[at];
        if !formats.values.contains(&facts.format) || facts.duration_s > formats.left_s {
            return Err(Reason::Creative);
        }
        if facts.btypes & formats.btypes != 0 {
            return Err(Reason::BlockedAttribute);
        }
        if facts.format == NATIVE {
            scratch.work.spend(formats.markup(imp).map_or(0, |markup| markup.assets.len()));
        }
        fits(facts, self.request, imp, formats, &mut scratch.subject)
    }

    /// The floor, and the advertisers that a deal names.
    pub(super) fn keeps_terms(
        &self,
        facts: &CompiledCreative,
        imp: &Imp,
        price: Nanos,
        want: &Want,
    ) -> Result<(), Reason> {
        if price < self.floor(imp, want, facts) || price.0 <= 0 {
            return Err(Reason::Floor);
        }
        let allowed = want.deal.as_ref().is_none_or(|deal| deal.is_for(imp, &facts.creative));
        if allowed { Ok(()) } else { Err(Reason::Floor) }
    }

    fn check_caps(&self, entry: &Entry, scratch: &mut Scratch) -> Result<(), Reason> {
        if entry.compiled.frequency_caps.is_empty() {
            return Ok(());
        }
        let (user, shared) = (self.user(scratch), &self.snapshot.shared);
        for cap in entry.compiled.frequency_caps.iter() {
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
}

/// How many of a block's campaigns may be worth that much by their caps, which fall.
#[inline]
fn worth(caps: &[i64], stop: i64) -> usize {
    if caps.last().is_some_and(|least| *least >= stop) {
        return caps.len();
    }
    caps.partition_point(|cap| *cap >= stop)
}

/// Whether the campaign may bid for the deal, or for the open market.
fn has_deal(entry: &Entry, want: &Want) -> Result<(), Reason> {
    let sets = &entry.compiled.sets;
    let fits = want.deal.as_ref().map_or(!sets.has(List::Deals), |deal| sets.get(List::Deals).contains(deal.key));
    if fits { Ok(()) } else { Err(Reason::Deal) }
}
