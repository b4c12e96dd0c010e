//! How long a score takes: a model of 100 trees with 31 leaves over 30 columns, for one row and for batches, as a decision
//! scores its candidates. In other shapes, and against the libraries that make models: `score/run`.

#[expect(dead_code, reason = "of a check only its model")]
#[path = "support/checking.rs"]
mod checking;

use std::hint::black_box;

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use fastrand::Rng;
use gavel::scoring::calibration::Calibration;
use gavel::scoring::forest::Precision;
use gavel::scoring::lightgbm;
use gavel::scoring::model::{Model, Output, Scratch};

/// As in the product.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// More than the processor's branch history holds.
const ROWS: usize = 4_096;

fn scoring(c: &mut Criterion) {
    let (file, _) = checking::model();
    let mut rng = Rng::with_seed(1);
    let mut group = c.benchmark_group("forest");
    for (name, precision) in [("f32", Precision::F32), ("f64", Precision::F64)] {
        let loaded = lightgbm::load(file.as_bytes(), precision).expect("a good file");
        let model = Model::new(loaded, Output::Probability, Calibration::None).expect("a probability");
        let width = model.features();
        let rows: Vec<f64> = (0..ROWS * width).map(|_| f64::from(rng.u32(..4_000)) / 8.0).collect();
        let (mut scratch, mut at) = (Scratch::default(), 0);
        for count in [1, 16, 64] {
            group.throughput(Throughput::Elements(count as u64));
            group.bench_function(format!("{name}/rows/{count}"), |b| {
                b.iter(|| {
                    at = (at + count) % ROWS;
                    let rows = &rows[at * width..(at + count) * width];
                    model.score(black_box(rows), count, 0, &mut scratch).predictions[0]
                });
            });
        }
    }
    group.finish();
}

criterion_group!(benches, scoring);
criterion_main!(benches);
