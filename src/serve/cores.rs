//! Which core a worker stays on, where that is asked for.

use std::io;

/// Binds the calling thread, and those that it starts, to one of the cores that it may run on: worker after worker the next
/// one, and from the first again when there are no more.
#[cfg(target_os = "linux")]
pub fn pin(worker: usize) -> io::Result<()> {
    use rustix::thread::{CpuSet, sched_getaffinity, sched_setaffinity};

    let allowed = sched_getaffinity(None)?;
    let mut cores = (0..CpuSet::MAX_CPU).filter(|core| allowed.is_set(*core));
    let core = cores.nth(worker % (allowed.count() as usize).max(1));
    let mut one = CpuSet::new();
    one.set(core.ok_or(io::ErrorKind::NotFound)?);
    Ok(sched_setaffinity(None, &one)?)
}

#[cfg(not(target_os = "linux"))]
pub fn pin(_: usize) -> io::Result<()> {
    Err(io::ErrorKind::Unsupported.into())
}
