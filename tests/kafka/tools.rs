//! Logs on topics of their own, and what follows them.

use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use gavel::clock::UnixMs;
use gavel::config::Kafka;
use gavel::event::{Event, Stamped};
use gavel::eventlog::kafka::{KafkaLog, Opened};
use gavel::eventlog::{Follower, LogReader, OpenError};
use gavel::ids::CampaignNo;
use gavel::money::Nanos;
use tempfile::TempDir;

use crate::broker::Broker;

/// A topic that no other test has.
pub fn topic(broker: &Broker) -> Kafka {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    Kafka {
        brokers: vec![broker.address()],
        topic: format!("log-{}", NEXT.fetch_add(1, Ordering::Relaxed)),
        replication: 1,
        min_insync_replicas: 1,
        tls: None,
        sasl: None,
    }
}

/// The table of the config that names it.
pub fn table(kafka: &Kafka) -> String {
    format!(
        "[log]\nkind = \"kafka\"\n[log.kafka]\nbrokers = [\"{}\"]\ntopic = \"{}\"\nreplication = 1\nmin_insync_replicas = 1\n",
        kafka.brokers[0], kafka.topic
    )
}

/// A small event that says which lane it was appended to and as which one there.
pub fn event(lane: usize, n: u32) -> Event {
    Event::Correction { campaign: CampaignNo(lane as u32), drift: Nanos(i64::from(n)) }
}

pub fn lane_and_number(event: &Event) -> Option<(usize, u32)> {
    match event {
        Event::Correction { campaign, drift } => Some((campaign.0 as usize, drift.0 as u32)),
        Event::StillRunning => None,
        other => panic!("no test appends {other:?}"),
    }
}

/// Notes what it is given.
#[derive(Clone, Default)]
pub struct Recorder {
    pub applied: Arc<Mutex<Vec<Stamped>>>,
    pub ticked: Arc<Mutex<UnixMs>>,
    /// Appended by the follower itself at the next tick.
    pub own: Arc<Mutex<Vec<Event>>>,
}

impl Recorder {
    /// Of those that tests append.
    pub fn numbers(&self) -> Vec<(usize, u32)> {
        self.applied.lock().unwrap().iter().filter_map(|stamped| lane_and_number(&stamped.event)).collect()
    }
}

impl Follower for Recorder {
    fn apply(&mut self, stamped: &Stamped, _: &mut Vec<Event>) {
        assert!(stamped.at >= *self.ticked.lock().unwrap(), "stamped before a tick");
        self.applied.lock().unwrap().push(stamped.clone());
    }

    fn tick(&mut self, now: UnixMs, out: &mut Vec<Event>) {
        let before = std::mem::replace(&mut *self.ticked.lock().unwrap(), now);
        assert!(now >= before, "time went back");
        out.append(&mut self.own.lock().unwrap());
    }
}

pub const LANES: usize = 4;
pub const LANE_BYTES: usize = 64 << 10;

/// Opens a log whose broker may have just started.
pub fn open(kafka: &Kafka, dir: &TempDir) -> Opened {
    let asked = Instant::now();
    loop {
        match Opened::open(kafka, dir.path(), LANES, LANE_BYTES) {
            Err(OpenError::Away { .. }) if asked.elapsed() < Duration::from_secs(120) => {}
            done => return done.unwrap_or_else(|error| panic!("{error}")),
        }
    }
}

pub struct Log {
    pub log: KafkaLog,
    pub recorder: Recorder,
    pub failed: Arc<Mutex<Vec<String>>>,
    _dir: TempDir,
}

/// A log that is followed from where it ends now.
pub fn start(kafka: &Kafka) -> Log {
    let dir = tempfile::tempdir().unwrap();
    let (recorder, failed) = (Recorder::default(), Arc::new(Mutex::new(Vec::new())));
    let hook = failed.clone();
    let on_failed = Box::new(move |why: &str| hook.lock().unwrap().push(why.to_owned()));
    let log = open(kafka, &dir).start(Box::new(recorder.clone()), on_failed).unwrap();
    Log { log, recorder, failed, _dir: dir }
}

pub fn read_all(reader: &mut dyn LogReader) -> Vec<Stamped> {
    std::iter::from_fn(|| reader.next_event().unwrap()).collect()
}
