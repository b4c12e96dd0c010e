//! Campaign files: read, parsed and checked together.

use std::collections::HashMap;
use std::fmt;
use std::path::Path;

use crate::bidding::campaign::{Campaign, parse_file};
use crate::bidding::demo::demo;
use crate::bidding::fault::Fault;
use crate::config::Config;

/// A fault of a campaign file.
#[derive(Debug)]
pub struct FileFault {
    pub file: String,
    pub fault: Fault,
}

impl fmt::Display for FileFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.file, self.fault)
    }
}

/// The campaigns of the config's files, or the demo's; all of them, or every fault.
pub fn load(config: &Config) -> Result<Vec<Campaign>, Vec<FileFault>> {
    let Some(files) = &config.catalog else { return Ok(demo()) };
    let (mut campaigns, mut faults) = (Vec::new(), Vec::new());
    let mut seen: HashMap<String, &Path> = HashMap::new();
    for file in files {
        let name = file.display().to_string();
        let parsed = match std::fs::read_to_string(file) {
            Ok(text) => parse_file(&text),
            Err(error) => {
                let message = format!("cannot be read: {error}");
                Err(vec![Fault { pointer: String::new(), line: None, message }])
            }
        };
        let mut add = |fault| faults.push(FileFault { file: name.clone(), fault });
        match parsed {
            Err(found) => found.into_iter().for_each(&mut add),
            Ok(found) => {
                for campaign in found {
                    check(&campaign, config).into_iter().for_each(&mut add);
                    if let Some(other) = seen.insert(campaign.id.clone(), file) {
                        let message = format!("campaign {:?} is also in {}", campaign.id, other.display());
                        add(Fault { pointer: "/id".into(), line: None, message });
                    }
                    campaigns.push(campaign);
                }
            }
        }
    }
    if faults.is_empty() { Ok(campaigns) } else { Err(faults) }
}

/// What a campaign asks of the config and does not find there.
pub fn check(campaign: &Campaign, config: &Config) -> Vec<Fault> {
    let fault = |pointer: &str, what: String| Fault {
        pointer: pointer.to_owned(),
        line: None,
        message: format!("{what} (campaign {:?})", campaign.id),
    };
    let mut faults = Vec::new();
    if config.rates.get(campaign.currency).is_none() {
        faults.push(fault("/currency", format!("{} has no rate; add it to [rates]", campaign.currency)));
    }
    for name in campaign.targeting.exchanges.iter().filter(|name| !config.exchanges.iter().any(|e| e.name == *name)) {
        faults.push(fault("/targeting/exchanges", format!("{name:?} is not an exchange of the config")));
    }
    faults
}
