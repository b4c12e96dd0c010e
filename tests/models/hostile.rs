//! Files that no library wrote: cut, altered, or made to cost much. Each is refused and the place named.

use std::path::Path;

use gavel::scoring::forest::Precision;
use gavel::scoring::{Fault, lightgbm, xgboost};
use serde_json::{Value, json};

fn corpus(target: &str) -> Vec<Vec<u8>> {
    let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fuzz/corpus").join(target);
    let mut paths: Vec<_> = std::fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().path()).collect();
    paths.sort();
    paths.iter().map(|path| std::fs::read(path).unwrap()).collect()
}

fn seed(target: &str, name: &str) -> Vec<u8> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fuzz/corpus").join(target).join(name);
    std::fs::read(path).unwrap()
}

fn load_xgboost(bytes: &[u8]) -> Result<(), Fault> {
    xgboost::load(bytes).map(|_| ())
}

fn load_lightgbm(bytes: &[u8]) -> Result<(), Fault> {
    lightgbm::load(bytes, Precision::F64).map(|_| ())
}

#[test]
fn a_file_that_was_cut_anywhere_is_refused() {
    for (target, load) in [
        ("xgboost_json", load_xgboost as fn(&[u8]) -> Result<(), Fault>),
        ("xgboost_ubj", load_xgboost),
        ("lightgbm", load_lightgbm),
    ] {
        for file in corpus(target) {
            load(&file).unwrap();
            // LightGBM's last line may lack its end.
            for cut in 0..file.trim_ascii_end().len() {
                assert!(load(&file[..cut]).is_err(), "{target} cut at {cut} of {}", file.len());
            }
        }
    }
}

#[test]
fn altered_xgboost_trees_are_refused_at_their_node() {
    let good: Value = serde_json::from_slice(&seed("xgboost_json", "binary")).unwrap();
    let trees = "/learner/gradient_booster/model/trees";
    type Edit = (&'static str, Value, &'static [&'static str]);
    let edits: &[Edit] = &[
        ("/1/left_children/0", json!(0), &["tree 1", "node 0", "cycle"]),
        ("/1/left_children/0", json!(2), &["tree 1", "node 0", "cycle or a shared branch"]),
        ("/1/left_children/1", json!(0), &["tree 1", "node 1", "cycle"]),
        ("/1/right_children/0", json!(1_000_000), &["tree 1", "node 0", "1000000"]),
        ("/1/right_children/0", json!(-7), &["tree 1", "node 0", "-7"]),
        ("/1/right_children/0", json!(1e10), &["byte", "number"]),
        ("/1/split_indices/0", json!(3), &["tree 1", "node 0", "feature 3"]),
        ("/1/split_type/0", json!(7), &["tree 1", "split_type", "7"]),
        ("/1/split_indices/0", json!(-1), &["tree 1", "node 0", "feature"]),
        ("/1/split_conditions/0", json!("NaN"), &["tree 1"]),
        ("/1/tree_param/num_nodes", json!("1000000000"), &["tree 1", "num_nodes"]),
        ("/1/tree_param/size_leaf_vector", json!("3"), &["tree 1", "multi_output_tree"]),
        ("/1/default_left", json!([1]), &["tree 1", "default_left"]),
        ("/1/split_conditions", json!([]), &["tree 1", "split_conditions"]),
        ("/1/left_children", json!([]), &["tree 1"]),
        ("/0/categories_segments/0", json!(1_000), &["tree 0", "categories"]),
        ("/0/categories/0", json!(-1), &["tree 0", "category -1"]),
        ("/0/categories/0", json!(16_777_216), &["tree 0", "category 16777216"]),
    ];
    for (pointer, value, names) in edits {
        let mut model = good.clone();
        let place = model.pointer_mut(&format!("{trees}{pointer}"));
        *place.unwrap_or_else(|| panic!("{pointer} is not in the seed")) = value.clone();
        let fault = load_xgboost(model.to_string().as_bytes()).unwrap_err().to_string();
        assert!(names.iter().all(|name| fault.contains(name)), "{pointer} = {value}: {fault}");
    }
    // NaN as XGBoost writes it, at a threshold and at a leaf.
    for place in [0, 4] {
        let mut model = good.clone();
        model.pointer_mut(&format!("{trees}/1/split_conditions/{place}")).map(|at| *at = json!("here")).unwrap();
        let text = model.to_string().replace("\"here\"", "NaN");
        let fault = load_xgboost(text.as_bytes()).unwrap_err().to_string();
        assert!(fault.contains(&format!("tree 1: node {place}")) && fault.contains("NaN"), "{fault}");
    }
}

#[test]
fn what_is_not_supported_is_refused_by_its_name() {
    let good: Value = serde_json::from_slice(&seed("xgboost_json", "binary")).unwrap();
    let learner = "/learner/learner_model_param";
    type Edit = (String, Value, &'static [&'static str]);
    let edits: &[Edit] = &[
        ("/learner/objective/name".into(), json!("reg:expectile"), &["objective", "reg:expectile"]),
        ("/learner/gradient_booster/name".into(), json!("gbforest"), &["gradient_booster", "gbforest"]),
        ("/learner/gradient_booster/model/gbtree_model_param/num_trees".into(), json!("1000000000"), &["num_trees"]),
        ("/learner/gradient_booster/model/tree_info".into(), json!([0]), &["tree_info"]),
        ("/learner/gradient_booster/model/tree_info/0".into(), json!(1), &["tree 0", "class 1"]),
        (format!("{learner}/num_feature"), json!("1000000000"), &["1000000000 features"]),
        (format!("{learner}/num_class"), json!("1000000000"), &["1000000000 classes"]),
        (format!("{learner}/num_feature"), json!("many"), &["num_feature", "many"]),
        (format!("{learner}/base_score"), json!("[0.1,0.2]"), &["base_score"]),
        (format!("{learner}/base_score"), json!("1.5"), &["base_score"]),
        (format!("{learner}/base_score"), json!("half"), &["base_score", "half"]),
    ];
    for (pointer, value, names) in edits {
        let mut model = good.clone();
        *model.pointer_mut(pointer).unwrap() = value.clone();
        let fault = load_xgboost(model.to_string().as_bytes()).unwrap_err().to_string();
        assert!(names.iter().all(|name| fault.contains(name)), "{pointer} = {value}: {fault}");
    }
    for (bytes, name) in [
        (&b""[..], "ends"),
        (b"{}", "learner"),
        (b"[]", "expected an object"),
        (b"binf\0\0", "expected an object"),
        (b"tree\nversion=v4\n", "expected"),
        (b"{\"learner\": {}} x", "follows"),
    ] {
        let fault = load_xgboost(bytes).unwrap_err().to_string();
        assert!(fault.contains(name), "{fault}");
    }
}

#[test]
fn versions_that_nobody_read_yet_are_refused() {
    let good: Value = serde_json::from_slice(&seed("xgboost_json", "binary")).unwrap();
    for (version, fine) in
        [(json!([9, 0, 0]), false), (json!([0, 90, 0]), false), (json!([]), true), (json!([1, 0, 0]), true)]
    {
        let mut file = good.clone();
        file["version"] = version.clone();
        let loaded = load_xgboost(file.to_string().as_bytes());
        assert_eq!(loaded.is_ok(), fine, "{version}");
        assert!(loaded.err().is_none_or(|fault| fault.place == "version"), "{version}");
    }
}

#[test]
fn nesting_and_counts_cost_nothing() {
    let deep = format!("{{\"x\":{}", "[".repeat(1_000_000));
    assert!(load_xgboost(deep.as_bytes()).unwrap_err().to_string().contains("nested"));
    let deep = [b"{U\x01x".to_vec(), b"[".repeat(1_000_000)].concat();
    assert!(load_xgboost(&deep).unwrap_err().to_string().contains("nested"));
    // A billion elements in a few bytes: of a type, of no bytes each, and a text of that length.
    for bomb in [
        &b"[#l\x3b\x9a\xca\x00"[..],
        b"[$d#l\x3b\x9a\xca\x00",
        b"[$Z#l\x3b\x9a\xca\x00",
        b"Sl\x3b\x9a\xca\x00",
        b"[#i\xff",
    ] {
        let file = [b"{U\x07learner{U\x0dfeature_names", bomb].concat();
        let fault = load_xgboost(&file).unwrap_err().to_string();
        assert!(fault.starts_with("byte "), "{fault}");
    }
}

#[test]
fn altered_lightgbm_trees_are_refused_at_their_line() {
    let good = String::from_utf8(seed("lightgbm", "binary")).unwrap();
    let linear = String::from_utf8(seed("lightgbm", "linear")).unwrap();
    let edit = |text: &str, key: &str, value: &str| {
        let from = text.find(&format!("\n{key}=")).unwrap_or_else(|| panic!("{key} is not in the seed")) + 1;
        let to = from + text[from..].find('\n').unwrap();
        format!("{}{key}={value}{}", &text[..from], &text[to..])
    };
    for (key, value, names) in [
        ("left_child", "0 -2 -3", &["tree 0", "cycle"][..]),
        ("left_child", "99 -2 -3", &["tree 0", "child 99"]),
        ("left_child", "-99 -2 -3", &["tree 0", "child"]),
        ("left_child", "-2147483648 -2 -3", &["tree 0", "child"]),
        ("left_child", "1 -2", &["tree 0", "left_child", "2 numbers"]),
        ("leaf_value", "1 nan 1 1", &["tree 0", "leaf 1", "NaN"]),
        ("leaf_value", "1 1 1 inf", &["tree 0", "leaf 3", "inf"]),
        ("leaf_value", "1 1 1 x", &["tree 0", "leaf_value", "entry 3", "x"]),
        ("threshold", "nan 0 0", &["tree 0", "node 0", "NaN"]),
        ("split_feature", "7 0 0", &["tree 0", "node 0", "feature 7"]),
        ("split_feature", "-1 0 0", &["tree 0", "split_feature", "-1"]),
        ("decision_type", "12 2 2", &["tree 0", "decision type 12"]),
        ("decision_type", "1 1 1", &["tree 0", "set"]),
        ("num_leaves", "1000000000", &["tree 0", "leaf_value"]),
        ("num_leaves", "0", &["tree 0"]),
        ("num_tree_per_iteration", "0", &["header"]),
        ("num_tree_per_iteration", "1000000000", &["header", "1000000000 classes"]),
        ("max_feature_idx", "1000000000", &["header", "1000000001 features"]),
        ("objective", "binary_logloss", &["objective", "binary_logloss"]),
        ("objective", "multiclass num_class:4", &["objective", "num_class:4"]),
        ("objective", "binary sigmoid:0", &["objective", "`sigmoid:0` is no positive number"]),
        ("objective", "binary sigmoid:-1", &["objective", "sigmoid:-1"]),
        ("objective", "binary sigmoid:inf", &["objective", "sigmoid:inf"]),
        ("objective", "binary sigmoid:nan", &["objective", "sigmoid:nan"]),
        ("version", "v1", &["version", "`v1` is not supported"]),
        ("version", "v9", &["version", "`v9`"]),
        ("feature_names", "a b", &["feature_names"]),
        ("tree_sizes", "1 2 3 4", &["trees", "announces"]),
    ] {
        let fault = load_lightgbm(edit(&good, key, value).as_bytes()).unwrap_err().to_string();
        assert!(names.iter().all(|name| fault.contains(name)), "{key}={value}: {fault}");
    }
    for (key, value) in [
        ("leaf_const", "nan 0 0 0"),
        ("num_features", "18446744073709551615 1 0 0"),
        ("num_features", "1000000 0 0 0"),
        ("leaf_coeff", "inf"),
    ] {
        assert!(load_lightgbm(edit(&linear, key, value).as_bytes()).is_err(), "{key}={value}");
    }
    assert!(load_lightgbm(good.replace("Tree=1", "Tree=7").as_bytes()).unwrap_err().to_string().contains("Tree=1"));
    assert!(load_lightgbm(b"tree").is_err() && load_lightgbm(b"").is_err() && load_lightgbm(b"\xff").is_err());
}

#[test]
fn lists_that_no_model_has_are_refused_before_they_are_read_whole() {
    let mut file: Value = serde_json::from_slice(&seed("xgboost_json", "binary")).unwrap();
    let good = file.clone();
    file["learner"]["feature_names"] = vec![""; 100_001].into();
    let fault = load_xgboost(file.to_string().as_bytes()).unwrap_err().to_string();
    assert!(fault.contains("feature_names") && fault.contains("100000"), "{fault}");
    file = good;
    for n in 0..300 {
        file["learner"]["learner_model_param"][format!("p{n}")] = json!("1");
    }
    let fault = load_xgboost(file.to_string().as_bytes()).unwrap_err().to_string();
    assert!(fault.contains("more than 256"), "{fault}");
}
