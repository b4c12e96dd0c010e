//! Kafka away, slow or late, and gavel killed: nothing acknowledged is lost, nothing is booked twice, and it goes on by itself.

use std::net::SocketAddr;
use std::path::Path;
use std::process::{Child, Stdio};
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::broker::{Broker, free_port, is_possible, own};
use crate::http::{Answer, Client};
use crate::make::{campaign, request, substitute};
use crate::process::{Process, errors_of, gavel, run};
use crate::server::{account, rows, sum, wait_for, write_files};
use crate::tools::{table, topic};

/// A machine that builds something else meanwhile is slow.
const PATIENCE: Duration = Duration::from_secs(120);

/// An exchange, and what it was told.
#[derive(Default)]
struct Journal {
    /// Where gavel is; it may move.
    traffic: Mutex<Option<SocketAddr>>,
    stop: AtomicBool,
    next: AtomicU32,
    /// Bills that were acknowledged: how many, and what they come to.
    billed: Mutex<(u64, i64)>,
    /// Bills that were not: they are sent again.
    pending: Mutex<Vec<(String, i64)>>,
    bids: AtomicUsize,
    no_bids: AtomicUsize,
    refused: AtomicUsize,
}

impl Journal {
    fn connect(&self) -> Option<Client> {
        let address = (*self.traffic.lock().unwrap())?;
        std::net::TcpStream::connect(address).is_ok().then(|| Client::connect(address))
    }

    fn ask(&self, client: &mut Option<Client>, method: &str, path: &str, body: &[u8]) -> Option<Answer> {
        if client.is_none() {
            *client = self.connect();
        }
        let answer = client.as_mut().and_then(|client| client.try_request(method, path, &[], body).ok());
        if answer.is_none() {
            *client = None;
            std::thread::sleep(Duration::from_millis(20));
        }
        answer
    }

    /// Sends a bill; true when it is acknowledged.
    fn bill(&self, client: &mut Option<Client>, url: &str, price: i64) -> bool {
        let text = format!("{}.{:06}", price / 1_000_000, price % 1_000_000);
        let url = substitute(url, &[("AUCTION_PRICE", &text), ("AUCTION_CURRENCY", "")]);
        let answer = self.ask(client, "GET", url.strip_prefix("https://localhost").unwrap(), b"");
        let status = answer.map(|answer| answer.status);
        if status == Some(503) {
            self.refused.fetch_add(1, Ordering::Relaxed);
        }
        if status == Some(204) {
            let mut billed = self.billed.lock().unwrap();
            *billed = (billed.0 + 1, billed.1 + price);
        }
        status == Some(204)
    }

    /// Asks for bids and bills them, until it is told to stop.
    fn play(&self) {
        let mut client = None;
        while !self.stop.load(Ordering::Relaxed) {
            let Some(answer) = self.ask(&mut client, "POST", "/openrtb2/demo", request().to_string().as_bytes()) else {
                continue;
            };
            if answer.status != 200 {
                assert_eq!(answer.status, 204, "{}", answer.text());
                self.no_bids.fetch_add(1, Ordering::Relaxed);
                std::thread::sleep(Duration::from_millis(2));
                continue;
            }
            self.bids.fetch_add(1, Ordering::Relaxed);
            let bid = answer.json()["seatbid"][0]["bid"][0].take();
            let price = 1_000_000 + i64::from(self.next.fetch_add(1, Ordering::Relaxed));
            let url = bid["burl"].as_str().unwrap();
            if !self.bill(&mut client, url, price) {
                self.pending.lock().unwrap().push((url.to_owned(), price));
            }
        }
    }

    /// Sends again what was not acknowledged, until it is.
    fn settle(&self) {
        let (mut client, asked) = (None, Instant::now());
        let pending = std::mem::take(&mut *self.pending.lock().unwrap());
        for (url, price) in pending {
            while !self.bill(&mut client, &url, price) {
                assert!(asked.elapsed() < PATIENCE, "it is not acknowledged");
            }
        }
    }

    /// Waits for more of them.
    fn wait_for_more(&self, what: &str, counted: &AtomicUsize, more: usize) {
        let before = counted.load(Ordering::Relaxed);
        wait_for(PATIENCE, what, || counted.load(Ordering::Relaxed) >= before + more);
    }

    /// The books have each bill of the journal once.
    fn agrees_with(&self, admin: SocketAddr, id: &str) {
        let (count, spent) = *self.billed.lock().unwrap();
        let mut told = None;
        wait_for(PATIENCE, &format!("{count} bills of {spent} in the books"), || {
            let books = Client::connect(admin).get("/v1/books").json();
            let (of_books, _, billed) = sum(&rows(&books), id);
            let view = Client::connect(admin).get(&format!("/v1/campaigns/{id}/account")).json();
            let view = account(&view);
            let now = (of_books, billed, view.spent, view.billed);
            if told != Some(now) {
                println!("books and account: {now:?}");
            }
            told = Some(now);
            now == (spent, count, spent, count)
        });
    }
}

fn audit_is_clean(dir: &Path) {
    let output = run(dir, &["audit"]);
    let printed = String::from_utf8(output.stdout.clone()).unwrap();
    assert!(output.status.success() && printed.contains("0 differences over"), "{printed}{}", errors_of(&output));
}

/// gavel in a directory of its own, and an exchange that plays with it.
struct Game {
    dir: tempfile::TempDir,
    journal: Journal,
}

impl Game {
    fn new(broker: &Broker) -> Game {
        let dir = tempfile::tempdir().unwrap();
        write_files(dir.path(), &table(&topic(broker)), &[campaign("a")]);
        Game { dir, journal: Journal::default() }
    }

    fn start(&self) -> Process {
        let process = Process::start(self.dir.path(), &[], "admin ");
        *self.journal.traffic.lock().unwrap() = Some(process.traffic);
        process
    }

    /// Runs `during` while two exchanges play, then all that is open is settled, and everything must agree.
    fn play(&self, process: Process, during: impl FnOnce(&Journal, Process) -> Process) {
        let journal = &self.journal;
        let mut process = std::thread::scope(|scope| {
            // However it ends, the players do.
            struct End<'a>(&'a AtomicBool);
            impl Drop for End<'_> {
                fn drop(&mut self) {
                    self.0.store(true, Ordering::Relaxed);
                }
            }
            let _end = End(&journal.stop);
            (0..2).for_each(|_| drop(scope.spawn(|| journal.play())));
            journal.wait_for_more("bids", &journal.bids, 50);
            let process = during(journal, process);
            journal.wait_for_more("bids again", &journal.bids, 50);
            process
        });
        journal.settle();
        println!(
            "{} bids, {} no-bids, {} notices refused",
            journal.bids.load(Ordering::Relaxed),
            journal.no_bids.load(Ordering::Relaxed),
            journal.refused.load(Ordering::Relaxed)
        );
        journal.agrees_with(process.admin, "a");
        process.signal(libc::SIGTERM);
        assert!(process.wait(PATIENCE).success(), "{}", process.errors());
        audit_is_clean(self.dir.path());
    }
}

/// While `away` holds, notices are refused and nothing is bid; `back` ends it.
fn outage(away: impl FnOnce(&Broker), back: impl FnOnce(&Broker)) {
    let Some(broker) = own() else { return };
    let game = Game::new(&broker);
    game.play(game.start(), |journal, process| {
        away(&broker);
        journal.wait_for_more("notices are refused", &journal.refused, 1);
        journal.wait_for_more("no bids", &journal.no_bids, 50);
        let bids = journal.bids.load(Ordering::Relaxed);
        journal.wait_for_more("no bids", &journal.no_bids, 50);
        assert!(journal.bids.load(Ordering::Relaxed) <= bids + 2, "bids while the log takes none");
        let metrics = process.ask().get("/metrics").text().to_owned();
        assert!(metrics.contains("gavel_log_state 3\n"), "{metrics}");
        assert!(metrics.contains("gavel_no_bids_total{reason=\"log_full\"}"), "{metrics}");
        assert!(process.errors().contains("Kafka does not answer"), "{}", process.errors());
        back(&broker);
        process
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
    game.play(game.start(), |journal, mut process| {
        for _ in 0..3 {
            process.signal(libc::SIGKILL);
            process.wait(PATIENCE);
            audit_is_clean(game.dir.path());
            process = game.start();
            journal.wait_for_more("bids after a kill", &journal.bids, 100);
        }
        process
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
