//! Brokers that ask who it is, over TLS.

use std::time::Duration;

use gavel::config::RawConfig;
use gavel::eventlog::EventLog;
use gavel::eventlog::kafka::{Opened, faults};
use rcgen::generate_simple_self_signed;

use crate::broker::{Broker, free_port, is_possible};
use crate::server::{wait_for, write_files};
use crate::tools::{Recorder, event};

#[test]
fn a_log_over_tls_with_a_password() {
    if !is_possible() {
        return;
    }
    let broker = Broker::absent();
    let signed = generate_simple_self_signed(["127.0.0.1".to_owned()]).unwrap();
    let store = broker.dir().join("store.pem");
    std::fs::write(&store, format!("{}{}", signed.signing_key.serialize_pem(), signed.cert.pem())).unwrap();
    let port = free_port();
    let broker = broker.configured(&format!(
        "listeners=PLAINTEXT://127.0.0.1:{{port}},CONTROLLER://127.0.0.1:{{other}},SASL_SSL://127.0.0.1:{port}\n\
         advertised.listeners=PLAINTEXT://127.0.0.1:{{port}},SASL_SSL://127.0.0.1:{port}\n\
         listener.security.protocol.map=PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT,SASL_SSL:SASL_SSL\n\
         ssl.keystore.type=PEM\nssl.keystore.location={}\nsasl.enabled.mechanisms=PLAIN\n\
         listener.name.sasl_ssl.plain.sasl.jaas.config=org.apache.kafka.common.security.plain.PlainLoginModule required \
         user_gavel=\"a secret\";\n",
        store.display()
    ));
    broker.run();
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(dir.path().join("ca.pem"), signed.cert.pem()).unwrap();
    let config = |password: &str| {
        std::fs::write(dir.path().join("password"), format!("{password}\n")).unwrap();
        let text = format!(
            "[log]\nkind = \"kafka\"\n[log.kafka]\nbrokers = [\"127.0.0.1:{port}\"]\nreplication = 1\n\
             min_insync_replicas = 1\ntls.ca = \"ca.pem\"\n\
             [log.kafka.sasl]\nmechanism = \"PLAIN\"\nusername = \"gavel\"\npassword_file = \"password\"\n"
        );
        write_files(dir.path(), &text, &[]);
        let raw = RawConfig::read(Some(&dir.path().join("gavel.toml"))).unwrap();
        raw.check().unwrap_or_else(|faults| panic!("{faults:?}")).log.kafka.unwrap()
    };
    let right = config("a secret");
    assert!(!format!("{right:?}").contains("a secret"), "it must not be in any line");
    wait_for(Duration::from_secs(60), "the broker takes the password", || faults(&right) == Ok(Vec::new()));
    let wrong = faults(&config("another")).unwrap_err();
    assert!(wrong.contains("does not answer"), "{wrong}");
    let opened = Opened::open(&right, &dir.path().join("data"), 1, 1 << 16).unwrap();
    let recorder = Recorder::default();
    let log = opened.start(Box::new(recorder.clone()), Box::new(|why| panic!("{why}"))).unwrap();
    log.append_durable(0, &[event(0, 0)]).wait().unwrap();
    assert_eq!(recorder.numbers(), [(0, 0)]);
}
