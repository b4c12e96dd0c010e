//! The operator: budgets raised and cut, daily caps, pauses, deletes and puts, in the order of `admin::edit`.

use gavel::event::{CampaignSet, Event};
use gavel::eventlog::{AppendError, EventLog, LogState};
use gavel::ids::CampaignNo;
use gavel::money::Nanos;

use crate::count::Kind;
use crate::life::Waits;
use crate::world::World;

/// An edit on its way into the log.
#[derive(Debug)]
pub struct Edit {
    at: usize,
    active: bool,
    /// `None` for a delete, which leaves no serial number in the log.
    serial: Option<u64>,
}

/// What stands for a campaign's JSON here: its status, and which edit it came with.
fn json(active: bool, serial: u64) -> String {
    format!("{} {serial}", if active { "active" } else { "paused" })
}

pub fn serial(json: &str) -> Option<u64> {
    json.split_once(' ')?.1.parse().ok()
}

pub fn is_active(json: Option<&str>) -> bool {
    json.is_none_or(|text| text.starts_with("active"))
}

impl World {
    pub fn edit(&mut self) {
        let at = self.rng.usize(..self.terms.len());
        let no = CampaignNo(at as u32);
        let price = self.terms[at].price;
        let amount = self.rng.i64(1..60) * price + self.rng.i64(0..price);
        let what = self.rng.u32(..6);
        let Some(life) = &mut self.life else { return };
        // Edits are made one after the other.
        let busy = life.waiting.iter().any(|(w, _)| matches!(w, Waits::Edit { .. } | Waits::Lease { .. }));
        let Some(book) = life.with_hot(|hot| hot.books().campaigns.get(&no).cloned()) else { return };
        if busy || !life.ready {
            return;
        }
        let day = self.terms[at].zone.local_hour(life.now()).day;
        let (mut total, mut daily, mut active) = (book.total.0, book.daily.map(|n| n.0), life.active[at]);
        if what == 0 && !book.deleted {
            self.note(Kind::Delete);
            let edit = Edit { at, active: false, serial: None };
            let life = self.life.as_mut().expect("it is running");
            return life.append_durable(Waits::Edit { edit }, &[Event::CampaignDeleted { campaign: no }]);
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
                total = (total - amount).max(0);
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
        let serial = self.edits;
        let set = CampaignSet {
            campaign: no,
            id: book.id,
            currency: book.currency,
            total: Nanos(total),
            daily: daily.map(Nanos),
            day: Some(day),
            json: Some(json(active, serial)),
        };
        let edit = Edit { at, active, serial: Some(serial) };
        let life = self.life.as_mut().expect("it is running");
        life.append_durable(Waits::Edit { edit }, &[Event::CampaignSet(set)]);
    }

    fn edited(&mut self, edit: Edit, result: Result<(), AppendError>) {
        if result.is_err() {
            return self.note(Kind::EditRefused);
        }
        assert!(edit.serial.is_none_or(|n| self.journal.edits.contains(&n)), "an answered edit is not in the log");
        let plan = self.plan(edit.at, edit.active);
        let Some(life) = &mut self.life else { return };
        let no = CampaignNo(edit.at as u32);
        life.active[edit.at] = edit.active;
        let mut events = Vec::new();
        life.with_hot(|hot| {
            if edit.serial.is_some() {
                hot.set_plan(no, plan);
            }
            hot.look_after_lease_now(no, &mut events);
        });
        life.append_durable(Waits::Lease { events: events.clone() }, &events);
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
            Waits::Lease { events } => {
                if result.is_err() {
                    self.note(Kind::LeaseRefused);
                    if let Some(life) = &self.life {
                        life.with_hot(|hot| hot.refused(&events));
                    }
                }
            }
            Waits::Return => {}
        }
    }

    /// Whether bids are made at all.
    pub fn may_bid(&self) -> bool {
        self.life.as_ref().is_some_and(|life| life.ready && life.log.state() == LogState::Open)
    }
}
