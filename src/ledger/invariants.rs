//! What must always hold, written once; used by debug builds, property tests and the simulation.

use super::book::CampaignBook;
use super::fold::Books;
use crate::event::Slot;
use crate::money::Nanos;

/// `available + reserved + spent == leased`, where money on its way back is still leased. The values are read one
/// after the other while bids go on, `reserved` before `available`: a bid in between can only make the sum smaller.
pub fn slot(leased: Nanos, reserved: Nanos, available: Nanos, spent: Nanos, returning: Nanos) {
    debug_assert!(
        slot_holds(leased, reserved, available, spent, returning),
        "leased {leased} < available {available} + reserved {reserved} + spent {spent} + returning {returning}"
    );
}

fn slot_holds(leased: Nanos, reserved: Nanos, available: Nanos, spent: Nanos, returning: Nanos) -> bool {
    available + reserved + spent + returning <= leased
}

/// What is wrong with a campaign's book, or nothing. `spent + outstanding leases <= budget`, in all and on each day,
/// except for late bills and for a budget that was cut below what was promised by then.
pub fn book(book: &CampaignBook) -> Result<(), String> {
    let promised = book.spent + book.outstanding();
    if promised > book.total + book.late + book.over_at_set {
        return Err(format!("spent and leased {promised} of a budget of {}", book.total));
    }
    for (day, d) in &book.days {
        let held = book.daily_budgets.on(*day);
        let promised = d.spent + book.leases_of(Slot::Day(*day));
        if let Some(budget) = held.budget.filter(|budget| promised > *budget + d.late + held.over_at_set) {
            return Err(format!("on {day} spent and leased {promised} of a daily budget of {budget}"));
        }
    }
    let (mut spent, mut late, mut billed) = (Nanos::ZERO, Nanos::ZERO, 0);
    for day in book.days.values() {
        spent += day.spent;
        late += day.late;
        billed += day.billed;
    }
    if (spent, late, billed) != (book.spent, book.late, book.billed) {
        return Err(format!("days sum to {spent}, {late} late, {billed} billed"));
    }
    if book.late > book.spent || book.leases.values().any(|n| n.0 <= 0) || book.wins < book.billed {
        return Err("late above spent, an empty lease, or billed without a win".into());
    }
    Ok(())
}

/// Totals only grow from `before` to `after`.
pub fn only_grows(before: &Books, after: &Books) -> Result<(), String> {
    for (campaign, old) in &before.campaigns {
        let grown = after.campaigns.get(campaign).is_some_and(|new| {
            new.spent >= old.spent && new.late >= old.late && new.billed >= old.billed && new.bids >= old.bids
        });
        if !grown {
            return Err(format!("campaign {} shrank", old.id));
        }
    }
    if after.next < before.next { Err("the books went back".into()) } else { Ok(()) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::Day;
    use crate::event::Event;
    use crate::ids::Epoch;
    use crate::ledger::book::DayBook;
    use crate::ledger::daily::DailyBudget;
    use crate::ledger::fold::tests::{facts, set};

    #[test]
    fn a_day_above_what_held_for_it_is_caught() {
        let Event::CampaignSet(set) = set(1_000, Some(50)) else { panic!() };
        let mut sound = CampaignBook::new(&set);
        let day = facts(0).day;
        sound.daily_budgets.restore(day, DailyBudget { budget: Some(Nanos(50)), over_at_set: Nanos(5) });
        (sound.spent, sound.late, sound.wins, sound.billed) = (Nanos(50), Nanos(7), 1, 1);
        sound.days.insert(day, DayBook { spent: Nanos(50), late: Nanos(7), billed: 1 });
        sound.leases.insert((Epoch(1), Slot::Day(day)), Nanos(12));
        assert_eq!(book(&sound), Ok(()));
        let mut broken = sound.clone();
        broken.leases.insert((Epoch(2), Slot::Day(day)), Nanos(1));
        assert!(book(&broken).unwrap_err().contains("2023-11-14"));
        // Another day's daily budget is none of its business.
        sound.daily_budgets.restore(Day(day.0 + 1), DailyBudget { budget: Some(Nanos(1)), over_at_set: Nanos(0) });
        assert_eq!(book(&sound), Ok(()));
    }

    #[test]
    fn a_slot_with_more_money_than_was_leased_is_caught() {
        assert!(slot_holds(Nanos(10), Nanos(3), Nanos(4), Nanos(3), Nanos(0)));
        assert!(!slot_holds(Nanos(10), Nanos(3), Nanos(4), Nanos(3), Nanos(1)));
    }
}
