//! `gavel lists`: published lists of traffic into one file that `[traffic]` names. Needs no config and no server.

use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::{Args, Subcommand};

use crate::admin::traffic_files::add;
use crate::fraud::traffic::read::{Entries, Kind};

#[derive(Debug, Subcommand)]
pub enum ListsCommand {
    /// Address ranges: AWS ip-ranges.json, Google cloud.json, Azure ServiceTags_*.json, or a range in each line. They are
    /// merged
    DataCentres(Files),
    /// User agents: crawler-user-agents.json, or a part of one in each line
    Crawlers(Files),
    /// A domain, an app or exchange/id in each line
    Publishers(Files),
}

#[derive(Args, Debug)]
pub struct Files {
    #[arg(required = true)]
    files: Vec<PathBuf>,
    /// Replace this file in one step, which a running server reads within seconds; otherwise the list is printed
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,
}

pub fn run(command: &ListsCommand) -> ExitCode {
    let (kind, files) = match command {
        ListsCommand::DataCentres(files) => (Kind::DataCentres, files),
        ListsCommand::Crawlers(files) => (Kind::Crawlers, files),
        ListsCommand::Publishers(files) => (Kind::Publishers, files),
    };
    match load(kind, files) {
        Ok(()) => ExitCode::SUCCESS,
        Err(message) => {
            eprintln!("{message}");
            ExitCode::FAILURE
        }
    }
}

fn load(kind: Kind, Files { files, out }: &Files) -> Result<(), String> {
    let mut entries = Entries::default();
    let read = add(&mut entries, kind, files)
        .map_err(|faults| faults.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n"))?;
    entries.lists()?;
    let lines = match kind {
        Kind::DataCentres => entries.plain_prefixes(),
        Kind::Crawlers => entries.json_patterns(),
        Kind::Publishers => entries.plain_publishers(),
    };
    let text = match kind {
        Kind::Crawlers => format!("[\n{}\n]\n", lines.join(",\n")),
        _ => lines.iter().map(|line| format!("{line}\n")).collect(),
    };
    match out {
        None => std::io::stdout().write_all(text.as_bytes()).map_err(|e| e.to_string()),
        Some(out) => {
            replace(out, &text).map_err(|e| format!("{} cannot be written: {e}", out.display()))?;
            println!("{}: {} entries of {read} read", out.display(), lines.len());
            Ok(())
        }
    }
}

/// So that whoever reads it finds the old list or the new one.
fn replace(out: &Path, text: &str) -> std::io::Result<()> {
    let mut beside = out.as_os_str().to_owned();
    beside.push(".new");
    let mut file = std::fs::File::create(&beside)?;
    file.write_all(text.as_bytes())?;
    file.sync_all()?;
    std::fs::rename(&beside, out)
}
