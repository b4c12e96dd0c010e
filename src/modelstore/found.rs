//! What lies in the models directory: each version is checked once, and again when its files change.

use std::collections::{BTreeMap, BTreeSet};
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use sha2::{Digest, Sha256};

use super::folder;
use crate::scoring::Fault;

/// A hash of what the manifest and all files beside it are called, are and have been through.
type Stamp = [u8; 32];

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

/// Of a link it is the file that counts. Whoever replaces a file can give it any length and time of change, but neither its
/// number nor the time at which the disk last noted anything of it.
fn stamp(folder: &Path) -> Stamp {
    let files = std::fs::read_dir(folder).into_iter().flatten().take(folder::MAX_ENTRIES).filter_map(Result::ok);
    let mut seen: Vec<_> = files
        .map(|file| {
            let meta = std::fs::metadata(file.path()).ok();
            let numbers = meta.map(|m| {
                [
                    m.dev(),
                    m.ino(),
                    m.len(),
                    m.mtime() as u64,
                    m.mtime_nsec() as u64,
                    m.ctime() as u64,
                    m.ctime_nsec() as u64,
                ]
            });
            (file.file_name(), numbers)
        })
        .collect();
    seen.sort_unstable();
    let mut hash = Sha256::new();
    for (name, numbers) in seen {
        hash.update(name.as_encoded_bytes());
        // No name has it.
        hash.update([0]);
        numbers.unwrap_or_default().iter().for_each(|number| hash.update(number.to_le_bytes()));
    }
    hash.finalize().into()
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

    /// What deployment does: files moved into their place that have the times of where they were made, and links.
    #[test]
    fn a_file_that_is_replaced_is_noticed_whatever_its_length_and_time() {
        use std::fs;
        let dir = tempfile::tempdir().unwrap();
        let (folder, store) = (dir.path().join("models/ctr/1"), dir.path().join("store"));
        fs::create_dir_all(&folder).unwrap();
        fs::create_dir(&store).unwrap();
        let model = folder.join("model.json");
        fs::write(folder.join(folder::MANIFEST), "name = 1").unwrap();
        fs::write(&model, "{\"a\":1}").unwrap();
        let models = dir.path().join("models");
        let mut found = Found::default();
        let mut is_seen = |what: &str| {
            // The first look sees it, the next one that nobody is still writing it.
            assert_eq!(found.due(&models), [], "{what}");
            assert_eq!(found.due(&models).len(), 1, "{what}");
            found.note("ctr", "1", Ok([1; 32]));
            assert_eq!(found.due(&models), [], "{what}");
        };
        is_seen("new");
        let old = fs::metadata(&model).unwrap().modified().unwrap();
        let replace = |content: &str, target: &Path| {
            let new = dir.path().join("new");
            fs::write(&new, content).unwrap();
            fs::File::options().write(true).open(&new).unwrap().set_modified(old).unwrap();
            fs::rename(&new, target).unwrap();
        };
        replace("{\"a\":2}", &model);
        is_seen("of the same length and time");
        let stored = store.join("model.json");
        replace("{\"a\":3}", &stored);
        fs::remove_file(&model).unwrap();
        std::os::unix::fs::symlink(&stored, &model).unwrap();
        is_seen("a link");
        replace("{\"a\":4}", &stored);
        is_seen("what a link leads to");
        fs::remove_file(&stored).unwrap();
        is_seen("a link that leads nowhere");
    }
}
