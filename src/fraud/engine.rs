//! All that fraud checks need, shared by all workers; and how it follows the log. What a start folds with
//! [`Engine::apply`] is what live checks left.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use arc_swap::ArcSwap;
use foldhash::HashMap;

use super::decide::{self, Decided, Scratch, Snapshot};
use super::lists::{Content, Entry, Kind, List};
use super::policy::{Lists, Policy};
use super::report::told;
use super::request::Request;
use super::store::{Begun, Store, body_id, check_id, first_outcome, key_id};
use super::velocity::Velocity;
use super::{Decision, Fault, answer, store};
use crate::clock::UnixMs;
use crate::event::fraud::{Checked, FraudEvent};
use crate::scoring::hash::hash64;
use crate::scoring::registry::ModelSet;
use crate::window::sliding::Value as Shown;

pub struct Engine {
    pub velocity: Velocity,
    pub store: Store,
    pub policy: ArcSwap<Policy>,
    /// Names of windows by fingerprint: those of today, and those that checks in the log were made with.
    names: ArcSwap<Names>,
    /// What REST changed, as the log tells.
    edits: Mutex<Edits>,
    pub fingerprint: u64,
}

type Names = HashMap<u64, Arc<[String]>>;

/// Buffers of whoever follows the log.
#[derive(Default)]
pub struct Following {
    request: Request,
    scratch: Scratch,
    sweep_at: UnixMs,
    /// The shard of windows that is swept next.
    shard: usize,
}

/// One shard after the other is swept at this distance: each every few minutes, which is soon for windows of hours.
const SWEEP_INTERVAL_MS: i64 = 1_000;

/// A number for a merchant.
pub fn merchant_number(merchant: &str) -> u64 {
    hash64(0x6d65_7263, merchant.as_bytes())
}

impl Engine {
    pub fn new(velocity: Velocity, policy: Policy, bounds: store::Bounds) -> Engine {
        let fingerprint = answer::fingerprint(&velocity);
        let names: Arc<[String]> = velocity.declared().iter().map(|window| window.name.clone()).collect();
        let names = HashMap::from_iter([(fingerprint, names)]);
        let (policy, names) = (ArcSwap::from_pointee(policy), ArcSwap::from_pointee(names));
        Engine { velocity, store: Store::new(bounds), policy, names, edits: Mutex::default(), fingerprint }
    }

    /// The event that tells what the values of later checks are called.
    pub fn windows_event(&self) -> FraudEvent {
        let names = self.velocity.declared().iter().map(|window| window.name.clone()).collect();
        FraudEvent::Windows { fingerprint: self.fingerprint, names }
    }

    /// Takes a parsed check in.
    pub fn begin(&self, request: &Request, key: &[u8], body: &[u8], now: UnixMs) -> (u128, u128, Begun) {
        let merchant = request.text(super::fields::MERCHANT);
        let key = key_id(merchant, key);
        let check = check_id(merchant, request.text(super::fields::TRANSACTION));
        (check, key, self.store.begin(key, check, merchant_number(merchant), body_id(body), now))
    }

    /// Whether the key came before.
    pub fn knows(&self, request: &Request, key: &[u8]) -> bool {
        self.store.has_key(key_id(request.text(super::fields::MERCHANT), key))
    }

    /// Decides a check that is new, by these models.
    pub fn check(
        &self,
        request: &Request,
        models: Option<&ModelSet>,
        now: UnixMs,
        scratch: &mut Scratch,
    ) -> (Arc<Policy>, Decided) {
        let policy = self.policy.load_full();
        let snapshot = Snapshot { policy: &policy, models, velocity: &self.velocity };
        let decided = decide::check(&snapshot, request, now, scratch);
        (policy, decided)
    }

    /// Follows the log of this very process, which has counted its checks already.
    pub fn follow(&self, event: &FraudEvent, offset: u64, now: UnixMs, following: &mut Following) {
        match event {
            // One that is not known any more had to make room.
            FraudEvent::Check(checked) => drop(self.store.written(checked.check, offset)),
            other => self.apply(other, offset, now, following),
        }
    }

    /// Does what an event of the log says, unless it is done already.
    pub fn apply(&self, event: &FraudEvent, offset: u64, now: UnixMs, following: &mut Following) {
        match event {
            FraudEvent::Windows { fingerprint, names } => {
                add_names(self, *fingerprint, names);
            }
            FraudEvent::Check(checked) => {
                if !self.store.written(checked.check, offset) {
                    self.restore(checked, offset, now, following);
                }
            }
            FraudEvent::Late { check, decision } => {
                if let Some(decision) = Decision::from_number(*decision) {
                    self.store.answered_late(*check, decision);
                }
            }
            FraudEvent::Outcome(outcome) => {
                if let Some((facts, was, change)) = self.store.note_status(outcome.check, outcome.status) {
                    self.velocity.mark(&facts, was, change, &mut following.scratch.velocity);
                }
            }
            FraudEvent::Label(label) => {
                if let Some((facts, was, change)) = self.store.note_label(label.check, label.label) {
                    self.velocity.mark(&facts, was, change, &mut following.scratch.velocity);
                } else if !self.store.contains(label.check) {
                    // Maybe one that had to make room: its windows do not hear of it.
                    self.velocity.note_unknown_label(self.store.forgotten_to_ms());
                }
            }
            // In force when they are answered; at a start, from what is noted here.
            FraudEvent::Rules { .. }
            | FraudEvent::FileRules { .. }
            | FraudEvent::List { .. }
            | FraudEvent::ListEntries { .. }
            | FraudEvent::ListEntryRemoved { .. } => self.edits().apply(event),
        }
    }

    /// What REST changed so far.
    pub fn edits(&self) -> MutexGuard<'_, Edits> {
        self.edits.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Names of windows by fingerprint.
    pub(super) fn names(&self) -> Arc<Names> {
        self.names.load_full()
    }

    /// Lets go of what no window can ask for any more, a little at a time.
    pub fn tick(&self, now: UnixMs, following: &mut Following) {
        if now >= following.sweep_at {
            following.sweep_at = now.plus(SWEEP_INTERVAL_MS);
            self.sweep(now, following);
        }
    }

    /// Sweeps the next shard.
    pub fn sweep(&self, now: UnixMs, following: &mut Following) {
        self.velocity.sweep(following.shard, now);
        following.shard = following.shard.wrapping_add(1);
    }

    /// Counts a check of the log in its windows, as it was counted when it came.
    fn restore(&self, checked: &Arc<Checked>, offset: u64, now: UnixMs, following: &mut Following) {
        let merchant = Some(checked.merchant.as_str()).filter(|merchant| !merchant.is_empty());
        let Following { request, scratch, .. } = following;
        // It was fine once; if today's fields are stricter, its windows do without it.
        if request.parse(&checked.body, false, merchant, checked.arrived).is_err() {
            return;
        }
        let facts = self.velocity.observe(request, first_outcome(checked), &mut scratch.velocity);
        let merchant = merchant_number(request.text(super::fields::MERCHANT));
        self.store.restore(checked.clone(), merchant, facts, offset, now);
    }

    /// The answer to `GET` of a check.
    pub fn shown(&self, checked: &Checked, offset: u64, late: Option<Decision>) -> Vec<u8> {
        let names = self.names.load().get(&checked.windows).cloned().unwrap_or_default();
        let features = names.iter().map(String::as_str).zip(checked.shown.iter().map(|shown| unpack(*shown)));
        answer::with_features(&answer::given(&checked.answer, offset, late), features)
    }
}

/// Notes what the windows of a fingerprint are called.
pub(super) fn add_names(engine: &Engine, fingerprint: u64, names: &[String]) {
    engine.names.rcu(|known| {
        let mut known = HashMap::clone(known);
        known.insert(fingerprint, names.into());
        known
    });
}

/// A window's value as the log keeps it.
pub fn pack(shown: Shown) -> (u8, u64) {
    match shown {
        Shown::Null => (0, 0),
        Shown::Lost => (1, 0),
        Shown::Int(value) => (2, value.cast_unsigned()),
        Shown::Real(value) => (3, value.to_bits()),
    }
}

pub fn unpack((tag, bits): (u8, u64)) -> Shown {
    match tag {
        2 => Shown::Int(bits.cast_signed()),
        3 => Shown::Real(f64::from_bits(bits)),
        1 => Shown::Lost,
        _ => Shown::Null,
    }
}

/// Rules and lists that REST put, as the log tells.
#[derive(Clone, Debug, Default)]
pub struct Edits {
    pub rules: Option<String>,
    /// Those of the config's file that a start had in force last.
    pub file_rules: Option<String>,
    pub lists: Lists,
}

impl Edits {
    /// Follows one event. What cannot be understood any more is left out.
    pub fn apply(&mut self, event: &FraudEvent) {
        // What is wrong with an edit was said when it came. A list that nobody had put was there all the same, and empty.
        if let FraudEvent::ListEntries { name, .. } | FraudEvent::ListEntryRemoved { name, .. } = event {
            self.lists.entry(name.clone()).or_insert_with(|| Arc::new(List::new(Kind::Exact)));
        }
        match event {
            FraudEvent::Rules { toml } => self.rules = Some(toml.clone()),
            FraudEvent::FileRules { toml } => self.file_rules = Some(toml.clone()),
            FraudEvent::List { name, json } => drop(put_list(&mut self.lists, name, json.as_bytes())),
            FraudEvent::ListEntries { name, json } => drop(add_entries(&mut self.lists, name, json.as_bytes())),
            FraudEvent::ListEntryRemoved { name, value } => drop(remove_entry(&mut self.lists, name, value)),
            _ => {}
        }
    }
}

/// Why a list was not changed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum NoEdit {
    NotFound(String),
    Syntax(String),
    Faults(Vec<Fault>),
}

/// Puts a whole list.
pub fn put_list(lists: &mut Lists, name: &str, json: &[u8]) -> Result<(), NoEdit> {
    let content: Content = serde_json::from_slice(json).map_err(|e| NoEdit::Syntax(told(&e)))?;
    if !lists.contains_key(name) && lists.len() >= super::lists::MAX_LISTS {
        let most = super::lists::MAX_LISTS;
        return Err(NoEdit::Faults(vec![Fault::new("", format!("there are {most} lists, more are not taken"))]));
    }
    lists.insert(name.to_owned(), Arc::new(List::of(&content).map_err(NoEdit::Faults)?));
    Ok(())
}

/// Adds entries: one, or `{"entries": [...]}`.
pub fn add_entries(lists: &mut Lists, name: &str, json: &[u8]) -> Result<(), NoEdit> {
    #[derive(serde::Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Many {
        entries: Vec<Entry>,
    }
    #[derive(serde::Deserialize)]
    #[serde(untagged)]
    enum Added {
        Many(Many),
        One(Entry),
    }
    let Some(list) = lists.get_mut(name) else { return Err(no_list(name)) };
    let entries = match serde_json::from_slice(json) {
        Ok(Added::Many(Many { entries })) => entries,
        Ok(Added::One(entry)) => vec![entry],
        Err(_) => {
            let message = "an entry is {\"value\", \"expires_at\"}, several are {\"entries\": [...]}";
            return Err(NoEdit::Syntax(message.to_owned()));
        }
    };
    let mut longer = List::clone(list);
    let faults = longer.add(&entries);
    if !faults.is_empty() {
        return Err(NoEdit::Faults(faults));
    }
    *list = Arc::new(longer);
    Ok(())
}

pub fn remove_entry(lists: &mut Lists, name: &str, value: &str) -> Result<(), NoEdit> {
    let Some(list) = lists.get_mut(name) else { return Err(no_list(name)) };
    let mut shorter = List::clone(list);
    if !shorter.remove(value) {
        return Err(NoEdit::NotFound("the list has no such entry".to_owned()));
    }
    *list = Arc::new(shorter);
    Ok(())
}

fn no_list(name: &str) -> NoEdit {
    NoEdit::NotFound(format!("there is no list {name:?}"))
}
