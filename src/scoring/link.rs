//! From raw scores to predictions, in each library's own arithmetic. The exponential is the platform's: with the same one,
//! predictions equal the library's to the last bit.

/// What stands between a raw score and a prediction.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Link {
    Identity,
    /// XGBoost, f32.
    Sigmoid32,
    Exp32,
    Softmax32,
    /// The number of the highest class (`multi:softmax`): one prediction for all classes.
    Class,
    /// 1 above zero (`binary:hinge`).
    Step,
    /// LightGBM and linear models, f64, of the raw score times this.
    Sigmoid(f64),
    Exp,
    Softmax,
    /// ln(1 + e^x) (`cross_entropy_lambda`).
    LogExp,
    /// The square with the sign kept (`regression sqrt`).
    SignedSquare,
}

impl Link {
    /// Predictions for that many raw scores.
    pub fn predictions(self, classes: usize) -> usize {
        if self == Link::Class { 1 } else { classes }
    }

    /// Whether predictions are between 0 and 1 and mean how likely.
    pub fn is_probability(self) -> bool {
        matches!(self, Link::Sigmoid32 | Link::Softmax32 | Link::Sigmoid(_) | Link::Softmax)
    }

    /// Predictions of one row, of its raw scores divided by `average`.
    pub fn apply(self, raw: &[f64], average: Option<f64>, out: &mut [f64]) {
        if self == Link::Class {
            out[0] = highest(raw) as f64;
            return;
        }
        out.copy_from_slice(raw);
        if let Some(average) = average {
            out.iter_mut().for_each(|x| *x /= average);
        }
        let each = |out: &mut [f64], f: fn(f64) -> f64| out.iter_mut().for_each(|x| *x = f(*x));
        match self {
            Link::Identity | Link::Class => {}
            Link::Sigmoid32 => each(out, |x| f64::from(sigmoid32(x as f32))),
            Link::Exp32 => each(out, |x| f64::from((x as f32).exp())),
            Link::Softmax32 => softmax32(out),
            Link::Step => each(out, |x| f64::from(u8::from(x > 0.0))),
            Link::Sigmoid(factor) => out.iter_mut().for_each(|x| *x = 1.0 / (1.0 + (-factor * *x).exp())),
            Link::Exp => each(out, f64::exp),
            Link::Softmax => softmax(out),
            Link::LogExp => each(out, |x| x.exp().ln_1p()),
            Link::SignedSquare => each(out, |x| if x > 0.0 { x * x } else { -(x * x) }),
        }
    }
}

fn sigmoid32(x: f32) -> f32 {
    let x = if -x < 88.7 { -x } else { 88.7 };
    1.0 / (x.exp() + 1.0)
}

/// Exponentials in f32, their sum in f64.
fn softmax32(out: &mut [f64]) {
    let most = out.iter().fold(f32::NEG_INFINITY, |most, &x| most.max(x as f32));
    let mut sum = 0.0f64;
    for x in out.iter_mut() {
        *x = f64::from((*x as f32 - most).exp());
        sum += *x;
    }
    out.iter_mut().for_each(|x| *x = f64::from(*x as f32 / sum as f32));
}

fn softmax(out: &mut [f64]) {
    let most = out.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    let mut sum = 0.0;
    for x in out.iter_mut() {
        *x = (*x - most).exp();
        sum += *x;
    }
    out.iter_mut().for_each(|x| *x /= sum);
}

/// The first of the highest.
fn highest(raw: &[f64]) -> usize {
    (1..raw.len()).fold(0, |best, i| if raw[i] > raw[best] { i } else { best })
}
