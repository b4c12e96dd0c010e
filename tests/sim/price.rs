//! What an exchange says that an impression cost, plainly or encrypted as Google does it, and what that must come to.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use fastrand::Rng;
use gavel::event::{Facts, NoticeKind};
use gavel::ids::Currency;
use gavel::money::Quantity;
use hmac::{Hmac, KeyInit, Mac};
use sha1::Sha1;

use crate::campaigns::EUR;
use crate::journal::Expect;

pub const ENCRYPTION_KEY: [u8; 32] = [7; 32];
pub const INTEGRITY_KEY: [u8; 32] = [9; 32];

/// What a notice says of the price.
#[derive(Clone, Debug)]
pub enum Says {
    /// Nothing: a loss.
    Lost,
    /// Nanos per impression.
    Price { nanos: i64, currency: Option<Currency>, quantity: Option<&'static str> },
    /// Nothing that can be used: the query as it is.
    Odd(&'static str),
    /// Encrypted with other keys, or altered.
    Forged { nanos: i64 },
}

const ODD: [&str; 7] = ["p=abc", "p=-1.0", "p=", "p=AUDIT", "p=%24%7BAUCTION_PRICE%7D", "c=USD", "p=NaN"];
/// Those that are malformed decimals: an exchange that is gone may have meant anything by them.
const MALFORMED: [&str; 2] = ["p=abc", "p=NaN"];
const YEN: Currency = Currency(*b"JPY");

/// A price in nanos per impression as a CPM.
pub fn cpm(nanos: i64) -> String {
    format!("{}.{:06}", nanos / 1_000_000, nanos % 1_000_000)
}

fn encrypted(nanos: i64, keys: [[u8; 32]; 2], rng: &mut Rng) -> String {
    let [encryption, integrity] = keys.map(|key| Hmac::<Sha1>::new_from_slice(&key).expect("any length will do"));
    let vector: [u8; 16] = std::array::from_fn(|_| rng.u8(..));
    let pad = encryption.chain_update(vector).finalize().into_bytes();
    let price = nanos.to_be_bytes();
    let hidden: [u8; 8] = std::array::from_fn(|i| price[i] ^ pad[i]);
    let signature = integrity.chain_update(price).chain_update(vector).finalize().into_bytes();
    let mut text = URL_SAFE_NO_PAD.encode([&vector[..], &hidden, &signature[..4]].concat());
    if rng.bool() {
        text += "==";
    }
    text
}

impl Says {
    /// Most often the bid, or a part of it.
    pub fn draw(kind: NoticeKind, facts: &Facts, rng: &mut Rng) -> Says {
        if kind == NoticeKind::Loss {
            return Says::Lost;
        }
        let price = facts.price.0;
        let quantity = [None, Some("2.5"), Some("1"), Some("4.25"), Some("x")][rng.usize(..5)];
        let plain = |nanos| Says::Price { nanos, currency: None, quantity };
        let said = |nanos, currency| Says::Price { nanos, currency: Some(currency), quantity };
        match rng.u32(..100) {
            0..40 => said(price, facts.currency),
            40..70 => plain(price * rng.i64(1..100) / 100 + 1),
            70..77 => plain(price * 3),
            77..82 => plain(0),
            82..86 => said(price, YEN),
            86..90 => said(price, if facts.currency == EUR { Currency::USD } else { EUR }),
            90..93 => Says::Forged { nanos: price },
            _ => Says::Odd(ODD[rng.usize(..ODD.len())]),
        }
    }

    pub fn is_price(&self) -> bool {
        matches!(self, Says::Price { .. })
    }

    /// As the exchange writes it.
    pub fn query(&self, google: bool, rng: &mut Rng) -> String {
        match self {
            Says::Lost => "l=102&p=${AUCTION_PRICE}".to_owned(),
            Says::Odd(text) => (*text).to_owned(),
            Says::Forged { nanos } if google => {
                let keys = [[ENCRYPTION_KEY, [8; 32]], [[8; 32], INTEGRITY_KEY]][rng.usize(..2)];
                format!("p={}", encrypted(*nanos, keys, rng))
            }
            Says::Forged { .. } => "p=OG46wAAMCggBI0VniavN7-mNy0VTKPbB3o5CMQ==".to_owned(),
            Says::Price { nanos, currency, quantity } => {
                let price = match google {
                    true => encrypted(*nanos, [ENCRYPTION_KEY, INTEGRITY_KEY], rng),
                    false => cpm(*nanos),
                };
                let currency = currency.map(|c| format!("&c={c}")).unwrap_or_default();
                let quantity = quantity.map(|x| format!("&x={x}")).unwrap_or_default();
                format!("p={price}{currency}{quantity}")
            }
        }
    }

    /// What it must come to, by the exchange's own terms. `known` is whether the config still has the exchange.
    pub fn expect(&self, facts: &Facts, google: bool, known: bool) -> Expect {
        let whole_bid = Expect::exactly(facts.reserved.0);
        let (nanos, currency, quantity) = match self {
            Says::Lost => return Expect::Unusable,
            // Whatever it wrote is no decimal.
            Says::Price { .. } | Says::Forged { .. } if google && !known => return whole_bid,
            Says::Forged { .. } if known => return Expect::Unusable,
            Says::Forged { .. } => return whole_bid,
            Says::Odd(text) if !known && MALFORMED.contains(text) => return whole_bid,
            Says::Odd(_) => return Expect::Unusable,
            Says::Price { nanos: 0, .. } => return Expect::exactly(0),
            Says::Price { nanos, currency, quantity } => (*nanos, *currency, *quantity),
        };
        let millionths = match (facts.quantity, quantity) {
            (Quantity::ONE, _) => 1_000_000,
            (_, Some("2.5")) => 2_500_000,
            (_, Some("1")) => 1_000_000,
            (_, Some("4.25")) => 4_250_000,
            (own, _) => i128::from(own.0),
        };
        let cost =
            |nanos: i64, rate: i64, own: i64| i128::from(nanos) * millionths * i128::from(rate) / i128::from(own);
        let (bid, own) = (facts.rate.0, facts.campaign_rate.0);
        let millionths_of_cost = match currency {
            Some(said) if !google && said != facts.currency && said != facts.campaign_currency => return whole_bid,
            Some(said) if !google && said != facts.currency => cost(nanos, own, own),
            _ => cost(nanos.min(facts.price.0), bid, own),
        };
        let nanos = i64::try_from(millionths_of_cost / 1_000_000).expect("prices are small");
        let same = facts.currency == facts.campaign_currency && millionths == 1_000_000;
        // Each conversion is rounded to a nano of its own currency.
        let most = if same { nanos } else { nanos + 10 };
        Expect::Between(nanos.min(facts.reserved.0), most.min(facts.reserved.0))
    }
}
