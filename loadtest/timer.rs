//! Waking on time. The runtime's own timers have a resolution of 1 ms, which would put up to 1 ms of the
//! generator's lateness into every latency. Spinning would be exact but takes a core from the server under test. On
//! Linux a timerfd wakes within microseconds and costs nothing while it waits; elsewhere the last millisecond is spun.

use std::io;
use std::time::Duration;

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
        use std::os::fd::{FromRawFd, OwnedFd};
        // SAFETY: no pointers are passed; the result is checked before it is used.
        let raw = unsafe { libc::timerfd_create(libc::CLOCK_MONOTONIC, libc::TFD_NONBLOCK | libc::TFD_CLOEXEC) };
        if raw < 0 {
            return Err(io::Error::last_os_error());
        }
        // SAFETY: `raw` was just created and nothing else owns it.
        let owned = unsafe { OwnedFd::from_raw_fd(raw) };
        // SAFETY: an OwnedFd gives the same open descriptor for as long as it lives.
        let fd = unsafe { tokio::io::unix::AsyncFd::register_with_interest(owned, tokio::io::Interest::READABLE) };
        Ok(Timer { fd: fd.map_err(io::Error::other)? })
    }

    /// Sleeps for about `time`. It may return early (an older deadline of this timer), so callers look at the clock.
    pub async fn sleep(&self, time: Duration) -> io::Result<()> {
        use std::os::fd::AsRawFd;
        if time < YIELD_BELOW {
            tokio::task::yield_now().await;
            return Ok(());
        }
        let spec = libc::itimerspec {
            it_interval: libc::timespec { tv_sec: 0, tv_nsec: 0 },
            it_value: libc::timespec {
                tv_sec: time.as_secs().min(3600) as libc::time_t,
                tv_nsec: time.subsec_nanos() as libc::c_long,
            },
        };
        // SAFETY: the descriptor is open, `spec` is a valid itimerspec, and the old value is not asked for.
        let set = unsafe { libc::timerfd_settime(self.fd.as_raw_fd(), 0, &spec, std::ptr::null_mut()) };
        if set < 0 {
            return Err(io::Error::last_os_error());
        }
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

/// Processor time that the calling thread has used, in nanoseconds; 0 where the system does not tell.
pub fn thread_cpu_ns() -> u64 {
    let mut time = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: `time` is valid for the call to write to.
    if unsafe { libc::clock_gettime(libc::CLOCK_THREAD_CPUTIME_ID, &mut time) } != 0 {
        return 0;
    }
    time.tv_sec as u64 * 1_000_000_000 + time.tv_nsec as u64
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Instant;

    #[tokio::test(flavor = "current_thread")]
    async fn sleeps_far_finer_than_a_millisecond() {
        let timer = Timer::new().expect("timer");
        let mut overshoots: Vec<Duration> = Vec::new();
        for _ in 0..50 {
            let (start, wanted) = (Instant::now(), Duration::from_micros(200));
            while start.elapsed() < wanted {
                timer.sleep(wanted.saturating_sub(start.elapsed())).await.expect("sleep");
            }
            overshoots.push(start.elapsed() - wanted);
        }
        overshoots.sort_unstable();
        // The lower quartile, since a busy machine may delay many of them.
        assert!(overshoots[12] < Duration::from_micros(600), "{overshoots:?}");
    }
}
