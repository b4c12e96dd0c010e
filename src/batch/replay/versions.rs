//! What was in force when a check was decided: its answer names ruleset and models, the log has them.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;

use serde_json::Value;
use sha2::{Digest, Sha256};

use crate::clock::UnixMs;
use crate::config::Config;
use crate::event::ModelsSet;
use crate::event::fraud::{Checked, FraudEvent};
use crate::fraud::decide::{Decided, Scratch, Snapshot, again};
use crate::fraud::edits::Edits;
use crate::fraud::engine::unpack;
use crate::fraud::policy::{Lists, first_lists};
use crate::fraud::{Policy, Request, Velocity, answer};
use crate::modelstore::folder;
use crate::scoring::{Artifact, ModelSet, RowsFrom, Sources};

/// How long an edit may take from the log to being in force, and so how much older lists may have decided.
const EDIT_MS: i64 = 10_000;
/// Rulesets over lists that are kept ready.
pub const MAX_READY: usize = 64;

/// One configuration's windows, by name.
struct Era {
    velocity: Velocity,
    scratch: Scratch,
    /// By version of the rules and number of the lists.
    ready: HashMap<(String, u64), Policy>,
}

/// A state of the lists; the number tells it from others.
#[derive(Clone)]
pub struct ListsThen {
    pub number: u64,
    until: UnixMs,
    pub lists: Lists,
}

pub struct Versions {
    /// By version.
    rules: HashMap<String, String>,
    edits: Edits,
    lists: VecDeque<ListsThen>,
    /// Names of windows by fingerprint.
    names: HashMap<u64, Vec<String>>,
    eras: HashMap<u64, Era>,
    model: String,
    models_dir: std::path::PathBuf,
    digests: HashMap<String, [u8; 32]>,
    artifacts: HashMap<String, Result<Arc<Artifact>, String>>,
    request: Request,
}

/// The version of a text of rules, as answers name it.
fn version(toml: &str) -> String {
    Sha256::digest(toml.as_bytes()).iter().take(6).map(|byte| format!("{byte:02x}")).collect()
}

fn unknown(ruleset: &str) -> String {
    format!("the ruleset {ruleset} is neither in the log nor in the config")
}

impl Versions {
    pub fn new(config: &Config, model: &str) -> Versions {
        let toml = config.fraud.rules_text.clone();
        let first = ListsThen { number: 0, until: UnixMs(i64::MAX), lists: first_lists(Lists::default(), &toml) };
        Versions {
            rules: HashMap::from([(version(&toml), toml)]),
            edits: Edits::default(),
            lists: VecDeque::from([first]),
            names: HashMap::new(),
            eras: HashMap::new(),
            model: model.to_owned(),
            models_dir: config.models.clone(),
            digests: HashMap::new(),
            artifacts: HashMap::new(),
            request: Request::default(),
        }
    }

    pub fn note_models(&mut self, set: &ModelsSet) {
        if set.name == self.model {
            let roles = [&set.active, &set.shadow, &set.previous].into_iter().flatten();
            self.digests.extend(roles.map(|role| (role.version.clone(), role.digest)));
        }
    }

    pub fn note(&mut self, event: &FraudEvent, at: UnixMs) {
        match event {
            FraudEvent::Windows { fingerprint, names } => drop(self.names.insert(*fingerprint, names.clone())),
            FraudEvent::Rules { toml } | FraudEvent::FileRules { toml } => {
                self.rules.insert(version(toml), toml.clone());
                // Lists that they name are there from then on, if only as empty ones.
                self.edit_lists(at, |lists| first_lists(lists, toml));
            }
            FraudEvent::List { .. } | FraudEvent::ListEntries { .. } | FraudEvent::ListEntryRemoved { .. } => {
                self.edits.apply(event, at);
                let put = self.edits.lists.clone();
                self.edit_lists(at, |mut lists| {
                    lists.extend(put);
                    lists
                });
            }
            _ => {}
        }
    }

    fn edit_lists(&mut self, at: UnixMs, edit: impl FnOnce(Lists) -> Lists) {
        let Some(last) = self.lists.back_mut() else { return };
        last.until = at;
        let next = ListsThen { number: last.number + 1, until: UnixMs(i64::MAX), lists: edit(last.lists.clone()) };
        self.lists.push_back(next);
    }

    /// The lists that a check may have been decided by: first those of the log's order.
    pub fn lists_at(&mut self, arrived: UnixMs, at: UnixMs) -> Vec<ListsThen> {
        while self.lists.len() > 1 && self.lists[0].until.plus(EDIT_MS) < arrived.min(at) {
            self.lists.pop_front();
        }
        self.lists.iter().rev().cloned().collect()
    }

    /// The answer, made again, with the time that it took then.
    pub fn decide(&mut self, checked: &Checked, was: &Value, lists: &ListsThen) -> Result<Vec<u8>, String> {
        let ruleset = was["ruleset_version"].as_str().unwrap_or_default();
        let active = self.active(was)?;
        let shadow = was["shadow"].as_array().into_iter().flatten().find_map(|s| s["model"]["version"].as_str());
        let shadow = self.artifact(shadow)?;
        let names = self.names.get(&checked.windows).ok_or("the names of its windows are not in the log")?;
        let era = match self.eras.entry(checked.windows) {
            std::collections::hash_map::Entry::Occupied(era) => era.into_mut(),
            std::collections::hash_map::Entry::Vacant(place) => {
                let velocity = Velocity::of_names(names).map_err(|faults| format!("its windows: {faults:?}"))?;
                place.insert(Era { velocity, scratch: Scratch::default(), ready: HashMap::new() })
            }
        };
        if era.ready.len() > MAX_READY {
            era.ready.clear();
        }
        let Era { velocity, scratch, ready } = era;
        let policy = match ready.entry((ruleset.to_owned(), lists.number)) {
            std::collections::hash_map::Entry::Occupied(policy) => policy.into_mut(),
            std::collections::hash_map::Entry::Vacant(place) => {
                let toml = self.rules.get(ruleset).ok_or_else(|| unknown(ruleset))?;
                // A start may have left out rules that name windows which were not declared any more.
                let policy = Policy::again(toml, velocity, first_lists(lists.lists.clone(), toml));
                place.insert(policy.map_err(|faults| format!("the ruleset {ruleset}: {faults:?}"))?)
            }
        };
        let merchant = Some(checked.merchant.as_str()).filter(|merchant| !merchant.is_empty());
        if self.request.parse(&checked.body, false, merchant, checked.arrived).is_err() {
            return Err("its body is not taken any more".to_owned());
        }
        let models = ModelSet { active, shadow, previous: None };
        let snapshot = Snapshot { policy, models: Some(&models), velocity };
        let shown = checked.shown.iter().map(|value| unpack(*value));
        let decided: Decided = again(&snapshot, &self.request, shown, checked.arrived, scratch);
        let latency_us = was["latency_us"].as_u64().unwrap_or(0);
        let mut first = Vec::with_capacity(checked.answer.len());
        let view = (&self.request, scratch.velocity.shown.as_slice());
        answer::write(&mut first, checked.check, &decided, policy, view, latency_us);
        Ok(first)
    }

    /// Whether the log has the windows of the check by name alone.
    pub fn is_of_names_alone(&self, checked: &Checked) -> bool {
        self.names.get(&checked.windows).is_some_and(|names| answer::is_of_names_alone(checked.windows, names))
    }

    /// The rules of that version.
    pub fn rules(&self, version: &str) -> Result<&str, String> {
        self.rules.get(version).map(String::as_str).ok_or_else(|| unknown(version))
    }

    /// The model that an answer was decided by.
    pub fn active(&mut self, was: &Value) -> Result<Option<Arc<Artifact>>, String> {
        self.artifact(was["model"]["version"].as_str())
    }

    /// A version of the model, if it is the one that was in force.
    fn artifact(&mut self, version: Option<&str>) -> Result<Option<Arc<Artifact>>, String> {
        let Some(version) = version else { return Ok(None) };
        if let Some(known) = self.artifacts.get(version) {
            return known.clone().map(Some);
        }
        let name = &self.model;
        let loaded = self.digests.get(version).ok_or_else(|| format!("{name} {version} was never in force in the log"));
        let loaded = loaded.and_then(|digest| {
            let dir = self.models_dir.join(name).join(version);
            let sources = Sources::fraud().with_any_window();
            let artifact = folder::load(&dir, &sources, RowsFrom::Transforms);
            let artifact = artifact.map_err(|fault| format!("the model {name} {version} cannot be loaded: {fault}"))?;
            let is_it = artifact.digest == *digest;
            if is_it { Ok(Arc::new(artifact)) } else { Err(format!("{name} {version} is not the model that it was")) }
        });
        self.artifacts.insert(version.to_owned(), loaded.clone());
        loaded.map(Some)
    }
}
