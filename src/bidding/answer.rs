//! The bids for one impression: one for each deal that somebody has, the best for the open market, and as many as fit into a
//! dynamic pod (OpenRTB 2.6 implementation notes 7.3 and 7.6). Each is a reservation of its own.

use smallvec::SmallVec;

use super::catalog::Place;
use super::creative::Kind;
use super::decide::{Ask, Bid, Scratch, Served};
use super::key::key;
use super::offer::{Floors, Formats, Want};
use super::reason::Reason;
use super::room::bid_bytes;
use super::scan::Candidate;
use super::vast;
use super::work;
use crate::event::{Facts, Slot};
use crate::ledger::bucket::Grids;
use crate::money::Quantity;
use crate::openrtb::audio_video::AudioVideo;
use crate::openrtb::imp::Imp;

/// How often an impression is scanned anew because another bid took the money in between.
const MAX_TRIES: usize = 4;
/// Bids of one impression: deals beyond them get none.
const MAX_BIDS_OF_IMP: usize = 64;
/// Bids of one response: each costs a scan, and a place in the log.
const MAX_BIDS: usize = 4_000;
/// Bids for a dynamic pod that names no number: no break has more.
const MAX_POD_BIDS: u32 = 32;

/// The campaigns that a response shows in each structured pod so far: one does not follow itself.
#[derive(Debug, Default)]
pub(super) struct Shown(SmallVec<[(u64, Place); 4]>);

/// What is left of a pod.
struct Pod {
    id: Option<u64>,
    /// Several bids may be shown together.
    dynamic: bool,
    left: u32,
    left_s: u32,
}

impl Pod {
    fn of(imp: &Imp) -> Pod {
        let offers = [&imp.video, &imp.audio].into_iter().flatten();
        let Some(spot) = offers.clone().find(|s| s.poddur.is_some()).or(offers.clone().next()) else {
            return Pod::NONE;
        };
        let id = spot.podid.as_deref().filter(|id| !id.is_empty()).map(key);
        match dynamic(spot) {
            Some(left_s) => {
                let left = spot.maxseq.filter(|most| *most > 0).unwrap_or(MAX_POD_BIDS).min(MAX_POD_BIDS);
                Pod { id, dynamic: true, left, left_s }
            }
            None => Pod { id, ..Pod::NONE },
        }
    }

    const NONE: Pod = Pod { id: None, dynamic: false, left: u32::MAX, left_s: u32::MAX };
}

/// The seconds of a pod whose slots are not laid down (sections 3.2.7 and 3.2.8, `poddur`).
fn dynamic(spot: &AudioVideo) -> Option<u32> {
    spot.poddur.filter(|seconds| *seconds > 0)
}

type Taken = SmallVec<[Place; MAX_TRIES]>;

impl Ask<'_, '_> {
    /// Adds the bids for one impression; or says how far the best campaign came.
    pub(super) fn answer(
        &self,
        position: usize,
        imp: &Imp,
        shown: &mut Shown,
        scratch: &mut Scratch,
        bids: &mut SmallVec<[Bid; 1]>,
    ) -> Result<(), Reason> {
        let mut formats = Formats::of(imp);
        if formats.values.is_empty() {
            return Err(Reason::NoSupportedImp);
        }
        let quantity = match imp.qty.and_then(|q| q.multiplier) {
            None => Quantity::ONE,
            Some(multiplier) => Quantity::from_f64(multiplier).ok_or(Reason::NoSupportedImp)?,
        };
        let floors = Floors::of(imp, &self.exchange.seat, &self.snapshot.shared.rates, self.rate);
        // Each was compared with those before it.
        scratch.work.spend(floors.deals.len() * floors.deals.len() / 64);
        let mut pod = Pod::of(imp);
        let mut taken: Taken = SmallVec::new();
        if let Some(id) = pod.id {
            taken.extend(shown.0.iter().filter(|(pod, _)| *pod == id).map(|(_, place)| *place));
        }
        let before = bids.len();
        let (open, mut furthest) = match &floors.open {
            _ if floors.private => (None, Reason::PrivateAuction),
            Ok(want) => (Some(want), Reason::PrivateAuction),
            Err(reason) => (None, *reason),
        };
        let open_bids = if pod.dynamic { pod.left as usize } else { self.exchange.open_bids }.min(MAX_BIDS_OF_IMP);
        // Some room is left for the open market.
        let most_deals = MAX_BIDS_OF_IMP - if open.is_some() { open_bids.min(MAX_BIDS_OF_IMP / 2) } else { 0 };
        let deals = floors.deals.iter().filter(|want| self.is_named(want)).take(most_deals);
        for want in deals.chain(open.into_iter().flat_map(|want| std::iter::repeat_n(want, open_bids))) {
            if bids.len() - before == MAX_BIDS_OF_IMP || bids.len() == MAX_BIDS || pod.left == 0 || pod.left_s == 0 {
                break;
            }
            scratch.work.spend(work::SCAN);
            if scratch.room.is_full() || scratch.work.is_late() {
                break;
            }
            formats.left_s = pod.left_s;
            let mut found = self.best_for(position, imp, quantity, want, &mut formats, &taken, scratch);
            // A deal gets its bid also where only a campaign has it that the pod shows already.
            if found.is_err() && want.deal.is_some() && !taken.is_empty() {
                found = self.best_for(position, imp, quantity, want, &mut formats, &[], scratch);
            }
            let (bid, place) = match found {
                Ok(found) => found,
                Err(reason) => {
                    furthest = if bids.len() == before && furthest == Reason::PrivateAuction {
                        reason
                    } else {
                        furthest.max(reason)
                    };
                    // Nor is there a second bid for the open market.
                    if want.deal.is_none() {
                        break;
                    }
                    continue;
                }
            };
            // A campaign may have several deals, but is worth one open bid, and one spot of a pod.
            if want.deal.is_none() || pod.dynamic || pod.id.is_some() {
                taken.push(place);
            }
            if let Some(id) = pod.id {
                shown.0.push((id, place));
            }
            let seconds = bid.campaign.creatives[usize::from(bid.creative)].duration_s;
            bids.push(bid);
            if pod.dynamic {
                // What is no spot fills the place that the pod would have.
                pod.left = if seconds > 0 { pod.left - 1 } else { 0 };
                pod.left_s = pod.left_s.saturating_sub(seconds);
            }
        }
        if bids.len() == before { Err(furthest) } else { Ok(()) }
    }

    /// Whether any campaign has the deal.
    fn is_named(&self, want: &Want) -> bool {
        let layers = self.snapshot.catalog.layers();
        want.deal.as_ref().is_some_and(|deal| layers.into_iter().any(|layer| layer.part.deals.has(deal.key)))
    }

    /// The best bid of those not taken, its money reserved; or how far the best campaign came.
    #[allow(clippy::too_many_arguments)]
    fn best_for(
        &self,
        position: usize,
        imp: &Imp,
        quantity: Quantity,
        want: &Want,
        formats: &mut Formats,
        taken: &[Place],
        scratch: &mut Scratch,
    ) -> Result<(Bid, Place), Reason> {
        let mut lost: Taken = SmallVec::from_slice(taken);
        loop {
            let best = self.scan(imp, quantity, want, formats, &lost, scratch)?;
            if scratch.work.is_over() {
                return Err(Reason::InsufficientTime);
            }
            match self.reserve(position, imp, quantity, best, formats, scratch) {
                Some(bid) => return Ok((bid, best.place)),
                None if scratch.room.is_full() || scratch.work.is_late() => return Err(Reason::Outbid),
                None if lost.len() + 1 < taken.len() + MAX_TRIES => lost.push(best.place),
                None => return Err(Reason::Budget),
            }
        }
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
        let entry = snapshot.catalog.entry(best.place);
        let day = scratch.hour(best.place, entry).day;
        let open = entry.live.account.open(day)?;
        let slot = open.as_deref()?;
        let mut lifetimes = self.exchange.lifetimes;
        if let Some(exp) = imp.exp.filter(|exp| *exp > 0) {
            lifetimes = lifetimes.with_exp(exp);
        }
        let (auction_ms, bill_ms) = snapshot.shared.grids.lifetimes(self.now, lifetimes);
        let creative = &entry.compiled.creatives[usize::from(best.creative)];
        let capped = !entry.compiled.frequency_caps.is_empty();
        let facts = Facts {
            reservation: snapshot.shared.sequencer.next(&mut scratch.range, self.now)?,
            campaign: entry.compiled.no,
            lease_seq: slot.lease_seq(),
            day,
            daily: slot.slot != Slot::Whole,
            creative: creative.hash,
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
            user: if capped { self.user(scratch) } else { 0 },
            spend_on_win: self.exchange.spend_on_win,
            test: self.request.test,
            model: best.model,
        };
        let served = match &creative.creative.kind {
            Kind::Banner { .. } => Served::AsIs,
            Kind::Video { spot, .. } => Served::Spot(vast::choose(spot, imp.video.as_deref()?, &formats.video)?),
            Kind::Audio { spot } => Served::Spot(vast::choose(spot, imp.audio.as_deref()?, &formats.audio)?),
            Kind::Native { .. } => Served::Native(Box::new(formats.markup(imp)?.clone())),
        };
        let deal = best.deal.map(usize::from);
        let fragment = &creative.fragment;
        let dealid = deal.and_then(|at| imp.pmp.as_ref()?.deals.get(at)).map_or(0, |deal| deal.id.literal_bytes());
        let bytes = imp.id.literal_bytes()
            + dealid
            + fragment.bytes.len()
            + bid_bytes(&creative.creative, fragment.token_slots.len(), &served);
        if !scratch.room.has(bytes) {
            return None;
        }
        let ring = Grids::first_ring(&facts);
        // A test bid never spends (DESIGN 4.8), so it sets nothing aside either.
        let (account, grids) = (&entry.live.account, &snapshot.shared.grids);
        if !facts.test && !account.try_reserve(slot, grids, ring, facts.auction_until(), facts.reserved) {
            return None;
        }
        scratch.room.take(bytes);
        if !facts.test {
            entry.live.pace.promise(facts.reserved);
        }
        Some(Bid { imp: position, campaign: entry.compiled.clone(), creative: best.creative, deal, facts, served })
    }
}
