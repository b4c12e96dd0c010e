//! What a whole bid costs inside the server, against a bare hyper answer of the same size on the same connections.
//!
//! Both servers run as processes of their own with one serving thread and are driven in turns, so that what else the
//! machine does falls on both. Processor time is what the kernel counted for the server, divided by the answers.

#[path = "../support/checking.rs"]
mod checking;
#[path = "../support/mod.rs"]
mod support;

mod checks;
mod client;
mod disturbed;
mod floor;
mod rebuild;
mod servers;
mod swaps;
mod table;
mod timer;

use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::rc::Rc;
use std::time::Duration;

use clap::{Parser, ValueEnum};
use client::{Client, Round};
use servers::Server;
use support::campaigns::{Mix, NARROW, USUAL, WIDE, campaign};
use table::{Series, header};

/// As in the product.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

pub type Error = Box<dyn std::error::Error>;

/// Processor time of a bid in the server, against a bare HTTP answer of the same size.
///
/// Starts both servers on loopback, in processes of their own with one serving thread each, and drives them in turns
/// over 64 keep-alive connections. With --floor two more answer a constant: a loop of epoll and nothing else, and Go's net/http
/// where there is a Go compiler. Linux only: processor time is read from /proc.
#[derive(Debug, Parser)]
struct Arguments {
    /// Campaigns in the catalog
    #[arg(long, default_value_t = 10_000)]
    campaigns: usize,
    /// How many of them are eligible for a request: wide 5 %, usual 0.5 %, narrow 0.05 %
    #[arg(long, default_value = "usual")]
    eligible: Eligible,
    /// Turns of each server
    #[arg(long, default_value_t = 7)]
    rounds: usize,
    /// Length of a turn in seconds
    #[arg(long, default_value_t = 1.5)]
    seconds: f64,
    /// Requests per second where a rate is kept; half of what gavel answers at most without it
    #[arg(long)]
    rate: Option<f64>,
    /// Instead: latency while campaigns are re-targeted, and while the catalog is built anew over and over, against
    /// latency while they are not
    #[arg(long)]
    rebuild: bool,
    /// Instead: latency while versions of a model are swapped, against latency while they are not; all campaigns are priced
    /// by it
    #[arg(long)]
    swaps: bool,
    /// Instead of bids: fraud checks with 30 windows, 50 rules and a model of 100 trees
    #[arg(long)]
    fraud: bool,
    /// Compare with bare epoll and with Go's net/http, too
    #[arg(long)]
    floor: bool,
    /// Processor time of each of gavel's threads, too
    #[arg(long)]
    threads: bool,
    /// Given by cargo; without it everything is short, as a test that the bench works
    #[arg(long, hide = true)]
    bench: bool,
    /// A process of the bench itself: which server it is
    #[arg(long, hide = true)]
    role: Option<Role>,
    #[arg(long, hide = true, default_value = ".")]
    dir: PathBuf,
    #[arg(long, hide = true, default_value_t = 0)]
    body_bytes: usize,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum Role {
    Bare,
    Epoll,
    Gavel,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum Eligible {
    Wide,
    Usual,
    Narrow,
}

impl Eligible {
    fn mix(self) -> Mix {
        match self {
            Eligible::Wide => WIDE,
            Eligible::Usual => USUAL,
            Eligible::Narrow => NARROW,
        }
    }
}

fn main() -> ExitCode {
    let mut arguments = Arguments::parse();
    if !arguments.bench && arguments.role.is_none() {
        (arguments.campaigns, arguments.rounds, arguments.seconds) = (100, 1, 0.2);
    }
    let done = match arguments.role {
        Some(Role::Gavel) => servers::gavel(&arguments.dir),
        Some(Role::Bare) => servers::bare(arguments.body_bytes),
        Some(Role::Epoll) => floor::epoll(arguments.body_bytes),
        None => {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
            runtime.map_err(Error::from).and_then(|runtime| runtime.block_on(drive(&arguments)))
        }
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{error}");
            ExitCode::FAILURE
        }
    }
}

/// Starts gavel, with these lines in its section of limits, and drives it until it is warm.
async fn warm(arguments: &Arguments, limits: &str, dir: &Path) -> Result<(Server, Client, Round), Error> {
    let mix = arguments.eligible.mix();
    let priced = |campaign| if arguments.swaps { swaps::by_click(campaign) } else { campaign };
    let campaigns = (0..arguments.campaigns).map(|i| priced(campaign(i, mix)).to_string());
    let path = servers::prepare(dir, limits, campaigns)?;
    if arguments.fraud {
        checks::prepare(dir)?;
    }
    if arguments.swaps {
        swaps::prepare(dir)?;
    }
    let gavel = Server::start(&["--role", "gavel", "--dir", path.to_str().ok_or("the path is not UTF-8")?])?;
    if arguments.fraud {
        checks::activate(gavel.admin)?;
    }
    if arguments.swaps {
        swaps::first(gavel.admin)?;
    }
    let requests = requests(arguments);
    let client = Client::connect(gavel.traffic, &requests).await?;
    let warm = client.saturate(Duration::from_secs_f64(arguments.seconds)).await?;
    let request_bytes = requests.iter().map(Vec::len).sum::<usize>() / requests.len();
    println!(
        "{} campaigns, {:?}; requests of {request_bytes} bytes with head, {:.1} % answered with a bid of {} bytes",
        arguments.campaigns,
        arguments.eligible,
        100.0 * warm.bids as f64 / warm.answered as f64,
        warm.body_bytes / warm.bids.max(1)
    );
    Ok((gavel, client, warm))
}

fn requests(arguments: &Arguments) -> Rc<[Vec<u8>]> {
    if arguments.fraud { checks::requests() } else { client::requests() }
}

async fn drive(arguments: &Arguments) -> Result<(), Error> {
    let time = Duration::from_secs_f64(arguments.seconds);
    if arguments.rebuild {
        for (what, limits) in [("an edit", ""), ("an edit and a full build", "recent_campaigns = 0\n")] {
            let dir = tempfile::tempdir()?;
            let (gavel, client, _) = warm(arguments, limits, dir.path()).await?;
            disturbed::compare(arguments, &rebuild::edits(arguments, what), &gavel, &client).await?;
            println!("the last full build took {:.1} ms", rebuild::last_build_us(gavel.admin)? / 1e3);
        }
        return Ok(());
    }
    if arguments.swaps {
        let dir = tempfile::tempdir()?;
        let (gavel, client, _) = warm(arguments, "", dir.path()).await?;
        return disturbed::compare(arguments, &swaps::swaps(), &gavel, &client).await;
    }
    let dir = tempfile::tempdir()?;
    let (gavel, to_gavel, warm) = warm(arguments, "", dir.path()).await?;
    let body_bytes = (warm.body_bytes / warm.bids.max(1)).to_string();
    let constant = |role| Server::start(&["--role", role, "--body-bytes", &body_bytes]);
    let mut others = vec![("bare", constant("bare")?)];
    if arguments.floor {
        others.push(("epoll", constant("epoll")?));
        match floor::build_go(dir.path()) {
            Some(program) => others.push(("go", Server::launch(&program, &[&body_bytes])?)),
            None => println!("left out: Go's net/http, for there is no Go compiler (go) here"),
        }
    }
    let mut all = Vec::new();
    for (name, server) in others {
        let client = Client::connect(server.traffic, &requests(arguments)).await?;
        client.saturate(time).await?;
        all.push(Contestant { name, server, client });
    }
    all.push(Contestant { name: "gavel", server: gavel, client: to_gavel });

    println!("\nsaturated, {} rounds of {} s", arguments.rounds, arguments.seconds);
    let saturated = turns(arguments, &all, async |client| client.saturate(time).await).await?;
    let rate = arguments.rate.unwrap_or(saturated / 2.0);
    println!("\nat {rate:.0} requests per second, {} rounds of {} s", arguments.rounds, arguments.seconds);
    turns(arguments, &all, async |client| client.at_rate(rate, time).await).await?;
    Ok(())
}

struct Contestant {
    name: &'static str,
    server: Server,
    client: Client,
}

/// Of one contestant, a value for each round.
#[derive(Default)]
struct Rounds {
    worker: Series,
    process: Series,
    shape: [Series; 5],
    /// gavel's serving thread, and its process, over what serves here.
    ratios: [Series; 2],
}

/// Drives all servers in turns, gavel last, and prints what they used; how many requests per second gavel answered.
async fn turns(
    arguments: &Arguments,
    all: &[Contestant],
    run: impl AsyncFn(&Client) -> std::io::Result<Round>,
) -> Result<f64, Error> {
    let mut rounds: Vec<Rounds> = all.iter().map(|_| Rounds::default()).collect();
    let mut threads: Vec<(String, Series)> = Vec::new();
    for _ in 0..arguments.rounds {
        for (contestant, rounds) in all.iter().zip(&mut rounds) {
            let server = &contestant.server;
            let (before, before_threads) = (server.cpu()?, server.threads()?);
            let round = run(&contestant.client).await?;
            let after = server.cpu()?;
            let per_request = |ns: u64| ns as f64 / 1e3 / round.answered as f64;
            rounds.worker.push(per_request(after.worker - before.worker));
            rounds.process.push(per_request(after.process - before.process));
            let client_us = per_request(round.client_ns);
            let p = |quantile| round.latency_us(quantile);
            let shape = [round.per_second(), p(0.5), p(0.99), p(0.999), client_us];
            rounds.shape.iter_mut().zip(shape).for_each(|(series, value)| series.push(value));
            if contestant.name == "gavel" {
                count_threads(&mut threads, &before_threads, &server.threads()?, per_request);
            }
        }
        let (gavel, others) = rounds.split_last_mut().ok_or("nobody to drive")?;
        for other in others {
            // Go serves on threads of its own choice.
            let serving = if other.worker.last() > 0.0 { other.worker.last() } else { other.process.last() };
            other.ratios[0].push(gavel.worker.last() / serving);
            other.ratios[1].push(gavel.process.last() / serving);
        }
    }
    header();
    for (Contestant { name, .. }, rounds) in all.iter().zip(&rounds) {
        if *name != "go" {
            rounds.worker.print(&format!("{name}, serving thread, µs per request"));
        }
        if *name == "go" || *name == "gavel" {
            rounds.process.print(&format!("{name}, whole process, µs per request"));
        }
    }
    for (Contestant { name, .. }, rounds) in all.iter().zip(&rounds).take(all.len() - 1) {
        rounds.ratios[0].print(&format!("ratio of gavel's serving thread to {name}"));
        rounds.ratios[1].print(&format!("ratio of gavel's process to {name}"));
    }
    for (Contestant { name, .. }, rounds) in all.iter().zip(&rounds) {
        let what = [
            "requests per second",
            "latency p50, µs",
            "latency p99, µs",
            "latency p99.9, µs",
            "client, µs per request",
        ];
        what.iter().zip(&rounds.shape).for_each(|(what, series)| series.print(&format!("{name}, {what}")));
    }
    if arguments.threads {
        threads.iter().for_each(|(name, series)| series.print(&format!("gavel, thread {name}, µs per request")));
    }
    Ok(rounds.last().map_or(0.0, |gavel| gavel.shape[0].median()))
}

fn count_threads(
    all: &mut Vec<(String, Series)>,
    before: &[(String, u64)],
    after: &[(String, u64)],
    per_request: impl Fn(u64) -> f64,
) {
    for (name, ns) in after {
        let since = before.iter().find(|(other, _)| other == name).map_or(0, |(_, ns)| *ns);
        let at = all.iter().position(|(other, _)| other == name).unwrap_or_else(|| {
            all.push((name.clone(), Series::default()));
            all.len() - 1
        });
        all[at].1.push(per_request(ns.saturating_sub(since)));
    }
}
