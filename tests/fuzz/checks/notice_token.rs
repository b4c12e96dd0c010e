//! Notices: tokens that nobody else can make, and queries that never book more than was reserved.

use gavel::clock::UnixMs;
use gavel::event::{Facts, PriceClaim};
use gavel::money::{MAX_UNITS, NANOS_PER_UNIT, Nanos, Quantity, Rate};
use gavel::openrtb::claim::{MAX_EXCESS, PriceScheme, price_claim};
use gavel::openrtb::google_price::GoogleKeys;
use gavel::openrtb::query::NoticeQuery;
use gavel::openrtb::token::{KeyRing, MAX_LEN};
use gavel::wire::Take;

const NOW: UnixMs = UnixMs(1_800_000_000_000);

/// Some bytes for the facts of a bid, and the rest for what comes back: as a token, as a change to the right one, as a
/// query.
pub fn check(data: &[u8]) {
    let ring = KeyRing::new(vec![(1, [1; 32]), (7, [7; 32])]).expect("a key ring");
    assert!(ring.verify(data, NOW).is_err(), "a token that nobody signed");
    let (head, rest) = data.split_at(data.len().min(Facts::MAX_LEN + 2));
    let Some(([at, bit], bytes)) = head.split_first_chunk::<2>() else { return };
    let mut filled = [0; Facts::MAX_LEN];
    filled[..bytes.len()].copy_from_slice(bytes);
    // Flags that there are.
    filled[0] &= 0b111;
    let facts = Facts::decode(&mut Take(&filled)).expect("facts of any bytes");
    token(&ring, &facts, usize::from(*at), bit % 8);
    query(facts, rest);
}

fn token(ring: &KeyRing, facts: &Facts, at: usize, bit: u8) {
    let mut token = Vec::new();
    ring.sign_into(facts, NOW.plus(1_000), &mut token);
    assert!(token.len() <= MAX_LEN);
    assert_eq!(ring.verify(&token, NOW).as_ref(), Ok(facts));
    let at = at % token.len();
    token[at] ^= 1 << bit;
    assert!(ring.verify(&token, NOW).is_err(), "bit {bit} of character {at} does not matter");
}

/// What a query comes to for a bid as the server makes them.
fn query(facts: Facts, text: &[u8]) {
    let text = String::from_utf8_lossy(text);
    let query = NoticeQuery::parse(&text);
    assert!(query.min_to_win() >= Nanos(-1));
    query.loss_reason();
    let within = |value: i64, most: i64| value.rem_euclid(most) + 1;
    let price = Nanos(within(facts.price.0, MAX_UNITS * 1_000_000));
    let quantity = Quantity(facts.quantity.0.max(1));
    let rate = Rate(within(facts.rate.0, 1_000_000 * NANOS_PER_UNIT));
    let campaign_rate = Rate(within(facts.campaign_rate.0, 1_000_000 * NANOS_PER_UNIT));
    let bid = price.convert_floor(campaign_rate, rate);
    let facts = Facts { reserved: price.times(quantity), price: bid, rate, campaign_rate, quantity, ..facts };
    let google = GoogleKeys::new(&[1; 32], &[2; 32]).expect("keys");
    for scheme in [PriceScheme::Plain, PriceScheme::Google(Box::new(google))] {
        let (p, c, x) = (query.price.as_deref(), query.currency.as_deref(), query.multiplier.as_deref());
        let (claim, note) = price_claim(&facts, p, c, x, &scheme);
        match claim {
            PriceClaim::Amount { amount, excess } => {
                assert!((Nanos::ZERO..=facts.reserved).contains(&amount), "{amount:?} of {:?}", facts.reserved);
                assert!((Nanos::ZERO..=MAX_EXCESS).contains(&excess), "{excess:?}");
            }
            PriceClaim::NoRate { amount } => assert_eq!(amount, facts.reserved),
            PriceClaim::Unusable => assert!(note.is_some()),
        }
    }
}
