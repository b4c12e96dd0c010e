//! `[traffic]`: which bid requests come of people.

use std::path::{Path, PathBuf};

use super::expand;
use super::section::Section;

/// Lists of what is not bid for, and how much one may ask. They are read again when they change.
#[derive(Clone, Debug, Default)]
pub struct Traffic {
    /// `data_centres`: patterns of files of address ranges, as AWS, Google and Azure publish them or one in each line.
    pub data_centres: Vec<PathBuf>,
    /// `crawlers`: patterns of files of user agents, as `crawler-user-agents.json` or a part of one in each line.
    pub crawlers: Vec<PathBuf>,
    /// `publishers`: patterns of files with a domain, an app or `exchange/id` in each line.
    pub publishers: Vec<PathBuf>,
    /// Requests that one address may make in a minute, all exchanges together. Default: as many as it likes, for a mobile
    /// network is behind a few.
    pub ip_requests_per_minute: Option<u32>,
    /// Requests that one user may make in a minute.
    pub user_requests_per_minute: Option<u32>,
}

impl Traffic {
    pub fn files(&self) -> Vec<PathBuf> {
        [&self.data_centres, &self.crawlers, &self.publishers].into_iter().flatten().cloned().collect()
    }
}

/// None where the section is not there, so that nothing is looked at.
pub fn read(mut s: Section, base: &Path) -> Option<Traffic> {
    let is_given = s.is_given();
    let mut files = |key: &'static str| {
        let patterns = s.texts(key).unwrap_or_default();
        expand(&patterns, base, key, &mut s)
    };
    let (data_centres, crawlers, publishers) = (files("data_centres"), files("crawlers"), files("publishers"));
    let mut rate = |key: &'static str| s.number(key, 1..=60_000).map(|n| n as u32);
    let (ip, user) = (rate("ip_requests_per_minute"), rate("user_requests_per_minute"));
    s.end();
    let read =
        Traffic { data_centres, crawlers, publishers, ip_requests_per_minute: ip, user_requests_per_minute: user };
    is_given.then_some(read)
}
