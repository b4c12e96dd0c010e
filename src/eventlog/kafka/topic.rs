//! The topic as it has to be: made where there is none, and every fault of one that is there.

use std::time::{Duration, Instant};

use rdkafka::admin::{AdminClient, AdminOptions, NewTopic, ResourceSpecifier, TopicReplication};
use rdkafka::config::FromClientConfigAndContext;
use rdkafka::error::{KafkaError, RDKafkaErrorCode};

use super::client::{MAX_RECORD_BYTES, Quiet, client};
use super::records::PATIENCE;
use crate::config::Kafka;

/// Of the first question: a start that has to wait should say so soon.
const FIRST_PATIENCE: Duration = Duration::from_secs(3);

/// Why the topic cannot be the log.
#[derive(Debug)]
pub enum NoTopic {
    /// Nothing is known of it: worth trying again.
    Away(String),
    Missing,
    Faults(Vec<String>),
}

impl From<KafkaError> for NoTopic {
    fn from(error: KafkaError) -> NoTopic {
        NoTopic::Away(error.to_string())
    }
}

/// What is asked of a topic, and what it is made with.
fn settings(config: &Kafka) -> [(&'static str, String); 6] {
    [
        // One clock for all nodes: the log's time is that of the brokers.
        ("message.timestamp.type", "LogAppendTime".to_owned()),
        // The log is all there is: nothing of it may go.
        ("retention.ms", "-1".to_owned()),
        ("retention.bytes", "-1".to_owned()),
        ("cleanup.policy", "delete".to_owned()),
        ("max.message.bytes", MAX_RECORD_BYTES.to_string()),
        ("min.insync.replicas", config.min_insync_replicas.to_string()),
    ]
}

/// Looks at the topic.
pub fn look(config: &Kafka) -> Result<(), NoTopic> {
    let admin = AdminClient::from_config_and_context(&client(config), Quiet)?;
    look_by(&admin, config)
}

/// The same, after making it where there is none.
pub fn make_and_look(config: &Kafka) -> Result<(), NoTopic> {
    let admin = AdminClient::from_config_and_context(&client(config), Quiet)?;
    let asked = Instant::now();
    loop {
        match look_by(&admin, config) {
            // What was just made is not known everywhere at once.
            Err(NoTopic::Missing) if asked.elapsed() < PATIENCE => make(&admin, config)?,
            done => return done,
        }
        std::thread::sleep(Duration::from_millis(50));
    }
}

fn wait<T>(future: impl Future<Output = T>) -> Result<T, NoTopic> {
    let runtime = tokio::runtime::Builder::new_current_thread().build();
    Ok(runtime.map_err(|e| NoTopic::Away(e.to_string()))?.block_on(future))
}

fn make(admin: &AdminClient<Quiet>, config: &Kafka) -> Result<(), NoTopic> {
    let settings = settings(config);
    let replication = TopicReplication::Fixed(config.replication.into());
    let mut topic = NewTopic::new(&config.topic, 1, replication);
    topic.config = settings.iter().map(|(key, value)| (*key, value.as_str())).collect();
    let options = AdminOptions::new().request_timeout(Some(PATIENCE)).operation_timeout(Some(PATIENCE));
    for made in wait(admin.create_topics([&topic], &options))?? {
        match made {
            Ok(_) => tracing::info!("made the topic {} on Kafka", config.topic),
            // Another node was faster.
            Err((_, RDKafkaErrorCode::TopicAlreadyExists)) => {}
            Err((_, RDKafkaErrorCode::InvalidReplicationFactor)) => {
                return Err(NoTopic::Faults(vec![format!(
                    "there are fewer brokers than log.kafka.replication, which is {}; of one broker: replication = 1, \
                     min_insync_replicas = 1",
                    config.replication
                )]));
            }
            Err((_, error @ (RDKafkaErrorCode::RequestTimedOut | RDKafkaErrorCode::OperationTimedOut))) => {
                return Err(NoTopic::Away(error.to_string()));
            }
            Err((_, error)) => {
                return Err(NoTopic::Faults(vec![format!("topic {} cannot be made: {error}", config.topic)]));
            }
        }
    }
    Ok(())
}

fn look_by(admin: &AdminClient<Quiet>, config: &Kafka) -> Result<(), NoTopic> {
    let name = &config.topic;
    let metadata = admin.inner().fetch_metadata(Some(name), FIRST_PATIENCE)?;
    let Some(topic) = metadata.topics().iter().find(|topic| topic.name() == name) else {
        return Err(NoTopic::Missing);
    };
    if let Some(error) = topic.error() {
        let error = RDKafkaErrorCode::from(error);
        return Err(match error {
            RDKafkaErrorCode::UnknownTopicOrPartition => NoTopic::Missing,
            RDKafkaErrorCode::LeaderNotAvailable => NoTopic::Away(error.to_string()),
            _ => NoTopic::Faults(vec![format!("topic {name}: {error}")]),
        });
    }
    let mut faults = Vec::new();
    let partitions = topic.partitions();
    if partitions.len() != 1 {
        faults.push(format!(
            "topic {name} has {} partitions: the log is one, for its order is the log's",
            partitions.len()
        ));
    }
    let copies = partitions.iter().map(|partition| partition.replicas().len()).min().unwrap_or(0);
    if copies < config.replication.into() {
        faults
            .push(format!("topic {name} has {copies} replicas, log.kafka.replication asks for {}", config.replication));
    }
    let options = AdminOptions::new().request_timeout(Some(PATIENCE));
    for resource in wait(admin.describe_configs([&ResourceSpecifier::Topic(name)], &options))?? {
        let resource = resource.map_err(|error| NoTopic::Away(error.to_string()))?;
        for (key, asked) in settings(config) {
            let found = resource.get(key).and_then(|entry| entry.value.as_deref()).unwrap_or("unset");
            if !is_met(key, found, &asked) {
                faults.push(format!("topic {name} has {key}={found}, it must be {asked}"));
            }
        }
    }
    if faults.is_empty() { Ok(()) } else { Err(NoTopic::Faults(faults)) }
}

/// More than what is asked for is as good where it is a least number.
fn is_met(key: &str, found: &str, asked: &str) -> bool {
    match key {
        "max.message.bytes" | "min.insync.replicas" => {
            let number = |text: &str| text.parse::<u64>().ok();
            number(found).zip(number(asked)).is_some_and(|(found, asked)| found >= asked)
        }
        _ => found == asked,
    }
}
