//! XGBoost's JSON, tree boosters only.

use serde_json::Value;

use crate::traps::Trap;

pub struct Model {
    trees: Vec<Tree>,
    margins: Vec<f32>,
    objective: String,
}

struct Tree {
    class: usize,
    weight: Option<f32>,
    nodes: Vec<Node>,
}

struct Node {
    left: i64,
    right: i64,
    feature: usize,
    at: f32,
    default_left: bool,
    categories: Option<Vec<i64>>,
}

fn numbers(value: &Value) -> Vec<f64> {
    let number = |value: &Value| value.as_f64().unwrap_or_else(|| f64::from(u8::from(value == &Value::Bool(true))));
    value.as_array().map_or(Vec::new(), |list| list.iter().map(number).collect())
}

fn f32_of(value: f64) -> f32 {
    value as f32
}

impl Model {
    pub fn read(file: &Value, trap: Trap) -> Model {
        let learner = &file["learner"];
        let params = &learner["learner_model_param"];
        let count = |key: &str| params[key].as_str().map_or(0, |text| text.parse::<usize>().unwrap());
        let classes = count("num_class").max(count("num_target")).max(1);
        let objective = learner["objective"]["name"].as_str().unwrap().to_owned();
        let text = params["base_score"].as_str().unwrap();
        let mut scores: Vec<f32> = text.trim_matches(['[', ']']).split(',').map(|n| n.parse().unwrap()).collect();
        if scores.len() == 1 || trap == Trap::OneBaseScoreForAll {
            scores = vec![scores[0]; classes];
        }
        let margin = |score: f32| match objective.as_str() {
            _ if trap == Trap::BaseScoreIsMargin => score,
            "binary:logistic" | "reg:logistic" => -(1.0 / score - 1.0).ln(),
            "count:poisson" | "reg:gamma" | "reg:tweedie" | "survival:cox" => score.ln(),
            _ => score,
        };
        let booster = &learner["gradient_booster"];
        let weights = booster.get("weight_drop").map(numbers);
        let model = &booster.get("gbtree").unwrap_or(booster)["model"];
        let classes_of = numbers(&model["tree_info"]);
        let trees = model["trees"].as_array().unwrap().iter().enumerate().map(|(at, tree)| Tree {
            class: classes_of[at] as usize,
            weight: weights.as_ref().map(|weights| f32_of(weights[at])),
            nodes: nodes(tree),
        });
        Model { trees: trees.collect(), margins: scores.into_iter().map(margin).collect(), objective }
    }

    pub fn score(&self, row: &[f64], trap: Trap) -> (Vec<f64>, Vec<f64>) {
        let mut raw: Vec<f32> = self.margins.clone();
        let mut wide: Vec<f64> = self.margins.iter().map(|&margin| f64::from(margin)).collect();
        let mut from_zero = vec![0.0f32; raw.len()];
        let mut order: Vec<&Tree> = self.trees.iter().collect();
        if trap == Trap::SumInReverse {
            order.reverse();
        }
        for tree in order {
            let (leaf, margin) = (tree.leaf(row, trap), self.margins[tree.class]);
            let value = match tree.weight {
                Some(_) if trap == Trap::DartWithoutWeights => leaf,
                Some(weight) if trap == Trap::DartMarginAndBack => ((margin + leaf) - margin) * weight,
                Some(weight) => leaf * weight,
                None => leaf,
            };
            raw[tree.class] += value;
            from_zero[tree.class] += value;
            wide[tree.class] += f64::from(value);
        }
        match trap {
            Trap::SumInF64 => raw = wide.into_iter().map(f32_of).collect(),
            Trap::SumFromZero => raw = from_zero.iter().zip(&self.margins).map(|(sum, margin)| sum + margin).collect(),
            _ => {}
        }
        let predictions = self.predictions(&raw, trap);
        (raw.into_iter().map(f64::from).collect(), predictions)
    }

    fn predictions(&self, raw: &[f32], trap: Trap) -> Vec<f64> {
        let each = |f: &dyn Fn(f32) -> f32| raw.iter().map(|&x| f64::from(f(x))).collect();
        let most = raw.iter().fold(f32::NEG_INFINITY, |most, &x| most.max(x));
        match self.objective.as_str() {
            "binary:logistic" | "reg:logistic" if trap == Trap::SigmoidNotClamped => {
                each(&|x| 1.0 / (1.0 + (-x).exp()))
            }
            "binary:logistic" | "reg:logistic" => each(&|x| 1.0 / (1.0 + (-x).min(88.7).exp())),
            "count:poisson" | "reg:gamma" | "reg:tweedie" | "survival:cox" => each(&f32::exp),
            "binary:hinge" => each(&|x| f32::from(u8::from(x > 0.0))),
            "multi:softmax" => vec![raw.iter().position(|&x| x == most).unwrap() as f64],
            "multi:softprob" if trap == Trap::SoftmaxInF64 => {
                let e: Vec<f64> = raw.iter().map(|&x| f64::from(x - most).exp()).collect();
                let sum: f64 = e.iter().sum();
                e.iter().map(|e| f64::from(f32_of(e / sum))).collect()
            }
            "multi:softprob" => {
                let e: Vec<f32> = raw.iter().map(|&x| (x - most).exp()).collect();
                let narrow = e.iter().fold(0.0f32, |sum, e| sum + e);
                let sum = e.iter().fold(0.0f64, |sum, &e| sum + f64::from(e)) as f32;
                let sum = if trap == Trap::SoftmaxSumInF32 { narrow } else { sum };
                e.iter().map(|e| f64::from(e / sum)).collect()
            }
            _ => each(&|x| x),
        }
    }
}

impl Tree {
    fn leaf(&self, row: &[f64], trap: Trap) -> f32 {
        let mut node = &self.nodes[0];
        while node.left != -1 {
            let left = node.goes_left(row[node.feature], trap);
            node = &self.nodes[if left { node.left } else { node.right } as usize];
        }
        node.at
    }
}

impl Node {
    fn goes_left(&self, wide: f64, trap: Trap) -> bool {
        let x = f32_of(wide);
        if x.is_nan() {
            return match trap {
                Trap::MissingGoesLeft => true,
                Trap::MissingGoesRight => false,
                _ => self.default_left,
            };
        }
        if let Some(categories) = &self.categories {
            let cut = trap == Trap::NegativeCategoryIsCut && x > -1.0;
            if (x < 0.0 && !cut) || x >= 16_777_216.0 {
                return trap != Trap::UnknownCategoryGoesRight;
            }
            let listed = categories.contains(&(x as i64));
            return listed == (trap == Trap::ListedCategoryGoesLeft);
        }
        match trap {
            Trap::ThresholdGoesLeft => x <= self.at,
            Trap::FeaturesStayF64 => wide < f64::from(self.at),
            _ => x < self.at,
        }
    }
}

fn nodes(tree: &Value) -> Vec<Node> {
    let list = |key: &str| numbers(&tree[key]);
    let (left, right, feature) = (list("left_children"), list("right_children"), list("split_indices"));
    let (at, default_left) = (list("split_conditions"), list("default_left"));
    let mut nodes: Vec<Node> = (0..left.len())
        .map(|i| Node {
            left: left[i] as i64,
            right: right[i] as i64,
            feature: feature[i] as usize,
            at: f32_of(at[i]),
            default_left: default_left[i] != 0.0,
            categories: None,
        })
        .collect();
    let categories = list("categories");
    let (from, count) = (list("categories_segments"), list("categories_sizes"));
    for (i, node) in list("categories_nodes").into_iter().enumerate() {
        let listed = &categories[from[i] as usize..][..count[i] as usize];
        nodes[node as usize].categories = Some(listed.iter().map(|&category| category as i64).collect());
    }
    nodes
}
