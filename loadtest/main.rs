//! An open-loop load generator that plays an ad exchange and audits the server's books. See README.md.
//!
//! It shares no code with the server: what both got wrong in the same way, it could not witness.

mod admin;
mod args;
mod arrivals;
mod books;
mod broken;
mod checkout;
mod exchange;
mod interrupt;
mod journal;
mod journal_file;
mod link;
mod macros;
mod money;
mod notice;
mod overload;
mod plan;
mod progress;
mod record;
mod report;
mod requests;
mod requests_file;
mod response;
mod run;
mod scenario;
mod series;
mod shard;
mod shared;
mod stats;
mod steps;
mod timer;
mod vocabulary;
mod worker;

#[cfg(test)]
mod e2e;
#[cfg(test)]
mod fake;

use args::{Cli, Command, CompareArgs};
use clap::Parser;
use record::{Record, compare};
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
        Some(Command::Scenario(args)) => scenario::run(args),
        Some(Command::Overload(args)) => overload::run(args),
        Some(Command::Compare(args)) => compare_files(args).map(|()| Verdict::NotCompared),
        Some(Command::Requests(args)) => requests_file::write(args).map(|()| Verdict::NotCompared),
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

fn compare_files(args: &CompareArgs) -> Result<(), String> {
    let (a, b) = (Record::read(&args.a)?, Record::read(&args.b)?);
    let refusals = compare::refusals(&a, &b);
    for refusal in &refusals {
        eprintln!("loadtest: {refusal}");
    }
    if !refusals.is_empty() && !args.anyway {
        eprintln!("loadtest: not compared; --anyway does it all the same");
        return Ok(());
    }
    print!("{}", compare::text(&a, &b));
    match &args.html {
        Some(path) => std::fs::write(path, compare::page(&a, &b))
            .map_err(|error| format!("cannot write {}: {error}", path.display())),
        None => Ok(()),
    }
}
