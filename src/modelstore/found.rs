//! What lies in the models directory: each version is checked once, and again when its files change.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::time::SystemTime;

use super::folder;
use crate::scoring::Fault;

/// Length and time of change of the manifest and of all files beside it.
type Stamp = (u64, Option<SystemTime>);

/// What came of a check: SHA-256 of the manifest.
pub type Checked = Result<[u8; 32], Fault>;

#[derive(Debug, Default)]
pub struct Found {
    versions: BTreeMap<(String, String), Version>,
}

#[derive(Debug, Default)]
struct Version {
    stamp: Stamp,
    /// With the stamp it was checked at: the manifest's digest, or what is wrong.
    checked: Option<(Stamp, Checked)>,
}

impl Found {
    /// The versions that are to be checked: those whose files are other ones than when they were, and the same as when this
    /// last looked, so that nobody is still writing them.
    pub fn due(&mut self, dir: &Path) -> Vec<(String, String)> {
        let there: BTreeSet<_> = folder::list(dir).into_iter().collect();
        self.versions.retain(|key, _| there.contains(key));
        let mut due = Vec::new();
        for key in there {
            let stamp = stamp(&dir.join(&key.0).join(&key.1));
            let version = self.versions.entry(key.clone()).or_default();
            let is_checked = version.checked.as_ref().is_some_and(|(checked, _)| *checked == stamp);
            if version.stamp == stamp && !is_checked {
                due.push(key);
            }
            version.stamp = stamp;
        }
        due
    }

    /// Whether it was there when this last looked, good or not.
    pub fn is_there(&self, name: &str, version: &str) -> bool {
        self.versions.contains_key(&(name.to_owned(), version.to_owned()))
    }

    /// What came of a check of what was [`Found::due`]. Files that have changed since are due again.
    pub fn note(&mut self, name: &str, version: &str, checked: Checked) {
        if let Some(noted) = self.versions.get_mut(&(name.to_owned(), version.to_owned())) {
            noted.checked = Some((noted.stamp, checked));
        }
    }

    /// A version that was installed is fine as it is.
    pub fn install(&mut self, dir: &Path, name: &str, version: &str, digest: [u8; 32]) {
        let noted = self.versions.entry((name.to_owned(), version.to_owned())).or_default();
        noted.stamp = stamp(&dir.join(name).join(version));
        noted.checked = Some((noted.stamp, Ok(digest)));
    }

    /// What was looked at, by name and version.
    pub fn checked(&self) -> impl Iterator<Item = (&str, &str, &Checked)> {
        self.versions.iter().filter_map(|((name, version), known)| {
            let (_, checked) = known.checked.as_ref()?;
            Some((name.as_str(), version.as_str(), checked))
        })
    }
}

fn stamp(folder: &Path) -> Stamp {
    let files = std::fs::read_dir(folder).into_iter().flatten().take(folder::MAX_ENTRIES);
    let metas = files.filter_map(|file| file.ok()?.metadata().ok());
    metas.fold((0, None), |(length, changed), meta| (length + meta.len(), changed.max(meta.modified().ok())))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_version_that_changes_while_it_is_checked_is_checked_again() {
        let dir = tempfile::tempdir().unwrap();
        folder::install(dir.path(), "ctr", "1", "model.json", "name = 1", b"half").unwrap();
        let mut found = Found::default();
        assert_eq!(found.due(dir.path()), [], "somebody may still write it");
        let key = ("ctr".to_owned(), "1".to_owned());
        assert_eq!(found.due(dir.path()), std::slice::from_ref(&key));
        std::fs::write(dir.path().join("ctr/1/model.json"), b"all of it").unwrap();
        found.note("ctr", "1", Err(Fault::new("", "half of it was there")));
        assert_eq!(found.due(dir.path()), []);
        assert_eq!(found.due(dir.path()), [key]);
        found.note("ctr", "1", Ok([1; 32]));
        assert_eq!(found.due(dir.path()), []);
        assert_eq!(found.checked().collect::<Vec<_>>(), [("ctr", "1", &Ok([1; 32]))]);
    }
}
