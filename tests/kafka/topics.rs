//! The topic as it has to be.

use gavel::eventlog::kafka::{Opened, faults};
use rdkafka::ClientConfig;
use rdkafka::admin::{AdminClient, AdminOptions, NewTopic, TopicReplication};
use rdkafka::client::DefaultClientContext;

use crate::broker::{free_port, shared};
use crate::process::{errors_of, run};
use crate::server::write_files;
use crate::tools::{open, table, topic};

#[test]
fn a_topic_that_a_start_makes_has_no_fault() {
    let Some(broker) = shared() else { return };
    let (kafka, dir) = (topic(broker), tempfile::tempdir().unwrap());
    assert_eq!(faults(&kafka), Ok(Vec::new()), "one that is not there is made");
    open(&kafka, &dir);
    assert_eq!(faults(&kafka), Ok(Vec::new()));
}

#[test]
fn every_fault_of_a_topic_is_listed_by_check_and_a_start_refuses_it() {
    let Some(broker) = shared() else { return };
    let mut kafka = topic(broker);
    let admin: AdminClient<DefaultClientContext> =
        ClientConfig::new().set("bootstrap.servers", broker.address()).create().unwrap();
    let bad = NewTopic::new(&kafka.topic, 2, TopicReplication::Fixed(1)).set("retention.ms", "1000");
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    runtime.block_on(admin.create_topics([&bad], &AdminOptions::new())).unwrap()[0].clone().unwrap();
    (kafka.replication, kafka.min_insync_replicas) = (3, 2);
    let name = &kafka.topic;
    let expected = [
        format!("topic {name} has 2 partitions: the log is one, for its order is the log's"),
        format!("topic {name} has 1 replicas, log.kafka.replication asks for 3"),
        format!("topic {name} has message.timestamp.type=CreateTime, it must be LogAppendTime"),
        format!("topic {name} has retention.ms=1000, it must be -1"),
        format!("topic {name} has max.message.bytes=1048588, it must be 2097152"),
        format!("topic {name} has min.insync.replicas=1, it must be 2"),
    ];
    assert_eq!(faults(&kafka).unwrap(), expected);
    let dir = tempfile::tempdir().unwrap();
    let error = Opened::open(&kafka, dir.path(), 1, 1 << 16).err().unwrap().to_string();
    assert!(expected.iter().all(|fault| error.contains(fault)), "{error}");

    let text = table(&kafka).replace("replication = 1\nmin_insync_replicas = 1\n", "");
    write_files(dir.path(), &text, &[]);
    let output = run(dir.path(), &["check"]);
    assert_eq!(output.status.code(), Some(1));
    assert!(expected.iter().all(|fault| errors_of(&output).contains(fault)), "{}", errors_of(&output));
}

#[test]
fn more_replicas_than_brokers_are_refused_with_what_to_do() {
    let Some(broker) = shared() else { return };
    let (mut kafka, dir) = (topic(broker), tempfile::tempdir().unwrap());
    kafka.replication = 3;
    let error = Opened::open(&kafka, dir.path(), 1, 1 << 16).err().unwrap().to_string();
    assert!(error.contains("fewer brokers than log.kafka.replication"), "{error}");
}

#[test]
fn a_check_without_kafka_says_so() {
    let dir = tempfile::tempdir().unwrap();
    let text = format!("[log]\nkind = \"kafka\"\n[log.kafka]\nbrokers = [\"127.0.0.1:{}\"]\n", free_port());
    write_files(dir.path(), &text, &[]);
    let output = run(dir.path(), &["check"]);
    assert_eq!(output.status.code(), Some(1));
    assert!(errors_of(&output).contains("does not answer"), "{}", errors_of(&output));
}
