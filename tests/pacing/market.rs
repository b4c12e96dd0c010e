//! What the campaign meets: requests, competitors, and notices that take their time.

use fastrand::Rng;

/// Prices of the best competitor per impression, in nanos.
#[derive(Clone, Copy, Debug)]
pub enum Prices {
    /// Median, and sigma of the logarithm.
    LogNormal(f64, f64),
    /// All the same: whoever bids less wins nothing, whoever bids more wins all.
    Equal(f64),
}

impl Prices {
    pub fn draw(self, rng: &mut Rng) -> i64 {
        match self {
            Prices::LogNormal(median, sigma) => {
                let normal = (-2.0 * (1.0 - rng.f64()).ln()).sqrt() * (std::f64::consts::TAU * rng.f64()).cos();
                (median * (sigma * normal).exp()) as i64
            }
            Prices::Equal(price) => price as i64,
        }
    }
}

/// Requests per second, as a multiple of the mean.
#[derive(Clone, Copy, Debug)]
pub enum Traffic {
    Flat,
    /// By the hour of the day: between 1 less and 1 more this much.
    Sine(f64),
    /// This many times as much, from the first to the second second.
    Burst(f64, i64, i64),
    /// None from the first to the second second.
    Lost(i64, i64),
}

impl Traffic {
    /// `at` is in seconds since the simulation started at midnight UTC.
    pub fn at(self, at: i64) -> f64 {
        match self {
            Traffic::Flat => 1.0,
            Traffic::Sine(by) => 1.0 + by * (std::f64::consts::TAU * at as f64 / 86_400.0).sin(),
            Traffic::Burst(times, from, to) => {
                if (from..to).contains(&at) {
                    times
                } else {
                    1.0
                }
            }
            Traffic::Lost(from, to) => {
                if (from..to).contains(&at) {
                    0.0
                } else {
                    1.0
                }
            }
        }
    }

    /// Requests in the second at `at` when `mean` come on average.
    pub fn draw(self, at: i64, mean: f64, rng: &mut Rng) -> usize {
        let expected = mean * self.at(at);
        let (mut count, mut left) = (0, expected);
        // Poisson by exponential gaps.
        loop {
            left -= -(1.0 - rng.f64()).ln();
            if left < 0.0 {
                return count;
            }
            count += 1;
        }
    }
}
