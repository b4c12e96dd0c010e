//! Waking on time. The runtime's own timers have a resolution of 1 ms, which would put up to 1 ms of the
//! generator's lateness into every latency. Spinning would be exact but takes a core from the server under test. On
//! Linux a timerfd wakes within microseconds and costs nothing while it waits; elsewhere the last millisecond is spun.

use std::io;
use std::time::Duration;

#[cfg(target_os = "linux")]
use rustix::time::{
    Itimerspec, TimerfdClockId, TimerfdFlags, TimerfdTimerFlags, Timespec, timerfd_create, timerfd_settime,
};

/// Waits shorter than this are spent yielding to the connections: arming a timer would take as long.
const YIELD_BELOW: Duration = Duration::from_micros(15);

#[cfg(target_os = "linux")]
pub struct Timer {
    fd: tokio::io::unix::AsyncFd<std::os::fd::OwnedFd>,
}

#[cfg(target_os = "linux")]
impl Timer {
    /// Must be called inside a runtime.
    pub fn new() -> io::Result<Timer> {
        let fd = timerfd_create(TimerfdClockId::Monotonic, TimerfdFlags::NONBLOCK | TimerfdFlags::CLOEXEC)?;
        // SAFETY: an OwnedFd gives the same open descriptor for as long as it lives.
        let fd = unsafe { tokio::io::unix::AsyncFd::register_with_interest(fd, tokio::io::Interest::READABLE) };
        Ok(Timer { fd: fd.map_err(io::Error::other)? })
    }

    /// Sleeps for about `time`. It may return early (an older deadline of this timer), so callers look at the clock.
    pub async fn sleep(&self, time: Duration) -> io::Result<()> {
        if time < YIELD_BELOW {
            tokio::task::yield_now().await;
            return Ok(());
        }
        let once = Timespec { tv_sec: 0, tv_nsec: 0 };
        let value = Timespec { tv_sec: time.as_secs().min(3600) as _, tv_nsec: time.subsec_nanos().into() };
        timerfd_settime(
            self.fd.get_ref(),
            TimerfdTimerFlags::empty(),
            &Itimerspec { it_interval: once, it_value: value },
        )?;
        // The count is never read: arming anew resets it, and each expiry makes a new edge.
        self.fd.readable().await?.clear_ready();
        Ok(())
    }
}

#[cfg(not(target_os = "linux"))]
pub struct Timer;

#[cfg(not(target_os = "linux"))]
impl Timer {
    pub fn new() -> io::Result<Timer> {
        Ok(Timer)
    }

    pub async fn sleep(&self, time: Duration) -> io::Result<()> {
        match time.checked_sub(Duration::from_millis(2)) {
            Some(coarse) => tokio::time::sleep(coarse).await,
            None => tokio::task::yield_now().await,
        }
        Ok(())
    }
}

/// Processor time that the calling thread has used, in nanoseconds.
pub fn thread_cpu_ns() -> u64 {
    let time = rustix::time::clock_gettime(rustix::time::ClockId::ThreadCPUTime);
    time.tv_sec as u64 * 1_000_000_000 + time.tv_nsec as u64
}
