//! The log's thread: sends what is in the lanes, reads the topic back, applies it, tells who waits.
//!
//! One cut of the lanes is under way at a time, and the next one is taken when all of it was read back and applied. So what
//! the follower asks for comes on top of everything that this process has sent before, as in segment files; what other
//! processes append may come between.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, Instant};

use rdkafka::client::ClientContext;
use rdkafka::config::RDKafkaLogLevel;
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::message::Message;
use rdkafka::producer::{BaseProducer, BaseRecord, DeliveryResult, NoCustomPartitioner, Producer, ProducerContext};

use super::client::{Quiet, producer};
use super::key::key;
use super::records::{PARTITION, Records};
use crate::config::Kafka;
use crate::event::{Event, Offset};
use crate::eventlog::intake::{Intake, PanicGuard, Stop};
use crate::eventlog::lanes::{Cut, Lane, LaneLimits};
use crate::eventlog::{AppendError, Follower, LogState};

/// The longest pause while nothing is under way; what other processes append waits for it.
const PAUSE: Duration = Duration::from_millis(5);
/// How long a record that is under way is waited for at once.
const WAIT: Duration = Duration::from_millis(1);
/// Records applied before the lanes are looked at again.
const BATCH: usize = 1_000;
/// Without a sign of what is under way for so long Kafka is taken to be away: who waits should not wait longer for nothing.
const AWAY_AFTER: Duration = Duration::from_secs(2);
/// A quiet log gets an event, so that its time goes on: money set aside comes back, leases are looked after.
const QUIET: Duration = Duration::from_millis(500);
/// How long a stop waits for Kafka to take what was accepted.
const CLOSE_PATIENCE: Duration = Duration::from_secs(10);

/// Of each record of the cut, by its number: where it came to stand.
type Report = (usize, Result<i64, RDKafkaErrorCode>);

#[derive(Default)]
struct Reports(Mutex<Vec<Report>>);

impl Reports {
    fn push(&self, report: Report) {
        self.0.lock().unwrap_or_else(|e| e.into_inner()).push(report);
    }

    fn take(&self) -> Vec<Report> {
        std::mem::take(&mut self.0.lock().unwrap_or_else(|e| e.into_inner()))
    }
}

impl ClientContext for Reports {
    fn log(&self, level: RDKafkaLogLevel, facility: &str, message: &str) {
        Quiet.log(level, facility, message);
    }

    fn error(&self, error: KafkaError, reason: &str) {
        Quiet.error(error, reason);
    }
}

impl ProducerContext<NoCustomPartitioner> for Reports {
    type DeliveryOpaque = usize;

    fn delivery(&self, result: &DeliveryResult<'_>, number: usize) {
        self.push(match result {
            Ok(message) => (number, Ok(message.offset())),
            Err((error, _)) => (number, Err(error.rdkafka_error_code().unwrap_or(RDKafkaErrorCode::Fail))),
        });
    }
}

pub struct Writer {
    intake: Arc<Intake>,
    durable_end: Arc<AtomicU64>,
    topic: String,
    producer: BaseProducer<Reports>,
    records: Records,
    follower: Box<dyn Follower>,
    cut: Cut,
    /// Where each record of the cut came to stand.
    offsets: Vec<Option<Offset>>,
    /// Records of the cut's units that were told where they are.
    placed: usize,
    /// The last record of them.
    last_placed: Option<Offset>,
    sent_at: Instant,
    /// Bytes of the cut's events.
    bytes: u64,
    /// When anything of it was heard last.
    heard_at: Instant,
    /// When an event was applied last.
    applied_at: Instant,
    closing_since: Option<Instant>,
    /// Something was sent.
    has_begun: bool,
    /// Events of the follower itself.
    own: Lane,
    out: Vec<Event>,
}

impl Writer {
    pub fn new(
        config: &Kafka,
        intake: Arc<Intake>,
        durable_end: Arc<AtomicU64>,
        records: Records,
        follower: Box<dyn Follower>,
    ) -> Result<Writer, KafkaError> {
        let now = Instant::now();
        let cut = Cut::new(intake.lanes.len());
        Ok(Writer {
            intake,
            durable_end,
            topic: config.topic.clone(),
            producer: producer(config).create_with_context(Reports::default())?,
            records,
            follower,
            cut,
            offsets: Vec::new(),
            placed: 0,
            last_placed: None,
            sent_at: now,
            bytes: 0,
            heard_at: now,
            applied_at: now,
            closing_since: None,
            has_begun: false,
            own: Lane::default(),
            out: Vec::new(),
        })
    }

    /// Runs until the log stops or fails.
    pub fn run(mut self) {
        let _guard = PanicGuard(self.intake.clone(), "the log's thread panicked");
        loop {
            let stop = self.intake.stop();
            let error = match self.intake.failure() {
                Some(error) => error,
                None if stop == Stop::Now => AppendError::Closed,
                None => match self.round(stop) {
                    Ok(true) => continue,
                    Ok(false) if self.intake.unwritten.load(Ordering::Acquire) => AppendError::Away,
                    Ok(false) => return,
                    Err(why) => {
                        self.intake.fail(&why);
                        continue;
                    }
                },
            };
            self.cut.answer_all(&error);
            self.intake.answer_lanes(&error);
            return;
        }
    }

    fn is_under_way(&self) -> bool {
        !self.cut.is_written() || self.last_placed.is_some()
    }

    /// Hears what became of the cut, applies what has come, and sends the next one. False when it is the end.
    fn round(&mut self, stop: Stop) -> Result<bool, String> {
        self.hear()?;
        let applied = self.apply()?;
        if self.last_placed.is_some_and(|last| last < self.records.next) {
            self.cut.answer_written();
            self.last_placed = None;
        }
        if self.is_under_way() {
            return self.look_for_kafka(stop);
        }
        if self.intake.stats.state() == LogState::Away {
            tracing::info!("Kafka answers again: bids are made");
            self.intake.stats.set_state(LogState::Open);
        }
        if stop == Stop::No && self.records.next > Offset(0) {
            self.follower.tick(self.records.at, &mut self.out);
            // Not before this start is in the log: the time before it counts for nothing.
            if self.has_begun && self.applied_at.elapsed() >= QUIET && self.out.is_empty() {
                self.out.push(Event::StillRunning);
            }
        }
        self.keep_own()?;
        self.send()?;
        match (self.is_under_way(), stop) {
            (false, Stop::No) if applied < BATCH => {
                thread::park_timeout(PAUSE);
                Ok(true)
            }
            // Appends have been refused since before the cut was taken: the lanes are empty for good.
            (false, stop) => Ok(stop == Stop::No),
            (true, _) => Ok(true),
        }
    }

    /// Takes all that is in the lanes and sends it.
    fn send(&mut self) -> Result<(), String> {
        self.cut.take(&mut self.own, &self.intake.lanes);
        self.offsets.clear();
        (self.placed, self.bytes) = (0, 0);
        (self.sent_at, self.heard_at) = (Instant::now(), Instant::now());
        for bytes in self.cut.units().flat_map(|unit| unit.events()) {
            let unreadable = || "an event was encoded so that it cannot be decoded".to_owned();
            let key = key(&Event::decode(bytes).ok_or_else(unreadable)?);
            let number = self.offsets.len();
            let record = BaseRecord::with_opaque_to(&self.topic, number).partition(PARTITION);
            self.producer
                .send(record.payload(bytes).key(&key))
                .map_err(|(error, _)| format!("Kafka's client takes no more: {error}"))?;
            self.offsets.push(None);
            self.has_begun = true;
            self.bytes += bytes.len() as u64;
        }
        Ok(())
    }

    /// Takes what the client reports of records that it sent, and tells who waits for that alone.
    fn hear(&mut self) -> Result<(), String> {
        loop {
            // One call hands out one batch of reports.
            self.producer.poll(Duration::ZERO);
            let reports = self.producer.context().take();
            if reports.is_empty() {
                return Ok(());
            }
            self.heard_at = Instant::now();
            for (number, result) in reports {
                let offset = result.map_err(|error| format!("Kafka has not taken an event: {error}"))?;
                if let Some(place) = self.offsets.get_mut(number) {
                    *place = Some(Offset(offset.max(0).unsigned_abs()));
                }
            }
            self.place();
        }
    }

    /// Notes where the units are whose records are all there.
    fn place(&mut self) {
        while let Some(unit) = self.cut.peek() {
            let (bytes, records) = (unit.buffer_bytes(), unit.events().count());
            let known = self.offsets.get(self.placed..self.placed + records).unwrap_or_default();
            let (Some(Some(first)), Some(Some(last))) = (known.first(), known.last()) else { break };
            if known.iter().any(Option::is_none) {
                break;
            }
            let (first, last) = (*first, *last);
            self.cut.advance(bytes, first);
            self.placed += records;
            self.last_placed = self.last_placed.max(Some(last));
        }
        self.cut.tell_placed();
        if self.cut.is_written() && !self.offsets.is_empty() {
            self.intake.stats.count_group(self.placed as u64, self.bytes);
            self.intake.stats.count_sync(self.sent_at.elapsed());
        }
    }

    /// Applies what has come, up to a bound; waits a moment for it where something is under way.
    fn apply(&mut self) -> Result<usize, String> {
        let mut wait = if self.is_under_way() { WAIT } else { Duration::ZERO };
        for applied in 0..BATCH {
            let Some(stamped) = self.records.next(wait).map_err(|error| error.to_string())? else {
                return Ok(applied);
            };
            wait = Duration::ZERO;
            self.follower.apply(&stamped, &mut self.out);
            self.durable_end.store(self.records.next.0, Ordering::Release);
            if applied == 0 {
                (self.heard_at, self.applied_at) = (Instant::now(), Instant::now());
            }
        }
        Ok(BATCH)
    }

    /// When nothing is heard of what is under way: refuses what waits in the lanes, and at a stop gives up after a while.
    fn look_for_kafka(&mut self, stop: Stop) -> Result<bool, String> {
        if let Some((error, why)) = self.producer.client().fatal_error() {
            return Err(format!("Kafka's client cannot go on: {error}: {why}"));
        }
        if self.heard_at.elapsed() >= AWAY_AFTER {
            if self.intake.stats.state() != LogState::Away {
                self.intake.stats.set_state(LogState::Away);
                tracing::error!(
                    topic = self.topic,
                    "Kafka does not answer: no bids are made and notices are refused until it does"
                );
            }
            self.intake.refuse_waiting(&AppendError::Away);
        }
        if stop != Stop::No && self.closing_since.get_or_insert_with(Instant::now).elapsed() >= CLOSE_PATIENCE {
            let sent = self.offsets.iter().filter(|place| place.is_none()).count();
            let left = self.intake.events();
            tracing::error!(
                topic = self.topic,
                sent,
                left,
                "the stop has waited {} s for Kafka, and ends without it: of the events that were sent last some may be in the \
                 topic, those that are left were never sent. As after a kill: nobody was told that they are durable, and \
                 what their bids may still cost stays withheld",
                CLOSE_PATIENCE.as_secs()
            );
            self.intake.unwritten.store(true, Ordering::Release);
            return Ok(false);
        }
        Ok(true)
    }

    /// Encodes what the follower wants appended.
    fn keep_own(&mut self) -> Result<(), String> {
        let limits = LaneLimits { lane_bytes: usize::MAX, ..self.intake.limits };
        for event in self.out.drain(..) {
            let pushed = self.own.push(std::slice::from_ref(&event), limits);
            pushed.map_err(|e| format!("the follower's event cannot be appended: {e}"))?;
        }
        Ok(())
    }
}
