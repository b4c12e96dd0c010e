//! How many instructions a bid request, a decision, a fraud check and a fold take: counted by callgrind, which counts the
//! same on a busy machine. `benches/instructions/run` counts them all and compares them with those checked in.
//!
//! `instructions parse|decide-wide|decide-usual|decide-narrow|check|fold` prepares everything and then does it so often; only what happens within
//! [`counted`] counts.

#[path = "../support/checking.rs"]
mod checking;
#[path = "../support/deciding.rs"]
mod deciding;
#[path = "../support/leases.rs"]
mod leases;
#[path = "../support/money.rs"]
mod money;
#[path = "../support/mod.rs"]
mod support;

use std::hint::black_box;
use std::process::ExitCode;
use std::sync::Arc;

use deciding::{NOW, campaigns, exchange, snapshot};
use gavel::bidding::{Scratch, decide};
use gavel::config::RawConfig;
use gavel::event::{Event, Offset, Stamped};
use gavel::fraud::engine::Engine;
use gavel::fraud::policy::{Lists, Policy};
use gavel::fraud::request::Request;
use gavel::fraud::store::Bounds;
use gavel::fraud::velocity::Velocity;
use gavel::fraud::{answer, decide as checks};
use gavel::ledger::{Books, fold};
use gavel::openrtb::parse;
use gavel::scoring::artifact::{Artifact, RowsFrom};
use gavel::scoring::manifest::Manifest;
use gavel::scoring::registry::ModelSet;
use gavel::scoring::sources::Sources;
use support::campaigns::{Mix, NARROW, USUAL, WIDE, campaign};
use support::requests::request;

/// As in the product.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

const CAMPAIGNS: usize = 2_000;
const TIMES: usize = 2_000;
const BIDS: u32 = 2 * money::DELAY;

fn main() -> ExitCode {
    match std::env::args().nth(1).as_deref() {
        Some("parse") => parsing(),
        Some("decide-wide") => deciding(WIDE),
        Some("decide-usual") => deciding(USUAL),
        Some("decide-narrow") => deciding(NARROW),
        Some("check") => checking(),
        Some("fold") => folding(),
        // As `cargo bench` and `cargo test` call every bench.
        _ => println!("see benches/instructions/run"),
    }
    ExitCode::SUCCESS
}

/// What callgrind counts, by this name; says how often it was done.
#[inline(never)]
fn counted(times: usize, work: &mut dyn FnMut(usize)) {
    for at in 0..times {
        work(at);
    }
}

fn count(times: usize, mut work: impl FnMut(usize)) {
    counted(times, &mut work);
    println!("times {times}");
}

fn bodies() -> Vec<String> {
    (0..TIMES).map(request).collect()
}

fn parsing() {
    let bodies = bodies();
    count(TIMES, |at| {
        let request = parse(black_box(bodies[at].as_bytes()));
        assert!(black_box(request).is_ok());
    });
}

/// A decision over a parsed request, money set aside included.
fn deciding(mix: Mix) {
    let bodies = bodies();
    let requests: Vec<_> = bodies.iter().map(|body| parse(body.as_bytes()).expect("a valid request")).collect();
    let (campaigns, grids) = campaigns(CAMPAIGNS, |i| campaign(i, mix));
    let (snapshot, exchange, mut scratch) = (snapshot(&campaigns, grids), exchange(), Scratch::new(1));
    let mut bids = 0;
    count(TIMES, |at| bids += decide(&snapshot, &exchange, black_box(&requests[at]), NOW, &mut scratch).bids.len());
    assert!(bids > TIMES / 2, "{bids} bids");
}

/// From the bytes of a check to those of its answer, with windows, rules and a model.
fn checking() {
    let text = format!("[fraud]\n{}", checking::windows());
    let raw = RawConfig { file: Some(("gavel.toml".into(), text)), ..RawConfig::default() };
    let config = raw.check().unwrap_or_else(|faults| panic!("{faults:?}"));
    let velocity = Velocity::new(config.fraud.windows.clone(), config.fraud.limits()).expect("windows");
    let names: Vec<String> = velocity.declared().iter().map(|window| window.name.clone()).collect();
    let policy = Policy::new(&checking::rules(), &velocity, Lists::default()).expect("rules");
    let (file, manifest) = checking::model();
    let manifest = Manifest::parse(&manifest).expect("a manifest");
    let sources = Sources::fraud().with_windows(names.iter().map(String::as_str));
    let artifact = Artifact::load(&manifest, file.as_bytes(), &sources, RowsFrom::Transforms).expect("an artifact");
    let models = ModelSet { active: Some(Arc::new(artifact)), ..ModelSet::default() };
    let engine = Engine::new(velocity, policy, Bounds { max_checks: 1 << 16, max_answer_bytes: 1 << 20 });
    let (mut request, mut scratch, mut out) = (Request::default(), checks::Scratch::default(), Vec::new());
    let (bodies, keys): (Vec<_>, Vec<_>) =
        (0..2 * TIMES).map(|i| (checking::body(i % TIMES, &format!("{i:012}")), format!("order-{i:012}"))).unzip();
    let mut check = |at: usize| {
        let (body, now) = (bodies[at].as_bytes(), NOW.plus(at as i64));
        request.parse(body, false, None, now).expect("a check");
        let (check, ..) = engine.begin(&request, keys[at].as_bytes(), body, now);
        let (policy, decided) = engine.check(&request, Some(&models), now, &mut scratch);
        assert!(decided.model_score().is_finite());
        out.clear();
        answer::write(&mut out, check, &decided, &policy, (&request, &scratch.velocity.shown), 50);
        black_box(&out);
    };
    // Cards and customers that were seen before.
    (0..TIMES).for_each(&mut check);
    count(TIMES, |at| check(TIMES + at));
}

/// Bids and their notices, into the books.
fn folding() {
    let mut books = Books::default();
    let events: Vec<Event> = money::opening().chain(money::market(BIDS, NOW)).collect();
    let stamp = |(offset, event)| Stamped { offset: Offset(offset as u64), at: NOW, event };
    let events: Vec<Stamped> = events.into_iter().enumerate().map(stamp).collect();
    count(events.len(), |at| {
        fold(&mut books, black_box(&events[at]));
    });
    assert_eq!(
        books.campaigns.values().map(|book| book.billed).sum::<u64>(),
        u64::from(BIDS - money::DELAY).div_ceil(4)
    );
}
