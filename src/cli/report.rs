//! `gavel report`.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::process::ExitCode;

use clap::Args;

use super::audit::open_log;
use crate::admin::catalog_files;
use crate::app::{Progress, of_this_log};
use crate::batch::audit::Replay;
use crate::batch::report;
use crate::bidding::campaign;
use crate::bookstore::{BookStore, SqliteBooks};
use crate::clock::{Month, SystemClock};
use crate::config::Config;
use crate::event::{Event, Offset};
use crate::eventlog::ReadOnlyLog;
use crate::ledger::Books;

pub const HELP: &str = "\
Writes reports/<month>.csv and .parquet, and their sums in .sha256: a line for each campaign that spent in the month, by advertiser. A report is final: run again, it says so \
and changes nothing. What is booked to a month after its report is an adjustment in the report of a later month.\n\n\
`amount` is in units of the currency, rounded down to a hundredth once for each campaign and month; spent_nanos is exact.\n\n  \
gavel report --month 2026-10\n  \
gavel report --month 2026-11 --draft      what a month that is not over yet has come to, on the screen";

#[derive(Args, Debug)]
pub struct Report {
    /// The month, as YYYY-MM; of the campaigns' local days
    #[arg(long, value_parser = month)]
    month: Month,
    /// Where reports are [default: reports in the data directory]
    #[arg(long, value_name = "DIR")]
    to: Option<PathBuf>,
    /// Print the CSV and write nothing; also of a month that is not over
    #[arg(long)]
    draft: bool,
}

fn month(text: &str) -> Result<Month, String> {
    Month::parse(text).ok_or_else(|| "a month is written as 2026-10".to_owned())
}

pub fn run(config: &Config, options: &Report) -> ExitCode {
    match write(config, options) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("there is no report: {error}");
            ExitCode::FAILURE
        }
    }
}

fn write(config: &Config, options: &Report) -> Result<(), String> {
    let month = options.month;
    let reports = report::Reports::new(&options.to.clone().unwrap_or_else(|| config.data_dir.join("reports")));
    let path = reports.path(month, "csv").display().to_string();
    if !options.draft && reports.has(month).map_err(|e| e.to_string())? {
        println!("{month} has its report, which is final: {path}");
        return Ok(());
    }
    if !options.draft && SystemClock::start().now() < month.over_at() {
        let over_at = month.over_at();
        return Err(format!("{month} is over everywhere at {over_at}; --draft prints what it has come to by now"));
    }
    let mut invoiced = reports.invoiced().map_err(|e| e.to_string())?;
    invoiced.remove(&month);
    let log = open_log(config)?;
    let books = books(config, &log)?;
    let booked = report::booked(&books);
    let unreported: BTreeSet<Month> = booked.keys().map(|(_, period)| *period).filter(|p| *p < month).collect();
    for period in unreported.iter().filter(|period| !invoiced.contains_key(period)) {
        eprintln!("{period} has spend and no report yet: gavel report --month {period}");
    }
    let advertisers = advertisers(config, &log, &books)?;
    let currencies: BTreeMap<&str, String> =
        books.campaigns.values().map(|book| (book.id.as_str(), book.currency.to_string())).collect();
    let of = |campaign: &str| {
        let advertiser = advertisers.get(campaign).cloned().unwrap_or_default();
        (advertiser, currencies.get(campaign).cloned().unwrap_or_default())
    };
    let lines = report::lines(month, &booked, &invoiced, &of);
    for line in lines.iter().filter(|line| line.advertiser.is_empty()) {
        eprintln!("campaign {} has no advertiser, or is in no file any more: its line has none", line.campaign);
    }
    if options.draft {
        print!("{}", report::csv(&lines));
        return Ok(());
    }
    reports.write(month, &lines).map_err(|e| e.to_string())?;
    println!("{} line(s): {path} and .parquet", lines.len());
    Ok(())
}

/// The stored books, and what the log has beyond them.
fn books(config: &Config, log: &ReadOnlyLog) -> Result<Books, String> {
    let mut stored = SqliteBooks::open_read_only(&config.data_dir.join("books.sqlite")).map_err(|e| e.to_string())?;
    let stored = stored.load().map_err(|e| e.to_string())?;
    of_this_log(&stored, log.end(), |from| log.read(from))?;
    let mut replay = Replay::from(log, stored);
    let mut progress = Progress::new("folding the log");
    replay.fold_to(log.end(), &mut |done, total| progress.tell(done, total)).map_err(|e| e.to_string())?;
    Ok(replay.books)
}

/// Who each campaign belongs to: as it was put last, or as the catalog's files say.
fn advertisers(config: &Config, log: &ReadOnlyLog, books: &Books) -> Result<BTreeMap<String, String>, String> {
    let files = catalog_files::load(config);
    let files = files.map_err(|faults| faults.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n"))?;
    let mut advertisers: BTreeMap<String, String> =
        files.into_iter().map(|campaign| (campaign.id, campaign.advertiser)).collect();
    let put = |advertisers: &mut BTreeMap<String, String>, id: &str, json: &str| {
        if let Ok(campaign) = campaign::parse(json) {
            advertisers.insert(id.to_owned(), campaign.advertiser);
        }
    };
    for book in books.campaigns.values() {
        book.json.iter().for_each(|json| put(&mut advertisers, &book.id, json));
    }
    // What was put and deleted since is only in the log.
    let gone = books.campaigns.values().filter(|book| book.deleted && !book.days.is_empty());
    let gone: BTreeSet<&str> = gone.map(|book| book.id.as_str()).collect();
    if !gone.is_empty() {
        let mut progress = Progress::new("looking for campaigns that were deleted");
        let mut reader = log.read(Offset(0)).map_err(|e| e.to_string())?;
        while let Some(stamped) = reader.next_event().map_err(|e| e.to_string())? {
            if let Event::CampaignSet(set) = &stamped.event
                && gone.contains(set.id.as_str())
            {
                set.json.iter().for_each(|json| put(&mut advertisers, &set.id, json));
            }
            if stamped.offset.0.is_multiple_of(100_000) {
                progress.tell(stamped.offset.0, log.end().0);
            }
        }
    }
    Ok(advertisers)
}
