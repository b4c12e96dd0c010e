//! The report, for people and as JSON.

use crate::args::{Profile, SpendOn};
use crate::arrivals::Pattern;
use crate::books::{Comparison, Row};
use crate::checkout;
use crate::journal::Ledger;
use crate::money::show_units;
use crate::notice::Kind;
use crate::plan::Plan;
use crate::stats::{NoticeStats, Stats, Times};
use serde_json::{Value, json};
use std::fmt::Write;
use std::sync::Arc;
use std::time::Duration;

/// Above this the generator was too late for its latencies to be believed.
const LAG_LIMIT_NS: u64 = 1_000_000;
/// Campaigns listed without being asked for: those that differ always are.
const ROWS_SHOWN: usize = 20;
const QUANTILES: [(&str, f64); 5] = [("p50", 0.5), ("p90", 0.9), ("p99", 0.99), ("p99.9", 0.999), ("p99.99", 0.9999)];

pub struct Report {
    pub plan: Arc<Plan>,
    pub stats: Stats,
    pub ledger: Ledger,
    pub elapsed: Duration,
    pub stopped: bool,
    /// None when the books were left alone or could not be read.
    pub comparison: Option<Comparison>,
}

impl Report {
    /// Planned and answered requests per second. Answers are counted until the last one came, so a server that
    /// cannot keep up shows here.
    fn rates(&self) -> (f64, f64) {
        let stats = &self.stats;
        let planned_s = (stats.last_planned_ns as f64 / 1e9).max(1e-9);
        let answered_s = (stats.last_answer_ns as f64 / 1e9).max(planned_s);
        (stats.outcomes.planned as f64 / planned_s, stats.answered() as f64 / answered_s)
    }

    /// What was sent: bids, or checks where there are no bids.
    pub fn requests(&self) -> &Times {
        let stats = &self.stats;
        if stats.latency.count() > 0 { &stats.latency } else { &stats.checks.latency }
    }

    fn lagged(&self) -> bool {
        self.stats.lag.quantile_ns(0.99) > LAG_LIMIT_NS
    }
}

/// 1234567 as 1,234,567.
pub fn thousands(number: u64) -> String {
    let digits = number.to_string();
    let mut out = String::with_capacity(digits.len() + digits.len() / 3);
    for (position, digit) in digits.chars().enumerate() {
        if position > 0 && (digits.len() - position).is_multiple_of(3) {
            out.push(',');
        }
        out.push(digit);
    }
    out
}

fn ms(ns: u64) -> String {
    format!("{:.3}", ns as f64 / 1e6)
}

pub fn text(report: &Report) -> String {
    let (plan, stats, mut out) = (&report.plan, &report.stats, String::new());
    let (offered, achieved) = report.rates();
    let pattern = if plan.pattern == Pattern::Poisson { "poisson" } else { "constant" };
    let profile = if plan.profile == Profile::Banner { "banner" } else { "mixed" };
    // Writing to a String cannot fail.
    let _ = writeln!(
        out,
        "run       {pattern} arrivals, {} connections, {} threads, profile {profile}, seed {}, {:.1} s{}",
        plan.connections,
        plan.threads,
        plan.seed,
        report.elapsed.as_secs_f64(),
        if report.stopped { ", interrupted" } else { "" }
    );
    let _ = writeln!(out, "offered   {offered:.1}/s ({} requests planned)", thousands(stats.outcomes.planned));
    let _ = writeln!(out, "achieved  {achieved:.1}/s ({} answered)", thousands(stats.answered()));
    let _ = writeln!(
        out,
        "generator {} ms late at p99, {} ms at most; {:.0} % of a core; backlog at most {}; {} reconnects",
        ms(stats.lag.quantile_ns(0.99)),
        ms(stats.lag.max_ns()),
        stats.cpu_ns as f64 / 1e7 / report.elapsed.as_secs_f64().max(1e-9),
        thousands(stats.backlog_max),
        thousands(stats.reconnects)
    );
    if report.lagged() {
        let _ = writeln!(out, "warning   the generator itself did not keep up: do not trust these latencies");
    }
    let _ = write!(out, "\n{:<30}", "latency in ms");
    for (name, _) in QUANTILES {
        let _ = write!(out, "{name:>10}");
    }
    let _ = writeln!(out, "{:>10}{:>12}", "max", "count");
    times_line(&mut out, "bid, from the planned time", &stats.latency);
    times_line(&mut out, "bid, from the sending", &stats.service);
    times_line(&mut out, "check, from the planned time", &stats.checks.latency);
    times_line(&mut out, "check, from the sending", &stats.checks.service);
    times_line(&mut out, "repeat, outcome, label", &stats.checks.after);
    for kind in Kind::ALL {
        times_line(&mut out, &format!("{} notice", kind.text()), &stats.notices[kind as usize].times);
    }
    times_line(&mut out, "forged notice", &stats.forged.times);
    if stats.latency.count() + stats.checks.latency.count() == 0 {
        let _ = writeln!(out, "(no request was planned after the warm-up)");
    }
    outcomes_text(&mut out, stats);
    money_text(&mut out, report);
    match &report.comparison {
        Some(comparison) => out.push_str(&comparison_text(comparison)),
        None => out.push_str("verdict   the books were not compared\n"),
    }
    out
}

fn times_line(out: &mut String, name: &str, times: &Times) {
    if times.count() == 0 {
        return;
    }
    let _ = write!(out, "{name:<30}");
    for (_, quantile) in QUANTILES {
        let _ = write!(out, "{:>10}", ms(times.quantile_ns(quantile)));
    }
    let _ = writeln!(out, "{:>10}{:>12}", ms(times.max_ns()), thousands(times.count()));
}

fn outcome_list(stats: &Stats) -> Vec<(&'static str, u64)> {
    let outcomes = &stats.outcomes;
    vec![
        ("bid", outcomes.bid),
        ("no bid", outcomes.no_bid),
        ("unusable answer", outcomes.unusable),
        ("4xx", outcomes.refused_4xx),
        ("5xx", outcomes.failed_5xx),
        ("other status", outcomes.other_status),
        ("broken request refused", outcomes.broken_refused),
        ("broken request not answered 400", outcomes.broken_accepted),
        ("timeout", outcomes.timeouts),
        ("connection error", outcomes.connection_errors),
        ("never sent", outcomes.unsent),
        ("answered beyond tmax", outcomes.beyond_tmax),
    ]
}

fn outcomes_text(out: &mut String, stats: &Stats) {
    let listed: Vec<String> = outcome_list(stats)
        .into_iter()
        .filter(|(_, count)| *count > 0)
        .map(|(name, count)| format!("{name} {}", thousands(count)))
        .collect();
    let _ = writeln!(out, "\noutcomes  {}", listed.join(", "));
    checkout::report::text(out, &stats.checks);
    for (fault, count) in &stats.faults {
        let _ = writeln!(out, "fault     {}: {}", fault.text(), thousands(*count));
    }
    let named = Kind::ALL.iter().map(|kind| (kind.text(), &stats.notices[*kind as usize]));
    for (name, notices) in named.chain([("forged", &stats.forged)]) {
        if notices.sent + notices.unsent > 0 {
            let _ = writeln!(out, "notices   {name}: {}", notice_text(notices));
        }
    }
}

fn notice_text(notices: &NoticeStats) -> String {
    let mut text = format!("{} sent, {} answered 204", thousands(notices.sent), thousands(notices.acknowledged));
    for (status, count) in &notices.statuses {
        let _ = write!(text, ", {} answered {status}", thousands(*count));
    }
    for (name, count) in [("sent again", notices.retried), ("unknown", notices.unknown), ("never sent", notices.unsent)]
    {
        if count > 0 {
            let _ = write!(text, ", {} {name}", thousands(count));
        }
    }
    text
}

fn money_text(out: &mut String, report: &Report) {
    let played = &report.stats.played;
    let _ = writeln!(
        out,
        "money     {} bids: {} won, {} lost; {} duplicates, {} forged, {} late, {} odd, {} bill before win, {} bill after loss",
        thousands(report.stats.outcomes.bids),
        thousands(played.wins),
        thousands(played.losses),
        thousands(played.duplicates),
        thousands(played.forged),
        thousands(played.late),
        thousands(played.odd),
        thousands(played.reordered),
        thousands(played.billed_after_loss)
    );
    let booking = if report.plan.spend_on == SpendOn::Bill { "bills" } else { "wins" };
    let mut sums: Vec<(&str, i128, i128)> = Vec::new();
    for ((_, currency), line) in &report.ledger.lines {
        match sums.iter_mut().find(|(known, ..)| known == currency) {
            Some(sum) => (sum.1, sum.2) = (sum.1 + line.acknowledged.amount, sum.2 + line.unknown.amount),
            None => sums.push((currency, line.acknowledged.amount, line.unknown.amount)),
        }
    }
    for (currency, acknowledged, unknown) in sums {
        let _ = write!(out, "journal   {} {currency} billed and acknowledged", show_units(acknowledged));
        let _ = match unknown {
            0 => writeln!(out),
            _ => writeln!(out, ", {} {currency} sent without an answer", show_units(unknown)),
        };
    }
    let _ = writeln!(out, "journal   {} acknowledged {booking} booked", thousands(report.ledger.bills()));
}

/// The table of campaigns and the verdict.
pub fn comparison_text(comparison: &Comparison) -> String {
    let mut out = String::new();
    let (differing, equal): (Vec<&Row>, Vec<&Row>) = comparison.rows.iter().partition(|row| row.difference() != 0);
    if !comparison.rows.is_empty() {
        let _ = writeln!(
            out,
            "\n{:<24}{:>5}{:>10}{:>20}{:>20}{:>18}{:>16}",
            "campaign", "", "bills", "journal", "books", "difference", "late in books"
        );
    }
    for row in differing.iter().chain(equal.iter().take(ROWS_SHOWN.saturating_sub(differing.len()))) {
        let _ = writeln!(
            out,
            "{:<24}{:>5}{:>10}{:>20}{:>20}{:>18}{:>16}",
            row.campaign,
            row.currency,
            thousands(row.bills),
            show_units(row.billed),
            show_units(row.booked),
            show_units(row.difference()),
            show_units(row.late)
        );
    }
    let shown = differing.len() + equal.len().min(ROWS_SHOWN.saturating_sub(differing.len()));
    if shown < comparison.rows.len() {
        let _ = writeln!(out, "and {} more, all equal", thousands((comparison.rows.len() - shown) as u64));
    }
    accounts_text(&mut out, comparison);
    for warning in &comparison.warnings {
        let _ = writeln!(out, "warning   {warning}");
    }
    for breach in &comparison.breaches {
        let _ = writeln!(out, "breach    {breach}");
    }
    let _ = writeln!(out, "verdict   {}", verdict(comparison));
    out
}

fn accounts_text(out: &mut String, comparison: &Comparison) {
    let mut currencies: Vec<&str> = comparison.accounts.values().map(|account| account.currency.as_str()).collect();
    currencies.sort_unstable();
    currencies.dedup();
    let ran_out = comparison.accounts.values().filter(|account| account.available * 20 <= account.budget).count();
    let _ = writeln!(out, "accounts  {ran_out} of {} ran out of budget", comparison.accounts.len());
    for currency in currencies {
        let accounts = || comparison.accounts.values().filter(|account| account.currency == currency);
        let _ = writeln!(
            out,
            "accounts  {} in {currency}: budget {}, available {}, reserved {}, withheld {}, spent {}, late {}, overspend {}",
            accounts().count(),
            show_units(accounts().map(|account| account.budget).sum()),
            show_units(accounts().map(|account| account.available).sum()),
            show_units(accounts().map(|account| account.reserved).sum()),
            show_units(accounts().map(|account| account.withheld).sum()),
            show_units(accounts().map(|account| account.spent).sum()),
            show_units(accounts().map(|account| account.late).sum()),
            show_units(accounts().map(|account| account.overspend).sum())
        );
    }
}

pub fn verdict(comparison: &Comparison) -> String {
    let totals = comparison.totals();
    if !comparison.rows.iter().all(|row| row.difference() == 0) {
        let differing = comparison.rows.iter().filter(|row| row.difference() != 0).count();
        let sums: Vec<String> = totals
            .values()
            .map(|row| {
                let (booked, billed) = (show_units(row.booked), show_units(row.billed));
                let off = show_units(row.booked - row.billed);
                format!("books {booked}, journal {billed}, books minus journal {off} {}", row.currency)
            })
            .collect();
        return format!("THE BOOKS DIFFER from the journal in {differing} campaigns: {}", sums.join("; "));
    }
    if !comparison.breaches.is_empty() {
        return "the books equal the journal, BUT MONEY WAS OVERSPENT".to_owned();
    }
    let (mut sums, mut bills, mut unknown) = (Vec::new(), 0, 0);
    for row in totals.values() {
        sums.push(match row.unknown_bills {
            0 => format!("{} {}", show_units(row.billed), row.currency),
            _ => {
                let highest = show_units(row.billed + row.unknown);
                format!("{} to {highest} {} (books {})", show_units(row.billed), row.currency, show_units(row.booked))
            }
        });
        bills += row.bills;
        unknown += row.unknown_bills;
    }
    let sums = if sums.is_empty() { "nothing".to_owned() } else { sums.join(", ") };
    match unknown {
        0 => format!("books equal the journal: {sums} over {} bills", thousands(bills)),
        _ => format!(
            "books are within the journal's range: {sums} over {} bills and {} that were never answered",
            thousands(bills),
            thousands(unknown)
        ),
    }
}

pub fn times_json(times: &Times) -> Value {
    let mut value = json!({"count": times.count(), "max": times.max_ns() as f64 / 1e6});
    for (name, quantile) in QUANTILES {
        value[name] = json!(times.quantile_ns(quantile) as f64 / 1e6);
    }
    value
}

fn notices_json(notices: &NoticeStats) -> Value {
    json!({
        "sent": notices.sent, "acknowledged": notices.acknowledged, "retried": notices.retried,
        "unknown": notices.unknown, "unsent": notices.unsent, "statuses": notices.statuses,
        "latency_ms": times_json(&notices.times),
    })
}

pub fn json(report: &Report) -> Value {
    let (stats, (offered, achieved)) = (&report.stats, report.rates());
    let outcomes: serde_json::Map<String, Value> =
        outcome_list(stats).into_iter().map(|(name, count)| (name.replace(' ', "_"), json!(count))).collect();
    let faults: serde_json::Map<String, Value> =
        stats.faults.iter().map(|(fault, count)| (fault.text().to_owned(), json!(count))).collect();
    let played = &stats.played;
    let comparison = report.comparison.as_ref().map(|comparison| {
        let campaigns: Vec<Value> = comparison
            .rows
            .iter()
            .map(|row| {
                json!({
                    "campaign": row.campaign, "currency": row.currency, "bills": row.bills,
                    "billed": show_units(row.billed), "unknown": show_units(row.unknown),
                    "unknown_bills": row.unknown_bills, "booked": show_units(row.booked),
                    "late": show_units(row.late), "difference": show_units(row.difference()),
                })
            })
            .collect();
        json!({
            "equal": comparison.equal(), "verdict": verdict(comparison), "campaigns": campaigns,
            "warnings": comparison.warnings, "breaches": comparison.breaches,
        })
    });
    json!({
        "seed": report.plan.seed,
        "seconds": report.elapsed.as_secs_f64(),
        "interrupted": report.stopped,
        "planned": stats.outcomes.planned,
        "answered": stats.answered(),
        "offered_per_second": offered,
        "achieved_per_second": achieved,
        "latency_ms": times_json(&stats.latency),
        "service_ms": times_json(&stats.service),
        "generator": {
            "lag_ms": times_json(&stats.lag), "kept_up": !report.lagged(),
            "backlog_max": stats.backlog_max, "cpu_seconds": stats.cpu_ns as f64 / 1e9, "reconnects": stats.reconnects,
        },
        "outcomes": outcomes,
        "faults": faults,
        "checks": checkout::report::json(&stats.checks),
        "bids": stats.outcomes.bids,
        "notices": {
            "win": notices_json(&stats.notices[Kind::Win as usize]),
            "bill": notices_json(&stats.notices[Kind::Bill as usize]),
            "loss": notices_json(&stats.notices[Kind::Loss as usize]),
            "forged": notices_json(&stats.forged),
        },
        "played": {
            "wins": played.wins, "losses": played.losses, "duplicates": played.duplicates, "forged": played.forged,
            "late": played.late, "odd": played.odd, "reordered": played.reordered,
            "billed_after_loss": played.billed_after_loss,
        },
        "bills": report.ledger.bills(),
        "books": comparison,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn groups_digits() {
        assert_eq!([0, 12, 999, 1000, 1234567].map(thousands), ["0", "12", "999", "1,000", "1,234,567"]);
    }

    #[test]
    fn an_empty_comparison_is_equal() {
        assert_eq!(verdict(&Comparison::default()), "books equal the journal: nothing over 0 bills");
    }
}
