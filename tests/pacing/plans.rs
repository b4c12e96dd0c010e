//! Plans by themselves: days, ends, hours, curves.

use gavel::bidding::campaign::{Campaign, parse};
use gavel::bidding::pacing::curve::Curve;
use gavel::bidding::pacing::plan::{Budget, Plan, When, has_plan};
use gavel::clock::UnixMs;
use gavel::money::Nanos;
use serde_json::{Value, json};

use crate::campaign;
use crate::world::instant;

fn parsed(budget: Value, patch: Value) -> Campaign {
    parse(&campaign(budget, patch).to_string()).unwrap()
}

fn budget(campaign: &Campaign, spent: i64, spent_today: i64) -> Budget {
    let (total, daily) = (campaign.budget.total, campaign.budget.daily);
    Budget { total, daily, spent: Nanos(spent), spent_today: Nanos(spent_today) }
}

fn when<'a>(campaign: &Campaign, now: UnixMs, curve: &'a Curve) -> When<'a> {
    When { now, local: campaign.schedule.zone.local_hour(now), curve, curve_version: 0 }
}

/// The plan's value each hour when spend follows it.
fn hours(campaign: &Campaign, from: &str, curve: &Curve, count: i64) -> Vec<f64> {
    let (start, nothing) = (instant(from), budget(campaign, 0, 0));
    let mut plan = Plan::new(&campaign.schedule, &nothing, 0.0, when(campaign, start, curve)).unwrap();
    let mut values = Vec::new();
    for second in 1..=count * 3_600 {
        let now = start.plus(second * 1_000);
        plan.advance(&campaign.schedule, &nothing, when(campaign, now, curve));
        if second % 3_600 == 0 {
            values.push((plan.planned / 1e7).round() / 100.0);
        }
    }
    values
}

#[test]
fn a_total_is_even_from_start_to_end_and_done_a_little_early() {
    let c = parsed(json!({"total": "10.00"}), json!({"ends_at": "2026-11-23T10:00:00Z"}));
    assert!(has_plan(&c));
    let values = hours(&c, "2026-11-23T00:00:00Z", &Curve::default(), 10);
    assert_eq!(values, [1.01, 2.02, 3.03, 4.03, 5.04, 6.05, 7.06, 8.07, 9.08, 10.0]);
}

#[test]
fn hours_in_which_it_does_not_bid_are_flat() {
    let hours_of_week: Vec<u32> = (9..19).collect();
    let c = parsed(
        json!({"total": "100.00", "daily": "10.00"}),
        json!({"targeting": {"hours_of_week": hours_of_week}, "time_zone": "Europe/Berlin"}),
    );
    // Monday midnight in Berlin; it bids from nine to seven in the evening.
    let values = hours(&c, "2026-11-22T23:00:00Z", &Curve::default(), 23);
    assert_eq!(values[8], 0.0);
    assert_eq!(values[13], 5.0);
    assert_eq!(values[18..], [10.0; 5]);
}

#[test]
fn a_curve_shapes_the_day() {
    let mut requests = [Some(100); 24];
    requests[12..].fill(Some(300));
    let c = parsed(json!({"total": "100.00", "daily": "40.00"}), json!({}));
    let values = hours(&c, "2026-11-23T00:00:00Z", &Curve::of(&requests), 24);
    assert!((values[11] - 10.0).abs() < 0.1 && (values[17] - 25.0).abs() < 0.2, "{values:?}");
    assert_eq!(values[23], 40.0);
}

#[test]
fn a_day_is_the_lesser_of_the_daily_budget_and_its_share_of_the_total() {
    let amount = |daily: &str, spent: i64, spent_today: i64| {
        let c = parsed(json!({"total": "100.00", "daily": daily}), json!({"ends_at": "2026-11-26T23:59:59.999Z"}));
        let now = instant("2026-11-23T12:00:00Z");
        let plan =
            Plan::new(&c.schedule, &budget(&c, spent, spent_today), 0.0, when(&c, now, &Curve::default())).unwrap();
        (plan.amount / 1e6).round() / 1e3
    };
    // Half a day of three and a half are left.
    assert_eq!(amount("10.00", 0, 0), 10.0);
    assert_eq!(amount("50.00", 0, 0), 14.286);
    assert_eq!(amount("50.00", 37_000_000_000, 2_000_000_000), 11.0);
    assert_eq!(amount("50.00", 99_000_000_000, 2_000_000_000), 2.143);
    assert_eq!(amount("50.00", 120_000_000_000, 2_000_000_000), 2.0);
}

#[test]
fn without_a_daily_budget_and_an_end_there_is_no_plan() {
    assert!(!has_plan(&parsed(json!({"total": "1.00"}), json!({"starts_at": "2026-11-23T12:00:00Z"}))));
    let c = parsed(json!({"total": "1.00", "daily": "0.50"}), json!({"starts_at": "2026-11-23T12:00:00Z"}));
    let plan = |now| Plan::new(&c.schedule, &budget(&c, 0, 0), 0.0, when(&c, instant(now), &Curve::default()));
    assert!(plan("2026-11-23T11:59:59Z").is_none() && plan("2026-11-23T12:00:00Z").is_some());
}

#[test]
fn a_day_with_a_clock_change_ends_at_midnight() {
    // Clocks go back an hour in Berlin on 2026-10-25 at 03:00: that day has 25 hours.
    let c = parsed(json!({"total": "100.00", "daily": "24.00"}), json!({"time_zone": "Europe/Berlin"}));
    let values = hours(&c, "2026-10-24T22:00:00Z", &Curve::default(), 25);
    assert!(values[23] < 23.5 && values[24] == 24.0, "{values:?}");
}
