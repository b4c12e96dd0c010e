//! What a click model's columns are made of: the sources of [`Sources::bid`] as they stand in a request and a campaign.

use std::borrow::Cow;
use std::sync::LazyLock;

use super::creative::{Creative, Kind};
use super::part::Entry;
use super::subject::os_of;
use crate::clock::UnixMs;
use crate::openrtb::inventory::{Channel, Inventory};
use crate::openrtb::list::StrList;
use crate::openrtb::native::NativeRequest;
use crate::openrtb::request::BidRequest;
use crate::openrtb::{audio_video::AudioVideo, imp::Imp};
use crate::scoring::features::Features;
use crate::scoring::{Sources, Value};

/// Entries of one list that are looked at.
const MAX_ENTRIES: usize = 1_000;
/// At least as many as there are sources.
const PLACES: usize = 96;
const HOUR_MS: i64 = 3_600_000;

/// A request as one of its impressions sees it.
pub(super) struct Seen<'v, 'r> {
    pub exchange: &'v str,
    pub request: &'v BidRequest<'r>,
    pub imp: &'v Imp<'v>,
    pub markup: Option<&'v NativeRequest>,
    /// User data may be used.
    pub personal: bool,
    pub now: UnixMs,
}

/// What a bid would show.
pub(super) struct Shown<'v> {
    pub entry: &'v Entry,
    pub creative: &'v Creative,
}

type FromRequest = for<'v, 'r> fn(&'v Seen<'v, 'r>) -> Value<'v>;
type ListFromRequest = for<'v, 'r> fn(&'v Seen<'v, 'r>, &mut Vec<Cow<'v, str>>);
type FromCandidate = for<'v> fn(&Shown<'v>) -> Value<'v>;
type ListFromCandidate = for<'v> fn(&Shown<'v>) -> &'v [Box<str>];

enum From {
    Request(FromRequest),
    List(ListFromRequest),
    Candidate(FromCandidate),
    CandidateList(ListFromCandidate),
}

/// By place in [`Sources::bid`].
static TABLE: LazyLock<Vec<From>> = LazyLock::new(|| {
    let from = |name: &str| {
        request(name)
            .map(From::Request)
            .or_else(|| list(name).map(From::List))
            .or_else(|| candidate(name).map(From::Candidate))
            .or_else(|| candidate_list(name).map(From::CandidateList))
    };
    // A test sees to it that every source has its value.
    Sources::bid().list().iter().map(|s| from(&s.name).unwrap_or(From::Request(|_| Value::Missing))).collect()
});

/// Whether any column is made of user data: only then does it matter whether that may be used.
pub(super) fn asks_of_the_user(features: &Features) -> bool {
    features.columns().iter().any(|column| column.source_name.starts_with("user."))
}

/// The lists of a request that a model asks for, by place.
pub(super) struct Lists<'v>(Vec<(usize, Vec<Cow<'v, str>>)>);

impl<'v> Lists<'v> {
    pub fn of(features: &Features, seen: &'v Seen<'v, '_>) -> Lists<'v> {
        let mut lists = Vec::new();
        for &place in features.sources() {
            if let Some(From::List(read)) = TABLE.get(place) {
                let mut entries = Vec::new();
                read(seen, &mut entries);
                lists.push((place, entries));
            }
        }
        Lists(lists)
    }

    /// As slices, which values can point to.
    pub fn borrowed(&self) -> Vec<(usize, Vec<&str>)> {
        self.0.iter().map(|(place, entries)| (*place, entries.iter().map(|entry| &**entry).collect())).collect()
    }
}

/// The values of one impression, and of one candidate after the other.
pub(super) struct Row<'v> {
    features: &'v Features,
    /// By place in [`Sources::bid`].
    values: [Value<'v>; PLACES],
    /// Some column is made of a list that the candidates have each of their own.
    has_list: bool,
}

impl<'v> Row<'v> {
    pub fn new(features: &'v Features, seen: &'v Seen<'v, '_>, lists: &'v [(usize, Vec<&'v str>)]) -> Row<'v> {
        let mut values = [Value::Missing; PLACES];
        let mut has_list = false;
        for &place in features.sources() {
            match TABLE.get(place) {
                Some(From::Request(read)) => values[place] = read(seen),
                Some(From::CandidateList(_)) => has_list = true,
                _ => {}
            }
        }
        for (place, entries) in lists {
            values[*place] = Value::Texts(entries);
        }
        Row { features, values, has_list }
    }

    /// Writes what all candidates share.
    pub fn fill_shared(&self, row: &mut [f64]) {
        self.features.fill_shared(&self.values, row);
    }

    /// Writes what is `shown`'s own.
    pub fn fill_varying(&mut self, shown: &Shown<'v>, row: &mut [f64]) {
        for &place in self.features.sources() {
            if let Some(From::Candidate(read)) = TABLE.get(place) {
                self.values[place] = read(shown);
            }
        }
        if !self.has_list {
            return self.features.fill_varying(&self.values, row);
        }
        // There is one such source.
        let mut list = Vec::new();
        let places = || self.features.sources().iter().filter_map(|&place| Some((place, TABLE.get(place)?)));
        for (_, from) in places() {
            if let From::CandidateList(read) = from {
                list.extend(read(shown).iter().map(|entry| &**entry));
            }
        }
        let mut values = self.values;
        for (place, from) in places() {
            if let From::CandidateList(_) = from {
                values[place] = Value::Texts(&list);
            }
        }
        self.features.fill_varying(&values, row);
    }
}

fn text<'v>(text: &'v Option<Cow<str>>) -> Value<'v> {
    text.as_deref().map_or(Value::Missing, Value::Text)
}

fn number<N: TryInto<i64>>(number: Option<N>) -> Value<'static> {
    let number = number.and_then(|n| n.try_into().ok());
    number.map_or(Value::Missing, |n| Value::Number(n as f64))
}

fn switch(on: bool) -> Value<'static> {
    Value::Number(f64::from(u8::from(on)))
}

fn flag(on: Option<bool>) -> Value<'static> {
    on.map_or(Value::Missing, switch)
}

fn inventory<'v, 'r>(seen: &Seen<'v, 'r>, channel: Channel) -> Option<&'v Inventory<'r>> {
    seen.request.inventory.as_ref().filter(|inventory| inventory.channel == channel)
}

fn of_inventory<'v, 'r>(
    seen: &Seen<'v, 'r>,
    channel: Channel,
    field: fn(&'v Inventory<'r>) -> &'v Option<Cow<'r, str>>,
) -> Value<'v> {
    inventory(seen, channel).map_or(Value::Missing, |inventory| text(field(inventory)))
}

fn of_user<'v>(seen: &Seen, value: &'v Option<Cow<str>>) -> Value<'v> {
    if seen.personal { text(value) } else { Value::Missing }
}

/// The banner's own size, else that of its first format.
fn banner_size(seen: &Seen, of: fn((u32, u32)) -> u32) -> Value<'static> {
    let Some(banner) = &seen.imp.banner else { return Value::Missing };
    number(banner.w.zip(banner.h).or_else(|| banner.sizes().next()).map(of))
}

fn spot(offered: &Option<Box<AudioVideo>>, field: fn(&AudioVideo) -> Option<i64>) -> Value<'static> {
    number(offered.as_deref().and_then(field))
}

fn video(seen: &Seen, field: fn(&AudioVideo) -> Option<i64>) -> Value<'static> {
    spot(&seen.imp.video, field)
}

fn channel(seen: &Seen) -> Value<'static> {
    seen.request.inventory.as_ref().map_or(Value::Missing, |inventory| {
        Value::Text(match inventory.channel {
            Channel::Site => "site",
            Channel::App => "app",
            Channel::Dooh => "dooh",
        })
    })
}

/// What it offers; of several the first of these.
fn imp_type(seen: &Seen) -> Value<'static> {
    let imp = seen.imp;
    let offers = [
        (imp.banner.is_some(), "banner"),
        (imp.video.is_some(), "video"),
        (imp.audio.is_some(), "audio"),
        (imp.native.is_some(), "native"),
    ];
    offers.into_iter().find(|(there, _)| *there).map_or(Value::Missing, |(_, kind)| Value::Text(kind))
}

/// Hours since Monday 00:00 UTC. 1970 began on a Thursday.
fn hour_of_week(now: UnixMs) -> i64 {
    (now.0.div_euclid(HOUR_MS) + 3 * 24).rem_euclid(7 * 24)
}

fn request(name: &str) -> Option<FromRequest> {
    Some(match name {
        "exchange" => |s| Value::Text(s.exchange),
        "channel" => |s| channel(s),
        "device.geo.country" => |s| text(&s.request.device.geo.country),
        "device.geo.region" => |s| text(&s.request.device.geo.region),
        "device.geo.city" => |s| text(&s.request.device.geo.city),
        "device.make" => |s| text(&s.request.device.make),
        "device.model" => |s| text(&s.request.device.model),
        "device.os" => |s| os_of(&s.request.device).map_or(Value::Missing, |os| Value::Text(os.name())),
        "device.osv" => |s| text(&s.request.device.osv),
        "device.language" => |s| text(&s.request.device.language),
        "device.devicetype" => |s| number(s.request.device.devicetype),
        "device.connectiontype" => |s| number(s.request.device.connectiontype),
        "device.w" => |s| number(s.request.device.w),
        "device.h" => |s| number(s.request.device.h),
        "device.js" => |s| flag(s.request.device.js),
        "device.lmt" => |s| flag(s.request.device.lmt),
        "device.dnt" => |s| flag(s.request.device.dnt),
        "site.id" => |s| of_inventory(s, Channel::Site, |i| &i.id),
        "site.domain" => |s| of_inventory(s, Channel::Site, |i| &i.domain),
        "site.page" => |s| of_inventory(s, Channel::Site, |i| &i.page),
        "site.publisher.id" => |s| of_inventory(s, Channel::Site, |i| &i.publisher.id),
        "app.id" => |s| of_inventory(s, Channel::App, |i| &i.id),
        "app.bundle" => |s| of_inventory(s, Channel::App, |i| &i.bundle),
        "app.domain" => |s| of_inventory(s, Channel::App, |i| &i.domain),
        "app.publisher.id" => |s| of_inventory(s, Channel::App, |i| &i.publisher.id),
        "content.language" => |s| s.request.inventory.as_ref().map_or(Value::Missing, |i| text(&i.content.language)),
        "user.geo.country" => |s| of_user(s, &s.request.user.geo.country),
        "user.geo.region" => |s| of_user(s, &s.request.user.geo.region),
        "user.geo.city" => |s| of_user(s, &s.request.user.geo.city),
        "at" => |s| number(s.request.at),
        "tmax" => |s| number(s.request.tmax),
        "imp.type" => |s| imp_type(s),
        "imp.tagid" => |s| text(&s.imp.tagid),
        "imp.bidfloor" => |s| Value::Number(s.imp.bidfloor),
        "imp.instl" => |s| switch(s.imp.instl),
        "imp.rwdd" => |s| switch(s.imp.rwdd),
        "imp.secure" => |s| flag(s.imp.secure),
        "imp.banner.w" => |s| banner_size(s, |(w, _)| w),
        "imp.banner.h" => |s| banner_size(s, |(_, h)| h),
        "imp.banner.pos" => |s| number(s.imp.banner.as_ref().and_then(|b| b.pos)),
        "imp.video.w" => |s| video(s, |v| v.w.map(i64::from)),
        "imp.video.h" => |s| video(s, |v| v.h.map(i64::from)),
        "imp.video.placement" => |s| video(s, |v| v.placement),
        "imp.video.plcmt" => |s| video(s, |v| v.plcmt),
        "imp.video.minduration" => |s| video(s, |v| v.minduration.map(i64::from)),
        "imp.video.maxduration" => |s| video(s, |v| v.maxduration.map(i64::from)),
        "imp.video.startdelay" => |s| video(s, |v| v.startdelay),
        "imp.video.linearity" => |s| video(s, |v| v.linearity),
        "imp.video.skip" => |s| video(s, |v| v.skip.map(i64::from)),
        "imp.audio.minduration" => |s| spot(&s.imp.audio, |a| a.minduration.map(i64::from)),
        "imp.audio.maxduration" => |s| spot(&s.imp.audio, |a| a.maxduration.map(i64::from)),
        "imp.native.context" => |s| number(s.markup.and_then(|m| m.context)),
        "imp.native.plcmttype" => |s| number(s.markup.and_then(|m| m.plcmttype)),
        "clock.hour" => |s| number(Some(hour_of_week(s.now) % 24)),
        "clock.day_of_week" => |s| number(Some(hour_of_week(s.now) / 24)),
        "clock.hour_of_week" => |s| number(Some(hour_of_week(s.now))),
        "clock.minute" => |s| number(Some(s.now.0.rem_euclid(HOUR_MS) / 60_000)),
        _ => return None,
    })
}

fn list(name: &str) -> Option<ListFromRequest> {
    fn take<'v>(list: StrList<'v>, out: &mut Vec<Cow<'v, str>>) {
        out.extend(list.iter().take(MAX_ENTRIES));
    }
    fn of_inventory<'v, 'r: 'v>(
        seen: &Seen<'v, 'r>,
        channel: Option<Channel>,
        list: fn(&Inventory<'r>) -> StrList<'r>,
        out: &mut Vec<Cow<'v, str>>,
    ) {
        let found = seen.request.inventory.as_ref();
        if let Some(inventory) = found.filter(|i| channel.is_none_or(|channel| i.channel == channel)) {
            take(list(inventory), out);
        }
    }
    Some(match name {
        "site.cat" => |s, out| of_inventory(s, Some(Channel::Site), |i| i.cat, out),
        "app.cat" => |s, out| of_inventory(s, Some(Channel::App), |i| i.cat, out),
        "content.cat" => |s, out| of_inventory(s, None, |i| i.content.cat, out),
        "bcat" => |s, out| take(s.request.bcat, out),
        "user.segments" => |s, out| {
            if s.personal {
                s.request.user.segments.for_each(|id| {
                    if out.len() < MAX_ENTRIES {
                        out.push(id);
                    }
                });
            }
        },
        _ => return None,
    })
}

fn candidate(name: &str) -> Option<FromCandidate> {
    Some(match name {
        "campaign.id" => |c| Value::Text(&c.entry.compiled.id),
        "campaign.advertiser" => |c| Value::Text(&c.entry.compiled.advertiser),
        "campaign.price" => |c| Value::Number(c.entry.live.price().0 as f64 / 1e9),
        "creative.id" => |c| Value::Text(&c.creative.id),
        "creative.type" => |c| {
            Value::Text(match c.creative.kind {
                Kind::Banner { .. } => "banner",
                Kind::Video { .. } => "video",
                Kind::Audio { .. } => "audio",
                Kind::Native { .. } => "native",
            })
        },
        "creative.adomain" => |c| c.creative.adomain.first().map_or(Value::Missing, |domain| Value::Text(domain)),
        "creative.w" => |c| number(size(c.creative).map(|(w, _)| w)),
        "creative.h" => |c| number(size(c.creative).map(|(_, h)| h)),
        "creative.duration" => |c| match &c.creative.kind {
            Kind::Video { spot, .. } | Kind::Audio { spot } => number(Some(spot.duration_s)),
            _ => Value::Missing,
        },
        _ => return None,
    })
}

fn candidate_list(name: &str) -> Option<ListFromCandidate> {
    (name == "creative.cat").then_some(|c| &c.creative.cat)
}

fn size(creative: &Creative) -> Option<(u32, u32)> {
    match creative.kind {
        Kind::Banner { w, h, .. } | Kind::Video { w, h, .. } => Some((w, h)),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_source_has_its_value() {
        assert!(Sources::bid().len() <= PLACES);
        for source in Sources::bid().list() {
            let name = &*source.name;
            let (one, many) = (request(name).is_some(), list(name).is_some());
            let (own, own_many) = (candidate(name).is_some(), candidate_list(name).is_some());
            assert_eq!([one, many, own, own_many].iter().filter(|there| **there).count(), 1, "{name}");
            assert_eq!(own || own_many, source.varies, "{name}");
            assert_eq!(many || own_many, source.kind == crate::scoring::sources::Kind::Texts, "{name}");
        }
    }

    #[test]
    fn the_week_begins_on_monday() {
        let at = |text| hour_of_week(UnixMs::parse(text).unwrap());
        assert_eq!(at("2026-11-23T00:00:00Z"), 0);
        assert_eq!(at("2026-11-22T23:59:59Z"), 167);
        assert_eq!(at("1970-01-01T05:00:00Z"), 3 * 24 + 5);
    }
}
