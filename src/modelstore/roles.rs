//! Which version of a model has which role by the log, whether or not it could be loaded.

use crate::event::{ModelVersion, ModelsSet};
use crate::scoring::Artifact;

pub fn version_of(artifact: &Artifact) -> ModelVersion {
    ModelVersion { version: artifact.version.clone(), digest: artifact.digest }
}

pub fn none(name: &str) -> ModelsSet {
    ModelsSet { name: name.to_owned(), active: None, shadow: None, previous: None }
}

/// With `version` deciding. What decided before is what a rollback goes back to.
pub fn activate(set: &ModelsSet, version: ModelVersion) -> ModelsSet {
    let is_it = |other: &ModelVersion| other.version == version.version;
    let was_active = set.active.as_ref().is_some_and(is_it);
    let previous = if was_active { set.previous.clone() } else { set.active.clone() };
    let shadow = set.shadow.clone().filter(|shadow| !is_it(shadow));
    ModelsSet { active: Some(version), shadow, previous, name: set.name.clone() }
}

/// With another shadow, or none.
pub fn with_shadow(set: &ModelsSet, shadow: Option<ModelVersion>) -> ModelsSet {
    ModelsSet { shadow, ..set.clone() }
}

/// With the previous version deciding; what decided is let go of. `None` where there is no previous one.
pub fn roll_back(set: &ModelsSet) -> Option<ModelsSet> {
    let active = set.previous.clone()?;
    let shadow = set.shadow.clone().filter(|shadow| shadow.version != active.version);
    Some(ModelsSet { active: Some(active), shadow, previous: None, name: set.name.clone() })
}

/// The roles by name.
pub fn each(set: &ModelsSet) -> impl Iterator<Item = (&'static str, &ModelVersion)> {
    let roles = [("active", &set.active), ("shadow", &set.shadow), ("previous", &set.previous)];
    roles.into_iter().filter_map(|(role, version)| Some((role, version.as_ref()?)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn version(version: &str) -> ModelVersion {
        ModelVersion { version: version.to_owned(), digest: [1; 32] }
    }

    fn versions(set: &ModelsSet) -> [Option<&str>; 3] {
        [&set.active, &set.shadow, &set.previous].map(|role| role.as_ref().map(|v| v.version.as_str()))
    }

    #[test]
    fn versions_move_from_role_to_role() {
        let [a, b, c] = ["a", "b", "c"].map(version);
        let set = activate(&none("m"), a.clone());
        assert_eq!(versions(&set), [Some("a"), None, None]);
        assert!(roll_back(&set).is_none());
        let set = with_shadow(&set, Some(b.clone()));
        assert_eq!(versions(&set), [Some("a"), Some("b"), None]);
        let set = activate(&set, b.clone());
        assert_eq!(versions(&set), [Some("b"), None, Some("a")], "what decides is no shadow");
        assert_eq!(versions(&activate(&set, b)), [Some("b"), None, Some("a")], "nothing is forgotten");
        let set = activate(&with_shadow(&set, Some(a)), c);
        assert_eq!(versions(&set), [Some("c"), Some("a"), Some("b")]);
        assert_eq!(each(&set).map(|(role, _)| role).collect::<Vec<_>>(), ["active", "shadow", "previous"]);
        assert_eq!(versions(&roll_back(&set).unwrap()), [Some("b"), Some("a"), None]);
    }
}
