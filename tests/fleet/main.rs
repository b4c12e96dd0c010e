//! A simulated fleet: two to four nodes on one log, each following it at its own pace, with the production ledger. Virtual
//! clocks, everything drawn from one seed, one thread per world.
//!
//! Nodes crash with events under way, start again, stand still for minutes and go on, start at the same time and by mistake
//! with one number. Notices come to any of them, twice, late, or never. Budgets are cut and raised by one while others
//! lease, and ids get their numbers from several at once. What must hold after every event is in `check`.
//!
//! `FLEET_SEED=n cargo test --test fleet -- --nocapture` replays one seed; `FLEET_SEEDS=100000` is the long mode.

mod check;
mod node;
mod notices;
mod world;

use std::collections::BTreeMap;
use std::panic::{AssertUnwindSafe, catch_unwind};

use world::World;

const SEEDS: u64 = 100;

/// What has to happen in some world, or the simulation shows nothing.
const MUST_HAPPEN: [&str; 18] = [
    "bid",
    "no bid behind the fence",
    "bid of a start that has ended",
    "notice at another node",
    "booked",
    "booked of a start that has ended",
    "booked late",
    "lease refused",
    "lease of a start that has ended refused",
    "epoch refused",
    "number refused",
    "ended by silence",
    "ended by its own node",
    "told too late",
    "reclaimed",
    "reclaimed twice",
    "budget cut",
    "node knows all of the log",
];

fn number(name: &str) -> Option<u64> {
    let text = std::env::var(name).ok()?;
    Some(text.parse().unwrap_or_else(|_| panic!("{name} is no number: {text:?}")))
}

#[test]
fn money_is_exact_in_every_fleet() {
    let seeds = match number("FLEET_SEED") {
        Some(seed) => seed..seed + 1,
        None => 0..number("FLEET_SEEDS").unwrap_or(SEEDS),
    };
    let mut counts = BTreeMap::<&str, u64>::new();
    for seed in seeds.clone() {
        let run = catch_unwind(AssertUnwindSafe(|| World::new(seed).run()));
        let Ok(happened) = run else { panic!("FLEET_SEED={seed} cargo test --test fleet -- --nocapture") };
        happened.into_iter().for_each(|(what, times)| *counts.entry(what).or_default() += times);
    }
    counts.iter().for_each(|(what, times)| println!("{times:>9} {what}"));
    let never: Vec<_> = MUST_HAPPEN.iter().filter(|what| !counts.contains_key(*what)).collect();
    assert!(seeds.end - seeds.start < SEEDS || never.is_empty(), "never happened: {never:?}");
}
