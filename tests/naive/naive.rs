//! Who may bid, and what it is worth: read from the JSON of campaign and request as DESIGN and OpenRTB 2.6 word it, one
//! campaign after the other, without anything that gavel makes of them.

use serde_json::Value;

/// What a campaign may bid for one impression or deal.
#[derive(Debug)]
pub struct Offer {
    /// In USD, rounded down: what campaigns are compared by.
    pub value: i128,
    /// Nanos per impression in the bid's currency.
    pub price: i128,
    /// Set aside in the campaign's currency.
    pub reserved: i128,
    /// Positions of the creatives that fit.
    pub creatives: Vec<usize>,
}

/// What else is known.
pub struct World<'a> {
    /// The price of one unit in USD, in nanos.
    pub rates: &'a [(&'a str, i128)],
    pub exchange: &'a str,
    pub now_ms: i64,
    /// Booked impressions: campaign, user, when.
    pub shown: &'a [(String, String, i64)],
}

/// What a bid is for.
#[derive(Clone, Copy)]
pub struct Want<'a> {
    pub imp: &'a Value,
    pub deal: Option<&'a Value>,
}

/// One thing that a campaign, or a creative, must meet.
type Met = Option<()>;

fn met(holds: bool) -> Met {
    holds.then_some(())
}

fn list(v: &Value) -> impl Iterator<Item = &Value> + Clone {
    v.as_array().map_or(&[][..], Vec::as_slice).iter()
}

fn texts(v: &Value) -> Vec<&str> {
    list(v).filter_map(Value::as_str).collect()
}

fn is_empty(v: &Value) -> bool {
    list(v).next().is_none()
}

/// `2.5` per thousand as 2,500,000 nanos per impression: all have at most six decimals.
fn nanos(cpm: &str) -> i128 {
    let (whole, fraction) = cpm.split_once('.').unwrap_or((cpm, ""));
    let digits = format!("{whole}{fraction:0<6}");
    digits.parse().unwrap_or_else(|_| panic!("{cpm} has more than six decimals"))
}

/// Include (empty: any) and exclude, by what `is` says of one entry.
fn allowed(lists: &Value, is: impl Fn(&str) -> bool) -> Met {
    let named = |key: &str| texts(&lists[key]).into_iter().any(&is);
    met((is_empty(&lists["include"]) || named("include")) && !named("exclude"))
}

fn host(name: &str) -> String {
    let name = name.to_lowercase();
    let name = name.strip_suffix('.').unwrap_or(&name);
    name.strip_prefix("www.").unwrap_or(name).to_owned()
}

/// Whether `name` is `of` or lies in it.
fn lies_in(name: &str, of: &str) -> bool {
    name == of || name.strip_suffix(of).is_some_and(|head| head.ends_with('.'))
}

/// `IAB7-3` belongs to `IAB7`.
fn belongs_to(category: &str, of: &str) -> bool {
    category == of || category.split_once('-').is_some_and(|(parent, _)| parent == of)
}

/// Hour of the week in `zone`, 0 is Monday 00:00; in November nobody there saves daylight.
fn hour_of_week(zone: &str, now_ms: i64) -> i64 {
    let minutes = match zone {
        "Asia/Tokyo" => 9 * 60,
        "Asia/Kolkata" => 5 * 60 + 30,
        "America/New_York" => -5 * 60,
        _ => 0,
    };
    // 1 January 1970 was a Thursday.
    ((now_ms / 60_000 + minutes) / 60 + 3 * 24).rem_euclid(168)
}

/// Days are in November or December 2026: `2026-11-20T12:00:00Z`.
fn instant_ms(text: &str) -> i64 {
    const NOVEMBER: i64 = 1_793_491_200_000;
    let number = |at: std::ops::Range<usize>| text[at].parse::<i64>().unwrap_or_else(|_| panic!("{text}"));
    let days = (number(5..7) - 11) * 30 + number(8..10) - 1;
    NOVEMBER + ((days * 24 + number(11..13)) * 60 + number(14..16)) * 60_000
}

fn is_personal(request: &Value) -> bool {
    let said = |v: &Value| v.as_i64() == Some(1);
    // Nobody has consented under GDPR to anything.
    !said(&request["regs"]["coppa"]) && !said(&request["regs"]["gdpr"]) && !said(&request["device"]["lmt"])
}

impl World<'_> {
    fn rate(&self, currency: &str) -> Option<i128> {
        self.rates.iter().find(|(name, _)| *name == currency).map(|(_, rate)| *rate)
    }

    /// The currency that bids are in; none if the seat may not bid, or we know no rate.
    pub fn currency<'r>(&self, request: &'r Value) -> Option<&'r str> {
        let seats = |key: &str| texts(&request[key]).contains(&"gavel");
        met((is_empty(&request["wseat"]) || seats("wseat")) && !seats("bseat"))?;
        if is_empty(&request["cur"]) {
            return Some("USD");
        }
        texts(&request["cur"]).into_iter().find(|currency| self.rate(currency).is_some())
    }

    /// A floor with its rate; none when its currency is unknown.
    fn floor(&self, of: &Value) -> Option<(i128, i128)> {
        let rate = self.rate(of["bidfloorcur"].as_str().unwrap_or("USD"))?;
        Some((of["bidfloor"].as_number().map_or(0, |number| nanos(&number.to_string())), rate))
    }

    /// What bids may be for: each deal, and the open market.
    pub fn wants<'r>(&self, imp: &'r Value) -> Vec<Want<'r>> {
        let is_ours = |deal: &&Value| is_empty(&deal["wseat"]) || texts(&deal["wseat"]).contains(&"gavel");
        let deals = list(&imp["pmp"]["deals"]).filter(is_ours).filter(|deal| self.floor(deal).is_some());
        let is_open = imp["pmp"]["private_auction"].as_i64() != Some(1) && self.floor(imp).is_some();
        let open = is_open.then_some(Want { imp, deal: None });
        deals.map(|deal| Want { imp, deal: Some(deal) }).chain(open).collect()
    }

    pub fn offer(&self, campaign: &Value, request: &Value, want: Want) -> Option<Offer> {
        let own = nanos(campaign["bid"]["price"].as_str()?);
        let own_rate = self.rate(campaign["currency"].as_str()?)?;
        let rate = self.rate(self.currency(request)?)?;
        self.is_running(campaign)?;
        self.is_targeted(campaign, request)?;
        let deals = texts(&campaign["targeting"]["deals"]);
        match want.deal {
            None => met(deals.is_empty())?,
            Some(deal) => met(deals.contains(&deal["id"].as_str()?))?,
        }
        // Rounded towards zero for a bid; a floor is compared without any rounding.
        let price = own * own_rate / rate;
        let (floor, floor_rate) = self.floor(want.deal.unwrap_or(want.imp))?;
        let reaches = |creative: &Value| price > 0 && price * rate >= floor_for(creative, want, floor) * floor_rate;
        let ceil = |value: i128, by: i128| (value + by - 1) / by;
        let (mut bid, mut taken) = (price, own);
        if want.deal.is_some_and(|deal| deal["at"].as_i64() == Some(3)) && floor > 0 {
            bid = ceil(floor * floor_rate, rate);
            taken = own.min(ceil(bid * rate, own_rate));
        }
        self.is_under_caps(campaign, request)?;
        let millionths =
            want.imp["qty"]["multiplier"].as_f64().map_or(1_000_000, |multiplier| (multiplier * 1e6) as i128);
        let budget = nanos(campaign["budget"]["total"].as_str()?) * 1_000;
        let reserved = ceil(taken * millionths, 1_000_000);
        met(reserved <= budget)?;
        let creatives: Vec<usize> = list(&campaign["creatives"])
            .enumerate()
            .filter(|(_, creative)| reaches(creative) && fits(creative, request, want).is_some())
            .map(|(at, _)| at)
            .collect();
        met(!creatives.is_empty())?;
        Some(Offer { value: own * own_rate / 1_000_000_000, price: bid, reserved, creatives })
    }

    fn is_running(&self, campaign: &Value) -> Met {
        let after = |key: &str| campaign[key].as_str().map(|text| self.now_ms - instant_ms(text));
        met(campaign["status"] == "active")?;
        met(after("starts_at").is_none_or(|ms| ms >= 0) && after("ends_at").is_none_or(|ms| ms <= 0))?;
        let hours = &campaign["targeting"]["hours_of_week"];
        let hour = hour_of_week(campaign["time_zone"].as_str()?, self.now_ms);
        met(is_empty(hours) || list(hours).any(|h| h.as_i64() == Some(hour)))
    }

    fn is_targeted(&self, campaign: &Value, request: &Value) -> Met {
        let (t, device, user) = (&campaign["targeting"], &request["device"], &request["user"]);
        let one_of =
            |key: &str, is: &dyn Fn(&str) -> bool| met(is_empty(&t[key]) || texts(&t[key]).into_iter().any(is));
        let home = &user["geo"]["country"];
        let country = match device["geo"]["country"].as_str() {
            None if is_personal(request) => home.as_str(),
            country => country,
        };
        let is = |value: Option<String>| move |entry: &str| value.as_deref() == Some(entry);
        one_of("exchanges", &|name| name == self.exchange)?;
        allowed(&t["countries"], is(country.map(str::to_uppercase)))?;
        let region =
            device["geo"]["region"].as_str().map(|region| region.rsplit('-').next().unwrap_or("").to_uppercase());
        allowed(&t["regions"], is(region))?;
        allowed(&t["cities"], is(device["geo"]["city"].as_str().map(str::to_owned)))?;
        let devices: &[&str] = match device["devicetype"].as_i64() {
            Some(1) => &["phone", "tablet"],
            Some(2) => &["desktop"],
            Some(3) => &["tv"],
            Some(4) => &["phone"],
            Some(5) => &["tablet"],
            Some(6) => &["device"],
            Some(7) => &["settop"],
            Some(8) => &["dooh"],
            _ => &[],
        };
        one_of("devices", &|name| devices.contains(&name))?;
        let os = device["os"].as_str().map(str::to_lowercase);
        let os = os.map(|os| if ["ios", "android", "windows"].contains(&&*os) { os } else { "other".to_owned() });
        one_of("os", &is(os))?;
        let language = device["language"].as_str().map(|l| l.split('-').next().unwrap_or(l).to_lowercase());
        one_of("languages", &is(language))?;
        let place = if request["app"].is_object() { &request["app"] } else { &request["site"] };
        let page = place["page"].as_str().and_then(|page| page.split('/').nth(2));
        let domain = place["domain"].as_str().or(page).map(host);
        let bundle = place["bundle"].as_str().map(host);
        allowed(&t["inventory"], |entry| {
            domain.as_deref().is_some_and(|domain| lies_in(domain, entry)) || bundle.as_deref() == Some(entry)
        })?;
        let lists = [&place["cat"], &place["sectioncat"], &place["pagecat"], &place["content"]["cat"]];
        let categories: Vec<&str> = lists.into_iter().flat_map(texts).collect();
        allowed(&t["categories"], |entry| categories.iter().any(|category| belongs_to(category, entry)))?;
        let data = list(&user["data"]).flat_map(|data| list(&data["segment"])).filter(|_| is_personal(request));
        let segments: Vec<&str> = data.filter_map(|segment| segment["id"].as_str()).collect();
        let has = |list: &Value| texts(list).into_iter().any(|segment| segments.contains(&segment));
        met((is_empty(&t["segments"]["any"]) || has(&t["segments"]["any"])) && !has(&t["segments"]["none"]))
    }

    fn is_under_caps(&self, campaign: &Value, request: &Value) -> Met {
        if is_empty(&campaign["frequency_caps"]) {
            return Some(());
        }
        let mut ids = [&request["device"]["ifa"], &request["user"]["id"]].into_iter().filter_map(Value::as_str);
        let user = ids.find(|id| !id.trim_matches(['0', '-']).is_empty() && is_personal(request))?;
        let id = campaign["id"].as_str()?;
        met(list(&campaign["frequency_caps"]).all(|cap| {
            let since = self.now_ms - cap["per_seconds"].as_i64().unwrap_or(0) * 1_000;
            let shown = self.shown.iter().filter(|(c, u, at)| (&**c, &**u) == (id, user) && *at > since);
            (shown.count() as i64) < cap["impressions"].as_i64().unwrap_or(0)
        }))
    }
}

/// A floor, unless the deal, or for want of one the impression, has others for spots as long as the creative.
fn floor_for(creative: &Value, want: Want, floor: i128) -> i128 {
    let Some(seconds) = creative["duration_s"].as_u64() else { return floor };
    let medium = || Some(&want.imp[creative["type"].as_str()?]["durfloors"]);
    let floors = want.deal.map_or_else(medium, |deal| Some(&deal["durfloors"]));
    let matching = floors.into_iter().flat_map(list).filter(|of| {
        let (least, most) = (of["mindur"].as_u64(), of["maxdur"].as_u64());
        least.is_none_or(|least| least <= seconds) && most.is_none_or(|most| seconds <= most)
    });
    matching.map(|of| of["bidfloor"].as_number().map_or(0, |number| nanos(&number.to_string()))).max().unwrap_or(floor)
}

/// Whether a creative may be shown.
fn fits(creative: &Value, request: &Value, want: Want) -> Met {
    let imp = want.imp;
    let kind = creative["type"].as_str()?;
    let offered = imp.get(kind)?;
    let text = creative.to_string();
    met(imp["secure"].as_i64() != Some(1) || !text.contains("http://"))?;
    let domain = creative["adomain"][0].as_str()?;
    let blocked = texts(&request["badv"]).into_iter().any(|name| lies_in(domain, &host(name)));
    met(!blocked && !texts(&request["bapp"]).into_iter().any(|app| creative["bundle"].as_str() == Some(app)))?;
    let bcat = texts(&request["bcat"]);
    met(!texts(&creative["cat"]).into_iter().any(|category| bcat.iter().any(|of| belongs_to(category, of))))?;
    met(!list(&creative["attr"]).any(|attribute| list(&offered["battr"]).any(|blocked| blocked == attribute)))?;
    if let Some(deal) = want.deal {
        met(is_empty(&deal["wadomain"]) || texts(&deal["wadomain"]).contains(&domain))?;
    }
    match kind {
        "banner" => {
            let is = |size: &Value| (&size["w"], &size["h"]) == (&creative["w"], &creative["h"]);
            let formats = &offered["format"];
            met(if is_empty(formats) { is(offered) } else { list(formats).any(is) })?;
            met(is_empty(&offered["btype"]) || !text.contains("<script"))
        }
        "native" => {
            let asked: Value = serde_json::from_str(offered["request"].as_str()?).ok()?;
            met(creative["assets"][0]["text"].as_str()?.len() as u64 <= asked["assets"][0]["title"]["len"].as_u64()?)
        }
        _ => {
            let seconds = creative["duration_s"].as_u64()?;
            met((offered["minduration"].as_u64()?..=offered["maxduration"].as_u64()?).contains(&seconds))?;
            met(list(&offered["mimes"]).any(|mime| *mime == creative["media"][0]["mime"]))?;
            let both = list(&creative["protocols"]).any(|own| list(&offered["protocols"]).any(|other| own == other));
            met(is_empty(&offered["protocols"]) || both)
        }
    }
}
