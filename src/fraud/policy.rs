//! What is in force: rules and lists, one snapshot; and a model with the places of its values.

use std::collections::BTreeMap;
use std::sync::{Arc, Weak};

use sha2::{Digest, Sha256};

use super::Fault;
use super::fields;
use super::lists::{Kind, List, is_name};
use super::rules::{Names, Rules};
use super::velocity::Velocity;
use crate::scoring::Artifact;

pub type Lists = BTreeMap<String, Arc<List>>;

/// Where the values of a model's columns come from.
pub struct Scorer {
    /// Tells which model it is and does not keep it: a serving thread would free what it is the last to hold.
    artifact: Weak<Artifact>,
    /// By column; none where nobody knows: the value is missing.
    pub origins: Box<[Option<Origin>]>,
}

/// Where a column's value comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Origin {
    Field(usize),
    Window(usize),
}

impl Scorer {
    pub fn new(artifact: &Arc<Artifact>, velocity: &Velocity) -> Scorer {
        let origin = |source: &str| match source.strip_prefix("window:") {
            Some(window) => velocity.find(window).map(Origin::Window),
            None => fields::find(source).map(Origin::Field),
        };
        let origins = artifact.features.columns().iter().map(|column| origin(&column.source_name)).collect();
        Scorer { artifact: Arc::downgrade(artifact), origins }
    }

    pub fn is_of(&self, artifact: &Arc<Artifact>) -> bool {
        std::ptr::eq(self.artifact.as_ptr(), Arc::as_ptr(artifact))
    }
}

pub struct Policy {
    pub rules: Arc<Rules>,
    /// Of the text of the rules: the first 12 hexadecimal digits of its SHA-256.
    pub version: Arc<str>,
    pub lists: Lists,
    /// The lists that the rules look into, in the order in which they name them.
    pub bound: Vec<Arc<List>>,
}

impl Policy {
    /// Rules over these lists.
    pub fn new(toml: &str, velocity: &Velocity, lists: Lists) -> Result<Policy, Vec<Fault>> {
        Policy::of(toml, velocity, lists, Rules::parse)
    }

    /// Rules that were taken once, over the windows of today: [`Rules::left_out`] has those that are not in force.
    pub fn again(toml: &str, velocity: &Velocity, lists: Lists) -> Result<Policy, Vec<Fault>> {
        Policy::of(toml, velocity, lists, Rules::parse_again)
    }

    fn of(
        toml: &str,
        velocity: &Velocity,
        lists: Lists,
        parse: fn(&str, &Names) -> Result<Rules, Vec<Fault>>,
    ) -> Result<Policy, Vec<Fault>> {
        let names: Vec<_> = lists.iter().map(|(name, list)| (name.clone(), list.kind)).collect();
        let rules = parse(toml, &Names { velocity, lists: &names })?;
        let digest = Sha256::digest(toml.as_bytes());
        let version: String = digest.iter().take(6).map(|byte| format!("{byte:02x}")).collect();
        Ok(Policy::bind(Arc::new(rules), version.into(), lists))
    }

    fn bind(rules: Arc<Rules>, version: Arc<str>, lists: Lists) -> Policy {
        let bound = rules.lists.iter().filter_map(|name| lists.get(name).cloned()).collect();
        Policy { rules, version, lists, bound }
    }

    /// Rules that stay as they were go on with their hits.
    pub fn keep_hits(&mut self, before: &Policy) {
        if let Some(rules) = Arc::get_mut(&mut self.rules) {
            rules.keep_hits(&before.rules);
        }
    }

    /// The same rules with other lists, which must be all that there are now and maybe more.
    #[must_use]
    pub fn with_lists(&self, lists: Lists) -> Policy {
        Policy::bind(self.rules.clone(), self.version.clone(), lists)
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
    use crate::clock::UnixMs;
    use crate::fraud::decide::{self, Scratch, Snapshot};
    use crate::fraud::demo;
    use crate::fraud::request::Request;
    use crate::scoring::registry::tests::linear;
    use crate::scoring::{ModelSet, Sources};
    use crate::window::sliding::Limits;

    /// Whoever holds a model last frees it, and that is no serving thread.
    #[test]
    fn a_worker_keeps_no_model_that_it_scored_with() {
        const NOW: UnixMs = UnixMs(1_795_000_000_000);
        let limits = Limits { max_bytes: 1 << 20, max_events_per_key: 1_000, late_ms: 0 };
        let velocity = Velocity::new(demo::windows(), limits).unwrap();
        let policy = Policy::new("", &velocity, Lists::default()).unwrap();
        let model = |version: &str| {
            let rest = r#""objective":"logistic","bias":0.5,"columns":[{"name":"x","weight":1}]"#;
            let feature = "[[features]]\nname = \"x\"\nsource = \"clock.hour\"\ntransform = \"numeric\"\n";
            linear("fraud", version, rest, "probability", feature)
        };
        let set = ModelSet { active: Some(model("1")), shadow: Some(model("2")), previous: None };
        let mut request = Request::default();
        let body = r#"{"merchant_id":"m","transaction_id":"t","amount":{"value":100,"currency":"EUR"}}"#;
        request.parse(body.as_bytes(), true, None, NOW).unwrap();
        let mut scratch = Scratch::default();
        let snapshot = Snapshot { policy: &policy, models: Some(&set), velocity: &velocity };
        for _ in 0..2 {
            let decided = decide::check(&snapshot, &request, NOW, &mut scratch);
            assert!(decided.model_score() > 0.5 && decided.shadow_model.is_some());
        }
        assert_eq!(set.each().map(Arc::strong_count).collect::<Vec<_>>(), [1, 1]);
    }

    #[test]
    fn every_source_of_a_model_is_a_field_of_a_check() {
        for source in Sources::fraud().list() {
            assert!(fields::find(&source.name).is_some(), "{}", source.name);
        }
    }
}
