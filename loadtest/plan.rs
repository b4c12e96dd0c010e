//! The checked form of the arguments: everything here is in range and has its unit.

use crate::args::{Profile, RunArgs, ServerArgs, SpendOn};
use crate::arrivals::Pattern;
use crate::money::Rates;
use crate::steps::{Step, Steps};
use std::net::{SocketAddr, ToSocketAddrs};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

const DEFAULT_DURATION: Duration = Duration::from_secs(30);
/// A run that waits for bids must end even when none come.
const REQUESTS_PER_BID_LIMIT: u64 = 20;
/// A day of load is a soak test; more is a mistake in the unit.
const DURATION_LIMIT: Duration = Duration::from_secs(24 * 3600);
/// Requests that may wait for a connection: five seconds of the offered rate, so that a stall of the server is
/// measured in full, but a server that is gone does not fill the memory.
const QUEUE_SECONDS: f64 = 5.0;
const QUEUE_MIN: usize = 20_000;

/// Where to connect, and the name to put into the Host header.
#[derive(Clone, Debug)]
pub struct Endpoint {
    pub addr: SocketAddr,
    pub host: String,
}

impl Endpoint {
    /// Reads `http://host:port`. Hosts other than this machine are refused unless allowed.
    pub fn parse(url: &str, allow_remote: bool) -> Result<Endpoint, String> {
        let host = url.strip_prefix("http://").ok_or_else(|| format!("{url:?} does not start with http://"))?;
        let host = host.trim_end_matches('/');
        if host.is_empty() || host.contains('/') {
            return Err(format!("{url:?} is not of the form http://host:port"));
        }
        let has_port = host.rsplit_once(':').is_some_and(|(_, port)| port.parse::<u16>().is_ok());
        let with_port = if has_port { host.to_owned() } else { format!("{host}:80") };
        let addrs: Vec<SocketAddr> =
            with_port.to_socket_addrs().map_err(|error| format!("cannot resolve {host}: {error}"))?.collect();
        let addr = *addrs.first().ok_or_else(|| format!("{host} has no address"))?;
        if !allow_remote && !addrs.iter().all(|addr| addr.ip().is_loopback()) {
            return Err(format!("{host} is not this machine: give --allow-remote if its owner agreed to the load"));
        }
        Ok(Endpoint { addr, host: host.to_owned() })
    }
}

#[derive(Clone, Debug)]
pub struct AdminPlan {
    pub endpoint: Endpoint,
    pub token: Option<String>,
}

impl AdminPlan {
    pub fn check(args: &ServerArgs) -> Result<AdminPlan, String> {
        let endpoint = Endpoint::parse(&args.admin, args.allow_remote)?;
        Ok(AdminPlan { endpoint, token: args.admin_token.clone() })
    }
}

#[derive(Clone, Debug)]
pub struct Plan {
    pub target: Endpoint,
    pub exchange: String,
    pub rates: Rates,
    pub spend_on: SpendOn,
    /// Bills that are acknowledged sooner after their request cannot be late; 0 where nobody said so.
    pub in_time_ns: u64,
    pub rate: f64,
    pub pattern: Pattern,
    /// How the rate changes.
    pub steps: Steps,
    pub requests_limit: u64,
    pub end_ns: u64,
    pub bids_limit: u64,
    pub connections: usize,
    pub threads: u32,
    pub queue_limit: usize,
    pub warmup_ns: u64,
    pub timeout: Duration,
    pub seed: u64,
    /// Another in every run: transactions must not have been seen before.
    pub run: u64,
    pub profile: Profile,
    pub currencies: Vec<String>,
    pub malformed: f64,
    pub test_requests: f64,
    pub win_rate: f64,
    pub bill_rate: f64,
    pub loss_notice_rate: f64,
    pub bill_delay_ns: u64,
    pub duplicates: f64,
    pub forged: f64,
    pub late: f64,
    pub late_after_ns: u64,
    pub loss_then_bill: f64,
    pub odd: f64,
    pub reorder: bool,
    pub ignore_tmax: bool,
    /// Notices are held until the bids are made, and then sent at this rate.
    pub notice_rate: Option<f64>,
    pub attempts: u32,
    /// The share of the requests that are fraud checks.
    pub checks: f64,
    pub check_repeats: f64,
    pub check_outcomes: f64,
    pub check_labels: f64,
}

impl Plan {
    pub fn check(args: &RunArgs) -> Result<Plan, String> {
        for (name, share) in [
            ("malformed", args.malformed),
            ("test-requests", args.test_requests),
            ("win-rate", args.win_rate),
            ("bill-rate", args.bill_rate),
            ("loss-notice-rate", args.loss_notice_rate),
            ("duplicates", args.duplicates),
            ("forged", args.forged),
            ("late", args.late),
            ("loss-then-bill", args.loss_then_bill),
            ("odd", args.odd),
            ("checks", args.checks),
            ("check-repeats", args.check_repeats),
            ("check-outcomes", args.check_outcomes),
            ("check-labels", args.check_labels),
        ] {
            if !(0.0..=1.0).contains(&share) {
                return Err(format!("--{name} is a share from 0 to 1, not {share}"));
            }
        }
        if !(0.01..=2e6).contains(&args.rate) {
            return Err(format!("--rate {} is not between 0.01 and 2,000,000 a second", args.rate));
        }
        if args.notice_rate.is_some_and(|rate| !(1.0..=2e6).contains(&rate)) {
            return Err("--notice-rate is between 1 and 2,000,000 a second".to_owned());
        }
        if !(1..=64).contains(&args.threads) {
            return Err("--threads is between 1 and 64".to_owned());
        }
        if !(args.threads as usize..=10_000).contains(&args.connections) {
            return Err("--connections is between --threads and 10,000".to_owned());
        }
        if !(1..=20).contains(&args.attempts) {
            return Err("--attempts is between 1 and 20".to_owned());
        }
        if args.timeout < Duration::from_millis(1) {
            return Err("--timeout is at least 1ms".to_owned());
        }
        for (name, time) in [
            ("duration", args.duration.unwrap_or_default()),
            ("warmup", args.warmup),
            ("timeout", args.timeout),
            ("late-after", args.late_after),
            ("bill-delay", args.bill_delay),
        ] {
            if time > DURATION_LIMIT {
                return Err(format!("--{name} is longer than a day"));
            }
        }
        let is_name = |c: char| c.is_ascii_alphanumeric() || "-_.".contains(c);
        if args.exchange.is_empty() || !args.exchange.chars().all(is_name) {
            return Err(format!("--exchange {:?} is not a name", args.exchange));
        }
        let mut currencies: Vec<String> = Vec::new();
        for code in args.currency.iter().map(|code| code.trim().to_ascii_uppercase()) {
            if code.len() != 3 || !code.bytes().all(|byte| byte.is_ascii_uppercase()) {
                return Err(format!("--currency {code:?} is not an ISO 4217 code"));
            }
            if !currencies.contains(&code) {
                currencies.push(code);
            }
        }
        let bounded = args.requests.is_some() || args.bids.is_some();
        let duration = args.duration.or((!bounded).then_some(DEFAULT_DURATION));
        let from_bids = args.bids.map(|bids| bids.saturating_mul(REQUESTS_PER_BID_LIMIT).saturating_add(1000));
        let clock = || SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |time| time.as_nanos() as u64);
        Ok(Plan {
            target: Endpoint::parse(&args.target, args.server.allow_remote)?,
            exchange: args.exchange.clone(),
            rates: Rates::parse(&args.server.rates)?,
            spend_on: args.spend_on,
            in_time_ns: args.in_time.map_or(0, nanos),
            rate: args.rate,
            pattern: args.arrivals,
            steps: Steps::default(),
            requests_limit: args.requests.or(from_bids).unwrap_or(u64::MAX),
            end_ns: duration.map_or(u64::MAX, |duration| nanos(args.warmup + duration)),
            bids_limit: args.bids.unwrap_or(u64::MAX),
            connections: args.connections,
            threads: args.threads,
            queue_limit: ((args.rate * QUEUE_SECONDS) as usize).max(QUEUE_MIN),
            warmup_ns: nanos(args.warmup),
            timeout: args.timeout,
            // Short enough to be typed again.
            seed: args.seed.unwrap_or_else(|| clock() % 1_000_000_007),
            run: clock(),
            profile: args.profile,
            currencies,
            malformed: args.malformed,
            test_requests: args.test_requests,
            win_rate: args.win_rate,
            bill_rate: args.bill_rate,
            loss_notice_rate: args.loss_notice_rate,
            bill_delay_ns: nanos(args.bill_delay),
            duplicates: args.duplicates,
            forged: args.forged,
            late: args.late,
            late_after_ns: nanos(args.late_after),
            loss_then_bill: args.loss_then_bill,
            odd: args.odd,
            reorder: args.reorder,
            ignore_tmax: args.ignore_tmax,
            notice_rate: args.notice_rate,
            attempts: args.attempts,
            checks: args.checks,
            check_repeats: args.check_repeats,
            check_outcomes: args.check_outcomes,
            check_labels: args.check_labels,
        })
    }

    /// The same at a rate that changes after the warm-up.
    pub fn stepped(self, steps: &[Step]) -> Plan {
        let steps = Steps::after(self.warmup_ns, steps);
        let queue_limit = ((self.rate * steps.most() * QUEUE_SECONDS) as usize).max(QUEUE_MIN);
        Plan { steps, queue_limit, ..self }
    }

    /// How many of `total` things thread `shard` takes: the first ones take the remainder.
    pub fn share_of(&self, total: u64, shard: u32) -> u64 {
        if total == u64::MAX {
            return u64::MAX;
        }
        let threads = u64::from(self.threads);
        total / threads + u64::from(u64::from(shard) < total % threads)
    }
}

pub fn nanos(time: Duration) -> u64 {
    u64::try_from(time.as_nanos()).unwrap_or(u64::MAX)
}

#[cfg(test)]
pub fn test_plan(arguments: &[&str]) -> Result<Plan, String> {
    use clap::Parser;
    let cli = crate::args::Cli::try_parse_from([&["loadtest"], arguments].concat()).map_err(|e| e.to_string())?;
    Plan::check(&cli.run)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_this_machine_unless_allowed() {
        assert!(Endpoint::parse("http://127.0.0.1:8080", false).is_ok());
        assert!(Endpoint::parse("http://[::1]:8080/", false).is_ok());
        assert!(Endpoint::parse("http://192.0.2.1:80", false).is_err_and(|error| error.contains("--allow-remote")));
        assert!(Endpoint::parse("http://192.0.2.1", true).is_ok_and(|endpoint| endpoint.addr.port() == 80));
        assert!(Endpoint::parse("https://127.0.0.1", false).is_err());
        assert!(Endpoint::parse("http://127.0.0.1:80/path", false).is_err());
    }

    #[test]
    fn every_run_ends() {
        let plain = test_plan(&[]).expect("plain");
        assert_eq!(plain.end_ns, 32_000_000_000, "the warm-up comes first");
        let bids = test_plan(&["--bids", "100"]).expect("bids");
        assert_eq!((bids.requests_limit, bids.end_ns), (3000, u64::MAX));
        let requests = test_plan(&["--requests", "7", "--threads", "2"]).expect("requests");
        assert_eq!((requests.share_of(7, 0), requests.share_of(7, 1)), (4, 3));
    }

    #[test]
    fn refuses_what_makes_no_sense() {
        for wrong in [
            ["--rate", "0"],
            ["--win-rate", "1.5"],
            ["--connections", "0"],
            ["--currency", "dollars"],
            ["--rates", "EUR"],
            ["--target", "http://192.0.2.1"],
            ["--exchange", "a/b"],
        ] {
            assert!(test_plan(&wrong).is_err(), "{wrong:?}");
        }
    }
}
