//! Whether a value of a window that differs is what checks and reports under way at the same moment can have made of it.

use crate::fraud::velocity::{Facts, Velocity, Window};
use crate::window::sliding::{Aggregate, Outcome, Value};

/// What overlapped with a check: what the windows know of it.
pub struct Other<'a> {
    pub facts: &'a Facts,
    /// It was counted itself; otherwise only what is known of it changed.
    pub counted: bool,
    /// What is known of it changed.
    pub marked: bool,
}

/// Whether `others` explain that `window` showed `was` for the check with these facts and shows `now`.
pub fn explains<'a>(
    velocity: &Velocity,
    window: usize,
    own: &Facts,
    others: impl Iterator<Item = Other<'a>>,
    (was, now): (Value, Value),
) -> bool {
    let Some(Window { aggregate, length_ms, delay_ms, selects, .. }) = velocity.declared().get(window) else {
        return false;
    };
    let Some(mine) = velocity.part(window, own) else { return false };
    let (newest, is_all) = (mine.at.plus(-delay_ms), *selects == Outcome::TOTAL);
    let share = *aggregate == Aggregate::Share;
    let counts = |other: &Other| (is_all || share) && other.counted || !is_all && other.marked;
    let within = others.filter(counts).filter_map(|other| velocity.part(window, other.facts)).filter(|other| {
        let is_in = other.at <= newest && newest.since(other.at) < *length_ms;
        other.key == mine.key && is_in && other.currency.is_none_or(|currency| mine.currency == Some(currency))
    });
    let within: Vec<_> = within.collect();
    let values = || within.iter().filter_map(|other| other.value);
    let (was, now) = (was.as_f64(), now.as_f64());
    let (less, more) = (was.min(now), was.max(now));
    match aggregate {
        Aggregate::Count | Aggregate::Distinct => more - less <= within.len() as f64,
        Aggregate::Sum => more - less <= values().map(|value| value.unsigned_abs() as f64).sum(),
        // With one more, or one less of 0 and 1.
        Aggregate::Share => !within.is_empty(),
        // What made it the most, the least or the newest is one of them.
        Aggregate::Max => values().any(|value| value as f64 == more),
        Aggregate::Min => values().any(|value| value as f64 == less),
        Aggregate::Last => values().any(|value| [was, now].contains(&(value as f64))),
        Aggregate::TimeSince => within.iter().any(|other| mine.at.since(other.at) as f64 / 1e3 == less),
        // An average moves towards what is added.
        Aggregate::Avg if was.is_nan() || now.is_nan() => values().next().is_some(),
        Aggregate::Avg => {
            let (least, most) = values().fold((f64::INFINITY, f64::NEG_INFINITY), |(least, most), value| {
                (least.min(value as f64), most.max(value as f64))
            });
            most >= more || least <= less
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::UnixMs;
    use crate::fraud::Request;
    use crate::fraud::velocity::Scratch;
    use crate::window::sliding::Limits;

    const NOW: UnixMs = UnixMs(1_795_000_000_000);

    #[test]
    fn others_explain_as_much_as_they_can_have_added() {
        let window = |name: &str, aggregate, value: Option<&str>, delay_ms, selects| Window {
            name: name.to_owned(),
            key: vec!["terminal_id".to_owned()],
            aggregate,
            value: value.map(str::to_owned),
            length_ms: 60_000,
            delay_ms,
            selects,
        };
        let (all, amount) = (Outcome::TOTAL, Some("amount.value"));
        let windows = vec![
            window("count", Aggregate::Count, None, 0, all),
            window("sum", Aggregate::Sum, amount, 0, all),
            window("max", Aggregate::Max, amount, 0, all),
            window("min", Aggregate::Min, amount, 0, all),
            window("last", Aggregate::Last, amount, 0, all),
            window("avg", Aggregate::Avg, amount, 0, all),
            window("since", Aggregate::TimeSince, None, 0, all),
            window("distinct", Aggregate::Distinct, Some("customer.id"), 0, all),
            window("delayed", Aggregate::Count, None, 60_000, all),
            window("fraud", Aggregate::Count, None, 0, Outcome::FRAUD),
        ];
        let limits = Limits { max_bytes: 1 << 20, max_events_per_key: 100, late_ms: 0 };
        let velocity = Velocity::new(windows, limits).unwrap();
        let facts = |terminal: &str, amount: i64, currency: &str, at: UnixMs| {
            let body = format!(
                r#"{{"merchant_id":"m","transaction_id":"t","terminal_id":"{terminal}","customer":{{"id":"c"}},
                "amount":{{"value":{amount},"currency":"{currency}"}}}}"#
            );
            let mut request = Request::default();
            request.parse(body.as_bytes(), true, None, at).unwrap();
            velocity.observe(&request, Outcome::TOTAL, &mut Scratch::default())
        };
        let own = facts("a", 100, "EUR", NOW);
        let check = |facts| (facts, true, false);
        let near = [check(facts("a", 50, "EUR", NOW.plus(-10))), check(facts("a", 70, "EUR", NOW.plus(-20)))];
        let elsewhere = [
            check(facts("b", 50, "EUR", NOW)),
            check(facts("a", 50, "EUR", NOW.plus(-60_000))),
            check(facts("a", 50, "EUR", NOW.plus(1))),
            (facts("a", 50, "EUR", NOW), false, true),
        ];
        let of = |others: &[(Facts, bool, bool)], name: &str, was, now| {
            let others =
                others.iter().map(|(facts, counted, marked)| Other { facts, counted: *counted, marked: *marked });
            explains(&velocity, velocity.find(name).unwrap(), &own, others, (was, now))
        };
        let int = Value::Int;
        for (name, was, now, expected) in [
            ("count", int(1), int(3), true),
            ("count", int(4), int(1), false),
            ("sum", int(220), int(100), true),
            ("sum", int(100), int(221), false),
            ("max", int(60), int(70), true),
            ("max", int(60), int(71), false),
            ("min", Value::Null, int(50), true),
            ("min", int(51), int(90), false),
            ("last", int(9), int(50), true),
            ("last", int(9), int(51), false),
            ("avg", Value::Real(75.0), Value::Real(66.0), true),
            ("avg", Value::Real(30.0), Value::Real(80.0), false),
            ("since", Value::Real(0.02), Value::Real(0.5), true),
            ("since", Value::Real(0.03), Value::Null, false),
            ("distinct", int(3), int(1), true),
            ("distinct", int(4), int(1), false),
            ("delayed", int(1), int(0), false),
            ("fraud", int(1), int(0), false),
        ] {
            assert_eq!(of(&near, name, was, now), expected, "{name} {was:?} {now:?}");
            let asked = ["delayed", "fraud"].contains(&name);
            assert!(asked || !of(&elsewhere, name, was, now), "{name} {was:?} {now:?}");
        }
        assert!(of(&elsewhere, "delayed", int(1), int(0)) && of(&elsewhere, "fraud", int(1), int(0)));
        let dollars = [check(facts("a", 50, "USD", NOW))];
        assert!(of(&dollars, "count", int(1), int(2)) && !of(&dollars, "sum", int(100), int(150)));
    }
}
