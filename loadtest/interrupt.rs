//! Ctrl-C, and for runs that have started a server SIGTERM: the first asks for an end with a report, the second for one at once.

use std::sync::OnceLock;
use std::sync::atomic::{AtomicU32, Ordering::Relaxed};
use std::time::Duration;
use tokio::signal::unix::{Signal, SignalKind, signal};

static COUNT: AtomicU32 = AtomicU32::new(0);
static WATCHED: OnceLock<Result<(), String>> = OnceLock::new();

/// Counts interrupts from now on; without it they would simply end the process.
pub fn watch(also_term: bool) -> Result<(), String> {
    WATCHED.get_or_init(|| start(also_term).map_err(|error| format!("cannot wait for Ctrl-C: {error}"))).clone()
}

fn start(also_term: bool) -> std::io::Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let (ready, is_ready) = std::sync::mpsc::channel();
    let count = move || {
        runtime.block_on(async {
            // Once it is listened for, SIGTERM ends nothing by itself any more.
            let mut term = also_term.then(|| signal(SignalKind::terminate()).ok()).flatten();
            let mut interrupts = signal(SignalKind::interrupt()).ok();
            let _ = ready.send(());
            loop {
                let received = tokio::select! {
                    Some(()) = next(&mut interrupts) => true,
                    Some(()) = next(&mut term) => true,
                    else => false,
                };
                if !received {
                    return;
                }
                COUNT.fetch_add(1, Relaxed);
            }
        });
    };
    std::thread::Builder::new().name("interrupts".to_owned()).spawn(count)?;
    let _ = is_ready.recv();
    Ok(())
}

async fn next(signals: &mut Option<Signal>) -> Option<()> {
    signals.as_mut()?.recv().await
}

pub fn count() -> u32 {
    COUNT.load(Relaxed)
}

/// Comes back at the next interrupt.
pub async fn again() {
    let before = count();
    while count() == before {
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}
