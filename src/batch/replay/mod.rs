//! `gavel replay`: the books rebuilt, and decisions of the log made again.
//!
//! | file | idea |
//! |---|---|
//! | `versions` | what was in force when: rules, lists, models, the names of windows |
//! | `windows` | what the windows of today's config would have shown, counted in log order |
//! | `overlap` | which differences come of what was under way at the same moment |
//! | `backtest` | what other rules or another model would have decided |
//! | `whatif`, `market` | what other campaigns, prices or models would have bid for recorded requests; what is known of prices |
//! | `rebuild`, `state` | everything from the first event on; what the log is folded into, and its hashes |
//! | `source` | where events are read from |

pub mod backtest;
mod market;
mod overlap;
pub mod rebuild;
mod source;
pub mod state;
mod versions;
pub mod whatif;
mod windows;

use std::ops::Range;
use std::sync::Arc;

pub use source::Source;
use versions::Versions;
use windows::Recount;

use crate::clock::UnixMs;
use crate::config::Config;
use crate::event::fraud::{Checked, FraudEvent};
use crate::event::{Event, Offset};
use crate::eventlog::{ReadError, ReadOnlyLog};
use crate::fraud::answer;

/// What a replay found.
#[derive(Debug, Default)]
pub struct Found {
    pub checks: u64,
    /// Differences that were told.
    pub differences: u64,
    /// Window values that were counted again and compared, and those that the bounds of memory had taken then or take now.
    pub values: u64,
    pub lost: u64,
    /// Values that differ by what other checks or reports of the same key explain that were under way: which came first is not
    /// in the log.
    pub of_one_moment: u64,
    /// Checks that were made with other windows than the config's, or by a version that logged their names alone.
    pub of_other_windows: u64,
}

/// Calls `each` with every event of fraud checks and models, in order; `progress` with events read and events in all.
fn each_event(
    log: &ReadOnlyLog,
    progress: &mut dyn FnMut(u64, u64),
    mut each: impl FnMut(crate::event::Stamped),
) -> Result<(), ReadError> {
    let end = log.end().0;
    let mut reader = log.read(Offset(0))?;
    while let Some(stamped) = reader.next_event()? {
        let offset = stamped.offset.0;
        if offset >= end {
            break;
        }
        if matches!(stamped.event, Event::Fraud(_) | Event::ModelsSet(_)) {
            each(stamped);
        }
        if offset.is_multiple_of(10_000) {
            progress(offset, end);
        }
    }
    Ok(())
}

/// Makes every decision again by what was in force then, and compares it with the log to the last bit; `tell` gets a line
/// for each difference; of checks that are in the log at a time of `compared`. Decisions are made over the values that stand in the log; the values themselves are counted again
/// by the windows of today's config and compared too.
pub fn same_versions(
    log: &ReadOnlyLog,
    config: &Config,
    model: &str,
    compared: &Range<UnixMs>,
    progress: &mut dyn FnMut(u64, u64),
    tell: &mut dyn FnMut(String),
) -> Result<Found, ReadError> {
    let mut found = Found::default();
    let mut versions = Versions::new(config, model);
    let mut recount = Recount::new(config);
    let mut told = |line: String| {
        found.differences += 1;
        tell(line);
    };
    each_event(log, progress, |stamped| {
        let (offset, at) = (stamped.offset.0, stamped.at);
        match &stamped.event {
            Event::ModelsSet(set) => versions.note_models(set),
            Event::Fraud(FraudEvent::Check(checked)) => {
                let is_compared = compared.contains(&at);
                if is_compared {
                    found.checks += 1;
                    if let Err(why) = same_answer(&mut versions, checked, at) {
                        told(format!("{} at {offset}: {why}", answer::id_text(checked.check)));
                    }
                }
                recount.check(checked, offset, at, is_compared, &mut told);
            }
            Event::Fraud(event) => {
                versions.note(event, at);
                recount.report(event, at, &mut told);
            }
            _ => {}
        }
    })?;
    recount.end(&mut told);
    (found.values, found.lost, found.of_one_moment) = (recount.values, recount.lost, recount.of_one_moment);
    found.of_other_windows = recount.of_other_windows;
    Ok(found)
}

/// What of a check's answer is another one, if anything is.
fn same_answer(versions: &mut Versions, checked: &Arc<Checked>, at: UnixMs) -> Result<(), String> {
    let was: serde_json::Value = serde_json::from_slice(&answer::finish(&checked.answer, None))
        .map_err(|e| format!("its answer cannot be read: {e}"))?;
    let mut first = None;
    // Lists have no version: an edit may have been in force a moment before or after it was in the log.
    for lists in versions.lists_at(checked.arrived, at) {
        let again = versions.decide(checked, &was, &lists)?;
        if again == checked.answer {
            return Ok(());
        }
        first.get_or_insert(again);
    }
    let now = first.and_then(|again| serde_json::from_slice(&answer::finish(&again, None)).ok());
    let now: serde_json::Value = now.unwrap_or_default();
    let told_otherwise = versions.is_of_names_alone(checked) && without_why(&was) == without_why(&now);
    if told_otherwise { Ok(()) } else { Err(difference(&was, &now)) }
}

/// An answer without what its reasons say of numbers: versions that logged windows by name alone said it of other ones.
fn without_why(answer: &serde_json::Value) -> serde_json::Value {
    let mut answer = answer.clone();
    for reason in answer["reasons"].as_array_mut().into_iter().flatten().filter_map(|reason| reason.as_object_mut()) {
        let is_model = reason.get("code").is_some_and(|code| code == "model");
        reason.retain(|key, _| {
            !(["value", "threshold"].contains(&&**key) || key == if is_model { "message" } else { "feature" })
        });
    }
    answer
}

fn difference(was: &serde_json::Value, now: &serde_json::Value) -> String {
    let (Some(was), Some(now)) = (was.as_object(), now.as_object()) else { return "is no answer".to_owned() };
    let differs = was.iter().filter(|(key, value)| now.get(*key) != Some(value));
    let lines: Vec<String> = differs
        .map(|(key, value)| format!("{key} was {value}, is {}", now.get(key).unwrap_or(&serde_json::Value::Null)))
        .collect();
    // The same values, written in another way.
    if lines.is_empty() { "the answer is written otherwise".to_owned() } else { lines.join("; ") }
}
