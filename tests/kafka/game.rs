//! gavels on a topic, an exchange that plays with them, and a journal of what it was told.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use gavel::config::Kafka;

use crate::broker::Broker;
use crate::http::{Answer, Client};
use crate::make::{campaign, request, substitute};
use crate::process::{Process, errors_of, run};
use crate::server::{account, rows, sum, wait_for, write_files};
use crate::tools::{table, topic};

/// A machine that builds something else meanwhile is slow.
pub const PATIENCE: Duration = Duration::from_secs(120);

/// An exchange, and what it was told.
#[derive(Default)]
pub struct Journal {
    /// Where gavels are: one is asked for a bid, the next one is sent its bill.
    nodes: Mutex<Vec<SocketAddr>>,
    stop: AtomicBool,
    next: AtomicU32,
    /// Bills that were acknowledged: how many, and what they come to.
    billed: Mutex<(u64, i64)>,
    /// Bills that were not: they are sent again.
    pending: Mutex<Vec<(String, i64)>>,
    pub bids: AtomicUsize,
    pub no_bids: AtomicUsize,
    pub refused: AtomicUsize,
}

/// Connections that are kept.
#[derive(Default)]
struct Clients(HashMap<SocketAddr, Client>);

impl Clients {
    fn ask(&mut self, node: SocketAddr, method: &str, path: &str, body: &[u8]) -> Option<Answer> {
        if !self.0.contains_key(&node) && std::net::TcpStream::connect(node).is_ok() {
            self.0.insert(node, Client::connect(node));
        }
        let answer = self.0.get_mut(&node).and_then(|client| client.try_request(method, path, &[], body).ok());
        if answer.is_none() {
            self.0.remove(&node);
            std::thread::sleep(Duration::from_millis(20));
        }
        answer
    }
}

impl Journal {
    pub fn plays_with(&self, nodes: &[&Process]) {
        *self.nodes.lock().unwrap() = nodes.iter().map(|node| node.traffic).collect();
    }

    fn node(&self, turn: usize) -> SocketAddr {
        let nodes = self.nodes.lock().unwrap();
        nodes[turn % nodes.len()]
    }

    /// Sends a bill; true when it is acknowledged.
    fn bill(&self, clients: &mut Clients, turn: usize, url: &str, price: i64) -> bool {
        let text = format!("{}.{:06}", price / 1_000_000, price % 1_000_000);
        let url = substitute(url, &[("AUCTION_PRICE", &text), ("AUCTION_CURRENCY", "")]);
        let answer = clients.ask(self.node(turn), "GET", url.strip_prefix("https://localhost").unwrap(), b"");
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
        let (mut clients, mut turn) = (Clients::default(), 0);
        while !self.stop.load(Ordering::Relaxed) {
            turn += 1;
            let body = request().to_string();
            let Some(answer) = clients.ask(self.node(turn), "POST", "/openrtb2/demo", body.as_bytes()) else {
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
            if !self.bill(&mut clients, turn + 1, url, price) {
                self.pending.lock().unwrap().push((url.to_owned(), price));
            }
        }
    }

    /// Sends again what was not acknowledged, until it is.
    fn settle(&self) {
        let (mut clients, asked) = (Clients::default(), Instant::now());
        let pending = std::mem::take(&mut *self.pending.lock().unwrap());
        for (turn, (url, price)) in pending.into_iter().enumerate() {
            while !self.bill(&mut clients, turn, &url, price) {
                assert!(asked.elapsed() < PATIENCE, "it is not acknowledged");
            }
        }
    }

    /// Waits for more of them.
    pub fn wait_for_more(&self, what: &str, counted: &AtomicUsize, more: usize) {
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
            let view = account(&Client::connect(admin).get(&format!("/v1/campaigns/{id}/account")).json());
            let now = (of_books, billed, view.spent, view.billed);
            if told != Some(now) {
                println!("books and account: {now:?}");
            }
            told = Some(now);
            now == (spent, count, spent, count)
        });
    }
}

pub fn audit_is_clean(dir: &Path) {
    let output = run(dir, &["audit"]);
    let printed = String::from_utf8(output.stdout.clone()).unwrap();
    assert!(output.status.success() && printed.contains("0 differences over"), "{printed}{}", errors_of(&output));
}

/// gavels in directories of their own, and an exchange that plays with them.
pub struct Game {
    dir: tempfile::TempDir,
    kafka: Kafka,
    pub journal: Journal,
}

impl Game {
    pub fn new(broker: &Broker) -> Game {
        Game { dir: tempfile::tempdir().unwrap(), kafka: topic(broker), journal: Journal::default() }
    }

    pub fn dir(&self, node: u16) -> PathBuf {
        self.dir.path().join(node.to_string())
    }

    /// Starts a node, again or for the first time; it has the first one's keys.
    pub fn start(&self, node: u16) -> Process {
        let (dir, first) = (self.dir(node), self.dir(1));
        if !dir.exists() {
            std::fs::create_dir_all(dir.join("data")).unwrap();
            write_files(&dir, &format!("node = {node}\n{}", table(&self.kafka)), &[campaign("a")]);
            if node > 1 {
                std::fs::copy(first.join("data/notice-keys"), dir.join("data/notice-keys")).unwrap();
            }
        }
        Process::start(&dir, &[], "admin ")
    }

    /// Runs `during` while two exchanges play, then all that is open is settled, and everything must agree in each node.
    pub fn play(&self, nodes: Vec<Process>, during: impl FnOnce(&Journal, Vec<Process>) -> Vec<Process>) {
        let journal = &self.journal;
        journal.plays_with(&nodes.iter().collect::<Vec<_>>());
        let nodes = std::thread::scope(|scope| {
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
            let nodes = during(journal, nodes);
            journal.wait_for_more("bids again", &journal.bids, 50);
            nodes
        });
        journal.settle();
        let count = |counter: &AtomicUsize| counter.load(Ordering::Relaxed);
        let (bids, no_bids, refused) = (count(&journal.bids), count(&journal.no_bids), count(&journal.refused));
        println!("{bids} bids, {no_bids} no-bids, {refused} notices refused");
        nodes.iter().for_each(|node| journal.agrees_with(node.admin, "a"));
        for mut node in nodes {
            node.signal(libc::SIGTERM);
            assert!(node.wait(PATIENCE).success(), "{}", node.errors());
        }
        for node in (1..).take_while(|node| self.dir(*node).exists()) {
            audit_is_clean(&self.dir(node));
        }
    }
}
