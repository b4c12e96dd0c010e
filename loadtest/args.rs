//! What the user may type. [`crate::plan`] checks it and gives it units.

use crate::arrivals::Pattern;
use clap::{Args, Parser, Subcommand, ValueEnum};
use std::path::PathBuf;
use std::time::Duration;

const EXAMPLES: &str = "\
Examples:
  Thirty seconds at 2,000 requests a second against a local server, then compare the books:
    loadtest
  Latency at a fixed rate, from two threads, with the whole distribution in a file:
    loadtest run --rate 40000 --arrivals constant --threads 2 --connections 128 --duration 60s --hgrm bids.hgrm
  Money: 200,000 bids with duplicates, forgeries and late bills, then the same comparison after a restart:
    loadtest run --bids 200000 --rate 4000 --duplicates 0.05 --forged 0.01 --late 0.01 --late-after 3s --journal run.jsonl
    (restart the server)
    loadtest verify --journal run.jsonl
  Everything at once: all formats, odd prices, bills before wins, bills after losses, broken requests:
    loadtest run --profile mixed --odd 0.01 --reorder --loss-then-bill 0.01 --malformed 0.01
  Notices alone: 100,000 bids first, then what follows from them at 20,000 a second:
    loadtest run --bids 100000 --rate 5000 --notice-rate 20000 --connections 128
  A checkout that asks about 2,000 payments a second:
    loadtest run --checks 1
  What has a name, and how it went:
    loadtest scenario steady burst
    loadtest compare before/steady.json target/loadtest/steady.json --html steady.html
  Two bid currencies against campaigns in either:
    loadtest run --currency USD,EUR --rates EUR=1.085

A late bill is one whose money the server has already released: give the server lifetimes below --late-after.
Exit code: 0 the books equal the journal to the nano, 1 they differ, 2 wrong usage or no connection.";

/// Plays an ad exchange against a decision server and audits its books.
///
/// Requests leave at planned times (open loop) and latency counts from the planned time, so a stall of the server
/// is charged to every request that it delays. Auctions are won or lost at a second price, notices are sent,
/// repeated, forged and delayed, and at the end the billed money of the journal kept here is compared with the
/// server's books.
#[derive(Debug, Parser)]
#[command(name = "loadtest", version, args_conflicts_with_subcommands = true, args_override_self = true, after_help = EXAMPLES)]
pub struct Cli {
    #[command(subcommand)]
    pub command: Option<Command>,
    #[command(flatten)]
    pub run: RunArgs,
}

#[derive(Debug, Subcommand)]
pub enum Command {
    /// Send traffic, then compare the books (the default)
    #[command(args_override_self = true, after_help = EXAMPLES)]
    Run(Box<RunArgs>),
    /// Compare the server's books with a journal that earlier runs wrote, e.g. after a restart
    Verify(VerifyArgs),
    /// Play scenarios: a server is started for each, and a page, a JSON file and an .hgrm file are written
    Scenario(ScenarioArgs),
    /// Offer a server more and more, to well beyond what it can answer: what comes of the answers in time?
    ///
    /// Starts the gavel beside this executable. Goodput is bids that came within the request's tmax, a second. Timings
    /// never fail; exit code 1 where the books differ from the journal
    Overload(OverloadArgs),
    /// Compare the JSON files of two runs of one scenario. Exit code 0 whatever differs: timings never fail
    Compare(CompareArgs),
    /// Write the requests of a scenario as JSON lines, for wrk and k6
    Requests(RequestsArgs),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Profile {
    /// One banner per request
    Banner,
    /// Banner, several imps, video, native and deals
    Mixed,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum SpendOn {
    /// The billing notice books
    Bill,
    /// The win notice books
    Win,
}

#[derive(Clone, Debug, Args)]
pub struct ServerArgs {
    /// Admin listener, where the books are read
    #[arg(long, value_name = "URL", default_value = "http://127.0.0.1:9090")]
    pub admin: String,
    /// Bearer token of the admin listener
    #[arg(long, value_name = "TOKEN", env = "LOADTEST_ADMIN_TOKEN", hide_env_values = true)]
    pub admin_token: Option<String>,
    /// Price of one currency unit in USD, for campaigns whose currency is not the bid's; e.g. EUR=1.085,GBP=1.27
    #[arg(long, value_name = "CODE=RATE", value_delimiter = ',')]
    pub rates: Vec<String>,
    /// Talk to hosts that are not this machine
    #[arg(long)]
    pub allow_remote: bool,
}

#[derive(Clone, Debug, Args)]
pub struct ScenarioArgs {
    /// Files, or names of loadtest/scenarios
    #[arg(value_name = "FILE.toml", required_unless_present = "list")]
    pub files: Vec<String>,
    /// List the scenarios of loadtest/scenarios
    #[arg(long)]
    pub list: bool,
    /// Where NAME.json, NAME.hgrm and NAME.html are written
    #[arg(long, value_name = "DIR", default_value = "target/loadtest")]
    pub out: PathBuf,
    /// Traffic listener of a running server; otherwise the gavel beside this executable is started and ended
    #[arg(long, value_name = "URL")]
    pub target: Option<String>,
    /// Admin listener of that server
    #[arg(long, value_name = "URL", default_value = "http://127.0.0.1:9090")]
    pub admin: String,
    /// Bearer token of that admin listener
    #[arg(long, value_name = "TOKEN", env = "LOADTEST_ADMIN_TOKEN", hide_env_values = true)]
    pub admin_token: Option<String>,
    /// Talk to hosts that are not this machine
    #[arg(long)]
    pub allow_remote: bool,
    /// Shorten each to so many seconds, the steps of its load alike
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=86_400))]
    pub seconds: Option<u32>,
}

#[derive(Clone, Debug, Args)]
pub struct OverloadArgs {
    /// Scenario whose server and load it is: a file, or a name of loadtest/scenarios. Its rate is the first
    #[arg(long, value_name = "FILE.toml", default_value = "overload")]
    pub scenario: String,
    /// Each rate is so many times the one before
    #[arg(long, value_name = "TIMES", default_value_t = 1.25)]
    pub steps: f64,
    /// The last is at least so many times the most goodput
    #[arg(long, value_name = "TIMES", default_value_t = 2.0)]
    pub beyond: f64,
    /// Seconds of each, after the scenario's warm-up
    #[arg(long, value_name = "N", default_value_t = 5, value_parser = clap::value_parser!(u32).range(1..=3_600))]
    pub seconds: u32,
    /// Write the table, the machine and the commit there
    #[arg(long, value_name = "FILE")]
    pub json: Option<PathBuf>,
}

#[derive(Clone, Debug, Args)]
pub struct CompareArgs {
    /// JSON file of the first run
    #[arg(value_name = "A.json")]
    pub a: PathBuf,
    /// JSON file of the second run
    #[arg(value_name = "B.json")]
    pub b: PathBuf,
    /// Write a page with both
    #[arg(long, value_name = "FILE")]
    pub html: Option<PathBuf>,
    /// Compare them even if scenario or offered rate are not the same
    #[arg(long)]
    pub anyway: bool,
}

#[derive(Clone, Debug, Args)]
pub struct RequestsArgs {
    /// How many
    #[arg(long, value_name = "N", default_value_t = 20_000)]
    pub count: u64,
    /// Where to
    #[arg(long, value_name = "FILE")]
    pub out: PathBuf,
    /// Write the campaigns of its server there, too
    #[arg(long, value_name = "FILE")]
    pub campaigns: Option<PathBuf>,
    /// Scenario whose seed and profile they have: a file, or a name of loadtest/scenarios
    #[arg(long, value_name = "FILE.toml", default_value = "steady")]
    pub scenario: String,
}

#[derive(Clone, Debug, Args)]
pub struct VerifyArgs {
    #[command(flatten)]
    pub server: ServerArgs,
    /// The journal that the runs appended to
    #[arg(long, value_name = "FILE")]
    pub journal: PathBuf,
}

#[derive(Clone, Debug, Args)]
pub struct RunArgs {
    /// Traffic listener: bids and notices go here, whatever host the notice URLs name
    #[arg(long, value_name = "URL", default_value = "http://127.0.0.1:8080", help_heading = "Server")]
    pub target: String,
    /// Exchange to play: the last part of the bid path
    #[arg(long, value_name = "NAME", default_value = "demo", help_heading = "Server")]
    pub exchange: String,
    #[command(flatten, next_help_heading = "Server")]
    pub server: ServerArgs,
    /// Which notice books money at this exchange (the server's spend_on)
    #[arg(long, value_enum, default_value = "bill", help_heading = "Server")]
    pub spend_on: SpendOn,
    /// The server's shortest lifetime of a bid. Bills acknowledged so soon after their request cannot be late: what they sum
    /// to, by the journal kept here, must be within the campaign's budget, whatever the server says
    #[arg(long, value_name = "TIME", value_parser = parse_duration, help_heading = "Server")]
    pub in_time: Option<Duration>,

    /// Bid requests per second
    #[arg(long, value_name = "PER_SECOND", default_value_t = 2000.0, help_heading = "Load")]
    pub rate: f64,
    /// How planned send times are spaced
    #[arg(long, value_enum, default_value = "poisson", help_heading = "Load")]
    pub arrivals: Pattern,
    /// Plan requests for this long after the warm-up [default: 30s unless --requests or --bids is given]
    #[arg(long, value_name = "TIME", value_parser = parse_duration, help_heading = "Load")]
    pub duration: Option<Duration>,
    /// Plan this many requests
    #[arg(long, value_name = "N", help_heading = "Load")]
    pub requests: Option<u64>,
    /// Stop once this many bids were received (at most 20 requests are planned per bid)
    #[arg(long, value_name = "N", help_heading = "Load")]
    pub bids: Option<u64>,
    /// Connections, over all threads; each carries one request at a time
    #[arg(long, value_name = "N", default_value_t = 64, help_heading = "Load")]
    pub connections: usize,
    /// Generator threads
    #[arg(long, value_name = "N", default_value_t = 1, help_heading = "Load")]
    pub threads: u32,
    /// At the start, leave latencies out of the report for this long (money always counts)
    #[arg(long, value_name = "TIME", default_value = "2s", value_parser = parse_duration, help_heading = "Load")]
    pub warmup: Duration,
    /// Give up on an answer after this long
    #[arg(long, value_name = "TIME", default_value = "5s", value_parser = parse_duration, help_heading = "Load")]
    pub timeout: Duration,
    /// Seed of requests and auctions; the same seed plans the same run [default: from the clock]
    #[arg(long, value_name = "N", help_heading = "Load")]
    pub seed: Option<u64>,
    /// What the requests offer
    #[arg(long, value_enum, default_value = "banner", help_heading = "Load")]
    pub profile: Profile,
    /// Currencies of the requests, one drawn for each
    #[arg(long, value_name = "CODES", default_value = "USD", value_delimiter = ',', help_heading = "Load")]
    pub currency: Vec<String>,
    /// Share of requests that are broken and must be answered 400
    #[arg(long, value_name = "SHARE", default_value_t = 0.0, help_heading = "Load")]
    pub malformed: f64,
    /// Share of requests marked test: 1, whose bills must book nothing
    #[arg(long, value_name = "SHARE", default_value_t = 0.0, help_heading = "Load")]
    pub test_requests: f64,

    /// Share of bids that win their auction
    #[arg(long, value_name = "SHARE", default_value_t = 0.5, help_heading = "Auctions and notices")]
    pub win_rate: f64,
    /// Share of wins that are billed
    #[arg(long, value_name = "SHARE", default_value_t = 0.9, help_heading = "Auctions and notices")]
    pub bill_rate: f64,
    /// Share of losses that are told
    #[arg(long, value_name = "SHARE", default_value_t = 0.8, help_heading = "Auctions and notices")]
    pub loss_notice_rate: f64,
    /// Largest delay between a win and its bill
    #[arg(long, value_name = "TIME", default_value = "300ms", value_parser = parse_duration, help_heading = "Auctions and notices")]
    pub bill_delay: Duration,
    /// Share of notices sent twice: at once, together or later
    #[arg(long, value_name = "SHARE", default_value_t = 0.05, help_heading = "Auctions and notices")]
    pub duplicates: f64,
    /// Forged billing notices, as a share of bids
    #[arg(long, value_name = "SHARE", default_value_t = 0.01, help_heading = "Auctions and notices")]
    pub forged: f64,
    /// Share of bills sent only after --late-after
    #[arg(long, value_name = "SHARE", default_value_t = 0.01, help_heading = "Auctions and notices")]
    pub late: f64,
    /// Delay of a late bill
    #[arg(long, value_name = "TIME", default_value = "3s", value_parser = parse_duration, help_heading = "Auctions and notices")]
    pub late_after: Duration,
    /// Share of told losses that are billed all the same
    #[arg(long, value_name = "SHARE", default_value_t = 0.0, help_heading = "Auctions and notices")]
    pub loss_then_bill: f64,
    /// Share of bills with an odd price: zero, above the bid, AUDIT, empty, negative or unsubstituted
    #[arg(long, value_name = "SHARE", default_value_t = 0.0, help_heading = "Auctions and notices")]
    pub odd: f64,
    /// Send one bill in ten before its win
    #[arg(long, help_heading = "Auctions and notices")]
    pub reorder: bool,
    /// Let answers that come after tmax take part in the auction
    #[arg(long, help_heading = "Auctions and notices")]
    pub ignore_tmax: bool,
    /// Hold all notices until the bids are made, then send nothing but them, at this constant rate
    #[arg(long, value_name = "PER_SECOND", help_heading = "Auctions and notices")]
    pub notice_rate: Option<f64>,
    /// Times a notice is sent until it is answered with anything but 503
    #[arg(long, value_name = "N", default_value_t = 8, help_heading = "Auctions and notices")]
    pub attempts: u32,

    /// Share of the requests that are fraud checks of a checkout, each with an Idempotency-Key of its own
    #[arg(long, value_name = "SHARE", default_value_t = 0.0, help_heading = "Fraud checks")]
    pub checks: f64,
    /// Share of checks sent again: the answer must be the same
    #[arg(long, value_name = "SHARE", default_value_t = 0.05, help_heading = "Fraud checks")]
    pub check_repeats: f64,
    /// Share of checks whose outcome is told
    #[arg(long, value_name = "SHARE", default_value_t = 0.5, help_heading = "Fraud checks")]
    pub check_outcomes: f64,
    /// Share of checks that are labelled afterwards
    #[arg(long, value_name = "SHARE", default_value_t = 0.02, help_heading = "Fraud checks")]
    pub check_labels: f64,

    /// Append the journal of billed money as JSON lines, for `loadtest verify`
    #[arg(long, value_name = "FILE", help_heading = "Output")]
    pub journal: Option<PathBuf>,
    /// Write the report as JSON
    #[arg(long, value_name = "FILE", help_heading = "Output")]
    pub json: Option<PathBuf>,
    /// Write the latency distribution of bids in HdrHistogram's text format (milliseconds)
    #[arg(long, value_name = "FILE", help_heading = "Output")]
    pub hgrm: Option<PathBuf>,
    /// Leave the books alone: no admin listener needed
    #[arg(long, help_heading = "Output")]
    pub no_verify: bool,
}

/// Reads `500ms`, `30s`, `5m`, `1h`.
pub fn parse_duration(text: &str) -> Result<Duration, String> {
    let split = text.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(text.len());
    let (number, unit) = text.split_at(split);
    let unit_seconds = match unit {
        "us" => 1e-6,
        "ms" => 1e-3,
        "s" => 1.0,
        "m" => 60.0,
        "h" => 3600.0,
        _ => return Err("give a number and one of us, ms, s, m, h, e.g. 500ms".to_owned()),
    };
    let number: f64 = number.parse().map_err(|_| format!("{number:?} is not a number"))?;
    Duration::try_from_secs_f64(number * unit_seconds).map_err(|error| error.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory;

    #[test]
    fn the_command_line_is_consistent() {
        Cli::command().debug_assert();
    }

    #[test]
    fn run_is_the_default() {
        let plain = Cli::try_parse_from(["loadtest", "--rate", "10"]).expect("plain");
        assert!(plain.command.is_none() && plain.run.rate == 10.0);
        let named = Cli::try_parse_from(["loadtest", "run", "--rates", "EUR=1.1,GBP=1.3"]).expect("named");
        assert!(matches!(named.command, Some(Command::Run(run)) if run.server.rates.len() == 2));
        assert!(Cli::try_parse_from(["loadtest", "verify"]).is_err(), "a journal is needed");
    }

    #[test]
    fn reads_durations() {
        assert_eq!(parse_duration("500ms"), Ok(Duration::from_millis(500)));
        assert_eq!(parse_duration("1.5s"), Ok(Duration::from_millis(1500)));
        assert_eq!(parse_duration("2m"), Ok(Duration::from_secs(120)));
        for wrong in ["", "5", "s", "1x", "-1s"] {
            assert!(parse_duration(wrong).is_err(), "{wrong}");
        }
    }
}
