//! What a start beside other nodes needs: an epoch and numbers for campaigns that none of them was faster to take.

use std::sync::Mutex;

use super::recovery::not_begun;
use super::{AppError, because};
use crate::admin::campaigns::Registry;
use crate::bidding::campaign::Campaign;
use crate::clock::UnixMs;
use crate::config::Config;
use crate::event::Process;
use crate::eventlog::EventLog;
use crate::ledger::Hot;
use crate::ledger::hot::StartState;
use crate::tasks::follower::lock;

/// Tries at a number. Each time others were faster that have theirs then: a fleet has fewer nodes that start at once.
const MAX_TRIES: usize = 64;

/// Another one than any process has.
pub(super) fn process() -> Result<Process, AppError> {
    let mut bytes = [0; 8];
    getrandom::fill(&mut bytes).map_err(because("random numbers"))?;
    Ok(Process(u64::from_le_bytes(bytes).max(1)))
}

/// When the start's first events are in the log: begins again where they came too late, until the log says that this start
/// lives and each campaign has the number that the registry has.
pub(super) fn agree(
    config: &Config,
    hot: &Mutex<Hot>,
    log: &dyn EventLog,
    mut registry: Registry,
    files: Vec<Campaign>,
    now: UnixMs,
) -> Result<Registry, AppError> {
    for _ in 0..MAX_TRIES {
        let again = {
            let mut hot = lock(hot);
            match hot.state() {
                StartState::Begins => vec![hot.start_again()],
                StartState::Ended => {
                    let twin = "another process started with this one's `node` at the same time: give each its own";
                    return Err(AppError(twin.to_owned()));
                }
                StartState::Lives if registry.agrees(hot.books()) => return Ok(registry),
                StartState::Lives => {
                    let books = hot.books().clone();
                    let (new, events) = Registry::start(config, &books, files.clone(), &mut hot, now);
                    registry = new;
                    events
                }
            }
        };
        for chunk in again.chunks(1_000) {
            log.append_durable(0, chunk).wait().map_err(not_begun)?;
        }
    }
    Err(AppError("other nodes take the numbers of starts and campaigns again and again: start later".to_owned()))
}
