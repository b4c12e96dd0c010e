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
    /// Of a batch, with filling it in.
    pub seconds: Histogram<{ SECONDS.len() }>,
    /// Of a shadow, by the active version that it stood beside; of one worker the last one only.
    pub compared: BTreeMap<String, Comparison>,
    used: u64,
}

/// An active version and its shadow: the same rows of the same requests, of which both made a score within 0 and 1.
#[derive(Clone, Debug, Default)]
pub struct Comparison {
    pub active: Compared,
    pub shadow: Compared,
    pub difference_sum: f64,
    pub most_different: f64,
}

#[derive(Clone, Debug, Default)]
pub struct Compared {
    pub scores: Histogram<{ SCORES.len() }>,
    pub seconds: Histogram<{ SECONDS.len() }>,
}

impl Compared {
    fn merge(&mut self, other: &Compared) {
        self.scores.merge(&other.scores);
        self.seconds.merge(&other.seconds);
    }
}

impl Comparison {
    fn merge(&mut self, other: &Comparison) {
        self.active.merge(&other.active);
        self.shadow.merge(&other.shadow);
        self.difference_sum += other.difference_sum;
        self.most_different = self.most_different.max(other.most_different);
    }

    fn add(&mut self, active: f64, shadow: f64) {
        self.active.scores.add(&SCORES, active);
        self.shadow.scores.add(&SCORES, shadow);
        self.difference_sum += (shadow - active).abs();
        self.most_different = self.most_different.max((shadow - active).abs());
    }
}

impl VersionStats {
    /// Another active version begins another comparison.
    fn compared_with(&mut self, active: &str) -> &mut Comparison {
        if !self.compared.contains_key(active) {
            self.compared.clear();
            self.compared.insert(active.to_owned(), Comparison::default());
        }
        self.compared.entry(active.to_owned()).or_default()
    }

    fn merge(&mut self, other: &VersionStats) {
        self.scores.merge(&other.scores);
        self.differences.merge(&other.differences);
        self.seconds.merge(&other.seconds);
        self.odd += other.odd;
        for (active, compared) in &other.compared {
            self.compared.entry(active.clone()).or_default().merge(compared);
        }
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
                if is_shadow && (0.0..=1.0).contains(other) {
                    stats.differences.add(&DIFFERENCES, (score - other).abs());
                }
            }
            if let Some(active_artifact) = set.active.as_deref().filter(|_| is_shadow && !scores.is_empty()) {
                let compared = stats.compared_with(&active_artifact.version);
                let is_score = |score: &f64| (0.0..=1.0).contains(score);
                let both = active.iter().zip(scores).filter(|(active, shadow)| is_score(active) && is_score(shadow));
                both.for_each(|(active, shadow)| compared.add(*active, *shadow));
                compared.active.seconds.add(&SECONDS, active_ns as f64 / 1e9);
                compared.shadow.seconds.add(&SECONDS, shadow_ns as f64 / 1e9);
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
    use crate::scoring::registry::tests::linear;

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

    #[test]
    fn a_shadow_is_compared_with_one_active_version_by_the_rows_that_both_scored() {
        let version = |version: &str| {
            let rest = r#""objective":"linear","columns":[{"name":"x","weight":1}],"bias":0"#;
            let feature = "[[features]]\nname = \"x\"\nsource = \"clock.hour\"\ntransform = \"numeric\"\n";
            Some(linear("m", version, rest, "value", feature))
        };
        let set = |active: &str| ModelSet { active: version(active), shadow: version("s"), previous: None };
        let stats = ModelStats::default();
        stats.record(&set("1"), &[0.5, 0.5], 10, &[0.5, 0.75], 20);
        // What either did not score is no row of both.
        stats.record(&set("2"), &[0.1, 7.0, 0.2, f64::NAN], 10, &[0.2, 0.3, f64::NAN, 0.5], 20);
        let merged = ModelStats::merged([&stats, &ModelStats::default()].into_iter());
        let shadow = &merged[&("m".to_owned(), "s".to_owned(), true)];
        assert_eq!(shadow.compared.keys().collect::<Vec<_>>(), ["2"], "the last one only");
        let compared = &shadow.compared["2"];
        assert_eq!((compared.active.scores.count(), compared.shadow.scores.count()), (1, 1));
        assert_eq!((compared.active.scores.sum, compared.shadow.scores.sum), (0.1, 0.2));
        assert_eq!((compared.difference_sum, compared.most_different, shadow.scores.count()), (0.1, 0.1, 5));
    }
}
