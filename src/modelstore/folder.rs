//! Model artifacts on disk: `<name>/<version>/`, each with `manifest.toml` and the model file.

use std::fs::{self, File};
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};

use sha2::{Digest, Sha256};

use crate::scoring::artifact::MAX_FILE_BYTES;
use crate::scoring::manifest::{self, Manifest, is_plain};
use crate::scoring::{Artifact, Fault, RowsFrom, Sources};

pub const MANIFEST: &str = "manifest.toml";
/// Entries of one directory that are looked at.
pub const MAX_ENTRIES: usize = 1_024;
/// What an artifact is called until it is whole. No plain name begins with a point.
const NEW: &str = ".new-";

/// Reads and checks the artifact in `dir`.
pub fn load(dir: &Path, sources: &Sources, rows: RowsFrom) -> Result<Artifact, Fault> {
    let (manifest, file) = read(dir)?;
    Artifact::load(&manifest, &file, sources, rows)
}

/// The manifest in `dir`, and the content of its model file.
pub fn read(dir: &Path) -> Result<(Manifest, Vec<u8>), Fault> {
    let bytes = read_file(&dir.join(MANIFEST), manifest::MAX_BYTES)?;
    let text = String::from_utf8(bytes).map_err(|_| Fault::new(MANIFEST, "is not UTF-8"))?;
    let manifest = Manifest::parse(&text).map_err(|fault| fault.within(MANIFEST))?;
    // A plain name: it cannot lead out of the folder.
    let path = dir.join(&manifest.file);
    if !path.exists() {
        return Err(Fault::new("file", format!("`{}` is missing beside {MANIFEST}", manifest.file)));
    }
    let file = read_file(&path, MAX_FILE_BYTES)?;
    Ok((manifest, file))
}

/// A regular file of at most so many bytes, whatever its size is said to be.
fn read_file(path: &Path, most: usize) -> Result<Vec<u8>, Fault> {
    let fault = |message: String| Fault::new(path.display().to_string(), message);
    // Before it is opened: opening a pipe would wait for whoever writes to it.
    if !fs::metadata(path).map_err(|error| fault(error.to_string()))?.is_file() {
        return Err(fault("is no file".to_owned()));
    }
    let file = File::open(path).map_err(|error| fault(error.to_string()))?;
    let mut bytes = Vec::new();
    file.take(most as u64 + 1).read_to_end(&mut bytes).map_err(|error| fault(error.to_string()))?;
    if bytes.len() > most { Err(fault(format!("is larger than {most} bytes"))) } else { Ok(bytes) }
}

/// SHA-256 of the manifest in `dir`, if there is one.
pub fn digest(dir: &Path) -> Option<[u8; 32]> {
    read_file(&dir.join(MANIFEST), manifest::MAX_BYTES).ok().map(|bytes| Sha256::digest(&bytes).into())
}

/// Names beside the manifest and its model file, a few at most.
pub fn others(dir: &Path, file: &str) -> Vec<String> {
    let names = fs::read_dir(dir).into_iter().flatten().take(16).filter_map(Result::ok);
    let names = names.map(|entry| entry.file_name().to_string_lossy().into_owned());
    names.filter(|name| name != MANIFEST && name != file).collect()
}

/// Whether a directory holds more than is looked at.
fn is_too_full(dir: &Path) -> bool {
    fs::read_dir(dir).into_iter().flatten().nth(MAX_ENTRIES).is_some()
}

/// What a directory holds and nobody hides, and whether it is a directory.
fn entries(dir: &Path) -> Vec<(String, bool)> {
    let entries = fs::read_dir(dir).into_iter().flatten().take(MAX_ENTRIES).filter_map(Result::ok);
    let named = entries.filter_map(|entry| Some((entry.file_name().into_string().ok()?, entry.path().is_dir())));
    named.filter(|(name, _)| !name.starts_with('.')).collect()
}

/// Name and version of everything that may be meant as a version of a model. What lies one level too high has none, nor has
/// a directory, or with an empty name all of them, that holds more than is looked at.
pub fn list(dir: &Path) -> Vec<(String, String)> {
    let mut list = Vec::new();
    if is_too_full(dir) {
        list.push((String::new(), String::new()));
    }
    for (name, is_dir) in entries(dir) {
        let inner = entries(&dir.join(&name));
        let is_too_high = !is_dir && (is_packed(&name) || name == MANIFEST);
        let is_too_full = is_dir && is_too_full(&dir.join(&name));
        if is_too_high || is_too_full || inner.iter().any(|(inner, is_dir)| !is_dir && inner == MANIFEST) {
            list.push((name.clone(), String::new()));
        }
        if is_dir {
            let versions = inner.into_iter().filter(|(version, is_dir)| *is_dir || is_packed(version));
            list.extend(versions.map(|(version, _)| (name.clone(), version)));
        }
    }
    list.sort_unstable();
    list
}

fn is_packed(file: &str) -> bool {
    [".tar", ".tgz", ".gz", ".zst", ".zip"].iter().any(|ending| file.ends_with(ending))
}

/// Why what [`list`] found is no folder of a version, if it is none.
pub fn misplaced(dir: &Path, name: &str, version: &str) -> Option<Fault> {
    let fault = |message: String| Some(Fault::new("", message));
    let path = if version.is_empty() { dir.join(name) } else { dir.join(name).join(version) };
    if version.is_empty() && is_too_full(&path) {
        return fault(format!("there are more than {MAX_ENTRIES} entries: some are not looked at; take old ones away"));
    }
    if path.is_file() && is_packed(path.to_str().unwrap_or_default()) {
        return fault("is packed: a version is a folder; unpack it as <name>/<version>/, or upload the tar".to_owned());
    }
    if version.is_empty() {
        return fault(format!("{MANIFEST} lies too high: its place is <name>/<version>/ in {}", dir.display()));
    }
    if let Some(bad) = [name, version].into_iter().find(|name| !is_plain(name)) {
        return fault(format!("`{bad:.80}` {}", manifest::PLAIN));
    }
    let inner = entries(&path);
    let is_whole = |(name, is_dir): &(String, bool)| *is_dir && path.join(name).join(MANIFEST).is_file();
    let names: Vec<&str> = inner.iter().take(8).map(|(name, _)| name.as_str()).collect();
    match inner.iter().find(|inner| is_whole(inner)) {
        _ if path.join(MANIFEST).exists() => None,
        Some((inner, _)) => fault(format!("the files of `{inner:.80}` lie one level too deep: they belong here")),
        None if names.is_empty() => fault(format!("is empty: {MANIFEST} and the model file are missing")),
        None => fault(format!("{MANIFEST} is missing: there is only {}", names.join(", "))),
    }
}

/// How many names there are, and versions of `name`.
pub fn count(dir: &Path, name: &str) -> io::Result<(usize, usize)> {
    let list = list(dir);
    let mut names: Vec<&str> = list.iter().map(|(name, _)| name.as_str()).collect();
    let versions = names.iter().filter(|has| **has == name).count();
    names.dedup();
    Ok((names.len(), versions))
}

/// Writes an artifact: it is there whole or not at all, also after a power cut.
pub fn install(dir: &Path, name: &str, version: &str, file: &str, manifest: &str, content: &[u8]) -> io::Result<()> {
    let parent = dir.join(name);
    fs::create_dir_all(&parent)?;
    let new = parent.join(format!("{NEW}{version}"));
    let files = [(file, content), (MANIFEST, manifest.as_bytes())];
    let written = write(&new, files).and_then(|()| fs::rename(&new, parent.join(version)));
    if let Err(error) = written {
        // What is left of it if this fails too, the next start removes.
        let _as_far_as_possible = remove(&new);
        return Err(error);
    }
    sync(&parent)?;
    sync(dir)
}

/// Has the model file beside a manifest be this one, wholly or not at all.
pub fn mend(folder: &Path, file: &str, content: &[u8]) -> io::Result<()> {
    let path = folder.join(file);
    if read_file(&path, content.len()).is_ok_and(|found| found == content) {
        return Ok(());
    }
    // What a crash leaves of it is no part of the artifact, and the next mending writes over it.
    let new = folder.join(format!("{NEW}{file}"));
    let mut written = File::create(&new)?;
    written.write_all(content)?;
    written.sync_all()?;
    fs::rename(&new, &path)?;
    sync(folder)
}

fn write(folder: &Path, files: [(&str, &[u8]); 2]) -> io::Result<()> {
    remove(folder)?;
    fs::create_dir(folder)?;
    for (file, content) in files {
        let mut file = File::create_new(folder.join(file))?;
        file.write_all(content)?;
        file.sync_all()?;
    }
    sync(folder)
}

fn sync(dir: &Path) -> io::Result<()> {
    File::open(dir)?.sync_all()
}

fn remove(dir: &Path) -> io::Result<()> {
    match fs::remove_dir_all(dir) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

/// Removes what a crash left half-written.
pub fn remove_leftovers(dir: &Path) -> io::Result<()> {
    for (name, _) in entries(dir).into_iter().filter(|(_, is_dir)| *is_dir) {
        for entry in fs::read_dir(dir.join(name))?.take(MAX_ENTRIES) {
            let path: PathBuf = entry?.path();
            if path.file_name().is_some_and(|name| name.as_encoded_bytes().starts_with(NEW.as_bytes())) {
                remove(&path)?;
            }
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_artifact_is_there_whole_or_not_at_all() {
        let dir = tempfile::tempdir().unwrap();
        let install = |version: &str| install(dir.path(), "ctr", version, "model.json", "name = 1", b"{}");
        let names = || fs::read_dir(dir.path().join("ctr")).unwrap().count();
        install("1").unwrap();
        assert_eq!(list(dir.path()), [("ctr".to_owned(), "1".to_owned())]);
        assert_eq!(digest(&dir.path().join("ctr/1")), Some(Sha256::digest("name = 1").into()));
        install("1").unwrap_err();
        assert_eq!(names(), 1, "nothing is left of what failed");
        // A crash left this.
        fs::create_dir(dir.path().join("ctr/.new-2")).unwrap();
        fs::write(dir.path().join("ctr/.new-2/model.json"), b"half").unwrap();
        install("2").unwrap();
        fs::create_dir(dir.path().join("ctr/.new-3")).unwrap();
        assert_eq!((list(dir.path()).len(), count(dir.path(), "ctr").unwrap()), (2, (1, 2)));
        remove_leftovers(dir.path()).unwrap();
        assert_eq!(names(), 2);
    }

    #[test]
    fn more_than_is_looked_at_is_told() {
        let dir = tempfile::tempdir().unwrap();
        for version in 0..=MAX_ENTRIES {
            fs::create_dir_all(dir.path().join("ctr").join(version.to_string())).unwrap();
        }
        let is_told = || list(dir.path()).contains(&("ctr".to_owned(), String::new()));
        let told = || misplaced(dir.path(), "ctr", "").unwrap().message;
        assert!(is_told() && told().contains("more than 1024 entries"), "{}", told());
        fs::remove_dir(dir.path().join("ctr/0")).unwrap();
        assert_eq!((is_told(), list(dir.path()).len()), (false, MAX_ENTRIES));
        for name in 0..MAX_ENTRIES {
            fs::create_dir(dir.path().join(name.to_string())).unwrap();
        }
        assert!(list(dir.path()).contains(&(String::new(), String::new())));
        assert!(misplaced(dir.path(), "", "").unwrap().message.contains("more than 1024 entries"));
    }

    #[test]
    fn a_model_file_is_mended_whole() {
        let dir = tempfile::tempdir().unwrap();
        install(dir.path(), "ctr", "1", "model.json", "name = 1", b"{}").unwrap();
        let folder = dir.path().join("ctr/1");
        let path = folder.join("model.json");
        for broken in [Some(&b"{"[..]), Some(b"{} "), Some(b"[]"), None] {
            fs::remove_file(&path).unwrap();
            if let Some(broken) = broken {
                fs::write(&path, broken).unwrap();
            }
            mend(&folder, "model.json", b"{}").unwrap();
            assert_eq!(fs::read(&path).unwrap(), b"{}");
            assert_eq!(others(&folder, "model.json"), [""; 0]);
        }
        // Nothing is written where nothing is wrong.
        let before = fs::metadata(&path).unwrap().modified().unwrap();
        mend(&folder, "model.json", b"{}").unwrap();
        assert_eq!(fs::metadata(&path).unwrap().modified().unwrap(), before);
    }

    #[test]
    fn what_is_no_file_is_not_read() {
        let dir = tempfile::tempdir().unwrap();
        fs::create_dir(dir.path().join(MANIFEST)).unwrap();
        let fault = read(dir.path()).unwrap_err();
        assert!(fault.place.ends_with(MANIFEST) && fault.message == "is no file", "{fault}");
        assert_eq!((digest(dir.path()), list(dir.path()).len()), (None, 0));
        let fault = read_file(Path::new("/dev/zero"), 10).unwrap_err();
        assert_eq!(fault.message, "is no file");
    }
}
