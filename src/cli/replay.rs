//! `gavel replay`.

use std::collections::HashMap;
use std::fs::File;
use std::io::{BufWriter, Write};
use std::ops::Range;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::Args;

use super::audit::{open_archive, open_log};
use crate::admin::catalog_files;
use crate::app::{FRAUD_MODEL, Progress, side};
use crate::batch::replay::backtest::{self, Tried};
use crate::batch::replay::rebuild::{self, Asked, At, Rebuilt, Stored};
use crate::batch::replay::state::{Hashes, State};
use crate::batch::replay::{Source, same_versions, whatif};
use crate::bidding::campaign::{cap_memory, parse};
use crate::clock::UnixMs;
use crate::config::{Config, RawConfig};
use crate::event::Recorded;

pub const HELP: &str = "\
Examples:
  Books and windows rebuilt from the first event on, and their hashes; the same from the archive, and at each millionth event:
    gavel replay
    gavel replay --archive --every 1000000
  What they were at the beginning and at the end of a day, and the hash of its events:
    gavel replay --from 2026-11-20T00:00:00Z --to 2026-11-21T00:00:00Z
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
    #[arg(long, value_name = "FILE")]
    rules: Option<PathBuf>,
    /// Decide by the model artifact in this folder, and tell what it would have changed
    #[arg(long, value_name = "DIR")]
    model: Option<PathBuf>,
    /// Decide on bid requests by this config: its campaigns, exchanges and rates
    #[arg(long, value_name = "FILE")]
    with: Option<PathBuf>,
    /// Write what both sides bid for each request, as JSON lines
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,
    /// Only what was from this time on, such as 2026-11-20T00:00:00Z: what was before is folded all the same, but neither hashed
    /// nor compared nor decided on again
    #[arg(long, value_name = "TIME", value_parser = time)]
    from: Option<UnixMs>,
    /// Only what was before this time
    #[arg(long, value_name = "TIME", value_parser = time)]
    to: Option<UnixMs>,
    /// A line of hashes at each so many events: where two replays begin to differ
    #[arg(long, value_name = "EVENTS", value_parser = clap::value_parser!(u64).range(1..), conflicts_with_all = ["fraud", "what_if"])]
    every: Option<u64>,
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
        // clap's `requires` says nothing beside a flag that conflicts.
        (false, _) if replay.rules.is_some() => Err("--rules needs --fraud".to_owned()),
        (_, false) if replay.with.is_some() => Err("--with needs --what-if".to_owned()),
        (_, false) if replay.out.is_some() => Err("--out needs --what-if".to_owned()),
        _ if replay.asked().is_empty() => Err("--from is not before --to: there is no event between".to_owned()),
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
            Source::Archive(open_archive(&dir)?)
        }
    })
}

impl Replay {
    fn asked(&self) -> Range<UnixMs> {
        self.from.unwrap_or(UnixMs(i64::MIN))..self.to.unwrap_or(UnixMs(i64::MAX))
    }
}

/// Frequency caps of the campaigns in the catalog's files.
fn caps_of_files(config: &Config) -> Result<HashMap<String, (u32, i64)>, String> {
    let files = catalog_files::load(config);
    let files = files.map_err(|faults| faults.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n"))?;
    Ok(files.into_iter().filter_map(|c| Some((c.id, cap_memory(&c.frequency_caps)?))).collect())
}

/// Everything, from the first event on; the books compared with the stored ones where these have come to the same event.
fn rebuilt(config: &Config, replay: &Replay) -> Result<bool, String> {
    let source = source(config, replay)?;
    let files = caps_of_files(config)?;
    let cap_of = |id: &str, json: Option<&str>| match json {
        Some(json) => parse(json).ok().and_then(|campaign| cap_memory(&campaign.frequency_caps)),
        None => files.get(id).copied(),
    };
    let state = State::new(config, &cap_of)?;
    let Range { start: from, end: to } = replay.asked();
    let asked = Asked { from, to, every: replay.every };
    let mut progress = Progress::new("folding");
    let mut tell = |At { next, at, events, hashes: Hashes { books, fraud, caps } }: &At| {
        println!("at {}, after {at}: events {events} books {books} fraud {fraud} caps {caps}", next.0);
    };
    let progress = &mut |done, total| progress.tell(done, total);
    let Rebuilt { end, stored } = rebuild::run(&source, state, asked, &config.data_dir, &mut tell, progress)?;
    let At { next, at, events, hashes: Hashes { books, fraud, caps } } = end;
    println!("{} events, the last one of {at}\nevents  {events}\nbooks   {books}", next.0);
    println!("fraud   {fraud}\ncaps    {caps}");
    match stored {
        None => Ok(true),
        Some(Stored { next: come_to, rebuilt, .. }) if rebuilt.is_empty() => {
            println!(
                "stored  not compared: the stored books have come to event {}, this replay to {}",
                come_to.0, next.0
            );
            Ok(true)
        }
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
    let asked = replay.asked();
    let taken = |recorded: &Recorded| asked.contains(&recorded.decided_at);
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
    let (log, asked) = (open_log(config)?, replay.asked());
    let mut progress = Progress::new("deciding again");
    if replay.rules.is_some() || replay.model.is_some() {
        let tried = Tried { rules: replay.rules.clone(), model: replay.model.clone() };
        let report =
            backtest::run(&log, config, FRAUD_MODEL, &tried, &asked, &mut |done, total| progress.tell(done, total))?;
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
    let found =
        same_versions(&log, config, FRAUD_MODEL, &asked, &mut |done, total| progress.tell(done, total), &mut tell)
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
