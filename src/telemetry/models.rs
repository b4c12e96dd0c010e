//! What models scored, per worker: counted without contention, merged when somebody looks.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};

use crate::scoring::ModelSet;

/// Upper ends of the buckets of scores.
pub const SCORES: [f64; 12] = [1e-4, 3e-4, 1e-3, 3e-3, 0.01, 0.03, 0.1, 0.2, 0.4, 0.6, 0.8, 1.0];
/// Upper ends of the buckets of what two versions differ by.
pub const DIFFERENCES: [f64; 9] = [0.0, 1e-5, 1e-4, 1e-3, 3e-3, 0.01, 0.03, 0.1, 0.3];
/// Upper ends of the buckets of what a batch took, in seconds.
pub const SECONDS: [f64; 10] = [1e-6, 2e-6, 5e-6, 1e-5, 2e-5, 5e-5, 1e-4, 2e-4, 1e-3, 1e-2];
/// Versions that are counted: the one that scored least lately is let go of when there are more.
const MAX_KEPT: usize = 32;

/// Name, version, and whether it was the shadow.
pub type Key = (String, String, bool);

#[derive(Clone, Debug, PartialEq)]
pub struct Histogram<const N: usize> {
    pub sum: f64,
    /// Each not in those before; the last is above all.
    pub counts: [u64; N],
    pub above: u64,
}

impl<const N: usize> Default for Histogram<N> {
    fn default() -> Histogram<N> {
        Histogram { sum: 0.0, counts: [0; N], above: 0 }
    }
}

impl<const N: usize> Histogram<N> {
    fn add(&mut self, ends: &[f64; N], value: f64) {
        match self.counts.get_mut(ends.partition_point(|end| *end < value)) {
            Some(count) => *count += 1,
            None => self.above += 1,
        }
        self.sum += value;
    }

    fn merge(&mut self, other: &Histogram<N>) {
        self.sum += other.sum;
        self.above += other.above;
        self.counts.iter_mut().zip(&other.counts).for_each(|(count, more)| *count += more);
    }

    pub fn count(&self) -> u64 {
        self.counts.iter().sum::<u64>() + self.above
    }

    pub fn mean(&self) -> f64 {
        self.sum / self.count() as f64
    }

    /// As Prometheus wants them.
    pub fn buckets(&self, ends: &[f64; N]) -> Vec<(f64, u64)> {
        let above = [(f64::INFINITY, self.above)];
        ends.iter().copied().zip(self.counts).chain(above).collect()
    }
}

/// What one version scored in one role.
#[derive(Clone, Debug, Default)]
pub struct VersionStats {
    pub scores: Histogram<{ SCORES.len() }>,
    /// Scores that are none, or not within 0 and 1.
    pub odd: u64,
    /// Of a shadow: by how much it differs from the active version.
    pub differences: Histogram<{ DIFFERENCES.len() }>,
    pub most_different: f64,
    /// Of a batch, with filling it in.
    pub seconds: Histogram<{ SECONDS.len() }>,
    used: u64,
}

impl VersionStats {
    fn merge(&mut self, other: &VersionStats) {
        self.scores.merge(&other.scores);
        self.differences.merge(&other.differences);
        self.seconds.merge(&other.seconds);
        self.odd += other.odd;
        self.most_different = self.most_different.max(other.most_different);
    }
}

#[derive(Debug, Default)]
struct Kept {
    /// By the version's number, and whether it was the shadow.
    versions: BTreeMap<(u32, bool), (Key, VersionStats)>,
    used: u64,
}

/// One worker's. The lock is only contended while somebody reads.
#[derive(Debug, Default)]
pub struct ModelStats(Mutex<Kept>);

impl ModelStats {
    /// Counts one batch: the scores of the active version and of the shadow, NaN where there is none.
    pub fn record(&self, set: &ModelSet, active: &[f64], active_ns: u64, shadow: &[f64], shadow_ns: u64) {
        let mut kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        for (role, scores, ns, is_shadow) in
            [(&set.active, active, active_ns, false), (&set.shadow, shadow, shadow_ns, true)]
        {
            let Some(artifact) = role else { continue };
            kept.used += 1;
            let used = kept.used;
            let key = (artifact.id, is_shadow);
            if !kept.versions.contains_key(&key) {
                kept.make_room();
                let name = (artifact.name.clone(), artifact.version.clone(), is_shadow);
                kept.versions.insert(key, (name, VersionStats::default()));
            }
            let Some((_, stats)) = kept.versions.get_mut(&key) else { continue };
            stats.used = used;
            stats.seconds.add(&SECONDS, ns as f64 / 1e9);
            for (score, other) in scores.iter().zip(active) {
                if !(0.0..=1.0).contains(score) {
                    stats.odd += 1;
                    continue;
                }
                stats.scores.add(&SCORES, *score);
                let difference = (score - other).abs();
                if is_shadow && difference.is_finite() {
                    stats.differences.add(&DIFFERENCES, difference);
                    stats.most_different = stats.most_different.max(difference);
                }
            }
        }
    }

    /// All workers' together.
    pub fn merged<'a>(all: impl Iterator<Item = &'a ModelStats>) -> BTreeMap<Key, VersionStats> {
        let mut merged = BTreeMap::<Key, VersionStats>::new();
        for stats in all {
            let kept = stats.0.lock().unwrap_or_else(PoisonError::into_inner);
            for (key, stats) in kept.versions.values() {
                merged.entry(key.clone()).or_default().merge(stats);
            }
        }
        merged
    }
}

impl Kept {
    fn make_room(&mut self) {
        if self.versions.len() >= MAX_KEPT
            && let Some(key) = self.versions.iter().min_by_key(|(_, (_, stats))| stats.used).map(|(key, _)| *key)
        {
            self.versions.remove(&key);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_is_in_the_first_bucket_that_reaches_it() {
        let mut histogram = Histogram::default();
        for value in [0.0, 1e-4, 1.5e-4, 1.0, 2.0] {
            histogram.add(&SCORES, value);
        }
        let buckets = histogram.buckets(&SCORES);
        assert_eq!((buckets[0], buckets[1], buckets[11]), ((1e-4, 2), (3e-4, 1), (1.0, 1)));
        assert_eq!((buckets[12].1, histogram.count()), (1, 5));
        assert!((histogram.mean() - 3.00025 / 5.0).abs() < 1e-12);
    }
}
