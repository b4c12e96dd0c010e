//! What a feature can be made of: the names that a manifest may use, and the place of each among the values that the caller
//! fills in. Bidding and fraud each have their own list.

use std::borrow::Cow;
use std::collections::HashMap;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Booleans are 0 and 1.
    Number,
    Text,
    /// Several at once, such as categories: only the transform `in` takes them.
    Texts,
}

/// One value, as the caller knows it.
#[derive(Clone, Copy, Debug, Default)]
pub enum Value<'v> {
    #[default]
    Missing,
    Number(f64),
    Text(&'v str),
    Texts(&'v [&'v str]),
}

#[derive(Clone, Debug)]
pub struct Source {
    pub name: Cow<'static, str>,
    pub kind: Kind,
    /// Whether it may differ between the rows of one batch.
    pub varies: bool,
}

/// Who fills the values in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Caller {
    Bid,
    Fraud,
    /// Nobody said yet.
    Any,
}

/// A caller's sources. The place of a source is that of its value among those that the caller fills in.
#[derive(Clone, Debug)]
pub struct Sources {
    sources: Vec<Source>,
    by_name: HashMap<Cow<'static, str>, usize>,
    any_window: bool,
    pub caller: Caller,
}

/// Names of one kind, between spaces.
type Names = (Kind, &'static str);

/// A bid request as seen by one of its impressions. Fields are OpenRTB 2.6's, as they came; `site.*` and `app.*` are missing
/// in the other's requests. `device.os` is the name that targeting has for it, such as `ios`. User data is missing where
/// privacy forbids it. `imp.type` is the first of banner, video, audio and native that is offered; a banner's size, where it
/// is not given, is its first format's.
const REQUEST: &[Names] = &[
    (
        Kind::Text,
        "exchange channel device.geo.country device.geo.region device.geo.city device.make device.model device.os \
         device.osv device.language site.id site.domain site.page site.publisher.id app.id app.bundle app.domain \
         app.publisher.id content.language user.geo.country user.geo.region user.geo.city imp.type imp.tagid",
    ),
    (Kind::Texts, "site.cat app.cat content.cat user.segments bcat"),
    (
        Kind::Number,
        "at tmax device.devicetype device.connectiontype device.w device.h device.js device.lmt device.dnt \
         imp.bidfloor imp.instl imp.rwdd imp.secure imp.banner.w imp.banner.h imp.banner.pos imp.video.w imp.video.h \
         imp.video.placement imp.video.plcmt imp.video.minduration imp.video.maxduration imp.video.startdelay \
         imp.video.linearity imp.video.skip imp.audio.minduration imp.audio.maxduration imp.native.context \
         imp.native.plcmttype",
    ),
];

/// The event's time. `clock.day_of_week` counts from Monday, 0; `clock.hour` is 0 to 23, in UTC.
const CLOCK: &[Names] = &[(Kind::Number, "clock.hour clock.day_of_week clock.hour_of_week clock.minute")];

/// What a bid would show: differs between the candidates of a request.
const CANDIDATE: &[Names] = &[
    (Kind::Text, "campaign.id campaign.advertiser creative.id creative.type creative.adomain"),
    (Kind::Texts, "creative.cat"),
    (Kind::Number, "campaign.price creative.w creative.h creative.duration"),
];

/// A fraud check. `amount.value` is in minor units.
const CHECK: &[Names] = &[
    (
        Kind::Text,
        "type merchant_id stage amount.currency payment_method.card.bin payment_method.card.brand \
         payment_method.card.funding payment_method.card.country customer.email_domain terminal_id \
         billing_address.country billing_address.postal_code shipping_address.country shipping_address.postal_code \
         device.id device.user_agent device.accept_language three_ds.version three_ds.eci three_ds.trans_status \
         processor.avs_result processor.cvc_result processor.response_code",
    ),
    (
        Kind::Number,
        "amount.value payment_method.card.exp_month payment_method.card.exp_year customer.age_seconds order.items",
    ),
];

pub const WINDOW: &str = "window:";

impl Sources {
    /// What the bid path provides.
    pub fn bid() -> Sources {
        Sources::new(Caller::Bid, &[(REQUEST, false), (CLOCK, false), (CANDIDATE, true)])
    }

    /// What the fraud path provides.
    pub fn fraud() -> Sources {
        Sources::new(Caller::Fraud, &[(CHECK, false), (CLOCK, false)])
    }

    /// Both, and a window of any name: for a model of which nobody said yet who will use it.
    pub fn any() -> Sources {
        let lists = [(REQUEST, false), (CLOCK, false), (CANDIDATE, true), (CHECK, false)];
        let mut sources = Sources::new(Caller::Any, &lists);
        sources.any_window = true;
        sources
    }

    fn new(caller: Caller, lists: &[(&[Names], bool)]) -> Sources {
        let mut sources = Sources { sources: Vec::new(), by_name: HashMap::new(), any_window: false, caller };
        for &(names, varies) in lists {
            for &(kind, names) in names {
                names.split_whitespace().for_each(|name| sources.add(Cow::Borrowed(name), kind, varies));
            }
        }
        sources
    }

    fn add(&mut self, name: Cow<'static, str>, kind: Kind, varies: bool) {
        self.by_name.insert(name.clone(), self.sources.len());
        self.sources.push(Source { name, kind, varies });
    }

    /// Takes a window of any name, until it is known which there are.
    #[must_use]
    pub fn with_any_window(mut self) -> Sources {
        self.any_window = true;
        self
    }

    /// Adds the windows of these names, in order, as `window:<name>`.
    #[must_use]
    pub fn with_windows<'n>(mut self, names: impl IntoIterator<Item = &'n str>) -> Sources {
        names.into_iter().for_each(|name| self.add(format!("{WINDOW}{name}").into(), Kind::Number, false));
        self
    }

    /// How many values the caller fills in.
    pub fn len(&self) -> usize {
        self.sources.len()
    }

    pub fn is_empty(&self) -> bool {
        self.sources.is_empty()
    }

    pub fn list(&self) -> &[Source] {
        &self.sources
    }

    /// The place of a source's value, and what it is.
    pub fn find(&self, name: &str) -> Option<(usize, &Source)> {
        self.by_name.get(name).map(|&place| (place, &self.sources[place]))
    }

    /// These and every well-named window that `names` ask for, where any window is taken.
    pub(super) fn for_names<'n>(&self, names: impl Iterator<Item = &'n str>) -> Cow<'_, Sources> {
        let mut sources = Cow::Borrowed(self);
        for name in names.filter(|_| self.any_window) {
            let window = name
                .strip_prefix(WINDOW)
                .filter(|window| !window.is_empty() && window.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_'));
            if window.is_some() && sources.find(name).is_none() {
                sources.to_mut().add(name.to_owned().into(), Kind::Number, false);
            }
        }
        sources
    }
}
