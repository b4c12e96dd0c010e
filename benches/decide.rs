//! What a bid decision takes in a hot loop: matching alone, with parsing, reserving, and building a catalog.
//!
//! Inside the server everything costs two to four times as much, since nothing is in the caches: see `ratio`.

#[path = "support/deciding.rs"]
mod deciding;
#[path = "support/leases.rs"]
mod leases;
#[path = "support/mod.rs"]
mod support;

use std::hint::black_box;
use std::net::{Ipv4Addr, Ipv6Addr};
use std::time::{Duration, Instant};

use criterion::{Criterion, criterion_group, criterion_main};
use deciding::{LIFETIMES, NOW, build, campaigns, exchange, snapshot};
use gavel::bidding::{Reason, Scratch, decide};
use gavel::clock::UnixMs;
use gavel::fraud::traffic::read::{Entries, Kind};
use gavel::fraud::traffic::{self, Activity};
use gavel::ledger::bucket::Ring;
use gavel::money::Nanos;
use gavel::openrtb::parse;
use gavel::window::rate::Rates;
use support::campaigns::{Mix, NARROW, USUAL, WIDE, campaign};
use support::requests::request;

/// As in the product.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

const SIZES: [(&str, usize); 2] = [("10k", 10_000), ("100k", 100_000)];
/// More than the processor's caches hold.
const REQUESTS: usize = 4_096;

/// The share of campaigns that may bid for a request, on average: with one price for all, every one of them is looked at.
fn eligible(count: usize, mix: Mix, bodies: &[String]) -> f64 {
    let (campaigns, grids) = campaigns(count, |i| {
        let mut campaign = campaign(i, mix);
        campaign["bid"]["price"] = "6.0".into();
        campaign
    });
    let (snapshot, exchange, mut scratch) = (snapshot(&campaigns, grids), exchange(), Scratch::new(1));
    let mut found = 0;
    for body in bodies {
        let request = parse(body.as_bytes()).expect("a valid request");
        let bids = decide(&snapshot, &exchange, &request, NOW, &mut scratch).bids.len() as u64;
        found += bids + scratch.take_lost()[Reason::Outbid as usize];
    }
    found as f64 / (bodies.len() * count) as f64
}

fn deciding_on_requests(c: &mut Criterion) {
    let bodies: Vec<String> = (0..REQUESTS).map(request).collect();
    let requests: Vec<_> = bodies.iter().map(|body| parse(body.as_bytes()).expect("a valid request")).collect();
    let mut group = c.benchmark_group("parse");
    let mut at = 0;
    group.bench_function("alone", |b| {
        b.iter(|| {
            at = (at + 1) % REQUESTS;
            parse(black_box(bodies[at].as_bytes())).is_ok()
        });
    });
    group.finish();
    for (mix_name, mix) in [("5%", WIDE), ("0.5%", USUAL), ("0.05%", NARROW)] {
        let share = eligible(10_000, mix, &bodies[..500]);
        println!("\n{mix_name}: {:.3} % of the campaigns are eligible for a request", share * 100.0);
        for (size, count) in SIZES {
            let (campaigns, grids) = campaigns(count, |i| campaign(i, mix));
            let (snapshot, exchange, mut scratch) = (snapshot(&campaigns, grids), exchange(), Scratch::new(1));
            let mut group = c.benchmark_group(format!("decide/{size}/{mix_name}"));
            group.bench_function("decide", |b| {
                b.iter(|| {
                    at = (at + 1) % REQUESTS;
                    decide(&snapshot, &exchange, black_box(&requests[at]), NOW, &mut scratch).bids.len()
                });
            });
            group.bench_function("parse and decide", |b| {
                b.iter(|| {
                    at = (at + 1) % REQUESTS;
                    let request = parse(black_box(bodies[at].as_bytes()));
                    request.map_or(0, |request| decide(&snapshot, &exchange, &request, NOW, &mut scratch).bids.len())
                });
            });
            group.finish();
        }
    }
}

/// Telling traffic of people from other traffic, by lists as long as the public ones.
fn screening(c: &mut Criterion) {
    let mut rng = fastrand::Rng::with_seed(1);
    let mut entries = Entries::default();
    let ranges = (0..10_000).map(|_| format!("{}/{}\n", Ipv4Addr::from(rng.u32(..1 << 31)), rng.u8(16..=28)));
    let mut ranges: String = ranges.collect();
    (0..3_000).for_each(|_| ranges.push_str(&format!("{}/{}\n", Ipv6Addr::from(rng.u128(..)), rng.u8(32..=56))));
    let crawlers: String = (0..1_400).map(|i| format!("Crawler{i}-bot\n")).collect();
    let publishers: String = (0..10_000).map(|i| format!("bad{i}.example\n")).collect();
    for (kind, text) in [(Kind::DataCentres, &ranges), (Kind::Crawlers, &crawlers), (Kind::Publishers, &publishers)] {
        entries.add(kind, text).unwrap_or_else(|faults| panic!("{faults:?}"));
    }
    let lists = entries.lists().expect("lists");
    let activity = Activity { by_ip: Some(Rates::new(60_000, 8 << 20, NOW)), by_user: None };
    let bodies: Vec<String> = (0..REQUESTS).map(request).collect();
    let requests: Vec<_> = bodies.iter().map(|body| parse(body.as_bytes()).expect("a valid request")).collect();
    let mut group = c.benchmark_group("screen");
    let mut at = 0;
    group.bench_function("a request", |b| {
        b.iter(|| {
            at = (at + 1) % REQUESTS;
            traffic::request(&lists, &activity, "demo", black_box(&requests[at]), NOW.plus(at as i64)).is_ok()
        });
    });
    let agents: Vec<String> =
        (0..65_536).map(|i| format!("{} Build/{i}", requests[0].device.ua.as_deref().unwrap_or(""))).collect();
    group.bench_function("a user agent that was not seen lately", |b| {
        b.iter(|| {
            at = (at + 1) % agents.len();
            lists.crawlers.knows(black_box(&agents[at]))
        });
    });
    group.finish();
}

fn reserving(c: &mut Criterion) {
    let (campaigns, grids) = campaigns(1, |i| campaign(i, WIDE));
    let account = &campaigns[0].1.account;
    let until = UnixMs(NOW.0 + i64::from(grids.lifetimes(NOW, LIFETIMES).0));
    // A nano at a time: the money outlasts the bench.
    let reserve = |times: u64| {
        let started = Instant::now();
        for _ in 0..times {
            let open = account.open(black_box(gavel::clock::Day(0)));
            let slot = open.as_deref().and_then(Option::as_ref);
            black_box(slot.is_some_and(|slot| account.try_reserve(slot, &grids, Ring::Auction, until, Nanos(1))));
        }
        started.elapsed()
    };
    let mut group = c.benchmark_group("reserve");
    group.bench_function("one thread", |b| b.iter_custom(reserve));
    group.bench_function("two threads", |b| {
        b.iter_custom(|times| {
            std::thread::scope(|scope| {
                let other = scope.spawn(|| reserve(times));
                reserve(times).max(other.join().unwrap_or_default())
            })
        });
    });
    group.finish();
}

fn building(c: &mut Criterion) {
    let mut group = c.benchmark_group("catalog build");
    group.sample_size(10).measurement_time(Duration::from_secs(3));
    for (size, count) in SIZES {
        let (campaigns, _) = campaigns(count, |i| campaign(i, USUAL));
        group.bench_function(size, |b| b.iter(|| build(black_box(&campaigns))));
    }
    group.finish();
}

criterion_group!(benches, screening, deciding_on_requests, reserving, building);
criterion_main!(benches);
