//! What other rules or another model would have decided, over what the windows showed then; and how many frauds either
//! would have caught, where labels say which they were.

use std::collections::{BTreeMap, HashMap};
use std::ops::Range;
use std::path::PathBuf;
use std::rc::Rc;
use std::sync::Arc;

use super::each_event;
use super::versions::{ListsThen, MAX_READY, Versions};
use super::windows::Recount;
use crate::clock::UnixMs;
use crate::config::Config;
use crate::event::Event;
use crate::event::fraud::{Checked, FraudEvent, Label};
use crate::eventlog::{ReadError, ReadOnlyLog};
use crate::fraud::decide::{Scratch, Snapshot, again};
use crate::fraud::engine::unpack;
use crate::fraud::policy::{Lists, first_lists};
use crate::fraud::{Decision, Fault, Policy, Request, Velocity, answer};
use crate::modelstore::folder;
use crate::scoring::{Artifact, ModelSet, RowsFrom, Sources};
use crate::window::sliding::Value;

/// What is tried. What is not given is as it was for each check, and so are lists.
#[derive(Debug, Default)]
pub struct Tried {
    pub rules: Option<PathBuf>,
    pub model: Option<PathBuf>,
}

const DECISIONS: [Decision; 4] = [Decision::Allow, Decision::Review, Decision::Challenge, Decision::Deny];

/// Old and new decisions.
#[derive(Debug, Default)]
pub struct Report {
    pub checks: u64,
    /// Checks that cannot be decided again, by why.
    pub unread: BTreeMap<String, u64>,
    /// By old and new decision: how many, of how many it is known, and how many of these were fraud.
    cells: [[Cell; 4]; 4],
    /// Windows whose values some checks of the log do not have: they are counted again.
    pub missing: Vec<String>,
    /// Checks that were made with other windows than the config's: all their values are counted again.
    pub counted_again: u64,
    /// Checks of which the log has the names of the windows alone.
    pub by_name: u64,
}

#[derive(Clone, Copy, Debug, Default)]
struct Cell {
    checks: u64,
    labelled: u64,
    fraud: u64,
}

/// What one way of deciding caught: of all that it did not allow.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Caught {
    pub stopped: u64,
    /// Those of `stopped` with a label, and those that were fraud.
    pub labelled: u64,
    pub fraud: u64,
    /// Frauds among all labels.
    pub frauds: u64,
}

impl Caught {
    pub fn precision(&self) -> Option<f64> {
        (self.labelled > 0).then(|| self.fraud as f64 / self.labelled as f64)
    }

    pub fn recall(&self) -> Option<f64> {
        (self.frauds > 0).then(|| self.fraud as f64 / self.frauds as f64)
    }
}

/// Decides every check by what is tried that is in the log at a time of `asked`.
pub fn run(
    log: &ReadOnlyLog,
    config: &Config,
    model: &str,
    tried: &Tried,
    asked: &Range<UnixMs>,
    progress: &mut dyn FnMut(u64, u64),
) -> Result<Report, String> {
    let velocity = Velocity::new(config.fraud.windows.clone(), config.fraud.limits());
    let velocity = velocity.map_err(|faults| format!("the windows: {faults:?}"))?;
    let names: Vec<&str> = velocity.declared().iter().map(|window| window.name.as_str()).collect();
    let artifact = tried.model.as_ref().map(|dir| {
        let sources = Sources::fraud().with_windows(names.iter().copied());
        let artifact = folder::load(dir, &sources, RowsFrom::Transforms);
        artifact.map(Arc::new).map_err(|fault| format!("{}: refused: {fault}", dir.display()))
    });
    let artifact = artifact.transpose()?;
    let mut versions = Versions::new(config, model);
    let mut labels: HashMap<u128, Label> = HashMap::new();
    let read = |e: ReadError| e.to_string();
    each_event(log, &mut |done, total| progress(done, 2 * total), |stamped| match &stamped.event {
        Event::Fraud(FraudEvent::Label(label)) => drop(labels.insert(label.check, label.label)),
        Event::Fraud(event) => versions.note(event, stamped.at),
        Event::ModelsSet(set) => versions.note_models(set),
        _ => {}
    })
    .map_err(read)?;
    let rules = tried.rules.as_ref().map(|file| {
        let toml = std::fs::read_to_string(file).map_err(|e| format!("{} cannot be read: {e}", file.display()))?;
        let checked = policy(&toml, &velocity, &Lists::default()).map(|_| toml);
        checked.map_err(|faults| format!("{}: {faults}", file.display()))
    });
    let rules = rules.transpose()?;
    let mut decider = Decider {
        velocity: &velocity,
        names,
        then: Versions::new(config, model),
        rules,
        artifact,
        versions,
        ready: HashMap::new(),
        eras: HashMap::new(),
        request: Request::default(),
        scratch: Scratch::default(),
    };
    let (mut report, mut recount) = (Report::default(), Recount::new(config));
    each_event(log, &mut |done, total| progress(total + done, 2 * total), |stamped| match &stamped.event {
        Event::Fraud(FraudEvent::Windows { fingerprint, names }) => decider.note(*fingerprint, names),
        Event::Fraud(FraudEvent::Check(checked)) => {
            let counted = recount.count(checked, stamped.offset.0, stamped.at);
            if !asked.contains(&stamped.at) {
                return;
            }
            let lists = decider.then.lists_at(checked.arrived, stamped.at).swap_remove(0);
            let new = counted.ok_or_else(String::new).and_then(|_| decider.decide(checked, &lists, recount.shown()));
            match (Decision::from_number(checked.decision), new) {
                (Some(old), Ok(new)) => {
                    report.count(old, new, labels.get(&checked.check));
                    match decider.era(checked.windows) {
                        Some(Era::Others) => report.counted_again += 1,
                        Some(Era::Names(_)) => report.by_name += 1,
                        _ => {}
                    }
                }
                (_, new) => report.unread(new.err().unwrap_or_default()),
            }
        }
        Event::Fraud(event) => {
            decider.then.note(event, stamped.at);
            recount.report(event, stamped.at, &mut |_| {});
        }
        _ => {}
    })
    .map_err(read)?;
    report.missing = decider.missing();
    Ok(report)
}

/// Rules over these lists, or all that is wrong with them.
fn policy(toml: &str, velocity: &Velocity, lists: &Lists) -> Result<Policy, String> {
    Policy::new(toml, velocity, first_lists(lists.clone(), toml)).map_err(|faults| joined(&faults))
}

fn policy_of_log(toml: &str, velocity: &Velocity, lists: &Lists) -> Result<Policy, String> {
    match Policy::again(toml, velocity, first_lists(lists.clone(), toml)) {
        Ok(policy) if policy.rules.left_out.is_empty() => Ok(policy),
        Ok(policy) => Err(joined(&policy.rules.left_out)),
        Err(faults) => Err(joined(&faults)),
    }
}

fn joined(faults: &[Fault]) -> String {
    let lines: Vec<String> = faults.iter().map(|f| format!("{} {}", f.pointer, f.message)).collect();
    lines.join("; ")
}

/// How the windows of a configuration of the log compare with today's.
enum Era {
    Todays,
    Others,
    /// Only their names are known: where it has today's windows.
    Names(Vec<Option<usize>>),
}

struct Decider<'a> {
    velocity: &'a Velocity,
    names: Vec<&'a str>,
    /// What was in force at the check that is looked at.
    then: Versions,
    rules: Option<String>,
    artifact: Option<Arc<Artifact>>,
    /// All that ever was in force.
    versions: Versions,
    /// By version, none for those that are tried, and number of the lists.
    ready: HashMap<(Option<String>, u64), Result<Rc<Policy>, String>>,
    /// For each configuration of the log.
    eras: HashMap<u64, Era>,
    request: Request,
    scratch: Scratch,
}

impl Decider<'_> {
    fn note(&mut self, fingerprint: u64, names: &[String]) {
        let place = |name: &&str| names.iter().position(|other| other == name);
        let era = if fingerprint == answer::fingerprint(self.velocity) {
            Era::Todays
        } else if answer::is_of_names_alone(fingerprint, names) {
            Era::Names(self.names.iter().map(place).collect())
        } else {
            Era::Others
        };
        self.eras.insert(fingerprint, era);
    }

    fn era(&self, fingerprint: u64) -> Option<&Era> {
        self.eras.get(&fingerprint)
    }

    /// By the values of the log where they are of today's windows; otherwise by what was counted again.
    fn decide(&mut self, checked: &Checked, lists: &ListsThen, counted: &[Value]) -> Result<Decision, String> {
        let was: serde_json::Value =
            serde_json::from_slice(&answer::finish(&checked.answer, None)).map_err(|e| e.to_string())?;
        let policy = self.rules_of(was["ruleset_version"].as_str().unwrap_or_default(), lists)?;
        let active = match &self.artifact {
            Some(artifact) => Some(artifact.clone()),
            None => self.versions.active(&was)?,
        };
        let merchant = Some(checked.merchant.as_str()).filter(|merchant| !merchant.is_empty());
        let parsed = self.request.parse(&checked.body, false, merchant, checked.arrived);
        parsed.map_err(|_| "its body is not taken any more".to_owned())?;
        let era = self.eras.get(&checked.windows).ok_or("the names of its windows are not in the log")?;
        let shown = counted.iter().enumerate().map(|(number, counted)| {
            let place = match era {
                Era::Todays => Some(number),
                Era::Others => None,
                Era::Names(places) => places.get(number).copied().flatten(),
            };
            place.and_then(|at| checked.shown.get(at)).map_or(*counted, |shown| unpack(*shown))
        });
        let models = ModelSet { active, ..ModelSet::default() };
        let snapshot = Snapshot { policy: &policy, models: Some(&models), velocity: self.velocity };
        Ok(again(&snapshot, &self.request, shown, checked.arrived, &mut self.scratch).decision)
    }

    fn rules_of(&mut self, version: &str, lists: &ListsThen) -> Result<Rc<Policy>, String> {
        let key = (self.rules.is_none().then(|| version.to_owned()), lists.number);
        if let Some(known) = self.ready.get(&key) {
            return known.clone();
        }
        let toml = match &self.rules {
            Some(toml) => Ok(toml.as_str()),
            None => self.versions.rules(version),
        };
        // What the log has was taken once, whatever is refused today.
        let read = if self.rules.is_some() { policy } else { policy_of_log };
        let made = toml.and_then(|toml| read(toml, self.velocity, &lists.lists).map(Rc::new));
        let made = made.map_err(|faults| format!("ruleset {version}: {faults}"));
        if self.ready.len() >= MAX_READY {
            self.ready.clear();
        }
        self.ready.insert(key, made.clone());
        made
    }

    /// Windows that some checks of the log were made without.
    fn missing(&self) -> Vec<String> {
        let lacks = |era: &Era, at: usize| matches!(era, Era::Names(places) if places.get(at) == Some(&None));
        let absent = |at: usize| self.eras.values().any(|era| lacks(era, at));
        self.names.iter().enumerate().filter(|(at, _)| absent(*at)).map(|(_, name)| (*name).to_owned()).collect()
    }
}

impl Report {
    fn count(&mut self, old: Decision, new: Decision, label: Option<&Label>) {
        self.checks += 1;
        let cell = &mut self.cells[old as usize][new as usize];
        cell.checks += 1;
        cell.labelled += u64::from(label.is_some());
        cell.fraud += u64::from(label == Some(&Label::Fraud));
    }

    fn unread(&mut self, why: String) {
        let why = if why.is_empty() { "seen before, or its body is not taken any more".to_owned() } else { why };
        *self.unread.entry(why).or_default() += 1;
    }

    fn sum(&self, of: impl Fn(Decision, Decision) -> bool) -> Cell {
        let mut sum = Cell::default();
        for (old, row) in DECISIONS.iter().zip(&self.cells) {
            for (_, cell) in DECISIONS.iter().zip(row).filter(|(new, _)| of(*old, **new)) {
                sum.checks += cell.checks;
                sum.labelled += cell.labelled;
                sum.fraud += cell.fraud;
            }
        }
        sum
    }

    /// Decided otherwise.
    pub fn changed(&self) -> u64 {
        self.sum(|old, new| old != new).checks
    }

    /// What is not allowed, as it was decided and as it would be.
    pub fn caught(&self) -> [Caught; 2] {
        let frauds = self.sum(|_, _| true).fraud;
        let stops = |decision: Decision| decision != Decision::Allow;
        [self.sum(|old, _| stops(old)), self.sum(|_, new| stops(new))].map(|cell| Caught {
            stopped: cell.checks,
            labelled: cell.labelled,
            fraud: cell.fraud,
            frauds,
        })
    }

    /// As a table: a row for each old decision, a column for each new one.
    pub fn text(&self) -> String {
        let mut text = format!("{:<12}", "old \\ new");
        DECISIONS.iter().for_each(|new| text.push_str(&format!("{:>12}", new.as_str())));
        for (old, row) in DECISIONS.iter().zip(&self.cells) {
            text.push_str(&format!("\n{:<12}", old.as_str()));
            row.iter().for_each(|cell| text.push_str(&format!("{:>12}", cell.checks)));
        }
        text.push_str(&format!("\n{} of {} checks would be decided otherwise\n", self.changed(), self.checks));
        let share = |share: Option<f64>| share.map_or("none labelled".to_owned(), |share| format!("{share:.4}"));
        for (name, caught) in ["old", "new"].into_iter().zip(self.caught()) {
            let (precision, recall) = (share(caught.precision()), share(caught.recall()));
            let Caught { stopped, labelled, fraud, frauds } = caught;
            text.push_str(&format!(
                "{name}: {stopped} not allowed, {labelled} of them labelled, {fraud} of {frauds} frauds; precision {precision}, recall {recall}\n"
            ));
        }
        for (why, count) in &self.unread {
            text.push_str(&format!("{count} checks cannot be decided again: {why}\n"));
        }
        if self.counted_again > 0 {
            let again = self.counted_again;
            text.push_str(&format!(
                "{again} checks were made with other windows: all their values are counted again\n"
            ));
        }
        if self.by_name > 0 {
            let by_name = self.by_name;
            text.push_str(&format!(
                "{by_name} checks are of a version that logged windows by name alone: those of one name are taken to be one window\n"
            ));
        }
        if !self.missing.is_empty() {
            let missing = self.missing.join(", ");
            text.push_str(&format!("counted again where the log does not have them: {missing}\n"));
        }
        text
    }
}
