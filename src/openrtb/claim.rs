//! What a notice's price comes to: one outcome for everything an exchange may send.

use super::decimal::{DecimalError, scaled_ceil};
use super::google_price::{GoogleKeys, GooglePriceError};
use super::notice::is_unsubstituted;
use super::query::NoticeQuery;
use crate::event::{Facts, NoticeKind, PriceClaim};
use crate::ids::Currency;
use crate::money::{MAX_UNITS, NANOS_PER_UNIT, Nanos, Quantity};

/// Largest price read, per impression: above it a claim is as far above the bid as it can get.
pub const MAX_CPM: Nanos = Nanos(MAX_UNITS * 1_000_000);
/// Largest excess reported for one notice, so that sums of absurd claims stay far from overflow: a million units.
pub const MAX_EXCESS: Nanos = Nanos(1_000_000 * NANOS_PER_UNIT);

/// How an exchange writes its prices.
#[derive(Clone, Debug)]
pub enum PriceScheme {
    /// A decimal CPM.
    Plain,
    /// Encrypted micros of a CPM, in the bid's currency.
    Google(Box<GoogleKeys>),
}

/// What was odd about a price, for counting.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum PriceNote {
    AboveBid,
    /// In the campaign's currency instead of the bid's.
    OtherCurrency,
    NoRate,
    Missing,
    Malformed,
    Negative,
    Empty,
    Audit,
    Unsubstituted,
    ForgedPrice,
}

impl PriceNote {
    pub const ALL: [PriceNote; 10] = [
        PriceNote::AboveBid,
        PriceNote::OtherCurrency,
        PriceNote::NoRate,
        PriceNote::Missing,
        PriceNote::Malformed,
        PriceNote::Negative,
        PriceNote::Empty,
        PriceNote::Audit,
        PriceNote::Unsubstituted,
        PriceNote::ForgedPrice,
    ];

    /// A short name for a metric's label.
    pub fn as_str(self) -> &'static str {
        match self {
            PriceNote::AboveBid => "above_bid",
            PriceNote::OtherCurrency => "other_currency",
            PriceNote::NoRate => "no_rate",
            PriceNote::Missing => "missing",
            PriceNote::Malformed => "malformed",
            PriceNote::Negative => "negative",
            PriceNote::Empty => "empty",
            PriceNote::Audit => "audit",
            PriceNote::Unsubstituted => "unsubstituted",
            PriceNote::ForgedPrice => "forged_price",
        }
    }
}

/// The claim of a notice of an exchange that writes its prices as `scheme` says; `None` where the config has the
/// exchange no more.
///
/// - A loss has no price of ours: whatever stands there says nothing about it.
/// - An exchange that is gone may have written prices in a way that we no longer know: it charges all the same, at most
///   the bid.
pub fn notice_claim(
    kind: NoticeKind,
    facts: &Facts,
    query: &NoticeQuery,
    scheme: Option<&PriceScheme>,
) -> (PriceClaim, Option<PriceNote>) {
    if kind == NoticeKind::Loss {
        return (PriceClaim::Unusable, None);
    }
    let [p, c, x] = [&query.price, &query.currency, &query.multiplier].map(|text| text.as_deref());
    match (price_claim(facts, p, c, x, scheme.unwrap_or(&PriceScheme::Plain)), scheme) {
        ((_, Some(PriceNote::Malformed)), None) => {
            (PriceClaim::NoRate { amount: facts.reserved }, Some(PriceNote::NoRate))
        }
        (claim, _) => claim,
    }
}

/// The claim that a notice makes with `p` (price), `c` (currency) and `x` (multiplier) about the bid in `facts`.
///
/// - `p` is a CPM in the bid's currency, or in the campaign's if `c` names that one. Any other currency has no frozen
///   rate: the whole bid is booked.
/// - The cost is the price times the quantity, converted and rounded up, never above what was reserved; what is
///   claimed above the bid is kept as the excess.
/// - `x` counts only where the bid had a multiplier (section 4.4: it confirms, and is at most what was sent).
/// - Zero books zero. A price that is missing, empty, `AUDIT`, unsubstituted, negative or no number is unusable.
pub fn price_claim(
    facts: &Facts,
    p: Option<&str>,
    c: Option<&str>,
    x: Option<&str>,
    scheme: &PriceScheme,
) -> (PriceClaim, Option<PriceNote>) {
    let price = match read_price(p, scheme) {
        Ok(price) => price,
        Err(note) => return (PriceClaim::Unusable, Some(note)),
    };
    if price == Nanos::ZERO {
        return (PriceClaim::Amount { amount: Nanos::ZERO, excess: Nanos::ZERO }, None);
    }
    let quantity = quantity(facts, x);
    let said = match scheme {
        PriceScheme::Plain => currency(facts, c),
        PriceScheme::Google(_) => Said::Bid,
    };
    let has_rates = facts.rate.0 > 0 && facts.campaign_rate.0 > 0;
    match said {
        Said::Bid if has_rates => in_bid_currency(facts, price, quantity),
        Said::Campaign => {
            let claimed = price.times(quantity);
            let amount = claimed.min(facts.reserved);
            let excess = excess(claimed, amount);
            let note = if excess > Nanos::ZERO { PriceNote::AboveBid } else { PriceNote::OtherCurrency };
            (PriceClaim::Amount { amount, excess }, Some(note))
        }
        _ => (PriceClaim::NoRate { amount: facts.reserved }, Some(PriceNote::NoRate)),
    }
}

fn in_bid_currency(facts: &Facts, price: Nanos, quantity: Quantity) -> (PriceClaim, Option<PriceNote>) {
    let cost = |price: Nanos| price.times(quantity).convert_ceil(facts.rate, facts.campaign_rate);
    let claimed = cost(price);
    let whole = quantity.0 >= facts.quantity.0;
    let amount = match price > facts.price {
        // The bid itself may come to a nano less than was reserved for it, through rounding; the reservation is the bid.
        true if whole => facts.reserved,
        true => cost(facts.price).min(facts.reserved),
        false => claimed.min(facts.reserved),
    };
    // Rounding up cannot make a claim at or below the bid an excess.
    let may_exceed = price > facts.price || quantity.0 > facts.quantity.0;
    let excess = if may_exceed { excess(claimed, amount) } else { Nanos::ZERO };
    let note = (price > facts.price || excess > Nanos::ZERO).then_some(PriceNote::AboveBid);
    (PriceClaim::Amount { amount, excess }, note)
}

fn excess(claimed: Nanos, amount: Nanos) -> Nanos {
    Nanos(claimed.0.saturating_sub(amount.0)).max(Nanos::ZERO).min(MAX_EXCESS)
}

/// Per impression.
fn read_price(p: Option<&str>, scheme: &PriceScheme) -> Result<Nanos, PriceNote> {
    let text = p.ok_or(PriceNote::Missing)?;
    if text.is_empty() {
        return Err(PriceNote::Empty);
    }
    if is_audit(text) {
        return Err(PriceNote::Audit);
    }
    if is_unsubstituted(text) {
        return Err(PriceNote::Unsubstituted);
    }
    match scheme {
        // One CPM unit is 1e6 nanos per impression.
        PriceScheme::Plain => match scaled_ceil(text, 6, MAX_CPM.0) {
            Ok(nanos) => Ok(Nanos(nanos)),
            Err(DecimalError::Negative) => Err(PriceNote::Negative),
            Err(DecimalError::Malformed) => Err(PriceNote::Malformed),
        },
        PriceScheme::Google(keys) => match keys.decrypt(text) {
            Ok(micros) => Ok(Nanos(i64::try_from(micros).unwrap_or(i64::MAX)).min(MAX_CPM)),
            Err(GooglePriceError::Malformed) => Err(PriceNote::Malformed),
            Err(GooglePriceError::Forged) => Err(PriceNote::ForgedPrice),
        },
    }
}

/// Section 4.4: the value that stands for one that is not known.
fn is_audit(text: &str) -> bool {
    text.eq_ignore_ascii_case("AUDIT")
}

enum Said {
    Bid,
    Campaign,
    Other,
}

fn currency(facts: &Facts, c: Option<&str>) -> Said {
    let text = c.unwrap_or("");
    let is = |currency: Currency| text.eq_ignore_ascii_case(currency.as_str());
    if text.is_empty() || is(facts.currency) || is_audit(text) || is_unsubstituted(text) {
        Said::Bid
    } else if is(facts.campaign_currency) {
        Said::Campaign
    } else {
        Said::Other
    }
}

fn quantity(facts: &Facts, x: Option<&str>) -> Quantity {
    if facts.quantity == Quantity::ONE {
        return Quantity::ONE;
    }
    match scaled_ceil(x.unwrap_or(""), 6, i64::from(u32::MAX)) {
        Ok(millionths) if millionths > 0 => Quantity(u32::try_from(millionths).unwrap_or(u32::MAX)),
        _ => facts.quantity,
    }
}
