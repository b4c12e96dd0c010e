//! Notices: tokens, and what their prices come to.

use proptest::prelude::*;

use super::claim::{MAX_EXCESS, PriceNote, PriceScheme, price_claim};
use super::google_price;
use super::token::{KeyRing, KeyRingError, MAX_LEN, TokenError};
use crate::clock::{Day, UnixMs};
use crate::event::{Facts, PriceClaim};
use crate::ids::{CampaignNo, Currency, Epoch, NodeId, ReservationId};
use crate::money::{Nanos, Quantity, Rate};

const EUR: Currency = Currency(*b"EUR");

/// A bid of 2.50 in the campaign's own currency.
pub fn facts() -> Facts {
    Facts {
        reservation: ReservationId { node: NodeId(1), epoch: Epoch(2), bucket: 3, seq: 4 },
        campaign: CampaignNo(5),
        lease_seq: 6,
        day: Day(20_000),
        daily: true,
        creative: 1,
        exchange: crate::ids::name_hash("demo"),
        bid_at: UnixMs(1_700_000_000_000),
        auction_ms: 120_000,
        bill_ms: 3_600_000,
        reserved: Nanos(2_500_000),
        price: Nanos(2_500_000),
        currency: Currency::USD,
        campaign_currency: Currency::USD,
        rate: Rate::USD,
        campaign_rate: Rate::USD,
        quantity: Quantity::ONE,
        user: 99,
        spend_on_win: false,
        test: false,
        model: 0,
    }
}

/// The same campaign's bid in euros, at 1.085 dollars each.
fn in_euros() -> Facts {
    let rate = Rate(1_085_000_000);
    let price = Nanos(2_500_000).convert_floor(Rate::USD, rate);
    Facts { price, currency: EUR, rate, ..facts() }
}

fn claim(facts: &Facts, p: Option<&str>, c: Option<&str>, x: Option<&str>) -> (PriceClaim, Option<PriceNote>) {
    price_claim(facts, p, c, x, &PriceScheme::Plain)
}

fn amount(amount: i64, excess: i64) -> PriceClaim {
    PriceClaim::Amount { amount: Nanos(amount), excess: Nanos(excess) }
}

#[test]
fn a_price_up_to_the_bid_is_booked_exactly() {
    for (p, want) in [("1.25", 1_250_000), ("2.50", 2_500_000), ("1.5E-3", 1_500), ("0.0000001", 1)] {
        assert_eq!(claim(&facts(), Some(p), Some("USD"), None), (amount(want, 0), None), "{p}");
    }
    for c in
        [None, Some(""), Some("usd"), Some("${AUCTION_CURRENCY}"), Some("%24%7BAUCTION_CURRENCY%7D"), Some("AUDIT")]
    {
        assert_eq!(claim(&facts(), Some("1.25"), c, None), (amount(1_250_000, 0), None), "{c:?}");
    }
    assert_eq!(claim(&facts(), Some("0"), Some("XXX"), None), (amount(0, 0), None));
}

#[test]
fn a_price_above_the_bid_books_the_bid() {
    let above = claim(&facts(), Some("2.500001"), None, None);
    assert_eq!(above, (amount(2_500_000, 1), Some(PriceNote::AboveBid)));
    let absurd = claim(&facts(), Some("1e400"), None, None);
    assert_eq!(absurd, (amount(2_500_000, 999_999_997_500_000), Some(PriceNote::AboveBid)));
}

#[test]
fn other_currencies_are_converted_or_book_the_bid() {
    let euros = in_euros();
    assert_eq!(euros.price, Nanos(2_304_147));
    // The bid itself: a nano of what was reserved stays unspent through rounding, never the other way.
    let (exact, note) = claim(&euros, Some("2.304147"), Some("EUR"), None);
    assert_eq!((exact, note), (amount(2_500_000, 0), None));
    assert_eq!(claim(&euros, Some("1"), Some("eur"), None), (amount(1_085_000, 0), None));
    assert_eq!(claim(&euros, Some("3"), None, None), (amount(2_500_000, 755_000), Some(PriceNote::AboveBid)));
    let dollars = claim(&euros, Some("2"), Some("USD"), None);
    assert_eq!(dollars, (amount(2_000_000, 0), Some(PriceNote::OtherCurrency)));
    let too_many = claim(&euros, Some("2.6"), Some("USD"), None);
    assert_eq!(too_many, (amount(2_500_000, 100_000), Some(PriceNote::AboveBid)));
    let no_rate = (PriceClaim::NoRate { amount: Nanos(2_500_000) }, Some(PriceNote::NoRate));
    assert_eq!(claim(&euros, Some("1"), Some("GBP"), None), no_rate);
    assert_eq!(claim(&euros, Some("1"), Some("?"), None), no_rate);
    assert_eq!(claim(&Facts { rate: Rate(0), ..euros }, Some("1"), None, None), no_rate);
}

#[test]
fn quantities_multiply() {
    let quantity = Quantity(12_500_000);
    let facts = Facts { quantity, reserved: Nanos(2_500_000).times(quantity), ..facts() };
    assert_eq!(claim(&facts, Some("2.5"), None, None), (amount(31_250_000, 0), None));
    for x in ["", "${AUCTION_MULTIPLIER}", "AUDIT", "-1", "0", "many"] {
        assert_eq!(claim(&facts, Some("2.5"), None, Some(x)), (amount(31_250_000, 0), None), "{x}");
    }
    assert_eq!(claim(&facts, Some("2.5"), None, Some("10")), (amount(25_000_000, 0), None));
    let more = claim(&facts, Some("2.5"), None, Some("13"));
    assert_eq!(more, (amount(31_250_000, 1_250_000), Some(PriceNote::AboveBid)));
    let dearer = claim(&facts, Some("3"), None, Some("10"));
    assert_eq!(dearer, (amount(25_000_000, 5_000_000), Some(PriceNote::AboveBid)));
    // Without a multiplier in the bid nobody can bring one in.
    assert_eq!(claim(&self::facts(), Some("2.5"), None, Some("0.001")), (amount(2_500_000, 0), None));
}

#[test]
fn unusable_prices_have_names() {
    for (p, note) in [
        (None, PriceNote::Missing),
        (Some(""), PriceNote::Empty),
        (Some("AUDIT"), PriceNote::Audit),
        (Some("${AUCTION_PRICE}"), PriceNote::Unsubstituted),
        (Some("${AUCTION_PRICE:B64}"), PriceNote::Unsubstituted),
        (Some("%24%7BAUCTION_PRICE%7D"), PriceNote::Unsubstituted),
        (Some("-1.5"), PriceNote::Negative),
        (Some("cheap"), PriceNote::Malformed),
        (Some("1,5"), PriceNote::Malformed),
        (Some("NaN"), PriceNote::Malformed),
    ] {
        for c in [None, Some("USD"), Some("GBP")] {
            assert_eq!(claim(&facts(), p, c, None), (PriceClaim::Unusable, Some(note)), "{p:?}");
        }
    }
}

#[test]
fn encrypted_prices_are_in_the_bids_currency() {
    let scheme = PriceScheme::Google(Box::new(google_price::tests::published()));
    let price = |p| price_claim(&facts(), Some(p), None, None, &scheme);
    assert_eq!(price("OG46wAAMCggBI0VniavN7-mNy0VTKPbB3o5CMQ"), (amount(1_200_000, 0), None));
    let forged = price("OG46wAAMCggBI0VniavN7-mNy0VTKPbB3o5CMA");
    assert_eq!(forged, (PriceClaim::Unusable, Some(PriceNote::ForgedPrice)));
    assert_eq!(price("1.20"), (PriceClaim::Unusable, Some(PriceNote::Malformed)));
    assert_eq!(price("${AUCTION_PRICE}"), (PriceClaim::Unusable, Some(PriceNote::Unsubstituted)));
}

fn ring(ids: &[u8]) -> KeyRing {
    KeyRing::new(ids.iter().map(|&id| (id, [id; 32])).collect()).unwrap()
}

fn sign(ring: &KeyRing, facts: &Facts) -> Vec<u8> {
    let mut token = Vec::new();
    ring.sign_into(facts, UnixMs(1_700_000_100_999), &mut token);
    token
}

const NOW: UnixMs = UnixMs(1_700_000_000_000);

#[test]
fn tokens_hold_their_facts_until_they_expire() {
    let ring = ring(&[1, 7]);
    let token = sign(&ring, &facts());
    assert!(token.len() <= MAX_LEN, "{}", token.len());
    assert!(token.iter().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_')));
    assert_eq!(ring.verify(&token, NOW), Ok(facts()));
    // What stands in the markup tracks, and books nothing.
    let mut markup = Vec::new();
    ring.sign_markup_into(&facts(), UnixMs(1_700_000_100_999), &mut markup);
    assert_eq!(ring.verify(&markup, NOW), Err(TokenError::Forged));
    assert_eq!(ring.verify_tracking_at(&markup, |_| NOW), Ok(facts()));
    assert_eq!(ring.verify_tracking_at(&token, |_| NOW), Ok(facts()));
    assert_eq!(ring.verify(&token, UnixMs(1_700_000_099_999)), Ok(facts()));
    assert_eq!(ring.verify(&token, UnixMs(1_700_000_100_000)), Err(TokenError::Expired));
    assert_eq!(ring.verify(&token, UnixMs::MAX), Err(TokenError::Expired));
}

#[test]
fn the_newest_key_signs_and_older_ones_still_verify() {
    let (old, both, new) = (ring(&[1]), ring(&[1, 7]), ring(&[7]));
    assert_eq!(both.verify(&sign(&old, &facts()), NOW), Ok(facts()));
    assert_eq!(new.verify(&sign(&both, &facts()), NOW), Ok(facts()));
    assert_eq!(old.verify(&sign(&both, &facts()), NOW), Err(TokenError::UnknownKey));
    let imposter = KeyRing::new(vec![(7, [8; 32])]).unwrap();
    assert_eq!(new.verify(&sign(&imposter, &facts()), NOW), Err(TokenError::Forged));
    assert_eq!(KeyRing::new(vec![]).unwrap_err(), KeyRingError::Count);
    assert_eq!(KeyRing::new(vec![(1, [0; 32]), (1, [1; 32])]).unwrap_err(), KeyRingError::Duplicate(1));
    assert!(!format!("{both:?}").contains("Hmac"));
}

#[test]
fn every_other_spelling_is_refused() {
    let ring = ring(&[1]);
    let token = sign(&ring, &facts());
    for at in 0..token.len() {
        for byte in 0..=255u8 {
            let mut other = token.clone();
            if std::mem::replace(&mut other[at], byte) != byte {
                assert!(ring.verify(&other, NOW).is_err(), "byte {byte} at {at}");
            }
        }
        assert!(ring.verify(&token[..at], NOW).is_err());
    }
    for tail in ["=", "==", "A", "AA", "AAAA", "\n"] {
        assert!(ring.verify(&[&token, tail.as_bytes()].concat(), NOW).is_err());
    }
    assert_eq!(ring.verify(&[b'A'; MAX_LEN + 1], NOW), Err(TokenError::Malformed));
    assert_eq!(ring.verify(&vec![b'A'; 1 << 20], NOW), Err(TokenError::Malformed));
    assert_eq!(ring.verify(b"", NOW), Err(TokenError::Malformed));
}

proptest! {
    #[test]
    fn no_claim_books_more_than_was_reserved(
        price in 1i64..1_000_000_000_000,
        rates in (1i64..10_000_000_000, 1i64..10_000_000_000),
        millionths in prop_oneof![Just(1_000_000u32), 1u32..4_000_000_000],
        p in "[0-9]{1,12}(\\.[0-9]{0,9})?([eE]-?[0-9]{1,3})?",
        c in prop::sample::select(&["", "USD", "EUR", "GBP"][..]),
        x in "|[0-9]{1,5}(\\.[0-9]{1,8})?",
    ) {
        let (rate, campaign_rate, quantity) = (Rate(rates.0), Rate(rates.1), Quantity(millionths));
        let price_here = Nanos(price);
        let reserved = price_here.times(quantity);
        let bid = price_here.convert_floor(campaign_rate, rate);
        let facts = Facts { price: bid, reserved, currency: EUR, rate, campaign_rate, quantity, ..facts() };
        match claim(&facts, Some(&p), Some(c), Some(&x)) {
            (PriceClaim::Amount { amount, excess }, note) => {
                prop_assert!((Nanos::ZERO..=reserved).contains(&amount));
                prop_assert!((Nanos::ZERO..=MAX_EXCESS).contains(&excess));
                prop_assert!(excess == Nanos::ZERO || note == Some(PriceNote::AboveBid));
            }
            (PriceClaim::NoRate { amount }, note) => {
                prop_assert_eq!((amount, c, note), (reserved, "GBP", Some(PriceNote::NoRate)));
            }
            (PriceClaim::Unusable, note) => prop_assert_eq!(note, Some(PriceNote::Malformed)),
        }
        // The bid's own price is never an excess, and books all of it but rounding.
        let own = bid.as_cpm().to_string();
        let (own, note) = claim(&facts, Some(&own), Some("EUR"), None);
        prop_assert_eq!(note, None);
        let exact = matches!(own, PriceClaim::Amount { excess: Nanos::ZERO, .. });
        prop_assert!(exact);
    }

    #[test]
    fn any_price_is_judged(p in "\\PC{0,70}", c in "\\PC{0,20}", x in "\\PC{0,20}") {
        claim(&facts(), Some(&p), Some(&c), Some(&x));
    }

    #[test]
    fn any_token_is_judged(token in prop::collection::vec(any::<u8>(), 0..200)) {
        prop_assert!(ring(&[1]).verify(&token, NOW).is_err());
    }
}
