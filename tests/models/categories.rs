//! The order of categories: where the model file tells it, no manifest with another is taken.
//!
//! `tests/fixtures/models/named.*` were trained on one pandas frame by XGBoost 3.2.0 and LightGBM 4.7.0: `floor` is a number,
//! `make` an ordered column of categories, `rewarded` one of 0 and 1, the others unordered ones. The scores in `MODELS` are the raw ones
//! that the libraries gave for one row of that frame.

use std::path::Path;

use gavel::scoring::manifest::Manifest;
use gavel::scoring::{Artifact, RowsFrom, Scratch, Sources, Value};
use sha2::{Digest, Sha256};

const MODELS: [(&str, &str, f64); 3] = [
    ("xgboost", "json", 0.37325072288513184),
    ("xgboost", "ubj", 0.37325072288513184),
    ("lightgbm", "txt", 0.19378099745849553),
];

const FEATURES: &str = r#"
[[features]]
name = "floor"
source = "imp.bidfloor"
transform = "numeric"
[[features]]
name = "country"
source = "device.geo.country"
transform = "category"
categories = ["USA", "DEU", "GBR"]
[[features]]
name = "device"
source = "device.devicetype"
transform = "category"
categories = [4, 5, 1]
[[features]]
name = "make"
source = "device.make"
transform = "category"
categories = ["lo", "hi"]
[[features]]
name = "city"
source = "device.geo.city"
transform = "category"
categories = ["Köln", "Bonn"]
[[features]]
name = "rewarded"
source = "imp.rwdd"
transform = "numeric"
"#;

fn file(ending: &str) -> Vec<u8> {
    let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/models");
    std::fs::read(dir.join(format!("named.{ending}"))).unwrap()
}

fn load(kind: &str, file: &[u8], features: &str) -> Result<Artifact, String> {
    let digest: String = Sha256::digest(file).iter().map(|byte| format!("{byte:02x}")).collect();
    let text = format!(
        "name = \"ctr\"\nversion = \"1\"\nkind = \"{kind}\"\nfile = \"model\"\nsha256 = \"{digest}\"\noutput = \"probability\"\n{features}"
    );
    let manifest = Manifest::parse(&text).unwrap();
    Artifact::load(&manifest, file, &Sources::bid(), RowsFrom::Transforms).map_err(|fault| fault.to_string())
}

#[test]
fn what_the_file_tells_is_compared_and_scores_as_in_training() {
    let sources = Sources::bid();
    for (kind, ending, raw) in MODELS {
        let artifact = load(kind, &file(ending), FEATURES).unwrap();
        // XGBoost garbles names that are not of ASCII.
        let untold: &[&str] = if kind == "xgboost" { &["city"] } else { &[] };
        assert_eq!(artifact.untold, untold);
        let mut values = vec![Value::Missing; sources.len()];
        for (name, value) in [
            ("imp.bidfloor", Value::Number(0.8)),
            ("device.geo.country", Value::Text("usa")),
            ("device.devicetype", Value::Number(5.0)),
            ("device.make", Value::Text("HI")),
            ("device.geo.city", Value::Text("Bonn")),
            ("imp.rwdd", Value::Number(1.0)),
        ] {
            values[sources.find(name).unwrap().0] = value;
        }
        let mut row = vec![0.0; artifact.features.len()];
        artifact.features.fill_shared(&values, &mut row);
        assert_eq!(row, [0.8, 0.0, 1.0, 1.0, 1.0, 1.0]);
        assert_eq!(artifact.model.score(&row, 1, 0, &mut Scratch::default()).raw, [raw], "{ending}");
    }
}

#[test]
fn another_order_is_refused_by_name() {
    let country = r#"categories = ["USA", "DEU", "GBR"]"#;
    let cases: &[(&str, &str, &[&str])] = &[
        (country, r#"categories = ["DEU", "USA", "GBR"]"#, &["feature `country`", "`USA` is number 1, in the model 0"]),
        (country, r#"categories = ["USA", "DEU"]"#, &["feature `country`: categories"]),
        (country, r#"categories = ["USA", "DEU", "FRA"]"#, &["feature `country`", "`GBR`, number 2"]),
        (
            country,
            r#"categories = ["USA", "DEU", "GBR", "FRA"]"#,
            &["feature `country`", "there are 4, in the model 3"],
        ),
        ("[4, 5, 1]", "[1, 4, 5]", &["feature `device`", "4 is number 1, in the model 0"]),
        // Whose number is not its place in the list needs one.
        (
            "transform = \"category\"\ncategories = [4, 5, 1]",
            "transform = \"numeric\"",
            &["feature `device`", "`category`"],
        ),
        (
            "source = \"imp.rwdd\"\ntransform = \"numeric\"",
            "source = \"imp.rwdd\"\ntransform = \"log1p\"",
            &["feature `rewarded`"],
        ),
        (
            "source = \"imp.rwdd\"\ntransform = \"numeric\"",
            "source = \"imp.rwdd\"\ntransform = \"category\"\ncategories = [1, 0]",
            &["feature `rewarded`", "0 is number 1"],
        ),
    ];
    for (kind, ending, _) in MODELS {
        let model = file(ending);
        for (from, to, names) in cases {
            assert!(FEATURES.contains(from), "{from}");
            let message = load(kind, &model, &FEATURES.replacen(from, to, 1)).unwrap_err();
            assert!(names.iter().all(|name| message.contains(name)), "{ending}: {to}: {message}");
        }
        let city = load(kind, &model, &FEATURES.replace(r#"["Köln", "Bonn"]"#, r#"["Bonn", "Köln"]"#));
        match kind {
            "xgboost" => assert_eq!(city.unwrap().untold, ["city"]),
            _ => assert!(city.unwrap_err().contains("feature `city`: categories: `Köln` is number 1, in the model 0")),
        }
        // LightGBM splits an ordered column as numbers, and does not say which it is.
        let message = load(kind, &model, &FEATURES.replace(r#"["lo", "hi"]"#, r#"["hi", "lo"]"#)).unwrap_err();
        assert!(message.contains("`lo`") && message.contains("`hi`"), "{ending}: {message}");
    }
}

#[test]
fn numbers_and_truths_by_other_names_are_the_same() {
    // Training may have read numbers as texts, and has truths where requests have 0 and 1.
    let text = String::from_utf8(file("txt")).unwrap();
    for (from, to) in [("[4, 5, 1]", r#"["4", "5", "1"]"#), ("[0, 1]]", "[false, true]]")] {
        assert!(text.contains(from));
        load("lightgbm", text.replace(from, to).as_bytes(), FEATURES).unwrap();
    }
    // Every number is the one that was written, also where it is hard to read.
    let hard = |number: f64| text.replace("[4, 5, 1]", &format!("[4, 5, {number:?}]"));
    for number in [0.30000000000000004, 4.35e-7, 3.8087715311598465e-3, 1.7976931348623157e308] {
        let features = FEATURES.replace("[4, 5, 1]", &format!("[4, 5, {number:?}]"));
        load("lightgbm", hard(number).as_bytes(), &features).unwrap();
    }
}

#[test]
fn texts_that_training_read_as_numbers_are_found() {
    // As pandas reads versions of systems, and ids.
    let device = "source = \"device.devicetype\"\ntransform = \"category\"\ncategories = [4, 5, 1]";
    assert!(FEATURES.contains(device));
    let by_text = |list: &str| {
        let text = format!("source = \"device.osv\"\ntransform = \"category\"\ncategories = [{list}]");
        FEATURES.replace(device, &text)
    };
    let sources = Sources::bid();
    for (kind, ending, _) in MODELS {
        for list in [r#""4", "5", "1""#, r#""4.0", "5.0", "1.0""#] {
            let artifact = load(kind, &file(ending), &by_text(list)).unwrap();
            assert!(!artifact.untold.contains(&"device".to_owned()));
            let mut values = vec![Value::Missing; sources.len()];
            let first = list.split('"').nth(1).unwrap().to_owned();
            values[sources.find("device.osv").unwrap().0] = Value::Text(&first);
            let mut row = vec![0.0; artifact.features.len()];
            artifact.features.fill_shared(&values, &mut row);
            assert_eq!(row[2], 0.0);
        }
        let message = load(kind, &file(ending), &by_text(r#""1", "4", "5""#)).unwrap_err();
        assert!(message.contains("feature `device`") && message.contains("4 is number 1, in the model 0"), "{message}");
    }
}

#[test]
fn where_the_file_does_not_tell_it_is_said() {
    let text = String::from_utf8(file("txt")).unwrap();
    let (before, _) = text.split_once("pandas_categorical").unwrap();
    let turned = FEATURES.replace(r#"["USA", "DEU", "GBR"]"#, r#"["DEU", "USA", "GBR"]"#);
    let artifact = load("lightgbm", format!("{before}pandas_categorical:null\n").as_bytes(), &turned).unwrap();
    assert_eq!(artifact.untold, ["country", "device", "make", "city"]);
    // As XGBoost wrote it before 3.1.
    let mut model: serde_json::Value = serde_json::from_slice(&file("json")).unwrap();
    model["learner"]["gradient_booster"]["model"].as_object_mut().unwrap().remove("cats").unwrap();
    let model = model.to_string();
    assert_eq!(load("xgboost", model.as_bytes(), &turned).unwrap().untold, ["country", "device", "make", "city"]);
    // What the splits name is known anyway.
    let short = FEATURES.replace("[4, 5, 1]", "[4]");
    let message = load("xgboost", model.as_bytes(), &short).unwrap_err();
    assert!(message.contains("feature `device`: categories: the model knows its category 1"), "{message}");
}

#[test]
fn lists_that_are_none_are_refused() {
    let text = String::from_utf8(file("txt")).unwrap();
    let (before, lists) = text.split_once("pandas_categorical:").unwrap();
    let more = lists.trim_end().replacen('[', r#"[["x", "y"], "#, 1);
    for lists in [
        "[[\"USA\"",
        "[[[1]]]",
        "{}",
        "[[null]]",
        &format!("[[\"{}\"]]", "x".repeat(5 << 20)),
        &more,
        "[[\"a\", \"b\"]]",
    ] {
        let file = format!("{before}pandas_categorical:{lists}\n");
        let message = load("lightgbm", file.as_bytes(), FEATURES).unwrap_err();
        assert!(message.contains("pandas_categorical") || message.contains("feature"), "{message}");
    }
    let model: serde_json::Value = serde_json::from_slice(&file("json")).unwrap();
    for (key, value) in [
        ("offsets", serde_json::json!([0, 3, 6, 99])),
        ("offsets", serde_json::json!([0, -3, 6, 9])),
        ("offsets", serde_json::json!([5, 3, 6, 9])),
        ("offsets", serde_json::json!("0")),
        ("values", serde_json::json!([0.5])),
    ] {
        let mut model = model.clone();
        model["learner"]["gradient_booster"]["model"]["cats"]["enc"][1][key] = value;
        let message = load("xgboost", model.to_string().as_bytes(), FEATURES).unwrap_err();
        assert!(message.starts_with("model: ") && message.contains("cats"), "{key}: {message}");
    }
}
