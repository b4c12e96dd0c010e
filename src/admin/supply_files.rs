//! ads.txt, app-ads.txt and sellers.json: files named after the domain that they were read from.

use std::path::{Path, PathBuf};

use super::catalog_files::FileFault;
use crate::bidding::fault::Fault;
use crate::bidding::key::KeySet;
use crate::bidding::supply::{Supply, blocked_key};
use crate::config::Config;

/// Largest file: the largest sellers.json there is has a tenth of it.
const MAX_BYTES: u64 = 512 << 20;

/// What the config's files say; all of them, or every fault. None where nothing is configured.
pub fn load(config: &Config) -> Result<Option<Supply>, Vec<FileFault>> {
    let Some(given) = &config.supply else { return Ok(None) };
    let blocked = KeySet::of_keys(given.blocked.iter().map(|entry| blocked_key(entry)).collect());
    let mut supply = Supply::new(given.require_schain, blocked);
    let mut faults = Vec::new();
    let mut each = |files: &[PathBuf], ending: &str, take: &mut dyn FnMut(&str, &str) -> Result<(), String>| {
        for file in files {
            if let Err(message) = read(file, ending).and_then(|(domain, text)| take(&domain, &text)) {
                let fault = Fault { pointer: String::new(), line: None, message };
                faults.push(FileFault { file: file.display().to_string(), fault });
            }
        }
    };
    each(&given.ads_txt, ".txt", &mut |domain, text| {
        supply.add_ads(domain, text, false);
        Ok(())
    });
    each(&given.app_ads_txt, ".txt", &mut |domain, text| {
        supply.add_ads(domain, text, true);
        Ok(())
    });
    each(&given.sellers_json, ".json", &mut |domain, text| supply.add_sellers(domain, text));
    if faults.is_empty() { Ok(Some(supply)) } else { Err(faults) }
}

/// The domain that the file is named after, and its text.
fn read(file: &Path, ending: &str) -> Result<(String, String), String> {
    let name = file.file_name().and_then(|name| name.to_str()).unwrap_or_default();
    let domain = name.strip_suffix(ending).filter(|domain| domain.contains('.'));
    let domain = domain.ok_or_else(|| format!("must be named after its domain: example.com{ending}"))?;
    let bytes = std::fs::metadata(file).map_err(|e| format!("cannot be read: {e}"))?.len();
    if bytes > MAX_BYTES {
        return Err(format!("is {bytes} bytes long, more than {MAX_BYTES}"));
    }
    let text = std::fs::read_to_string(file).map_err(|e| format!("cannot be read: {e}"))?;
    Ok((domain.to_owned(), text))
}
