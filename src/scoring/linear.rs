//! Linear models.

use super::categories::Categories;
use super::fault::Fault;
use super::forest::Precision;
use super::link::Link;
use super::loaded::{Core, Loaded};
use serde::Deserialize;

/// Bits of the largest table of hashed weights: 64 MB.
pub const MAX_BITS: u32 = 24;
/// Columns whose weights are asked for at once.
const SIDE: usize = 64;
/// Most weights of one indexed column.
const MAX_WEIGHTS: usize = 1 << MAX_BITS;

/// XGBoost's linear booster: f32, features in order, missing ones left out.
#[derive(Debug)]
pub struct Dense {
    /// Bias and margin of each class.
    pub start: Vec<f32>,
    /// The weights of the classes, feature after feature.
    pub weights: Vec<f32>,
}

impl Dense {
    /// One row.
    pub fn score(&self, row: &[f64], raw: &mut [f64]) {
        let classes = self.start.len();
        for (class, raw) in raw.iter_mut().enumerate() {
            let terms = row.iter().zip(self.weights.chunks_exact(classes)).filter(|(x, _)| !x.is_nan());
            *raw = f64::from(terms.fold(self.start[class], |sum, (&x, weights)| sum + x as f32 * weights[class]));
        }
    }
}

/// gavel's own linear model: one f64 sum, the bias first, then the columns in order.
///
/// Its file, `weights.json` (unknown keys are refused):
///
/// ```json
/// {"format": "gavel-linear-1", "objective": "logistic", "bias": -3.2, "hash_bits": 20,
///  "columns": [{"name": "w", "weight": 0.002, "missing": 0.1},
///              {"name": "country", "weights": [0.3, -0.1], "missing": 0.0},
///              {"name": "site", "hashed": true, "missing": 0.0}],
///  "hashed": {"index": [17, 90210], "weight": [0.25, -0.5]}}
/// ```
/// A column is a number times `weight`; or an index into its own `weights`; or, `hashed`, an index into one table of
/// 2^`hash_bits` f32 weights that all hashed columns share, 0 where `hashed` names none. What is missing (NaN), and an
/// index that there is no weight for, adds `missing` (default 0); a manifest gives a column as many numbers as it has
/// `weights`. Objectives: `logistic` (1 / (1 + e^-raw)), `linear`.
#[derive(Debug)]
pub struct Hashed {
    bias: f64,
    columns: Vec<Column>,
    /// By column: how many hashed columns stand here in a row.
    runs: Vec<u32>,
    /// By column, as in `columns`.
    missing: Vec<f64>,
    /// One weight for every index; empty without hashed columns.
    table: Vec<f32>,
    pub hash_bits: u32,
}

#[derive(Debug)]
struct Column {
    missing: f64,
    weight: Weight,
}

#[derive(Debug)]
enum Weight {
    Factor(f64),
    Indexed(Vec<f64>),
    Hashed,
}

impl Column {
    /// The last index that has a weight of its own.
    fn highest(&self) -> Option<u32> {
        if let Weight::Indexed(weights) = &self.weight {
            weights.len().checked_sub(1).map(|last| last as u32)
        } else {
            None
        }
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    format: String,
    objective: String,
    bias: f64,
    #[serde(default)]
    hash_bits: u32,
    columns: Vec<FileColumn>,
    hashed: Option<Table>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct FileColumn {
    name: String,
    weight: Option<f64>,
    weights: Option<Vec<f64>>,
    #[serde(default)]
    hashed: bool,
    #[serde(default)]
    missing: f64,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Table {
    index: Vec<u32>,
    weight: Vec<f32>,
}

/// Reads `weights.json`.
pub fn load(bytes: &[u8]) -> Result<Loaded, Fault> {
    let file: File = serde_json::from_slice(bytes).map_err(|error| {
        let place = format!("line {} column {}", error.line(), error.column());
        let text = error.to_string();
        Fault::new(&*place, text.strip_suffix(&*format!(" at {place}")).unwrap_or(&text))
    })?;
    if file.format != "gavel-linear-1" {
        return Err(Fault::new("format", format!("`{:.40}` is not supported", file.format)));
    }
    let (link, probability) = match file.objective.as_str() {
        "logistic" => (Link::Sigmoid(1.0), Some(Link::Sigmoid(1.0))),
        "linear" => (Link::Identity, None),
        other => return Err(Fault::new("objective", format!("`{other:.40}` is not supported"))),
    };
    let names: Vec<String> = file.columns.iter().map(|column| column.name.clone()).collect();
    let (objective, features) = (file.objective.clone(), names.len());
    let hashed = Hashed::new(file)?;
    let highest = hashed.columns.iter().map(Column::highest).collect();
    // An index that is another one's weight, or none's, is as wrong as a category.
    let are = hashed.columns.iter().map(|column| matches!(column.weight, Weight::Indexed(_))).collect();
    let categories = Categories { highest, are, is_full: true, ..Categories::default() };
    Ok(Loaded {
        library: "gavel-linear-1".to_owned(),
        objective,
        booster: "linear".to_owned(),
        core: Core::Hashed(hashed),
        features,
        classes: 1,
        names: Some(names),
        categories,
        link,
        probability,
        best_trees: None,
        average: None,
        precision: Precision::F64,
    })
}

impl Hashed {
    fn new(file: File) -> Result<Hashed, Fault> {
        let mut columns = Vec::with_capacity(file.columns.len());
        let mut any_hashed = false;
        for column in file.columns {
            let fault = |message: &str| Fault::new(format!("column `{:.60}`", column.name), message);
            let weight = match (column.weight, column.weights, column.hashed) {
                (Some(factor), None, false) => Weight::Factor(factor),
                (None, Some(weights), false) if weights.is_empty() => return Err(fault("has no weights")),
                (None, Some(weights), false) if weights.len() <= MAX_WEIGHTS => Weight::Indexed(weights),
                (None, Some(_), false) => return Err(fault("has too many weights")),
                (None, None, true) => Weight::Hashed,
                _ => return Err(fault("needs one of `weight`, `weights` and `hashed`")),
            };
            any_hashed |= column.hashed;
            let finite = column.missing.is_finite()
                && match &weight {
                    Weight::Factor(factor) => factor.is_finite(),
                    Weight::Indexed(weights) => weights.iter().all(|weight| weight.is_finite()),
                    Weight::Hashed => true,
                };
            if !finite {
                return Err(fault("has a weight that is not finite"));
            }
            columns.push(Column { missing: column.missing, weight });
        }
        if !file.bias.is_finite() {
            return Err(Fault::new("bias", "is not finite"));
        }
        let bits_given = (1..=MAX_BITS).contains(&file.hash_bits);
        if any_hashed != bits_given || file.hashed.is_some() && !any_hashed {
            return Err(Fault::new("hash_bits", format!("is 1 to {MAX_BITS} where columns are hashed, else absent")));
        }
        let mut table = vec![0.0; if any_hashed { 1 << file.hash_bits } else { 0 }];
        if let Some(Table { index, weight }) = file.hashed {
            if index.len() != weight.len() {
                return Err(Fault::new("hashed", format!("{} indices and {} weights", index.len(), weight.len())));
            }
            let mut sorted = index.clone();
            sorted.sort_unstable();
            if let Some(twice) = sorted.windows(2).find(|pair| pair[0] == pair[1]) {
                return Err(Fault::new("hashed", format!("index {} is there twice", twice[0])));
            }
            for (place, (index, weight)) in index.into_iter().zip(weight).enumerate() {
                match table.get_mut(index as usize) {
                    Some(slot) if weight.is_finite() => *slot = weight,
                    _ => return Err(Fault::new(format!("hashed: entry {place}"), "is out of range")),
                }
            }
        }
        let mut runs = vec![0; columns.len()];
        for at in (0..columns.len()).rev().filter(|&at| matches!(columns[at].weight, Weight::Hashed)) {
            runs[at] = 1 + runs.get(at + 1).copied().unwrap_or(0);
        }
        let missing = columns.iter().map(|column| column.missing).collect();
        Ok(Hashed { bias: file.bias, columns, runs, missing, table, hash_bits: file.hash_bits })
    }

    /// Whether the column is an index into the shared table.
    pub fn is_hashed(&self, column: usize) -> bool {
        self.columns.get(column).is_some_and(|column| matches!(column.weight, Weight::Hashed))
    }

    /// The columns that all rows share are summed once: the order of the sum stays that of the columns.
    pub fn score(&self, rows: &[f64], shared: usize, raw: &mut [f64]) {
        let width = self.columns.len();
        let shared = if raw.is_empty() { 0 } else { shared.min(width) };
        let start = self.sum(self.bias, 0, &rows[..shared]);
        for (row, raw) in raw.iter_mut().enumerate() {
            *raw = self.sum(start, shared, &rows[row * width + shared..(row + 1) * width]);
        }
    }

    /// Adds the columns from `first` on. The lines of a large table come from far away: what asks for them is a loop of its
    /// own, so short that many are under way at once.
    fn sum(&self, mut sum: f64, first: usize, values: &[f64]) -> f64 {
        let mut found = [0f32; SIDE];
        let mut at = 0;
        while at < values.len() {
            let run = (self.runs[first + at] as usize).min(values.len() - at).min(SIDE);
            if run == 0 {
                sum += self.term(&self.columns[first + at], values[at]);
                at += 1;
                continue;
            }
            for (found, &value) in found.iter_mut().zip(&values[at..at + run]) {
                *found = self.table.get(index(value)).copied().unwrap_or(f32::NAN);
            }
            for (&found, &missing) in found.iter().zip(&self.missing[first + at..first + at + run]) {
                sum += if found.is_nan() { missing } else { f64::from(found) };
            }
            at += run;
        }
        sum
    }

    fn term(&self, column: &Column, value: f64) -> f64 {
        let or_missing = |weight: Option<f64>| weight.unwrap_or(column.missing);
        match &column.weight {
            Weight::Hashed => or_missing(self.table.get(index(value)).map(|&weight| f64::from(weight))),
            Weight::Indexed(weights) => or_missing(weights.get(index(value)).copied()),
            Weight::Factor(_) if value.is_nan() => column.missing,
            Weight::Factor(factor) => factor * value,
        }
    }

    /// What each column adds to a row's score, and what every score begins with.
    pub fn explain(&self, row: &[f64], out: &mut [f64]) -> f64 {
        for ((column, value), out) in self.columns.iter().zip(row).zip(out) {
            *out = self.term(column, *value);
        }
        self.bias
    }
}

/// The index that a value is; what is missing or negative is none that there is. By way of i64, for which processors have
/// an instruction.
fn index(value: f64) -> usize {
    if value >= 0.0 { value as i64 as usize } else { usize::MAX }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// However columns follow one another and wherever the shared ones end, the sum is that of the columns in order.
    #[test]
    fn runs_of_hashed_columns_add_up_in_the_columns_order() {
        let mut rng = fastrand::Rng::with_seed(20261123);
        for round in 0..200 {
            let width = rng.usize(1..200);
            let one_in = rng.usize(1..5);
            let column = |at: usize, rng: &mut fastrand::Rng| {
                let kind = match rng.usize(0..one_in) {
                    0 => "\"hashed\":true".to_owned(),
                    1 => format!("\"weights\":[{},{}]", rng.f64(), rng.f64()),
                    _ => format!("\"weight\":{}", rng.f64()),
                };
                format!("{{\"name\":\"c{at}\",{kind},\"missing\":{}}}", rng.f64())
            };
            let columns: Vec<String> = (0..width).map(|at| column(at, &mut rng)).collect();
            let any = columns.iter().any(|column| column.contains("hashed"));
            let bits =
                if any { "\"hash_bits\":3,\"hashed\":{\"index\":[1,2,5],\"weight\":[0.5,-3.25,1e-7]}," } else { "" };
            let file = format!(
                "{{\"format\":\"gavel-linear-1\",\"objective\":\"linear\",\"bias\":0.1,{bits}\"columns\":[{}]}}",
                columns.join(",")
            );
            let Core::Hashed(model) = load(file.as_bytes()).unwrap().core else { panic!("a linear model") };
            let odd = [f64::NAN, -1.0, -0.5, 0.0, 1.0, 2.7, 5.0, 8.0, 1e300];
            let shared = rng.usize(0..=width);
            let mut rows: Vec<f64> = (0..3 * width).map(|_| odd[rng.usize(0..odd.len())]).collect();
            for row in 1..3 {
                rows.copy_within(..shared, row * width);
            }
            let mut raws = [0.0; 3];
            model.score(&rows, shared, &mut raws);
            for (row, raw) in rows.chunks(width).zip(raws) {
                let sum =
                    model.columns.iter().zip(row).fold(0.1, |sum, (column, &value)| sum + model.term(column, value));
                assert_eq!(raw.to_bits(), sum.to_bits(), "round {round}");
            }
        }
    }
}
