//! Model artifacts on disk: a folder with `manifest.toml` and the model file.

use std::fs::File;
use std::io::Read;
use std::path::Path;

use crate::scoring::artifact::MAX_FILE_BYTES;
use crate::scoring::manifest::{self, Manifest};
use crate::scoring::{Artifact, Fault, RowsFrom, Sources};

/// Reads and checks the artifact in `dir`.
pub fn load(dir: &Path, sources: &Sources, rows: RowsFrom) -> Result<Artifact, Fault> {
    let bytes = read(&dir.join("manifest.toml"), manifest::MAX_BYTES)?;
    let text = String::from_utf8(bytes).map_err(|_| Fault::new("manifest.toml", "is not UTF-8"))?;
    let manifest = Manifest::parse(&text).map_err(|fault| fault.within("manifest.toml"))?;
    // A plain name: it cannot lead out of the folder.
    let file = read(&dir.join(&manifest.file), MAX_FILE_BYTES)?;
    Artifact::load(&manifest, &file, sources, rows)
}

/// A regular file of at most so many bytes, whatever its size is said to be.
fn read(path: &Path, most: usize) -> Result<Vec<u8>, Fault> {
    let fault = |message: String| Fault::new(path.display().to_string(), message);
    let file = File::open(path).map_err(|error| fault(error.to_string()))?;
    if !file.metadata().is_ok_and(|meta| meta.is_file()) {
        return Err(fault("is no file".to_owned()));
    }
    let mut bytes = Vec::new();
    file.take(most as u64 + 1).read_to_end(&mut bytes).map_err(|error| fault(error.to_string()))?;
    if bytes.len() > most { Err(fault(format!("is larger than {most} bytes"))) } else { Ok(bytes) }
}
