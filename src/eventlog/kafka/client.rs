//! How gavel speaks to Kafka: settings of librdkafka, and where its log lines go.

use rdkafka::ClientConfig;
use rdkafka::client::ClientContext;
use rdkafka::config::RDKafkaLogLevel;
use rdkafka::consumer::ConsumerContext;
use rdkafka::error::{KafkaError, RDKafkaErrorCode};

use crate::config::Kafka;

/// Of the largest record: what fits into one commit of segment files, with room for what Kafka puts around it.
pub const MAX_RECORD_BYTES: usize = 2 << 20;

pub fn client(config: &Kafka) -> ClientConfig {
    let mut client = ClientConfig::new();
    client.set("bootstrap.servers", config.brokers.join(",")).set("client.id", "gavel");
    // A broker that is back is found within a second.
    client.set("reconnect.backoff.max.ms", "1000").set("retry.backoff.max.ms", "1000");
    client.set("socket.keepalive.enable", "true").set("socket.nagle.disable", "true");
    client.set(
        "security.protocol",
        match (&config.tls, &config.sasl) {
            (None, None) => "plaintext",
            (Some(_), None) => "ssl",
            (None, Some(_)) => "sasl_plaintext",
            (Some(_), Some(_)) => "sasl_ssl",
        },
    );
    if let Some(tls) = &config.tls {
        if let Some(ca) = &tls.ca {
            client.set("ssl.ca.location", ca.to_string_lossy());
        }
        if let Some((cert, key)) = &tls.own {
            client.set("ssl.certificate.location", cert.to_string_lossy());
            client.set("ssl.key.location", key.to_string_lossy());
        }
    }
    if let Some(sasl) = &config.sasl {
        client.set("sasl.mechanism", &sasl.mechanism);
        client.set("sasl.username", &sasl.username).set("sasl.password", &sasl.password);
    }
    client.set_log_level(RDKafkaLogLevel::Warning);
    client
}

/// Reads at an offset that it is told: nothing is kept in Kafka about who read what.
pub fn consumer(config: &Kafka) -> ClientConfig {
    let mut client = client(config);
    // librdkafka wants a name before it assigns a partition; no group of it ever forms.
    client.set("group.id", "gavel");
    client.set("enable.auto.commit", "false").set("enable.auto.offset.store", "false");
    // Events that are gone are a fault and not to be passed over.
    client.set("auto.offset.reset", "error").set("check.crcs", "true");
    client.set("isolation.level", "read_uncommitted").set("allow.auto.create.topics", "false");
    // What is fetched ahead, in kilobytes, and how soon the next is asked for when there was no room.
    client.set("queued.max.messages.kbytes", "16384").set("fetch.queue.backoff.ms", "5");
    client.set("fetch.error.backoff.ms", "100");
    client
}

/// Sends until it is there, once and in order, however long that takes: a record is neither given up nor repeated.
pub fn producer(config: &Kafka) -> ClientConfig {
    let mut client = client(config);
    client.set("enable.idempotence", "true").set("acks", "all").set("message.timeout.ms", "0");
    client.set("linger.ms", "1").set("message.max.bytes", MAX_RECORD_BYTES.to_string());
    // What is in flight is one cut of the lanes, whose bytes are bounded there.
    client.set("queue.buffering.max.messages", "0").set("queue.buffering.max.kbytes", "2097151");
    client
}

/// Where librdkafka's own lines go: they are for whoever looks for a fault. gavel says what it comes to itself.
pub struct Quiet;

impl ClientContext for Quiet {
    fn log(&self, _: RDKafkaLogLevel, facility: &str, message: &str) {
        tracing::debug!("librdkafka: {facility} {message}");
    }

    fn error(&self, error: KafkaError, reason: &str) {
        tracing::debug!("librdkafka: {error}: {reason}");
    }
}

impl ConsumerContext for Quiet {}

/// Whether it may be gone by itself: brokers that are away, start, or change their roles.
pub fn may_pass(error: &KafkaError) -> bool {
    use RDKafkaErrorCode::*;
    !matches!(
        error.rdkafka_error_code(),
        Some(
            AutoOffsetReset
                | OffsetOutOfRange
                | UnknownPartition
                | UnknownTopic
                | TopicAuthorizationFailed
                | ClusterAuthorizationFailed
                | MessageSizeTooLarge
                | InvalidMessageSize
                | PolicyViolation
                | Fatal
                | BadMessage
        )
    )
}
