//! First leases, without a log.

use gavel::clock::UnixMs;
use gavel::event::{Event, Offset, Stamped};
use gavel::ledger::Hot;

/// Before that the campaigns get their first leases.
const LEASING_MS: i64 = 60_000;

/// Applies the first events of a start, and whatever follows from them until every campaign has its first lease at `now`.
pub fn settle(hot: &mut Hot, mut events: Vec<Event>, now: UnixMs) {
    events.insert(0, hot.started());
    let (mut offset, mut at) = (0, now.plus(-LEASING_MS));
    // The campaigns, then their leases: a round of the log's thread gives some thousands of them.
    while !events.is_empty() || !hot.all_leased() {
        let mut next = Vec::new();
        for event in events.drain(..) {
            hot.apply(&Stamped { offset: Offset(offset), at, event }, &mut next);
            offset += 1;
        }
        at = at.plus(100);
        hot.tick(at, &mut next);
        events = next;
    }
    // What is reserved at that time has its bucket then.
    hot.tick(now, &mut Vec::new());
    assert!(at < now, "it took {} ms until all had a lease", at.since(now) + LEASING_MS);
}
