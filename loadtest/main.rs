//! An open-loop load generator that plays an ad exchange and audits the server's books. See README.md.
//!
//! It shares no code with the server: what both got wrong in the same way, it could not witness.

mod admin;
mod args;
mod arrivals;
mod books;
mod broken;
mod exchange;
mod journal;
mod journal_file;
mod link;
mod macros;
mod money;
mod notice;
mod plan;
mod progress;
mod report;
mod requests;
mod response;
mod run;
mod shard;
mod shared;
mod stats;
mod timer;
mod vocabulary;
mod worker;

#[cfg(test)]
mod e2e;
#[cfg(test)]
mod fake;

use args::{Cli, Command};
use clap::Parser;
use run::Verdict;
use std::process::ExitCode;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    let cli = Cli::parse();
    let result = match &cli.command {
        None => run::run(&cli.run).map(|(verdict, _)| verdict),
        Some(Command::Run(args)) => run::run(args).map(|(verdict, _)| verdict),
        Some(Command::Verify(args)) => run::verify(args),
    };
    match result {
        Ok(Verdict::Equal | Verdict::NotCompared) => ExitCode::SUCCESS,
        Ok(Verdict::Different) => ExitCode::from(1),
        Err(error) => {
            eprintln!("loadtest: {error}");
            ExitCode::from(2)
        }
    }
}
