//! Lines 50 and 51: prices that are encrypted, and notices that are odd or forged.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::json;

use super::Check;
use super::notices::tell;
use super::target::{Target, text};
use crate::make::{request, substitute, with};

/// Google's published example: 1,200,000 micros.
const PUBLISHED: &str = "OG46wAAMCggBI0VniavN7-mNy0VTKPbB3o5CMQ";

pub fn google_price(t: &Target) -> Check {
    t.put_one(json!({}))?;
    let bid = t.bid(&t.request())?;
    let before = t.account("a")?;
    let bytes = URL_SAFE_NO_PAD.decode(PUBLISHED).map_err(|e| e.to_string())?;
    ensure!(bytes.len() == 28, "the test is wrong");
    let mut wrong = vec!["1.20".to_owned(), "1200000".to_owned(), PUBLISHED[..37].to_owned(), format!("{PUBLISHED}A")];
    wrong.push(PUBLISHED.to_lowercase());
    for bit in 0..bytes.len() * 8 {
        let mut flipped = bytes.clone();
        flipped[bit / 8] ^= 1 << (bit % 8);
        wrong.push(URL_SAFE_NO_PAD.encode(flipped));
    }
    for price in &wrong {
        for which in ["nurl", "burl"] {
            tell(t, &bid, which, price)?;
        }
        let after = t.account("a")?;
        let same = (after.spent, after.reserved, after.billed) == (before.spent, before.reserved, before.billed);
        ensure!(same, "{price} is taken: {before:?} became {after:?}");
    }
    ensure!(wrong.len() == 224 + 5, "the test is wrong");
    // The published value, with padding as it was published, without, and with it percent-encoded.
    for (i, price) in [format!("{PUBLISHED}=="), PUBLISHED.to_owned(), format!("{PUBLISHED}%3D%3D")].iter().enumerate()
    {
        let bid = if i == 0 { bid.clone() } else { t.bid(&t.request())? };
        tell(t, &bid, "burl", price)?;
        let spent = t.account("a")?.spent;
        ensure!(spent == (i as i64 + 1) * 1_200_000, "{price} books {spent}");
    }
    t.booked("a", (3_600_000, 0, 3))
}

/// DESIGN's rules of money: one outcome each.
pub fn odd_notices(t: &Target) -> Check {
    t.put_one(json!({}))?;
    t.bid(&with(t.request(), json!({"test": 1})))?;
    let own = t.own().is_some();
    let odd = |fault: &str| format!("gavel_odd_notices_total{{kind=\"bill\",fault=\"{fault}\"}}");
    let mut spent = 0;
    for (price, currency, booked, counted) in [
        ("9.000001", "USD", 9_000_000, Some("above_bid")),
        ("1000000", "USD", 9_000_000, Some("above_bid")),
        ("99999999999999999999999999", "USD", 9_000_000, Some("above_bid")),
        ("1.00", "usd", 1_000_000, None),
        // A currency that the token has no rate for: booked at the bid.
        ("0.01", "XXX", 9_000_000, Some("no_rate")),
    ] {
        let bid = t.bid(&t.request())?;
        let before = counted.map(|fault| t.metric(&odd(fault))).transpose()?.flatten();
        t.notice(&substitute(text(&bid, "burl")?, &[("AUCTION_PRICE", price), ("AUCTION_CURRENCY", currency)]))?;
        spent += booked;
        let seen = t.account("a")?.spent;
        ensure!(seen == spent, "{price} {currency}: {seen} spent, not {spent}");
        if let (Some(fault), Some(before)) = (counted, before) {
            ensure!(t.metric(&odd(fault))? == Some(before + 1.0), "{price} {currency} is not counted as {fault}");
        }
    }
    if own {
        // The bid was in euros, the account is in dollars: the rate is the one of the bid.
        let bid = t.bid(&with(t.request(), json!({"cur": ["EUR"]})))?;
        t.notice(&substitute(text(&bid, "burl")?, &[("AUCTION_PRICE", "1.00"), ("AUCTION_CURRENCY", "EUR")]))?;
        spent += 1_085_000;
        let seen = t.account("a")?.spent;
        ensure!(seen == spent, "1.00 EUR: {seen} spent, not {spent}");
    }
    // After a loss it is late, and booked.
    let bid = t.bid(&t.request())?;
    tell(t, &bid, "lurl", "")?;
    tell(t, &bid, "burl", "2.00")?;
    spent += 2_000_000;
    let a = t.account("a")?;
    ensure!((a.spent, a.late, a.reserved) == (spent, 2_000_000, 0), "a bill after a loss: {a:?}");
    forged(t)?;
    ensure!(t.account("a")?.spent == spent, "a forged token spends");
    t.booked("a", (spent, 2_000_000, a.billed))
}

/// Tokens that were never signed here.
fn forged(t: &Target) -> Check {
    let bid = t.bid(&t.request())?;
    let before = t.account("a")?;
    let url = text(&bid, "burl")?;
    let token = url.split("/n/bill/").nth(1).and_then(|rest| rest.split('?').next()).ok_or("no token")?;
    let mut wrong: Vec<String> = (0..token.len())
        .map(|i| {
            let other = if token.as_bytes()[i] == b'A' { "B" } else { "A" };
            format!("{}{other}{}", &token[..i], &token[i + 1..])
        })
        .collect();
    wrong.extend([token[1..].to_owned(), token[..token.len() - 1].to_owned(), format!("{token}A"), "x".to_owned()]);
    wrong.extend(["%00".to_owned(), "..%2f..%2fx".to_owned(), "a".repeat(8_000), token.to_lowercase()]);
    let faults = ["forged", "malformed", "bad_token", "unknown_key", "expired"];
    let counted = || -> Result<Option<f64>, String> {
        let all = faults.map(|f| t.metric(&format!("gavel_odd_notices_total{{kind=\"bill\",fault=\"{f}\"}}")));
        all.into_iter().sum()
    };
    let start = counted()?;
    for token in &wrong {
        for kind in ["win", "bill", "loss"] {
            let path = format!("/n/{kind}/{token}?p=2.00&c=USD&l=1");
            let answer = t.get(&path)?;
            ensure!(answer.status == 204 && answer.body.is_empty(), "{path:.60} is {}", answer.status);
        }
    }
    let after = t.account("a")?;
    ensure!((after.spent, after.reserved) == (before.spent, before.reserved), "{before:?} became {after:?}");
    if let (Some(start), Some(end)) = (start, counted()?) {
        ensure!(end - start == wrong.len() as f64, "{} of {} forged tokens are counted", end - start, wrong.len());
    }
    // The true one still works.
    ensure!(t.any_bid(&request()).is_ok() || t.own().is_some(), "no bids any more");
    tell(t, &bid, "lurl", "")
}
