//! How long a start takes with many fraud checks in the log: from the log alone, and from the checkpoint that a stop wrote; and what
//! a checkpoint takes that is made while gavel runs, when a tenth more has come. A plain harness: one long run of whole starts.
//!
//! `cargo bench --bench recover_checks [-- --checks N]` writes 1 million checks of ten days, or N, below the system's
//! temporary directory. Without `--bench` there are few, as a test that the bench works.

use std::fs;
use std::ops::Range;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use gavel::app::App;
use gavel::clock::{SystemClock, UnixMs};
use gavel::config::{Config, RawConfig};
use gavel::event::fraud::{Checked, FraudEvent};
use gavel::event::{Event, Stamped};
use gavel::eventlog::{AppendError, DirStorage, EventLog, Follower, LogConfig, SegmentLog};
use gavel::fraud::engine::{Engine, pack};
use gavel::fraud::policy::{Lists, first_lists};
use gavel::fraud::store::Bounds;
use gavel::fraud::{Policy, Request, Scratch, Velocity, answer};
use gavel::tasks::checkpointer::Checkpointer;
use rustix::time::{ClockId, clock_gettime};

const DAYS: u64 = 10;
const CARDS: u64 = 40_000;
const CONFIG: &str = r#"
listen = "127.0.0.1:0"
admin_listen = "127.0.0.1:0"
[fraud]
"#;

struct Idle;

impl Follower for Idle {
    fn apply(&mut self, _: &Stamped, _: &mut Vec<Event>) {}
    fn tick(&mut self, _: UnixMs, _: &mut Vec<Event>) {}
}

/// Twelve windows over a card, and over an address with the merchant.
fn windows() -> String {
    let keys = [r#""payment_method.card.fingerprint""#, r#""device.ip", "merchant_id""#];
    let aggregates = ["aggregate = \"count\"", "aggregate = \"sum\"\nvalue = \"amount.value\""];
    let of = |number: usize| {
        let (key, aggregate, length) = (keys[number / 6], aggregates[number % 2], ["1h", "1d", "30d"][number % 3]);
        format!("[[fraud.windows]]\nname = \"w_{number}\"\nkey = [{key}]\n{aggregate}\nlength = \"{length}\"\n")
    };
    (0..12).map(of).collect()
}

fn config(dir: &Path) -> Config {
    let path = dir.join("gavel.toml");
    let text = format!("data_dir = {:?}\n{CONFIG}{}", dir.join("data"), windows());
    let raw = RawConfig { file: Some((path, text)), ..RawConfig::default() };
    raw.check().expect("the config makes sense")
}

fn body(number: u64) -> String {
    let card = number.wrapping_mul(0x9e37_79b9_7f4a_7c15) % CARDS;
    format!(
        r#"{{"type":"payment","merchant_id":"shop-{}","transaction_id":"order-{number}","stage":"authorization","amount":{{"value":{},"currency":"EUR"}},"payment_method":{{"card":{{"fingerprint":"fp_{card:012}","bin":"424242","last4":"4242","brand":"visa","funding":"credit","country":"DE","exp_month":7,"exp_year":2030}}}},"customer":{{"id":"cus_{card:08}","email":"customer{card}@mail.example"}},"device":{{"ip":"10.{}.{}.7","user_agent":"Mozilla/5.0 (iPhone; CPU iPhone OS 18_5 like Mac OS X) AppleWebKit/605.1.15"}},"order":{{"id":"o-{number}"}}}}"#,
        card % 50,
        100 + number % 20_000,
        card / 250 % 250,
        card % 250,
    )
}

/// One that knows no check.
fn engine(config: &Config) -> Engine {
    let velocity = Velocity::new(config.fraud.windows.clone(), config.fraud.limits()).expect("windows");
    let policy = Policy::new("", &velocity, first_lists(Lists::default(), "")).expect("no rules");
    Engine::new(velocity, policy, Bounds { max_checks: config.fraud.max_checks, max_answer_bytes: 0 })
}

fn open(config: &Config) -> SegmentLog {
    let storage = Arc::new(DirStorage::new(config.data_dir.join("log")).expect("a directory"));
    let clock = SystemClock::start();
    let opened = SegmentLog::open(storage, LogConfig::default(), &mut |_, _| {}).expect("the log opens");
    let log = opened.start(Box::new(move || clock.now()), Box::new(Idle), Box::new(|why| panic!("{why}")));
    log.expect("it starts")
}

/// Decides checks as a server would, of ten days with all that are to come, and has them in its log.
fn write(config: &Config, log: &SegmentLog, checks: Range<u64>, all: u64) {
    let engine = engine(config);
    let append = |event: FraudEvent| {
        let event = Event::Fraud(event);
        while let Err(why) = log.append(0, &event) {
            assert_eq!(why, AppendError::Busy);
            std::thread::sleep(Duration::from_micros(50));
        }
    };
    append(engine.windows_event());
    let (mut request, mut scratch) = (Request::default(), Scratch::default());
    let first = SystemClock::start().now().plus(-((DAYS * 86_400_000) as i64));
    for number in checks {
        let at = first.plus((number * DAYS * 86_400_000 / all) as i64);
        let body = body(number);
        request.parse(body.as_bytes(), false, None, at).expect("a check");
        let (check, key, _) = engine.begin(&request, number.to_string().as_bytes(), body.as_bytes(), at);
        let (policy, decided) = engine.check(&request, None, at, &mut scratch);
        let shown = &scratch.velocity.shown;
        let mut first = Vec::new();
        answer::write(&mut first, check, &decided, &policy, (&request, shown), 50);
        append(FraudEvent::Check(Arc::new(Checked {
            check,
            key,
            arrived: at,
            merchant: String::new(),
            decision: decided.decision.number(),
            windows: engine.fingerprint,
            shown: shown.iter().map(|value| pack(*value)).collect(),
            body: body.into_bytes(),
            answer: first,
        })));
    }
}

/// The most memory that the process has had since the last time, in MB.
fn peak_mb() -> u64 {
    let status = fs::read_to_string("/proc/self/status").expect("Linux tells");
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).expect("the most it had");
    fs::write("/proc/self/clear_refs", "5").expect("it begins anew");
    line.trim_end_matches("kB").trim().parse::<u64>().expect("a number") >> 10
}

/// Checkpoints while gavel runs: of the whole log, and from one on with a tenth more.
fn beside(config: &Config, checks: u64) {
    let (log, storage) = (Arc::new(open(config)), Arc::new(DirStorage::new(&config.data_dir).expect("a directory")));
    let (windows, gauges) = (config.clone(), Arc::default());
    let task = Checkpointer { log: log.clone(), storage, empty: Box::new(move || Ok(engine(&windows))), gauges };
    for what in ["a checkpoint of the whole log while it runs", "another one, after a tenth more checks"] {
        let before = peak_mb();
        let written = timed(what, || task.advance(&|| false)).expect("it is written").expect("there is something");
        println!("  {} MB; memory: {} MB at most, {before} before", written.bytes >> 20, peak_mb());
        write(config, &log, checks..checks + checks / 10, checks + checks / 10);
        log.append_durable(0, &[Event::StillRunning]).wait().expect("durable");
        peak_mb();
    }
    log.close().expect("it closes");
}

fn bytes_of(path: &Path) -> u64 {
    let size = |entry: std::io::Result<fs::DirEntry>| entry.expect("a file").metadata().expect("its size").len();
    if path.is_dir() { fs::read_dir(path).expect("a directory").map(size).sum() } else { size_of(path) }
}

fn size_of(path: &Path) -> u64 {
    fs::metadata(path).map_or(0, |file| file.len())
}

fn cpu_s() -> f64 {
    let now = clock_gettime(ClockId::ProcessCPUTime);
    now.tv_sec as f64 + now.tv_nsec as f64 / 1e9
}

/// What something took: seconds, and seconds of processor time of all threads.
fn timed<T>(what: &str, of: impl FnOnce() -> T) -> T {
    let (started, cpu) = (Instant::now(), cpu_s());
    let done = of();
    println!("{what}: {:.2} s, {:.2} s of processor time", started.elapsed().as_secs_f64(), cpu_s() - cpu);
    done
}

fn main() {
    let flag = |name: &str| std::env::args().skip_while(|arg| arg != name).nth(1);
    let usual = if std::env::args().any(|arg| arg == "--bench") { 1_000_000 } else { 2_000 };
    let checks = flag("--checks").map_or(usual, |n| n.parse().expect("a number of checks"));
    let dir = tempfile::tempdir().expect("a directory");
    let data = dir.path().join("data");
    let start = || App::start(config(dir.path())).expect("it starts");
    // Makes the data directory.
    start().stop().expect("it stops");
    timed("writing the log", || {
        let config = config(dir.path());
        let log = open(&config);
        write(&config, &log, 0..checks, checks);
        log.close().expect("it closes");
    });
    println!("{checks} checks, a log of {} MB", bytes_of(&data.join("log")) >> 20);
    timed("checking every byte of the log", || {
        let storage = Arc::new(DirStorage::new(data.join("log")).expect("a directory"));
        drop(SegmentLog::open(storage, LogConfig::default(), &mut |_, _| {}).expect("the log opens"));
    });
    fs::remove_file(data.join("fraud-checkpoint")).expect("the stop wrote one");
    for _ in 0..2 {
        let app = timed("a start from the log alone", start);
        timed("a stop", || app.stop()).expect("it stops");
        println!("a checkpoint of {} MB", bytes_of(&data.join("fraud-checkpoint")) >> 20);
        let app = timed("a start from the checkpoint", start);
        app.stop().expect("it stops");
        fs::remove_file(data.join("fraud-checkpoint")).expect("the stop wrote one");
    }
    beside(&config(dir.path()), checks);
}
