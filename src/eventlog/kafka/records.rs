//! The records of the topic from an offset on, as events with the log's time.
//!
//! The log's time is the brokers' append time, except that it never goes back: a record has the latest time of all up to
//! it. That is the same wherever reading begins, in every process and in every replay.

use std::time::{Duration, Instant};

use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::{KafkaError, KafkaResult};
use rdkafka::message::{BorrowedMessage, Message, Timestamp};
use rdkafka::topic_partition_list::{Offset as Place, TopicPartitionList};

use super::client::{Quiet, consumer, may_pass};
use crate::clock::UnixMs;
use crate::config::Kafka;
use crate::event::{Event, Offset, Stamped};
use crate::eventlog::ReadError;

/// The log's partition.
pub const PARTITION: i32 = 0;
/// How long brokers may take for a question.
pub const PATIENCE: Duration = Duration::from_secs(10);

/// A client that can ask where things are in the topic, and read it.
pub struct Topic {
    consumer: BaseConsumer<Quiet>,
    name: String,
}

impl Topic {
    pub fn new(config: &Kafka) -> Result<Topic, ReadError> {
        let made = consumer(config).create_with_context(Quiet);
        let name = config.topic.clone();
        match made {
            Ok(consumer) => Ok(Topic { consumer, name }),
            Err(error) => Err(ReadError::Record { place: "Kafka's client".into(), what: error.to_string() }),
        }
    }

    fn fault(&self, offset: Offset, what: impl Into<String>) -> ReadError {
        let place = format!("topic {}, partition {PARTITION}, offset {}", self.name, offset.0);
        ReadError::Record { place, what: what.into() }
    }

    fn unanswered(&self, error: KafkaError) -> ReadError {
        let place = format!("topic {}, partition {PARTITION}", self.name);
        ReadError::Unanswered { place, why: error.to_string() }
    }

    /// The first offset that is there, and the one after the last.
    pub fn ends(&self) -> Result<(Offset, Offset), ReadError> {
        let ends = self.consumer.fetch_watermarks(&self.name, PARTITION, PATIENCE).map_err(|e| self.unanswered(e))?;
        Ok((Offset(ends.0.max(0).unsigned_abs()), Offset(ends.1.max(0).unsigned_abs())))
    }

    /// The first record that was appended at `at` or later.
    pub fn first_since(&self, at: UnixMs) -> Result<Option<Offset>, ReadError> {
        let ask = || -> KafkaResult<Place> {
            let mut times = TopicPartitionList::new();
            times.add_partition_offset(&self.name, PARTITION, Place::Offset(at.0.max(0)))?;
            let found = self.consumer.offsets_for_times(times, PATIENCE)?;
            let partition = found.find_partition(&self.name, PARTITION);
            let partition = partition.ok_or(KafkaError::NoMessageReceived)?;
            partition.error()?;
            Ok(partition.offset())
        };
        match ask().map_err(|e| self.unanswered(e))? {
            Place::Offset(offset) => Ok(Some(Offset(offset.max(0).unsigned_abs()))),
            _ => Ok(None),
        }
    }

    /// The log's time before `next`, where the record before it was appended at `last`: later than that if a clock had gone
    /// back, which is rare.
    fn time_before(&self, next: Offset, last: UnixMs) -> Result<UnixMs, ReadError> {
        let is_before = |at: UnixMs| Ok(self.first_since(at)?.is_some_and(|first| first < next));
        // Some record before `next` is not older than `low`, none is as late as `high`.
        let (mut low, mut ahead_ms) = (last, 1);
        while is_before(low.plus(ahead_ms))? {
            low = low.plus(ahead_ms);
            ahead_ms *= 2;
        }
        let mut high = low.plus(ahead_ms);
        while high.since(low) > 1 {
            let middle = low.plus(high.since(low) / 2);
            *(if is_before(middle)? { &mut low } else { &mut high }) = middle;
        }
        Ok(low)
    }

    /// Reads from there on.
    pub fn read(self, from: Offset) -> Result<Records, ReadError> {
        let before = Offset(from.0.saturating_sub(1));
        let mut at = TopicPartitionList::new();
        let assigned = at
            .add_partition_offset(&self.name, PARTITION, Place::Offset(before.0 as i64))
            .and_then(|()| self.consumer.assign(&at));
        assigned.map_err(|e| self.unanswered(e))?;
        let mut records = Records { topic: self, next: before, at: UnixMs(i64::MIN) };
        if from > before {
            let asked = Instant::now();
            while records.next(PATIENCE)?.is_none() {
                if asked.elapsed() >= PATIENCE {
                    return Err(records.topic.unanswered(KafkaError::NoMessageReceived));
                }
            }
            records.at = records.topic.time_before(from, records.at)?;
        }
        Ok(records)
    }
}

/// The topic, being read.
pub struct Records {
    topic: Topic,
    /// The offset of the record that comes next.
    pub next: Offset,
    /// The log's time: of the record before it.
    pub at: UnixMs,
}

impl Records {
    /// Reads no more; the client can read elsewhere.
    pub fn end(self) -> Option<Topic> {
        self.topic.consumer.unassign().ok().map(|()| self.topic)
    }

    /// The next event; `None` when it has not come within `wait`. Anything else than the next event is an error, and stays one.
    pub fn next(&mut self, wait: Duration) -> Result<Option<Stamped>, ReadError> {
        let (offset, at, event) = loop {
            match self.topic.consumer.poll(wait) {
                None => return Ok(None),
                Some(Err(error)) if may_pass(&error) => {
                    tracing::debug!("Kafka: {error}");
                    return Ok(None);
                }
                Some(Err(error)) => return Err(self.topic.fault(self.next, error.to_string())),
                Some(Ok(message)) => {
                    let offset = Offset(message.offset().max(0).unsigned_abs());
                    if offset < self.next {
                        continue;
                    }
                    if offset > self.next {
                        let what = format!("it came where {} should: records are missing", self.next.0);
                        return Err(self.topic.fault(offset, what));
                    }
                    let decoded = decode(&message).map_err(|what| self.topic.fault(offset, what))?;
                    break (offset, decoded.0, decoded.1);
                }
            }
        };
        self.next = Offset(offset.0 + 1);
        self.at = self.at.max(at);
        Ok(Some(Stamped { offset, at: self.at, event }))
    }
}

fn decode(message: &BorrowedMessage) -> Result<(UnixMs, Event), String> {
    let Timestamp::LogAppendTime(at) = message.timestamp() else {
        return Err(
            "it does not have the time of its append: the topic needs message.timestamp.type=LogAppendTime".into()
        );
    };
    let bytes = message.payload().unwrap_or_default();
    let event = Event::decode(bytes).ok_or_else(|| match bytes {
        [kind, version, ..] => format!(
            "its event of kind {kind} version {version} is not known to this build, or is damaged: a newer gavel wrote it, or \
             something else"
        ),
        _ => "it holds no event".to_owned(),
    })?;
    Ok((UnixMs(at), event))
}
