//! Model files and manifests: refused with a place, or they score every row the same way alone and in a batch.

use gavel::modelstore::upload::unpack;
use gavel::scoring::calibration::Calibration;
use gavel::scoring::forest::Precision;
use gavel::scoring::loaded::Loaded;
use gavel::scoring::manifest::Manifest;
use gavel::scoring::model::{Model, Output, Scratch};
use gavel::scoring::{Artifact, Fault, RowsFrom, Sources, lightgbm, linear, xgboost};

pub fn xgboost_json(data: &[u8]) {
    loaded(xgboost::load(data));
}

/// Without the leading brace a text is never taken for JSON.
pub fn xgboost_ubj(data: &[u8]) {
    loaded(xgboost::load(data));
}

pub fn lightgbm(data: &[u8]) {
    loaded(lightgbm::load(data, Precision::F64));
    loaded(lightgbm::load(data, Precision::F32));
}

pub fn linear(data: &[u8]) {
    loaded(linear::load(data));
}

/// A manifest for the smallest of models: whatever it says, it is refused or scores.
pub fn manifest(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    let weights =
        br#"{"format":"gavel-linear-1","objective":"logistic","bias":0.5,"columns":[{"name":"w","weight":2}]}"#;
    match Manifest::parse(text) {
        Ok(manifest) => match Artifact::load(&manifest, weights, &Sources::any(), RowsFrom::Transforms) {
            Ok(artifact) => scores(&artifact.model),
            Err(fault) => named(&fault),
        },
        Err(fault) => named(&fault),
    }
}

/// An artifact as a tar: its files lie in it, or it is said why not.
pub fn upload(data: &[u8]) {
    match unpack(data) {
        Ok((manifest, files)) => {
            let bytes = files.iter().map(|(_, content)| content.len()).sum::<usize>() + manifest.len();
            assert!(bytes <= data.len() && files.len() <= 16);
            assert!(files.iter().all(|(name, _)| !name.is_empty() && !name.contains('/')));
        }
        Err(fault) => assert!(!fault.is_empty() && fault.len() < 2_000, "{fault}"),
    }
}

fn loaded(result: Result<Loaded, Fault>) {
    match result {
        Ok(loaded) => scores(&Model::new(loaded, Output::Value, Calibration::None).expect("the library's own output")),
        Err(fault) => named(&fault),
    }
}

fn named(fault: &Fault) {
    let text = fault.to_string();
    assert!(!fault.message.is_empty() && text.len() < 2_000, "{text}");
}

/// What a row may hold that is hard to split by.
const VALUES: [f64; 12] =
    [0.0, f64::NAN, -0.0, 1.0, -1.0, 0.5, 1e-35, -1e-36, 3e9, f64::INFINITY, f64::NEG_INFINITY, 31.0];
const ROWS: usize = 19;

fn scores(model: &Model) {
    let width = model.features();
    if width * ROWS > 100_000 || model.classes() > 100 {
        return;
    }
    let rows: Vec<f64> = (0..width * ROWS).map(|i| VALUES[(i * 7 + i / width) % VALUES.len()]).collect();
    let (mut scratch, mut alone) = (Scratch::default(), Scratch::default());
    let batch = model.score(&rows, ROWS, 0, &mut scratch);
    let bits = |scores: &[f64]| scores.iter().map(|s| if s.is_nan() { 0 } else { s.to_bits() }).collect::<Vec<_>>();
    let (classes, predictions) = (model.classes(), model.predictions());
    for row in 0..ROWS {
        let one = model.score(&rows[row * width..(row + 1) * width], 1, 0, &mut alone);
        assert_eq!(bits(one.raw), bits(&batch.raw[row * classes..(row + 1) * classes]), "row {row}");
        let batch = &batch.predictions[row * predictions..(row + 1) * predictions];
        assert_eq!(bits(one.predictions), bits(batch), "row {row}");
    }
}
