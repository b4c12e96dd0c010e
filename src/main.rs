//! The `gavel` binary: see `cli` for what it does and `app` for how it is put together.

use std::process::ExitCode;

/// Faster than the system's for many small, short-lived allocations on several threads.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    gavel::cli::run()
}
