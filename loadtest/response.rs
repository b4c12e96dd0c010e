//! Bid responses: read without floats and judged as an exchange judges them.

use crate::money::parse_cpm;
use crate::requests::Asked;
use serde::Deserialize;
use serde_json::value::RawValue;
use std::borrow::Cow;

#[derive(Deserialize)]
struct Response<'a> {
    #[serde(borrow)]
    id: Option<Cow<'a, str>>,
    #[serde(borrow)]
    cur: Option<Cow<'a, str>>,
    #[serde(borrow, default)]
    seatbid: Vec<SeatBid<'a>>,
}

#[derive(Deserialize)]
struct SeatBid<'a> {
    #[serde(borrow)]
    seat: Option<Cow<'a, str>>,
    #[serde(borrow, default)]
    bid: Vec<RawBid<'a>>,
}

#[derive(Deserialize)]
struct RawBid<'a> {
    #[serde(borrow)]
    id: Option<Cow<'a, str>>,
    #[serde(borrow)]
    impid: Option<Cow<'a, str>>,
    // The text of the number: a price that went through a float would not be exact to the nano.
    #[serde(borrow)]
    price: Option<&'a RawValue>,
    #[serde(borrow)]
    nurl: Option<Cow<'a, str>>,
    #[serde(borrow)]
    burl: Option<Cow<'a, str>>,
    #[serde(borrow)]
    lurl: Option<Cow<'a, str>>,
    #[serde(borrow)]
    cid: Option<Cow<'a, str>>,
    #[serde(borrow)]
    crid: Option<Cow<'a, str>>,
    #[serde(borrow)]
    dealid: Option<Cow<'a, str>>,
}

/// A bid that may take part in the auction.
#[derive(Debug)]
pub struct Bid<'a> {
    pub id: Cow<'a, str>,
    pub seat: Cow<'a, str>,
    /// Index into [`Asked::imps`].
    pub imp: usize,
    pub price: i64,
    pub floor: i64,
    pub first_price: bool,
    /// Empty when the bid names none.
    pub campaign: Cow<'a, str>,
    pub creative: Cow<'a, str>,
    pub win: Cow<'a, str>,
    pub bill: Cow<'a, str>,
    pub loss: Cow<'a, str>,
}

/// Why an answer, or one of its bids, cannot be used.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Fault {
    NotJson,
    OtherId,
    OtherCurrency,
    NoBids,
    NoBidId,
    UnknownImp,
    BadPrice,
    BelowFloor,
    UnknownDeal,
    NoNoticeUrl,
}

impl Fault {
    pub fn text(self) -> &'static str {
        match self {
            Fault::NotJson => "not a bid response in JSON",
            Fault::OtherId => "id is not the request's",
            Fault::OtherCurrency => "currency was not asked for",
            Fault::NoBids => "200 without a bid",
            Fault::NoBidId => "bid without an id",
            Fault::UnknownImp => "impid is not the request's",
            Fault::BadPrice => "price is not a positive decimal of six decimals",
            Fault::BelowFloor => "price below the floor",
            Fault::UnknownDeal => "dealid is not the imp's",
            Fault::NoNoticeUrl => "nurl, burl or lurl missing or not a URL",
        }
    }
}

/// The usable bids of an answer and the faults of the rest. `currencies` are those of the plan.
pub fn read<'a>(body: &'a [u8], asked: &Asked, currencies: &[String]) -> (Vec<Bid<'a>>, Vec<Fault>) {
    let Ok(response) = serde_json::from_slice::<Response>(body) else { return (Vec::new(), vec![Fault::NotJson]) };
    if response.id.as_deref() != Some(asked.id.as_str()) {
        return (Vec::new(), vec![Fault::OtherId]);
    }
    if response.cur.as_deref().unwrap_or("USD") != currencies[asked.currency] {
        return (Vec::new(), vec![Fault::OtherCurrency]);
    }
    let (mut bids, mut faults) = (Vec::with_capacity(asked.imps.len()), Vec::new());
    for seat_bid in response.seatbid {
        let seat = seat_bid.seat.unwrap_or_default();
        for raw in seat_bid.bid {
            match judge(raw, seat.clone(), asked) {
                Ok(bid) => bids.push(bid),
                Err(fault) => faults.push(fault),
            }
        }
    }
    if bids.is_empty() && faults.is_empty() {
        faults.push(Fault::NoBids);
    }
    (bids, faults)
}

/// Whether the body is a no-bid that gives its reason.
pub fn is_no_bid(body: &[u8]) -> bool {
    #[derive(Deserialize)]
    struct NoBid {
        nbr: Option<i64>,
    }
    serde_json::from_slice::<NoBid>(body).is_ok_and(|answer| answer.nbr.is_some())
}

fn judge<'a>(raw: RawBid<'a>, seat: Cow<'a, str>, asked: &Asked) -> Result<Bid<'a>, Fault> {
    let id = raw.id.filter(|id| !id.is_empty()).ok_or(Fault::NoBidId)?;
    let number: usize = raw.impid.and_then(|id| id.parse().ok()).ok_or(Fault::UnknownImp)?;
    let index = number.checked_sub(1).ok_or(Fault::UnknownImp)?;
    let imp = asked.imps.get(index).ok_or(Fault::UnknownImp)?;
    let price = raw.price.and_then(|price| parse_cpm(price.get())).filter(|price| *price > 0);
    let price = price.ok_or(Fault::BadPrice)?;
    let (floor, first_price) = match raw.dealid {
        None => (imp.floor, asked.first_price),
        Some(deal_id) => {
            let number = deal_id.strip_prefix("deal-").and_then(|number| number.parse::<u32>().ok());
            let deal = imp.deals.iter().find(|deal| Some(deal.number) == number).ok_or(Fault::UnknownDeal)?;
            (deal.floor, deal.first_price)
        }
    };
    if price < floor {
        return Err(Fault::BelowFloor);
    }
    let url = |url: Option<Cow<'a, str>>| url.filter(|url| path_of(url).is_some()).ok_or(Fault::NoNoticeUrl);
    Ok(Bid {
        id,
        seat,
        imp: index,
        price,
        floor,
        first_price,
        campaign: raw.cid.unwrap_or_default(),
        creative: raw.crid.unwrap_or_default(),
        win: url(raw.nurl)?,
        bill: url(raw.burl)?,
        loss: url(raw.lurl)?,
    })
}

/// Path and query of an absolute http(s) URL.
pub fn path_of(url: &str) -> Option<&str> {
    let rest = url.strip_prefix("https://").or_else(|| url.strip_prefix("http://"))?;
    let start = rest.find('/')?;
    (start > 0).then_some(&rest[start..])
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::requests::{AskedDeal, AskedImp};

    fn asked() -> Asked {
        let deals = vec![AskedDeal { number: 3, floor: 2_000_000, first_price: true }];
        let imps = vec![AskedImp { floor: 250_000, deals: Vec::new() }, AskedImp { floor: 0, deals }];
        Asked { id: "r1".to_owned(), imps, ..Asked::default() }
    }

    fn answer(changes: &str) -> String {
        let bid = "{\"id\":\"b\",\"impid\":\"1\",\"price\":2.5,\"adm\":\"<a href=\\\"x\\\">\",\"cid\":\"c-1\",\"crid\":\"cr\",\
                   \"nurl\":\"https://h/n/win/t?p=${AUCTION_PRICE}\",\"burl\":\"https://h/n/bill/t\",\"lurl\":\"https://h/l\"}";
        let (from, to) = changes.split_once("=>").unwrap_or(("", ""));
        let bid = if from.is_empty() { bid.to_owned() } else { bid.replace(from, to) };
        format!("{{\"id\":\"r1\",\"cur\":\"USD\",\"seatbid\":[{{\"seat\":\"s\",\"bid\":[{bid}]}}],\"bidid\":\"d\"}}")
    }

    fn fault(body: &str) -> Vec<Fault> {
        read(body.as_bytes(), &asked(), &["USD".to_owned()]).1
    }

    #[test]
    fn reads_a_bid_exactly() {
        let body = answer("2.5=>2.500001");
        let usd = ["USD".to_owned()];
        let (bids, faults) = read(body.as_bytes(), &asked(), &usd);
        assert!(faults.is_empty(), "{faults:?}");
        let bid = &bids[0];
        assert_eq!((bid.price, bid.floor, bid.imp, bid.campaign.as_ref()), (2_500_001, 250_000, 0, "c-1"));
        assert_eq!(path_of(&bid.win), Some("/n/win/t?p=${AUCTION_PRICE}"));
    }

    #[test]
    fn finds_every_fault() {
        for (changes, expected) in [
            ("\"b\"=>\"\"", Fault::NoBidId),
            ("\"1\"=>\"3\"", Fault::UnknownImp),
            ("\"1\"=>\"0\"", Fault::UnknownImp),
            ("2.5=>0", Fault::BadPrice),
            ("2.5=>1e1", Fault::BadPrice),
            ("2.5=>\"2.5\"", Fault::BadPrice),
            ("2.5=>0.249999", Fault::BelowFloor),
            ("\"cid\":=>\"dealid\":\"deal-3\",\"cid\":", Fault::UnknownDeal),
            ("\"nurl\":\"https=>\"nurl\":\"ftp", Fault::NoNoticeUrl),
            ("\"burl\"=>\"url\"", Fault::NoNoticeUrl),
        ] {
            assert_eq!(fault(&answer(changes)), [expected], "{changes}");
        }
        assert_eq!(fault("{"), [Fault::NotJson]);
        assert_eq!(fault("{\"id\":\"r1\",\"seatbid\":[]}"), [Fault::NoBids]);
        assert_eq!(fault(&answer("").replace("r1", "r2")), [Fault::OtherId]);
        assert_eq!(fault(&answer("").replace("USD", "EUR")), [Fault::OtherCurrency]);
    }

    #[test]
    fn a_deal_brings_its_own_floor() {
        let deal = |price: &str| {
            let body = answer("\"1\",=>\"2\",\"dealid\":\"deal-3\",").replace("2.5", price);
            fault(&body)
        };
        assert_eq!(deal("1.999999"), [Fault::BelowFloor]);
        assert!(deal("2.0").is_empty());
    }
}
