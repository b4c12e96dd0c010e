//! Latency per worker: recorded without contention, merged when somebody looks.

use std::sync::Mutex;
use std::time::Duration;

use hdrhistogram::Histogram;

/// Longest latency that is told apart, in microseconds: a minute.
const MAX_US: u64 = 60_000_000;
/// Upper ends of the buckets shown to Prometheus, in microseconds.
const BUCKETS_US: [u64; 14] =
    [10, 20, 50, 100, 200, 500, 1_000, 2_000, 5_000, 10_000, 20_000, 50_000, 100_000, 1_000_000];

/// One worker's histogram. The lock is only contended while somebody reads.
#[derive(Debug)]
pub struct Latency(Mutex<Histogram<u64>>);

impl Default for Latency {
    fn default() -> Latency {
        Latency(Mutex::new(new()))
    }
}

fn new() -> Histogram<u64> {
    let built = Histogram::new_with_bounds(1, MAX_US, 3);
    built.expect("constant bounds are valid") // cannot fail: 1 < MAX_US and 3 digits are allowed
}

impl Latency {
    pub fn record(&self, took: Duration) {
        let us = (took.as_micros() as u64).clamp(1, MAX_US);
        if let Ok(mut histogram) = self.0.lock() {
            histogram.saturating_record(us);
        }
    }
}

/// Several workers' histograms as one.
#[derive(Debug)]
pub struct Merged {
    pub count: u64,
    pub sum_seconds: f64,
    /// Upper end in seconds, and how many lie in the bucket.
    pub buckets: Vec<(f64, u64)>,
}

impl Merged {
    pub fn of<'a>(all: impl Iterator<Item = &'a Latency>) -> Merged {
        let mut merged = new();
        for latency in all {
            if let Ok(histogram) = latency.0.lock() {
                // All have the same bounds, so adding cannot fail.
                let _same_bounds = merged.add(&*histogram);
            }
        }
        let mut below = 0;
        let mut buckets = Vec::with_capacity(BUCKETS_US.len() + 1);
        for end in BUCKETS_US {
            let up_to = merged.count_between(0, end);
            buckets.push((end as f64 / 1e6, up_to - below));
            below = up_to;
        }
        buckets.push((f64::INFINITY, merged.len() - below));
        Merged { count: merged.len(), sum_seconds: merged.mean() * merged.len() as f64 / 1e6, buckets }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn workers_add_up() {
        let workers = [Latency::default(), Latency::default()];
        workers[0].record(Duration::from_micros(15));
        workers[1].record(Duration::from_micros(15));
        workers[1].record(Duration::from_secs(3_600));
        let merged = Merged::of(workers.iter());
        assert_eq!(merged.count, 3);
        assert_eq!(merged.buckets.iter().map(|(_, n)| n).sum::<u64>(), 3);
        assert_eq!(merged.buckets[1].1, 2);
        assert_eq!(merged.buckets.last().unwrap().1, 1);
    }
}
