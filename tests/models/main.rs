//! Our scores against the libraries' own, bit for bit, over the models that `models/fidelity` trained.

mod artifacts;
mod case;
mod categories;
mod hostile;
mod linear;
mod plain;
mod traps;

use case::Case;
use gavel::scoring::forest::Precision;

/// Cases that there must be at least, by the library that made them.
const CASES: [(&str, usize); 11] = [
    ("xgb13", 6),
    ("xgb15", 6),
    ("xgb16", 8),
    ("xgb17", 8),
    ("xgb20", 16),
    ("xgb21", 9),
    ("xgb30", 8),
    ("xgb32", 33),
    ("lgb23", 8),
    ("lgb33", 9),
    ("lgb47", 35),
];

#[test]
fn every_score_equals_the_librarys_to_the_last_bit() {
    let cases = Case::all();
    for (library, least) in CASES {
        let found = cases.iter().filter(|case| case.name.starts_with(&format!("{library}-"))).count();
        assert!(found >= least, "{found} cases of {library}, not {least}");
    }
    let (mut faults, mut values) = (Vec::new(), 0);
    for case in &cases {
        values += case.raw.len() + case.predictions.len();
        faults.extend(case.differences());
    }
    println!("{} cases, {values} values", cases.len());
    assert!(faults.is_empty(), "{} cases differ:\n{}", faults.len(), faults.join("\n"));
}

/// Trees of more than 64 leaves are walked, on every processor: by both layouts there are cases with the library's scores.
#[test]
fn cases_of_large_trees_are_walked_by_narrow_and_by_wide_nodes() {
    let cases = Case::all();
    let layout = |name: &str, precision| cases.iter().find(|case| case.name == name).unwrap().layout(precision);
    assert_eq!(layout("xgb32-large.ubj", Precision::F64), Some("narrow"));
    assert_eq!(layout("lgb47-large.txt", Precision::F64), Some("wide"));
    assert_eq!(layout("lgb47-large.txt", Precision::F32), Some("narrow"));
}
