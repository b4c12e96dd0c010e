//! The models that the demo serves with.

use std::path::Path;

use super::{ModelStore, StoreError, folder};
use crate::scoring::manifest::Manifest;

struct Demo {
    manifest: &'static str,
    content: &'static [u8],
}

const DEMOS: [Demo; 2] = [
    Demo {
        manifest: include_str!("../../models/ctr/2026-11-20.1/manifest.toml"),
        content: include_bytes!("../../models/ctr/2026-11-20.1/model.ubj"),
    },
    Demo {
        manifest: include_str!("../../models/fraud/2026-11-20.1/manifest.toml"),
        content: include_bytes!("../../models/fraud/2026-11-20.1/model.txt"),
    },
];

/// Whether a folder holds a model of the demo, as it came: if it does not fit, nobody has asked for it.
pub fn is_demo(folder: &Path) -> bool {
    let Ok((manifest, file)) = folder::read(folder) else { return false };
    let named = |text: &str| {
        Manifest::parse(text).is_ok_and(|demo| (&demo.name, &demo.version) == (&manifest.name, &manifest.version))
    };
    DEMOS.iter().any(|demo| demo.content == file && named(demo.manifest))
}

impl ModelStore {
    /// Puts the demo's models into the directory, and in force where no version of them ever was; but for those that ask for
    /// windows that the config does not declare.
    pub fn install_demo(&self) -> Result<(), StoreError> {
        for Demo { manifest: text, content } in DEMOS {
            let manifest = Manifest::parse(text).map_err(StoreError::Refused)?;
            let (name, version) = (manifest.name.as_str(), manifest.version.as_str());
            if let Err(fault) = super::check_content(name, version, &manifest, content, &(self.sources)(name)) {
                tracing::info!(name, version, %fault, "the demo's model is left out");
                continue;
            }
            if folder::digest(&self.folder(name, version)).is_none() {
                folder::install(&self.dir, name, version, &manifest.file, text, content)?;
            }
            if self.registry.load().get(name).is_none() {
                self.activate(name, version)?;
            }
        }
        Ok(())
    }
}
