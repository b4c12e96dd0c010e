//! Load that changes: steps that multiply the rate, planned ahead like everything else.

/// So long, at so many times the rate.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Step {
    pub for_ns: u64,
    pub times: f64,
}

/// The steps follow the warm-up, one after the other; before and after them the rate is its plain self.
#[derive(Clone, Debug, Default)]
pub struct Steps(Vec<Step>);

impl Steps {
    pub fn after(warmup_ns: u64, steps: &[Step]) -> Steps {
        if steps.is_empty() {
            return Steps::default();
        }
        let warmup = Step { for_ns: warmup_ns, times: 1.0 };
        Steps([&[warmup], steps].concat())
    }

    /// When as much was planned as the plain rate plans in `plain_ns`.
    pub fn planned_ns(&self, plain_ns: f64) -> f64 {
        let (mut begins_ns, mut left_ns) = (0.0, plain_ns);
        for step in &self.0 {
            let for_ns = step.for_ns as f64;
            let holds_ns = for_ns * step.times;
            if left_ns < holds_ns {
                return begins_ns + left_ns / step.times;
            }
            begins_ns += for_ns;
            left_ns -= holds_ns;
        }
        begins_ns + left_ns
    }

    /// The highest of the multiples.
    pub fn most(&self) -> f64 {
        self.0.iter().map(|step| step.times).fold(1.0, f64::max)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::arrivals::{Arrivals, Pattern};

    const S: u64 = 1_000_000_000;

    /// How many are planned in each second.
    fn counts(pattern: Pattern, steps: &[Step]) -> Vec<u64> {
        let steps = Steps::after(2 * S, steps);
        let mut counts = vec![0; 12];
        for shard in 0..2 {
            let mut arrivals = Arrivals::new(pattern, 1000.0, shard, 2, u64::MAX, 12 * S, 5).stepped(steps.clone());
            while let Some(planned_ns) = arrivals.pop() {
                counts[(planned_ns / S) as usize] += 1;
            }
        }
        counts
    }

    #[test]
    fn each_step_multiplies_the_rate_in_its_own_time() {
        let steps = [
            Step { for_ns: S, times: 1.0 },
            Step { for_ns: 3 * S, times: 5.0 },
            Step { for_ns: 2 * S, times: 0.0 },
            Step { for_ns: S, times: 0.5 },
        ];
        let expected = [1000, 1000, 1000, 5000, 5000, 5000, 0, 0, 500, 1000, 1000, 1000];
        for (second, (planned, expected)) in counts(Pattern::Constant, &steps).into_iter().zip(expected).enumerate() {
            assert!(planned.abs_diff(expected) <= 2, "second {second}: {planned} for {expected}");
        }
        let poisson = counts(Pattern::Poisson, &steps);
        for (second, (planned, expected)) in poisson.into_iter().zip(expected).enumerate() {
            let off = planned.abs_diff(expected) as f64;
            assert!(off <= 6.0 * (expected as f64).sqrt(), "second {second}: {planned} for {expected}");
        }
        assert_eq!(Steps::after(2 * S, &steps).most(), 5.0);
    }

    #[test]
    fn without_steps_nothing_changes() {
        assert!(counts(Pattern::Constant, &[]).iter().all(|count| *count == 1000));
        assert_eq!(Steps::default().planned_ns(7.0), 7.0);
    }
}
