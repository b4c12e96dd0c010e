//! What a bid takes from the allocator on its way through the server: how many allocations, of how many bytes, in which step
//! and where. Memory that is given back at once counts like any other.

#[path = "support/caller.rs"]
mod caller;
#[expect(dead_code, reason = "one catalog will do")]
#[path = "support/mod.rs"]
mod support;

use std::alloc::{GlobalAlloc, Layout};
use std::backtrace::Backtrace;
use std::cell::Cell;
use std::collections::BTreeMap;
use std::fs;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, PoisonError};

use caller::Caller;
use gavel::app::App;
use gavel::config::RawConfig;
use mimalloc::MiMalloc;
use support::campaigns::{USUAL, campaign};

type Error = Box<dyn std::error::Error>;

const CAMPAIGNS: usize = 1_000;
/// Requests before anything is counted: buffers have their size then.
const WARM_UP: usize = 2_000;
const REQUESTS: usize = 500;
/// Places that are told of, those with most bytes first.
const PLACES: usize = 24;

struct Taken {
    thread: i32,
    bytes: usize,
    stack: Backtrace,
}

static COUNTING: AtomicBool = AtomicBool::new(false);
static TAKEN: Mutex<Vec<Taken>> = Mutex::new(Vec::new());

thread_local! {
    /// This thread is not counted: it asks, or it is just counting.
    static ASIDE: Cell<bool> = const { Cell::new(false) };
}

struct Counting;

// SAFETY: every call is handed on to the product's allocator unchanged; what counting allocates itself is set aside, so
// that it does not come back here.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        count(layout.size());
        unsafe { MiMalloc.alloc(layout) }
    }
    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        count(layout.size());
        unsafe { MiMalloc.alloc_zeroed(layout) }
    }
    unsafe fn realloc(&self, ptr: *mut u8, layout: Layout, bytes: usize) -> *mut u8 {
        count(bytes);
        unsafe { MiMalloc.realloc(ptr, layout, bytes) }
    }
    unsafe fn dealloc(&self, ptr: *mut u8, layout: Layout) {
        unsafe { MiMalloc.dealloc(ptr, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

fn count(bytes: usize) {
    if COUNTING.load(Ordering::Relaxed) && !ASIDE.replace(true) {
        let thread = rustix::thread::gettid().as_raw_nonzero().get();
        let stack = Backtrace::force_capture();
        TAKEN.lock().unwrap_or_else(PoisonError::into_inner).push(Taken { thread, bytes, stack });
        ASIDE.set(false);
    }
}

fn main() -> Result<(), Error> {
    ASIDE.set(true);
    // Without it cargo tests that the bench works.
    let whole = std::env::args().any(|argument| argument == "--bench");
    let requests = if whole { REQUESTS } else { 5 };
    let dir = tempfile::tempdir()?;
    let campaigns: Vec<String> = (0..CAMPAIGNS).map(|i| campaign(i, USUAL).to_string()).collect();
    fs::write(dir.path().join("campaigns.json"), format!("[{}]", campaigns.join(",\n")))?;
    let text = "listen = \"127.0.0.1:0\"\nadmin_listen = \"127.0.0.1:0\"\ndata_dir = \"data\"\n\
                catalog = [\"campaigns.json\"]\n[limits]\nworkers = 1\n";
    let raw = RawConfig { file: Some((dir.path().join("gavel.toml"), text.to_owned())), ..RawConfig::default() };
    let app = App::start(raw.check().map_err(|faults| faults[0].to_string())?)?;
    let mut caller = Caller::connect(app.traffic)?;
    for i in 0..WARM_UP {
        caller.ask(i)?;
    }
    let mut bids = 0;
    COUNTING.store(true, Ordering::Relaxed);
    for i in 0..requests {
        bids += usize::from(caller.ask(i)? > 0);
    }
    COUNTING.store(false, Ordering::Relaxed);
    let taken = std::mem::take(&mut *TAKEN.lock().unwrap_or_else(PoisonError::into_inner));
    tell(&taken, requests, bids)?;
    drop(caller);
    Ok(app.stop()?)
}

fn tell(taken: &[Taken], requests: usize, bids: usize) -> Result<(), Error> {
    println!("{requests} requests, {bids} with a bid; of each request:\n");
    let (mut steps, mut places) = (BTreeMap::new(), BTreeMap::new());
    for taken in taken {
        let name = fs::read_to_string(format!("/proc/self/task/{}/comm", taken.thread))?;
        let place = place(&taken.stack);
        let step = match name.trim_end() {
            "worker-0" => step(&place).to_owned(),
            other => format!("thread {other}"),
        };
        for (sums, key) in [(&mut steps, step.clone()), (&mut places, format!("{step}: {place}"))] {
            let (times, bytes) = sums.entry(key).or_insert((0, 0));
            (*times, *bytes) = (*times + 1, *bytes + taken.bytes);
        }
    }
    let table = |sums: BTreeMap<String, (usize, usize)>, most: usize| {
        let mut sums: Vec<_> = sums.into_iter().collect();
        sums.sort_by_key(|(_, (_, bytes))| std::cmp::Reverse(*bytes));
        for (what, (times, bytes)) in sums.into_iter().take(most) {
            println!("{:>10.2}{:>10.0}  {what}", times as f64 / requests as f64, bytes as f64 / requests as f64);
        }
    };
    println!("{:>10}{:>10}  step", "times", "bytes");
    table(steps, usize::MAX);
    println!("\n{:>10}{:>10}  step: where", "times", "bytes");
    table(places, PLACES);
    Ok(())
}

/// The innermost line of a stack that is gavel's or the server's, without the column. Not the function's name: where it is
/// inlined, that does not say whose it is.
fn place(stack: &Backtrace) -> String {
    const OURS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/src/");
    let place = |line: &str| {
        let path = line.trim_start().strip_prefix("at ")?.rsplit_once(':')?.0;
        let of_a_crate =
            || ["hyper-", "tokio-"].iter().find_map(|name| Some(&path[path.find(&format!("/{name}"))? + 1..]));
        let ours = path.strip_prefix("./src/").or(path.strip_prefix(OURS)).map(|rest| format!("src/{rest}"));
        ours.or_else(|| of_a_crate().map(str::to_owned))
    };
    stack.to_string().lines().find_map(place).unwrap_or_default()
}

/// In which step something is taken there.
fn step(place: &str) -> &'static str {
    let below = |paths: &[&str]| paths.iter().any(|path| place.starts_with(path));
    if below(&["src/openrtb/token", "src/openrtb/response"]) {
        "answering"
    } else if below(&["src/openrtb/"]) {
        "reading the request"
    } else if below(&["src/bidding/", "src/ledger/", "src/fraud/"]) {
        "deciding"
    } else if below(&["src/eventlog/", "src/event"]) {
        "log"
    } else if below(&["src/serve/record.rs"]) {
        "recording one in a hundred"
    } else if below(&["src/"]) {
        "answering"
    } else if place.contains("/h1/role.rs") || place.contains("/h1/io.rs") || place.contains("/incoming.rs") {
        "hyper: reading"
    } else {
        "hyper, tokio: the rest"
    }
}
