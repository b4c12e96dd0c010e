//! How long what is ready waits for its turn on a worker.
//!
//! A request that has come is only seen when the worker gets to it. With more requests than it can answer, and many
//! connections to wait on, that is when the time goes; nothing in the request tells. So a timer is watched for how
//! late it comes, which waits in the same queue.

use std::rc::Rc;
use std::time::Duration;

use tokio::time::{MissedTickBehavior, interval};

use super::traffic::Worker;

const BEAT: Duration = Duration::from_millis(10);
/// Below it, it is the machine's affair: what `network_ms` leaves covers it.
const FLOOR_MS: u32 = 5;
/// The least of so many beats counts: one that was late for another reason is no overload.
const BEATS: usize = 4;

/// Keeps [`Worker::lag_ms`] up to date.
pub async fn measure(worker: Rc<Worker>) {
    let mut beat = interval(BEAT);
    beat.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut late_ms = [0; BEATS];
    for i in (0..BEATS).cycle() {
        let due = beat.tick().await;
        late_ms[i] = due.elapsed().as_millis() as u32;
        worker.lag_ms.set(lag_ms(&late_ms));
    }
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
}
