//! A model as its library wrote it, with rows and what the library scored.

use std::path::{Path, PathBuf};

use gavel::scoring::calibration::Calibration;
use gavel::scoring::forest::Precision;
use gavel::scoring::loaded::{Core, Loaded};
use gavel::scoring::model::{Model, Output, Scratch};
use gavel::scoring::{lightgbm, xgboost};

pub struct Case {
    pub name: String,
    pub file: Vec<u8>,
    pub features: usize,
    pub rows: Vec<f64>,
    pub count: usize,
    pub raw: Vec<f64>,
    pub predictions: Vec<f64>,
}

fn folder() -> PathBuf {
    match std::env::var_os("FIDELITY") {
        Some(folder) => folder.into(),
        None => Path::new(env!("CARGO_MANIFEST_DIR")).join("models/fidelity"),
    }
}

impl Case {
    pub fn all() -> Vec<Case> {
        let entries = std::fs::read_dir(folder()).unwrap().map(|entry| entry.unwrap().path());
        let mut models: Vec<PathBuf> =
            entries.filter(|p| p.extension().is_some_and(|e| e == "json" || e == "ubj" || e == "txt")).collect();
        models.sort();
        models.iter().map(|path| Case::read(path)).collect()
    }

    fn read(path: &Path) -> Case {
        let table = std::fs::read_to_string(path.with_extension("csv")).unwrap();
        let mut lines = table.lines();
        let header: Vec<&str> = lines.next().unwrap().split(',').collect();
        let count_of = |prefix: &str| header.iter().filter(|name| name.starts_with(prefix)).count();
        let (raws, predictions) = (count_of("raw"), count_of("prediction"));
        let mut case = Case {
            name: path.file_name().unwrap().to_str().unwrap().to_owned(),
            file: std::fs::read(path).unwrap(),
            features: header.len() - raws - predictions,
            rows: Vec::new(),
            count: 0,
            raw: Vec::new(),
            predictions: Vec::new(),
        };
        for line in lines {
            let mut cells =
                line.split(',').map(|cell| if cell.is_empty() { f64::NAN } else { cell.parse::<f64>().unwrap() });
            case.rows.extend(cells.by_ref().take(case.features));
            case.raw.extend(cells.by_ref().take(raws));
            case.predictions.extend(cells);
            case.count += 1;
        }
        case
    }

    pub fn is_lightgbm(&self) -> bool {
        self.name.starts_with("lgb")
    }

    fn load(&self, precision: Precision) -> Model {
        Model::new(self.loaded(precision), Output::Value, Calibration::None).unwrap()
    }

    /// `precision` is LightGBM's to choose.
    fn loaded(&self, precision: Precision) -> Loaded {
        let loaded = if self.is_lightgbm() { lightgbm::load(&self.file, precision) } else { xgboost::load(&self.file) };
        loaded.unwrap_or_else(|fault| panic!("{}: {fault}", self.name))
    }

    /// How its trees are laid out; `None` of what is no forest.
    pub fn layout(&self, precision: Precision) -> Option<&'static str> {
        match self.loaded(precision).core {
            Core::Forest(forest) => forest.layout().split(' ').next(),
            _ => None,
        }
    }

    /// The rows that f32 holds exactly; for them a LightGBM model scores the same where its manifest declares f32.
    fn as_f32(&self) -> Case {
        let exact = |row: &[f64]| row.iter().all(|&x| x.is_nan() || f64::from(x as f32) == x);
        let kept: Vec<usize> =
            (0..self.count).filter(|&i| exact(&self.rows[i * self.features..(i + 1) * self.features])).collect();
        let pick = |from: &[f64]| {
            let width = from.len() / self.count;
            kept.iter().flat_map(|&i| from[i * width..(i + 1) * width].iter().copied()).collect()
        };
        Case {
            name: format!("{} as f32", self.name),
            file: self.file.clone(),
            features: self.features,
            rows: pick(&self.rows),
            count: kept.len(),
            raw: pick(&self.raw),
            predictions: pick(&self.predictions),
        }
    }

    /// What differs, with all rows in one batch and with each on its own; nothing when all is well.
    pub fn differences(&self) -> Vec<String> {
        let narrow = self.is_lightgbm().then(|| self.as_f32().differences_in(Precision::F32));
        [Some(self.differences_in(Precision::F64)), narrow].into_iter().flatten().flatten().collect()
    }

    fn differences_in(&self, precision: Precision) -> Option<String> {
        assert!(self.count > 3, "{} has {} rows", self.name, self.count);
        let model = self.load(precision);
        let mut scratch = Scratch::default();
        let whole = model.score(&self.rows, self.count, 0, &mut scratch);
        let mut found = self.compare("in a batch", whole.raw, whole.predictions);
        let (mut raw, mut predictions) = (Vec::new(), Vec::new());
        for row in self.rows.chunks_exact(self.features) {
            let scores = model.score(row, 1, 0, &mut scratch);
            raw.extend_from_slice(scores.raw);
            predictions.extend_from_slice(scores.predictions);
        }
        found.extend(self.compare("row by row", &raw, &predictions));
        (!found.is_empty()).then(|| format!("{}: {}", self.name, found.join("; ")))
    }

    fn compare(&self, how: &str, raw: &[f64], predictions: &[f64]) -> Vec<String> {
        [("raw", &self.raw[..], raw), ("prediction", &self.predictions[..], predictions)]
            .into_iter()
            .filter_map(|(what, theirs, ours)| {
                if theirs.len() != ours.len() {
                    return Some(format!("{how}: {} {what} values, not {}", ours.len(), theirs.len()));
                }
                let differ: Vec<usize> = (0..ours.len()).filter(|&i| !same(ours[i], theirs[i])).collect();
                let first = *differ.first()?;
                let row = first / (theirs.len() / self.count);
                let features = &self.rows[row * self.features..(row + 1) * self.features];
                Some(format!(
                    "{how}: {} of {} {what} values, first in row {row} {features:?}: {} not {}",
                    differ.len(),
                    ours.len(),
                    ours[first],
                    theirs[first]
                ))
            })
            .collect()
    }
}

/// Bit for bit; which NaN a NaN is no table says.
pub fn same(a: f64, b: f64) -> bool {
    a.to_bits() == b.to_bits() || a.is_nan() && b.is_nan()
}
