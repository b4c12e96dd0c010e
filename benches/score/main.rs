//! How long does a score take, and how long does it take the libraries that made the model, and the compilers of models?
//!
//! `benches/score/run` sets up the peers and runs this: everything in one process and one thread, interleaved, CPU time,
//! 10,000 distinct rows. Without SCORE_BENCH, the folder that it makes, only the linear model is measured.

mod linear;
mod peers;

use std::path::{Path, PathBuf};
use std::time::Duration;

use gavel::scoring::calibration::Calibration;
use gavel::scoring::forest::Precision;
use gavel::scoring::model::{Model, Output, Scratch};
use gavel::scoring::{lightgbm, xgboost};
use peers::{LightGbm, Lleaves, Peer, Tl2cgen, XGBoost};

const MODELS: [&str; 4] = ["100x31", "100x63", "500x63", "categorical"];
const WIDTH: usize = 30;
const ROUNDS: usize = 7;

/// Of this thread.
pub fn cpu() -> Duration {
    let time = rustix::time::clock_gettime(rustix::time::ClockId::ThreadCPUTime);
    Duration::new(time.tv_sec as u64, time.tv_nsec as u32)
}

fn floats(path: PathBuf) -> Vec<f64> {
    let bytes = std::fs::read(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    bytes.as_chunks::<8>().0.iter().map(|chunk| f64::from_le_bytes(*chunk)).collect()
}

struct Ours {
    model: Model,
    scratch: Scratch,
}

impl Peer for Ours {
    fn score(&mut self, rows: &[f64], count: usize, raw: &mut [f64]) {
        raw.copy_from_slice(self.model.score(rows, count, 0, &mut self.scratch).raw);
    }
}

fn ours(path: &Path, precision: Precision) -> Box<dyn Peer> {
    let file = std::fs::read(path).expect("a model");
    let is_json = path.extension().is_some_and(|extension| extension == "json");
    let loaded = if is_json { xgboost::load(&file) } else { lightgbm::load(&file, precision) };
    let model = Model::new(loaded.expect("a good model"), Output::Value, Calibration::None).expect("an output");
    Box::new(Ours { model, scratch: Scratch::default() })
}

struct Entrant {
    name: &'static str,
    peer: Box<dyn Peer>,
    best: f64,
    differ: usize,
}

fn entrants(dir: &Path, name: &str, library: &str) -> Vec<Entrant> {
    let file = |suffix: &str| dir.join(format!("{name}.{suffix}"));
    let from_env = |key: &str| PathBuf::from(std::env::var_os(key).unwrap_or_default());
    let mut list: Vec<(&str, Option<Box<dyn Peer>>)> = Vec::new();
    if library == "xgboost" {
        list.push(("gavel", Some(ours(&file("json"), Precision::F32))));
        let peer = XGBoost::open(&from_env("LIBXGBOOST"), &file("json"));
        list.push(("XGBoost C", peer.map(|peer| Box::new(peer) as _)));
    } else {
        list.push(("gavel, f32 declared", Some(ours(&file("txt"), Precision::F32))));
        list.push(("gavel, f64", Some(ours(&file("txt"), Precision::F64))));
        let peer = LightGbm::open(&from_env("LIBLIGHTGBM"), &file("txt"));
        list.push(("LightGBM C, fast", peer.map(|peer| Box::new(peer) as _)));
        list.push(("lleaves", Lleaves::open(&file("lleaves.so")).map(|peer| Box::new(peer) as _)));
        list.push(("tl2cgen", Tl2cgen::open(&file("tl2cgen.so")).map(|peer| Box::new(peer) as _)));
    }
    let mut entrants = Vec::new();
    for (peer_name, peer) in list {
        match peer {
            Some(peer) => entrants.push(Entrant { name: peer_name, peer, best: f64::MAX, differ: 0 }),
            None => println!("{name}: {peer_name} is not there"),
        }
    }
    entrants
}

fn race(dir: &Path, name: &str, library: &str, batch: usize) {
    let rows = floats(dir.join(format!("{name}.rows")));
    let suffix = if library == "xgboost" { "json" } else { "txt" };
    let expected = floats(dir.join(format!("{name}.{suffix}.raw")));
    let mut entrants = entrants(dir, name, library);
    let mut raw = vec![0.0; expected.len()];
    for _ in 0..ROUNDS {
        for entrant in &mut entrants {
            let from = cpu();
            for (rows, raw) in rows.chunks_exact(WIDTH * batch).zip(raw.chunks_exact_mut(batch)) {
                entrant.peer.score(rows, batch, raw);
            }
            entrant.best = entrant.best.min((cpu() - from).as_nanos() as f64 / expected.len() as f64);
            entrant.differ = raw.iter().zip(&expected).filter(|(a, b)| a.to_bits() != b.to_bits()).count();
        }
    }
    let ours = entrants[0].best;
    for Entrant { name: peer, best, differ, .. } in entrants {
        println!("| {name} {library} | {batch} | {peer} | {best:.0} | {:.2} | {differ} |", best / ours);
    }
}

fn main() {
    println!(
        "| model | rows | who | CPU ns per row | times gavel | raw scores that differ |\n|---|---|---|---|---|---|"
    );
    linear::run();
    let Some(dir) = std::env::var_os("SCORE_BENCH").map(PathBuf::from) else {
        println!("only the linear model: benches/score/run sets up the others");
        return;
    };
    for name in MODELS {
        for library in ["lightgbm", "xgboost"] {
            for batch in [1, 16] {
                race(&dir, name, library, batch);
            }
        }
    }
}
