//! The world's own record of what the log said, and what that comes to. It knows nothing of how the ledger keeps
//! money: a notice pays once, at its price, and is late when its lifetime had passed.

use std::cmp::Ordering;
use std::collections::{BTreeMap, HashMap, HashSet};

use gavel::clock::{Day, UnixMs};
use gavel::event::{Event, Facts, Notice, NoticeKind, PriceClaim, Promise, ReturnReason, Slot, Stamped};
use gavel::ids::{LeaseId, NodeId, ReservationId};
use gavel::ledger::Books;
use gavel::money::Quantity;

use crate::count::{Counts, Kind};
use crate::users::Users;

/// What a notice's price must come to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Expect {
    Unusable,
    Between(i64, i64),
}

impl Expect {
    pub fn exactly(nanos: i64) -> Expect {
        Expect::Between(nanos, nanos)
    }
}

/// A notice that was given to the log; its place in the list is its serial number, which the log carries.
#[derive(Debug)]
pub struct Sent {
    pub kind: NoticeKind,
    pub facts: Facts,
    pub expect: Expect,
    /// It must not be in the log.
    pub refused: bool,
    pub in_log: bool,
}

/// A bid that went out: what an exchange may still send notices for.
#[derive(Debug)]
pub struct Made {
    pub facts: Facts,
    /// Of a campaign with caps, whom it was made for.
    pub user: Option<u32>,
    pub in_log: bool,
    /// In the world's time.
    made_at: i64,
    won: bool,
    lost: bool,
    billed: bool,
}

impl Made {
    fn until(&self) -> UnixMs {
        if self.won { self.facts.bill_until() } else { self.facts.auction_until() }
    }
}

#[derive(Clone, Debug, Default)]
pub struct Campaign {
    pub total: i64,
    pub daily: Option<i64>,
    /// A daily cap that never changed must hold for every day.
    pub daily_edited: bool,
    pub spent: i64,
    pub late: i64,
    pub billed: u64,
    /// The most that the total ever was.
    pub highest: i64,
    /// What cuts have left above the budget, less late bills: the only other thing that may be above it.
    pub cut: i64,
    /// Spent, late and billed.
    pub days: BTreeMap<Day, (i64, i64, u64)>,
    /// Leased, less returned and spent, by start and slot.
    pub leases: BTreeMap<(u32, Slot), i64>,
}

#[derive(Default)]
pub struct Journal {
    pub events: Vec<Stamped>,
    pub campaigns: BTreeMap<u32, Campaign>,
    pub made: Vec<Made>,
    by_id: HashMap<ReservationId, usize>,
    /// Bids whose money is still set aside, as far as anybody outside can tell.
    live: Vec<usize>,
    /// Bids that the log refused: nobody got them, and their money comes back when their buckets end.
    refused: Vec<Facts>,
    pub sent: Vec<Sent>,
    pub users: Users,
    /// Serial numbers of edits in the log.
    pub edits: HashSet<u64>,
    /// The latest time that anything was given back at.
    pub now: UnixMs,
    /// The same of the newest start, whose clock may be behind that.
    pub start_now: UnixMs,
    pub epoch: u32,
    node: NodeId,
    /// How long tokens lived at the start at which they lived shortest.
    pub shortest_token_ms: Option<i64>,
    /// Reservations of earlier minutes are forgotten.
    forgotten_before: u32,
    /// The world's time, which no clock in it knows.
    pub world_now: i64,
    /// What the newest start promised, and when it began.
    promise: Promise,
    began_at: UnixMs,
    lease_ids: HashSet<LeaseId>,
}

impl Journal {
    pub fn bid_made(&mut self, facts: Facts, user: Option<u32>) -> usize {
        let at = self.made.len();
        assert!(self.by_id.insert(facts.reservation, at).is_none(), "two bids with one id");
        let made_at = self.world_now;
        self.made.push(Made { facts, user, in_log: false, made_at, won: false, lost: false, billed: false });
        if !facts.test {
            self.live.push(at);
            self.is_covered(&facts);
        }
        at
    }

    pub fn bid_refused(&mut self, facts: Facts) {
        if !facts.test {
            self.refused.push(facts);
        }
    }

    /// What a start has set aside for a campaign.
    pub fn set_aside(&self, campaign: u32, epoch: u32) -> i64 {
        let live = self.live.iter().map(|at| &self.made[*at].facts).chain(&self.refused);
        live.filter(|f| (f.campaign.0, f.reservation.epoch.0) == (campaign, epoch)).map(|f| f.reserved.0).sum()
    }

    /// What late bills and cuts took above the budget is nothing to bid with: at the moment of a bid, all that is spent
    /// and promised is within the budget as it is then.
    fn is_covered(&self, facts: &Facts) {
        let c = &self.campaigns[&facts.campaign.0];
        let promised = |counts: &dyn Fn(&Facts) -> bool| -> i64 {
            self.live_of(facts.campaign.0).filter(|f| counts(f)).map(|f| f.reserved.0).sum()
        };
        let all = c.spent + promised(&|_| true);
        assert!(all <= c.total, "a bid that the budget does not cover: {all} spent and promised, {c:?}");
        if let Some(daily) = c.daily {
            let spent = c.days.get(&facts.day).map_or(0, |day| day.0);
            let all = spent + promised(&|f| f.day == facts.day);
            assert!(all <= daily, "a bid that the day does not cover: {all} spent and promised, {c:?}");
        }
    }

    /// A campaign's bids whose money is still set aside.
    fn live_of(&self, campaign: u32) -> impl Iterator<Item = &Facts> {
        self.live.iter().map(|at| &self.made[*at].facts).filter(move |f| f.campaign.0 == campaign)
    }

    pub fn tick(&mut self, now: UnixMs) {
        self.start_now = self.start_now.max(now);
        self.now = self.now.max(now);
        let (made, epoch) = (&self.made, self.epoch);
        let now = |f: &Facts| if f.reservation.epoch.0 == epoch { self.start_now } else { self.now };
        self.live.retain(|at| {
            let m = &made[*at];
            !m.billed && !m.lost && now(&m.facts) < m.until()
        });
        self.refused.retain(|f| now(f) < f.auction_until());
    }

    /// Takes the next event of the log.
    pub fn apply(&mut self, stamped: &Stamped, counts: &mut Counts) {
        assert_eq!(stamped.offset.0 as usize, self.events.len(), "the log skips or repeats");
        assert!(self.events.last().is_none_or(|last| last.at <= stamped.at), "the log's time went back");
        self.events.push(stamped.clone());
        match &stamped.event {
            Event::EpochStarted { node, epoch, promise, .. } => {
                if self.epoch > 0 && *node != self.node {
                    counts.note(Kind::OtherNumber);
                }
                self.node = *node;
                assert!(epoch.0 > self.epoch, "a start's number was used before");
                (self.epoch, self.start_now) = (epoch.0, stamped.at);
                self.started(*promise, stamped.at, counts);
            }
            Event::StillRunning => counts.note(Kind::StillRunning),
            Event::CampaignSet(set) => {
                let daily = set.daily.map(|n| n.0);
                let new = Campaign { daily, total: set.total.0, ..Campaign::default() };
                let c = self.campaigns.entry(set.campaign.0).or_insert(new);
                c.daily_edited |= c.daily != daily;
                let fall = (c.total - set.total.0).max(0);
                (c.total, c.daily) = (set.total.0, daily);
                c.highest = c.highest.max(c.total);
                let over = (c.spent + c.leases.values().sum::<i64>() - c.late - c.total).max(0);
                assert!(over <= c.cut + fall, "promises went above the budget before it was cut: {c:?}");
                c.cut = over;
                self.edits.extend(set.json.as_deref().and_then(crate::campaigns::edit_number));
            }
            Event::CampaignDeleted { .. } => {}
            Event::LeaseGranted { campaign, lease, slot, amount } => {
                counts.note(Kind::Granted);
                assert_eq!(lease.epoch.0, self.epoch, "a lease of another start");
                assert!(self.lease_ids.insert(*lease), "a lease's id was used before");
                let c = self.campaigns.entry(campaign.0).or_default();
                *c.leases.entry((lease.epoch.0, *slot)).or_default() += amount.0;
            }
            Event::LeaseReturned { campaign, epoch, slot, amount, why } => {
                match why {
                    ReturnReason::Reclaimed => self.reclaimed(campaign.0, epoch.0, *slot, stamped.at, counts),
                    ReturnReason::Unused => counts.note(Kind::Returned),
                }
                let c = self.campaigns.entry(campaign.0).or_default();
                *c.leases.entry((epoch.0, *slot)).or_default() -= amount.0;
            }
            Event::Bid(facts) => {
                let at = *self.by_id.get(&facts.reservation).expect("a bid that nobody made");
                assert_eq!(self.made[at].facts, *facts);
                assert!(!std::mem::replace(&mut self.made[at].in_log, true), "a bid twice in the log");
            }
            Event::Notice(notice) => self.notice(notice, stamped.at, counts),
            Event::Track { facts, .. } => {
                let at = *self.by_id.get(&facts.reservation).expect("a click on what nobody bid");
                assert_eq!(self.made[at].facts, *facts);
                counts.note(Kind::Tracked);
            }
            Event::ReservationsForgotten { before } => {
                assert!(*before > self.forgotten_before, "forgotten already");
                self.forgotten_before = *before;
                counts.note(Kind::Forget);
            }
            other => panic!("nobody wrote {other:?}"),
        }
        self.tick(stamped.at);
    }

    fn started(&mut self, promise: Promise, at: UnixMs, counts: &mut Counts) {
        let before = std::mem::replace(&mut self.promise, promise);
        self.began_at = at;
        if self.events.len() > 1 {
            match promise.billable_ms.cmp(&before.billable_ms) {
                Ordering::Less => counts.note(Kind::Shorter),
                Ordering::Equal => {}
                Ordering::Greater => counts.note(Kind::Longer),
            }
        }
    }

    /// Whatever clocks said and starts were told: no bid of the lease could still be billed in time.
    fn reclaimed(&self, campaign: u32, epoch: u32, slot: Slot, at: UnixMs, counts: &mut Counts) {
        let of_lease = |f: &Facts| (f.campaign.0, f.reservation.epoch.0, f.slot()) == (campaign, epoch, slot);
        for m in self.made.iter().filter(|m| of_lease(&m.facts) && !m.facts.test && !m.billed && !m.lost) {
            let (passed_ms, lives_ms) = (self.world_now - m.made_at, m.until().since(m.facts.bid_at));
            assert!(passed_ms >= lives_ms, "a lease came back {passed_ms} ms after a bid that lives {lives_ms}");
        }
        counts.note(Kind::Reclaimed);
        if at.since(self.began_at) < self.promise.billable_ms {
            counts.note(Kind::ReclaimedAcross);
        }
    }

    fn notice(&mut self, notice: &Notice, at: UnixMs, counts: &mut Counts) {
        let sent = &mut self.sent[notice.min_to_win.0 as usize];
        assert_eq!((sent.kind, sent.facts), (notice.kind, notice.facts), "a notice was altered");
        assert!(!sent.refused, "a refused notice is in the log");
        assert!(!std::mem::replace(&mut sent.in_log, true), "a notice twice in the log");
        let amount = match notice.price {
            PriceClaim::Amount { amount, .. } | PriceClaim::NoRate { amount } => Some(amount.0),
            PriceClaim::Unusable => None,
        };
        let as_expected = match (sent.expect, amount) {
            (Expect::Unusable, None) => true,
            (Expect::Between(least, most), Some(amount)) => (least..=most).contains(&amount),
            _ => false,
        };
        assert!(as_expected, "{:?} came to {:?}", sent.expect, notice.price);
        let facts = &notice.facts;
        if facts.test {
            return;
        }
        let reservation = *self.by_id.get(&facts.reservation).expect("a notice for a bid that nobody made");
        if facts.reservation.bucket < self.forgotten_before {
            // Only where tokens live longer now than they did when it was forgotten.
            let token_ms = self.shortest_token_ms.expect("a start has forgotten it");
            assert!(at.since(facts.bid_at) > token_ms, "forgotten too early");
            self.shown_again(reservation, at);
            return counts.note(Kind::Forgotten);
        }
        let m = &mut self.made[reservation];
        let over = at >= m.until();
        let pays = match notice.kind {
            NoticeKind::Win => facts.spend_on_win,
            NoticeKind::Bill => !facts.spend_on_win,
            NoticeKind::Loss => {
                match m.won || m.billed {
                    true if !over => counts.note(Kind::LossAfterWin),
                    false if !over => m.lost = true,
                    _ => {}
                }
                return;
            }
        };
        let Some(amount) = amount else { return counts.note(Kind::Unusable) };
        if m.billed && pays {
            self.shown_again(reservation, at);
            return counts.note(Kind::AgainAfterBilled);
        }
        if !pays {
            match notice.kind {
                NoticeKind::Bill => counts.note(Kind::BillOnWin),
                _ if over => counts.note(Kind::LateWin),
                _ => m.won |= !m.lost && !m.billed,
            }
            return;
        }
        let late = m.lost || over;
        m.billed = true;
        counts.note(if late { Kind::BookedLate } else { Kind::Booked });
        for (happened, kind) in [
            (amount == 0, Kind::BookedFree),
            (m.lost, Kind::BillAfterLoss),
            (facts.reservation.epoch.0 < self.epoch, Kind::OfEarlierStart),
            (!m.in_log, Kind::BidLostInCrash),
            (facts.reservation.node != self.node, Kind::OfAnotherNumber),
            (facts.quantity != Quantity::ONE, Kind::BookedMultiple),
            (facts.model != 0, Kind::BookedPerClick),
        ] {
            if happened {
                counts.note(kind);
            }
        }
        if let Some(user) = m.user {
            self.users.booked(facts.campaign.0, user, at);
        }
        let c = self.campaigns.get_mut(&facts.campaign.0).expect("the campaign is in the log");
        let day = c.days.entry(facts.day).or_default();
        (day.0, day.2) = (day.0 + amount, day.2 + 1);
        (c.spent, c.billed) = (c.spent + amount, c.billed + 1);
        if late {
            (c.late, day.1) = (c.late + amount, day.1 + amount);
        } else {
            *c.leases.entry((facts.reservation.epoch.0, facts.slot())).or_default() -= amount;
        }
    }

    fn shown_again(&mut self, reservation: usize, at: UnixMs) {
        let Made { facts, user, .. } = &self.made[reservation];
        if let Some(user) = user {
            self.users.booked_again(facts.campaign.0, *user, at);
        }
    }

    /// When the last bid went out whose money is still set aside and that the log does not hold.
    pub fn lost_bid_at(&self) -> Option<UnixMs> {
        let live = self.live.iter().map(|at| &self.made[*at]);
        live.filter(|made| !made.in_log).map(|made| made.facts.bid_at).max()
    }

    /// No promise is larger than what stands behind it.
    pub fn promises_hold(&self) {
        let mut by_lease = BTreeMap::<(u32, u32, Slot), i64>::new();
        let mut by_day = BTreeMap::<(u32, Day), i64>::new();
        let mut by_campaign = BTreeMap::<u32, i64>::new();
        for m in self.live.iter().map(|at| &self.made[*at]) {
            let (no, reserved) = (m.facts.campaign.0, m.facts.reserved.0);
            *by_lease.entry((no, m.facts.reservation.epoch.0, m.facts.slot())).or_default() += reserved;
            *by_day.entry((no, m.facts.day)).or_default() += reserved;
            *by_campaign.entry(no).or_default() += reserved;
        }
        for ((no, epoch, slot), reserved) in by_lease {
            let leased = self.campaigns[&no].leases.get(&(epoch, slot)).copied().unwrap_or(0);
            assert!(reserved <= leased, "bids of start {epoch} in {slot:?} promise {reserved}, leased is {leased}");
        }
        for (no, c) in &self.campaigns {
            let promised = c.spent + by_campaign.get(no).unwrap_or(&0);
            assert!(promised <= c.total + c.late + c.cut, "campaign {no}: {promised} spent and promised, {c:?}");
            assert!(c.leases.values().all(|n| *n >= 0), "more was spent or returned than was leased: {c:?}");
            let Some(daily) = c.daily.filter(|_| !c.daily_edited) else { continue };
            for (day, (spent, late, _)) in &c.days {
                let promised = spent + by_day.get(&(*no, *day)).unwrap_or(&0);
                assert!(promised <= daily + late, "campaign {no} on {day}: {promised} of {daily}");
            }
        }
    }

    /// The books say the same, to the nano.
    pub fn agrees(&self, books: &Books) {
        assert_eq!(books.next.0 as usize, self.events.len(), "the books are not at the end of the log");
        assert_eq!(books.campaigns.len(), self.campaigns.len());
        for (no, book) in &books.campaigns {
            let c = &self.campaigns[&no.0];
            let days: BTreeMap<Day, (i64, i64, u64)> =
                book.days.iter().map(|(day, d)| (*day, (d.spent.0, d.late.0, d.billed))).collect();
            assert_eq!((book.total.0, book.daily.map(|n| n.0)), (c.total, c.daily));
            assert_eq!((book.spent.0, book.late.0, book.billed), (c.spent, c.late, c.billed));
            // What is laid to cuts, they took: above what the budget ever was, there is no excuse but lateness.
            assert!((0..=c.highest - c.total).contains(&book.over_at_set.0), "{book:?}, {c:?}");
            assert_eq!(days, c.days);
            let leases: BTreeMap<_, _> = book.leases.iter().map(|((e, slot), n)| ((e.0, *slot), n.0)).collect();
            let own: BTreeMap<_, _> = c.leases.iter().filter(|(_, n)| **n != 0).map(|(k, n)| (*k, *n)).collect();
            assert_eq!(leases, own);
        }
    }
}
