//! What an exchange sends back in a notice URL's query.

use std::borrow::Cow;

use super::decimal::scaled_ceil;
use crate::money::Nanos;

/// More of a query than this is not read: our own parameters stand first.
pub const MAX_QUERY: usize = 4_096;
/// Parameters looked at; ours are at most four.
pub const MAX_PARAMS: usize = 64;

/// The parameters of a notice, percent-decoded. Of one given twice the first counts, because ours come before
/// whatever an exchange appends; unknown ones are ignored. Nothing in a query is an error.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct NoticeQuery<'a> {
    /// `p`: the price, as the exchange's price scheme writes it.
    pub price: Option<Cow<'a, str>>,
    /// `c`: its currency.
    pub currency: Option<Cow<'a, str>>,
    /// `x`: the quantity of impressions.
    pub multiplier: Option<Cow<'a, str>>,
    /// `l`: a loss reason.
    pub loss: Option<Cow<'a, str>>,
    /// `m`: the least price that would have won.
    pub min_to_win: Option<Cow<'a, str>>,
}

impl<'a> NoticeQuery<'a> {
    /// Parses the part of a URL after `?`.
    pub fn parse(query: &'a str) -> NoticeQuery<'a> {
        let mut end = query.len().min(MAX_QUERY);
        while !query.is_char_boundary(end) {
            end -= 1;
        }
        let mut found = NoticeQuery::default();
        for pair in query[..end].split('&').take(MAX_PARAMS) {
            let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
            let slot = match name {
                "p" => &mut found.price,
                "c" => &mut found.currency,
                "x" => &mut found.multiplier,
                "l" => &mut found.loss,
                "m" => &mut found.min_to_win,
                _ => continue,
            };
            if slot.is_none() {
                *slot = Some(percent_decode(value));
            }
        }
        found
    }

    /// OpenRTB LossReason; `None` when none was given or it is no number.
    pub fn loss_reason(&self) -> Option<u16> {
        self.loss.as_deref().and_then(|text| text.parse().ok())
    }

    /// `${AUCTION_MIN_TO_WIN}` per impression in the bid's currency; -1 when none was given (section 4.4.1 allows an
    /// empty one) or it is no price.
    pub fn min_to_win(&self) -> Nanos {
        let text = self.min_to_win.as_deref().unwrap_or("");
        Nanos(scaled_ceil(text, 6, super::claim::MAX_CPM.0).unwrap_or(-1))
    }
}

/// Decodes `%41`; a percent sign without two hexadecimal digits and a plus sign stand for themselves. Bytes that are
/// not UTF-8 become the replacement character.
fn percent_decode(text: &str) -> Cow<'_, str> {
    if !text.contains('%') {
        return Cow::Borrowed(text);
    }
    let bytes = text.as_bytes();
    let digit = |at: usize| bytes.get(at).and_then(|byte| char::from(*byte).to_digit(16));
    let mut decoded = Vec::with_capacity(bytes.len());
    let mut at = 0;
    while let Some(&byte) = bytes.get(at) {
        match (byte, digit(at + 1), digit(at + 2)) {
            (b'%', Some(high), Some(low)) => {
                decoded.push((high * 16 + low) as u8);
                at += 3;
            }
            _ => {
                decoded.push(byte);
                at += 1;
            }
        }
    }
    Cow::Owned(String::from_utf8_lossy(&decoded).into_owned())
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn parameters_are_found_and_decoded() {
        let query = NoticeQuery::parse("p=1%2E25&c=USD&utm=x&p=9&x=2.5&l=102&m=1.4&&=&z");
        assert_eq!(query.price.as_deref(), Some("1.25"));
        assert_eq!(query.currency.as_deref(), Some("USD"));
        assert_eq!(query.multiplier.as_deref(), Some("2.5"));
        assert_eq!((query.loss_reason(), query.min_to_win()), (Some(102), Nanos(1_400_000)));
        let odd = NoticeQuery::parse("p=%24%7BAUCTION_PRICE%7D&c&l=abc&m=%ff%4");
        assert_eq!(odd.price.as_deref(), Some("${AUCTION_PRICE}"));
        assert_eq!(odd.currency.as_deref(), Some(""));
        assert_eq!(odd.min_to_win.as_deref(), Some("\u{fffd}%4"));
        assert_eq!((odd.loss_reason(), odd.min_to_win()), (None, Nanos(-1)));
        assert_eq!(NoticeQuery::parse(""), NoticeQuery::default());
        assert_eq!(NoticeQuery::parse("").min_to_win(), Nanos(-1));
        assert_eq!(NoticeQuery::parse("l=70000&p=1e+3").price.as_deref(), Some("1e+3"));
    }

    #[test]
    fn the_length_is_bounded() {
        let late = format!("{}&p=1", "é".repeat(MAX_QUERY));
        assert_eq!(NoticeQuery::parse(&late).price, None);
        let many = format!("{}p=1", "a&".repeat(MAX_PARAMS));
        assert_eq!(NoticeQuery::parse(&many).price, None);
    }

    proptest! {
        #[test]
        fn any_query_is_parsed(query in "\\PC{0,200}") {
            let parsed = NoticeQuery::parse(&query);
            parsed.loss_reason();
            prop_assert!(parsed.min_to_win() >= Nanos(-1));
        }
    }
}
