//! `gavel replay`.

use std::fs::File;
use std::io::{BufWriter, Write};
use std::path::PathBuf;
use std::process::ExitCode;

use clap::Args;

use super::audit::open_log;
use crate::app::{FRAUD_MODEL, Progress, side};
use crate::batch::archive::Archive;
use crate::batch::replay::backtest::{self, Tried};
use crate::batch::replay::rebuild::{self, Rebuilt, Stored};
use crate::batch::replay::{Source, same_versions, whatif};
use crate::clock::UnixMs;
use crate::config::{Config, RawConfig};
use crate::event::Recorded;

pub const HELP: &str = "\
Examples:
  The books rebuilt from the first event on, and their hash; the same from the archive:
    gavel replay
    gavel replay --archive
  What a new click model, or other campaigns and prices, would have bid for the recorded requests of a day:
    gavel replay --what-if --model models/ctr/2026-12-01 --from 2026-11-20T00:00:00Z --to 2026-11-21T00:00:00Z
    gavel replay --what-if --with other.toml --out bids.jsonl
  Every fraud decision made again, by what was in force then, and by other rules:
    gavel replay --fraud
    gavel replay --fraud --rules new.toml";

#[derive(Args, Debug)]
pub struct Replay {
    /// The decisions on fraud checks: without more, compared with the log to the last bit
    #[arg(long, conflicts_with = "what_if")]
    fraud: bool,
    /// The recorded bid requests, decided by other campaigns, prices or models beside those of now
    #[arg(long)]
    what_if: bool,
    /// Decide fraud checks by these rules, and tell what they would have changed
    #[arg(long, value_name = "FILE", requires = "fraud")]
    rules: Option<PathBuf>,
    /// Decide by the model artifact in this folder, and tell what it would have changed
    #[arg(long, value_name = "DIR")]
    model: Option<PathBuf>,
    /// Decide on bid requests by this config: its campaigns, exchanges and rates
    #[arg(long, value_name = "FILE", requires = "what_if")]
    with: Option<PathBuf>,
    /// Write what both sides bid for each request, as JSON lines
    #[arg(long, value_name = "FILE", requires = "what_if")]
    out: Option<PathBuf>,
    /// Only requests decided on from this time on, such as 2026-11-20T00:00:00Z
    #[arg(long, value_name = "TIME", value_parser = time, requires = "what_if")]
    from: Option<UnixMs>,
    /// Only what was before this time
    #[arg(long, value_name = "TIME", value_parser = time, conflicts_with = "fraud")]
    to: Option<UnixMs>,
    /// Read the Parquet files of `gavel export` instead of the log, by default those in the data directory
    #[arg(long, value_name = "DIR", conflicts_with = "fraud")]
    archive: Option<Option<PathBuf>>,
}

/// Lines of differences that are printed; all are counted.
const MAX_LINES: u64 = 1_000;

fn time(text: &str) -> Result<UnixMs, String> {
    UnixMs::parse(text).ok_or_else(|| "is no time such as 2026-11-20T00:00:00Z".to_owned())
}

pub fn run(config: &Config, replay: &Replay) -> ExitCode {
    let done = match (replay.fraud, replay.what_if) {
        (true, _) => fraud(config, replay),
        (_, true) => what_if(config, replay),
        _ if replay.model.is_some() => Err("--model needs --fraud or --what-if".to_owned()),
        _ => rebuilt(config, replay),
    };
    match done {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("the replay could not be done: {error}");
            ExitCode::from(2)
        }
    }
}

fn source(config: &Config, replay: &Replay) -> Result<Source, String> {
    Ok(match &replay.archive {
        None => Source::Log(open_log(config)?),
        Some(dir) => {
            let dir = dir.clone().unwrap_or_else(|| config.archive());
            Source::Archive(Archive::open(&dir).map_err(|e| e.to_string())?)
        }
    })
}

/// The books, from the first event on; compared with the stored ones where these have come to the same event.
fn rebuilt(config: &Config, replay: &Replay) -> Result<bool, String> {
    let source = source(config, replay)?;
    let mut progress = Progress::new("folding");
    let Rebuilt { events, at, books, stream, stored } =
        rebuild::run(&source, replay.to, &config.data_dir, &mut |done, total| progress.tell(done, total))?;
    println!("{events} events, the last one of {at}\nevents  {stream}\nbooks   {books}");
    match stored {
        None => Ok(true),
        Some(Stored { next, hash, rebuilt }) if hash == rebuilt => {
            println!("stored  {hash}, the same as rebuilt up to event {}", next.0);
            Ok(true)
        }
        Some(Stored { next, hash, rebuilt }) => {
            println!(
                "stored  {hash}, rebuilt up to event {} {rebuilt}: THEY DIFFER; `gavel audit` names every difference",
                next.0
            );
            Ok(false)
        }
    }
}

fn what_if(config: &Config, replay: &Replay) -> Result<bool, String> {
    if replay.with.is_none() && replay.model.is_none() {
        return Err("--what-if needs --with FILE or --model DIR, or both: what is to be tried".to_owned());
    }
    let other = match &replay.with {
        None => None,
        Some(file) => {
            let raw = RawConfig::read(Some(file)).map_err(|fault| fault.to_string())?;
            let faults = |faults: Vec<_>| faults.iter().map(|fault| format!("\n  {fault}")).collect::<String>();
            Some(raw.check().map_err(|found| format!("{}:{}", file.display(), faults(found)))?)
        }
    };
    let source = source(config, replay)?;
    let (from, to) = (replay.from.unwrap_or(UnixMs(i64::MIN)), replay.to.unwrap_or(UnixMs(i64::MAX)));
    let taken = |recorded: &Recorded| (from..to).contains(&recorded.decided_at);
    let mut progress = Progress::new("deciding again");
    let mut events = |each: &mut dyn FnMut(&_)| source.each(each, &mut |done, total| progress.tell(done, total));
    let (books, first) = whatif::before(&mut events, &taken)?;
    let Some(first) = first else {
        return Err("no request of that time is recorded: [log] record_requests says which share is".to_owned());
    };
    let tried = other.as_ref().unwrap_or(config);
    let mut sides = [
        side(config, &books, false, None, first)?,
        // Models are those of the running config unless the other one names its own.
        side(tried, &books, other.is_some(), replay.model.as_deref(), first)?,
    ];
    let mut out = match &replay.out {
        None => None,
        Some(path) => Some(BufWriter::new(File::create(path).map_err(|e| format!("{}: {e}", path.display()))?)),
    };
    let mut each = |line: &serde_json::Value| match &mut out {
        None => Ok(()),
        Some(out) => writeln!(out, "{line}").map_err(|e| format!("what was bid could not be written: {e}")),
    };
    let report = whatif::run(&mut events, &mut sides, &taken, &mut each)?;
    if let Some(mut out) = out {
        out.flush().map_err(|e| format!("what was bid could not be written: {e}"))?;
    }
    print!("{}", report.text());
    Ok(true)
}

fn fraud(config: &Config, replay: &Replay) -> Result<bool, String> {
    let log = open_log(config)?;
    let mut progress = Progress::new("deciding again");
    if replay.rules.is_some() || replay.model.is_some() {
        let tried = Tried { rules: replay.rules.clone(), model: replay.model.clone() };
        let report = backtest::run(&log, config, FRAUD_MODEL, &tried, &mut |done, total| progress.tell(done, total))?;
        print!("{}", report.text());
        return Ok(true);
    }
    let mut told = 0;
    let mut tell = |line: String| {
        told += 1;
        if told <= MAX_LINES {
            println!("{line}");
        }
    };
    let found = same_versions(&log, config, FRAUD_MODEL, &mut |done, total| progress.tell(done, total), &mut tell)
        .map_err(|e| e.to_string())?;
    if found.of_one_moment > 0 {
        println!("{} values differ by what came at the same moment for the same key", found.of_one_moment);
    }
    if found.of_other_windows > 0 {
        println!(
            "{} checks were made with other windows, or by a version that logged their names alone: their values are not compared",
            found.of_other_windows
        );
    }
    if found.lost > 0 {
        println!("{} values are not compared: the bounds of memory had taken them then, or take them now", found.lost);
    }
    let (checks, values, differences) = (found.checks, found.values, found.differences);
    println!("{differences} differences over {checks} decisions and {values} window values");
    Ok(differences == 0)
}
