//! `[log.kafka]`

use std::path::{Path, PathBuf};

use super::section::Section;

/// Where the log is when `[log] kind = "kafka"`.
#[derive(Clone, Debug)]
pub struct Kafka {
    /// Some of the brokers, as `host:port`; they tell of the others.
    pub brokers: Vec<String>,
    /// One partition of this topic is the log. Default `gavel`.
    pub topic: String,
    /// Copies of the topic. Default 3; a single broker can only have 1. Losing a broker must not lose money.
    pub replication: u16,
    /// Copies that have an event before it counts as durable. Default 2: one broker may be away.
    pub min_insync_replicas: u16,
    /// `[log.kafka.tls]`. Without it nothing is encrypted.
    pub tls: Option<KafkaTls>,
    /// `[log.kafka.sasl]`
    pub sasl: Option<Sasl>,
}

#[derive(Clone, Debug)]
pub struct KafkaTls {
    /// PEM file of who signed the brokers' certificates. Default: whom the system trusts.
    pub ca: Option<PathBuf>,
    /// PEM files of a certificate of our own and its key, where brokers ask for one.
    pub own: Option<(PathBuf, PathBuf)>,
}

#[derive(Clone)]
pub struct Sasl {
    pub mechanism: String,
    pub username: String,
    pub password: String,
}

impl std::fmt::Debug for Sasl {
    /// Without the password.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Sasl").field("mechanism", &self.mechanism).field("username", &self.username).finish()
    }
}

const MECHANISMS: [&str; 3] = ["PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512"];

/// The table, when the log is kept there.
pub fn read(kind: Option<&str>, mut s: Section, base: &Path) -> Option<Kafka> {
    let is_kafka = kind == Some("kafka");
    if s.is_given() && !is_kafka {
        s.fault("brokers", "is only for kind = \"kafka\" in [log]");
    }
    let brokers = s.texts("brokers").unwrap_or_default();
    if is_kafka && (brokers.is_empty() || !brokers.iter().all(|broker| is_broker(broker))) {
        s.fault("brokers", "must be a list of \"host:port\", with at least one");
    }
    let topic = s.text("topic", topic).unwrap_or_else(|| "gavel".to_owned());
    let replication = s.number("replication", 1..=100).unwrap_or(3) as u16;
    let min_insync_replicas = s.number("min_insync_replicas", 1..=100).unwrap_or(2) as u16;
    if min_insync_replicas > replication {
        s.fault("min_insync_replicas", format!("must be at most replication, which is {replication}"));
    }
    let tls = tls(s.table("tls"), base);
    let sasl = sasl(s.table("sasl"), base);
    s.end();
    is_kafka.then_some(Kafka { brokers, topic, replication, min_insync_replicas, tls, sasl })
}

fn is_broker(text: &str) -> bool {
    let port = text.rsplit_once(':').filter(|(host, _)| !host.is_empty()).map(|(_, port)| port.parse::<u16>());
    matches!(port, Some(Ok(1..))) && text.bytes().all(|b| b.is_ascii_graphic() && b != b',')
}

/// What Kafka takes for the name of a topic.
fn topic(text: &str) -> Result<String, String> {
    let fine = (1..=249).contains(&text.len())
        && text.bytes().all(|b| b.is_ascii_alphanumeric() || b"._-".contains(&b))
        && ![".", ".."].contains(&text);
    if fine { Ok(text.to_owned()) } else { Err("must be 1 to 249 letters, digits, ., _ and -".to_owned()) }
}

fn tls(mut s: Section, base: &Path) -> Option<KafkaTls> {
    let given = s.is_given();
    let mut file = |key| s.text(key, |t| Ok(base.join(t)));
    let (ca, cert, key) = (file("ca"), file("cert"), file("key"));
    if cert.is_some() != key.is_some() {
        s.fault("cert", "and key go together");
    }
    s.end();
    given.then_some(KafkaTls { ca, own: cert.zip(key) })
}

fn sasl(mut s: Section, base: &Path) -> Option<Sasl> {
    if !s.is_given() {
        return None;
    }
    let mechanism = s.text("mechanism", |t| match MECHANISMS.contains(&t) {
        true => Ok(t.to_owned()),
        false => Err(format!("must be one of {}", MECHANISMS.join(", "))),
    });
    let username = s.text("username", |t| Ok(t.to_owned()));
    let password = s.text("password_file", |t| {
        let text = std::fs::read_to_string(base.join(t)).map_err(|e| format!("{t} cannot be read: {e}"))?;
        Ok(text.trim_end_matches(['\r', '\n']).to_owned())
    });
    let missing: Vec<&str> = ["mechanism", "username", "password_file"].into_iter().filter(|key| !s.has(key)).collect();
    missing.iter().for_each(|key| s.fault(key, "is required"));
    s.end();
    Some(Sasl { mechanism: mechanism?, username: username?, password: password? })
}
