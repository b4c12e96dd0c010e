//! The columns of a model, made of a caller's values.

use super::sources::{Caller, Value};
use super::transform::{Hash, Transform};

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
    shared: Plan,
    varying: Plan,
    leading: usize,
    caller: Caller,
}

/// Columns to fill in. Hashed ones are many where there are any: a loop of their own decides nothing for each.
#[derive(Debug, Default)]
struct Plan {
    columns: Vec<usize>,
    hashed: Vec<HashedColumn>,
}

#[derive(Clone, Copy, Debug)]
struct HashedColumn {
    column: u32,
    source: u32,
    hash: Hash,
}

impl Plan {
    fn new(columns: &[Feature], varies: bool) -> Plan {
        let mut plan = Plan::default();
        for (place, column) in columns.iter().enumerate().filter(|(_, column)| column.varies == varies) {
            match column.transform {
                Transform::Hash(hash) => {
                    let (column, source) = (place as u32, column.source as u32);
                    plan.hashed.push(HashedColumn { column, source, hash });
                }
                _ => plan.columns.push(place),
            }
        }
        plan
    }
}

impl Features {
    pub fn new(columns: Vec<Feature>, caller: Caller) -> Features {
        let mut sources: Vec<usize> = columns.iter().map(|column| column.source).collect();
        sources.sort_unstable();
        sources.dedup();
        let leading = columns.iter().take_while(|column| !column.varies).count();
        let [shared, varying] = [false, true].map(|varies| Plan::new(&columns, varies));
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

    fn fill(&self, plan: &Plan, values: &[Value], row: &mut [f64]) {
        for &place in &plan.columns {
            let column = &self.columns[place];
            row[place] = column.transform.apply(values.get(column.source).copied().unwrap_or_default());
        }
        for &HashedColumn { column, source, hash } in &plan.hashed {
            row[column as usize] = values.get(source as usize).map_or(f64::NAN, |value| hash.of(value));
        }
    }
}
