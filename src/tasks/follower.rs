//! What follows the log: hot money, frequency caps, and the counts of notices.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use dashmap::DashMap;

use crate::clock::UnixMs;
use crate::event::{Event, Stamped};
use crate::eventlog::Follower;
use crate::fraud::engine::{Engine, Following};
use crate::ids::CampaignNo;
use crate::ledger::fold::Folded;
use crate::ledger::{Hot, Outcome};
use crate::telemetry::metrics::Counters;
use crate::window::impressions::ImpressionStore;

/// Each campaign's largest cap and longest window in milliseconds, for those that have caps. Read for each booking,
/// written by catalog edits.
pub type CapMemory = DashMap<CampaignNo, (u32, i64)>;

/// How often expired reservations are forgotten.
const FORGET_INTERVAL_MS: i64 = 60_000;

pub struct LedgerFollower {
    pub hot: Arc<Mutex<Hot>>,
    pub impressions: Arc<ImpressionStore>,
    pub caps: Arc<CapMemory>,
    pub counters: Counters,
    /// How long reservations are remembered.
    pub token_lifetime_ms: i64,
    pub forget_at: UnixMs,
    pub fraud: Option<(Arc<Engine>, Following)>,
}

/// The hot ledger, also after a panic elsewhere: its state is only changed by events that are in the log.
pub fn lock(hot: &Mutex<Hot>) -> MutexGuard<'_, Hot> {
    hot.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Notes a booked impression for the caps of its campaign.
pub fn note_impression(impressions: &ImpressionStore, caps: &CapMemory, stamped: &Stamped, outcome: Outcome) {
    let Event::Notice(notice) = &stamped.event else { return };
    let booked = matches!(outcome, Outcome::Booked { .. } | Outcome::BookedLate { .. });
    if booked
        && notice.facts.user != 0
        && let Some(cap) = caps.get(&notice.facts.campaign)
    {
        let (keep, keep_ms) = *cap;
        impressions.record(notice.facts.campaign, notice.facts.user, stamped.at, keep, keep_ms);
    }
}

impl Follower for LedgerFollower {
    fn apply(&mut self, stamped: &Stamped, out: &mut Vec<Event>) {
        let folded = lock(&self.hot).apply(stamped, out);
        match (&stamped.event, folded) {
            (Event::Notice(notice), Folded::Notice { outcome, .. }) => {
                note_impression(&self.impressions, &self.caps, stamped, outcome);
                let labels = [("kind", notice.kind.as_str()), ("outcome", outcome.as_str())];
                self.counters.notices.get_or_create(&labels).inc();
            }
            (Event::Fraud(fraud), Folded::Done) => {
                if let Some((engine, following)) = &mut self.fraud {
                    engine.follow(fraud, stamped.offset.0, stamped.at, following);
                }
            }
            // Accounts that missed events may promise money twice: the log ends with this thread, and with it the process.
            (_, Folded::Gap) => panic!("hot state missed events of the log before {}", stamped.offset.0),
            _ => {}
        }
    }

    fn tick(&mut self, now: UnixMs, out: &mut Vec<Event>) {
        if let Some((engine, following)) = &mut self.fraud {
            engine.tick(now, following);
        }
        let mut hot = lock(&self.hot);
        hot.tick(now, out);
        assert!(!hot.is_used_up(), "all numbers of this start's leases are used up: the next start has its own");
        hot.forget_dirty();
        if now >= self.forget_at && hot.forget_older(self.token_lifetime_ms, out) {
            self.forget_at = now.plus(FORGET_INTERVAL_MS);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::Promise;
    use crate::eventlog::mem::MemStorage;
    use crate::eventlog::{EventLog, LogConfig, LogState, SegmentLog};
    use crate::ids::NodeId;
    use crate::ledger::Books;
    use crate::ledger::bucket::Grids;
    use crate::ledger::fold::tests::{START, set};

    #[test]
    fn a_log_whose_follower_missed_events_takes_no_more() {
        // Books that have not come to where the log begins to be followed.
        let hot = Hot::new(Books::default(), NodeId(1), Arc::new(Grids::new(&[])), Promise::default());
        let follower = LedgerFollower {
            hot: Arc::new(Mutex::new(hot)),
            impressions: Arc::new(ImpressionStore::new(1)),
            caps: Arc::default(),
            counters: Counters::default(),
            token_lifetime_ms: 1_000,
            forget_at: UnixMs(0),
            fraud: None,
        };
        let storage = Arc::new(MemStorage::default());
        let open = || SegmentLog::open(storage.clone(), LogConfig::default(), &mut |_, _| {}).unwrap();
        let log = open().start(Box::new(|| START), Box::new(Nobody), Box::new(|_| {})).unwrap();
        log.append_durable(0, &[set(1_000, None)]).wait().unwrap();
        log.close().unwrap();
        let (tell, told) = std::sync::mpsc::channel();
        let tell = move |why: &str| tell.send(why.to_owned()).unwrap();
        let log = open().start(Box::new(|| START), Box::new(follower), Box::new(tell)).unwrap();
        assert!(log.append_durable(0, &[set(2_000, None)]).wait().is_err(), "not answered as if it were in force");
        assert!(told.recv().unwrap().contains("panicked"));
        assert!(matches!(log.state(), LogState::Failed), "{:?}", log.state());
    }

    struct Nobody;

    impl Follower for Nobody {
        fn apply(&mut self, _: &Stamped, _: &mut Vec<Event>) {}
        fn tick(&mut self, _: UnixMs, _: &mut Vec<Event>) {}
    }
}
