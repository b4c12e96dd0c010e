//! Lists of traffic that is not bid for.

use std::path::PathBuf;

use crate::config::{Config, Fault, Traffic};
use crate::fraud::traffic::read::{Entries, Kind};
use crate::fraud::traffic::{Lists, demo};

/// Largest file: the largest published list has a tenth of it.
const MAX_BYTES: u64 = 64 << 20;

/// What the config's lists hold, or the demo's; all of it, or every fault. None where nothing is judged.
pub fn load(config: &Config) -> Result<Option<Lists>, Vec<Fault>> {
    match &config.traffic {
        Some(given) => read(given).map(Some),
        None => Ok(config.catalog.is_none().then(demo)),
    }
}

/// What the files hold.
pub fn read(given: &Traffic) -> Result<Lists, Vec<Fault>> {
    let (mut entries, mut faults) = (Entries::default(), Vec::new());
    for (kind, files) in [
        (Kind::DataCentres, &given.data_centres),
        (Kind::Crawlers, &given.crawlers),
        (Kind::Publishers, &given.publishers),
    ] {
        faults.extend(add(&mut entries, kind, files).err().unwrap_or_default());
    }
    if !faults.is_empty() {
        return Err(faults);
    }
    entries
        .lists()
        .map_err(|message| vec![Fault { file: "traffic.crawlers".to_owned(), line: None, key: String::new(), message }])
}

/// Adds files of one kind; how many entries they have.
pub fn add(entries: &mut Entries, kind: Kind, files: &[PathBuf]) -> Result<usize, Vec<Fault>> {
    let (mut count, mut faults) = (0, Vec::new());
    for path in files {
        let mut fault = |line, message| {
            faults.push(Fault { file: path.display().to_string(), line, key: String::new(), message });
        };
        let text = match std::fs::metadata(path).map(|metadata| metadata.len()) {
            Ok(bytes) if bytes > MAX_BYTES => Err(format!("is {bytes} bytes long, more than {MAX_BYTES}")),
            Ok(_) => std::fs::read_to_string(path).map_err(|e| format!("cannot be read: {e}")),
            Err(e) => Err(format!("cannot be read: {e}")),
        };
        match text.map(|text| entries.add(kind, &text)) {
            Ok(Ok(found)) => count += found,
            Ok(Err(found)) => found.into_iter().for_each(|found| fault(found.line, found.message)),
            Err(message) => fault(None, message),
        }
    }
    if faults.is_empty() { Ok(count) } else { Err(faults) }
}
