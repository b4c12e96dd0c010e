//! Waking on time. The runtime's own timers have a resolution of 1 ms, which would go into every latency; spinning
//! would take a core from the server. A timerfd wakes within microseconds and costs nothing while it waits.

use std::io;
use std::os::fd::OwnedFd;
use std::time::Duration;

use rustix::time::{
    ClockId, Itimerspec, TimerfdClockId, TimerfdFlags, TimerfdTimerFlags, Timespec, clock_gettime, timerfd_create,
    timerfd_settime,
};
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;

/// Waits shorter than this are spent yielding to the connections: arming a timer would take as long.
const YIELD_BELOW: Duration = Duration::from_micros(15);

pub struct Timer(AsyncFd<OwnedFd>);

impl Timer {
    pub fn new() -> io::Result<Timer> {
        let fd = timerfd_create(TimerfdClockId::Monotonic, TimerfdFlags::NONBLOCK | TimerfdFlags::CLOEXEC)?;
        // SAFETY: an OwnedFd gives the same open descriptor for as long as it lives.
        let fd = unsafe { AsyncFd::register_with_interest(fd, Interest::READABLE) };
        Ok(Timer(fd.map_err(io::Error::other)?))
    }

    /// Sleeps for about `time`; it may return early, so callers look at the clock.
    pub async fn sleep(&self, time: Duration) -> io::Result<()> {
        if time < YIELD_BELOW {
            tokio::task::yield_now().await;
            return Ok(());
        }
        let zero = Timespec { tv_sec: 0, tv_nsec: 0 };
        let wait = Timespec { tv_sec: time.as_secs() as i64, tv_nsec: i64::from(time.subsec_nanos()) };
        timerfd_settime(&self.0, TimerfdTimerFlags::empty(), &Itimerspec { it_interval: zero, it_value: wait })?;
        // The count is never read: arming anew resets it, and each expiry makes a new edge.
        self.0.readable().await?.clear_ready();
        Ok(())
    }
}

/// Processor time that the calling thread has used, in nanoseconds.
pub fn thread_cpu_ns() -> u64 {
    let time = clock_gettime(ClockId::ThreadCPUTime);
    time.tv_sec as u64 * 1_000_000_000 + time.tv_nsec as u64
}
