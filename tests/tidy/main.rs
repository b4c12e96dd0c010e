//! Rules of the source tree that no compiler knows: who knows whom, what the core never holds, what is never left.

mod rooms;
mod rules;
mod source;

use std::path::{Path, PathBuf};

use rules::{RULES, undocumented_metrics};
use source::{File, mark_test_modules};

const FOLDERS: &[&str] = &["src", "tests", "benches", "loadtest"];
const METRICS: &str = "src/telemetry/metrics.rs";

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn collect(dir: &Path, out: &mut Vec<PathBuf>) {
    let Ok(entries) = std::fs::read_dir(dir) else { return };
    for entry in entries {
        let path = entry.unwrap().path();
        // A fuzz target or an example may have built where it stands.
        if path.is_dir() && !path.ends_with("target") {
            collect(&path, out);
        } else if path.extension().is_some_and(|e| e == "rs") {
            out.push(path);
        }
    }
}

fn tree() -> Vec<File> {
    let mut paths = Vec::new();
    FOLDERS.iter().for_each(|folder| collect(&root().join(folder), &mut paths));
    paths.sort();
    let mut files: Vec<File> = paths
        .iter()
        .map(|path| {
            let name = path.strip_prefix(root()).unwrap().to_str().unwrap().replace('\\', "/");
            File::new(&name, &std::fs::read_to_string(path).unwrap())
        })
        .collect();
    mark_test_modules(&mut files);
    files
}

#[test]
fn the_tree_is_tidy() {
    let files = tree();
    let mut faults = Vec::new();
    for file in &files {
        for rule in RULES {
            for (line, message) in (rule.check)(file) {
                faults.push(format!("{}:{}: {message} ({})", file.path, line + 1, rule.name));
            }
        }
    }
    println!("{} files checked", files.len());
    assert!(files.iter().any(|file| file.path == "src/money.rs") && files.len() > 10, "the tree was not found");
    assert!(faults.is_empty(), "\n{}\n", faults.join("\n"));
}

#[test]
fn every_metric_is_documented() {
    let files = tree();
    let metrics = files.iter().find(|file| file.path == METRICS);
    let readme = std::fs::read_to_string(root().join("README.md"));
    let (Some(metrics), Ok(readme)) = (metrics, readme) else {
        println!("skipped: there is no {METRICS} or no README.md");
        return;
    };
    let faults: Vec<_> = undocumented_metrics(metrics, &readme)
        .into_iter()
        .map(|(line, message)| format!("{METRICS}:{}: {message}", line + 1))
        .collect();
    assert!(faults.is_empty(), "\n{}\n", faults.join("\n"));
}

#[test]
fn every_rule_can_fail() {
    for rule in RULES {
        for (path, text) in rule.bad {
            let hits = (rule.check)(&File::new(path, text));
            assert!(!hits.is_empty(), "{} lets pass {path}:\n{text}", rule.name);
            assert!(hits.iter().all(|(line, _)| *line < text.split('\n').count()), "{}: {hits:?}", rule.name);
        }
        for (path, text) in rule.good {
            assert_eq!((rule.check)(&File::new(path, text)), [], "{} hits {path}:\n{text}", rule.name);
        }
    }
}

#[test]
fn long_files_and_untold_metrics_are_found() {
    let long = RULES.iter().find(|rule| rule.name == "files fit in a head").unwrap();
    assert_eq!((long.check)(&File::new("src/a.rs", &"\n".repeat(600))), []);
    assert_eq!((long.check)(&File::new("src/a.rs", &"\n".repeat(601))).len(), 1);

    let metrics = File::new(METRICS, "a(\"gavel_bids\");\nb(\"gavel_wins_total\");\nc(\"gavel of wood\");");
    assert_eq!(undocumented_metrics(&metrics, "`gavel_bids_total` `gavel_wins_total`"), []);
    let untold = undocumented_metrics(&metrics, "`gavel_wins_total`, my_gavel_bids");
    assert_eq!(untold, [(0, "the metric `gavel_bids` is not in README.md".to_owned())]);
    assert_eq!(undocumented_metrics(&File::new(METRICS, ""), "").len(), 1);
}
