//! What is in force: rules, lists, model. One snapshot: a check sees one of each.

use std::collections::BTreeMap;
use std::sync::Arc;

use sha2::{Digest, Sha256};

use super::Fault;
use super::fields;
use super::lists::{Kind, List, is_name};
use super::rules::{Names, Rules};
use super::velocity::Velocity;
use crate::scoring::{Artifact, Sources};

pub type Lists = BTreeMap<String, Arc<List>>;

/// A model, and where its values come from.
pub struct Scorer {
    pub artifact: Arc<Artifact>,
    /// By the place of a source.
    pub origins: Arc<[Origin]>,
}

/// Where a model's source comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Origin {
    Field(usize),
    Window(usize),
}

/// What a model may be made of, with the windows that are declared.
pub fn sources(velocity: &Velocity) -> Sources {
    Sources::fraud().with_windows(velocity.declared().iter().map(|window| window.name.as_str()))
}

impl Scorer {
    /// Of an artifact that was loaded with [`sources`].
    pub fn new(artifact: Arc<Artifact>, velocity: &Velocity) -> Scorer {
        let windows = velocity.declared().len();
        let sources = sources(velocity);
        let first_window = sources.len() - windows;
        let origin = |(place, name): (usize, &str)| match place.checked_sub(first_window) {
            Some(window) => Origin::Window(window),
            // Every source of a check is a field; a test sees to it.
            None => Origin::Field(fields::find(name).unwrap_or(fields::COUNT - 1)),
        };
        let origins = sources.list().iter().enumerate().map(|(place, source)| origin((place, &source.name))).collect();
        Scorer { artifact, origins }
    }
}

pub struct Policy {
    pub rules: Arc<Rules>,
    /// Of the text of the rules: the first 12 hexadecimal digits of its SHA-256.
    pub version: Arc<str>,
    pub lists: Lists,
    /// The lists that the rules look into, in the order in which they name them.
    pub bound: Vec<Arc<List>>,
    pub model: Option<Arc<Scorer>>,
}

impl Policy {
    /// Rules over these lists.
    pub fn new(
        toml: &str,
        velocity: &Velocity,
        lists: Lists,
        model: Option<Arc<Scorer>>,
    ) -> Result<Policy, Vec<Fault>> {
        let names: Vec<String> = lists.keys().cloned().collect();
        let rules = Rules::parse(toml, &Names { velocity, lists: &names })?;
        let digest = Sha256::digest(toml.as_bytes());
        let version: String = digest.iter().take(6).map(|byte| format!("{byte:02x}")).collect();
        Ok(Policy::bind(Arc::new(rules), version.into(), lists, model))
    }

    fn bind(rules: Arc<Rules>, version: Arc<str>, lists: Lists, model: Option<Arc<Scorer>>) -> Policy {
        let bound = rules.lists.iter().filter_map(|name| lists.get(name).cloned()).collect();
        Policy { rules, version, lists, bound, model }
    }

    /// The same rules with other lists, which must be all that there are now and maybe more.
    #[must_use]
    pub fn with_lists(&self, lists: Lists) -> Policy {
        Policy::bind(self.rules.clone(), self.version.clone(), lists, self.model.clone())
    }
}

/// Names of lists that a text of rules mentions.
pub fn mentioned_lists(toml: &str) -> Vec<String> {
    let after = toml.split("lists.").skip(1);
    let name = |text: &str| text.split(|c: char| !c.is_ascii_alphanumeric() && c != '_').next().map(str::to_owned);
    after.filter_map(name).filter(|name| is_name(name)).collect()
}

/// Lists to begin with: `allow`, `block` and those that the rules mention exist, if only as empty ones of exact values.
pub fn first_lists(mut lists: Lists, toml: &str) -> Lists {
    for name in ["allow".to_owned(), "block".to_owned()].into_iter().chain(mentioned_lists(toml)) {
        lists.entry(name).or_insert_with(|| Arc::new(List::new(Kind::Exact)));
    }
    lists
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_source_of_a_model_is_a_field_of_a_check() {
        for source in Sources::fraud().list() {
            assert!(fields::find(&source.name).is_some(), "{}", source.name);
        }
    }
}
