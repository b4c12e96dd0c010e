//! The known traps of the two libraries' arithmetic. A plain evaluator of their files, apart from the one that serves,
//! agrees with them bit for bit; with any one trap walked into it must not: so some row exercises each.

use serde_json::Value;

use crate::case::{Case, same};
use crate::plain::{lightgbm, xgboost};

/// What can be done wrong. The words are what the test prints.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Trap {
    None,
    // XGBoost
    ThresholdGoesLeft,
    FeaturesStayF64,
    MissingGoesLeft,
    MissingGoesRight,
    SumInF64,
    SumFromZero,
    SumInReverse,
    BaseScoreIsMargin,
    OneBaseScoreForAll,
    SigmoidNotClamped,
    SoftmaxSumInF32,
    SoftmaxInF64,
    ListedCategoryGoesLeft,
    UnknownCategoryGoesRight,
    NegativeCategoryIsCut,
    DartWithoutWeights,
    DartMarginAndBack,
    // LightGBM
    LessThan,
    CompareInF32,
    MissingTypeIgnored,
    DefaultLeftIgnored,
    ZeroOnlyWhenExact,
    NearZeroCompared,
    MissingCategoryGoesLeft,
    NegativeCategoryGoesLeft,
    NegativeFractionIsNegative,
    InfiniteThresholdSkipped,
    LinearIgnoresMissing,
    RawDivided,
    NotDivided,
    SigmoidWithoutFactor,
}

use Trap::*;

const XGBOOST: &[Trap] = &[
    ThresholdGoesLeft,
    FeaturesStayF64,
    MissingGoesLeft,
    MissingGoesRight,
    SumInF64,
    SumFromZero,
    SumInReverse,
    BaseScoreIsMargin,
    OneBaseScoreForAll,
    SigmoidNotClamped,
    SoftmaxSumInF32,
    SoftmaxInF64,
    ListedCategoryGoesLeft,
    UnknownCategoryGoesRight,
    NegativeCategoryIsCut,
    DartWithoutWeights,
    DartMarginAndBack,
];

const LIGHTGBM: &[Trap] = &[
    LessThan,
    CompareInF32,
    MissingTypeIgnored,
    DefaultLeftIgnored,
    ZeroOnlyWhenExact,
    NearZeroCompared,
    MissingCategoryGoesLeft,
    NegativeCategoryGoesLeft,
    NegativeFractionIsNegative,
    InfiniteThresholdSkipped,
    LinearIgnoresMissing,
    RawDivided,
    NotDivided,
    SigmoidWithoutFactor,
    SumInReverse,
];

/// A row's raw scores and predictions.
type Score = Box<dyn Fn(&[f64]) -> (Vec<f64>, Vec<f64>)>;

/// Rows in which a plain evaluator differs from the library.
fn differing(case: &Case, trap: Trap) -> usize {
    let score: Score = if case.is_lightgbm() {
        let model = lightgbm::Model::read(std::str::from_utf8(&case.file).unwrap());
        Box::new(move |row| model.score(row, trap))
    } else {
        // Statistics that nobody scores by may be NaN, which is no JSON.
        let text = std::str::from_utf8(&case.file).unwrap().replace("NaN", "null");
        let model: Value = serde_json::from_str(&text).unwrap();
        let model = xgboost::Model::read(&model, trap);
        Box::new(move |row| model.score(row, trap))
    };
    let (raws, predictions) = (case.raw.len() / case.count, case.predictions.len() / case.count);
    let rows = case.rows.chunks_exact(case.features).enumerate();
    let equal = |a: &[f64], b: &[f64]| a.len() == b.len() && a.iter().zip(b).all(|(a, b)| same(*a, *b));
    rows.filter(|(at, row)| {
        let (raw, prediction) = score(row);
        !equal(&raw, &case.raw[at * raws..][..raws])
            || !equal(&prediction, &case.predictions[at * predictions..][..predictions])
    })
    .count()
}

/// The plain evaluator reads JSON and trees only.
fn plain_cases() -> Vec<Case> {
    let mut cases = Case::all();
    cases.retain(|case| !case.name.ends_with(".ubj") && !case.name.contains("linear") || case.is_lightgbm());
    cases
}

#[test]
fn the_plain_evaluator_agrees_with_the_libraries() {
    for case in plain_cases() {
        assert_eq!(differing(&case, Trap::None), 0, "{}", case.name);
    }
}

#[test]
fn some_row_exercises_every_trap() {
    let cases = plain_cases();
    let mut untouched = Vec::new();
    for (lightgbm, traps) in [(false, XGBOOST), (true, LIGHTGBM)] {
        for &trap in traps {
            let of = cases.iter().filter(|case| case.is_lightgbm() == lightgbm);
            let rows: usize = of.map(|case| differing(case, trap)).sum();
            println!("{trap:?}: {rows} rows");
            if rows == 0 {
                untouched.push(trap);
            }
        }
    }
    assert!(untouched.is_empty(), "no row exercises {untouched:?}");
}

/// What no evaluator can walk into, a file must show.
#[test]
fn every_form_of_file_is_among_the_cases() {
    let cases = Case::all();
    let holds = |name: &str, text: &[u8]| {
        let of = cases.iter().filter(|case| case.name.starts_with(name));
        of.filter(|case| case.file.windows(text.len()).any(|part| part == text)).count()
    };
    for (what, name, text) in [
        ("base_score as a number", "xgb20", &br#""base_score":"1.2345679E-1""#[..]),
        ("base_score as a list", "xgb32", br#""base_score":"[1.2345679E-1]""#),
        ("default_left as booleans", "xgb13", b"[true,"),
        ("default_left as numbers", "xgb32", br#""default_left":[1"#),
        ("UBJSON of 1.6", "xgb16-ubj.ubj", b"{L"),
        ("UBJSON of 2.1", "xgb21-ubj.ubj", b"{L"),
        ("typed UBJSON arrays", "xgb32-ubj.ubj", b"[$d#L"),
        ("category splits in UBJSON", "xgb32-classcat.ubj", b"categories"),
        ("several targets", "xgb32-targets", br#""num_target":"2""#),
        ("LightGBM version 3", "lgb23", b"version=v3"),
        ("LightGBM version 4", "lgb47", b"version=v4"),
        ("infinite thresholds", "lgb47-odd", b"inf"),
        ("linear leaves", "lgb33-linear", b"is_linear=1"),
        ("a random forest", "lgb47-rf", b"average_output"),
        ("a tree of one leaf", "lgb47-stump", b"num_leaves=1\n"),
    ] {
        assert!(holds(name, text) > 0, "no case has {what}");
    }
}
