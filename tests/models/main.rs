//! Our scores against the libraries' own, bit for bit, over the models that `models/fidelity` trained.

mod artifacts;
mod case;
mod categories;
mod hostile;
mod linear;
mod plain;
mod traps;

use case::Case;

/// Every case that there must be at least.
const CASES: usize = 100;

#[test]
fn every_score_equals_the_librarys_to_the_last_bit() {
    let cases = Case::all();
    assert!(cases.len() >= CASES, "only {} cases were found", cases.len());
    let (mut faults, mut values) = (Vec::new(), 0);
    for case in &cases {
        values += case.raw.len() + case.predictions.len();
        faults.extend(case.differences());
    }
    println!("{} cases, {values} values", cases.len());
    assert!(faults.is_empty(), "{} cases differ:\n{}", faults.len(), faults.join("\n"));
}
