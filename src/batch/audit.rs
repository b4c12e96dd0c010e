//! `gavel audit`: the books recomputed from the log alone, against what is stored and what a running server says.

use std::collections::BTreeSet;

use crate::event::Offset;
use crate::eventlog::{ReadError, ReadOnlyLog};
use crate::ledger::fold::CampaignBook;
use crate::ledger::{Books, fold, invariants};
use crate::money::Nanos;

/// Folds the log from its first event up to `end`. `progress` gets the events folded and the events in all.
pub fn recompute(log: &ReadOnlyLog, end: Offset, progress: &mut dyn FnMut(u64, u64)) -> Result<Books, ReadError> {
    let mut books = Books::default();
    if end == Offset(0) {
        return Ok(books);
    }
    let mut reader = log.read(Offset(0))?;
    while books.next < end {
        let Some(stamped) = reader.next_event()? else { break };
        fold(&mut books, &stamped);
        if books.next.0.is_multiple_of(100_000) {
            progress(books.next.0, end.0);
        }
    }
    drop(books.take_dirty());
    Ok(books)
}

/// Every difference between what the log says and what `stored` says, both at the same event; a line each.
pub fn differences(log: &Books, stored: &Books) -> Vec<String> {
    let mut lines = Vec::new();
    if log.next != stored.next {
        lines.push(format!("the log ends at event {}, the books are at {}", log.next.0, stored.next.0));
    }
    if log.epoch != stored.epoch {
        lines.push(format!("start: {} by the log, {} in the books", log.epoch.0, stored.epoch.0));
    }
    if log.traffic != stored.traffic {
        lines.push(format!("traffic by hour: {:?} by the log, {:?} in the books", log.traffic, stored.traffic));
    }
    let numbers: BTreeSet<_> = log.campaigns.keys().chain(stored.campaigns.keys()).collect();
    for no in numbers {
        match (log.campaigns.get(no), stored.campaigns.get(no)) {
            (Some(by_log), Some(in_books)) => campaign(by_log, in_books, &mut lines),
            (Some(by_log), None) => lines.push(format!("{}: missing in the books", by_log.id)),
            (None, Some(in_books)) => lines.push(format!("{}: in the books, but not in the log", in_books.id)),
            (None, None) => {}
        }
    }
    // Bits are dropped with their tokens, so the log may know more of them than the books; never the other way.
    for (id, by_log, in_books) in log.bits.differing(&stored.bits) {
        lines.push(format!("reservation {id}: {by_log:?} by the log, {in_books:?} in the books"));
    }
    lines
}

fn campaign(by_log: &CampaignBook, in_books: &CampaignBook, lines: &mut Vec<String>) {
    let id = &by_log.id;
    let mut tell = |what: &str, by_log: String, in_books: String| {
        if by_log != in_books {
            lines.push(format!("{id}: {what}: {by_log} by the log, {in_books} in the books"));
        }
    };
    let daily = |d: Option<Nanos>| d.map_or("none".to_owned(), |n| n.to_string());
    tell("id", by_log.id.clone(), in_books.id.clone());
    tell("currency", by_log.currency.to_string(), in_books.currency.to_string());
    tell("budget", by_log.total.to_string(), in_books.total.to_string());
    tell("daily budget", daily(by_log.daily), daily(in_books.daily));
    tell("deleted", by_log.deleted.to_string(), in_books.deleted.to_string());
    tell("campaign JSON", by_log.json.clone().unwrap_or_default(), in_books.json.clone().unwrap_or_default());
    tell("spent", by_log.spent.to_string(), in_books.spent.to_string());
    tell("late", by_log.late.to_string(), in_books.late.to_string());
    tell("above budget when set", by_log.over_at_set.to_string(), in_books.over_at_set.to_string());
    tell("bids", by_log.bids.to_string(), in_books.bids.to_string());
    tell("wins", by_log.wins.to_string(), in_books.wins.to_string());
    tell("billed", by_log.billed.to_string(), in_books.billed.to_string());
    for day in by_log.days.keys().chain(in_books.days.keys()).collect::<BTreeSet<_>>() {
        let (a, b) =
            (by_log.days.get(day).copied().unwrap_or_default(), in_books.days.get(day).copied().unwrap_or_default());
        tell(&format!("{day} spent"), a.spent.to_string(), b.spent.to_string());
        tell(&format!("{day} late"), a.late.to_string(), b.late.to_string());
        tell(&format!("{day} billed"), a.billed.to_string(), b.billed.to_string());
    }
    for key in by_log.leases.keys().chain(in_books.leases.keys()).collect::<BTreeSet<_>>() {
        let of = |book: &CampaignBook| book.leases.get(key).copied().unwrap_or_default().to_string();
        tell(&format!("lease of start {} for {:?}", key.0.0, key.1), of(by_log), of(in_books));
    }
}

/// What the log's own books break, beyond what late bills and lowered budgets explain; and every overspend, named.
pub fn findings(log: &Books) -> (Vec<String>, Vec<String>) {
    let (mut broken, mut overspends) = (Vec::new(), Vec::new());
    for book in log.campaigns.values() {
        if let Err(what) = invariants::book(book) {
            broken.push(format!("{}: {what}", book.id));
        }
        if book.overspend() > Nanos::ZERO {
            overspends.push(format!(
                "{}: {} {} above its budget ({} booked late, {} promised above a lowered budget)",
                book.id,
                book.overspend(),
                book.currency,
                book.late,
                book.over_at_set
            ));
        }
    }
    broken.sort_unstable();
    overspends.sort_unstable();
    (broken, overspends)
}
