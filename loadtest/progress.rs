//! Progress on stderr: a bar on a terminal, a plain line now and then elsewhere.

use crate::plan::Plan;
use crate::shared::Shared;
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use std::io::IsTerminal;
use std::time::{Duration, Instant};

const PLAIN_EVERY: Duration = Duration::from_secs(5);
/// The bar counts in thousandths of the whole run.
const WHOLE: u64 = 1000;

pub struct Progress {
    bar: Option<ProgressBar>,
    start: Instant,
    end_ns: u64,
    requests_limit: u64,
    bids_limit: u64,
    last_line: Instant,
    last: (Instant, u64),
    rate: f64,
}

impl Progress {
    pub fn new(plan: &Plan, start: Instant) -> Progress {
        let bar = std::io::stderr().is_terminal().then(|| {
            let bar = ProgressBar::with_draw_target(Some(WHOLE), ProgressDrawTarget::stderr_with_hz(5));
            if let Ok(style) = ProgressStyle::with_template("{elapsed:>4} {bar:30} {percent:>3}% {msg}") {
                bar.set_style(style);
            }
            bar
        });
        Progress {
            bar,
            start,
            end_ns: plan.end_ns,
            requests_limit: plan.requests_limit,
            bids_limit: plan.bids_limit,
            last_line: start,
            last: (start, 0),
            rate: 0.0,
        }
    }

    pub fn show(&mut self, shared: &Shared) {
        let (now, answered) = (Instant::now(), shared.sum(|gauge| &gauge.answered));
        let since = now.saturating_duration_since(self.last.0);
        if since >= Duration::from_secs(1) {
            self.rate = (answered - self.last.1) as f64 / since.as_secs_f64();
            self.last = (now, answered);
        }
        let elapsed = now.saturating_duration_since(self.start);
        let text = || {
            format!(
                "{:.0}/s  {answered} answers  {} bids  {} billed  {} notices  {} errors  backlog {}  {} notices to come",
                self.rate,
                shared.bids(),
                shared.billed.load(std::sync::atomic::Ordering::Relaxed),
                shared.sum(|gauge| &gauge.notices),
                shared.sum(|gauge| &gauge.errors),
                shared.sum(|gauge| &gauge.backlog),
                shared.sum(|gauge| &gauge.pending_notices),
            )
        };
        match &self.bar {
            Some(bar) => {
                // Whichever bound is nearest ends the run.
                let done = [
                    share(elapsed.as_nanos() as u64, self.end_ns),
                    share(shared.sum(|gauge| &gauge.planned), self.requests_limit),
                    share(shared.bids(), self.bids_limit),
                ];
                bar.set_position(done.into_iter().max().unwrap_or(0));
                bar.set_message(text());
            }
            None if now.saturating_duration_since(self.last_line) >= PLAIN_EVERY => {
                self.last_line = now;
                eprintln!("{:>4.0}s  {}", elapsed.as_secs_f64(), text());
            }
            None => {}
        }
    }

    pub fn end(&self) {
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
        }
    }
}

fn share(done: u64, of: u64) -> u64 {
    if of == u64::MAX {
        0
    } else {
        (u128::from(done) * u128::from(WHOLE) / u128::from(of.max(1))).min(u128::from(WHOLE)) as u64
    }
}
