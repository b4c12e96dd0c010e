//! How many events a second does a log on Kafka take for long, with its broker on the same machine, and how long does one take to
//! be durable beside so many others? Each is appended, durable at the broker, read back and given to the follower.
//!
//! `cargo bench --features kafka --bench kafka [-- SECONDS]` starts a broker of its own (`tests/kafka/broker`): 20 seconds flat out by
//! default, then 10 at each rate.

#[path = "support/money.rs"]
mod money;

use std::net::{TcpListener, TcpStream};
use std::process::{Child, Command};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use gavel::clock::UnixMs;
use gavel::config::Kafka;
use gavel::event::{Event, Stamped};
use gavel::eventlog::kafka::{KafkaLog, Opened};
use gavel::eventlog::{AppendError, EventLog, Follower, OpenError};
use hdrhistogram::Histogram;

const SCRIPT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/kafka/broker");
const LANES: usize = 2;
/// Events a second beside which the time to durable is measured.
const RATES: [u32; 3] = [0, 10_000, 50_000];

struct Counting(Arc<AtomicU64>);

impl Follower for Counting {
    fn apply(&mut self, _: &Stamped, _: &mut Vec<Event>) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }

    fn tick(&mut self, _: UnixMs, _: &mut Vec<Event>) {}
}

struct Broker(Child);

impl Drop for Broker {
    fn drop(&mut self) {
        self.0.kill().expect("the broker ends");
        self.0.wait().expect("the broker has ended");
    }
}

fn free_port() -> String {
    let socket = TcpListener::bind("127.0.0.1:0").expect("a free port");
    socket.local_addr().expect("its address").port().to_string()
}

/// `rate` events a second that nobody waits for, and beside them one after the other that is waited for and measured.
fn paced(log: &KafkaLog, rate: u32) {
    let (stop, mut histogram) = (AtomicBool::new(false), Histogram::<u64>::new(3).expect("three digits"));
    let mut events = money::market(u32::MAX, UnixMs(1_700_000_000_000));
    let measured = money::opening().next().expect("a start");
    thread::scope(|scope| {
        scope.spawn(|| {
            let (started, mut sent) = (Instant::now(), 0);
            while !stop.load(Ordering::Relaxed) {
                let due = (started.elapsed().as_secs_f64() * f64::from(rate)) as u64;
                for event in events.by_ref().take((due - sent) as usize) {
                    log.append(0, &event).expect("room");
                }
                sent = due;
                thread::sleep(Duration::from_micros(50));
            }
        });
        let started = Instant::now();
        while started.elapsed() < Duration::from_secs(10) {
            let appended = Instant::now();
            log.append_durable(1, std::slice::from_ref(&measured)).wait().expect("durable");
            histogram.record(appended.elapsed().as_micros() as u64).expect("it grows");
            thread::sleep(Duration::from_micros(300));
        }
        stop.store(true, Ordering::Relaxed);
    });
    let [p50, p90, p99, p999] = [0.5, 0.9, 0.99, 0.999].map(|q| histogram.value_at_quantile(q));
    let (max, measured) = (histogram.max(), histogram.len());
    println!(
        "append to durable beside {rate} events/s: p50 {p50} us, p90 {p90}, p99 {p99}, p99.9 {p999}, max {max} ({measured} measured)"
    );
}

fn main() {
    let seconds = std::env::args().filter_map(|a| a.parse().ok()).next_back().unwrap_or(20);
    if !Command::new(SCRIPT).arg("fetch").status().expect("tests/kafka/broker").success() {
        return;
    }
    let dir = tempfile::tempdir().expect("a directory");
    let (port, other) = (free_port(), free_port());
    let _broker =
        Broker(Command::new(SCRIPT).arg("run").arg(dir.path()).args([&port, &other]).spawn().expect("a broker"));
    let address = format!("127.0.0.1:{port}");
    while TcpStream::connect(&address).is_err() {
        thread::sleep(Duration::from_millis(100));
    }
    let kafka = Kafka {
        brokers: vec![address],
        topic: "gavel".to_owned(),
        replication: 1,
        min_insync_replicas: 1,
        tls: None,
        sasl: None,
    };
    let opened = loop {
        match Opened::open(&kafka, &dir.path().join("data"), LANES, 4 << 20) {
            Err(OpenError::Away { .. }) => {}
            opened => break opened.expect("the log opens"),
        }
    };
    let applied = Arc::new(AtomicU64::new(0));
    let log = opened.start(Box::new(Counting(applied.clone())), Box::new(|why| panic!("{why}"))).expect("it starts");
    let stop = AtomicBool::new(false);
    thread::scope(|scope| {
        for lane in 0..LANES {
            let (log, stop) = (&log, &stop);
            scope.spawn(move || {
                for event in money::opening().chain(money::market(u32::MAX, UnixMs(1_700_000_000_000))) {
                    while log.append(lane, &event) == Err(AppendError::Busy) && !stop.load(Ordering::Relaxed) {
                        thread::sleep(Duration::from_micros(200));
                    }
                    if stop.load(Ordering::Relaxed) {
                        break;
                    }
                }
            });
        }
        let mut before = (Instant::now(), 0);
        for second in 1..=seconds {
            thread::sleep(Duration::from_secs(1));
            let now = (Instant::now(), applied.load(Ordering::Relaxed));
            println!("{second:>3} s: {:.0} events/s", (now.1 - before.1) as f64 / (now.0 - before.0).as_secs_f64());
            before = now;
        }
        stop.store(true, Ordering::Relaxed);
    });
    let total = applied.load(Ordering::Relaxed);
    let cpu = rustix::time::clock_gettime(rustix::time::ClockId::ProcessCPUTime);
    let cpu_us = (cpu.tv_sec as f64 * 1e9 + cpu.tv_nsec as f64) / 1e3 / applied.load(Ordering::Relaxed) as f64;
    println!("{:.0} events/s over {seconds} s, read back and applied", total as f64 / f64::from(seconds));
    println!("{cpu_us:.2} us of CPU an event, without the broker's");
    // What was accepted flat out is first.
    log.append_durable(0, &[money::opening().next().expect("a start")]).wait().expect("durable");
    RATES.iter().for_each(|rate| paced(&log, *rate));
    log.close().expect("what was accepted is durable");
}
