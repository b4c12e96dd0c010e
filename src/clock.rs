//! Time as numbers: milliseconds since 1970, days, and a campaign's local day and hour.
//!
//! The core never reads a clock: time is passed in. [`SystemClock`] is the only place that asks the machine.

use std::fmt;
use std::sync::OnceLock;
use std::time::{Instant, SystemTime, UNIX_EPOCH};

use jiff::tz::TimeZone;
use jiff::{Span, Timestamp, civil};

/// Milliseconds since 1970-01-01T00:00:00Z.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct UnixMs(pub i64);

impl UnixMs {
    pub const MAX: UnixMs = UnixMs(i64::MAX);

    pub fn plus(self, ms: i64) -> UnixMs {
        UnixMs(self.0.saturating_add(ms))
    }

    /// Milliseconds from `earlier` to `self`; negative when `earlier` is later.
    pub fn since(self, earlier: UnixMs) -> i64 {
        self.0.saturating_sub(earlier.0)
    }

    pub fn minutes(self) -> u32 {
        (self.0 / 60_000).clamp(0, i64::from(u32::MAX)) as u32
    }

    /// Parses an RFC 3339 instant.
    pub fn parse(text: &str) -> Option<UnixMs> {
        utc(text.as_bytes()).or_else(|| text.parse::<Timestamp>().ok().map(|t| UnixMs(t.as_millisecond())))
    }
}

/// An instant of our times as most write it, `2026-11-23T12:00:00Z` or with milliseconds. What is written otherwise may be
/// one, too.
fn utc(text: &[u8]) -> Option<UnixMs> {
    let (&[y1, y2, y3, y4, b'-', m1, m2, b'-', d1, d2, b'T', h1, h2, b':', n1, n2, b':', s1, s2], rest) =
        text.split_first_chunk()?
    else {
        return None;
    };
    let ms = match rest {
        b"Z" => 0,
        [b'.', digits @ .., b'Z'] if digits.len() == 3 => number(digits)?,
        _ => return None,
    };
    let [year, month, day] = [number(&[y1, y2, y3, y4])?, number(&[m1, m2])?, number(&[d1, d2])?];
    let [hour, minute, second] = [number(&[h1, h2])?, number(&[n1, n2])?, number(&[s1, s2])?];
    // The last day of February is left to the library.
    const DAYS: [i64; 12] = [31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31];
    let last_day = DAYS.get(usize::try_from(month - 1).ok()?)?;
    if !(1900..2200).contains(&year) || !(1..=*last_day).contains(&day) || hour > 23 || minute > 59 || second > 59 {
        return None;
    }
    // Years begin with March, so that the day of a leap year is their last: 1970-01-01 is the 719,468th day from the year 0 on.
    let (year, month) = if month > 2 { (year, month - 3) } else { (year - 1, month + 9) };
    let days = year * 365 + year / 4 - year / 100 + year / 400 + (month * 153 + 2) / 5 + day - 1 - 719_468;
    Some(UnixMs((((days * 24 + hour) * 60 + minute) * 60 + second) * 1_000 + ms))
}

/// What is written in digits alone.
fn number(digits: &[u8]) -> Option<i64> {
    digits.iter().try_fold(0, |number, digit| digit.is_ascii_digit().then(|| number * 10 + i64::from(digit - b'0')))
}

impl fmt::Display for UnixMs {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match Timestamp::from_millisecond(self.0) {
            Ok(t) => t.fmt(f),
            Err(_) => write!(f, "{} ms", self.0),
        }
    }
}

/// A calendar date as days since 1970-01-01, in whatever zone it was taken.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Day(pub i32);

impl fmt::Display for Day {
    /// `YYYY-MM-DD`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match Timestamp::from_second(i64::from(self.0) * 86_400) {
            Ok(t) => t.to_zoned(TimeZone::UTC).date().fmt(f),
            Err(_) => write!(f, "day {}", self.0),
        }
    }
}

impl Day {
    fn of(date: civil::Date) -> Day {
        let span = civil::date(1970, 1, 1).until(date);
        Day(span.map_or(0, |s| s.get_days()))
    }
}

/// A calendar month.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Month(civil::Date);

impl Month {
    /// `YYYY-MM`.
    pub fn parse(text: &str) -> Option<Month> {
        let plain = text.len() == 7 && text.bytes().all(|b| b.is_ascii_digit() || b == b'-');
        format!("{text}-01").parse().ok().filter(|_| plain).map(Month)
    }

    /// The month that a day lies in.
    pub fn of(day: Day) -> Month {
        let date = civil::date(1970, 1, 1).saturating_add(Span::new().days(day.0.clamp(-4_000_000, 2_900_000)));
        Month(date.first_of_month())
    }

    /// The first instant at which the month is over everywhere: where clocks are last, they are twelve hours behind UTC.
    pub fn over_at(self) -> UnixMs {
        let next = self.0.saturating_add(Span::new().months(1));
        UnixMs(i64::from(Day::of(next).0) * 86_400_000 + 12 * 3_600_000)
    }
}

impl fmt::Display for Month {
    /// `YYYY-MM`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:04}-{:02}", self.0.year(), self.0.month())
    }
}

/// A time zone.
#[derive(Clone, Debug)]
pub struct Zone(TimeZone);

/// What the clocks of a zone show, and until when that stays so.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LocalHour {
    pub day: Day,
    /// Hours since Monday 00:00, 0 to 167.
    pub hour_of_week: u8,
    /// The first instant at which another hour begins or the zone's offset changes.
    pub until: UnixMs,
}

impl Zone {
    pub fn utc() -> Zone {
        Zone(TimeZone::UTC)
    }

    /// An IANA name such as `Europe/Berlin`, from the bundled database.
    pub fn named(name: &str) -> Option<Zone> {
        TimeZone::get(name).ok().map(Zone)
    }

    /// The local day and hour at `now`. Costs about a microsecond: callers keep it until `until`.
    pub fn local_hour(&self, now: UnixMs) -> LocalHour {
        let at = Timestamp::from_millisecond(now.0).unwrap_or(Timestamp::UNIX_EPOCH);
        let local = at.to_zoned(self.0.clone());
        let into_hour_ms =
            i64::from(local.minute()) * 60_000 + i64::from(local.second()) * 1_000 + i64::from(local.millisecond());
        let next_hour = at.as_millisecond() + 3_600_000 - into_hour_ms;
        let next_change = self.0.following(at).next().map_or(i64::MAX, |t| t.timestamp().as_millisecond());
        let hour_of_week = local.weekday().to_monday_zero_offset().unsigned_abs() * 24 + local.hour().unsigned_abs();
        LocalHour { day: Day::of(local.date()), hour_of_week, until: UnixMs(next_hour.min(next_change)) }
    }
}

/// The machine's clock: wall time at start plus monotonic time since, so that a stepped wall clock cannot move
/// deadlines of money within one run.
#[derive(Clone, Copy, Debug)]
pub struct SystemClock {
    wall_at_start: UnixMs,
    started: Instant,
}

impl SystemClock {
    pub fn start() -> SystemClock {
        let since_1970 = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        SystemClock { wall_at_start: UnixMs(since_1970.as_millis() as i64), started: Instant::now() }
    }

    /// The same clock, put forward if it shows less than `at`: time must not fall behind what the log has already seen,
    /// or money set aside now would be given back at once.
    pub fn not_before(self, at: UnixMs) -> SystemClock {
        let behind_ms = at.since(self.now()).max(0);
        SystemClock { wall_at_start: self.wall_at_start.plus(behind_ms), ..self }
    }

    pub fn now(&self) -> UnixMs {
        self.at(Instant::now())
    }

    /// What it shows at `instant`.
    pub fn at(&self, instant: Instant) -> UnixMs {
        self.wall_at_start.plus(instant.saturating_duration_since(self.started).as_millis() as i64)
    }

    /// By how much this clock is ahead of what the machine's shows now: put forward at the start, or that one was set since.
    pub fn ahead_ms(&self) -> i64 {
        self.now().since(SystemClock::start().wall_at_start)
    }
}

/// Nanoseconds of a clock that only goes forward, since it was first asked.
pub fn monotonic_ns() -> u64 {
    ns_at(Instant::now())
}

/// What [`monotonic_ns`] was at `instant`; 0 before it was first asked.
pub fn ns_at(instant: Instant) -> u64 {
    static FIRST: OnceLock<Instant> = OnceLock::new();
    instant.saturating_duration_since(*FIRST.get_or_init(Instant::now)).as_nanos() as u64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_clock_that_was_put_forward_says_by_how_much() {
        let clock = SystemClock::start();
        assert!(clock.ahead_ms().abs() < 60_000);
        let ahead_ms = clock.not_before(clock.now().plus(86_400_000)).ahead_ms();
        assert!((86_340_000..86_460_000).contains(&ahead_ms), "{ahead_ms}");
    }

    #[test]
    fn instants_read_at_once_are_those_of_the_library() {
        let library = |text: &str| text.parse::<Timestamp>().ok().map(|t| UnixMs(t.as_millisecond()));
        let check = |text: &str| {
            let quick = utc(text.as_bytes());
            assert!(quick.is_none() || quick == library(text), "{text}: {quick:?}");
            assert_eq!(UnixMs::parse(text), library(text), "{text}");
            quick.is_some()
        };
        for year in 1890..2210 {
            for (month, day) in (0..=13).flat_map(|month| [0, 1, 9, 28, 29, 30, 31, 32].map(|day| (month, day))) {
                let quick = check(&format!("{year}-{month:02}-{day:02}T23:59:59.999Z"));
                assert!(
                    quick || !(1..29).contains(&day) || !(1900..2200).contains(&year) || !(1..13).contains(&month),
                    "{year}-{month}-{day}"
                );
            }
        }
        for text in [
            "2026-11-23T12:00:00Z",
            "2026-11-23T24:00:00Z",
            "2026-11-23T12:60:00Z",
            "2026-11-23T12:00:60Z",
            "2026-11-23t12:00:00z",
            "2026-11-23T12:00:00.5Z",
            "2026-11-23T12:00:00.1234Z",
            "2026-11-23T12:00:00.12xZ",
            "2026-11-23T12:00:00+02:00",
            "2026-11-23 12:00:00Z",
            "2026-11-23T12:00:00",
            "-026-11-23T12:00:00Z",
            "2026-11-23T1 :00:00Z",
            "2026-11-23T12:00:0é",
            "",
        ] {
            check(text);
        }
    }

    #[test]
    fn local_days_follow_the_zone() {
        // 2026-11-22 is a Sunday. 23:30 UTC is Monday 00:30 in Berlin.
        let now = UnixMs::parse("2026-11-22T23:30:00Z").unwrap();
        let utc = Zone::utc().local_hour(now);
        assert_eq!((utc.day.to_string().as_str(), utc.hour_of_week), ("2026-11-22", 6 * 24 + 23));
        assert_eq!(utc.until, UnixMs::parse("2026-11-23T00:00:00Z").unwrap());
        let berlin = Zone::named("Europe/Berlin").unwrap().local_hour(now);
        assert_eq!((berlin.day.to_string().as_str(), berlin.hour_of_week), ("2026-11-23", 0));
        assert!(Zone::named("Mars/Olympus").is_none());
    }

    #[test]
    fn months_begin_and_end_everywhere() {
        let month = Month::parse("2026-12").unwrap();
        assert_eq!(month.to_string(), "2026-12");
        assert_eq!(month.over_at(), UnixMs::parse("2027-01-01T12:00:00Z").unwrap());
        // 2026-11-30 and the day after.
        assert_eq!([20_787, 20_788].map(|day| Month::of(Day(day)).to_string()), ["2026-11", "2026-12"]);
        for bad in ["2026-13", "2026-1", "2026", "", "2026-10-01", "+026-10", "2026/10", "é026-1"] {
            assert_eq!(Month::parse(bad), None, "{bad}");
        }
        // A day that no campaign can have.
        assert_eq!([i32::MIN, i32::MAX].map(|day| Month::of(Day(day)).to_string()), ["-8982-05", "9909-12"]);
    }

    #[test]
    fn an_hour_ends_where_the_offset_changes() {
        // Lord Howe shifts by half an hour: at 2026-04-04T15:00Z clocks go from 02:00 back to 01:30.
        let zone = Zone::named("Australia/Lord_Howe").unwrap();
        let before = zone.local_hour(UnixMs::parse("2026-04-04T14:59:00Z").unwrap());
        assert_eq!(before.until, UnixMs::parse("2026-04-04T15:00:00Z").unwrap());
    }

    #[test]
    fn half_hour_zones_start_their_hours_at_half_past() {
        let zone = Zone::named("Asia/Kolkata").unwrap();
        let hour = zone.local_hour(UnixMs::parse("2026-11-22T10:00:00Z").unwrap());
        assert_eq!(hour.until, UnixMs::parse("2026-11-22T10:30:00Z").unwrap());
    }
}
