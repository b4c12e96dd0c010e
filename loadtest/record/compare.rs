//! Two runs of one scenario side by side, and what of it differs by more than noise.
//!
//! Noise is what the seconds of one run differ by among themselves. A figure differs when the middle 80 % of the seconds
//! of one run all lie above the middle 80 % of the other's: nothing is assumed about how they are spread, and a
//! difference that is called one can be seen by eye.

use super::chart::{Across, Chart, Scale, escaped, over_time, short};
use super::page::{QUANTILES, curve, document, where_it_ran};
use super::{Quantiles, Record};
use std::fmt::Write;

/// With fewer seconds nothing is said.
const SECONDS_MIN: usize = 5;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    Same,
    Lower,
    Higher,
    /// It is not known by second, or too few are.
    Unknown,
}

impl Verdict {
    pub fn text(self) -> &'static str {
        match self {
            Verdict::Same => "within noise",
            Verdict::Lower => "lower",
            Verdict::Higher => "higher",
            Verdict::Unknown => "not judged",
        }
    }
}

pub struct Row {
    pub name: String,
    pub unit: &'static str,
    pub a: f64,
    pub b: f64,
    /// Of b against a.
    pub verdict: Verdict,
}

/// What must be the same for a comparison to mean anything; all that is not.
pub fn refusals(a: &Record, b: &Record) -> Vec<String> {
    let mut refusals = Vec::new();
    if a.scenario != b.scenario {
        refusals.push(format!("they are of different scenarios: {} and {}", a.scenario, b.scenario));
    } else if a.text != b.text {
        refusals.push(format!("the scenario {} has been changed between them", a.scenario));
    }
    if a.offered_rate != b.offered_rate {
        refusals.push(format!(
            "{} and {} requests a second were offered",
            short(a.offered_rate),
            short(b.offered_rate)
        ));
    }
    refusals
}

/// What is worth knowing beside the figures.
pub fn remarks(a: &Record, b: &Record) -> Vec<String> {
    let mut remarks = Vec::new();
    if a.machine.processor != b.machine.processor || a.machine.cores != b.machine.cores {
        remarks.push("they ran on different machines".to_owned());
    }
    if a.shortened_to != b.shortened_to {
        remarks.push("they were shortened differently".to_owned());
    }
    for (name, record) in [("A", a), ("B", b)] {
        if record.figure("/generator/lag_ms/p99") > 1.0 {
            remarks.push(format!("the generator of {name} did not keep up"));
        }
        if record.books != "not compared" && !record.books.starts_with("books ") {
            remarks.push(format!("{name}: {}", record.books));
        }
    }
    remarks
}

/// The seconds after the warm-up in which requests were planned, without the last one, which is rarely whole.
fn measured(record: &Record, column: impl IntoIterator<Item = Option<f64>>) -> Vec<f64> {
    // Where notices are measured, they come after the last request.
    let (offered, notices) = (&record.seconds.offered, &record.seconds.notices);
    let planned = if record.measures_notices() { notices } else { offered };
    let whole = planned.iter().rposition(|count| *count > 0.0).unwrap_or(0);
    let column = column.into_iter().take(whole).skip(record.warmup_seconds.ceil() as usize);
    column.flatten().collect()
}

/// The middle 80 %.
fn middle(mut values: Vec<f64>) -> Option<(f64, f64)> {
    if values.len() < SECONDS_MIN {
        return None;
    }
    values.sort_by(f64::total_cmp);
    let at = |share: f64| values[((values.len() - 1) as f64 * share).round() as usize];
    Some((at(0.1), at(0.9)))
}

fn judge(a: Vec<f64>, b: Vec<f64>) -> Verdict {
    match (middle(a), middle(b)) {
        (Some((low, _)), Some((_, high))) if high < low => Verdict::Lower,
        (Some((_, high)), Some((low, _))) if low > high => Verdict::Higher,
        (Some(_), Some(_)) => Verdict::Same,
        _ => Verdict::Unknown,
    }
}

fn by_second<'a>(quantiles: &'a Quantiles, name: &str) -> Option<&'a [Option<f64>]> {
    match name {
        "p50" => Some(&quantiles.p50),
        "p99" => Some(&quantiles.p99),
        "p99.9" => Some(&quantiles.p999),
        "max" => Some(&quantiles.max),
        _ => None,
    }
}

/// Processor microseconds for each answered request, by second.
fn cpu_each(record: &Record) -> Vec<Option<f64>> {
    let Some(server) = &record.server else { return Vec::new() };
    let answered = record.seconds.achieved.iter();
    let used = server.user_ms.iter().zip(&server.system_ms).map(|(user, system)| user + system);
    used.zip(answered).map(|(ms, answered)| (*answered > 0.0).then(|| ms * 1e3 / answered)).collect()
}

pub fn rows(a: &Record, b: &Record) -> Vec<Row> {
    let mut rows = Vec::new();
    if let (Some(one), Some(two)) = (a.main_latency(), b.main_latency()) {
        for (name, quantile) in QUANTILES.into_iter().chain([("max", 1.0)]) {
            let seconds = |record: &Record| match by_second(record.main_quantiles(), name) {
                Some(column) => measured(record, column.iter().copied()),
                None => Vec::new(),
            };
            rows.push(Row {
                name: name.to_owned(),
                unit: "ms",
                a: one.quantile_ms(quantile),
                b: two.quantile_ms(quantile),
                verdict: judge(seconds(a), seconds(b)),
            });
        }
    }
    let achieved = |record: &Record| measured(record, record.seconds.achieved.iter().map(|rate| Some(*rate)));
    rows.push(Row {
        name: "achieved".to_owned(),
        unit: "a second",
        a: a.figure("/achieved_per_second"),
        b: b.figure("/achieved_per_second"),
        verdict: judge(achieved(a), achieved(b)),
    });
    if let (Some(one), Some(two)) = (&a.server, &b.server) {
        let each = |record: &Record, total_ms: u64| total_ms as f64 * 1e3 / record.answered().max(1.0);
        rows.push(Row {
            name: "processor time per request".to_owned(),
            unit: "µs",
            a: each(a, one.total_ms),
            b: each(b, two.total_ms),
            verdict: judge(measured(a, cpu_each(a)), measured(b, cpu_each(b))),
        });
        let mib = |kib: u64| kib as f64 / 1024.0;
        let (a, b) = (mib(one.rss_end_kib), mib(two.rss_end_kib));
        rows.push(Row { name: "memory at the end".to_owned(), unit: "MiB", a, b, verdict: Verdict::Unknown });
    }
    rows
}

fn ratio(row: &Row) -> String {
    if row.a > 0.0 { format!("{:.3}", row.b / row.a) } else { "-".to_owned() }
}

/// In a sentence.
pub fn verdict(rows: &[Row]) -> String {
    let differing = rows.iter().filter(|row| matches!(row.verdict, Verdict::Lower | Verdict::Higher));
    let differing: Vec<String> =
        differing.map(|row| format!("{} is {} ({} times)", row.name, row.verdict.text(), ratio(row))).collect();
    match differing.is_empty() {
        false => format!("B differs from A by more than noise: {}", differing.join(", ")),
        true if rows.iter().all(|row| row.verdict == Verdict::Unknown) => {
            format!("nothing was judged: that takes {SECONDS_MIN} seconds of each after the warm-up")
        }
        true => "B does not differ from A by more than noise".to_owned(),
    }
}

fn title(a: &Record, b: &Record) -> String {
    let name = if a.scenario == b.scenario { a.scenario.clone() } else { format!("{} and {}", a.scenario, b.scenario) };
    let what = a.main_latency().map_or("no requests", |latency| &latency.name);
    format!("{name}: {what}")
}

pub fn text(a: &Record, b: &Record) -> String {
    let (mut out, rows) = (String::new(), rows(a, b));
    let _ = writeln!(out, "{}", title(a, b));
    for (name, record) in [("A", a), ("B", b)] {
        let commit = record.commit.as_deref().unwrap_or("unknown");
        let machine = &record.machine;
        let _ = writeln!(
            out,
            "{name}         {}, commit {commit}, {}, {} cores, {}/s offered",
            record.date,
            machine.processor,
            machine.cores,
            short(record.offered_rate)
        );
    }
    let _ = writeln!(out, "\n{:<32}{:>14}{:>14}{:>9}  verdict", "", "A", "B", "B/A");
    for row in &rows {
        let name = format!("{}, {}", row.name, row.unit);
        let _ = writeln!(out, "{name:<32}{:>14.3}{:>14.3}{:>9}  {}", row.a, row.b, ratio(row), row.verdict.text());
    }
    for remark in remarks(a, b) {
        let _ = writeln!(out, "remark    {remark}");
    }
    let _ = writeln!(out, "verdict   {}", verdict(&rows));
    out
}

pub fn page(a: &Record, b: &Record) -> String {
    let (mut body, rows) = (String::new(), rows(a, b));
    let _ = writeln!(body, "<h1>{}</h1>\n<p>{}</p>", escaped(&title(a, b)), escaped(&verdict(&rows)));
    for remark in remarks(a, b) {
        let _ = writeln!(body, "<p><strong>{}</strong></p>", escaped(&remark));
    }
    body.push_str("<table><tr><th></th><th>A</th><th>B</th><th>B/A</th><th>by more than noise</th></tr>\n");
    for row in &rows {
        let _ = writeln!(
            body,
            "<tr><td>{}, {}</td><td>{:.3}</td><td>{:.3}</td><td>{}</td><td>{}</td></tr>",
            escaped(&row.name),
            row.unit,
            row.a,
            row.b,
            ratio(row),
            row.verdict.text()
        );
    }
    body.push_str("</table>\n");
    for chart in charts(a, b) {
        body.push_str(&chart.svg());
    }
    body.push_str("<h2>What ran where</h2>\n<table class=\"words\"><tr><th></th><td>A</td><td>B</td></tr>\n");
    for ((name, one), (_, two)) in where_it_ran(a).into_iter().zip(where_it_ran(b)) {
        let _ = writeln!(body, "<tr><td>{name}</td><td>{}</td><td>{}</td></tr>", escaped(&one), escaped(&two));
    }
    let _ = writeln!(body, "</table>\n<pre>{}</pre>", escaped(&a.text));
    document(&title(a, b), &body)
}

fn charts(a: &Record, b: &Record) -> Vec<Chart> {
    let both = [("A", a), ("B", b)];
    let over = |title: &str, unit, scale, lines| Chart {
        title: title.to_owned(),
        unit,
        across: Across::Seconds,
        scale,
        lines,
        shaded_to: a.warmup_seconds.max(b.warmup_seconds),
    };
    let curves = both.iter().filter_map(|(name, record)| record.main_latency().map(|latency| curve(name, latency)));
    let p99 = both.map(|(name, record)| over_time(name, record.main_quantiles().p99.iter().copied()));
    let achieved = both.map(|(name, record)| over_time(name, record.seconds.achieved.iter().map(|rate| Some(*rate))));
    let cpu = both.map(|(name, record)| over_time(name, cpu_each(record)));
    vec![
        Chart {
            title: "Latency by percentile".to_owned(),
            unit: "ms; percentile, a nine more each",
            across: Across::Nines,
            scale: Scale::Log,
            lines: curves.collect(),
            shaded_to: 0.0,
        },
        over("Latency, p99 of each second", "ms", Scale::Log, p99.into()),
        over("Achieved", "a second", Scale::Linear, achieved.into()),
        over("Processor time of the server for each request", "µs", Scale::Linear, cpu.into()),
    ]
}

#[cfg(test)]
mod tests {
    use super::super::page::tests::assert_well_formed;
    use super::super::tests::record;
    use super::*;

    #[test]
    fn a_run_does_not_differ_from_its_like() {
        let (a, b) = (record("steady", 100.0, 1.0, 20), record("steady", 100.0, 1.02, 20));
        assert!(refusals(&a, &b).is_empty());
        assert_eq!(verdict(&rows(&a, &b)), "B does not differ from A by more than noise");
    }

    #[test]
    fn what_is_slower_is_named_with_its_ratio() {
        let (a, b) = (record("steady", 100.0, 1.0, 20), record("steady", 100.0, 1.5, 20));
        let text = text(&a, &b);
        assert!(text.contains("differs from A by more than noise: p50 is higher (1.500 times)"), "{text}");
        assert!(text.contains("processor time per request is higher"), "{text}");
        assert!(text.lines().any(|line| line.starts_with("achieved") && line.ends_with("within noise")), "{text}");
        assert!(text.lines().any(|line| line.starts_with("p99.99") && line.ends_with("not judged")), "{text}");
        assert!(verdict(&rows(&b, &a)).contains("p50 is lower (0.667 times)"));
    }

    #[test]
    fn short_runs_are_not_judged() {
        let (a, b) = (record("steady", 100.0, 1.0, 4), record("steady", 100.0, 9.0, 4));
        assert!(verdict(&rows(&a, &b)).starts_with("nothing was judged"));
    }

    #[test]
    fn seconds_after_the_last_request_are_not_judged() {
        let (a, mut b) = (record("steady", 100.0, 1.0, 20), record("steady", 100.0, 1.0, 20));
        b.seconds.offered[4..].fill(0.0);
        let rows = rows(&a, &b);
        assert!(rows.iter().all(|row| row.verdict == Verdict::Unknown));
        assert!(rows.len() == 9 && verdict(&rows).starts_with("nothing was judged"));
    }

    #[test]
    fn runs_of_something_else_are_not_compared() {
        let a = record("steady", 100.0, 1.0, 9);
        let other_rate = refusals(&a, &record("steady", 200.0, 1.0, 9));
        assert!(other_rate.len() == 1 && other_rate[0].contains("100 and 200 requests"), "{other_rate:?}");
        assert_eq!(refusals(&a, &record("burst", 200.0, 1.0, 9)).len(), 2);
        let mut edited = record("steady", 100.0, 1.0, 9);
        edited.text.push('#');
        assert!(refusals(&a, &edited)[0].contains("changed"));
    }

    #[test]
    fn both_are_on_the_page() {
        let page = page(&record("steady", 100.0, 1.0, 20), &record("steady", 100.0, 1.5, 20));
        assert_well_formed(&page);
        assert!(page.contains("p50 is higher") && page.matches("<svg").count() == 4);
    }
}
