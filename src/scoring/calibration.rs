//! From a raw score to a calibrated probability.

use super::fault::Fault;

/// Applied to the raw score, in f64.
#[derive(Clone, Debug, Default, PartialEq)]
pub enum Calibration {
    #[default]
    None,
    /// 1 / (1 + exp(a * raw + b)); a model that ranks well has a negative `a`.
    Platt { a: f64, b: f64 },
    /// A line from point to point, flat beyond the first and the last.
    Isotonic { x: Vec<f64>, y: Vec<f64> },
}

impl Calibration {
    pub fn check(&self) -> Result<(), Fault> {
        let fault = |message: &str| Err(Fault::new("calibration", message));
        match self {
            Calibration::None => Ok(()),
            Calibration::Platt { a, b } if a.is_finite() && b.is_finite() => Ok(()),
            Calibration::Platt { .. } => fault("`a` and `b` must be finite"),
            Calibration::Isotonic { x, y } => {
                if x.is_empty() || x.len() != y.len() {
                    return fault("`x` and `y` must be of one length, at least 1");
                }
                if !x.iter().all(|x| x.is_finite()) || !x.is_sorted_by(|a, b| a < b) {
                    return fault("`x` must rise from number to number");
                }
                if !y.iter().all(|y| (0.0..=1.0).contains(y)) || !y.is_sorted() {
                    return fault("`y` must never fall and stay between 0 and 1");
                }
                Ok(())
            }
        }
    }

    pub fn apply(&self, values: &mut [f64]) {
        match self {
            Calibration::None => {}
            Calibration::Platt { a, b } => values.iter_mut().for_each(|raw| *raw = 1.0 / (1.0 + (a * *raw + b).exp())),
            Calibration::Isotonic { x, y } => values.iter_mut().for_each(|raw| *raw = between(x, y, *raw)),
        }
    }
}

fn between(x: &[f64], y: &[f64], at: f64) -> f64 {
    if at.is_nan() {
        return f64::NAN;
    }
    let right = x.partition_point(|&x| x <= at);
    if right == 0 {
        return y[0];
    }
    if right == x.len() {
        return y[right - 1];
    }
    let (x0, x1, y0, y1) = (x[right - 1], x[right], y[right - 1], y[right]);
    y0 + (y1 - y0) * ((at - x0) / (x1 - x0))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn isotonic_runs_from_point_to_point_and_is_flat_outside() {
        let calibration = Calibration::Isotonic { x: vec![-1.0, 0.0, 2.0], y: vec![0.1, 0.2, 0.6] };
        calibration.check().unwrap();
        let mut values = [-9.0, -1.0, -0.5, 0.0, 1.0, 2.0, 9.0, f64::INFINITY, f64::NAN];
        calibration.apply(&mut values);
        let rounded = values.map(|value| (value * 1e6).round() / 1e6);
        assert_eq!(rounded[..8], [0.1, 0.1, 0.15, 0.2, 0.4, 0.6, 0.6, 0.6]);
        assert!(values[8].is_nan());
    }

    #[test]
    fn platt_falls_with_a_positive_a() {
        let mut values = [0.0, 100.0];
        Calibration::Platt { a: 1.0, b: 0.0 }.apply(&mut values);
        assert_eq!(values[0], 0.5);
        assert!(values[1] < 1e-40);
    }

    #[test]
    fn bad_points_are_refused() {
        let isotonic = |x: &[f64], y: &[f64]| Calibration::Isotonic { x: x.to_vec(), y: y.to_vec() }.check();
        for (x, y) in [
            (&[][..], &[][..]),
            (&[0.0][..], &[0.1, 0.2][..]),
            (&[0.0, 0.0][..], &[0.1, 0.2][..]),
            (&[0.0, f64::NAN][..], &[0.1, 0.2][..]),
            (&[0.0, 1.0][..], &[0.2, 0.1][..]),
            (&[0.0, 1.0][..], &[0.2, 1.1][..]),
        ] {
            assert!(isotonic(x, y).is_err(), "{x:?} {y:?}");
        }
        assert!(Calibration::Platt { a: f64::NAN, b: 0.0 }.check().is_err());
    }
}
