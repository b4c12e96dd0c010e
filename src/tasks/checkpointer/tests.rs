//! Checkpoints that are made while events come, against engines that folded the whole log.

use std::sync::atomic::AtomicI64;

use fastrand::Rng;

use super::*;
use crate::clock::UnixMs;
use crate::event::Stamped;
use crate::event::fraud::{self, Checked, FraudEvent, Label, Labelled, Status};
use crate::eventlog::mem::MemStorage;
use crate::eventlog::{Follower, LogConfig, SegmentLog};
use crate::fraud::policy::Lists;
use crate::fraud::store::{Bounds, check_id, key_id};
use crate::fraud::velocity::Window;
use crate::fraud::{Policy, Velocity};
use crate::window::sliding::{Aggregate, Limits, Outcome};

const HOUR_MS: i64 = 3_600_000;
const DAY_MS: i64 = 24 * HOUR_MS;
const CARD: &str = "payment_method.card.fingerprint";

struct Nobody;

impl Follower for Nobody {
    fn apply(&mut self, _: &Stamped, _: &mut Vec<Event>) {}
    fn tick(&mut self, _: UnixMs, _: &mut Vec<Event>) {}
}

fn empty(max_checks: usize) -> Result<Engine, String> {
    let window = |name: &str, key: &[&str], aggregate, value: Option<&str>, length_ms, selects| Window {
        name: name.to_owned(),
        key: key.iter().map(|field| (*field).to_owned()).collect(),
        aggregate,
        value: value.map(str::to_owned),
        length_ms,
        delay_ms: 0,
        selects,
    };
    let windows = vec![
        window("hour", &[CARD], Aggregate::Count, None, HOUR_MS, Outcome::TOTAL),
        window("spent", &[CARD, "merchant_id"], Aggregate::Sum, Some("amount.value"), 7 * DAY_MS, Outcome::TOTAL),
        window("fraud", &[CARD], Aggregate::Count, None, 30 * DAY_MS, Outcome::FRAUD),
        window("cards", &["customer.id"], Aggregate::Distinct, Some(CARD), 3 * DAY_MS, Outcome::TOTAL),
    ];
    let limits = Limits { max_bytes: 64 << 20, max_events_per_key: 1 << 20, late_ms: DAY_MS };
    let velocity = Velocity::new(windows, limits).unwrap();
    let policy = Policy::new("", &velocity, Lists::default()).unwrap();
    Ok(Engine::new(velocity, policy, Bounds { max_checks, max_answer_bytes: 0 }))
}

/// A log of checks, and the disk with their checkpoints.
struct World {
    rng: Rng,
    clock: Arc<AtomicI64>,
    log: Arc<SegmentLog>,
    data: MemStorage,
    checks: u64,
    max_checks: usize,
}

impl World {
    fn new(seed: u64, max_checks: usize) -> World {
        let config = LogConfig { segment_bytes: 64 << 10, ..LogConfig::default() };
        let opened = SegmentLog::open(Arc::new(MemStorage::default()), config, &mut |_, _| {}).unwrap();
        let clock = Arc::new(AtomicI64::new(1_700_000_000_000));
        let time = clock.clone();
        let time = Box::new(move || UnixMs(time.load(Relaxed)));
        let log = opened.start(time, Box::new(Nobody), Box::new(|why| panic!("{why}"))).unwrap();
        let (log, data) = (Arc::new(log), MemStorage::default());
        World { rng: Rng::with_seed(seed), clock, log, data, checks: 0, max_checks }
    }

    /// So many more events: checks, what became of them and of those long before, edits, and others.
    fn live(&mut self, events: usize) {
        for _ in 0..events {
            let pause = [10, 1_000, 60_000, HOUR_MS][self.rng.usize(..4)];
            let now = UnixMs(self.clock.fetch_add(pause, Relaxed));
            let events: Vec<Event> = (0..self.rng.usize(1..5)).map(|_| self.event(now)).collect();
            self.log.append_durable(0, &events).wait().unwrap();
        }
    }

    fn event(&mut self, now: UnixMs) -> Event {
        let earlier = |world: &mut World| check_id("m", &world.rng.u64(..=world.checks).to_string());
        Event::Fraud(match self.rng.u8(..20) {
            0 | 1 => FraudEvent::Label(Labelled {
                check: earlier(self),
                label: if self.rng.bool() { Label::Fraud } else { Label::Legitimate },
                source: fraud::LabelSource::Chargeback,
                reason_code: String::new(),
                occurred_at: now,
                reported_at: now,
            }),
            2 | 3 => FraudEvent::Outcome(fraud::Outcome {
                check: earlier(self),
                status: if self.rng.bool() { Status::Declined } else { Status::Captured },
                response_code: String::new(),
                occurred_at: now,
            }),
            4 => FraudEvent::Late { check: earlier(self), decision: 1 },
            5 => {
                let (value, until) = (self.rng.u8(..9), now.plus(self.rng.i64(-1..3) * DAY_MS));
                let json = format!(r#"{{"value": "v{value}", "expires_at": "{until}"}}"#);
                FraudEvent::ListEntries { name: "some".to_owned(), json }
            }
            6 => FraudEvent::Rules { toml: format!("# {}", self.checks) },
            7 => return Event::StillRunning,
            _ => self.check(now),
        })
    }

    fn check(&mut self, now: UnixMs) -> FraudEvent {
        self.checks += 1;
        let late_ms = [0, 0, 0, 5, HOUR_MS][self.rng.usize(..5)];
        let (card, customer) = (self.rng.u8(..40), self.rng.u8(..20));
        let transaction = self.checks.to_string();
        let body = format!(
            r#"{{"merchant_id":"m","transaction_id":"{transaction}","occurred_at":"{}","amount":{{"value":{},"currency":"EUR"}},"payment_method":{{"card":{{"fingerprint":"card-{card}"}}}},"customer":{{"id":"c-{customer}"}}}}"#,
            now.plus(-late_ms),
            self.rng.u32(1..1_000),
        );
        FraudEvent::Check(Arc::new(Checked {
            check: check_id("m", &transaction),
            key: key_id("m", transaction.as_bytes()),
            arrived: now,
            merchant: String::new(),
            decision: self.rng.u8(..4),
            windows: 1,
            shown: Vec::new(),
            body: body.into_bytes(),
            answer: b"{".to_vec(),
        }))
    }

    fn checkpointer(&self) -> Checkpointer {
        let max_checks = self.max_checks;
        let empty = Box::new(move || empty(max_checks));
        Checkpointer { log: self.log.clone(), storage: Arc::new(self.data.clone()), empty, gauges: Arc::default() }
    }

    fn advance(&self) -> Result<Option<Written>, String> {
        self.checkpointer().advance(&|| false)
    }

    /// What a start comes to with these files, and from where on it read the log.
    fn start(&self, data: &MemStorage) -> (Found, Vec<Vec<u8>>) {
        let read = |from| self.log.read(from);
        let (engine, found) = recall(data, &|| empty(self.max_checks), &read).unwrap();
        let from = if let Found::UpTo(next) = found { next } else { Offset(0) };
        let (mut reader, mut following) = (read(from).unwrap(), Following::default());
        while let Some(stamped) = reader.next_event().unwrap() {
            if let Event::Fraud(event) = &stamped.event {
                engine.fold(event, stamped.offset.0, stamped.at, &mut following);
            }
        }
        let moment = Moment { next: self.log.durable_end().0, last_at: UnixMs(self.clock.load(Relaxed)) };
        (found, engine.checkpoint(moment).unwrap().collect())
    }

    /// The same without any file.
    fn whole(&self) -> Vec<Vec<u8>> {
        let (found, parts) = self.start(&MemStorage::default());
        assert_eq!(found, Found::None);
        parts
    }
}

fn file(disk: &MemStorage) -> Option<Vec<u8>> {
    disk.files().into_iter().find(|(name, _)| name == "fraud-checkpoint").map(|(_, bytes)| bytes)
}

#[test]
fn a_start_from_a_checkpoint_of_a_checkpoint_is_one_from_the_whole_log() {
    // With and without checks that have to make room.
    for (seed, max_checks) in [(1, 1 << 20), (2, 6_400)] {
        let mut world = World::new(seed, max_checks);
        let task = world.checkpointer();
        assert_eq!(task.advance(&|| false), Ok(None), "there is nothing yet");
        for round in 0..8 {
            world.live(if round == 3 { 3_000 } else { 300 });
            if round == 5 {
                // Nothing is left that any window of an hour or a week asks for.
                world.clock.fetch_add(20 * DAY_MS, Relaxed);
                world.live(50);
            }
            let end = world.log.durable_end();
            let written = task.advance(&|| false).unwrap().unwrap();
            let bytes = file(&world.data).unwrap().len() as u64;
            assert_eq!((written, task.gauges.fraud_checkpoint.load(Relaxed)), (Written { next: end, bytes }, end.0));
            assert!(world.start(&world.data) == (Found::UpTo(end), world.whole()), "seed {seed} round {round}");
            world.live(40);
            assert!(world.start(&world.data) == (Found::UpTo(end), world.whole()), "seed {seed} round {round}");
        }
        assert!(world.whole().concat().len() > 100_000);
    }
}

#[test]
fn a_crash_at_any_step_leaves_the_checkpoint_before_or_the_new_one() {
    let mut world = World::new(3, 1 << 20);
    world.live(100);
    let old = world.advance().unwrap().unwrap().next;
    world.live(30);
    let (before, whole) = (world.data.copy(), world.whole());
    let began = world.data.steps();
    let new = world.advance().unwrap().unwrap().next;
    let (steps, files) = (world.data.steps() - began, [file(&before), file(&world.data)]);
    let mut left = [0; 2];
    for step in 0..=steps {
        world.data = before.copy();
        world.data.die_after(step);
        let done = world.advance().is_ok();
        assert_eq!(done, step == steps, "step {step} of {steps}");
        // A kill leaves the files as they are, a power cut only what was synced.
        for after in [world.data.copy(), world.data.crash(step), world.data.crash(step + 1_000)] {
            let which = files.iter().position(|bytes| *bytes == file(&after)).expect("neither the old nor the new one");
            assert!(!done || which == 1, "what was done is done");
            left[which] += 1;
            if left[which] == 1 {
                assert!(world.start(&after) == (Found::UpTo([old, new][which]), whole.clone()));
            }
            if step % 50 == 0 || step + 5 > steps {
                // What a crash left unfinished is in nobody's way.
                world.data = after;
                assert!(matches!(world.advance(), Ok(Some(_))) || which == 1);
                assert!((file(&world.data), world.data.files().len()) == (files[1].clone(), 1), "step {step}");
            }
        }
    }
    assert!(left[0] > 600 && left[1] > 3, "{left:?}");
}

#[test]
fn a_disk_without_room_keeps_the_checkpoint_that_it_has() {
    let mut world = World::new(4, 1 << 20);
    world.live(100);
    let old = world.advance().unwrap().unwrap();
    world.live(100);
    let kept = file(&world.data);
    let refused = |world: &World, why: &str| {
        let error = world.advance().unwrap_err();
        assert!(error.contains(why), "{error}");
        assert!((file(&world.data), world.data.files().len()) == (kept.clone(), 1), "and nothing besides");
    };
    world.data.set_free(Some(2 * old.bytes - 1));
    refused(&world, "no room for another one");
    world.data.set_free(None);
    world.data.set_capacity(Some(2 * old.bytes));
    refused(&world, "no storage space");
    world.data.set_capacity(None);
    world.data.fail_syncs_of(Some("fraud-checkpoint.new"));
    refused(&world, "input/output error");
    world.data.fail_syncs_of(None);
    assert_eq!(world.checkpointer().advance(&|| true), Ok(None), "told to end");
    assert!(file(&world.data) == kept);
    assert_eq!(world.advance().unwrap().unwrap().next, world.log.durable_end());
}

#[test]
fn one_is_made_when_much_has_come_or_some_long_ago_and_never_one_after_the_other() {
    let (second, much) = (Duration::from_secs(1), EVENTS);
    assert!(!is_due(0, 2 * INTERVAL) && !is_due(much - 1, INTERVAL - second) && !is_due(9 * much, PAUSE - second));
    assert!(is_due(1, INTERVAL) && is_due(much, PAUSE));
}
