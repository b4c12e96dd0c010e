//! TLS on the traffic listener: both protocols by ALPN, certificates that change while serving, files that are no good.

use std::path::Path;
use std::time::Duration;

use rcgen::{CertifiedKey, KeyPair, generate_simple_self_signed};
use serde_json::json;

use crate::caller::{Caller, trusting};
use crate::http::{Answer, Client, request as http_request};
use crate::make::{campaign, filled, patient, with_imp};
use crate::process::{Process, errors_of, run};
use crate::server::{Server, wait_for, write_files};

const TLS: &str = "[tls]\ncert = \"cert.pem\"\nkey = \"key.pem\"\n";

/// Writes a new pair; the certificate, which says how it came about.
fn write_pair(dir: &Path) -> String {
    let CertifiedKey { cert, signing_key } = generate_simple_self_signed(["localhost".to_owned()]).unwrap();
    std::fs::write(dir.join("cert.pem"), cert.pem()).unwrap();
    std::fs::write(dir.join("key.pem"), signing_key.serialize_pem()).unwrap();
    cert.pem()
}

pub fn server() -> (Server, String) {
    let mut pem = String::new();
    let server = Server::start_with(TLS, &[campaign("a")], |dir| pem = write_pair(dir));
    (server, pem)
}

fn bid(caller: &mut Caller) -> Answer {
    caller.post("/openrtb2/demo", &[], patient().to_string().as_bytes())
}

#[test]
fn both_protocols_are_agreed_on() {
    let (server, pem) = server();
    for (offered, agreed) in
        [(&["h2", "http/1.1"][..], Some("h2")), (&["h2"], Some("h2")), (&["http/1.1"], Some("http/1.1")), (&[], None)]
    {
        let mut caller = Caller::tls(server.traffic(), trusting(&pem, offered)).unwrap();
        assert_eq!(caller.protocol.as_deref(), agreed);
        for _ in 0..3 {
            let answer = bid(&mut caller);
            assert_eq!((answer.status, answer.json()["id"].as_str()), (200, Some("r-1")));
            let no_bid = with_imp(patient(), json!({"bidfloor": 99})).to_string();
            caller.post("/openrtb2/demo", &[], no_bid.as_bytes()).is_empty(204);
        }
        assert_eq!(caller.post("/openrtb2/demo", &[], filled(900_000).as_bytes()).status, 200);
    }
    let unknown = Caller::tls(server.traffic(), trusting(&pem, &["spdy/3"]));
    assert!(unknown.is_err_and(|e| e.to_string().contains("ApplicationProtocol")));
    server.settled("a", 16);
}

#[test]
fn nothing_is_served_without_it() {
    let (server, pem) = server();
    let mut client = server.connect();
    client.send(&http_request("POST", "/openrtb2/demo", &[], patient().to_string().as_bytes()));
    // An alert (RFC 8446 section 5.1), and then nothing.
    assert_eq!(client.bytes(1), [21]);
    client.wait_ended();
    // Whoever does not get on with the handshake is in nobody's way.
    let mut slow: Vec<Client> = (0..100).map(|_| server.connect()).collect();
    slow.iter_mut().for_each(|client| client.send(&[22, 3, 1, 2, 0, 1]));
    assert_eq!(bid(&mut Caller::tls(server.traffic(), trusting(&pem, &[])).unwrap()).status, 200);
    drop(slow);
    wait_for(Duration::from_secs(5), "all have failed", || server.metric("gavel_tls_handshakes_failed_total") == 101.0);
}

#[test]
fn a_new_pair_is_served_without_a_restart() {
    let dir = tempfile::tempdir().unwrap();
    write_files(dir.path(), TLS, &[campaign("a")]);
    let first = write_pair(dir.path());
    let server = Process::start(dir.path(), &[], "admin ");
    assert!(server.printed[0].starts_with("traffic https://127.0.0.1:"), "{:?}", server.printed);
    let connect = |pem: &str| Caller::tls(server.traffic, trusting(pem, &[]));
    let mut old = connect(&first).unwrap();
    assert_eq!(bid(&mut old).status, 200);

    // By its files alone, some time after they have changed.
    let second = write_pair(dir.path());
    wait_for(Duration::from_secs(10), "the second certificate", || connect(&second).is_ok());
    assert!(connect(&first).is_err());

    // A pair that is no good changes nothing and is told.
    std::fs::write(dir.path().join("key.pem"), KeyPair::generate().unwrap().serialize_pem()).unwrap();
    server.signal(libc::SIGHUP);
    wait_for(Duration::from_secs(5), "an error", || server.errors().contains("is not the key of"));
    assert_eq!(bid(&mut connect(&second).unwrap()).status, 200);

    let third = write_pair(dir.path());
    server.signal(libc::SIGHUP);
    wait_for(Duration::from_secs(5), "the third certificate", || connect(&third).is_ok());
    // Open connections go on all the time.
    assert_eq!(bid(&mut old).status, 200);
}

#[test]
fn files_that_are_no_good_are_faults() {
    let dir = tempfile::tempdir().unwrap();
    write_files(dir.path(), TLS, &[campaign("a")]);
    let fault = |expected: &str| {
        for command in ["check", "serve"] {
            let output = run(dir.path(), &[command]);
            let errors = errors_of(&output);
            assert!(output.status.code() == Some(1) && errors.contains(expected), "{command}: {errors}");
        }
    };
    fault("tls.cert: cert.pem cannot be read");
    let pem = write_pair(dir.path());
    assert_eq!(run(dir.path(), &["check"]).status.code(), Some(0));
    let write = |name: &str, text: &str| std::fs::write(dir.path().join(name), text).unwrap();
    write("key.pem", "nonsense");
    fault("tls.key: key.pem holds no private key");
    write("key.pem", &KeyPair::generate().unwrap().serialize_pem());
    fault("tls.key: key.pem is not the key of cert.pem");
    write("cert.pem", "");
    fault("tls.cert: cert.pem holds no certificate");
    write("cert.pem", &pem[..pem.len() / 2]);
    fault("tls.cert: cert.pem ");
    write("cert.pem", "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n");
    fault("tls.cert: cert.pem is not a certificate");
    assert!(!dir.path().join("data").exists(), "a refused start made files");
}
