//! The facts of a bid.

use super::Slot;
use crate::clock::{Day, UnixMs};
use crate::ids::{CampaignNo, Currency, Epoch, LeaseId, NodeId, ReservationId};
use crate::money::{Nanos, Quantity, Rate};
use crate::wire::{Put, Take};

/// What was fixed when a bid was made. The bid event and the signed tokens in its notice URLs hold the same facts,
/// so a notice can be booked without looking anything up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Facts {
    pub reservation: ReservationId,
    pub campaign: CampaignNo,
    /// Number within `reservation.epoch` of the newest lease the money came from.
    pub lease_seq: u32,
    /// The campaign-local date of the bid.
    pub day: Day,
    /// The money was taken from this day's lease; otherwise from the whole budget's.
    pub daily: bool,
    /// [`crate::ids::name_hash`] of the creative's id; 0 where an earlier build wrote something else.
    pub creative: u32,
    /// [`crate::ids::name_hash`] of the exchange's name.
    pub exchange: u32,
    pub bid_at: UnixMs,
    /// Until when the money is set aside with the auction unknown; milliseconds after `bid_at`.
    pub auction_ms: u32,
    /// Until when it stays set aside once won; milliseconds after `bid_at`.
    pub bill_ms: u32,
    /// What was set aside, in the campaign's currency.
    pub reserved: Nanos,
    /// The bid per impression, in the bid's currency.
    pub price: Nanos,
    pub currency: Currency,
    pub campaign_currency: Currency,
    /// Frozen at the bid: of the bid's currency and of the campaign's.
    pub rate: Rate,
    pub campaign_rate: Rate,
    pub quantity: Quantity,
    /// Hash of the user for frequency caps; 0 is unknown.
    pub user: u64,
    /// A win is what is paid; a bill books nothing.
    pub spend_on_win: bool,
    /// The request said `test: 1`: nothing was reserved and nothing is ever booked.
    pub test: bool,
    /// The version of the model that the price came from, as [`crate::ids::name_hash`] of `name/version`; 0 where there
    /// was none.
    pub model: u32,
}

impl Facts {
    pub fn slot(&self) -> Slot {
        if self.daily { Slot::Day(self.day) } else { Slot::Whole }
    }
    pub fn lease(&self) -> LeaseId {
        LeaseId { epoch: self.reservation.epoch, seq: self.lease_seq }
    }
    pub fn auction_until(&self) -> UnixMs {
        self.bid_at.plus(i64::from(self.auction_ms))
    }
    pub fn bill_until(&self) -> UnixMs {
        self.bid_at.plus(i64::from(self.bill_ms))
    }
}

const DAILY: u8 = 1;
const SPEND_ON_WIN: u8 = 2;
const TEST: u8 = 4;
/// The creative stands as the hash of its id. Earlier builds wrote its position in two bytes, which says nothing once
/// the campaign is edited.
pub(super) const HASHED_CREATIVE: u8 = 8;
/// The price came from a model; earlier builds had none.
pub(super) const MODEL: u8 = 16;

impl Facts {
    /// Bytes of the longest encoding.
    pub const MAX_LEN: usize = 122;

    pub fn encode(&self, out: &mut impl Put) {
        let mut flags = HASHED_CREATIVE;
        flags |= if self.daily { DAILY } else { 0 };
        flags |= if self.spend_on_win { SPEND_ON_WIN } else { 0 };
        flags |= if self.test { TEST } else { 0 };
        flags |= if self.model != 0 { MODEL } else { 0 };
        out.put_u8(flags);
        out.put_u16(self.reservation.node.0);
        out.put_u32(self.reservation.epoch.0);
        out.put_u32(self.reservation.bucket);
        out.put_u32(self.reservation.seq);
        out.put_u32(self.campaign.0);
        out.put_u32(self.lease_seq);
        out.put_i32(self.day.0);
        out.put_u32(self.creative);
        out.put_u32(self.exchange);
        out.put_i64(self.bid_at.0);
        out.put_u32(self.auction_ms);
        out.put_u32(self.bill_ms);
        out.put_i64(self.reserved.0);
        out.put_i64(self.price.0);
        out.put(&self.currency.0);
        out.put(&self.campaign_currency.0);
        out.put_i64(self.rate.0);
        out.put_i64(self.campaign_rate.0);
        out.put_u32(self.quantity.0);
        out.put_u64(self.user);
        if self.model != 0 {
            out.put_u32(self.model);
        }
    }

    pub fn decode(t: &mut Take) -> Option<Facts> {
        let flags = t.u8()?;
        if flags & !(DAILY | SPEND_ON_WIN | TEST | HASHED_CREATIVE | MODEL) != 0 {
            return None;
        }
        Some(Facts {
            reservation: ReservationId {
                node: NodeId(t.u16()?),
                epoch: Epoch(t.u32()?),
                bucket: t.u32()?,
                seq: t.u32()?,
            },
            campaign: CampaignNo(t.u32()?),
            lease_seq: t.u32()?,
            day: Day(t.i32()?),
            daily: flags & DAILY != 0,
            creative: if flags & HASHED_CREATIVE != 0 { t.u32()? } else { t.u16().map(|_| 0)? },
            exchange: t.u32()?,
            bid_at: UnixMs(t.i64()?),
            auction_ms: t.u32()?,
            bill_ms: t.u32()?,
            reserved: Nanos(t.i64()?),
            price: Nanos(t.i64()?),
            currency: Currency(t.three()?),
            campaign_currency: Currency(t.three()?),
            rate: Rate(t.i64()?),
            campaign_rate: Rate(t.i64()?),
            quantity: Quantity(t.u32()?),
            user: t.u64()?,
            spend_on_win: flags & SPEND_ON_WIN != 0,
            test: flags & TEST != 0,
            model: if flags & MODEL != 0 { t.u32()? } else { 0 },
        })
    }
}
