//! `weights.json`: its numbers to the last bit, and files that would score wrong without a sign.

use gavel::scoring::calibration::Calibration;
use gavel::scoring::linear;
use gavel::scoring::manifest::Manifest;
use gavel::scoring::model::{Model, Output};
use gavel::scoring::{Artifact, RowsFrom, Scratch, Sources};
use sha2::{Digest, Sha256};

fn file(hash_bits: &str, columns: &str, hashed: &str) -> String {
    format!(
        "{{\"format\":\"gavel-linear-1\",\"objective\":\"linear\",\"bias\":-0.0,{hash_bits}\"columns\":[{columns}]{hashed}}}"
    )
}

/// The score of each index.
fn scores(file: &str, count: usize) -> Vec<f64> {
    let model = Model::new(linear::load(file.as_bytes()).unwrap(), Output::Value, Calibration::None).unwrap();
    let rows: Vec<f64> = (0..count).map(|at| at as f64).collect();
    model.score(&rows, count, 0, &mut Scratch::default()).raw.to_vec()
}

/// What a parser that is fast and nearly right reads otherwise: one in eight of such weights.
#[test]
fn weights_are_read_to_the_last_bit() {
    let mut rng = fastrand::Rng::with_seed(20261123);
    let any = |rng: &mut fastrand::Rng| match rng.bool() {
        true => rng.f64() - 0.5,
        false => f64::from_bits(rng.u64(..)),
    };
    let mut weights: Vec<f64> = (0..20_000).map(|_| any(&mut rng)).filter(|weight| weight.is_finite()).collect();
    weights.extend([f64::MAX, f64::MIN_POSITIVE, 5e-324, 0.1 + 0.2, 9_007_199_254_740_993.0]);
    let texts: Vec<String> = weights.iter().map(|weight| format!("{weight:?}")).collect();
    let column = format!("{{\"name\":\"c\",\"weights\":[{}]}}", texts.join(","));
    for (at, (read, weight)) in scores(&file("", &column, ""), weights.len()).iter().zip(&weights).enumerate() {
        // -0.0 and a weight of 0.0 are 0.0.
        assert!(
            read.to_bits() == weight.to_bits() || *read == 0.0 && *weight == 0.0,
            "{at}: {weight:?} was read as {read:?}"
        );
    }

    let mut small: Vec<f32> =
        (0..4_090).map(|_| f32::from_bits(rng.u32(..))).filter(|weight| weight.is_finite()).collect();
    small.extend([f32::MAX, f32::MIN_POSITIVE, 1e-45]);
    let mut texts: Vec<String> = small.iter().map(|weight| format!("{weight:?}")).collect();
    // By way of f64 it would be rounded twice, and up to 1 and two steps.
    small.push(1.0 + f32::EPSILON);
    texts.push("1.0000001788139342".to_owned());
    let indices: Vec<String> = (0..small.len()).map(|at| at.to_string()).collect();
    let hashed = format!(",\"hashed\":{{\"index\":[{}],\"weight\":[{}]}}", indices.join(","), texts.join(","));
    let text = file("\"hash_bits\":12,", "{\"name\":\"c\",\"hashed\":true}", &hashed);
    for (at, (read, weight)) in scores(&text, small.len()).iter().zip(&small).enumerate() {
        assert!(*read == f64::from(*weight), "{at}: {weight:?} was read as {read:?}");
    }
}

fn load(file: &str, features: &str) -> Result<Artifact, String> {
    let digest: String = Sha256::digest(file).iter().map(|byte| format!("{byte:02x}")).collect();
    let text = format!(
        "name = \"ctr\"\nversion = \"1\"\nkind = \"linear\"\nfile = \"weights.json\"\nsha256 = \"{digest}\"\noutput = \"value\"\n\
         [[features]]\nname = \"c\"\n{features}\n"
    );
    let manifest = Manifest::parse(&text).unwrap();
    Artifact::load(&manifest, file.as_bytes(), &Sources::bid(), RowsFrom::Transforms).map_err(|fault| fault.to_string())
}

#[test]
fn a_column_has_as_many_weights_as_it_has_numbers() {
    let three = file("", "{\"name\":\"c\",\"weights\":[0.1,0.2,0.3]}", "");
    let hour = |transform: &str| load(&three, &format!("source = \"clock.hour\"\ntransform = {transform}"));
    for fits in ["\"category\"\ncategories = [1, 2, 3]", "\"bucket\"\nedges = [6, 18]"] {
        hour(fits).unwrap();
    }
    for (transform, what) in [
        (
            "\"category\"\ncategories = [1, 2, 3, 4]",
            "`c`: categories: the manifest's end at 3, the model has weights up to 2",
        ),
        ("\"category\"\ncategories = [1, 2]", "`c`: categories: the model knows its category 2"),
        ("\"bucket\"\nedges = [6, 12, 18]", "`c`: edges"),
        ("\"in\"\nvalues = [6]", "`c`: values"),
        ("\"numeric\"", "`c`: transform: the model takes an index"),
        ("\"log1p\"", "`c`: transform"),
        ("\"hash\"\nbits = 2", "feature `c`"),
    ] {
        let message = hour(transform).unwrap_err();
        assert!(message.contains(what), "{transform}: {message}");
    }
}

#[test]
fn weights_that_are_none_are_refused() {
    let hashed = |index: &str, weight: &str| {
        let table = format!(",\"hashed\":{{\"index\":{index},\"weight\":{weight}}}");
        file("\"hash_bits\":4,", "{\"name\":\"c\",\"hashed\":true}", &table)
    };
    linear::load(hashed("[7,3]", "[1,2]").as_bytes()).unwrap();
    for (text, what) in [
        (hashed("[7,3,7]", "[1,2,1]"), "hashed: index 7 is there twice"),
        (hashed("[16]", "[1]"), "hashed: entry 0: is out of range"),
        (hashed("[1]", "[1,2]"), "hashed: 1 indices and 2 weights"),
        (hashed("[1]", "[1e39]"), "weights.json"),
        (file("", "{\"name\":\"c\",\"weights\":[]}", ""), "column `c`: has no weights"),
        (file("", "{\"name\":\"c\",\"weights\":[1,x]}", ""), "weights.json: line 1 column 9"),
    ] {
        let features = "source = \"site.domain\"\ntransform = \"hash\"\nbits = 4";
        let message = load(&text, features).unwrap_err();
        assert!(message.contains(what), "{what}: {message}");
        assert!(message.matches("line 1").count() < 2, "the place is told twice: {message}");
    }
}
