//! A logistic model: 60 texts, each hashed into one of 2^20 weights, hashing and logistic function included.

use gavel::scoring::artifact::{Artifact, RowsFrom};
use gavel::scoring::manifest::Manifest;
use gavel::scoring::model::Scratch;
use gavel::scoring::{Sources, Value};
use sha2::{Digest, Sha256};

use super::{ROUNDS, cpu};

const COLUMNS: usize = 60;
/// Columns that differ between the 16 rows of a request.
const VARYING: usize = 4;
const ROWS: usize = 10_000;

/// A model whose last columns are made of what varies.
fn artifact(sources: &Sources) -> Artifact {
    let column = |at: usize| format!("{{\"name\":\"c{at}\",\"hashed\":true}}");
    let columns: Vec<String> = (0..COLUMNS).map(column).collect();
    let index: Vec<String> = (0..1u32 << 20).map(|i| i.to_string()).collect();
    let weight: Vec<String> = (0..1u32 << 20).map(|i| format!("{:.4}", f64::from(i % 1013) / 1013.0 - 0.5)).collect();
    let file = format!(
        "{{\"format\":\"gavel-linear-1\",\"objective\":\"logistic\",\"bias\":-3,\"hash_bits\":20,\"columns\":[{}],\
         \"hashed\":{{\"index\":[{}],\"weight\":[{}]}}}}",
        columns.join(","),
        index.join(","),
        weight.join(",")
    );
    let digest: String = Sha256::digest(file.as_bytes()).iter().map(|byte| format!("{byte:02x}")).collect();
    let mut text = format!(
        "name = \"bench\"\nversion = \"1\"\nkind = \"linear\"\nfile = \"weights.json\"\nsha256 = \"{digest}\"\noutput = \"probability\"\n"
    );
    let shared = texts(sources, false);
    let varying = texts(sources, true);
    for at in 0..COLUMNS {
        let from = if at < COLUMNS - VARYING { shared[at % shared.len()] } else { varying[at % varying.len()] };
        let name = &sources.list()[from].name;
        text += &format!("[[features]]\nname = \"c{at}\"\nsource = \"{name}\"\ntransform = \"hash\"\nbits = 20\n");
    }
    let manifest = Manifest::parse(&text).expect("a good manifest");
    Artifact::load(&manifest, file.as_bytes(), sources, RowsFrom::Transforms).expect("a good artifact")
}

fn texts(sources: &Sources, varies: bool) -> Vec<usize> {
    let list = sources.list().iter().enumerate();
    let of = list.filter(|(_, source)| source.varies == varies && source.kind == gavel::scoring::sources::Kind::Text);
    of.map(|(place, _)| place).collect()
}

pub fn run() {
    let sources = Sources::bid();
    let artifact = artifact(&sources);
    let words: Vec<String> =
        (0..5_000u64).map(|i| format!("{:x}", i.wrapping_mul(0x9E37_79B9_7F4A_7C15) >> (i % 40))).collect();
    let value = |row: usize, place: usize| Value::Text(&words[(row * 61 + place * 7) % words.len()]);
    let (mut scratch, mut sum) = (Scratch::default(), 0.0);
    let mut values = vec![Value::Missing; sources.len()];
    let leading = artifact.features.leading();
    let varies = |&&at: &&usize| sources.list()[at].varies;
    let varying: Vec<usize> = artifact.features.sources().iter().filter(varies).copied().collect();
    for batch in [1, 16] {
        let mut best = f64::MAX;
        let mut rows = vec![0.0; batch * COLUMNS];
        for _ in 0..ROUNDS {
            let from = cpu();
            for first in (0..ROWS).step_by(batch) {
                for &place in artifact.features.sources() {
                    values[place] = value(first, place);
                }
                artifact.features.fill_shared(&values, &mut rows[..COLUMNS]);
                for row in 0..batch {
                    for &place in &varying {
                        values[place] = value(first + row, place);
                    }
                    artifact.features.fill_varying(&values, &mut rows[row * COLUMNS..(row + 1) * COLUMNS]);
                }
                let scores = artifact.model.score(&rows, batch, leading, &mut scratch);
                sum += scores.predictions.iter().sum::<f64>();
            }
            best = best.min((cpu() - from).as_nanos() as f64 / ROWS.next_multiple_of(batch) as f64);
        }
        println!("| logistic, 60 of 2^20 hashed | {batch} | gavel | {best:.0} | 1.00 | |");
    }
    assert!(sum.is_finite());
}
