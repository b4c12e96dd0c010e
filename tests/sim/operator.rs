//! The operator: budgets raised and cut, daily caps, pauses, deletes and puts, in the order of `admin::edit`.

use gavel::admin::campaigns::set_event;
use gavel::bidding::campaign::{Campaign, cap_memory};
use gavel::event::Event;
use gavel::eventlog::{AppendError, EventLog, LogState};
use gavel::ids::CampaignNo;
use gavel::tasks::follower::lock;

use crate::count::Kind;
use crate::life::Waits;
use crate::world::World;

/// An edit on its way into the log.
#[derive(Debug)]
pub struct Edit {
    at: usize,
    /// Its number, and the campaign as it is put; `None` for a delete, which leaves no number in the log.
    put: Option<(u64, Box<Campaign>)>,
}

impl World {
    pub fn edit(&mut self) {
        let at = self.rng.usize(..self.terms.len());
        let no = CampaignNo(at as u32);
        let unit = self.terms[at].unit;
        let amount = self.rng.i64(1..60) * unit + self.rng.i64(0..unit);
        let what = self.rng.u32(..6);
        let Some(life) = &mut self.life else { return };
        // Edits are made one after the other.
        let busy = life.waiting.iter().any(|(w, _)| matches!(w, Waits::Edit { .. } | Waits::Lease { .. }));
        let Some(book) = life.with_hot(|hot| hot.books().campaigns.get(&no).cloned()) else { return };
        if busy || !life.ready {
            return;
        }
        let day = self.terms[at].zone.local_hour(life.now()).day;
        let present = life.registry.present.get(self.terms[at].id);
        assert_eq!(present.is_none(), book.deleted);
        let mut active = present.is_some_and(|p| p.live.active());
        let (mut total, mut daily) = (book.total.0, book.daily.map(|n| n.0));
        if what == 0 && !book.deleted {
            self.note(Kind::Delete);
            let life = self.life.as_mut().expect("it is running");
            return life.append_durable(
                Waits::Edit { edit: Edit { at, put: None } },
                &[Event::CampaignDeleted { campaign: no }],
            );
        }
        let kind = match what {
            _ if book.deleted => {
                active = true;
                Kind::PutAgain
            }
            1 | 2 => {
                total += amount;
                Kind::Raise
            }
            3 => {
                total = (total - amount).max(1);
                Kind::Cut
            }
            4 => {
                daily = if daily.is_some() && amount % 2 == 0 { None } else { Some(amount) };
                Kind::Daily
            }
            _ => {
                active = !active;
                Kind::Pause
            }
        };
        self.note(kind);
        self.edits += 1;
        let campaign = self.terms[at].campaign(total, daily, active, self.edits);
        let life = self.life.as_mut().expect("it is running");
        assert_eq!(life.registry.number(&campaign.id, campaign.currency), Ok(no));
        let set = set_event(no, &campaign, Some(campaign.json.clone()), day);
        let edit = Edit { at, put: Some((self.edits, Box::new(campaign))) };
        life.append_durable(Waits::Edit { edit }, &[Event::CampaignSet(set)]);
    }

    /// As `admin::edit` goes on when the edit is durable.
    fn edited(&mut self, edit: Edit, result: Result<(), AppendError>) {
        if result.is_err() {
            return self.note(Kind::EditRefused);
        }
        let Edit { at, put } = edit;
        let (no, id) = (CampaignNo(at as u32), self.terms[at].id);
        let number = put.as_ref().map(|(number, _)| *number);
        assert!(number.is_none_or(|n| self.journal.edits.contains(&n)), "an answered edit is not in the log");
        let Some(life) = &mut self.life else { return };
        let mut hot = lock(&life.hot);
        // Only status, budget and name ever change.
        let new_content = match put {
            Some((_, campaign)) => {
                let same_content = life.registry.present.contains_key(id);
                life.registry.put(no, *campaign, same_content, &mut hot);
                !same_content
            }
            None => {
                let deleted = life.registry.remove(id).expect("it was there");
                deleted.live.set_active(false);
                true
            }
        };
        let mut events = Vec::new();
        hot.look_after_lease_now(no, &mut events);
        drop(hot);
        life.append_durable(Waits::Lease { at, new_content, events: events.clone() }, &events);
    }

    /// The last of an edit: what other requests see of it.
    fn leased(&mut self, at: usize, new_content: bool) {
        let Some(life) = self.life.as_mut().filter(|_| new_content) else { return };
        if let Some(present) = life.registry.present.get(self.terms[at].id) {
            if let Some(memory) = cap_memory(&present.compiled.frequency_caps) {
                life.caps.insert(present.compiled.no, memory);
            }
            self.journal.users.remembers(at as u32);
        }
        life.build_catalog();
    }

    /// What somebody waited for has been answered, or never will be.
    pub fn resolve(&mut self, waits: Waits, result: Result<(), AppendError>) {
        match waits {
            Waits::Start => match (&result, &mut self.life) {
                (Ok(()), Some(life)) => life.ready = true,
                (Err(_), Some(_)) => {
                    // The process exits: it could not write that it had started.
                    self.life = None;
                }
                _ => {}
            },
            Waits::Notice { serial, packet } => self.notice_answered(serial, packet, result),
            Waits::Edit { edit } => self.edited(edit, result),
            Waits::Lease { at, new_content, events } => {
                if result.is_err() {
                    self.note(Kind::LeaseRefused);
                    if let Some(life) = &self.life {
                        life.with_hot(|hot| hot.refused(&events));
                    }
                }
                self.leased(at, new_content);
            }
            Waits::Return => {}
        }
    }

    /// Whether bids are made at all.
    pub fn may_bid(&self) -> bool {
        self.life.as_ref().is_some_and(|life| life.ready && life.log.state() == LogState::Open)
    }
}
