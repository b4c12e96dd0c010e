//! Everything that is counted and timed, per thread and then added up.

use crate::checkout::stats::CheckStats;
use crate::notice::Kind;
use crate::response::Fault;
use crate::series::Series;
use hdrhistogram::Histogram;
use std::collections::BTreeMap;

/// An hour in nanoseconds; longer times are recorded as this.
const LONGEST_NS: u64 = 3_600_000_000_000;

/// Nanoseconds with three significant digits.
pub struct Times(Histogram<u64>);

impl Default for Times {
    fn default() -> Times {
        match Histogram::new_with_bounds(1, LONGEST_NS, 3) {
            Ok(histogram) => Times(histogram),
            Err(error) => unreachable!("constant bounds are valid: {error}"),
        }
    }
}

impl Times {
    pub fn record(&mut self, ns: u64) {
        self.0.saturating_record(ns.max(1));
    }

    pub fn merge(&mut self, other: &Times) {
        // The bounds are the same, so nothing can be out of range.
        let _ = self.0.add(&other.0);
    }

    pub fn count(&self) -> u64 {
        self.0.len()
    }

    pub fn max_ns(&self) -> u64 {
        self.0.max()
    }

    pub fn quantile_ns(&self, quantile: f64) -> u64 {
        self.0.value_at_quantile(quantile)
    }

    /// What was recorded: nanoseconds (the highest that its bucket stands for) and how often.
    pub fn buckets(&self) -> impl Iterator<Item = (u64, u64)> {
        self.0.iter_recorded().map(|step| (step.value_iterated_to(), step.count_at_value()))
    }

    /// The distribution in HdrHistogram's percentile text format, in milliseconds.
    pub fn to_hgrm(&self) -> String {
        use std::fmt::Write;
        let (mut out, mut seen) = (String::new(), 0);
        let _ = writeln!(out, "{:>12} {:>14} {:>10} {:>14}\n", "Value", "Percentile", "TotalCount", "1/(1-Percentile)");
        for step in self.0.iter_quantiles(5) {
            seen += step.count_since_last_iteration();
            let (value, quantile) = (step.value_iterated_to() as f64 / 1e6, step.quantile_iterated_to());
            let _ = write!(out, "{value:12.6} {quantile:14.12} {seen:10}");
            let _ = match quantile < 1.0 {
                true => writeln!(out, " {:14.2}", 1.0 / (1.0 - quantile)),
                false => writeln!(out),
            };
        }
        let _ =
            writeln!(out, "#[Mean    = {:12.6}, StdDeviation   = {:12.6}]", self.0.mean() / 1e6, self.0.stdev() / 1e6);
        let _ = writeln!(out, "#[Max     = {:12.6}, Total count    = {:12}]", self.max_ns() as f64 / 1e6, self.count());
        out
    }
}

/// What the exchange did.
#[derive(Clone, Copy, Debug, Default)]
pub struct Played {
    pub wins: u64,
    pub losses: u64,
    pub duplicates: u64,
    pub forged: u64,
    pub late: u64,
    pub odd: u64,
    pub reordered: u64,
    pub billed_after_loss: u64,
}

/// How bid requests ended.
#[derive(Clone, Copy, Debug, Default)]
pub struct Outcomes {
    pub planned: u64,
    /// 200 with at least one usable bid.
    pub bid: u64,
    /// Usable bids in them.
    pub bids: u64,
    /// 204, or 200 that says no.
    pub no_bid: u64,
    /// 200 that broke the contract in every bid.
    pub unusable: u64,
    pub refused_4xx: u64,
    pub failed_5xx: u64,
    pub other_status: u64,
    /// Broken requests that were answered 400, as they must be.
    pub broken_refused: u64,
    /// Broken requests that were answered otherwise.
    pub broken_accepted: u64,
    /// Answered, but more than tmax after the planned time.
    pub beyond_tmax: u64,
    pub timeouts: u64,
    /// The connection could not be made or broke.
    pub connection_errors: u64,
    /// Never sent: the queue was full, or the run was stopped.
    pub unsent: u64,
}

impl Outcomes {
    /// Requests that got any HTTP answer.
    pub fn answered(&self) -> u64 {
        self.bid
            + self.no_bid
            + self.unusable
            + self.refused_4xx
            + self.failed_5xx
            + self.other_status
            + self.broken_refused
            + self.broken_accepted
    }
}

#[derive(Default)]
pub struct NoticeStats {
    pub sent: u64,
    pub acknowledged: u64,
    pub retried: u64,
    /// Gave up without an acknowledgement although the server may have received it.
    pub unknown: u64,
    pub unsent: u64,
    /// Answers other than 204, by status.
    pub statuses: BTreeMap<u16, u64>,
    pub times: Times,
}

#[derive(Default)]
pub struct Stats {
    /// From the planned send time to the end of the answer.
    pub latency: Times,
    /// From the actual send time: what a closed-loop tool would report.
    pub service: Times,
    /// How late the generator itself was to hand out planned requests.
    pub lag: Times,
    pub outcomes: Outcomes,
    pub faults: BTreeMap<Fault, u64>,
    pub notices: [NoticeStats; 3],
    pub forged: NoticeStats,
    pub played: Played,
    pub checks: CheckStats,
    pub series: Series,
    pub reconnects: u64,
    pub backlog_max: u64,
    /// When the last request was planned and the last answer came, in nanoseconds since the start.
    pub last_planned_ns: u64,
    pub last_answer_ns: u64,
    /// Processor time of the generator threads.
    pub cpu_ns: u64,
}

impl Stats {
    /// Requests of any kind that got an HTTP answer.
    pub fn answered(&self) -> u64 {
        self.outcomes.answered() + self.checks.answered()
    }

    pub fn notice(&mut self, kind: Kind, forged: bool) -> &mut NoticeStats {
        if forged { &mut self.forged } else { &mut self.notices[kind as usize] }
    }

    pub fn merge(&mut self, other: &Stats) {
        self.latency.merge(&other.latency);
        self.service.merge(&other.service);
        self.lag.merge(&other.lag);
        for (fault, count) in &other.faults {
            *self.faults.entry(*fault).or_default() += count;
        }
        for (mine, theirs) in self.notices.iter_mut().zip(&other.notices) {
            mine.merge(theirs);
        }
        self.forged.merge(&other.forged);
        self.outcomes.merge(&other.outcomes);
        self.played.merge(&other.played);
        self.checks.merge(&other.checks);
        self.series.merge(&other.series);
        self.reconnects += other.reconnects;
        self.backlog_max += other.backlog_max;
        self.cpu_ns += other.cpu_ns;
        self.last_planned_ns = self.last_planned_ns.max(other.last_planned_ns);
        self.last_answer_ns = self.last_answer_ns.max(other.last_answer_ns);
    }
}

impl NoticeStats {
    fn merge(&mut self, other: &NoticeStats) {
        self.sent += other.sent;
        self.acknowledged += other.acknowledged;
        self.retried += other.retried;
        self.unknown += other.unknown;
        self.unsent += other.unsent;
        for (status, count) in &other.statuses {
            *self.statuses.entry(*status).or_default() += count;
        }
        self.times.merge(&other.times);
    }
}

impl Outcomes {
    fn merge(&mut self, other: &Outcomes) {
        // Every field by name, so that a new one cannot be forgotten.
        let Outcomes {
            planned,
            bid,
            bids,
            no_bid,
            unusable,
            refused_4xx,
            failed_5xx,
            other_status,
            broken_refused,
            broken_accepted,
            beyond_tmax,
            timeouts,
            connection_errors,
            unsent,
        } = other;
        self.planned += planned;
        self.bid += bid;
        self.bids += bids;
        self.no_bid += no_bid;
        self.unusable += unusable;
        self.refused_4xx += refused_4xx;
        self.failed_5xx += failed_5xx;
        self.other_status += other_status;
        self.broken_refused += broken_refused;
        self.broken_accepted += broken_accepted;
        self.beyond_tmax += beyond_tmax;
        self.timeouts += timeouts;
        self.connection_errors += connection_errors;
        self.unsent += unsent;
    }
}

impl Played {
    fn merge(&mut self, other: &Played) {
        let Played { wins, losses, duplicates, forged, late, odd, reordered, billed_after_loss } = other;
        self.wins += wins;
        self.losses += losses;
        self.duplicates += duplicates;
        self.forged += forged;
        self.late += late;
        self.odd += odd;
        self.reordered += reordered;
        self.billed_after_loss += billed_after_loss;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_keep_three_digits_and_add_up() {
        let (mut one, mut two) = (Times::default(), Times::default());
        (1..=1000).for_each(|ms| one.record(ms * 1_000_000));
        two.record(u64::MAX);
        two.record(0);
        one.merge(&two);
        assert_eq!(one.count(), 1002);
        let median = one.quantile_ns(0.5) as f64 / 1e6;
        assert!((median - 500.0).abs() < 2.0, "{median}");
        assert!(one.max_ns() >= LONGEST_NS);
        let text = one.to_hgrm();
        assert!(text.contains("1/(1-Percentile)") && text.contains("#[Max"), "{text}");
    }
}
