//! The daily budgets a campaign has had, and from which day on each held: what a day's spend is measured against,
//! whatever the daily budget is by now.

use std::collections::BTreeMap;

use super::book::explained;
use crate::clock::Day;
use crate::money::Nanos;

/// A daily budget and what it came upon.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct DailyBudget {
    /// `None` where there is none.
    pub budget: Option<Nanos>,
    /// How much of what is spent and leased for the day above it, late bills aside, was promised before it was cut.
    pub over_at_set: Nanos,
}

/// One entry for each day that a daily budget was set on; each holds until the next. Empty when there never was one.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct DailyBudgets(BTreeMap<Day, DailyBudget>);

impl DailyBudgets {
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub fn iter(&self) -> impl Iterator<Item = (Day, DailyBudget)> + '_ {
        self.0.iter().map(|(day, budget)| (*day, *budget))
    }

    /// Puts back an entry as [`DailyBudgets::iter`] gave it.
    pub fn restore(&mut self, day: Day, budget: DailyBudget) {
        self.0.insert(day, budget);
    }

    /// What held on `day`.
    pub fn on(&self, day: Day) -> DailyBudget {
        match self.0.range(..=day).next_back() {
            Some((set_on, budget)) if *set_on == day => *budget,
            Some((_, DailyBudget { budget, .. })) => DailyBudget { budget: *budget, over_at_set: Nanos::ZERO },
            None => DailyBudget::default(),
        }
    }

    /// From `day` on the daily budget is `budget`; what was `promised` by then, and is above it for that, is taken note of.
    /// `known` are days with money, which may lie after `day` when a time zone was changed. True when this is something new.
    pub fn set(
        &mut self,
        day: Day,
        budget: Option<Nanos>,
        known: impl Iterator<Item = Day>,
        promised: impl Fn(Day) -> Nanos,
    ) -> bool {
        let same = self.on(day).budget == budget && self.0.range(day..).all(|(_, later)| later.budget == budget);
        if same {
            return false;
        }
        let later = self.0.range(day..).map(|(day, _)| *day).chain(known.filter(|known| *known > day));
        for (day, held) in later.chain([day]).map(|day| (day, self.on(day))).collect::<Vec<_>>() {
            let over = |budget| explained(held.over_at_set, held.budget, budget, promised(day));
            self.0.insert(day, DailyBudget { budget, over_at_set: budget.map_or(Nanos::ZERO, over) });
        }
        true
    }

    /// Less is `promised` than was: no cut needs to explain more of it than that. True when one did.
    pub fn lower(&mut self, promised: impl Fn(Day) -> Nanos) -> bool {
        let mut lowered = false;
        for (day, held) in self.0.iter_mut().filter(|(_, held)| held.over_at_set > Nanos::ZERO) {
            let over = held.budget.map_or(Nanos::ZERO, |b| explained(held.over_at_set, Some(b), b, promised(*day)));
            lowered |= over != held.over_at_set;
            held.over_at_set = over;
        }
        lowered
    }

    /// Nothing is known any more of what held from when.
    pub fn clear(&mut self) -> bool {
        !std::mem::take(self).is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn set(budgets: &mut DailyBudgets, day: i32, budget: Option<i64>, promised: &[(i32, i64)]) -> bool {
        let on = |day: Day| promised.iter().find(|(known, _)| *known == day.0).map_or(0, |(_, nanos)| *nanos);
        let known = promised.iter().map(|(day, _)| Day(*day));
        budgets.set(Day(day), budget.map(Nanos), known, |day| Nanos(on(day)))
    }

    fn held(budgets: &DailyBudgets, day: i32) -> (Option<i64>, i64) {
        let DailyBudget { budget, over_at_set } = budgets.on(Day(day));
        (budget.map(|nanos| nanos.0), over_at_set.0)
    }

    #[test]
    fn each_holds_from_its_day_until_the_next() {
        let mut budgets = DailyBudgets::default();
        assert!(!set(&mut budgets, 5, None, &[]) && budgets.is_empty());
        assert!(set(&mut budgets, 5, Some(10), &[(5, 12)]));
        assert!(!set(&mut budgets, 7, Some(10), &[(7, 99)]), "the same as before");
        assert!(set(&mut budgets, 9, Some(4), &[(8, 10), (9, 3)]));
        assert!(set(&mut budgets, 9, Some(2), &[(8, 10), (9, 3)]));
        assert!(set(&mut budgets, 11, None, &[(11, 1)]));
        for (day, expected) in [
            (4, (None, 0)),
            (5, (Some(10), 2)),
            (6, (Some(10), 0)),
            (8, (Some(10), 0)),
            (9, (Some(2), 1)),
            (10, (Some(2), 0)),
            (11, (None, 0)),
        ] {
            assert_eq!(held(&budgets, day), expected, "{day}");
        }
        assert!(budgets.clear() && !budgets.clear());
    }

    #[test]
    fn only_a_cut_explains_what_is_above() {
        let mut budgets = DailyBudgets::default();
        set(&mut budgets, 5, Some(10), &[]);
        // Forty above what held: a raise explains none of it, a cut what it took.
        set(&mut budgets, 5, Some(12), &[(5, 50)]);
        assert_eq!(held(&budgets, 5), (Some(12), 0));
        set(&mut budgets, 6, Some(9), &[(6, 50)]);
        assert_eq!(held(&budgets, 6), (Some(9), 3));
        set(&mut budgets, 6, Some(11), &[(6, 50)]);
        assert_eq!(held(&budgets, 6), (Some(11), 1));
    }

    #[test]
    fn days_that_a_time_zone_put_ahead_are_measured_anew() {
        let mut budgets = DailyBudgets::default();
        set(&mut budgets, 5, Some(10), &[]);
        set(&mut budgets, 7, Some(20), &[]);
        // It is the sixth again.
        assert!(set(&mut budgets, 6, Some(10), &[(6, 9), (7, 15), (8, 11)]));
        assert_eq!(
            [5, 6, 7, 8, 9].map(|day| held(&budgets, day)),
            [(Some(10), 0), (Some(10), 0), (Some(10), 5), (Some(10), 1), (Some(10), 0)]
        );
    }
}
