//! What other campaigns, prices or models would have bid for the requests that were recorded, and what would have come of
//! it under the prices that were told.
//!
//! Both sides decide anew, as if each campaign had money, for each recorded request and at its time: what is compared is
//! targeting, prices and models. What is known of prices comes from the notices of the bids that were really made.

use std::collections::{BTreeMap, HashMap};
use std::fmt::Write;

use serde_json::{Value, json};

use super::market::{Price, Told, Verdict};
use crate::bidding::{BidDecision, ExchangeTerms, Reason, Scratch, Snapshot, decide};
use crate::clock::UnixMs;
use crate::event::{Event, Notice, NoticeKind, Offset, PriceClaim, Recorded, Stamped, Track};
use crate::ids::{CampaignNo, Currency, ReservationId};
use crate::ledger::{Books, Hot, fold_on};
use crate::money::Nanos;
use crate::openrtb::parse;

/// How often leases are asked for, and how often for one request.
const LEASE_MS: i64 = 10;
const MOST_LEASES: usize = 8;

/// Calls its argument with every event, in order. Asked for more than once.
pub type Events<'a> = &'a mut dyn FnMut(&mut dyn FnMut(&Stamped)) -> Result<(), String>;

/// One way of deciding.
pub struct Side {
    pub snapshot: Snapshot,
    /// By number.
    pub exchanges: HashMap<u32, ExchangeTerms>,
    /// Where its money is. Its log is the next two.
    pub hot: Hot,
    pub next: Offset,
    pub now: UnixMs,
}

/// One bid of a side.
struct Made {
    imp: usize,
    campaign: String,
    price: Nanos,
    reserved: Nanos,
    bid_currency: Currency,
    currency: Currency,
}

impl Side {
    /// Does what events say, and what follows from them.
    pub fn apply(&mut self, mut events: Vec<Event>) {
        while !events.is_empty() {
            let mut next = Vec::new();
            for event in events.drain(..) {
                self.hot.apply(&Stamped { offset: self.next, at: self.now, event }, &mut next);
                self.next.0 += 1;
            }
            events = next;
        }
        self.hot.forget_dirty();
    }

    /// Brings its money up to a time: leases are topped up.
    pub fn follow(&mut self, at: UnixMs) {
        self.now = self.now.max(at);
        let mut events = Vec::new();
        self.hot.tick(self.now, &mut events);
        self.apply(events);
    }

    /// Takes back at once what bids set aside: nobody bills them.
    fn lose(&mut self, decision: &BidDecision) {
        let price = PriceClaim::Amount { amount: Nanos::ZERO, excess: Nanos::ZERO };
        let lost = |facts| {
            Event::Notice(Notice { kind: NoticeKind::Loss, facts, price, loss_reason: 0, min_to_win: Nanos(-1) })
        };
        self.apply(decision.bids.iter().map(|bid| lost(bid.facts)).collect());
    }

    /// `None` where the exchange is not in its config.
    fn decide(&mut self, recorded: &Recorded, scratch: &mut Scratch) -> Option<Vec<Made>> {
        self.follow(recorded.decided_at);
        let terms = self.exchanges.get(&recorded.exchange)?.clone();
        let request = parse(recorded.body.as_bytes()).ok()?;
        let mut decision = decide(&self.snapshot, &terms, &request, recorded.decided_at, scratch);
        // A campaign that wins many impressions at once may find too little in its first leases; the next are larger.
        for _ in 0..MOST_LEASES {
            scratch.clear_told();
            let lacks_money = scratch.take_lost()[Reason::Budget as usize] > 0;
            self.lose(&decision);
            if !lacks_money {
                break;
            }
            self.follow(self.now.plus(LEASE_MS));
            decision = decide(&self.snapshot, &terms, &request, recorded.decided_at, scratch);
        }
        let made = |bid: &crate::bidding::decide::Bid| Made {
            imp: bid.imp,
            campaign: bid.campaign.id.to_string(),
            price: bid.facts.price,
            reserved: bid.facts.reserved,
            bid_currency: bid.facts.currency,
            currency: bid.facts.campaign_currency,
        };
        Some(decision.bids.iter().map(made).collect())
    }
}

/// What one side came to.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Sum {
    pub requests_bid_on: u64,
    pub bids: u64,
    pub won: u64,
    pub lost: u64,
    pub unknown: u64,
    /// What the wins cost and what they were worth to their campaigns at most, by the campaign's currency.
    pub spend: BTreeMap<Currency, i128>,
    pub worth: BTreeMap<Currency, i128>,
    /// Clicks that were seen on impressions that its wins and the recorded ones of the same campaign have in common.
    pub clicks: u64,
}

#[derive(Clone, Debug, Default)]
pub struct Report {
    pub requests: u64,
    /// Requests that cannot be read, or whose exchange is in neither config.
    pub unread: u64,
    /// Requests with other bids, or other prices.
    pub changed: u64,
    pub sides: [Sum; 2],
    /// What campaigns would have spent on each side, by id and currency.
    pub campaigns: BTreeMap<(String, Currency), [i128; 2]>,
}

/// What was really bid for recorded requests, and what was told of it.
#[derive(Default)]
struct Past {
    bids: HashMap<ReservationId, Told>,
    ids: HashMap<CampaignNo, String>,
}

impl Past {
    fn read(events: Events, taken: &dyn Fn(&Recorded) -> bool) -> Result<Past, String> {
        let mut past = Past::default();
        events(&mut |stamped| match &stamped.event {
            Event::Request(recorded) if taken(recorded) => {
                past.bids.extend(recorded.bids.iter().map(|(_, id)| (*id, Told::default())));
            }
            Event::CampaignSet(set) => drop(past.ids.insert(set.campaign, set.id.clone())),
            _ => {}
        })?;
        events(&mut |stamped| match &stamped.event {
            Event::Bid(facts) => {
                past.bids.entry(facts.reservation).and_modify(|told| told.facts = Some(*facts));
            }
            Event::Notice(notice) => {
                past.bids.entry(notice.facts.reservation).and_modify(|told| told.note(notice));
            }
            Event::Track { what: Track::Click, facts } => {
                past.bids.entry(facts.reservation).and_modify(|told| told.clicks += 1);
            }
            _ => {}
        })?;
        Ok(past)
    }

    /// The bids that an impression really got.
    fn of<'a>(&'a self, recorded: &'a Recorded, imp: usize) -> impl Iterator<Item = &'a Told> {
        let of_imp = recorded.bids.iter().filter(move |(at, _)| usize::from(*at) == imp);
        of_imp.filter_map(|(_, id)| self.bids.get(id))
    }

    /// Clicks on what this campaign won of the impression.
    fn clicks(&self, recorded: &Recorded, made: &Made) -> u64 {
        let by_it = |told: &&Told| {
            let no = told.facts.map(|facts| facts.campaign);
            told.won && no.and_then(|no| self.ids.get(&no)) == Some(&made.campaign)
        };
        self.of(recorded, made.imp).filter(by_it).map(|told| told.clicks).sum()
    }
}

/// The books that all events come to, and the time of the first request that is `taken`.
pub fn before(events: Events, taken: &dyn Fn(&Recorded) -> bool) -> Result<(Books, Option<UnixMs>), String> {
    let (mut books, mut first, mut gap) = (Books::default(), None, None);
    events(&mut |stamped| {
        if let Event::Request(recorded) = &stamped.event
            && taken(recorded)
        {
            first = Some(first.unwrap_or(recorded.decided_at).min(recorded.decided_at));
        }
        if gap.is_none() {
            gap = fold_on(&mut books, stamped).err();
        }
    })?;
    books.take_dirty();
    gap.map_or(Ok((books, first)), |gap| Err(gap.to_string()))
}

/// Decides every recorded request that is `taken` by both sides; `each` gets a line for each of them.
pub fn run(
    events: Events,
    sides: &mut [Side; 2],
    taken: &dyn Fn(&Recorded) -> bool,
    each: &mut dyn FnMut(&Value) -> Result<(), String>,
) -> Result<Report, String> {
    let past = Past::read(events, taken)?;
    let mut report = Report::default();
    // The same draws for both: what differs comes from what is tried.
    let mut scratches = [Scratch::new(1), Scratch::new(1)];
    let mut told = Ok(());
    events(&mut |stamped| {
        let Event::Request(recorded) = &stamped.event else { return };
        if told.is_err() || !taken(recorded) {
            return;
        }
        report.requests += 1;
        let [old, new] = sides;
        let [first, second] = &mut scratches;
        let made = (old.decide(recorded, first), new.decide(recorded, second));
        let ((Some(old), Some(new)), Some(first_price)) = (made, first_price(recorded)) else {
            report.unread += 1;
            return;
        };
        let same = |a: &Made, b: &Made| (a.imp, &a.campaign, a.price) == (b.imp, &b.campaign, b.price);
        let changed = old.len() != new.len() || !old.iter().zip(&new).all(|(a, b)| same(a, b));
        report.changed += u64::from(changed);
        let mut line = json!({"offset": stamped.offset.0, "at": recorded.decided_at.0, "changed": changed});
        for (side, (name, made)) in [("old", &old), ("new", &new)].into_iter().enumerate() {
            let judged = made.iter().map(|bid| report.count(side, bid, recorded, &past, first_price));
            line[name] = judged.collect();
            report.sides[side].requests_bid_on += u64::from(!made.is_empty());
        }
        told = each(&line);
    })?;
    told.map(|()| report)
}

/// Whether a bid that wins pays itself; 2 is what counts where nothing is said.
fn first_price(recorded: &Recorded) -> Option<bool> {
    parse(recorded.body.as_bytes()).ok().map(|request| request.at == Some(1))
}

impl Report {
    /// Counts a bid of a side, and says what is known of it.
    fn count(&mut self, side: usize, made: &Made, recorded: &Recorded, past: &Past, first_price: bool) -> Value {
        let in_its_currency = |told: &&Told| told.facts.is_some_and(|facts| facts.currency == made.bid_currency);
        let price = past.of(recorded, made.imp).filter(in_its_currency).map(Told::price);
        let verdict = price.fold(Price::default(), Price::and).judge(made.price, first_price);
        let clicks = if let Verdict::Won(_) = verdict { past.clicks(recorded, made) } else { 0 };
        let sum = &mut self.sides[side];
        sum.bids += 1;
        sum.clicks += clicks;
        let (outcome, paid) = match verdict {
            Verdict::Won(price) => ("won", Some(price)),
            Verdict::Lost => ("lost", None),
            Verdict::Unknown => ("unknown", None),
        };
        match verdict {
            Verdict::Won(price) => {
                sum.won += 1;
                // As much of what is set aside as of the bid.
                let reserved = i128::from(made.reserved.0);
                let spend = reserved * i128::from(price.0) / i128::from(made.price.0).max(1);
                *sum.spend.entry(made.currency).or_default() += spend;
                *sum.worth.entry(made.currency).or_default() += reserved;
                self.campaigns.entry((made.campaign.clone(), made.currency)).or_default()[side] += spend;
            }
            Verdict::Lost => sum.lost += 1,
            Verdict::Unknown => sum.unknown += 1,
        }
        json!({
            "imp": made.imp, "campaign": made.campaign, "price_nanos": made.price.0, "currency": made.bid_currency.as_str(),
            "outcome": outcome, "paid_nanos": paid.map(|price| price.0),
        })
    }

    pub fn text(&self) -> String {
        let mut out = String::new();
        let [old, new] = &self.sides;
        // Writing to a String cannot fail.
        let _ = writeln!(
            out,
            "{} recorded requests, {} of them with other bids or prices; {} could not be read or are of an exchange that \
             is not in both configs\n\n{:<34}{:>22}{:>22}",
            self.requests, self.changed, self.unread, "", "as it is", "what if"
        );
        let mut row = |name: &str, old: String, new: String| {
            let _ = writeln!(out, "{name:<34}{old:>22}{new:>22}");
        };
        for (name, of) in [
            ("requests bid on", (|sum: &Sum| sum.requests_bid_on) as fn(&Sum) -> u64),
            ("bids", |sum| sum.bids),
            ("won, by recorded prices", |sum| sum.won),
            ("lost, by recorded prices", |sum| sum.lost),
            ("not known", |sum| sum.unknown),
            ("clicks seen on the same wins", |sum| sum.clicks),
        ] {
            row(name, of(old).to_string(), of(new).to_string());
        }
        for (name, of) in [
            ("spend of the wins", (|sum: &Sum| &sum.spend) as fn(&Sum) -> &BTreeMap<Currency, i128>),
            ("worth of the wins at most", |sum| &sum.worth),
        ] {
            let currencies: std::collections::BTreeSet<_> = of(old).keys().chain(of(new).keys()).copied().collect();
            for currency in currencies {
                let amount = |sum: &Sum| money(of(sum).get(&currency).copied().unwrap_or(0));
                row(&format!("{name}, {}", currency.as_str()), amount(old), amount(new));
            }
        }
        let mut campaigns: Vec<_> = self.campaigns.iter().filter(|(_, [old, new])| old != new).collect();
        campaigns.sort_by_key(|(_, [old, new])| std::cmp::Reverse((new - old).abs()));
        if !campaigns.is_empty() {
            let _ = writeln!(out, "\n{:<34}{:>22}{:>22}", "spend of campaigns, most changed", "as it is", "what if");
        }
        for ((id, currency), [old, new]) in campaigns.into_iter().take(20) {
            let name = format!("{id:.29} {}", currency.as_str());
            let _ = writeln!(out, "{name:<34}{:>22}{:>22}", money(*old), money(*new));
        }
        out.push_str(CAVEAT);
        out
    }
}

/// What no replay can know.
const CAVEAT: &str = "
Recorded are the requests (a sample), and the prices that notices told of the bids that were really made. Everything else is
counterfactual: both columns are decided now, by the campaigns and models of now and without budgets, pacing, frequency caps, lists of
traffic and sellers; competitors are taken to have bid as they did. A bid below a first price that won, or above one that lost
without a price to win, is `not known`, and so is any bid for an impression that got none.
";

/// Units with nine decimals at most.
fn money(nanos: i128) -> String {
    i64::try_from(nanos).map_or_else(|_| format!("{nanos} nanos"), |nanos| Nanos(nanos).to_string())
}
