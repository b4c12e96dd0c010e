//! The fuzz targets without a fuzzer: the corpus, and thousands of changes to it that a seed makes, through the same
//! checks. `FUZZ_MUTATIONS` is how many for each target, `FUZZ_SEED` another seed.

mod checks;

use std::panic::catch_unwind;
use std::path::Path;

use fastrand::Rng;

const MUTATIONS: usize = 4_000;

fn number(name: &str) -> Option<u64> {
    std::env::var(name).ok().map(|text| text.parse().unwrap_or_else(|_| panic!("{name} is no number")))
}

fn corpus(target: &str) -> Vec<(String, Vec<u8>)> {
    let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fuzz/corpus").join(target);
    let files = std::fs::read_dir(&dir).unwrap_or_else(|e| panic!("{}: {e}", dir.display()));
    let mut seeds: Vec<(String, Vec<u8>)> = files
        .map(|file| {
            let file = file.unwrap();
            (file.file_name().into_string().unwrap(), std::fs::read(file.path()).unwrap())
        })
        .collect();
    seeds.sort();
    assert!(seeds.len() >= 5, "{} has {} seeds", dir.display(), seeds.len());
    seeds
}

/// What a field may hold that it should not, or that is tolerated.
const VALUES: [&str; 24] = [
    "null",
    "true",
    "false",
    "0",
    "1",
    "-1",
    "7.0",
    "2.5",
    "1e2",
    "-0.0",
    "4294967296",
    "1e300",
    "\"\"",
    "\" 7 \"",
    "\"x\"",
    "\"-3\"",
    "\"1.5\"",
    "\"\\u0041\"",
    "[]",
    "{}",
    "[1,null,\"2\"]",
    "[[]]",
    "{\"id\":\"x\"}",
    "[{\"id\":\"y\"},null]",
];

/// One to four changes: bytes and bits, pieces left out, doubled, cut, or taken from another seed, and values of JSON.
fn mutate(seeds: &[(String, Vec<u8>)], rng: &mut Rng) -> Vec<u8> {
    let mut bytes = seeds[rng.usize(..seeds.len())].1.clone();
    // Half of them stay JSON where they were.
    let only_values = rng.bool();
    for _ in 0..rng.usize(1..=4) {
        let at = rng.usize(..=bytes.len());
        let end = (at + rng.usize(1..=16)).min(bytes.len());
        match if only_values { 7 } else { rng.u8(..8) } {
            0 => bytes.truncate(at),
            1 => drop(bytes.drain(at..end)),
            2 => {
                let piece = bytes[at..end].to_vec();
                bytes.splice(at..at, piece.repeat(rng.usize(1..=3)));
            }
            3 => {
                let other = &seeds[rng.usize(..seeds.len())].1;
                let from = rng.usize(..=other.len());
                let to = (from + rng.usize(1..=64)).min(other.len());
                bytes.splice(at..end, other[from..to].iter().copied());
            }
            4 => bytes.insert(at, *rng.choice(b"\"\\{}[],:0-.~ne\x00\xff\xe9").unwrap()),
            5 if at < bytes.len() => bytes[at] ^= 1 << rng.u8(..8),
            6 if at < bytes.len() => bytes[at] = rng.u8(..),
            7 => {
                let value = bytes[at..].iter().position(|b| b":[".contains(b)).map_or(at, |i| at + i + 1);
                let end = bytes[value..].iter().position(|b| b",]}".contains(b)).map_or(value, |i| value + i);
                bytes.splice(value..end, rng.choice(VALUES).unwrap().bytes());
            }
            _ if at < bytes.len() => bytes[at] = *rng.choice(b"\"{}[],:0129truenl-_AZaz.~").unwrap(),
            _ => {}
        }
    }
    bytes
}

fn run(target: &str, check: fn(&[u8])) {
    let seeds = corpus(target);
    for (name, bytes) in &seeds {
        assert!(catch_unwind(|| check(bytes)).is_ok(), "the seed {target}/{name} fails");
    }
    let seed = number("FUZZ_SEED").unwrap_or(1);
    let mut rng = Rng::with_seed(seed);
    for i in 0..number("FUZZ_MUTATIONS").map_or(MUTATIONS, |n| n as usize) {
        let bytes = mutate(&seeds, &mut rng);
        let holds = catch_unwind(|| check(&bytes)).is_ok();
        assert!(holds, "{target}, seed {seed}, mutation {i}: {bytes:?}\n{}", String::from_utf8_lossy(&bytes));
    }
}

#[test]
fn request() {
    run("request", checks::request::check);
}

#[test]
fn notice_token() {
    run("notice_token", checks::notice_token::check);
}

#[test]
fn consent() {
    run("consent", checks::consent::check);
}

#[test]
fn xgboost_json() {
    run("xgboost_json", checks::models::xgboost_json);
}

#[test]
fn xgboost_ubj() {
    run("xgboost_ubj", checks::models::xgboost_ubj);
}

#[test]
fn lightgbm() {
    run("lightgbm", checks::models::lightgbm);
}

#[test]
fn linear() {
    run("linear", checks::models::linear);
}

#[test]
fn manifest() {
    run("manifest", checks::models::manifest);
}

#[test]
fn upload() {
    run("upload", checks::models::upload);
}

#[test]
fn fraud_check() {
    run("fraud_check", checks::fraud::check);
}

#[test]
fn fraud_rules() {
    run("fraud_rules", checks::fraud::rules);
}

#[test]
fn fraud_reports() {
    run("fraud_reports", checks::fraud::reports);
}
