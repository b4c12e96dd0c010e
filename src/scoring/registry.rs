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
    /// With `artifact` deciding. What decided before is what a rollback goes back to.
    #[must_use]
    pub fn activate(&self, artifact: Arc<Artifact>) -> ModelSet {
        let is_it = |other: &Option<Arc<Artifact>>| other.as_ref().is_some_and(|o| o.version == artifact.version);
        let previous = if is_it(&self.active) { self.previous.clone() } else { self.active.clone() };
        let shadow = if is_it(&self.shadow) { None } else { self.shadow.clone() };
        ModelSet { active: Some(artifact), shadow, previous }
    }

    /// With another shadow, or none.
    #[must_use]
    pub fn with_shadow(&self, shadow: Option<Arc<Artifact>>) -> ModelSet {
        ModelSet { shadow, ..self.clone() }
    }

    /// With the previous version deciding; what decided is let go of. `None` where there is no previous one.
    #[must_use]
    pub fn roll_back(&self) -> Option<ModelSet> {
        let active = self.previous.clone()?;
        let shadow = self.shadow.clone().filter(|shadow| shadow.version != active.version);
        Some(ModelSet { active: Some(active), shadow, previous: None })
    }

    /// The version that is in memory already, if it is.
    pub fn find(&self, version: &str) -> Option<&Arc<Artifact>> {
        [&self.active, &self.shadow, &self.previous].into_iter().flatten().find(|artifact| artifact.version == version)
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
    fn versions_move_from_role_to_role() {
        let (a, b, c) = (artifact("a"), artifact("b"), artifact("c"));
        let set = ModelSet::default().activate(a.clone());
        assert_eq!(versions(&set), [Some("a"), None, None]);
        assert!(set.roll_back().is_none());
        let set = set.with_shadow(Some(b.clone()));
        assert_eq!(versions(&set), [Some("a"), Some("b"), None]);
        let set = set.activate(b.clone());
        assert_eq!(versions(&set), [Some("b"), None, Some("a")], "what decides is no shadow");
        assert_eq!(versions(&set.activate(b)), [Some("b"), None, Some("a")], "nothing is forgotten");
        let set = set.with_shadow(Some(a)).activate(c);
        assert_eq!(versions(&set), [Some("c"), Some("a"), Some("b")]);
        assert_eq!(versions(&set.roll_back().unwrap()), [Some("b"), Some("a"), None]);
        assert!(set.find("a").is_some() && set.find("d").is_none());
    }

    #[test]
    fn names_are_kept_apart() {
        let models = Models::default().with("b", ModelSet::default().activate(artifact("1")));
        let models = models.with("a", ModelSet::default()).with("c", ModelSet::default());
        assert_eq!(models.iter().map(|(name, _)| name).collect::<Vec<_>>(), ["a", "b", "c"]);
        assert_eq!(versions(models.get("b").unwrap()), [Some("1"), None, None]);
        assert!(models.get("d").is_none());
        assert_eq!(versions(models.with("b", ModelSet::default()).get("b").unwrap()), [None, None, None]);
    }
}
