//! Which versions of a model are in force.

use crate::wire::{Put, Take};

/// All roles of one model after a change, whichever of them changed.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ModelsSet {
    pub name: String,
    pub active: Option<ModelVersion>,
    pub shadow: Option<ModelVersion>,
    pub previous: Option<ModelVersion>,
}

/// One artifact.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ModelVersion {
    /// Never empty.
    pub version: String,
    /// SHA-256 of its manifest, which holds the model file's.
    pub digest: [u8; 32],
}

impl ModelsSet {
    pub(super) fn encode(&self, out: &mut Vec<u8>) {
        out.put_bytes(self.name.as_bytes());
        for role in [&self.active, &self.shadow, &self.previous] {
            out.put_bytes(role.as_ref().map_or("", |v| v.version.as_str()).as_bytes());
            out.put(&role.as_ref().map_or([0; 32], |v| v.digest));
        }
    }

    pub(super) fn decode(t: &mut Take) -> Option<ModelsSet> {
        let name = t.string()?;
        let mut role = || {
            let (version, digest) = (t.string()?, t.array()?);
            Some((!version.is_empty()).then_some(ModelVersion { version, digest }))
        };
        Some(ModelsSet { name, active: role()?, shadow: role()?, previous: role()? })
    }
}
