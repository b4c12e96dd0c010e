//! The `${AUCTION_*}` macros of notice URLs (OpenRTB 2.6, section 4.4), filled in as an exchange does.

/// What each macro becomes. `price: None` leaves the price macro as it stands.
#[derive(Clone, Copy, Debug, Default)]
pub struct Values<'a> {
    pub auction_id: &'a str,
    pub bid_id: &'a str,
    pub imp_id: &'a str,
    pub seat_id: &'a str,
    pub ad_id: &'a str,
    pub price: Option<&'a str>,
    pub currency: &'a str,
    pub market_ratio: &'a str,
    pub loss: &'a str,
    pub min_to_win: &'a str,
    pub multiplier: &'a str,
    pub imp_ts: &'a str,
}

impl Values<'_> {
    fn get(&self, name: &str) -> Option<&str> {
        Some(match name {
            "ID" => self.auction_id,
            "BID_ID" => self.bid_id,
            "IMP_ID" => self.imp_id,
            "SEAT_ID" => self.seat_id,
            "AD_ID" => self.ad_id,
            "PRICE" => return self.price,
            "CURRENCY" => self.currency,
            "MBR" => self.market_ratio,
            "LOSS" => self.loss,
            "MIN_TO_WIN" => self.min_to_win,
            "MULTIPLIER" => self.multiplier,
            "IMP_TS" => self.imp_ts,
            _ => return None,
        })
    }
}

/// Fills in every known macro of `url`; unknown ones stay, as they do at an exchange that lacks them.
pub fn substitute(url: &str, values: &Values) -> String {
    const OPEN: &str = "${AUCTION_";
    let mut out = String::with_capacity(url.len() + 64);
    let mut rest = url;
    while let Some(start) = rest.find(OPEN) {
        let (before, from_macro) = rest.split_at(start);
        out.push_str(before);
        let Some(length) = from_macro.find('}') else {
            rest = from_macro;
            break;
        };
        match values.get(&from_macro[OPEN.len()..length]) {
            Some(value) => push_encoded(&mut out, value),
            None => out.push_str(&from_macro[..=length]),
        }
        rest = &from_macro[length + 1..];
    }
    out.push_str(rest);
    out
}

/// Percent-encodes everything that is not unreserved in RFC 3986.
pub fn push_encoded(out: &mut String, value: &str) {
    for byte in value.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
            out.push(char::from(byte));
        } else {
            const HEX: &[u8; 16] = b"0123456789ABCDEF";
            out.push('%');
            out.push(char::from(HEX[usize::from(byte >> 4)]));
            out.push(char::from(HEX[usize::from(byte & 15)]));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fills_in_every_macro() {
        let values = Values {
            auction_id: "a1",
            bid_id: "b 2",
            imp_id: "1",
            seat_id: "seat",
            ad_id: "cr-1",
            price: Some("1.25"),
            currency: "USD",
            market_ratio: "0.5",
            loss: "102",
            min_to_win: "1.26",
            multiplier: "1",
            imp_ts: "1700000000000",
        };
        let url = "https://x/n?a=${AUCTION_ID}&b=${AUCTION_BID_ID}&i=${AUCTION_IMP_ID}&s=${AUCTION_SEAT_ID}\
                   &d=${AUCTION_AD_ID}&p=${AUCTION_PRICE}&c=${AUCTION_CURRENCY}&r=${AUCTION_MBR}&l=${AUCTION_LOSS}\
                   &m=${AUCTION_MIN_TO_WIN}&x=${AUCTION_MULTIPLIER}&t=${AUCTION_IMP_TS}";
        assert_eq!(
            substitute(url, &values),
            "https://x/n?a=a1&b=b%202&i=1&s=seat&d=cr-1&p=1.25&c=USD&r=0.5&l=102&m=1.26&x=1&t=1700000000000"
        );
    }

    #[test]
    fn leaves_what_it_does_not_know() {
        let values = Values { price: None, currency: "EUR", ..Values::default() };
        assert_eq!(
            substitute("p=${AUCTION_PRICE}&c=${AUCTION_CURRENCY}", &values),
            "p=${AUCTION_PRICE}&c=EUR",
            "an unsubstituted price"
        );
        assert_eq!(substitute("${AUCTION_NEW}&${AUCTION_ID", &values), "${AUCTION_NEW}&${AUCTION_ID");
        assert_eq!(substitute("/plain", &values), "/plain");
    }
}
