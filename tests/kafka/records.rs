//! Records that are no events, or not the next ones: refused with the place, and nothing is applied.

use std::time::Duration;

use gavel::clock::UnixMs;
use gavel::config::Kafka;
use gavel::event::{Event, Offset};
use gavel::eventlog::{AppendError, EventLog, LogState, Unstarted};
use rdkafka::ClientConfig;
use rdkafka::admin::{AdminClient, AdminOptions};
use rdkafka::client::DefaultClientContext;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::message::Message;
use rdkafka::producer::{BaseProducer, BaseRecord, Producer};
use rdkafka::topic_partition_list::{Offset as Place, TopicPartitionList};

use crate::broker::shared;
use crate::server::wait_for;
use crate::tools::{event, open, read_all, start, topic};

const PATIENCE: Duration = Duration::from_secs(30);

fn client(kafka: &Kafka) -> ClientConfig {
    let mut client = ClientConfig::new();
    client.set("bootstrap.servers", &kafka.brokers[0]);
    client
}

/// A record of somebody else's.
fn put(kafka: &Kafka, payload: &[u8]) {
    let producer: BaseProducer = client(kafka).create().unwrap();
    producer.send(BaseRecord::<(), [u8]>::to(&kafka.topic).payload(payload)).map_err(|(e, _)| e).unwrap();
    producer.flush(PATIENCE).unwrap();
}

/// A record in a transaction, whose end takes an offset of its own.
fn put_in_transaction(kafka: &Kafka, payload: &[u8]) {
    let producer: BaseProducer = client(kafka).set("transactional.id", &kafka.topic).create().unwrap();
    producer.init_transactions(PATIENCE).unwrap();
    producer.begin_transaction().unwrap();
    producer.send(BaseRecord::<(), [u8]>::to(&kafka.topic).payload(payload)).map_err(|(e, _)| e).unwrap();
    producer.commit_transaction(PATIENCE).unwrap();
}

fn encoded(event: &Event) -> Vec<u8> {
    let mut bytes = Vec::new();
    event.encode(&mut bytes);
    bytes
}

#[test]
fn an_event_of_a_newer_build_is_refused_with_its_place_by_reads_and_ends_a_log_that_follows() {
    let Some(broker) = shared() else { return };
    let kafka = topic(broker);
    let log = start(&kafka);
    log.log.append_durable(0, &[event(0, 0)]).wait().unwrap();
    put(&kafka, &[200, 3, 1]);
    wait_for(PATIENCE, "the log fails", || log.log.state() == LogState::Failed);
    let why = log.failed.lock().unwrap().concat();
    let at = log.log.durable_end();
    let place = format!("topic {}, partition 0, offset {}", kafka.topic, at.0);
    assert!(why.contains(&place) && why.contains("kind 200 version 3"), "{why}");
    assert!(matches!(log.log.append(0, &event(0, 1)), Err(AppendError::Failed(_))));
    assert_eq!(log.recorder.numbers(), [(0, 0)]);
    drop(log);
    let dir = tempfile::tempdir().unwrap();
    let opened = open_at(&kafka, &dir);
    let mut reader = opened.read(Offset(0)).unwrap();
    for _ in 0..at.0 {
        assert!(reader.next_event().unwrap().is_some());
    }
    let error = reader.next_event().unwrap_err().to_string();
    assert!(error.contains(&place), "{error}");
}

/// As `open`, for a topic whose last record is one that can be read.
fn open_at(kafka: &Kafka, dir: &tempfile::TempDir) -> gavel::eventlog::kafka::Opened {
    put(kafka, &encoded(&event(9, 9)));
    open(kafka, dir)
}

#[test]
fn an_offset_that_no_event_has_is_refused_with_its_place() {
    let Some(broker) = shared() else { return };
    let kafka = topic(broker);
    let log = start(&kafka);
    log.log.append_durable(0, &[event(0, 0)]).wait().unwrap();
    put_in_transaction(&kafka, &encoded(&event(1, 1)));
    put(&kafka, &encoded(&event(1, 2)));
    wait_for(PATIENCE, "the log fails", || log.log.state() == LogState::Failed);
    let why = log.failed.lock().unwrap().concat();
    let due = log.log.durable_end().0;
    let place = format!("topic {}, partition 0, offset ", kafka.topic);
    assert!(why.contains(&place) && why.contains(&format!("it came where {due} should")), "{why}");
    assert_eq!(log.recorder.applied.lock().unwrap().len() as u64, due, "nothing behind it is applied");
}

#[test]
fn a_topic_that_has_lost_its_beginning_is_refused() {
    let Some(broker) = shared() else { return };
    let kafka = topic(broker);
    let log = start(&kafka);
    (0..5).for_each(|n| log.log.append_durable(0, &[event(0, n)]).wait().unwrap());
    log.log.close().unwrap();
    let admin: AdminClient<DefaultClientContext> = client(&kafka).create().unwrap();
    let mut before = TopicPartitionList::new();
    before.add_partition_offset(&kafka.topic, 0, Place::Offset(2)).unwrap();
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    runtime.block_on(admin.delete_records(&before, &AdminOptions::new())).unwrap();
    let dir = tempfile::tempdir().unwrap();
    let error = gavel::eventlog::kafka::Opened::open(&kafka, dir.path(), 1, 1 << 16).err().unwrap();
    assert!(error.to_string().contains("the events before 2 are gone"), "{error}");
}

#[test]
fn a_record_has_the_key_by_which_others_may_spread_it() {
    let Some(broker) = shared() else { return };
    let kafka = topic(broker);
    let log = start(&kafka);
    log.log.append_durable(0, &[event(42, 0)]).wait().unwrap();
    let Some(place) = log.recorder.applied.lock().unwrap().iter().position(|s| s.event == event(42, 0)) else {
        panic!()
    };
    let consumer: BaseConsumer = client(&kafka).set("group.id", "test").create().unwrap();
    let mut from = TopicPartitionList::new();
    from.add_partition_offset(&kafka.topic, 0, Place::Offset(place as i64)).unwrap();
    consumer.assign(&from).unwrap();
    let record = consumer.poll(PATIENCE).unwrap().unwrap();
    assert_eq!(record.key(), Some(b"42".as_slice()));
    assert_eq!(record.payload(), Some(encoded(&event(42, 0)).as_slice()));
    let at = record.timestamp().to_millis().map(UnixMs);
    assert_eq!(at, Some(log.recorder.applied.lock().unwrap()[place].at));
    assert!(read_all(&mut *log.log.read(Offset(place as u64)).unwrap())[0].event == event(42, 0));
}
