//! The traffic curve: how the requests of a day are spread over its hours, and how much of a period is still ahead.

use crate::bidding::campaign::HoursOfWeek;
use crate::clock::{LocalHour, UnixMs};

const HOUR_MS: i64 = 3_600_000;
const WEEK_MS: i64 = 168 * HOUR_MS;
/// An hour without traffic still counts this much of a mean one: a campaign that finds traffic there may spend.
const LEAST: f64 = 0.05;

/// The weight of each hour of the day in UTC; a mean hour has 1.
#[derive(Clone, Debug, PartialEq)]
pub struct Curve([f64; 24]);

impl Default for Curve {
    fn default() -> Curve {
        Curve([1.0; 24])
    }
}

impl Curve {
    /// From requests per hour of the day. Flat until every hour was seen: half a day says nothing of the other half.
    pub fn of(requests: &[Option<u64>; 24]) -> Curve {
        let Some(known) = requests.iter().copied().collect::<Option<Vec<u64>>>() else { return Curve::default() };
        let mean = known.iter().sum::<u64>() as f64 / 24.0;
        if mean < 1.0 {
            return Curve::default();
        }
        Curve(std::array::from_fn(|hour| (known[hour] as f64 / mean).max(LEAST)))
    }

    fn at(&self, at: UnixMs) -> f64 {
        self.0[at.0.div_euclid(HOUR_MS).rem_euclid(24) as usize]
    }
}

/// What of a period lies ahead, in weight times milliseconds: an hour's weight stays the same until `until`.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Ahead {
    pub until: UnixMs,
    /// Per millisecond, until then; 0 where the campaign does not bid in this hour.
    pub weight: f64,
    /// After that.
    pub rest: f64,
}

impl Ahead {
    /// From `from`, whose local hour is `local`, to `to`; only `hours` count. A clock change further on is not
    /// foreseen: who asks again in each hour sees it when it comes.
    pub fn of(curve: &Curve, hours: &HoursOfWeek, local: LocalHour, from: UnixMs, to: UnixMs) -> Ahead {
        let mut walk = Walk { curve, hours, at: from, hour: local.hour_of_week, hour_until: local.until };
        let Some((until, weight)) = walk.step(to) else { return Ahead { until: to, weight: 0.0, rest: 0.0 } };
        let mut rest = 0.0;
        let weeks = to.since(until) / WEEK_MS;
        if weeks > 0 {
            rest += walk.clone().sum(until.plus(WEEK_MS)) * weeks as f64;
            walk.at = walk.at.plus(weeks * WEEK_MS);
            walk.hour_until = walk.hour_until.plus(weeks * WEEK_MS);
        }
        Ahead { until, weight, rest: rest + walk.sum(to) }
    }

    /// All of it from `at` on.
    pub fn from(&self, at: UnixMs) -> f64 {
        self.weight * self.until.since(at).max(0) as f64 + self.rest
    }
}

#[derive(Clone)]
struct Walk<'a> {
    curve: &'a Curve,
    hours: &'a HoursOfWeek,
    at: UnixMs,
    hour: u8,
    hour_until: UnixMs,
}

impl Walk<'_> {
    /// Goes on to where the weight may change, at most to `to`.
    fn step(&mut self, to: UnixMs) -> Option<(UnixMs, f64)> {
        if self.at >= to {
            return None;
        }
        let utc_until = UnixMs((self.at.0.div_euclid(HOUR_MS) + 1) * HOUR_MS);
        let until = to.min(utc_until).min(self.hour_until);
        let weight = if self.hours.contains(self.hour) { self.curve.at(self.at) } else { 0.0 };
        if until == self.hour_until {
            self.hour = (self.hour + 1) % HoursOfWeek::COUNT;
            self.hour_until = until.plus(HOUR_MS);
        }
        self.at = until;
        Some((until, weight))
    }

    fn sum(mut self, to: UnixMs) -> f64 {
        let mut sum = 0.0;
        loop {
            let from = self.at;
            let Some((until, weight)) = self.step(to) else { return sum };
            sum += weight * until.since(from) as f64;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::Zone;

    #[test]
    fn a_curve_is_flat_until_every_hour_is_known() {
        let mut requests = [Some(100); 24];
        requests[3] = None;
        requests[4] = Some(900);
        assert_eq!(Curve::of(&requests), Curve::default());
        requests[3] = Some(0);
        let curve = Curve::of(&requests);
        assert_eq!(curve.0[3], LEAST);
        assert!((curve.0[4] - 900.0 * 24.0 / 3_100.0).abs() < 1e-9);
        assert_eq!(Curve::of(&[Some(0); 24]), Curve::default());
    }

    #[test]
    fn what_is_ahead_counts_hours_weeks_and_targeted_hours() {
        let zone = Zone::named("Asia/Kolkata").unwrap();
        let now = UnixMs::parse("2026-11-22T10:10:00Z").unwrap(); // Sunday 15:40 in Kolkata
        let local = zone.local_hour(now);
        let all = |to: i64| Ahead::of(&Curve::default(), &HoursOfWeek::ALL, local, now, now.plus(to));
        for to in [0, 1, 600_000, HOUR_MS, 25 * HOUR_MS, WEEK_MS, 5 * WEEK_MS + 77] {
            assert_eq!(all(to).from(now), to as f64);
        }
        assert_eq!(all(HOUR_MS).until, UnixMs::parse("2026-11-22T10:30:00Z").unwrap());
        // Monday 09:00 to 10:00 only, ten times; the curve has that hour, 03:30 to 04:30 UTC, at 0.5 and at 1.5.
        let mut hours = HoursOfWeek([0; 3]);
        hours.0[0] = 1 << 9;
        let mut curve = Curve::default();
        (curve.0[3], curve.0[4]) = (0.5, 1.5);
        let ahead = Ahead::of(&curve, &hours, local, now, now.plus(10 * WEEK_MS));
        assert_eq!((ahead.weight, ahead.from(now)), (0.0, 10.0 * HOUR_MS as f64));
    }
}
