//! All that the log is folded into, and hashes by which two replays can be told to have come to the same.

use std::collections::HashMap;

use sha2::{Digest, Sha256};

use crate::bookstore::{BookError, SqliteBooks};
use crate::config::Config;
use crate::event::{Event, Stamped};
use crate::fraud::checkpoint::Moment;
use crate::fraud::engine::{Engine, Following};
use crate::fraud::policy::Lists;
use crate::fraud::store::Bounds;
use crate::fraud::{Policy, Velocity};
use crate::ids::CampaignNo;
use crate::ledger::fold::{Folded, Gap};
use crate::ledger::{Books, Outcome, fold};
use crate::window::impressions::ImpressionStore;

/// A campaign's largest frequency cap and longest window in milliseconds, if it has caps.
pub type Cap = Option<(u32, i64)>;

/// The caps of a campaign: of its JSON as it was put, or else of the catalog's files by its id.
pub type CapOf<'a> = &'a dyn Fn(&str, Option<&str>) -> Cap;

pub struct State<'a> {
    /// With the leases, and with what became of each reservation: all that a start makes its accounts of.
    pub books: Books,
    impressions: ImpressionStore,
    caps: HashMap<CampaignNo, (u32, i64)>,
    cap_of: CapOf<'a>,
    fraud: Engine,
    following: Following,
}

/// SHA-256 of each.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Hashes {
    /// The books' tables.
    pub books: String,
    /// The windows of fraud checks, what is known of the checks, rules and lists.
    pub fraud: String,
    /// The impressions that frequency caps count.
    pub caps: String,
}

impl State<'_> {
    /// Before the first event. Windows and bounds of memory are those of the config.
    pub fn new<'a>(config: &Config, cap_of: CapOf<'a>) -> Result<State<'a>, String> {
        let velocity = Velocity::new(config.fraud.windows.clone(), config.fraud.limits());
        let velocity = velocity.map_err(|faults| format!("the windows: {faults:?}"))?;
        let policy = Policy::new("", &velocity, Lists::default()).map_err(|faults| format!("no rules: {faults:?}"))?;
        let bounds = Bounds { max_checks: config.fraud.max_checks, max_answer_bytes: 0 };
        Ok(State {
            books: Books::default(),
            impressions: ImpressionStore::new(config.caps.max_bytes),
            caps: HashMap::new(),
            cap_of,
            fraud: Engine::new(velocity, policy, bounds),
            following: Following::default(),
        })
    }

    pub fn fold(&mut self, stamped: &Stamped) -> Result<(), Gap> {
        let folded = fold(&mut self.books, stamped);
        match (&stamped.event, folded) {
            (_, Folded::Gap) => return Err(Gap { next: self.books.next, found: stamped.offset }),
            (Event::CampaignSet(set), Folded::Done) => match (self.cap_of)(&set.id, set.json.as_deref()) {
                Some(cap) => drop(self.caps.insert(set.campaign, cap)),
                None => drop(self.caps.remove(&set.campaign)),
            },
            (Event::Notice(notice), Folded::Notice { outcome, .. }) => {
                let facts = &notice.facts;
                if let Outcome::Booked { .. } | Outcome::BookedLate { .. } = outcome
                    && facts.user != 0
                    && let Some((keep, keep_ms)) = self.caps.get(&facts.campaign)
                {
                    self.impressions.record(facts.campaign, facts.user, stamped.at, *keep, *keep_ms);
                }
            }
            (Event::Fraud(event), Folded::Done) => {
                self.fraud.fold(event, stamped.offset.0, stamped.at, &mut self.following);
            }
            _ => {}
        }
        Ok(())
    }

    pub fn hashes(&self) -> Result<Hashes, String> {
        let moment = Moment { next: self.books.next.0, last_at: self.books.starts.at };
        let mut fraud = Sha256::new();
        for part in self.fraud.checkpoint(moment).ok_or("a fraud check is under way")? {
            fraud.update((part.len() as u64).to_le_bytes());
            fraud.update(part);
        }
        let mut caps = Sha256::new();
        self.impressions.each_group(&mut |bytes| caps.update(bytes));
        let books = books_hash(&self.books).map_err(|e| e.to_string())?;
        Ok(Hashes { books, fraud: hex(&fraud.finalize()), caps: hex(&caps.finalize()) })
    }
}

/// All that was ever touched is dirty in books that were never saved.
pub fn books_hash(books: &Books) -> Result<String, BookError> {
    SqliteBooks::in_memory(books, &books.dirty)?.hash().map(|hash| hex(&hash))
}

pub fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
