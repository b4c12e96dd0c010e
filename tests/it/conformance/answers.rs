//! Lines 22 to 25, 28 to 30, 37 to 39: what a response says.

use std::collections::HashSet;

use serde_json::{Value, json};

use super::Check;
use super::bodies::bid;
use super::target::{Target, lossy, parse, text};
use crate::make::{banner, request, with, with_imp};

/// Spellings of an id that JSON allows, each of a different text.
const IDS: [&str; 14] = [
    r#""plain""#,
    r#""a\"b\\c""#,
    r#""\u00e9\ud83d\ude00""#,
    "\"è😁\"",
    "\"\u{7f}\u{80}\u{2028}\u{2029}\"",
    r#""\/x\t\b\f\n\r""#,
    r#""\u0000\u001f""#,
    "\"<&'>\"",
    "\" \"",
    r#""\u0061""#,
    "\"0\"",
    "\"-1e5\"",
    "\"null\"",
    "\"${AUCTION_ID}%22\"",
];

/// Section 4.2.1.
pub fn request_id(t: &Target) -> Check {
    t.any_bid(&request())?;
    let long = format!("\"{}\"", "é\u{1f600}\\u00e9".repeat(2_000));
    for id in IDS.into_iter().chain([long.as_str()]) {
        for spaced in [id.to_owned(), format!(" {id} ")] {
            let body = request().to_string().replace("\"r-1\"", &spaced);
            let answer = bid(&mut t.connect(), &[], body.as_bytes())?;
            ensure!(answer.status == 200, "the id {id:.60} is {}", answer.status);
            let start = format!("{{\"id\":{id},");
            ensure!(answer.body.starts_with(start.as_bytes()), "the id {id:.60} became {:.90}", lossy(&answer));
            parse(&answer)?;
        }
    }
    Ok(())
}

/// Section 4.2.3.
pub fn impid(t: &Target) -> Check {
    t.any_bid(&request())?;
    // One object each, spelled as here; some of a size that nobody has.
    let imps = IDS.iter().enumerate().map(|(i, id)| {
        let (w, h) = if i % 3 == 0 { (301, 251) } else { (300, 250) };
        format!("{{\"id\":{id},\"banner\":{{\"w\":{w},\"h\":{h}}}}}")
    });
    let imps: Vec<String> = imps.collect();
    let body = request().to_string();
    let start = body.find("\"imp\":[").ok_or("the test is wrong")?;
    let end = start + body[start..].find(']').ok_or("the test is wrong")?;
    let body = format!("{}\"imp\":[{}{}", &body[..start], imps.join(","), &body[end..]);
    let asked: Value = serde_json::from_str(&body).map_err(|e| e.to_string())?;
    let answer = t.post(&body)?;
    let response = super::target::response(&answer, &asked)?.ok_or("no bid")?;
    let bids = response["seatbid"].as_array().into_iter().flatten().flat_map(|s| s["bid"].as_array().into_iter());
    let mut seen = HashSet::new();
    for bid in bids.flatten() {
        let at = IDS.iter().position(|id| serde_json::from_str::<Value>(id).is_ok_and(|id| id == bid["impid"]));
        let at = at.ok_or_else(|| format!("impid {} is not one of the request's", bid["impid"]))?;
        ensure!(lossy(&answer).contains(&format!("\"impid\":{}", IDS[at])), "{} is spelled anew", IDS[at]);
        seen.insert(at);
    }
    ensure!(seen.len() >= 2, "{} impressions were answered", seen.len());
    Ok(())
}

/// Section 4.2.3; exchanges take at most 128 bytes of crid.
pub fn bid_ids(t: &Target) -> Check {
    let longest = "c".repeat(128);
    t.put_one(json!({"creatives": [banner(&longest)]}))?;
    let bid = t.bid(&t.request())?;
    ensure!(bid["crid"] == longest.as_str(), "a crid of 128 bytes became {}", bid["crid"]);
    let mut seen = HashSet::new();
    for _ in 0..200 {
        for bid in t.ours(&t.request())? {
            for field in ["id", "nurl", "burl", "lurl"] {
                ensure!(seen.insert(text(&bid, field)?.to_owned()), "{field} comes twice: {bid}");
            }
        }
    }
    ensure!(seen.len() >= 400, "only {} bids", seen.len() / 4);
    let longer = banner(&"c".repeat(129));
    ensure!(t.put(&t.campaign("b", json!({"creatives": [longer]}))).is_err(), "a crid of 129 bytes is taken");
    Ok(())
}

/// Hundredths of a cent of USD that one unit is worth: the rates of the configuration.
fn rate(currency: &str) -> i128 {
    match currency {
        "EUR" => 10_850,
        "JPY" => 67,
        _ => 10_000,
    }
}

/// A CPM in millionths.
fn millionths(value: &Value) -> Result<i128, String> {
    let text = value.to_string();
    let (whole, fraction) = text.split_once('.').unwrap_or((&text, "0"));
    ensure!(fraction.len() <= 6 && !text.contains(['e', 'E']), "a price of {text}");
    let digits = format!("{whole}{fraction:0<6}");
    digits.parse().map_err(|_| format!("a price of {text}"))
}

/// Sections 3.2.4 and 4.2.3, by exact arithmetic: there is a bid if and only if the price reaches the floor.
pub fn price_and_floor(t: &Target) -> Check {
    t.put_one(json!({}))?;
    t.bid(&t.request())?;
    let currencies: &[&str] = if t.own().is_some() { &["USD", "EUR", "JPY"] } else { &["USD"] };
    let mut rng = fastrand::Rng::with_seed(25);
    let (mut bids, mut none) = (0, 0);
    for i in 0..600 {
        let [cur, floor_cur] = [(); 2].map(|()| currencies[rng.usize(..currencies.len())]);
        // The price of 9.00 USD in the floor's currency, and something around it.
        let nine = 9_000_000 * 10_000 / rate(floor_cur);
        let floor = match i % 4 {
            0 => nine + rng.i128(-20..=20),
            1 => rng.i128(0..=nine * 2),
            2 => nine - nine / 50,
            _ => nine + nine / 50,
        };
        let typed: Value = serde_json::from_str(&format!("{}.{:06}", floor / 1_000_000, floor % 1_000_000)).unwrap();
        let asked = with(t.request(), json!({"cur": [cur]}));
        let asked = with_imp(asked, json!({"bidfloor": typed, "bidfloorcur": floor_cur}));
        let reaches = |price: i128| price * rate(cur) >= floor * rate(floor_cur);
        match t.ours(&asked)?.first() {
            Some(bid) => {
                let price = millionths(&bid["price"])?;
                ensure!(price > 0 && reaches(price), "{price} {cur} for a floor of {floor} {floor_cur}");
                bids += 1;
            }
            None => {
                let price = 9_000_000 * 10_000 / rate(cur);
                // What floats make of the floor is up to a millionth.
                ensure!(!reaches(price - 1), "no bid of {price} {cur} for a floor of {floor} {floor_cur}");
                none += 1;
            }
        }
    }
    ensure!(bids > 100 && none > 100, "{bids} bids, {none} no-bids");
    let unknown = with_imp(t.request(), json!({"bidfloor": 0.01, "bidfloorcur": "XXX"}));
    t.no_bid(&unknown)?;
    t.bid(&t.request()).map(drop)
}

/// Sections 3.2.1 and 4.2.1.
pub fn currency(t: &Target) -> Check {
    t.put_one(json!({}))?;
    t.bid(&t.request())?;
    let own = t.own().is_some();
    for (cur, want) in [
        (json!(null), Some("USD")),
        (json!([]), Some("USD")),
        (json!(["USD"]), Some("USD")),
        (json!(["XXX", "USD"]), Some("USD")),
        (json!(["XXX"]), None),
        (json!(["EUR"]), own.then_some("EUR")),
        (json!(["EUR", "USD"]), Some(if own { "EUR" } else { "USD" })),
        (json!(["JPY", "XXX"]), own.then_some("JPY")),
    ] {
        let asked = with(t.request(), json!({"cur": cur}));
        let seen = t.ask(&asked)?.map(|response| response["cur"].as_str().unwrap_or_default().to_owned());
        ensure!(seen.as_deref() == want, "cur {cur} is answered in {seen:?}");
    }
    Ok(())
}

/// Section 3.2.1, `wseat` and `bseat`.
pub fn seat(t: &Target) -> Check {
    t.put_one(json!({}))?;
    t.bid(&t.request())?;
    let response = t.ask(&t.request())?.ok_or("no bid")?;
    let seat = text(&response["seatbid"][0], "seat")?.to_owned();
    for (patch, bids) in [
        (json!({"wseat": [seat]}), true),
        (json!({"wseat": ["another", seat]}), true),
        (json!({"wseat": ["another"]}), false),
        (json!({"wseat": [format!("{seat}x"), seat.to_uppercase()]}), false),
        (json!({"wseat": []}), true),
        (json!({"bseat": [seat]}), false),
        (json!({"bseat": ["another"]}), true),
        (json!({"wseat": [seat], "bseat": [seat]}), false),
    ] {
        let found = t.ask(&with(t.request(), patch.clone()))?;
        ensure!(found.is_some() == bids, "{patch} is answered with {found:?}");
        ensure!(found.is_none_or(|f| f["seatbid"][0]["seat"] == seat.as_str()), "{patch} changes the seat");
    }
    Ok(())
}

/// Sections 3.2.1, 3.2.4 and 3.2.6; `cattax` says which taxonomy `bcat` is of.
pub fn blocks(t: &Target) -> Check {
    let creative = json!([{"id": "c", "type": "banner", "w": 300, "h": 250, "adm": "<i>ad</i>",
        "adomain": ["ads.acme.example"], "bundle": "com.acme.app", "cat": ["IAB2-3", "IAB22"], "attr": [3]}]);
    t.put_one(json!({"creatives": creative}))?;
    let bid = t.bid(&t.request())?;
    ensure!(bid["adomain"] == json!(["ads.acme.example"]), "adomain is {}", bid["adomain"]);
    ensure!(bid["bundle"] == "com.acme.app", "bundle is {}", bid["bundle"]);
    let battr = |battr: Value| json!({"imp": [{"id": "1", "banner": {"w": 300, "h": 250, "battr": battr}}]});
    for (patch, bids) in [
        (json!({"badv": ["ads.acme.example"]}), false),
        (json!({"badv": ["acme.example"]}), false),
        (json!({"badv": ["ACME.example"]}), false),
        (json!({"badv": ["www.acme.example"]}), false),
        (json!({"badv": ["x.ads.acme.example", "me.example", "acme.com"]}), true),
        (json!({"bapp": ["com.acme.app"]}), false),
        (json!({"bapp": ["com.acme", "app"]}), true),
        (battr(json!([1, 3])), false),
        (battr(json!([1, 2, 4])), true),
        // Content taxonomy 1.0: a parent blocks its children.
        (json!({"bcat": ["IAB2-3"]}), false),
        (json!({"bcat": ["IAB2"]}), false),
        (json!({"bcat": ["IAB2"], "cattax": 1}), false),
        (json!({"bcat": ["IAB22"]}), false),
        (json!({"bcat": ["IAB2-4", "IAB22-1", "IAB23"]}), true),
        // 2.0 and 3.0: 1 is Automotive, 473 Shopping, 483 Sports.
        (json!({"bcat": ["1"], "cattax": 2}), false),
        (json!({"bcat": ["473"], "cattax": 2}), false),
        (json!({"bcat": ["473"], "cattax": 6}), false),
        (json!({"bcat": ["1"], "cattax": 7}), false),
        (json!({"bcat": ["483"], "cattax": 2}), true),
        (json!({"bcat": ["483"], "cattax": 6}), true),
        (json!({"bcat": ["483"], "cattax": 7}), true),
        // Nobody knows what these mean, so anything may be meant.
        (json!({"bcat": ["x"], "cattax": 2}), false),
        (json!({"bcat": ["1"], "cattax": 501}), false),
    ] {
        let ours = t.ours(&with(t.request(), patch.clone()))?;
        ensure!(ours.is_empty() != bids, "{patch}: {} bids", ours.len());
    }
    Ok(())
}

/// Every number of a response must be one that any JSON reader takes, and nothing is null.
fn is_plain(text: &str) -> Check {
    fn walk(value: &Value) -> bool {
        match value {
            Value::Null => false,
            Value::Array(list) => !list.is_empty() && list.iter().all(walk),
            Value::Object(map) => map.values().all(walk),
            _ => true,
        }
    }
    let whole: Value = serde_json::from_str(text).map_err(|e| e.to_string())?;
    ensure!(walk(&whole), "a null or an empty list in {text}");
    for price in text.split("\"price\":").skip(1) {
        let price = price.split([',', '}']).next().unwrap_or_default();
        let digits = price.split('.').all(|part| !part.is_empty() && part.bytes().all(|b| b.is_ascii_digit()));
        ensure!(digits && price.matches('.').count() <= 1, "a price of {price}");
    }
    Ok(())
}

pub fn plain_json(t: &Target) -> Check {
    let prices = ["0.000001", "0.1", "1.00", "9.999999", "12345.678901", "99999.00"];
    // A size that nobody else has, for the lowest price would win nothing.
    let creative = with(banner("odd"), json!({"w": 311, "h": 241}));
    let asked = with(t.request(), json!({"imp": [{"id": "1", "banner": {"w": 311, "h": 241}}]}));
    for (i, price) in prices.iter().enumerate() {
        t.put(&t.campaign(&format!("p{i}"), json!({"bid": {"price": price}, "creatives": [creative]})))?;
        t.bid(&asked)?;
        // The newest is worth most, so each price is seen.
        let started = std::time::Instant::now();
        loop {
            let answer = t.post(asked.to_string())?;
            ensure!(matches!(answer.status, 200 | 204), "{}", answer.status);
            if answer.status == 200 {
                is_plain(&lossy(&answer))?;
                let bid = &parse(&answer)?["seatbid"][0]["bid"][0];
                if bid["cid"] == t.id(&format!("p{i}")) {
                    ensure!(bid["price"].as_f64() == price.parse().ok(), "{price} became {}", bid["price"]);
                    break;
                }
            }
            ensure!(started.elapsed().as_secs() < 5, "no bid of {price}");
            std::thread::sleep(std::time::Duration::from_millis(5));
        }
    }
    Ok(())
}

/// Section 4.2.3.
pub fn exp(t: &Target) -> Check {
    t.put_one(json!({}))?;
    t.bid(&t.request())?;
    for exp in [1, 30, 3_600, 86_400, i64::from(u32::MAX)] {
        let bid = t.bid(&with_imp(t.request(), json!({"exp": exp})))?;
        let told = bid["exp"].as_i64().unwrap_or(i64::MAX);
        ensure!((1..=exp).contains(&told), "exp {told} for {exp}");
    }
    for odd in [json!(0), json!(-1), json!(null)] {
        let bid = t.bid(&with_imp(t.request(), json!({"exp": odd})))?;
        ensure!(bid["exp"].as_i64().is_some_and(|exp| exp > 0), "exp {} for {odd}", bid["exp"]);
    }
    Ok(())
}

/// Section 4.2.1.
pub fn body_no_bid(t: &Target) -> Check {
    for (patch, id) in [(json!({}), "r-1"), (json!({"id": "\u{e9}\"x"}), "\u{e9}\"x")] {
        let asked = with(with_imp(t.request(), json!({"bidfloor": 1e6})), patch);
        let answer = t.send("POST", "/openrtb2/bodies", asked.to_string().as_bytes())?;
        ensure!(answer.status == 200, "a no-bid with a body is {}", answer.status);
        let body = parse(&answer)?;
        ensure!(body["id"] == id && body["nbr"].is_u64(), "a no-bid with a body is {body}");
        ensure!(body.as_object().is_some_and(|o| o.len() == 2), "a no-bid with a body is {body}");
        let elsewhere = t.post(asked.to_string())?;
        ensure!(elsewhere.status == 204 && elsewhere.body.is_empty(), "where it is not configured: {elsewhere:?}");
    }
    let late = with(t.request(), json!({"tmax": 1}));
    let answer = t.send("POST", "/openrtb2/bodies", late.to_string().as_bytes())?;
    ensure!(parse(&answer)?["nbr"] == 15, "no time is {}", lossy(&answer));
    let broken = t.send("POST", "/openrtb2/bodies", b"{")?;
    ensure!(broken.status == 400 && broken.body.is_empty(), "a broken request is {broken:?}");
    Ok(())
}
