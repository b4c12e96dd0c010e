//! LightGBM's text.

use crate::traps::Trap;

pub struct Model {
    trees: Vec<Tree>,
    classes: usize,
    objective: String,
    average: bool,
}

/// A linear leaf: its constant, and features with their factors.
type Linear = (f64, Vec<(usize, f64)>);

struct Tree {
    left: Vec<i32>,
    right: Vec<i32>,
    feature: Vec<usize>,
    at: Vec<f64>,
    decision: Vec<u8>,
    value: Vec<f64>,
    boundaries: Vec<usize>,
    words: Vec<u32>,
    linear: Option<Vec<Linear>>,
}

fn field<'t>(text: &'t str, key: &str) -> Option<&'t str> {
    text.lines().find_map(|line| line.strip_prefix(key)?.strip_prefix('='))
}

fn list<T: std::str::FromStr>(text: &str, key: &str) -> Vec<T> {
    let words = field(text, key).unwrap_or("").split_whitespace();
    words.map(|word| word.parse().unwrap_or_else(|_| panic!("{key}: {word}"))).collect()
}

impl Model {
    pub fn read(text: &str) -> Model {
        let (trees, _) = text.split_once("end of trees").unwrap();
        let mut parts = trees.split("\nTree=");
        let header = parts.next().unwrap();
        Model {
            classes: list(header, "num_tree_per_iteration")[0],
            objective: field(header, "objective").unwrap_or("").to_owned(),
            average: header.contains("\naverage_output"),
            trees: parts.map(Tree::read).collect(),
        }
    }

    pub fn score(&self, row: &[f64], trap: Trap) -> (Vec<f64>, Vec<f64>) {
        let mut raw = vec![0.0; self.classes];
        let mut order: Vec<usize> = (0..self.trees.len()).collect();
        if trap == Trap::SumInReverse {
            order.reverse();
        }
        for at in order {
            raw[at % self.classes] += self.trees[at].value(row, trap);
        }
        let iterations = (self.trees.len() / self.classes) as f64;
        let mut out = raw.clone();
        if self.average && trap != Trap::NotDivided {
            out.iter_mut().for_each(|x| *x /= iterations);
        }
        if self.average && trap == Trap::RawDivided {
            raw.clone_from(&out);
        }
        self.predict(&mut out, trap);
        (raw, out)
    }

    fn predict(&self, out: &mut [f64], trap: Trap) {
        let factor = self.objective.split("sigmoid:").nth(1).map_or(1.0, |factor| factor.parse().unwrap());
        let factor: f64 = if trap == Trap::SigmoidWithoutFactor { 1.0 } else { factor };
        let each = |out: &mut [f64], f: &dyn Fn(f64) -> f64| out.iter_mut().for_each(|x| *x = f(*x));
        match self.objective.split(' ').next().unwrap() {
            "binary" | "multiclassova" => each(out, &|x| 1.0 / (1.0 + (-factor * x).exp())),
            "cross_entropy" => each(out, &|x| 1.0 / (1.0 + (-x).exp())),
            "cross_entropy_lambda" => each(out, &|x| x.exp().ln_1p()),
            "poisson" | "gamma" | "tweedie" => each(out, &f64::exp),
            "regression" | "regression_l1" | "fair" | "quantile" | "mape" if self.objective.ends_with("sqrt") => {
                each(out, &|x| x * x * if x > 0.0 { 1.0 } else { -1.0 })
            }
            "multiclass" => {
                let most = out.iter().fold(f64::NEG_INFINITY, |most, &x| most.max(x));
                each(out, &|x| (x - most).exp());
                let sum = out.iter().fold(0.0, |sum, x| sum + x);
                each(out, &|x| x / sum);
            }
            _ => {}
        }
    }
}

impl Tree {
    fn read(text: &str) -> Tree {
        let mut terms = list(text, "leaf_features").into_iter().zip(list(text, "leaf_coeff"));
        let counts = list::<usize>(text, "num_features");
        let linear = field(text, "is_linear").is_some_and(|is| is == "1").then(|| {
            let leaves = list(text, "leaf_const").into_iter().zip(counts);
            leaves.map(|(constant, count)| (constant, terms.by_ref().take(count).collect())).collect()
        });
        Tree {
            left: list(text, "left_child"),
            right: list(text, "right_child"),
            feature: list(text, "split_feature"),
            at: list(text, "threshold"),
            decision: list(text, "decision_type"),
            value: list(text, "leaf_value"),
            boundaries: list(text, "cat_boundaries"),
            words: list(text, "cat_threshold"),
            linear,
        }
    }

    fn value(&self, row: &[f64], trap: Trap) -> f64 {
        let mut at = if self.left.is_empty() { -1 } else { 0 };
        while at >= 0 {
            let node = at as usize;
            // What is next to zero never reaches a model.
            let given = row[self.feature[node]];
            let kept = [Trap::NearZeroCompared, Trap::ZeroOnlyWhenExact].contains(&trap);
            let x = if given.abs() <= f64::from(1e-35f32) && !kept { 0.0 } else { given };
            let is_category = self.decision[node] & 1 == 1;
            let left = if is_category { self.category(node, given, trap) } else { self.at_most(node, x, trap) };
            at = if left { self.left[node] } else { self.right[node] };
        }
        let leaf = !at as usize;
        let Some((constant, terms)) = self.linear.as_ref().map(|leaves| &leaves[leaf]) else { return self.value[leaf] };
        let mut sum = *constant;
        for &(feature, factor) in terms {
            let x = row[feature];
            if x.is_nan() && trap == Trap::LinearIgnoresMissing {
                continue;
            }
            if x.is_nan() {
                return self.value[leaf];
            }
            sum += factor * if x.abs() <= f64::from(1e-35f32) { 0.0 } else { x };
        }
        sum
    }

    fn at_most(&self, node: usize, mut x: f64, trap: Trap) -> bool {
        let (decision, at) = (self.decision[node], self.at[node]);
        let missing = if trap == Trap::MissingTypeIgnored { 2 } else { decision >> 2 };
        if x.is_nan() && missing != 2 {
            x = 0.0;
        }
        let edge = if trap == Trap::ZeroOnlyWhenExact { 0.0 } else { f64::from(1e-35f32) };
        if missing == 1 && x.abs() <= edge || missing == 2 && x.is_nan() {
            return decision & 2 != 0 && trap != Trap::DefaultLeftIgnored;
        }
        match trap {
            Trap::LessThan => x < at,
            Trap::CompareInF32 => x as f32 <= at as f32,
            Trap::InfiniteThresholdSkipped if at.is_infinite() => false,
            _ => x <= at,
        }
    }

    fn category(&self, node: usize, x: f64, trap: Trap) -> bool {
        if x.is_nan() {
            return trap == Trap::MissingCategoryGoesLeft;
        }
        let edge = if trap == Trap::NegativeFractionIsNegative { 0.0 } else { -1.0 };
        if x <= edge && x < 0.0 {
            return trap == Trap::NegativeCategoryGoesLeft;
        }
        if trap == Trap::NegativeFractionIsNegative && x < 0.0 {
            return false;
        }
        let set = self.at[node] as usize;
        let words = &self.words[self.boundaries[set]..self.boundaries[set + 1]];
        let category = x as u64;
        words.get((category / 32) as usize).is_some_and(|word| word >> (category % 32) & 1 == 1)
    }
}
