//! XGBoost models, JSON and UBJSON, of versions 1.x to 3.x: `gbtree`, `dart` and `gblinear`.
//!
//! [`load`] is the way in. `file` reads what the file says, `objective` knows the objectives. Exactness, as the library
//! computes: `x < t` in f32, which is `x <= t.next_down()`; NaN goes to the default child; categories in a split's set go
//! right; the f32 sum starts from the margin of `base_score` and takes the trees in order.
//! Where versions differ (1.3 summed dart trees apart from the margin, 1.6 sent unknown categories to the default child), a
//! file's scores are those of today's library.

mod file;
mod objective;

use super::categories::{Categories, Names};
use super::fault::Fault;
use super::forest::tree::{CategorySplit, Missing, Negative, Node, Tree, Trees};
use super::forest::{Forest, Precision, Sum};
use super::loaded::{Core, Loaded};
use super::read::json::Json;
use super::read::ubjson::Ubjson;
use file::{File, RawTree};
use objective::Objective;

/// Categories at or above this are no categories to the library either: f32 cannot tell them apart.
const MAX_CATEGORY: i32 = 1 << 24;

/// Reads a model file; UBJSON is told from JSON by its second byte.
pub fn load(bytes: &[u8]) -> Result<Loaded, Fault> {
    let is_json = matches!(bytes.trim_ascii_start(), [b'{', rest @ ..] if matches!(rest.trim_ascii_start().first(), Some(b'"' | b'}')));
    let file = if is_json { File::read(Json::new(bytes))? } else { File::read(Ubjson::new(bytes))? };
    build(file)
}

fn build(file: File) -> Result<Loaded, Fault> {
    let version = file.version.iter().map(ToString::to_string).collect::<Vec<_>>().join(".");
    // The first files said none.
    if !matches!(file.version.first(), None | Some(1..=3)) {
        return Err(Fault::new("version", format!("{version:.20} is not supported: 1 to 3 are")));
    }
    let features = file.count("num_feature")?;
    let classes = file.count("num_class")?.max(file.count("num_target")?).max(1);
    if features > super::forest::MAX_FEATURES || classes > super::forest::MAX_CLASSES {
        return Err(Fault::new(
            "learner_model_param",
            format!("{features} features and {classes} classes are too many"),
        ));
    }
    let objective = Objective::find(&file.objective)?;
    let margins = file.base_score(classes)?.into_iter().map(|score| objective.margin(score)).collect::<Vec<_>>();
    if let Some(class) = margins.iter().position(|margin| !margin.is_finite()) {
        return Err(Fault::new("base_score", format!("has no finite margin for class {class}")));
    }
    let mut categories = Categories::default();
    let core = match file.booster.as_str() {
        "gbtree" | "dart" => {
            let weights = (file.booster == "dart").then_some(&file.weight_drop);
            let trees = trees(&file, features, margins, weights)?;
            categories = Categories::of_trees(&trees);
            Core::Forest(Box::new(Forest::new(&trees, Precision::F32)?))
        }
        "gblinear" => Core::Dense(dense(&file, features, margins)?),
        other => return Err(Fault::new("gradient_booster", format!("the booster `{other:.40}` is not supported"))),
    };
    let best_trees = best_trees(&file, classes);
    if !file.feature_types.is_empty() {
        categories.are = file.feature_types.iter().map(|kind| kind == "c").collect();
    }
    if !file.categories.is_empty() {
        categories.names = Names::Columns(file.categories);
    }
    let names = if file.feature_names.is_empty() { None } else { Some(file.feature_names) };
    let (link, probability) = objective.links();
    Ok(Loaded {
        library: format!("XGBoost {}", if version.is_empty() { "1.x" } else { &version }),
        objective: file.objective,
        booster: file.booster,
        core,
        features,
        classes,
        names,
        categories,
        link,
        probability,
        best_trees,
        average: None,
        precision: Precision::F32,
    })
}

/// The trees up to the best iteration, where there are more.
fn best_trees(file: &File, classes: usize) -> Option<usize> {
    let rounds = file.best_iteration?.checked_add(1)?;
    let trees = rounds.checked_mul(classes.checked_mul(file.parallel_trees.unwrap_or(1).max(1))?)?;
    (trees < file.trees.len()).then_some(trees)
}

fn trees(file: &File, features: usize, margins: Vec<f32>, weights: Option<&Vec<f32>>) -> Result<Trees, Fault> {
    let fault = |message| Err(Fault::new("gradient_booster", message));
    if file.tree_info.len() != file.trees.len() {
        return fault(format!("tree_info has {} entries for {} trees", file.tree_info.len(), file.trees.len()));
    }
    if file.num_trees.is_some_and(|count| count != file.trees.len()) {
        return fault(format!("num_trees is not the number of trees, {}", file.trees.len()));
    }
    if weights.is_some_and(|weights| weights.len() != file.trees.len()) {
        return fault(format!("weight_drop does not have a weight for each of {} trees", file.trees.len()));
    }
    let mut categories = Vec::new();
    let mut out = Vec::with_capacity(file.trees.len());
    for (number, raw) in file.trees.iter().enumerate() {
        let class = u32::try_from(file.tree_info[number]).unwrap_or(u32::MAX);
        let leaf = |value: f32| match weights {
            Some(weights) => value * weights[number],
            None => value,
        };
        let tree = tree(raw, class, leaf, &mut categories).map_err(|fault| fault.within(format!("tree {number}")))?;
        out.push(tree);
    }
    let sum = Sum::F32(margins.clone());
    let classes = margins.len();
    Ok(Trees { trees: out, features, classes, sum, negative: Negative::Unknown, categories, linear: Vec::new() })
}

fn tree(raw: &RawTree, class: u32, leaf: impl Fn(f32) -> f32, categories: &mut Vec<u32>) -> Result<Tree, Fault> {
    let count = raw.left.len();
    let lengths = [
        ("right_children", raw.right.len()),
        ("split_indices", raw.feature.len()),
        ("split_conditions", raw.at.len()),
        ("default_left", raw.default_left.len()),
    ];
    if let Some((what, length)) = lengths.into_iter().find(|(_, length)| *length != count) {
        return Err(Fault::new(what, format!("has {length} entries for {count} nodes")));
    }
    if raw.vector_leaf {
        return Err(Fault::new("", "vector leaves (multi_strategy multi_output_tree) are not supported"));
    }
    if !raw.split_type.is_empty() && raw.split_type.len() != count {
        return Err(Fault::new("split_type", format!("has {} entries for {count} nodes", raw.split_type.len())));
    }
    if let Some(kind) = raw.split_type.iter().find(|kind| !matches!(kind, 0 | 1)) {
        return Err(Fault::new("split_type", format!("{kind} is neither 0, of numbers, nor 1, of categories")));
    }
    let first = categories.len();
    let mut nodes = Vec::with_capacity(count);
    for at in 0..count {
        let (left, right, feature) = (raw.left[at], raw.right[at], raw.feature[at] as u32);
        let default_left = raw.default_left[at] != 0;
        let node = if left == -1 {
            Node::Leaf { value: f64::from(leaf(raw.at[at])) }
        } else if raw.split_type.get(at).is_some_and(|&kind| kind == 1) {
            let listed = raw.categories_of(at).map_err(|fault| fault.within(format!("node {at}")))?;
            let from = categories.len();
            if from - first + listed.len() > raw.listed() {
                return Err(Fault::new(format!("node {at}"), "its categories belong to another node too"));
            }
            for &category in listed {
                if !(0..MAX_CATEGORY).contains(&category) {
                    return Err(Fault::new(format!("node {at}"), format!("category {category} is out of range")));
                }
                categories.push(category as u32);
            }
            let listed = from..categories.len();
            Node::Category(Box::new(CategorySplit {
                feature,
                listed,
                listed_left: false,
                missing_left: default_left,
                left,
                right,
            }))
        } else {
            let missing = if default_left { Missing::Left } else { Missing::Right };
            if raw.at[at] == f32::NEG_INFINITY {
                return Err(Fault::new(format!("node {at}"), "the threshold is -inf"));
            }
            Node::AtMost { feature, at: f64::from(raw.at[at].next_down()), missing, left, right }
        };
        nodes.push(node);
    }
    Ok(Tree { class, nodes })
}

/// A linear booster: the weights of each feature's classes one after another, then the biases.
fn dense(file: &File, features: usize, margins: Vec<f32>) -> Result<super::linear::Dense, Fault> {
    let classes = margins.len();
    if file.weights.len() != (features + 1) * classes {
        let message = format!("{} weights for {features} features and {classes} classes", file.weights.len());
        return Err(Fault::new("gblinear", message));
    }
    if file.weights.iter().any(|weight| !weight.is_finite()) {
        return Err(Fault::new("gblinear", "a weight is not finite"));
    }
    let (weights, bias) = file.weights.split_at(features * classes);
    // With a margin for each class the library takes the first one for all, as of 3.2.
    let start = bias.iter().map(|bias| bias + margins[0]).collect();
    Ok(super::linear::Dense { start, weights: weights.to_vec() })
}
