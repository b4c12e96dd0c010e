//! Bid requests, answered by the production `decide()`, and what must be true of every bid.

use gavel::app::exchange;
use gavel::bidding::{Reason, decide};
use gavel::clock::UnixMs;
use gavel::event::{Event, Facts};
use gavel::eventlog::EventLog;
use gavel::ids::{CampaignNo, Currency};
use gavel::openrtb::parse;
use serde_json::json;

use crate::campaigns::{ANY_SITE, EUR, click_rate};
use crate::count::Kind;
use crate::life::Life;
use crate::world::World;

/// Each campaign with caps sees them often.
const USERS: u32 = 3;

/// What a request asks for.
struct Ask {
    /// Whose site it is; `None` is one that every campaign takes.
    campaign: Option<usize>,
    user: Option<u32>,
    device: i64,
    millionths: i64,
    imps: usize,
    test: bool,
}

impl World {
    /// A few bid requests.
    pub fn bid(&mut self) {
        for _ in 0..self.rng.u32(1..9) {
            if !self.may_bid() {
                return self.note(Kind::NotOpen);
            }
            self.request();
        }
    }

    fn request(&mut self) {
        let ask = Ask {
            campaign: if self.chance(150) { None } else { Some(self.rng.usize(..self.terms.len())) },
            user: if self.chance(80) { None } else { Some(self.rng.u32(..USERS)) },
            device: self.rng.i64(1..8),
            millionths: if self.chance(100) { 2_500_000 } else { 1_000_000 },
            imps: if self.chance(100) { 2 } else { 1 },
            test: self.chance(20),
        };
        let site = ask.campaign.map_or(ANY_SITE.to_owned(), |at| self.terms[at].site());
        let mut imp = json!({"banner": {"w": 300, "h": 250}});
        if ask.millionths != 1_000_000 {
            imp["qty"] = json!({"multiplier": 2.5});
        }
        if self.chance(100) {
            imp["exp"] = json!(1);
        }
        let with_id = |id: usize| {
            let mut imp = imp.clone();
            imp["id"] = id.to_string().into();
            imp
        };
        let mut request = json!({
            "id": "r", "test": u8::from(ask.test), "site": {"domain": site}, "device": {"devicetype": ask.device},
            "imp": (0..ask.imps).map(with_id).collect::<Vec<_>>(),
        });
        if let Some(user) = ask.user {
            request["device"]["ifa"] = format!("user-{user}").into();
        }
        if let Some(currency) = [None, Some(EUR), Some(Currency::USD)][self.rng.usize(..3)] {
            request["cur"] = json!([currency.as_str()]);
        }
        self.answer(&ask, &request.to_string());
    }

    /// As `serve::bid` does it.
    fn answer(&mut self, ask: &Ask, request: &str) {
        let lane = self.rng.usize(..2);
        let Some(life) = &mut self.life else { return };
        let config = &life.config;
        let from = exchange(&config.exchanges[self.rng.usize(..config.exchanges.len())], &config.public_url);
        let request = parse(request.as_bytes()).expect("a good request");
        let now = life.now();
        let decision = decide(&life.snapshot, &from.terms, &request, now, &mut life.scratch);
        life.scratch.clear_told();
        if let Some(reason) = decision.reason {
            return self.no_bid(ask, reason, now);
        }
        let facts: Vec<Facts> = decision.bids.iter().map(|bid| bid.facts).collect();
        let events: Vec<Event> = facts.iter().filter(|f| !f.test).map(|f| Event::Bid(*f)).collect();
        if life.log.append_all(lane, &events).is_err() {
            facts.into_iter().for_each(|facts| self.journal.bid_refused(facts));
            return self.note(Kind::BidRefused);
        }
        if facts.len() > 1 {
            self.note(Kind::TwoBids);
        }
        for facts in facts {
            self.is_right(ask, &facts, now);
            let mut token = Vec::new();
            let token_until = now.plus(from.token_lifetime_ms);
            let Some(life) = &self.life else { return };
            life.keys.sign_into(&facts, token_until, &mut token);
            for (happened, kind) in [
                (true, if ask.test { Kind::TestBid } else { Kind::Bid }),
                (facts.model != 0, Kind::PerClick),
                (ask.millionths != 1_000_000, Kind::Multiple),
            ] {
                if happened {
                    self.note(kind);
                }
            }
            let has_caps = !self.terms[facts.campaign.0 as usize].caps.is_empty();
            let bid = self.journal.bid_made(facts, ask.user.filter(|_| has_caps));
            self.tokens.push((token, token_until.0 / 1_000 * 1_000));
            self.fate(bid, from.terms.lifetimes);
        }
    }

    /// The campaign, its price, and the user's caps.
    fn is_right(&mut self, ask: &Ask, facts: &Facts, now: UnixMs) {
        let at = facts.campaign.0 as usize;
        assert!(ask.campaign.is_none_or(|asked| asked == at), "campaign {at} is not shown there");
        let t = &self.terms[at];
        assert_eq!((facts.test, facts.model != 0), (ask.test, t.per_click));
        assert_eq!(i64::from(facts.quantity.0), ask.millionths);
        let own = if t.per_click { t.price as f64 * click_rate(ask.device) } else { t.price as f64 };
        let near = |nanos: i64, expected: f64| (nanos as f64 - expected).abs() < 5.0;
        assert!(near(facts.reserved.0, own * ask.millionths as f64 / 1e6), "{own} is reserved as {facts:?}");
        let rate = |currency: Currency| if currency == EUR { 1.085 } else { 1.0 };
        assert!(near(facts.price.0, own * rate(t.currency) / rate(facts.currency)), "{own} is bid as {facts:?}");
        assert_eq!(facts.user == 0, t.caps.is_empty() || ask.user.is_none());
        if t.caps.is_empty() {
            return;
        }
        let life = self.life.as_ref().expect("it bids");
        let for_unknown = life.config.caps.bid_for_unknown;
        let Some(user) = ask.user else {
            assert!(for_unknown, "a bid for a user nobody knows");
            return self.note(Kind::ForUnknown);
        };
        // Whoever may have been evicted is only bid for where the operator wants it.
        if for_unknown && evicted(life) {
            return;
        }
        for (impressions, seconds) in t.caps {
            let shown = self.journal.users.shown(facts.campaign.0, user, now, seconds * 1_000);
            assert!(shown.least < *impressions, "user {user} has seen campaign {at} as often as it may be: {shown:?}");
        }
    }

    fn no_bid(&mut self, ask: &Ask, reason: Reason, now: UnixMs) {
        let at = ask.campaign;
        match reason {
            Reason::Budget => self.note(Kind::NoMoney),
            // Its cap for some users says nothing of the other campaigns.
            Reason::FrequencyCap | Reason::UnknownUser if at.is_none() => {}
            Reason::FrequencyCap => {
                self.note(Kind::Capped);
                let (at, user) = (at.expect("one campaign"), ask.user.expect("somebody"));
                let shown = |s: i64| self.journal.users.shown(at as u32, user, now, s * 1_000);
                let reached = self.terms[at].caps.iter().any(|(impressions, s)| shown(*s).most >= *impressions);
                assert!(reached, "user {user} may see campaign {at}: {:?}", self.journal.users);
            }
            Reason::UnknownUser => {
                let life = self.life.as_ref().expect("it answers");
                assert!(!life.config.caps.bid_for_unknown);
                assert!(ask.user.is_none() || evicted(life), "a user who was not evicted is not known");
                self.note(if ask.user.is_none() { Kind::NoUser } else { Kind::EvictedUser });
            }
            Reason::Paused
            | Reason::NoCampaigns
            | Reason::Inventory
            | Reason::Format
            | Reason::Price
            | Reason::Outbid => {
                let life = self.life.as_ref().expect("it answers");
                let catalog = &life.snapshot.catalog;
                let bids = |at: usize| catalog.find(CampaignNo(at as u32)).is_some_and(|entry| entry.live.active());
                if !at.map_or((0..self.terms.len()).all(bids), bids) {
                    return self.note(Kind::NotBidding);
                }
                // The bid was good, but its money can be put into no bucket: the log's time has come to a halt.
                let behind_ms = now.since(self.journal.start_now);
                assert!(behind_ms > 1_000, "no bid for {reason:?}, {behind_ms} ms behind");
                self.note(Kind::NoBucket);
            }
            reason => panic!("no bid for {reason:?}"),
        }
    }

    /// Users of campaigns that nobody looks at crowd those out that are looked at.
    pub fn crowd(&mut self) {
        let Some(life) = &self.life else { return };
        let (now, memory_ms) = (life.now(), self.rng.i64(200..20_000));
        for _ in 0..self.rng.u32(50..400) {
            let (campaign, user) = (CampaignNo(self.rng.u32(100..110)), self.rng.u64(..));
            life.impressions().record(campaign, user, now, 1, memory_ms);
        }
        self.note(Kind::Crowd);
    }
}

/// Whether anybody was who still counted.
fn evicted(life: &Life) -> bool {
    life.impressions().stats().evicted_live > 0
}
