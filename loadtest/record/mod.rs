//! A run as a file keeps it: everything that the page shows and that two runs are compared by.

pub mod chart;
pub mod compare;
pub mod machine;
pub mod page;

use crate::notice::Kind;
use crate::report::{self, Report};
use crate::scenario::file::Scenario;
use crate::scenario::meanwhile::Done;
use crate::scenario::proc::Sample;
use crate::series::{End, Second};
use crate::stats::Times;
use machine::Machine;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use std::collections::BTreeMap;
use std::path::Path;

/// Files of another format are refused.
const FORMAT: u32 = 1;

#[derive(Debug, Deserialize, Serialize)]
pub struct Record {
    pub format: u32,
    pub scenario: String,
    pub about: String,
    /// The scenario's file, word for word.
    pub text: String,
    /// Seconds that it was shortened to.
    pub shortened_to: Option<u32>,
    /// When the run ended, in UTC.
    pub date: String,
    pub machine: Machine,
    /// Of the checkout that it ran in.
    pub commit: Option<String>,
    /// What the server says of itself; none for a server that was not started here.
    pub gavel: Option<String>,
    pub loadtest: String,
    /// Requests per second, where no step multiplies it.
    pub offered_rate: f64,
    pub warmup_seconds: f64,
    pub books: String,
    pub latencies: Vec<Latency>,
    pub seconds: Seconds,
    pub server: Option<ServerUse>,
    pub meanwhile: BTreeMap<String, DeedRecord>,
    /// The report of the run.
    pub report: Value,
}

/// A distribution after the warm-up, by the buckets of its histogram (three significant digits).
#[derive(Debug, Deserialize, Serialize)]
pub struct Latency {
    pub name: String,
    pub count: u64,
    /// Nanoseconds, the highest that the bucket stands for, and how often.
    pub buckets: Vec<(u64, u64)>,
}

/// A column per figure, a row per second since the start, the warm-up included.
#[derive(Debug, Default, Deserialize, Serialize)]
pub struct Seconds {
    pub offered: Vec<f64>,
    pub achieved: Vec<f64>,
    pub notices: Vec<f64>,
    /// Requests by how they ended; only what occurred.
    pub ends: BTreeMap<String, Vec<f64>>,
    /// Of the requests that were planned in the second.
    pub latency_ms: Quantiles,
    /// Of notices, outcomes and labels.
    pub notice_ms: Quantiles,
}

/// None in seconds without any.
#[derive(Debug, Default, Deserialize, Serialize)]
pub struct Quantiles {
    pub p50: Vec<Option<f64>>,
    pub p99: Vec<Option<f64>>,
    pub p999: Vec<Option<f64>>,
    pub max: Vec<Option<f64>>,
}

#[derive(Debug, Default, Deserialize, Serialize)]
pub struct ServerUse {
    /// Processor milliseconds in each second.
    pub user_ms: Vec<f64>,
    pub system_ms: Vec<f64>,
    pub rss_kib: Vec<f64>,
    /// Open files in each second; none in records from before they were counted.
    #[serde(default)]
    pub files: Vec<f64>,
    pub rss_start_kib: u64,
    pub rss_end_kib: u64,
    /// From the first planned request to the last answer.
    pub total_ms: u64,
}

#[derive(Debug, Deserialize, Serialize)]
pub struct DeedRecord {
    pub done: u64,
    pub failed: u64,
    pub first_failure: Option<String>,
    pub p50_ms: f64,
    pub p99_ms: f64,
    pub max_ms: f64,
}

/// What a record is made of, beside the report.
pub struct Ran<'a> {
    pub scenario: &'a Scenario,
    pub shortened_to: Option<u32>,
    pub machine: Machine,
    pub gavel: Option<String>,
    pub samples: Vec<Sample>,
    pub done: Done,
}

impl Record {
    pub fn new(report: &Report, ran: Ran) -> Record {
        let mut whole = report::json(report);
        // A row for each of 10,000 campaigns is for the one who looks for a difference.
        let equal = report.comparison.as_ref().is_some_and(|comparison| comparison.equal());
        if let Some(books) = whole["books"].as_object_mut().filter(|_| equal) {
            books.remove("campaigns");
        }
        Record {
            format: FORMAT,
            scenario: ran.scenario.name.clone(),
            about: ran.scenario.about.trim().to_owned(),
            text: ran.scenario.text.clone(),
            shortened_to: ran.shortened_to,
            date: machine::date(),
            machine: ran.machine,
            commit: machine::commit(),
            gavel: ran.gavel,
            loadtest: env!("CARGO_PKG_VERSION").to_owned(),
            offered_rate: report.plan.rate,
            warmup_seconds: report.plan.warmup_ns as f64 / 1e9,
            books: report.comparison.as_ref().map_or_else(|| "not compared".to_owned(), report::verdict),
            latencies: latencies(report),
            seconds: Seconds::new(report.stats.series.seconds()),
            server: ServerUse::new(&ran.samples),
            meanwhile: meanwhile(&ran.done),
            report: whole,
        }
    }

    pub fn read(path: &Path) -> Result<Record, String> {
        let wrong = |error: &dyn std::fmt::Display| format!("{}: {error}", path.display());
        let text = std::fs::read_to_string(path).map_err(|error| wrong(&error))?;
        let record: Record = serde_json::from_str(&text).map_err(|error| wrong(&error))?;
        match record.format {
            FORMAT => Ok(record),
            other => Err(wrong(&format!("has format {other}, this program reads {FORMAT}"))),
        }
    }

    /// Requests that were answered, and notices, outcomes and labels.
    pub fn answered(&self) -> f64 {
        self.seconds.achieved.iter().sum()
    }

    pub fn figure(&self, pointer: &str) -> f64 {
        self.report.pointer(pointer).and_then(Value::as_f64).unwrap_or(0.0)
    }

    /// What the scenario is about: its notices where they are held to be measured, else its requests.
    pub fn main_latency(&self) -> Option<&Latency> {
        self.latencies.first()
    }

    pub fn measures_notices(&self) -> bool {
        self.main_latency().is_some_and(|latency| latency.name.ends_with("notice"))
    }

    /// The main latency by second.
    pub fn main_quantiles(&self) -> &Quantiles {
        match self.measures_notices() {
            true => &self.seconds.notice_ms,
            false => &self.seconds.latency_ms,
        }
    }
}

fn latencies(report: &Report) -> Vec<Latency> {
    let stats = &report.stats;
    let mut all = vec![
        ("bid, from the planned time".to_owned(), &stats.latency),
        ("bid, from the sending".to_owned(), &stats.service),
        ("check, from the planned time".to_owned(), &stats.checks.latency),
        ("check, from the sending".to_owned(), &stats.checks.service),
        ("repeat, outcome, label".to_owned(), &stats.checks.after),
    ];
    let notices = [Kind::Bill, Kind::Win, Kind::Loss];
    let notices = notices.map(|kind| (format!("{} notice", kind.text()), &stats.notices[kind as usize].times));
    match report.plan.notice_rate {
        // They are what was measured.
        Some(_) => drop(all.splice(0..0, notices)),
        None => all.extend(notices),
    }
    let all = all.into_iter().filter(|(_, times)| times.count() > 0);
    all.map(|(name, times)| Latency { name, count: times.count(), buckets: times.buckets().collect() }).collect()
}

impl Latency {
    /// Milliseconds; 0 of nothing.
    pub fn quantile_ms(&self, quantile: f64) -> f64 {
        let wanted = ((self.count as f64 * quantile).ceil() as u64).clamp(1, self.count.max(1));
        let mut seen = 0;
        let found = self.buckets.iter().find(|(_, count)| {
            seen += count;
            seen >= wanted
        });
        found.map_or(0.0, |(ns, _)| *ns as f64 / 1e6)
    }

    pub fn max_ms(&self) -> f64 {
        self.buckets.last().map_or(0.0, |(ns, _)| *ns as f64 / 1e6)
    }
}

impl Seconds {
    fn new(seconds: &[Second]) -> Seconds {
        let column = |figure: &dyn Fn(&Second) -> u64| seconds.iter().map(|second| figure(second) as f64).collect();
        let ends = End::ALL.into_iter().map(|end| (end, column(&|second| second.ends[end as usize])));
        let ends: Vec<(End, Vec<f64>)> = ends.collect();
        let quantiles = |quantile: &dyn Fn(&Second, f64) -> Option<u64>| {
            let column = |q: f64| seconds.iter().map(|second| Some(quantile(second, q)? as f64 / 1e6)).collect();
            Quantiles { p50: column(0.5), p99: column(0.99), p999: column(0.999), max: column(1.0) }
        };
        Seconds {
            offered: column(&|second| second.offered),
            achieved: column(&|second| {
                End::ALL.iter().filter(|end| **end != End::Failed).map(|end| second.ends[*end as usize]).sum()
            }),
            notices: column(&|second| second.notices),
            ends: ends
                .into_iter()
                .filter(|(_, column)| column.iter().any(|count| *count > 0.0))
                .map(|(end, column)| (end.text().to_owned(), column))
                .collect(),
            latency_ms: quantiles(&|second, q| second.latency.quantile_ns(q)),
            notice_ms: quantiles(&|second, q| second.notice_latency.quantile_ns(q)),
        }
    }
}

impl ServerUse {
    fn new(samples: &[Sample]) -> Option<ServerUse> {
        let (first, last) = (samples.first()?, samples.last()?);
        let steps = |figure: fn(&Sample) -> u64| {
            samples.windows(2).map(|pair| figure(&pair[1]).saturating_sub(figure(&pair[0])) as f64).collect()
        };
        let cpu = |sample: &Sample| sample.user_ms + sample.system_ms;
        Some(ServerUse {
            user_ms: steps(|sample| sample.user_ms),
            system_ms: steps(|sample| sample.system_ms),
            rss_kib: samples.iter().map(|sample| sample.rss_kib as f64).collect(),
            files: samples.iter().map(|sample| sample.files as f64).collect(),
            rss_start_kib: first.rss_kib,
            rss_end_kib: last.rss_kib,
            total_ms: cpu(last).saturating_sub(cpu(first)),
        })
    }
}

fn meanwhile(done: &Done) -> BTreeMap<String, DeedRecord> {
    let ms = |times: &Times, quantile| times.quantile_ns(quantile) as f64 / 1e6;
    let deed =
        |count: u64| DeedRecord { done: count, failed: 0, first_failure: None, p50_ms: 0.0, p99_ms: 0.0, max_ms: 0.0 };
    let deeds = done.deeds.iter().map(|(name, deed)| {
        let record = DeedRecord {
            done: deed.done,
            failed: deed.failed,
            first_failure: deed.first_failure.clone(),
            p50_ms: ms(&deed.times, 0.5),
            p99_ms: ms(&deed.times, 0.99),
            max_ms: ms(&deed.times, 1.0),
        };
        ((*name).to_owned(), record)
    });
    let slow = &done.slow;
    let counts = [
        ("slow connections made", slow.connections),
        ("slow connections refused", slow.refused),
        ("slow connections closed by the server", slow.closed_by_server),
        ("bytes sent slowly", slow.bytes_sent),
    ];
    let counts = counts.into_iter().filter(|(_, count)| *count > 0);
    deeds.chain(counts.map(|(name, count)| (name.to_owned(), deed(count)))).collect()
}

#[cfg(test)]
pub mod tests {
    use super::*;

    /// A run of `seconds` that took about `ms` for a request.
    pub fn record(scenario: &str, rate: f64, ms: f64, seconds: usize) -> Record {
        let wave = |second: usize| ms * (1.0 + 0.05 * (second % 3) as f64);
        let column = |factor: f64| -> Vec<Option<f64>> { (0..seconds).map(|at| Some(wave(at) * factor)).collect() };
        let flat = |value: f64| vec![value; seconds];
        let buckets = (1..=1000).map(|at| ((ms * f64::from(at) * 2e3) as u64, 10)).collect();
        Record {
            format: FORMAT,
            scenario: scenario.to_owned(),
            about: "What <it> & \"that\" asks".to_owned(),
            text: "about = \"x < y & z\"".to_owned(),
            shortened_to: None,
            date: "2026-01-01T00:00:00Z".to_owned(),
            machine: Machine::default(),
            commit: Some("0123456789ab".to_owned()),
            gavel: Some("gavel 1".to_owned()),
            loadtest: "1".to_owned(),
            offered_rate: rate,
            warmup_seconds: 2.0,
            books: "books equal the journal".to_owned(),
            latencies: vec![Latency { name: "bid, from the planned time".to_owned(), count: 10_000, buckets }],
            seconds: Seconds {
                offered: flat(rate),
                achieved: flat(rate),
                notices: flat(10.0),
                ends: BTreeMap::from([("bid".to_owned(), flat(rate))]),
                latency_ms: Quantiles { p50: column(1.0), p99: column(3.0), p999: column(5.0), max: column(9.0) },
                notice_ms: Quantiles::default(),
            },
            server: Some(ServerUse {
                user_ms: (0..seconds).map(|at| wave(at) * 100.0).collect(),
                system_ms: flat(50.0),
                rss_kib: flat(20_000.0),
                files: flat(70.0),
                rss_start_kib: 20_000,
                rss_end_kib: 20_500,
                total_ms: (ms * 100.0 * seconds as f64) as u64,
            }),
            meanwhile: BTreeMap::from([(
                "price edited".to_owned(),
                DeedRecord {
                    done: 5,
                    failed: 1,
                    first_failure: Some("no".to_owned()),
                    p50_ms: 1.0,
                    p99_ms: 2.0,
                    max_ms: 3.0,
                },
            )]),
            report: serde_json::json!({"achieved_per_second": rate, "offered_per_second": rate, "outcomes": {"bid": 7}}),
        }
    }

    #[test]
    fn quantiles_are_those_of_the_buckets() {
        let latency = Latency { name: "x".to_owned(), count: 4, buckets: vec![(1_000_000, 3), (9_000_000, 1)] };
        assert_eq!([0.0, 0.5, 0.75, 0.99, 1.0].map(|q| latency.quantile_ms(q)), [1.0, 1.0, 1.0, 9.0, 9.0]);
        assert_eq!(latency.max_ms(), 9.0);
    }

    #[test]
    fn what_is_written_is_read() {
        let dir = tempfile::tempdir().expect("directory");
        let path = dir.path().join("a.json");
        let mut one = record("steady", 100.0, 1.0, 5);
        std::fs::write(&path, serde_json::to_string(&one).expect("JSON")).expect("written");
        assert_eq!(Record::read(&path).expect("read").latencies[0].buckets.len(), 1000);
        one.format = 2;
        std::fs::write(&path, serde_json::to_string(&one).expect("JSON")).expect("written");
        assert!(Record::read(&path).is_err_and(|error| error.contains("format 2")));
    }

    #[test]
    fn each_second_has_the_difference_of_two_samples() {
        let sample = |user_ms, rss_kib| Sample { user_ms, system_ms: 10, rss_kib, files: 9 };
        let used = ServerUse::new(&[sample(100, 5), sample(150, 7), sample(350, 6)]).expect("samples");
        assert_eq!((used.user_ms, used.system_ms), (vec![50.0, 200.0], vec![0.0, 0.0]));
        assert_eq!((used.total_ms, used.rss_start_kib, used.rss_end_kib), (250, 5, 6));
        assert!(ServerUse::new(&[]).is_none());
    }
}
