//! Log lines on stderr, for people. Nothing is logged per request.

use tracing_subscriber::EnvFilter;

/// Level from `GAVEL_LOG`, such as `debug` or `warn,gavel::admin=debug`; default `info`.
pub fn start() {
    let filter = EnvFilter::try_from_env("GAVEL_LOG").unwrap_or_else(|_| EnvFilter::new("info"));
    // A second start in one process (tests) keeps the first.
    let _already_started = tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr).try_init();
}
