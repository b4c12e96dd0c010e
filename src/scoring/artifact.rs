//! A model artifact: manifest and model file, checked against each other, against the caller's sources and against the
//! golden rows.

use std::collections::HashSet;

use sha2::{Digest, Sha256};

use super::fault::Fault;
use super::features::{Feature, Features};
use super::forest::Precision;
use super::hash::hash64;
use super::loaded::{Core, Loaded};
use super::manifest::{FeatureSpec, Golden, Manifest, ModelKind, OutputKind, PrecisionKind, Scalar, TransformKind};
use super::model::{Model, Output, Scratch};
use super::sources::{Kind, Source, Sources, WINDOW};
use super::transform::{Hash, Listed, MAX_HASH_BITS, Transform};
use super::{foreign, lightgbm, linear, xgboost};
use crate::ids::name_hash;

/// Larger model files are refused before they are parsed.
pub const MAX_FILE_BYTES: usize = 256 << 20;

/// Where rows will come from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RowsFrom {
    /// The artifact's own transforms: where all of them give f32 values, nothing is lost by a narrow layout.
    Transforms,
    /// Anywhere, such as a file of already transformed rows.
    Anywhere,
}

/// A checked model with its columns. Immutable.
#[derive(Debug)]
pub struct Artifact {
    pub name: String,
    pub version: String,
    /// The model file's name.
    pub file: String,
    /// Of the model file, in hexadecimal digits.
    pub sha256: String,
    /// Of the manifest, and so of all of it.
    pub digest: [u8; 32],
    /// [`name_hash`] of `name/version`, never 0: how decisions say what scored them.
    pub id: u32,
    pub features: Features,
    pub model: Model,
    /// Golden rows, all of which were scored.
    pub golden: usize,
    /// Features with `categories` of which the model file does not tell whether they are in the order of training.
    pub untold: Vec<String>,
}

impl Artifact {
    /// Checks everything there is to check; `file` is the content of [`Manifest::file`].
    pub fn load(manifest: &Manifest, file: &[u8], sources: &Sources, rows: RowsFrom) -> Result<Artifact, Fault> {
        check_digest(manifest, file)?;
        let sources = sources.for_names(manifest.features.iter().map(|feature| feature.source.as_str()));
        let mut columns = Vec::with_capacity(manifest.features.len());
        for spec in &manifest.features {
            columns.push(column(spec, &sources).map_err(|fault| fault.within(format!("feature `{:.60}`", spec.name)))?);
        }
        let features = Features::new(columns, sources.caller);
        let loaded = load_file(manifest, file, &features, rows).map_err(|fault| fault.within(&manifest.file))?;
        check_columns(&loaded, &features)?;
        let untold = loaded.categories.check(features.columns())?;
        let output = match manifest.output {
            OutputKind::Probability => Output::Probability,
            OutputKind::Value => Output::Value,
            OutputKind::Margin => Output::Margin,
        };
        let model = Model::new(loaded, output, manifest.calibration()?)?;
        let mut scratch = Scratch::default();
        for (number, golden) in manifest.golden.iter().enumerate() {
            check_golden(&model, golden, &mut scratch).map_err(|f| f.within(format!("golden row {number}")))?;
        }
        for (what, value) in [("missing", f64::NAN), ("zero", 0.0)] {
            let row = vec![value; model.features()];
            let scores = model.score(&row, 1, 0, &mut scratch);
            if scores.raw.iter().chain(scores.predictions).any(|score| score.is_nan()) {
                return Err(Fault::new(format!("a row of {what} features"), "scores NaN"));
            }
        }
        Ok(Artifact {
            name: manifest.name.clone(),
            version: manifest.version.clone(),
            file: manifest.file.clone(),
            sha256: manifest.sha256.to_ascii_lowercase(),
            digest: manifest.digest,
            id: version_id(&manifest.name, &manifest.version),
            features,
            model,
            golden: manifest.golden.len(),
            untold,
        })
    }
}

/// The number that decisions know a version by.
pub fn version_id(name: &str, version: &str) -> u32 {
    name_hash(&format!("{name}/{version}")).max(1)
}

fn check_digest(manifest: &Manifest, file: &[u8]) -> Result<(), Fault> {
    if file.len() > MAX_FILE_BYTES {
        return Err(Fault::new(&manifest.file, format!("{} bytes, at most {MAX_FILE_BYTES} are read", file.len())));
    }
    let found: String = Sha256::digest(file).iter().map(|byte| format!("{byte:02x}")).collect();
    if found.eq_ignore_ascii_case(&manifest.sha256) {
        return Ok(());
    }
    Err(Fault::new("sha256", format!("`{}` has {found}, not {:.80}", manifest.file, manifest.sha256)))
}

fn load_file(manifest: &Manifest, file: &[u8], features: &Features, rows: RowsFrom) -> Result<Loaded, Fault> {
    let precision = match (manifest.kind, manifest.precision) {
        (ModelKind::LightGBM, Some(PrecisionKind::F32)) => Precision::F32,
        (ModelKind::LightGBM, None) if is_narrow(manifest, features, rows) => Precision::F32,
        (ModelKind::LightGBM, _) => Precision::F64,
        (ModelKind::XGBoost, None | Some(PrecisionKind::F32)) => Precision::F32,
        (ModelKind::Linear, None | Some(PrecisionKind::F64)) => Precision::F64,
        (kind, Some(_)) => return Err(Fault::new("precision", format!("{kind:?} has its own"))),
    };
    let loaded = match manifest.kind {
        ModelKind::XGBoost => xgboost::load(file),
        ModelKind::LightGBM => lightgbm::load(file, precision),
        ModelKind::Linear => linear::load(file),
    };
    // What it is instead says more than the first byte that does not fit.
    loaded.map_err(|fault| foreign::find(file, manifest.kind).map_or(fault, |what| Fault::new("", what)))
}

/// Whether every row that will come, the golden ones included, is one of f32 values.
fn is_narrow(manifest: &Manifest, features: &Features, rows: RowsFrom) -> bool {
    let is_f32 = |value: &f64| f64::from(*value as f32) == *value || value.is_nan();
    rows == RowsFrom::Transforms
        && features.columns().iter().all(|column| column.transform.is_narrow())
        && manifest.golden.iter().all(|golden| golden.features.iter().all(is_f32))
}

/// The manifest's features must be the model's columns: as many, in its order, by its names where it has any.
fn check_columns(loaded: &Loaded, features: &Features) -> Result<(), Fault> {
    let columns = features.columns();
    let mut seen = HashSet::new();
    if let Some(column) = columns.iter().find(|column| !seen.insert(&column.name)) {
        return Err(Fault::new("features", format!("`{:.60}` is there twice", column.name)));
    }
    let names = loaded.names.as_deref().unwrap_or(&[]);
    for (at, name) in names.iter().enumerate() {
        // Names that a library gives when nobody named the columns.
        let unnamed = *name == format!("Column_{at}") || *name == format!("f{at}");
        match columns.get(at) {
            _ if unnamed => {}
            Some(column) if column.name.replace(' ', "_") == name.replace(' ', "_") => {}
            Some(column) if columns.iter().any(|other| other.name == *name) => {
                let message =
                    format!("column {at} of the model is `{name:.60}`, the manifest has `{:.60}`", column.name);
                return Err(Fault::new("features", message));
            }
            _ => return Err(Fault::new("features", format!("the model's column {at}, `{name:.60}`, is missing"))),
        }
    }
    if columns.len() != loaded.features {
        let message = format!("the manifest has {}, the model {} columns", columns.len(), loaded.features);
        return Err(Fault::new("features", message));
    }
    if let Core::Hashed(hashed) = &loaded.core {
        for (at, column) in columns.iter().enumerate() {
            let bits = if let Transform::Hash(hash) = column.transform { Some(hash.bits) } else { None };
            let wanted = hashed.is_hashed(at).then_some(hashed.hash_bits);
            if bits != wanted {
                let say =
                    |bits: Option<u32>| bits.map_or("no hash".to_owned(), |bits| format!("a hash of {bits} bits"));
                let message = format!("is {}, the model's column {}", say(bits), say(wanted));
                return Err(Fault::new(format!("feature `{:.60}`", column.name), message));
            }
        }
    }
    Ok(())
}

fn check_golden(model: &Model, golden: &Golden, scratch: &mut Scratch) -> Result<(), Fault> {
    if golden.features.len() != model.features() {
        let message = format!("has {} features, the model {}", golden.features.len(), model.features());
        return Err(Fault::new("", message));
    }
    let narrow = model.loaded().precision == Precision::F32;
    let scores = model.score(&golden.features, 1, 0, scratch);
    for (what, expected, found) in
        [("raw", golden.raw.list(), scores.raw), ("prediction", golden.prediction.list(), scores.predictions)]
    {
        if expected.len() != found.len() {
            return Err(Fault::new(what, format!("has {} numbers, the model gives {}", expected.len(), found.len())));
        }
        for (&expected, &found) in expected.iter().zip(found) {
            // An f32 may be written in its own shortest decimals.
            let same =
                expected == found || narrow && expected as f32 == found as f32 && f64::from(found as f32) == found;
            if !same {
                return Err(Fault::new(what, format!("is {expected}, the model gives {found}")));
            }
        }
    }
    Ok(())
}

fn column(spec: &FeatureSpec, sources: &Sources) -> Result<Feature, Fault> {
    if spec.name.is_empty() {
        return Err(Fault::new("name", "is empty"));
    }
    let Some((place, source)) = sources.find(&spec.source) else {
        let known = if spec.source.starts_with(WINDOW) { "" } else { "; `gavel model sources` lists them" };
        return Err(Fault::new("source", format!("`{:.80}` is unknown{known}", spec.source)));
    };
    let params = [
        ("scale", spec.scale.is_some(), TransformKind::Numeric),
        ("categories", spec.categories.is_some(), TransformKind::Category),
        ("edges", spec.edges.is_some(), TransformKind::Bucket),
        ("values", spec.values.is_some(), TransformKind::In),
        ("bits", spec.bits.is_some(), TransformKind::Hash),
    ];
    for (name, given, of) in params {
        // Only the scale may be left out.
        if given != (of == spec.transform) && (given || of != TransformKind::Numeric) {
            let message = if given { "is not of this transform" } else { "is missing" };
            return Err(Fault::new(name, message));
        }
    }
    check_kind(spec, source)?;
    let transform = match spec.transform {
        TransformKind::Numeric => {
            let scale = spec.scale.unwrap_or(1.0);
            if !scale.is_finite() {
                return Err(Fault::new("scale", "is not finite"));
            }
            Transform::Numeric { scale }
        }
        TransformKind::Category => Transform::Category(listed("categories", spec.categories.as_deref(), source)?),
        TransformKind::In => Transform::In(listed("values", spec.values.as_deref(), source)?),
        TransformKind::Bucket => {
            let edges = spec.edges.clone().unwrap_or_default();
            if edges.is_empty() || edges.iter().any(|edge| edge.is_nan()) || !edges.is_sorted_by(|a, b| a < b) {
                return Err(Fault::new("edges", "must rise from number to number"));
            }
            Transform::Bucket { edges }
        }
        TransformKind::Hash => {
            let bits = spec.bits.unwrap_or_default();
            if !(1..=MAX_HASH_BITS).contains(&bits) {
                return Err(Fault::new("bits", format!("is {bits}, not 1 to {MAX_HASH_BITS}")));
            }
            Transform::Hash(Hash { seed: hash64(0, spec.name.as_bytes()), bits })
        }
        TransformKind::Log1p => Transform::Log1p,
    };
    let (name, source_name) = (spec.name.clone(), spec.source.clone());
    Ok(Feature { name, source: place, source_name, varies: source.varies, transform })
}

fn check_kind(spec: &FeatureSpec, source: &Source) -> Result<(), Fault> {
    let fits = match spec.transform {
        TransformKind::Numeric | TransformKind::Bucket | TransformKind::Log1p => source.kind == Kind::Number,
        TransformKind::Category | TransformKind::Hash => source.kind != Kind::Texts,
        TransformKind::In => true,
    };
    if fits {
        return Ok(());
    }
    let what = match source.kind {
        Kind::Number => "a number",
        Kind::Text => "a text",
        Kind::Texts => "a list of texts",
    };
    Err(Fault::new("transform", format!("{:?} does not take `{}`, {what}", spec.transform, source.name)))
}

fn listed(key: &str, values: Option<&[Scalar]>, source: &Source) -> Result<Listed, Fault> {
    let values = values.unwrap_or_default();
    if values.is_empty() {
        return Err(Fault::new(key, "is empty"));
    }
    let mut listed = Listed::default();
    for value in values {
        let new = match (value, source.kind) {
            (Scalar::Text(text), Kind::Text | Kind::Texts) => listed.add_text(text),
            (Scalar::Number(number), Kind::Number) if number.is_finite() => listed.add_number(*number),
            (Scalar::Bool(yes), Kind::Number) => listed.add_number(f64::from(u8::from(*yes))),
            _ => return Err(Fault::new(key, format!("{value:?} is no value of `{}`", source.name))),
        };
        if !new {
            return Err(Fault::new(key, format!("{value:?} is there twice")));
        }
    }
    Ok(listed)
}
