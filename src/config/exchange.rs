//! `[exchanges.<name>]` and `[rates]`: what is peculiar to an exchange is data.

use foldhash::HashMap;
use hyper::header::{HeaderName, HeaderValue};

use super::DAY_S;
use super::section::Section;
use super::supply::is_domain;
use crate::ids::{Currency, name_hash};
use crate::ledger::bucket::Lifetimes;
use crate::money::Rate;
use crate::openrtb::claim::PriceScheme;
use crate::openrtb::google_price::{self, GoogleKeys};
use crate::openrtb::notice::Macros;

/// One exchange, as the path `/openrtb2/{name}` and its notices are handled.
#[derive(Clone, Debug)]
pub struct Exchange {
    pub name: String,
    /// [`name_hash`] of the name.
    pub number: u32,
    /// The seat we bid as. Default `gavel`.
    pub seat: String,
    /// `spend_on = "win"`: a win is what is paid, and a bill books nothing. Default `"bill"`.
    pub spend_on_win: bool,
    /// `auction_lifetime_s` (default 120; an imp's `exp` shortens it), `bill_lifetime_s` (default 3600) and
    /// `sends_win` (default true; false keeps the money set aside for the bill lifetime from the start).
    pub lifetimes: Lifetimes,
    /// `token_lifetime_s`: notices later than this change nothing. Default 48 h.
    pub token_lifetime_ms: i64,
    /// How `${AUCTION_PRICE}` comes back: `price = "plain"` (default) or `"google"` with its two keys.
    pub price: PriceScheme,
    /// Currency of requests that name none in `cur`. Default USD (OpenRTB 2.6 section 3.2.1).
    pub currency: Currency,
    /// `tmax` of requests that give none. Default 100 ms.
    pub tmax_default_ms: i64,
    /// The part of `tmax` that the network takes. Default 10 ms.
    pub network_ms: i64,
    /// `body_no_bid = true`: a no-bid is a 200 with `{"id", "nbr"}` instead of a 204. Default false.
    pub body_no_bid: bool,
    /// Bids for the open market that one impression may get, besides one for each deal. Default 1; exchanges that block
    /// some of them may want more.
    pub open_bids: usize,
    /// The domain that the exchange has in ads.txt files; without it `publisher.id` is not looked up there.
    pub ad_system: Option<String>,
    /// `[exchanges.<name>.macros]`: what it fills in notice URLs, where it is not OpenRTB's. A macro that is not filled in
    /// books nothing.
    pub macros: Macros,
    /// `[exchanges.<name>.headers]`: what every answer to it carries besides.
    pub headers: Vec<(HeaderName, HeaderValue)>,
}

/// Headers that are the answer's own.
const OWN_HEADERS: [&str; 6] =
    ["content-type", "content-length", "content-encoding", "transfer-encoding", "connection", "x-openrtb-version"];

pub fn read(mut exchanges: Section, rates: &Rates) -> Vec<Exchange> {
    let names = exchanges.names();
    let mut all: Vec<Exchange> = Vec::new();
    for name in &names {
        let number = name_hash(name);
        let fine = (1..=64).contains(&name.len())
            && name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_' || b == b'.');
        if !fine {
            exchanges.fault(name, "is not a name: 1 to 64 of a-z A-Z 0-9 . _ -");
        }
        if let Some(other) = all.iter().find(|e| e.number == number) {
            let message = format!("has the same number as {:?} in notice tokens; choose another name", other.name);
            exchanges.fault(name, message);
        }
        let section = exchanges.named(name);
        all.push(read_one(name, number, section, rates));
    }
    if all.is_empty() {
        all.push(read_one("demo", name_hash("demo"), exchanges.table("demo"), rates));
    }
    all
}

fn read_one(name: &str, number: u32, mut s: Section, rates: &Rates) -> Exchange {
    let seat = s.text("seat", |t| match t.len() {
        1..=64 => Ok(t.to_owned()),
        _ => Err("must be 1 to 64 bytes".to_owned()),
    });
    let spend_on_win = s.text("spend_on", |t| match t {
        "bill" => Ok(false),
        "win" => Ok(true),
        _ => Err("must be \"bill\" or \"win\"".to_owned()),
    });
    let lifetimes = Lifetimes {
        auction_ms: s.seconds("auction_lifetime_s", DAY_S).unwrap_or(120_000),
        bill_ms: s.seconds("bill_lifetime_s", 2 * DAY_S).unwrap_or(3_600_000),
        sends_win: s.boolean("sends_win").unwrap_or(true),
    };
    let token_lifetime_ms = s.seconds("token_lifetime_s", 30 * DAY_S).unwrap_or(2 * DAY_S * 1_000);
    let google = s.text("price", |t| match t {
        "plain" => Ok(false),
        "google" => Ok(true),
        _ => Err("must be \"plain\" or \"google\"".to_owned()),
    });
    let key = |text: &str| google_price::key(text).ok_or_else(|| "must be 32 bytes in base64".to_owned());
    let encryption_key = s.text("google_encryption_key", key);
    let integrity_key = s.text("google_integrity_key", key);
    let price = match (google.unwrap_or(false), encryption_key, integrity_key) {
        (true, Some(encryption_key), Some(integrity_key)) => GoogleKeys::new(&encryption_key, &integrity_key)
            .map_or(PriceScheme::Plain, |keys| PriceScheme::Google(Box::new(keys))),
        (true, _, _) => {
            s.fault("price", "\"google\" needs google_encryption_key and google_integrity_key");
            PriceScheme::Plain
        }
        (false, None, None) => PriceScheme::Plain,
        (false, _, _) => {
            s.fault("price", "must be \"google\" when a Google key is given");
            PriceScheme::Plain
        }
    };
    let currency = s.text("currency", |t| match Currency::parse(t) {
        Some(currency) if rates.get(currency).is_some() => Ok(currency),
        Some(currency) => Err(format!("{currency} has no rate; add it to [rates]")),
        None => Err(format!("{t:?} is not a currency code such as \"USD\"")),
    });
    let tmax_default_ms = s.number("tmax_default_ms", 1..=60_000).unwrap_or(100);
    let network_ms = s.number("network_ms", 0..=60_000).unwrap_or(10);
    let body_no_bid = s.boolean("body_no_bid").unwrap_or(false);
    let open_bids = s.number("open_bids", 1..=16).unwrap_or(1) as usize;
    let ad_system = s.text("ad_system", |t| match is_domain(t) {
        true => Ok(t.to_owned()),
        false => Err("must be a domain such as \"exchange.example\"".to_owned()),
    });
    let macros = read_macros(s.table("macros"));
    let headers = read_headers(s.table("headers"));
    s.end();
    Exchange {
        name: name.to_owned(),
        number,
        seat: seat.unwrap_or_else(|| "gavel".to_owned()),
        spend_on_win: spend_on_win.unwrap_or(false),
        lifetimes,
        token_lifetime_ms,
        price,
        currency: currency.unwrap_or(Currency::USD),
        tmax_default_ms,
        network_ms,
        body_no_bid,
        open_bids,
        ad_system,
        macros,
        headers,
    }
}

fn read_macros(mut s: Section) -> Macros {
    let mut macros = Macros::default();
    let places = [
        ("price", &mut macros.price),
        ("currency", &mut macros.currency),
        ("loss", &mut macros.loss),
        ("min_to_win", &mut macros.min_to_win),
        ("multiplier", &mut macros.multiplier),
    ];
    for (key, place) in places {
        let given = s.text(key, |text| {
            let is_fine = (1..=128).contains(&text.len())
                && text.bytes().all(|b| b.is_ascii_graphic() && !b"&#?\"\\<>".contains(&b));
            if is_fine { Ok(text.to_owned()) } else { Err("must be a macro such as \"%%WINNING_PRICE%%\"".to_owned()) }
        });
        if let Some(given) = given {
            *place = given;
        }
    }
    s.end();
    macros
}

fn read_headers(mut s: Section) -> Vec<(HeaderName, HeaderValue)> {
    let mut headers = Vec::new();
    for name in s.names() {
        let Some(value) = s.named_text(&name) else { continue };
        match (HeaderName::from_bytes(name.as_bytes()), HeaderValue::from_str(&value)) {
            (Ok(known), _) if OWN_HEADERS.contains(&known.as_str()) => s.fault(&name, "is a header that gavel sets"),
            (Ok(name), Ok(value)) => headers.push((name, value)),
            (Err(_), _) => s.fault(&name, "is not a header's name"),
            (_, Err(_)) => s.fault(&name, "is not a header's value"),
        }
    }
    headers
}

/// The price of one unit of each currency in USD.
#[derive(Clone, Debug)]
pub struct Rates(HashMap<Currency, Rate>);

impl Rates {
    pub fn read(mut s: Section) -> Rates {
        let mut rates = HashMap::from_iter([(Currency::USD, Rate::USD)]);
        for name in s.names() {
            let Some(text) = s.named_text(&name) else { continue };
            match (Currency::parse(&name), Rate::parse(&text)) {
                (None, _) => s.fault(&name, "is not a currency code such as EUR"),
                (Some(Currency::USD), _) => s.fault(&name, "is 1 by definition; leave it out"),
                (Some(_), Err(e)) => s.fault(&name, format!("{text:?} {e}")),
                (Some(currency), Ok(rate)) => drop(rates.insert(currency, rate)),
            }
        }
        Rates(rates)
    }

    pub fn get(&self, currency: Currency) -> Option<Rate> {
        self.0.get(&currency).copied()
    }

    pub fn all(&self) -> &HashMap<Currency, Rate> {
        &self.0
    }
}
