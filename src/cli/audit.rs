//! `gavel audit`.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::app::Progress;
use crate::batch::archive::remote::{self, S3};
use crate::batch::archive::{Archive, Archived};
use crate::batch::audit::{self, Replay};
use crate::batch::live;
use crate::bookstore::SqliteBooks;
use crate::config::Config;
use crate::event::Offset;
use crate::eventlog::{DirStorage, ReadOnlyLog};
use crate::ledger::Books;

/// The log as it stands now, wherever the config says that it is.
pub fn open_log(config: &Config) -> Result<ReadOnlyLog, String> {
    #[cfg(feature = "kafka")]
    if let Some(kafka) = &config.log.kafka {
        return ReadOnlyLog::of_topic(kafka).map_err(|e| e.to_string());
    }
    let log_dir = config.data_dir.join("log");
    if !log_dir.is_dir() {
        return Err(format!("there is no log in {}", config.data_dir.display()));
    }
    let storage = DirStorage::new(&log_dir).map_err(|e| e.to_string())?;
    let mut progress = Progress::new("checking the log");
    let log = ReadOnlyLog::open(Arc::new(storage), &mut |done, total| progress.tell(done, total));
    let (log, archive) = (log.map_err(|e| e.to_string())?, config.archive());
    if log.begin() > Offset(0) {
        let (begin, archive) = (log.begin().0, archive.display());
        eprintln!("the log begins at event {begin}: what was before is read from {archive}");
    }
    Ok(log.with_older(Arc::new(Archived(archive))))
}

/// The books as they are stored, and the event they have come to.
fn stored(config: &Config) -> Result<(SqliteBooks, Option<Offset>), String> {
    let stored = SqliteBooks::open_read_only(&config.data_dir.join("books.sqlite")).map_err(|e| e.to_string())?;
    let next = stored.next().map_err(|e| e.to_string())?;
    Ok((stored, next))
}

/// Prints what it finds; true when the log, the books and the server agree.
pub fn log(config: &Config, server: Option<&str>) -> Result<bool, String> {
    // Before the log: a running server goes on, and the log has all that its books have.
    let (stored, next) = stored(config)?;
    let log = open_log(config)?;
    let mut progress = Progress::new("folding the log");
    let mut fold_to = |replay: &mut Replay, end| {
        replay.fold_to(end, &mut |done, total| progress.tell(done, total)).map_err(|e| e.to_string())
    };
    let mut replay = Replay::new(&log);
    let mut found = Found::default();
    let end = log.end();
    match next {
        Some(next) if next > end => {
            found.tell(format!("the books are at event {}, the log ends at {}", next.0, end.0));
        }
        Some(next) if next < end => {
            println!("the books are at event {}, the log goes on to {}: the next start folds the rest", next.0, end.0);
        }
        // What is missing in `meta` is named with the rest of it.
        _ => {}
    }
    fold_to(&mut replay, next.unwrap_or(end))?;
    found.compare(&stored, &mut replay.books)?;
    // What the log itself comes to is judged to its end, however far the books are.
    fold_to(&mut replay, end)?;
    found.judge(&replay.books);
    if let Some(url) = server {
        let server = live::Server::new(url, config.admin_token.clone())?;
        let accounts = server.accounts(&replay.books, end)?;
        // The server goes on: the log has by now what each account had come to. None may be behind what was there before.
        let log = open_log(config)?;
        let mut replay = Replay::new(&log);
        let mut lines = Vec::new();
        for account in accounts {
            fold_to(&mut replay, account.at.max(end))?;
            lines.extend(account.differences(&replay.books));
        }
        lines.sort_unstable();
        lines.into_iter().for_each(|line| found.tell(line));
    }
    Ok(found.sum_up())
}

/// Prints what it finds; true when the archive and the books agree.
pub fn archive(config: &Config, place: Option<&str>) -> Result<bool, String> {
    let Some(url) = place.filter(|place| place.starts_with(S3)) else {
        return archive_in(config, &place.map_or_else(|| config.archive(), PathBuf::from));
    };
    let dir = config.data_dir.join("archive-download");
    let clear = || if dir.exists() { std::fs::remove_dir_all(&dir) } else { Ok(()) };
    clear().map_err(|e| format!("cannot remove {}: {e}", dir.display()))?;
    let pulled = remote::pull(url, &dir).map_err(|e| e.to_string());
    let agree = pulled.and_then(|()| archive_in(config, &dir));
    let agree = agree.map_err(|error| error.replace(&dir.display().to_string(), url.trim_end_matches('/')));
    clear().map_err(|e| format!("cannot remove {}: {e}", dir.display()))?;
    agree
}

/// The archive in a directory, which has some of the log.
pub(super) fn open_archive(dir: &Path) -> Result<Archive, String> {
    let archive = Archive::open(dir).map_err(|e| e.to_string())?;
    if archive.ranges.is_empty() {
        return Err(format!("there is no archive in {}: `gavel export` writes it", dir.display()));
    }
    Ok(archive)
}

fn archive_in(config: &Config, dir: &Path) -> Result<bool, String> {
    let (stored, next) = stored(config)?;
    let archive = open_archive(dir)?;
    let end = archive.end();
    let mut found = Found::default();
    let next = next.unwrap_or(end);
    let mut progress = Progress::new("folding the archive");
    let progress = &mut |done, total| progress.tell(done, total);
    let mut by_archive = audit::recompute_from(&archive, next, progress).map_err(|e| e.to_string())?;
    if next > end {
        println!("the books are at event {}, the archive ends at {}: the rest is taken from the log", next.0, end.0);
        let log = open_log(config)?;
        let mut replay = Replay::from(&log, by_archive);
        replay.fold_to(next, progress).map_err(|e| e.to_string())?;
        by_archive = replay.books;
    } else if next < end {
        println!("the books are at event {}, the archive goes on to {}", next.0, end.0);
    }
    found.compare(&stored, &mut by_archive)?;
    found.judge(&by_archive);
    Ok(found.sum_up())
}

/// What an audit found.
#[derive(Default)]
struct Found {
    differences: usize,
    events: u64,
    campaigns: usize,
    /// Overspends that are explained.
    overspends: Vec<String>,
}

impl Found {
    fn tell(&mut self, line: String) {
        println!("{line}");
        self.differences += 1;
    }

    /// Compares the stored books with those that were recomputed.
    fn compare(&mut self, stored: &SqliteBooks, recomputed: &mut Books) -> Result<(), String> {
        let all = recomputed.take_dirty();
        stored.differences(recomputed, &all, &mut |line| self.tell(line)).map_err(|e| e.to_string())
    }

    /// Holds recomputed books against what must hold of them.
    fn judge(&mut self, recomputed: &Books) {
        let (broken, overspends) = audit::findings(recomputed);
        broken.into_iter().for_each(|line| self.tell(line));
        self.overspends = overspends;
        (self.events, self.campaigns) = (recomputed.next.0, recomputed.campaigns.len());
    }

    fn sum_up(&self) -> bool {
        self.overspends.iter().for_each(|line| println!("overspend, allowed: {line}"));
        println!("{} differences over {} events and {} campaigns", self.differences, self.events, self.campaigns);
        self.differences == 0
    }
}
