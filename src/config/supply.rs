//! `[supply]`: who may sell.

use std::path::{Path, PathBuf};

use super::expand;
use super::section::Section;

/// Files that say who may sell, named after the domain that they come from.
#[derive(Clone, Debug, Default)]
pub struct Supply {
    /// `ads_txt`: patterns of files such as `ads/example.com.txt`.
    pub ads_txt: Vec<PathBuf>,
    pub app_ads_txt: Vec<PathBuf>,
    /// `sellers_json`: patterns of files such as `sellers/exchange.example.json`.
    pub sellers_json: Vec<PathBuf>,
    /// A request must have a complete supply chain. Default false.
    pub require_schain: bool,
    /// Systems (`system.example`) and sellers (`system.example/id`) that nothing is bought from.
    pub blocked: Vec<String>,
}

/// None where nothing is set, so that nothing is looked at.
pub fn read(mut s: Section, base: &Path) -> Option<Supply> {
    let is_set = !s.names().is_empty();
    let mut files = |key: &'static str| {
        let patterns = s.texts(key).unwrap_or_default();
        expand(&patterns, base, key, &mut s)
    };
    let (ads_txt, app_ads_txt, sellers_json) = (files("ads_txt"), files("app_ads_txt"), files("sellers_json"));
    let require_schain = s.boolean("require_schain").unwrap_or(false);
    let blocked = s.texts("blocked").unwrap_or_default();
    if let Some(odd) = blocked.iter().find(|entry| !is_seller(entry)) {
        s.fault("blocked", format!("{odd:?} is neither a domain nor a domain, a slash and a seller's id"));
    }
    s.end();
    is_set.then_some(Supply { ads_txt, app_ads_txt, sellers_json, require_schain, blocked })
}

fn is_seller(entry: &str) -> bool {
    let (system, id) = entry.split_once('/').unwrap_or((entry, "x"));
    is_domain(system) && !id.is_empty()
}

pub fn is_domain(text: &str) -> bool {
    text.contains('.') && text.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'.')
}
