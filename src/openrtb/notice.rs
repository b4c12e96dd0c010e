//! Notice URLs (nurl, burl, lurl) and the macros that an exchange puts values into (OpenRTB 2.6 sections 4.2.3, 4.4).
//!
//! ```text
//! {public_url}/n/win/{token}?p=${AUCTION_PRICE}&c=${AUCTION_CURRENCY}
//! {public_url}/n/bill/{token}?p=${AUCTION_PRICE}&c=${AUCTION_CURRENCY}[&x=${AUCTION_MULTIPLIER}]
//! {public_url}/n/loss/{token}?l=${AUCTION_LOSS}&m=${AUCTION_MIN_TO_WIN}&p=${AUCTION_PRICE}&c=${AUCTION_CURRENCY}
//! ```

use crate::event::NoticeKind;
use crate::json::escape::escape_json;

/// Every macro of section 4.4.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Macro {
    AuctionId,
    AuctionBidId,
    AuctionImpId,
    AuctionSeatId,
    AuctionAdId,
    AuctionPrice,
    AuctionCurrency,
    AuctionMbr,
    AuctionLoss,
    AuctionMinToWin,
    AuctionMultiplier,
    AuctionImpTs,
}

impl Macro {
    pub const ALL: [Macro; 12] = [
        Macro::AuctionId,
        Macro::AuctionBidId,
        Macro::AuctionImpId,
        Macro::AuctionSeatId,
        Macro::AuctionAdId,
        Macro::AuctionPrice,
        Macro::AuctionCurrency,
        Macro::AuctionMbr,
        Macro::AuctionLoss,
        Macro::AuctionMinToWin,
        Macro::AuctionMultiplier,
        Macro::AuctionImpTs,
    ];

    pub const fn name(self) -> &'static str {
        match self {
            Macro::AuctionId => "AUCTION_ID",
            Macro::AuctionBidId => "AUCTION_BID_ID",
            Macro::AuctionImpId => "AUCTION_IMP_ID",
            Macro::AuctionSeatId => "AUCTION_SEAT_ID",
            Macro::AuctionAdId => "AUCTION_AD_ID",
            Macro::AuctionPrice => "AUCTION_PRICE",
            Macro::AuctionCurrency => "AUCTION_CURRENCY",
            Macro::AuctionMbr => "AUCTION_MBR",
            Macro::AuctionLoss => "AUCTION_LOSS",
            Macro::AuctionMinToWin => "AUCTION_MIN_TO_WIN",
            Macro::AuctionMultiplier => "AUCTION_MULTIPLIER",
            Macro::AuctionImpTs => "AUCTION_IMP_TS",
        }
    }

    /// The macro that a text is, as written in a URL: `${AUCTION_PRICE}`, or with an encoding `${AUCTION_PRICE:B64}`.
    pub fn parse(text: &str) -> Option<Macro> {
        let inside = text.strip_prefix("${")?.strip_suffix('}')?;
        let name = inside.split_once(':').map_or(inside, |(name, _)| name);
        Macro::ALL.into_iter().find(|found| found.name() == name)
    }
}

/// Whether a value is, or holds, an auction macro that nobody substituted; the braces may be percent-encoded, even
/// twice, and the name may be one that a later specification added.
pub fn is_unsubstituted(value: &str) -> bool {
    let bytes = value.as_bytes();
    let at_name = |at: usize| {
        let before = &bytes[..at];
        let Some(before) = strip_suffix_any(before, &["{", "%7B", "%257B"]) else { return false };
        strip_suffix_any(before, &["$", "%24", "%2524"]).is_some()
    };
    const NAME: &[u8] = b"AUCTION_";
    bytes.windows(NAME.len()).enumerate().any(|(at, window)| window.eq_ignore_ascii_case(NAME) && at_name(at))
}

fn strip_suffix_any<'a>(text: &'a [u8], suffixes: &[&str]) -> Option<&'a [u8]> {
    suffixes.iter().find_map(|suffix| {
        let (head, tail) = text.split_at_checked(text.len().checked_sub(suffix.len())?)?;
        tail.eq_ignore_ascii_case(suffix.as_bytes()).then_some(head)
    })
}

/// The notice URLs that one exchange gets, around the token; JSON-escaped once so that a bid only copies them.
#[derive(Clone, Debug)]
pub struct NoticeUrls {
    /// `{public_url}/t/i/`, unescaped: what markup that is built reports its impression to, with the token behind it.
    pub impression: String,
    win: Box<[u8]>,
    bill: Box<[u8]>,
    loss: Box<[u8]>,
    // What follows the token.
    won: Box<[u8]>,
    multiplied: Box<[u8]>,
    lost: Box<[u8]>,
}

/// What an exchange puts the facts of an auction in the place of.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Macros {
    pub price: String,
    pub currency: String,
    pub loss: String,
    pub min_to_win: String,
    pub multiplier: String,
}

impl Default for Macros {
    /// OpenRTB 2.6 section 4.4.
    fn default() -> Macros {
        Macros {
            price: "${AUCTION_PRICE}".to_owned(),
            currency: "${AUCTION_CURRENCY}".to_owned(),
            loss: "${AUCTION_LOSS}".to_owned(),
            min_to_win: "${AUCTION_MIN_TO_WIN}".to_owned(),
            multiplier: "${AUCTION_MULTIPLIER}".to_owned(),
        }
    }
}

impl NoticeUrls {
    /// `public_url` is the absolute base, with or without a last slash.
    pub fn new(public_url: &str, macros: &Macros) -> NoticeUrls {
        let Macros { price, currency, loss, min_to_win, multiplier } = macros;
        let query = |text: String| {
            let mut out = Vec::new();
            escape_json(&text, &mut out);
            out.into_boxed_slice()
        };
        let base = public_url.trim_end_matches('/');
        let prefix = |kind: NoticeKind| {
            let mut out = Vec::new();
            escape_json(&format!("{base}/n/{}/", kind.as_str()), &mut out);
            out.into_boxed_slice()
        };
        let impression = format!("{base}/t/i/");
        NoticeUrls {
            impression,
            win: prefix(NoticeKind::Win),
            bill: prefix(NoticeKind::Bill),
            loss: prefix(NoticeKind::Loss),
            won: query(format!("?p={price}&c={currency}")),
            multiplied: query(format!("&x={multiplier}")),
            lost: query(format!("?l={loss}&m={min_to_win}&p={price}&c={currency}")),
        }
    }

    /// Appends the inside of a JSON string. `token` is base64url, so it needs no escape. `multiplied` asks the
    /// exchange to confirm `qty.multiplier` in the bill.
    pub fn write(&self, kind: NoticeKind, token: &[u8], multiplied: bool, out: &mut Vec<u8>) {
        let (prefix, query) = match kind {
            NoticeKind::Win => (&self.win, &self.won),
            NoticeKind::Bill => (&self.bill, &self.won),
            NoticeKind::Loss => (&self.loss, &self.lost),
        };
        out.extend_from_slice(prefix);
        out.extend_from_slice(token);
        out.extend_from_slice(query);
        if multiplied && kind == NoticeKind::Bill {
            out.extend_from_slice(&self.multiplied);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn urls_carry_their_macros() {
        let urls = NoticeUrls::new("https://rtb.example/", &Macros::default());
        let url = |kind, multiplied| {
            let mut out = Vec::new();
            urls.write(kind, b"tok", multiplied, &mut out);
            String::from_utf8(out).unwrap()
        };
        assert_eq!(
            url(NoticeKind::Win, true),
            "https://rtb.example/n/win/tok?p=${AUCTION_PRICE}&c=${AUCTION_CURRENCY}"
        );
        let bill = "https://rtb.example/n/bill/tok?p=${AUCTION_PRICE}&c=${AUCTION_CURRENCY}";
        assert_eq!(url(NoticeKind::Bill, false), bill);
        assert_eq!(url(NoticeKind::Bill, true), format!("{bill}&x=${{AUCTION_MULTIPLIER}}"));
        assert_eq!(
            url(NoticeKind::Loss, true),
            "https://rtb.example/n/loss/tok?l=${AUCTION_LOSS}&m=${AUCTION_MIN_TO_WIN}&p=${AUCTION_PRICE}&c=${AUCTION_CURRENCY}"
        );
    }

    #[test]
    fn macros_left_alone_are_recognized() {
        for found in Macro::ALL {
            let plain = format!("${{{}}}", found.name());
            let coded = format!("${{{}:B64}}", found.name());
            assert_eq!((Macro::parse(&plain), Macro::parse(&coded)), (Some(found), Some(found)));
            let encoded = format!("%24%7B{}%7D", found.name());
            let twice = format!("%2524%257b{}%257d", found.name());
            for text in [plain, coded, encoded, twice] {
                assert!(is_unsubstituted(&text), "{text}");
            }
        }
        assert!(is_unsubstituted("${AUCTION_SOMETHING_NEW}") && is_unsubstituted("x${auction_price"));
        for text in ["", "1.25", "AUDIT", "AUCTION_PRICE", "{AUCTION_PRICE}", "$%7", "${PRICE}", "é{AUCTION_"] {
            assert!(!is_unsubstituted(text), "{text}");
        }
        assert_eq!(Macro::parse("${AUCTION_NOTHING}"), None);
    }
}
