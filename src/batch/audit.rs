//! `gavel audit`: the books recomputed from the log alone, and what is to be said of them.

use std::error::Error;

use crate::event::Offset;
use crate::eventlog::{LogReader, ReadOnlyLog};
use crate::ledger::book::CampaignBook;
use crate::ledger::{Books, fold_on, invariants};
use crate::money::Nanos;

/// The books as they were at one event after the other.
pub struct Replay<'a> {
    log: &'a ReadOnlyLog,
    reader: Option<Box<dyn LogReader>>,
    /// All that was touched is dirty.
    pub books: Books,
}

impl Replay<'_> {
    /// From the log's first event on.
    pub fn new(log: &ReadOnlyLog) -> Replay<'_> {
        Replay { log, reader: None, books: Books::default() }
    }

    /// Folds on up to `end`, or the log's own. `progress` gets the events folded and the events in all.
    pub fn fold_to(&mut self, end: Offset, progress: &mut dyn FnMut(u64, u64)) -> Result<(), Box<dyn Error>> {
        let end = end.min(self.log.end());
        while self.books.next < end {
            let reader = match &mut self.reader {
                Some(reader) => reader,
                None => self.reader.insert(self.log.read(self.books.next)?),
            };
            let Some(stamped) = reader.next_event()? else { break };
            fold_on(&mut self.books, &stamped)?;
            if self.books.next.0.is_multiple_of(100_000) {
                progress(self.books.next.0, end.0);
            }
        }
        Ok(())
    }
}

/// What the log's own books break, beyond what late bills and lowered budgets explain; and every overspend that they do
/// explain, with how much of it.
pub fn findings(log: &Books) -> (Vec<String>, Vec<String>) {
    let (mut broken, mut overspends) = (Vec::new(), Vec::new());
    for book in log.campaigns.values() {
        if let Err(what) = invariants::book(book) {
            broken.push(format!("{}: {what}", book.id));
        }
        let mut note =
            |over: Over| if over.is_explained() { &mut overspends } else { &mut broken }.push(over.tell(book));
        if book.overspend() > Nanos::ZERO {
            let of = format!("its budget of {}", book.total);
            note(Over { of, over: book.overspend(), late: book.late, cut: book.over_at_set });
        }
        for (day, d) in book.days.iter().filter(|(day, _)| book.overspend_on(**day) > Nanos::ZERO) {
            let held = book.daily_budgets.on(*day);
            let of = format!("its daily budget of {} on {day}", held.budget.unwrap_or_default());
            note(Over { of, over: book.overspend_on(*day), late: d.late, cut: held.over_at_set });
        }
    }
    broken.sort_unstable();
    overspends.sort_unstable();
    (broken, overspends)
}

/// One overspend and what may explain it.
struct Over {
    of: String,
    over: Nanos,
    /// Booked after its money had gone back.
    late: Nanos,
    /// Promised above the budget when it was cut.
    cut: Nanos,
}

impl Over {
    fn is_explained(&self) -> bool {
        self.over <= self.late + self.cut
    }

    fn tell(&self, book: &CampaignBook) -> String {
        let Over { of, over, .. } = self;
        let late = self.late.min(*over);
        let cut = self.cut.min(*over - late);
        let mut parts = Vec::new();
        for (amount, why) in [
            (late, "by late bills"),
            (cut, "by a budget cut below what was promised"),
            (*over - late - cut, "explained by nothing"),
        ] {
            if amount > Nanos::ZERO {
                parts.push(format!("{amount} {why}"));
            }
        }
        format!("{}: {over} {} above {of}: {}", book.id, book.currency, parts.join(", "))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::{Event, Facts, NoticeKind, Slot, Stamped};
    use crate::ids::{CampaignNo, Epoch, LeaseId};
    use crate::ledger::fold;
    use crate::ledger::fold::tests::{START, facts, notice, set};

    fn findings_of(events: &[(i64, Event)]) -> (Vec<String>, Vec<String>) {
        let mut books = Books::default();
        for (i, (after_ms, event)) in events.iter().enumerate() {
            let stamped = Stamped { offset: Offset(i as u64), at: START.plus(*after_ms), event: event.clone() };
            fold(&mut books, &stamped);
        }
        findings(&books)
    }

    fn bill(after_ms: i64, seq: u32, amount: i64) -> (i64, Event) {
        let daily = Facts { daily: true, reserved: Nanos(amount), ..facts(seq) };
        (after_ms, notice(NoticeKind::Bill, daily, amount))
    }

    fn granted(amount: i64) -> (i64, Event) {
        let lease = LeaseId { epoch: Epoch(1), seq: 1 };
        let slot = Slot::Day(facts(0).day);
        (0, Event::LeaseGranted { campaign: CampaignNo(1), lease, slot, amount: Nanos(amount) })
    }

    const LATE_MS: i64 = 60_000;

    #[test]
    fn an_overspend_says_how_much_of_it_is_allowed_and_why() {
        let (set, cut) = ((0, set(100, Some(50))), (0, set(100, Some(20))));
        let (broken, allowed) = findings_of(&[set.clone(), granted(50), bill(0, 0, 50)]);
        assert!(broken.is_empty() && allowed.is_empty(), "{broken:?} {allowed:?}");

        let (broken, allowed) = findings_of(&[set.clone(), granted(50), bill(0, 0, 40), cut, bill(LATE_MS, 1, 7)]);
        assert_eq!(broken, [""; 0]);
        assert_eq!(
            allowed,
            ["c-1: 0.000000027 USD above its daily budget of 0.00000002 on 2023-11-14: 0.000000007 by late bills, \
              0.00000002 by a budget cut below what was promised"]
        );

        // Granted more than there was.
        let (broken, allowed) = findings_of(&[set, granted(50), granted(50), bill(0, 0, 60)]);
        assert_eq!(allowed, [""; 0]);
        assert_eq!(
            broken,
            [
                "c-1: 0.00000001 USD above its daily budget of 0.00000005 on 2023-11-14: 0.00000001 explained by nothing",
                "c-1: on 2023-11-14 spent and leased 0.0000001 of a daily budget of 0.00000005"
            ]
        );
    }

    #[test]
    fn the_budget_of_another_day_is_not_what_a_day_is_measured_against() {
        let Event::CampaignSet(today) = set(1_000, Some(50)) else { panic!() };
        let tomorrow = |daily: Option<i64>| {
            let day = today.day.map(|day| crate::clock::Day(day.0 + 1));
            Event::CampaignSet(crate::event::CampaignSet { daily: daily.map(Nanos), day, ..today.clone() })
        };
        for later in [Some(5), Some(5_000), None] {
            let events = |spent| {
                [(0, Event::CampaignSet(today.clone())), granted(spent), bill(0, 0, spent), (0, tomorrow(later))]
            };
            let (broken, allowed) = findings_of(&events(50));
            assert!(broken.is_empty() && allowed.is_empty(), "{later:?}: {broken:?} {allowed:?}");
            let (broken, _) = findings_of(&events(51));
            assert_eq!(broken.len(), 2, "{later:?}: {broken:?}");
        }
    }
}
