//! The laid out forest against trees walked as they were read. Also run under Miri: it proves the steps' `unsafe`.

use fastrand::Rng;

use super::tree::{CategorySplit, Linear, Missing, NEAR_ZERO, Negative, Node, Tree, Trees};
use super::{Forest, Layout, Precision, Scratch, Sum};

const FEATURES: usize = 5;
const VALUES: [f64; 14] =
    [0.0, -0.0, 0.5, -0.5, 1.0, 2.0, 33.0, 70.0, -3.0, 1e-36, -1e-36, f64::NAN, f64::INFINITY, f64::NEG_INFINITY];

struct Model {
    trees: Trees,
}

fn random(rng: &mut Rng, count: usize, classes: usize, sum: Sum, linear: bool) -> Model {
    let mut trees = Trees {
        trees: Vec::new(),
        features: FEATURES,
        classes,
        sum,
        negative: if rng.bool() { Negative::Cut } else { Negative::Unknown },
        categories: Vec::new(),
        linear: Vec::new(),
    };
    for number in 0..count {
        let mut nodes = Vec::new();
        grow(rng, &mut trees, &mut nodes, 0, linear);
        trees.trees.push(Tree { class: (number % classes) as u32, nodes });
    }
    Model { trees }
}

/// Appends a branch and says where it begins.
fn grow(rng: &mut Rng, trees: &mut Trees, nodes: &mut Vec<Node>, depth: u32, linear: bool) -> i32 {
    let at = nodes.len();
    let value = f64::from(rng.i32(-1000..1000) as f32 / 7.0);
    nodes.push(Node::Leaf { value });
    if depth == 7 || rng.u32(..8) < depth {
        if linear && rng.bool() {
            let terms = (0..rng.usize(..3)).map(|_| (rng.u32(..FEATURES as u32), value / 3.0)).collect();
            trees.linear.push(Linear { constant: value, fallback: -value, terms });
            nodes[at] = Node::LinearLeaf { linear: trees.linear.len() as u32 - 1 };
        }
        return at as i32;
    }
    let left = grow(rng, trees, nodes, depth + 1, linear);
    let right = grow(rng, trees, nodes, depth + 1, linear);
    let feature = rng.u32(..FEATURES as u32);
    nodes[at] = if rng.u8(..4) == 0 {
        let from = trees.categories.len();
        trees.categories.extend((0..80).filter(|_| rng.u8(..4) == 0));
        let listed = from..trees.categories.len();
        let (listed_left, missing_left) = (rng.bool(), rng.bool());
        Node::Category(Box::new(CategorySplit { feature, listed, listed_left, missing_left, left, right }))
    } else {
        let kinds = [Missing::Right, Missing::Left, Missing::Zero, Missing::ZeroRight, Missing::ZeroLeft];
        let at = rng.choice([0.0, 0.5, -0.5, 1.0, f64::INFINITY, 0.1, -1e300, 1e300]).unwrap();
        Node::AtMost { feature, at, missing: rng.choice(kinds).unwrap(), left, right }
    };
    at as i32
}

impl Model {
    /// The leaf's value, one decision after another.
    fn walk(&self, tree: &Tree, row: &[f64]) -> f64 {
        let mut at = 0;
        loop {
            let left = match &tree.nodes[at] {
                Node::Leaf { value } => return *value,
                Node::LinearLeaf { linear } => return self.trees.linear[*linear as usize].value(|f| row[f]),
                Node::AtMost { feature, at, missing, .. } => {
                    let x = row[*feature as usize];
                    let zero = x.is_nan() || x.abs() <= f64::from(NEAR_ZERO);
                    match missing {
                        Missing::Left if x.is_nan() => true,
                        Missing::ZeroLeft if zero => true,
                        Missing::ZeroRight if zero => false,
                        Missing::Zero if x.is_nan() => 0.0 <= *at,
                        _ => x <= *at,
                    }
                }
                Node::Category(split) => {
                    let x = row[split.feature as usize];
                    let negative = x < 0.0 && (self.trees.negative == Negative::Unknown || x <= -1.0);
                    let listed = !negative && self.trees.categories[split.listed.clone()].contains(&(x as u32));
                    if x.is_nan() { split.missing_left } else { listed == split.listed_left }
                }
            };
            let (to_left, to_right) = tree.nodes[at].children().unwrap();
            at = if left { to_left } else { to_right } as usize;
        }
    }

    /// Whether each layout scores rows as this does.
    fn check(&self, rows: &[f64], scratch: &mut Scratch, what: &str) {
        let (features, classes) = (self.trees.features, self.trees.classes);
        for precision in [Precision::F32, Precision::F64] {
            for forest in layouts(&self.trees, precision) {
                let mut raw = vec![0.0; rows.len() / features * classes];
                forest.score(rows, &mut raw, scratch);
                for (row, raw) in rows.chunks_exact(features).zip(raw.chunks_exact(classes)) {
                    let row: Vec<f64> = row.iter().map(|&x| forest.rounded(x)).collect();
                    let expected = self.sums(&row);
                    let equal = raw.iter().zip(&expected).all(|(a, b)| same(*a, *b));
                    let layout = forest.layout();
                    assert!(equal, "{what}, {layout}, {precision:?}, {row:?}: {raw:?}, not {expected:?}");
                }
            }
        }
    }

    fn sums(&self, row: &[f64]) -> Vec<f64> {
        let mut sums = match &self.trees.sum {
            Sum::F32(start) => start.iter().map(|&start| f64::from(start)).collect(),
            Sum::F64 => vec![0.0; self.trees.classes],
        };
        for tree in &self.trees.trees {
            let (value, sum) = (self.walk(tree, row), &mut sums[tree.class as usize]);
            *sum = match &self.trees.sum {
                Sum::F32(_) => f64::from(*sum as f32 + value as f32),
                Sum::F64 => *sum + value,
            };
        }
        sums
    }
}

/// Both that of this processor and the one for any.
fn layouts(trees: &Trees, precision: Precision) -> [Forest; 2] {
    [Forest::new(trees, precision).unwrap(), Forest::laid_out(trees, precision, Layout::walk).unwrap()]
}

fn same(a: f64, b: f64) -> bool {
    a.to_bits() == b.to_bits() || a.is_nan() && b.is_nan()
}

#[test]
fn any_forest_scores_as_its_trees_walked_one_by_one() {
    let rounds = if cfg!(miri) { 3 } else { 60 };
    let mut rng = Rng::with_seed(7);
    let mut scratch = Scratch::default();
    for round in 0..rounds {
        for (count, classes, linear) in [(1, 1, false), (7, 1, true), (16, 1, false), (21, 3, false), (40, 2, true)] {
            let sum = if rng.bool() && !linear { Sum::F32(vec![0.3; classes]) } else { Sum::F64 };
            let model = random(&mut rng, count, classes, sum, linear);
            let rows: Vec<f64> = (0..FEATURES * 35).map(|_| rng.choice(VALUES).unwrap()).collect();
            model.check(&rows, &mut scratch, &format!("round {round}, {count} trees"));
        }
    }
}

/// Splits of one feature each, the next one always beyond the same side, and a leaf behind each.
fn comb(splits: i32, feature: u32, to_left: bool, threshold: impl Fn(i32) -> f64) -> Tree {
    let mut nodes = Vec::new();
    for split in 0..splits {
        let (leaf, next) = (2 * split + 1, 2 * split + 2);
        let (left, right) = if to_left { (next, leaf) } else { (leaf, next) };
        let missing = if split % 2 == 0 { Missing::Left } else { Missing::Right };
        nodes.push(Node::AtMost { feature, at: threshold(split), missing, left, right });
        nodes.push(Node::Leaf { value: f64::from(split) });
    }
    nodes.push(Node::Leaf { value: -1.0 });
    Tree { class: 0, nodes }
}

fn numeric(features: usize, trees: Vec<Tree>) -> Model {
    let (sum, negative) = (Sum::F64, Negative::Unknown);
    let trees = Trees { trees, features, classes: 1, sum, negative, categories: Vec::new(), linear: Vec::new() };
    Model { trees }
}

#[test]
fn a_tree_of_any_depth_arrives() {
    let rows: Vec<f64> = (-1..66).map(f64::from).chain([f64::NAN, f64::INFINITY]).collect();
    let all = [0, 1, 17, 2, 15, 16, 31, 32, 33, 62, 63, 64, 65];
    for &splits in if cfg!(miri) { &all[..3] } else { &all[..] } {
        let trees = [false, true]
            .map(|to_left| comb(splits, 0, to_left, |split| f64::from(if to_left { splits - split } else { split })));
        let model = numeric(1, trees.into());
        model.check(&rows, &mut Scratch::default(), &format!("combs of {splits} splits"));
    }
}

#[test]
fn features_of_any_number_and_thresholds_of_any_number_compare() {
    let rng = &mut Rng::with_seed(3);
    // One feature with more thresholds than a byte counts; more features than fit into one lookup, and into two.
    let all = [(1, 5), (1, 10), (40, 90), (64, 300), (70, 300)];
    for &(features, trees) in if cfg!(miri) { &all[..1] } else { &all[..] } {
        let combs = (0..trees).map(|tree| {
            let first = f64::from(tree) * 60.0;
            comb(if features == 1 { 60 } else { 2 }, tree as u32 % features, false, |split| first + f64::from(split))
        });
        let model = numeric(features as usize, combs.collect());
        let fits = model.trees.features <= 64;
        let layout = layouts(&model.trees, Precision::F64)[0].layout();
        let here = if cfg!(miri) { "" } else { layout };
        assert!(fits || !here.starts_with("bytes"), "{features} features");
        let count = if cfg!(miri) { 2 } else { 50 };
        let value = |rng: &mut Rng| match rng.u8(..10) {
            0 => f64::NAN,
            1 => f64::NEG_INFINITY,
            _ => f64::from(rng.i32(-1..20_000)) * 0.5,
        };
        let rows: Vec<f64> = (0..features * count).map(|_| value(rng)).collect();
        model.check(&rows, &mut Scratch::default(), &format!("{features} features"));
    }
}

#[test]
fn indices_that_do_not_fit_into_16_bits_make_a_wide_layout() {
    if cfg!(miri) {
        return;
    }
    let mut model = numeric(1, vec![comb(40_000, 0, false, |split| f64::from(split) + 0.5)]);
    model.trees.sum = Sum::F32(vec![0.0]);
    let forest = Forest::new(&model.trees, Precision::F32).unwrap();
    assert!(forest.layout().contains("wide"));
    let rows = [0.0, 39_999.0, 12_345.2, 1e9, f64::NAN];
    let mut raw = [0.0; 5];
    forest.score(&rows, &mut raw, &mut Scratch::default());
    assert_eq!(raw, [0.0, 39_999.0, 12_345.0, -1.0, 0.0]);
}

/// A request waits while its candidates are scored.
#[test]
fn the_steps_of_a_row_are_bounded() {
    if cfg!(miri) {
        return;
    }
    let chains = |count| numeric(1, (0..count).map(|_| comb(24_999, 0, false, f64::from)).collect()).trees;
    assert!(Forest::new(&chains(10), Precision::F64).is_ok());
    let fault = Forest::new(&chains(11), Precision::F64).unwrap_err().to_string();
    assert!(fault.contains("275000 steps"), "{fault}");
}

#[test]
fn a_table_of_categories_is_bounded() {
    if cfg!(miri) {
        return;
    }
    // Each split lists a category of its own: the table grows with their square.
    let count = 60_000u32;
    let mut nodes: Vec<Node> = (0..count)
        .flat_map(|i| {
            let at = i as i32 * 2;
            let split = CategorySplit {
                feature: 0,
                listed: i as usize..i as usize + 1,
                listed_left: true,
                missing_left: false,
                left: at + 1,
                right: at + 2,
            };
            [Node::Category(Box::new(split)), Node::Leaf { value: 0.0 }]
        })
        .collect();
    nodes.push(Node::Leaf { value: 1.0 });
    let trees = Trees {
        trees: vec![Tree { class: 0, nodes }],
        features: 1,
        classes: 1,
        sum: Sum::F64,
        negative: Negative::Cut,
        categories: (0..count).collect(),
        linear: Vec::new(),
    };
    let fault = Forest::new(&trees, Precision::F64).unwrap_err().to_string();
    assert!(fault.contains("category splits of feature 0"), "{fault}");
}

#[test]
fn what_features_added_sums_to_the_score() {
    let rng = &mut Rng::with_seed(11);
    for round in 0..60 {
        let sum = if round % 2 == 0 { Sum::F32(vec![0.25]) } else { Sum::F64 };
        let model = random(rng, [1, 7, 40][round % 3], 1, sum, false);
        let precision = if rng.bool() { Precision::F32 } else { Precision::F64 };
        let forests = layouts(&model.trees, precision);
        let (mut scratch, mut raw) = (Scratch::default(), [0.0]);
        for _ in 0..10 {
            let row: Vec<f64> = (0..FEATURES).map(|_| VALUES[rng.usize(..VALUES.len())]).collect();
            let mut of_first = None;
            for forest in &forests {
                forest.score(&row, &mut raw, &mut scratch);
                let mut added = [0.0; FEATURES];
                let base = forest.explain(&scratch, &mut added).unwrap();
                let all = base + added.iter().sum::<f64>();
                // The library's sum of f32 is not the sum of the differences to the last bit.
                assert!((all - raw[0]).abs() <= 1e-3 * (1.0 + raw[0].abs()), "{all} is not {}", raw[0]);
                // A replay on another processor comes to the same bits.
                let bits = (base.to_bits(), added.map(f64::to_bits));
                assert_eq!(*of_first.get_or_insert(bits), bits, "{}", forest.layout());
            }
        }
    }
    let several = random(rng, 6, 3, Sum::F64, false);
    let forest = Forest::new(&several.trees, Precision::F64).unwrap();
    assert_eq!(forest.explain(&Scratch::default(), &mut [0.0; FEATURES]), None);
}
