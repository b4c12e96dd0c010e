//! What a second of pacing takes: one look of the pacer at every campaign of a catalog, all of them `even`.

use std::sync::{Arc, Mutex};
use std::time::Instant;

use gavel::admin::campaigns::Registry;
use gavel::bidding::Catalog;
use gavel::bidding::campaign::parse;
use gavel::clock::UnixMs;
use gavel::config::Config;
use gavel::event::{Offset, Promise, Stamped};
use gavel::ids::NodeId;
use gavel::ledger::bucket::{Grids, Lifetimes, Ring};
use gavel::ledger::{Books, Hot};
use gavel::money::{Nanos, Rate};
use gavel::tasks::pacer::Rounds;
use serde_json::json;

/// As in the product.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

const NOW: UnixMs = UnixMs(1_795_000_000_000);
const LIFETIMES: Lifetimes = Lifetimes { auction_ms: 120_000, bill_ms: 3_600_000, sends_win: true };

fn main() {
    for count in [1_000usize, 10_000] {
        let grids = Arc::new(Grids::new(&[LIFETIMES]));
        let mut hot = Hot::new(Books::default(), NodeId(1), grids.clone(), Promise::default());
        let even = |i| {
            let zone = ["UTC", "America/New_York", "Europe/Berlin", "Asia/Tokyo"][i % 4];
            let even = json!({
                "id": format!("c-{i}"), "currency": "USD", "time_zone": zone, "pacing": "even",
                "budget": {"total": "1000.00", "daily": "100.00"}, "bid": {"type": "cpm", "price": "2.50"},
                "creatives": [{"id": "1", "type": "banner", "w": 300, "h": 250, "adm": "<a>", "adomain": ["a.example"]}],
            });
            parse(&even.to_string()).unwrap_or_else(|faults| panic!("{}", faults[0]))
        };
        let config = Config::default_for_demo().unwrap_or_else(|faults| panic!("{faults:?}"));
        let (registry, mut events) =
            Registry::start(&config, &Books::default(), (0..count).map(even).collect(), &mut hot, NOW);
        events.insert(0, hot.started());
        let mut offset = 0;
        while !events.is_empty() {
            let mut next = Vec::new();
            for event in events.drain(..) {
                hot.apply(&Stamped { offset: Offset(offset), at: NOW, event }, &mut next);
                offset += 1;
            }
            if !hot.all_leased() {
                hot.tick(NOW, &mut next);
            }
            events = next;
        }
        // As in use: each has money set aside, so each has buckets to look through.
        for present in registry.present.values() {
            let live = &present.live;
            let open = live.account.open(present.compiled.schedule.zone.local_hour(NOW).day);
            if let Some(slot) = open.as_deref().and_then(|open| open.as_deref()) {
                let until = NOW.plus(i64::from(grids.lifetimes(NOW, LIFETIMES).0));
                slot.try_reserve(&grids, Ring::Auction, until, Nanos(1));
            }
        }
        let campaigns: Vec<_> = registry.present.into_values().map(|p| (p.compiled, p.live)).collect();
        let catalog = Catalog::build(1, &campaigns, |_| Some(Rate::USD));
        let (hot, mut rounds) = (Mutex::new(hot), Rounds::default());
        let mut took = Vec::new();
        for second in 0..30 {
            let started = Instant::now();
            let summary = rounds.round(&catalog, &hot, NOW.plus(second * 1_000));
            took.push(started.elapsed());
            assert_eq!(summary.campaigns, count as u64);
        }
        let first = took[0];
        took.sort_unstable();
        println!("{count} even campaigns: {:.2?} a second, {first:.2?} the first time", took[took.len() / 2]);
    }
}
