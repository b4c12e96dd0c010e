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
            (_, Folded::Gap) => tracing::error!(offset = stamped.offset.0, "hot state missed events of the log"),
            _ => {}
        }
    }

    fn tick(&mut self, now: UnixMs, out: &mut Vec<Event>) {
        if let Some((engine, following)) = &mut self.fraud {
            engine.tick(now, following);
        }
        let mut hot = lock(&self.hot);
        hot.tick(now, out);
        hot.forget_dirty();
        if now >= self.forget_at && hot.forget_older(self.token_lifetime_ms, out) {
            self.forget_at = now.plus(FORGET_INTERVAL_MS);
        }
    }
}
