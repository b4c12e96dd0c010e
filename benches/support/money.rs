//! Events of a market: campaigns with money, their bids, and what became of them.

use gavel::clock::{Day, UnixMs};
use gavel::event::{CampaignSet, Event, Facts, Notice, NoticeKind, PriceClaim, Process, Promise, Slot};
use gavel::ids::{CampaignNo, Currency, Epoch, LeaseId, NodeId, ReservationId};
use gavel::money::{Nanos, Quantity, Rate};

pub const CAMPAIGNS: u32 = 1_000;
pub const PROMISE: Promise = Promise { billable_ms: 3_800_000 };
/// Notices come so many bids after their bid.
pub const DELAY: u32 = 5_000;
/// Bids of a minute: 10,000 a second.
const PER_MINUTE: u32 = 600_000;

fn facts(n: u32, bid_at: UnixMs) -> Facts {
    let bucket = bid_at.minutes() + n / PER_MINUTE;
    Facts {
        reservation: ReservationId { node: NodeId(1), epoch: Epoch(1), bucket, seq: n % PER_MINUTE },
        campaign: CampaignNo(n % CAMPAIGNS),
        lease_seq: 1,
        day: Day(20_000),
        daily: false,
        creative: 1,
        exchange: 0x1234_5678,
        bid_at,
        auction_ms: 120_000,
        bill_ms: 3_600_000,
        reserved: Nanos(2_500_000),
        price: Nanos(2_304_147),
        currency: Currency::USD,
        campaign_currency: Currency::USD,
        rate: Rate::USD,
        campaign_rate: Rate::USD,
        quantity: Quantity::ONE,
        user: u64::from(n),
        spend_on_win: false,
        test: false,
        model: 0,
    }
}

fn notice(kind: NoticeKind, facts: Facts) -> Event {
    let price = PriceClaim::Amount { amount: Nanos(2_304_147), excess: Nanos::ZERO };
    Event::Notice(Notice { kind, facts, price, loss_reason: 0, min_to_win: Nanos(-1) })
}

/// A start, its campaigns and their leases.
pub fn opening() -> impl Iterator<Item = Event> {
    let campaign = |no: u32| {
        let (campaign, total) = (CampaignNo(no), Nanos(i64::MAX / 4));
        let (id, currency) = (format!("campaign-{no}"), Currency::USD);
        let set = Event::CampaignSet(CampaignSet { campaign, id, currency, total, daily: None, day: None, json: None });
        let lease = LeaseId { epoch: Epoch(1), seq: 1 };
        [set, Event::LeaseGranted { campaign, lease, slot: Slot::Whole, amount: Nanos(i64::MAX / 8) }]
    };
    let started = Event::EpochStarted { node: NodeId(1), epoch: Epoch(1), promise: PROMISE, process: Process::ALONE };
    std::iter::once(started).chain((0..CAMPAIGNS).flat_map(campaign))
}

/// Bids from `bid_at` on, and the notices of those before: of four one is won and billed and three are lost, nine events.
pub fn market(bids: u32, bid_at: UnixMs) -> impl Iterator<Item = Event> {
    (0..bids).flat_map(move |n| {
        let told = n.checked_sub(DELAY).into_iter().flat_map(move |earlier| {
            let won = earlier % 4 == 0;
            let kinds = if won { &[NoticeKind::Win, NoticeKind::Bill][..] } else { &[NoticeKind::Loss] };
            kinds.iter().map(move |kind| notice(*kind, facts(earlier, bid_at)))
        });
        std::iter::once(Event::Bid(facts(n, bid_at))).chain(told)
    })
}
