//! `gavel model`: artifacts from the command line. Needs no server; of the config `verify` takes the windows.

use std::fs::File;
use std::io::{BufRead, BufReader, BufWriter, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::Subcommand;

use crate::app;
use crate::config::Config;
use crate::modelstore::{self, folder};
use crate::scoring::artifact::RowsFrom;
use crate::scoring::loaded::Core;
use crate::scoring::sources::{Caller, Kind};
use crate::scoring::transform::Transform;
use crate::scoring::{Artifact, Scratch, Sources};

/// A wrong order is what no check can find then.
const UNTOLD: &str = "the model file does not tell the order of categories";

/// Rows that are scored together.
const BATCH: usize = 256;

#[derive(Debug, Subcommand)]
pub enum ModelCommand {
    /// Check an artifact as the server would before it takes it: manifest, digest, sources, model file, golden rows. What it
    /// is for, its name says: `fraud` is for fraud checks, and may use the windows of the config; others are for bids
    Verify { dir: PathBuf },
    /// Say what an artifact holds
    Inspect { dir: PathBuf },
    /// List what the features of a model can be made of: of one named `fraud` the fields of a fraud check and the windows of
    /// the config, of any other those of a bid
    Sources {
        #[arg(default_value = "ctr")]
        name: String,
    },
    /// Score a CSV of already transformed features (header: feature names, empty: missing) and print raw scores and
    /// predictions, one line per row
    Score { dir: PathBuf, rows: PathBuf },
}

/// `configuration` is the server's, with its faults, or why there is none.
pub fn run(
    command: &ModelCommand,
    configuration: impl FnOnce() -> Result<(Option<Config>, Vec<String>), String>,
) -> ExitCode {
    let configured = || configuration().and_then(|(config, faults)| config.ok_or_else(|| faults.join("\n")));
    let done = match command {
        ModelCommand::Verify { dir } => configured().and_then(|config| verify(dir, &config)),
        ModelCommand::Sources { name } => configured().and_then(|config| list_sources(name, &config)),
        ModelCommand::Inspect { dir } => load(dir, RowsFrom::Transforms).and_then(|artifact| inspect(&artifact)),
        ModelCommand::Score { dir, rows } => load(dir, RowsFrom::Anywhere).and_then(|artifact| score(&artifact, rows)),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(message) => {
            eprintln!("{message}");
            ExitCode::FAILURE
        }
    }
}

fn load(dir: &Path, rows: RowsFrom) -> Result<Artifact, String> {
    folder::load(dir, &Sources::any(), rows).map_err(|fault| format!("refused: {fault}"))
}

fn list_sources(name: &str, config: &Config) -> Result<(), String> {
    let sources = app::sources(config, name);
    let lines = sources.list().iter().map(|source| {
        let kind = match source.kind {
            Kind::Number => "number",
            Kind::Text => "text",
            Kind::Texts => "texts, for the transform `in`",
        };
        format!("{:<36} {kind}\n", source.name)
    });
    std::io::stdout().write_all(lines.collect::<String>().as_bytes()).map_err(|error| error.to_string())
}

fn verify(dir: &Path, config: &Config) -> Result<(), String> {
    let artifact = modelstore::check_folder(dir, |name| app::sources(config, name)).map_err(|fault| {
        let hint = if fault.message.contains("`window:") { "; windows are those of the config (--config)" } else { "" };
        format!("refused: {fault}{hint}")
    })?;
    let Artifact { name, version, golden, untold, .. } = &artifact;
    let of = if artifact.features.caller() == Caller::Fraud { "fraud checks" } else { "bids" };
    let mut text = match golden {
        0 => format!(
            "{name} {version}: fine for {of}, but it has no golden rows to tell that it scores as where it was trained\n"
        ),
        rows => format!("{name} {version}: fine for {of}, {rows} golden rows agree\n"),
    };
    if let Some(line) = best_trees(&artifact) {
        text += &format!("{line}\n");
    }
    if !untold.is_empty() {
        let names = untold.join(", ");
        text += &format!("{UNTOLD}; compare `categories` with your training: {names}\n");
    }
    let others = folder::others(dir, &artifact.file);
    if !others.is_empty() {
        text += &format!("an upload would be refused: {} not named by the manifest\n", others.join(", "));
    }
    let place = dir.canonicalize().unwrap_or_default();
    if !place.ends_with(Path::new(name).join(version)) {
        text += &format!("its place is {name}/{version}/ in the models directory, not where it is now\n");
    }
    std::io::stdout().write_all(text.as_bytes()).map_err(|error| error.to_string())
}

/// Wrappers of XGBoost leave out the trees after the best iteration by themselves.
fn best_trees(artifact: &Artifact) -> Option<String> {
    let loaded = artifact.model.loaded();
    let (best, Core::Forest(forest)) = (loaded.best_trees?, &loaded.core) else { return None };
    let all = forest.trees;
    Some(format!("training stopped early: the best iteration's trees are the first {best}, and all {all} are scored"))
}

fn inspect(artifact: &Artifact) -> Result<(), String> {
    let loaded = artifact.model.loaded();
    let mut text = format!("{} {}\n", artifact.name, artifact.version);
    let mut line = |name: &str, value: String| text.push_str(&format!("  {name:<12}{value}\n"));
    line("file", format!("{}, {}, {}", loaded.library, loaded.booster, loaded.objective));
    line("sha256", artifact.sha256.clone());
    if let Core::Forest(forest) = &loaded.core {
        line("trees", format!("{} with {} leaves, {}", forest.trees, forest.leaves, forest.layout()));
    }
    if let Some(said) = best_trees(artifact) {
        line("", said);
    }
    line("raw scores", loaded.classes.to_string());
    line("predictions", format!("{}, {:?}", artifact.model.predictions(), artifact.model.link()));
    line("calibration", format!("{:?}", artifact.model.calibration()));
    line("golden rows", artifact.golden.to_string());
    line("features", artifact.features.len().to_string());
    for (at, column) in artifact.features.columns().iter().enumerate() {
        let untold = if artifact.untold.contains(&column.name) { ", order not told" } else { "" };
        line("", format!("{at} {}: {}{untold} of {}", column.name, say(&column.transform), column.source_name));
    }
    if !artifact.untold.is_empty() {
        text += &format!("  {UNTOLD}\n");
    }
    std::io::stdout().write_all(text.as_bytes()).map_err(|error| error.to_string())
}

fn say(transform: &Transform) -> String {
    match transform {
        Transform::Numeric { scale: 1.0 } => "numeric".to_owned(),
        Transform::Numeric { scale } => format!("numeric (times {scale})"),
        Transform::Category(listed) => format!("category (of {})", listed.len()),
        Transform::Bucket { edges } => format!("bucket ({} edges)", edges.len()),
        Transform::In(listed) => format!("in ({} values)", listed.len()),
        Transform::Hash(hash) => format!("hash ({} bits)", hash.bits),
        Transform::Log1p => "log1p".to_owned(),
    }
}

fn score(artifact: &Artifact, path: &Path) -> Result<(), String> {
    let fault = |line: usize, message: String| format!("{}: line {line}: {message}", path.display());
    let file = File::open(path).map_err(|error| format!("{}: {error}", path.display()))?;
    let mut lines = BufReader::new(file).lines();
    let header = lines.next().ok_or_else(|| fault(1, "there is no header".to_owned()))?;
    let header = header.map_err(|error| fault(1, error.to_string()))?;
    let places = places(artifact, &header).map_err(|message| fault(1, message))?;
    let mut out = BufWriter::new(std::io::stdout().lock());
    let (mut rows, mut count, mut scratch) = (Vec::new(), 0, Scratch::default());
    for (number, line) in lines.enumerate() {
        let line = line.map_err(|error| fault(number + 2, error.to_string()))?;
        let from = rows.len();
        rows.resize(from + places.len(), f64::NAN);
        read_row(line.trim_end_matches('\r'), &places, &mut rows[from..]).map_err(|m| fault(number + 2, m))?;
        count += 1;
        if count == BATCH {
            print(artifact, &rows, count, &mut scratch, &mut out)?;
            rows.clear();
            count = 0;
        }
    }
    print(artifact, &rows, count, &mut scratch, &mut out)?;
    out.flush().map_err(|error| error.to_string())
}

/// For each cell of a line its column in the model.
fn places(artifact: &Artifact, header: &str) -> Result<Vec<usize>, String> {
    let columns = artifact.features.columns();
    let mut places = Vec::with_capacity(columns.len());
    for cell in header.trim_start_matches('\u{feff}').trim_end_matches('\r').split(',') {
        let name = cell.strip_prefix('"').and_then(|cell| cell.strip_suffix('"')).unwrap_or(cell);
        let place = columns.iter().position(|column| column.name == name);
        let place = place.ok_or_else(|| format!("`{name:.60}` is no feature of the model"))?;
        if places.contains(&place) {
            return Err(format!("`{name:.60}` is there twice"));
        }
        places.push(place);
    }
    match (0..columns.len()).find(|place| !places.contains(place)) {
        Some(missing) => Err(format!("the feature `{}` is missing", columns[missing].name)),
        None => Ok(places),
    }
}

fn read_row(line: &str, places: &[usize], row: &mut [f64]) -> Result<(), String> {
    let mut cells = line.split(',');
    for &place in places {
        let cell = cells.next().ok_or_else(|| format!("fewer than {} cells", places.len()))?.trim();
        if !cell.is_empty() {
            row[place] = cell.parse().map_err(|_| format!("`{cell:.40}` is no number"))?;
        }
    }
    if cells.next().is_some() { Err(format!("more than {} cells", places.len())) } else { Ok(()) }
}

fn print(
    artifact: &Artifact,
    rows: &[f64],
    count: usize,
    scratch: &mut Scratch,
    out: &mut impl Write,
) -> Result<(), String> {
    let scores = artifact.model.score(rows, count, 0, scratch);
    let raws = scores.raw.chunks_exact(artifact.model.classes());
    for (raw, predictions) in raws.zip(scores.predictions.chunks_exact(artifact.model.predictions())) {
        let cells: Vec<String> = raw.iter().chain(predictions).map(|&score| shortest(score)).collect();
        writeln!(out, "{}", cells.join(",")).map_err(|error| error.to_string())?;
    }
    Ok(())
}

/// The shortest decimals that are read as the same number again.
fn shortest(number: f64) -> String {
    let (plain, scientific) = (number.to_string(), format!("{number:e}"));
    if scientific.len() < plain.len() { scientific } else { plain }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_written_short_and_read_back() {
        for (number, text) in
            [(0.25, "0.25"), (1.0, "1"), (1e-9, "1e-9"), (-2.5e300, "-2.5e300"), (0.1 + 0.2, "0.30000000000000004")]
        {
            assert_eq!(shortest(number), text);
            assert_eq!(text.parse::<f64>().unwrap().to_bits(), number.to_bits());
        }
        assert_eq!(shortest(f64::from(0.1f32)).parse::<f32>(), Ok(0.1));
    }

    #[test]
    fn a_row_has_a_cell_for_every_feature() {
        let mut row = [f64::NAN; 3];
        read_row("1,, 2.5", &[2, 1, 0], &mut row).unwrap();
        assert!(row[0] == 2.5 && row[1].is_nan() && row[2] == 1.0);
        for bad in ["1,2", "1,2,3,4", "1,2,x", ""] {
            assert!(read_row(bad, &[0, 1, 2], &mut row).is_err(), "{bad}");
        }
    }
}
