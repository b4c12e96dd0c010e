//! Model artifacts in the models directory, and which of their versions are in force: changed in the log first, then in one
//! store.
//!
//! Everything here may take as long as reading and checking a model does: it is called off the serving cores.
//!
//! - [`folder`]: artifacts on disk. [`upload`]: artifacts as a tar.
//! - `demo`: those that come with gavel.
//! - [`found`]: what lies in the directory, and whether it is any good.

mod demo;
pub mod folder;
pub mod found;
pub mod upload;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::event::{Event, ModelVersion, ModelsSet};
use crate::eventlog::{AppendError, EventLog, LogState};
use crate::scoring::manifest::{Manifest, OutputKind, is_plain};
use crate::scoring::sources::Caller;
use crate::scoring::{Artifact, Fault, ModelSet, Models, Registry, RowsFrom, Sources};
use found::Found;

/// Names of models, and versions of one: more is refused. An operator takes old ones out of the directory.
pub const MAX_NAMES: usize = 64;
pub const MAX_VERSIONS: usize = 256;

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
    state: Mutex<Found>,
    /// Snapshots that somebody may still read: the last reader must not be a serving thread, for it frees them. At most one
    /// for each worker, and the last few.
    retired: Mutex<Vec<Arc<Models>>>,
}

impl ModelStore {
    /// Loads what the log says is in force. What cannot be loaded is not in force, and said so: whoever needs it does
    /// without.
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
        for (name, set) in books {
            let load = |role: &Option<ModelVersion>| role.as_ref().and_then(|version| store.reload(name, version));
            let set = ModelSet { active: load(&set.active), shadow: load(&set.shadow), previous: load(&set.previous) };
            models = models.with(name, set);
        }
        store.registry.store(Arc::new(models));
        Ok(store)
    }

    /// The snapshot in force, for whoever scores.
    pub fn registry(&self) -> &Registry {
        &self.registry
    }

    fn reload(&self, name: &str, wanted: &ModelVersion) -> Option<Arc<Artifact>> {
        let version = &wanted.version;
        match self.load(name, version) {
            Ok(artifact) if artifact.digest == wanted.digest => return Some(artifact),
            Ok(_) => tracing::error!(name, version, "the model is not the one that was put in force: it is not used"),
            Err(error) => tracing::error!(name, version, %error, "the model in force cannot be loaded"),
        }
        None
    }

    fn load(&self, name: &str, version: &str) -> Result<Arc<Artifact>, StoreError> {
        let there = is_plain(name) && is_plain(version) && self.folder(name, version).join(folder::MANIFEST).is_file();
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

    /// The changes' own state, also after a panic elsewhere: it is a cache of the directory.
    fn state(&self) -> MutexGuard<'_, Found> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Puts an artifact into the directory; true when it is new.
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
        check_content(name, version, &manifest, file, &(self.sources)(name)).map_err(StoreError::Refused)?;
        let mut found = self.state();
        match folder::digest(&self.folder(name, version)) {
            Some(digest) if digest == manifest.digest => return Ok(false),
            Some(_) => {
                let detail = format!("{name} {version} is there with other content: a version never changes");
                return Err(StoreError::Conflict(detail));
            }
            None => {}
        }
        let (names, versions) = folder::count(&self.dir, name)?;
        if versions >= MAX_VERSIONS || versions == 0 && names >= MAX_NAMES {
            let detail = format!("there are {names} models and {versions} versions of {name}: take some away first");
            return Err(StoreError::Conflict(detail));
        }
        folder::install(&self.dir, name, version, &manifest.file, text, file)?;
        found.note(&self.dir, name, version, None);
        Ok(true)
    }

    /// Has a version decide from now on.
    pub fn activate(&self, name: &str, version: &str) -> Result<(), StoreError> {
        let artifact = self.artifact(name, version)?;
        self.change(name, |set| Ok(set.activate(artifact)))
    }

    /// Has a version score beside the active one.
    pub fn shadow(&self, name: &str, version: &str) -> Result<(), StoreError> {
        let artifact = self.artifact(name, version)?;
        self.change(name, |set| {
            if set.active.as_ref().is_some_and(|active| active.version == version) {
                return Err(StoreError::Conflict(format!("{name} {version} is active: it would be its own shadow")));
            }
            Ok(set.with_shadow(Some(artifact)))
        })
    }

    pub fn end_shadow(&self, name: &str) -> Result<(), StoreError> {
        self.change(name, |set| Ok(set.with_shadow(None)))
    }

    /// Has the version decide that did before.
    pub fn roll_back(&self, name: &str) -> Result<(), StoreError> {
        let none = || StoreError::Conflict(format!("{name} has no previous version"));
        self.change(name, |set| set.roll_back().ok_or_else(none))
    }

    /// From memory where it is there. Not under the lock: loading must not keep a rollback waiting.
    fn artifact(&self, name: &str, version: &str) -> Result<Arc<Artifact>, StoreError> {
        let models = self.registry.load();
        let known = models.get(name).and_then(|set| set.find(version)).cloned();
        known.map_or_else(|| self.load(name, version), Ok)
    }

    /// Durable in the log first, then in force with one store.
    fn change(
        &self,
        name: &str,
        next: impl FnOnce(&ModelSet) -> Result<ModelSet, StoreError>,
    ) -> Result<(), StoreError> {
        let _one_at_a_time = self.state();
        let models = self.registry.load_full();
        let set = match models.get(name) {
            Some(set) => set.clone(),
            None if is_plain(name) && self.dir.join(name).is_dir() => ModelSet::default(),
            None => return Err(StoreError::NotThere(format!("there is no model {name}"))),
        };
        let next = next(&set)?;
        let version = |role: &Option<Arc<Artifact>>| {
            role.as_ref().map(|a| ModelVersion { version: a.version.clone(), digest: a.digest })
        };
        let event = Event::ModelsSet(ModelsSet {
            name: name.to_owned(),
            active: version(&next.active),
            shadow: version(&next.shadow),
            previous: version(&next.previous),
        });
        // While the disk is full what is left of it is for notices.
        if self.log.state() == LogState::Full {
            return Err(AppendError::Full.into());
        }
        self.log.append_durable(self.lane, &[event]).wait()?;
        let last = self.registry.swap(Arc::new(models.with(name, next)));
        drop(models);
        self.retire(Some(last));
        Ok(())
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
        let due = self.state().due(&self.dir);
        for (name, version) in &due {
            let fault = self.check(name, version).err();
            if let Some(fault) = &fault {
                tracing::warn!(name, version, %fault, "a model in the directory is no good");
            }
            self.state().note(&self.dir, name, version, fault);
        }
        due.len()
    }

    /// Every version in the directory with what is wrong with it; none is listed that was not looked at yet.
    pub fn versions(&self) -> BTreeMap<String, BTreeMap<String, Option<Fault>>> {
        self.state().versions()
    }

    pub fn dir(&self) -> &Path {
        &self.dir
    }
}

/// Loads an artifact from a models directory and checks that it is what its folder says.
pub fn check(dir: &Path, name: &str, version: &str, sources: &Sources) -> Result<Artifact, Fault> {
    let (manifest, file) = folder::read(&dir.join(name).join(version))?;
    check_content(name, version, &manifest, &file, sources)
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
    if caller == Caller::Fraud && manifest.output != OutputKind::Probability {
        return Err(Fault::new("output", "must be \"probability\": rules and the risk score take it for one"));
    }
    Ok(artifact)
}

/// Loading and checking a model takes as long as it takes: this thread's work goes after that of those who bid.
pub fn yield_to_bids() {
    // Where that is not possible it competes with them; nothing depends on it.
    let _best_effort = rustix::process::setpriority_process(None, 19);
}
