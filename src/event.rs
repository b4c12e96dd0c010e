//! Events: everything that changes state, as it stands in the log.
//!
//! An event is encoded as one kind byte, one version byte and its fields. Its offset and its time of writing belong
//! to the log ([`Stamped`]). Decoding refuses unknown kinds and versions: an old binary must not fold a newer log.

mod facts;
pub mod fraud;
mod models;
mod recorded;

pub use facts::Facts;
pub use models::{ModelVersion, ModelsSet};
pub use recorded::Recorded;

use self::fraud::FraudEvent;
use crate::clock::{Day, UnixMs};
use crate::ids::{CampaignNo, Currency, Epoch, LeaseId, NodeId};
use crate::money::Nanos;
use crate::wire::{Put, Take};

/// Position of an event in its log; the first is 0.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Offset(pub u64);

/// An event as the log holds it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stamped {
    pub offset: Offset,
    /// When the log wrote it; never decreases along the log. Time in the ledger is this time.
    pub at: UnixMs,
    pub event: Event,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// A node started, unless another start has this epoch already. What the starts that it ends had leased and not
    /// accounted for is withheld from here on.
    EpochStarted { node: NodeId, epoch: Epoch, promise: Promise, process: Process },
    /// A campaign's budget came into force: gives its id a number, or changes what it may spend.
    CampaignSet(CampaignSet),
    /// A campaign was deleted: no more bids; its account stays.
    CampaignDeleted { campaign: CampaignNo },
    /// Money a node may now spend from.
    LeaseGranted { campaign: CampaignNo, lease: LeaseId, slot: Slot, amount: Nanos },
    /// Money given back from the leases of one epoch.
    LeaseReturned { campaign: CampaignNo, epoch: Epoch, slot: Slot, amount: Nanos, why: ReturnReason },
    /// A bid was made and its price reserved.
    Bid(Facts),
    /// An exchange told how a bid ended.
    Notice(Notice),
    /// Something that a served ad reported; never money.
    Track { what: Track, facts: Facts },
    /// The reconciler made a hot account equal to the books.
    Correction { campaign: CampaignNo, drift: Nanos },
    /// Bid requests that came in `seconds` of one hour, counted in hours since 1970 in UTC.
    Traffic { hour: u32, seconds: u16, requests: u64 },
    /// Reservations of minutes before `before` are forgotten: their tokens have expired, and a notice that comes for one
    /// all the same has no effect.
    ReservationsForgotten { before: u32 },
    /// A fraud check, what became of it, or what decides it.
    Fraud(FraudEvent),
    /// Versions of a model are in force from here on.
    ModelsSet(ModelsSet),
    /// A bid request that is kept for replays.
    Request(Recorded),
    /// Nothing happened: that a start still runs shows in the time of its last event.
    StillRunning,
    /// A start of a fleet's node still runs. It was sent at `sent_at` by that node's own clock.
    NodeRunning { epoch: Epoch, sent_at: UnixMs },
}

/// Tells the processes of a fleet apart, also those that have one node's number by mistake.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Process(pub u64);

impl Process {
    /// The only one that has the log: whatever started before has ended.
    pub const ALONE: Process = Process(0);
}

/// What a start promises its bids, whatever the configuration says later.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Promise {
    /// After a bid, until no bill can come for it in time: lifetimes, what buckets round them up by, and a grace.
    pub billable_ms: i64,
}

impl Promise {
    /// Of a start whose event was written before it said so: the most that a configuration may ask for, and five minutes
    /// for the buckets.
    pub const UNKNOWN: Promise = Promise { billable_ms: 4 * 86_400_000 + 300_000 };
}

/// Which budget a lease was cut from: the whole budget, or one day's part of it for a campaign with a daily cap.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Slot {
    Whole,
    Day(Day),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ReturnReason {
    /// Not needed any more: shutdown, end of day, a lowered budget.
    Unused,
    /// Left over from an earlier start, and no bill can come for it any more.
    Reclaimed,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CampaignSet {
    pub campaign: CampaignNo,
    pub id: String,
    pub currency: Currency,
    pub total: Nanos,
    pub daily: Option<Nanos>,
    /// The campaign-local date of the edit: `daily` holds from this day on. Earlier builds did not write it.
    pub day: Option<Day>,
    /// The whole campaign as JSON when it came by REST; it then beats catalog files at the next start.
    pub json: Option<String>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum NoticeKind {
    Win,
    Bill,
    Loss,
}

impl NoticeKind {
    pub fn as_str(self) -> &'static str {
        match self {
            NoticeKind::Win => "win",
            NoticeKind::Bill => "bill",
            NoticeKind::Loss => "loss",
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Notice {
    pub kind: NoticeKind,
    pub facts: Facts,
    pub price: PriceClaim,
    /// OpenRTB LossReason (list 5.25), 0 when none was given.
    pub loss_reason: u16,
    /// `${AUCTION_MIN_TO_WIN}` per impression in the bid's currency; negative when none was given.
    pub min_to_win: Nanos,
}

/// What a notice's price parameter came to, already in the campaign's currency and for all impressions of the bid.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PriceClaim {
    /// Books `amount`, which is at most what was reserved; `excess` is what was claimed above the bid.
    Amount { amount: Nanos, excess: Nanos },
    /// In a currency the token has no rate for: books the whole bid.
    NoRate { amount: Nanos },
    /// Malformed, negative, empty, `AUDIT` or unsubstituted: the notice has no effect.
    Unusable,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Track {
    Impression,
    Click,
    Conversion,
}

const VERSION: u8 = 1;
/// Of [`Event::EpochStarted`], which once had no promise, and then no process.
const STARTED_VERSION: u8 = 3;
const STARTED: u8 = 1;
/// Of [`Event::StillRunning`], which once could not say who; [`Event::NodeRunning`] is one that does.
const RUNNING_VERSION: u8 = 2;
const RUNNING: u8 = 12;
/// Of [`Event::CampaignSet`], which once had no day.
const SET_VERSION: u8 = 2;
const SET: u8 = 2;
const MODELS: u8 = 20;
const NO_DAY: i32 = i32::MIN;

/// The version that [`Event::encode`] writes for a kind.
pub fn newest(kind: u8) -> u8 {
    match kind {
        STARTED => STARTED_VERSION,
        SET => SET_VERSION,
        RUNNING => RUNNING_VERSION,
        _ => VERSION,
    }
}

impl Event {
    /// Appends the event's bytes.
    pub fn encode(&self, out: &mut Vec<u8>) {
        let kind = match self {
            Event::EpochStarted { .. } => STARTED,
            Event::CampaignSet(_) => SET,
            Event::CampaignDeleted { .. } => 3,
            Event::LeaseGranted { .. } => 4,
            Event::LeaseReturned { .. } => 5,
            Event::Bid(_) => 6,
            Event::Notice(_) => 7,
            Event::Track { .. } => 8,
            Event::Correction { .. } => 9,
            Event::Traffic { .. } => 10,
            Event::ReservationsForgotten { .. } => 11,
            Event::Fraud(fraud) => fraud.kind(),
            Event::ModelsSet(_) => MODELS,
            Event::StillRunning | Event::NodeRunning { .. } => RUNNING,
            Event::Request(_) => 13,
        };
        out.put(&[kind, newest(kind)]);
        match self {
            Event::EpochStarted { node, epoch, promise, process } => {
                out.put_u16(node.0);
                out.put_u32(epoch.0);
                out.put_i64(promise.billable_ms);
                out.put_u64(process.0);
            }
            Event::CampaignSet(set) => {
                out.put_u32(set.campaign.0);
                out.put_bytes(set.id.as_bytes());
                out.put(&set.currency.0);
                out.put_i64(set.total.0);
                out.put_i64(set.daily.map_or(-1, |n| n.0));
                out.put_u8(u8::from(set.json.is_some()));
                out.put_bytes(set.json.as_deref().unwrap_or("").as_bytes());
                out.put_i32(set.day.map_or(NO_DAY, |day| day.0));
            }
            Event::CampaignDeleted { campaign } => out.put_u32(campaign.0),
            Event::LeaseGranted { campaign, lease, slot, amount } => {
                out.put_u32(campaign.0);
                out.put_u32(lease.epoch.0);
                out.put_u32(lease.seq);
                put_slot(out, *slot);
                out.put_i64(amount.0);
            }
            Event::LeaseReturned { campaign, epoch, slot, amount, why } => {
                out.put_u32(campaign.0);
                out.put_u32(epoch.0);
                put_slot(out, *slot);
                out.put_i64(amount.0);
                out.put_u8(match why {
                    ReturnReason::Unused => 0,
                    ReturnReason::Reclaimed => 1,
                });
            }
            Event::Bid(facts) => facts.encode(out),
            Event::Notice(notice) => {
                out.put_u8(match notice.kind {
                    NoticeKind::Win => 0,
                    NoticeKind::Bill => 1,
                    NoticeKind::Loss => 2,
                });
                notice.facts.encode(out);
                let (tag, amount, excess) = match notice.price {
                    PriceClaim::Amount { amount, excess } => (0, amount, excess),
                    PriceClaim::NoRate { amount } => (1, amount, Nanos::ZERO),
                    PriceClaim::Unusable => (2, Nanos::ZERO, Nanos::ZERO),
                };
                out.put_u8(tag);
                out.put_i64(amount.0);
                out.put_i64(excess.0);
                out.put_u16(notice.loss_reason);
                out.put_i64(notice.min_to_win.0);
            }
            Event::Track { what, facts } => {
                out.put_u8(match what {
                    Track::Impression => 0,
                    Track::Click => 1,
                    Track::Conversion => 2,
                });
                facts.encode(out);
            }
            Event::Correction { campaign, drift } => {
                out.put_u32(campaign.0);
                out.put_i64(drift.0);
            }
            Event::Traffic { hour, seconds, requests } => {
                out.put_u32(*hour);
                out.put_u16(*seconds);
                out.put_u64(*requests);
            }
            Event::ReservationsForgotten { before } => out.put_u32(*before),
            Event::Fraud(fraud) => fraud.encode(out),
            Event::ModelsSet(set) => set.encode(out),
            Event::Request(recorded) => recorded.encode(out),
            Event::StillRunning => put_running(out, Epoch(0), UnixMs(0)),
            Event::NodeRunning { epoch, sent_at } => put_running(out, *epoch, *sent_at),
        }
    }

    /// Reads an event back; `None` for an unknown kind, another version, a short or an over-long buffer.
    pub fn decode(bytes: &[u8]) -> Option<Event> {
        let mut t = Take(bytes);
        let (kind, version) = (t.u8()?, t.u8()?);
        if !(VERSION..=newest(kind)).contains(&version) {
            return None;
        }
        let event = match kind {
            STARTED => {
                let (node, epoch) = (NodeId(t.u16()?), Epoch(t.u32()?));
                let promise = if version > 1 { Promise { billable_ms: t.i64()? } } else { Promise::UNKNOWN };
                let process = if version == STARTED_VERSION { Process(t.u64()?) } else { Process::ALONE };
                Event::EpochStarted { node, epoch, promise, process }
            }
            SET => {
                let campaign = CampaignNo(t.u32()?);
                let id = t.string()?;
                let currency = Currency(t.three()?);
                let total = Nanos(t.i64()?);
                let daily = t.i64()?;
                let (has_json, json) = (t.u8()? == 1, t.string()?);
                let day = if version == SET_VERSION { t.i32()? } else { NO_DAY };
                Event::CampaignSet(CampaignSet {
                    campaign,
                    id,
                    currency,
                    total,
                    daily: (daily >= 0).then_some(Nanos(daily)),
                    day: (day != NO_DAY).then_some(Day(day)),
                    json: has_json.then_some(json),
                })
            }
            3 => Event::CampaignDeleted { campaign: CampaignNo(t.u32()?) },
            4 => Event::LeaseGranted {
                campaign: CampaignNo(t.u32()?),
                lease: LeaseId { epoch: Epoch(t.u32()?), seq: t.u32()? },
                slot: take_slot(&mut t)?,
                amount: Nanos(t.i64()?),
            },
            5 => Event::LeaseReturned {
                campaign: CampaignNo(t.u32()?),
                epoch: Epoch(t.u32()?),
                slot: take_slot(&mut t)?,
                amount: Nanos(t.i64()?),
                why: match t.u8()? {
                    0 => ReturnReason::Unused,
                    1 => ReturnReason::Reclaimed,
                    _ => return None,
                },
            },
            6 => Event::Bid(Facts::decode(&mut t)?),
            7 => {
                let kind = match t.u8()? {
                    0 => NoticeKind::Win,
                    1 => NoticeKind::Bill,
                    2 => NoticeKind::Loss,
                    _ => return None,
                };
                let facts = Facts::decode(&mut t)?;
                let (tag, amount, excess) = (t.u8()?, Nanos(t.i64()?), Nanos(t.i64()?));
                let price = match tag {
                    0 => PriceClaim::Amount { amount, excess },
                    1 => PriceClaim::NoRate { amount },
                    2 => PriceClaim::Unusable,
                    _ => return None,
                };
                Event::Notice(Notice { kind, facts, price, loss_reason: t.u16()?, min_to_win: Nanos(t.i64()?) })
            }
            8 => {
                let what = match t.u8()? {
                    0 => Track::Impression,
                    1 => Track::Click,
                    2 => Track::Conversion,
                    _ => return None,
                };
                Event::Track { what, facts: Facts::decode(&mut t)? }
            }
            9 => Event::Correction { campaign: CampaignNo(t.u32()?), drift: Nanos(t.i64()?) },
            10 => Event::Traffic { hour: t.u32()?, seconds: t.u16()?, requests: t.u64()? },
            11 => Event::ReservationsForgotten { before: t.u32()? },
            kind if fraud::KINDS.contains(&kind) => Event::Fraud(FraudEvent::decode(kind, &mut t)?),
            MODELS => Event::ModelsSet(ModelsSet::decode(&mut t)?),
            RUNNING if version < RUNNING_VERSION => Event::StillRunning,
            RUNNING => match (Epoch(t.u32()?), UnixMs(t.i64()?)) {
                (Epoch(0), UnixMs(0)) => Event::StillRunning,
                (Epoch(0), _) => return None,
                (epoch, sent_at) => Event::NodeRunning { epoch, sent_at },
            },
            13 => Event::Request(Recorded::decode(&mut t)?),
            _ => return None,
        };
        t.end()?;
        Some(event)
    }
}

fn put_running(out: &mut Vec<u8>, epoch: Epoch, sent_at: UnixMs) {
    out.put_u32(epoch.0);
    out.put_i64(sent_at.0);
}

fn put_slot(out: &mut Vec<u8>, slot: Slot) {
    match slot {
        Slot::Whole => out.put_i32(i32::MIN),
        Slot::Day(day) => out.put_i32(day.0),
    }
}

fn take_slot(t: &mut Take) -> Option<Slot> {
    Some(match t.i32()? {
        i32::MIN => Slot::Whole,
        day => Slot::Day(Day(day)),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ids::ReservationId;
    use crate::money::{Quantity, Rate};

    pub fn facts() -> Facts {
        Facts {
            reservation: ReservationId { node: NodeId(1), epoch: Epoch(2), bucket: 3, seq: 4 },
            campaign: CampaignNo(5),
            lease_seq: 6,
            day: Day(20_000),
            daily: true,
            creative: crate::ids::name_hash("cr-1"),
            exchange: crate::ids::name_hash("demo"),
            bid_at: UnixMs(1_700_000_000_000),
            auction_ms: 120_000,
            bill_ms: 3_600_000,
            reserved: Nanos(2_500_000),
            price: Nanos(2_304_147),
            currency: Currency(*b"EUR"),
            campaign_currency: Currency::USD,
            rate: Rate(1_085_000_000),
            campaign_rate: Rate::USD,
            quantity: Quantity::ONE,
            user: 99,
            spend_on_win: false,
            test: true,
            model: crate::ids::name_hash("ctr/1"),
        }
    }

    #[test]
    fn every_kind_round_trips_and_no_prefix_decodes() {
        let notice = |kind, price| {
            Event::Notice(Notice { kind, facts: facts(), price, loss_reason: 102, min_to_win: Nanos(-1) })
        };
        let (campaign, epoch, amount) = (CampaignNo(5), Epoch(2), Nanos(77));
        let set = CampaignSet {
            campaign,
            id: "c-42".into(),
            currency: Currency::USD,
            total: Nanos(5),
            daily: None,
            day: None,
            json: Some("{}".into()),
        };
        let started = |process| Event::EpochStarted {
            node: NodeId(1),
            epoch,
            promise: Promise { billable_ms: 7 << 40 },
            process,
        };
        let events = [
            started(Process::ALONE),
            started(Process(u64::MAX)),
            Event::CampaignSet(set.clone()),
            Event::CampaignSet(CampaignSet { daily: Some(Nanos(1)), day: Some(Day(-3)), json: None, ..set }),
            Event::CampaignDeleted { campaign },
            Event::LeaseGranted { campaign, lease: LeaseId { epoch, seq: 9 }, slot: Slot::Whole, amount },
            Event::LeaseReturned { campaign, epoch, slot: Slot::Day(Day(-1)), amount, why: ReturnReason::Reclaimed },
            Event::Bid(facts()),
            Event::Bid(Facts { model: 0, ..facts() }),
            notice(NoticeKind::Win, PriceClaim::Unusable),
            notice(NoticeKind::Bill, PriceClaim::Amount { amount, excess: Nanos(3) }),
            notice(NoticeKind::Loss, PriceClaim::NoRate { amount }),
            Event::Track { what: Track::Click, facts: facts() },
            Event::Correction { campaign, drift: Nanos(-4) },
            Event::Traffic { hour: 500_000, seconds: 3_600, requests: u64::MAX },
            Event::ReservationsForgotten { before: u32::MAX },
            Event::ModelsSet(ModelsSet {
                name: "ctr".into(),
                active: Some(ModelVersion { version: "2".into(), digest: [7; 32] }),
                shadow: None,
                previous: Some(ModelVersion { version: "1".into(), digest: [9; 32] }),
            }),
            Event::StillRunning,
            Event::NodeRunning { epoch, sent_at: UnixMs(-5) },
        ];
        for event in events {
            let mut bytes = Vec::new();
            event.encode(&mut bytes);
            assert_eq!(Event::decode(&bytes), Some(event));
            for cut in 0..bytes.len() {
                assert_eq!(Event::decode(&bytes[..cut]), None);
            }
            bytes.push(0);
            assert_eq!(Event::decode(&bytes), None);
        }
    }

    #[test]
    fn a_start_that_tells_no_lifetimes_may_have_had_the_longest() {
        let old = [STARTED, 1, 7, 0, 9, 0, 0, 0];
        let (node, epoch, process) = (NodeId(7), Epoch(9), Process::ALONE);
        assert_eq!(Event::decode(&old), Some(Event::EpochStarted { node, epoch, promise: Promise::UNKNOWN, process }));
        let promised = [STARTED, 2, 7, 0, 9, 0, 0, 0, 5, 0, 0, 0, 0, 0, 0, 0];
        let promise = Promise { billable_ms: 5 };
        assert_eq!(Event::decode(&promised), Some(Event::EpochStarted { node, epoch, promise, process }));
        let newer = [STARTED, 4, 7, 0, 9, 0, 0, 0];
        assert_eq!((Event::decode(&newer), Event::decode(&[RUNNING, 3])), (None, None));
        assert_eq!(Event::decode(&[RUNNING, 1]), Some(Event::StillRunning));
        let nobody = [RUNNING, 2, 0, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0];
        assert_eq!(Event::decode(&nobody), None, "the start of nobody");
    }

    #[test]
    fn what_earlier_builds_wrote_is_read() {
        let set = CampaignSet {
            campaign: CampaignNo(5),
            id: "c".into(),
            currency: Currency::USD,
            total: Nanos(5),
            daily: Some(Nanos(1)),
            day: None,
            json: None,
        };
        let mut bytes = Vec::new();
        Event::CampaignSet(set.clone()).encode(&mut bytes);
        bytes.truncate(bytes.len() - 4);
        bytes[1] = 1;
        assert_eq!(Event::decode(&bytes), Some(Event::CampaignSet(set)));

        // Everything up to the creative, the creative as a position, and the rest.
        let mut bytes = Vec::new();
        facts().encode(&mut bytes);
        let at = 1 + 2 + 3 * 4 + 2 * 4 + 4;
        assert_eq!(bytes[at..at + 4], facts().creative.to_le_bytes());
        bytes[0] &= !(facts::HASHED_CREATIVE | facts::MODEL);
        bytes.drain(at..at + 2);
        bytes.truncate(bytes.len() - 4);
        let mut t = Take(&bytes);
        assert_eq!(Facts::decode(&mut t), Some(Facts { creative: 0, model: 0, ..facts() }));
        assert_eq!(t.end(), Some(()));
    }

    #[test]
    fn facts_stay_within_their_bound() {
        let mut bytes = Vec::new();
        facts().encode(&mut bytes);
        assert!(bytes.len() <= Facts::MAX_LEN, "{}", bytes.len());
    }
}
