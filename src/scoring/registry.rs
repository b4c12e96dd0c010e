//! The models in force: for each name the active version, one that is tried out beside it, and the one before.
//!
//! Whoever decides loads [`Models`] once and uses what is in it to the end: a decision has one version of a model, and a
//! change is one store of the next snapshot.

use std::sync::Arc;

use arc_swap::ArcSwap;

use super::artifact::Artifact;

/// The snapshot in force; readers on a hot path keep an [`arc_swap::Cache`] of it.
pub type Registry = Arc<ArcSwap<Models>>;

/// Models by name. Never changes: every change makes the next one.
#[derive(Clone, Debug, Default)]
pub struct Models {
    /// By name.
    sets: Vec<(Box<str>, ModelSet)>,
}

/// The versions of one model that are in memory.
#[derive(Clone, Debug, Default)]
pub struct ModelSet {
    /// Decides.
    pub active: Option<Arc<Artifact>>,
    /// Scores what the active one scores, and decides nothing.
    pub shadow: Option<Arc<Artifact>>,
    /// Was active before: what a rollback goes back to.
    pub previous: Option<Arc<Artifact>>,
}

impl Models {
    pub fn get(&self, name: &str) -> Option<&ModelSet> {
        self.find(name).map(|(_, set)| set)
    }

    /// With its place in this snapshot. Models are few: this looks at each name.
    pub fn find(&self, name: &str) -> Option<(usize, &ModelSet)> {
        self.sets.iter().position(|(has, _)| **has == *name).map(|place| (place, self.at(place)))
    }

    /// # Panics
    /// If the place is not one of [`Models::find`].
    pub fn at(&self, place: usize) -> &ModelSet {
        &self.sets[place].1
    }

    pub fn iter(&self) -> impl Iterator<Item = (&str, &ModelSet)> {
        self.sets.iter().map(|(name, set)| (&**name, set))
    }

    /// With another set for `name`.
    #[must_use]
    pub fn with(&self, name: &str, set: ModelSet) -> Models {
        let mut next = self.clone();
        match next.sets.binary_search_by(|(has, _)| (**has).cmp(name)) {
            Ok(at) => next.sets[at].1 = set,
            Err(at) => next.sets.insert(at, (name.into(), set)),
        }
        next
    }
}

impl ModelSet {
    /// The versions that are in memory, whatever their role.
    pub fn each(&self) -> impl Iterator<Item = &Arc<Artifact>> {
        [&self.active, &self.shadow, &self.previous].into_iter().flatten()
    }

    /// Whether the version is in memory, with this digest of its manifest.
    pub fn has(&self, version: &str, digest: &[u8; 32]) -> bool {
        self.each().any(|artifact| artifact.version == version && artifact.digest == *digest)
    }

    /// The version that is in memory already, if it is.
    pub fn find(&self, version: &str) -> Option<&Arc<Artifact>> {
        self.each().find(|artifact| artifact.version == version)
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use sha2::{Digest, Sha256};

    use super::super::manifest::Manifest;
    use super::super::{RowsFrom, Sources};
    use super::*;

    /// A linear model of bid requests: `rest` is what its file has beside the format, `features` of its manifest.
    pub(crate) fn linear(name: &str, version: &str, rest: &str, output: &str, features: &str) -> Arc<Artifact> {
        let file = format!("{{\"format\":\"gavel-linear-1\",{rest}}}");
        let digest: String = Sha256::digest(&file).iter().map(|byte| format!("{byte:02x}")).collect();
        let text = format!(
            "name = \"{name}\"\nversion = \"{version}\"\nkind = \"linear\"\nfile = \"weights.json\"\n\
             sha256 = \"{digest}\"\noutput = \"{output}\"\n{features}"
        );
        let manifest = Manifest::parse(&text).unwrap();
        Arc::new(Artifact::load(&manifest, file.as_bytes(), &Sources::bid(), RowsFrom::Transforms).unwrap())
    }

    fn artifact(version: &str) -> Arc<Artifact> {
        let rest = r#""objective":"linear","bias":0.5,"columns":[{"name":"x","weight":1}]"#;
        let feature = "[[features]]\nname = \"x\"\nsource = \"clock.hour\"\ntransform = \"numeric\"\n";
        linear("m", version, rest, "value", feature)
    }

    fn versions(set: &ModelSet) -> [Option<&str>; 3] {
        [&set.active, &set.shadow, &set.previous].map(|version| version.as_ref().map(|a| a.version.as_str()))
    }

    #[test]
    fn names_are_kept_apart() {
        let models = Models::default().with("b", ModelSet { active: Some(artifact("1")), ..ModelSet::default() });
        let models = models.with("a", ModelSet::default()).with("c", ModelSet::default());
        assert_eq!(models.iter().map(|(name, _)| name).collect::<Vec<_>>(), ["a", "b", "c"]);
        assert_eq!(versions(models.get("b").unwrap()), [Some("1"), None, None]);
        assert!(models.get("d").is_none());
        assert_eq!(versions(models.with("b", ModelSet::default()).get("b").unwrap()), [None, None, None]);
    }
}
