//! Requests of the specification and of other projects, valid and invalid, against the binary.

use std::path::PathBuf;

use serde_json::Value;

use crate::make::request;
use crate::process::Process;

/// The folder with `MANIFEST.json`: `GAVEL_DATA`, or beside the checkout.
fn folder() -> Option<PathBuf> {
    let beside = || PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../shared/data/openrtb");
    let folder = std::env::var_os("GAVEL_DATA").map_or_else(beside, PathBuf::from);
    let inside = folder.join("openrtb");
    [folder, inside].into_iter().find(|f| f.join("MANIFEST.json").is_file())
}

#[test]
fn every_sample_request_gets_a_proper_answer() {
    let Some(folder) = folder() else {
        println!("skipped: no sample requests; name their folder in GAVEL_DATA");
        return;
    };
    let manifest: Value = serde_json::from_slice(&std::fs::read(folder.join("MANIFEST.json")).unwrap()).unwrap();
    let dir = tempfile::tempdir().unwrap();
    let process = Process::start(dir.path(), &["--listen", "127.0.0.1:0", "--admin-listen", "127.0.0.1:0"], "curl");
    let mut client = process.connect();
    let (mut bids, mut seen, mut wrong) = (0, 0, Vec::new());
    for entry in manifest.as_array().unwrap() {
        let file = entry["file"].as_str().unwrap();
        let body = std::fs::read(folder.join(file)).unwrap();
        let answer = client.post("/openrtb2/demo", &body);
        let allowed: &[u16] = match (file.starts_with("valid/"), entry["openrtb_level"] == true) {
            (true, _) => &[200, 204],
            (false, true) => &[400, 204],
            (false, false) => &[200, 204, 400],
        };
        if !allowed.contains(&answer.status) {
            wrong.push(format!("{file}: {}", answer.status));
        }
        if answer.status == 200 {
            let (asked, response): (Value, Value) = (serde_json::from_slice(&body).unwrap(), answer.json());
            assert_eq!(response["id"], asked["id"], "{file}");
            for bid in response["seatbid"][0]["bid"].as_array().unwrap() {
                assert!(asked["imp"].as_array().unwrap().iter().any(|imp| imp["id"] == bid["impid"]), "{file}");
                bids += 1;
            }
        } else {
            assert_eq!(answer.text(), "", "{file}");
        }
        seen += 1;
    }
    println!("{seen} sample requests, {bids} bids");
    assert_eq!(wrong, [""; 0]);
    assert!(seen > 100 && bids > 0);
    assert_eq!(client.post("/openrtb2/demo", request().to_string().as_bytes()).status, 200);
    assert_eq!(process.errors(), "");
}
