//! All that fraud checks need, shared by all workers; and how it follows the log. What a start folds with
//! [`Engine::fold`] is what live checks left.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use arc_swap::ArcSwap;
use foldhash::HashMap;

use super::decide::{self, Decided, Scratch, Snapshot};
use super::edits::Edits;
use super::policy::Policy;
use super::request::Request;
use super::store::{Begun, Store, body_id, check_id, first_outcome, key_id};
use super::velocity::Velocity;
use super::{Decision, answer, store};
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
    /// Events that are not in it yet: whoever asks for it works them out, for that may take long and the log has no time.
    ahead: Mutex<Vec<(UnixMs, FraudEvent)>>,
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
    /// Events folded since a shard was.
    folded: u32,
}

/// Edits that are told of before somebody must work them out: those of REST are at once, those of other nodes wait for one.
const MAX_AHEAD: usize = 64;

/// One shard after the other is swept at this distance: each every few minutes, which is soon for windows of hours.
const SWEEP_INTERVAL_MS: i64 = 1_000;
/// Events folded between two sweeps of a shard: what no window asks for any more makes room for what is later.
const SWEEP_EVENTS: u32 = 1_000;

/// Also after a panic elsewhere: what is behind it is changed by events that are in the log.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

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
        let (edits, ahead) = (Mutex::default(), Mutex::default());
        Engine { velocity, store: Store::new(bounds), policy, names, edits, ahead, fingerprint }
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
            edit if edit.is_edit() => {
                let mut ahead = lock(&self.ahead);
                ahead.push((now, edit.clone()));
                let is_much = ahead.len() > MAX_AHEAD;
                drop(ahead);
                if is_much {
                    drop(self.edits());
                }
            }
            other => self.apply(other, offset, now, following),
        }
    }

    /// Folds an event of the log, of this time: for who reads it back.
    pub fn fold(&self, event: &FraudEvent, offset: u64, at: UnixMs, following: &mut Following) {
        self.apply(event, offset, at, following);
        following.folded += 1;
        if following.folded == SWEEP_EVENTS {
            following.folded = 0;
            self.sweep(at, following);
        }
    }

    /// Does what an event of the log says, unless it is done already.
    fn apply(&self, event: &FraudEvent, offset: u64, now: UnixMs, following: &mut Following) {
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
            | FraudEvent::ListEntryRemoved { .. } => self.edits().apply(event, now),
        }
    }

    /// What REST changed so far.
    pub fn edits(&self) -> MutexGuard<'_, Edits> {
        let mut edits = lock(&self.edits);
        let ahead = std::mem::take(&mut *lock(&self.ahead));
        ahead.iter().for_each(|(at, event)| edits.apply(event, *at));
        edits
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
    fn sweep(&self, now: UnixMs, following: &mut Following) {
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
