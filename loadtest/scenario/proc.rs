//! What a process uses, from /proc: processor time, memory and open files, once a second.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

/// Linux counts processor time of a process in hundredths of a second, whatever its own clock does.
const TICK_MS: u64 = 10;
const LOOK: Duration = Duration::from_millis(20);
/// An hour and what comes after the last answer; the curves end there.
const SAMPLES_LIMIT: usize = 3700;

/// Since the process began.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Sample {
    pub user_ms: u64,
    pub system_ms: u64,
    /// Resident memory, now.
    pub rss_kib: u64,
    /// Open now, connections among them.
    pub files: u64,
}

/// None where there is no such process, or no /proc.
pub fn sample(pid: u32) -> Option<Sample> {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    let files = std::fs::read_dir(format!("/proc/{pid}/fd")).ok()?.count() as u64;
    Some(Sample { files, ..parse(&stat, &status)? })
}

fn parse(stat: &str, status: &str) -> Option<Sample> {
    // The name stands in parentheses and may hold anything; the state, field 3, follows the last one.
    let mut fields = stat.rsplit_once(')')?.1.split_ascii_whitespace().skip(11);
    let user = fields.next()?.parse::<u64>().ok()?;
    let system = fields.next()?.parse::<u64>().ok()?;
    let rss = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
    let rss_kib = rss.trim().strip_suffix("kB")?.trim().parse().ok()?;
    Some(Sample { user_ms: user * TICK_MS, system_ms: system * TICK_MS, rss_kib, files: 0 })
}

/// Samples a process at the begin of each second until it is asked for them, or dropped.
pub struct Sampler {
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<Vec<Sample>>>,
}

impl Sampler {
    pub fn start(pid: u32, start: Instant) -> Sampler {
        let stop = Arc::new(AtomicBool::new(false));
        let stopped = Arc::clone(&stop);
        let watch = move || {
            let mut samples = Vec::new();
            let mut next = start;
            loop {
                let over = stopped.load(Relaxed) || samples.len() >= SAMPLES_LIMIT;
                if over || Instant::now() >= next {
                    samples.extend(sample(pid));
                    next += Duration::from_secs(1);
                }
                if over {
                    return samples;
                }
                std::thread::sleep(next.saturating_duration_since(Instant::now()).min(LOOK));
            }
        };
        let thread = std::thread::Builder::new().name("samples".to_owned()).spawn(watch).ok();
        Sampler { stop, thread }
    }

    /// The first at the start, one for each second since, the last now.
    pub fn end(mut self) -> Vec<Sample> {
        self.stop.store(true, Relaxed);
        self.thread.take().and_then(|thread| thread.join().ok()).unwrap_or_default()
    }
}

impl Drop for Sampler {
    fn drop(&mut self) {
        self.stop.store(true, Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_what_the_kernel_writes() {
        let stat = "4242 (a ) b) S 1 4242 4242 0 -1 4194560 5000 0 0 0 123 45 0 0 20 0 9 0 100 1000 200 1844";
        let status = "Name:\ta ) b\nVmPeak:\t  9 kB\nVmRSS:\t   20480 kB\nThreads:\t9\n";
        assert_eq!(parse(stat, status), Some(Sample { user_ms: 1230, system_ms: 450, rss_kib: 20480, files: 0 }));
        assert_eq!(parse("4242 (a", status), None);
        assert_eq!(parse(stat, "VmPeak:\t 9 kB\n"), None);
    }

    #[test]
    fn this_process_uses_memory_and_files() {
        let files = || sample(std::process::id()).filter(|sample| sample.rss_kib > 100).map(|sample| sample.files);
        let before = files().expect("a sample");
        let opened: Vec<_> = (0..100).map(|_| std::fs::File::open("/dev/null").expect("opens")).collect();
        // Other tests open and close some meanwhile.
        assert!(files().is_some_and(|with| with >= before + 50));
        drop(opened);
    }
}
