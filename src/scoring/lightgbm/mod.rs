//! LightGBM models: the text file of versions 2 to 4.
//!
//! [`load`] is the way in. `text` reads keys and lists, `objective` knows the objectives. Exactness, as the library computes:
//! `x <= t` in f64; a NaN is 0 unless the split's missing type is NaN; with missing type zero, NaN and what is next to zero
//! go to the default child; a category that is listed goes left, and NaN, negative and unknown ones right; the f64 sum
//! takes the trees in order.

mod objective;
mod text;

use super::categories::{Categories, MAX_NAMES, Names};
use super::fault::Fault;
use super::forest::tree::{CategorySplit, Linear, Missing, NEAR_ZERO, Negative, Node, Tree, Trees};
use super::forest::{Forest, MAX_CLASSES, MAX_FEATURES, MAX_TREES, Precision, Sum};
use super::loaded::{Core, Loaded};
use text::{Lines, Section, Sets};

/// Reads a model file. With `Precision::F32` features are rounded to f32, as if the library had been given f32 rows.
pub fn load(bytes: &[u8], precision: Precision) -> Result<Loaded, Fault> {
    let mut lines = Lines::new(bytes)?;
    if lines.next_line() != Some("tree") {
        return Err(Fault::new("line 1", "is not `tree`: this is no LightGBM text model"));
    }
    let header = Section::read(&mut lines)?;
    let version = header.text("version").unwrap_or("v2");
    if !matches!(version, "v2" | "v3" | "v4") {
        return Err(Fault::new("version", format!("`{version:.20}` is not supported: v2 to v4 are")));
    }
    let classes = header.count("num_tree_per_iteration")?;
    let features = header.count("max_feature_idx")?.saturating_add(1);
    if classes == 0 || classes > MAX_CLASSES || features > MAX_FEATURES {
        return Err(Fault::new("the header", format!("{features} features and {classes} classes are out of range")));
    }
    let objective_text = header.text("objective").unwrap_or("custom").to_owned();
    let link = objective::find(&objective_text, classes)?;
    let names: Vec<String> = header.text("feature_names").unwrap_or("").split_whitespace().map(str::to_owned).collect();
    if names.len() != features {
        return Err(Fault::new("feature_names", format!("gives {} names for {features} features", names.len())));
    }
    let expected = header.text("tree_sizes").map(|sizes| sizes.split_whitespace().count());
    let trees = trees(&mut lines, features, classes)?;
    if expected.is_some_and(|expected| expected != trees.trees.len()) || trees.trees.len() % classes != 0 {
        let message = format!("{} trees are not what the header announces", trees.trees.len());
        return Err(Fault::new("the trees", message));
    }
    let mut categories = Categories::of_trees(&trees);
    let infos = header.text("feature_infos").unwrap_or("").split_whitespace();
    for (is, info) in categories.are.iter_mut().zip(infos) {
        // A range is of numbers, `none` of a column without a split; else all categories are listed.
        *is |= !info.starts_with('[') && info != "none";
    }
    categories.names = names_of_categories(&mut lines, &mut categories.are)?;
    let average = header.has("average_output").then_some((trees.trees.len() / classes).max(1) as f64);
    Ok(Loaded {
        library: format!("LightGBM {version}"),
        objective: objective_text,
        booster: if average.is_some() { "rf" } else { "gbdt" }.to_owned(),
        core: Core::Forest(Box::new(Forest::new(&trees, precision)?)),
        features,
        classes,
        names: Some(names),
        categories,
        link,
        probability: link.is_probability().then_some(link),
        best_trees: None,
        average,
        precision: Precision::F64,
    })
}

/// What comes after the trees: the training's parameters, then the categories of pandas' columns.
fn names_of_categories(lines: &mut Lines, are: &mut [bool]) -> Result<Names, Fault> {
    while let Some(line) = lines.next_line() {
        let parameter =
            line.strip_prefix("[categorical_feature: ").or_else(|| line.strip_prefix("[categorical_column: "));
        for column in parameter.unwrap_or("").trim_end_matches(']').split(',') {
            // It may be names instead, of columns that training picked itself.
            if let Some(is) = column.trim().parse().ok().and_then(|column: usize| are.get_mut(column)) {
                *is = true;
            }
        }
        let Some(lists) = line.strip_prefix("pandas_categorical:") else { continue };
        if lists.len() > MAX_NAMES {
            return Err(Fault::new("pandas_categorical", format!("is longer than {MAX_NAMES} bytes")));
        }
        let lists: Option<Vec<_>> = serde_json::from_str(lists)
            .map_err(|error| Fault::new("pandas_categorical", format!("is no list of lists of names: {error}")))?;
        return Ok(lists.filter(|lists| !lists.is_empty()).map_or(Names::Untold, Names::InOrder));
    }
    Ok(Names::Untold)
}

fn trees(lines: &mut Lines, features: usize, classes: usize) -> Result<Trees, Fault> {
    let (mut trees, mut categories, mut linear) = (Vec::new(), Vec::new(), Vec::new());
    loop {
        let Some(line) = lines.next_line() else {
            return Err(Fault::new("", "the file ends before `end of trees`"));
        };
        if line == "end of trees" {
            break;
        }
        if line.is_empty() {
            continue;
        }
        let number = trees.len();
        if line.strip_prefix("Tree=").and_then(|n| n.parse().ok()) != Some(number) {
            return Err(Fault::new(lines.place(), format!("expected `Tree={number}` or `end of trees`")));
        }
        if number == MAX_TREES {
            return Err(Fault::new(lines.place(), format!("more than {MAX_TREES} trees")));
        }
        let section = Section::read(lines)?;
        let nodes = tree(&section, &mut categories, &mut linear);
        let nodes = nodes.map_err(|fault| fault.within(format!("tree {number}")))?;
        trees.push(Tree { class: (number % classes) as u32, nodes });
    }
    Ok(Trees { trees, features, classes, sum: Sum::F64, negative: Negative::Cut, categories, linear })
}

/// Splits come first, in the file's order, then the leaves.
fn tree(section: &Section, categories: &mut Vec<u32>, linear: &mut Vec<Linear>) -> Result<Vec<Node>, Fault> {
    let leaves = section.count("num_leaves")?;
    let values: Vec<f64> = section.list("leaf_value", leaves)?;
    let splits = leaves.checked_sub(1).ok_or_else(|| Fault::new("num_leaves", "is 0"))?;
    let features: Vec<u32> = section.list("split_feature", splits)?;
    let thresholds: Vec<f64> = section.list("threshold", splits)?;
    let decisions: Vec<u8> = section.list("decision_type", splits)?;
    let left: Vec<i32> = section.list("left_child", splits)?;
    let right: Vec<i32> = section.list("right_child", splits)?;
    // A negative child is a leaf; its number is the complement.
    let child = |child: i32| if child < 0 { (!child).saturating_add(splits as i32) } else { child };
    let mut sets = Sets::read(section)?;
    let mut nodes = Vec::with_capacity(splits + leaves);
    for at in 0..splits {
        let fault = |message: String| Fault::new(format!("split {at}"), message);
        // Beyond the splits lie the leaves, which only a negative number means.
        if left[at] >= splits as i32 || right[at] >= splits as i32 {
            return Err(fault(format!("child {} of {splits} splits", left[at].max(right[at]))));
        }
        let (left, right) = (child(left[at]), child(right[at]));
        let missing_left = decisions[at] & 2 != 0;
        if decisions[at] & 1 != 0 {
            let from = categories.len();
            sets.take(thresholds[at], categories).map_err(|f| f.within(format!("split {at}")))?;
            nodes.push(Node::Category(Box::new(CategorySplit {
                feature: features[at],
                listed: from..categories.len(),
                listed_left: true,
                missing_left: false,
                left,
                right,
            })));
            continue;
        }
        let missing = match (decisions[at] >> 2, missing_left) {
            (0, _) => Missing::Zero,
            (1, false) => Missing::ZeroRight,
            (1, true) => Missing::ZeroLeft,
            (2, false) => Missing::Right,
            (2, true) => Missing::Left,
            _ => return Err(fault(format!("decision type {}", decisions[at]))),
        };
        nodes.push(Node::AtMost { feature: features[at], at: off_zero(thresholds[at]), missing, left, right });
    }
    if section.text("is_linear") == Some("1") {
        let first = linear.len() as u32;
        linear.extend(formulas(section, &values)?);
        nodes.extend((0..leaves as u32).map(|leaf| Node::LinearLeaf { linear: first + leaf }));
    } else {
        if let Some((leaf, value)) = values.iter().enumerate().find(|(_, value)| !value.is_finite()) {
            return Err(Fault::new(format!("leaf {leaf}"), format!("its value is {value}")));
        }
        nodes.extend(values.into_iter().map(|value| Node::Leaf { value }));
    }
    Ok(nodes)
}

/// The library takes a value next to zero for zero before it compares it. A threshold among such values therefore decides
/// them all alike, as one at their edge does.
fn off_zero(at: f64) -> f64 {
    let edge = f64::from(NEAR_ZERO);
    match at {
        at if (0.0..edge).contains(&at) => edge,
        at if (-edge..0.0).contains(&at) => (-edge).next_down(),
        at => at,
    }
}

fn formulas(section: &Section, values: &[f64]) -> Result<Vec<Linear>, Fault> {
    let leaves = values.len();
    let constants: Vec<f64> = section.list("leaf_const", leaves)?;
    let counts: Vec<usize> = section.list("num_features", leaves)?;
    let total = counts.iter().try_fold(0usize, |sum, &count| sum.checked_add(count));
    let total = total.ok_or_else(|| Fault::new("num_features", "overflows"))?;
    let features: Vec<u32> = section.list("leaf_features", total)?;
    let factors: Vec<f64> = section.list("leaf_coeff", total)?;
    let mut terms = features.into_iter().zip(factors);
    let leaf = |((&constant, &fallback), count): ((&f64, &f64), usize)| Linear {
        constant,
        fallback,
        terms: terms.by_ref().take(count).collect(),
    };
    Ok(constants.iter().zip(values).zip(counts).map(leaf).collect())
}
