//! The shipped artifacts, and what is wrong with altered ones: the message names it.

use std::path::{Path, PathBuf};
use std::process::Command;

use gavel::modelstore::folder;
use gavel::scoring::forest::Precision;
use gavel::scoring::lightgbm;
use gavel::scoring::loaded::Core;
use gavel::scoring::{Artifact, RowsFrom, Scratch, Sources, Value};
use sha2::{Digest, Sha256};
use tempfile::TempDir;

fn shipped(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("models").join(name).join("2026-11-20.1")
}

/// A copy of a shipped artifact whose manifest `edit` changed.
fn altered(name: &str, edit: impl Fn(String) -> String) -> TempDir {
    let dir = TempDir::new().unwrap();
    for entry in std::fs::read_dir(shipped(name)).unwrap() {
        let from = entry.unwrap().path();
        std::fs::copy(&from, dir.path().join(from.file_name().unwrap())).unwrap();
    }
    let manifest = dir.path().join("manifest.toml");
    let text = std::fs::read_to_string(&manifest).unwrap();
    let edited = edit(text.clone());
    assert_ne!(text, edited, "the edit found nothing");
    std::fs::write(manifest, edited).unwrap();
    dir
}

fn refused(dir: &Path) -> String {
    folder::load(dir, &Sources::any(), RowsFrom::Transforms).unwrap_err().to_string()
}

#[test]
fn the_demo_models_load_with_what_their_callers_provide() {
    let windows =
        ["customer_count_1d", "customer_count_7d", "customer_avg_7d", "terminal_count_7d", "terminal_fraud_7d"];
    let fraud = Sources::fraud().with_windows(windows);
    for (name, sources) in
        [("ctr", Sources::bid()), ("fraud", fraud), ("ctr", Sources::any()), ("fraud", Sources::any())]
    {
        let artifact = folder::load(&shipped(name), &sources, RowsFrom::Transforms).unwrap();
        assert_eq!((artifact.name.as_str(), artifact.version.as_str()), (name, "2026-11-20.1"));
        assert!(artifact.golden >= 12);
    }
    let missing = folder::load(&shipped("fraud"), &Sources::fraud(), RowsFrom::Transforms).unwrap_err().to_string();
    assert!(missing.contains("customer_count_1d"), "{missing}");
    let other = folder::load(&shipped("ctr"), &Sources::fraud(), RowsFrom::Transforms).unwrap_err().to_string();
    assert!(other.contains("device.geo.country"), "{other}");
}

#[test]
fn a_manifest_that_does_not_fit_is_refused_by_name() {
    type Edit = (&'static str, &'static str, &'static [&'static str]);
    let edits: &[Edit] = &[
        ("device.geo.country", "device.geo.planet", &["feature `country`", "device.geo.planet"]),
        ("source = \"clock.hour\"", "source = \"window:not-a-name\"", &["feature `hour`", "window:not-a-name"]),
        ("sha256 = \"", "sha256 = \"0", &["sha256", "model.ubj"]),
        ("kind = \"xgboost\"", "kind = \"lightgbm\"", &["model.ubj"]),
        ("kind = \"xgboost\"", "kind = \"onnx\"", &["manifest.toml: line 3", "onnx"]),
        ("file = \"model.ubj\"", "file = \"../model.ubj\"", &["file"]),
        ("file = \"model.ubj\"", "file = \"model.json\"", &["model.json"]),
        ("output = \"probability\"", "output = \"value\"", &["output"]),
        ("output = \"probability\"", "output = \"margin\"", &["output"]),
        ("output = \"probability\"", "output = \"odds\"", &["line 6", "odds"]),
        ("output = \"probability\"", "output = \"probability\"\nprecision = \"f64\"", &["precision"]),
        ("output = \"probability\"", "output = \"probability\"\nthreads = 4", &["threads"]),
        ("name = \"w\"", "name = \"h\"", &["`h`", "twice"]),
        ("name = \"w\"", "name = \"breadth\"", &["`w`", "missing"]),
        ("[[features]]\nname = \"w\"\nsource = \"imp.banner.w\"\ntransform = \"numeric\"\n", "", &["`w`"]),
        ("transform = \"numeric\"", "transform = \"category\"", &["feature `w`", "categories", "missing"]),
        ("transform = \"numeric\"", "transform = \"numeric\"\nbits = 3", &["feature `w`", "bits"]),
        ("transform = \"numeric\"", "transform = \"numeric\"\nscale = inf", &["feature `w`", "scale"]),
        ("transform = \"numeric\"", "transform = \"bucket\"\nedges = [2, 1]", &["feature `w`", "edges"]),
        ("bits = 6", "bits = 25", &["feature `site`", "bits"]),
        ("bits = 6", "bits = 0", &["feature `site`", "bits"]),
        ("values = [5, 6]", "values = [5, 5]", &["feature `weekend`", "twice"]),
        ("values = [5, 6]", "values = [\"5\"]", &["feature `weekend`", "clock.day_of_week"]),
        ("values = [5, 6]", "values = []", &["feature `weekend`", "empty"]),
        ("source = \"site.domain\"", "source = \"site.cat\"", &["feature `site`", "list"]),
        ("source = \"clock.hour\"", "source = \"device.os\"", &["feature `hour`", "device.os"]),
        ("kind = \"platt\"", "kind = \"isotonic\"", &["manifest.toml"]),
        ("a = -", "a = nan # ", &["calibration"]),
        ("name = \"ctr\"", "name = \"../ctr\"", &["name"]),
        ("version = \"2026", "version = \".2026", &["version"]),
    ];
    for (from, to, names) in edits {
        let dir = altered("ctr", |text| text.replacen(from, to, 1));
        let message = refused(dir.path());
        assert!(names.iter().all(|name| message.contains(name)), "{from} -> {to}: {message}");
    }
}

#[test]
fn a_golden_row_that_differs_is_refused_by_number() {
    let nudged = |key: &'static str, row: usize| {
        move |text: String| {
            let at = text.match_indices("[[golden]]").nth(row).unwrap().0;
            let from = at + text[at..].find(key).unwrap() + key.len();
            let to = from + text[from..].find('\n').unwrap();
            let value: f64 = text[from..to].parse().unwrap();
            // XGBoost's raw scores are f32: the next of those.
            let next = if key == "raw = " { f64::from((value as f32).next_up()) } else { value.next_up() };
            format!("{}{next:?}{}", &text[..from], &text[to..])
        }
    };
    for (key, what) in [("raw = ", "raw"), ("prediction = ", "prediction")] {
        let dir = altered("ctr", nudged(key, 3));
        let message = refused(dir.path());
        assert!(message.contains("golden row 3") && message.contains(what), "{message}");
    }
    let dir = altered("ctr", |text| text.replacen("features = [", "features = [1.0, ", 1));
    assert!(refused(dir.path()).contains("golden row 0"));
    let dir = altered("ctr", |text| text.replacen("raw = ", "raw = nan #", 1));
    assert!(refused(dir.path()).contains("golden row 0: raw"));
}

#[test]
fn a_damaged_model_file_is_refused_by_its_digest() {
    let dir = altered("fraud", |text| text.replace("[calibration]", "[calibration] "));
    let path = dir.path().join("model.txt");
    let mut bytes = std::fs::read(&path).unwrap();
    bytes.truncate(bytes.len() / 2);
    std::fs::write(&path, &bytes).unwrap();
    assert!(refused(dir.path()).contains("sha256"));
    std::fs::remove_file(&path).unwrap();
    assert!(refused(dir.path()).contains("model.txt"));
    std::fs::create_dir(&path).unwrap();
    assert!(refused(dir.path()).contains("model.txt"));
}

/// Columns are what the manifest says, and a batch scores as its rows do one by one.
#[test]
fn values_become_columns() {
    let sources = Sources::bid();
    let artifact: Artifact = folder::load(&shipped("ctr"), &sources, RowsFrom::Transforms).unwrap();
    let mut values = vec![Value::Missing; sources.len()];
    let mut set = |name: &str, value: Value<'static>| values[sources.find(name).unwrap().0] = value;
    set("device.geo.country", Value::Text("DEU"));
    set("device.os", Value::Text("beos"));
    set("device.devicetype", Value::Number(4.0));
    set("imp.banner.w", Value::Number(300.0));
    set("clock.day_of_week", Value::Number(6.0));
    set("site.domain", Value::Text("example.com"));
    let mut shared = vec![0.0; artifact.features.len()];
    artifact.features.fill_shared(&values, &mut shared);
    assert_eq!(shared[..4].iter().map(|x| x.to_string()).collect::<Vec<_>>(), ["1", "NaN", "3", "300"]);
    assert!(shared[8] == 1.0 && (0.0..64.0).contains(&shared[9]));
    let leading = artifact.features.leading();
    assert_eq!(leading, 10);

    let mut rows = Vec::new();
    for advertiser in ["acme", "globex", "initech"].iter().cycle().take(40) {
        values[sources.find("campaign.advertiser").unwrap().0] = Value::Text(advertiser);
        let mut row = shared.clone();
        artifact.features.fill_varying(&values, &mut row);
        rows.extend(row);
    }
    let (mut scratch, mut single) = (Scratch::default(), Scratch::default());
    let batch = artifact.model.score(&rows, 40, leading, &mut scratch);
    for (row, prediction) in rows.chunks_exact(shared.len()).zip(batch.predictions) {
        let alone = artifact.model.score(row, 1, leading, &mut single).predictions[0];
        assert_eq!(alone.to_bits(), prediction.to_bits());
        assert!(alone > 0.0 && alone < 1.0);
    }
}

/// An artifact of bid requests around a file of `models/fidelity`.
fn folder_of(file: &str, kind: &str, output: &str, columns: usize) -> TempDir {
    let bytes = std::fs::read(Path::new(env!("CARGO_MANIFEST_DIR")).join("models/fidelity").join(file)).unwrap();
    folder_with(&bytes, file, kind, output, columns)
}

fn folder_with(bytes: &[u8], file: &str, kind: &str, output: &str, columns: usize) -> TempDir {
    let dir = TempDir::new().unwrap();
    std::fs::write(dir.path().join(file), bytes).unwrap();
    let digest: String = Sha256::digest(bytes).iter().map(|byte| format!("{byte:02x}")).collect();
    let mut text = format!(
        "name = \"ctr\"\nversion = \"1\"\nkind = \"{kind}\"\nfile = \"{file}\"\nsha256 = \"{digest}\"\noutput = \"{output}\"\n"
    );
    for column in 0..columns {
        text += &format!("[[features]]\nname = \"f{column}\"\nsource = \"clock.hour\"\ntransform = \"numeric\"\n");
    }
    std::fs::write(dir.path().join("manifest.toml"), text).unwrap();
    dir
}

#[test]
fn a_file_that_is_no_model_is_called_what_it_is() {
    let tar = [&[b'a'; 257][..], b"ustar\0"].concat();
    let files: [(&str, &[u8], &str); 12] = [
        ("xgboost", b"\x80\x04\x95\xc1\x18\0\0\0\0\0\0\x8c\x0cxgboost.core\x94", "is a pickle"),
        ("lightgbm", b"\x80\x02clightgbm.basic\nBooster\n", "is a pickle"),
        ("linear", b"\x80\x05\x95", "is a pickle"),
        ("xgboost", b"\x1f\x8b\x08\0\0\0\0\0", "is compressed"),
        ("xgboost", b"PK\x03\x04\x14\0", "is a zip"),
        ("lightgbm", &tar, "is a tar"),
        ("xgboost", b"booster[0]:\n0:[f0<1] yes=1,no=2,missing=2\n", "is a dump"),
        ("xgboost", b"[\n  { \"nodeid\": 0, \"depth\": 0,", "is a dump"),
        ("lightgbm", b"{\"name\": \"tree\", \"version\": \"v4\", \"num_tree_per_iteration\": 1}", "is a dump"),
        ("xgboost", b"tree\nversion=v4\n", "`kind` is \"lightgbm\""),
        ("lightgbm", b"{\"learner\":{}}", "`kind` is \"xgboost\""),
        ("xgboost", b"binf\0\0\0?", "binary format before 1.0"),
    ];
    for (kind, bytes, what) in files {
        let message = refused(folder_with(bytes, "model", kind, "value", 1).path());
        assert!(message.starts_with("model: ") && message.contains(what), "{kind}: {message}");
    }
    // What is one and damaged is told where.
    let message = refused(folder_with(b"tree\nversion=v4\n", "model", "lightgbm", "value", 1).path());
    assert!(message.starts_with("model: line"), "{message}");
}

fn gavel(args: &[&str]) -> (bool, String, String) {
    let out = Command::new(env!("CARGO_BIN_EXE_gavel")).arg("model").args(args).output().unwrap();
    (out.status.success(), String::from_utf8(out.stdout).unwrap(), String::from_utf8(out.stderr).unwrap())
}

#[test]
fn the_command_line_verifies_inspects_and_scores() {
    let dir = shipped("ctr");
    let dir = dir.to_str().unwrap();
    let (fine, out, _) = gavel(&["verify", dir]);
    assert!(fine && out.contains("ctr 2026-11-20.1: fine for bids"), "{out}");
    assert!(
        out.contains("does not tell the order") && out.contains("country, os, device_type, creative_type"),
        "{out}"
    );
    assert!(!out.contains("its place"), "{out}");
    let (fine, out, _) = gavel(&["inspect", dir]);
    assert!(fine && out.contains("binary:logistic") && out.contains("device.geo.country"), "{out}");
    assert!(out.contains("os: category (of 5), order not told of device.os"), "{out}");
    let bad = altered("ctr", |text| text.replace("imp.banner.w", "imp.banner.width"));
    let (fine, _, err) = gavel(&["verify", bad.path().to_str().unwrap()]);
    assert!(!fine && err.contains("`imp.banner.width` is unknown; `gavel model sources` lists them"), "{err}");
    let (fine, out, _) = gavel(&["sources"]);
    assert!(fine && out.lines().any(|line| line.split_whitespace().eq(["imp.banner.w", "number"])), "{out}");
    let (fine, out, _) = gavel(&["sources", "fraud"]);
    let named = |name: &str| out.lines().any(|line| line.starts_with(&format!("{name} ")));
    assert!(fine && named("amount.value") && named("window:customer_avg_7d") && !named("imp.banner.w"), "{out}");

    // What the server refuses: windows that no config declares, several classes, another use than the name's.
    let (fine, out, err) = gavel(&["verify", shipped("fraud").to_str().unwrap()]);
    assert!(fine && out.contains("fine for fraud checks"), "{out} {err}");
    let edits: [(&str, &str, &str, &str); 3] = [
        ("fraud", "window:customer_avg_7d", "window:customer_avg_8d", "customer_avg_8d` is unknown; windows are those"),
        ("fraud", "name = \"fraud\"", "name = \"chargebacks\"", "`amount`: source"),
        ("ctr", "name = \"ctr\"", "name = \"fraud\"", "`country`: source"),
    ];
    for (name, from, to, what) in edits {
        let bad = altered(name, |text| text.replacen(from, to, 1));
        let (fine, out, err) = gavel(&["verify", bad.path().to_str().unwrap()]);
        assert!(!fine && out.is_empty() && err.contains(what), "{what}: {err}");
    }
    let moved = altered("ctr", |text| text.replacen("2026-11-20.1", "2", 1));
    let (fine, out, _) = gavel(&["verify", moved.path().to_str().unwrap()]);
    assert!(fine && out.contains("its place is ctr/2/"), "{out}");
    let classes = folder_of("xgb32-softprob.json", "xgboost", "value", 6);
    let (fine, _, err) = gavel(&["verify", classes.path().to_str().unwrap()]);
    assert!(!fine && err.contains("gives 3 predictions, a click rate is one"), "{err}");

    // The golden rows as a table, its columns the other way round.
    let text = std::fs::read_to_string(shipped("ctr").join("manifest.toml")).unwrap();
    let after = |key: &str| -> Vec<&str> { text.lines().filter_map(|line| line.strip_prefix(key)).collect() };
    let names: Vec<&str> = after("name = ")[1..].to_vec();
    let flip = |cells: Vec<&str>| cells.into_iter().rev().map(|c| c.trim_matches('"')).collect::<Vec<_>>().join(",");
    let mut table = flip(names) + "\n";
    for features in after("features = ") {
        let cells = features.trim_matches(['[', ']']).split(", ").map(|cell| if cell == "nan" { "" } else { cell });
        table += &(flip(cells.collect()) + "\r\n");
    }
    let folder = TempDir::new().unwrap();
    let path = folder.path().join("rows.csv");
    std::fs::write(&path, table).unwrap();
    let (fine, out, err) = gavel(&["score", dir, path.to_str().unwrap()]);
    assert!(fine, "{err}");
    let golden = after("raw = ").into_iter().zip(after("prediction = "));
    let numbers = |line: &str| line.split(',').map(|cell| cell.parse::<f64>().unwrap().to_bits()).collect::<Vec<_>>();
    let expected: Vec<_> = golden.map(|(raw, prediction)| numbers(&format!("{raw},{prediction}"))).collect();
    assert_eq!(out.lines().map(numbers).collect::<Vec<_>>(), expected);

    // A file that is no table is not printed whole.
    std::fs::write(&path, "x".repeat(1 << 20)).unwrap();
    let (fine, _, err) = gavel(&["score", dir, path.to_str().unwrap()]);
    assert!(!fine && err.contains("is no feature") && err.len() < 400, "{}", err.len());
    std::fs::write(&path, "country,os\n1,2\n").unwrap();
    let (fine, _, err) = gavel(&["score", dir, path.to_str().unwrap()]);
    assert!(!fine && err.contains("`device_type` is missing"), "{err}");
}

/// What scores otherwise than people expect, or is refused elsewhere, is said.
#[test]
fn verify_says_what_it_takes_and_others_do_not() {
    let dir = altered("ctr", |text| text.replace("[calibration]", "[calibration] "));
    std::fs::write(dir.path().join("notes.md"), "x").unwrap();
    let (fine, out, _) = gavel(&["verify", dir.path().to_str().unwrap()]);
    assert!(fine && out.contains("an upload would be refused: notes.md not named by the manifest"), "{out}");

    // Training that stopped early leaves the trees that came after the best iteration.
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("models/fidelity/xgb32-binary.json");
    let mut model: serde_json::Value = serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap();
    for (best, note) in [("3", true), ("17", false), ("x", false)] {
        model["learner"]["attributes"]["best_iteration"] = best.into();
        let dir = folder_with(model.to_string().as_bytes(), "model.json", "xgboost", "probability", 6);
        for command in ["verify", "inspect"] {
            let (fine, out, err) = gavel(&[command, dir.path().to_str().unwrap()]);
            let said = "training stopped early: the best iteration's trees are the first 4, and all 18 are scored";
            assert!(fine && out.contains(said) == note, "{command} {best}: {out} {err}");
        }
    }
}

#[test]
fn leaves_with_formulas_are_leaves() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("models/fidelity/lgb47-linear.txt");
    let loaded = lightgbm::load(&std::fs::read(path).unwrap(), Precision::F64).unwrap();
    let Core::Forest(forest) = loaded.core else { panic!("a forest") };
    assert!(forest.leaves > forest.trees, "{} leaves", forest.leaves);
}

#[test]
fn a_softmax_of_one_class_is_no_click_rate() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("models/fidelity/xgb32-binary.json");
    let mut model: serde_json::Value = serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap();
    model["learner"]["objective"]["name"] = "multi:softprob".into();
    let dir = folder_with(model.to_string().as_bytes(), "model.json", "xgboost", "probability", 6);
    let (fine, _, err) = gavel(&["verify", dir.path().to_str().unwrap()]);
    assert!(!fine && err.contains("has one class: its probability is always 1"), "{err}");
}
