//! Fraud checks in the report.

use super::stats::CheckStats;
use crate::report::{thousands, times_json};
use serde_json::{Map, Value, json};
use std::fmt::Write;

fn counts(checks: &CheckStats) -> Vec<(&'static str, u64)> {
    vec![
        ("degraded", checks.degraded),
        ("timeout", checks.timeouts),
        ("connection error", checks.connection_errors),
        ("repeated", checks.repeats),
        ("outcomes", checks.outcomes),
        ("labels", checks.labels),
        ("repeats, outcomes and labels not answered", checks.after_failed),
        ("repeats, outcomes and labels never sent", checks.after_unsent),
    ]
}

pub fn text(out: &mut String, checks: &CheckStats) {
    if checks.answered() + checks.timeouts + checks.connection_errors == 0 {
        return;
    }
    let decisions = checks.decisions.iter().map(|(name, count)| format!("{name} {}", thousands(*count)));
    let statuses = checks.statuses.iter().map(|(status, count)| format!("{} answered {status}", thousands(*count)));
    let counts = counts(checks).into_iter().filter(|(_, count)| *count > 0);
    let counts = counts.map(|(name, count)| format!("{name} {}", thousands(count)));
    let listed: Vec<String> = decisions.chain(statuses).chain(counts).collect();
    let _ = writeln!(out, "checks    {}", listed.join(", "));
    for (fault, count) in &checks.faults {
        let _ = writeln!(out, "fault     {}: {}", fault.text(), thousands(*count));
    }
}

pub fn json(checks: &CheckStats) -> Value {
    let mut value: Map<String, Value> =
        counts(checks).into_iter().map(|(name, count)| (name.replace(' ', "_"), json!(count))).collect();
    let faults: Map<String, Value> =
        checks.faults.iter().map(|(fault, count)| (fault.text().to_owned(), json!(count))).collect();
    value.insert("decisions".to_owned(), json!(checks.decisions));
    value.insert("statuses".to_owned(), json!(checks.statuses));
    value.insert("faults".to_owned(), Value::Object(faults));
    value.insert("latency_ms".to_owned(), times_json(&checks.latency));
    value.insert("service_ms".to_owned(), times_json(&checks.service));
    value.insert("after_ms".to_owned(), times_json(&checks.after));
    Value::Object(value)
}
