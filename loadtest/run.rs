//! A run from end to end: opening books, generator threads, progress, comparison, report.

use crate::admin::Admin;
use crate::args::{RunArgs, VerifyArgs};
use crate::books::{Books, Comparison, compare};
use crate::journal::Ledger;
use crate::journal_file::{self, JournalFile};
use crate::money::Rates;
use crate::plan::{AdminPlan, Endpoint, Plan};
use crate::progress::Progress;
use crate::report::{self, Report};
use crate::shard::{self, ShardResult};
use crate::shared::Shared;
use crate::stats::Stats;
use std::net::TcpStream;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// Time for the threads to start before the first planned request.
const HEAD_START: Duration = Duration::from_millis(50);
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
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
    let plan = Arc::new(Plan::check(args)?);
    let admin_plan = AdminPlan::check(&args.server)?;
    reachable(&plan.target)?;
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
        let (stats, ledger, elapsed) = generate(&plan, &shared, &file).await?;
        if let Some(file) = &file {
            file.end(&ledger)?;
        }
        let comparison = match args.no_verify {
            true => None,
            false => Some(tokio::select! {
                compared = compare(&mut admin, &opening, &ledger, &plan.rates) => compared,
                _ = tokio::signal::ctrl_c() => Err("interrupted".to_owned()),
            }),
        };
        // A run is worth its report even when the server has gone away.
        let (comparison, problem) = match comparison {
            Some(Err(problem)) => (None, Some(problem)),
            Some(Ok(comparison)) => (Some(comparison), None),
            None => (None, None),
        };
        let verdict = judge(comparison.as_ref());
        let report = Report { plan, stats, ledger, elapsed, stopped: shared.stopped(), comparison };
        print!("{}", report::text(&report));
        write_files(args, &report)?;
        match problem {
            Some(problem) => Err(format!("the books could not be compared: {problem}")),
            None => Ok((verdict, report)),
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
) -> Result<(Stats, Ledger, Duration), String> {
    let start = Instant::now() + HEAD_START;
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
    let mut interrupts = 0;
    while !threads.iter().all(std::thread::JoinHandle::is_finished) {
        tokio::select! {
            () = tokio::time::sleep(TICK) => progress.show(shared),
            interrupted = tokio::signal::ctrl_c() => {
                // Without a handler the signal would simply end the process.
                interrupts += u32::from(interrupted.is_ok());
                if interrupts > 1 {
                    return Err("stopped before the answers under way had come".to_owned());
                }
                shared.stop();
            }
        }
    }
    progress.end();
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
        write(path, report.stats.latency.to_hgrm())?;
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
