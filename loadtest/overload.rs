//! More and more load on one server, to well beyond what it can answer: goodput must stay, and answers must not get late.

use crate::args::{OverloadArgs, RunArgs};
use crate::interrupt;
use crate::plan::{AdminPlan, Plan};
use crate::record::machine::{Machine, commit, date};
use crate::report::{self, Report};
use crate::run::{self, Verdict};
use crate::scenario::file::Scenario;
use crate::scenario::server::{self, Server};
use crate::scenario::{self, meanwhile::Going};
use crate::series::{End, Second};
use serde::Serialize;
use std::time::Duration;

const SECOND_NS: u64 = 1_000_000_000;
/// Where a server never gets enough.
const ROWS_LIMIT: usize = 60;

/// What came of a rate; per second, and milliseconds from the planned time.
#[derive(Clone, Debug, Serialize)]
struct Row {
    offered: f64,
    answered: f64,
    /// Bids within the request's tmax.
    goodput: f64,
    late_bids: f64,
    no_bids: f64,
    failed: f64,
    p50_ms: f64,
    p99_ms: f64,
    max_ms: f64,
    generator_late_p99_ms: f64,
}

#[derive(Serialize)]
struct Table<'a> {
    date: String,
    commit: Option<String>,
    gavel: Option<String>,
    machine: Machine,
    scenario: &'a str,
    seconds: u32,
    rows: &'a [Row],
}

/// The verdict is of the books, which must equal the journal at any rate.
pub fn run(args: &OverloadArgs) -> Result<Verdict, String> {
    if !(1.01..=10.0).contains(&args.steps) || !(1.0..=100.0).contains(&args.beyond) {
        return Err("--steps is between 1.01 and 10, --beyond between 1 and 100".to_owned());
    }
    interrupt::watch(true)?;
    let scenario = scenario::find(&args.scenario)?;
    let machine = Machine::here();
    let executable = server::beside()?;
    let mut server = Server::start(&scenario.server, &scenario.dir, &executable)?;
    let swept = sweep(args, &scenario, &server);
    let stopped = server.stop();
    let (rows, verdict) = swept?;
    stopped?;
    say(&rows);
    let Some(path) = &args.json else { return Ok(verdict) };
    let (date, commit, gavel) = (date(), commit(), server::version(&executable));
    let table = Table { date, commit, gavel, machine, scenario: &scenario.text, seconds: args.seconds, rows: &rows };
    let text = serde_json::to_string_pretty(&table).map_err(|error| error.to_string())?;
    std::fs::write(path, text + "\n").map_err(|error| format!("cannot write {}: {error}", path.display()))?;
    Ok(verdict)
}

/// Rates as a geometric series, until one is far enough beyond the best.
fn sweep(args: &OverloadArgs, scenario: &Scenario, server: &Server) -> Result<(Vec<Row>, Verdict), String> {
    let mut run = RunArgs {
        target: server.target.clone(),
        duration: Some(Duration::from_secs(args.seconds.into())),
        ..scenario.run.clone()
    };
    run.server.admin.clone_from(&server.admin);
    println!(
        "{:>10}{:>10}{:>10}{:>8}{:>10}{:>10}{:>8}{:>10}{:>10}{:>10}{:>12}",
        "offered/s",
        "answered",
        "goodput",
        "of best",
        "late bids",
        "no bids",
        "failed",
        "p50 ms",
        "p99 ms",
        "max ms",
        "generator"
    );
    let mut rows: Vec<Row> = Vec::new();
    while rows.len() < ROWS_LIMIT {
        // The first load finds caches cold: it is not counted.
        if rows.is_empty() {
            play(&run, scenario)?;
        }
        let (verdict, report) = play(&run, scenario)?;
        rows.push(Row::of(&report));
        let (best, last) = (best(&rows), rows.last());
        last.iter().for_each(|row| row.print(best.goodput));
        if verdict == Verdict::Different {
            print!("{}", report::text(&report));
            return Ok((rows, verdict));
        }
        let enough = last.is_some_and(|last| last.offered >= best.goodput * args.beyond);
        if enough || interrupt::count() > 0 {
            break;
        }
        run.rate *= args.steps;
    }
    println!("verdict   books equal the journal at every rate");
    Ok((rows, Verdict::Equal))
}

fn play(run: &RunArgs, scenario: &Scenario) -> Result<(Verdict, Report), String> {
    let (plan, admin) = (Plan::check(run)?, AdminPlan::check(&run.server)?);
    let beside = plan.clone();
    let (verdict, report, done) = run::play(run, plan, false, |start| {
        let going = Going::start(&scenario.meanwhile, &scenario.server, &beside, admin, start);
        move || going.end()
    })?;
    match done.deeds.into_values().find_map(|deed| deed.first_failure) {
        Some(failure) => Err(failure),
        None => Ok((verdict, report)),
    }
}

fn best(rows: &[Row]) -> &Row {
    let best = rows.iter().max_by(|a, b| a.goodput.total_cmp(&b.goodput));
    best.unwrap_or_else(|| unreachable!("there is a row"))
}

impl Row {
    fn of(report: &Report) -> Row {
        let stats = &report.stats;
        let ms = |ns: u64| ns as f64 / 1e6;
        // Connections are made in the warm-up, and after the last second only what is left is answered.
        let (first, end) =
            (report.plan.warmup_ns.div_ceil(SECOND_NS) as usize, (report.plan.end_ns / SECOND_NS) as usize);
        let counted = stats.series.seconds().get(first..).unwrap_or_default();
        let counted = &counted[..counted.len().min(end.saturating_sub(first))];
        let each = |count: &dyn Fn(&Second) -> u64| {
            counted.iter().map(count).sum::<u64>() as f64 / counted.len().max(1) as f64
        };
        let ended = |end: End| each(&|second| second.ends[end as usize]);
        let answered = each(&|second| End::ALL.iter().map(|end| second.ends[*end as usize]).sum());
        Row {
            offered: each(&|second| second.offered),
            answered: answered - ended(End::Failed),
            goodput: ended(End::Bid),
            late_bids: ended(End::LateBid),
            no_bids: ended(End::NoBid),
            failed: ended(End::Failed),
            p50_ms: ms(stats.latency.quantile_ns(0.5)),
            p99_ms: ms(stats.latency.quantile_ns(0.99)),
            max_ms: ms(stats.latency.max_ns()),
            generator_late_p99_ms: ms(stats.lag.quantile_ns(0.99)),
        }
    }

    fn print(&self, best: f64) {
        println!(
            "{:>10.0}{:>10.0}{:>10.0}{:>7.0}%{:>10.0}{:>10.0}{:>8.0}{:>10.2}{:>10.2}{:>10.2}{:>12.3}",
            self.offered,
            self.answered,
            self.goodput,
            100.0 * self.goodput / best.max(1e-9),
            self.late_bids,
            self.no_bids,
            self.failed,
            self.p50_ms,
            self.p99_ms,
            self.max_ms,
            self.generator_late_p99_ms
        );
    }
}

fn say(rows: &[Row]) {
    let (Some(last), true) = (rows.last(), rows.len() > 1) else { return };
    let best = best(rows);
    println!(
        "most      {:.0} bids in time a second; of {:.1} times as many requests {:.0} % of that, p99 {:.1} ms",
        best.goodput,
        last.offered / best.goodput.max(1e-9),
        100.0 * last.goodput / best.goodput.max(1e-9),
        last.p99_ms
    );
}
