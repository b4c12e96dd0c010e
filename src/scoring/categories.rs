//! What a model file tells of its categories, held against the manifest's. In another order they would score wrong without a
//! sign: golden rows come after the transforms.

use super::fault::Fault;
use super::features::Feature;
use super::forest::tree::{Node, Trees};
use super::manifest::Scalar;
use super::transform::{Listed, Transform};

/// Bytes, or entries, of lists of names that are read: a manifest that could agree has no room for more.
pub const MAX_NAMES: usize = 4 << 20;
/// Names that a message gives.
const SHOWN: usize = 8;

#[derive(Debug, Default)]
pub struct Categories {
    /// By column, as far as the file says: whether its numbers are categories.
    pub are: Vec<bool>,
    /// By column: the highest number of a category that the model knows.
    pub highest: Vec<Option<u32>>,
    /// Whether the model knows every category up to the highest, so that no other is any good.
    pub is_full: bool,
    pub names: Names,
}

/// The names of categories, in the order of their numbers.
#[derive(Debug, Default)]
pub enum Names {
    #[default]
    Untold,
    /// Of each column; none where there are none, or none are told.
    Columns(Vec<Vec<Scalar>>),
    /// Of some columns, in their order: LightGBM's `pandas_categorical`.
    InOrder(Vec<Vec<Scalar>>),
}

impl Categories {
    /// Those that the splits of trees name.
    pub fn of_trees(trees: &Trees) -> Categories {
        let mut highest = vec![None; trees.features];
        for node in trees.trees.iter().flat_map(|tree| &tree.nodes) {
            let Node::Category(split) = node else { continue };
            let listed = trees.categories.get(split.listed.clone()).unwrap_or_default();
            if let Some(known) = highest.get_mut(split.feature as usize) {
                *known = listed.iter().copied().max().max(*known);
            }
        }
        let are = highest.iter().map(Option::is_some).collect();
        Categories { are, highest, is_full: false, names: Names::Untold }
    }

    /// The features with `categories` whose order the file does not tell. Refuses those whose order is another.
    pub fn check(&self, columns: &[Feature]) -> Result<Vec<String>, Fault> {
        for (at, column) in columns.iter().enumerate() {
            let place = |fault: Fault| fault.within(feature(column));
            self.check_range(at, &column.transform).map_err(place)?;
            if let Names::Columns(lists) = &self.names
                && let Some(list) = lists.get(at).filter(|list| !list.is_empty())
            {
                fits(list, &column.transform).map_err(place)?;
            }
        }
        let told = match &self.names {
            Names::Untold => Vec::new(),
            Names::Columns(lists) => lists.iter().map(|list| !list.is_empty()).collect(),
            Names::InOrder(lists) => self.check_in_order(lists, columns)?,
        };
        let has_list = |column: &Feature| matches!(column.transform, Transform::Category(_));
        let untold = columns.iter().enumerate().filter(|(at, column)| has_list(column) && told.get(*at) != Some(&true));
        Ok(untold.map(|(_, column)| column.name.clone()).collect())
    }

    fn is(&self, at: usize) -> bool {
        self.are.get(at).is_some_and(|is| *is)
    }

    /// Whether a column can have the numbers that the model knows as categories.
    fn check_range(&self, at: usize, transform: &Transform) -> Result<(), Fault> {
        let (key, most) = match transform {
            Transform::Category(listed) => ("categories", listed.len() as u64 - 1),
            Transform::In(_) => ("values", 1),
            Transform::Bucket { edges } => ("edges", edges.len() as u64),
            Transform::Hash(hash) => ("bits", (1 << hash.bits) - 1),
            Transform::Log1p if self.is(at) => return Err(Fault::new("transform", "a logarithm is no category")),
            Transform::Numeric { .. } if self.is(at) && self.is_full => {
                return Err(Fault::new(
                    "transform",
                    "the model takes an index: `category`, `bucket` and `in` give one",
                ));
            }
            Transform::Log1p | Transform::Numeric { .. } => return Ok(()),
        };
        match self.highest.get(at).copied().flatten() {
            Some(known) if u64::from(known) > most => {
                Err(Fault::new(key, format!("the model knows its category {known}, the manifest's end at {most}")))
            }
            Some(known) if u64::from(known) < most && self.is_full => {
                Err(Fault::new(key, format!("the manifest's end at {most}, the model has weights up to {known}")))
            }
            _ => Ok(()),
        }
    }

    /// Which columns the lists are of. The library gives one to each column of pandas' categories: those that it splits by
    /// category, which are known, and ordered ones, which it splits as numbers. A column that was named as one of
    /// categories and is none to pandas has no list.
    fn check_in_order(&self, lists: &[Vec<Scalar>], columns: &[Feature]) -> Result<Vec<bool>, Fault> {
        let known = self.are.iter().filter(|is| **is).count();
        let (mut others, mut without) = (lists.len().saturating_sub(known), known.saturating_sub(lists.len()));
        let mut told = vec![false; columns.len()];
        let mut lists = lists.iter().peekable();
        for (at, column) in columns.iter().enumerate() {
            let Some(list) = lists.peek() else { break };
            let fitting = fits(list, &column.transform);
            match (self.is(at), fitting) {
                (true, Err(fault)) if without == 0 => return Err(fault.within(feature(column))),
                (true, Err(_)) => {
                    without -= 1;
                    continue;
                }
                (false, Ok(())) if others > 0 && matches!(column.transform, Transform::Category(_)) => others -= 1,
                (true, Ok(())) => {}
                (false, _) => continue,
            }
            told[at] = true;
            lists.next();
        }
        match lists.next() {
            Some(list) => {
                let message = format!("no feature has the categories {} in this order", shown(list));
                Err(Fault::new("features", message))
            }
            None => Ok(told),
        }
    }
}

fn feature(column: &Feature) -> String {
    format!("feature `{:.60}`", column.name)
}

/// Whether the transform gives each category the number that it has in the model.
fn fits(list: &[Scalar], transform: &Transform) -> Result<(), Fault> {
    let Transform::Category(listed) = transform else {
        // Numbers that are their own places need no list.
        let is_own = |(at, name): (usize, &Scalar)| number(name) == Some(at as f64);
        if list.iter().enumerate().all(is_own) {
            return Ok(());
        }
        let message = format!("the model takes categories, {}: `category` gives their places", shown(list));
        return Err(Fault::new("transform", message));
    };
    let fault = |message| Err(Fault::new("categories", format!("{message}; the model's are {}", shown(list))));
    for (at, name) in list.iter().enumerate() {
        match place(listed, name) {
            Some(place) if place as usize == at => {}
            Some(place) => return fault(format!("{} is number {place}, in the model {at}", show(name))),
            None => return fault(format!("{}, number {at} in the model, is missing", show(name))),
        }
    }
    if listed.len() > list.len() {
        return fault(format!("there are {}, in the model {}", listed.len(), list.len()));
    }
    Ok(())
}

/// Training may have had numbers as texts, and texts as numbers: `1` is `1` or `1.0` then.
fn place(listed: &Listed, name: &Scalar) -> Option<u32> {
    let as_text = match name {
        Scalar::Text(text) => listed.text_place(text),
        Scalar::Number(number) => {
            [format!("{number}"), format!("{number:?}")].iter().find_map(|n| listed.text_place(n))
        }
        Scalar::Bool(_) => None,
    };
    as_text.or_else(|| listed.number_place(number(name)?))
}

fn number(name: &Scalar) -> Option<f64> {
    match name {
        Scalar::Text(text) => text.trim().parse().ok(),
        Scalar::Bool(yes) => Some(f64::from(u8::from(*yes))),
        Scalar::Number(number) => Some(*number),
    }
}

fn show(name: &Scalar) -> String {
    match name {
        Scalar::Text(text) => format!("`{text:.40}`"),
        Scalar::Bool(yes) => yes.to_string(),
        Scalar::Number(number) => number.to_string(),
    }
}

fn shown(list: &[Scalar]) -> String {
    let names: Vec<String> = list.iter().take(SHOWN).map(show).collect();
    let more = list.len().saturating_sub(SHOWN);
    if more == 0 { names.join(", ") } else { format!("{} and {more} more", names.join(", ")) }
}
