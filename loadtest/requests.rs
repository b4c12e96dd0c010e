//! Bid requests: each is made from the seed and its number alone, so a seed plans the same traffic whatever happens.

use crate::args::Profile;
use crate::broken::spoil;
use crate::money::push_cpm;
use crate::plan::Plan;
use crate::vocabulary::*;
use fastrand::Rng;
use std::fmt::Write;

/// Users that traffic comes from; the k-th most active one is drawn in proportion to 1/k.
const USERS: f64 = 1_000_000.0;
const DEALS: u32 = 20;
const TAGS: u32 = 5_000;

/// What was asked for: enough to judge the answer and to hold the auction.
#[derive(Debug, Default)]
pub struct Asked {
    pub id: String,
    pub imps: Vec<AskedImp>,
    /// Position in [`Plan::currencies`].
    pub currency: usize,
    pub first_price: bool,
    pub test: bool,
    pub tmax_ms: u32,
    pub sent_ns: u64,
    /// The body is broken and must be answered 400.
    pub broken: bool,
}

/// Imp ids are "1", "2", ... in order.
#[derive(Debug, Default)]
pub struct AskedImp {
    pub floor: i64,
    pub deals: Vec<AskedDeal>,
}

#[derive(Debug)]
pub struct AskedDeal {
    pub number: u32,
    pub floor: i64,
    pub first_price: bool,
}

pub struct Requests {
    seed: u64,
    profile: Profile,
    currencies: Vec<String>,
    malformed: f64,
    test_requests: f64,
}

#[derive(Clone, Copy)]
enum Format {
    Banner,
    Video,
    Native,
}

impl Requests {
    pub fn new(plan: &Plan) -> Requests {
        Requests {
            seed: plan.seed,
            profile: plan.profile,
            currencies: plan.currencies.clone(),
            malformed: plan.malformed,
            test_requests: plan.test_requests,
        }
    }

    /// The body of request `index`, and what it asks for.
    pub fn make(&self, index: u64) -> (Vec<u8>, Asked) {
        // Neighbouring seeds give related first numbers: spread them.
        let mut rng = Rng::with_seed((self.seed ^ index.rotate_left(32)).wrapping_mul(0x9E37_79B9_7F4A_7C15));
        let rng = &mut rng;
        let mut out = String::with_capacity(3072);
        let mut asked = Asked {
            id: format!("{:08x}-{index:08x}-{:04x}", self.seed & 0xffff_ffff, rng.u16(..)),
            currency: rng.usize(..self.currencies.len()),
            first_price: rng.u8(..10) < 3,
            test: self.test_requests > 0.0 && rng.f64() < self.test_requests,
            tmax_ms: *weighted(rng, &TMAX_MS),
            ..Asked::default()
        };
        let currency = &self.currencies[asked.currency];
        let (at, test) = (if asked.first_price { 1 } else { 2 }, if asked.test { "\"test\":1," } else { "" });
        let _ = write!(
            out,
            "{{\"id\":\"{}\",{test}\"at\":{at},\"tmax\":{},\"cur\":[\"{currency}\"],\"imp\":[",
            asked.id, asked.tmax_ms
        );
        let (format, imps, deals) = match self.profile {
            Profile::Banner => (Format::Banner, 1, 0),
            Profile::Mixed => match rng.u8(..100) {
                0..55 => (Format::Banner, 1, 0),
                55..73 => (Format::Banner, rng.u32(2..=4), 0),
                73..83 => (Format::Video, 1, 0),
                83..91 => (Format::Native, 1, 0),
                _ => (Format::Banner, 1, rng.u32(1..=3)),
            },
        };
        let device = pick(rng, &DEVICES, |device| device.weight);
        let in_app = match device.kind {
            "3" => true,
            "2" => false,
            _ => rng.u8(..100) < 55,
        };
        for number in 1..=imps {
            if number > 1 {
                out.push(',');
            }
            asked.imps.push(push_imp(&mut out, rng, number, format, deals, currency));
        }
        out.push_str("],");
        push_publisher(&mut out, rng, in_app);
        let place = pick(rng, &PLACES, |place| place.weight);
        push_device(&mut out, rng, device, place, in_app);
        push_rules(&mut out, rng, place);
        out.push('}');
        let mut body = out.into_bytes();
        if self.malformed > 0.0 && rng.f64() < self.malformed {
            asked.broken = true;
            spoil(&mut body, rng);
        }
        (body, asked)
    }
}

fn push_imp(out: &mut String, rng: &mut Rng, number: u32, format: Format, deals: u32, currency: &str) -> AskedImp {
    let mut imp = AskedImp { floor: *weighted(rng, &FLOORS), deals: Vec::new() };
    if imp.floor > 0 && rng.bool() {
        // Floors that are not round, with all six decimals.
        imp.floor += rng.i64(0..imp.floor);
    }
    let _ = write!(out, "{{\"id\":\"{number}\",\"tagid\":\"slot-{}\",\"secure\":1,", rng.u32(..TAGS));
    if imp.floor > 0 || rng.bool() {
        out.push_str("\"bidfloor\":");
        push_cpm(out, imp.floor);
        let _ = write!(out, ",\"bidfloorcur\":\"{currency}\",");
    }
    if deals > 0 {
        out.push_str("\"pmp\":{\"private_auction\":0,\"deals\":[");
        let first = rng.u32(..DEALS);
        for offset in 0..deals {
            let deal = AskedDeal {
                number: (first + offset) % DEALS + 1,
                floor: imp.floor + 100_000 * rng.i64(1..=5),
                first_price: rng.bool(),
            };
            let (comma, at) = (if offset > 0 { "," } else { "" }, if deal.first_price { 1 } else { 2 });
            let _ = write!(out, "{comma}{{\"id\":\"deal-{}\",\"at\":{at},\"bidfloor\":", deal.number);
            push_cpm(out, deal.floor);
            let _ = write!(out, ",\"bidfloorcur\":\"{currency}\"}}");
            imp.deals.push(deal);
        }
        out.push_str("]},");
    }
    match format {
        Format::Banner => {
            let (_, w, h) = pick(rng, &SIZES, |size| size.0);
            let (_, second_w, second_h) = pick(rng, &SIZES, |size| size.0);
            let _ = write!(out, "\"banner\":{{\"w\":{w},\"h\":{h},\"pos\":{},\"format\":[", rng.u8(0..=3));
            let _ = write!(out, "{{\"w\":{w},\"h\":{h}}}");
            if (w, h) != (second_w, second_h) && rng.bool() {
                let _ = write!(out, ",{{\"w\":{second_w},\"h\":{second_h}}}");
            }
            out.push_str("],\"battr\":[1,3,8,10],\"api\":[3,5,7],\"topframe\":1}}");
        }
        Format::Video => {
            out.push_str(VIDEO);
            out.push('}');
        }
        Format::Native => {
            out.push_str(NATIVE);
            out.push('}');
        }
    }
    imp
}

fn push_publisher(out: &mut String, rng: &mut Rng, in_app: bool) {
    let publisher = rng.u16(1..200);
    if in_app {
        let (bundle, category) = APPS[rng.usize(..APPS.len())];
        let _ = write!(
            out,
            "\"app\":{{\"id\":\"app-{publisher}\",\"name\":\"{bundle}\",\"bundle\":\"{bundle}\",\"ver\":\"{}.{}\",\
             \"storeurl\":\"https://store.example/apps/{bundle}\",\"cat\":[\"{category}\"],\"privacypolicy\":1,\
             \"paid\":0,\"publisher\":{{\"id\":\"pub-{publisher}\",\"name\":\"Publisher {publisher}\"}},\
             \"content\":{{\"language\":\"en\"}}}},",
            rng.u8(1..9),
            rng.u8(..30)
        );
    } else {
        let (domain, category) = SITES[rng.usize(..SITES.len())];
        let page = rng.u32(..100_000);
        let _ = write!(
            out,
            "\"site\":{{\"id\":\"site-{publisher}\",\"name\":\"{domain}\",\"domain\":\"{domain}\",\"cat\":[\"{category}\"],\
             \"page\":\"https://{domain}/articles/{page}?utm_source=feed&id={page}\",\
             \"ref\":\"https://search.example/?q={page}\",\"mobile\":1,\"privacypolicy\":1,\
             \"publisher\":{{\"id\":\"pub-{publisher}\",\"name\":\"Publisher {publisher}\",\"domain\":\"{domain}\"}}}},"
        );
    }
}

fn push_device(out: &mut String, rng: &mut Rng, device: &Device, place: &Place, in_app: bool) {
    // exp(u ln N) is distributed as 1/k: a few users are seen often, most hardly ever.
    let user = (rng.f64() * USERS.ln()).exp() as u64;
    // The same user always has the same id, whatever the seed.
    let (high, low) = (user.wrapping_mul(0x9E37_79B9_7F4A_7C15), user.wrapping_mul(0xD1B5_4A32_D192_ED03));
    let ip: [u8; 3] = [rng.u8(1..=223), rng.u8(..), rng.u8(..)];
    let _ = write!(
        out,
        "\"device\":{{\"ua\":\"{}\",\"ip\":\"{}.{}.{}.0\",\"devicetype\":{},\"make\":\"{}\",\"model\":\"{}\",\"os\":\"{}\",\
         \"osv\":\"{}\",\"w\":{},\"h\":{},\"js\":1,\"language\":\"{}\",\"connectiontype\":{},\"dnt\":0,\"lmt\":0,",
        device.ua,
        ip[0],
        ip[1],
        ip[2],
        device.kind,
        device.make,
        device.model,
        device.os,
        device.os_version,
        device.w,
        device.h,
        place.language,
        if device.kind == "4" { rng.u8(2..=6) } else { 2 },
    );
    if device.kind == "4" {
        let _ = write!(out, "\"mccmnc\":\"{}\",", CARRIERS[rng.usize(..CARRIERS.len())]);
    }
    let _ = write!(
        out,
        "\"ifa\":\"{:08x}-{:04x}-4{:03x}-{:04x}-{:012x}\",\"geo\":{{\"lat\":{},\"lon\":{},\"type\":2,\"country\":\"{}\",\
         \"region\":\"{}\",\"city\":\"{}\",\"utcoffset\":{}}}}},",
        high >> 32,
        (high >> 16) & 0xffff,
        high & 0xfff,
        0x8000 | (low >> 50),
        low & 0xffff_ffff_ffff,
        place.lat,
        place.lon,
        place.country,
        place.region,
        place.city,
        place.utc_offset,
    );
    let (consent_open, consent, consent_close) =
        if place.gdpr { (",\"consent\":\"", CONSENT, "\"") } else { ("", "", "") };
    let _ = write!(
        out,
        "\"user\":{{\"id\":\"u-{:016x}\"{consent_open}{consent}{consent_close}",
        if in_app { low } else { high }
    );
    if rng.u8(..10) < 3 {
        let _ = write!(
            out,
            ",\"yob\":{},\"data\":[{{\"id\":\"dp-1\",\"name\":\"segments\",\"segment\":[{{\"id\":\"s{}\"}},{{\"id\":\"s{}\"}}]}}]",
            rng.u16(1950..2008),
            rng.u8(1..50),
            rng.u8(1..50)
        );
    }
    out.push_str("},");
}

fn push_rules(out: &mut String, rng: &mut Rng, place: &Place) {
    let privacy = match place.country {
        "USA" => ",\"us_privacy\":\"1YNN\"",
        _ => "",
    };
    let _ = write!(out, "\"regs\":{{\"coppa\":0,\"gdpr\":{}{privacy}}},", u8::from(place.gdpr));
    push_list(out, "bcat", &BLOCKED_CATEGORIES, rng.usize(0..=BLOCKED_CATEGORIES.len()));
    push_list(out, "badv", &BLOCKED_ADVERTISERS, rng.usize(0..=BLOCKED_ADVERTISERS.len()));
    let _ = write!(
        out,
        "\"source\":{{\"fd\":0,\"tid\":\"{:016x}{:016x}\",\"schain\":{{\"ver\":\"1.0\",\"complete\":1,\"nodes\":[\
         {{\"asi\":\"exchange.example\",\"sid\":\"pub-{}\",\"hp\":1}}]}}}}",
        rng.u64(..),
        rng.u64(..),
        rng.u16(1..200)
    );
}

fn push_list(out: &mut String, name: &str, values: &[&str], count: usize) {
    if count == 0 {
        return;
    }
    let _ = write!(out, "\"{name}\":[");
    for (position, value) in values[..count].iter().enumerate() {
        let _ = write!(out, "{}\"{value}\"", if position > 0 { "," } else { "" });
    }
    out.push_str("],");
}

pub fn pick<'a, T>(rng: &mut Rng, items: &'a [T], weight: impl Fn(&T) -> u32) -> &'a T {
    let whole: u32 = items.iter().map(&weight).sum();
    let mut left = rng.u32(..whole);
    for item in items {
        let weight = weight(item);
        if left < weight {
            return item;
        }
        left -= weight;
    }
    unreachable!("the draw is below the sum of the weights")
}

fn weighted<'a, T>(rng: &mut Rng, items: &'a [(u32, T)]) -> &'a T {
    &pick(rng, items, |(weight, _)| *weight).1
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plan::test_plan;
    use serde_json::Value;
    use std::collections::HashSet;

    fn requests(arguments: &[&str]) -> Requests {
        Requests::new(&test_plan(arguments).expect("plan"))
    }

    #[test]
    fn requests_are_valid_and_say_what_was_asked() {
        let requests =
            requests(&["--profile", "mixed", "--seed", "5", "--currency", "USD,EUR", "--test-requests", "0.1"]);
        let (mut bytes, mut several, mut deals, mut tests) = (0, 0, 0, 0);
        for index in 0..2000 {
            let (body, asked) = requests.make(index);
            bytes += body.len();
            let value: Value = serde_json::from_slice(&body).expect("JSON");
            assert_eq!(value["id"], asked.id.as_str());
            let imps = value["imp"].as_array().expect("imps");
            assert_eq!(imps.len(), asked.imps.len());
            several += usize::from(imps.len() > 1);
            tests += usize::from(asked.test);
            assert_eq!(asked.test, value["test"] == 1);
            assert!(value["site"].is_object() != value["app"].is_object());
            for (imp, asked_imp) in imps.iter().zip(&asked.imps) {
                let floor = imp["bidfloor"].as_f64().unwrap_or(0.0);
                assert!((floor - asked_imp.floor as f64 / 1e6).abs() < 1e-9, "{floor} {} {imp}", asked_imp.floor);
                assert_eq!(imp["pmp"]["deals"].as_array().map_or(0, Vec::len), asked_imp.deals.len());
                deals += asked_imp.deals.len();
            }
        }
        assert!(several > 100 && deals > 100 && tests > 100);
        assert!((1000..3000).contains(&(bytes / 2000)), "{} bytes on average", bytes / 2000);
    }

    #[test]
    fn a_seed_plans_the_same_traffic() {
        let (one, same, other) = (requests(&["--seed", "1"]), requests(&["--seed", "1"]), requests(&["--seed", "2"]));
        let ids: HashSet<String> = (0..1000).map(|index| one.make(index).1.id).collect();
        assert_eq!(ids.len(), 1000);
        for index in 0..50 {
            assert_eq!(one.make(index).0, same.make(index).0);
            assert_ne!(one.make(index).0, other.make(index).0);
        }
    }

    #[test]
    fn users_come_back() {
        let requests = requests(&["--seed", "1"]);
        let users: Vec<String> = (0..3000)
            .map(|index| {
                let value: Value = serde_json::from_slice(&requests.make(index).0).expect("JSON");
                value["device"]["ifa"].as_str().expect("ifa").to_owned()
            })
            .collect();
        assert!(users.iter().all(|user| user.len() == 36));
        let distinct = users.iter().collect::<HashSet<_>>().len();
        assert!((1000..2800).contains(&distinct), "{distinct}");
    }
}
