//! What was checked: answers for retries, and what outcomes and labels are about. A fold of the log, within bounds.
//!
//! Every check has an entry as long as there is room; the newest have their answers with them, older ones only the offset
//! at which the log has them. Keys are forgotten after a day.

#[cfg(test)]
mod tests;

use std::collections::VecDeque;
use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use foldhash::HashMap;
use sha2::{Digest, Sha256};

use super::Decision;
use super::velocity::Facts;
use crate::clock::UnixMs;
use crate::event::fraud::{Checked, Label, Status};
use crate::window::sliding::{Change, Outcome};
use crate::wire::{Put, Take};

const SHARDS: usize = 64;
/// How long a key is remembered.
pub const KEY_LIFETIME_MS: i64 = 86_400_000;

/// Bounds, so that no client can take the machine's memory.
#[derive(Clone, Copy, Debug)]
pub struct Bounds {
    /// Checks that outcomes, labels and retries can still be about; about 300 bytes each.
    pub max_checks: usize,
    /// Bytes of answers that are not read back from the log.
    pub max_answer_bytes: usize,
}

/// Who a check belongs to and which one it is: a merchant's transaction has one check.
pub fn check_id(merchant: &str, transaction: &str) -> u128 {
    digest("check", merchant, transaction.as_bytes())
}

/// A merchant's idempotency key.
pub fn key_id(merchant: &str, key: &[u8]) -> u128 {
    digest("key", merchant, key)
}

fn digest(what: &str, merchant: &str, rest: &[u8]) -> u128 {
    let mut hash = Sha256::new();
    hash.update(what);
    hash.update((merchant.len() as u64).to_le_bytes());
    hash.update(merchant);
    hash.update(rest);
    hash.finalize().first_chunk::<16>().map_or(0, |bytes| u128::from_le_bytes(*bytes))
}

/// A hash of a body as it came.
pub fn body_id(body: &[u8]) -> u64 {
    crate::scoring::hash::hash64(0x626f_6479, body)
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    /// Being decided, or decided and on its way into the log.
    InFlight,
    /// Decided, and the log did not take it.
    Unwritten,
    Written(u64),
}

#[derive(Debug)]
struct Entry {
    /// Its idempotency key; 0 where that is not known any more.
    key: u128,
    merchant: u64,
    body: u64,
    state: State,
    facts: Option<Facts>,
    outcome: Outcome,
    checked: Option<Arc<Checked>>,
    /// The fail policy answered it.
    late: Option<Decision>,
}

#[derive(Debug, Default)]
struct Shard {
    entries: HashMap<u128, Entry>,
    /// In the order in which they came; those before `answered` have no answer with them any more.
    order: VecDeque<u128>,
    answers: VecDeque<(u128, usize)>,
    answer_bytes: usize,
}

#[derive(Debug, Default)]
struct Keys {
    checks: HashMap<u128, (u128, UnixMs)>,
    order: VecDeque<(u128, UnixMs)>,
}

/// What a check that came in is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Begun {
    /// New, and now in flight.
    New,
    /// The same was answered before.
    Answered(Found),
    /// The same was decided before, and the log did not take it. Now in flight again; what was answered if it was late.
    Unwritten(Arc<Checked>, Option<Decision>),
    InFlight,
    /// The key came before with another body.
    OtherBody,
    /// The transaction was checked with another key.
    OtherKey(u128),
    /// The key came before, and what was checked with it had to make room.
    Forgotten,
}

/// Where a check stands in the log, and the event if it is still here: otherwise it must be read from there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Found {
    pub offset: u64,
    pub checked: Option<Arc<Checked>>,
    /// What the fail policy answered when there was no time left.
    pub late: Option<Decision>,
}

#[derive(Debug)]
pub struct Store {
    shards: Box<[Mutex<Shard>]>,
    keys: Box<[Mutex<Keys>]>,
    bounds: Bounds,
    /// The newest time of a check that had to make room.
    forgotten_to_ms: AtomicI64,
}

/// A panic under the lock is a bug that a test would have shown; what is behind it stays within its bounds.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Store {
    pub fn new(bounds: Bounds) -> Store {
        let shards = (0..SHARDS).map(|_| Mutex::default()).collect();
        let keys = (0..SHARDS).map(|_| Mutex::default()).collect();
        Store { shards, keys, bounds, forgotten_to_ms: AtomicI64::new(i64::MIN) }
    }

    fn shard(&self, check: u128) -> MutexGuard<'_, Shard> {
        lock(&self.shards[check as usize % SHARDS])
    }

    fn keys(&self, key: u128) -> MutexGuard<'_, Keys> {
        lock(&self.keys[key as usize % SHARDS])
    }

    /// Takes a check in, unless it or its key is known.
    pub fn begin(&self, key: u128, check: u128, merchant: u64, body: u64, now: UnixMs) -> Begun {
        let mut keys = self.keys(key);
        keys.forget(now, self.bounds.max_checks / SHARDS);
        if let Some((known, _)) = keys.checks.get(&key).copied() {
            return self.shard(known).entries.get_mut(&known).map_or(Begun::Forgotten, |entry| entry.again(body));
        }
        let mut shard = self.shard(check);
        // Keys are bounded apart from checks, and may have to go before them.
        match shard.entries.get_mut(&check) {
            Some(entry) if entry.key == key => return entry.again(body),
            Some(_) => return Begun::OtherKey(check),
            None => {}
        }
        let (state, outcome) = (State::InFlight, Outcome::TOTAL);
        let entry = Entry { key, merchant, body, state, facts: None, outcome, checked: None, late: None };
        self.put(&mut shard, check, entry);
        keys.put(key, check, now);
        Begun::New
    }

    fn put(&self, shard: &mut Shard, check: u128, entry: Entry) {
        if let Some(forgotten) = shard.put(check, entry, self.bounds.max_checks / SHARDS) {
            self.forgot(forgotten);
        }
    }

    /// All checks that are not here any more, and were, are at most so old.
    pub fn forgotten_to_ms(&self) -> i64 {
        self.forgotten_to_ms.load(Ordering::Relaxed)
    }

    pub fn forgot(&self, to_ms: i64) {
        self.forgotten_to_ms.fetch_max(to_ms, Ordering::Relaxed);
    }

    /// Whether the key came before.
    pub fn has_key(&self, key: u128) -> bool {
        self.keys(key).checks.contains_key(&key)
    }

    /// The check was decided, and goes into the log now.
    pub fn decided(&self, facts: Facts, checked: Arc<Checked>) {
        let mut shard = self.shard(checked.check);
        if let Some(entry) = shard.entries.get_mut(&checked.check) {
            entry.facts = Some(facts);
            entry.outcome = first_outcome(&checked);
            shard.keep(checked, self.bounds.max_answer_bytes / SHARDS);
        }
    }

    /// The check is in the log; true if that is news.
    pub fn written(&self, check: u128, offset: u64) -> bool {
        let mut shard = self.shard(check);
        match shard.entries.get_mut(&check) {
            Some(entry) => {
                entry.state = State::Written(offset);
                true
            }
            None => false,
        }
    }

    /// The log did not take it: a retry tries again.
    pub fn unwritten(&self, check: u128) {
        if let Some(entry) = self.shard(check).entries.get_mut(&check)
            && entry.state == State::InFlight
        {
            entry.state = State::Unwritten;
        }
    }

    /// The check was answered by the fail policy: so is whoever asks again.
    pub fn answered_late(&self, check: u128, decision: Decision) {
        if let Some(entry) = self.shard(check).entries.get_mut(&check) {
            entry.late = Some(decision);
        }
    }

    /// Takes in a check that the log has; false if it was here already.
    pub fn restore(&self, checked: Arc<Checked>, merchant: u64, facts: Facts, offset: u64, now: UnixMs) -> bool {
        {
            let mut shard = self.shard(checked.check);
            if shard.entries.contains_key(&checked.check) {
                return false;
            }
            let entry = Entry {
                key: checked.key,
                merchant,
                body: body_id(&checked.body),
                state: State::Written(offset),
                facts: Some(facts),
                outcome: first_outcome(&checked),
                checked: None,
                late: None,
            };
            self.put(&mut shard, checked.check, entry);
            shard.keep(checked.clone(), self.bounds.max_answer_bytes / SHARDS);
        }
        if now.since(checked.arrived) < KEY_LIFETIME_MS {
            let mut keys = self.keys(checked.key);
            keys.forget(now, self.bounds.max_checks / SHARDS);
            keys.put(checked.key, checked.check, checked.arrived);
        }
        true
    }

    /// Takes in the event of a check that was read back: who asks once more finds it here.
    pub fn keep(&self, checked: Arc<Checked>) {
        self.shard(checked.check).keep(checked, self.bounds.max_answer_bytes / SHARDS);
    }

    /// Whether the check is here.
    pub fn contains(&self, check: u128) -> bool {
        self.shard(check).entries.contains_key(&check)
    }

    /// A check that is in the log, if it is this merchant's.
    pub fn find(&self, check: u128, merchant: Option<u64>) -> Option<Found> {
        let shard = self.shard(check);
        let entry = shard.entries.get(&check).filter(|e| merchant.is_none_or(|m| m == e.merchant))?;
        match entry.state {
            State::Written(offset) => Some(Found { offset, checked: entry.checked.clone(), late: entry.late }),
            _ => None,
        }
    }

    /// Notes what became of a payment; what that changes in the windows.
    pub fn note_status(&self, check: u128, status: Status) -> Option<(Facts, Outcome, Change)> {
        let (add, remove) = match status {
            Status::Authorized | Status::Captured => (Outcome::AUTHORIZED, Outcome::DECLINED),
            Status::Declined => (Outcome::DECLINED, Outcome::AUTHORIZED),
            Status::Refunded | Status::Canceled => return None,
        };
        self.note(check, Change { add, remove })
    }

    /// Notes what a transaction turned out to be.
    pub fn note_label(&self, check: u128, label: Label) -> Option<(Facts, Outcome, Change)> {
        self.note(
            check,
            match label {
                Label::Fraud => Change { add: Outcome::FRAUD, remove: Outcome::TOTAL },
                Label::Legitimate => Change { add: Outcome::TOTAL, remove: Outcome::FRAUD },
            },
        )
    }

    /// Only what is news, with what was known before: two checks that are alike in all that windows see are told apart here
    /// alone.
    fn note(&self, check: u128, change: Change) -> Option<(Facts, Outcome, Change)> {
        let mut shard = self.shard(check);
        let entry = shard.entries.get_mut(&check)?;
        let after = entry.outcome.after(change);
        let before = std::mem::replace(&mut entry.outcome, after);
        let facts = entry.facts.clone().filter(|_| after != before)?;
        Some((facts, before, change))
    }

    pub fn bounds(&self) -> Bounds {
        self.bounds
    }

    pub fn shards(&self) -> usize {
        SHARDS
    }

    /// Whether the log has every check that is here.
    pub fn is_written(&self) -> bool {
        let is_written = |entry: &Entry| matches!(entry.state, State::Written(_));
        self.shards.iter().all(|shard| lock(shard).entries.values().all(is_written))
    }

    /// One shard as bytes, as of this time, without answers: the log has them.
    pub fn shard_part(&self, number: usize, now: UnixMs) -> Vec<u8> {
        let (shard, keys) = (lock(&self.shards[number % SHARDS]), lock(&self.keys[number % SHARDS]));
        let mut out = Vec::new();
        let known = |check: &&u128| shard.entries.contains_key(*check);
        out.put_u32(shard.order.iter().filter(known).count() as u32);
        for (check, entry) in shard.order.iter().filter_map(|check| Some((check, shard.entries.get(check)?))) {
            let State::Written(offset) = entry.state else { continue };
            out.put(&check.to_le_bytes());
            out.put_u64(entry.merchant);
            out.put_u64(entry.body);
            out.put_u64(offset);
            out.put_u8(entry.outcome.byte());
            out.put_u8(entry.late.map_or(u8::MAX, Decision::number));
            entry.facts.clone().unwrap_or_default().put(&mut out);
        }
        for (key, at) in &keys.order {
            let lives = now.since(*at) < KEY_LIFETIME_MS;
            let Some((check, _)) = keys.checks.get(key).filter(|(_, newest)| lives && newest == at) else { continue };
            out.put(&key.to_le_bytes());
            out.put(&check.to_le_bytes());
            out.put_i64(at.0);
        }
        out
    }

    /// Puts a shard back into a store that knows nothing yet.
    pub fn restore_shard(&self, number: usize, bytes: &[u8], now: UnixMs) -> Option<()> {
        let mut fields = Take(bytes);
        let number_of = |fields: &mut Take| fields.array().map(u128::from_le_bytes);
        let most = self.bounds.max_checks / SHARDS;
        let mut shard = lock(&self.shards[number % SHARDS]);
        for _ in 0..fields.u32()? {
            let check = number_of(&mut fields)?;
            let (merchant, body) = (fields.u64()?, fields.u64()?);
            let (state, outcome) = (State::Written(fields.u64()?), Outcome::from_byte(fields.u8()?));
            let late = Decision::from_number(fields.u8()?);
            let facts = Some(Facts::take(&mut fields)?);
            // Its key follows, or is too old to matter.
            let entry = Entry { key: 0, merchant, body, state, facts, outcome, checked: None, late };
            self.put(&mut shard, check, entry);
        }
        let mut keys = lock(&self.keys[number % SHARDS]);
        while !fields.0.is_empty() {
            let (key, check) = (number_of(&mut fields)?, number_of(&mut fields)?);
            keys.put(key, check, UnixMs(fields.i64()?));
        }
        keys.forget(now, most);
        Some(())
    }

    /// Checks that are known.
    pub fn len(&self) -> usize {
        self.shards.iter().map(|shard| lock(shard).entries.len()).sum()
    }

    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

/// What is known of a check when it was decided.
pub fn first_outcome(checked: &Checked) -> Outcome {
    if checked.decision == super::Decision::Deny.number() { Outcome::BLOCKED } else { Outcome::TOTAL }
}

impl Entry {
    /// What it is to who comes with its key again.
    fn again(&mut self, body: u64) -> Begun {
        if self.body != body {
            return Begun::OtherBody;
        }
        match (self.state, self.checked.clone()) {
            (State::Written(offset), checked) => Begun::Answered(Found { offset, checked, late: self.late }),
            (State::Unwritten, Some(checked)) => {
                self.state = State::InFlight;
                Begun::Unwritten(checked, self.late)
            }
            _ => Begun::InFlight,
        }
    }
}

impl Shard {
    /// The newest time of those that had to go for it.
    fn put(&mut self, check: u128, entry: Entry, most: usize) -> Option<i64> {
        self.entries.insert(check, entry);
        self.order.push_back(check);
        let mut forgotten = None;
        while self.order.len() > most.max(1) {
            let entry = self.order.pop_front().and_then(|oldest| self.entries.remove(&oldest));
            forgotten = forgotten.max(entry.and_then(|entry| entry.facts).map(|facts| facts.at_ms()));
        }
        forgotten
    }

    /// Keeps the event with its entry, and lets the oldest go.
    fn keep(&mut self, checked: Arc<Checked>, most_bytes: usize) {
        let bytes = checked.body.len() + checked.answer.len() + 16 * checked.shown.len() + size_of::<Checked>();
        let check = checked.check;
        let Some(entry) = self.entries.get_mut(&check) else { return };
        if entry.checked.replace(checked).is_none() {
            self.answers.push_back((check, bytes));
            self.answer_bytes += bytes;
        }
        while self.answer_bytes > most_bytes {
            let Some((oldest, bytes)) = self.answers.pop_front() else { return };
            self.answer_bytes -= bytes;
            let Some(entry) = self.entries.get_mut(&oldest) else { continue };
            if !matches!(entry.state, State::Written(_)) {
                // It is nowhere else yet. Its turn comes again; how many there are is bounded by what the log takes.
                self.answers.push_front((oldest, bytes));
                self.answer_bytes += bytes;
                return;
            }
            entry.checked = None;
        }
    }
}

impl Keys {
    fn put(&mut self, key: u128, check: u128, at: UnixMs) {
        self.checks.insert(key, (check, at));
        self.order.push_back((key, at));
    }

    fn forget(&mut self, now: UnixMs, most: usize) {
        while let Some((key, at)) = self.order.front().copied() {
            if now.since(at) < KEY_LIFETIME_MS && self.order.len() <= most {
                return;
            }
            self.order.pop_front();
            // It may have come again since.
            if self.checks.get(&key).is_some_and(|(_, newest)| *newest == at) {
                self.checks.remove(&key);
            }
        }
    }
}
