//! `decide()`: a bid request in, bids or a reason out.
//!
//! For each impression: scan the catalog for the best campaign, or the best few, and reserve. Nothing here waits, locks,
//! or reads a clock.

use std::sync::Arc;

use fastrand::Rng;
use smallvec::SmallVec;

use super::answer::Shown;
use super::catalog::{Catalog, Place};
use super::key::UserKey;
use super::part::{Entry, Part};
use super::reason::Reason;
use super::refused::Refused;
use super::room::Room;
use super::score;
use super::subject::Subject;
use super::supply::Supply;
use super::vast::Choice;
use super::work::Work;
use crate::clock::{LocalHour, UnixMs};
use crate::event::Facts;
use crate::ids::Currency;
use crate::ledger::bucket::{Grids, Lifetimes};
use crate::ledger::sequence::{SeqRange, Sequencer};
use crate::money::Rate;
use crate::openrtb::consent::Vendor;
use crate::openrtb::imp::Imp;
use crate::openrtb::native::NativeRequest;
use crate::openrtb::request::BidRequest;
use crate::scoring::Models;
use crate::window::impressions::ImpressionStore;

/// Everything a decision reads.
#[derive(Clone)]
pub struct Snapshot {
    pub catalog: Arc<Catalog>,
    /// One version of each: a decision uses no other.
    pub models: Arc<Models>,
    pub shared: Arc<Shared>,
}

/// What does not change with the catalog.
pub struct Shared {
    pub rates: foldhash::HashMap<Currency, Rate>,
    pub grids: Arc<Grids>,
    pub sequencer: Sequencer,
    pub impressions: Arc<ImpressionStore>,
    /// Of the users in `impressions`.
    pub users: UserKey,
    /// Capped campaigns bid for users who cannot be told.
    pub bid_for_unknown: bool,
    /// Who may sell, where anything is known of it.
    pub supply: Option<Supply>,
    /// Whether a request comes of people, where anything is asked of it.
    pub screen: Option<Box<dyn Screen>>,
    /// Who we are to those who give consent under GDPR; without it nobody does.
    pub vendor: Option<Vendor>,
}

/// Tells traffic of people from other traffic. This room knows what is asked; what is known of it stands in `fraud::traffic`.
pub trait Screen: Send + Sync {
    /// By where the request comes from: once for each request, which is counted.
    fn request(&self, exchange: &str, request: &BidRequest, now: UnixMs) -> Result<(), Reason>;
    /// By how much its user does; asked only where user data may be used. `user` is a hash.
    fn user(&self, user: u64, now: UnixMs) -> Result<(), Reason>;
    /// Whether [`Screen::user`] wants to know.
    fn counts_users(&self) -> bool;
    /// By the size of the place.
    fn imp(&self, imp: &Imp) -> Result<(), Reason>;
}

/// What a decision needs to know of the exchange.
#[derive(Clone, Debug)]
pub struct ExchangeTerms {
    pub name: String,
    pub number: u32,
    /// [`key`] of its name.
    pub key: u64,
    pub seat: String,
    /// Of requests that name none.
    pub currency: Currency,
    pub lifetimes: Lifetimes,
    pub spend_on_win: bool,
    /// Bids for the open market that one impression may get.
    pub open_bids: usize,
    /// Its domain in ads.txt files.
    pub ad_system: Option<String>,
}

/// A worker's buffers, kept from request to request.
#[derive(Debug)]
pub struct Scratch {
    pub(super) subject: Subject,
    pub(super) rng: Rng,
    pub(super) range: SeqRange,
    /// For each layer of the catalog.
    hours: [Hours; 2],
    /// Campaigns lost for each reason since the last [`Scratch::take_lost`].
    pub(super) lost: [u64; Reason::COUNT],
    pub(super) scoring: score::Scratch,
    pub(super) work: Work,
    pub(super) refused: Refused,
    pub(super) room: Room,
}

/// What the clocks of a part's zones show.
#[derive(Debug, Default)]
struct Hours {
    /// [`Part::since`] of the part.
    of: u64,
    hours: Vec<LocalHour>,
}

impl Hours {
    fn follow(&mut self, part: &Part, now: UnixMs) {
        if self.of != part.since {
            self.hours.clear();
            self.of = part.since;
        }
        for (i, zone) in part.zones.iter().enumerate() {
            match self.hours.get_mut(i) {
                Some(hour) if now < hour.until => {}
                Some(hour) => *hour = zone.local_hour(now),
                None => self.hours.push(zone.local_hour(now)),
            }
        }
    }
}

impl Scratch {
    pub fn new(seed: u64) -> Scratch {
        Scratch {
            subject: Subject::default(),
            rng: Rng::with_seed(seed),
            range: SeqRange::default(),
            hours: Default::default(),
            lost: [0; Reason::COUNT],
            scoring: score::Scratch::default(),
            work: Work::default(),
            refused: Refused::default(),
            room: Room::default(),
        }
    }

    /// With a clock that only goes forward, in nanoseconds: what tells how long scoring took, and when it is too late.
    #[must_use]
    pub fn with_timer(mut self, timer: fn() -> u64) -> Scratch {
        (self.scoring.timer, self.work.timer) = (timer, timer);
        self
    }

    /// Decisions end at the first of these times of the timer's clock, with the bids that they have by then. After the second
    /// no money is set aside.
    pub fn end_at(&mut self, until_ns: u64, ends_ns: u64) {
        (self.work.until_ns, self.work.ends_ns) = (until_ns, ends_ns);
    }

    /// Campaigns lost per reason, and starts counting anew.
    pub fn take_lost(&mut self) -> [u64; Reason::COUNT] {
        std::mem::replace(&mut self.lost, [0; Reason::COUNT])
    }

    /// Brings the local hours of the catalog's time zones up to `now`.
    fn follow(&mut self, catalog: &Catalog, now: UnixMs) {
        for (hours, layer) in self.hours.iter_mut().zip(catalog.layers()) {
            hours.follow(&layer.part, now);
        }
    }

    /// What the campaign's clock shows.
    pub(super) fn hour(&self, place: Place, entry: &Entry) -> LocalHour {
        self.hours[place.layer].hours[usize::from(entry.zone)]
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
    pub served: Served,
}

/// What of a bid's markup depends on the impression.
#[derive(Debug)]
pub enum Served {
    /// Nothing: it is the creative's.
    AsIs,
    /// A native creative answers this.
    Native(Box<NativeRequest>),
    /// Video or audio.
    Spot(Choice),
}

/// The request, its terms, and what was worked out of it once.
pub(super) struct Ask<'a, 'r> {
    pub snapshot: &'a Snapshot,
    pub exchange: &'a ExchangeTerms,
    pub request: &'a BidRequest<'r>,
    pub now: UnixMs,
    pub currency: Currency,
    pub rate: Rate,
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
    if !snapshot.shared.grids.fence.is_open(now) {
        return no(Reason::NotReady);
    }
    if !seat_allowed(request, &exchange.seat) {
        return no(Reason::SeatNotAllowed);
    }
    let screen = snapshot.shared.screen.as_deref();
    if let Some(screen) = screen
        && let Err(reason) = screen.request(&exchange.name, request, now)
    {
        return no(reason);
    }
    if let Some(supply) = &snapshot.shared.supply
        && let Err(reason) = supply.check(request, exchange.ad_system.as_deref())
    {
        return no(reason);
    }
    let Some((currency, rate)) = currency(request, exchange, &snapshot.shared) else {
        return no(Reason::UnknownCurrency);
    };
    let catalog = &*snapshot.catalog;
    if catalog.is_empty() {
        return no(Reason::NoCampaigns);
    }
    scratch.follow(catalog, now);
    let any = |of: fn(&Part) -> bool| catalog.layers().into_iter().any(|layer| of(&layer.part));
    let categories = any(|part| part.uses_categories).then(|| any(|part| part.bars_by_number));
    scratch.subject.read(request, snapshot.shared.vendor.as_ref(), categories);
    scratch.work.begin();
    scratch.refused.begin(asks_again(request, exchange));
    scratch.room.begin();
    let ask = Ask { snapshot, exchange, request, now, currency, rate };
    if let Some(screen) = screen.filter(|screen| screen.counts_users())
        && let user = ask.user(scratch)
        && user != 0
        && let Err(reason) = screen.user(user, now)
    {
        return no(reason);
    }
    let mut decision = BidDecision { currency: Some(currency), ..BidDecision::default() };
    let mut furthest = None;
    let mut shown = Shown::default();
    for (position, imp) in request.imp.iter().enumerate() {
        let screened = screen.map_or(Ok(()), |screen| screen.imp(imp));
        if let Err(reason) = screened.and_then(|()| ask.answer(position, imp, &mut shown, scratch, &mut decision.bids))
        {
            furthest = furthest.max(Some(reason));
        }
        if scratch.room.is_full() || scratch.work.is_late() {
            break;
        }
    }
    if decision.bids.is_empty() {
        let reason = furthest.unwrap_or(Reason::NoSupportedImp);
        decision.reason = Some(if scratch.work.is_late() { Reason::InsufficientTime } else { reason });
    }
    decision
}

/// Whether the catalog may be scanned more than once.
fn asks_again(request: &BidRequest, exchange: &ExchangeTerms) -> bool {
    let pod = |imp: &Imp| [&imp.video, &imp.audio].into_iter().flatten().any(|spot| spot.poddur.is_some());
    request.imp.len() > 1 || exchange.open_bids > 1 || request.imp.iter().any(|imp| imp.pmp.is_some() || pod(imp))
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
    /// Hash of the user's id; 0 is unknown, or not for us.
    pub(super) fn user(&self, scratch: &mut Scratch) -> u64 {
        let shared = &self.snapshot.shared;
        scratch.subject.user(self.request, shared.vendor.as_ref(), &shared.users)
    }
}
