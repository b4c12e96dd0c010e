//! Kafka away, slow or late, and gavel killed: nothing acknowledged is lost, nothing is booked twice, and it goes on by itself.

use std::net::SocketAddr;
use std::process::{Child, Stdio};
use std::sync::atomic::Ordering;
use std::time::Duration;

use serde_json::Value;

use crate::broker::{Broker, free_port, is_possible, own};
use crate::game::{Game, PATIENCE, audit_is_clean};
use crate::http::Client;
use crate::make::{campaign, request};
use crate::process::gavel;
use crate::server::{wait_for, write_files};
use crate::tools::{table, topic};

/// While `away` holds, notices are refused and nothing is bid; `back` ends it.
fn outage(away: impl FnOnce(&Broker), back: impl FnOnce(&Broker)) {
    let Some(broker) = own() else { return };
    let game = Game::new(&broker);
    game.play(vec![game.start(1)], |journal, nodes| {
        away(&broker);
        journal.wait_for_more("notices are refused", &journal.refused, 1);
        journal.wait_for_more("no bids", &journal.no_bids, 50);
        let bids = journal.bids.load(Ordering::Relaxed);
        journal.wait_for_more("no bids", &journal.no_bids, 50);
        assert!(journal.bids.load(Ordering::Relaxed) <= bids + 2, "bids while the log takes none");
        let metrics = nodes[0].ask().get("/metrics").text().to_owned();
        assert!(metrics.contains("gavel_log_state 3\n"), "{metrics}");
        assert!(metrics.contains("gavel_no_bids_total{reason=\"log_full\"}"), "{metrics}");
        assert!(nodes[0].errors().contains("Kafka does not answer"), "{}", nodes[0].errors());
        back(&broker);
        nodes
    });
}

#[test]
fn a_broker_that_is_killed_and_started_again_under_load_loses_and_repeats_nothing() {
    outage(Broker::kill, Broker::run);
}

#[test]
fn a_broker_that_hangs_for_a_while_loses_and_repeats_nothing() {
    outage(|broker| broker.signal(libc::SIGSTOP), |broker| broker.signal(libc::SIGCONT));
}

#[test]
fn what_was_acknowledged_outlives_kills_of_gavel() {
    let Some(broker) = own() else { return };
    let game = Game::new(&broker);
    game.play(vec![game.start(1)], |journal, mut nodes| {
        for _ in 0..3 {
            nodes[0].signal(libc::SIGKILL);
            nodes[0].wait(PATIENCE);
            audit_is_clean(&game.dir(1));
            nodes[0] = game.start(1);
            journal.plays_with(&[&nodes[0]]);
            journal.wait_for_more("bids after a kill", &journal.bids, 100);
        }
        nodes
    });
}

#[test]
fn a_stop_while_kafka_is_away_ends_and_says_what_was_not_written() {
    let Some(broker) = own() else { return };
    let game = Game::new(&broker);
    game.play(vec![game.start(1)], |journal, mut nodes| {
        broker.signal(libc::SIGSTOP);
        nodes[0].signal(libc::SIGTERM);
        let ended = nodes[0].wait(Duration::from_secs(60));
        let said = nodes[0].errors().to_owned();
        assert!(!ended.success() && said.contains("leases could not be returned"), "{said}");
        assert!(said.contains("the stop has waited 10 s for Kafka") && said.contains("sent="), "{said}");
        broker.signal(libc::SIGCONT);
        nodes[0] = game.start(1);
        journal.plays_with(&[&nodes[0]]);
        journal.wait_for_more("bids after it", &journal.bids, 100);
        nodes
    });
}

#[test]
fn a_start_without_kafka_is_not_ready_until_it_appears() {
    if !is_possible() {
        return;
    }
    let (broker, dir) = (Broker::absent(), tempfile::tempdir().unwrap());
    let text = table(&topic(&broker));
    write_files(dir.path(), &text, &[campaign("a")]);
    let [traffic, admin] = [free_port(), free_port()].map(|port| SocketAddr::from(([127, 0, 0, 1], port)));
    struct Ended(Child);
    impl Drop for Ended {
        fn drop(&mut self) {
            let _ended = self.0.kill();
            let _waited = self.0.wait();
        }
    }
    let errors = dir.path().join("stderr.txt");
    let mut command = gavel(dir.path(), &["--listen", &traffic.to_string(), "--admin-listen", &admin.to_string()]);
    command.stdout(Stdio::null()).stderr(std::fs::File::create(&errors).unwrap());
    let _gavel = Ended(command.spawn().unwrap());
    let ask = |address: SocketAddr, path: &str| {
        let mut client = std::net::TcpStream::connect(address).is_ok().then(|| Client::connect(address))?;
        client.try_request("GET", path, &[], b"").ok()
    };
    let bid = || -> Option<Value> {
        let mut client = Client::connect(traffic);
        let answer = client.try_request("POST", "/openrtb2/demo", &[], request().to_string().as_bytes()).ok()?;
        (answer.status == 200).then(|| answer.json())
    };
    wait_for(PATIENCE, "it says that it is not ready", || ask(admin, "/ready").is_some_and(|a| a.status == 503));
    assert!(!ask(traffic, "/ready").unwrap().text().contains('1'));
    assert!(bid().is_none());
    let said = std::fs::read_to_string(&errors).unwrap();
    assert!(said.contains("does not answer") && said.contains("not ready"), "{said}");
    broker.run();
    wait_for(PATIENCE, "it is ready", || ask(admin, "/ready").is_some_and(|answer| answer.status == 200));
    wait_for(PATIENCE, "a bid", || bid().is_some());
}
