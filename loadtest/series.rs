//! What happened in each second of a run: for curves over time, and to tell noise from a difference.

use hdrhistogram::Histogram;

/// How a request can end, as curves show it. `failed` is all that should not be: refused, broken, unanswered, never sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    Bid,
    /// After the request's tmax: nobody takes it.
    LateBid,
    NoBid,
    /// A broken request that was answered 400.
    Refused,
    Allow,
    Review,
    Challenge,
    Deny,
    Failed,
}

impl End {
    pub const ALL: [End; 9] = [
        End::Bid,
        End::LateBid,
        End::NoBid,
        End::Refused,
        End::Allow,
        End::Review,
        End::Challenge,
        End::Deny,
        End::Failed,
    ];

    pub fn text(self) -> &'static str {
        match self {
            End::Bid => "bid",
            End::LateBid => "bid after tmax",
            End::NoBid => "no bid",
            End::Refused => "broken request refused",
            End::Allow => "allow",
            End::Review => "review",
            End::Challenge => "challenge",
            End::Deny => "deny",
            End::Failed => "failed",
        }
    }
}

const SECOND_NS: u64 = 1_000_000_000;
/// What comes later is counted in the last one: a second takes about 20 KB.
const SECONDS_LIMIT: usize = 3600;

/// Nanoseconds with two significant digits: enough for a curve.
pub struct Rough(Histogram<u32>);

impl Default for Rough {
    fn default() -> Rough {
        match Histogram::new(2) {
            Ok(histogram) => Rough(histogram),
            Err(error) => unreachable!("two digits are valid: {error}"),
        }
    }
}

impl Rough {
    fn record(&mut self, ns: u64) {
        // It grows with what it is given, and fails only where there is no memory for that.
        let _ = self.0.record(ns.max(1));
    }

    fn merge(&mut self, other: &Rough) {
        let _ = self.0.add(&other.0);
    }

    /// None of nothing.
    pub fn quantile_ns(&self, quantile: f64) -> Option<u64> {
        (!self.0.is_empty()).then(|| self.0.value_at_quantile(quantile))
    }
}

#[derive(Default)]
pub struct Second {
    /// Planned in it.
    pub offered: u64,
    /// Answered in it, by how they ended; failures are not answers.
    pub ends: [u64; End::ALL.len()],
    /// Notices, outcomes and labels that were answered in it.
    pub notices: u64,
    /// Of the requests that were planned in it, from then to the end of their answers.
    pub latency: Rough,
    /// The same of notices, outcomes and labels.
    pub notice_latency: Rough,
}

#[derive(Default)]
pub struct Series(Vec<Second>);

impl Series {
    fn at(&mut self, ns: u64) -> &mut Second {
        let second = usize::try_from(ns / SECOND_NS).map_or(SECONDS_LIMIT - 1, |second| second.min(SECONDS_LIMIT - 1));
        if self.0.len() <= second {
            self.0.resize_with(second + 1, Second::default);
        }
        &mut self.0[second]
    }

    pub fn offered(&mut self, planned_ns: u64) {
        self.at(planned_ns).offered += 1;
    }

    pub fn took(&mut self, planned_ns: u64, now_ns: u64) {
        self.at(planned_ns).latency.record(now_ns.saturating_sub(planned_ns));
    }

    pub fn ended(&mut self, now_ns: u64, end: End) {
        self.at(now_ns).ends[end as usize] += 1;
    }

    pub fn notice(&mut self, due_ns: u64, now_ns: u64) {
        self.at(now_ns).notices += 1;
        self.at(due_ns).notice_latency.record(now_ns.saturating_sub(due_ns));
    }

    pub fn seconds(&self) -> &[Second] {
        &self.0
    }

    pub fn merge(&mut self, other: &Series) {
        if self.0.len() < other.0.len() {
            self.0.resize_with(other.0.len(), Second::default);
        }
        for (mine, theirs) in self.0.iter_mut().zip(&other.0) {
            let Second { offered, ends, notices, latency, notice_latency } = theirs;
            mine.offered += offered;
            mine.ends.iter_mut().zip(ends).for_each(|(mine, theirs)| *mine += theirs);
            mine.notices += notices;
            mine.latency.merge(latency);
            mine.notice_latency.merge(notice_latency);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn latency_belongs_to_the_planned_second_and_an_answer_to_its_own() {
        let (mut one, mut two) = (Series::default(), Series::default());
        one.offered(500_000_000);
        one.took(500_000_000, 2_500_000_000);
        one.ended(2_500_000_000, End::Bid);
        two.notice(100, 3_000_000_100);
        one.merge(&two);
        let seconds = one.seconds();
        assert_eq!(seconds.len(), 4);
        assert_eq!((seconds[0].offered, seconds[2].ends[End::Bid as usize], seconds[3].notices), (1, 1, 1));
        let off = seconds[0].latency.quantile_ns(0.5).expect("one").abs_diff(2_000_000_000);
        assert!(off < 20_000_000, "{off}");
        assert_eq!(seconds[1].latency.quantile_ns(0.5), None);
        one.ended(u64::MAX, End::Failed);
        assert_eq!(one.seconds().len(), SECONDS_LIMIT, "bounded");
    }

    #[test]
    fn ends_are_numbered_in_their_order() {
        assert!(End::ALL.iter().enumerate().all(|(place, end)| *end as usize == place));
    }
}
