//! What the notices of a bid tell of the price that its impression took: what another bid would have come to.

use crate::event::{Facts, Notice, NoticeKind, PriceClaim};
use crate::money::Nanos;

/// What is known of an impression's price, per impression in the currency of the bids for it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Price {
    /// A bid of this much wins.
    pub wins_from: Option<Nanos>,
    /// A bid of this much loses, and any lower one.
    pub loses_to: Option<Nanos>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// At this price.
    Won(Nanos),
    Lost,
    /// The log cannot tell.
    Unknown,
}

impl Price {
    /// What a bid would have come to: at a first price (OpenRTB 2.6 section 3.2.1, `at` 1) it pays itself, else what wins.
    pub fn judge(&self, bid: Nanos, first_price: bool) -> Verdict {
        match (self.wins_from, self.loses_to) {
            (Some(from), _) if bid >= from => Verdict::Won(if first_price { bid } else { from }),
            (_, Some(to)) if bid <= to => Verdict::Lost,
            _ => Verdict::Unknown,
        }
    }

    /// What both say together.
    #[must_use]
    pub fn and(self, other: Price) -> Price {
        let wins_from = self.wins_from.into_iter().chain(other.wins_from).min();
        Price { wins_from, loses_to: self.loses_to.max(other.loses_to) }
    }
}

/// A recorded bid, and what was told of it.
#[derive(Clone, Debug, Default)]
pub struct Told {
    pub facts: Option<Facts>,
    /// Of a win or a bill, what it cost, per impression in the bid's currency.
    paid: Option<Nanos>,
    pub won: bool,
    lost: bool,
    /// `${AUCTION_MIN_TO_WIN}`.
    to_win: Option<Nanos>,
    pub clicks: u64,
}

impl Told {
    pub fn note(&mut self, notice: &Notice) {
        let (facts, to_win) = (&notice.facts, notice.min_to_win);
        if to_win.0 > 0 {
            self.to_win = Some(to_win);
        }
        match notice.kind {
            NoticeKind::Loss => self.lost = true,
            NoticeKind::Win | NoticeKind::Bill => {
                self.won = true;
                if let PriceClaim::Amount { amount, .. } = notice.price
                    && amount > Nanos::ZERO
                    && facts.reserved > Nanos::ZERO
                {
                    // As much of the bid as of what was set aside for it, whatever the currencies and the impressions.
                    let paid = i128::from(facts.price.0) * i128::from(amount.0) / i128::from(facts.reserved.0);
                    self.paid = i64::try_from(paid).ok().map(Nanos);
                }
            }
        }
    }

    /// What it says of the price. A win that is paid in full only says that so much wins.
    pub fn price(&self) -> Price {
        let Some(facts) = &self.facts else { return Price::default() };
        let below = |price: Nanos| Some(Nanos(price.0 - 1));
        if let Some(to_win) = self.to_win {
            return Price { wins_from: Some(to_win), loses_to: below(to_win) };
        }
        if self.won {
            return match self.paid.filter(|paid| *paid < facts.price) {
                Some(paid) => Price { wins_from: Some(paid), loses_to: below(paid) },
                None => Price { wins_from: Some(facts.price), loses_to: None },
            };
        }
        Price { wins_from: None, loses_to: self.lost.then_some(facts.price) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ledger::fold::tests::facts;

    fn told(kind: NoticeKind, amount: i64, to_win: i64) -> Price {
        let facts = Facts { price: Nanos(1_000), reserved: Nanos(2_000), ..facts(1) };
        let price = PriceClaim::Amount { amount: Nanos(amount), excess: Nanos::ZERO };
        let mut told = Told { facts: Some(facts), ..Told::default() };
        told.note(&Notice { kind, facts, price, loss_reason: 0, min_to_win: Nanos(to_win) });
        told.price()
    }

    #[test]
    fn a_second_price_tells_both_sides_and_a_first_price_one() {
        let second = told(NoticeKind::Win, 1_200, -1);
        assert_eq!(second, Price { wins_from: Some(Nanos(600)), loses_to: Some(Nanos(599)) });
        assert_eq!(second.judge(Nanos(600), false), Verdict::Won(Nanos(600)));
        assert_eq!(second.judge(Nanos(900), true), Verdict::Won(Nanos(900)));
        assert_eq!(second.judge(Nanos(599), false), Verdict::Lost);
        let first = told(NoticeKind::Bill, 2_000, -1);
        assert_eq!(first.judge(Nanos(1_000), true), Verdict::Won(Nanos(1_000)));
        assert_eq!(first.judge(Nanos(999), true), Verdict::Unknown);
        assert_eq!(told(NoticeKind::Win, 0, -1), Price { wins_from: Some(Nanos(1_000)), loses_to: None });
    }

    #[test]
    fn a_loss_tells_what_loses_and_what_would_have_won_where_it_is_said() {
        let lost = told(NoticeKind::Loss, 0, -1);
        assert_eq!(lost.judge(Nanos(1_000), true), Verdict::Lost);
        assert_eq!(lost.judge(Nanos(1_001), true), Verdict::Unknown);
        let told = told(NoticeKind::Loss, 0, 1_500);
        assert_eq!(told.judge(Nanos(1_499), true), Verdict::Lost);
        assert_eq!(told.judge(Nanos(1_500), false), Verdict::Won(Nanos(1_500)));
        assert_eq!(told.and(lost), told);
        assert_eq!(Price::default().judge(Nanos(1), true), Verdict::Unknown);
    }
}
