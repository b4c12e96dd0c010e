//! Model artifacts in the models directory, and which of their versions are in force: changed in the log first, then in one
//! store.
//!
//! Everything here may take as long as reading and checking a model does: it is called off the serving cores.
//!
//! - [`folder`]: artifacts on disk. [`upload`]: artifacts as a tar.
//! - `demo`: those that come with gavel.
//! - `roles`: which version has which role, loaded or not.
//! - [`found`]: what lies in the directory, and whether it is any good.

mod behind;
pub mod demo;
pub mod folder;
pub mod found;
mod roles;
pub mod upload;

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::event::{Event, ModelVersion, ModelsSet};
use crate::eventlog::{AppendError, EventLog, LogState};
use crate::scoring::link::Link;
use crate::scoring::manifest::{Manifest, OutputKind, is_plain};
use crate::scoring::sources::Caller;
use crate::scoring::{Artifact, Fault, ModelSet, Models, Registry, RowsFrom, Sources};
use behind::behind_bids;
use found::{Checked, Found};

/// Names of models, and versions of one: more is refused. An operator takes old ones out of the directory.
pub const MAX_NAMES: usize = 64;
pub const MAX_VERSIONS: usize = 256;

/// What becomes of a version in force that is not on the disk as it was.
const STAYS: &str = "what is in force stays until the next start, which will not use it";

/// Why nothing was changed.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    #[error("{0}")]
    NotThere(String),
    /// It does not go with what is there.
    #[error("{0}")]
    Conflict(String),
    /// What came is no tar of a folder.
    #[error("{0}")]
    Malformed(String),
    /// What came is no good, and where.
    #[error("refused: {0}")]
    Refused(Fault),
    #[error("nothing was changed: {0}")]
    Log(#[from] AppendError),
    #[error("nothing was changed: {0}")]
    Disk(#[from] std::io::Error),
}

/// What the models of a name can be made of.
pub type SourcesOf = Box<dyn Fn(&str) -> Sources + Send + Sync>;

pub struct ModelStore {
    dir: PathBuf,
    sources: SourcesOf,
    registry: Registry,
    log: Arc<dyn EventLog>,
    /// The lane of the log that changes use.
    lane: usize,
    /// Changes are made one after the other.
    state: Mutex<State>,
    /// Snapshots that somebody may still read: the last reader must not be a serving thread, for it frees them. At most one
    /// for each worker, and the last few.
    retired: Mutex<Vec<Arc<Models>>>,
}

#[derive(Debug, Default)]
struct State {
    found: Found,
    /// By the log, by name.
    roles: BTreeMap<String, ModelsSet>,
    /// Why a version could not be loaded when that was last tried, by name and version.
    why: BTreeMap<(String, String), String>,
    /// Versions in force whose files were gone at the last look, by name and version.
    gone: BTreeSet<(String, String)>,
}

/// What is known of a version.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum OnDisk {
    Fine,
    Refused(String),
    /// In force, while its files are others or no good by now.
    Changed(String),
    /// In force, while its files are gone.
    Gone,
}

/// A version that has a role by the log and is not in memory: whoever needs it does without.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NotLoaded {
    pub role: &'static str,
    pub version: String,
    pub why: String,
}

impl ModelStore {
    /// Loads what the log says is in force. What cannot be loaded keeps its role and is told of ([`ModelStore::not_loaded`])
    /// until it is loaded or another version has the role.
    pub fn start(
        dir: PathBuf,
        sources: SourcesOf,
        books: &BTreeMap<String, ModelsSet>,
        log: Arc<dyn EventLog>,
        lane: usize,
    ) -> Result<ModelStore, StoreError> {
        std::fs::create_dir_all(&dir)?;
        folder::remove_leftovers(&dir)?;
        let (registry, state, retired) = Default::default();
        let store = ModelStore { dir, sources, registry, log, lane, state, retired };
        let mut models = Models::default();
        for (name, roles) in books {
            let loaded: Vec<_> = roles::each(roles).filter_map(|(_, version)| store.reload(name, version)).collect();
            models = models.with(name, in_memory(roles, &loaded));
        }
        store.state().roles = books.clone();
        store.registry.store(Arc::new(models));
        Ok(store)
    }

    /// The snapshot in force, for whoever scores.
    pub fn registry(&self) -> &Registry {
        &self.registry
    }

    fn reload(&self, name: &str, wanted: &ModelVersion) -> Option<Arc<Artifact>> {
        let version = &wanted.version;
        match self.load(name, version).and_then(|artifact| is_wanted(name, artifact, wanted)) {
            Ok(artifact) => Some(artifact),
            Err(error) => {
                tracing::error!(name, version, %error, "the model in force cannot be loaded: it is not used");
                self.state().why.insert((name.to_owned(), version.clone()), error.to_string());
                None
            }
        }
    }

    fn load(&self, name: &str, version: &str) -> Result<Arc<Artifact>, StoreError> {
        let there = is_plain(name) && is_plain(version) && self.folder(name, version).exists();
        if !there {
            return Err(StoreError::NotThere(format!("there is no model {name} {version}")));
        }
        self.check(name, version).map(Arc::new).map_err(StoreError::Refused)
    }

    fn check(&self, name: &str, version: &str) -> Result<Artifact, Fault> {
        check(&self.dir, name, version, &(self.sources)(name))
    }

    fn folder(&self, name: &str, version: &str) -> PathBuf {
        self.dir.join(name).join(version)
    }

    /// The changes' own state, also after a panic elsewhere: it is a cache of the directory and of the log.
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Puts an artifact into the directory; true when it is new. One that is there is mended where its model file is not what
    /// it was, and one that has a role by the log is in force again.
    pub fn put(&self, name: &str, version: &str, tar: &[u8]) -> Result<bool, StoreError> {
        let (text, files) = upload::unpack(tar).map_err(StoreError::Malformed)?;
        let manifest = Manifest::parse(text).map_err(|f| StoreError::Refused(f.within(folder::MANIFEST)))?;
        let file = files.iter().find(|(file, _)| *file == manifest.file);
        let (_, file) = file
            .ok_or_else(|| StoreError::Refused(Fault::new("file", format!("`{}` is not in the tar", manifest.file))))?;
        if let Some((other, _)) = files.iter().find(|(other, _)| *other != manifest.file) {
            let fault = Fault::new(other.chars().take(80).collect::<String>(), "is not named by the manifest");
            return Err(StoreError::Refused(fault));
        }
        let artifact = behind_bids(|| check_content(name, version, &manifest, file, &(self.sources)(name)))
            .flatten()
            .map_err(StoreError::Refused)?;
        let mut state = self.state();
        if let Some(roles) = state.roles.get(name) {
            never_changes(roles, &roles::version_of(&artifact))?;
        }
        let is_new = match folder::digest(&self.folder(name, version)) {
            Some(digest) if digest == manifest.digest => {
                folder::mend(&self.folder(name, version), &manifest.file, file)?;
                false
            }
            Some(_) => {
                let detail = format!("{name} {version} is there with other content: a version never changes");
                return Err(StoreError::Conflict(detail));
            }
            None => {
                self.install(name, version, &manifest.file, text, file)?;
                true
            }
        };
        state.found.install(&self.dir, name, version, manifest.digest);
        state.gone.remove(&(name.to_owned(), version.to_owned()));
        self.put_back(&state, name, Arc::new(artifact));
        Ok(is_new)
    }

    /// Puts a version where none is.
    fn install(&self, name: &str, version: &str, file: &str, text: &str, content: &[u8]) -> Result<(), StoreError> {
        if self.folder(name, version).exists() {
            let why = folder::misplaced(&self.dir, name, version).map(|fault| fault.to_string()).unwrap_or_default();
            let detail = format!("something else is in the place of {name} {version}: {why}; take it away first");
            return Err(StoreError::Conflict(detail));
        }
        let (names, versions) = folder::count(&self.dir, name)?;
        if versions >= MAX_VERSIONS || versions == 0 && names >= MAX_NAMES {
            let detail = format!("there are {names} models and {versions} versions of {name}: take some away first");
            return Err(StoreError::Conflict(detail));
        }
        Ok(folder::install(&self.dir, name, version, file, text, content)?)
    }

    /// Has a version decide from now on.
    pub fn activate(&self, name: &str, version: &str) -> Result<(), StoreError> {
        let artifact = self.artifact(name, version)?;
        let version = roles::version_of(&artifact);
        self.change(name, Some(artifact), |roles| {
            never_changes(roles, &version)?;
            Ok(roles::activate(roles, version))
        })
    }

    /// Has a version score beside the active one.
    pub fn shadow(&self, name: &str, version: &str) -> Result<(), StoreError> {
        let artifact = self.artifact(name, version)?;
        let shadow = roles::version_of(&artifact);
        self.change(name, Some(artifact), |roles| {
            if roles.active.as_ref().is_some_and(|active| active.version == version) {
                return Err(StoreError::Conflict(format!("{name} {version} is active: it would be its own shadow")));
            }
            never_changes(roles, &shadow)?;
            Ok(roles::with_shadow(roles, Some(shadow)))
        })
    }

    pub fn end_shadow(&self, name: &str) -> Result<(), StoreError> {
        self.change(name, None, |roles| Ok(roles::with_shadow(roles, None)))
    }

    /// Takes all roles from the versions of a model: nothing decides by it any more, and no start looks for them.
    pub fn withdraw(&self, name: &str) -> Result<(), StoreError> {
        self.change(name, None, |roles| match roles::each(roles).next() {
            Some(_) => Ok(roles::none(name)),
            None => Err(StoreError::NotThere(format!("no version of {name} has a role"))),
        })?;
        self.state().gone.retain(|(of, _)| of != name);
        Ok(())
    }

    /// Has the version decide that did before.
    pub fn roll_back(&self, name: &str) -> Result<(), StoreError> {
        // One that a start could not load may be there by now.
        let previous = self.state().roles.get(name).and_then(|roles| roles.previous.clone());
        let load = |wanted: &ModelVersion| is_wanted(name, self.artifact(name, &wanted.version)?, wanted);
        let artifact = previous.as_ref().map(load).transpose()?;
        let none = || StoreError::Conflict(format!("{name} has no previous version"));
        self.change(name, artifact, |roles| {
            if roles.previous != previous {
                return Err(StoreError::Conflict(format!("another change of {name} came first")));
            }
            roles::roll_back(roles).ok_or_else(none)
        })
    }

    /// From memory where it is there. Not under the lock: loading must not keep a rollback waiting.
    fn artifact(&self, name: &str, version: &str) -> Result<Arc<Artifact>, StoreError> {
        let models = self.registry.load();
        let known = models.get(name).and_then(|set| set.find(version)).cloned();
        known.map_or_else(|| behind_bids(|| self.load(name, version)).map_err(StoreError::Refused).flatten(), Ok)
    }

    /// Durable in the log first, then in force with one store. `artifact` is what gets a role that had none.
    fn change(
        &self,
        name: &str,
        artifact: Option<Arc<Artifact>>,
        next: impl FnOnce(&ModelsSet) -> Result<ModelsSet, StoreError>,
    ) -> Result<(), StoreError> {
        let mut state = self.state();
        let there = is_plain(name) && self.dir.join(name).is_dir();
        let roles = state.roles.get(name).cloned().or_else(|| there.then(|| roles::none(name)));
        let next = next(&roles.ok_or_else(|| StoreError::NotThere(format!("there is no model {name}")))?)?;
        // While the disk is full what is left of it is for notices.
        if self.log.state() == LogState::Full {
            return Err(AppendError::Full.into());
        }
        self.log.append_durable(self.lane, &[Event::ModelsSet(next.clone())]).wait()?;
        state.roles.insert(name.to_owned(), next);
        self.put_in_force(&state, name, artifact);
        Ok(())
    }

    /// One store: the roles by the log, as far as they are in memory or in `artifact`.
    fn put_in_force(&self, state: &State, name: &str, artifact: Option<Arc<Artifact>>) {
        let Some(roles) = state.roles.get(name) else { return };
        let models = self.registry.load_full();
        // The new one first: of a version whose files were replaced it is the one that was asked for.
        let mut loaded: Vec<_> = artifact.into_iter().collect();
        let set = models.get(name).cloned().unwrap_or_default();
        loaded.extend([set.active, set.shadow, set.previous].into_iter().flatten());
        let last = self.registry.swap(Arc::new(models.with(name, in_memory(roles, &loaded))));
        drop(models);
        self.retire(Some(last));
    }

    /// What has a role of `name` by the log and is not in memory.
    pub fn not_loaded(&self, name: &str) -> Vec<NotLoaded> {
        let state = self.state();
        let Some(roles) = state.roles.get(name) else { return Vec::new() };
        let models = self.registry.load();
        let missing =
            |wanted: &ModelVersion| !models.get(name).is_some_and(|set| set.has(&wanted.version, &wanted.digest));
        let tell = |(role, wanted): (&'static str, &ModelVersion)| {
            let version = wanted.version.clone();
            let why = state.why.get(&(name.to_owned(), version.clone())).cloned().unwrap_or_default();
            NotLoaded { role, version, why }
        };
        roles::each(roles).filter(|(_, wanted)| missing(wanted)).map(tell).collect()
    }

    /// How many roles are not loaded, of all models.
    pub fn count_not_loaded(&self) -> usize {
        let names: Vec<String> = self.state().roles.keys().cloned().collect();
        names.iter().map(|name| self.not_loaded(name).len()).sum()
    }

    /// Frees what nobody reads any more.
    fn retire(&self, last: Option<Arc<Models>>) {
        let mut retired = self.retired.lock().unwrap_or_else(PoisonError::into_inner);
        retired.extend(last);
        retired.retain(|models| Arc::strong_count(models) > 1);
    }

    /// Looks at the directory: checks what is new or has changed. Returns how many it checked.
    pub fn look(&self) -> usize {
        self.retire(None);
        let due = self.state().found.due(&self.dir);
        for (name, version) in &due {
            let checked = behind_bids(|| self.check(name, version)).flatten();
            let mut state = self.state();
            let digest = checked.as_ref().map(|artifact| artifact.digest).map_err(Clone::clone);
            match self.on_disk(&state, name, version, &digest) {
                OnDisk::Refused(fault) => tracing::warn!(name, version, fault, "a model in the directory is no good"),
                OnDisk::Changed(fault) => {
                    tracing::error!(name, version, fault, "a model in force was changed in the directory: {STAYS}")
                }
                OnDisk::Fine | OnDisk::Gone => {}
            }
            if let Ok(artifact) = checked {
                self.put_back(&state, name, Arc::new(artifact));
            }
            state.found.note(name, version, digest);
        }
        self.miss();
        due.len()
    }

    /// Tells once of each version in force whose files are not there any more.
    fn miss(&self) {
        let (models, mut state) = (self.registry.load(), self.state());
        let in_force = models.iter().flat_map(|(name, set)| set.each().map(move |artifact| (name, &artifact.version)));
        let gone: BTreeSet<_> = in_force
            .filter(|(name, version)| !state.found.is_there(name, version) && !self.folder(name, version).exists())
            .map(|(name, version)| (name.to_owned(), version.clone()))
            .collect();
        for (name, version) in gone.difference(&state.gone) {
            tracing::error!(name, version, "the files of a model in force are gone: {STAYS}");
        }
        state.gone = gone;
    }

    /// What a check's outcome means for what is in force.
    fn on_disk(&self, state: &State, name: &str, version: &str, checked: &Checked) -> OnDisk {
        let of_version = |has: &ModelVersion| has.version == version;
        let role =
            state.roles.get(name).and_then(|roles| roles::each(roles).map(|(_, has)| has).find(|has| of_version(has)));
        let in_memory = || self.registry.load().get(name).is_some_and(|set| set.find(version).is_some());
        match (checked, role) {
            (Ok(digest), Some(role)) if *digest != role.digest => {
                OnDisk::Changed("its content is not that of the version that was put in force".to_owned())
            }
            (Ok(_), _) => OnDisk::Fine,
            (Err(fault), Some(_)) if in_memory() => OnDisk::Changed(fault.to_string()),
            (Err(fault), _) => OnDisk::Refused(fault.to_string()),
        }
    }

    /// Puts a version in force that has its role by the log and could not be loaded until now.
    fn put_back(&self, state: &State, name: &str, artifact: Arc<Artifact>) {
        let version = roles::version_of(&artifact);
        let has_role = state.roles.get(name).is_some_and(|roles| roles::each(roles).any(|(_, has)| *has == version));
        let is_there = self.registry.load().get(name).is_some_and(|set| set.has(&version.version, &version.digest));
        if has_role && !is_there {
            tracing::info!(name, version = version.version, "the model in force is loaded now");
            self.put_in_force(state, name, Some(artifact));
        }
    }

    /// Every version in the directory, and those in force that are gone from it; none is listed that was not looked at yet.
    /// What lies where no version does has an empty one.
    pub fn versions(&self) -> BTreeMap<String, BTreeMap<String, OnDisk>> {
        let state = self.state();
        let mut names = BTreeMap::<String, BTreeMap<_, _>>::new();
        for (name, version, checked) in state.found.checked() {
            let on_disk = self.on_disk(&state, name, version, checked);
            names.entry(name.to_owned()).or_default().insert(version.to_owned(), on_disk);
        }
        for (name, version) in &state.gone {
            names.entry(name.clone()).or_default().insert(version.clone(), OnDisk::Gone);
        }
        names
    }

    pub fn dir(&self) -> &Path {
        &self.dir
    }
}

/// The roles as far as their versions are among these.
fn in_memory(roles: &ModelsSet, loaded: &[Arc<Artifact>]) -> ModelSet {
    let find = |role: &Option<ModelVersion>| {
        let wanted = role.as_ref()?;
        loaded.iter().find(|artifact| roles::version_of(artifact) == *wanted).cloned()
    };
    ModelSet { active: find(&roles.active), shadow: find(&roles.shadow), previous: find(&roles.previous) }
}

fn is_wanted(name: &str, artifact: Arc<Artifact>, wanted: &ModelVersion) -> Result<Arc<Artifact>, StoreError> {
    if artifact.digest == wanted.digest { Ok(artifact) } else { Err(is_another(name, &wanted.version)) }
}

/// A version that has a role is what it was when it got it.
fn never_changes(roles: &ModelsSet, version: &ModelVersion) -> Result<(), StoreError> {
    let is_other = |has: &ModelVersion| has.version == version.version && has.digest != version.digest;
    let known = roles::each(roles).any(|(_, has)| is_other(has));
    if known { Err(is_another(&roles.name, &version.version)) } else { Ok(()) }
}

fn is_another(name: &str, version: &str) -> StoreError {
    let detail = format!(
        "{name} {version} is not the one that was put in force: its content is another, and a version never changes"
    );
    StoreError::Conflict(detail)
}

/// Loads an artifact from a models directory and checks that it is what its folder says.
pub fn check(dir: &Path, name: &str, version: &str, sources: &Sources) -> Result<Artifact, Fault> {
    if let Some(fault) = folder::misplaced(dir, name, version) {
        return Err(fault);
    }
    let (manifest, file) = folder::read(&dir.join(name).join(version))?;
    check_content(name, version, &manifest, &file, sources)
}

/// The same for a folder wherever it is, under the name and version that it gives itself.
pub fn check_folder(dir: &Path, sources: impl FnOnce(&str) -> Sources) -> Result<Artifact, Fault> {
    let (manifest, file) = folder::read(dir)?;
    check_content(&manifest.name, &manifest.version, &manifest, &file, &sources(&manifest.name))
}

fn check_content(
    name: &str,
    version: &str,
    manifest: &Manifest,
    file: &[u8],
    sources: &Sources,
) -> Result<Artifact, Fault> {
    for (key, is, should) in [("name", &manifest.name, name), ("version", &manifest.version, version)] {
        if is != should {
            return Err(Fault::new(key, format!("is `{is}`, its place says `{should}`")));
        }
    }
    let artifact = Artifact::load(manifest, file, sources, RowsFrom::Transforms)?;
    let (caller, predictions) = (artifact.features.caller(), artifact.model.predictions());
    let is_one = match caller {
        Caller::Bid => "a click rate is one",
        Caller::Fraud => "the probability of fraud is one",
        Caller::Any => return Ok(artifact),
    };
    if predictions != 1 {
        return Err(Fault::new(&manifest.file, format!("gives {predictions} predictions, {is_one}")));
    }
    if manifest.output != OutputKind::Probability {
        // A margin, a class or a rank would be bid on as if everybody clicked.
        let of = if caller == Caller::Bid {
            "a price per click is multiplied by it"
        } else {
            "rules and the risk score take it for one"
        };
        return Err(Fault::new("output", format!("must be \"probability\": {of}")));
    }
    if artifact.model.classes() == 1 && matches!(artifact.model.link(), Link::Softmax | Link::Softmax32) {
        return Err(Fault::new(&manifest.file, "has one class: its probability is always 1"));
    }
    Ok(artifact)
}
