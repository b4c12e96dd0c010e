//! The models that the demo serves with.

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

impl ModelStore {
    /// Puts the demo's models into the directory, and in force where no version of them ever was. One that asks for windows
    /// that the config does not declare is not put in force.
    pub fn install_demo(&self) -> Result<(), StoreError> {
        for Demo { manifest: text, content } in DEMOS {
            let manifest = Manifest::parse(text).map_err(StoreError::Refused)?;
            let (name, version) = (manifest.name.as_str(), manifest.version.as_str());
            if folder::digest(&self.folder(name, version)).is_none() {
                folder::install(&self.dir, name, version, &manifest.file, text, content)?;
            }
            if self.registry.load().get(name).is_none() {
                match self.activate(name, version) {
                    Err(StoreError::Refused(fault)) => {
                        tracing::warn!(name, version, %fault, "the demo's model is not used")
                    }
                    done => done?,
                }
            }
        }
        Ok(())
    }
}
