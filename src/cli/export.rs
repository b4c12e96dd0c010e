//! `gavel export`.

use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Instant;

use clap::Args;

use super::audit::open_log;
use crate::app::Progress;
use crate::batch::archive::remote::{self, S3};
use crate::batch::archive::{self, Archive, Exported};
use crate::config::Config;

pub const HELP: &str = "\
Each export goes on where the last one ended. It writes ranges of the log, each a directory that is there as a whole or not at all:\n\n  \
  archive/<first>-<end>/manifest.json                             offsets, counts, sums and hashes\n  \
  archive/<first>-<end>/bid/date=2026-11-23/hour=07/part.parquet  one table for each kind of event\n\n\
Try:\n\n  \
  gavel export && gavel audit --archive     recompute the books from the Parquet files alone\n  \
  duckdb -c \"SELECT campaign, count(*), sum(reserved_nanos) FROM 'data/archive/[0-9]*/bid/*/*/*.parquet' GROUP BY 1\"\n\n\
Columns that end in _nanos are money, 1e-9 of a unit of the currency. `at` is when the log took an event, bid_at when the bid was made.";

#[derive(Args, Debug)]
pub struct Export {
    /// Where the archive is [default: archive in the data directory]; with s3://bucket/prefix the default one, and a copy
    /// of it there, by the keys and the endpoint in AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY, AWS_REGION, AWS_ENDPOINT
    #[arg(long, value_name = "DIR")]
    to: Option<String>,
}

pub fn run(config: &Config, options: &Export) -> ExitCode {
    match export(config, options) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("the export stopped: {error}");
            ExitCode::FAILURE
        }
    }
}

fn export(config: &Config, options: &Export) -> Result<(), String> {
    let (url, dir) = match options.to.as_deref() {
        Some(to) if to.starts_with(S3) => (Some(to), None),
        to => (None, to.map(PathBuf::from)),
    };
    let dir = dir.unwrap_or_else(|| config.archive());
    export_to(config, &dir)?;
    if let Some(url) = url {
        let archive = Archive::open(&dir).map_err(|e| e.to_string())?;
        let pushed = remote::push(url, &archive).map_err(|e| e.to_string())?;
        println!("{pushed} of {} range(s) copied to {url}", archive.ranges.len());
    }
    Ok(())
}

fn export_to(config: &Config, dir: &Path) -> Result<(), String> {
    let log = open_log(config)?;
    let mut progress = Progress::new("exporting");
    let started = Instant::now();
    let exported = archive::export(&log, dir, &mut |done, total| progress.tell(done, total));
    let Exported { first, end, ranges, bytes } = exported.map_err(|e| e.to_string())?;
    if first == end {
        println!("nothing new: {} has all {} events", dir.display(), end.0);
        return Ok(());
    }
    let (events, seconds) = (end.0 - first.0, started.elapsed().as_secs_f64());
    println!(
        "{events} events, from {} to {}, to {ranges} range(s) of {bytes} bytes in {} ({seconds:.1} s)",
        first.0,
        end.0 - 1,
        dir.display(),
    );
    Ok(())
}
