//! A gavel in a process of its own: for kills, exit codes and what it prints.

use std::io::{BufRead, BufReader};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Output, Stdio};
use std::time::{Duration, Instant};

use crate::http::Client;

pub struct Process {
    child: Child,
    pub traffic: SocketAddr,
    pub admin: SocketAddr,
    /// What it printed up to the last line that a start prints.
    pub printed: Vec<String>,
    errors: PathBuf,
}

/// A command that runs the binary in `dir`, without anything of this process's environment that it reads.
pub fn gavel(dir: &Path, arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_gavel"));
    command.current_dir(dir).args(arguments).stdin(Stdio::null());
    for name in ["GAVEL_LISTEN", "GAVEL_ADMIN_LISTEN", "GAVEL_DATA_DIR", "GAVEL_ADMIN_TOKEN", "GAVEL_LOG"] {
        command.env_remove(name);
    }
    command
}

/// Runs it to its end.
pub fn run(dir: &Path, arguments: &[&str]) -> Output {
    gavel(dir, arguments).output().unwrap()
}

pub fn errors_of(output: &Output) -> String {
    String::from_utf8(output.stderr.clone()).unwrap()
}

impl Process {
    /// Starts it and waits for its addresses, and after `until` if that is given.
    pub fn start(dir: &Path, arguments: &[&str], until: &str) -> Process {
        let errors = dir.join("stderr.txt");
        let file = std::fs::File::options().create(true).append(true).open(&errors).unwrap();
        let mut child = gavel(dir, arguments).stdout(Stdio::piped()).stderr(file).spawn().unwrap();
        let mut printed = Vec::new();
        for line in BufReader::new(child.stdout.take().unwrap()).lines() {
            printed.push(line.unwrap());
            if printed.last().unwrap().starts_with(until) {
                break;
            }
        }
        let address = |name: &str| {
            let line = printed.iter().find_map(|line| line.strip_prefix(name)?.split_once("://"));
            let (_, address) = line.unwrap_or_else(|| panic!("no {name}: {printed:?}, {}", read(&errors)));
            address.parse().unwrap()
        };
        Process { traffic: address("traffic "), admin: address("admin "), child, printed, errors }
    }

    pub fn id(&self) -> u32 {
        self.child.id()
    }

    pub fn connect(&self) -> Client {
        Client::connect(self.traffic)
    }

    pub fn ask(&self) -> Client {
        Client::connect(self.admin)
    }

    /// What it wrote to stderr so far.
    pub fn errors(&self) -> String {
        read(&self.errors)
    }

    /// Sends it a signal.
    pub fn signal(&self, signal: i32) {
        let id = i32::try_from(self.child.id()).unwrap();
        // SAFETY: kill takes two numbers; the process is ours and has not been waited for.
        assert_eq!(unsafe { libc::kill(id, signal) }, 0);
    }

    /// Waits for its end.
    pub fn wait(&mut self, at_most: Duration) -> ExitStatus {
        let started = Instant::now();
        loop {
            if let Some(status) = self.child.try_wait().unwrap() {
                return status;
            }
            assert!(started.elapsed() < at_most, "still running after {at_most:?}: {}", self.errors());
            std::thread::sleep(Duration::from_millis(5));
        }
    }
}

fn read(path: &Path) -> String {
    std::fs::read_to_string(path).unwrap_or_default()
}

impl Drop for Process {
    fn drop(&mut self) {
        // Both fail when it has ended: that is as good.
        let _ended = self.child.kill();
        let _waited = self.child.wait();
    }
}
