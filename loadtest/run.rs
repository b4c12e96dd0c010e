//! A run from end to end: opening books, generator threads, progress, comparison, report.

use crate::admin::Admin;
use crate::args::{RunArgs, VerifyArgs};
use crate::books::{Books, Comparison, compare};
use crate::interrupt;
use crate::journal::Ledger;
use crate::journal_file::{self, JournalFile};
use crate::money::Rates;
use crate::plan::{AdminPlan, Endpoint, Plan};
use crate::progress::Progress;
use crate::report::{self, Report};
use crate::shard::{self, ShardResult};
use crate::shared::Shared;
use crate::stats::Stats;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use std::net::TcpStream;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// Time for the threads to start before the first planned request.
const HEAD_START: Duration = Duration::from_millis(50);
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// Files that are no connections of the load.
const FILES_BESIDE: u64 = 500;
const TICK: Duration = Duration::from_millis(200);

/// How a command ended; errors of usage and connection are `Err` instead.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    Equal,
    Different,
    NotCompared,
}

fn runtime() -> Result<tokio::runtime::Runtime, String> {
    let built = tokio::runtime::Builder::new_current_thread().enable_all().build();
    built.map_err(|error| format!("cannot start a runtime: {error}"))
}

fn reachable(endpoint: &Endpoint) -> Result<(), String> {
    let connected = TcpStream::connect_timeout(&endpoint.addr, CONNECT_TIMEOUT);
    connected.map(drop).map_err(|error| format!("cannot connect to {}: {error}", endpoint.host))
}

pub fn run(args: &RunArgs) -> Result<(Verdict, Report), String> {
    interrupt::watch(false)?;
    let (verdict, report, ()) = play(args, Plan::check(args)?, true, |_| || ())?;
    Ok((verdict, report))
}

/// Connections are files: raises the limit of how many may be open as far as that is allowed.
fn open_files(connections: usize) -> Result<(), String> {
    let Rlimit { current, maximum } = getrlimit(Resource::Nofile);
    let needed = connections as u64 + FILES_BESIDE;
    if current.is_none_or(|current| current >= needed) {
        return Ok(());
    }
    if maximum.is_some_and(|maximum| maximum < needed) {
        return Err(format!("{connections} connections need {needed} open files: raise the limit (ulimit -n)"));
    }
    setrlimit(Resource::Nofile, Rlimit { current: Some(needed), maximum })
        .map_err(|error| format!("the limit of open files cannot be raised: {error}"))
}

/// Plays a plan; progress and report are printed where they are to be `shown`. `beside` begins what goes on meanwhile, told
/// when the first second begins; what it gives back ends that, once the last answer has come, or is dropped.
pub fn play<T, E: FnOnce() -> T>(
    args: &RunArgs,
    plan: Plan,
    shown: bool,
    beside: impl FnOnce(Instant) -> E,
) -> Result<(Verdict, Report, T), String> {
    let plan = Arc::new(plan);
    let admin_plan = AdminPlan::check(&args.server)?;
    reachable(&plan.target)?;
    open_files(plan.connections)?;
    runtime()?.block_on(async {
        let mut admin = Admin::new(admin_plan);
        let opening = if args.no_verify { Books::new() } else { admin.books().await? };
        let file = match &args.journal {
            None => None,
            Some(path) => {
                let file = JournalFile::append(path, plan.seed, &opening);
                let file = file.map_err(|error| format!("cannot write {}: {error}", path.display()))?;
                Some(Arc::new(file))
            }
        };
        let shared = Arc::new(Shared::new(plan.threads, plan.bids_limit));
        let start = Instant::now() + HEAD_START;
        let end = beside(start);
        let (stats, ledger, elapsed) = generate(&plan, &shared, &file, start, shown).await?;
        let meanwhile = end();
        if let Some(file) = &file {
            file.end(&ledger)?;
        }
        let comparison = match args.no_verify {
            true => None,
            false => Some(tokio::select! {
                compared = compare(&mut admin, &opening, &ledger, &plan.rates) => compared,
                () = interrupt::again() => Err("interrupted".to_owned()),
            }),
        };
        // A run is worth its report even when the server has gone away.
        let (comparison, problem) = match comparison {
            Some(Err(problem)) => (None, Some(problem)),
            Some(Ok(comparison)) => (Some(comparison), None),
            None => (None, None),
        };
        let verdict = if stats.checks.faults.is_empty() { judge(comparison.as_ref()) } else { Verdict::Different };
        let report = Report { plan, stats, ledger, elapsed, stopped: shared.stopped(), comparison };
        if shown {
            print!("{}", report::text(&report));
        }
        write_files(args, &report)?;
        match problem {
            Some(problem) => Err(format!("the books could not be compared: {problem}")),
            None => Ok((verdict, report, meanwhile)),
        }
    })
}

fn judge(comparison: Option<&Comparison>) -> Verdict {
    match comparison {
        None => Verdict::NotCompared,
        Some(comparison) if comparison.equal() => Verdict::Equal,
        Some(_) => Verdict::Different,
    }
}

async fn generate(
    plan: &Arc<Plan>,
    shared: &Arc<Shared>,
    file: &Option<Arc<JournalFile>>,
    start: Instant,
    shown: bool,
) -> Result<(Stats, Ledger, Duration), String> {
    let mut threads = Vec::new();
    for number in 0..plan.threads {
        let (plan, shared, file) = (Arc::clone(plan), Arc::clone(shared), file.clone());
        let thread = std::thread::Builder::new()
            .name(format!("generator-{number}"))
            .spawn(move || shard::run(plan, shared, number, start, file))
            .map_err(|error| format!("cannot start a thread: {error}"))?;
        threads.push(thread);
    }
    let mut progress = Progress::new(plan, start);
    while !threads.iter().all(std::thread::JoinHandle::is_finished) {
        tokio::time::sleep(TICK).await;
        if shown {
            progress.show(shared);
        }
        match interrupt::count() {
            0 => {}
            1 => shared.stop(),
            _ => return Err("stopped before the answers under way had come".to_owned()),
        }
    }
    if shown {
        progress.end();
    }
    let (mut stats, mut ledger) = (Stats::default(), Ledger::default());
    for thread in threads {
        let result: ShardResult = thread.join().map_err(|_| "a generator thread panicked".to_owned())??;
        stats.merge(&result.stats);
        ledger.merge(result.ledger);
    }
    Ok((stats, ledger, Instant::now().saturating_duration_since(start)))
}

fn write_files(args: &RunArgs, report: &Report) -> Result<(), String> {
    let write = |path: &std::path::Path, text: String| {
        std::fs::write(path, text).map_err(|error| format!("cannot write {}: {error}", path.display()))
    };
    if let Some(path) = &args.json {
        write(path, format!("{:#}\n", report::json(report)))?;
    }
    if let Some(path) = &args.hgrm {
        write(path, report.requests().to_hgrm())?;
    }
    Ok(())
}

/// Compares the books with the journal of earlier runs.
pub fn verify(args: &VerifyArgs) -> Result<Verdict, String> {
    let rates = Rates::parse(&args.server.rates)?;
    let earlier = journal_file::read(&args.journal, &rates)?;
    let admin_plan = AdminPlan::check(&args.server)?;
    let comparison =
        runtime()?.block_on(compare(&mut Admin::new(admin_plan), &earlier.opening, &earlier.ledger, &rates))?;
    println!("journal   {}: {} runs, {} bills", args.journal.display(), earlier.runs, earlier.ledger.bills());
    for warning in &earlier.warnings {
        println!("warning   {warning}");
    }
    print!("{}", report::comparison_text(&comparison));
    Ok(judge(Some(&comparison)))
}
