//! Whether a bid request comes of people: address ranges of data centres, user agents of crawlers, publishers known to be
//! bad, how much one address or user does, and places that nobody can see. Pure; what lists hold is read in `read`.

pub mod agents;
pub mod publishers;
pub mod ranges;
pub mod read;

use agents::Agents;
use publishers::Publishers;
use ranges::{Ranges, address};

use crate::clock::UnixMs;
use crate::openrtb::imp::Imp;
use crate::openrtb::request::BidRequest;
use crate::scoring::hash::hash64;
use crate::window::rate::Rates;

/// What a request is taken for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    Crawler,
    DataCentre,
    BadPublisher,
    /// Its address asks more often than it may.
    IpActivity,
    /// Its user does.
    UserActivity,
    /// A place of no size, or of one pixel.
    TinyPlacement,
}

/// What is known of traffic: replaced as a whole.
#[derive(Debug, Default)]
pub struct Lists {
    pub data_centres: Ranges,
    pub crawlers: Agents,
    pub publishers: Publishers,
}

/// How much one address and one user may do; none where it does not matter.
#[derive(Debug, Default)]
pub struct Activity {
    pub by_ip: Option<Rates>,
    pub by_user: Option<Rates>,
}

const IPS: u64 = 0x6970;

/// Judges a request by the lists, and counts it.
pub fn request(
    lists: &Lists,
    activity: &Activity,
    exchange: &str,
    request: &BidRequest,
    now: UnixMs,
) -> Result<(), Verdict> {
    let device = &request.device;
    if device.ua.as_deref().is_some_and(|ua| lists.crawlers.knows(ua)) {
        return Err(Verdict::Crawler);
    }
    if !lists.data_centres.is_empty() || activity.by_ip.is_some() {
        let mut ips = [&device.ip, &device.ipv6].into_iter().filter_map(|ip| address(ip.as_deref()?));
        let first = ips.next();
        if first.into_iter().chain(ips).any(|ip| lists.data_centres.contains(ip)) {
            return Err(Verdict::DataCentre);
        }
        if let Some(rates) = &activity.by_ip
            && let Some(ip) = first
            && !rates.admit(hash64(IPS, &ip.network().to_le_bytes()), now)
        {
            return Err(Verdict::IpActivity);
        }
    }
    let inventory = request.inventory.as_ref();
    match inventory.is_some_and(|inventory| lists.publishers.hold(exchange, inventory)) {
        true => Err(Verdict::BadPublisher),
        false => Ok(()),
    }
}

/// Counts a request of a user; `user` is a hash.
pub fn user(activity: &Activity, user: u64, now: UnixMs) -> Result<(), Verdict> {
    match &activity.by_user {
        Some(rates) if !rates.admit(user, now) => Err(Verdict::UserActivity),
        _ => Ok(()),
    }
}

/// Judges a place: one that offers a picture of no size or of one pixel, and nothing else.
pub fn imp(imp: &Imp) -> Result<(), Verdict> {
    if imp.native.is_some() || imp.audio.is_some() {
        return Ok(());
    }
    let tiny = |w: Option<u32>, h: Option<u32>| w.zip(h).is_some_and(|(w, h)| w <= 1 && h <= 1);
    let banner = imp.banner.as_ref().map(|banner| match banner.format.as_slice() {
        [] => tiny(banner.w, banner.h),
        // One that only gives a ratio is of any size.
        formats => formats.iter().all(|f| f.w <= 1 && f.h <= 1 && f.wratio == 0 && f.hratio == 0),
    });
    let video = imp.video.as_ref().map(|video| tiny(video.w, video.h));
    let mut offers = [banner, video].into_iter().flatten().peekable();
    match offers.peek().is_some() && offers.all(|is_tiny| is_tiny) {
        true => Err(Verdict::TinyPlacement),
        false => Ok(()),
    }
}

/// Lists that are known to everybody, for the demo: a few, to see it work.
pub fn demo() -> Lists {
    let files = [
        (read::Kind::DataCentres, include_str!("demo/data-centres.txt")),
        (read::Kind::Crawlers, include_str!("demo/crawlers.txt")),
        (read::Kind::Publishers, include_str!("demo/publishers.txt")),
    ];
    let mut entries = read::Entries::default();
    for (kind, text) in files {
        // A test reads them.
        drop(entries.add(kind, text));
    }
    entries.lists().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::openrtb::parse;

    const NOW: UnixMs = UnixMs(1_795_000_000_000);

    fn judged(lists: &Lists, activity: &Activity, body: &str) -> Result<(), Verdict> {
        request(lists, activity, "demo", &parse(body.as_bytes()).unwrap(), NOW)
    }

    fn body(device: &str, site: &str) -> String {
        format!(r#"{{"id":"r","imp":[{{"id":"1"}}],"site":{site},"device":{device}}}"#)
    }

    #[test]
    fn the_demo_knows_something_of_each() {
        let (lists, none) = (demo(), Activity::default());
        for (device, site, want) in [
            ("{}", "{}", Ok(())),
            (r#"{"ua":"Mozilla/5.0 (compatible; Googlebot/2.1)","ip":"3.208.0.1"}"#, "{}", Err(Verdict::Crawler)),
            (r#"{"ua":"Mozilla/5.0 (X11; Linux x86_64) Firefox/140.0","ip":"198.51.100.7"}"#, "{}", Ok(())),
            (r#"{"ip":"3.208.255.255"}"#, "{}", Err(Verdict::DataCentre)),
            (r#"{"ip":"198.51.100.7","ipv6":"2600:1f00::1"}"#, "{}", Err(Verdict::DataCentre)),
            (r#"{"ip":"::ffff:3.208.0.1"}"#, "{}", Err(Verdict::DataCentre)),
            (r#"{"ip":"nonsense","ua":""}"#, r#"{"domain":"www.Fraudulent.example"}"#, Err(Verdict::BadPublisher)),
            ("{}", r#"{"page":"https://a.fraudulent.example/x"}"#, Err(Verdict::BadPublisher)),
            ("{}", r#"{"publisher":{"id":"fraudulent"}}"#, Err(Verdict::BadPublisher)),
            ("{}", r#"{"publisher":{"id":"honest"},"domain":"notfraudulent.example"}"#, Ok(())),
        ] {
            assert_eq!(judged(&lists, &none, &body(device, site)), want, "{device} {site}");
        }
        let app = r#"{"id":"r","imp":[{"id":"1"}],"app":{"bundle":"example.fraudulent.app"}}"#;
        assert_eq!(judged(&lists, &none, app), Err(Verdict::BadPublisher));
    }

    #[test]
    fn an_address_is_one_whatever_way_it_is_written() {
        let activity = Activity { by_ip: Some(Rates::new(2, 1 << 12, NOW)), by_user: None };
        let asked = |device: &str| judged(&Lists::default(), &activity, &body(device, "{}"));
        for device in [r#"{"ip":"192.0.2.1"}"#, r#"{"ip":"::ffff:192.0.2.1"}"#] {
            assert_eq!(asked(device), Ok(()));
        }
        assert_eq!(asked(r#"{"ipv6":"::ffff:c000:201"}"#), Err(Verdict::IpActivity));
        assert_eq!(asked(r#"{"ip":"192.0.2.2"}"#), Ok(()));
        // A network of IPv6 is one subscriber's.
        for (ip, want) in [("1", Ok(())), ("2", Ok(())), ("3", Err(Verdict::IpActivity))] {
            assert_eq!(asked(&format!(r#"{{"ipv6":"2001:db8::{ip}"}}"#)), want);
        }
        assert_eq!(asked(r#"{"ipv6":"2001:db8:0:1::"}"#), Ok(()));
    }

    #[test]
    fn a_place_that_nobody_can_see_is_none() {
        for (offer, want) in [
            (r#""banner":{"w":1,"h":1}"#, Err(Verdict::TinyPlacement)),
            (r#""banner":{"w":0,"h":0}"#, Err(Verdict::TinyPlacement)),
            (r#""banner":{"format":[{"w":1,"h":1},{"w":0,"h":0}]}"#, Err(Verdict::TinyPlacement)),
            (r#""banner":{"w":0,"h":0,"format":[{"w":300,"h":250}]}"#, Ok(())),
            (r#""banner":{"format":[{"wratio":16,"hratio":9,"wmin":300}]}"#, Ok(())),
            (r#""banner":{}"#, Ok(())),
            (r#""banner":{"w":1,"h":50}"#, Ok(())),
            (r#""video":{"mimes":["video/mp4"],"w":1,"h":1}"#, Err(Verdict::TinyPlacement)),
            (r#""video":{"mimes":["video/mp4"]}"#, Ok(())),
            (r#""banner":{"w":1,"h":1},"video":{"mimes":["video/mp4"],"w":640,"h":360}"#, Ok(())),
            (r#""banner":{"w":1,"h":1},"native":{"request":"{}"}"#, Ok(())),
            (r#""audio":{"mimes":["audio/mp3"]}"#, Ok(())),
        ] {
            let body = format!(r#"{{"id":"r","imp":[{{"id":"1",{offer}}}]}}"#);
            assert_eq!(imp(&parse(body.as_bytes()).unwrap().imp[0]), want, "{offer}");
        }
    }
}
