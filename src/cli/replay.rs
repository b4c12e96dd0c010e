//! `gavel replay`.

use std::path::PathBuf;
use std::process::ExitCode;

use clap::Args;

use super::audit::open_log;
use crate::app::{FRAUD_MODEL, Progress};
use crate::batch::replay::backtest::{self, Tried};
use crate::batch::replay::same_versions;
use crate::config::Config;
use crate::eventlog::ReadOnlyLog;

#[derive(Args, Debug)]
pub struct Replay {
    /// The decisions on fraud checks
    #[arg(long, required = true)]
    fraud: bool,
    /// Decide by these rules, and tell what they would have changed
    #[arg(long, value_name = "FILE")]
    rules: Option<PathBuf>,
    /// Decide by the model artifact in this folder, and tell what it would have changed
    #[arg(long, value_name = "DIR")]
    model: Option<PathBuf>,
}

/// Lines of differences that are printed; all are counted.
const MAX_LINES: u64 = 1_000;

pub fn run(config: &Config, replay: &Replay) -> ExitCode {
    let done = open_log(config).and_then(|log| {
        if replay.rules.is_none() && replay.model.is_none() {
            return compare(config, &log);
        }
        let mut progress = Progress::new("deciding again");
        let tried = Tried { rules: replay.rules.clone(), model: replay.model.clone() };
        let report = backtest::run(&log, config, FRAUD_MODEL, &tried, &mut |done, total| progress.tell(done, total))?;
        print!("{}", report.text());
        Ok(true)
    });
    match done {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("the replay could not be done: {error}");
            ExitCode::from(2)
        }
    }
}

fn compare(config: &Config, log: &ReadOnlyLog) -> Result<bool, String> {
    let mut progress = Progress::new("deciding again");
    let mut told = 0;
    let mut tell = |line: String| {
        told += 1;
        if told <= MAX_LINES {
            println!("{line}");
        }
    };
    let found = same_versions(log, config, FRAUD_MODEL, &mut |done, total| progress.tell(done, total), &mut tell)
        .map_err(|e| e.to_string())?;
    if found.of_one_moment > 0 {
        println!("{} values differ by what came at the same moment for the same key", found.of_one_moment);
    }
    if found.lost > 0 {
        println!("{} values are not compared: the bounds of memory had taken them then, or take them now", found.lost);
    }
    let (checks, values, differences) = (found.checks, found.values, found.differences);
    println!("{differences} differences over {checks} decisions and {values} window values");
    Ok(differences == 0)
}
