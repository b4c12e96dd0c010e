use gavel::scoring::{calibration::Calibration, forest::Precision, lightgbm, model::*, xgboost};
use std::time::Duration;
fn cpu() -> Duration {
    let t = rustix::time::clock_gettime(rustix::time::ClockId::ThreadCPUTime);
    Duration::new(t.tv_sec as u64, t.tv_nsec as u32)
}
fn f64s(p: String) -> Vec<f64> {
    std::fs::read(p).unwrap().chunks_exact(8).map(|c| f64::from_le_bytes(c.try_into().unwrap())).collect()
}
fn main() {
    let dir = std::env::var("DIR").unwrap();
    for name in ["100x31", "100x63", "500x63", "categorical"] {
        let rows = f64s(format!("{dir}/{name}.rows"));
        for (ext, prec) in [("json", Precision::F32), ("txt", Precision::F32), ("txt", Precision::F64)] {
            let bytes = std::fs::read(format!("{dir}/{name}.{ext}")).unwrap();
            let want = f64s(format!("{dir}/{name}.{ext}.raw"));
            let loaded = if ext == "json" { xgboost::load(&bytes) } else { lightgbm::load(&bytes, prec) }.unwrap();
            let model = Model::new(loaded, Output::Value, Calibration::None).unwrap();
            let mut scratch = Scratch::default();
            for batch in [1, 16] {
                let mut best = f64::MAX;
                let mut bad = 0;
                for _ in 0..7 {
                    bad = 0;
                    let from = cpu();
                    for (i, rows) in rows.chunks_exact(30 * batch).enumerate() {
                        let s = model.score(rows, batch, 0, &mut scratch);
                        bad += s.raw.iter().zip(&want[i * batch..]).filter(|(a, b)| a != b).count();
                    }
                    best = best.min((cpu() - from).as_nanos() as f64 / 10000.0);
                }
                println!("{name} {ext} {prec:?} batch {batch}: {best:.0} ns/row, {bad} differ");
            }
        }
    }
}
