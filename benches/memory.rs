//! What a campaign takes in memory, part by part: bytes asked for, and how many allocations hold them.
//!
//! What the allocator rounds up, and the log's buffers, are not in here: the resident memory of a server has them too.

#[path = "support/leases.rs"]
mod leases;

use std::alloc::{GlobalAlloc, Layout, System};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use gavel::admin::campaigns::Registry;
use gavel::bidding::Catalog;
use gavel::bidding::campaign::{Campaign, Schedule, parse};
use gavel::bidding::compiled::{Compiled, CompiledCreative};
use gavel::bidding::creative::Creative;
use gavel::bidding::live::Live;
use gavel::bidding::part::Entry;
use gavel::bidding::sets::Sets;
use gavel::clock::UnixMs;
use gavel::config::Config;
use gavel::event::Promise;
use gavel::ids::NodeId;
use gavel::ledger::book::CampaignBook;
use gavel::ledger::bucket::{Grids, Lifetimes};
use gavel::ledger::reconcile::reconcile;
use gavel::ledger::{Account, Books, Hot, SlotAccount};
use gavel::money::Rate;
use serde_json::{Value, json};

/// Bytes and allocations that are held now.
static BYTES: AtomicUsize = AtomicUsize::new(0);
static BLOCKS: AtomicUsize = AtomicUsize::new(0);

struct Counting;

// SAFETY: every call is handed on to the system allocator unchanged; counting touches only two plain atomics.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        BYTES.fetch_add(layout.size(), Ordering::Relaxed);
        BLOCKS.fetch_add(1, Ordering::Relaxed);
        unsafe { System.alloc(layout) }
    }
    unsafe fn dealloc(&self, ptr: *mut u8, layout: Layout) {
        BYTES.fetch_sub(layout.size(), Ordering::Relaxed);
        BLOCKS.fetch_sub(1, Ordering::Relaxed);
        unsafe { System.dealloc(ptr, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

const NOW: UnixMs = UnixMs(1_795_000_000_000);
const LIFETIMES: Lifetimes = Lifetimes { auction_ms: 120_000, bill_ms: 3_600_000, sends_win: true };

/// A banner for the phones of a country.
fn plain(i: usize) -> Value {
    let adm = format!(
        "<a href=\"https://a{0}.example/offer?c={i}\" target=\"_blank\"><img src=\"https://cdn.example/{i}.png\" \
         width=\"300\" height=\"250\"></a>",
        i % 997
    );
    json!({
        "id": format!("c-{i}"), "name": format!("Campaign {i}"), "advertiser": format!("advertiser-{}", i % 997),
        "status": "active", "currency": "USD", "time_zone": "UTC", "budget": {"total": "100000000.00"},
        "pacing": "asap", "bid": {"type": "cpm", "price": format!("{}.{:06}", i % 6, 500_000 + i % 499_999)},
        "targeting": {"countries": {"include": ["USA"]}, "devices": ["phone"]},
        "creatives": [{"id": format!("cr-{i}"), "type": "banner", "w": 300, "h": 250, "adm": adm,
            "adomain": [format!("a{}.example", i % 997)], "cat": ["IAB1-6"], "attr": [],
            "landing_url": format!("https://a{}.example/", i % 997)}],
    })
}

/// What was held when it was made.
#[derive(Clone, Copy)]
struct Held(usize, usize);

impl Held {
    fn now() -> Held {
        Held(BYTES.load(Ordering::Relaxed), BLOCKS.load(Ordering::Relaxed))
    }

    /// Prints what is held since, per campaign, and goes on from there.
    fn tell(&mut self, part: &str, count: usize) {
        let now = Held::now();
        let per = |now: usize, before: usize| (now as f64 - before as f64) / count as f64;
        println!("  {part:<50} {:>7.0} {:>6.1}", per(now.0, self.0), per(now.1, self.1));
        *self = now;
    }
}

fn measure(what: &str, count: usize, json: impl Fn(usize) -> Value) {
    println!("\n{count} campaigns, {what}: bytes and allocations of each");
    let parsed = || -> Vec<Campaign> {
        (0..count).map(|i| parse(&json(i).to_string()).unwrap_or_else(|faults| panic!("{}", faults[0]))).collect()
    };
    let mut held = Held::now();
    let files = parsed();
    println!("  {:<50} {:>7}", "its JSON has", files.iter().map(|c| c.json.len()).sum::<usize>() / count);
    held.tell("checked, as it comes from a file", count);
    drop(files);

    let config = Config::default_for_demo().unwrap_or_else(|faults| panic!("{faults:?}"));
    let before = Held::now();
    let mut held = before;
    let mut hot = Hot::new(Books::default(), NodeId(1), Arc::new(Grids::new(&[LIFETIMES])), Promise::default());
    let (registry, events) = Registry::start(&config, &Books::default(), parsed(), &mut hot, NOW);
    held.tell("in the registry, with its account and its event", count);
    let creatives = registry.present.values().flat_map(|p| &p.compiled.creatives);
    let ready = creatives.map(|c| c.fragment.bytes.len()).sum::<usize>();
    println!("  {:<50} {:>7}", "of it what bids say of its creative, as JSON", ready / count);
    leases::settle(&mut hot, events, NOW);
    hot.forget_dirty();
    held.tell("its lease and hot book, less the event", count);
    let mut books = hot.books().clone();
    for book in books.campaigns.values_mut() {
        *book = Arc::new((**book).clone());
    }
    held.tell("its book, as the reconciler has folded it", count);
    assert!(reconcile(&mut hot, &books).is_empty());
    held.tell("what comparing gives back while nothing happens", count);
    let ready: Vec<_> = registry.present.values().map(|p| (p.compiled.clone(), p.live.clone())).collect();
    let catalog = Catalog::build(1, &ready, |_| Some(Rate::USD));
    drop(ready);
    held.tell("the index", count);
    let mut all = before;
    all.tell("all of it", count);
    drop((registry, hot, books, catalog));
}

fn main() {
    println!("bytes of each struct, without what it points to (an Arc adds 16, or the alignment of what is in it)");
    for (name, bytes) in [
        ("Compiled", size_of::<Compiled>()),
        ("  Schedule", size_of::<Schedule>()),
        ("  Sets", size_of::<Sets>()),
        ("CompiledCreative", size_of::<CompiledCreative>()),
        ("  Creative", size_of::<Creative>()),
        ("Live", size_of::<Live>()),
        ("Entry of the index", size_of::<Entry>()),
        ("Account", size_of::<Account>()),
        ("SlotAccount", size_of::<SlotAccount>()),
        ("CampaignBook", size_of::<CampaignBook>()),
    ] {
        println!("  {name:<50} {bytes:>7}");
    }
    for count in [10_000, 100_000] {
        measure("one banner each", count, plain);
    }
    measure("one banner and 40 sites each", 100_000, |i| {
        let mut campaign = plain(i);
        let site = |n: usize| format!("publisher-{}.example", (i * 131 + n * 977) % 5_000);
        campaign["targeting"]["inventory"] = json!({"include": (0..40).map(site).collect::<Vec<_>>()});
        campaign
    });
}
