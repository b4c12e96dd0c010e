//! When requests are to be sent: decided ahead from the rate alone, never from how fast answers come.

use crate::steps::Steps;
use fastrand::Rng;

#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum Pattern {
    /// Exponential gaps, as independent users make.
    Poisson,
    /// Equal gaps.
    Constant,
}

/// The planned send times of one generator thread, in nanoseconds since the start.
pub struct Arrivals {
    pattern: Pattern,
    gap_ns: f64,
    /// In the time of the plain rate, which the steps stretch.
    next_ns: f64,
    steps: Steps,
    left: u64,
    end_ns: u64,
    rng: Rng,
}

impl Arrivals {
    /// The share of `shard` out of `shards`. Poisson streams add up to a Poisson stream; constant ones interleave.
    pub fn new(pattern: Pattern, rate: f64, shard: u32, shards: u32, limit: u64, end_ns: u64, seed: u64) -> Arrivals {
        let gap_ns = 1e9 * f64::from(shards) / rate;
        let mut rng = Rng::with_seed(seed);
        let next_ns = match pattern {
            Pattern::Poisson => exponential(&mut rng, gap_ns),
            Pattern::Constant => 1e9 * f64::from(shard) / rate,
        };
        Arrivals { pattern, gap_ns, next_ns, steps: Steps::default(), left: limit, end_ns, rng }
    }

    /// At a rate that changes.
    pub fn stepped(self, steps: Steps) -> Arrivals {
        Arrivals { steps, ..self }
    }

    /// The next planned time, if any is left.
    pub fn peek(&self) -> Option<u64> {
        let next = self.steps.planned_ns(self.next_ns) as u64;
        (self.left > 0 && next < self.end_ns).then_some(next)
    }

    pub fn pop(&mut self) -> Option<u64> {
        let planned = self.peek()?;
        self.left -= 1;
        self.next_ns += match self.pattern {
            Pattern::Poisson => exponential(&mut self.rng, self.gap_ns),
            Pattern::Constant => self.gap_ns,
        };
        Some(planned)
    }
}

fn exponential(rng: &mut Rng, mean: f64) -> f64 {
    // 1 - [0, 1) is never zero, so the logarithm is finite.
    -(1.0 - rng.f64()).ln() * mean
}

#[cfg(test)]
mod tests {
    use super::*;

    fn gaps(pattern: Pattern) -> Vec<f64> {
        let mut arrivals = Arrivals::new(pattern, 1000.0, 0, 1, 200_000, u64::MAX, 7);
        let mut last = 0;
        std::iter::from_fn(|| {
            let planned = arrivals.pop()?;
            let gap = planned - last;
            last = planned;
            Some(gap as f64)
        })
        .collect()
    }

    fn mean_and_variance(values: &[f64]) -> (f64, f64) {
        let mean = values.iter().sum::<f64>() / values.len() as f64;
        (mean, values.iter().map(|value| (value - mean).powi(2)).sum::<f64>() / values.len() as f64)
    }

    #[test]
    fn poisson_gaps_have_the_mean_and_variance_of_an_exponential() {
        let gaps = gaps(Pattern::Poisson);
        assert_eq!(gaps.len(), 200_000);
        let (mean, variance) = mean_and_variance(&gaps);
        assert!((mean / 1e6 - 1.0).abs() < 0.02, "mean {mean}");
        assert!((variance / 1e12 - 1.0).abs() < 0.04, "variance {variance}");
    }

    #[test]
    fn poisson_counts_per_second_vary_as_much_as_their_mean() {
        let mut arrivals = Arrivals::new(Pattern::Poisson, 100.0, 0, 1, u64::MAX, 2_000_000_000_000, 3);
        let mut counts = vec![0.0; 2000];
        while let Some(planned) = arrivals.pop() {
            counts[(planned / 1_000_000_000) as usize] += 1.0;
        }
        let (mean, variance) = mean_and_variance(&counts);
        assert!((mean - 100.0).abs() < 2.0, "mean {mean}");
        assert!((variance / mean - 1.0).abs() < 0.15, "variance {variance}");
    }

    #[test]
    fn constant_gaps_do_not_drift() {
        let gaps = gaps(Pattern::Constant);
        assert!(gaps.iter().skip(1).all(|gap| (gap - 1e6).abs() <= 1.0));
        let mut arrivals = Arrivals::new(Pattern::Constant, 3.0, 0, 1, 3_001, u64::MAX, 0);
        let last = std::iter::from_fn(|| arrivals.pop()).last();
        assert!(last.is_some_and(|last| last.abs_diff(1_000_000_000_000) < 10), "{last:?}");
    }

    #[test]
    fn shards_interleave_and_end() {
        let mut all: Vec<u64> = (0..4)
            .flat_map(|shard| {
                let mut arrivals = Arrivals::new(Pattern::Constant, 1000.0, shard, 4, u64::MAX, 1_000_000_000, 0);
                std::iter::from_fn(move || arrivals.pop()).collect::<Vec<_>>()
            })
            .collect();
        all.sort_unstable();
        assert_eq!(all.len(), 1000);
        assert!(all.windows(2).all(|pair| pair[1] - pair[0] == 1_000_000));
    }
}
