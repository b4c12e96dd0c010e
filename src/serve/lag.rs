//! How long what is ready waits for its turn on a worker.
//!
//! A request that has come is only seen when the worker gets to it. With more requests than it can answer, and many
//! connections to wait on, that is when the time goes; nothing in the request tells. So a timer is watched for how
//! late it comes, which waits in the same queue; and what is seen when it is overdue by much has waited, too.

use std::rc::Rc;
use std::time::{Duration, Instant};

use tokio::time::{MissedTickBehavior, interval};

use super::traffic::Worker;

const BEAT: Duration = Duration::from_millis(10);
/// Below it, it is the machine's affair: what `network_ms` leaves covers it.
const FLOOR_MS: u32 = 5;
/// The least of so many beats counts: one that was late for another reason is no overload.
const BEATS: usize = 4;
/// But what is seen so long after a beat should have come may have waited all that time.
const STALL: Duration = Duration::from_millis(50);

/// Keeps [`Worker::lag_ms`] up to date.
pub async fn measure(worker: Rc<Worker>) {
    let mut beat = interval(BEAT);
    beat.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut late_ms = [0; BEATS];
    for i in (0..BEATS).cycle() {
        let due = beat.tick().await;
        late_ms[i] = due.elapsed().as_millis() as u32;
        worker.late_ms.set(late_ms[i]);
        worker.turn.set(Duration::ZERO);
        worker.lag_ms.set(lag_ms(&late_ms));
        worker.beat_due.set(Some(Instant::now() + BEAT));
    }
}

/// Whether a request that may still take so long had better go without a bid: the worker's last turn came late, and bids have taken
/// up an eighth of that time in this one already. All of them answered late would be bids for nobody. So each turn of the
/// worker bids for as long, and the rest of it is quick.
pub fn is_behind(worker: &Worker, left_ms: i64) -> bool {
    goes_without(worker.late_ms.get(), worker.turn.get(), left_ms)
}

fn goes_without(late_ms: u32, turn: Duration, left_ms: i64) -> bool {
    late_ms >= FLOOR_MS && turn.as_millis() as i64 >= (left_ms / 8).max(FLOOR_MS.into())
}

/// Counts a decision that began then, where that may matter.
pub fn count(worker: &Worker, began: Instant) {
    if worker.late_ms.get() >= FLOOR_MS {
        worker.turn.set(worker.turn.get() + began.elapsed());
    }
}

/// What a request may have waited for its turn that was seen at `seen`.
pub fn waited_ms(worker: &Worker, seen: Instant) -> u32 {
    worker.lag_ms.get().max(stall_ms(worker.beat_due.get(), seen))
}

fn stall_ms(due: Option<Instant>, seen: Instant) -> u32 {
    let late = due.map_or(Duration::ZERO, |due| seen.saturating_duration_since(due));
    if late >= STALL { late.as_millis() as u32 } else { 0 }
}

fn lag_ms(late_ms: &[u32; BEATS]) -> u32 {
    late_ms.iter().copied().min().filter(|ms| *ms >= FLOOR_MS).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_lasts_counts() {
        assert_eq!(lag_ms(&[0, 0, 0, 0]), 0);
        assert_eq!(lag_ms(&[90, 90, 0, 90]), 0);
        assert_eq!(lag_ms(&[90, 5, 70, 80]), 5);
        assert_eq!(lag_ms(&[90, 4, 70, 80]), 0);
        assert_eq!(lag_ms(&[90, 60, 70, 80]), 60);
    }

    #[test]
    fn a_worker_that_does_not_get_done_bids_for_an_eighth_of_the_time() {
        let goes_without = |late_ms, turn_ms, left_ms| goes_without(late_ms, Duration::from_millis(turn_ms), left_ms);
        assert_eq!([goes_without(5, 10, 90), goes_without(5, 11, 90)], [false, true]);
        // One stall alone is left to each request's own time, and who waits for long is waited for.
        assert!(!goes_without(4, 90, 90) && !goes_without(500, 500, 60_000));
        assert_eq!([goes_without(90, 4, 1), goes_without(90, 5, 1)], [false, true]);
    }

    #[test]
    fn what_is_seen_after_a_stall_has_waited() {
        let now = Instant::now();
        let due = |ago_ms| Some(now - Duration::from_millis(ago_ms));
        assert_eq!([stall_ms(None, now), stall_ms(due(49), now), stall_ms(Some(now + BEAT), now)], [0, 0, 0]);
        assert_eq!(stall_ms(due(3_000), now), 3_000);
    }
}
