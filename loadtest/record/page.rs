//! A run as one page: no script, nothing loaded from anywhere, light or dark as the reader has it.

use super::chart::{Across, Chart, Line, Scale, escaped, over_time, short};
use super::{Latency, Record};
use crate::report::thousands;
use serde_json::Value;
use std::fmt::Write;

const STYLE: &str = "
:root{color-scheme:light dark;--ink:#1c1e21;--dim:#666d75;--page:#fff;--grid:#dfe3e8;--warm:#f1f3f5;
--c0:#0b62c4;--c1:#c2410c;--c2:#15803d;--c3:#9333ea;--c4:#64748b;--c5:#0e7490;--c6:#be185d;--c7:#dc2626}
@media(prefers-color-scheme:dark){:root{--ink:#e6e8eb;--dim:#9aa3ad;--page:#14171a;--grid:#333a41;--warm:#1e2327;
--c0:#6cb2ff;--c1:#ff9d5c;--c2:#5fd38a;--c3:#c99bff;--c4:#b6bec8;--c5:#5cd0e6;--c6:#ff8ac2;--c7:#ff7a7a}}
body{font:15px/1.45 system-ui,sans-serif;color:var(--ink);background:var(--page);max-width:1000px;margin:2rem auto;padding:0 1rem}
h1{font-size:1.5rem;margin:0}h2{font-size:1.1rem;margin:2rem 0 .5rem}p{margin:.4rem 0}
table{border-collapse:collapse;font-variant-numeric:tabular-nums}th,td{padding:.2rem .8rem .2rem 0;text-align:right;border-bottom:1px solid var(--grid)}
th{font-weight:600}th:first-child,td:first-child,.words td{text-align:left}
figure{margin:1.4rem 0}figcaption{font-weight:600}svg{width:100%;height:auto;display:block}
svg text{font-size:12px;fill:var(--dim)}.grid{stroke:var(--grid);fill:none}.warm{fill:var(--warm)}
.line{fill:none;stroke-width:1.8;stroke-linejoin:round;stroke-linecap:round;stroke:var(--c)}
.legend{color:var(--dim);font-size:13px}.legend span{margin-right:1rem}.legend i{display:inline-block;width:1rem;height:.22rem;margin-right:.35rem;vertical-align:middle;background:var(--c)}
.c0{--c:var(--c0)}.c1{--c:var(--c1)}.c2{--c:var(--c2)}.c3{--c:var(--c3)}.c4{--c:var(--c4)}.c5{--c:var(--c5)}.c6{--c:var(--c6)}.c7{--c:var(--c7)}
pre{overflow:auto;padding:.8rem;background:var(--warm);font-size:13px}.dim{color:var(--dim)}
";
pub const QUANTILES: [(&str, f64); 5] =
    [("p50", 0.5), ("p90", 0.9), ("p99", 0.99), ("p99.9", 0.999), ("p99.99", 0.9999)];
/// Nothing is known beyond as many nines as there are requests.
const NINES_MAX: f64 = 7.0;
const CURVE_STEPS: u32 = 40;

pub fn document(title: &str, body: &str) -> String {
    format!(
        "<!DOCTYPE html>\n<html lang=\"en\"><head><meta charset=\"utf-8\"/>\
         <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\"/><title>{}</title>\
         <style>{STYLE}</style></head>\n<body>\n{body}</body></html>\n",
        escaped(title)
    )
}

pub fn page(record: &Record) -> String {
    let mut body = String::new();
    let _ = writeln!(
        body,
        "<h1>{}</h1>\n<p>{}</p>\n<p class=\"dim\">{} at {} requests/s offered · {} · commit {}</p>",
        escaped(&record.scenario),
        escaped(&record.about),
        escaped(record.gavel.as_deref().unwrap_or("a server that was not started here")),
        short(record.offered_rate),
        escaped(&record.date),
        escaped(record.commit.as_deref().unwrap_or("unknown"))
    );
    if record.figure("/generator/lag_ms/p99") > 1.0 {
        body.push_str("<p><strong>The generator itself did not keep up: do not trust these latencies.</strong></p>\n");
    }
    latency_table(&mut body, record);
    for chart in charts(record) {
        body.push_str(&chart.svg());
    }
    figures(&mut body, record);
    ran(&mut body, record);
    document(&format!("{}, {}", record.scenario, record.date), &body)
}

fn latency_table(out: &mut String, record: &Record) {
    out.push_str("<h2>Latency in ms, after the warm-up</h2>\n<table><tr><th></th>");
    for (name, _) in QUANTILES {
        let _ = write!(out, "<th>{name}</th>");
    }
    out.push_str("<th>max</th><th>count</th></tr>\n");
    for latency in &record.latencies {
        let _ = write!(out, "<tr><td>{}</td>", escaped(&latency.name));
        for (_, quantile) in QUANTILES {
            let _ = write!(out, "<td>{:.3}</td>", latency.quantile_ms(quantile));
        }
        let _ = writeln!(out, "<td>{:.3}</td><td>{}</td></tr>", latency.max_ms(), thousands(latency.count));
    }
    out.push_str("</table>\n");
}

/// The curve of a distribution, as far as its count reaches.
pub fn curve(name: &str, latency: &Latency) -> Line {
    let nines = (latency.count.max(1) as f64).log10().min(NINES_MAX);
    let at = |step: u32| nines * f64::from(step) / f64::from(CURVE_STEPS);
    let points = (0..=CURVE_STEPS).map(|step| {
        let nines = at(step);
        (nines, Some(latency.quantile_ms(1.0 - 10f64.powf(-nines))))
    });
    Line { name: name.to_owned(), points: points.collect() }
}

fn some(column: &[f64]) -> impl Iterator<Item = Option<f64>> {
    column.iter().map(|value| Some(*value))
}

fn charts(record: &Record) -> Vec<Chart> {
    let seconds = &record.seconds;
    let over = |title: &str, unit, scale, lines| Chart {
        title: title.to_owned(),
        unit,
        across: Across::Seconds,
        scale,
        lines,
        shaded_to: record.warmup_seconds,
    };
    let mut charts = vec![Chart {
        title: "Latency by percentile".to_owned(),
        unit: "ms; percentile, a nine more each",
        across: Across::Nines,
        scale: Scale::Log,
        lines: record.latencies.iter().map(|latency| curve(&latency.name, latency)).collect(),
        shaded_to: 0.0,
    }];
    let notices = "Latency of notices, outcomes and labels";
    for (title, quantiles) in [("Latency of requests", &seconds.latency_ms), (notices, &seconds.notice_ms)] {
        if quantiles.p50.iter().any(Option::is_some) {
            let lines = [("p50", &quantiles.p50), ("p99", &quantiles.p99), ("max", &quantiles.max)];
            let lines = lines.map(|(name, column)| over_time(name, column.iter().copied())).into();
            charts.push(over(&format!("{title}, by the second they were planned in"), "ms", Scale::Log, lines));
        }
    }
    let ends = seconds.ends.iter().map(|(name, column)| over_time(name, some(column))).collect();
    charts.push(over("Outcomes", "requests per second", Scale::Linear, ends));
    let mut lines = vec![over_time("offered", some(&seconds.offered)), over_time("answered", some(&seconds.achieved))];
    if seconds.notices.iter().any(|count| *count > 0.0) {
        lines.push(over_time("notices, outcomes, labels answered", some(&seconds.notices)));
    }
    charts.push(over("Offered and achieved", "per second", Scale::Linear, lines));
    if let Some(server) = &record.server {
        let percent = |column: &[f64]| column.iter().map(|ms| Some(ms / 10.0)).collect::<Vec<_>>();
        let lines = vec![over_time("user", percent(&server.user_ms)), over_time("system", percent(&server.system_ms))];
        charts.push(over("Processor time of the server", "% of a core", Scale::Linear, lines));
        let mib = server.rss_kib.iter().map(|kib| Some(kib / 1024.0));
        charts.push(over("Memory of the server", "MiB resident", Scale::Linear, vec![over_time("resident", mib)]));
    }
    charts
}

fn row(out: &mut String, name: &str, value: &str) {
    let _ = writeln!(out, "<tr><td>{}</td><td>{}</td></tr>", escaped(name), escaped(value));
}

fn counts(value: &Value) -> String {
    let counted = value.as_object().into_iter().flatten().filter(|(_, count)| count.as_u64().is_some_and(|c| c > 0));
    let counted =
        counted.map(|(name, count)| format!("{} {}", name.replace('_', " "), thousands(count.as_u64().unwrap_or(0))));
    let counted: Vec<String> = counted.collect();
    if counted.is_empty() { "none".to_owned() } else { counted.join(", ") }
}

fn figures(out: &mut String, record: &Record) {
    out.push_str("<h2>Figures</h2>\n<table class=\"words\">\n");
    let rate = |pointer| format!("{:.1} a second", record.figure(pointer));
    row(out, "offered, on average", &rate("/offered_per_second"));
    row(out, "achieved", &rate("/achieved_per_second"));
    let outcomes = counts(&record.report["outcomes"]);
    if outcomes != "none" {
        row(out, "outcomes", &outcomes);
    }
    let checks = &record.report["checks"];
    if checks["decisions"].as_object().is_some_and(|decisions| !decisions.is_empty()) {
        row(out, "checks", &format!("{}; {}", counts(&checks["decisions"]), counts(checks)));
    }
    for (name, faults) in [("faults of bids", &record.report["faults"]), ("faults of checks", &checks["faults"])] {
        if faults.as_object().is_some_and(|faults| !faults.is_empty()) {
            row(out, name, &counts(faults));
        }
    }
    row(out, "books", &record.books);
    if let Some(server) = &record.server {
        let answered = record.answered().max(1.0);
        let each = server.total_ms as f64 * 1e3 / answered;
        row(
            out,
            "processor time of the server",
            &format!(
                "{} s, {each:.1} µs for each answered request, with its notices",
                short(server.total_ms as f64 / 1e3)
            ),
        );
        let mib = |kib: u64| short(kib as f64 / 1024.0);
        row(
            out,
            "memory of the server",
            &format!("{} MiB at the start, {} MiB at the end", mib(server.rss_start_kib), mib(server.rss_end_kib)),
        );
    }
    let generator = format!(
        "{:.3} ms late at p99, {:.1} s of processor time, backlog at most {}, {} reconnects",
        record.figure("/generator/lag_ms/p99"),
        record.figure("/generator/cpu_seconds"),
        record.figure("/generator/backlog_max"),
        record.figure("/generator/reconnects")
    );
    row(out, "generator", &generator);
    for (name, deed) in &record.meanwhile {
        let mut text = thousands(deed.done);
        if deed.max_ms > 0.0 {
            let _ = write!(
                text,
                ", p50 {} ms, p99 {} ms, max {} ms",
                short(deed.p50_ms),
                short(deed.p99_ms),
                short(deed.max_ms)
            );
        }
        if deed.failed > 0 {
            let _ = write!(text, "; {} failed: {}", deed.failed, deed.first_failure.as_deref().unwrap_or(""));
        }
        row(out, &format!("meanwhile: {name}"), &text);
    }
    out.push_str("</table>\n");
}

pub fn where_it_ran(record: &Record) -> Vec<(&'static str, String)> {
    let machine = &record.machine;
    vec![
        ("server", record.gavel.clone().unwrap_or_else(|| "not started here".to_owned())),
        ("commit", record.commit.clone().unwrap_or_else(|| "unknown".to_owned())),
        (
            "generator",
            format!("loadtest {}, on the same machine unless the server was not started here", record.loadtest),
        ),
        ("processor", format!("{}, {} cores", machine.processor, machine.cores)),
        ("kernel", machine.kernel.clone()),
        ("load before", format!("{} processes ran or waited, on average over a minute", machine.load_before)),
        ("date", record.date.clone()),
        ("seed", record.report["seed"].to_string()),
    ]
}

fn ran(out: &mut String, record: &Record) {
    out.push_str("<h2>What ran where</h2>\n<table class=\"words\">\n");
    for (name, value) in where_it_ran(record) {
        row(out, name, &value);
    }
    out.push_str("</table>\n");
    if let Some(seconds) = record.shortened_to {
        let _ = writeln!(out, "<p>Shortened to {seconds} s.</p>");
    }
    let _ = writeln!(out, "<pre>{}</pre>", escaped(&record.text));
}

#[cfg(test)]
pub mod tests {
    use super::super::tests::record;
    use super::*;

    /// Whether every element is closed, in its order; no attribute is looked at.
    #[track_caller]
    pub fn assert_well_formed(page: &str) {
        let (mut open, mut rest) = (Vec::new(), page.split_once("<!DOCTYPE html>").expect("a doctype").1);
        while let Some((text, after)) = rest.split_once('<') {
            assert!(!text.contains('>') || open.last() == Some(&"style"), "a stray > in {text:?}");
            assert!(text.split('&').skip(1).all(|entity| entity.contains(';')), "a stray & in {text:?}");
            let (tag, after) = after.split_once('>').expect("the end of a tag");
            assert_eq!(tag.matches('"').count() % 2, 0, "{tag}");
            let name = tag.trim_start_matches('/').split([' ', '/']).next().unwrap_or("");
            match (tag.strip_prefix('/'), tag.ends_with('/')) {
                (Some(_), _) => assert_eq!(open.pop(), Some(name), "closed"),
                (None, true) => {}
                (None, false) => open.push(name),
            }
            rest = after;
        }
        assert!(open.is_empty(), "{open:?}");
    }

    #[test]
    fn a_page_has_it_all_and_loads_nothing() {
        let page = page(&record("steady", 100.0, 1.0, 20));
        assert_well_formed(&page);
        for part in [
            "Latency by percentile",
            "Latency of requests",
            "Outcomes",
            "Offered and achieved",
            "Processor time of the server",
            "Memory of the server",
            "What ran where",
            "0123456789ab",
            "about = &quot;x &lt; y &amp; z&quot;",
            "What &lt;it&gt;",
            "99.9 %",
            "meanwhile: price edited",
            "1 failed: no",
            "prefers-color-scheme:dark",
            "books equal the journal",
        ] {
            assert!(page.contains(part), "{part}");
        }
        assert!(!page.contains("Latency of notices"), "there were none");
        for network in ["http:", "https:", "<script", "url(", "@import"] {
            assert!(!page.contains(network), "{network}");
        }
        assert_eq!(page.matches("<svg").count(), 6);
    }

    #[test]
    fn an_empty_run_has_a_page() {
        let mut empty = record("steady", 100.0, 1.0, 0);
        (empty.latencies, empty.server, empty.report) = (Vec::new(), None, Value::Null);
        let page = page(&empty);
        assert_well_formed(&page);
        assert!(!page.contains("NaN") && !page.contains("inf"));
    }
}
