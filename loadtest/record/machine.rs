//! What ran where.

use serde::{Deserialize, Serialize};
use std::path::Path;
use std::process::{Command, Stdio};

#[derive(Clone, Debug, Default, Deserialize, PartialEq, Serialize)]
pub struct Machine {
    pub processor: String,
    pub cores: usize,
    pub kernel: String,
    /// Processes that ran or waited to run, on average over the minute before the run.
    pub load_before: f64,
}

impl Machine {
    pub fn here() -> Machine {
        let read = |path: &str| std::fs::read_to_string(path).unwrap_or_default();
        let processors = read("/proc/cpuinfo");
        let named = |line: &str| {
            let (key, value) = line.split_once(':')?;
            (key.trim() == "model name").then(|| value.trim().to_owned())
        };
        let load = read("/proc/loadavg");
        Machine {
            processor: processors.lines().find_map(named).unwrap_or_else(|| std::env::consts::ARCH.to_owned()),
            cores: std::thread::available_parallelism().map_or(0, std::num::NonZero::get),
            kernel: format!("{} {}", std::env::consts::OS, read("/proc/sys/kernel/osrelease").trim()),
            load_before: load.split(' ').next().and_then(|load| load.parse().ok()).unwrap_or(0.0),
        }
    }
}

pub fn date() -> String {
    jiff::Timestamp::now().round(jiff::Unit::Second).map_or_else(|_| String::new(), |time| time.to_string())
}

/// Of the checkout that the working directory or the executable lies in; marked where something is changed.
pub fn commit() -> Option<String> {
    let executable = std::env::current_exe().ok();
    let places = [Some(Path::new(".")), executable.as_deref().and_then(Path::parent)];
    places.into_iter().flatten().find_map(|place| {
        let commit = git(place, &["rev-parse", "--short=12", "HEAD"])?;
        let changed = git(place, &["status", "--porcelain", "--untracked-files=no"])?;
        Some(if changed.is_empty() { commit } else { format!("{commit}, with changes") })
    })
}

fn git(place: &Path, arguments: &[&str]) -> Option<String> {
    let mut command = Command::new("git");
    let command = command.arg("-C").arg(place).args(arguments).stdin(Stdio::null()).stderr(Stdio::null());
    let output = command.output().ok().filter(|output| output.status.success())?;
    Some(String::from_utf8(output.stdout).ok()?.trim().to_owned())
}
