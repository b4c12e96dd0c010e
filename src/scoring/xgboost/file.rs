//! What an XGBoost file says, in either encoding.

use crate::scoring::categories::MAX_NAMES;
use crate::scoring::fault::Fault;
use crate::scoring::forest::{MAX_FEATURES, MAX_TREES};
use crate::scoring::manifest::Scalar;
use crate::scoring::read::{Kind, Read};

/// An object of parameters has a dozen; more is no model's.
const MAX_PARAMS: usize = 256;

#[derive(Debug, Default)]
pub struct File {
    pub version: Vec<i32>,
    pub booster: String,
    pub objective: String,
    pub feature_names: Vec<String>,
    /// `c` for categories, else a kind of number.
    pub feature_types: Vec<String>,
    /// Names of each column's categories, by their numbers; from 3.1 on, where training had them.
    pub categories: Vec<Vec<Scalar>>,
    pub trees: Vec<RawTree>,
    pub tree_info: Vec<i32>,
    pub num_trees: Option<usize>,
    /// Trees of each class in one iteration.
    pub parallel_trees: Option<usize>,
    /// Where training stopped early: the number of the iteration, from 0, that was best.
    pub best_iteration: Option<usize>,
    pub weight_drop: Vec<f32>,
    /// Of the linear booster.
    pub weights: Vec<f32>,
    /// `learner_model_param`: names and texts.
    params: Vec<(String, String)>,
}

#[derive(Debug, Default)]
pub struct RawTree {
    pub left: Vec<i32>,
    pub right: Vec<i32>,
    pub feature: Vec<i32>,
    /// Thresholds, and values of leaves.
    pub at: Vec<f32>,
    pub default_left: Vec<i32>,
    pub split_type: Vec<i32>,
    pub vector_leaf: bool,
    categories: Vec<i32>,
    categories_nodes: Vec<i32>,
    categories_segments: Vec<i32>,
    categories_sizes: Vec<i32>,
}

impl RawTree {
    /// How many categories all splits list together.
    pub fn listed(&self) -> usize {
        self.categories.len()
    }

    /// The categories that the split at this node lists.
    pub fn categories_of(&self, node: usize) -> Result<&[i32], Fault> {
        let place = self.categories_nodes.binary_search(&(node as i32));
        let range = place.ok().and_then(|place| {
            let from = usize::try_from(*self.categories_segments.get(place)?).ok()?;
            let count = usize::try_from(*self.categories_sizes.get(place)?).ok()?;
            self.categories.get(from..from.checked_add(count)?)
        });
        range.ok_or_else(|| Fault::new("categories", "are missing or out of range"))
    }
}

impl File {
    pub fn read<R: Read>(mut read: R) -> Result<File, Fault> {
        let mut file = File::default();
        let mut learner = false;
        read.object(|read, key| match key {
            "version" => {
                file.version = read.ints()?;
                Ok(())
            }
            "learner" => {
                learner = true;
                file.learner(read)
            }
            _ => read.skip(),
        })?;
        read.end()?;
        if !learner {
            return Err(Fault::new("", "there is no `learner`: this is no XGBoost model"));
        }
        Ok(file)
    }

    fn learner<R: Read>(&mut self, read: &mut R) -> Result<(), Fault> {
        read.object(|read, key| match key {
            "learner_model_param" => {
                self.params = params(read)?;
                Ok(())
            }
            "objective" => read.object(|read, key| {
                if key == "name" {
                    self.objective = read.text()?;
                    return Ok(());
                }
                read.skip()
            }),
            "feature_names" => texts(read, key, &mut self.feature_names),
            "feature_types" => texts(read, key, &mut self.feature_types),
            "gradient_booster" => self.booster(read),
            // Whatever a user or a wrapper noted.
            "attributes" => read.object(|read, key| {
                if key == "best_iteration" && read.kind()? == Kind::Text {
                    self.best_iteration = read.text()?.parse().ok();
                    return Ok(());
                }
                read.skip()
            }),
            _ => read.skip(),
        })
    }

    fn booster<R: Read>(&mut self, read: &mut R) -> Result<(), Fault> {
        read.object(|read, key| match key {
            "name" => {
                self.booster = read.text()?;
                Ok(())
            }
            "model" => self.model(read),
            // A dart booster holds a tree booster.
            "gbtree" => read.object(|read, key| if key == "model" { self.model(read) } else { read.skip() }),
            "weight_drop" => {
                self.weight_drop = read.floats()?;
                Ok(())
            }
            _ => read.skip(),
        })
    }

    fn model<R: Read>(&mut self, read: &mut R) -> Result<(), Fault> {
        read.object(|read, key| match key {
            "trees" => {
                self.trees.clear();
                read.array(|read| {
                    if self.trees.len() == MAX_TREES {
                        return Err(read.fault(format!("more than {MAX_TREES} trees")));
                    }
                    let tree = RawTree::read(read).map_err(|fault| fault.within(format!("tree {}", self.trees.len())));
                    self.trees.push(tree?);
                    Ok(())
                })
            }
            "tree_info" => {
                self.tree_info = read.ints()?;
                Ok(())
            }
            "gbtree_model_param" => {
                for (name, count) in params(read)? {
                    match name.as_str() {
                        "num_trees" => self.num_trees = count.parse().ok(),
                        "num_parallel_tree" => self.parallel_trees = count.parse().ok(),
                        _ => {}
                    }
                }
                Ok(())
            }
            "cats" => self.categories(read).map_err(|fault| fault.within("cats")),
            "weights" => {
                self.weights = read.floats()?;
                Ok(())
            }
            _ => read.skip(),
        })
    }

    /// `enc` has an entry for each column: texts, one after another in `values`, with their `offsets`; or numbers; or nothing.
    fn categories<R: Read>(&mut self, read: &mut R) -> Result<(), Fault> {
        self.categories.clear();
        let mut room = MAX_NAMES;
        read.object(|read, key| {
            if key != "enc" {
                return read.skip();
            }
            read.array(|read| {
                if self.categories.len() == MAX_FEATURES {
                    return Err(Fault::new("enc", format!("has more than {MAX_FEATURES}")));
                }
                let (mut offsets, mut values) = (None, Vec::new());
                read.object(|read, key| {
                    match key {
                        "offsets" => offsets = Some(wholes(read, &mut room)?),
                        "values" => values = wholes(read, &mut room)?,
                        _ => read.skip()?,
                    }
                    Ok(())
                })?;
                let names = match offsets {
                    // As of 3.2 the library counts characters where offsets are of bytes: its names are garbled then.
                    Some(_) if !values.iter().all(|byte| (0..128).contains(byte)) => Some(Vec::new()),
                    Some(offsets) => names(&offsets, &values),
                    None => Some(values.into_iter().map(|value| Scalar::Number(value as f64)).collect()),
                };
                let column = self.categories.len();
                self.categories.push(names.ok_or_else(|| Fault::new(format!("column {column}"), "are no texts"))?);
                Ok(())
            })
        })
    }

    fn param(&self, name: &str) -> Option<&str> {
        self.params.iter().find(|(key, _)| key == name).map(|(_, text)| text.as_str())
    }

    /// A count among the parameters; one that is absent is 0.
    pub fn count(&self, name: &str) -> Result<usize, Fault> {
        let text = self.param(name).unwrap_or("0");
        text.parse().map_err(|_| Fault::new(name, format!("`{text:.20}` is no count")))
    }

    /// The base score of each class: `5E-1` up to 3.0, `[5E-1]` from 3.1 on; one stands for all.
    pub fn base_score(&self, classes: usize) -> Result<Vec<f32>, Fault> {
        let text = self.param("base_score").unwrap_or("5E-1");
        let fault = || Fault::new("base_score", format!("`{text:.60}` does not give {classes} number(s)"));
        let inner = text.trim().strip_prefix('[').and_then(|text| text.strip_suffix(']')).unwrap_or(text);
        let scores: Result<Vec<f32>, _> = inner.split(',').map(|number| number.trim().parse()).collect();
        let scores = scores.map_err(|_| fault())?;
        match scores.len() {
            1 => Ok(vec![scores[0]; classes]),
            count if count == classes => Ok(scores),
            _ => Err(fault()),
        }
    }
}

impl RawTree {
    fn read<R: Read>(read: &mut R) -> Result<RawTree, Fault> {
        let mut tree = RawTree::default();
        let mut count = None;
        read.object(|read, key| {
            match key {
                "left_children" => tree.left = read.ints()?,
                "right_children" => tree.right = read.ints()?,
                "split_indices" => tree.feature = read.ints()?,
                "split_conditions" => tree.at = read.floats()?,
                "default_left" => tree.default_left = read.ints()?,
                "split_type" => tree.split_type = read.ints()?,
                "categories" => tree.categories = read.ints()?,
                "categories_nodes" => tree.categories_nodes = read.ints()?,
                "categories_segments" => tree.categories_segments = read.ints()?,
                "categories_sizes" => tree.categories_sizes = read.ints()?,
                "tree_param" => {
                    for (name, text) in params(read)? {
                        match name.as_str() {
                            "size_leaf_vector" => tree.vector_leaf = !matches!(text.as_str(), "0" | "1"),
                            "num_nodes" => count = text.parse::<usize>().ok(),
                            _ => {}
                        }
                    }
                }
                _ => read.skip()?,
            }
            Ok(())
        })?;
        if count.is_some_and(|count| count != tree.left.len()) {
            return Err(Fault::new("num_nodes", format!("is not the number of nodes, {}", tree.left.len())));
        }
        Ok(tree)
    }
}

fn texts<R: Read>(read: &mut R, key: &str, out: &mut Vec<String>) -> Result<(), Fault> {
    out.clear();
    read.array(|read| {
        if out.len() == MAX_FEATURES {
            return Err(Fault::new(key, format!("has more than {MAX_FEATURES}")));
        }
        out.push(read.text()?);
        Ok(())
    })
}

/// Whole numbers, as long as there is room for them.
fn wholes<R: Read>(read: &mut R, room: &mut usize) -> Result<Vec<i64>, Fault> {
    let mut out = Vec::new();
    read.array(|read| {
        *room = room.checked_sub(1).ok_or_else(|| read.fault(format!("more than {MAX_NAMES} numbers")))?;
        out.push(read.int()?);
        Ok(())
    })?;
    Ok(out)
}

/// The texts between the offsets.
fn names(offsets: &[i64], values: &[i64]) -> Option<Vec<Scalar>> {
    let bytes: Vec<u8> = values.iter().map(|value| *value as u8).collect();
    let text = |pair: &[i64]| {
        let range = usize::try_from(pair[0]).ok()?..usize::try_from(pair[1]).ok()?;
        Some(Scalar::Text(std::str::from_utf8(bytes.get(range)?).ok()?.to_owned()))
    };
    offsets.windows(2).map(text).collect()
}

/// An object of texts; numbers among them are taken as they are written, anything else is left out.
fn params<R: Read>(read: &mut R) -> Result<Vec<(String, String)>, Fault> {
    let mut params = Vec::new();
    read.object(|read, key| {
        let text = match read.kind()? {
            Kind::Text => read.text()?,
            Kind::Number => read.float()?.to_string(),
            _ => return read.skip(),
        };
        if params.len() == MAX_PARAMS {
            return Err(Fault::new("", format!("an object of parameters has more than {MAX_PARAMS}")));
        }
        params.push((key.to_owned(), text));
        Ok(())
    })?;
    Ok(params)
}
