//! The columns of a model, made of a caller's values.

use super::sources::{Caller, Value};
use super::transform::Transform;

#[derive(Debug)]
pub struct Feature {
    pub name: String,
    /// Place of the source's value among the caller's.
    pub source: usize,
    pub source_name: String,
    /// Whether it may differ between the rows of a batch.
    pub varies: bool,
    pub transform: Transform,
}

#[derive(Debug)]
pub struct Features {
    columns: Vec<Feature>,
    /// Places of the values that any column needs, each once.
    sources: Vec<usize>,
    /// The columns that the rows of a batch share, and those that differ.
    shared: Vec<usize>,
    varying: Vec<usize>,
    leading: usize,
    caller: Caller,
}

impl Features {
    pub fn new(columns: Vec<Feature>, caller: Caller) -> Features {
        let mut sources: Vec<usize> = columns.iter().map(|column| column.source).collect();
        sources.sort_unstable();
        sources.dedup();
        let leading = columns.iter().take_while(|column| !column.varies).count();
        let (varying, shared) = (0..columns.len()).partition(|&column| columns[column].varies);
        Features { columns, sources, shared, varying, leading, caller }
    }

    /// Whose values the places are of.
    pub fn caller(&self) -> Caller {
        self.caller
    }

    pub fn columns(&self) -> &[Feature] {
        &self.columns
    }

    pub fn len(&self) -> usize {
        self.columns.len()
    }

    pub fn is_empty(&self) -> bool {
        self.columns.is_empty()
    }

    /// Places of the values that are asked for: no other needs to be filled in.
    pub fn sources(&self) -> &[usize] {
        &self.sources
    }

    /// How many columns from the first on are the same in all rows of a batch: what [`super::model::Model::score`] calls
    /// shared.
    pub fn leading(&self) -> usize {
        self.leading
    }

    /// Writes the columns that all rows of a batch share into `row`.
    pub fn fill_shared(&self, values: &[Value], row: &mut [f64]) {
        self.fill(&self.shared, values, row);
    }

    /// Writes the columns that differ from row to row.
    pub fn fill_varying(&self, values: &[Value], row: &mut [f64]) {
        self.fill(&self.varying, values, row);
    }

    fn fill(&self, columns: &[usize], values: &[Value], row: &mut [f64]) {
        for &place in columns {
            let column = &self.columns[place];
            row[place] = column.transform.apply(values.get(column.source).copied().unwrap_or_default());
        }
    }
}
