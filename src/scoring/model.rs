//! A model ready to score: immutable, shared between threads, without allocation once a scratch has grown.

use super::calibration::Calibration;
use super::fault::Fault;
use super::forest;
use super::link::Link;
use super::loaded::{Core, Loaded};

/// What a prediction is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Output {
    Probability,
    /// What the library predicts.
    Value,
    /// The raw scores themselves.
    Margin,
}

#[derive(Debug)]
pub struct Model {
    loaded: Loaded,
    link: Link,
    /// What raw scores are divided by before the link.
    average: Option<f64>,
    calibration: Calibration,
}

/// Room for one batch; belongs to one thread.
#[derive(Debug, Default)]
pub struct Scratch {
    forest: forest::Scratch,
    raw: Vec<f64>,
    predictions: Vec<f64>,
}

impl Scratch {
    /// Of the batch that was scored last.
    pub fn predictions(&self) -> &[f64] {
        &self.predictions
    }
}

/// The scores of a batch: the classes of one row after another.
#[derive(Clone, Copy, Debug)]
pub struct Scores<'s> {
    pub raw: &'s [f64],
    pub predictions: &'s [f64],
}

impl Model {
    pub fn new(loaded: Loaded, output: Output, calibration: Calibration) -> Result<Model, Fault> {
        let link = match (output, &calibration) {
            (Output::Margin, Calibration::None) => Link::Identity,
            (Output::Margin, _) => return Err(Fault::new("output", "a margin is not calibrated")),
            (Output::Value, Calibration::None) => loaded.link,
            (Output::Value, _) => return Err(Fault::new("output", "only a probability is calibrated")),
            (Output::Probability, Calibration::None) => loaded.probability.ok_or_else(|| {
                Fault::new("output", format!("the objective `{}` gives no probability", loaded.objective))
            })?,
            (Output::Probability, _) if loaded.classes == 1 => Link::Identity,
            (Output::Probability, _) => {
                return Err(Fault::new("calibration", format!("{} classes cannot be calibrated", loaded.classes)));
            }
        };
        let as_library = output != Output::Margin && calibration == Calibration::None;
        let average = if as_library { loaded.average } else { None };
        Ok(Model { loaded, link, average, calibration })
    }

    /// Columns of a row.
    pub fn features(&self) -> usize {
        self.loaded.features
    }

    /// Raw scores of a row.
    pub fn classes(&self) -> usize {
        self.loaded.classes
    }

    /// Predictions of a row: as many as raw scores, or one where the library predicts the class itself.
    pub fn predictions(&self) -> usize {
        self.link.predictions(self.loaded.classes)
    }

    pub fn link(&self) -> Link {
        self.link
    }

    pub fn calibration(&self) -> &Calibration {
        &self.calibration
    }

    pub fn loaded(&self) -> &Loaded {
        &self.loaded
    }

    /// What each column added to the raw score of the one row that was scored last with this scratch, and what every
    /// score begins with: together they are the raw score. `None` where the model does not say.
    pub fn explain(&self, row: &[f64], scratch: &Scratch, out: &mut Vec<f64>) -> Option<f64> {
        out.clear();
        out.resize(self.features(), 0.0);
        match &self.loaded.core {
            Core::Forest(forest) => forest.explain(&scratch.forest, out),
            Core::Hashed(hashed) => Some(hashed.explain(row, out)),
            Core::Dense(_) => None,
        }
    }

    /// Scores `count` rows of already transformed features, one row after another. NaN is missing. The first `shared`
    /// columns are the same in all rows. A row's scores do not depend on the rows beside it.
    ///
    /// # Panics
    /// If `rows` is not `count` rows long.
    pub fn score<'s>(&self, rows: &[f64], count: usize, shared: usize, scratch: &'s mut Scratch) -> Scores<'s> {
        assert_eq!(rows.len(), count * self.features(), "the rows of a batch");
        let (classes, width) = (self.classes(), self.predictions());
        scratch.raw.resize(count * classes, 0.0);
        scratch.predictions.resize(count * width, 0.0);
        match &self.loaded.core {
            Core::Forest(forest) => forest.score(rows, &mut scratch.raw, &mut scratch.forest),
            Core::Dense(dense) => {
                let raws = scratch.raw.chunks_exact_mut(classes);
                raws.enumerate().for_each(|(i, raw)| dense.score(&rows[i * self.features()..][..self.features()], raw));
            }
            Core::Hashed(hashed) => hashed.score(rows, shared, &mut scratch.raw),
        }
        let raws = scratch.raw.chunks_exact(classes);
        for (raw, out) in raws.zip(scratch.predictions.chunks_exact_mut(width)) {
            self.link.apply(raw, self.average, out);
            self.calibration.apply(out);
        }
        Scores { raw: &scratch.raw, predictions: &scratch.predictions }
    }
}
