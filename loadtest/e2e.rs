//! The whole generator against the fake server.

use crate::args::{Cli, Command};
use crate::fake::{Fake, Manners};
use crate::record::Record;
use crate::report::{Report, json, text};
use crate::run::{self, Verdict};
use clap::Parser;
use std::time::Duration;

fn try_run(fake: &Fake, arguments: &str) -> Result<(Verdict, Report), String> {
    let url = fake.url();
    let defaults = ["--seed", "11", "--warmup", "0s", "--bill-delay", "50ms", "--ignore-tmax"];
    let fixed = ["loadtest", "--target", &url, "--admin", &url].into_iter().chain(defaults);
    let cli = Cli::try_parse_from(fixed.chain(arguments.split_whitespace())).expect("arguments");
    run::run(&cli.run)
}

fn go(fake: &Fake, arguments: &str) -> (Verdict, Report) {
    try_run(fake, arguments).expect("run")
}

fn verify(fake: &Fake, journal: &str) -> Verdict {
    let url = fake.url();
    let cli = Cli::try_parse_from(["loadtest", "verify", "--admin", &url, "--journal", journal]).expect("arguments");
    match cli.command {
        Some(Command::Verify(args)) => run::verify(&args).expect("verify"),
        other => panic!("{other:?}"),
    }
}

#[test]
fn honest_books_are_equal_to_the_nano() {
    let fake = Fake::start(Manners::default());
    let arguments = "--requests 3000 --rate 3000 --duplicates 0.2 --forged 0.1 --late 0.05 --late-after 500ms --odd 0.1 \
                     --reorder --loss-then-bill 0.1 --profile mixed --malformed 0.05 --test-requests 0.05";
    let (verdict, report) = go(&fake, arguments);
    assert_eq!(verdict, Verdict::Equal, "{}", text(&report));
    let (outcomes, played) = (&report.stats.outcomes, &report.stats.played);
    assert_eq!((outcomes.planned, outcomes.answered()), (3000, 3000));
    assert!(outcomes.broken_refused > 100 && outcomes.broken_accepted == 0, "{outcomes:?}");
    assert!(outcomes.bid > 2300 && outcomes.bids > outcomes.bid && outcomes.no_bid > 200, "{outcomes:?}");
    assert!(played.duplicates > 300 && played.forged > 100 && played.late > 20 && played.odd > 50, "{played:?}");
    assert!(played.reordered > 20 && played.billed_after_loss > 50);
    assert!(report.stats.faults.is_empty(), "{:?}", report.stats.faults);
    assert!(report.stats.notices.iter().all(|notices| notices.unsent == 0), "every odd path can be sent");
    assert!(fake.repeats() > 50, "the duplicates arrived");
    assert_eq!(report.ledger.bills(), fake.bills());
    assert!(text(&report).contains("books equal the journal: "));
    assert_eq!(json(&report)["books"]["equal"], true);
    assert!(
        report.stats.latency.count() == 3000 && report.stats.notices.iter().all(|notices| notices.times.count() > 0)
    );
}

#[test]
fn held_notices_come_after_the_last_bid_at_their_own_rate() {
    let fake = Fake::start(Manners::default());
    let (verdict, report) = go(&fake, "--requests 400 --rate 4000 --notice-rate 1000 --duplicates 0.1 --threads 2");
    assert_eq!(verdict, Verdict::Equal, "{}", text(&report));
    let stats = &report.stats;
    let sent: u64 = stats.notices.iter().map(|notices| notices.sent).sum::<u64>() + stats.forged.sent;
    assert!(sent > 400 && stats.notices.iter().all(|notices| notices.unsent == 0), "{sent}");
    assert!(report.elapsed.as_secs_f64() >= sent as f64 / 1000.0, "{sent} in {:?}", report.elapsed);
    assert_eq!(stats.lag.count(), 400 + sent, "their lateness counts as well");
}

#[test]
fn a_duplicate_booked_twice_is_found() {
    let fake = Fake::start(Manners { double_book_every: 20, ..Manners::default() });
    let (verdict, report) = go(&fake, "--requests 1000 --rate 4000 --duplicates 0.2");
    assert_eq!(verdict, Verdict::Different);
    let rows = report.comparison.as_ref().expect("compared").rows.clone();
    assert!(rows.iter().any(|row| row.difference() > 0));
    assert!(text(&report).contains("THE BOOKS DIFFER"), "{}", text(&report));
}

#[test]
fn a_believed_forgery_is_found() {
    let fake = Fake::start(Manners { believes_forgeries: true, ..Manners::default() });
    let (verdict, _) = go(&fake, "--requests 500 --rate 4000 --forged 0.05");
    assert_eq!(verdict, Verdict::Different);
}

#[test]
fn overspend_fails_the_run() {
    let fake = Fake::start(Manners { overspends: true, ..Manners::default() });
    let (verdict, report) = go(&fake, "--requests 200 --rate 4000");
    assert_eq!(verdict, Verdict::Different);
    assert!(text(&report).contains("MONEY WAS OVERSPENT"));
}

#[test]
fn busy_answers_and_broken_connections_are_repeated() {
    let fake = Fake::start(Manners { busy_every: 5, hang_up_every: 7, ..Manners::default() });
    let (verdict, report) = go(&fake, "--requests 1000 --rate 2000");
    assert_eq!(verdict, Verdict::Equal, "{}", text(&report));
    let notices = &report.stats.notices;
    assert!(notices.iter().all(|notices| notices.retried > 10 && notices.statuses.contains_key(&503)));
    assert!(report.stats.reconnects > 50);
    assert_eq!(report.ledger.unknown_bills(), 0, "every bill was acknowledged in the end");
}

#[test]
fn unanswered_bills_make_a_range() {
    let fake = Fake::start(Manners { silent_every: 10, ..Manners::default() });
    let (verdict, report) = go(&fake, "--requests 300 --rate 1000 --attempts 1 --timeout 300ms --duplicates 0");
    assert_eq!(verdict, Verdict::Equal, "{}", text(&report));
    let unknown = report.ledger.unknown_bills();
    assert!(unknown > 3, "{unknown}");
    assert_eq!(report.ledger.bills() + unknown, fake.bills());
    assert!(text(&report).contains("within the journal's range"), "{}", text(&report));
}

/// A closed-loop tool would report one slow answer per connection here. Counted from the planned time, everything
/// that should have been sent during the stall is late.
#[test]
fn a_stall_is_charged_to_every_request_it_delays() {
    let fake = Fake::start(Manners { stall: Some((500, Duration::from_millis(200))), ..Manners::default() });
    let arguments = "--requests 2000 --rate 1000 --arrivals constant --connections 4 --win-rate 0 --loss-notice-rate 0 \
                     --forged 0";
    let (_, report) = go(&fake, arguments);
    let ms = |ns: u64| ns as f64 / 1e6;
    let latency = ms(report.stats.latency.quantile_ns(0.99));
    // 200 of 2,000 requests waited, evenly up to 200 ms: the 99th percentile is at 180 ms.
    assert!(latency > 150.0, "p99 {latency} ms");
    assert!(ms(report.stats.latency.max_ns()) > 195.0);
    let (slow, served) = (report.stats.service.max_ns(), report.stats.service.quantile_ns(0.99));
    assert!(ms(slow) > 190.0 && ms(served) < 100.0, "service p99 {} ms hides the stall", ms(served));
    assert!(report.stats.backlog_max > 100, "{}", report.stats.backlog_max);
    assert_eq!(report.stats.outcomes.answered(), 2000);
}

#[test]
fn a_journal_is_verified_again_later() {
    let folder = tempfile::tempdir().expect("folder");
    let path = folder.path().join("run.jsonl");
    let path = path.to_str().expect("path");
    let mut fake = Fake::start(Manners::default());
    // Something was spent before.
    go(&fake, "--requests 100 --rate 4000");
    for _ in 0..2 {
        assert_eq!(go(&fake, &format!("--requests 400 --rate 4000 --journal {path}")).0, Verdict::Equal);
    }
    assert_eq!(verify(&fake, path), Verdict::Equal);
    go(&fake, "--requests 100 --rate 4000");
    assert_eq!(verify(&fake, path), Verdict::Different, "spend that is not in the journal");
    fake = Fake::start(Manners::default());
    assert_eq!(verify(&fake, path), Verdict::Different, "a server that forgot");
}

#[test]
fn currencies_are_converted_bill_by_bill() {
    let fake = Fake::start(Manners { spends_eur: true, ..Manners::default() });
    let (verdict, report) = go(&fake, "--requests 1000 --rate 4000 --rates EUR=1.085");
    assert_eq!(verdict, Verdict::Equal, "{}", text(&report));
    assert!(text(&report).contains(" EUR over "));
    let error = try_run(&fake, "--requests 100 --rate 4000").err();
    assert!(error.as_ref().is_some_and(|error| error.contains("--rates")), "{error:?}");
}

#[test]
fn a_mix_of_currencies_is_asked_for() {
    let fake = Fake::start(Manners::default());
    let (_, report) = go(&fake, "--requests 500 --rate 4000 --currency USD,EUR --no-verify");
    let currencies: Vec<&str> = report.ledger.lines.keys().map(|(_, currency)| currency.as_str()).collect();
    assert!(currencies.contains(&"USD") && currencies.contains(&"EUR"), "{currencies:?}");
}

#[test]
fn contract_faults_are_counted_and_not_played() {
    let fake = Fake::start(Manners { price: Some("1e2"), ..Manners::default() });
    let (verdict, report) = go(&fake, "--requests 200 --rate 4000");
    assert_eq!(verdict, Verdict::Equal);
    assert_eq!((report.stats.outcomes.unusable, report.stats.outcomes.bids), (180, 0));
    assert!(text(&report).contains("price is not"), "{}", text(&report));
}

#[test]
fn bids_end_a_run_and_so_does_their_absence() {
    let fake = Fake::start(Manners::default());
    let (_, report) = go(&fake, "--bids 500 --rate 2000 --threads 2");
    // Requests that wait when the last bid comes are still sent.
    assert!((500..5000).contains(&report.stats.outcomes.bids), "{}", report.stats.outcomes.bids);
    let fake = Fake::start(Manners { never_bids: true, ..Manners::default() });
    let (verdict, report) = go(&fake, "--bids 10 --rate 4000");
    assert_eq!((verdict, report.stats.outcomes.planned), (Verdict::Equal, 1200));
}

#[test]
fn offered_and_achieved_rates_are_right() {
    let fake = Fake::start(Manners::default());
    let (_, report) = go(&fake, "--duration 2s --rate 1500 --arrivals constant --no-verify");
    let value = json(&report);
    let rate = |name: &str| value[name].as_f64().expect(name);
    assert!((rate("offered_per_second") - 1500.0).abs() < 30.0, "{value}");
    // Less where the machine is busy: as many as were answered by then.
    let by_then = 3000.0 / (report.stats.last_answer_ns as f64 / 1e9);
    assert!(by_then < 1530.0 && (rate("achieved_per_second") - by_then).abs() < 30.0, "{by_then}: {value}");
    assert_eq!(value["planned"], 3000);
}

#[test]
fn a_checkout_is_played() {
    let fake = Fake::start(Manners::default());
    let arguments =
        "--requests 1000 --rate 2000 --checks 1 --check-repeats 0.2 --check-outcomes 0.5 --check-labels 0.1";
    let (verdict, report) = go(&fake, arguments);
    assert_eq!(verdict, Verdict::Equal, "{}", text(&report));
    let checks = &report.stats.checks;
    assert!(checks.faults.is_empty() && checks.answered() == 1000, "{}", text(&report));
    assert_eq!((checks.decisions.len(), checks.latency.count()), (4, 1000));
    assert!(checks.degraded > 50 && checks.repeats > 150 && checks.outcomes > 400 && checks.labels > 50);
    assert!(text(&report).contains("checks    allow "), "{}", text(&report));
    assert!(json(&report)["checks"]["decisions"]["deny"].as_u64() > Some(100));
    // The same seed again, of the same server: other transactions.
    assert_eq!(go(&fake, arguments).0, Verdict::Equal);
}

#[test]
fn a_check_that_is_decided_twice_fails_the_run() {
    let fake = Fake::start(Manners { forgets_checks: true, ..Manners::default() });
    let (verdict, report) = go(&fake, "--requests 200 --rate 2000 --checks 0.5 --check-repeats 0.5");
    assert_eq!(verdict, Verdict::Different);
    assert!(text(&report).contains("a repeated check got another answer"), "{}", text(&report));
    assert!(report.stats.outcomes.bid > 50, "the other half are bids");
}

#[test]
fn a_scenario_leaves_a_page_and_what_to_compare() {
    let dir = tempfile::tempdir().expect("directory");
    let file = dir.path().join("some.toml");
    let meanwhile = "put = {every = \"20ms\", new = 0.5}\nslow = {senders = 3, readers = 2, every = \"10ms\"}\n\
                     activate = {model = \"ctr\", versions = [\"1\", \"2\"], every = \"30ms\"}\n";
    let text = format!(
        "about = \"a\"\n[run]\nrate = 500\nseed = 1\nwarmup = \"200ms\"\nchecks = 0.2\nbill-delay = \"50ms\"\nlate = 0\n\
         ignore-tmax = true\n[meanwhile]\n{meanwhile}[[load]]\nfor = \"4s\"\ntimes = 1.0\n[[load]]\nfor = \"4s\"\ntimes = 3.0\n"
    );
    std::fs::write(&file, text).expect("written");
    let fake = Fake::start(Manners::default());
    let (url, out) = (fake.url(), dir.path().join("out"));
    let (file, folder) = (file.to_str().expect("path"), out.to_str().expect("path"));
    let arguments =
        ["loadtest", "scenario", file, "--target", &url, "--admin", &url, "--out", folder, "--seconds", "2"];
    let Some(Command::Scenario(args)) = Cli::try_parse_from(arguments).expect("arguments").command else {
        panic!("not a scenario")
    };
    assert_eq!(crate::scenario::run(&args), Ok(Verdict::Equal));
    let record = Record::read(&out.join("some.json")).expect("record");
    let (offered, achieved): (f64, f64) = (record.seconds.offered.iter().sum(), record.answered());
    // 0.2 s at 500, then a second each at 500 and at 1,500.
    assert!((1900.0..2300.0).contains(&offered) && offered == achieved, "{offered} {achieved}");
    assert!(record.server.is_none() && record.gavel.is_none(), "it was not started here");
    assert!(record.meanwhile["campaign added"].done > 10 && record.meanwhile["model activated"].done > 20);
    assert!(record.meanwhile["slow connections made"].done >= 5);
    assert!(record.latencies.iter().any(|latency| latency.name.starts_with("check")));
    assert!(std::fs::read_to_string(out.join("some.html")).expect("page").contains("Latency by percentile"));
    assert!(std::fs::read_to_string(out.join("some.hgrm")).expect("hgrm").contains("#[Mean"));
}

#[test]
fn files_are_written() {
    let folder = tempfile::tempdir().expect("folder");
    let (report, hgrm) = (folder.path().join("report.json"), folder.path().join("bids.hgrm"));
    let fake = Fake::start(Manners::default());
    go(&fake, &format!("--requests 200 --rate 4000 --json {} --hgrm {}", report.display(), hgrm.display()));
    let report: serde_json::Value = serde_json::from_slice(&std::fs::read(report).expect("report")).expect("JSON");
    assert_eq!(report["latency_ms"]["count"], 200);
    assert!(std::fs::read_to_string(hgrm).expect("hgrm").contains("#[Mean"));
}

#[test]
fn no_server_is_an_error() {
    let addr = std::net::TcpListener::bind("127.0.0.1:0").and_then(|listener| listener.local_addr()).expect("address");
    let url = format!("http://{addr}");
    let cli = Cli::try_parse_from(["loadtest", "--target", &url, "--admin", &url]).expect("arguments");
    assert!(run::run(&cli.run).is_err_and(|error| error.contains("cannot connect")));
}
