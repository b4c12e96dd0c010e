//! `manifest.toml`: what was typed.

use serde::Deserialize;
use sha2::{Digest, Sha256};

use super::calibration::Calibration;
use super::fault::Fault;

/// Far above any manifest, golden rows included. Read, one takes up to a hundred times as much.
pub const MAX_BYTES: usize = 2 << 20;

/// What [`is_plain`] asks for.
pub const PLAIN: &str = "needs 1 to 64 letters, digits, `.`, `_` or `-`, and not to begin with `.`";

/// A manifest as it was typed. Unknown keys are refused.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Manifest {
    pub name: String,
    pub version: String,
    pub kind: ModelKind,
    /// The library's own file, beside the manifest.
    pub file: String,
    /// Of the file, 64 hexadecimal digits.
    pub sha256: String,
    pub output: OutputKind,
    /// LightGBM only: `f32` rounds features to f32, as if the library had been given f32 rows. XGBoost always does.
    pub precision: Option<PrecisionKind>,
    /// In the model's column order.
    #[serde(default)]
    pub features: Vec<FeatureSpec>,
    pub calibration: Option<CalibrationSpec>,
    #[serde(default)]
    pub golden: Vec<Golden>,
    /// SHA-256 of the text, and so of the whole artifact: it holds the file's.
    #[serde(skip)]
    pub digest: [u8; 32],
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ModelKind {
    XGBoost,
    LightGBM,
    Linear,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum OutputKind {
    Probability,
    Value,
    Margin,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum PrecisionKind {
    F32,
    F64,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FeatureSpec {
    pub name: String,
    pub source: String,
    pub transform: TransformKind,
    /// Of `numeric`; default 1.
    pub scale: Option<f64>,
    /// Of `category`: the place in the list is the category's number.
    pub categories: Option<Vec<Scalar>>,
    /// Of `bucket`: rising; the number of those that are at most the value.
    pub edges: Option<Vec<f64>>,
    /// Of `in`.
    pub values: Option<Vec<Scalar>>,
    /// Of `hash`: 1 to 24.
    pub bits: Option<u32>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum TransformKind {
    Numeric,
    Category,
    Bucket,
    In,
    Hash,
    Log1p,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(untagged)]
pub enum Scalar {
    Text(String),
    Bool(bool),
    Number(f64),
}

#[derive(Debug, Deserialize)]
#[serde(tag = "kind", rename_all = "lowercase", deny_unknown_fields)]
pub enum CalibrationSpec {
    None {},
    Platt { a: f64, b: f64 },
    Isotonic { x: Vec<f64>, y: Vec<f64> },
}

/// A row after the transforms, and what the library makes of it.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Golden {
    pub features: Vec<f64>,
    pub raw: Numbers,
    pub prediction: Numbers,
}

/// One number, or one for each class.
#[derive(Debug, Deserialize)]
#[serde(untagged)]
pub enum Numbers {
    One(f64),
    Many(Vec<f64>),
}

impl Numbers {
    pub fn list(&self) -> &[f64] {
        match self {
            Numbers::One(number) => std::slice::from_ref(number),
            Numbers::Many(numbers) => numbers,
        }
    }
}

impl Manifest {
    pub fn parse(text: &str) -> Result<Manifest, Fault> {
        if text.len() > MAX_BYTES {
            return Err(Fault::new("", format!("{} bytes, at most {MAX_BYTES} are read", text.len())));
        }
        let mut manifest: Manifest = toml::from_str(text).map_err(|error| {
            let line =
                error.span().map(|span| 1 + text.as_bytes()[..span.start].iter().filter(|&&b| b == b'\n').count());
            Fault::new(line.map_or_else(String::new, |line| format!("line {line}")), error.message())
        })?;
        for (key, text) in [("name", &manifest.name), ("version", &manifest.version), ("file", &manifest.file)] {
            if !is_plain(text) {
                return Err(Fault::new(key, PLAIN));
            }
        }
        manifest.digest = Sha256::digest(text.as_bytes()).into();
        Ok(manifest)
    }

    pub fn calibration(&self) -> Result<Calibration, Fault> {
        let calibration = match &self.calibration {
            None | Some(CalibrationSpec::None {}) => Calibration::None,
            Some(CalibrationSpec::Platt { a, b }) => Calibration::Platt { a: *a, b: *b },
            Some(CalibrationSpec::Isotonic { x, y }) => Calibration::Isotonic { x: x.clone(), y: y.clone() },
        };
        calibration.check()?;
        Ok(calibration)
    }
}

/// Names a file or folder of its own, and nothing else.
pub fn is_plain(name: &str) -> bool {
    let good = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'_' | b'-');
    (1..=64).contains(&name.len()) && !name.starts_with('.') && name.bytes().all(good)
}
